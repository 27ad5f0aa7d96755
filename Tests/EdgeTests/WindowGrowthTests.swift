// An upload over a long path: a relay holds each byte for a while, and what the client may have under way is
// what the node's windows say.

import EdgeTesting
import EventLoop
import Testing

@Suite struct WindowGrowthTests {
  /// Uploads so many bytes through a relay and returns the most that the client might send at once.
  private static func upload(_ count: Int, http2: String) async throws -> Int {
    let origin = try await ScriptedOrigin.answering { request in
      Reply(200, [], "\(request.bodyLength)")
    }
    let node = try TestNode.start(
      origin: origin.port, route: "max_body 100MiB;",
      top: "listen 127.0.0.1:0 h2c; http2 { \(http2) }", store: nil, workers: 1,
      clock: NodeClock())
    let relay = try Relay(to: node.lastPort, delay: 10_000_000)
    var upload = Upload(frames: try await FrameClient.connect(toPort: relay.port), left: count)
    try await upload.run()
    await relay.end()
    return upload.most
  }

  @Test func `the window grows to what the path holds`() async throws {
    let most = try await Self.upload(12 << 20, http2: "max_window 1MiB;")
    #expect(most > 400_000, "\(most)")
    #expect(most <= 1 << 20, "\(most)")
  }

  @Test func `the window stays where it may not grow`() async throws {
    #expect(try await Self.upload(1 << 20, http2: "max_window 65535;") <= 65_535)
    #expect(try await Self.upload(1 << 20, http2: "window_memory 0;") <= 65_535)
  }
}

/// A client that sends what it may, and answers what it is asked.
private struct Upload {
  let frames: FrameClient
  var left: Int
  private var room = 65_535
  private var total = 65_535
  /// The most that it might send at once.
  private(set) var most = 65_535

  init(frames: FrameClient, left: Int) {
    self.frames = frames
    self.left = left
  }

  mutating func run() async throws {
    try await frames.send(
      FrameClient.request(
        1, "/up", method: "POST", ends: false, [("content-length", "\(left)")]))
    let expected = "\(left)"
    var answer: [UInt8] = []
    while true {
      try await send()
      let frame = try await frames.read()
      switch frame.type {
      case Frame.windowUpdate: take(frame)
      case Frame.ping where frame.flags & 1 == 0:
        try await frames.send(
          Frame(type: Frame.ping, flags: 1, stream: 0, content: frame.content))
      case Frame.settings where frame.flags & 1 == 0:
        try await frames.send(Frame(type: Frame.settings, flags: 1, stream: 0, content: []))
      case Frame.goAway, Frame.reset: throw PeerFailure(.ended, "the upload was ended")
      case Frame.data: answer += frame.content
      default: break
      }
      if frame.stream == 1, frame.type == Frame.data, frame.flags & 1 == 1 { break }
    }
    #expect(String(decoding: answer, as: UTF8.self) == expected)
  }

  private mutating func take(_ frame: Frame) {
    let step = frame.number(at: 0)
    if frame.stream == 0 { total += step } else { room += step }
    most = max(most, min(room, total))
  }

  private mutating func send() async throws {
    while left > 0 {
      let count = min(left, room, total, 16_384)
      guard count > 0 else { return }
      left -= count
      room -= count
      total -= count
      try await frames.send(
        Frame(
          type: Frame.data, flags: left == 0 ? 1 : 0, stream: 1,
          content: [UInt8](repeating: 7, count: count)))
    }
  }
}
