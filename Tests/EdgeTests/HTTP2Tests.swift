import EdgeTesting
import Metrics
import Testing

/// HTTP/2 through a node, with curl, nghttp and h2load as clients.
@Suite struct HTTP2Tests {
  @Test func `requests over one connection are answered, forwarded and stored`() async throws {
    let origin = try await TLSTests.origin()
    let secure = try await SecureNode.start(origin: origin.port)
    let first = try await secure.curl("/x", ["--http2"])
    #expect(first.status == 0, "\(first.output)")
    #expect(first.output.contains("HTTP/2 200"))
    #expect(first.output.contains("proto: https"))
    #expect(first.output.hasSuffix("/x true 2.0 weir\n"), "\(first.output)")
    try await secure.node.settle()
    let second = try await secure.curl("/x", ["--http2"])
    #expect(second.output.contains("weir; hit"), "\(second.output)")
    let other = try await secure.curl("/x", ["--http1.1"])
    #expect(other.output.contains("weir; hit"), "one store for both protocols: \(other.output)")
    #expect(secure.node.count(.connectionsOverH2) == 2)
    #expect(try secure.node.log().first?["protocol"]?.string == "HTTP/2")
    let node = secure.node
    try await eventually("the connections to end") {
      node.count(.connectionsAccepted) == node.count(.connectionsClosed)
    }
  }

  @Test(arguments: [0, 1, 1_400, 16_384, 100_000, 3_000_000])
  func `contents of all sizes come whole, stored or not`(_ size: Int) async throws {
    let text = String(repeating: "0123456789abcdef", count: size / 16 + 1)
    let origin = try await ScriptedOrigin.answering { request in
      let isStored = request.target.hasPrefix("/stored")
      return Reply(
        200, isStored ? ["Cache-Control: max-age=60"] : [],
        String(text.prefix(size)))
    }
    let secure = try await SecureNode.start(origin: origin.port)
    for target in ["/passed", "/stored", "/stored"] {
      let file = secure.directory.file("down")
      let outcome = try await Program.run([
        "curl", "-sS", "--http2", "--max-time", "30", "--cacert", secure.certificates.authority,
        "--resolve", "a.example:\(secure.node.port):127.0.0.1", "-o", file, "-w",
        "%{http_code} %{size_download}", secure.url(target),
      ])
      #expect(outcome.output == "200 \(size)", "\(target)")
      try await secure.node.settle()
      let sum = try await Program.run(["sh", "-c", "tr -d 0-9a-f < \(file) | wc -c"])
      #expect(sum.output.filter { $0.isNumber } == "0")
    }
  }

  @Test func `many streams at a time are answered`() async throws {
    let origin = try await ScriptedOrigin.answering { request in
      Reply(200, ["Cache-Control: max-age=60"], String(repeating: "x", count: 5_000))
    }
    let secure = try await SecureNode.start(origin: origin.port, workers: 2)
    let outcome = try await Program.run([
      "h2load", "-n", "2000", "-c", "4", "-m", "32", secure.url("/x", host: "127.0.0.1"),
    ])
    #expect(outcome.output.contains("2000 succeeded, 0 failed, 0 errored"), "\(outcome.output)")
  }

  @Test func `requests with content are passed on, with back-pressure`() async throws {
    let origin = try await ScriptedOrigin.answering { request in
      Reply(200, [], "\(request.body.count) \(request.header("content-length") ?? "none")")
    }
    let secure = try await SecureNode.start(origin: origin.port)
    let file = try secure.directory.write("up", [UInt8](repeating: 7, count: 3_000_000))
    let outcome = try await secure.curl("/up", ["--http2", "--data-binary", "@\(file)"])
    #expect(outcome.output.hasSuffix("3000000 3000000"), "\(outcome.output)")
    let unknown = try await secure.curl(
      "/up", ["--http2", "-X", "POST", "-H", "content-length:", "-T", file])
    #expect(unknown.output.contains("3000000 "), "\(unknown.output)")
  }

  @Test func `content that is too large is refused, and the connection stays`() async throws {
    let origin = try await TLSTests.origin()
    let secure = try await SecureNode.start(origin: origin.port, route: "max_body 10KiB;")
    let file = try secure.directory.write("up", [UInt8](repeating: 7, count: 50_000))
    let outcome = try await secure.curl("/up", ["--http2", "--data-binary", "@\(file)"])
    #expect(outcome.output.contains("HTTP/2 413"), "\(outcome.output)")
  }

  @Test func `who goes on sending what nobody wants is reset in the end`() async throws {
    let origin = try await TLSTests.origin()
    let node = try TestNode.start(
      origin: origin.port, route: "max_body 10;", top: "listen 127.0.0.1:0 h2c;", workers: 1)
    let frames = try await FrameClient.connect(toPort: node.lastPort)
    let length = [("content-length", "5000")]
    try await frames.send(FrameClient.request(1, "/x", method: "POST", ends: false, length))
    let answer = try await frames.content(of: 1)
    #expect(String(decoding: answer, as: UTF8.self).contains("too large"))
    node.advance(seconds: 3)
    let reset = try await frames.next(Frame.reset, stream: 1)
    #expect(reset.number(at: 0) == 0)
  }

  @Test func `a content that breaks off resets its stream alone`() async throws {
    let origin = try await ScriptedOrigin { connection in
      let request = try await connection.readRequest()
      try await connection.write("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nonly this")
      #expect(request.target == "/broken")
      connection.reset()
    }
    let node = try TestNode.start(
      origin: origin.port, route: "when path == \"/fine\" { respond 200 \"fine\"; }",
      top: "listen 127.0.0.1:0 h2c;", store: nil, workers: 1)
    let port = node.lastPort
    let frames = try await FrameClient.connect(toPort: port)
    try await frames.send(FrameClient.request(1, "/broken"))
    await #expect(throws: PeerFailure.self) { try await frames.content(of: 1) }
    try await frames.send(FrameClient.request(3, "/fine"))
    #expect(try await frames.content(of: 3) == Array("fine".utf8))
  }

  @Test func `HEAD, 304, ranges and errors have no more than they should`() async throws {
    let origin = try await ScriptedOrigin.answering { request in
      Reply(
        200, ["Cache-Control: max-age=60", "ETag: \"a\""], "0123456789")
    }
    let secure = try await SecureNode.start(origin: origin.port)
    _ = try await secure.curl("/x", ["--http2"])
    try await secure.node.settle()
    let head = try await secure.curl("/x", ["--http2", "-I"])
    #expect(head.status == 0 && head.output.contains("content-length: 10"), "\(head.output)")
    let same = try await secure.curl("/x", ["--http2", "-H", "If-None-Match: \"a\""])
    #expect(same.output.contains("HTTP/2 304"), "\(same.output)")
    let part = try await secure.curl("/x", ["--http2", "-r", "2-4"])
    #expect(part.output.contains("HTTP/2 206") && part.output.hasSuffix("234"), "\(part.output)")
    let parts = try await secure.curl("/x", ["--http2", "-r", "0-1,4-5"])
    #expect(parts.output.contains("HTTP/2 206"), "\(parts.output)")
    #expect(parts.output.contains("bytes 4-5/10\r\n\r\n45\r\n"), "\(parts.output)")
    let bad = try await secure.curl("/../x", ["--http2", "--path-as-is"])
    #expect(bad.output.contains("HTTP/2 400"), "\(bad.output)")
  }

  @Test func `interim responses and trailers pass`() async throws {
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      try await connection.write(
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
          + "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
          + "5\r\nhello\r\n0\r\nX-Sum: 17\r\n\r\n")
    }
    let secure = try await SecureNode.start(origin: origin.port)
    let outcome = try await Program.run([
      "nghttp", "-v", "--no-verify-peer", secure.url("/x", host: "127.0.0.1"),
    ])
    #expect(outcome.output.contains(":status: 103"), "\(outcome.output)")
    #expect(outcome.output.contains("link: </a.css>"))
    #expect(outcome.output.contains("x-sum: 17"), "\(outcome.output)")
  }

  @Test func `a stopping node answers what is open and says goodbye`() async throws {
    let answer = Signal("the answer")
    let asked = Signal("the request")
    let origin = try await ScriptedOrigin.answering { _ in
      asked.send()
      try await answer.wait()
      return Reply(200, [], "done")
    }
    let node = try TestNode.start(
      origin: origin.port, top: "listen 127.0.0.1:0 h2c;", store: nil, workers: 1)
    let port = node.lastPort
    let frames = try await FrameClient.connect(toPort: port)
    try await frames.send(FrameClient.request(1, "/x"))
    try await asked.wait()
    let stopped = node.stopAside()
    let notice = try await frames.next(Frame.goAway, throwing: false)
    #expect(notice.number(at: 0) == 0x7FFF_FFFF && notice.number(at: 4) == 0)
    answer.send()
    #expect(try await frames.content(of: 1) == Array("done".utf8))
    let last = try await frames.next(Frame.goAway, throwing: false)
    #expect(last.number(at: 0) == 1 && last.number(at: 4) == 0)
    frames.client.close()
    try await stopped.wait()
  }

  @Test func `an idle connection is ended in time`() async throws {
    let origin = try await TLSTests.origin()
    let node = try TestNode.start(
      origin: origin.port, top: "listen 127.0.0.1:0 h2c; client { idle_timeout 10s; }", workers: 1)
    let port = node.lastPort
    let frames = try await FrameClient.connect(toPort: port)
    try await frames.send(FrameClient.request(1, "/x"))
    _ = try await frames.content(of: 1)
    node.advance(seconds: 11)
    let end = try await frames.next(Frame.goAway, throwing: false)
    #expect(end.number(at: 4) == 0)
    _ = try await frames.client.readToEnding()
  }

  @Test func `a client that leaves its streams aborts their requests`() async throws {
    let asked = Signal("the request")
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      asked.send()
      try await connection.waitUntilClosed()
    }
    let node = try TestNode.start(
      origin: origin.port, top: "listen 127.0.0.1:0 h2c;", store: nil, workers: 1)
    let port = node.lastPort
    let frames = try await FrameClient.connect(toPort: port)
    try await frames.send(FrameClient.request(1, "/x"))
    try await asked.wait()
    try await frames.send(
      Frame(type: Frame.reset, flags: 0, stream: 1, content: [0, 0, 0, 8]))
    try await node.expect(.clientAborts, reaches: 1)
    try await origin.finish()
  }

  @Test func `a WebSocket passes through a stream`() async throws {
    let origin = try await ScriptedOrigin { connection in
      let request = try await connection.readRequest()
      #expect(request.method == "GET")
      #expect(request.header("upgrade") == "websocket")
      #expect(request.header("sec-websocket-key")?.utf8.count == 24)
      try await connection.write(TunnelTests.switching + "first")
      #expect(try await connection.read(exactly: 5) == Array("hello".utf8))
      try await connection.write("last")
    }
    let node = try TestNode.start(
      origin: origin.port, route: "upgrade on;", top: "listen 127.0.0.1:0 h2c;", store: nil,
      workers: 1)
    let port = node.lastPort
    let frames = try await FrameClient.connect(toPort: port)
    try await frames.send(
      Frame(
        type: Frame.headers, flags: 4, stream: 1,
        content: FrameClient.fields([
          (":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"),
          (":path", "/chat"), (":authority", "a.example"), ("sec-websocket-version", "13"),
        ])))
    let head = try await frames.next(Frame.headers, stream: 1)
    #expect(head.content.first == 0x88, "the first field is :status 200 by its index")
    #expect(try await frames.next(Frame.data, stream: 1).content == Array("first".utf8))
    try await frames.send(
      Frame(type: Frame.data, flags: 0, stream: 1, content: Array("hello".utf8)))
    #expect(try await frames.content(of: 1) == Array("last".utf8))
    try await frames.send(Frame(type: Frame.data, flags: 1, stream: 1, content: []))
    try await origin.finish()
    try await node.expect(.tunnelsClosed, reaches: 1)
  }

  @Test func `a CONNECT that no route takes is refused`() async throws {
    let origin = try await TLSTests.origin()
    let node = try TestNode.start(
      origin: origin.port, top: "listen 127.0.0.1:0 h2c;", store: nil, workers: 1)
    let port = node.lastPort
    let frames = try await FrameClient.connect(toPort: port)
    try await frames.send(
      Frame(
        type: Frame.headers, flags: 4, stream: 1,
        content: FrameClient.fields([
          (":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"),
          (":path", "/chat"), (":authority", "a.example"),
        ])))
    let head = try await frames.next(Frame.headers, stream: 1)
    #expect(head.flags & 1 == 1, "the answer ends the stream")
  }

  @Test(arguments: ["/passed", "/stored"])
  func `a CONNECT that is answered with 200 is a 501, and nothing is held for it`(
    path: String
  ) async throws {
    let text = String(repeating: "x", count: 3_000_000)
    let origin = try await ScriptedOrigin.answering { request in
      let isStored = request.target == "/stored"
      return Reply(200, [isStored ? "Cache-Control: max-age=60" : "Cache-Control: no-store"], text)
    }
    let node = try TestNode.start(
      origin: origin.port, route: path == "/passed" ? "upgrade on;" : "",
      top: "listen 127.0.0.1:0 h2c;", workers: 1)
    if path == "/stored" {
      #expect(try await node.get(path).bodyLength == text.utf8.count)
      try await node.settle()
    }
    let frames = try await FrameClient.connect(toPort: node.lastPort)
    for stream in [1, 3] {
      try await frames.send(
        Frame(
          type: Frame.headers, flags: 4, stream: stream,
          content: FrameClient.fields([
            (":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"),
            (":path", path), (":authority", "example.com"), ("sec-websocket-version", "13"),
          ])))
      let head = try await frames.next(Frame.headers, stream: stream)
      #expect(head.flags & 1 == 1, "the answer ends the stream")
      // :status 501: as a literal in Huffman's code, and then from the table.
      #expect(stream > 1 || Array(head.content.prefix(4)) == [0x48, 0x82, 0x6C, 0x01])
      // The client, which waits for no tunnel, ends its side.
      try await frames.send(Frame(type: Frame.data, flags: 1, stream: stream, content: []))
    }
    try await eventually("the origin to be free") {
      let report = try await node.admin("GET", "/v1/origins").json()
      return report["origins"]?[0]?["servers"]?[0]?["in_flight"]?.int == 0
        && node.count(.fillsStarted) == node.count(.fillsEnded)
    }
    try await frames.send(FrameClient.request(5, "/small", method: "HEAD"))
    let head = try await frames.next(Frame.headers, stream: 5)
    #expect(head.flags & 1 == 1 && head.content.first == 0x88)
    frames.client.close()
    try await node.expectAtRest()
  }

  @Test func `an upload that stands still is over in time, whatever its origin's connection does`()
    async throws
  {
    let origin = try SharedFront { target, _ in .response(200, [], "at \(target)") }
    let authority = try EdgeCertificates.shared.get().authority
    let node = try TestNode.start(
      origin: origin.port, top: "listen 127.0.0.1:0 h2c; client { body_timeout 5s; }",
      pool: "tls { trusted_ca \(authority); }", store: nil, workers: 1)
    #expect(try await node.get("/1").text == "at /1")
    let frames = try await FrameClient.connect(toPort: node.lastPort)
    try await frames.send(
      FrameClient.request(1, "/up", method: "POST", ends: false, [("content-length", "5000")]),
      Frame(type: Frame.data, flags: 0, stream: 1, content: [UInt8](repeating: 7, count: 100)))
    try await origin.seen.wait(for: "some of it") { $0.received == 100 }
    for number in 2...3 {
      node.advance(seconds: 2)
      // The upload's connection moves for others.
      #expect(try await node.get("/\(number)").text == "at /\(number)")
    }
    #expect(origin.seen.value.connections == 1 && node.count(.bodyTimeouts) == 0)
    node.advance(seconds: 1.1)
    let head = try await frames.next(Frame.headers, stream: 1)
    #expect(String(decoding: head.content, as: UTF8.self).contains("408"))
    #expect(node.count(.bodyTimeouts) == 1)
    frames.client.close()
    try await node.expectNothingLeft()
  }

  @Test func `both protocols share a listener without TLS`() async throws {
    let origin = try await TLSTests.origin()
    let node = try TestNode.start(
      origin: origin.port, top: "listen 127.0.0.1:0 h2c;", workers: 1)
    let port = node.lastPort
    let client = try await RawClient.connect(to: port)
    #expect(try await client.get("/x").status == 200)
    let outcome = try await Program.run([
      "curl", "-sS", "-i", "--http2-prior-knowledge", "http://127.0.0.1:\(port)/x",
    ])
    #expect(outcome.output.contains("HTTP/2 200"), "\(outcome.output)")
  }
}

extension FrameClient {
  static func connect(toPort port: UInt16, receiveBuffer: Int? = nil, settings: [UInt8] = [])
    async throws -> FrameClient
  {
    let client = try await RawClient.connect(to: port, receiveBuffer: receiveBuffer)
    try await client.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    let frames = FrameClient(client: client)
    try await frames.send(Frame(type: Frame.settings, flags: 0, stream: 0, content: settings))
    return frames
  }

  func next(_ type: UInt8, throwing: Bool) async throws -> Frame {
    while true {
      let frame = try await read()
      if frame.type == type { return frame }
    }
  }
}
