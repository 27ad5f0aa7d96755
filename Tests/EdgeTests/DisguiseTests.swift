import EdgeTesting
import Testing

/// Requests that say one thing to the node and another to the origin.
@Suite struct DisguiseTests {
  @Test(arguments: ["/login", "/%6cogin", "//login", "/%6C%6f%67in", "/login?x"])
  func `a route's limit holds for every spelling of its path`(target: String) async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "in") }
    let node = try TestNode.start(
      configuration: """
        listen 127.0.0.1:0;
        origin app 127.0.0.1:\(origin.port);
        limit once { token_bucket 1/h burst=1; key client.ip; }
        site * { origin app; route / { } route /login { limit once; } }
        """, directory: try TemporaryDirectory())
    #expect(try await node.get("/login").status == 200)
    #expect(try await node.get(target).status == 429)
    #expect(try await node.get("/other").status == 200)
  }

  @Test(arguments: [
    "/a/../b", "/./b", "/a/..", "/%2e%2E/b", "/a/.%2e/b", "/x/..%2fadmin/secret", "/x%2F..%2Fadmin",
    "/x/..\\admin", "/x\\..\\admin", "/x/%2e.%5Cadmin", "/x/..;/admin", "/x/..;a=b/admin",
    "/x/..%3b/a",
    "/..%2f", "/a;b/..", "/.;",
  ])
  func `a path with dot segments is refused`(target: String) async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "in") }
    let node = try TestNode.start(origin: origin.port, store: nil)
    #expect(try await node.get(target).status == 400)
    #expect(origin.requests.isEmpty)
  }

  @Test(arguments: [
    ("/admin/a", 403), ("/admin%2Fa", 403), ("/admin%2fa", 403), ("/admin\\a", 403),
    ("/%61dmin%5Ca", 403), ("/x%2F%2Fa", 200), ("/a..b;c", 200), ("/admin;x", 200), ("/a;x/b", 200),
    ("/x/a%2Fb;c", 200), ("/...%2Fa", 200),
  ])
  func `an encoded slash is a slash where routes are chosen, and goes on as it came`(
    target: String, status: Int
  ) async throws {
    let origin = try await ScriptedOrigin.answering { Reply(200, [], $0.target) }
    let node = try TestNode.start(
      configuration: """
        listen 127.0.0.1:0;
        origin app 127.0.0.1:\(origin.port);
        site * { origin app; route / { when starts_with(path, "/admin/") { respond 403; } } }
        """, directory: try TemporaryDirectory())
    let response = try await node.get(target)
    #expect(response.status == status && (status == 403 || response.text == target))
  }

  @Test(arguments: [
    ("/admin/a", 403), ("/admin%2Fa", 400), ("/admin\\a", 400), ("/admin;x/a", 400),
    ("/admin/a;x", 403), ("/admin/a%2Fb", 403), ("/a;x/b", 200), ("/a%2Fb", 200), ("/one;x", 400),
    ("/one", 403),
  ])
  func `a path that leads to one route or another, as it is read, is refused`(
    target: String, status: Int
  ) async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "in") }
    let node = try TestNode.start(
      configuration: """
        listen 127.0.0.1:0;
        origin app 127.0.0.1:\(origin.port);
        site * {
          origin app;
          route / { }
          route /admin/ { deny 127.0.0.0/8; }
          route = /one { deny 127.0.0.0/8; }
        }
        """, directory: try TemporaryDirectory())
    #expect(try await node.get(target).status == status)
    #expect(origin.requests.count == (status == 200 ? 1 : 0))
  }

  @Test func `an upgrade to HTTP 2 is not passed on, even where upgrades are`() async throws {
    let origin = try await ScriptedOrigin.answering { request in
      #expect(request.header("upgrade") == nil)
      return Reply(200, [], "plain")
    }
    let node = try TestNode.start(origin: origin.port, route: "upgrade on;", store: nil)
    let response = try await node.get(
      "/", "Connection: upgrade, http2-settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")
    #expect(response.text == "plain")
    try await origin.finish()
  }

  @Test func `a HEAD that finds a stale response has it validated with a GET`() async throws {
    let origin = try await ScriptedOrigin.answering { request in
      #expect(request.method == "GET")
      return Reply(200, ["Cache-Control: max-age=10, stale-while-revalidate=60"], "whole")
    }
    let node = try TestNode.start(origin: origin.port)
    _ = try await node.get("/a")
    try await node.settle()
    node.advance(seconds: 20)
    #expect(try await node.connect().request("HEAD", "/a").status == 200)
    try await origin.waitForRequests(2)
    try await node.settle()
    #expect(try await node.get("/a").text == "whole")
    try await origin.finish()
  }
}
