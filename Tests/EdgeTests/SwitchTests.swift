import Edge
import EdgeTesting
import Metrics
import Node
import Testing

/// What an operator switches over while the node runs, and what load balancers ask.
@Suite struct SwitchTests {
  private static func origin() async throws -> ScriptedOrigin {
    try await ScriptedOrigin.answering { request in
      let control = request.target.hasPrefix("/strict") ? ", must-revalidate" : ""
      return Reply(200, ["Cache-Control: max-age=10\(control)"], "from \(request.target)")
    }
  }

  private func node(
    _ origin: ScriptedOrigin, top: String = "", directory: TemporaryDirectory? = nil,
    clock: TestNode? = nil
  ) throws -> TestNode {
    try TestNode.start(
      configuration: """
        workers 2; listen 127.0.0.1:0; store ./store; access_log ./access.log; \(TestNode.adminBlock)
        \(top)
        origin app 127.0.0.1:\(origin.port);
        site a.example { origin app; route /; route /shop; error_page 503 text "page {status}"; }
        site * { origin app; }
        """, directory: try directory ?? TemporaryDirectory(), clock: clock?.clock)
  }

  private func ask(
    _ node: TestNode, _ target: String, host: String = "b.example", method: String = "GET",
    from: String? = nil
  ) async throws -> PeerResponse {
    let client = try await RawClient.connect(to: node.port, from: from)
    defer { client.close() }
    return try await client.request(method, target, host: host)
  }

  private func turn(_ node: TestNode, _ order: String) async throws {
    let answer = try await node.admin("POST", "/v1/switches", json: order)
    #expect(answer.status == 200, "\(answer.text)")
  }

  @Test func `load balancers are answered for every host, and nobody else sees it`() async throws {
    let origin = try await Self.origin()
    let node = try node(origin, top: "health_paths /live /ready from 127.0.0.1 10.0.0.0/8;")
    let live = try await ask(node, "/live", host: "anything")
    #expect(live.status == 200 && live.text == "ok\n")
    #expect(live.header("Cache-Control") == "no-store")
    #expect(try await ask(node, "/ready").text == "ready\n")
    #expect(try await ask(node, "/ready", method: "HEAD").status == 200)
    #expect(origin.requests.isEmpty)
    #expect(node.count(.healthChecks) == 3)
    // For others they are paths as any; so is what only begins so.
    #expect(try await ask(node, "/ready", from: "127.0.0.9").text == "from /ready")
    #expect(try await ask(node, "/ready/").text == "from /ready/")
    #expect(try node.log().count == 2)
    #expect(node.count(.healthChecks) == 3)
  }

  @Test func `a drained node serves and is not ready, after a restart too`() async throws {
    let origin = try await Self.origin()
    let first = try node(origin, top: "health_paths /live /ready;")
    let answer = try await first.admin("POST", "/v1/drain")
    #expect(answer.text.contains("\"drained\":true") || answer.text.contains("\"drained\": true"))
    #expect(try await ask(first, "/live").status == 200)
    let ready = try await ask(first, "/ready")
    #expect(ready.status == 503 && ready.text == "drained\n")
    #expect(try await first.admin("GET", "/readyz").status == 503)
    #expect(try await ask(first, "/").status == 200)
    first.stop()
    let second = try node(
      origin, top: "health_paths /live /ready;", directory: first.directory, clock: first)
    #expect(try await ask(second, "/ready").status == 503)
    #expect(try await second.admin("GET", "/metrics").text.contains("\nweir_ready 0\n"))
    #expect(try await second.admin("DELETE", "/v1/drain").status == 200)
    #expect(try await ask(second, "/ready").status == 200)
    #expect(try await second.admin("GET", "/readyz").text == "ready\n")
  }

  @Test func `maintenance is for the node, a site or a route`() async throws {
    let origin = try await Self.origin()
    let node = try node(origin)
    try await turn(
      node,
      #"{"switch": "maintenance", "on": true, "route": "a.example/shop", "retry_after": 60, "page": "<p>soon"}"#
    )
    let shop = try await ask(node, "/shop/1", host: "a.example")
    #expect(shop.status == 503 && shop.text.hasPrefix("<p>soon"))
    #expect(shop.header("Retry-After") == "60")
    #expect(shop.header("Content-Type") == "text/html; charset=utf-8")
    #expect(try await ask(node, "/", host: "a.example").status == 200)
    try await turn(node, #"{"switch": "maintenance", "on": true, "site": "A.example"}"#)
    let site = try await ask(node, "/", host: "a.example")
    #expect(site.status == 503 && site.text == "page 503")
    #expect(site.header("Retry-After") == "300")
    #expect(try await ask(node, "/shop", host: "a.example").text.hasPrefix("<p>soon"))
    #expect(try await ask(node, "/").status == 200)
    try await turn(node, #"{"switch": "maintenance", "on": true}"#)
    #expect(try await ask(node, "/").text == "Down for maintenance.\n")
    #expect(node.count(.requestsInMaintenance) == 4)
    let list = try await node.admin("GET", "/v1/status").text
    #expect(list.contains("a.example/shop"))
    for place in [#", "route": "a.example/shop""#, #", "site": "a.example""#, ""] {
      try await turn(node, "{\"switch\": \"maintenance\", \"on\": false\(place)}")
    }
    #expect(try await ask(node, "/shop", host: "a.example").status == 200)
    #expect(node.notes.value.contains { $0.hasPrefix("maintenance on for site a.example") })
  }

  @Test func `from the store alone comes what is fresh and what is stale, and the rest is 504`()
    async throws
  {
    let origin = try await Self.origin()
    let node = try node(origin)
    for path in ["/fresh", "/strict"] { _ = try await ask(node, path) }
    try await node.settle()
    try await turn(node, #"{"switch": "store_only", "on": true}"#)
    #expect(try await ask(node, "/fresh").isHit)
    node.advance(seconds: 100)
    let stale = try await ask(node, "/fresh")
    #expect(stale.status == 200 && stale.text == "from /fresh" && stale.header("Age") == "100")
    #expect(try await ask(node, "/strict").status == 504)
    #expect(try await ask(node, "/new").status == 504)
    let client = try await node.connect()
    #expect(try await client.request("POST", "/fresh", body: "x").status == 504)
    client.close()
    #expect(origin.requests.count == 2)
    #expect(node.count(.requestsWithoutOrigin) == 3)
    try await turn(node, #"{"switch": "store_only", "on": false}"#)
    #expect(try await ask(node, "/new").status == 200)
    #expect(origin.requests.count == 3)
  }

  @Test func `from the store alone: no other origin is asked instead either`() async throws {
    let origin = try await Self.origin()
    let other = try await Self.origin()
    let node = try TestNode.start(
      configuration: """
        workers 1; listen 127.0.0.1:0; store ./store; \(TestNode.adminBlock)
        origin app 127.0.0.1:\(origin.port); origin other 127.0.0.1:\(other.port);
        site * { origin app; degrade { origin other; } }
        """, directory: TemporaryDirectory())
    try await turn(node, #"{"switch": "store_only", "on": true}"#)
    #expect(try await ask(node, "/new").status == 504)
    #expect(origin.requests.isEmpty && other.requests.isEmpty)
  }

  @Test(arguments: [
    "{}", #"{"switch": "drain", "on": true}"#, #"{"switch": "maintenance"}"#,
    #"{"switch": "maintenance", "on": 1}"#,
    #"{"switch": "maintenance", "on": true, "site": "none.example"}"#,
    #"{"switch": "maintenance", "on": true, "route": "a.example/none"}"#,
    #"{"switch": "maintenance", "on": true, "site": "a.example", "route": "a.example/"}"#,
    #"{"switch": "store_only", "on": true, "page": "x"}"#,
    #"{"switch": "maintenance", "on": true, "retry_after": -1}"#,
    #"{"switch": "maintenance", "on": true, "other": 1}"#, "[", "[]",
  ])
  func `an order that is wrong changes nothing`(_ order: String) async throws {
    let origin = try await Self.origin()
    let node = try node(origin)
    #expect(try await node.admin("POST", "/v1/switches", json: order).status == 400)
    #expect(try await ask(node, "/", host: "a.example").status == 200)
  }

  @Test func `cookies that are dropped reach neither key nor origin`() async throws {
    let origin = try await ScriptedOrigin.answering { request in
      Reply(
        200, ["Cache-Control: max-age=60", "Vary: Cookie"], request.header("cookie") ?? "none")
    }
    let node = try TestNode.start(
      configuration: """
        workers 1; listen 127.0.0.1:0; store ./store; \(TestNode.adminBlock)
        origin app 127.0.0.1:\(origin.port);
        site * { origin app; route /; route /static { cookies drop; } }
        """, directory: try TemporaryDirectory())
    #expect(try await node.get("/static", "Cookie: a=1").text == "none")
    try await node.settle()
    for cookie in ["Cookie: a=2", "X: y"] {
      let hit = try await node.get("/static", cookie)
      #expect(hit.isHit && hit.text == "none")
    }
    #expect(try await node.get("/", "Cookie: a=1").text == "a=1")
    #expect(origin.requests.count == 2)
  }

  @Test func `a map of redirects is read anew when it changes`() async throws {
    let origin = try await Self.origin()
    let directory = try TemporaryDirectory()
    try directory.write("moved.txt", "/old /new\n/far https://c.example/x\n")
    try directory.write("plans", "gold 1\n")
    let node = try TestNode.start(
      origin: origin.port,
      route: """
        redirects ./moved.txt 308;
        when !exists(map("./plans", header.plan)) { respond 402; }
        """, directory: directory)
    let moved = try await node.get("/old")
    #expect(moved.status == 308 && moved.header("Location") == "/new")
    #expect(try await node.get("/far").header("Location") == "https://c.example/x")
    #expect(try await node.get("/other").status == 402)
    #expect(try await node.get("/other", "Plan: gold").status == 200)
    try directory.write("moved.txt", "/other /there\n")
    let running = try #require(node.node)
    #expect(running.reloadFiles().map(\.problem) == [nil])
    #expect(try await node.get("/other").header("Location") == "/there")
    #expect(try await node.get("/old").status == 402)
    try directory.write("moved.txt", "/other\n")
    #expect(running.reloadFiles().map(\.problem) == ["line 1: the key has no value behind it"])
    #expect(try await node.get("/other").header("Location") == "/there")
  }
}
