import EdgeTesting
import EventLoop
import Metrics

extension TestNode {
  /// A node without a store.
  static func forwarding(
    to origin: ScriptedOrigin, route: String = "", top: String = "", pool: String = "",
    workers: Int = 2, drain: String = "30s"
  ) throws -> TestNode {
    try start(
      origin: origin.port, route: route, top: "drain_timeout \(drain); \(top)", pool: pool,
      store: nil, workers: workers)
  }

  /// How many client connections are open.
  var open: Int { Int(count(.connectionsAccepted)) - Int(count(.connectionsClosed)) }

  /// Waits until every client connection is closed, and nothing is asked of an origin any more.
  func expectNothingLeft() async throws {
    try await eventually("all connections to be closed") { self.open == 0 }
    try await eventually("all requests to origins to end") {
      self.count(.fillsStarted) == self.count(.fillsEnded)
    }
    try await settle()
  }

  /// Stops the node from a thread of its own, since `stop` blocks; sends the signal when it has.
  func stopAside() -> Signal {
    let stopped = Signal("the node to stop")
    _ = LoopThread(name: "test-stop") {
      self.stop()
      stopped.send()
    }
    return stopped
  }
}

extension PeerResponse {
  /// The names of the fields in lower case.
  var names: Set<String> { Set(fields.map { $0.name.lowercased() }) }
}

extension PeerRequest {
  /// The names of the fields in lower case.
  var names: Set<String> { Set(fields.map { $0.name.lowercased() }) }
}

extension RawClient {
  /// Writes a request as it is, and reads its response.
  func ask(_ text: String, method: String = "GET") async throws -> PeerResponse {
    try await write(text)
    return try await readResponse(to: method)
  }
}

extension TestNode {
  /// Waits until a counter of bytes has not moved for a while (150 looks, some 2 ms apart), because
  /// somebody is held back. Between two looks every worker has had its turn, however busy the machine is.
  func standsStill(_ counter: Counter) async throws {
    var last = count(counter)
    var times = 0
    try await eventually("\(counter) to stand still") {
      let now = self.count(counter)
      times = now == last && now > 0 ? times + 1 : 0
      last = now
      return times >= 150
    }
  }
}
