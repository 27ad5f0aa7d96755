// A client's HTTP/1 connection: bytes in, requests out to `Exchange`, responses back. The only part of
// a request's way that knows HTTP/1; the exchange above it knows nothing of framing.
//
//   proxy ──PROXY header, where one is expected──→ head
//   head ──request──→ exchange ──response sent──→ head …
//     │                  └──────101───→ tunnel
//     └── error, or the last response ──→ closing ──→ lingering ──→ closed
//
// Bytes are read into the worker's buffer and parsed there. Only what is left over when the connection
// must wait is copied into `input`, and only what the kernel did not take into `output`: an idle
// connection owns no buffer.

internal import Bytes
internal import ClientAddress
internal import Configuration
internal import EventLoop
internal import HTTP1
internal import HTTPMessage
internal import Metrics
import Synchronization

final class ClientConnection: ClientPeer {
  enum Phase {
    /// Waiting for a PROXY header.
    case proxy
    /// Waiting for a request's head, or in the middle of one.
    case head
    /// A request is being answered.
    case exchange
    /// Bytes pass both ways, to an origin's connection.
    case tunnel
    /// All that is left is to send what is in `output`.
    case closing
    /// Our side has ended; what the client still sends is read and dropped, so that it gets the
    /// answer instead of a reset (RFC 9112 §9.6).
    case lingering
    case closed
  }

  // A strong constant: the optimizer then borrows it wherever it is used, where an unowned reference
  // is counted at each use. The worker ends after all that it owns has left its tables.
  let worker: Worker
  let socket: Descriptor
  /// Its TLS; nil where bytes go as they are.
  let secure: SecureLink?
  private(set) var address: SocketAddress
  var token: UInt64 = 0
  /// Asked for by rules only; a system call for each connection.
  lazy var listenerPort = Socket.localAddress(of: socket)?.port ?? 0
  var phase = Phase.head
  var isReadable = false
  var isWritable = true
  var peerEnded = false
  /// Whether its fields may say whom it speaks for: not if a PROXY header has said that nobody knows.
  var mayBeForwarded = true

  /// Bytes read and not yet used, from a turn before.
  var input = ByteBuffer()
  /// Bytes not yet sent, from a turn before; the first `outputSent` of them are.
  var output = ByteBuffer()
  var outputSent = 0
  /// How much of the unused bytes this turn has used.
  var consumed = 0
  /// How many bytes of the worker's read buffer are this connection's, in this turn.
  var readCount = 0
  /// How much of an incomplete head was looked through for its end.
  var scanned = 0

  var deadline = Int64.max
  /// When the exchange has waited long enough, also while the time for writing counts instead.
  var waitUntil = Int64.max
  private var timerSet = Int64.max
  /// When the exchange is to go on.
  private var wakeSet = Int64.max
  /// Its request's way to the answer; between requests the worker's that rests.
  private(set) var exchange: Exchange
  var body = RequestBody()
  /// How the current response is framed.
  var framing = ResponseFraming.length
  /// Whether this response is the last.
  var isLast = false
  /// Whether the kernel takes no more bytes and the deadline is that of writing.
  var isBlocked = false
  /// Whether it has a place among the connections that go on in the next turn.
  var isLeftOver = false
  /// Whether the node itself has broken the connection off.
  var wasReset = false
  /// Bytes that may still be written in this turn.
  var writeBudget = 0
  /// The origin's connection that a tunnel leads to.
  var tunnel: UInt64?

  /// Requests answered, and bytes written, in one turn at most.
  static let requestsPerTurn = 16
  static let bytesPerTurn = 256 << 10
  /// How long a client gets to take the last answer in.
  static let lingerTime: Int64 = 2_000_000_000

  init(
    worker: Worker, socket: consuming Descriptor, address: SocketAddress,
    expectsProxyHeader: Bool = false, secure: SecureLink? = nil
  ) {
    self.worker = worker
    self.socket = socket
    self.address = address
    self.secure = secure
    if expectsProxyHeader { phase = .proxy }
    exchange = worker.restingExchange
  }

  func opened() {
    setDeadline(worker.now.monotonic + worker.clientSettings.headerTimeout)
    // Whatever the client has sent with its handshake's end is there to be read now; what comes later is
    // told of, since the socket was given another token.
    isReadable = worker.isDraining || !(secure?.isDrained ?? false)
    advance()
  }

  /// What the kernel says.
  func handle(_ readiness: Readiness) {
    if readiness.mayRead {
      isReadable = true
      secure?.noteReadable()
    }
    if readiness.mayWrite { isWritable = true }
    if readiness.peerEnded { peerEnded = true }
    if readiness.isOver && phase != .tunnel {
      // Both directions are gone: nobody is there to take an answer. (In a tunnel our own end may be
      // one of the two, and what the client sent before its end is still to be read.)
      close()
      return
    }
    advance()
  }

  /// Goes on as far as bytes and room allow. Every way into the connection leads here.
  func advance() {
    guard phase != .closed else { return }
    if !worker.out.isEmpty {
      // Nobody's bytes may ever reach somebody else.
      assertionFailure("a connection left bytes in the worker's buffer")
      worker.out.removeAll()
    }
    if let secure, secure.isEarly {
      guard secure.goOnWithHandshake() else { return close() }
      // What was read on the way waits in it.
      isReadable = true
    }
    consumed = 0
    readCount = 0
    writeBudget = Self.bytesPerTurn
    step()
    guard phase != .closed else { return }
    _ = flush()
    guard phase != .closed else { return }
    stash()
    if case .head = phase { restExchange() }
  }

  private func step() {
    var requests = 0
    while true {
      switch phase {
      case .proxy:
        guard readProxyHeader() else { return }
      case .head:
        if !output.isEmpty {
          guard flush() else { return }
          waitForNextRequest()
        }
        if requests == Self.requestsPerTurn {
          worker.runAgain(token)
          return
        }
        guard readRequest() else { return }
        requests += 1
      case .exchange:
        guard answer() else { return }
      case .tunnel:
        pumpTunnel()
        return
      case .closing:
        if let secure { sendEnd(secure) }
        guard phase == .closing, flush() else { return }
        endSending()
      case .lingering:
        dropInput()
        return
      case .closed: return
      }
    }
  }

  /// Takes the request's content and sends the response, as far as it goes. True when it is sent.
  private func answer() -> Bool {
    if exchange.takesBody && !body.isComplete { passContentOn() }
    if phase != .exchange { return phase != .closed }
    switch exchange.progress(on: self) {
    case .finished:
      finishedResponse()
      return true
    case .waiting: return false
    }
  }

  /// Has an exchange for the request that begins.
  func takeExchange() {
    guard exchange === worker.restingExchange else { return }
    exchange = worker.takeExchange()
    exchange.secure = secure
  }

  /// Leaves its exchange to other connections: one that is idle needs none.
  private func restExchange() {
    guard exchange !== worker.restingExchange, case .idle = exchange.state else { return }
    worker.giveBack(exchange)
    exchange = worker.restingExchange
  }

  // MARK: Time

  /// Sets when `timeout` is called, unless it is moved before. Costs a store, mostly.
  func setDeadline(_ time: Int64) {
    deadline = time
    if time < timerSet {
      timerSet = time
      worker.timers.set(deadline: time, token: token)
    }
  }

  /// Nothing is waited for.
  func clearDeadline() { deadline = .max }

  func timerRang() {
    // A later one than that which counts: it would be set again beside it, for ever.
    guard timerSet <= worker.now.monotonic else { return }
    timerSet = .max
    if deadline == .max { return }
    if deadline > worker.now.monotonic {
      setDeadline(deadline)
      return
    }
    timedOut()
  }

  func wake(at time: Int64) {
    guard time < wakeSet else { return }
    wakeSet = time
    worker.timers.set(deadline: time, token: TokenKind.wake | token)
  }

  /// The time has come that `wake` was asked for.
  func woken() {
    // An earlier one that a later has overtaken.
    guard wakeSet <= worker.now.monotonic else { return }
    wakeSet = .max
    if phase == .exchange { advance() }
  }

  private func timedOut() {
    deadline = .max
    switch phase {
    case .head where isBlocked, .exchange where isBlocked:
      worker.counters.add(.writeTimeouts)
      reset()
    case .head:
      // RFC 9110 §15.5.9: a client that began a request is told; an idle one is only closed.
      if input.isEmpty {
        close()
      } else {
        worker.counters.add(.headTimeouts)
        consumed = 0
        readCount = 0
        refuse(status: 408, text: "The request's head did not come in time.")
        flush()
        advance()
      }
    case .exchange where exchange.isFollowing:
      exchange.waitedEnough()
      advance()
    case .exchange:
      if !body.isComplete && !exchange.hasSentHead {
        worker.counters.add(.bodyTimeouts)
        consumed = 0
        readCount = 0
        exchange.refuseBody(
          status: 408, text: "The request's content did not come in time.", on: self)
        flush()
        advance()
      } else {
        reset()
      }
    case .tunnel: closeTunnel()
    case .proxy: close()
    case .closing where isBlocked:
      // A response that ends with the connection would look complete.
      worker.counters.add(.writeTimeouts)
      reset()
    case .closing, .lingering, .closed: close()
    }
  }

  // MARK: The end

  /// A stopping node: an idle connection ends at once, a busy one after its response.
  func drain() {
    switch phase {
    case .head where input.isEmpty && output.isEmpty:
      // A request may be waiting in the kernel. If not, this ends the connection.
      isReadable = true
      advance()
    case .tunnel: closeTunnel()
    case .proxy: close()
    default: break
    }
  }

  /// The end of a stopping node's patience. What was begun must not look complete.
  func cutOff() {
    if exchange.hasSentHead && phase == .exchange || !output.isEmpty { reset() } else { close() }
  }

  /// Ends the connection after what was sent; see `Phase.lingering`.
  private func endSending() {
    let nothingComes = peerEnded && !isReadable
    let isRead = unread.isEmpty && !isReadable && body.isComplete
    if nothingComes || isRead && !exchange.wasRefused {
      close()
      return
    }
    endSendingSide()
    phase = .lingering
    setDeadline(worker.now.monotonic + Self.lingerTime)
  }

  private func dropInput() {
    consumed = 0
    input.release()
    readCount = 0
    var total = 0
    while isReadable && total < Self.bytesPerTurn {
      let result = unsafe receive(into: worker.readBuffer)
      guard let count = result.count, count > 0 else {
        if result.wouldBlock {
          isReadable = false
          return
        }
        close()
        return
      }
      total += count
    }
    if isReadable { worker.runAgain(token) }
  }

  /// Closes such that the client sees an error and never a complete response.
  func reset() {
    wasReset = true
    socket.resetOnClose()
    close()
  }

  func close() {
    guard phase != .closed else { return }
    if let secure { sayGoodbye(secure) }
    let wasTunnel = phase == .tunnel
    phase = .closed
    exchange.abandon(on: self)
    if wasTunnel {
      closeTunnelPeer()
      exchange.settleLimits(worker)
    }
    restExchange()
    worker.poller.remove(socket)
    worker.out.removeAll()
    worker.counters.add(.connectionsClosed)
    worker.context.connections.subtract(1, ordering: .relaxed)
    worker.clients.remove(token)
  }
}

// The PROXY protocol.
extension ClientConnection {
  /// Reads the PROXY header that the connection begins with; see `ProxyHeader`. False when more bytes
  /// are needed, or the connection is closed.
  private func readProxyHeader() -> Bool {
    while true {
      switch ProxyHeader.read(unread) {
      case .complete(let header, let length):
        consumed += length
        if case .addresses(let source, let port, _, _) = header {
          address = SocketAddress(high: source.high, low: source.low, port: port)
        } else {
          // The peer is the proxy, which is trusted; what it passes on is any client's (or its own).
          mayBeForwarded = false
        }
        guard worker.admits(address) else {
          close()
          return false
        }
        phase = .head
        return true
      case .malformed:
        worker.counters.add(.requestsRejected)
        close()
        return false
      case .incomplete:
        if readMore() { continue }
        if phase != .closed && peerEnded { close() }
        return false
      }
    }
  }
}
