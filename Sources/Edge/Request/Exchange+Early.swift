// Requests that came before the end of their connection's handshake (0-RTT, RFC 8470). Whoever has recorded
// them can send them again, so that they may be replays until the handshake is done. Of them only what does
// no harm however often it is done is done at once:
//
//   GET, HEAD ─ no content ─ open to all ── limits ─ lookup ─┬─ fresh, whole ──→ answered
//       │            │            │                          └─ anything else ─┐
//       └────────────┴────────────┴─────────→ waits (`early`) ←────────────────┘
//                                                │ the handshake is done: no replay
//                                                └──→ from where it stopped
//
// So nothing is forwarded early, by any node of this kind, and no origin has to be told (`Early-Data`) or can
// answer 425 because of us. A client that is itself an intermediary may say `Early-Data: 1`: that field and
// the 425 that it may bring are passed on, and a 425 is neither stored nor shared.

internal import Bytes
internal import Configuration
internal import EventLoop
internal import HTTPCaching
internal import HTTPMessage
internal import Metrics
internal import ObjectStore

extension Exchange {
  /// Whether a request may go on to the lookup before the handshake's end. One that ends its connection
  /// may not: the end could not be said (close_notify) before there is a connection.
  func mayBeginEarly(_ head: RequestHead) -> Bool {
    guard case .none = head.framing, head.keepAlive || isHTTP2 else { return false }
    return head.method == .get || head.method == .head
  }

  /// Whether a stored response may be sent before the handshake's end. If not, the request waits.
  func answersEarly(
    _ response: StoredResponse, _ reuse: Reuse, on connection: some ClientStream
  ) -> Bool {
    if case .fresh = reuse, !response.isSliced {
      connection.worker.counters.add(.earlyAnswered)
      return true
    }
    return !mustWaitForHandshake(on: connection)
  }

  /// Whether the request has to wait here, and does, because its connection's handshake is not done.
  func mustWaitForHandshake(on connection: some ClientStream) -> Bool {
    guard let secure, secure.isEarly else { return false }
    isPastGates = true
    waitForHandshake(on: connection)
    return true
  }

  /// Waits for the end of the handshake.
  func waitForHandshake(on connection: some ClientStream) {
    let worker = connection.worker
    worker.counters.add(.earlyWaited)
    own(worker)
    state = .early
    let patience = worker.generation.shared.configuration.tls.handshakeTimeout
    connection.wait(until: worker.now.monotonic &+ patience)
  }

  /// Goes on when the handshake is done. False: it is not.
  func goOnAfterHandshake(on connection: some ClientStream) -> Bool {
    if let secure, secure.isEarly { return false }
    connection.wait(until: .max)
    state = .waiting
    let head = head(connection.worker)
    if isPastGates {
      proceed(head, on: connection)
    } else {
      enter(head, on: connection)
    }
    return true
  }
}
