import Bytes
import HTTP2
import HTTPMessage
import Testing

@Suite struct ResponseTests {
  func view(_ text: String, _ body: (ByteView) -> Void) { text.withView(body) }

  /// Bytes that tell their places apart.
  func pattern(_ count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: $0 ^ $0 >> 8) }
  }

  /// Room for everything.
  func open(_ peer: Peer, _ streams: [UInt32]) {
    for stream in [0] + streams {
      _ = peer.send(Frame(type: 8, stream: stream, payload: big(1 << 26)).bytes)
    }
  }

  @Test func `a head and content go out, without what HTTP 2 does not have`() throws {
    let peer = try Peer()
    _ = peer.send(headers(1, get()))
    peer.content.bodies[1] = Array("hello".utf8)
    view("content-type: text/plain\r\nConnection: x\r\nconnection: close\r\nset-cookie: a\r\n") {
      #expect(
        peer.session.respond(
          1, status: 200, lines: $0, more: ByteView("age: 5\r\ntransfer-encoding: x\r\n"),
          contentFollows: true))
    }
    let frames = peer.frames()
    #expect(
      peer.fields(frames[0])
        == [":status: 200", "content-type: text/plain", "set-cookie: a", "age: 5"])
    #expect(frames[1] == Frame(type: 0, flags: 1, stream: 1, payload: Array("hello".utf8)))
    #expect(frames.count == 2)
    #expect(peer.events() == [.closed(1, 0)])
    #expect(peer.session.openStreams == 0)
    #expect(
      !peer.session.respond(1, status: 200, lines: ByteView(), contentFollows: false))
  }

  @Test func `a response without content ends with its head`() throws {
    let peer = try Peer()
    _ = peer.send(headers(1, get()))
    peer.session.respond(1, status: 304, lines: ByteView(), contentFollows: false)
    let frames = peer.frames()
    #expect(frames.map(\.flags) == [5])
    #expect(peer.fields(frames[0]) == [":status: 304"])
  }

  @Test func `heads of tens of kilobytes go out whole, whatever sessions came and went`() throws {
    for round in 0..<4 {
      let peers = try (0..<40).map { _ in try Peer() }
      for (index, peer) in peers.enumerated() where index % 8 == round {
        _ = peer.send(headers(1, get()))
        let value = String(repeating: "~", count: 60_000)
        view("x: \(value)\r\n") {
          #expect(peer.session.respond(1, status: 200, lines: $0, contentFollows: false))
        }
        let frames = peer.frames()
        #expect(frames.map(\.type) == [1, 9, 9, 9])
        let bytes = frames.flatMap(\.payload)
        #expect(bytes.suffix(60_000).allSatisfy { $0 == UInt8(ascii: "~") })
      }
    }
  }

  @Test func `interim responses and trailers`() throws {
    let peer = try Peer()
    _ = peer.send(headers(1, get()))
    peer.session.inform(1, status: 103, lines: ByteView("link: </a>\r\n"))
    peer.content.bodies[1] = [1, 2, 3]
    peer.content.trailers[1] = Array("etag: \"x\"\r\n".utf8)
    peer.session.respond(1, status: 200, lines: ByteView(), contentFollows: true)
    let frames = peer.frames()
    #expect(frames.map(\.type) == [1, 1, 0, 1])
    #expect(frames.map(\.flags) == [4, 4, 0, 5])
    #expect(peer.fields(frames[0]) == [":status: 103", "link: </a>"])
    #expect(peer.fields(frames[1]) == [":status: 200"])
    #expect(peer.fields(frames[3]) == ["etag: \"x\""])
  }

  @Test(arguments: [1, 100, 20_000, 65_536])
  func `large content arrives whole in turns of any size`(limit: Int) throws {
    let peer = try Peer()
    _ = peer.send(headers(1, get()))
    open(peer, [1])
    let body = pattern(200_000)
    peer.content.bodies[1] = body
    peer.session.respond(1, status: 200, lines: ByteView(), contentFollows: true)
    let frames = peer.frames(limit: limit).filter { $0.type == 0 }
    #expect(frames.flatMap(\.payload) == body)
    #expect(frames.last?.flags == 1)
    #expect(peer.session.contentSent == 200_000)
  }

  @Test func `content stops at the window and goes on when it opens`() throws {
    let peer = try Peer()
    _ = peer.send(headers(1, get()))
    peer.content.bodies[1] = pattern(100_000)
    peer.session.respond(1, status: 200, lines: ByteView(), contentFollows: true)
    #expect(peer.frames().filter { $0.type == 0 }.map(\.payload.count).reduce(0, +) == 65_535)
    open(peer, [1])
    #expect(peer.frames().filter { $0.type == 0 }.map(\.payload.count).reduce(0, +) == 34_465)
  }

  @Test func `a stream that waits holds nobody up, and goes on when it is resumed`() throws {
    let peer = try Peer()
    _ = peer.send(headers(1, get()) + headers(3, get()))
    peer.session.respond(1, status: 200, lines: ByteView(), contentFollows: true)
    peer.session.respond(3, status: 200, lines: ByteView(), contentFollows: true)
    peer.content.bodies[3] = [3]
    #expect(peer.frames().filter { $0.type == 0 }.map(\.stream) == [3])
    peer.content.bodies[1] = [1]
    #expect(!peer.session.wantsToSend)
    peer.session.resume(1)
    #expect(peer.frames().filter { $0.type == 0 }.map(\.stream) == [1])
  }

  @Test func `the most urgent goes first, incremental ones share`() throws {
    let peer = try Peer()
    _ = peer.send(
      headers(1, get("/", [("priority", "u=5")])) + headers(3, get("/", [("priority", "u=1")]))
        + headers(5, get("/", [("priority", "u=3, i")]))
        + headers(7, get("/", [("priority", "u=3, i")])))
    open(peer, [1, 3, 5, 7])
    for stream in [UInt64(1), 3, 5, 7] {
      peer.content.bodies[stream] = pattern(40_000)
      peer.session.respond(Int32(stream), status: 200, lines: ByteView(), contentFollows: true)
    }
    var order: [UInt32] = []
    for frame in peer.frames() where frame.type == 0 { order.append(frame.stream) }
    #expect(Array(order.prefix(3)) == [3, 3, 3])
    #expect(Array(order.suffix(3)) == [1, 1, 1])
    #expect(order[3] != order[4])
  }

  @Test func `PRIORITY_UPDATE changes the order, and an origin's word overrides`() throws {
    let peer = try Peer()
    _ = peer.send(headers(1, get()) + headers(3, get()) + headers(5, get()))
    open(peer, [1, 3, 5])
    _ = peer.send(Frame(type: 0x10, payload: big(5) + Array("u=0".utf8)).bytes)
    peer.session.prioritize(1, urgency: 7, isIncremental: false)
    for stream in [UInt64(1), 3, 5] {
      peer.content.bodies[stream] = pattern(100)
      peer.session.respond(Int32(stream), status: 200, lines: ByteView(), contentFollows: true)
    }
    #expect(peer.frames().filter { $0.type == 0 }.map(\.stream) == [5, 3, 1])
  }

  @Test(arguments: [
    // The client's, the origin's, and the order of stream 1 among 3 (u=2) and 5 (u=4).
    ("u=1", "u=5", 2), ("u=5", "u=1", 0), ("u=3", "i", 1), ("u=0", "i", 0), ("u=6", "", 2),
    ("", "u=0", 0), ("u=1, i", "i=?0", 0), ("u=0", "u=9, u=x", 0), ("u=0", "a=\"x,u=7\", u=6", 2),
    ("u=0", "u=1;p=2, u=7;q", 2),
  ])
  func `an origin's priority overrides what it names, and no more`(
    _ asked: String, _ said: String, _ place: Int
  ) throws {
    let peer = try Peer()
    _ = peer.send(
      headers(1, get("/", asked.isEmpty ? [] : [("priority", asked)]))
        + headers(3, get("/", [("priority", "u=2")])) + headers(5, get("/", [("priority", "u=4")])))
    open(peer, [1, 3, 5])
    for stream in [UInt64(1), 3, 5] {
      peer.content.bodies[stream] = pattern(100)
      let line = stream == 1 && !said.isEmpty ? "priority: \(said)\r\n" : "x: y\r\n"
      line.withView {
        _ = peer.session.respond(Int32(stream), status: 200, lines: $0, contentFollows: true)
      }
    }
    let order = peer.frames().filter { $0.type == 0 }.map(\.stream)
    #expect(order.firstIndex(of: 1) == place, "\(order)")
  }

  @Test func `an answer before the request is whole asks for no more of it`() throws {
    let peer = try Peer()
    _ = peer.send(headers(1, post(), ends: false) + data(1, "x"))
    peer.session.respond(1, status: 413, lines: ByteView(), contentFollows: false)
    let frames = peer.frames()
    #expect(frames.map(\.type) == [1, 3])
    #expect(frames[1].code == 0)
    #expect(peer.events() == [.closed(1, 0)])
    // What is on its way is ignored.
    #expect(peer.send(data(1, "more", ends: true)) == [])
    #expect(peer.session.failure == nil)
  }

  @Test func `a broken response is reset and never ended`() throws {
    let peer = try Peer()
    _ = peer.send(headers(1, get()))
    peer.session.respond(1, status: 200, lines: ByteView(), contentFollows: true)
    _ = peer.frames()
    peer.session.reset(1, .internalError)
    let frames = peer.frames()
    #expect(frames.map(\.type) == [3])
    #expect(frames[0].code == 2)
    #expect(peer.events() == [.closed(1, 2)])
  }

  @Test func `a client that resets is told of, once`() throws {
    let peer = try Peer()
    _ = peer.send(headers(1, get()))
    #expect(peer.send(Frame(type: 3, stream: 1, payload: big(8)).bytes) == [.closed(1, 8)])
    // One that resets before anybody looked was never there.
    #expect(peer.send(headers(3, get()) + Frame(type: 3, stream: 3, payload: big(8)).bytes) == [])
  }

  @Test func `draining finishes what was begun`() throws {
    let peer = try Peer()
    _ = peer.send(headers(1, get()))
    peer.session.drain()
    #expect(peer.frames().first { $0.type == 7 }?.payload.prefix(4) == [127, 255, 255, 255])
    #expect(peer.send(headers(3, get("/late"))).count == 1)
    peer.session.finishDraining()
    let last = try #require(peer.frames().first { $0.type == 7 })
    #expect(last.payload == big(3) + big(0))
    #expect(peer.send(headers(5, get()) + headers(7, post(), ends: false) + data(7, "x")) == [])
    #expect(!peer.session.isFinished)
    peer.session.respond(1, status: 200, lines: ByteView(), contentFollows: false)
    peer.session.respond(3, status: 200, lines: ByteView(), contentFollows: false)
    #expect(peer.frames().filter { $0.type == 1 }.count == 2)
    #expect(peer.session.isFinished)
    #expect(peer.session.failure == nil)
  }

  @Test func `the window grows as long as it is what limits`() throws {
    let peer = try Peer()
    _ = peer.send(headers(1, post(), ends: false))
    var sent = 0
    var pings = 0
    for _ in 0..<40 {
      let body = String(repeating: "b", count: 16_000)
      for _ in 0..<3 {
        _ = peer.send(data(1, body))
        peer.session.consume(1, 16_000)
        sent += 16_000
      }
      for frame in peer.frames() where frame.type == 6 {
        pings += 1
        _ = peer.send(data(1, body) + data(1, body) + data(1, body))
        peer.session.consume(1, 48_000)
        _ = peer.send(Frame(type: 6, flags: 1, payload: frame.payload).bytes)
      }
    }
    #expect(pings > 1)
    #expect(peer.session.failure == nil)
  }

  /// Uploads as fast as the windows allow, with the PINGs answered behind what they allow; how much each
  /// stream and the connection may have under way in the end.
  private func upload(_ peer: Peer, on stream: UInt32, rounds: Int) -> (
    stream: Int, connection: Int
  ) {
    var room = 65_535
    var total = 65_535
    var grown = (stream: room, connection: total)
    for _ in 0..<rounds {
      var sent = 0
      while min(room, total) >= 16_000 {
        _ = peer.send(data(stream, String(repeating: "b", count: 16_000)))
        room -= 16_000
        total -= 16_000
        sent += 16_000
      }
      peer.session.consume(Int32(stream), sent)
      for frame in peer.frames() {
        if frame.type == 6, frame.flags & 1 == 0 {
          _ = peer.send(Frame(type: 6, flags: 1, payload: frame.payload).bytes)
        }
        guard frame.type == 8 else { continue }
        let step = frame.payload.reduce(0) { $0 << 8 | Int($1) }
        if frame.stream == 0 { total += step } else { room += step }
      }
      grown = (max(grown.stream, room), max(grown.connection, total))
    }
    return grown
  }

  @Test func `windows grow to their limit, and a later stream begins with them`() throws {
    let peer = try Peer { $0.maxWindow = 300_000 }
    _ = peer.send(headers(1, post(), ends: false))
    let first = upload(peer, on: 1, rounds: 60)
    #expect(first.stream > 250_000 && first.stream <= 300_000, "\(first)")
    #expect(first.connection > 250_000 && first.connection <= 300_000, "\(first)")
    _ = peer.send(headers(3, post(), ends: false))
    let update = peer.frames().first { $0.type == 8 && $0.stream == 3 }
    #expect(update?.payload.reduce(0) { $0 << 8 | Int($1) } == 300_000 - 65_535)
  }

  @Test func `windows grow out of one budget, which has it back in the end`() throws {
    let budget = WindowBudget(bytes: 100_000)
    do {
      let peer = try Peer(budget: budget)
      _ = peer.send(headers(1, post(), ends: false))
      let grown = upload(peer, on: 1, rounds: 40)
      #expect(grown.connection > 100_000 && grown.connection <= 131_070, "\(grown)")
      #expect(budget.left == 100_000 - 65_535)
      let other = try Peer(budget: budget)
      _ = other.send(headers(1, post(), ends: false))
      #expect(upload(other, on: 1, rounds: 40).connection <= 65_535)
    }
    #expect(budget.left == 100_000)
  }

  @Test func `a larger first window is the connection's, too`() throws {
    let peer = try Peer({ $0.initialWindow = 500_000 }, greets: false)
    let frames = peer.frames()
    let update = frames.first { $0.type == 8 && $0.stream == 0 }
    #expect(update?.payload.reduce(0) { $0 << 8 | Int($1) } == 500_000 - 65_535)
  }
}
