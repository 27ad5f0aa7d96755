import EdgeTesting
import EventLoop
import Metrics
import Testing

/// Whose budget a request is taken from, and what limits say.
@Suite struct LimitKeysTests {
  private func node(_ limit: String, route: String = "limit few;") async throws -> (
    TestNode, ScriptedOrigin
  ) {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    return (
      try TestNode.limited(
        "limit few { token_bucket 2/d; \(limit) }", route: route, origin: origin), origin
    )
  }

  @Test func `by a field, else by the address`() async throws {
    let (node, origin) = try await node("key header.X-Api-Key else client.ip;")
    defer { withExtendedLifetime(origin) {} }
    #expect(try await node.statuses(3, "/", "x-api-key: a") == [200, 200, 429])
    #expect(try await node.statuses(3, "/", "X-API-Key: b") == [200, 200, 429])
    #expect(try await node.statuses(3) == [200, 200, 429])
    // Two lines are not one of them.
    let client = try await node.connect()
    #expect(
      try await client.request("GET", "/", ["X-Api-Key: a", "X-Api-Key: b"]).status == 200)
  }

  @Test func `who has no key is not limited`() async throws {
    let (node, origin) = try await node("key cookie.session;")
    defer { withExtendedLifetime(origin) {} }
    #expect(try await node.statuses(3, "/", "Cookie: a=b; session=1; c=d") == [200, 200, 429])
    #expect(try await node.statuses(3, "/", "Cookie: xsession=1") == [200, 200, 200])
  }

  @Test func `by host and route together`() async throws {
    let (node, origin) = try await node("key host route;")
    defer { withExtendedLifetime(origin) {} }
    #expect(try await node.statuses(3) == [200, 200, 429])
    let client = try await node.connect()
    for status in [200, 200, 429] {
      #expect(try await client.request("GET", "/", host: "OTHER.example:80").status == status)
    }
    #expect(try await client.request("GET", "/", host: "other.example").status == 429)
  }

  @Test func `by a prefix of the address, and not those that are exempt`() async throws {
    let (node, origin) = try await node("ipv4_prefix 24; exempt 127.0.1.0/24 127.0.2.1;")
    defer { withExtendedLifetime(origin) {} }
    func ask(_ address: String) async throws -> Int {
      let client = try await RawClient.connect(to: node.port, from: address)
      return try await client.get("/").status
    }
    #expect(try await ask("127.0.0.1") == 200)
    #expect(try await ask("127.0.0.9") == 200)
    #expect(try await ask("127.0.0.200") == 429)
    for _ in 0..<3 {
      #expect(try await ask("127.0.1.77") == 200)
      #expect(try await ask("127.0.2.1") == 200)
    }
    #expect(try await ask("127.0.2.2") == 200)
  }

  @Test func `routes share a budget, or have copies of it`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    let node = try TestNode.start(
      configuration: """
        workers 2; listen 127.0.0.1:0;
        limit one { token_bucket 3/d; }
        limit each { token_bucket 3/d; per route; }
        origin app 127.0.0.1:\(origin.port);
        site * {
          origin app;
          route /a { limit one cost=2; } route /b { limit one; }
          route /c { limit each; } route /d { limit each; }
        }
        """, directory: TemporaryDirectory())
    #expect(try await node.statuses(1, "/a") == [200])
    #expect(try await node.statuses(1, "/a") == [429])
    #expect(try await node.statuses(2, "/b") == [200, 429])
    #expect(try await node.statuses(4, "/c") == [200, 200, 200, 429])
    #expect(try await node.statuses(4, "/d") == [200, 200, 200, 429])
  }

  @Test func `who is refused by one limit pays nothing to another`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in
      Reply(200, ["Cache-Control: max-age=1000"], "x")
    }
    let node = try TestNode.start(
      origin: origin.port, route: "limit all; limit own; limit far;",
      top: """
        limit all { token_bucket 5/d; key host; }
        limit own { token_bucket 2/d; key header.user; headers on; }
        limit far { token_bucket 3/d; key host; on miss; }
        """)
    #expect(try await node.statuses(1, "/1", "User: a") == [200])
    try await node.settle()
    #expect(try await node.statuses(3, "/1", "User: a") == [200, 429, 429])
    // Nothing of those two was taken from the budget of all; two are left of its three.
    #expect(try await node.statuses(1, "/2", "User: b") == [200])
    #expect(try await node.statuses(1, "/3", "User: b") == [200])
    // What is refused on the way to the origin has taken nothing before it either.
    #expect(try await node.statuses(3, "/4", "User: c") == [429, 429, 429])
    let hit = try await node.get("/1", "User: c")
    #expect(hit.isHit)
    #expect(hit.header("ratelimit")?.contains("\"own\";r=1") == true)
    #expect(try await node.statuses(1, "/1", "User: d") == [429])
  }

  @Test func `a limit that only counts lets everything pass`() async throws {
    let (node, origin) = try await node("shadow on;")
    defer { withExtendedLifetime(origin) {} }
    #expect(try await node.statuses(5) == [200, 200, 200, 200, 200])
    #expect(node.decisions("few", "shadowed") == 3)
    #expect(node.decisions("few", "rejected") == 0)
  }

  @Test func `who does not stop is punished`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    let node = try TestNode.limited(
      "limit few { token_bucket 1/s burst=1; penalty 60s after=3 within=10s; }",
      route: "limit few;", origin: origin)
    #expect(try await node.statuses(4) == [200, 429, 429, 429])
    node.advance(seconds: 30)
    let punished = try await node.get("/")
    #expect(punished.status == 429)
    #expect(punished.header("retry-after") == "30")
    node.advance(seconds: 30)
    #expect(try await node.get("/").status == 200)
  }

  @Test func `a refusal says what an operator has chosen`() async throws {
    let (node, origin) = try await node("status 503; body problem; headers on;")
    defer { withExtendedLifetime(origin) {} }
    let passed = try await node.get("/")
    #expect(passed.header("ratelimit-policy") == "\"few\";q=2;w=86400")
    #expect(passed.header("ratelimit") == "\"few\";r=1;t=43200")
    #expect(try await node.get("/").status == 200)
    let refused = try await node.get("/")
    #expect(refused.status == 503)
    #expect(refused.header("retry-after") == "43200")
    #expect(refused.header("ratelimit") == "\"few\";r=0;t=43200")
    #expect(refused.header("content-type") == "application/problem+json")
    let problem = try refused.json()
    #expect(problem["status"]?.int == 503)
    #expect(problem["title"]?.string == "Service Unavailable")
    #expect(problem["limit"]?.string == "few")
    let client = try await node.connect()
    let head = try await client.request("HEAD", "/")
    #expect(head.status == 503 && head.body.isEmpty)
  }

  @Test func `the next new connection of an address is closed at once`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    let node = try TestNode.limited(
      "limit opens { connections 1/s burst=3; exempt 127.0.0.7; }", route: "", origin: origin)
    let client = try await node.connect()
    for _ in 0..<10 { #expect(try await client.get("/").status == 200) }
    #expect(try await node.statuses(2) == [200, 200])
    let refused = try await node.connect()
    _ = try await refused.readToEnding()
    #expect(node.count(.connectionsLimited) == 1)
    let other = try await RawClient.connect(to: node.port, from: "127.0.0.2")
    #expect(try await other.get("/").status == 200)
    for _ in 0..<5 {
      let exempt = try await RawClient.connect(to: node.port, from: "127.0.0.7")
      #expect(try await exempt.get("/").status == 200)
    }
    node.advance(seconds: 1)
    #expect(try await node.get("/").status == 200)
  }

  @Test(arguments: ["header.x-a else header.x-b", "cookie.a else cookie.b"])
  func `the same value of another name is another's`(_ key: String) async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    let node = try TestNode.limited(
      "limit few { token_bucket 2/d; key \(key); }", route: "limit few;", origin: origin)
    let (one, other) =
      key.hasPrefix("header")
      ? ("X-A: secret", "X-B: secret") : ("Cookie: a=secret", "Cookie: b=secret")
    #expect(try await node.statuses(3, "/", one) == [200, 200, 429])
    #expect(try await node.statuses(3, "/", other) == [200, 200, 429])
    // An operator who forgives a value means it wherever it stands.
    let forgiven = try await node.admin("DELETE", "/v1/limits/few/keys/secret")
    #expect(forgiven.status == 200)
    #expect(try await node.statuses(1, "/", one) == [200])
    #expect(try await node.statuses(1, "/", other) == [200])
  }
}
