// TLS towards origins. Verification is on unless it is switched off by name; a connection is for one host,
// whose name goes into the hello and is compared with the certificate.

internal import COpenSSL
internal import EventLoop

/// All there is to set about TLS towards a pool of origins.
package struct ClientTLSConfiguration: Sendable {
  /// Whether the origin's certificate must verify and name the host.
  package var verifies = true
  /// PEM file of certificate authorities; nil: the system's.
  package var authorities: String?
  /// The certificate to show to the origin.
  package var certificate: CertificateFiles?
  /// The oldest version to speak.
  package var minimumVersion = TLSVersion.tls12
  /// The newest version to speak; nil: whatever there is.
  package var maximumVersion: TLSVersion?
  /// Protocols to offer, the preferred one first; empty: no ALPN.
  package var applicationProtocols: [ApplicationProtocol] = [.http1]
  /// Whether the kernel may take over the records of a connection, where it can.
  package var usesKernelTLS = false
  /// Whether to ask for an OCSP response.
  package var asksForStaple = false

  /// The defaults.
  package init() {}
}

/// A pool's TLS, shared by all workers.
@safe
package final class ClientTLSContext: @unchecked Sendable {
  // Sendable: nothing changes after init.
  let handle: OpaquePointer
  let verifies: Bool
  let asksForStaple: Bool
  private let certificate: Certificate?

  /// Reads all files and checks all settings; `now` is in seconds since 1970.
  package init(_ configuration: ClientTLSConfiguration, now: Int64) throws(TLSLoadError) {
    ErrorQueue.clear()
    verifies = configuration.verifies
    asksForStaple = configuration.asksForStaple
    var certificate: Certificate?
    if let files = configuration.certificate { certificate = try Certificate(files, now: now) }
    self.certificate = certificate
    guard let context = unsafe SSL_CTX_new(TLS_client_method()) else {
      throw TLSLoadError("TLS", .refused(ErrorQueue.text(ErrorQueue.drain())))
    }
    unsafe handle = context
    try unsafe certificate?.install(in: handle, file: configuration.certificate?.chain ?? "")
    try setProtocol(configuration)
    try setAuthorities(configuration)
  }

  deinit { unsafe SSL_CTX_free(handle) }

  private func setProtocol(_ configuration: ClientTLSConfiguration) throws(TLSLoadError) {
    var options = weir_tls_client_options()
    if configuration.usesKernelTLS { options |= weir_tls_option_ktls() }
    unsafe SSL_CTX_set_options(handle, options)
    unsafe weir_ssl_ctx_set_mode(handle, weir_tls_modes())
    if !configuration.usesKernelTLS { unsafe weir_ssl_ctx_read_ahead(handle) }
    unsafe weir_ssl_ctx_set_min_version(handle, configuration.minimumVersion.number)
    if let newest = configuration.maximumVersion {
      unsafe weir_ssl_ctx_set_max_version(handle, newest.number)
    }
    // Whoever connects keeps sessions. With a cache of its own, even one that keeps nothing, OpenSSL lets a
    // ticket of TLS 1.3 be used but once, so that nobody can tell connections of one client: nothing to
    // hide from an origin, and not every server hands out another.
    unsafe weir_ssl_ctx_session_cache(handle, 0)
    var list: [UInt8] = []
    for offered in configuration.applicationProtocols {
      let name = Array("\(offered.name)".utf8)
      list.append(UInt8(truncatingIfNeeded: name.count))
      list += name
    }
    if list.isEmpty { return }
    // 0 is success here.
    guard unsafe SSL_CTX_set_alpn_protos(handle, list, UInt32(list.count)) == 0 else {
      throw TLSLoadError("alpn", .refused(ErrorQueue.text(ErrorQueue.drain())))
    }
  }

  private func setAuthorities(_ configuration: ClientTLSConfiguration) throws(TLSLoadError) {
    guard configuration.verifies else {
      unsafe SSL_CTX_set_verify(handle, SSL_VERIFY_NONE, nil)
      return
    }
    unsafe SSL_CTX_set_verify(handle, SSL_VERIFY_PEER, nil)
    if let path = configuration.authorities {
      // What the system says of a file that is not there is better than what OpenSSL does.
      _ = try readFile(path)
      guard unsafe SSL_CTX_load_verify_file(handle, path) == 1 else {
        ErrorQueue.clear()
        throw TLSLoadError(path, .badCertificate)
      }
    } else if unsafe SSL_CTX_set_default_verify_paths(handle) != 1 {
      throw TLSLoadError("system's authorities", .refused(ErrorQueue.text(ErrorQueue.drain())))
    }
  }
}

/// A session that a client may resume, as its server handed it out.
@safe
package struct TLSSession: ~Copyable, @unchecked Sendable {
  // Sendable: OpenSSL counts references atomically, and a session is not changed once it is here.
  let handle: OpaquePointer

  init(owning handle: OpaquePointer) { unsafe self.handle = handle }

  deinit { unsafe SSL_SESSION_free(handle) }

  /// Bytes of early data that the server takes with this session.
  package var maxEarlyData: UInt32 { unsafe SSL_SESSION_get_max_early_data(handle) }
}
