// One SSL_CTX of a server: certificates of the same names, and all settings. The callbacks are here: what C
// calls finds its context through the SSL_CTX, does one thing, and cannot trap.

internal import Bytes
internal import COpenSSL
internal import EventLoop

/// Certificates that are shown to the same clients.
@safe
final class CertificateSet {
  let handle: OpaquePointer
  private let certificates: [Certificate]
  /// `ClientVerification.identity` of what its clients are asked.
  let verification: Int

  init(
    _ certificates: [Certificate], files: [CertificateFiles],
    _ verification: ClientVerification, _ configuration: ServerTLSConfiguration
  ) throws(TLSLoadError) {
    ErrorQueue.clear()
    guard let context = unsafe SSL_CTX_new(TLS_server_method()) else {
      throw TLSLoadError("TLS", .refused(ErrorQueue.text(ErrorQueue.drain())))
    }
    unsafe handle = context
    self.certificates = certificates
    self.verification = verification.identity
    for (certificate, files) in zip(certificates, files) {
      try unsafe certificate.install(in: handle, file: files.chain)
    }
    try setProtocol(configuration)
    try setSessions(configuration, verification)
    try setClientVerification(verification)
    setCallbacks(configuration)
  }

  deinit { unsafe SSL_CTX_free(handle) }

  /// Tells the callbacks whose they are.
  func attach(_ context: UnsafeMutableRawPointer?) {
    unsafe weir_ssl_ctx_set_app_data(handle, context)
  }

  private func setProtocol(_ configuration: ServerTLSConfiguration) throws(TLSLoadError) {
    var options = weir_tls_server_options()
    if configuration.usesKernelTLS { options |= weir_tls_option_ktls() }
    // OpenSSL's own guard against replays wants sessions that one process stores; ours is the register.
    if configuration.maxEarlyData > 0 { options |= weir_tls_option_no_anti_replay() }
    unsafe SSL_CTX_set_options(handle, options)
    unsafe weir_ssl_ctx_set_mode(handle, weir_tls_server_modes())
    // One read for a record's head and content. The kernel's TLS reads whole records by itself.
    if !configuration.usesKernelTLS { unsafe weir_ssl_ctx_read_ahead(handle) }
    unsafe weir_ssl_ctx_set_min_version(handle, configuration.minimumVersion.number)
    guard unsafe SSL_CTX_set_cipher_list(handle, configuration.ciphers) == 1 else {
      throw TLSLoadError("ciphers", .badList(configuration.ciphers))
    }
    guard unsafe SSL_CTX_set_ciphersuites(handle, configuration.cipherSuites) == 1 else {
      throw TLSLoadError("cipher suites", .badList(configuration.cipherSuites))
    }
    guard unsafe weir_ssl_ctx_set_groups(handle, configuration.groups) == 1 else {
      throw TLSLoadError("groups", .badList(configuration.groups))
    }
  }

  /// Has a connection that was begun with another set ask what this one asks.
  func ask(_ ssl: OpaquePointer) {
    unsafe SSL_set_verify(
      ssl, SSL_CTX_get_verify_mode(handle), SSL_CTX_get_verify_callback(handle))
  }

  private func setSessions(
    _ configuration: ServerTLSConfiguration, _ verification: ClientVerification
  ) throws(TLSLoadError) {
    unsafe weir_ssl_ctx_session_cache(handle, 0)
    unsafe SSL_CTX_set_timeout(handle, configuration.sessionLifetime)
    unsafe SSL_CTX_set_num_tickets(handle, configuration.ticketCount)
    unsafe SSL_CTX_set_max_early_data(handle, configuration.maxEarlyData)
    unsafe SSL_CTX_set_recv_max_early_data(handle, configuration.maxEarlyData)
    // A session must not carry a client past a verification that it was not made under.
    var identity: [UInt8] = Array("weir".utf8)
    if let authorities = verification.authorities {
      identity += try readFile(authorities)
      if case .required = verification { identity.append(1) }
    }
    var digest = [UInt8](repeating: 0, count: 32)
    var length: UInt32 = 32
    _ = unsafe EVP_Digest(identity, identity.count, &digest, &length, EVP_sha256(), nil)
    _ = unsafe SSL_CTX_set_session_id_context(handle, digest, 32)
  }

  private func setClientVerification(_ verification: ClientVerification) throws(TLSLoadError) {
    guard let path = verification.authorities else {
      unsafe SSL_CTX_set_verify(handle, SSL_VERIFY_NONE, nil)
      return
    }
    ErrorQueue.clear()
    guard unsafe SSL_CTX_load_verify_file(handle, path) == 1,
      let names = unsafe SSL_load_client_CA_file(path)
    else {
      ErrorQueue.clear()
      throw TLSLoadError(path, .badCertificate)
    }
    unsafe SSL_CTX_set_client_CA_list(handle, names)
    switch verification {
    case .required:
      unsafe SSL_CTX_set_verify(
        handle, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nil)
    case .optional, .none:
      // The handshake goes on whatever the outcome, which SSL_get_verify_result keeps.
      unsafe SSL_CTX_set_verify(handle, SSL_VERIFY_PEER) { _, _ in 1 }
    }
  }

  private func setCallbacks(_ configuration: ServerTLSConfiguration) {
    unsafe weir_ssl_ctx_set_server_name_callback(handle, serverNameCallback, nil)
    if !configuration.applicationProtocols.isEmpty {
      unsafe SSL_CTX_set_alpn_select_cb(handle, protocolCallback, nil)
    }
    unsafe SSL_CTX_set_tlsext_ticket_key_evp_cb(handle, ticketCallback)
    if certificates.contains(where: { !$0.staple.isEmpty }) {
      // The set owns the SSL_CTX whose callback this is.
      unsafe weir_ssl_ctx_set_status_callback(
        handle, statusCallback, Unmanaged.passUnretained(self).toOpaque())
    }
    if !configuration.verifications.isEmpty {
      unsafe SSL_CTX_set_client_hello_cb(handle, helloCallback, nil)
    }
    if configuration.maxEarlyData > 0 {
      unsafe SSL_CTX_set_allow_early_data_cb(handle, earlyDataCallback, nil)
    }
  }

  /// Adds the OCSP response of the certificate that was chosen.
  func staple(_ ssl: OpaquePointer) -> Int32 {
    let chosen = unsafe SSL_get_certificate(ssl)
    guard let certificate = certificates.first(where: { unsafe $0.isSame(as: chosen) }),
      !certificate.staple.isEmpty
    else { return SSL_TLSEXT_ERR_NOACK }
    let isSet = unsafe weir_ssl_staple(ssl, certificate.staple, certificate.staple.count)
    return isSet == 1 ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK
  }
}

/// The context that a connection began with.
private func context(of ssl: OpaquePointer) -> ServerTLSContext? {
  guard let context = unsafe SSL_get_SSL_CTX(ssl), let data = unsafe weir_ssl_ctx_app_data(context)
  else { return nil }
  // Set by `attach` to an object that outlives its connections.
  return unsafe Unmanaged<ServerTLSContext>.fromOpaque(data).takeUnretainedValue()
}

private func serverNameCallback(
  ssl: OpaquePointer?, alert: UnsafeMutablePointer<Int32>?, _: UnsafeMutableRawPointer?
) -> Int32 {
  guard let ssl = unsafe ssl, let context = unsafe context(of: ssl) else {
    return SSL_TLSEXT_ERR_ALERT_FATAL
  }
  return unsafe context.choose(ssl, alert: alert)
}

/// The name has to be known before OpenSSL looks at tickets: a session is resumed only under the question that
/// it was made under, which is the set's. (The callback for names comes after that, in TLS 1.3.)
private func helloCallback(
  ssl: OpaquePointer?, alert: UnsafeMutablePointer<Int32>?, _: UnsafeMutableRawPointer?
) -> Int32 {
  guard let ssl = unsafe ssl, let context = unsafe context(of: ssl) else {
    return SSL_CLIENT_HELLO_ERROR
  }
  var start: UnsafePointer<UInt8>?
  var count = 0
  let type = UInt32(TLSEXT_TYPE_server_name)
  guard unsafe SSL_client_hello_get0_ext(ssl, type, &start, &count) == 1, let start = unsafe start
  else { return SSL_CLIENT_HELLO_SUCCESS }
  // OpenSSL's copy of the extension, good for this call.
  let content = unsafe ByteView(unsafeStart: UnsafeRawPointer(start), count: count)
  guard let name = ServerNameList.host(in: content) else { return SSL_CLIENT_HELLO_SUCCESS }
  return unsafe context.move(ssl, to: name.string)
    ? SSL_CLIENT_HELLO_SUCCESS : SSL_CLIENT_HELLO_ERROR
}

/// The `server_name` extension (RFC 6066 §3).
enum ServerNameList {
  /// The host in it; nil if there is none, or it is malformed (which OpenSSL then refuses).
  static func host(in content: ByteView) -> ByteView? {
    // The list's length, then for each name its kind, its length and itself. There is one kind.
    guard content.count > 5, Int(content[0]) << 8 | Int(content[1]) == content.count - 2,
      content[2] == 0
    else { return nil }
    let length = Int(content[3]) << 8 | Int(content[4])
    guard length > 0, content.count >= 5 + length else { return nil }
    return content[5..<5 + length]
  }
}

private func protocolCallback(
  ssl: OpaquePointer?, out: UnsafeMutablePointer<UnsafePointer<UInt8>?>?,
  outLength: UnsafeMutablePointer<UInt8>?, offered: UnsafePointer<UInt8>?, count: UInt32,
  _: UnsafeMutableRawPointer?
) -> Int32 {
  guard let ssl = unsafe ssl, let context = unsafe context(of: ssl), let offered = unsafe offered
  else { return SSL_TLSEXT_ERR_ALERT_FATAL }
  let list = unsafe UnsafeBufferPointer(start: offered, count: Int(count))
  guard let range = unsafe context.choose(among: list) else { return SSL_TLSEXT_ERR_ALERT_FATAL }
  // OpenSSL copies the name before the list goes.
  unsafe out?.pointee = unsafe offered + range.lowerBound
  unsafe outLength?.pointee = UInt8(truncatingIfNeeded: range.count)
  return SSL_TLSEXT_ERR_OK
}

private func ticketCallback(
  ssl: OpaquePointer?, name: UnsafeMutablePointer<UInt8>?, iv: UnsafeMutablePointer<UInt8>?,
  cipher: OpaquePointer?, mac: OpaquePointer?, seals: Int32
) -> Int32 {
  guard let ssl = unsafe ssl, let context = unsafe context(of: ssl), let name = unsafe name,
    let iv = unsafe iv
  else { return -1 }
  return unsafe context.tickets.prepare(
    name: name, iv: iv, cipher: cipher, mac: mac, seals: seals == 1)
}

/// Asked after the binder of the hello's PSK was verified. 0: no early data, the handshake goes on.
private func earlyDataCallback(ssl: OpaquePointer?, _: UnsafeMutableRawPointer?) -> Int32 {
  guard let ssl = unsafe ssl, let context = unsafe context(of: ssl) else { return 0 }
  var random = [UInt8](repeating: 0, count: 32)
  guard unsafe SSL_get_client_random(ssl, &random, 32) == 32 else { return 0 }
  return context.tickets.earlyData.admits(random: random) ? 1 : 0
}

private func statusCallback(ssl: OpaquePointer?, argument: UnsafeMutableRawPointer?) -> Int32 {
  guard let ssl = unsafe ssl, let argument = unsafe argument else { return SSL_TLSEXT_ERR_NOACK }
  // The set whose SSL_CTX calls.
  let set = unsafe Unmanaged<CertificateSet>.fromOpaque(argument).takeUnretainedValue()
  return unsafe set.staple(ssl)
}
