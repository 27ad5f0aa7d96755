import EdgeTesting
import Metrics
import Node
import Testing

/// Origins that are down, and many clients.
@Suite struct RetryStormTests {
  /// 10,000 requests of 100 clients, and a pool whose servers all fail.
  @Test(arguments: ["", "breaker on;"])
  func `servers that are down see at most 1_2 times the requests`(breaker: String) async throws {
    let seen = Watched(0)
    let origins = try await ThreeFailing(seen)
    let node = try TestNode.start(
      origin: origins.ports[0],
      pool: origins.ports.dropFirst().map { "server 127.0.0.1:\($0);" }.joined() + breaker,
      store: nil, workers: 2)
    // Pauses before further tries pass, whoever waits for them.
    let clock = Task {
      while !Task.isCancelled {
        node.advance(seconds: 0.001)
        try? await Task.sleep(for: .milliseconds(1))
      }
    }
    defer { clock.cancel() }
    let statuses = try await atOnce(100) { number in
      let client = try await node.connect()
      defer { client.close() }
      var statuses: Set<Int> = []
      for round in 0..<50 {
        statuses.insert(try await client.get("/\(number)/\(round)").status)
      }
      return statuses
    }
    #expect(statuses.reduce(into: Set()) { $0.formUnion($1) } == [503])
    #expect(seen.value <= 6_000, "\(seen.value) requests")
    // Without a breaker each client's request is made once, and some twice.
    #expect(breaker.isEmpty ? seen.value > 5_000 : seen.value > 0)
    #expect(node.count(.originRequests) == seen.value)
  }
}

private struct ThreeFailing {
  let origins: [ScriptedOrigin]
  var ports: [UInt16] { origins.map(\.port) }

  init(_ seen: Watched<Int>) async throws {
    var made: [ScriptedOrigin] = []
    for _ in 0..<3 {
      made.append(
        try await ScriptedOrigin.answering { _ in
          seen.update { $0 += 1 }
          return Reply(503, [], "down")
        })
    }
    origins = made
  }
}
