import EdgeTesting
import Metrics
import Testing

/// RFC 9112 §6 and §7: content in every framing, and what comes before it.
@Suite struct ContentFramingTests {
  @Test func `chunks and trailers of a response reach the client`() async throws {
    let more = Signal("the client to have the first chunk")
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      try await connection.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
      try await connection.writeChunk("hello ")
      try await more.wait()
      try await connection.write("5;ext=1\r\nworld\r\n0\r\nX-Sum: 11\r\nX-Two: 2\r\n\r\n")
      try await connection.waitUntilClosed()
    }
    let node = try TestNode.forwarding(to: origin)
    let client = try await node.connect()
    try await client.send("GET", "/")
    let head = try await client.readResponseHead()
    #expect(head.framing == .chunked)
    // What has come is passed on at once.
    #expect(
      String(decoding: try await client.read(exactly: 11), as: UTF8.self) == "6\r\nhello \r\n")
    more.send()
    let rest = try await client.read(exactly: 10)
    #expect(String(decoding: rest, as: UTF8.self) == "5\r\nworld\r\n")
    let end = "0\r\nx-sum: 11\r\nx-two: 2\r\n\r\n"
    #expect(String(decoding: try await client.read(exactly: end.utf8.count), as: UTF8.self) == end)
    client.close()
  }

  @Test func `chunks and trailers of a request reach the origin`() async throws {
    let origin = try await ScriptedOrigin.answering { request in
      #expect(request.framing == .chunked)
      #expect(request.header("content-length") == nil)
      return Reply(200, [], "\(request.text) \(request.trailers)")
    }
    let node = try TestNode.forwarding(to: origin)
    let client = try await node.connect()
    try await client.write(
      "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    try await client.write("A\r\n0123456789\r\n0\r\nSum: 13\r\n\r\n")
    #expect(try await client.readResponse().text == "abc0123456789 [sum: 13]")
    // An empty one is chunked too.
    try await client.write(
      "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n")
    #expect(try await client.readResponse().text == " []")
    #expect(node.count(.originConnectionsOpened) == 1)
  }

  @Test func `content of unknown length is chunked, and for HTTP 1 0 ends with the connection`()
    async throws
  {
    let origin = try await ScriptedOrigin { connection in
      while let request = try await connection.nextRequest() {
        guard request.target == "/chunked" else {
          try await connection.write("HTTP/1.1 200 OK\r\n\r\nsome text")
          return
        }
        try await connection.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try await connection.writeChunk("some ")
        try await connection.writeChunk("text")
        try await connection.write("0\r\nX-T: dropped\r\n\r\n")
      }
    }
    let node = try TestNode.forwarding(to: origin)
    for target in ["/chunked", "/close"] {
      let newer = try await node.get(target)
      #expect(newer.framing == .chunked)
      #expect(newer.text == "some text")
      let client = try await node.connect()
      let older = try await client.ask(
        "GET \(target) HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
      #expect(older.framing == .close)
      #expect(older.header("transfer-encoding") == nil)
      #expect(older.header("connection") == "close")
      #expect(older.text == "some text")
    }
  }

  @Test func `content of length zero is whole at once`() async throws {
    let origin = try await ScriptedOrigin.answering { request in
      #expect(request.framing == (request.method == "POST" ? .length(0) : .none))
      return Reply(200, [], "")
    }
    let node = try TestNode.forwarding(to: origin)
    let client = try await node.connect()
    for method in ["GET", "POST", "GET"] {
      let response = try await client.request(method, "/", body: method == "POST" ? "" : nil)
      #expect(response.framing == .length(0))
    }
    #expect(node.count(.originConnectionsOpened) == 1)
  }

  @Test func `Expect 100-continue is the origin's to answer`() async throws {
    let mayContinue = Signal("the client to have seen nothing")
    let origin = try await ScriptedOrigin { connection in
      let request = try await connection.readRequestHead()
      #expect(request.header("expect") == "100-continue")
      try await mayContinue.wait()
      try await connection.write("HTTP/1.1 100 Continue\r\n\r\n")
      let whole = try await connection.readContent(of: request)
      try await connection.respond(200, [], "got \(whole.text)")
      // The second time it refuses.
      _ = try await connection.readRequestHead()
      try await connection.respond(403, [], "no")
      try await connection.waitUntilClosed()
    }
    let node = try TestNode.forwarding(to: origin)
    let client = try await node.connect()
    let head = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 5\r\n\r\n"
    try await client.write(head)
    try await origin.waitForRequests(1)
    #expect(try client.readAvailable().isEmpty)
    mayContinue.send()
    let interim = "HTTP/1.1 100 Continue\r\n\r\n"
    let bytes = try await client.read(exactly: interim.utf8.count)
    #expect(String(decoding: bytes, as: UTF8.self) == interim)
    try await client.write("hello")
    #expect(try await client.readResponse().text == "got hello")
    try await client.write(head)
    let refused = try await client.readResponse()
    #expect(refused.status == 403)
    #expect(refused.interim.isEmpty)
    // Whether the content still comes is open, so the connection cannot go on.
    try await client.expectClosed()
  }

  @Test func `interim responses are passed on, but not to HTTP 1 0`() async throws {
    let origin = try await ScriptedOrigin { connection in
      while try await connection.nextRequest() != nil {
        try await connection.write(
          "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: X\r\nX: y\r\n\r\n"
            + "HTTP/1.1 102 Processing\r\n\r\n")
        try await connection.respond(200, [], "final")
      }
    }
    let node = try TestNode.forwarding(to: origin)
    let newer = try await node.get("/")
    #expect(newer.text == "final")
    #expect(newer.interim.map(\.status) == [103, 102])
    #expect(newer.interim.first?.header("link") == "</a>")
    #expect(newer.interim.first?.names == ["link"])
    let client = try await node.connect()
    let older = try await client.ask("GET / HTTP/1.0\r\nHost: a\r\n\r\n")
    #expect(older.text == "final")
    #expect(older.interim.isEmpty)
  }
}
