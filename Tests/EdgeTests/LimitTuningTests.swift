import EdgeTesting
import EventLoop
import Metrics
import Testing

/// Limits while the node runs, and over its end.
@Suite struct LimitTuningTests {
  static let few = "limit few { token_bucket 2/d; }"

  private func node(_ limits: String, route: String) async throws -> (TestNode, ScriptedOrigin) {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    return (
      try TestNode.limited(limits, route: route, origin: origin, store: "", workers: 3), origin
    )
  }

  private func change(_ node: TestNode, _ name: String, _ json: String) async throws {
    #expect(try await node.admin("PATCH", "/v1/limits/\(name)", json: json).status == 200)
  }

  @Test func `a change is in force with the next request, in every worker`() async throws {
    let (node, origin) = try await node(Self.few, route: "limit few;")
    defer { withExtendedLifetime(origin) {} }
    #expect(try await node.statuses(4) == [200, 200, 429, 429])
    // What was spent stays spent: of the new ten two are gone.
    try await change(node, "few", #"{"burst": 10}"#)
    #expect(try await node.statuses(9) == [Int](repeating: 200, count: 8) + [429])
    try await change(node, "few", #"{"shadow": true}"#)
    #expect(try await node.statuses(2) == [200, 200])
    try await change(node, "few", #"{"shadow": false}"#)
    #expect(try await node.statuses(1) == [429])
    try await change(node, "few", #"{"rate": "10/s"}"#)
    node.advance(seconds: 0.1)
    #expect(try await node.statuses(2) == [200, 429])
  }

  @Test func `what bandwidth only counted is spent all the same`() async throws {
    let large = String(repeating: "a", count: 8 << 20)
    let origin = try await ScriptedOrigin.answering { request in
      Reply(
        200, ["Cache-Control: max-age=1000"], request.target == "/large" ? large : "small")
    }
    let node = try TestNode.start(
      origin: origin.port, route: "limit pace;",
      top: "limit pace { bandwidth 1000B/s burst=2000; shadow on; }")
    for target in ["/large", "/small"] {
      #expect(try await node.get(target).status == 200)
      try await node.settle()
    }
    // Its client takes little of what is offered, and the rest is given back, over and over.
    let slow = try await node.ask("/large")
    _ = try await slow.readResponseHead()
    try await node.standsStill(.bytesSent)
    try await change(node, "pace", #"{"shadow": false}"#)
    let client = try await node.ask("/small")
    #expect(try await client.readResponseHead().isHit)
    try await node.settleTurns()
    #expect(try client.readAvailable().isEmpty)
    slow.close()
    client.close()
  }

  @Test func `those that wait hear of a new rate`() async throws {
    let (node, origin) = try await node(
      "limit slow { leaky_bucket 1/h queue=2; }", route: "limit slow;")
    defer { withExtendedLifetime(origin) {} }
    #expect(try await node.get("/").status == 200)
    let client = try await node.ask("/")
    try await node.expectWaiting("slow", 1)
    try await change(node, "slow", #"{"rate": "10/s"}"#)
    node.advance(seconds: 0.2)
    #expect(try await client.readResponse().status == 200)
    // And of a slower one.
    let late = try await node.ask("/")
    try await node.expectWaiting("slow", 1)
    try await change(node, "slow", #"{"rate": "1/m"}"#)
    node.advance(seconds: 1)
    try await node.settleTurns()
    #expect(node.waiting("slow") == 1)
    node.advance(seconds: 60)
    #expect(try await late.readResponse().status == 200)
  }

  @Test func `who is heavy is listed, and can be forgiven`() async throws {
    let (node, origin) = try await node(
      "limit few { token_bucket 2/d; key header.user else client.ip; }", route: "limit few;")
    defer { withExtendedLifetime(origin) {} }
    _ = try await node.statuses(160, "/", "User: heavy")
    _ = try await node.statuses(48, "/")
    let response = try await node.admin("GET", "/v1/limits/few/keys?top=1")
    let keys = try #require(response.json()["keys"]?.array)
    #expect(keys.count == 1)
    #expect(keys.first?["key"]?.string == "heavy")
    let id = try #require(keys.first?["id"]?.string)
    #expect(try await node.statuses(1, "/", "User: heavy") == [429])
    #expect(try await node.admin("DELETE", "/v1/limits/few/keys/\(id)").status == 200)
    #expect(try await node.statuses(3, "/", "User: heavy") == [200, 200, 429])
    #expect(try await node.admin("DELETE", "/v1/limits/few/keys/heavy").status == 200)
    #expect(try await node.statuses(1, "/", "User: heavy") == [200])
    #expect(try await node.statuses(1) == [429])
    #expect(try await node.admin("DELETE", "/v1/limits/few/keys/127.0.0.1").status == 200)
    #expect(try await node.statuses(1) == [200])
  }

  @Test func `a change that is kept survives a restart, and another does not`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    let directory = try TemporaryDirectory()
    let clock = NodeClock(manualFrom: TestNode.start)
    func start() throws -> TestNode {
      try TestNode.start(
        origin: origin.port, route: "limit few; limit own;",
        top: "\(Self.few) limit own { token_bucket 100/d; key header.none; }",
        directory: directory, clock: clock)
    }
    let first = try start()
    try await change(first, "few", #"{"burst": 3, "persist": true}"#)
    try await change(first, "few", #"{"rate": "5/d", "persist": true}"#)
    try await change(first, "own", #"{"burst": 7}"#)
    first.stop()
    let second = try start()
    let few = try await second.admin("GET", "/v1/limits/few").json()
    #expect(few["burst"]?.int == 3)
    #expect(few["rate"]?.string == "5/d")
    #expect(few["kept"]?.string == "rate=5/d burst=3")
    let own = try await second.admin("GET", "/v1/limits/own").json()
    #expect(own["burst"]?.int == 100)
    #expect(second.notes.value.contains { $0.contains("not as the configuration does") })
    #expect(try await second.statuses(4) == [200, 200, 200, 429])
    second.stop()
  }

  @Test func `a quota survives a restart, and its window's end`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    let directory = try TemporaryDirectory()
    let clock = NodeClock(manualFrom: TestNode.start)
    func start() throws -> TestNode {
      try TestNode.start(
        origin: origin.port, route: "limit daily;", top: "limit daily { quota 3/day; }",
        directory: directory, clock: clock)
    }
    let first = try start()
    #expect(try await first.statuses(2) == [200, 200])
    first.stop()
    let second = try start()
    #expect(try await second.statuses(2) == [200, 429])
    second.stop()
    clock.advance(nanoseconds: 86_400_000_000_000)
    let third = try start()
    #expect(try await third.statuses(4) == [200, 200, 200, 429])
    third.stop()
  }
}
