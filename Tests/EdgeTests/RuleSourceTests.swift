import Authentication
import Cryptography
import EdgeTesting
import Testing

/// Keys that rules make: whose content they name.
@Suite struct RuleSourceTests {
  /// An origin that says its name, in a response that may be stored.
  private static func named(_ name: String) async throws -> ScriptedOrigin {
    try await ScriptedOrigin.answering { request in
      Reply(200, ["Cache-Control: max-age=60"], "\(name) \(request.target)")
    }
  }

  /// A node with two origins, `a` and `b`, and the given routes.
  private static func node(
    _ a: ScriptedOrigin, _ b: ScriptedOrigin, top: String = "", directory: TemporaryDirectory,
    routes: String
  ) throws -> TestNode {
    try TestNode.start(
      configuration: """
        workers 2;
        listen 127.0.0.1:0;
        store ./store { }
        \(top)
        origin a { server 127.0.0.1:\(a.port); }
        origin b { server 127.0.0.1:\(b.port); }
        site * { \(routes) }
        """, directory: directory)
  }

  @Test func `what a rewritten path gets of one origin is not what another route's gets`()
    async throws
  {
    let (a, b) = (try await Self.named("a"), try await Self.named("b"))
    let issuer = try Issuer(.es256)
    let directory = try TemporaryDirectory()
    try directory.write("keys.json", Issuer.set(issuer))
    let node = try Self.node(
      a, b, top: "jwt main { keys ./keys.json; algorithms ES256; }", directory: directory,
      routes: """
        route /private/ {
          auth jwt main shared; origin a; rewrite path strip_prefix(path, "/private");
        }
        route / { origin b; }
        """)
    let token = "Authorization: Bearer \(try issuer.token())"
    for _ in 0..<2 {
      #expect(try await node.get("/private/report", token).text == "a /report")
      try await node.settle()
      #expect(try await node.get("/report").text == "b /report")
      try await node.settle()
    }
    #expect(a.requests.count == 1 && b.requests.count == 1, "each is stored once")
    #expect(try await node.get("/private/report").status == 401)
    try await node.expectAtRest()
  }

  @Test func `a gate keeps what it lets in apart, though the origin is the same`() async throws {
    let (a, b) = (try await Self.named("a"), try await Self.named("b"))
    let made = try #require(try APIKeyLine.make(name: "shop", attributes: ""))
    let directory = try TemporaryDirectory()
    try directory.write("keys", made.line + "\n")
    let node = try Self.node(
      a, b, directory: directory,
      routes: """
        route /in/ {
          auth api_keys ./keys shared; origin a; rewrite path strip_prefix(path, "/in");
        }
        route /keyed/ { auth api_keys ./keys shared; origin a; cache key "one"; }
        route /open/ { origin a; cache key "one"; }
        route / { origin a; }
        """)
    let key = "X-API-Key: \(made.key)"
    for (target, text) in [("/in/x", "a /x"), ("/keyed/x", "a /keyed/x")] {
      #expect(try await node.get(target, key).text == text)
      try await node.settle()
    }
    #expect(try await node.get("/x").text == "a /x" && a.requests.count == 3)
    #expect(try await node.get("/open/x").text == "a /open/x" && a.requests.count == 4)
    try await node.expectAtRest()
  }

  @Test func `a rule's key and a rule's origin name what that origin has`() async throws {
    let (a, b) = (try await Self.named("a"), try await Self.named("b"))
    let node = try Self.node(
      a, b, directory: try TemporaryDirectory(),
      routes: """
        route /one { origin a; cache key "item"; }
        route /two { origin b; cache key "item"; }
        route / {
          origin a;
          when exists(query.b) { origin b; rewrite query ""; }
          when starts_with(path, "/b/") { origin b; }
          when starts_with(path, "/a/") { rewrite path replace_prefix(path, "/a/", "/b/"); }
        }
        """)
    for _ in 0..<2 {
      for (target, text) in [
        ("/one", "a /one"), ("/two", "b /two"), ("/x", "a /x"), ("/x?b", "b /x"),
        ("/b/x", "b /b/x"), ("/a/x", "a /b/x"),
      ] {
        #expect(try await node.get(target).text == text)
        try await node.settle()
      }
    }
    #expect(a.requests.count == 3 && b.requests.count == 3, "each is stored once")
    try await node.expectAtRest()
  }

  @Test func `paths that are rewritten into each other within an origin share`() async throws {
    let (a, b) = (try await Self.named("a"), try await Self.named("b"))
    let node = try Self.node(
      a, b, directory: try TemporaryDirectory(),
      routes: """
        route /old/ { origin a; rewrite path replace_prefix(path, "/old/", "/new/"); }
        route /new/ { origin a; }
        """)
    #expect(try await node.get("/old/x").text == "a /new/x")
    try await node.settle()
    #expect(try await node.get("/new/x").isHit)
    try await node.expectAtRest()
  }
}
