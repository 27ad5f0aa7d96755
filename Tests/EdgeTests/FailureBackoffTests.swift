import EdgeTesting
import Metrics
import Testing

/// Keys whose origin failed: what is stored is served, and the origin is left alone for a while.
@Suite struct FailureBackoffTests {
  private static let first = Reply(
    200, ["Cache-Control: max-age=60, stale-if-error=600", "ETag: \"1\""], "old")

  /// A node with a stale response to `/a`, and an origin that is down unless told otherwise.
  private func stale(
    _ isWell: Watched<Bool>, route: String = ""
  ) async throws -> (node: TestNode, origin: ScriptedOrigin) {
    let origin = try await ScriptedOrigin.answering { _ in
      isWell.value ? Self.first : Reply(503, [], "down")
    }
    let node = try TestNode.start(origin: origin.port, route: route, pool: "breaker off;")
    #expect(try await node.get("/a").text == "old")
    try await node.settle()
    isWell.update { $0 = false }
    node.advance(seconds: 61)
    return (node, origin)
  }

  @Test func `an origin that failed is not asked again for each stale hit`() async throws {
    let (node, origin) = try await stale(Watched(true))
    var expected = 1
    for pause in [1.0, 2, 4] {
      for _ in 0..<5 {
        let response = try await node.get("/a")
        #expect(response.status == 200 && response.text == "old")
        try await node.settle()
      }
      expected += 1
      #expect(origin.requests.count == expected)
      let response = try await node.get("/a")
      #expect(response.isHit, "\(response.cacheStatus)")
      node.advance(seconds: pause + 0.1)
    }
    #expect(try node.log().last?["cache"]?.string == "stale")
    // A client that insists is not put off.
    #expect(try await node.get("/a").text == "old")
    try await node.settle()
    #expect(try await node.get("/a", "Cache-Control: no-cache").text == "old")
    #expect(origin.requests.count == expected + 2)
  }

  @Test func `an origin that answers again is asked as ever`() async throws {
    let isWell = Watched(true)
    let (node, origin) = try await stale(isWell)
    #expect(try await node.get("/a").text == "old")
    try await node.settle()
    isWell.update { $0 = true }
    #expect(try await node.get("/a").isHit)
    node.advance(seconds: 1.1)
    #expect(try await node.get("/a").text == "old")
    try await node.settle()
    let asked = origin.requests.count
    // It is fresh again; past that, the next failure begins with the first pause.
    #expect(try await node.get("/a").cacheStatus.contains("hit; ttl=60"))
    isWell.update { $0 = false }
    node.advance(seconds: 61)
    #expect(try await node.get("/a").text == "old")
    try await node.settle()
    node.advance(seconds: 1.1)
    #expect(try await node.get("/a").text == "old")
    try await node.settle()
    #expect(origin.requests.count == asked + 2)
  }

  @Test func `the back-off can be switched off`() async throws {
    let (node, origin) = try await stale(Watched(true), route: "cache { failure_backoff 0; }")
    for _ in 0..<3 {
      #expect(try await node.get("/a").text == "old")
      try await node.settle()
    }
    #expect(origin.requests.count == 4)
  }

  @Test func `a Retry-After lengthens the pause`() async throws {
    let isWell = Watched(true)
    let origin = try await ScriptedOrigin.answering { _ in
      isWell.value ? Self.first : Reply(503, ["Retry-After: 20"], "down")
    }
    let node = try TestNode.start(origin: origin.port, pool: "breaker off;")
    #expect(try await node.get("/a").text == "old")
    try await node.settle()
    isWell.update { $0 = false }
    node.advance(seconds: 61)
    for _ in 0..<4 {
      #expect(try await node.get("/a").text == "old")
      try await node.settle()
      node.advance(seconds: 5.5)
    }
    #expect(origin.requests.count == 2)
  }
}
