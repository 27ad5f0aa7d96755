import EdgeTesting
import Metrics
import Testing

/// RFC 9110 §7.6: what an intermediary takes away, adds and overwrites.
@Suite struct ForwardedFieldsTests {
  @Test func `hop-by-hop and nominated fields of a request stay here`() async throws {
    let origin = try await ScriptedOrigin.answering { request in
      for name in [
        "keep-alive", "proxy-connection", "trailer", "upgrade", "proxy-authorization",
        "transfer-encoding", "x-hop", "x-other",
      ] { #expect(request.header(name) == nil, "\(name)") }
      // Trailers pass, which is said for this hop anew (RFC 9110 §10.1.4).
      #expect(request.header("te") == "trailers" && request.header("connection") == "te")
      #expect(request.header("x-end") == "stays")
      #expect(request.header("cookie") == "a=b")
      return Reply(200, [], "ok")
    }
    let node = try TestNode.forwarding(to: origin)
    let client = try await node.connect()
    let response = try await client.get(
      "/",
      [
        "Connection: X-Hop, keep-alive", "Connection: x-other , Cookie", "Keep-Alive: timeout=5",
        "Proxy-Connection: keep-alive", "TE: trailers", "Trailer: X-Sum", "Upgrade: h2c",
        "Proxy-Authorization: Basic eA==", "X-Hop: 1", "X-Other: 2", "X-End: stays", "Cookie: a=b",
      ])
    #expect(response.text == "ok")
  }

  @Test func `hop-by-hop and nominated fields of a response stay here`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in
      Reply(
        200,
        [
          "Connection: X-Hop, keep-alive", "Keep-Alive: timeout=5", "Proxy-Connection: a",
          "Upgrade: h2c", "Proxy-Authenticate: Basic", "Trailer: X", "X-Hop: 1", "X-End: stays",
          "Set-Cookie: a=1", "Set-Cookie: b=2",
        ], "ok")
    }
    let node = try TestNode.forwarding(to: origin)
    let response = try await node.get("/")
    for name in [
      "connection", "keep-alive", "proxy-connection", "upgrade", "proxy-authenticate", "trailer",
      "x-hop",
    ] { #expect(response.header(name) == nil, "\(name)") }
    #expect(response.header("x-end") == "stays")
    #expect(response.headers("set-cookie") == ["a=1", "b=2"])
  }

  @Test func `the client cannot speak for the node`() async throws {
    let origin = try await ScriptedOrigin.answering { request in
      #expect(request.headers("x-forwarded-for") == ["127.0.0.9"])
      #expect(request.headers("x-forwarded-proto") == ["http"])
      #expect(request.headers("x-forwarded-host") == ["example.com:81"])
      #expect(
        request.headers("forwarded") == ["for=127.0.0.9;host=\"example.com:81\";proto=http"])
      #expect(request.header("via") == "1.0 fred, 1.1 weir")
      return Reply()
    }
    let node = try TestNode.forwarding(to: origin)
    let client = try await RawClient.connect(to: node.port, from: "127.0.0.9")
    let response = try await client.get(
      "/", host: "example.com:81",
      [
        "X-Forwarded-For: 1.2.3.4", "x-forwarded-for: 5.6.7.8", "X-Forwarded-Proto: https",
        "X-Forwarded-Host: evil", "Forwarded: for=1.2.3.4", "Via: 1.0 fred",
      ])
    #expect(response.status == 200)
    #expect(origin.requests.count == 1)
  }

  @Test func `the origin's Date stays, and one that is missing is added`() async throws {
    let theirs = "Wed, 31 Dec 2025 23:59:58 GMT"
    let origin = try await ScriptedOrigin.answering { request in
      Reply(200, request.target == "/dated" ? ["Date: \(theirs)"] : [])
    }
    let node = try TestNode.forwarding(to: origin)
    #expect(try await node.get("/dated").headers("date") == [theirs])
    #expect(try await node.get("/").headers("date") == ["Thu, 01 Jan 2026 00:00:00 GMT"])
    node.advance(seconds: 61)
    #expect(try await node.get("/").headers("date") == ["Thu, 01 Jan 2026 00:01:01 GMT"])
  }

  @Test func `Via names the protocol that each message came in`() async throws {
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      try await connection.write(
        "HTTP/1.0 200 OK\r\nVia: 1.1 inner\r\nContent-Length: 2\r\n\r\nok")
    }
    let node = try TestNode.forwarding(to: origin)
    let response = try await node.get("/")
    #expect(response.text == "ok")
    #expect(response.version == "HTTP/1.1")
    #expect(response.header("via") == "1.1 inner, 1.0 weir")
  }

  @Test func `the pool's Host goes to the origin, and the client's beside it`() async throws {
    let origin = try await ScriptedOrigin.answering { request in
      #expect(request.header("host") == "inside.example")
      #expect(request.header("x-forwarded-host") == "example.com")
      return Reply()
    }
    let node = try TestNode.forwarding(to: origin, pool: "host inside.example;")
    #expect(try await node.get("/").status == 200)
    #expect(origin.requests.count == 1)
  }

  @Test func `a target in absolute form reaches the origin as path and query`() async throws {
    let origin = try await ScriptedOrigin.answering { Reply(200, [], $0.target) }
    let node = try TestNode.forwarding(to: origin)
    let client = try await node.connect()
    #expect(try await client.get("http://example.com/a/b?c=%2F").text == "/a/b?c=%2F")
    #expect(try await client.get("HTTP://EXAMPLE.com").text == "/")
    #expect(try await client.get("http://example.com?q").text == "/?q")
  }
}
