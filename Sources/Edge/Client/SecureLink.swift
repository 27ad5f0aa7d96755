// What a client's bytes go by where there is TLS: in the socket's place, with the socket's outcomes. A plain
// connection has none of these and pays a test for nil, once for a read and once for a write.
//
// OpenSSL reads and writes the socket itself. What `send` says is taken is taken: a record that the kernel
// did not take is kept here (`hasUnsent`) and goes out with `flush`.

internal import Bytes
internal import EventLoop
internal import Rules
internal import TLS

final class SecureLink {
  var tls: TLSConnection
  private let gatherer: RecordGatherer
  /// What rules and limits may ask; made when the first of them does.
  private var made: SecureFacts?
  /// The host that the client named in its handshake, in lower case.
  private var serverName = ByteBuffer()
  /// The last other host that the connection's certificates turned out to be for.
  private var otherHost = ByteBuffer()
  private var hasServerName = false
  /// The client's JA4 fingerprint; empty where nothing asks for it.
  let fingerprint: [UInt8]

  init(
    _ tls: consuming TLSConnection, gatherer: RecordGatherer, fingerprint: [UInt8] = []
  ) {
    self.tls = tls
    self.fingerprint = fingerprint
    self.gatherer = gatherer
  }

  /// What its client was asked for in the handshake (`ClientVerification.identity`).
  private(set) var verification = 0
  /// The cipher suite's number as IANA has it.
  private(set) var cipherSuite: UInt16 = 0

  /// The handshake is done: notes what each request is compared with.
  func opened() {
    verification = tls.verification
    cipherSuite = tls.cipherSuite
    guard let name = tls.serverName else { return }
    hasServerName = true
    name.withView { serverName.appendLowercased($0) }
    if serverName.count > 0, serverName.view[serverName.count - 1] == 0x2E {
      serverName.truncate(to: serverName.count - 1)
    }
  }

  /// Whether a request for a host (lower case, without a port) came to the wrong connection: one that was
  /// opened for a host with other certificates (RFC 9110 §7.4).
  func isMisdirected(_ host: ByteView) -> Bool {
    if !hasServerName || host == serverName.view || host == otherHost.view { return false }
    guard tls.isShown(to: host) else { return true }
    otherHost.removeAll()
    otherHost.append(host)
    return false
  }

  // MARK: Early data

  /// Whether its handshake is not done: requests of now may be replays (RFC 8470). See Exchange+Early.swift.
  private(set) var isEarly = false

  /// The codec begins before the handshake's end.
  func beginEarly() { isEarly = true }

  /// Goes on with the handshake as far as the socket lets it. False: the connection is beyond use.
  func goOnWithHandshake() -> Bool {
    switch tls.completeHandshake() {
    case .done:
      isEarly = false
      return true
    case .wantsRead, .wantsWrite: return true
    case .earlyData, .failed: return false
    }
  }

  /// What the handshake said.
  var facts: SecureFacts {
    if let made { return made }
    let facts = SecureFacts(tls, fingerprint: fingerprint)
    made = facts
    return facts
  }

  // MARK: Bytes

  /// Reads; 0 bytes are the end, with a close_notify or without: HTTP itself says where a message ends.
  func receive(into buffer: UnsafeMutableRawBufferPointer) -> IOResult {
    unsafe tls.receive(into: buffer).outcome
  }

  /// Reads at most `limit` bytes onto the end of a buffer.
  func receive(onto buffer: inout ByteBuffer, limit: Int) -> IOResult {
    tls.receive(onto: &buffer, limit: limit).outcome
  }

  /// An event says that there is something to read.
  func noteReadable() { tls.noteReadable() }

  /// Whether nothing is left to read before the next event.
  var isDrained: Bool { tls.isDrained }

  /// Sends; how many bytes need not be offered again.
  func send(_ bytes: ByteView, now: Int64) -> IOResult {
    tls.send(bytes, now: now).outcome
  }

  /// Sends two runs that share records.
  func send(_ first: ByteView, _ second: ByteView, now: Int64) -> IOResult {
    tls.send(first, second, gatherer: gatherer, now: now).outcome
  }

  /// Has the records of what is sent next go out together, until `endBurst`.
  func beginBurst() { tls.beginBurst() }

  /// Sends what is left of them; 0 when all of it is out.
  func endBurst() -> IOResult { tls.endBurst().outcome }

  /// Whether a record waits for the socket.
  var hasUnsent: Bool { tls.hasUnsent }

  /// How many bytes of records wait; that they become fewer is progress.
  var heldCount: Int { tls.heldCount }

  /// Whether the end of the handshake waits for what is sent next, with which it goes out.
  var holds: Bool { tls.holds }

  /// Sends the last bytes with a close_notify behind them; nil if that takes more than one call.
  func end(with bytes: ByteView, now: Int64) -> IOResult? {
    tls.end(with: bytes, now: now)?.outcome
  }

  /// Sends what waits, and what is held; 0 when all of it is out.
  func flush() -> IOResult { tls.flush().outcome }

  /// Says that nothing more will be sent; 0 when that is out.
  @discardableResult
  func endSending() -> IOResult { tls.sendCloseNotify().outcome }
}

/// What a handshake said, as text for rules and limits.
final class SecureFacts {
  private var version = ByteBuffer()
  private var serverName = ByteBuffer()
  private var cipher = ByteBuffer()
  private var applicationProtocol = ByteBuffer()
  /// The subject of a verified certificate.
  private(set) var clientSubject = ByteBuffer()
  private var clientFingerprint = ByteBuffer()
  private var fingerprint = ByteBuffer()

  init(_ tls: borrowing TLSConnection, fingerprint: [UInt8]) {
    fingerprint.withView { self.fingerprint.append($0) }
    switch tls.version {
    case .tls12: version.append("TLSv1.2")
    case .tls13: version.append("TLSv1.3")
    }
    serverName.append(text: (tls.serverName ?? "").lowercased())
    cipher.append(text: tls.cipherName)
    switch tls.applicationProtocol {
    case .http2: applicationProtocol.append("h2")
    case .http1: applicationProtocol.append("http/1.1")
    case nil: break
    }
    guard let certificate = tls.peerCertificate, certificate.isVerified else { return }
    clientSubject.append(text: certificate.subject)
    for byte in certificate.fingerprint {
      clientFingerprint.append(allHexadecimal: byte)
    }
  }

  /// Views for a run of rules, good as long as this.
  var forRules: RuleTLS {
    var facts = RuleTLS()
    facts.version = version.view
    facts.serverName = serverName.view
    facts.cipher = cipher.view
    facts.applicationProtocol = applicationProtocol.view
    facts.fingerprint = fingerprint.view
    facts.clientSubject = clientSubject.view
    facts.clientFingerprint = clientFingerprint.view
    return facts
  }
}
