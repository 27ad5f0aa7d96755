import EdgeTesting
import Metrics
import Node
import Testing

/// Exchanges that are conversations: events, long polling, remote calls.
@Suite struct ConversationTests {
  @Test func `events come as they are sent, to each client its own, and are never stored`()
    async throws
  {
    let second = Signal("both to have the first event")
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      try await connection.write(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
          + "Transfer-Encoding: chunked\r\n\r\n")
      try await connection.writeChunk("data: for \(connection.index)\n\n")
      try await second.wait()
      try await connection.writeChunk("data: more\n\n")
      // It ends when its client leaves.
      try await connection.waitUntilClosed()
    }
    let node = try TestNode.start(origin: origin.port, route: "cache { ttl 200 1h; }", workers: 1)
    var clients: [RawClient] = []
    for number in 0..<3 {
      let client = try await node.connect()
      try await client.send("GET", "/events")
      #expect(try await client.readResponseHead().status == 200)
      try await read("data: for \(number)\n\n", from: client)
      clients.append(client)
    }
    second.send()
    for client in clients {
      try await read("data: more\n\n", from: client)
      client.close()
    }
    try await origin.finish()
    #expect(origin.requests.count == 3)
    try await node.expectNothingLeft()
  }

  @Test func `who polls is asked about alone, and waits as long as the pool says`() async throws {
    let news = Signal("news")
    let origin = try await ScriptedOrigin.answering { request in
      if request.target == "/poll" { try await news.wait() }
      return Reply(200, ["Cache-Control: no-store"], "news")
    }
    let node = try TestNode.start(
      origin: origin.port, route: "cache off;", pool: "first_byte_timeout 10m;", workers: 1)
    let clients = [try await node.connect(), try await node.connect()]
    for client in clients { try await client.send("GET", "/poll") }
    try await origin.waitForRequests(2)
    node.advance(seconds: 540)
    // Timers that rang meanwhile have done so by now.
    #expect(try await node.get("/other").text == "news")
    news.send()
    for client in clients {
      #expect(try await client.readResponse().text == "news")
      client.close()
    }
    try await node.expectNothingLeft()
  }

  @Test func `trailers pass both ways to an origin that speaks HTTP_2`() async throws {
    let origin = try SharedFront { _, _ in
      .withTrailers(200, ["content-type: application/grpc"], "answer", ["grpc-status: 0"])
    }
    let authority = try EdgeCertificates.shared.get().authority
    let node = try TestNode.start(
      origin: origin.port, pool: "tls { trusted_ca \(authority); }", workers: 1)
    try await expectTrailers(through: node)
    let fields = try #require(origin.seen.value.fields.first)
    #expect(fields.value(of: "te") == "trailers")
    #expect(fields.value(of: "connection") == nil)
    #expect(origin.seen.value.trailers == ["x-sum: 7\r\n"])
    #expect(try await node.get("/", "TE: gzip").status == 200)
    #expect(origin.seen.value.fields.last?.value(of: "te") == nil)
  }

  @Test func `a response that is all head is so over HTTP_2, too`() async throws {
    let origin = try SharedFront { _, _ in
      .response(200, ["content-type: application/grpc", "grpc-status: 12"], "")
    }
    let authority = try EdgeCertificates.shared.get().authority
    let node = try TestNode.start(
      configuration: """
        listen 127.0.0.1:0 h2c;
        workers 1;
        origin app { server 127.0.0.1:\(origin.port); tls { trusted_ca \(authority); } }
        site * { origin app; }
        """, directory: TemporaryDirectory())
    let raw = try await node.connect()
    let client = FrameClient(client: raw)
    try await raw.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    try await client.send(
      Frame(type: Frame.settings, flags: 0, stream: 0, content: []),
      FrameClient.request(1, "/", method: "POST"))
    let head = try await client.next(Frame.headers, stream: 1)
    // END_STREAM
    #expect(head.flags & 1 != 0)
    raw.close()
  }

  @Test func `trailers pass both ways over two nodes that speak HTTP_2 without TLS`()
    async throws
  {
    let origin = try await ScriptedOrigin { connection in
      let request = try await connection.readRequest()
      #expect(request.header("te") == "trailers" && request.header("connection") == "te")
      #expect(request.header("via")?.contains("2.0 ") == true)
      #expect(request.trailers == [PeerField("x-sum", "7")])
      try await connection.write(
        "HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nTransfer-Encoding: chunked\r\n\r\n")
      try await connection.writeChunk("answer")
      try await connection.write("0\r\ngrpc-status: 0\r\n\r\n")
      try await connection.waitUntilClosed()
    }
    let inner = try TestNode.start(
      configuration: """
        listen 127.0.0.1:0 h2c;
        workers 1;
        origin app 127.0.0.1:\(origin.port);
        site * { origin app; }
        """, directory: TemporaryDirectory())
    let node = try TestNode.start(origin: inner.port, pool: "h2c on;", store: nil, workers: 1)
    try await expectTrailers(through: node)
    #expect(inner.count(.connectionsAccepted) == 1)
  }

  /// A request with trailers, and a response with some.
  private func expectTrailers(through node: TestNode) async throws {
    let client = try await node.connect()
    defer { client.close() }
    try await client.write(
      "POST /call HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n"
        + "Content-Type: application/grpc\r\nTransfer-Encoding: chunked\r\n\r\n"
        + "3\r\nask\r\n0\r\nX-Sum: 7\r\n\r\n")
    let answer = try await client.readResponse(to: "POST")
    #expect(answer.status == 200 && answer.text == "answer")
    #expect(answer.trailers == [PeerField("grpc-status", "0")])
  }

  /// Reads until a text has come.
  private func read(_ text: String, from client: RawClient) async throws {
    let wanted = Array(text.utf8)
    var bytes: [UInt8] = []
    while !bytes.suffix(wanted.count + 2).starts(with: wanted) {
      bytes += try await client.read(exactly: 1)
    }
  }
}
