import DemoOrigin
import EdgeTesting
import Metrics
import Testing

/// Large content passes through at the pace of the slower side, and the node holds little of it.
@Suite struct StreamingTests {
  static let size = 64 << 20
  /// What the node may hold. The kernel's buffers, which grow as the system is set, come on top.
  static let held = 5 << 20

  @Test(arguments: ["length", "chunked", "close"])
  func `a large response waits for its client`(framing: String) async throws {
    let content = DemoContent(of: framing)
    let written = Watched(0)
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      let line =
        switch framing {
        case "length": "Content-Length: \(Self.size)\r\n"
        case "chunked": "Transfer-Encoding: chunked\r\n"
        default: ""
        }
      try await connection.write("HTTP/1.1 200 OK\r\n\(line)\r\n")
      let step = 128 << 10
      for offset in stride(from: 0, to: Self.size, by: step) {
        if framing == "chunked" { try await connection.write("20000\r\n") }
        try await connection.write(content.bytes(at: offset, count: step))
        if framing == "chunked" { try await connection.write("\r\n") }
        written.update { $0 += step }
      }
      if framing == "chunked" { try await connection.write("0\r\n\r\n") }
    }
    let node = try TestNode.forwarding(to: origin, workers: 1)
    let client = try await RawClient.connect(to: node.port, receiveBuffer: 64 << 10)
    try await client.send("GET", "/")
    try await node.standsStill(.originBytesReceived)
    let inside = Int(node.count(.originBytesReceived)) - Int(node.count(.bytesSent))
    #expect(inside < Self.held)
    #expect(written.value < Self.size)
    let response = try await client.readResponse(content: .verify(content))
    #expect(response.bodyLength == Self.size)
    client.close()
    try await node.expectNothingLeft()
    try await origin.finish()
  }

  @Test(arguments: [false, true])
  func `a large upload waits for its origin`(isChunked: Bool) async throws {
    let content = DemoContent(of: "upload")
    let read = Signal("the origin to read")
    let origin = try await ScriptedOrigin { connection in
      let head = try await connection.readRequestHead()
      try await read.wait()
      let request = try await connection.readContent(of: head, .verify(content))
      try await connection.respond(200, [], "\(request.bodyLength)")
    }
    let node = try TestNode.forwarding(to: origin, workers: 1)
    let client = try await node.connect()
    let written = Watched(0)
    let writing = Task {
      let step = 128 << 10
      let line = isChunked ? "Transfer-Encoding: chunked" : "Content-Length: \(Self.size)"
      try await client.write("PUT / HTTP/1.1\r\nHost: a\r\n\(line)\r\n\r\n")
      for offset in stride(from: 0, to: Self.size, by: step) {
        if isChunked { try await client.write("20000\r\n") }
        try await client.write(content.bytes(at: offset, count: step))
        if isChunked { try await client.write("\r\n") }
        written.update { $0 += step }
      }
      if isChunked { try await client.write("0\r\n\r\n") }
    }
    try await origin.waitForRequests(1)
    try await node.standsStill(.bytesReceived)
    let inside = Int(node.count(.bytesReceived)) - Int(node.count(.originBytesSent))
    #expect(inside < 1 << 20)
    #expect(written.value < Self.size)
    read.send()
    try await writing.value
    #expect(try await client.readResponse().text == "\(Self.size)")
    client.close()
    try await node.expectNothingLeft()
  }

  @Test func `both directions stream at once`() async throws {
    let count = 8 << 20
    let content = DemoContent(of: "echo")
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequestHead()
      try await connection.write("HTTP/1.1 200 OK\r\nContent-Length: \(count)\r\n\r\n")
      for _ in 0..<count / (64 << 10) {
        try await connection.write(try await connection.read(exactly: 64 << 10))
      }
      try await connection.waitUntilClosed()
    }
    let node = try TestNode.forwarding(to: origin)
    let client = try await node.connect()
    let writing = Task {
      try await client.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \(count)\r\n\r\n")
      try await client.write(content.bytes(at: 0, count: count))
    }
    let response = try await client.readResponse(content: .verify(content))
    #expect(response.bodyLength == count)
    try await writing.value
    // The request was whole, so the connection goes on.
    #expect(response.header("connection") == nil)
    client.close()
    try await node.expectNothingLeft()
  }

  @Test func `content comes in the pieces in which the origin sends it`() async throws {
    let turn = Barrier(2)
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      try await connection.write("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n")
      for _ in 0..<20 {
        try await turn.arrive()
        try await connection.write("a")
      }
      try await connection.waitUntilClosed()
    }
    let node = try TestNode.forwarding(to: origin)
    let client = try await node.connect()
    try await client.send("GET", "/")
    #expect(try await client.readResponseHead().framing == .length(20))
    for _ in 0..<20 {
      try await turn.arrive()
      #expect(try await client.read(exactly: 1) == Array("a".utf8))
    }
  }
}
