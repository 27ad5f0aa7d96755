import EdgeTesting
import EventLoop
import Metrics
import Testing

/// The `origin` block's timeouts, each with its own word in Proxy-Status (RFC 9209 §2.3).
@Suite struct OriginTimeoutTests {
  @Test func `an origin that does not answer in time is a 504`() async throws {
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      // A beginning is not an answer.
      try await connection.write("HTTP/1.1 200 OK\r\nX: ")
      try await connection.waitUntilClosed()
    }
    let node = try TestNode.forwarding(to: origin, pool: "first_byte_timeout 5s;")
    let client = try await node.connect()
    try await client.send("GET", "/")
    try await node.expect(.originBytesReceived, reaches: 20)
    node.advance(seconds: 4.9)
    #expect(try client.readAvailable().isEmpty)
    node.advance(seconds: 0.2)
    let response = try await client.readResponse()
    #expect(response.status == 504)
    #expect(response.header("proxy-status") == "weir; error=http_response_timeout")
    #expect(response.header("cache-control") == "no-store")
    #expect(!response.text.isEmpty)
    #expect(node.count(.originTimeouts) == 1)
    // The client did nothing wrong, so its connection goes on.
    try await client.send("GET", "/")
    try await origin.waitForRequests(2)
    client.close()
  }

  @Test(arguments: ["Content-Length: 10", "Transfer-Encoding: chunked", "X-Close: delimited"])
  func `content that stops coming resets the client`(framing: String) async throws {
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      try await connection.write("HTTP/1.1 200 OK\r\n\(framing)\r\n\r\n3\r\nabc")
      try await connection.expectClosed()
    }
    let node = try TestNode.forwarding(to: origin, pool: "between_bytes_timeout 5s;")
    let client = try await node.connect()
    try await client.send("GET", "/")
    #expect(try await client.readResponseHead().status == 200)
    _ = try await client.read(exactly: 3)
    node.advance(seconds: 4.9)
    #expect(node.count(.connectionsClosed) == 0)
    node.advance(seconds: 0.2)
    try await client.expectReset()
    try await origin.finish()
    #expect(node.count(.originTimeouts) == 1)
    try await node.expectNothingLeft()
  }

  @Test func `each byte of the content gives it new time`() async throws {
    let next = Watched(0)
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      try await connection.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
      for number in 1...5 {
        try await next.wait(for: "byte \(number)") { $0 >= number }
        try await connection.write("\(number)")
      }
      try await connection.waitUntilClosed()
    }
    let node = try TestNode.forwarding(to: origin, pool: "between_bytes_timeout 5s;")
    let client = try await node.connect()
    try await client.send("GET", "/")
    #expect(try await client.readResponseHead().status == 200)
    for number in 1...5 {
      node.advance(seconds: 4)
      next.update { $0 = number }
      #expect(try await client.read(exactly: 1) == Array("\(number)".utf8))
    }
  }

  @Test func `an origin that does not take the content is given up`() async throws {
    let gone = Signal("the end of the test")
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequestHead()
      try await gone.wait()
    }
    let node = try TestNode.forwarding(
      to: origin, top: "client { body_timeout 1h; }", pool: "between_bytes_timeout 5s;")
    let client = try await node.connect()
    try await client.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
    let writing = Task {
      let block = [UInt8](repeating: 7, count: 1_000_000)
      do { for _ in 0..<100 { try await client.write(block) } } catch let failure as PeerFailure {
        #expect(failure.kind == .reset)
      }
    }
    try await node.standsStill(.bytesReceived)
    #expect(node.count(.originTimeouts) == 0)
    node.advance(seconds: 5.1)
    #expect(try await client.readResponse().status == 504)
    try await writing.value
    client.close()
    gone.send()
    #expect(node.count(.originTimeouts) == 1)
    try await node.expectNothingLeft()
  }

  /// The node stops reading with nothing left to read, so that nothing tells it when it may go on.
  @Test func `an origin that was held back and then stalls is given up`() async throws {
    let step = 64 << 10
    let window = 256 << 10
    let steps = Watched(0)
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      try await connection.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
      for written in 0..<Int.max {
        let wanted = try await steps.wait(for: "a step") { $0 > written }
        if wanted == .max { break }
        try await connection.write([UInt8](repeating: 7, count: step))
      }
      try await connection.waitUntilClosed()
    }
    let node = try TestNode.forwarding(to: origin, pool: "between_bytes_timeout 5s;", workers: 1)
    let client = try await RawClient.connect(to: node.port, receiveBuffer: 4096)
    try await client.send("GET", "/")
    #expect(try await client.readResponseHead().status == 200)
    let head = (sent: Int(node.count(.bytesSent)), received: Int(node.count(.originBytesReceived)))
    var count = 0
    var sent = 0
    repeat {
      count += 1
      steps.update { [count] in $0 = count }
      try await node.expect(.originBytesReceived, reaches: UInt64(head.received + count * step))
      sent = Int(node.count(.bytesSent)) - head.sent
    } while count * step < sent / step * step + window
    _ = try await client.read(exactly: count * step)
    node.advance(seconds: 5.1)
    try await client.expectReset()
    steps.update { $0 = .max }
    try await node.expectNothingLeft()
  }

  @Test func `a connection that is not accepted is a 504`() async throws {
    let deaf = try DeafListener()
    let node = try TestNode.start(
      origin: deaf.port, pool: "connect_timeout 3s;", store: nil)
    let client = try await node.connect()
    try await client.send("GET", "/")
    try await node.expect(.originConnectionsOpened, reaches: 1)
    node.advance(seconds: 2.9)
    #expect(try client.readAvailable().isEmpty)
    node.advance(seconds: 0.2)
    let response = try await client.readResponse()
    #expect(response.status == 504)
    #expect(response.header("proxy-status") == "weir; error=connection_timeout")
  }

  @Test func `an idle connection to the origin is closed in time`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply() }
    let node = try TestNode.forwarding(to: origin, pool: "keepalive_timeout 10s;", workers: 1)
    #expect(try await node.get("/").status == 200)
    node.advance(seconds: 9)
    #expect(try await node.get("/").status == 200)
    #expect(node.count(.originConnectionsReused) == 1)
    node.advance(seconds: 10.1)
    try await node.expect(.originConnectionsClosed, reaches: 1)
    #expect(try await node.get("/").status == 200)
    #expect(node.count(.originConnectionsOpened) == 2)
  }
}

/// A listening socket whose queue is full: the kernel drops what comes, without a word.
private final class DeafListener: Sendable {
  let port: UInt16
  private let listener: Descriptor
  private let waiting: Descriptor
  private let next: Descriptor

  init() throws {
    let loopback = SocketAddress(high: 0, low: 0xFFFF_7F00_0001, port: 0)
    listener = try Socket.listen(on: loopback, shared: false, backlog: 0)
    let address = Socket.localAddress(of: listener) ?? loopback
    port = address.port
    waiting = try Socket.connect(to: address)
    next = try Socket.connect(to: address)
  }
}
