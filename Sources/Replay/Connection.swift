// A connection of HTTP/1.1 to the server under test: how far it is, what it is sending, what it waits for. It
// knows the protocol and nothing of the replay: its sender decides what goes on it and what its end means.

internal import Bytes
internal import EventLoop
internal import HTTP1
internal import HTTPMessage

/// A request that was taken up.
struct Request {
  let arena: Arena
  let entry: Entry
  /// When it was taken up, monotonic.
  var takenAt: Int64
  /// Whether a kept connection had been closed under it before.
  var isRetry = false

  var head: ByteView { arena.view(entry.head, entry.headLength) }
}

/// Bytes that a sender's connections have moved.
final class Counters {
  var sentBytes: UInt64 = 0
  var receivedBytes: UInt64 = 0
}

/// What became of a connection's turn.
enum ConnectionStep {
  /// It waits for the kernel.
  case waiting
  /// There may be more to be read: others are to have their turn.
  case more
  /// An answer is complete; the connection is free if it persists.
  case answered(keepsAlive: Bool)
  /// It is beyond use.
  case failed(SendFailure)
}

final class Connection {
  /// What of an answer is to come next.
  private enum Expectation {
    case head
    case length(UInt64)
    case chunked
    case untilClose
  }

  /// Its name in the sender's slab.
  var name: UInt64 = 0
  let transport: Transport
  /// The client that all its requests are of, where that matters.
  let client: UInt64
  private let counters: Counters

  /// The request under way.
  private(set) var request: Request?
  private var sentBytes = 0
  private var isSent = true
  /// When it became free, monotonic.
  var idleSince: Int64 = 0
  /// Whether it is on the list of those that have more to be read.
  var isUnread = false
  /// Requests answered on it.
  private(set) var answers = 0
  /// Requests of its client that wait for it.
  var waiting: [Request] = []

  private var expectation = Expectation.head
  /// The beginning of a head.
  private var rest = ByteBuffer()
  private var decoder = ChunkedDecoder()
  private var keepsAlive = false
  /// Whether any byte of the answer has come.
  private(set) var hasAnswerBytes = false
  private(set) var answer = Answer()

  private static let limits = HeadLimits(maxRequestLine: 8_192, maxHead: 262_144, maxFields: 1_000)
  /// What content is made of.
  private static let content = [UInt8](repeating: 0x78, count: 65_536)

  init(_ transport: Transport, client: UInt64, counters: Counters) {
    self.transport = transport
    self.client = client
    self.counters = counters
  }

  var isBusy: Bool { request != nil }

  // MARK: Sending

  /// Takes a request up, and sends it if it can be sent.
  func begin(_ request: Request, now: Int64) -> ConnectionStep {
    self.request = request
    sentBytes = 0
    isSent = false
    hasAnswerBytes = false
    expectation = .head
    answer = Answer()
    return transport.isReady ? send(now: now) : .waiting
  }

  /// Gives the request back.
  func takeRequest() -> Request? {
    defer { request = nil }
    return request
  }

  /// The kernel takes bytes (again).
  func writable(now: Int64) -> ConnectionStep {
    switch transport.open() {
    case .waiting: return .waiting
    case .failed(let failure): return .failed(failure)
    case .ready: return send(now: now)
    }
  }

  private func send(now: Int64) -> ConnectionStep {
    switch transport.flush() {
    case .bytes: break
    case .nothing: return .waiting
    case .reset: return .failed(.reset)
    }
    guard let request, !isSent else { return .waiting }
    let head = request.head
    let content = Int(clamping: request.entry.content)
    while sentBytes < head.count + content {
      let written: Transport.Written
      if sentBytes < head.count {
        written = transport.write(head.dropping(first: sentBytes), more: content > 0, now: now)
      } else {
        let missing = content - (sentBytes - head.count)
        written = Self.content.withView {
          transport.write($0.prefix(missing), more: false, now: now)
        }
      }
      switch written {
      case .bytes(let count):
        sentBytes += count
        counters.sentBytes &+= UInt64(count)
      case .nothing: return .waiting
      case .reset: return .failed(.reset)
      }
    }
    isSent = true
    return .waiting
  }

  // MARK: Receiving

  /// The kernel has bytes. `untilEnd`: the peer has ended its side, so that the end has to be read.
  func readable(
    untilEnd: Bool, buffer: inout ByteBuffer, head: ResponseHead, now: Int64
  ) -> ConnectionStep {
    if !transport.isReady {
      let step = writable(now: now)
      guard transport.isReady, case .waiting = step else { return step }
    }
    for _ in 0..<Transport.readsAtOnce {
      if !transport.isSecure, case .length(let missing) = expectation,
        missing > UInt64(Transport.readSize)
      {
        if let step = discard(missing) { return step }
        continue
      }
      buffer.removeAll()
      switch transport.receive(&buffer) {
      case .bytes(let count):
        counters.receivedBytes &+= UInt64(count)
        let step = take(buffer.view, head)
        guard case .waiting = step else { return step }
        if !transport.mayHoldMore(after: count) && !untilEnd { return step }
      case .nothing: return .waiting
      case .end: return ended()
      case .reset: return .failed(.reset)
      }
    }
    return .more
  }

  /// Takes content without looking at it; nil if there may be more.
  private func discard(_ missing: UInt64) -> ConnectionStep? {
    let result = transport.socket.discard(Int(clamping: min(missing, 1 << 30)))
    guard let count = result.count, count > 0 else {
      return result.wouldBlock ? .waiting : .failed(result.isEnd ? .closed : .reset)
    }
    counters.receivedBytes &+= UInt64(count)
    answer.contentBytes &+= UInt64(count)
    if UInt64(count) == missing { return complete() }
    expectation = .length(missing - UInt64(count))
    return nil
  }

  private func ended() -> ConnectionStep {
    if request != nil, case .untilClose = expectation { return complete() }
    return .failed(.closed)
  }

  private func take(_ bytes: ByteView, _ head: ResponseHead) -> ConnectionStep {
    // Nobody asked for these.
    guard request != nil else { return .failed(.malformed) }
    hasAnswerBytes = true
    if rest.isEmpty { return consume(bytes, head) }
    rest.append(bytes)
    var whole = ByteBuffer()
    swap(&whole, &rest)
    return consume(whole.view, head)
  }

  private func consume(_ bytes: ByteView, _ head: ResponseHead) -> ConnectionStep {
    var at = 0
    while true {
      switch expectation {
      case .head:
        let piece = bytes.dropping(first: at)
        let method = request?.entry.method ?? .get
        switch ResponseParser.parse(piece, limits: Self.limits, requestMethod: method, into: head) {
        case .incomplete:
          rest.append(piece)
          return .waiting
        case .invalid: return .failed(.malformed)
        case .complete: at += head.length
        }
        // Interim answers; behind 101 would be another protocol, which nobody asked for.
        if head.status == 101 { return .failed(.malformed) }
        if head.status < 200 { continue }
        note(head)
        if case .none = head.framing { return complete(rest: bytes.count - at) }
      case .length(let missing):
        let count = min(UInt64(bytes.count - at), missing)
        answer.contentBytes &+= count
        at += Int(count)
        if count == missing { return complete(rest: bytes.count - at) }
        expectation = .length(missing - count)
        return .waiting
      case .chunked:
        switch decoder.next(bytes, offset: &at) {
        case .content(let range): answer.contentBytes &+= UInt64(range.count)
        case .incomplete: return .waiting
        case .end: return complete(rest: bytes.count - at)
        case .invalid: return .failed(.malformed)
        }
      case .untilClose:
        answer.contentBytes &+= UInt64(bytes.count - at)
        return .waiting
      }
    }
  }

  private func note(_ head: ResponseHead) {
    answer.note(head)
    keepsAlive = head.keepAlive
    switch head.framing {
    case .none: break
    case .length(let length): expectation = .length(length)
    case .chunked:
      expectation = .chunked
      decoder = ChunkedDecoder()
    case .untilClose: expectation = .untilClose
    }
  }

  private func complete(rest: Int = 0) -> ConnectionStep {
    answers += 1
    // An answer before the request's end, or bytes that nobody asked for.
    return .answered(keepsAlive: keepsAlive && isSent && rest == 0)
  }
}
