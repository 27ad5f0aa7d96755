import EdgeTesting
import Metrics
import Testing

/// Requests that the node answers by itself: the origin sees none of them.
@Suite struct OwnAnswersTests {
  @Test func `OPTIONS for the server, or with no hop left, is answered here`() async throws {
    let origin = try await ScriptedOrigin.answering { request in
      // RFC 9110 §7.6.2: one hop fewer.
      #expect(request.header("max-forwards") == "4")
      return Reply(200, [], "theirs")
    }
    let node = try TestNode.forwarding(to: origin)
    let client = try await node.connect()
    for (target, fields) in [("*", []), ("/x", ["Max-Forwards: 0"])] {
      let response = try await client.request("OPTIONS", target, fields)
      #expect(response.status == 204)
      #expect(response.header("allow")?.contains("GET") == true)
    }
    #expect(origin.requests.isEmpty)
    let passed = try await client.request("OPTIONS", "/x", ["Max-Forwards: 5"])
    #expect(passed.text == "theirs")
  }

  @Test(arguments: [
    "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
  ])
  func `TRACE and CONNECT are refused`(request: String) async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply() }
    let node = try TestNode.forwarding(to: origin)
    let client = try await node.connect()
    let response = try await client.ask(request)
    #expect(response.status == 405)
    #expect(response.header("allow")?.contains("GET") == true)
    try await client.expectClosed()
    #expect(origin.accepted == 0)
  }

  @Test(
    arguments: [
      "/../x", "/a/../b", "/a/./b", "/..", "/a/..", "/a/.", "/%2e%2e/x", "/a/%2E./x", "/.%2e",
      "/%2E",
    ])
  func `a path with dot segments is refused`(target: String) async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply() }
    let node = try TestNode.forwarding(to: origin)
    let client = try await node.connect()
    #expect(try await client.get(target).status == 400)
    try await client.expectClosed()
    #expect(origin.accepted == 0)
  }

  @Test(arguments: ["/...", "/.a", "/a..", "/a/.well-known/b", "/%2ea", "/x?a=/../b"])
  func `a path that only looks like dot segments is passed on`(target: String) async throws {
    let origin = try await ScriptedOrigin.answering { Reply(200, [], $0.target) }
    let node = try TestNode.forwarding(to: origin)
    #expect(try await node.get(target).text == target)
  }

  @Test func `the longest route of the host's site takes a request, and no route means 404`()
    async throws
  {
    let origin = try await ScriptedOrigin.answering { Reply(200, [], $0.target) }
    let node = try TestNode.start(
      configuration: """
        workers 1; listen 127.0.0.1:0; drain_timeout 0s;
        origin app 127.0.0.1:\(origin.port);
        site example.com *.example.net { route /a/ { origin app; } route = /b { origin app; } }
        """, directory: TemporaryDirectory())
    let table = [
      ("example.com", "/a/x", 200), ("EXAMPLE.com:8080", "/a/", 200), ("example.com", "/b", 200),
      ("www.example.net", "/b", 200), ("example.com", "/b/", 404), ("example.com", "/a", 404),
      ("example.com", "/", 404), ("example.net", "/a/", 404), ("other.org", "/a/", 404),
    ]
    for (host, target, status) in table {
      let client = try await node.connect()
      let response = try await client.get(target, host: host)
      #expect(response.status == status, "\(host)\(target)")
      if status == 404 { #expect(response.header("cache-control") == "no-store") }
    }
    #expect(origin.requests.count == 4)
  }
}
