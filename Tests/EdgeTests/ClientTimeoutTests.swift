import EdgeTesting
import Metrics
import Testing

/// The `client` block's timeouts. Time passes when the test says so.
@Suite struct ClientTimeoutTests {
  static let settings =
    "client { header_timeout 10s; body_timeout 20s; idle_timeout 30s; write_timeout 40s; }"

  @Test func `a head that comes byte by byte ends in 408`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply() }
    let node = try TestNode.forwarding(to: origin, top: Self.settings)
    let client = try await node.connect()
    let head = "GET / HTTP/1.1\r\nHost: a\r\nX-Slow: "
    try await client.write(head)
    try await node.expect(.bytesReceived, reaches: UInt64(head.utf8.count))
    // Each byte comes in good time, and still the head has only its ten seconds.
    for count in 1...9 {
      node.advance(seconds: 1)
      try await client.write("a")
      try await node.expect(.bytesReceived, reaches: UInt64(head.utf8.count + count))
    }
    #expect(try client.readAvailable().isEmpty)
    node.advance(seconds: 1.001)
    let response = try await client.readResponse()
    #expect(response.status == 408)
    #expect(response.header("connection") == "close")
    try await client.expectClosed()
    #expect(node.count(.headTimeouts) == 1)
    #expect(origin.accepted == 0)
    client.close()
    try await node.expectNothingLeft()
  }

  @Test func `a connection without a request is closed without a word`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply() }
    let node = try TestNode.forwarding(to: origin, top: Self.settings)
    let client = try await node.connect()
    try await node.expect(.connectionsAccepted, reaches: 1)
    node.advance(seconds: 9.9)
    #expect(node.count(.connectionsClosed) == 0)
    node.advance(seconds: 0.2)
    try await client.expectClosed()
  }

  @Test func `an idle connection is closed, one that asks again is not`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    let node = try TestNode.forwarding(to: origin, top: Self.settings)
    let client = try await node.connect()
    for _ in 0..<4 {
      #expect(try await client.get("/").text == "x")
      node.advance(seconds: 29)
    }
    #expect(try await client.get("/").text == "x")
    node.advance(seconds: 30.1)
    try await client.expectClosed()
    #expect(node.count(.headTimeouts) == 0)
    try await node.expectNothingLeft()
  }

  @Test func `the time of a second head begins with its first byte`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    let node = try TestNode.forwarding(to: origin, top: Self.settings)
    let client = try await node.connect()
    #expect(try await client.get("/").text == "x")
    node.advance(seconds: 25)
    let before = node.count(.bytesReceived)
    try await client.write("GET /")
    try await node.expect(.bytesReceived, reaches: before + 5)
    node.advance(seconds: 9)
    try await client.write(" HTTP/1.1\r\nHost: a\r\n")
    try await node.expect(.bytesReceived, reaches: before + 25)
    #expect(node.count(.connectionsClosed) == 0)
    node.advance(seconds: 1.1)
    #expect(try await client.readResponse().status == 408)
  }

  @Test func `a second head that came along with the first has no more time`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    let node = try TestNode.forwarding(to: origin, top: Self.settings)
    let client = try await node.connect()
    try await client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /never")
    #expect(try await client.readResponse().text == "x")
    node.advance(seconds: 10.1)
    #expect(try await client.readResponse().status == 408)
    try await client.expectClosed()
  }

  @Test func `content that stops coming ends in 408, and the origin's request too`() async throws {
    let origin = try await ScriptedOrigin { connection in
      let request = try await connection.readRequestHead()
      #expect(try await connection.read(exactly: 3) == Array("abc".utf8))
      #expect(request.framing == .length(10))
      try await connection.expectClosed()
    }
    let node = try TestNode.forwarding(to: origin, top: Self.settings)
    let client = try await node.connect()
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n"
    try await client.write(head)
    for (number, byte) in ["a", "b", "c"].enumerated() {
      try await client.write(byte)
      // A byte within each pause is enough, as long as the origin takes it.
      try await node.expect(.bytesReceived, reaches: UInt64(head.utf8.count + number + 1))
      try await origin.waitForRequests(1)
      node.advance(seconds: number < 2 ? 19 : 20.1)
    }
    let response = try await client.readResponse()
    #expect(response.status == 408)
    try await client.expectClosed()
    try await origin.finish()
    #expect(node.count(.bodyTimeouts) == 1)
    client.close()
    try await node.expectNothingLeft()
  }

  @Test func `a client that does not read is reset, and the origin's connection closed`()
    async throws
  {
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      try await connection.write("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
      let block = [UInt8](repeating: 7, count: 1 << 20)
      // The node stops taking it; then it closes, with bytes unread.
      do {
        for _ in 0..<90 { try await connection.write(block) }
        Issue.record("all of it was taken")
      } catch let failure as PeerFailure { #expect(failure.kind == .reset) }
    }
    let node = try TestNode.forwarding(
      to: origin, top: Self.settings, pool: "between_bytes_timeout 1h;")
    let client = try await RawClient.connect(to: node.port, receiveBuffer: 4096)
    try await client.send("GET", "/")
    // More than the node holds: what is beyond has been offered to the client.
    try await node.expect(.originBytesReceived, reaches: 300_000)
    try await node.standsStill(.originBytesReceived)
    try await node.standsStill(.bytesSent)
    var sent = node.count(.bytesSent)
    node.advance(seconds: 39)
    #expect(node.count(.connectionsClosed) == 0)
    // The client's kernel may take a little more now and then: only that may begin the time anew.
    for pause in [1.1] + [Double](repeating: 40.1, count: 20) {
      node.advance(seconds: pause)
      try await node.standsStill(.bytesSent)
      if node.count(.writeTimeouts) > 0 { break }
      #expect(node.count(.bytesSent) > sent)
      sent = node.count(.bytesSent)
    }
    try await client.expectReset()
    try await node.expectNothingLeft()
    #expect(node.count(.writeTimeouts) == 1)
    try await origin.finish()
  }

  @Test func `a client that was slow and has caught up may wait for the origin`() async throws {
    let rest = Signal("the rest")
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      try await connection.write("HTTP/1.1 200 OK\r\nContent-Length: 20000005\r\n\r\n")
      try await connection.write([UInt8](repeating: 7, count: 20_000_000))
      try await rest.wait()
      try await connection.write("whole")
      try await connection.waitUntilClosed()
    }
    let node = try TestNode.forwarding(
      to: origin, top: Self.settings, pool: "between_bytes_timeout 1h;")
    let client = try await RawClient.connect(to: node.port, receiveBuffer: 4096)
    try await client.send("GET", "/")
    #expect(try await client.readResponseHead().status == 200)
    try await node.standsStill(.originBytesReceived)
    for _ in 0..<20 { _ = try await client.read(exactly: 1_000_000) }
    node.advance(seconds: 100)
    rest.send()
    #expect(try await client.read(exactly: 5) == Array("whole".utf8))
    #expect(node.count(.writeTimeouts) == 0)
  }
}
