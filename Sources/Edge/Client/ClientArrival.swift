// A connection of which it is not known yet what it speaks: on a listener with TLS until its handshake is
// done, on one with plain HTTP/2 until its first bytes are there. Then its socket goes over to the codec.
//
//   proxy ──PROXY header──┬─→ hello ──a whole ClientHello──→ handshake ──ALPN──→ ClientConnection
//                         │                                                └───→ HTTP2Connection
//                         └─→ preface ──"PRI * HTTP/2.0"─→ HTTP2Connection, anything else → ClientConnection
//
// All but the handshake only looks at what the kernel has (MSG_PEEK): who connects and says nothing, or a
// hello byte by byte, costs this small object and no buffer. OpenSSL's object is made when a whole record is
// there, and when the worker has a handshake to spare (`Handshakes`).

internal import Bytes
internal import ClientAddress
internal import Configuration
internal import EventLoop
internal import HTTP2
internal import Metrics
import Synchronization
internal import TLS

final class ClientArrival {
  private enum Phase {
    case proxy
    case preface
    case hello
    case handshake
    case closed
  }

  let worker: Worker
  /// Until it goes over to a codec.
  private var socket: Descriptor?
  private var address: SocketAddress
  private var mayBeForwarded = true
  private let speaksTLS: Bool
  var token: UInt64 = 0
  /// Whether it stands in the line for a handshake, or has come to its front.
  var isWaiting = false
  var isFirst = false
  private var phase: Phase
  private var link: SecureLink?
  private var deadline = Int64.max
  private var hasCountedEarlyData = false

  init(
    worker: Worker, socket: consuming Descriptor, address: SocketAddress, speaksTLS: Bool,
    expectsProxyHeader: Bool
  ) {
    self.worker = worker
    self.socket = consume socket
    self.address = address
    self.speaksTLS = speaksTLS
    phase = expectsProxyHeader ? .proxy : speaksTLS ? .hello : .preface
  }

  /// Puts it among the worker's.
  func opened() {
    let patience =
      speaksTLS
      ? worker.generation.shared.configuration.tls.handshakeTimeout
      : worker.clientSettings.headerTimeout
    deadline = worker.now.monotonic + patience
    token = worker.arrivals.insert(self) | TokenKind.arrival
    worker.timers.set(deadline: deadline, token: token)
    let isWatched = withSocket { [worker, token] socket in
      do throws(Errno) {
        try worker.poller.add(socket, token: token)
        return true
      } catch {
        return false
      }
    }
    if isWatched ?? false { advance() } else { close() }
  }

  /// Lends the socket, which must not be handed over meanwhile.
  private func withSocket<Result>(_ body: (borrowing Descriptor) -> Result) -> Result? {
    guard let open = socket.take() else { return nil }
    let result = body(open)
    socket = consume open
    return result
  }

  func handle(_ readiness: Readiness) {
    if readiness.isOver {
      close()
    } else {
      advance()
    }
  }

  func timerRang() {
    guard deadline <= worker.now.monotonic else { return }
    worker.counters.add(.handshakeTimeouts)
    close()
  }

  /// Goes on as far as bytes allow.
  func advance() {
    while true {
      switch phase {
      case .proxy: guard readProxyHeader() else { return }
      case .preface: return lookForPreface()
      case .hello: guard lookForHello() else { return }
      case .handshake: return goOnWithHandshake()
      case .closed: return
      }
    }
  }

  /// What the kernel has, at most so much; nil: nothing now, or the client is gone.
  private func peek(_ limit: Int) -> ByteView? {
    let buffer = unsafe UnsafeMutableRawBufferPointer(rebasing: worker.readBuffer.prefix(limit))
    guard let result = withSocket({ unsafe $0.peek(into: buffer) }) else { return nil }
    guard let count = result.count, count > 0 else {
      if !result.wouldBlock { close() }
      return nil
    }
    return unsafe ByteView(unsafe: UnsafeRawBufferPointer(buffer)).prefix(count)
  }

  /// Takes what was looked at.
  private func drop(_ count: Int) {
    let buffer = unsafe UnsafeMutableRawBufferPointer(rebasing: worker.readBuffer.prefix(count))
    _ = withSocket { unsafe $0.receive(into: buffer) }
  }

  private func readProxyHeader() -> Bool {
    guard let bytes = peek(ProxyHeader.longest + 16) else { return false }
    switch ProxyHeader.read(bytes) {
    case .complete(let header, let length):
      drop(length)
      if case .addresses(let source, let port, _, _) = header {
        address = SocketAddress(high: source.high, low: source.low, port: port)
      } else {
        mayBeForwarded = false
      }
      guard worker.admits(address) else {
        close()
        return false
      }
      phase = speaksTLS ? .hello : .preface
      return true
    case .malformed:
      worker.counters.add(.requestsRejected)
      close()
      return false
    case .incomplete: return false
    }
  }

  private func lookForPreface() {
    guard let bytes = peek(64) else { return }
    switch HTTP2Preface.look(at: bytes) {
    case .whole: goOver(isHTTP2: true)
    case .other: goOver(isHTTP2: false)
    case .partial: return
    }
  }

  private func lookForHello() -> Bool {
    switch withSocket({ HelloArrival.look(at: $0) }) {
    case .incomplete: return false
    case .end, nil:
      close()
      return false
    case .notTLS:
      worker.counters.add(.handshakesFailed)
      answerPlainly()
      close()
      return false
    case .complete: break
    }
    guard worker.mayShakeHands(self) else { return false }
    let context = worker.tls
    let records = worker.records
    let fingerprint = lookForFingerprint()
    let link = withSocket { socket -> SecureLink? in
      guard let tls = context?.accept(on: socket, gathers: true) else { return nil }
      return SecureLink(tls, gatherer: records, fingerprint: fingerprint)
    }
    guard let link, let link else {
      close()
      return false
    }
    self.link = link
    phase = .handshake
    return true
  }

  /// The fingerprint of the hello that is there, if a rule or a limit asks for it. One that goes on in a
  /// second record has none.
  private func lookForFingerprint() -> [UInt8] {
    guard worker.generation.shared.configuration.tls.needsFingerprints,
      let bytes = peek(HelloArrival.longest), let hello = ClientHello(record: bytes)
    else { return [] }
    var fingerprint = ByteBuffer()
    hello.appendJA4(to: &fingerprint)
    return fingerprint.view.array
  }

  /// A request without TLS: its client is told, in its own words.
  private func answerPlainly() {
    guard let bytes = peek(1), bytes[0] &- 0x41 < 26 else { return }
    let answer = ByteView(
      """
      HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 28\r\n\
      connection: close\r\n\r\nThis port speaks https only\n
      """)
    _ = withSocket { $0.send(answer) }
    // What is left unread would turn the close into a reset, and the answer would be lost.
    drop(64 << 10)
  }

  private func goOnWithHandshake() {
    guard let link else { return close() }
    let result = link.tls.handshake()
    countEarlyData(link)
    switch result {
    case .wantsRead, .wantsWrite: return
    case .failed: close()
    case .earlyData, .done:
      if case .earlyData = result { link.beginEarly() }
      worker.counters.add(link.tls.isResumed ? .handshakesResumed : .handshakesFull)
      switch link.tls.version {
      case .tls12: worker.counters.add(.connectionsTLS12)
      case .tls13: worker.counters.add(.connectionsTLS13)
      }
      link.opened()
      if case .http2 = link.tls.applicationProtocol {
        worker.counters.add(.connectionsOverH2)
        goOver(isHTTP2: true)
      } else {
        worker.counters.add(.connectionsOverHTTP1)
        goOver(isHTTP2: false)
      }
    }
  }

  /// Once it is known, which is before the handshake's end: who replays has none.
  private func countEarlyData(_ link: SecureLink) {
    guard !hasCountedEarlyData, let isTaken = link.tls.hasTakenEarlyData else { return }
    hasCountedEarlyData = true
    worker.counters.add(isTaken ? .earlyDataTaken : .earlyDataRefused)
  }

  /// Hands the socket to the codec.
  private func goOver(isHTTP2: Bool) {
    guard let socket = self.socket.take() else { return close() }
    phase = .closed
    worker.arrivals.remove(token & ~TokenKind.mask)
    worker.serve(
      consume socket, from: address, mayBeForwarded: mayBeForwarded, by: link, isHTTP2: isHTTP2)
    link = nil
  }

  /// A stopping node: who has not begun yet goes; a handshake that is under way brings a request.
  func drain() {
    advance()
    if phase != .handshake { close() }
  }

  func close() {
    guard phase != .closed else { return }
    if phase == .handshake { worker.counters.add(.handshakesFailed) }
    phase = .closed
    _ = withSocket { [worker] in worker.poller.remove($0) }
    link = nil
    _ = socket.take()
    worker.arrivals.remove(token & ~TokenKind.mask)
    worker.counters.add(.connectionsClosed)
    worker.context.connections.subtract(1, ordering: .relaxed)
  }
}

/// How many handshakes a worker begins: so many in a turn, that connections which are there get theirs, and
/// so many in a second, where the configuration says so. Who must wait stands in a line and costs nothing
/// until its turn: a flood of hellos is not looked at again and again.
struct Handshakes {
  /// A full handshake takes 0.2 to 1 ms of a processor.
  static let perTurn = 8
  /// What may come at once of a second's.
  private static let burst: Int64 = 100_000_000

  private var left = perTurn
  private var interval: Int64
  /// When the next would come if all came evenly spaced.
  private var next = Int64.min
  private var line: [UInt64] = []
  private var first = 0
  /// Whether a timer is set for the first of the line.
  var hasTimer = false

  init(perSecond: Int?) { interval = Self.interval(perSecond) }

  private static func interval(_ perSecond: Int?) -> Int64 {
    perSecond.map { 1_000_000_000 / Int64(max($0, 1)) } ?? 0
  }

  mutating func changeRate(perSecond: Int?) { interval = Self.interval(perSecond) }

  mutating func beginTurn() { left = Self.perTurn }

  /// Whether nobody waits.
  var isEmpty: Bool { first == line.count }

  /// When the rate lets one begin; not after `now` if it does so now.
  func opens(now: Int64) -> Int64 { interval == 0 ? now : max(next, now) - Self.burst }

  /// Whether one may begin in this turn.
  func isOpen(now: Int64) -> Bool { left > 0 && opens(now: now) <= now }

  /// Counts one that begins.
  mutating func take(now: Int64) {
    left -= 1
    if interval > 0 { next = max(next, now) + interval }
  }

  /// Puts one at the end of the line.
  mutating func append(_ token: UInt64) { line.append(token) }

  /// Takes the first of the line.
  mutating func popFirst() -> UInt64? {
    guard first < line.count else { return nil }
    let token = line[first]
    first += 1
    if first == line.count {
      line = []
      first = 0
    } else if first >= 1_024 {
      line.removeFirst(first)
      first = 0
    }
    return token
  }
}

extension Worker {
  /// Whether a client's handshake may begin now; if not, it goes on by itself.
  func mayShakeHands(_ arrival: ClientArrival) -> Bool {
    if arrival.isWaiting { return false }
    if arrival.isFirst || handshakes.isEmpty, handshakes.isOpen(now: now.monotonic) {
      handshakes.take(now: now.monotonic)
      return true
    }
    arrival.isWaiting = true
    handshakes.append(arrival.token)
    return false
  }

  /// Lets those go on that waited for their turn, as far as it has come.
  func goOnWithHandshakes() {
    while handshakes.isOpen(now: now.monotonic), let token = handshakes.popFirst() {
      guard let arrival = arrivals.element(token & ~TokenKind.mask) else { continue }
      arrival.isWaiting = false
      arrival.isFirst = true
      arrival.advance()
      arrival.isFirst = false
    }
    let time = handshakes.opens(now: now.monotonic)
    guard !handshakes.isEmpty, time > now.monotonic, !handshakes.hasTimer else { return }
    handshakes.hasTimer = true
    timers.set(deadline: time, token: TokenKind.handshakes)
  }

  /// Whether handshakes wait for nothing but the next turn.
  var handshakesWantTurn: Bool {
    !handshakes.isEmpty && handshakes.opens(now: now.monotonic) <= now.monotonic
  }

  /// Gives a connection that was looked at to the codec that it wants.
  func serve(
    _ socket: consuming Descriptor, from address: SocketAddress, mayBeForwarded: Bool,
    by link: SecureLink?, isHTTP2: Bool
  ) {
    if isHTTP2 {
      return serveHTTP2(socket, from: address, mayBeForwarded: mayBeForwarded, by: link)
    }
    let connection = ClientConnection(
      worker: self, socket: socket, address: address, secure: link)
    connection.mayBeForwarded = mayBeForwarded
    connection.token = clients.insert(connection)
    do {
      try poller.rename(connection.socket, token: connection.token)
      connection.opened()
    } catch {
      connection.close()
    }
  }

  private func serveHTTP2(
    _ socket: consuming Descriptor, from address: SocketAddress, mayBeForwarded: Bool,
    by link: SecureLink?
  ) {
    let connection = HTTP2Connection(
      worker: self, socket: socket, address: address, secure: link)
    guard let connection else {
      counters.add(.connectionsClosed)
      context.connections.subtract(1, ordering: .relaxed)
      return
    }
    connection.mayBeForwarded = mayBeForwarded
    connection.token = sessions.insert(connection) | TokenKind.session
    do {
      try poller.rename(connection.socket, token: connection.token)
      connection.opened()
    } catch {
      connection.close()
    }
  }
}
