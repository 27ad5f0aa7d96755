import EdgeTesting
import EventLoop
import Metrics
import RedisTesting
import Testing

/// PoPs in the test's process, each with an engine's real server between them and the others.
@Suite(
  .enabled(if: RedisProcess.isInstalled, "redis-server is not installed"), .serialized)
struct FleetTests {
  /// An origin that says which version of a path it has.
  private func versions(
    _ versions: Watched<[String: Int]>, soft: String = ""
  ) async throws -> ScriptedOrigin {
    try await ScriptedOrigin.answering { request in
      let version = versions.value[request.target] ?? 1
      let tag = "\"\(version)\""
      let fields = [
        "Cache-Control: max-age=600\(soft)", "ETag: \(tag)",
        "Surrogate-Key: all\(request.target.replacing("/", with: "-"))",
      ]
      return request.header("if-none-match") == tag
        ? Reply(304, fields) : Reply(200, fields, "version \(version)")
    }
  }

  private func start(
    _ pop: String, origin: UInt16, engine: UInt16, region: String = "eu", more: String = "",
    directory: TemporaryDirectory? = nil
  ) throws -> TestNode {
    try TestNode.start(
      origin: origin,
      top: """
        fleet shop { server 127.0.0.1:\(engine); pop \(pop); region \(region); \(more) }
        """, workers: 1, directory: directory, clock: NodeClock())
  }

  private func text(_ node: TestNode) -> String {
    node.figures
  }

  private func inStep(_ node: TestNode) async throws {
    try await eventually("in step") {
      text(node).contains("\nweir_fleet_in_step 1\n")
    }
  }

  private func purge(_ node: TestNode, _ order: String) async throws -> JSONValue {
    let response = try await node.admin(
      "POST", "/v1/purge", json: "{\(order), \"wait\": \"all\", \"timeout_ms\": 60000}")
    #expect(response.status == 200, "\(response.text)")
    return try response.json()
  }

  @Test(arguments: [
    "\"tag\": \"all-a\"", "\"url\": \"http://example.com/a\"", "\"host\": \"example.com\"",
    "\"prefix\": \"//example.com/a\"", "\"wildcard\": \"//example.com/*\"",
    "\"where\": \"url == \\\"http://example.com/a\\\"\"",
    "\"everything\": true", "\"everything\": true, \"soft\": true",
    "\"tag\": \"all-a\", \"soft\": true",
  ])
  func `every kind of purge reaches the other PoPs`(order: String) async throws {
    let engine = try RedisProcess()
    let seen = Watched(["/a": 1])
    let origin = try await versions(seen)
    let one = try start("one", origin: origin.port, engine: engine.port)
    let two = try start("two", origin: origin.port, engine: engine.port)
    for node in [one, two] {
      try await inStep(node)
      #expect(try await node.get("/a").text == "version 1")
      try await node.settle()
      #expect(try await node.get("/a").isHit)
    }
    seen.update { $0["/a"] = 2 }
    let answer = try await purge(one, order)
    #expect(answer["fleet"]?["complete"] == .bool(true))
    #expect(answer["fleet"]?["applied"] == .array([.string("one"), .string("two")]))
    for node in [one, two] { #expect(try await node.get("/a").text == "version 2") }
  }

  @Test func `a PURGE request reaches the other PoPs`() async throws {
    let engine = try RedisProcess()
    let seen = Watched(["/a": 1])
    let origin = try await versions(seen)
    func node(_ pop: String) throws -> TestNode {
      try TestNode.start(
        configuration: """
          workers 1;
          listen 127.0.0.1:0;
          \(TestNode.adminBlock)
          store ./store { }
          fleet shop { server 127.0.0.1:\(engine.port); pop \(pop); }
          origin app { server 127.0.0.1:\(origin.port); }
          site example.com { purge on; route / { origin app; } }
          """, directory: TemporaryDirectory(), clock: NodeClock())
    }
    let (one, two) = try (node("one"), node("two"))
    for node in [one, two] {
      try await inStep(node)
      #expect(try await node.get("/a").text == "version 1")
      try await node.settle()
    }
    seen.update { $0["/a"] = 2 }
    let client = try await one.connect()
    let token = "Authorization: Bearer \(TestNode.token)"
    #expect(try await client.request("PURGE", "/a", [token]).status == 200)
    try await eventually("it is applied") {
      text(two).contains("\nweir_fleet_purges_applied_total 1\n")
    }
    #expect(try await two.get("/a").text == "version 2")
  }

  @Test func `a PoP that was killed catches up before it serves what is stored`() async throws {
    let engine = try RedisProcess()
    let relay = try Relay(to: engine.port)
    let seen = Watched(["/a": 1, "/b": 1])
    let origin = try await versions(seen)
    let one = try start("one", origin: origin.port, engine: engine.port)
    var two = try start("two", origin: origin.port, engine: relay.port)
    try await inStep(one)
    try await inStep(two)
    for path in ["/a", "/b"] { _ = try await two.get(path) }
    try await two.settle()
    two.stop()
    seen.update { $0["/a"] = 2 }
    let response = try await one.purge("all-a")
    #expect(response.status == 200)
    // It begins without an engine: nothing stored is served that the origin has not said to be good.
    relay.cut()
    two = try start(
      "two", origin: origin.port, engine: relay.port, directory: two.directory)
    #expect(try await two.get("/a").text == "version 2")
    let validated = try await two.get("/b")
    #expect(validated.text == "version 1")
    #expect(!validated.isHit)
    relay.mend()
    try await inStep(two)
    try await two.settle()
    #expect(try await two.get("/a").text == "version 2")
    #expect(try await two.get("/b").isHit)
  }

  @Test(arguments: [("revalidate", false), ("bypass", false), ("serve", true)])
  func `a PoP that is cut off for too long serves what it is told`(
    mode: String, isHit: Bool
  ) async throws {
    let engine = try RedisProcess()
    let relay = try Relay(to: engine.port)
    let seen = Watched(["/a": 1])
    let origin = try await versions(seen)
    let node = try start(
      "one", origin: origin.port, engine: relay.port, more: "max_lag 1s; when_behind \(mode);")
    try await inStep(node)
    _ = try await node.get("/a")
    try await node.settle()
    try await eventually("a hit") { try await node.get("/a").isHit }
    relay.cut()
    try await eventually("\(mode)") {
      try await node.admin("GET", "/v1/fleet").json()["mode"] == .string(mode)
    }
    if mode == "serve" {
      try await eventually("out of step") {
        text(node).contains("\nweir_fleet_in_step 0\n")
      }
    }
    #expect(try await node.get("/a").isHit == isHit)
    relay.mend()
    // A second on a busy machine: it may be behind once more meanwhile.
    try await eventually("a hit again") { try await node.get("/a").isHit }
  }

  @Test func `what a PoP holds back is not served where the origin fails`() async throws {
    let engine = try RedisProcess()
    let relay = try Relay(to: engine.port)
    let isBroken = Watched(false)
    let origin = try await ScriptedOrigin.answering { _ in
      isBroken.value
        ? Reply(503, [], "broken")
        : Reply(200, ["Cache-Control: max-age=600, stale-if-error=600", "ETag: \"1\""], "stored")
    }
    let node = try start(
      "one", origin: origin.port, engine: relay.port, more: "max_lag 1s; when_behind revalidate;")
    try await inStep(node)
    _ = try await node.get("/a")
    try await node.settle()
    #expect(try await node.get("/a").isHit)
    relay.cut()
    try await eventually("it is behind") {
      try await node.admin("GET", "/v1/fleet").json()["mode"] == .string("revalidate")
    }
    isBroken.update { $0 = true }
    for _ in 0..<2 {
      let answer = try await node.get("/a")
      #expect(answer.status == 503 && answer.text != "stored")
    }
    relay.mend()
    try await inStep(node)
    try await node.settle()
    #expect(try await node.get("/a").text == "stored")
  }

  @Test(arguments: [true, false])
  func `when all that is stored has become stale, validations take turns`(isLoss: Bool) async throws
  {
    let engine = try RedisProcess()
    let origin = try await ScriptedOrigin.answering { request in
      let more = request.target.hasPrefix("/patient") ? ", stale-if-error=600" : ""
      let fields = ["Cache-Control: max-age=600\(more)", "ETag: \"1\""]
      return request.header("if-none-match") == nil
        ? Reply(200, fields, request.target) : Reply(304, fields)
    }
    // The first turn is at once, the second one in an hour: longer than anybody waits.
    let node = try TestNode.start(
      origin: origin.port,
      top: "fleet shop { server 127.0.0.1:\(engine.port); pop one; validation_rate 1/h; }",
      pool: "max_misses 100 timeout=1ms;", workers: 1, clock: NodeClock())
    try await inStep(node)
    let paths = ["/a", "/b", "/patient"]
    for path in paths {
      #expect(try await node.get(path).text == path)
      try await node.settle()
      #expect(try await node.get(path).isHit)
    }
    if isLoss {
      engine.kill()
      engine.forget()
      try engine.start()
      try await eventually("the loss") {
        text(node).contains("weir_fleet_losses_total{reason=\"replaced\"} 1\n")
      }
      try await inStep(node)
    } else {
      _ = try await purge(node, "\"everything\": true, \"soft\": true")
    }
    let asked = origin.requests.count
    let first = try await node.get("/a")
    #expect(first.status == 200 && !first.isHit)
    try await node.settle()
    #expect(try await node.get("/a").isHit)
    // Who does not get a turn is told to come again, or gets what is stale where it permits that.
    let refused = try await node.get("/b")
    #expect(refused.status == 503 && refused.header("Retry-After") != nil)
    #expect(try await node.get("/patient").text == "/patient")
    // What was not stored does not take turns.
    #expect(try await node.get("/new").text == "/new")
    #expect(origin.requests.dropFirst(asked).map(\.target) == ["/a", "/new"])
    #expect(node.count(.validationsDelayed) == 1)
    try await node.expectAtRest()
  }

  @Test func `after a loss, all that is asked for is validated in the end`() async throws {
    let engine = try RedisProcess()
    let seen = Watched<[String: Int]>([:])
    let origin = try await versions(seen)
    let node = try start(
      "one", origin: origin.port, engine: engine.port, more: "validation_rate 40/s;")
    try await inStep(node)
    let paths = (0..<20).map { "/\($0)" }
    for path in paths { #expect(try await node.get(path).text == "version 1") }
    try await node.settle()
    engine.kill()
    engine.forget()
    seen.update { $0 = ["/3": 2, "/7": 2] }
    try engine.start()
    try await eventually("the loss") {
      text(node).contains("weir_fleet_losses_total{reason=\"replaced\"} 1\n")
    }
    try await inStep(node)
    try await withThrowingTaskGroup { group in
      for path in paths {
        group.addTask {
          let version = path == "/3" || path == "/7" ? 2 : 1
          let answer = try await node.get(path)
          #expect(answer.text == "version \(version)")
        }
      }
      try await group.waitForAll()
    }
    #expect(node.count(.validationsDelayed) == 20)
    try await node.expectAtRest()
  }

  @Test func `who there is, is told`() async throws {
    let engine = try RedisProcess()
    let origin = try await versions(Watched([:]))
    let one = try start("one", origin: origin.port, engine: engine.port)
    let two = try start("two", origin: origin.port, engine: engine.port, region: "us")
    try await inStep(one)
    try await inStep(two)
    try await eventually("both are there") {
      let list = try await one.admin("GET", "/v1/fleet").json()["pops"]
      guard case .array(let pops)? = list else { return false }
      return pops.map { $0["name"] } == [.string("one"), .string("two")]
        && pops.allSatisfy { $0["state"] == .string("in_step") && $0["lag_ms"] == .number(0) }
    }
  }

  @Test func `a node without a fleet says so`() async throws {
    let origin = try await versions(Watched([:]))
    let node = try TestNode.start(origin: origin.port)
    let response = try await node.admin("GET", "/v1/fleet")
    #expect(response.status == 404)
    #expect(response.text.contains("no_fleet"))
    let refused = try await node.admin(
      "POST", "/v1/purge", json: "{\"tag\": \"a\", \"wait\": \"all\"}")
    #expect(refused.text.contains("no_fleet"))
  }
}
