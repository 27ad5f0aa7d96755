import EdgeTesting
import EventLoop
import RedisTesting
import Testing

/// Orders to warm that a fleet of nodes carries out, with a real engine.
@Suite(
  .enabled(if: RedisProcess.isInstalled, "redis-server is not installed"), .serialized)
struct FleetWarmTests {
  private func origin(_ version: Watched<Int> = Watched(1)) async throws -> ScriptedOrigin {
    try await ScriptedOrigin.answering { request in
      guard request.target != "/none" else { return Reply(404, [], "none") }
      return Reply(
        200, ["Cache-Control: max-age=600", "Surrogate-Key: all"],
        "version \(version.value) of \(request.target)")
    }
  }

  private func start(
    _ pop: String, origin: UInt16, engine: UInt16, region: String = "eu", hosts: String = "*",
    directory: TemporaryDirectory? = nil
  ) throws -> TestNode {
    try TestNode.start(
      configuration: """
        workers 1;
        listen 127.0.0.1:0;
        \(TestNode.adminBlock)
        store ./store { }
        fleet shop { server 127.0.0.1:\(engine); pop \(pop); region \(region); }
        origin app { server 127.0.0.1:\(origin); }
        site \(hosts) { route / { origin app; } }
        """, directory: directory ?? TemporaryDirectory(), clock: NodeClock())
  }

  private func inStep(_ nodes: TestNode...) async throws {
    for node in nodes {
      try await eventually("in step") { node.figures.contains("\nweir_fleet_in_step 1\n") }
    }
  }

  /// Gives an order; its name in the fleet.
  private func warm(_ node: TestNode, _ order: String) async throws -> String {
    let answer = try await node.admin("POST", "/v1/warm", json: "{\(order), \"rate\": 1000}")
    #expect(answer.status == 202, "\(answer.text)")
    let name = try #require(try answer.json()["order"]?.string)
    #expect(answer.header("location") == "/v1/warm/\(name)")
    return name
  }

  private func report(_ node: TestNode, _ name: String) async throws -> JSONValue {
    try await node.admin("GET", "/v1/warm/\(name)").json()
  }

  /// The PoPs of an order by name.
  private func pops(_ report: JSONValue) -> [String: JSONValue] {
    let pops = report["fleet"]?["pops"]?.array ?? []
    return Dictionary(pops.map { ($0["name"]?.string ?? "", $0) }) { first, _ in first }
  }

  /// Waits until PoPs stand so.
  private func expect(
    _ node: TestNode, _ name: String, _ states: [String: String]
  ) async throws -> JSONValue {
    let last = Watched<JSONValue>(.null)
    do {
      try await eventually("\(states)") {
        let report = try await report(node, name)
        last.update { $0 = report }
        return pops(report).mapValues { $0["state"]?.string ?? "" } == states
      }
    } catch {
      Issue.record("\(error): \(last.value)")
    }
    return last.value
  }

  private static let urls = """
    "urls": ["http://example.com/a", "http://example.com/b", "http://example.com/none"]
    """

  @Test func `every PoP fetches for itself, and each one's figures are told`() async throws {
    let engine = try RedisProcess()
    let origin = try await origin()
    let one = try start("one", origin: origin.port, engine: engine.port)
    let two = try start("two", origin: origin.port, engine: engine.port)
    let three = try start("three", origin: origin.port, engine: engine.port, region: "us")
    try await inStep(one, two, three)
    _ = try await two.get("/a")
    try await two.settle()
    let name = try await warm(one, "\(Self.urls), \"fleet\": true, \"timeout_ms\": 60000")
    let report = try await expect(one, name, ["one": "done", "two": "done", "three": "done"])
    #expect(report["fleet"]?["complete"] == .bool(true))
    #expect(report["fleet"]?["told"] == .bool(true) && report["fleet"]?["heard"] == .bool(true))
    let pops = pops(report)
    for (pop, hits) in [("one", 0), ("two", 1), ("three", 0)] {
      #expect(pops[pop]?["urls"]?.int == 3 && pops[pop]?["done"]?.int == 3, "\(pop)")
      #expect(pops[pop]?["hits"]?.int == hits && pops[pop]?["fetched"]?.int == 2 - hits, "\(pop)")
      #expect(pops[pop]?["failed"]?.int == 1, "\(pop)")
      #expect(pops[pop]?["failure"]?.string?.hasSuffix("/none: status 404") == true, "\(pop)")
    }
    #expect(pops["three"]?["region"] == .string("us"))
    for node in [one, two, three] {
      try await node.settle()
      for target in ["/a", "/b"] { #expect(try await node.get(target).isHit) }
    }
    // Each PoP knows it by its name, and whose it is.
    let there = try await self.report(three, name)
    #expect(there["who"] == .string("one/token") && there["fleet"]?["complete"] == .bool(true))
    #expect(try await three.admin("GET", "/v1/warm/1").json()["order"] == .string(name))
  }

  @Test func `what was purged before is fetched anew, at every PoP`() async throws {
    let engine = try RedisProcess()
    let version = Watched(1)
    let origin = try await origin(version)
    let one = try start("one", origin: origin.port, engine: engine.port)
    let two = try start("two", origin: origin.port, engine: engine.port)
    try await inStep(one, two)
    for round in 1...3 {
      version.update { $0 = round }
      #expect(try await one.purge("all").status == 200)
      let name = try await warm(
        one, "\"urls\": [\"//example.com/a\", \"//example.com/b\"], \"fleet\": \"all\"")
      let report = try await expect(one, name, ["one": "done", "two": "done"])
      #expect(pops(report)["two"]?["fetched"]?.int == 2, "\(report)")
      #expect(try await two.get("/a").text == "version \(round) of /a")
    }
  }

  @Test func `a region's order stays there, and who cannot or may not is named`() async throws {
    let engine = try RedisProcess()
    let origin = try await origin()
    let one = try start("one", origin: origin.port, engine: engine.port)
    let far = try start("far", origin: origin.port, engine: engine.port, region: "us")
    let other = try start(
      "other", origin: origin.port, engine: engine.port, hosts: "other.example")
    try await inStep(one, far, other)
    // A PoP as one of an earlier version says it.
    let later = NodeClock().now().wall + 3_600_000
    try engine.command(
      "HSET", "weir:{shop}:pops", "abc",
      ["1", "old", "eu", "0.1", "0-0", "1", "0", "\(later)"].joined(
        separator: "\n"))
    let name = try await warm(
      one, "\"urls\": [\"//example.com/a\"], \"site\": \"*\", \"fleet\": \"region\"")
    let report = try await expect(
      one, name, ["one": "done", "other": "refused", "old": "unable"])
    #expect(report["fleet"]?["complete"] == .bool(false))
    #expect(pops(report)["other"]?["failure"]?.string?.contains("no site *") == true)
    #expect(try await far.admin("GET", "/v1/warm/\(name)").status == 404)
  }

  @Test func `a PoP that is out is named, and takes the order when it is back`() async throws {
    let engine = try RedisProcess()
    let origin = try await origin()
    let one = try start("one", origin: origin.port, engine: engine.port)
    let two = try start("two", origin: origin.port, engine: engine.port)
    try await inStep(one, two)
    two.stop()
    try await eventually("two is out") {
      let list = try await one.admin("GET", "/v1/fleet").json()["pops"]?.array ?? []
      return list.contains { $0["name"] == .string("two") && $0["state"] == .string("out") }
    }
    let name = try await warm(one, "\(Self.urls), \"fleet\": \"all\", \"timeout_ms\": 1")
    _ = try await expect(one, name, ["one": "done", "two": "out"])
    let back = try start(
      "two", origin: origin.port, engine: engine.port, directory: two.directory)
    let report = try await expect(one, name, ["one": "done", "two": "done"])
    #expect(pops(report)["two"]?["fetched"]?.int == 2)
    try await back.settle()
    #expect(try await back.get("/a").isHit)
  }

  @Test func `an order is ended at all PoPs by any of them`() async throws {
    let engine = try RedisProcess()
    let origin = try await origin()
    let one = try start("one", origin: origin.port, engine: engine.port)
    let two = try start("two", origin: origin.port, engine: engine.port)
    try await inStep(one, two)
    let urls = (0..<1_000).map { "\"//example.com/\($0)\"" }.joined(separator: ",")
    let answer = try await one.admin(
      "POST", "/v1/warm",
      json: "{\"urls\": [\(urls)], \"rate\": 1, \"fleet\": true, \"timeout_ms\": 60000}")
    #expect(answer.status == 202)
    let name = try #require(try answer.json()["order"]?.string)
    try await eventually("two has it") {
      try await two.admin("GET", "/v1/warm/\(name)").status == 200
    }
    let ended = try await two.admin("DELETE", "/v1/warm/\(name)")
    #expect(try ended.json()["state"] == .string("cancelled"))
    _ = try await expect(one, name, ["one": "cancelled", "two": "cancelled"])
  }

  @Test func `an answer without an end is given up when its order is ended`() async throws {
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      try await connection.write(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
      while true {
        try await connection.write("2\r\n:\n\r\n")
        try await Task.sleep(for: .milliseconds(5))
      }
    }
    let node = try TestNode.start(origin: origin.port, clock: NodeClock())
    let answer = try await node.admin(
      "POST", "/v1/warm", json: #"{"urls": ["http://example.com/events"]}"#)
    #expect(answer.status == 202, "\(answer.text)")
    try await eventually("it is asked for") { !origin.requests.isEmpty }
    #expect(try await node.admin("DELETE", "/v1/warm/1").status == 200)
    try await eventually("it is given up") {
      try await node.admin("GET", "/v1/warm/1").json()["failed"]?.int == 1
    }
  }

  @Test func `without an engine the PoP itself is warmed, and says that it knows no more`()
    async throws
  {
    let engine = try RedisProcess()
    let origin = try await origin()
    let one = try start("one", origin: origin.port, engine: engine.port)
    try await inStep(one)
    engine.kill()
    let name = try await warm(one, "\(Self.urls), \"fleet\": true, \"timeout_ms\": 1")
    let report = try await expect(one, name, ["one": "done"])
    #expect(report["fleet"]?["told"] == .bool(false))
    #expect(report["fleet"]?["heard"] == .bool(false))
    #expect(report["fleet"]?["complete"] == .bool(false))
  }

  @Test(arguments: [
    #""fleet": "everywhere""#, #""fleet": 1"#, #""timeout_ms": 0"#, #""timeout_ms": 60001"#,
  ])
  func `what is no order for a fleet is refused`(_ member: String) async throws {
    let origin = try await origin()
    let node = try TestNode.start(origin: origin.port)
    let wrong = try await node.admin("POST", "/v1/warm", json: "{\(Self.urls), \(member)}")
    #expect(try wrong.json()["code"]?.string == "invalid_warm")
    let alone = try await node.admin(
      "POST", "/v1/warm", json: "{\(Self.urls), \"fleet\": true}")
    #expect(try alone.json()["code"]?.string == "no_fleet")
    #expect(origin.requests.isEmpty)
  }
}
