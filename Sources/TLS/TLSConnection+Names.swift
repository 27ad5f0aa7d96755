// Whether a connection's certificate is one that its client would have been shown for another host, too:
// if not, a request for that host came to the wrong connection (RFC 9110 §7.4).

package import Bytes
internal import COpenSSL

extension ServerTLSContext {
  /// The set that a host's clients are shown; the first, if none has its name.
  func set(for host: String) -> CertificateSet { set(named: host) ?? sets[0] }
}

extension TLSConnection {
  /// `ClientVerification.identity` of what was asked of its client; 0 at a client's end.
  package var verification: Int {
    guard let server else { return 0 }
    let shown = unsafe SSL_get_SSL_CTX(ssl)
    return server.sets.first { unsafe $0.handle == shown }?.verification ?? 0
  }

  /// Whether a host, in lower case and without a port, is shown the certificates of this connection. Of a
  /// client that named no host it is not known, and taken for granted. Allocates.
  package borrowing func isShown(to host: ByteView) -> Bool {
    guard let server, unsafe SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name) != nil else {
      return true
    }
    let shown = unsafe SSL_get_SSL_CTX(ssl)
    return unsafe server.set(for: host.string).handle == shown
  }
}
