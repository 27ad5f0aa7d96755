import EdgeTesting
import EventLoop
import Metrics
import Testing

/// Routes whose requests a service lets pass.
@Suite struct ServiceTests {
  /// A node, its origin, and a service that lets in whoever has a cookie `session=…` but `bad`.
  private struct Setup {
    let node: TestNode
    let origin: ScriptedOrigin
    let service: ScriptedOrigin
  }

  private static func session(_ request: PeerRequest) -> String? {
    request.header("cookie")?.split(separator: "=").last.map(String.init)
  }

  private func setUp(
    _ settings: String = "", use: String = "", route: String = "", workers: Int = 1,
    reply fields: [String] = ["Cache-Control: max-age=60"], top: String = "",
    pool: String = "", service: (@Sendable (PeerRequest) async throws -> Reply)? = nil
  ) async throws -> Setup {
    let origin = try await ScriptedOrigin.answering { request in
      let user = request.headers("x-user").joined(separator: "|")
      let secret = request.header("authorization") == nil ? "-" : "secret"
      let content = request.body.isEmpty ? "" : " \(request.text)"
      return Reply(200, fields, "\(request.target) \(user) \(secret)\(content)")
    }
    let asked = try await ScriptedOrigin.answering { request in
      if let service { return try await service(request) }
      switch Self.session(request) {
      case nil:
        return Reply(
          302,
          [
            "Location: /login?to=\(request.header("x-forwarded-uri") ?? "")", "Set-Cookie: state=1",
          ],
          "to the login")
      case "bad": return Reply(403, ["X-Reason: bad"], "not you")
      case let session?:
        return Reply(200, ["X-User: \(session)", "Set-Cookie: seen=1"], "fine")
      }
    }
    let node = try TestNode.start(
      origin: origin.port, route: "auth service sso \(use); \(route)",
      top: """
        origin sso { server 127.0.0.1:\(asked.port); \(pool) }
        auth_service sso {
          origin sso; path /verify; copy X-User; subject X-User; \(settings)
        }
        \(top)
        """, workers: workers)
    return Setup(node: node, origin: origin, service: asked)
  }

  @Test func `a request passes as the service says, with what it says of who asks`() async throws {
    let setup = try await setUp(
      "copy_response Set-Cookie;", route: "log user jwt.sub; set header.x-also jwt.claim.x-user;")
    let node = setup.node
    let client = try await node.connect()
    let passed = try await client.request(
      "GET", "/a?b=c",
      ["Cookie: session=anna", "X-User: root", "x_user: root", "X-Forwarded-Uri: /forged"])
    #expect(passed.status == 200 && passed.text == "/a?b=c anna -")
    #expect(passed.headers("set-cookie") == ["seen=1"])
    let question = try #require(setup.service.requests.first)
    #expect(question.method == "GET" && question.target == "/verify")
    #expect(question.headers("x-forwarded-uri") == ["/a?b=c"])
    #expect(question.headers("x-forwarded-method") == ["GET"])
    #expect(question.headers("x-forwarded-for") == ["127.0.0.1"])
    #expect(question.header("x-forwarded-host") == "example.com")
    let seen = try #require(setup.origin.requests.first)
    #expect(seen.header("x-also") == "anna" && seen.header("x_user") == nil)
    let refused = try await client.get("/b", ["Cookie: session=bad"])
    #expect(refused.status == 403 && refused.text == "not you")
    #expect(refused.header("x-reason") == "bad")
    #expect(refused.header("cache-status") == "weir; detail=auth")
    let sent = try await client.get("/c?d")
    #expect(sent.status == 302 && sent.header("location") == "/login?to=/c?d")
    #expect(sent.header("set-cookie") == "state=1" && sent.text == "to the login")
    #expect(setup.origin.requests.count == 1 && setup.service.requests.count == 3)
    // Its connection carries one question after the other.
    #expect(setup.service.accepted == 1)
    client.close()
    try await node.expectAtRest()
    #expect(try node.log().compactMap { $0["user"]?.string } == ["anna"])
  }

  @Test func `a request with content passes with it, and the service sees none`() async throws {
    let setup = try await setUp()
    let client = try await setup.node.connect()
    let posted = try await client.request(
      "POST", "/a",
      [
        "Cookie: session=anna", "Content-Type: text/plain", "If-None-Match: \"1\"",
        "Range: bytes=0-1",
      ],
      body: "content")
    #expect(posted.text == "/a anna - content")
    let question = try #require(setup.service.requests.first)
    #expect(question.method == "GET" && question.body.isEmpty)
    #expect(question.header("x-forwarded-method") == "POST")
    for field in ["content-type", "content-length", "if-none-match", "range"] {
      #expect(question.header(field) == nil, "\(field)")
    }
    let refused = try await client.request("POST", "/a", body: "more")
    #expect(refused.status == 302)
    #expect(setup.origin.requests.count == 1)
  }

  @Test func `only the fields that are named are sent`() async throws {
    let setup = try await setUp("send Cookie;")
    _ = try await setup.node.get("/", "Cookie: session=anna", "Authorization: Bearer x", "X-A: b")
    let question = try #require(setup.service.requests.first)
    #expect(question.header("cookie") == "session=anna")
    #expect(question.header("authorization") == nil && question.header("x-a") == nil)
  }

  @Test func `an answer is kept by its key, and not longer than it may be`() async throws {
    let setup = try await setUp("remember 30s; key cookie.session;")
    let node = setup.node
    for _ in 0..<3 { #expect(try await node.get("/", "Cookie: session=anna").status == 200) }
    #expect(setup.service.requests.count == 1)
    #expect(try await node.get("/", "Cookie: session=bert").text.contains("bert"))
    #expect(setup.service.requests.count == 2)
    // Refusals are not kept, nor is anything for who shows nothing.
    for _ in 0..<2 { #expect(try await node.get("/", "Cookie: session=bad").status == 403) }
    for _ in 0..<2 { #expect(try await node.get("/").status == 302) }
    #expect(setup.service.requests.count == 6)
    node.advance(seconds: 30)
    #expect(try await node.get("/", "Cookie: session=anna").status == 200)
    #expect(setup.service.requests.count == 7)
    try await node.expectAtRest()
  }

  @Test func `what the service says of keeping counts`() async throws {
    let setup = try await setUp("remember 30s; key cookie.session path;") { request in
      switch request.header("x-forwarded-uri") {
      case "/never": Reply(204, ["Cache-Control: no-store"])
      case "/short": Reply(204, ["Cache-Control: max-age=5"])
      default: Reply(204)
      }
    }
    for path in ["/never", "/short", "/long"] {
      for _ in 0..<2 {
        #expect(try await setup.node.get(path, "Cookie: session=anna").status == 200)
      }
    }
    #expect(setup.service.requests.count == 4)
    setup.node.advance(seconds: 6)
    for path in ["/short", "/long"] {
      #expect(try await setup.node.get(path, "Cookie: session=anna").status == 200)
    }
    #expect(setup.service.requests.count == 5)
  }

  @Test func `requests with one key ask once, and a refusal is each one's own`() async throws {
    let release = Signal("the service's answer")
    let setup = try await setUp("remember 30s; key cookie.session; copy_response Set-Cookie;") {
      request in
      try await release.wait()
      let session = Self.session(request) ?? "-"
      guard session != "bad" else {
        return Reply(302, ["Location: \(request.header("x-forwarded-uri") ?? "")"])
      }
      return Reply(200, ["X-User: \(session)", "Set-Cookie: once=1"], "fine")
    }
    let node = setup.node
    async let answers = atOnce(8) { index in
      (index, try await node.get("/\(index)", "Cookie: session=\(index < 5 ? "anna" : "bad")"))
    }
    try await setup.service.waitForRequests(2)
    try await node.settleTurns()
    #expect(setup.service.requests.count == 2)
    release.send()
    var cookies = 0
    for (index, response) in try await answers {
      if index < 5 {
        #expect(response.text == "/\(index) anna -")
        cookies += response.headers("set-cookie").count
      } else {
        #expect(response.status == 302 && response.header("location") == "/\(index)")
      }
    }
    #expect(cookies == 1, "what is for the client goes to the one who asked")
    #expect(setup.service.requests.count == 4)
    try await node.expectAtRest()
  }

  @Test(arguments: [500, 503, 404, 304, 400])
  func `a service that is not well lets nobody in`(status: Int) async throws {
    let setup = try await setUp(pool: "retries 0;") { _ in Reply(status, [], "") }
    let response = try await setup.node.get("/", "Cookie: session=anna")
    #expect(response.status == 503 && response.header("retry-after") == "1")
    #expect(setup.origin.requests.isEmpty)
    try await setup.node.expectAtRest()
  }

  @Test func `a service that cannot be reached, breaks off or sends without end lets nobody in`()
    async throws
  {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "in") }
    let kinds = Watched(0)
    let service = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      switch kinds.value {
      case 0: connection.reset()
      case 1: try await connection.write("HTTP/1.1 401 No\r\nContent-Length: 10\r\n\r\nabc")
      case 2: try await connection.write("SSH-2.0-OpenSSH\r\n\r\n")
      default:
        let page = String(repeating: "x", count: 70_000)
        try await connection.write(
          "HTTP/1.1 403 No\r\nContent-Length: \(page.utf8.count)\r\n\r\n\(page)")
      }
      connection.close()
    }
    let node = try TestNode.start(
      origin: origin.port, route: "auth service sso;",
      top: """
        origin sso { server 127.0.0.1:\(service.port); retries 0; ejection off; }
        auth_service sso { origin sso; }
        """)
    for kind in 0..<4 {
      kinds.update { $0 = kind }
      #expect(try await node.get("/").status == 503, "\(kind)")
    }
    await service.stop()
    #expect(try await node.get("/").status == 503)
    #expect(origin.requests.isEmpty)
    try await node.expectAtRest()
  }

  @Test func `a service that does not answer is not waited for for ever, and blocks nobody`()
    async throws
  {
    let release = Signal("the service's answer")
    let setup = try await setUp(
      "timeout 3s; remember 30s; key cookie.session;",
      pool: "first_byte_timeout 60s; total_timeout 60s;"
    ) { request in
      if Self.session(request) == "slow" { try await release.wait() }
      return Reply(200, ["X-User: fast"])
    }
    let node = setup.node
    let slow = try await node.ask("/", "Cookie: session=slow")
    try await setup.service.waitForRequests(1)
    #expect(try await node.get("/", "Cookie: session=fast").status == 200)
    node.advance(seconds: 2)
    try await node.settleTurns()
    #expect(try slow.readAvailable().isEmpty)
    node.advance(seconds: 1.1)
    #expect(try await slow.readResponse().status == 503)
    // A client that leaves while it waits leaves nothing behind.
    let gone = try await node.ask("/", "Cookie: session=slow")
    try await setup.service.waitForRequests(3)
    gone.reset()
    slow.close()
    release.send()
    try await node.expectAtRest()
    #expect(try await node.get("/", "Cookie: session=slow").status == 200)
  }

  @Test(arguments: [false, true])
  func `responses are for who asks, unless the route shares them`(isShared: Bool) async throws {
    for directives in ["max-age=60", "public, max-age=60"] {
      let setup = try await setUp(
        use: isShared ? "shared" : "", reply: ["Cache-Control: \(directives)"])
      let node = setup.node
      for user in ["anna", "bert", "anna"] {
        let response = try await node.get(
          "/", "Cookie: session=\(user)", "Authorization: Basic eDp5")
        // What the service says of who asks is part of the key, whatever the origin says.
        #expect(response.text == "/ \(user) \(isShared ? "-" : "secret")")
        try await node.settle()
      }
      let isStored = isShared || directives.hasPrefix("public")
      #expect(setup.origin.requests.count == (isStored ? 2 : 3), "\(directives)")
      #expect(try await node.get("/").status == 302)
    }
  }

  @Test func `limits count by who the service says it is`() async throws {
    let setup = try await setUp(
      route: "limit few;", top: "limit few { token_bucket 2/d; key jwt.sub; }")
    #expect(
      try await setup.node.statuses(3, "/", "Cookie: session=anna") == [200, 200, 429])
    #expect(try await setup.node.statuses(1, "/", "Cookie: session=bert") == [200])
  }
}
