import Bytes
import HTTP2
import Testing

/// What a hostile client sends, and what ends its connection.
struct Attack: CustomTestStringConvertible, Sendable {
  var why: String
  var failure: HTTP2Failure
  var bytes: [UInt8]
  var testDescription: String { why }

  init(_ why: String, _ failure: HTTP2Failure, _ bytes: [UInt8]) {
    self.why = why
    self.failure = failure
    self.bytes = bytes
  }
}

private func many(_ count: Int, _ bytes: (UInt32) -> [UInt8]) -> [UInt8] {
  (0..<count).flatMap { bytes(UInt32($0) * 2 + 1) }
}

private func reset(_ stream: UInt32) -> [UInt8] {
  Frame(type: 3, stream: stream, payload: big(8)).bytes
}

private func update(_ stream: UInt32, _ increment: UInt32) -> [UInt8] {
  Frame(type: 8, stream: stream, payload: big(increment)).bytes
}

/// A block whose one entry of the dynamic table is named again and again: 6 bytes become 4,000 each time.
private func bomb() -> [UInt8] {
  let long = String(repeating: "x", count: 3_900)
  let entry = [0x40] + string("a") + string(long)
  return section(get()) + entry + [UInt8](repeating: 0xBE, count: 200)
}

@Suite struct HostileTests {
  func check(_ attack: Attack) throws {
    let peer = try Peer()
    _ = peer.send(attack.bytes)
    #expect(peer.session.failure == attack.failure)
    let goodbye = try #require(peer.frames().last)
    #expect(goodbye.type == 7)
    #expect(goodbye.code == attack.failure.code.number)
    // It is over: nothing more is read or written.
    #expect(peer.send(headers(1_001, get())) == [])
    #expect(peer.frames() == [])
    #expect(peer.session.isFinished)
  }

  @Test(
    arguments: [
      Attack("rapid reset", .resetFlood, many(400) { headers($0, get()) + reset($0) }),
      Attack(
        "resets of closed streams", .resetFlood, headers(1, get()) + many(400) { _ in reset(1) }),
      Attack(
        "CONTINUATION without end", .continuationFlood,
        headers(1, get(), whole: false) + many(20) { _ in Frame(type: 9, stream: 1).bytes }),
      Attack(
        "large CONTINUATIONs", .continuationFlood,
        headers(1, get(), whole: false)
          + many(5) { _ in
            Frame(type: 9, stream: 1, payload: [UInt8](repeating: 0x82, count: 16_384)).bytes
          }),
      Attack("SETTINGS", .settingsFlood, many(50) { _ in settings }),
      Attack(
        "PING", .pingFlood,
        many(100) { _ in Frame(type: 6, payload: [UInt8](repeating: 0, count: 8)).bytes }),
      Attack(
        "answers to no PING", .pingFlood,
        many(100) { _ in Frame(type: 6, flags: 1, payload: [UInt8](repeating: 0, count: 8)).bytes }),
      Attack(
        "PRIORITY", .priorityFlood,
        many(1_100) { Frame(type: 2, stream: $0, payload: [0, 0, 0, 0, 1]).bytes }),
      Attack(
        "empty DATA", .tinyFrameFlood,
        headers(1, post(), ends: false) + many(1_100) { _ in data(1, "") }),
      Attack(
        "DATA of padding", .tinyFrameFlood,
        headers(1, post(), ends: false)
          + many(1_100) { _ in
            Frame(type: 0, flags: 8, stream: 1, payload: [9] + [UInt8](repeating: 0, count: 9))
              .bytes
          }),
      Attack(
        "GOAWAY", .tinyFrameFlood,
        many(1_100) { _ in Frame(type: 7, payload: big(0) + big(0)).bytes }),
      Attack("unknown frames", .tinyFrameFlood, many(1_100) { _ in Frame(type: 0xF0).bytes }),
      Attack("window updates", .windowUpdateFlood, many(20_100) { _ in update(0, 1) }),
      Attack(
        "HPACK bomb", .fieldBomb, Frame(type: 1, flags: 5, stream: 1, payload: bomb()).bytes),
    ])
  func `a flood ends the connection`(attack: Attack) throws { try check(attack) }

  @Test(
    arguments: [
      Attack("DATA on an idle stream", .frameOnIdleStream, data(1, "x")),
      Attack("RST_STREAM on an idle stream", .frameOnIdleStream, reset(5)),
      Attack("WINDOW_UPDATE on an idle stream", .frameOnIdleStream, update(7, 1)),
      Attack("DATA on a stream of ours", .frameOnIdleStream, data(2, "x")),
      Attack("DATA on stream 0", .frameOnIdleStream, data(0, "x")),
      Attack(
        "DATA on a stream the client reset", .frameOnClosedStream,
        headers(1, post(), ends: false) + reset(1) + data(1, "x")),
      Attack(
        "HEADERS on a stream the client reset", .frameOnClosedStream,
        headers(1, get()) + reset(1) + headers(1, get())),
      Attack(
        "an older stream that was skipped", .frameOnClosedStream,
        headers(5, get()) + headers(3, get())),
      Attack(
        "DATA after the end", .protocolError(.streamClosed),
        headers(1, get()) + data(1, "x")),
      Attack("HEADERS on an even stream", .protocolError(.protocolError), headers(2, get())),
      Attack(
        "a frame within a field section", .protocolError(.protocolError),
        headers(1, get(), whole: false) + data(1, "x")),
      Attack(
        "another stream's CONTINUATION", .protocolError(.protocolError),
        headers(1, get(), whole: false) + Frame(type: 9, flags: 4, stream: 3).bytes),
      Attack(
        "CONTINUATION out of nothing", .protocolError(.protocolError),
        Frame(type: 9, flags: 4, stream: 1).bytes),
      Attack(
        "an answer to SETTINGS that were not sent", .protocolError(.protocolError),
        many(2) { _ in Frame(type: 4, flags: 1).bytes }),
      Attack(
        "PUSH_PROMISE", .protocolError(.protocolError),
        Frame(type: 5, flags: 4, stream: 1, payload: big(2)).bytes),
      Attack(
        "a frame too large", .protocolError(.frameSizeError),
        Frame(type: 0, stream: 1, payload: [UInt8](repeating: 0, count: 16_385)).bytes),
      Attack(
        "SETTINGS of odd length", .protocolError(.frameSizeError),
        Frame(type: 4, payload: [1]).bytes),
      Attack(
        "a window that overflows", .protocolError(.flowControlError),
        update(0, 0x7FFF_FFFF)),
      Attack(
        "a window update of nothing", .protocolError(.protocolError), update(0, 0)),
      Attack(
        "a broken field section", .protocolError(.compressionError),
        Frame(type: 1, flags: 5, stream: 1, payload: [0xFF, 0xFF, 0xFF, 0xFF, 0xFF]).bytes),
    ])
  func `what breaks the protocol ends the connection`(attack: Attack) throws { try check(attack) }

  @Test func `who does not begin with the preface is no client`() throws {
    let peer = try Peer(greets: false)
    _ = peer.send(Array("GET / HTTP/1.1\r\n\r\n".utf8))
    #expect(peer.session.failure == .badPreface)
    let late = try Peer(greets: false)
    _ = late.send(Array(preface.dropLast()) + [0], step: 5)
    #expect(late.session.failure == .badPreface)
  }

  @Test func `a plain connection tells what it speaks`() {
    #expect(preface.withView { HTTP2Preface.look(at: $0) } == .whole)
    #expect((preface + settings).withView { HTTP2Preface.look(at: $0) } == .whole)
    for count in 0..<preface.count {
      #expect(Array(preface.prefix(count)).withView { HTTP2Preface.look(at: $0) } == .partial)
    }
    #expect(HTTP2Preface.look(at: ByteView("PRI / HTTP/1.1\r\n")) == .other)
  }

  @Test func `requests that make us reset count as resets`() throws {
    let peer = try Peer()
    let bad = get("/", [("connection", "close")])
    var stream: UInt32 = 1
    while peer.session.failure == nil, stream < 2_000 {
      _ = peer.send(headers(stream, bad))
      _ = peer.frames()
      stream += 2
    }
    #expect(peer.session.failure == .resetFlood)
    #expect(stream < 700)
  }

  @Test func `time gives budgets back`() throws {
    let peer = try Peer()
    for stream in stride(from: UInt32(1), to: 4_000, by: 2) {
      peer.now += 100_000_000
      _ = peer.send(headers(stream, get()) + reset(stream))
      _ = peer.frames()
    }
    #expect(peer.session.failure == nil)
  }

  @Test func `more streams than allowed are refused, and may be tried again`() throws {
    let peer = try Peer { $0.maxStreams = 3 }
    var all: [UInt8] = []
    for stream in [UInt32(1), 3, 5, 7] { all += headers(stream, post(), ends: false) }
    // Its content, sent before it knew, is no error.
    let seen = peer.send(all + data(7, "x"))
    #expect(seen.count == 3)
    let resets = peer.frames().filter { $0.type == 3 }
    #expect(resets.map(\.stream) == [7])
    #expect(resets.first?.code == 7)
    #expect(peer.session.failure == nil)
  }

  @Test func `a client that keeps its window shut is sent away`() throws {
    let peer = try Peer { $0.stallTime = 1_000 }
    _ = peer.send(Frame(type: 4, payload: [0, 4] + big(0)).bytes)
    _ = peer.send(headers(1, get()))
    peer.content.bodies[1] = [UInt8](repeating: 1, count: 10_000)
    peer.session.respond(1, status: 200, lines: ByteView(), contentFollows: true)
    _ = peer.frames()
    #expect(!peer.session.checkStall(now: 0))
    #expect(!peer.session.checkStall(now: 999))
    // A few bytes now and then do not help.
    _ = peer.send(update(1, 10))
    _ = peer.frames()
    #expect(peer.session.checkStall(now: 1_000))
    #expect(peer.session.failure == .stalled)
    #expect(peer.frames().last?.code == 11)
  }

  @Test func `a slow reader is let be, and so is one that waits for us`() throws {
    let peer = try Peer { $0.stallTime = 1_000 }
    _ = peer.send(Frame(type: 4, payload: [0, 4] + big(0)).bytes)
    _ = peer.send(headers(1, get()) + headers(3, get()))
    peer.content.bodies[1] = [UInt8](repeating: 1, count: 1_000_000)
    peer.session.respond(1, status: 200, lines: ByteView(), contentFollows: true)
    for turn in Int64(0)..<50 {
      _ = peer.send(update(1, 3_000) + update(0, 3_000))
      _ = peer.frames()
      #expect(!peer.session.checkStall(now: turn * 500))
    }
    let idle = try Peer { $0.stallTime = 1_000 }
    _ = idle.send(headers(1, get()))
    idle.session.respond(1, status: 200, lines: ByteView(), contentFollows: true)
    _ = idle.frames()
    for turn in Int64(0)..<10 { #expect(!idle.session.checkStall(now: turn * 1_000)) }
  }
}

@Suite struct MutationTests {
  /// A small generator with a seed.
  struct Noise {
    var state: UInt64
    mutating func next(_ bound: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33) % max(1, bound)
    }
  }

  /// Frames that make sense.
  static let sound: [UInt8] =
    settings + headers(1, get("/a", [("cookie", "a"), ("cookie", "b")]))
    + headers(3, post([("content-length", "5")]), ends: false) + data(3, "hello", ends: true)
    + headers(5, post(), ends: false) + data(5, "abc") + headers(5, [("x-trailer", "1")])
    + update(0, 1_000) + update(3, 100) + reset(5)
    + Frame(type: 6, payload: [UInt8](repeating: 1, count: 8)).bytes
    + Frame(type: 0x10, payload: big(1) + Array("u=1".utf8)).bytes
    + Frame(type: 2, stream: 7, payload: [0, 0, 0, 1, 5]).bytes
    + headers(9, get("/b"), ends: true, whole: false)
    + Frame(type: 9, flags: 4, stream: 9, payload: section([("z", "1")])).bytes
    + Frame(type: 7, payload: big(0) + big(0)).bytes

  @Test(arguments: 0..<40)
  func `bytes of any kind are survived`(seed: Int) throws {
    var noise = Noise(state: UInt64(seed) &+ 77)
    for _ in 0..<50 {
      var bytes = Self.sound
      for _ in 0...noise.next(6) {
        let at = noise.next(bytes.count)
        switch noise.next(4) {
        case 0: bytes[at] = UInt8(noise.next(256))
        case 1: bytes[at] ^= UInt8(1 << noise.next(8))
        case 2: bytes.removeSubrange(at..<min(bytes.count, at + 1 + noise.next(20)))
        default:
          bytes.insert(contentsOf: (0..<noise.next(12)).map { _ in UInt8(noise.next(256)) }, at: at)
        }
        if bytes.isEmpty { bytes = [0] }
      }
      let peer = try Peer(greets: false)
      for seen in peer.send(preface + bytes, step: 1 + noise.next(200)) {
        guard case .request(let stream, let text) = seen else { continue }
        // What is let through is one head of HTTP/1.1 and no more.
        #expect(text.components("\r\n\r\n") == 2)
        peer.content.bodies[UInt64(stream)] = [1, 2, 3]
        peer.session.respond(
          Int32(stream), status: 200, lines: ByteView("a: b\r\n"), contentFollows: true)
      }
      _ = peer.frames()
      _ = peer.events()
    }
  }
}

extension String {
  /// How many parts a separator makes.
  func components(_ separator: String) -> Int {
    let bytes = Array(utf8)
    let wanted = Array(separator.utf8)
    var count = 1
    for at in bytes.indices where bytes[at...].starts(with: wanted) { count += 1 }
    return count
  }
}
