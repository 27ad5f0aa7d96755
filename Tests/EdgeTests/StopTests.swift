import EdgeTesting
import Metrics
import Testing

/// A node that is asked to stop.
@Suite struct StopTests {
  @Test func `what is in flight is finished, what is idle closed, what is new refused`()
    async throws
  {
    let answer = Signal("the answer")
    let origin = try await ScriptedOrigin.answering { request in
      if request.target == "/slow" { try await answer.wait() }
      return Reply(200, [], request.target)
    }
    let node = try TestNode.forwarding(to: origin)
    let idle = try await node.connect()
    #expect(try await idle.get("/").text == "/")
    let fresh = try await node.connect()
    try await node.expect(.connectionsAccepted, reaches: 2)
    let busy = try await node.connect()
    try await busy.send("GET", "/slow")
    try await origin.waitForRequests(2)
    let stopped = node.stopAside()
    try await idle.expectClosed()
    try await fresh.expectClosed()
    // The workers hear of the stop one after the other: each probe until then is taken and let go.
    await node.isRefusing()
    await #expect(throws: PeerFailure.self) { try await node.connect() }
    #expect(!stopped.isSent)
    answer.send()
    let response = try await busy.readResponse()
    #expect(response.text == "/slow")
    #expect(response.header("connection") == "close")
    try await busy.expectClosed()
    try await stopped.wait()
    #expect(node.count(.connectionsAccepted) >= 3)
    #expect(node.count(.connectionsClosed) == node.count(.connectionsAccepted))
    #expect(node.count(.originConnectionsOpened) == node.count(.originConnectionsClosed))
    #expect(try node.log().count == 2)
  }

  @Test func `a large response is finished, however slowly it is read`() async throws {
    let count = 8_000_000
    let origin = try await ScriptedOrigin.answering { _ in
      Reply(200, [], String(repeating: "a", count: count))
    }
    let node = try TestNode.forwarding(to: origin)
    let client = try await RawClient.connect(to: node.port, receiveBuffer: 4096)
    try await client.send("GET", "/")
    #expect(try await client.readResponseHead().status == 200)
    try await node.standsStill(.bytesSent)
    let stopped = node.stopAside()
    await node.isRefusing()
    #expect(try await client.read(exactly: count).count == count)
    try await client.expectClosed()
    try await stopped.wait()
  }

  /// The last bytes of a response may wait for the kernel while the connection already waits for its
  /// next request.
  @Test(arguments: [true, false])
  func `a response whose end still waits for its client is finished`(isChunked: Bool) async throws {
    let count = 6_000_000
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      let line = isChunked ? "Transfer-Encoding: chunked" : "Content-Length: \(count)"
      try await connection.write("HTTP/1.1 200 OK\r\n\(line)\r\n\r\n")
      // Small pieces: such are gathered for the client instead of being offered again.
      for _ in 0..<count / 1000 {
        let piece = String(repeating: "a", count: 1000)
        try await connection.write(isChunked ? "3e8\r\n\(piece)\r\n" : piece)
      }
      if isChunked { try await connection.write("0\r\n\r\n") }
      try await connection.waitUntilClosed()
    }
    let node = try TestNode.forwarding(to: origin)
    let client = try await RawClient.connect(to: node.port, receiveBuffer: 4096)
    try await client.send("GET", "/")
    try await node.standsStill(.bytesSent)
    let stopped = node.stopAside()
    await node.isRefusing()
    let response = try await client.readResponse()
    #expect(response.bodyLength == count)
    _ = try await client.readToEnding()
    try await stopped.wait()
  }

  @Test(arguments: [0, 1])
  func `drain_timeout cuts off what hangs, and it does not look complete`(minor: Int) async throws {
    let origin = try await ScriptedOrigin { connection in
      let request = try await connection.readRequest()
      if request.target == "/begun" {
        try await connection.write("HTTP/1.1 200 OK\r\n\r\nsome")
      }
      try await connection.waitUntilClosed()
    }
    let node = try TestNode.forwarding(to: origin, drain: "20s")
    let begun = try await node.connect()
    try await begun.write("GET /begun HTTP/1.\(minor)\r\nHost: a\r\n\r\n")
    #expect(try await begun.readResponseHead().status == 200)
    let waiting = try await node.connect()
    try await waiting.send("GET", "/waiting")
    try await origin.waitForRequests(2)
    let stopped = node.stopAside()
    await node.isRefusing()
    node.advance(seconds: 19.9)
    #expect(!stopped.isSent)
    node.advance(seconds: 0.2)
    try await stopped.wait()
    try await begun.expectReset()
    #expect(try await waiting.readResponse().status == 502)
    #expect(node.count(.connectionsAccepted) == node.count(.connectionsClosed))
    try await origin.finish()
  }

  @Test func `pipelined requests that were not begun are left to be asked elsewhere`() async throws
  {
    let answer = Signal("the answer")
    let origin = try await ScriptedOrigin.answering { request in
      try await answer.wait()
      return Reply(200, [], request.target)
    }
    let node = try TestNode.forwarding(to: origin)
    let client = try await node.connect()
    try await client.send("GET", "/1")
    try await client.send("GET", "/2")
    try await origin.waitForRequests(1)
    let stopped = node.stopAside()
    await node.isRefusing()
    answer.send()
    let response = try await client.readResponse()
    #expect(response.text == "/1")
    #expect(response.header("connection") == "close")
    try await client.expectClosed()
    client.close()
    try await stopped.wait()
    #expect(origin.requests.map(\.target) == ["/1"])
  }

  @Test func `a head that is half there may still come`() async throws {
    let origin = try await ScriptedOrigin.answering { Reply(200, [], $0.target) }
    let node = try TestNode.forwarding(to: origin)
    let client = try await node.connect()
    try await client.write("GET /half HTTP/1.1\r\n")
    try await node.expect(.bytesReceived, reaches: 20)
    let stopped = node.stopAside()
    await node.isRefusing()
    try await client.write("Host: a\r\n\r\n")
    let response = try await client.readResponse()
    #expect(response.text == "/half")
    #expect(response.header("connection") == "close")
    try await stopped.wait()
  }

  @Test func `whoever connected before the stop is not reset`() async throws {
    let origin = try await ScriptedOrigin.answering { Reply(200, [], $0.target) }
    let node = try TestNode.forwarding(to: origin, workers: 1)
    // More than a worker accepts in a row, each with its request already sent.
    var clients: [RawClient] = []
    for _ in 0..<300 {
      let client = try await node.connect()
      try await client.write("GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
      clients.append(client)
    }
    let stopped = node.stopAside()
    for client in clients { #expect(try await client.readResponse().text == "/x") }
    try await stopped.wait()
    #expect(node.count(.connectionsAccepted) == 300)
  }
}

extension TestNode {
  /// Waits until nobody can connect any more: the node has begun to stop.
  fileprivate func isRefusing() async {
    try? await eventually("connections to be refused") {
      guard let client = try? await RawClient.connect(to: self.port) else { return true }
      client.close()
      return false
    }
  }
}
