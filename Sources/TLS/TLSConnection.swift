// One end of a TLS connection on a non-blocking socket. OpenSSL reads and writes the socket itself; the
// socket stays with its owner, which must close it after the connection is gone.
//
// The life of one, as its owner sees it:
//
//   HelloArrival.look    until a whole first record is in the kernel: nothing is allocated before
//   handshake()          on every event, until .done
//   receive, send        and flush() on events, as long as hasUnsent
//   sendCloseNotify      then the socket is closed
//
// What `send` returns as taken needs no second offer: a record that the kernel does not take at once is
// kept (encrypted by OpenSSL, and as a copy, because OpenSSL wants the same bytes again) and goes out
// with `flush`. A server may have the end of its handshake, the tickets above all, go out with its first
// answer (`holds`): one segment instead of two for each connection. `receive` may leave bytes inside of
// OpenSSL: an edge-triggered loop goes on until it returns .wantsRead, or stops as soon as `isDrained`.

package import Bytes
internal import CLinux
internal import COpenSSL
internal import EventLoop

/// A TLS connection's end, of a server or of a client. Used by one thread at a time.
@safe
package struct TLSConnection: ~Copyable, @unchecked Sendable {
  // Sendable: it has one owner, and OpenSSL ties a connection to no thread.
  let ssl: OpaquePointer
  // Held, because the callbacks use them.
  let server: ServerTLSContext?
  let client: ClientTLSContext?
  /// What a record held that the kernel has not taken yet.
  private var unsent = ByteBuffer()
  /// Early data that was read while the handshake was looking for it.
  var early = ByteBuffer()
  private var phase = Phase.handshake
  private var sizing = RecordSizing()
  private var kernelSends = false
  /// Whether the end of the handshake waits for what is sent next.
  private let gathers: Bool
  /// Whether something waits for what is sent next, with which it shares a segment; or for `flush`, if nothing
  /// is sent soon.
  package private(set) var holds = false
  /// Whether something of that kind is to go out by itself, as soon as the socket takes it.
  private var owes = false
  /// Whether records are gathered to go out together.
  private var isBurst = false
  /// After so many bytes of records they go out together: three that are full, within what segmentation by
  /// the kernel takes at once. With the last record they are all that a connection holds of a burst while
  /// its peer takes nothing.
  private static let burst = 48 << 10
  /// Whether what `receive` last returned was early data (RFC 8446 §8): it may be a replay, and only a
  /// safe request may be answered before the handshake is done (RFC 8470).
  package private(set) var hasEarlyData = false

  private enum Phase {
    /// Early data may come.
    case early
    case handshake
    case established
    /// A close_notify was sent.
    case closing
    case failed
  }

  init(
    owning ssl: OpaquePointer, server: ServerTLSContext?, client: ClientTLSContext?,
    gathers: Bool = false
  ) {
    unsafe self.ssl = ssl
    self.gathers = gathers
    self.server = server
    self.client = client
    if server?.readsEarlyData ?? false { phase = .early }
  }

  deinit {
    // OpenSSL takes a connection without a close_notify for one whose session must not be resumed. But
    // HTTP says itself where a message ends, and clients leave without a word all the time.
    if phase == .established {
      unsafe SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN)
    }
    unsafe SSL_free(ssl)
  }

  // MARK: Handshake

  /// Goes on with the handshake; to be called on each event until it is done.
  package mutating func handshake() -> HandshakeResult {
    switch phase {
    case .established, .closing: return .done
    case .failed: return .failed(TLSFailure(.protocolError))
    case .early:
      if !early.isEmpty { return .earlyData }
      if let result = readEarlyData() { return result }
    case .handshake: break
    }
    if owes, let stop = settle().handshakeStop { return stop }
    prepare()
    if gathers { unsafe weir_bio_hold(ssl) }
    let result = unsafe SSL_do_handshake(ssl)
    if gathers { unsafe weir_bio_end_hold(ssl) }
    if result == 1 {
      phase = .established
      kernelSends = unsafe weir_ktls_sends(ssl) == 1
      holds = unsafe weir_bio_holds(ssl) != 0
      return .done
    }
    let system = weir_errno()
    switch unsafe SSL_get_error(ssl, result) {
    case SSL_ERROR_WANT_READ: return settle().handshakeStop ?? .wantsRead
    case SSL_ERROR_WANT_WRITE: return .wantsWrite
    case let error:
      // What it says about the reason, if it says something.
      if gathers { _ = unsafe weir_bio_let_go(ssl) }
      weir_set_errno(system)
      return .failed(fail(error))
    }
  }

  /// Sends what is held, now.
  private mutating func settle() -> TLSResult {
    holds = false
    switch unsafe weir_bio_let_go(ssl) {
    case 0:
      owes = false
      return .bytes(0)
    case 1:
      owes = true
      return .wantsWrite
    default:
      phase = .failed
      return .failed(TLSFailure(.socket(weir_errno())))
    }
  }

  /// Whether the handshake is not done: what was received until now may be a replay.
  package var isEarly: Bool { phase == .early || phase == .handshake }

  /// Goes on with a handshake that has brought early data, on each event until it is done. The early data
  /// itself, which is before the handshake's end on the wire, is kept for `receive`: as much as the
  /// configuration allows a client. Never `.earlyData`.
  package mutating func completeHandshake() -> HandshakeResult {
    // A record that was begun must be over before OpenSSL can write another kind.
    if hasUnsent {
      switch flush() {
      case .wantsRead: return .wantsRead
      case .wantsWrite: return .wantsWrite
      case .failed(let failure): return .failed(failure)
      case .bytes, .end: break
      }
    }
    while phase == .early {
      switch readEarlyData() {
      case .earlyData, nil: continue
      case let result?: return result
      }
    }
    return handshake()
  }

  /// Looks for early data; nil when there is no more, and the handshake goes on.
  private mutating func readEarlyData() -> HandshakeResult? {
    prepare()
    var count = 0
    var outcome: Int32 = 0
    let handle = unsafe ssl
    unsafe early.appendUninitialized(atLeast: 4_096) { free in
      outcome = unsafe SSL_read_early_data(handle, free.baseAddress, free.count, &count)
      return count
    }
    switch outcome {
    case SSL_READ_EARLY_DATA_SUCCESS: return .earlyData
    case SSL_READ_EARLY_DATA_FINISH:
      if early.isEmpty { early.release() }
      phase = .handshake
      return early.isEmpty ? nil : .earlyData
    default:
      if early.isEmpty { early.release() }
      switch unsafe SSL_get_error(ssl, 0) {
      case SSL_ERROR_WANT_READ: return .wantsRead
      case SSL_ERROR_WANT_WRITE: return .wantsWrite
      case let error: return .failed(fail(error))
      }
    }
  }

  // MARK: Reading

  /// Reads into memory.
  package mutating func receive(into buffer: UnsafeMutableRawBufferPointer) -> TLSResult {
    if !early.isEmpty { return unsafe handOutEarlyData(buffer) }
    hasEarlyData = false
    guard phase == .established || phase == .closing else {
      return phase == .failed ? .failed(TLSFailure(.protocolError)) : .wantsRead
    }
    prepare()
    var count = 0
    // Safe: OpenSSL writes at most `buffer.count` bytes into a buffer the caller owns.
    let result = unsafe SSL_read_ex(ssl, buffer.baseAddress, buffer.count, &count)
    if result == 1 { return .bytes(count) }
    return outcome(of: 0)
  }

  /// Reads at most `limit` bytes onto the end of a buffer.
  package mutating func receive(onto buffer: inout ByteBuffer, limit: Int) -> TLSResult {
    var result = TLSResult.wantsRead
    unsafe buffer.appendUninitialized(atLeast: limit) { free in
      result = unsafe receive(into: UnsafeMutableRawBufferPointer(rebasing: free.prefix(limit)))
      return result.count ?? 0
    }
    return result
  }

  private mutating func handOutEarlyData(_ buffer: UnsafeMutableRawBufferPointer) -> TLSResult {
    let piece = early.view.prefix(buffer.count)
    guard let base = buffer.baseAddress, piece.count > 0 else { return .bytes(0) }
    // Safe: `piece` is no longer than the buffer.
    unsafe base.copyMemory(from: piece.baseAddress, byteCount: piece.count)
    let count = piece.count
    early.removeFirst(count)
    if early.isEmpty { early.release() }
    hasEarlyData = true
    return .bytes(count)
  }

  /// Whether nothing is left to read, neither in OpenSSL nor (as far as the last read can tell) in the
  /// socket: an edge-triggered loop need not ask again before the next event.
  package var isDrained: Bool {
    let isEmpty = unsafe SSL_has_pending(ssl) == 0 && weir_bio_drained(ssl) != 0
    return isEmpty && early.isEmpty
  }

  /// To be told of each event by which the socket is readable. What OpenSSL hands out next may be of an
  /// earlier read of its own, and what the event is about still in the socket: without this `isDrained`
  /// would go by the earlier one, and an edge-triggered loop would wait for ever.
  package func noteReadable() { unsafe weir_bio_readable(ssl) }

  // MARK: Writing

  /// Whether something that `send` took still waits for the socket to be writable.
  package var hasUnsent: Bool { !unsent.isEmpty || owes }

  /// How many bytes of records wait for the socket, or for what is sent next; that they become fewer is
  /// progress.
  package var heldCount: Int { unsafe weir_bio_held(ssl) }

  /// Sends what waits: `.bytes(0)` when nothing is left.
  package mutating func flush() -> TLSResult {
    guard !unsent.isEmpty else { return holds || owes ? settle() : .bytes(0) }
    let result = write(unsent.view)
    if result.count != nil { unsent.release() }
    return result.count == nil ? result : .bytes(0)
  }

  /// Sends from a view; returns how many bytes need not be offered again. `now` is monotonic, in
  /// nanoseconds.
  package mutating func send(_ bytes: ByteView, now: Int64) -> TLSResult {
    if hasUnsent {
      let flushed = flush()
      if flushed.count == nil { return flushed }
    }
    if kernelSends { return sendByKernel(bytes) }
    var taken = 0
    while taken < bytes.count {
      let piece = bytes.dropping(first: taken).prefix(sizing.limit(now: now))
      switch write(piece) {
      case .bytes(let count):
        sizing.made(count: count, now: now)
        taken += count
      case .wantsWrite:
        // OpenSSL may have the record encrypted already, and wants the same bytes with the next call.
        sizing.made(count: piece.count, now: now)
        unsent.append(piece)
        return .bytes(taken + piece.count)
      case let other: return taken > 0 && other.wouldBlock ? .bytes(taken) : other
      }
    }
    return .bytes(taken)
  }

  /// Sends two runs as one: they share records. What comes first is copied, and of the second what fits
  /// the same record; the rest is sent from where it is.
  package mutating func send(
    _ first: ByteView, _ second: ByteView, gatherer: RecordGatherer, now: Int64
  ) -> TLSResult {
    if first.isEmpty { return send(second, now: now) }
    if second.isEmpty { return send(first, now: now) }
    let limit = sizing.limit(now: now)
    // A first run that fills records of its own: only its end is worth gathering.
    let alone = first.count / limit * limit
    let tail = first.dropping(first: alone)
    var taken = 0
    if alone > 0 {
      let result = send(first.prefix(alone), now: now)
      guard let count = result.count, count == alone, !hasUnsent else { return result }
      taken = alone
    }
    let space = max(0, sizing.limit(now: now) - tail.count)
    let shared = second.prefix(space)
    gatherer.buffer.removeAll()
    gatherer.buffer.append(tail)
    gatherer.buffer.append(shared)
    let result = send(gatherer.buffer.view, now: now)
    guard let count = result.count else {
      return taken > 0 && result.wouldBlock ? .bytes(taken) : result
    }
    taken += count
    guard count == gatherer.buffer.count, !hasUnsent, shared.count < second.count else {
      return .bytes(taken)
    }
    let rest = send(second.dropping(first: shared.count), now: now)
    if let count = rest.count { return .bytes(taken + count) }
    return rest.wouldBlock ? .bytes(taken) : rest
  }

  /// Writes one record, or what is left of it.
  private mutating func write(_ bytes: ByteView) -> TLSResult {
    guard phase != .failed && phase != .closing else { return .failed(TLSFailure(.protocolError)) }
    guard !bytes.isEmpty else { return .bytes(0) }
    prepare()
    var count = 0
    // Safe: the view covers `bytes.count` readable bytes.
    let result =
      phase == .established
      ? unsafe SSL_write_ex(ssl, bytes.baseAddress, bytes.count, &count)
      : unsafe SSL_write_early_data(ssl, bytes.baseAddress, bytes.count, &count)
    if isBurst {
      // What the end of the handshake left is in front of it.
      holds = false
      guard result == 1 else {
        _ = endBurst()
        return outcome(of: 0)
      }
      return unsafe weir_bio_held(ssl) < Self.burst ? .bytes(count) : sendBurst(count)
    }
    if holds || owes {
      // What was held has gone out in front of it, or goes with what waits of it.
      holds = false
      owes = unsafe result != 1 && weir_bio_holds(ssl) != 0
    }
    if result == 1 { return .bytes(count) }
    return outcome(of: 0)
  }

  /// Sends what a burst has gathered, and goes on with it if the socket took all. `count`: how many bytes the
  /// last record has, which need not be offered again in any case but a failure.
  private mutating func sendBurst(_ count: Int) -> TLSResult {
    if case .failed(let failure) = endBurst() { return .failed(failure) }
    beginBurst()
    return .bytes(count)
  }

  /// Where the kernel makes the records, its own way of taking bytes is used.
  private mutating func sendByKernel(_ bytes: ByteView) -> TLSResult {
    guard phase == .established else { return .failed(TLSFailure(.protocolError)) }
    guard !bytes.isEmpty else { return .bytes(0) }
    while true {
      let sent = unsafe weir_send(
        SSL_get_fd(ssl), bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
      if sent >= 0 { return .bytes(sent) }
      switch weir_errno() {
      case EINTR: continue
      case EAGAIN: return .wantsWrite
      case let number:
        phase = .failed
        return .failed(TLSFailure(.socket(number)))
      }
    }
  }

  // MARK: Many records

  /// Has the records of what is sent next go out together, some at a time, until `endBurst`: a call of the
  /// system for each costs more than copying them.
  package mutating func beginBurst() {
    guard gathers, !isBurst, phase == .established, !kernelSends, !hasUnsent else { return }
    isBurst = true
    unsafe weir_bio_hold(ssl)
  }

  /// Sends what is left of a burst; `.bytes(0)` if nothing waits. To be called before anything else is asked
  /// of the connection but `send`.
  package mutating func endBurst() -> TLSResult {
    guard isBurst else { return .bytes(0) }
    isBurst = false
    unsafe weir_bio_end_hold(ssl)
    return settle()
  }

  // MARK: The end

  /// Says that nothing more will be sent. `.bytes(0)` when it is with the kernel; what waits from before
  /// is sent first.
  package mutating func sendCloseNotify() -> TLSResult {
    if isBurst { _ = endBurst() }
    if !gathers || !unsent.isEmpty {
      let flushed = flush()
      if flushed.count == nil { return flushed }
    }
    guard phase == .established || phase == .closing else { return .bytes(0) }
    if gathers {
      holdCloseNotify()
      return flush()
    }
    phase = .closing
    prepare()
    let result = unsafe SSL_shutdown(ssl)
    if result >= 0 { return .bytes(0) }
    return outcome(of: result)
  }

  /// Sends the last bytes and says that nothing more will be sent, in one call of the system: how many bytes
  /// there were, also if some of it still waits (`hasUnsent`). Nil if they have to be sent one after the other.
  package mutating func end(with bytes: ByteView, now: Int64) -> TLSResult? {
    guard gathers, phase == .established, !hasUnsent, bytes.count <= 16_384 else { return nil }
    unsafe weir_bio_hold(ssl)
    let result = send(bytes, now: now)
    unsafe weir_bio_end_hold(ssl)
    guard result.count == bytes.count else { return result }
    holdCloseNotify()
    if case .failed(let failure) = flush() { return .failed(failure) }
    return result
  }

  /// Has the close_notify wait for `flush`, behind what waits already.
  private mutating func holdCloseNotify() {
    guard phase == .established else { return }
    phase = .closing
    prepare()
    unsafe weir_bio_hold(ssl)
    _ = unsafe SSL_shutdown(ssl)
    unsafe weir_bio_end_hold(ssl)
    owes = true
  }

  // MARK: Errors

  @inline(__always)
  private func prepare() {
    ErrorQueue.clear()
    weir_set_errno(0)
  }

  mutating func outcome(of result: Int32) -> TLSResult {
    let system = weir_errno()
    switch unsafe SSL_get_error(ssl, result) {
    case SSL_ERROR_WANT_READ: return .wantsRead
    case SSL_ERROR_WANT_WRITE: return .wantsWrite
    case SSL_ERROR_ZERO_RETURN: return .end
    case let error:
      weir_set_errno(system)
      return .failed(fail(error))
    }
  }

  private mutating func fail(_ error: Int32) -> TLSFailure {
    let system = weir_errno()
    phase = .failed
    let code = ErrorQueue.drain()
    if error == SSL_ERROR_SYSCALL || code == 0 {
      return TLSFailure(system == 0 ? .truncated : .socket(system), code: code)
    }
    return unsafe TLSFailure(classifying: code, verification: SSL_get_verify_result(ssl))
  }
}

extension TLSFailure {
  /// What a code of OpenSSL's means.
  init(classifying code: UInt, verification: Int) {
    let number = Int32(truncatingIfNeeded: weir_err_reason(code))
    guard weir_err_library(code) == UInt(ERR_LIB_SSL) else {
      self.init(
        weir_err_library(code) == UInt(ERR_LIB_SYS) ? .socket(number) : .protocolError, code: code)
      return
    }
    let reason: Reason
    switch number {
    case SSL_R_UNEXPECTED_EOF_WHILE_READING: reason = .truncated
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
      reason = .certificateRefused(Int32(truncatingIfNeeded: verification))
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE: reason = .certificateMissing
    case SSL_R_UNSUPPORTED_PROTOCOL, SSL_R_VERSION_TOO_LOW, SSL_R_WRONG_SSL_VERSION,
      SSL_R_NO_PROTOCOLS_AVAILABLE:
      reason = .version
    case SSL_R_NO_SHARED_CIPHER, SSL_R_NO_SUITABLE_KEY_SHARE, SSL_R_NO_SHARED_GROUPS,
      SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS,
      SSL_R_NO_CIPHERS_SPECIFIED:
      reason = .noCommonParameters
    case SSL_R_NO_APPLICATION_PROTOCOL: reason = .noCommonProtocol
    case SSL_R_WRONG_VERSION_NUMBER, SSL_R_HTTP_REQUEST, SSL_R_HTTPS_PROXY_REQUEST: reason = .notTLS
    // Alerts that were received: 1,000 and the alert's number.
    case 1_000...1_255: reason = .alert(UInt8(truncatingIfNeeded: number - 1_000))
    default: reason = .protocolError
    }
    self.init(reason, code: code)
  }
}
