import EdgeTesting
import Metrics
import Testing

/// An answer that is none, and what the client is told.
struct Misanswer: CustomTestStringConvertible, Sendable {
  var error: String
  var bytes: String

  init(_ error: String, _ bytes: String) {
    self.error = error
    self.bytes = bytes
  }

  var testDescription: String { "\(error): \(bytes.prefix(100).debugDescription)" }
}

/// Whatever an origin does, no client sees a complete response that was not complete.
@Suite struct OriginFailureTests {
  @Test func `an origin that is not there is a 502`() async throws {
    // Nobody listens there; a port that was given back may soon be somebody else's.
    let node = try TestNode.start(origin: 1, store: nil)
    let client = try await node.connect()
    for _ in 0..<2 {
      let response = try await client.get("/")
      #expect(response.status == 502)
      #expect(response.header("proxy-status") == "weir; error=connection_refused")
      #expect(response.header("connection") == nil)
    }
    #expect(node.count(.originConnectErrors) == 2)
    // Content that nobody takes ends the connection, but the answer comes.
    let posted = try await client.request("POST", "/", body: "some text")
    #expect(posted.status == 502)
    client.close()
    try await node.expectNothingLeft()
  }

  @Test(
    arguments: [
      Misanswer("http_protocol_error", "garbage\r\n\r\n"),
      Misanswer("http_protocol_error", "HTTP/1.1 20 OK\r\n\r\n"),
      Misanswer("http_protocol_error", "HTTP/2 200 OK\r\n\r\n"),
      Misanswer("http_protocol_error", "HTTP/1.1 200 OK\nContent-Length: 0\n\n"),
      Misanswer("http_protocol_error", "HTTP/1.1 200 OK\r\nContent-Length: a\r\n\r\n"),
      Misanswer(
        "http_protocol_error", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na"),
      Misanswer(
        "http_protocol_error",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
      Misanswer("http_protocol_error", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"),
      Misanswer("http_protocol_error", "HTTP/1.1 200 OK\r\nX : y\r\n\r\n"),
      Misanswer("http_protocol_error", "HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n"),
      Misanswer("http_protocol_error", "HTTP/1.1 200 OK\r\nX: \u{0}\r\n\r\n"),
      Misanswer("http_protocol_error", "HTTP/1.1 101 Switching Protocols\r\n\r\n"),
      Misanswer(
        "http_response_header_section_size",
        "HTTP/1.1 200 OK\r\nX: " + String(repeating: "a", count: 70_000) + "\r\n\r\n"),
      Misanswer(
        "http_response_header_section_size",
        "HTTP/1.1 200 OK\r\n" + String(repeating: "X: y\r\n", count: 1001) + "\r\n"),
      Misanswer("http_response_incomplete", ""),
      Misanswer("http_response_incomplete", "HTTP/1.1 200 OK\r\nContent-Le"),
      Misanswer("http_response_incomplete", "HTTP/1.1 103 Early Hints\r\n\r\n"),
    ])
  func `an answer that is none is a 502`(misanswer: Misanswer) async throws {
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      try await connection.write(misanswer.bytes)
    }
    let node = try TestNode.forwarding(to: origin, workers: 1)
    let client = try await node.connect()
    let response = try await client.get("/")
    #expect(response.status == 502)
    #expect(response.header("proxy-status") == "weir; error=\(misanswer.error)")
    #expect(response.header("x") == nil)
    #expect(origin.requests.count == 1)
    client.close()
    try await node.expectNothingLeft()
    #expect(try node.log().first?["status"]?.int == 502)
    #expect(try node.log().first?["cache"]?.string == "error")
  }

  @Test func `an endless head is cut off`() async throws {
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      try await connection.write("HTTP/1.1 200 OK\r\n")
      do {
        while true { try await connection.write(String(repeating: "X: y\r\n", count: 100)) }
      } catch let failure as PeerFailure { #expect(failure.kind == .reset) }
    }
    let node = try TestNode.forwarding(to: origin, pool: "max_header 16k;")
    #expect(try await node.get("/").status == 502)
    #expect(node.count(.originBytesReceived) < 200_000)
    try await origin.finish()
  }

  @Test func `an endless row of interim responses is cut off by time`() async throws {
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      for _ in 0..<5 { try await connection.write("HTTP/1.1 102 Processing\r\n\r\n") }
      try await connection.waitUntilClosed()
    }
    let node = try TestNode.forwarding(to: origin, pool: "first_byte_timeout 5s;")
    let client = try await node.connect()
    try await client.send("GET", "/")
    try await node.expect(.originBytesReceived, reaches: 5 * 27)
    node.advance(seconds: 5.1)
    let response = try await client.readResponse()
    #expect(response.status == 504)
    #expect(response.interim.count == 5)
  }

  @Test(arguments: [true, false])
  func `a connection that ends before the head is a 502`(isReset: Bool) async throws {
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      if isReset { connection.reset() }
    }
    let node = try TestNode.forwarding(to: origin)
    let response = try await node.get("/")
    #expect(response.status == 502)
    #expect(response.header("proxy-status") == "weir; error=http_response_incomplete")
    // A fresh connection is not tried again.
    #expect(origin.requests.count == 1)
    #expect(node.count(.originRetries) == 0)
  }

  @Test(
    arguments: [
      "Content-Length: 10\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
      "Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
      "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
      "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
      "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n",
      "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nbad trailer\r\n\r\n",
    ], [true, false])
  func `content that breaks off resets the client`(answer: String, isReset: Bool) async throws {
    let seen = Signal("the client to have the head")
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      try await connection.write("HTTP/1.1 200 OK\r\n" + answer)
      try await seen.wait()
      if isReset { connection.reset() }
    }
    let node = try TestNode.forwarding(to: origin, workers: 1)
    for isOld in [false, true] {
      let client = try await node.connect()
      try await client.write(
        "GET / HTTP/1.\(isOld ? 0 : 1)\r\nHost: a\r\n\r\n")
      try await origin.waitForRequests(isOld ? 2 : 1)
      seen.send()
      // However much came through: it ends with a reset, for HTTP/1.0 too.
      let (bytes, ending) = try await client.readToEnding()
      #expect(ending == .reset, "\(String(decoding: bytes, as: UTF8.self))")
      #expect(!String(decoding: bytes, as: UTF8.self).hasSuffix("\r\n0\r\n\r\n"))
    }
    try await node.expectNothingLeft()
    #expect(node.count(.fillsFailed) == 2)
  }

  @Test func `content up to the end of the connection may end, but not with a reset`() async throws
  {
    let seen = Barrier(2)
    let origin = try await ScriptedOrigin { connection in
      let request = try await connection.readRequest()
      try await connection.write("HTTP/1.1 200 OK\r\n\r\nhello")
      try await seen.arrive()
      if request.target == "/reset" { connection.reset() }
    }
    let node = try TestNode.forwarding(to: origin)
    let whole = try await node.connect()
    try await whole.send("GET", "/whole")
    #expect(try await whole.readResponseHead().framing == .chunked)
    try await seen.arrive()
    #expect(try await whole.read(exactly: 15) == Array("5\r\nhello\r\n0\r\n\r\n".utf8))
    let cut = try await node.connect()
    try await cut.send("GET", "/reset")
    #expect(try await cut.readResponseHead().framing == .chunked)
    try await seen.arrive()
    try await cut.expectReset()
  }

  @Test(arguments: [10, 200_000])
  func `bytes behind a response are nobody's answer`(length: Int) async throws {
    let body = String(repeating: "a", count: length)
    let origin = try await ScriptedOrigin { connection in
      let request = try await connection.readRequest()
      try await connection.write(
        "HTTP/1.1 200 OK\r\nContent-Length: \(length)\r\n\r\n\(body)"
          + "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned")
      #expect(request.target == "/\(connection.index)")
      try await connection.waitUntilClosed()
    }
    let node = try TestNode.forwarding(to: origin, workers: 1)
    let client = try await node.connect()
    for number in 0..<3 {
      let response = try await client.get("/\(number)")
      #expect(response.bodyLength == length)
    }
    #expect(origin.accepted == 3)
    #expect(node.count(.originConnectionsReused) == 0)
  }

  @Test(arguments: ["HEAD", "204", "304", "chunked"])
  func `bytes behind a response without a length are nobody's answer`(kind: String) async throws {
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      let head =
        switch kind {
        case "204", "304": "HTTP/1.1 \(kind) None\r\n\r\n"
        case "HEAD": "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n"
        default: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"
        }
      try await connection.write(head + "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned")
      try await connection.waitUntilClosed()
    }
    let node = try TestNode.forwarding(to: origin, workers: 1)
    let client = try await node.connect()
    for _ in 0..<3 {
      let response = try await client.request(kind == "HEAD" ? "HEAD" : "GET", "/")
      #expect(response.text == (kind == "chunked" ? "a" : ""))
    }
    #expect(node.count(.originConnectionsReused) == 0)
  }

  @Test func `an answer may come before the content is complete`() async throws {
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequestHead()
      try await connection.respond(413, ["X-Origin: yes"], "too much")
      try await connection.waitUntilClosed()
    }
    let node = try TestNode.forwarding(to: origin)
    let client = try await node.connect()
    try await client.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc")
    let response = try await client.readResponse()
    #expect(response.status == 413)
    #expect(response.header("x-origin") == "yes")
    #expect(response.text == "too much")
    // What would follow is content, not a request.
    try await client.expectClosed()
    try await origin.finish()
    client.close()
    try await node.expectNothingLeft()
    #expect(node.count(.originConnectionsReused) == 0)
  }

  @Test(arguments: [("GET", 200, 1), ("PUT", 200, 1), ("POST", 502, 0), ("DELETE", 200, 1)])
  func `a kept connection that ends is tried again, once, unless that is unsafe`(
    method: String, status: Int, retries: Int
  ) async throws {
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      try await connection.respond(200, [], "answer of \(connection.index)")
      // The next request is taken and not answered.
      if try await connection.nextRequest() != nil { connection.close() }
    }
    let node = try TestNode.forwarding(to: origin, workers: 1)
    let client = try await node.connect()
    #expect(try await client.get("/").text == "answer of 0")
    let response = try await client.request(method, "/", method == "PUT" ? [] : [])
    #expect(response.status == status)
    if status == 200 { #expect(response.text == "answer of 1") }
    #expect(Int(node.count(.originRetries)) == retries)
    #expect(Int(node.count(.originConnectionsOpened)) == 1 + retries)
  }

  @Test func `content that was sent is not sent again`() async throws {
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      try await connection.respond(200, [], "first")
      if try await connection.nextRequest() != nil { connection.close() }
    }
    let node = try TestNode.forwarding(to: origin, workers: 1)
    let client = try await node.connect()
    #expect(try await client.get("/").text == "first")
    #expect(try await client.request("PUT", "/", body: "content").status == 502)
    #expect(node.count(.originRetries) == 0)
  }

  @Test func `a connection that the origin closes while it is idle is not used`() async throws {
    let close = Signal("the end of the first connection")
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      try await connection.respond(200, [], "\(connection.index)")
      if connection.index == 0 {
        try await close.wait()
      } else {
        try await connection.waitUntilClosed()
      }
    }
    let node = try TestNode.forwarding(to: origin, workers: 1)
    let client = try await node.connect()
    #expect(try await client.get("/").text == "0")
    close.send()
    try await node.expect(.originConnectionsClosed, reaches: 1)
    #expect(try await client.request("POST", "/", body: "x").text == "1")
    #expect(node.count(.originRetries) == 0)
  }

  @Test func `a server that cannot be reached is passed over`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "here") }
    let node = try TestNode.forwarding(to: origin, pool: "server 127.0.0.1:1;")
    for _ in 0..<4 { #expect(try await node.get("/").text == "here") }
    #expect(node.count(.originConnectErrors) == 2)
  }
}
