import EdgeTesting
import EventLoop
import Metrics
import RedisTesting
import Testing

/// A PoP behind a PoP.
@Suite(
  .enabled(if: RedisProcess.isInstalled, "redis-server is not installed"), .serialized)
struct TierTests {
  private func start(
    _ pop: String, origin: UInt16, engine: UInt16, pool: String = ""
  ) throws -> TestNode {
    try TestNode.start(
      origin: origin,
      top: """
        trusted_proxies 127.0.0.1;
        fleet shop { server 127.0.0.1:\(engine); pop \(pop); }
        """, pool: pool, workers: 1, clock: NodeClock())
  }

  /// A PoP in step that has `/a` stored, with settings of the top and of its fleet.
  private func parent(
    of origin: ScriptedOrigin, _ engine: RedisProcess, _ top: String, _ fleet: String
  ) async throws -> TestNode {
    let node = try TestNode.start(
      origin: origin.port,
      top: "\(top) fleet shop { server 127.0.0.1:\(engine.port); \(fleet) }", workers: 1,
      clock: NodeClock())
    try await inStep(node)
    _ = try await node.get("/a")
    try await node.settle()
    return node
  }

  private func inStep(_ node: TestNode) async throws {
    try await eventually("in step") {
      node.figures.contains("\nweir_fleet_in_step 1\n")
    }
  }

  private func origin(_ version: Watched<Int>) async throws -> ScriptedOrigin {
    try await ScriptedOrigin.answering { request in
      let tag = "\"\(version.value)\""
      let fields = ["Cache-Control: max-age=600", "ETag: \(tag)", "Surrogate-Key: all"]
      return request.header("if-none-match") == tag
        ? Reply(304, fields) : Reply(200, fields, "version \(version.value)")
    }
  }

  @Test func `a parent that has not heard of a purge answers its child with nothing older`()
    async throws
  {
    let engine = try RedisProcess()
    let relay = try Relay(to: engine.port)
    let version = Watched(1)
    let origin = try await origin(version)
    let parent = try start("parent", origin: origin.port, engine: relay.port)
    let child = try start(
      "child", origin: parent.port, engine: engine.port, pool: "fleet on;")
    try await inStep(parent)
    try await inStep(child)
    #expect(try await child.get("/a").text == "version 1")
    for node in [child, parent] { try await node.settle() }
    #expect(try await parent.get("/a").isHit)
    // The parent does not hear of the purge yet.
    relay.cut()
    version.update { $0 = 2 }
    // By its URL: of the tags, which the parent does not pass on, the child knows nothing.
    let purge = try await child.admin(
      "POST", "/v1/purge", json: "{\"url\": \"http://example.com/a\"}")
    #expect(purge.status == 200)
    #expect(try await child.get("/a").text == "version 2")
    relay.mend()
    // It may not have noticed that it was cut off, and say all the while that it is in step.
    try await eventually("the parent has heard of the purge") {
      try await parent.get("/a").text == "version 2"
    }
  }

  @Test func `a parent whose origin fails gives a child nothing that may have been purged`()
    async throws
  {
    let engine = try RedisProcess()
    let relay = try Relay(to: engine.port)
    let isBroken = Watched(false)
    let origin = try await ScriptedOrigin.answering { _ in
      isBroken.value
        ? Reply(503, [], "broken")
        : Reply(200, ["Cache-Control: max-age=600, stale-if-error=600", "ETag: \"1\""], "old")
    }
    let parent = try start("parent", origin: origin.port, engine: relay.port)
    let child = try start(
      "child", origin: parent.port, engine: engine.port, pool: "fleet on;")
    try await inStep(parent)
    try await inStep(child)
    #expect(try await child.get("/a").text == "old")
    for node in [child, parent] { try await node.settle() }
    relay.cut()
    isBroken.update { $0 = true }
    let purge = try await child.admin(
      "POST", "/v1/purge", json: "{\"url\": \"http://example.com/a\"}")
    #expect(purge.status == 200)
    for _ in 0..<2 {
      let answer = try await child.get("/a")
      #expect(answer.status == 503 && answer.text != "old")
    }
  }

  @Test func `as long as nothing was purged a parent's hits are a child's`() async throws {
    let engine = try RedisProcess()
    let origin = try await origin(Watched(1))
    let parent = try start("parent", origin: origin.port, engine: engine.port)
    let child = try start(
      "child", origin: parent.port, engine: engine.port, pool: "fleet on;")
    try await inStep(parent)
    try await inStep(child)
    _ = try await parent.get("/a")
    try await parent.settle()
    let answer = try await child.get("/a")
    #expect(answer.header("cache-status")?.contains("hit") == true)
    #expect(origin.requests.count == 1)
  }

  @Test func `a request that comes back to a PoP is refused`() async throws {
    let engine = try RedisProcess()
    let fields = Watched<[String]>([])
    let origin = try await ScriptedOrigin.answering { request in
      fields.update { $0 = request.headers("cdn-loop") }
      return Reply(200, ["Cache-Control: no-store"], "x")
    }
    let node = try start("one", origin: origin.port, engine: engine.port)
    #expect(try await node.get("/a", "CDN-Loop: other; v=1").status == 200)
    let loop = try #require(fields.value.last)
    #expect(fields.value == ["other; v=1", loop])
    #expect(loop.hasPrefix("weir-"))
    #expect(try await node.get("/a", "CDN-Loop: other, \(loop); x=y").status == 508)
    #expect(try await node.get("/a", "CDN-Loop: \(loop)x").status == 200)
  }

  @Test(arguments: [
    ("trusted_proxies 127.0.0.0/8;", ""), ("", "children 10.0.0.0/8 127.0.0.1;"),
  ])
  func `what a child says of purges is believed`(_ top: String, _ fleet: String) async throws {
    let engine = try RedisProcess()
    let origin = try await origin(Watched(1))
    let node = try await parent(of: origin, engine, top, fleet)
    #expect(try await node.get("/a").isHit)
    #expect(try await !node.get("/a", "Weir-Purged: 1;*").isHit)
    #expect(origin.requests.count == 2)
  }

  @Test(arguments: [
    ("", ""), ("trusted_proxies 127.0.0.0/8;", "children none;"),
    ("trusted_proxies 127.0.0.0/8;", "children 10.0.0.0/8 192.0.2.1;"),
  ])
  func `what others than children say of purges is not believed`(
    _ top: String, _ fleet: String
  ) async throws {
    let engine = try RedisProcess()
    let origin = try await origin(Watched(1))
    let node = try await parent(of: origin, engine, top, fleet)
    #expect(try await node.get("/a", "Weir-Purged: 1;*").isHit)
    // Nor is it passed on.
    _ = try await node.get("/b", "Weir-Purged: 1;*")
    #expect(origin.requests.last?.target == "/b")
    #expect(origin.requests.allSatisfy { $0.header("weir-purged") == nil })
  }
}
