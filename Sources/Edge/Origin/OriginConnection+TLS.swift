// TLS on a connection to a server.
//
// The handshake begins when the socket is connected, and belongs to connecting: its time is the
// connection's, and where it fails the server has seen nothing of the request, so that the next address, or
// another server, is tried. After it the connection is read and written like any other: what TLS has to say
// is put into the words of system calls (`IOResult`), so that whoever reads need not know.
//
// A session is kept for each server once a first answer has come (TLS 1.3 hands sessions out after the
// handshake), and the next handshake resumes it.

internal import Bytes
internal import EventLoop
internal import Metrics
internal import Origins
internal import TLS

/// TLS on the socket of a connection.
final class OriginSecurity {
  var connection: TLSConnection
  /// Whether a read waits for the socket to be writable.
  var readWantsWrite = false
  /// Whether its session has been kept.
  var hasKeptSession = false

  init(_ connection: consuming TLSConnection) { self.connection = connection }

  func receive(into buffer: UnsafeMutableRawBufferPointer) -> IOResult {
    let result = unsafe connection.receive(into: buffer)
    readWantsWrite = result == .wantsWrite
    return IOResult(result)
  }

  func receive(onto buffer: inout ByteBuffer, limit: Int) -> IOResult {
    let result = connection.receive(onto: &buffer, limit: limit)
    readWantsWrite = result == .wantsWrite
    return IOResult(result)
  }

  func send(_ bytes: ByteView, now: Int64) -> IOResult {
    IOResult(connection.send(bytes, now: now))
  }

  /// Whether all that was taken is with the kernel.
  func flush() -> IOResult { IOResult(connection.flush()) }
}

/// A session that a server has handed out, and the settings under which it did.
final class KeptSession {
  let owner: Int
  // Optional, for that is what it is passed on as: of what cannot be copied no other is made.
  let session: TLSSession?

  init(owner: Int, _ session: consuming TLSSession) {
    self.owner = owner
    self.session = consume session
  }
}

extension OriginConnection {
  /// The socket is connected: begins the handshake.
  func beginHandshake(_ tls: OriginTLS) {
    guard let made = makeSecurity(tls) else {
      request?.connectFailed(on: self, .tlsFailed)
      return
    }
    security = made
    phase = .securing
    worker.counters.add(.originTLSHandshakes)
    goOnWithHandshake()
  }

  private func makeSecurity(_ tls: OriginTLS) -> OriginSecurity? {
    if let kept = worker.originSessions[server.id], kept.owner == tls.id,
      let made = tls.connect(
        on: socket, to: server, offersHTTP2: mayShare, resuming: kept.session)
    {
      return OriginSecurity(made)
    }
    guard let made = tls.connect(on: socket, to: server, offersHTTP2: mayShare) else { return nil }
    return OriginSecurity(made)
  }

  /// Goes on with the handshake.
  func goOnWithHandshake() {
    guard let security else { return }
    switch security.connection.handshake() {
    case .wantsRead, .wantsWrite, .earlyData: return
    case .failed(let failure):
      worker.counters.add(.originTLSErrors)
      // A session that the server does not like any more is not offered again.
      worker.originSessions[server.id] = nil
      request?.connectFailed(on: self, OriginFailure(failure))
    case .done:
      if security.connection.isResumed { worker.counters.add(.originTLSResumptions) }
      isReadable = true
      isWritable = true
      if security.connection.applicationProtocol == .http2 {
        shareWithRequest()
        return
      }
      phase = .active
      request?.connected(on: self)
    }
  }

  /// An answer has come: what the server has handed out by now is kept for the next connection.
  func keepSession() {
    guard let security, let tls, !security.hasKeptSession else { return }
    security.hasKeptSession = true
    guard let session = security.connection.session() else { return }
    worker.originSessions[server.id] = KeptSession(owner: tls.id, session)
  }

  /// Says that nothing more will come, if that can be said at once.
  func endSecurity() {
    guard let security else { return }
    _ = security.connection.sendCloseNotify()
    self.security = nil
  }
}

extension OriginFailure {
  /// What a failed handshake means (RFC 9209 §2.3.13 to §2.3.15).
  init(_ failure: TLSFailure) {
    switch failure.reason {
    case .certificateRefused, .certificateMissing: self = .tlsCertificate
    case .alert: self = .tlsAlert
    case .truncated, .socket, .version, .noCommonParameters, .noCommonProtocol, .notTLS,
      .protocolError:
      self = .tlsFailed
    }
  }
}
