import EdgeTesting
import Metrics
import Testing

// What hostile clients of HTTP/2 cost in private memory: nothing that grows with their number, and what they
// hold open is no more than the windows and limits say.
extension MemoryTests {
  struct Flood: CustomTestStringConvertible, Sendable {
    let testDescription: String
    let counter: Counter
    let bytes: [UInt8]

    init(_ name: String, _ counter: Counter, _ frames: [Frame]) {
      testDescription = name
      self.counter = counter
      bytes = frames.flatMap(\.bytes)
    }
  }

  static func repeated(_ count: Int, _ frames: (Int) -> [Frame]) -> [Frame] {
    (0..<count).flatMap { frames($0 * 2 + 1) }
  }

  static func frame(_ type: UInt8, _ stream: Int, _ content: [UInt8], flags: UInt8 = 0) -> Frame {
    Frame(type: type, flags: flags, stream: stream, content: content)
  }

  /// A request whose field section goes on in a CONTINUATION.
  static var unfinished: Frame {
    var head = FrameClient.request(1, "/x")
    head.flags = 1
    return head
  }

  /// An entry for HPACK's table and many references to it.
  static var bomb: [UInt8] {
    let rest = 3_900 - 127
    let entry: [UInt8] =
      [0x40, 1, 0x62, 0x7F, UInt8(rest & 0x7F | 0x80), UInt8(rest >> 7)]
      + [UInt8](repeating: 0x76, count: 3_900)
    return FrameClient.request(1, "/x").content + entry + [UInt8](repeating: 0xBE, count: 1_000)
  }

  static let floods: [Flood] = [
    Flood(
      "rapid reset", .http2Resets,
      repeated(400) { [FrameClient.request($0, "/large"), frame(Frame.reset, $0, [0, 0, 0, 8])] }),
    Flood(
      "CONTINUATION", .http2Continuations,
      [unfinished]
        + repeated(20) { _ in
          [frame(Frame.continuation, 1, FrameClient.fields([("a", "b")]))]
        }),
    Flood(
      "fields that unpack", .http2FieldBombs, [frame(Frame.headers, 1, bomb, flags: 5)]),
    Flood("SETTINGS", .http2Settings, repeated(50) { _ in [frame(Frame.settings, 0, [])] }),
    Flood(
      "PING", .http2Pings,
      repeated(200) { _ in [frame(Frame.ping, 0, [UInt8](repeating: 0, count: 8))] }),
    Flood(
      "priorities", .http2Priorities,
      repeated(1_200) { [frame(0x10, 0, [0, 0, 0, UInt8($0 & 0x7F), 0x75, 0x3D, 0x31])] }),
    Flood(
      "empty frames", .http2SmallFrames,
      [FrameClient.request(1, "/x", method: "POST", ends: false)]
        + repeated(1_200) { _ in [frame(Frame.data, 1, [])] }),
    Flood(
      "window updates", .http2WindowUpdates,
      repeated(20_200) { _ in [frame(Frame.windowUpdate, 0, [0, 0, 0, 1])] }),
  ]

  @Test(arguments: floods)
  func `a flood leaves no memory behind`(_ flood: Flood) async throws {
    let stage = try await HTTP2HostileTests().stage()
    func attack(_ rounds: Int) async throws {
      for _ in 0..<rounds {
        let hostile = try await FrameClient.connect(toPort: stage.port)
        try? await hostile.client.write(flood.bytes)
        // To the end: what is answered until then is the node's to send, and not to keep.
        while (try? await hostile.read()) != nil {}
      }
    }
    // What the process has once (tables, pools, the allocator's arenas) is there after some rounds.
    try await attack(100)
    let before = Self.anonymous
    try await attack(100)
    #expect(Self.anonymous - before < 1 << 20)
    try await stage.node.expect(flood.counter, reaches: 200)
    try await HTTP2HostileTests().expectOthersGoOn(stage)
  }

  @Test func `clients that keep their windows shut hold no content in memory`() async throws {
    let stage = try await HTTP2HostileTests().stage()
    let first = try await RawClient.connect(to: stage.node.port)
    #expect(try await first.get("/large", host: "a.example").bodyLength == 4_000_000)
    try await stage.node.settle()
    let before = Self.anonymous
    var hostile: [FrameClient] = []
    for _ in 0..<20 {
      let client = try await FrameClient.connect(toPort: stage.port)
      hostile.append(client)
      for number in 0..<10 { try await client.send(FrameClient.request(number * 2 + 1, "/large")) }
      _ = try await client.next(Frame.data)
    }
    try await stage.node.standsStill(.bytesSent)
    // 800 MB are asked for; each connection may have its window, of 64 KiB, on the way.
    #expect(Self.anonymous - before < 16 << 20)
    try await HTTP2HostileTests().expectOthersGoOn(stage)
    for client in hostile { client.client.reset() }
  }
}
