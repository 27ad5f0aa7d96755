// TLS as a client, on a socket that does not block: whoever owns the socket waits until it is readable or
// writable, as the last step asked. Strict: TLS 1.2 at least, the peer's certificate checked against the
// trusted ones and against the host that was wanted, no way to turn either off.
//
// OpenSSL writes to the socket itself, so the process must ignore SIGPIPE or have it blocked in the thread.

package import Bytes
internal import COpenSSL

/// The certificates that are trusted, and what is common to all connections that trust them.
@safe
package final class TLSTrust: @unchecked Sendable {
  // Sendable because an SSL_CTX may be used by any thread once it is set up.
  fileprivate let handle: OpaquePointer

  private init(_ handle: OpaquePointer) { unsafe self.handle = handle }

  deinit { unsafe SSL_CTX_free(handle) }

  /// The certificates in a PEM file, or those of the system.
  package static func load(file: String?) throws(OpenSSLError) -> TLSTrust {
    ErrorQueue.clear()
    let trust = unsafe TLSTrust(try made(SSL_CTX_new(TLS_client_method())))
    try unsafe check(weir_ssl_ctx_set_min_version(trust.handle, TLS1_2_VERSION))
    _ = unsafe weir_ssl_ctx_set_mode(trust.handle, weir_ssl_client_mode())
    unsafe SSL_CTX_set_verify(trust.handle, SSL_VERIFY_PEER, nil)
    if let file {
      try unsafe check(SSL_CTX_load_verify_locations(trust.handle, file, nil))
    } else {
      try unsafe check(SSL_CTX_set_default_verify_paths(trust.handle))
    }
    return trust
  }
}

/// What a call on a TLS connection came to.
package enum TLSStep: Equatable, Sendable {
  /// Done; so many bytes were read or written (0 for a handshake).
  case done(Int)
  /// To be called again when the socket is readable.
  case wantsRead
  /// To be called again when the socket is writable.
  case wantsWrite
  /// The peer has ended its side, and said so (RFC 8446 §6.1).
  case ended
  /// The connection is of no use any more.
  case failed(TLSFailure)
}

/// Why a TLS connection failed.
package enum TLSFailure: Error, Equatable, Sendable, CustomStringConvertible {
  /// The peer's certificate is not good for the host.
  case certificate(String)
  /// The connection broke off without the peer's saying that it ends.
  case cutOff
  /// Anything else about the protocol.
  case refused(OpenSSLError)

  /// What went wrong, in a few words.
  package var description: String {
    switch self {
    case .certificate(let reason): "certificate refused: \(reason)"
    case .cutOff: "the connection broke off"
    case .refused(let error): "\(error)"
    }
  }
}

/// A client's TLS connection on a socket that somebody else owns and that outlives it.
@safe
package struct TLSClient: ~Copyable {
  private let handle: OpaquePointer

  private init(_ handle: OpaquePointer) { unsafe self.handle = handle }

  deinit { unsafe SSL_free(handle) }

  /// A connection to `host`, a name or a numeric address, that has not begun yet.
  package static func open(
    trust: TLSTrust, socket: Int32, host: String, hostIsAddress: Bool
  ) throws(OpenSSLError) -> TLSClient {
    ErrorQueue.clear()
    let client = unsafe TLSClient(try made(SSL_new(trust.handle)))
    try client.expect(host, isAddress: hostIsAddress)
    try unsafe check(SSL_set_fd(client.handle, socket))
    unsafe SSL_set_connect_state(client.handle)
    return client
  }

  /// Names the host that the certificate must be for (RFC 9525): never by its common name, and no
  /// wildcard for a part of a label.
  private func expect(_ host: String, isAddress: Bool) throws(OpenSSLError) {
    let flags = UInt32(X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT)
    unsafe SSL_set_hostflags(handle, flags)
    if isAddress {
      try unsafe check(X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(handle), host))
    } else {
      try unsafe check(SSL_set1_host(handle, host))
      // No server name for an address (RFC 6066 §3).
      try unsafe check(weir_ssl_set_server_name(handle, host))
    }
  }

  /// Goes on with the handshake.
  package func handshake() -> TLSStep {
    ErrorQueue.clear()
    return unsafe step(SSL_do_handshake(handle))
  }

  /// Reads into memory.
  package func read(into buffer: UnsafeMutableRawBufferPointer) -> TLSStep {
    ErrorQueue.clear()
    // Safe: OpenSSL writes at most `count` bytes into a buffer that the caller owns.
    return unsafe step(SSL_read(handle, buffer.baseAddress, Int32(clamping: buffer.count)))
  }

  /// Reads at most `limit` bytes onto the end of a buffer.
  package func read(onto buffer: inout ByteBuffer, limit: Int) -> TLSStep {
    var result = TLSStep.wantsRead
    unsafe buffer.appendUninitialized(atLeast: limit) { free in
      result = unsafe read(into: UnsafeMutableRawBufferPointer(rebasing: free.prefix(limit)))
      if case .done(let count) = result { return count }
      return 0
    }
    return result
  }

  /// Writes bytes; not all of them may be taken.
  package func write(_ bytes: ByteView) -> TLSStep {
    ErrorQueue.clear()
    // Safe: the view covers `count` readable bytes.
    return unsafe step(SSL_write(handle, bytes.baseAddress, Int32(clamping: bytes.count)))
  }

  /// Tells the peer that nothing more will come; whether that arrives does not matter.
  package func close() {
    _ = unsafe SSL_shutdown(handle)
    ErrorQueue.clear()
  }

  private func step(_ result: Int32) -> TLSStep {
    if result > 0 { return .done(Int(result)) }
    switch unsafe SSL_get_error(handle, result) {
    case SSL_ERROR_WANT_READ: return .wantsRead
    case SSL_ERROR_WANT_WRITE: return .wantsWrite
    case SSL_ERROR_ZERO_RETURN: return .ended
    case SSL_ERROR_SYSCALL:
      ErrorQueue.clear()
      return .failed(.cutOff)
    default: return .failed(failure())
    }
  }

  private func failure() -> TLSFailure {
    let error = ErrorQueue.drain()
    let verified = unsafe SSL_get_verify_result(handle)
    guard verified == X509_V_OK else {
      // Safe: OpenSSL's reasons are constant C strings.
      return .certificate(unsafe String(cString: X509_verify_cert_error_string(verified)))
    }
    return error.isCutOff ? .cutOff : .refused(error)
  }
}

extension OpenSSLError {
  /// Whether the peer closed the connection without a word of TLS.
  fileprivate var isCutOff: Bool {
    code & 0x7F_FFFF == UInt(SSL_R_UNEXPECTED_EOF_WHILE_READING)
  }
}
