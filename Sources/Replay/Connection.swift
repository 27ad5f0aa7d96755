// A connection to the server under test: how far it is, what it is sending, what it waits for. It knows the
// protocol and nothing of the replay: its sender decides what goes on it and what its end means.

internal import Bytes
internal import EventLoop
internal import HTTP1
internal import HTTPMessage
internal import TLS

/// A request that was taken up.
struct Request {
  let arena: Arena
  let entry: Entry
  /// When it was first handed to a connection, monotonic.
  var takenAt: Int64
  /// Whether a kept connection had been closed under it before.
  var isRetry = false

  var head: ByteView { arena.view(entry.head, entry.headLength) }
}

/// What became of a connection's turn.
enum ConnectionStep {
  /// It waits for the kernel.
  case waiting
  /// An answer is complete; the connection is free if it persists.
  case answered(keepsAlive: Bool)
  /// It is beyond use.
  case failed(SendFailure)
}

final class Connection {
  enum Phase {
    case connecting
    case handshaking
    case ready
  }

  /// What of an answer is to come next.
  private enum Expectation {
    case head
    case length(UInt64)
    case chunked
    case untilClose
  }

  /// Its name in the sender's slab.
  var name: UInt64 = 0
  let socket: Descriptor
  /// The client that all its requests are of, where that matters.
  let client: UInt64
  private(set) var phase = Phase.connecting
  private var tls: TLSConnection?
  private var isSecure: Bool { context != nil }
  private var isTLSDrained: Bool { tls?.isDrained ?? true }
  private let context: ClientTLSContext?
  private let host: String
  /// What goes before anything else: a PROXY protocol header.
  private var preface: [UInt8]

  /// The request under way.
  private(set) var request: Request?
  private var sentBytes = 0
  private var hasUnsentHead = false
  /// When it became free, monotonic.
  var idleSince: Int64 = 0
  /// Requests answered on it.
  private(set) var answers = 0
  /// Requests of its client that wait for it.
  var waiting: [Request] = []

  // The answer.
  private var expectation = Expectation.head
  private var rest = ByteBuffer()
  private var decoder = ChunkedDecoder()
  private var keepsAlive = false
  /// Whether any byte of the answer has come.
  private(set) var hasAnswerBytes = false
  private(set) var status: UInt16 = 0
  private(set) var verdict = CacheVerdict.unknown
  private(set) var hasRetryAfter = false
  private(set) var hasRateLimitField = false
  private(set) var contentBytes: UInt64 = 0

  /// The answer's heads are at most so large.
  private static let limits = HeadLimits(maxRequestLine: 8_192, maxHead: 262_144, maxFields: 1_000)
  /// What content is made of.
  static let content = [UInt8](repeating: 0x78, count: 65_536)

  init(
    socket: consuming Descriptor, client: UInt64, context: ClientTLSContext?, host: String,
    preface: [UInt8]
  ) {
    self.socket = socket
    self.client = client
    self.context = context
    self.host = host
    self.preface = preface
  }

  var isBusy: Bool { request != nil }

  // MARK: Sending

  /// Takes a request up, and sends it if it can be sent.
  func begin(_ request: Request, now: Int64, _ counters: Counters) -> ConnectionStep {
    self.request = request
    sentBytes = 0
    hasAnswerBytes = false
    expectation = .head
    contentBytes = 0
    hasUnsentHead = true
    guard phase == .ready else { return .waiting }
    return send(now: now, counters)
  }

  /// Gives the request back.
  func takeRequest() -> Request? {
    defer { request = nil }
    return request
  }

  /// The kernel takes bytes (again).
  func writable(now: Int64, _ counters: Counters) -> ConnectionStep {
    switch phase {
    case .connecting:
      if socket.socketError() != nil { return .failed(.connect) }
      if !preface.isEmpty {
        let count = preface.count
        // A socket that has just been connected has room for a line.
        guard preface.withView({ socket.send($0) }).count == count else { return .failed(.connect) }
        preface = []
      }
      guard let context else {
        phase = .ready
        return send(now: now, counters)
      }
      tls = context.connect(on: socket, host: host)
      if tls == nil { return .failed(.tls) }
      phase = .handshaking
      return handshake(now: now, counters)
    case .handshaking: return handshake(now: now, counters)
    case .ready: return send(now: now, counters)
    }
  }

  private func handshake(now: Int64, _ counters: Counters) -> ConnectionStep {
    switch tls?.handshake() {
    case .done:
      phase = .ready
      return send(now: now, counters)
    case .wantsRead, .wantsWrite, .earlyData: return .waiting
    case .failed, nil: return .failed(.tls)
    }
  }

  private func send(now: Int64, _ counters: Counters) -> ConnectionStep {
    if tls?.hasUnsent ?? false, tls?.flush().wouldBlock ?? false { return .waiting }
    guard let request, hasUnsentHead else { return .waiting }
    let head = request.head
    let content = Int(clamping: request.entry.content)
    while sentBytes < head.count {
      guard let count = write(head.dropping(first: sentBytes), more: content > 0, now) else {
        return wouldBlock ? .waiting : .failed(.reset)
      }
      sentBytes += count
      counters.sentBytes &+= UInt64(count)
    }
    while sentBytes - head.count < content {
      let missing = content - (sentBytes - head.count)
      let piece = Self.content.withView { write($0.prefix(missing), more: false, now) }
      guard let count = piece else { return wouldBlock ? .waiting : .failed(.reset) }
      sentBytes += count
      counters.sentBytes &+= UInt64(count)
    }
    hasUnsentHead = false
    return .waiting
  }

  private var wouldBlock = false

  /// How many bytes were taken; nil if none, and `wouldBlock` says why.
  private func write(_ bytes: ByteView, more: Bool, _ now: Int64) -> Int? {
    if isSecure {
      let result = tls?.send(bytes, now: now) ?? .end
      wouldBlock = result.wouldBlock
      return result.count.flatMap { $0 > 0 ? $0 : nil }
    }
    let result = socket.send(bytes, more: more)
    wouldBlock = result.wouldBlock
    return result.count
  }

  // MARK: Receiving

  /// The kernel has bytes. `untilEnd`: the peer has ended its side, so that the end has to be read.
  func readable(
    untilEnd: Bool, buffer: inout ByteBuffer, head: ResponseHead, now: Int64, _ counters: Counters
  ) -> ConnectionStep {
    if phase == .handshaking {
      let step = handshake(now: now, counters)
      guard phase == .ready, case .waiting = step else { return step }
    }
    guard phase == .ready else { return .waiting }
    while true {
      if !isSecure, case .length(let missing) = expectation, missing > UInt64(Self.readSize) {
        let result = socket.discard(Int(clamping: min(missing, 1 << 30)))
        guard let count = result.count, count > 0 else {
          return result.wouldBlock ? .waiting : .failed(result.isEnd ? .closed : .reset)
        }
        counters.receivedBytes &+= UInt64(count)
        contentBytes &+= UInt64(count)
        if UInt64(count) == missing { return complete() }
        expectation = .length(missing - UInt64(count))
        continue
      }
      buffer.removeAll()
      switch receive(&buffer) {
      case .bytes(let count):
        counters.receivedBytes &+= UInt64(count)
        let step = take(buffer.view, head)
        if case .waiting = step {
          // Edge-triggered: who has read less than there was room for has read all, and is told of more.
          let isDrained = isSecure ? isTLSDrained : count < Self.readSize
          if isDrained && !untilEnd { return step }
          continue
        }
        return step
      case .nothing: return .waiting
      case .end: return ended()
      case .reset: return .failed(.reset)
      }
    }
  }

  static let readSize = 65_536

  private enum Received {
    case bytes(Int)
    case nothing
    case end
    case reset
  }

  private func receive(_ buffer: inout ByteBuffer) -> Received {
    if isSecure {
      switch tls?.receive(onto: &buffer, limit: Self.readSize) {
      case .bytes(let count): return .bytes(count)
      case .wantsRead, .wantsWrite: return .nothing
      case .end: return .end
      case .failed, nil: return .reset
      }
    }
    let result = socket.receive(onto: &buffer, limit: Self.readSize)
    guard let count = result.count else { return result.wouldBlock ? .nothing : .reset }
    return count > 0 ? .bytes(count) : .end
  }

  private func ended() -> ConnectionStep {
    if request != nil, case .untilClose = expectation { return complete() }
    return .failed(.closed)
  }

  private func take(_ bytes: ByteView, _ head: ResponseHead) -> ConnectionStep {
    guard request != nil else { return .failed(.malformed) }
    hasAnswerBytes = true
    if !rest.isEmpty {
      rest.append(bytes)
      // What is behind the head is taken out of the buffer that it is in.
      var whole = ByteBuffer()
      swap(&whole, &rest)
      return consume(whole.view, head)
    }
    return consume(bytes, head)
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
        case .complete:
          at += head.length
          // Interim answers; what follows 101 would be another protocol, which nobody asked for.
          if head.status < 200 {
            if head.status == 101 { return .failed(.malformed) }
            continue
          }
          note(head)
          if case .none = head.framing { return complete(rest: bytes.count - at) }
        }
      case .length(let missing):
        let count = min(UInt64(bytes.count - at), missing)
        contentBytes &+= count
        at += Int(count)
        if count == missing { return complete(rest: bytes.count - at) }
        expectation = .length(missing - count)
        return .waiting
      case .chunked:
        switch decoder.next(bytes, offset: &at) {
        case .content(let range): contentBytes &+= UInt64(range.count)
        case .incomplete: return .waiting
        case .end: return complete(rest: bytes.count - at)
        case .invalid: return .failed(.malformed)
        }
      case .untilClose:
        contentBytes &+= UInt64(bytes.count - at)
        return .waiting
      }
    }
  }

  private func note(_ head: ResponseHead) {
    status = head.status
    keepsAlive = head.keepAlive
    verdict = CacheVerdict.of(status: status, head.fields, head.bytes)
    hasRetryAfter = head.fields.contains(.retryAfter)
    hasRateLimitField = status == 429 && RateLimitField.isThere(head)
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
    let isClean = !hasUnsentHead && rest == 0
    return .answered(keepsAlive: keepsAlive && isClean)
  }
}

/// Bytes that a sender's connections have moved.
final class Counters {
  var sentBytes: UInt64 = 0
  var receivedBytes: UInt64 = 0
}

/// Fields by which limits explain themselves.
enum RateLimitField {
  static func isThere(_ head: ResponseHead) -> Bool {
    for index in 0..<head.fields.count where head.fields[index].known == .other {
      let name = head.fields[index].name(in: head.bytes)
      let limit = ByteView("ratelimit")
      if name.prefix(limit.count).equalsIgnoringCase(limit) { return true }
      let older = ByteView("x-ratelimit")
      if name.prefix(older.count).equalsIgnoringCase(older) { return true }
    }
    return false
  }
}
