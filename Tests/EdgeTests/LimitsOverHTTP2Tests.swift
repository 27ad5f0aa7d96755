import EdgeTesting
import EventLoop
import Metrics
import Testing

/// Limits on requests that share a connection.
@Suite struct LimitsOverHTTP2Tests {
  private func start(_ limits: String, route: String, origin: ScriptedOrigin) async throws
    -> (TestNode, FrameClient)
  {
    let node = try TestNode.start(
      origin: origin.port, route: route, top: "listen 127.0.0.1:0 h2c; \(limits)", store: nil,
      workers: 1)
    // A window of 16 MiB for each stream, and as much for the connection.
    let frames = try await FrameClient.connect(
      toPort: node.lastPort, settings: [0, 4, 1, 0, 0, 0])
    try await frames.send(
      Frame(type: Frame.windowUpdate, flags: 0, stream: 0, content: [1, 0, 0, 0]))
    return (node, frames)
  }

  private func reset(_ stream: Int) -> Frame {
    Frame(type: Frame.reset, flags: 0, stream: stream, content: [0, 0, 0, 8])
  }

  @Test func `a stream that is reset in a line gives its place back`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    let (node, frames) = try await start(
      LimitKindsTests.slow, route: "limit slow;", origin: origin)
    try await frames.send(FrameClient.request(1, "/1"))
    #expect(try await frames.content(of: 1) == Array("x".utf8))
    for (number, stream) in [3, 5, 7].enumerated() {
      try await frames.send(FrameClient.request(stream, "/\(stream)"))
      try await node.expectWaiting("slow", number + 1)
    }
    try await frames.send(FrameClient.request(9, "/9"))
    let refusal = String(decoding: try await frames.content(of: 9), as: UTF8.self)
    #expect(refusal.contains("Too many requests."))
    // The first of the line, and one in the middle.
    try await frames.send(reset(3))
    try await node.expectWaiting("slow", 2)
    try await frames.send(FrameClient.request(11, "/11"))
    try await node.expectWaiting("slow", 3)
    try await frames.send(reset(7))
    try await node.expectWaiting("slow", 2)
    for stream in [5, 11] {
      node.advance(seconds: 0.1)
      #expect(try await frames.content(of: stream) == Array("x".utf8))
    }
    #expect(node.waiting("slow") == 0)
    #expect(origin.requests.map(\.target) == ["/1", "/5", "/11"])
  }

  /// How much content whole frames carry: a stream's end may come in one that has none.
  private static func content(in bytes: [UInt8]) -> Int {
    var sum = 0
    var rest = bytes[...]
    while rest.count >= 9 {
      let head = Array(rest.prefix(9))
      let length = Int(head[0]) << 16 | Int(head[1]) << 8 | Int(head[2])
      if head[3] == Frame.data { sum += length }
      rest = rest.dropFirst(9 + length)
    }
    return sum
  }

  /// With a pace for each response both streams have 64 KiB each second, with one for the client they share
  /// them.
  @Test(arguments: [("response_bandwidth 64KiB/s", 128 << 10), ("bandwidth 64KiB/s", 64 << 10)])
  func `streams come at their pace`(_ pace: String, _ everySecond: Int) async throws {
    let content = String(repeating: "0123456789abcdef", count: 8 << 10)
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], content) }
    let (node, frames) = try await start(
      "limit pace { \(pace); }", route: "limit pace;", origin: origin)
    try await frames.send(FrameClient.request(1, "/a"), FrameClient.request(3, "/b"))
    var received: [Int: [UInt8]] = [1: [], 3: []]
    var sum = 0
    let whole = 2 * content.utf8.count
    while sum < whole {
      let due = sum + everySecond
      while sum < due {
        let frame = try await frames.next(Frame.data)
        received[frame.stream, default: []] += frame.content
        sum += frame.content.count
      }
      #expect(sum == due)
      try await node.settleTurns()
      if sum < whole {
        #expect(Self.content(in: try frames.client.readAvailable()) == 0)
        node.advance(seconds: 1)
      }
    }
    for stream in [1, 3] { #expect(received[stream] == Array(content.utf8)) }
  }

  @Test(arguments: [true, false])
  func `a WebSocket in a stream is in flight until that ends`(isReset: Bool) async throws {
    let origin = try await ScriptedOrigin { connection in
      guard let request = try await connection.nextRequest() else { return }
      guard request.header("upgrade") != nil else {
        try await connection.respond(200, [], "x")
        return
      }
      try await connection.write(TunnelTests.switching)
      try await connection.waitUntilClosed()
    }
    let (node, frames) = try await start(
      "limit one { concurrency 1; }", route: "limit one; upgrade on;", origin: origin)
    try await frames.send(
      Frame(
        type: Frame.headers, flags: 4, stream: 1,
        content: FrameClient.fields([
          (":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"),
          (":path", "/chat"), (":authority", "a.example"), ("sec-websocket-version", "13"),
        ])))
    let head = try await frames.next(Frame.headers, stream: 1)
    #expect(head.content.first == 0x88, "the first field is :status 200 by its index")
    for stream in [3, 5] {
      try await frames.send(FrameClient.request(stream, "/x"))
      let refusal = String(decoding: try await frames.content(of: stream), as: UTF8.self)
      #expect(refusal.contains("Too many requests."))
    }
    try await frames.send(
      isReset ? reset(1) : Frame(type: Frame.data, flags: 1, stream: 1, content: []))
    try await node.expect(.tunnelsClosed, reaches: 1)
    try await frames.send(FrameClient.request(7, "/x"))
    #expect(try await frames.content(of: 7) == Array("x".utf8))
    #expect(node.decisions("one", "rejected") == 2)
  }
}
