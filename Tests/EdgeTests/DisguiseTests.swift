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

  @Test(arguments: ["/a/../b", "/./b", "/a/..", "/%2e%2E/b", "/a/.%2e/b"])
  func `a path with dot segments is refused`(target: String) async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "in") }
    let node = try TestNode.start(origin: origin.port, store: nil)
    #expect(try await node.get(target).status == 400)
    #expect(origin.requests.isEmpty)
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
