import EdgeTesting
import Metrics
import Testing

/// What a client may have: requests, connections, content.
@Suite struct LimitTests {
  static let perIP = "limit few { token_bucket 1/s burst=3; key client.ip; }"

  @Test func `a burst passes, then 429, then a token for each second`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    let node = try TestNode.forwarding(to: origin, route: "limit few;", top: Self.perIP)
    let client = try await node.connect()
    for _ in 0..<3 { #expect(try await client.get("/").status == 200) }
    for _ in 0..<2 {
      let response = try await client.get("/")
      #expect(response.status == 429)
      #expect(response.header("retry-after") == "1")
      #expect(response.header("cache-control") == "no-store")
      #expect(response.header("connection") == nil)
    }
    // It is the address that counts, not the connection.
    #expect(try await node.get("/").status == 429)
    let other = try await RawClient.connect(to: node.port, from: "127.0.0.2")
    #expect(try await other.get("/").status == 200)
    node.advance(seconds: 1)
    #expect(try await client.get("/").status == 200)
    #expect(try await client.get("/").status == 429)
    node.advance(seconds: 10)
    for status in [200, 200, 200, 429] { #expect(try await client.get("/").status == status) }
    #expect(node.count(.limited) == 5)
    #expect(origin.requests.count == 8)
  }

  @Test func `workers and routes share a limit of one name`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    let node = try TestNode.start(
      configuration: """
        workers 4; listen 127.0.0.1:0;
        limit few { token_bucket 5/m; key client.ip; }
        origin app 127.0.0.1:\(origin.port);
        site * { origin app; route /a { limit few; } route /b { limit few; } route / { } }
        """, directory: TemporaryDirectory())
    var statuses: [Int] = []
    for number in 0..<12 {
      statuses.append(try await node.get(number.isMultiple(of: 2) ? "/a" : "/b").status)
    }
    #expect(statuses == [200, 200, 200, 200, 200] + [Int](repeating: 429, count: 7))
    let refused = try await node.get("/a")
    // One token comes back in 12 s.
    #expect(refused.header("retry-after") == "12")
    #expect(try await node.get("/free").status == 200)
  }

  @Test func `content of a refused request is not taken for the next`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    let node = try TestNode.forwarding(to: origin, route: "limit few;", top: Self.perIP)
    for _ in 0..<3 { #expect(try await node.get("/").status == 200) }
    let client = try await node.connect()
    let inner = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
    let response = try await client.request("POST", "/", body: inner)
    #expect(response.status == 429)
    #expect(response.header("connection") == "close")
    try await client.expectClosed()
    #expect(origin.requests.count == 3)
  }

  @Test func `the next connection over the limit is closed at once`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    let node = try TestNode.forwarding(to: origin, top: "client { max_connections 2; }")
    let first = try await node.connect()
    let second = try await node.connect()
    #expect(try await first.get("/").text == "x")
    #expect(try await second.get("/").text == "x")
    let third = try await node.connect()
    _ = try await third.readToEnding()
    #expect(node.count(.connectionsRefused) == 1)
    #expect(try await first.get("/").text == "x")
    second.close()
    try await node.expect(.connectionsClosed, reaches: 2)
    #expect(try await node.get("/").text == "x")
  }

  @Test func `too large a length is refused before anything is forwarded`() async throws {
    let origin = try await ScriptedOrigin.answering { Reply(200, [], "\($0.bodyLength)") }
    let node = try TestNode.forwarding(
      to: origin, route: "max_body 1000;", top: "client { max_body 10; }")
    #expect(try await node.post(bytes: 1000).text == "1000")
    let refused = try await node.post(bytes: 1001)
    #expect(refused.status == 413)
    #expect(refused.header("connection") == "close")
    #expect(origin.requests.count == 1)
    #expect(node.count(.originRequests) == 1)
  }

  @Test func `too much in chunks is refused midway, and the origin sees no end`() async throws {
    let origin = try await ScriptedOrigin { connection in
      let whole = try await connection.readRequest()
      try await connection.respond(200, [], "\(whole.bodyLength)")
      _ = try await connection.readRequestHead()
      let (bytes, _) = try await connection.readToEnding()
      #expect(bytes.count >= 1000 && bytes.count < 1100)
      #expect(!String(decoding: bytes, as: UTF8.self).contains("\r\n0\r\n"))
    }
    let node = try TestNode.forwarding(to: origin, route: "max_body 1000;", workers: 1)
    let head = "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    let piece = "64\r\n" + String(repeating: "a", count: 100) + "\r\n"
    let client = try await node.connect()
    let whole = try await client.ask(head + String(repeating: piece, count: 10) + "0\r\n\r\n")
    #expect(whole.text == "1000")
    try await client.write(head + String(repeating: piece, count: 10))
    try await origin.waitForRequests(2)
    try await client.write("1\r\na\r\n0\r\n\r\n")
    let response = try await client.readResponse()
    #expect(response.status == 413)
    try await client.expectClosed()
    client.close()
    try await origin.finish()
    try await node.expectNothingLeft()
  }
}

extension TestNode {
  fileprivate func post(bytes: Int) async throws -> PeerResponse {
    let client = try await connect()
    return try await client.request("POST", "/", body: String(repeating: "a", count: bytes))
  }
}
