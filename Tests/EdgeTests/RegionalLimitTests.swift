import EdgeTesting
import EventLoop
import Metrics
import RedisTesting
import Testing

/// Limits that the PoPs of a region share, with an engine's real server between them.
@Suite(
  .enabled(if: RedisProcess.isInstalled, "redis-server is not installed"), .serialized)
struct RegionalLimitTests {
  private func start(
    _ pop: String, _ limit: String, origin: UInt16, engine: UInt16, region: String = "eu"
  ) throws -> TestNode {
    try TestNode.start(
      origin: origin, route: "cache off; limit shared;",
      top: """
        fleet shop { server 127.0.0.1:\(engine); pop \(pop); region \(region); }
        limit shared { \(limit) }
        """, workers: 1, clock: NodeClock())
  }

  private func origin() async throws -> ScriptedOrigin {
    try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
  }

  /// Waits until the PoPs know of each other.
  private func meet(_ nodes: [TestNode], pops: Int? = nil) async throws {
    for node in nodes {
      try await eventually("the engine answers") {
        node.figure("weir_fleet_limits_connected") == 1
          && node.figure("weir_fleet_limits_pops") == pops ?? nodes.count
          && node.figure("weir_fleet_in_step") == 1
      }
    }
  }

  /// How many of so many requests pass, by turns at each of the nodes.
  private func passed(_ count: Int, _ nodes: [TestNode], _ fields: String...) async throws -> Int {
    var clients: [RawClient] = []
    for node in nodes { clients.append(try await node.connect()) }
    defer { for client in clients { client.close() } }
    var passed = 0
    for number in 0..<count {
      let response = try await clients[number % clients.count].request("GET", "/", fields)
      if response.status == 200 { passed += 1 } else { #expect(response.status == 429) }
    }
    return passed
  }

  @Test func `where each request is asked for, all PoPs together let pass the burst to one`()
    async throws
  {
    let engine = try RedisProcess()
    let origin = try await origin()
    let limit = "token_bucket 1/d burst=12; key host; scope region consistency=exact timeout=10s;"
    let nodes = try ["one", "two", "three"].map {
      try start($0, limit, origin: origin.port, engine: engine.port)
    }
    try await meet(nodes)
    #expect(try await passed(30, nodes) == 12)
    #expect(try await passed(3, nodes, "X-Other: 1") == 0)
    let refused = try await nodes[0].get("/")
    #expect(refused.status == 429)
    #expect(refused.header("retry-after") == "86400")
    #expect(refused.header("ratelimit-policy") == "\"shared\";q=12;w=1036800")
    #expect(origin.requests.count == 12)
  }

  @Test func `a region's budget is its own`() async throws {
    let engine = try RedisProcess()
    let origin = try await origin()
    let limit = "token_bucket 1/d burst=3; key host; scope region consistency=exact timeout=10s;"
    let here = try start("here", limit, origin: origin.port, engine: engine.port, region: "eu")
    let there = try start("there", limit, origin: origin.port, engine: engine.port, region: "us")
    try await meet([here, there], pops: 1)
    #expect(try await passed(5, [here]) == 3)
    #expect(try await passed(5, [there]) == 3)
  }

  @Test func `with leases no request waits, and what one PoP has spent the others come to know`()
    async throws
  {
    let engine = try RedisProcess()
    let origin = try await origin()
    let limit = "token_bucket 1/d burst=40; key host; scope region;"
    let nodes = try ["one", "two"].map {
      try start($0, limit, origin: origin.port, engine: engine.port)
    }
    try await meet(nodes)
    // Each has heard of the key before it counts.
    var count = try await passed(2, nodes)
    #expect(count == 2)
    try await eventually("one PoP has the whole burst, as far as there is any") {
      count += try await passed(1, [nodes[0]])
      return count >= 39
    }
    // The other was told of one token that it had spent. It has half of the bucket for its own until it
    // asks again.
    for _ in 0..<60 { count += try await passed(1, [nodes[1]]) }
    #expect(count <= 40 + 20 + 2, "\(count)")
    let settled = count
    try await eventually("both know that nothing is left") {
      try await passed(4, nodes) == 0
    }
    #expect(settled <= 62)
  }

  @Test(arguments: [("share", 2...7), ("open", 20...20), ("closed", 0...0)])
  func `without the engine a PoP does what it is told`(
    whenDown: String, passes: ClosedRange<Int>
  ) async throws {
    let engine = try RedisProcess()
    let origin = try await origin()
    let limit = "token_bucket 1/d burst=10; key host; scope region when_down=\(whenDown);"
    let nodes = try ["one", "two"].map {
      try start($0, limit, origin: origin.port, engine: engine.port)
    }
    try await meet(nodes)
    engine.kill()
    for node in nodes {
      try await eventually("it is known to be gone") {
        node.figure("weir_fleet_limits_connected") == 0
      }
    }
    #expect(passes.contains(try await passed(20, [nodes[0]])))
    let report = try await nodes[0].admin("GET", "/v1/limits/shared").json()
    #expect(report["region"]?["engine_gone"] == .bool(true))
    try engine.start()
    for node in nodes {
      try await eventually("it is back") { node.figure("weir_fleet_limits_connected") == 1 }
    }
  }

  @Test func `a request that waits for an engine that hangs is decided on without it`() async throws
  {
    let engine = try RedisProcess()
    let relay = try Relay(to: engine.port)
    let origin = try await origin()
    let limit =
      "token_bucket 1/d burst=4; key host; scope region consistency=exact timeout=50ms when_down=closed;"
    let node = try start("one", limit, origin: origin.port, engine: relay.port)
    try await meet([node])
    #expect(try await passed(1, [node]) == 1)
    relay.cut()
    #expect(try await passed(2, [node]) == 0)
    relay.mend()
    try await meet([node])
    try await eventually("the engine is asked again") { try await passed(1, [node]) == 1 }
  }

  @Test func `a change for the fleet reaches the PoPs of the region, also one that is away`()
    async throws
  {
    let engine = try RedisProcess()
    let relay = try Relay(to: engine.port)
    let origin = try await origin()
    let limit = "token_bucket 1/d burst=2; key host; scope region;"
    let one = try start("one", limit, origin: origin.port, engine: engine.port)
    let two = try start("two", limit, origin: origin.port, engine: relay.port)
    let far = try start("far", limit, origin: origin.port, engine: engine.port, region: "us")
    try await meet([one, two], pops: 2)
    try await meet([far], pops: 1)
    let change = try await one.admin(
      "PATCH", "/v1/limits/shared",
      json: "{\"rate\": \"7/m\", \"fleet\": true, \"timeout_ms\": 20000}")
    #expect(change.status == 200, "\(change.text)")
    let answer = try change.json()
    #expect(answer["rate"] == .string("7/m"))
    #expect(answer["fleet"]?["complete"] == .bool(true))
    #expect(answer["fleet"]?["applied"] == .array([.string("one"), .string("two")]))
    #expect(try await two.admin("GET", "/v1/limits/shared").json()["rate"] == .string("7/m"))
    // Nothing was purged by that, and another region goes on as it was.
    try await eventually("it has read it") {
      far.figure("weir_fleet_purges_applied_total") == 1
    }
    #expect(try await far.admin("GET", "/v1/limits/shared").json()["rate"] == .string("1/d"))
    relay.cut()
    let away = try await one.admin(
      "PATCH", "/v1/limits/shared", json: "{\"burst\": 9, \"fleet\": true, \"timeout_ms\": 1}")
    #expect(try away.json()["fleet"]?["complete"] == .bool(false))
    relay.mend()
    try await eventually("it has come") {
      try await two.admin("GET", "/v1/limits/shared").json()["burst"] == .number(9)
    }
  }

  @Test func `a change for the fleet is refused by a node that works alone`() async throws {
    let origin = try await origin()
    let node = try TestNode.start(
      origin: origin.port, route: "limit few;", top: "limit few { token_bucket 1/s; }")
    let change = try await node.admin(
      "PATCH", "/v1/limits/few", json: "{\"rate\": \"7/m\", \"fleet\": true}")
    #expect(change.status == 409 || change.status == 404, "\(change.status)")
    #expect(try await node.admin("GET", "/v1/limits/few").json()["rate"] == .string("1/s"))
  }

  @Test func `a client that leaves while the engine is asked harms nobody`() async throws {
    let engine = try RedisProcess()
    let relay = try Relay(to: engine.port)
    let origin = try await origin()
    let limit = "token_bucket 1/d burst=4; key host; scope region consistency=exact timeout=10s;"
    let node = try start("one", limit, origin: origin.port, engine: relay.port)
    try await meet([node])
    relay.cut()
    let client = try await node.connect()
    try await client.write("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n")
    try await node.expectWaiting("shared", 1)
    client.close()
    try await node.expectWaiting("shared", 0)
    relay.mend()
    try await meet([node])
    #expect(try await passed(1, [node]) == 1)
  }
}
