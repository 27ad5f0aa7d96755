import EdgeTesting
import Metrics
import Testing

/// RFC 9112 §9: how long a client's connection lasts, and what comes in which order.
@Suite struct ConnectionTests {
  @Test func `fifty requests in one write are answered in order`() async throws {
    let origin = try await ScriptedOrigin.answering { Reply(200, [], "at \($0.target)") }
    let node = try TestNode.forwarding(to: origin)
    let client = try await node.connect()
    let requests = (0..<50).map { "GET /\($0) HTTP/1.1\r\nHost: a\r\n\r\n" }
    try await client.write(requests.joined())
    for number in 0..<50 {
      #expect(try await client.readResponse().text == "at /\(number)")
    }
    #expect(node.count(.connectionsAccepted) == 1)
    client.close()
    try await node.expectNothingLeft()
  }

  @Test func `a slow first response holds those of pipelined requests back`() async throws {
    let slow = Signal("the slow answer")
    let origin = try await ScriptedOrigin.answering { request in
      if request.target == "/slow" { try await slow.wait() }
      return Reply(200, [], request.target)
    }
    let node = try TestNode.forwarding(to: origin)
    let client = try await node.connect()
    for target in ["/slow", "/2", "/3"] { try await client.send("GET", target) }
    // Somebody else's requests go on meanwhile, and nothing overtakes on this connection.
    try await origin.waitForRequests(1)
    #expect(try await node.get("/other").text == "/other")
    #expect(try client.readAvailable().isEmpty)
    #expect(origin.requests.map(\.target) == ["/slow", "/other"])
    slow.send()
    for target in ["/slow", "/2", "/3"] {
      #expect(try await client.readResponse().text == target)
    }
  }

  @Test func `a pipelined request may follow content and end in a later write`() async throws {
    let origin = try await ScriptedOrigin.answering { Reply(200, [], "\($0.target) \($0.text)") }
    let node = try TestNode.forwarding(to: origin)
    let client = try await node.connect()
    try await client.write("POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /2 HT")
    #expect(try await client.readResponse().text == "/1 abc")
    try await client.write("TP/1.1\r\nHost: a\r\n\r\nPOST /3 HTTP/1.1\r\nHost: a\r\n")
    #expect(try await client.readResponse().text == "/2 ")
    try await client.write("Transfer-Encoding: chunked\r\n\r\n3\r\nxyz\r\n0\r\n\r\n")
    #expect(try await client.readResponse().text == "/3 xyz")
  }

  @Test func `a request byte by byte is the same request`() async throws {
    let origin = try await ScriptedOrigin.answering { Reply(200, [], "\($0.target) \($0.text)") }
    let node = try TestNode.forwarding(to: origin)
    let client = try await node.connect()
    try await client.write(
      "\r\nPOST /1?q HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n"
        + "1\r\nd\r\n0\r\nT: u\r\n\r\n", inPiecesOf: 1)
    #expect(try await client.readResponse().text == "/1?q abcd")
  }

  @Test func `Connection close ends the connection behind the response`() async throws {
    let origin = try await ScriptedOrigin.answering { request in
      // The client's wish is the client's: nothing of it reaches the origin.
      #expect(request.header("connection") == nil)
      return Reply(200, [], "last")
    }
    let node = try TestNode.forwarding(to: origin)
    let client = try await node.connect()
    let response = try await client.get("/", ["Connection: close"])
    #expect(response.text == "last")
    #expect(response.header("connection") == "close")
    try await client.expectClosed()
    try await node.expectNothingLeft()
  }

  @Test func `Connection close of the origin ends the origin's connection only`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in
      Reply(200, ["Connection: close"], "x")
    }
    let node = try TestNode.forwarding(to: origin)
    let client = try await node.connect()
    for _ in 0..<3 {
      let response = try await client.get("/")
      #expect(response.text == "x")
      #expect(response.header("connection") == nil)
    }
    #expect(node.count(.connectionsAccepted) == 1)
    #expect(node.count(.originConnectionsOpened) == 3)
  }

  @Test func `an HTTP 1 0 connection ends behind its response unless it asks to stay`() async throws
  {
    let origin = try await ScriptedOrigin.answering { request in
      #expect(request.header("via") == "1.0 weir")
      return Reply(200, [], request.target)
    }
    let node = try TestNode.forwarding(to: origin)
    let first = try await node.connect()
    let once = try await first.ask("GET /once HTTP/1.0\r\nHost: a\r\n\r\n")
    #expect(once.text == "/once")
    #expect(once.header("connection") == "close")
    try await first.expectClosed()
    let second = try await node.connect()
    for _ in 0..<2 {
      let kept = try await second.ask(
        "GET /kept HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n")
      #expect(kept.text == "/kept")
      #expect(kept.header("connection") == "keep-alive")
    }
    let last = try await second.ask("GET /last HTTP/1.0\r\nHost: a\r\n\r\n")
    #expect(last.text == "/last")
    try await second.expectClosed()
  }

  @Test func `a client that has ended its side still gets its responses`() async throws {
    let origin = try await ScriptedOrigin.answering { Reply(200, [], $0.target) }
    let node = try TestNode.forwarding(to: origin)
    let client = try await node.connect()
    try await client.send("GET", "/1")
    try await client.send("GET", "/2")
    client.endSending()
    #expect(try await client.readResponse().text == "/1")
    #expect(try await client.readResponse().text == "/2")
    try await client.expectClosed()
    try await node.expectNothingLeft()
  }

  @Test(arguments: ["HEAD", "GET 204", "GET 304"])
  func `a response without content leaves the connection in step`(kind: String) async throws {
    let origin = try await ScriptedOrigin.answering { request in
      guard request.target == "/none" else { return Reply(200, [], "next") }
      switch kind {
      case "GET 204": return Reply(204, ["X-A: b"])
      case "GET 304": return Reply(304, ["ETag: \"a\""])
      default: return Reply(200, ["X-A: b"], "five5")
      }
    }
    let node = try TestNode.forwarding(to: origin)
    let client = try await node.connect()
    let method = kind == "HEAD" ? "HEAD" : "GET"
    let none = try await client.request(method, "/none")
    #expect(none.status == (kind == "HEAD" ? 200 : Int(kind.suffix(3))))
    #expect(none.framing == .none)
    #expect(none.header("transfer-encoding") == nil)
    #expect(none.header("content-length") == (kind == "HEAD" ? "5" : nil))
    #expect(try await client.get("/").text == "next")
    #expect(node.count(.originConnectionsOpened) == 1)
  }
}
