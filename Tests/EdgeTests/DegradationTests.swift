import EdgeTesting
import Metrics
import Node
import Testing

/// What clients get where no server can answer: stale, another origin, an answer of rules, a page.
@Suite struct DegradationTests {
  @Test func `rules answer where no server can`() async throws {
    let node = try broken(
      """
      degrade {
        when path == "/moved" { redirect 302 "https://status.example/"; }
        respond 503 "Back soon: ${path}" { retry-after "30"; }
      }
      """)
    let answer = try await node.get("/shop")
    #expect(answer.status == 503 && answer.text == "Back soon: /shop")
    #expect(answer.header("Retry-After") == "30")
    #expect(answer.header("Proxy-Status") == "weir; error=connection_refused")
    let redirect = try await node.get("/moved")
    #expect(redirect.status == 302 && redirect.header("Location") == "https://status.example/")
  }

  @Test func `another origin answers in its place, and that is not stored`() async throws {
    let other = try await ScriptedOrigin.answering { request in
      Reply(200, ["Cache-Control: max-age=60"], "instead of \(request.target)")
    }
    let node = try node(
      origins: "origin app { server 127.0.0.1:1; } origin other 127.0.0.1:\(other.port);",
      site: "origin app; degrade { origin other; }")
    for number in 1...3 {
      let answer = try await node.get("/a")
      #expect(answer.status == 200 && answer.text == "instead of /a")
      #expect(other.requests.count == number)
    }
    // What a client sends cannot be sent twice.
    let client = try await node.connect()
    #expect(try await client.request("POST", "/", body: "x").status == 502)
    client.close()
    #expect(other.requests.count == 3)
    try await node.expectNothingLeft()
  }

  @Test func `where the other origin fails too there is a page`() async throws {
    let node = try node(
      origins: "origin app { server 127.0.0.1:1; } origin other { server 127.0.0.1:1; }",
      site: """
        origin app; degrade { when path == "/a" { origin other; } }
        error_page 5xx text "<h1>{status}</h1>";
        """)
    for path in ["/a", "/b"] {
      let answer = try await node.get(path)
      #expect(answer.status == 502 && answer.text == "<h1>502</h1>")
      #expect(answer.header("Content-Type") == "text/html; charset=utf-8")
    }
  }

  @Test func `what is stored is better than rules and pages`() async throws {
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      try await connection.write(
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=1, stale-if-error=60\r\nContent-Length: 3\r\n\r\nold"
      )
    }
    let node = try TestNode.start(
      origin: origin.port,
      route: "degrade { respond 503 \"rules\"; } error_page 5xx text \"page\";",
      workers: 1)
    #expect(try await node.get("/").text == "old")
    try await node.settle()
    await origin.stop()
    node.advance(seconds: 10)
    #expect(try await node.get("/").text == "old")
    node.advance(seconds: 100)
    #expect(try await node.get("/").text == "rules")
  }

  @Test func `a page names the request, and so does the log`() async throws {
    let directory = try TemporaryDirectory()
    try directory.write("sorry.html", "<p>{status}: {request_id} {other} {request_id}</p>")
    let node = try node(
      origins: "origin app { server 127.0.0.1:1; }",
      site: """
        origin app;
        error_page 502 503 504 ./sorry.html;
        route / { error_page 404 text "none"; } route /own { error_page 502 text "own"; }
        """, directory: directory)
    let given = try await node.get("/", "X-Request-Id: abc-123")
    #expect(given.text == "<p>502: abc-123 {other} abc-123</p>")
    #expect(given.header("X-Request-Id") == "abc-123")
    #expect(given.header("Content-Type") == "text/html; charset=utf-8")
    #expect(given.header("Cache-Control") == "no-store")
    #expect(given.header("Proxy-Status") == "weir; error=connection_refused")
    // What could not stand in a page as it is, is not taken.
    let made = try await node.get("/", "X-Request-Id: <script>")
    let identifier = try #require(made.header("X-Request-Id"))
    #expect(identifier.allSatisfy { $0.isHexDigit } && identifier.count > 16)
    #expect(made.text == "<p>502: \(identifier) {other} \(identifier)</p>")
    let own = try await node.get("/own")
    #expect(own.text == "own" && own.header("Content-Type") == "text/plain; charset=utf-8")
    let head = try await node.connect()
    let answer = try await head.request("HEAD", "/own")
    #expect(answer.status == 502 && answer.header("Content-Length") == "3" && answer.body.isEmpty)
    head.close()
    let lines = try node.log()
    #expect(lines.compactMap { $0["request_id"]?.string } == ["abc-123", identifier])
  }

  @Test func `a page stands for other errors of the node's own, and never for an origin's`()
    async throws
  {
    let origin = try await ScriptedOrigin.answering { _ in Reply(503, [], "the origin's") }
    let node = try TestNode.forwarding(
      to: origin, route: "max_body 4; error_page 4xx 5xx text \"page\";", workers: 1)
    #expect(try await node.get("/").text == "the origin's")
    let client = try await node.connect()
    let large = try await client.request("POST", "/", body: "12345")
    #expect(large.status == 413 && large.text == "page")
    client.close()
  }

  @Test func `where nothing is left there is a 503 that says when to come again`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply() }
    let node = try TestNode.forwarding(to: origin, workers: 1)
    let server = "/v1/origins/app/servers/127.0.0.1:\(origin.port)"
    #expect(try await node.admin("POST", server, json: #"{"action": "disable"}"#).status == 200)
    let answer = try await node.get("/")
    #expect(answer.status == 503 && answer.header("Retry-After") == "1")
    #expect(answer.header("Proxy-Status") == "weir; error=destination_unavailable")
  }

  private func broken(_ route: String) throws -> TestNode {
    try node(
      origins: "origin app { server 127.0.0.1:1; }", site: "origin app; route / { \(route) }")
  }

  private func node(
    origins: String, site: String, directory: TemporaryDirectory? = nil
  ) throws -> TestNode {
    try TestNode.start(
      configuration: """
        workers 1; listen 127.0.0.1:0; admin 127.0.0.1:0 { token "a-token-for-the-tests"; }
        access_log ./access.log; store ./store;
        \(origins)
        site * { \(site) }
        """, directory: directory ?? TemporaryDirectory())
  }
}
