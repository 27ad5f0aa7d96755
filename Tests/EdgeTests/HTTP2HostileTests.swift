import EdgeTesting
import Metrics
import Testing

/// Clients that are up to no good, over HTTP/2; beside each an honest one goes on.
@Suite struct HTTP2HostileTests {
  struct Stage {
    let node: TestNode
    let origin: ScriptedOrigin
    let port: UInt16
    let honest: FrameClient
  }

  func stage(_ top: String = "", receiveBuffer: Int? = nil) async throws -> Stage {
    let origin = try await ScriptedOrigin.answering { request in
      Reply(
        200, ["Cache-Control: max-age=600"],
        String(repeating: "y", count: request.target == "/large" ? 4_000_000 : 100))
    }
    let node = try TestNode.start(
      origin: origin.port, top: "listen 127.0.0.1:0 h2c; \(top)", workers: 1)
    let port = node.lastPort
    let honest = try await FrameClient.connect(toPort: port)
    try await honest.send(FrameClient.request(1, "/x"))
    _ = try await honest.content(of: 1)
    return Stage(node: node, origin: origin, port: port, honest: honest)
  }

  /// The honest client is answered still.
  func expectOthersGoOn(_ stage: Stage) async throws {
    try await stage.honest.send(FrameClient.request(3, "/x"))
    #expect(try await stage.honest.content(of: 3).count == 100)
  }

  /// Reads to GOAWAY; its code.
  func ending(_ frames: FrameClient) async throws -> Int {
    try await frames.next(Frame.goAway, throwing: false).number(at: 4)
  }

  @Test func `rapid resets end their connection`() async throws {
    let stage = try await stage("http2 { resets 1/s burst=20; }")
    let hostile = try await FrameClient.connect(toPort: stage.port)
    for number in 0..<30 {
      try? await hostile.send(
        FrameClient.request(number * 2 + 1, "/large"),
        Frame(type: Frame.reset, flags: 0, stream: number * 2 + 1, content: [0, 0, 0, 8]))
    }
    #expect(try await ending(hostile) == 11)
    try await stage.node.expect(.http2Resets, reaches: 1)
    try await expectOthersGoOn(stage)
  }

  @Test(arguments: [
    (
      Frame(type: Frame.ping, flags: 0, stream: 0, content: [0, 1, 2, 3, 4, 5, 6, 7]),
      Counter.http2Pings
    ),
    (Frame(type: Frame.settings, flags: 0, stream: 0, content: []), Counter.http2Settings),
    (
      Frame(type: 0x10, flags: 0, stream: 0, content: [0, 0, 0, 1, 0x75, 0x3D, 0x31]),
      Counter.http2Priorities
    ),
  ])
  func `floods end their connection`(_ frame: Frame, _ counter: Counter) async throws {
    let stage = try await stage(
      "http2 { pings 1/s burst=20; settings 1/s burst=20; priorities 1/s burst=20; }")
    let hostile = try await FrameClient.connect(toPort: stage.port)
    for _ in 0..<40 { try? await hostile.send(frame) }
    #expect(try await ending(hostile) == 11)
    try await stage.node.expect(counter, reaches: 1)
    try await expectOthersGoOn(stage)
  }

  @Test func `a flood of CONTINUATIONs ends its connection`() async throws {
    let stage = try await stage()
    let hostile = try await FrameClient.connect(toPort: stage.port)
    var head = FrameClient.request(1, "/x")
    head.flags = 1
    try await hostile.send(head)
    for _ in 0..<20 {
      try? await hostile.send(
        Frame(
          type: Frame.continuation, flags: 0, stream: 1, content: FrameClient.fields([("a", "b")])))
    }
    #expect(try await ending(hostile) == 11)
    try await stage.node.expect(.http2Continuations, reaches: 1)
    try await expectOthersGoOn(stage)
  }

  @Test func `fields that unpack to megabytes end their connection`() async throws {
    let stage = try await stage()
    let hostile = try await FrameClient.connect(toPort: stage.port)
    // One entry of 2,000 bytes for the table, then a thousand references to it.
    let value = String(repeating: "v", count: 2_000)
    let length: [UInt8] = [0x7F, UInt8((2_000 - 127) & 0x7F | 0x80), UInt8((2_000 - 127) >> 7)]
    let entry: [UInt8] = [0x40, 1, 0x62] + length + Array(value.utf8)
    let block =
      FrameClient.request(1, "/x").content + entry + [UInt8](repeating: 0xBE, count: 1_000)
    try await hostile.send(Frame(type: Frame.headers, flags: 5, stream: 1, content: block))
    #expect(try await ending(hostile) == 11)
    try await stage.node.expect(.http2FieldBombs, reaches: 1)
    try await expectOthersGoOn(stage)
  }

  @Test func `a stream whose window is shut is reset, while others go on beside it`() async throws {
    let large = String(repeating: "0123456789abcdef", count: 1 << 18)
    let origin = try await ScriptedOrigin.answering { request in
      Reply(200, ["Cache-Control: no-store"], request.target == "/large" ? large : "small")
    }
    let node = try TestNode.start(
      origin: origin.port,
      top: "listen 127.0.0.1:0 h2c; client { write_timeout 5s; } http2 { stall_timeout 1h; }",
      workers: 1)
    let frames = try await FrameClient.connect(toPort: node.lastPort)
    try await frames.send(FrameClient.request(1, "/large"))
    var taken = 0
    while taken < 65_535 { taken += try await frames.next(Frame.data, stream: 1).content.count }
    // The connection has room, the stream has none.
    try await frames.send(
      Frame(type: Frame.windowUpdate, flags: 0, stream: 0, content: [0, 0x0F, 0, 0]))
    for stream in [3, 5, 7] {
      try await frames.send(FrameClient.request(stream, "/small"))
      #expect(try await frames.content(of: stream) == Array("small".utf8))
      node.advance(seconds: stream == 7 ? 2 : 3)
    }
    _ = try await frames.next(Frame.reset, stream: 1)
    #expect(node.count(.writeTimeouts) == 1)
    try await frames.send(FrameClient.request(9, "/small"))
    #expect(try await frames.content(of: 9) == Array("small".utf8))
    frames.client.close()
    try await node.expectNothingLeft()
  }

  @Test func `a client that keeps its window shut is ended`() async throws {
    let stage = try await stage("http2 { stall_timeout 5s; }")
    let hostile = try await FrameClient.connect(toPort: stage.port)
    try await hostile.send(FrameClient.request(1, "/large"))
    _ = try await hostile.next(Frame.data, stream: 1)
    // Ticks of a second, as on a clock that runs.
    let node = stage.node
    async let end = ending(hostile)
    try await eventually("it to be ended") {
      node.advance(seconds: 1)
      return node.count(.http2Stalled) > 0
    }
    #expect(try await end == 11)
    #expect(node.count(.http2Stalled) == 1)
    try await expectOthersGoOn(stage)
  }

  @Test func `a client that does not read is ended`() async throws {
    let stage = try await stage("client { write_timeout 5s; }")
    let first = try await RawClient.connect(to: stage.node.port)
    #expect(try await first.get("/large", host: "a.example").bodyLength == 4_000_000)
    try await stage.node.settle()
    let window: [UInt8] = [0, 4, 0x7F, 0xFF, 0xFF, 0xFF]
    let hostile = try await FrameClient.connect(
      toPort: stage.port, receiveBuffer: 4_096, settings: window)
    try await hostile.send(
      Frame(type: Frame.windowUpdate, flags: 0, stream: 0, content: [0x3F, 0xFF, 0xFF, 0xFF]),
      FrameClient.request(1, "/large"))
    let node = stage.node
    try await node.standsStill(.bytesSent)
    try await eventually("it to be ended") {
      node.advance(seconds: 1)
      return node.count(.writeTimeouts) > 0
    }
    #expect(node.count(.writeTimeouts) == 1)
    try await expectOthersGoOn(stage)
  }

  @Test(arguments: [
    [("transfer-encoding", "chunked")], [("connection", "close")], [("X-Upper", "a")],
    [("a", "b\r\nc: d")], [("content-length", "5")], [("host", "b.example")],
    [(":path", "/again")],
  ])
  func `what could smuggle a request is refused and not forwarded`(
    _ fields: [(String, String)]
  ) async throws {
    let stage = try await stage()
    let hostile = try await FrameClient.connect(toPort: stage.port)
    try await hostile.send(FrameClient.request(1, "/smuggled", fields))
    let reset = try await hostile.next(Frame.reset, stream: 1)
    #expect(reset.number(at: 0) == 1)
    try await expectOthersGoOn(stage)
    #expect(!stage.origin.requests.contains { $0.target == "/smuggled" })
  }

  @Test func `more streams than allowed are refused one by one`() async throws {
    let answer = Signal("the answer")
    let origin = try await ScriptedOrigin.answering { _ in
      try await answer.wait()
      return Reply(200, [], "x")
    }
    let node = try TestNode.start(
      origin: origin.port, top: "listen 127.0.0.1:0 h2c; http2 { streams 3; }", store: nil,
      workers: 1)
    let port = node.lastPort
    let frames = try await FrameClient.connect(toPort: port)
    _ = try await frames.next(Frame.settings, throwing: false)
    for number in 0..<4 { try await frames.send(FrameClient.request(number * 2 + 1, "/\(number)")) }
    let refusal = try await frames.next(Frame.reset)
    #expect(refusal.stream == 7 && refusal.number(at: 0) == 7)
    answer.send()
    #expect(try await frames.content(of: 1) == Array("x".utf8))
  }
}
