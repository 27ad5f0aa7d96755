// An origin that speaks HTTP/2 over TLS, in a thread for each connection: answers are made by a closure.

internal import Bytes
internal import CLinux
internal import EventLoop
internal import HTTP2
internal import HTTPMessage
import Synchronization
internal import TLS

/// See the top of this file.
package final class SharedFront: Sendable {
  /// What is done with a request.
  package enum Answer: Sendable {
    /// A status, fields (`name: value`), and content.
    case response(Int, [String], String)
    /// The same, and trailer fields behind it.
    case withTrailers(Int, [String], String, [String])
    /// REFUSED_STREAM.
    case refuse
    /// INTERNAL_ERROR.
    case reset
    /// A GOAWAY, behind which this one is answered.
    case lastOfConnection(String)
    /// The connection is closed.
    case hangUp
    /// HTTP_1_1_REQUIRED.
    case wantHTTP1
    /// Nothing.
    case ignore
    /// Nothing, and nothing else on the connection either.
    case hang
  }

  /// What was seen.
  package struct Seen: Sendable {
    /// Connections that were accepted.
    package var offers = 0
    /// Connections whose handshake was done, with HTTP/2.
    package var connections = 0
    /// Requests: method and target.
    package var requests: [String] = []
    /// Their field lines.
    package var fields: [[PeerField]] = []
    /// Trailer fields that came with them, as lines.
    package var trailers: [String] = []
    /// Content that came with them.
    package var received = 0
  }

  /// Where it listens, on 127.0.0.1.
  package let port: UInt16
  /// What has been seen.
  package let seen = Watched(Seen())
  private let context: ServerTLSContext
  private let listener: Listener
  private let isStopping = Atomic<Bool>(false)
  private let answer: @Sendable (String, Int) -> Answer

  /// Listens, with the certificate `local`. `answer` gets the target, and how many requests came before.
  package init(_ answer: @escaping @Sendable (String, Int) -> Answer) throws {
    let (chain, key) = try EdgeCertificates.shared.get().files("local")
    var configuration = ServerTLSConfiguration(
      certificates: [CertificateFiles(chain: chain, key: key)])
    configuration.applicationProtocols = [.http2, .http1]
    guard let ring = TicketKeyRing() else {
      throw PeerFailure(.system, "making keys for tickets")
    }
    context = try ServerTLSContext(configuration, tickets: ring, now: Int64(time(nil)))
    self.answer = answer
    let loopback = SocketAddress(high: 0, low: 0xFFFF_7F00_0001, port: 0)
    do throws(Errno) {
      listener = Listener(try Socket.listen(on: loopback, shared: false))
    } catch {
      throw PeerFailure(.system, "listening: \(error)")
    }
    port = Socket.localAddress(of: listener.socket)?.port ?? 0
    _ = LoopThread(name: "test-h2") { [weak self] in
      while let front = self, !front.isStopping.load(ordering: .relaxed) { front.accept() }
    }
  }

  deinit { isStopping.store(true, ordering: .relaxed) }

  private func accept() {
    guard Self.wait(listener.socket.number, POLLIN, milliseconds: 50) else { return }
    var address = SocketAddress(high: 0, low: 0, port: 0)
    guard let socket = try? Socket.accept(from: listener.socket, address: &address) else { return }
    seen.update { $0.offers += 1 }
    let held = Mutex<Descriptor?>(socket)
    _ = LoopThread(name: "test-h2-serve") { [self] in
      if let socket = held.withLock({ $0.take() }) { serve(socket) }
    }
  }

  private func serve(_ socket: consuming Descriptor) {
    let socket = consume socket
    guard var tls = context.accept(on: socket) else { return }
    while true {
      switch tls.handshake() {
      case .done:
        guard tls.applicationProtocol == .http2, let session = HTTP2Session(now: 0) else { return }
        seen.update { $0.connections += 1 }
        let served = SharedSession(session, self)
        serve(served, &tls, socket)
        return
      case .failed: return
      case .wantsRead, .wantsWrite, .earlyData:
        guard Self.wait(socket.number, POLLIN, milliseconds: 10_000) else { return }
      }
    }
  }

  private func serve(
    _ served: SharedSession, _ tls: inout TLSConnection, _ socket: borrowing Descriptor
  ) {
    var input = ByteBuffer()
    var output = ByteBuffer()
    while !isStopping.load(ordering: .relaxed) {
      input.removeAll()
      switch tls.receive(onto: &input, limit: 64 << 10) {
      case .bytes:
        served.session.feed(input.view, now: 0)
        served.hear(answer, seen)
        if served.isOver { return }
        // Until the node has enough of it.
        while served.hangs {
          guard !isStopping.load(ordering: .relaxed),
            !Self.wait(socket.number, Self.peerEnded, milliseconds: 50)
          else { return }
        }
      case .wantsRead, .wantsWrite:
        output.removeAll()
        let tail = served.session.produce(into: &output, from: served, limit: 16 << 10, now: 0)
        output.append(tail)
        served.hear(answer, seen)
        if output.isEmpty {
          if served.session.isFinished { return }
          _ = Self.wait(socket.number, POLLIN, milliseconds: 100)
        } else if !Self.write(output.view, to: &tls, socket) {
          return
        }
      case .end, .failed: return
      }
    }
  }

  private static func write(
    _ bytes: ByteView, to tls: inout TLSConnection, _ socket: borrowing Descriptor
  ) -> Bool {
    var sent = 0
    while sent < bytes.count || tls.hasUnsent {
      let result = sent < bytes.count ? tls.send(bytes.dropping(first: sent), now: 0) : tls.flush()
      if let count = result.count {
        sent += count
        if sent < bytes.count || !tls.hasUnsent { continue }
      } else if !result.wouldBlock {
        return false
      }
      guard wait(socket.number, POLLOUT, milliseconds: 10_000) else { return false }
    }
    return true
  }

  /// POLLRDHUP of Linux's poll(2).
  private static let peerEnded: Int32 = 0x2000

  private static func wait(_ number: Int32, _ events: Int32, milliseconds: Int32) -> Bool {
    var state = pollfd(fd: number, events: Int16(events), revents: 0)
    return unsafe poll(&state, 1, milliseconds) > 0
  }
}

/// A connection's session and what it still has to send.
private final class SharedSession: HTTP2ContentProvider {
  let session: HTTP2Session
  var isOver = false
  var hangs = false
  private let head = RequestHead()
  private var contents: [Int32: (bytes: [UInt8], sent: Int)] = [:]
  private var trailers: [Int32: [UInt8]] = [:]
  private var lastTrailers: [UInt8] = []
  private var answers: [Int32: SharedFront.Answer] = [:]
  // What the last view refers to.
  private var piece: [UInt8] = []

  init(_ session: HTTP2Session, _: SharedFront) { self.session = session }

  func content(stream: Int32, token: UInt64, limit: Int) -> HTTP2Content {
    guard let state = contents[stream] else { return .broken(.internalError) }
    let end = min(state.bytes.count, state.sent + limit)
    piece = Array(state.bytes[state.sent..<end])
    contents[stream] = (state.bytes, end)
    let isLast = end == state.bytes.count
    if isLast { contents[stream] = nil }
    if isLast, let lines = trailers.removeValue(forKey: stream) {
      lastTrailers = lines
      return piece.withView { piece in lastTrailers.withView { .lastWithTrailers(piece, $0) } }
    }
    return piece.withView { isLast ? .last($0) : .bytes($0) }
  }

  func hear(
    _ answer: @Sendable (String, Int) -> SharedFront.Answer, _ seen: Watched<SharedFront.Seen>
  ) {
    while !isOver, let event = session.next(into: head) {
      switch event {
      case .request(let stream, let request):
        let target = head.bytes[head.target].string
        let line = "\(head.bytes[head.methodRange].string) \(target)"
        let fields = (0..<head.fields.count).map { index in
          PeerField(
            head.fields[index].name(in: head.bytes).string,
            head.fields[index].value(in: head.bytes).string)
        }
        let before = seen.update { seen -> Int in
          seen.requests.append(line)
          seen.fields.append(fields)
          return seen.requests.count - 1
        }
        answers[stream] = answer(target, before)
        if !request.hasContent { respond(stream) }
      case .content(let stream, let bytes):
        let count = bytes.count
        seen.update { $0.received += count }
        session.consume(stream, count)
      case .end(let stream, let lines):
        let text = lines.string
        if !text.isEmpty { seen.update { $0.trailers.append(text) } }
        respond(stream)
      case .closed(let stream, _): contents[stream] = nil
      case .goingAway: break
      }
    }
  }

  private func respond(_ stream: Int32) {
    switch answers.removeValue(forKey: stream) {
    case .response(let status, let fields, let text): respond(stream, status, fields, text)
    case .withTrailers(let status, let fields, let text, let lines):
      trailers[stream] = Array(lines.map { "\($0)\r\n" }.joined().utf8)
      respond(stream, status, fields, text)
    case .refuse: session.reset(stream, .refusedStream)
    case .reset: session.reset(stream, .internalError)
    case .lastOfConnection(let text):
      session.finishDraining()
      respond(stream, 200, [], text)
    case .hangUp: isOver = true
    case .wantHTTP1: session.reset(stream, .http11Required)
    case .hang: hangs = true
    case .ignore, nil: break
    }
  }

  private func respond(_ stream: Int32, _ status: Int, _ fields: [String], _ text: String) {
    contents[stream] = (Array(text.utf8), 0)
    let lines = fields.map { "\($0)\r\n" }.joined()
    Array(lines.utf8).withView {
      _ = session.respond(
        stream, status: UInt16(clamping: status), lines: $0, contentFollows: !text.isEmpty)
    }
  }
}
