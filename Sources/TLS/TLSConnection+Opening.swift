internal import Bytes
internal import CLinux
internal import COpenSSL
package import EventLoop

extension ServerTLSContext {
  /// The server's end of a connection, about to begin its handshake. Makes OpenSSL's object (some 10 KiB):
  /// only once `HelloArrival.look` says that there is a hello. Nil if there is no memory. With `gathers` the
  /// end of the handshake waits for what is sent next, or for `flush`: see `TLSConnection.holds`. (The kernel's
  /// TLS begins within the handshake: with it nothing waits.)
  package func accept(
    on socket: borrowing Descriptor, gathers: Bool = false
  ) -> TLSConnection? {
    guard let ssl = unsafe SocketMethod.shared.open(first, socket.number) else { return nil }
    unsafe SSL_set_accept_state(ssl)
    return unsafe TLSConnection(
      owning: ssl, server: self, client: nil, gathers: gathers && !usesKernelTLS)
  }
}

extension ClientTLSContext {
  /// The client's end of a connection to `host`, a name or an address, about to begin its handshake. With
  /// a session of an earlier connection to the same host the server may take the short way. Nil if there
  /// is no memory, or `host` cannot be a host's name.
  package func connect(
    on socket: borrowing Descriptor, host: String, resuming session: borrowing TLSSession? = nil
  ) -> TLSConnection? {
    guard let ssl = unsafe SocketMethod.shared.open(handle, socket.number) else { return nil }
    var connection = unsafe TLSConnection(owning: ssl, server: nil, client: self)
    guard connection.setHost(host, verifies: verifies) else { return nil }
    if asksForStaple { unsafe weir_ssl_request_status(ssl) }
    switch session {
    case .some(let session): _ = unsafe SSL_set_session(ssl, session.handle)
    case .none: break
    }
    unsafe SSL_set_connect_state(ssl)
    return connection
  }
}

/// The socket BIO's method, made once.
@safe
final class SocketMethod: Sendable {
  static let shared = SocketMethod()
  // Never changed after init, and never freed.
  private nonisolated(unsafe) let method: OpaquePointer?

  init() { unsafe method = weir_bio_method() }

  func open(_ context: OpaquePointer, _ socket: Int32) -> OpaquePointer? {
    ErrorQueue.clear()
    guard let ssl = unsafe SSL_new(context) else { return nil }
    guard let bio = unsafe weir_bio_new(method, socket) else {
      unsafe SSL_free(ssl)
      return nil
    }
    unsafe SSL_set_bio(ssl, bio, bio)
    return unsafe ssl
  }
}

extension TLSConnection {
  mutating func setHost(_ host: String, verifies: Bool) -> Bool {
    ErrorQueue.clear()
    defer { ErrorQueue.clear() }
    guard !host.isEmpty, host.utf8.count <= 255, !host.utf8.contains(0) else { return false }
    let parameters = unsafe SSL_get0_param(ssl)
    // An address is looked for among the certificate's addresses and is no server name (RFC 6066 §3).
    if unsafe X509_VERIFY_PARAM_set1_ip_asc(parameters, host) == 1 { return true }
    let name = host.hasSuffix(".") ? String(host.dropLast()) : host
    guard unsafe weir_ssl_set_server_name(ssl, name) == 1 else { return false }
    guard verifies else { return true }
    unsafe X509_VERIFY_PARAM_set_hostflags(
      parameters, UInt32(X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS))
    return unsafe X509_VERIFY_PARAM_set1_host(parameters, name, 0) == 1
  }
}

/// What two ends have agreed on. Good once the handshake is done.
extension TLSConnection {
  /// The protocol that ALPN chose; nil without ALPN.
  package var applicationProtocol: ApplicationProtocol? {
    var start: UnsafePointer<UInt8>?
    var count: UInt32 = 0
    unsafe SSL_get0_alpn_selected(ssl, &start, &count)
    guard let start = unsafe start else { return nil }
    // OpenSSL's bytes, good as long as the connection.
    let name = unsafe ByteView(unsafeStart: UnsafeRawPointer(start), count: Int(count))
    if name == ByteView("h2") { return .http2 }
    return name == ByteView("http/1.1") ? .http1 : nil
  }

  /// The version.
  package var version: TLSVersion { unsafe SSL_version(ssl) == TLS1_3_VERSION ? .tls13 : .tls12 }

  /// The cipher suite's number as IANA has it.
  package var cipherSuite: UInt16 {
    unsafe SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(ssl))
  }

  /// The cipher suite's standard name.
  package var cipherName: String {
    guard let name = unsafe SSL_CIPHER_standard_name(SSL_get_current_cipher(ssl)) else { return "" }
    return unsafe String(cString: name)
  }

  /// Whether an earlier session was resumed.
  package var isResumed: Bool { unsafe SSL_session_reused(ssl) == 1 }

  /// Whether the early data of the client's hello was taken; nil if it has not sent any (RFC 8446 §4.2.10).
  package var hasTakenEarlyData: Bool? {
    switch unsafe SSL_get_early_data_status(ssl) {
    case SSL_EARLY_DATA_ACCEPTED: true
    case SSL_EARLY_DATA_REJECTED: false
    default: nil
    }
  }

  /// Whether the kernel makes the records of what is sent.
  package var usesKernelTLS: Bool { unsafe weir_ktls_sends(ssl) == 1 }

  /// The host that the client asked for, as it wrote it; nil if it named none.
  package var serverName: String? {
    guard let name = unsafe SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name) else { return nil }
    return unsafe String(cString: name)
  }

  /// The peer's certificate; nil if it showed none. Made anew with each call.
  package var peerCertificate: PeerCertificate? {
    guard let certificate = unsafe SSL_get0_peer_certificate(ssl) else { return nil }
    let isVerified =
      unsafe SSL_get_verify_mode(ssl) != SSL_VERIFY_NONE
      && SSL_get_verify_result(ssl) == Int(X509_V_OK)
    return unsafe PeerCertificate(certificate, isVerified: isVerified)
  }

  /// The OCSP response that the server stapled, if the client asked for one.
  package var staple: [UInt8]? {
    var start: UnsafePointer<UInt8>?
    let count = unsafe weir_ssl_stapled(ssl, &start)
    guard let start = unsafe start, count > 0 else { return nil }
    return unsafe Array(UnsafeBufferPointer(start: start, count: count))
  }

  /// A session to resume later, for a client; TLS 1.3 servers send them after the handshake, so it is
  /// asked for when something was received. Nil if the server has sent none, or none anew.
  package func session() -> TLSSession? {
    guard let session = unsafe SSL_get1_session(ssl) else { return nil }
    // What was resumed with TLS 1.3 is called resumable, and has no ticket any more.
    let isResumable = unsafe SSL_SESSION_is_resumable(session) == 1
    let hasTicket = unsafe version == .tls12 || SSL_SESSION_has_ticket(session) == 1
    guard isResumable, hasTicket else {
      unsafe SSL_SESSION_free(session)
      return nil
    }
    return unsafe TLSSession(owning: session)
  }
}
