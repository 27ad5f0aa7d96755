import Bytes
import HTTP2
import HTTPMessage
import Testing

/// The node's end of a connection to an origin, against a server's end, without sockets.
@Suite struct OriginSessionTests {
  @Test func `a request and its response go through, as HTTP_1 has them`() throws {
    let pair = try Pair()
    let stream = try #require(
      pair.begin("GET /a?b HTTP/1.1\r\nhost: app.example\r\nX-One: 1\r\nconnection: close\r\n\r\n"))
    pair.run()
    let request = try #require(pair.server.requests.first)
    #expect(request.method == "GET" && request.target == "/a?b" && request.host == "app.example")
    #expect(request.fields == ["x-one: 1"] && request.isSecure)
    pair.server.answer(stream, status: 203, lines: "x-two: 2\r\n", content: "hello")
    pair.run()
    let seen = pair.receiver[stream]
    #expect(seen.heads == ["HTTP/1.1 203 \r\nx-two: 2\r\n\r\n"])
    #expect(seen.content == "hello" && seen.hasEnded && seen.closed == nil)
    #expect(pair.client.openStreams == 0)
  }

  /// Clients share the connection: what is in HPACK's table one could guess by another's length.
  @Test(arguments: ["cookie", "authorization", "Proxy-Authorization"])
  func `secrets of clients are not kept in the table that requests share`(name: String) throws {
    func lengths(_ field: String) throws -> [Int] {
      let pair = try Pair()
      pair.run()
      return try (0..<2).map { _ in
        let value = String(repeating: "s3cr3t~", count: 30)
        _ = try #require(pair.begin("GET / HTTP/1.1\r\nhost: a\r\n\(field): \(value)\r\n\r\n"))
        var bytes = ByteBuffer()
        pair.client.produce(into: &bytes, limit: 1 << 20)
        return bytes.count
      }
    }
    let secret = try lengths(name)
    #expect(secret[1] > 150)
    let usual = try lengths("x-other")
    #expect(usual[1] < 50)
  }

  @Test func `interim responses and trailers are handed on`() throws {
    let pair = try Pair()
    let stream = try #require(pair.begin("GET / HTTP/1.1\r\nhost: a\r\n\r\n"))
    pair.run()
    pair.server.session.inform(stream, status: 103, lines: ByteView("link: </a>\r\n"))
    pair.server.answer(stream, status: 200, content: "x", trailers: "checksum: 1\r\n")
    pair.run()
    let seen = pair.receiver[stream]
    #expect(
      seen.heads == ["HTTP/1.1 103 \r\nlink: </a>\r\n\r\n", "HTTP/1.1 200 \r\n\r\n"])
    #expect(seen.content == "x" && seen.trailers == "checksum: 1\r\n")
  }

  @Test func `content goes out as the server takes it`() throws {
    let pair = try Pair()
    let text = String(repeating: "0123456789", count: 40_000)
    let stream = try #require(
      pair.begin("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 400000\r\n\r\n", hasContent: true))
    pair.server.takesContent = false
    pair.append(String(text.prefix(200_000)), stream, isLast: false)
    pair.run()
    // As much as the stream's window lets through, and no more.
    let received = pair.server.received[stream]?.count ?? 0
    #expect(received >= 65_535 && received <= 2 * 65_535)
    #expect(pair.client.backlog(of: stream) == 200_000 - received)
    pair.server.takesContent = true
    pair.server.consume(stream)
    pair.append(String(text.dropFirst(200_000)), stream, isLast: true)
    pair.run()
    #expect(pair.server.received[stream].map { String(decoding: $0, as: UTF8.self) } == text)
    #expect(pair.server.ended == [stream])
  }

  @Test func `a response that nobody takes stops at its window, and holds up no other`() throws {
    let pair = try Pair()
    let held = try #require(pair.begin("GET /1 HTTP/1.1\r\nhost: a\r\n\r\n"))
    let free = try #require(pair.begin("GET /2 HTTP/1.1\r\nhost: a\r\n\r\n"))
    pair.receiver.held = [held]
    let large = String(repeating: "x", count: 3 << 20)
    pair.run()
    pair.server.answer(held, status: 200, content: large)
    pair.server.answer(free, status: 200, content: large)
    pair.run()
    #expect(pair.receiver[held].content.utf8.count == 256 << 10)
    #expect(pair.receiver[free].content.utf8.count == large.utf8.count)
    pair.receiver.held = []
    pair.client.consume(held, 256 << 10)
    pair.run()
    #expect(pair.receiver[held].content.utf8.count == large.utf8.count)
    #expect(pair.receiver[held].hasEnded)
  }

  @Test func `refused streams and those behind a GOAWAY say so`() throws {
    let pair = try Pair()
    let refused = try #require(pair.begin("GET /1 HTTP/1.1\r\nhost: a\r\n\r\n"))
    pair.run()
    pair.server.session.reset(refused, .refusedStream)
    pair.run()
    #expect(pair.receiver[refused].closed == .reset(.refusedStream))
    #expect(pair.client.hasRoom)
    let served = try #require(pair.begin("GET /2 HTTP/1.1\r\nhost: a\r\n\r\n"))
    pair.run()
    pair.server.session.finishDraining()
    let late = try #require(pair.begin("GET /3 HTTP/1.1\r\nhost: a\r\n\r\n"))
    pair.run()
    #expect(pair.receiver[late].closed == .reset(.refusedStream))
    #expect(!pair.client.hasRoom && pair.client.isGoingAway)
    pair.server.answer(served, status: 200, content: "done")
    pair.run()
    #expect(pair.receiver[served].hasEnded && pair.receiver[served].content == "done")
    #expect(pair.begin("GET /4 HTTP/1.1\r\nhost: a\r\n\r\n") == nil || !pair.client.hasRoom)
  }

  @Test func `what the server allows at once is kept to`() throws {
    let pair = try Pair { $0.maxStreams = 2 }
    pair.run()
    #expect(pair.client.hasRoom)
    _ = try #require(pair.begin("GET /1 HTTP/1.1\r\nhost: a\r\n\r\n"))
    let second = try #require(pair.begin("GET /2 HTTP/1.1\r\nhost: a\r\n\r\n"))
    #expect(!pair.client.hasRoom)
    pair.run()
    pair.server.answer(second, status: 204)
    pair.run()
    #expect(pair.client.hasRoom)
  }

  @Test func `a request that is given up is told of no more`() throws {
    let pair = try Pair()
    let stream = try #require(pair.begin("GET / HTTP/1.1\r\nhost: a\r\n\r\n"))
    pair.run()
    pair.client.cancel(stream)
    pair.server.answer(stream, status: 200, content: "late")
    pair.run()
    let seen = pair.receiver[stream]
    #expect(seen.heads.isEmpty && seen.closed == nil && !seen.hasEnded)
    #expect(pair.server.closed[stream] == .cancel)
  }

  @Test func `the end of a connection is said, and nothing begins on it any more`() throws {
    let pair = try Pair()
    pair.run()
    pair.client.ping()
    pair.run()
    pair.client.end()
    #expect(!pair.client.hasRoom)
    pair.run()
    #expect(pair.server.isLeft && pair.client.isFinished)
  }

  @Test func `too large a head is cut off`() throws {
    let pair = try Pair(maxFieldSection: 16 << 10)
    let stream = try #require(pair.begin("GET / HTTP/1.1\r\nhost: a\r\n\r\n"))
    pair.run()
    let lines = String(repeating: "x: \(String(repeating: "y", count: 4_000))\r\n", count: 5)
    pair.server.answer(stream, status: 200, lines: lines)
    pair.run()
    #expect(pair.receiver[stream].heads.isEmpty && pair.receiver[stream].closed == .headTooLarge)
  }

  /// What is malformed by RFC 9113 §8 is refused whole: left out, it would make another response.
  @Test(arguments: [
    [(":status", "200"), ("X-Upper", "a")], [(":status", "200"), ("a", "b\r\nc: d")],
    [(":status", "200"), ("a", "b\0")], [(":status", "200"), ("a b", "c")],
    [(":status", "200"), ("connection", "close")], [(":status", "200"), ("a", " b")],
    [(":status", "200"), ("transfer-encoding", "chunked")], [("a", "b"), (":status", "200")],
    [(":status", "200"), (":status", "204")], [(":status", "2000")], [("a", "b")],
    [(":status", "200"), (":path", "/")], [(":status", "101")],
    [(":status", "200"), ("content-length", "5")],
    [(":status", "200"), ("content-length", "0"), ("content-length", "1")],
  ])
  func `a response that breaks the rules is refused and not mended`(
    fields: [(String, String)]
  ) throws {
    let pair = try Pair()
    let stream = try #require(pair.begin("GET / HTTP/1.1\r\nhost: a\r\n\r\n"))
    let other = try #require(pair.begin("GET /other HTTP/1.1\r\nhost: a\r\n\r\n"))
    pair.run()
    #expect(headers(UInt32(stream), fields).withView { pair.client.feed($0) })
    pair.run()
    #expect(pair.receiver[stream].hasEnded == false)
    #expect(pair.receiver[stream].closed == .reset(.protocolError))
    #expect(pair.server.closed[stream] == .protocolError)
    pair.server.answer(other, status: 200, content: "x")
    pair.run()
    #expect(pair.receiver[other].content == "x", "the others go on")
  }

  @Test func `a head that unpacks to megabytes ends the connection`() throws {
    let pair = try Pair()
    let stream = try #require(pair.begin("GET / HTTP/1.1\r\nhost: a\r\n\r\n"))
    pair.run()
    let long = [0x40] + string("a") + string(String(repeating: "x", count: 3_900))
    let block = section([(":status", "200")]) + long + [UInt8](repeating: 0xBE, count: 200)
    let frame = Frame(type: 1, flags: 5, stream: UInt32(stream), payload: block)
    #expect(!frame.bytes.withView { pair.client.feed($0) })
    #expect(pair.client.isFinished && pair.receiver[stream].heads.isEmpty)
  }

  @Test func `what is not HTTP_2 ends the connection`() throws {
    let pair = try Pair()
    _ = pair.client.feed(ByteView("HTTP/1.1 400 Bad Request\r\n\r\n"))
    var last = ByteBuffer()
    pair.client.produce(into: &last, limit: 1 << 20)
    #expect(pair.client.isFinished)
  }
}

/// What a server has seen and says.
private final class Server: HTTP2ContentProvider {
  struct Request {
    var method = ""
    var target = ""
    var host = ""
    var fields: [String] = []
    var isSecure = false
  }

  let session: HTTP2Session
  var requests: [Request] = []
  var received: [Int32: [UInt8]] = [:]
  var unconsumed: [Int32: Int] = [:]
  var takesContent = true
  /// Whether the node has said that it is done.
  var isLeft = false
  var ended: [Int32] = []
  var closed: [Int32: HTTP2ErrorCode] = [:]
  private var contents: [Int32: ([UInt8], sent: Int, trailers: [UInt8])] = [:]
  private let head = RequestHead()

  init(_ session: HTTP2Session) { self.session = session }

  func answer(
    _ stream: Int32, status: UInt16, lines: String = "", content: String = "", trailers: String = ""
  ) {
    contents[stream] = (Array(content.utf8), 0, Array(trailers.utf8))
    Array(lines.utf8).withView {
      _ = session.respond(
        stream, status: status, lines: $0, contentFollows: !content.isEmpty)
    }
  }

  func consume(_ stream: Int32) {
    session.consume(stream, unconsumed.removeValue(forKey: stream) ?? 0)
  }

  func content(stream: Int32, token: UInt64, limit: Int) -> HTTP2Content {
    guard var state = contents[stream] else { return .broken(.internalError) }
    let start = state.sent
    let end = min(state.0.count, start + limit)
    state.sent = end
    contents[stream] = state
    piece = Array(state.0[start..<end])
    last = state.trailers
    return piece.withView { bytes in
      if end < state.0.count { return .bytes(bytes) }
      return last.withView { $0.isEmpty ? .last(bytes) : .lastWithTrailers(bytes, $0) }
    }
  }
  // What the last views refer to.
  private var piece: [UInt8] = []
  private var last: [UInt8] = []

  func hear() {
    while let event = session.next(into: head) {
      switch event {
      case .request(_, let request):
        let bytes = head.bytes
        var seen = Request(
          method: bytes[head.methodRange].string, target: bytes[head.target].string,
          host: bytes[head.authority].string)
        seen.isSecure = request.isSecure
        for index in 0..<head.fields.count where head.fields[index].known != .host {
          let line = head.fields[index]
          seen.fields.append("\(line.name(in: bytes).string): \(line.value(in: bytes).string)")
        }
        requests.append(seen)
      case .content(let stream, let bytes):
        received[stream, default: []] += bytes.array
        if takesContent {
          session.consume(stream, bytes.count)
        } else {
          unconsumed[stream, default: 0] += bytes.count
        }
      case .end(let stream, _): ended.append(stream)
      case .closed(let stream, let code): closed[stream] = code
      case .goingAway: isLeft = true
      }
    }
  }
}

/// What the node's end was told.
private final class Receiver: HTTP2ResponseReceiver {
  struct Seen {
    var heads: [String] = []
    var content = ""
    var trailers = ""
    var hasEnded = false
    var closed: HTTP2StreamEnd?
  }

  private var seen: [Int32: Seen] = [:]
  /// Streams of which nothing is consumed.
  var held: Set<Int32> = []
  weak var client: HTTP2OriginSession?

  subscript(stream: Int32) -> Seen { seen[stream] ?? Seen() }

  func received(head: ByteView, stream: Int32) {
    seen[stream, default: Seen()].heads.append(head.string)
  }

  func received(content: ByteView, stream: Int32) {
    seen[stream, default: Seen()].content += content.string
    if !held.contains(stream) { client?.consume(stream, content.count) }
  }

  func ended(stream: Int32, trailers: ByteView) {
    seen[stream, default: Seen()].hasEnded = true
    seen[stream, default: Seen()].trailers = trailers.string
  }

  func closed(stream: Int32, _ end: HTTP2StreamEnd) {
    seen[stream, default: Seen()].closed = end
  }
}

/// Both ends.
private final class Pair {
  let client: HTTP2OriginSession
  let server: Server
  let receiver = Receiver()

  init(maxFieldSection: Int = 64 << 10, _ change: (inout HTTP2Options) -> Void = { _ in }) throws {
    var options = HTTP2Options()
    change(&options)
    var own = HTTP2OriginOptions()
    own.maxFieldSection = maxFieldSection
    client = try #require(HTTP2OriginSession(own))
    server = Server(try #require(HTTP2Session(options, now: 0)))
    client.report(to: receiver)
    receiver.client = client
  }

  func begin(_ head: String, hasContent: Bool = false) -> Int32? {
    Array(head.utf8).withView { client.request(head: $0, isSecure: true, hasContent: hasContent) }
  }

  func append(_ text: String, _ stream: Int32, isLast: Bool) {
    Array(text.utf8).withView { client.append($0, to: stream, isLast: isLast) }
  }

  /// Moves bytes both ways until there are none.
  func run() {
    for _ in 0..<10_000 {
      var out = ByteBuffer()
      client.produce(into: &out, limit: 64 << 10)
      if !out.isEmpty {
        server.session.feed(out.view, now: 0)
        server.hear()
      }
      var back = ByteBuffer()
      let tail = server.session.produce(into: &back, from: server, limit: 16 << 10, now: 0)
      back.append(tail)
      server.hear()
      if out.isEmpty && back.isEmpty { return }
      if !back.isEmpty { _ = client.feed(back.view) }
    }
  }
}
