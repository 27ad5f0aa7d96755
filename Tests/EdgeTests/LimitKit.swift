import EdgeTesting
import EventLoop
import Metrics

extension TestNode {
  /// A node without a store, with limits, that forwards to an origin.
  static func limited(
    _ limits: String, route: String, origin: ScriptedOrigin, store: String? = nil,
    workers: Int = 2, clock: NodeClock? = nil
  ) throws -> TestNode {
    try start(
      origin: origin.port, route: route, top: limits, store: store, workers: workers, clock: clock)
  }

  /// A figure as it is scraped, by its name with labels.
  func figure(_ name: String) -> Int {
    let line = figures.split(separator: "\n").first { $0.hasPrefix(name + " ") }
    return line.flatMap { Int($0.dropFirst(name.utf8.count + 1)) } ?? -1
  }

  /// How often a limit has decided so.
  func decisions(_ limit: String, _ decision: String) -> Int {
    figure("weir_limit_decisions_total{limit=\"\(limit)\",decision=\"\(decision)\"}")
  }

  /// How many requests wait at a limit.
  func waiting(_ limit: String) -> Int { figure("weir_limit_waiting{limit=\"\(limit)\"}") }

  /// Waits until so many requests wait at a limit.
  func expectWaiting(_ limit: String, _ count: Int) async throws {
    try await eventually("\(count) requests to wait at \(limit)") { self.waiting(limit) == count }
  }

  /// The statuses of so many requests, one after the other, each on a connection of its own.
  func statuses(_ count: Int, _ target: String = "/", _ fields: String...) async throws -> [Int] {
    var statuses: [Int] = []
    for _ in 0..<count {
      let client = try await connect()
      defer { client.close() }
      statuses.append(try await client.request("GET", target, fields).status)
    }
    return statuses
  }
}

extension TestNode {
  /// Waits until what was sent before has been looked at by every worker, several times over, and
  /// whatever the test's own peers have to say to that.
  func settleTurns() async throws {
    for _ in 0..<16 {
      catchUp()
      await Task.yield()
    }
  }
}
