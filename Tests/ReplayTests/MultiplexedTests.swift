// One connection of HTTP/2 on a real socket, against the server's session; the clock is the test's.

import Bytes
import EventLoop
import HTTP2
import HTTPMessage
import Testing

@testable import Replay

/// A client's connection, and the server at its other end.
private final class Pair: HTTP2ContentProvider {
  let connection: MultiplexedConnection
  private let far: Descriptor
  private let server: HTTP2Session
  private let head = RequestHead()
  private var buffer = ByteBuffer()

  init() throws {
    let listener = try Socket.listen(on: SocketAddressForTests.local, shared: false)
    let address = Socket.localAddress(of: listener)
    let near = try Socket.connect(to: try #require(address))
    var from = SocketAddressForTests.local
    try Self.waitToRead(listener)
    guard let accepted = try Socket.accept(from: listener, address: &from) else {
      throw Errno(11)
    }
    far = accepted
    connection = MultiplexedConnection(
      Transport(socket: near, context: nil, host: "test", preface: []), client: 1,
      counters: Counters())
    server = try #require(HTTP2Session(now: 0))
  }

  func content(stream: Int32, token: UInt64, limit: Int) -> HTTP2Content { .last(ByteView()) }

  private static func waitToRead(_ socket: borrowing Descriptor) throws {
    let poller = try Poller.open()
    try poller.addReader(socket, token: 1)
    while poller.wait(timeout: -1) == 0 {}
  }

  /// The connection takes up a request.
  func begin(_ path: String, at now: Int64) {
    var bytes = ByteBuffer()
    bytes.append(text: "GET \(path) HTTP/1.1\r\nHost: test\r\n\r\n")
    let length = UInt32(bytes.count)
    let entry = Entry(
      due: -1, time: 0, client: 1, content: 0, head: 0, headLength: length, address: 0,
      addressLength: 0, method: .get, closes: false)
    connection.begin(Request(arena: Arena(bytes), entry: entry, takenAt: now))
  }

  /// The paths that the server is asked for, and their streams, when so many have come.
  func asked(_ count: Int, now: Int64) throws -> [String: Int32] {
    #expect(connection.writable(now: now) == nil)
    var streams: [String: Int32] = [:]
    while streams.count < count {
      try Self.waitToRead(far)
      buffer.removeAll()
      let result = far.receive(onto: &buffer, limit: 65_536)
      guard let received = result.count, received > 0 else { break }
      server.feed(buffer.view, now: 0)
      while let event = server.next(into: head) {
        if case .request(let stream, _) = event {
          streams[head.bytes[head.target].string] = stream
        }
      }
    }
    return streams
  }

  /// The server answers streams, and the connection reads it.
  func answer(_ statuses: [(stream: Int32, status: UInt16)], now: Int64) throws {
    for (stream, status) in statuses {
      server.respond(stream, status: status, lines: ByteView(), contentFollows: false)
    }
    var output = ByteBuffer()
    let tail = server.produce(into: &output, from: self, limit: 1 << 20, now: 0)
    output.append(tail)
    #expect(far.send(output.view).count == output.count)
    try Self.waitToRead(connection.transport.socket)
    var buffer = ByteBuffer(capacity: Transport.readSize)
    _ = connection.readable(untilEnd: false, buffer: &buffer, now: now)
  }

  /// What has ended since the last call.
  func ended() -> [String] {
    defer { connection.ended.removeAll() }
    return connection.ended.map { exchange, end in
      let path = exchange.request.head.string.split(separator: " ")[1]
      switch end {
      case .answered: return "\(path) \(exchange.answer.status)"
      case .failed(let failure): return "\(path) \(failure.name)"
      case .refused: return "\(path) refused"
      }
    }
  }
}

@Suite("One connection of HTTP/2")
struct MultiplexedTests {
  @Test func `an answer that does not come in time is not the others' failure`() throws {
    let pair = try Pair()
    pair.begin("/slow", at: 1_000)
    pair.begin("/b", at: 1_800)
    let streams = try pair.asked(2, now: 1_800)
    let (slow, second) = (try #require(streams["/slow"]), try #require(streams["/b"]))
    // The server's settings: it is alive.
    try pair.answer([], now: 2_000)
    #expect(pair.connection.giveUp(before: 1_500))
    #expect(pair.ended() == ["/slow timeout"])
    // The answer comes after all, when another request has its place: it is nobody's.
    pair.begin("/c", at: 2_100)
    try pair.answer([(slow, 404), (second, 200)], now: 2_200)
    #expect(pair.ended() == ["/b 200"])
    let third = try #require(try pair.asked(1, now: 2_200)["/c"])
    try pair.answer([(third, 201)], now: 2_300)
    #expect(pair.ended() == ["/c 201"] && pair.connection.active == 0)
  }

  @Test func `where nothing is heard any more, nothing is hoped for`() throws {
    let pair = try Pair()
    pair.begin("/a", at: 1_000)
    _ = try pair.asked(1, now: 1_000)
    #expect(pair.connection.giveUp(before: 900))
    #expect(!pair.connection.giveUp(before: 1_500))
  }
}
