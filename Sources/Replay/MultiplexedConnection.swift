// A connection of HTTP/2: many requests at once. What its session says of them is collected while bytes are
// fed to it, and taken by the sender afterwards: nothing is asked of a session from within its callbacks.

internal import Bytes
internal import HTTP2
internal import HTTPMessage

final class MultiplexedConnection: HTTP2ClientEvents {
  /// A request and what is known of its answer.
  struct Exchange {
    var request: Request
    var answer = Answer()
    var hasHead = false
    /// What the session calls it: its slot, and how many there were before, since what the server sends of a
    /// request that was given up must not count for the next in its slot.
    var token: UInt64
    var stream: Int32 = 0
  }

  /// How an exchange has ended.
  enum End {
    case answered
    case failed(SendFailure)
    /// The server has not looked at it (RFC 9113 §8.7): it may be sent again.
    case refused
  }

  var name: UInt64 = 0
  let transport: Transport
  let client: UInt64
  private let counters: Counters
  private let isSecure: Bool
  private var session: HTTP2ClientSession?
  private var exchanges: [Exchange?] = []
  private var free: [Int] = []
  private var begun: UInt64 = 0
  private(set) var active = 0
  /// Those that have ended, until the sender takes them.
  var ended: [(Exchange, End)] = []
  /// Whether it takes no more requests.
  private(set) var isClosing = false
  /// Whether it is on the list of those that have something to send.
  var isDirty = false
  /// Whether it is on the list of those that have more to be read.
  var isUnread = false
  var idleSince: Int64 = 0
  /// When anything came last, monotonic; 0: never.
  private var heardAt: Int64 = 0
  private var output = ByteBuffer()

  init(_ transport: Transport, client: UInt64, counters: Counters) {
    self.transport = transport
    self.client = client
    self.counters = counters
    isSecure = transport.isSecure
    session = HTTP2ClientSession(events: self)
  }

  /// Whether another request may go on it, of so many at once.
  func hasRoom(_ limit: Int) -> Bool {
    !isClosing && active < min(limit, session?.streamLimit ?? 0)
  }

  /// Takes a request up; it goes out with `flush`.
  func begin(_ request: Request) {
    let slot = free.popLast() ?? exchanges.count
    if slot == exchanges.count { exchanges.append(nil) }
    begun += 1
    let token = begun << 32 | UInt64(slot)
    exchanges[slot] = Exchange(request: request, token: token)
    active += 1
    if request.entry.closes { isClosing = true }
    let stream = session?.request(
      head: request.head, isSecure: isSecure, content: request.entry.content, token: token)
    if let stream {
      exchanges[slot]?.stream = stream
    } else {
      end(slot, .failed(.stream))
    }
  }

  /// The kernel takes bytes (again); why the connection is beyond use, if it is.
  func writable(now: Int64) -> SendFailure? {
    switch transport.open() {
    case .waiting: return nil
    case .failed(let failure): return failure
    case .ready: return flush(now: now)
    }
  }

  /// Sends what there is to send, if it can be sent yet; why the connection is beyond use, if it is.
  func flush(now: Int64) -> SendFailure? {
    guard transport.isReady else { return nil }
    switch transport.flush() {
    case .bytes: break
    case .nothing: return nil
    case .reset: return .reset
    }
    while true {
      if output.isEmpty {
        guard session?.produce(into: &output, limit: Transport.readSize) ?? false else {
          return .stream
        }
        if output.isEmpty { return session?.isFinished ?? true ? .closed : nil }
      }
      switch transport.write(output.view, more: false, now: now) {
      case .bytes(let count):
        counters.sentBytes &+= UInt64(count)
        output.removeFirst(count)
      case .nothing: return nil
      case .reset: return .reset
      }
    }
  }

  /// What reading came to.
  enum Reading {
    /// All that there was is read.
    case done
    /// There may be more: others are to have their turn.
    case more
    /// The connection is beyond use.
    case failed(SendFailure)
  }

  /// The kernel has bytes.
  func readable(untilEnd: Bool, buffer: inout ByteBuffer, now: Int64) -> Reading {
    var isWhole = false
    if let failure = read(untilEnd, &buffer, now, &isWhole) { return .failed(failure) }
    return isWhole || !transport.isReady ? .done : .more
  }

  private func read(
    _ untilEnd: Bool, _ buffer: inout ByteBuffer, _ now: Int64, _ isWhole: inout Bool
  ) -> SendFailure? {
    if !transport.isReady, let failure = writable(now: now) { return failure }
    guard transport.isReady else { return nil }
    for _ in 0..<Transport.readsAtOnce {
      buffer.removeAll()
      switch transport.receive(&buffer) {
      case .bytes(let count):
        heardAt = now
        counters.receivedBytes &+= UInt64(count)
        guard session?.feed(buffer.view) ?? false else { return .stream }
        if transport.mayHoldMore(after: count) || untilEnd { continue }
        isWhole = true
        return flush(now: now)
      case .nothing:
        isWhole = true
        return flush(now: now)
      case .end: return .closed
      case .reset: return .reset
      }
    }
    return flush(now: now)
  }

  /// Ends all that is under way; it is beyond use.
  func fail(_ failure: SendFailure) {
    isClosing = true
    for slot in exchanges.indices where exchanges[slot] != nil { end(slot, .failed(failure)) }
  }

  /// Gives up what was taken up before a moment, and nothing else: one answer that does not come is not the
  /// others' fault. False if nothing at all was heard since, so that the connection is beyond use.
  func giveUp(before moment: Int64) -> Bool {
    for slot in exchanges.indices {
      guard let exchange = exchanges[slot], exchange.request.takenAt < moment else { continue }
      if heardAt < moment { return false }
      session?.cancel(stream: exchange.stream)
      end(slot, .failed(.timeout))
    }
    return true
  }

  private func end(_ slot: Int, _ end: End) {
    guard exchanges.indices.contains(slot), let exchange = exchanges[slot] else { return }
    exchanges[slot] = nil
    free.append(slot)
    active -= 1
    ended.append((exchange, end))
  }

  private func slot(_ token: UInt64) -> Int? {
    let slot = Int(truncatingIfNeeded: token & 0xFFFF_FFFF)
    guard exchanges.indices.contains(slot), exchanges[slot]?.token == token else { return nil }
    return slot
  }

  // MARK: What the session says

  func answered(token: UInt64, head: ResponseHead) {
    guard let slot = slot(token) else { return }
    exchanges[slot]?.answer.note(head)
    exchanges[slot]?.hasHead = true
  }

  func received(token: UInt64, count: Int) {
    guard let slot = slot(token) else { return }
    exchanges[slot]?.answer.contentBytes &+= UInt64(count)
  }

  func closed(token: UInt64, code: UInt32) {
    guard let slot = slot(token) else { return }
    let hasHead = exchanges[slot]?.hasHead ?? false
    switch code {
    // NO_ERROR: whatever was not said of the request was not wanted (RFC 9113 §8.1).
    case 0: end(slot, hasHead ? .answered : .failed(.closed))
    // REFUSED_STREAM.
    case 7: end(slot, .refused)
    default: end(slot, .failed(.stream))
    }
  }

  func goingAway() { isClosing = true }
}
