// A certificate with its chain and key, read from PEM files and checked, before anything relies on it.

internal import CLinux
internal import COpenSSL

/// Where a certificate, its chain and its key are.
package struct CertificateFiles: Equatable, Sendable {
  /// PEM: the certificate first, then the chain towards the root.
  package var chain: String
  /// PEM: the private key, without a password.
  package var key: String
  /// DER: an OCSP response to staple (RFC 6066 §8); one that is past its time is left out.
  package var staple: String?
  /// Names to answer for instead of those in the certificate: `a.example` or `*.a.example`. None: only
  /// where a certificate is shown whatever the name. Nil: those in the certificate …
  package var names: [String]?
  /// … but for these, in lower case.
  package var yielded: Set<String> = []

  /// Files of one certificate.
  package init(chain: String, key: String, staple: String? = nil, names: [String]? = nil) {
    self.chain = chain
    self.key = key
    self.staple = staple
    self.names = names
  }
}

/// Reads a file whole; nothing here is larger than 1 MiB.
func readFile(_ path: String) throws(TLSLoadError) -> [UInt8] {
  let number = unsafe weir_open(path, O_RDONLY, 0)
  guard number >= 0 else {
    throw TLSLoadError(path, .unreadable(unsafe String(cString: strerror(weir_errno()))))
  }
  defer { _ = CLinux.close(number) }
  var bytes: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: 16 << 10)
  while true {
    let count = unsafe buffer.withUnsafeMutableBytes {
      unsafe CLinux.read(number, $0.baseAddress, $0.count)
    }
    if count < 0 {
      if weir_errno() == EINTR { continue }
      throw TLSLoadError(path, .unreadable(unsafe String(cString: strerror(weir_errno()))))
    }
    if count == 0 { return bytes }
    bytes += buffer.prefix(count)
    if bytes.count > 1 << 20 { throw TLSLoadError(path, .tooLarge) }
  }
}

/// A certificate in memory: the handles are freed with it.
@safe
final class Certificate {
  private let handle: OpaquePointer
  private let chain: [OpaquePointer]
  private let key: OpaquePointer
  /// The names it is chosen by, in lower case.
  let names: [String]
  /// An OCSP response to staple, empty if there is none.
  let staple: [UInt8]
  /// Whether its staple was left out because its time is over.
  let hasOldStaple: Bool
  /// `RSA`, `EC`, `ED25519`: certificates of one name differ in it.
  let keyType: Int32
  /// When it ends, seconds since 1970.
  let notAfter: Int64

  /// Reads and checks the files; `now` is in seconds since 1970.
  init(_ files: CertificateFiles, now: Int64) throws(TLSLoadError) {
    ErrorQueue.clear()
    defer { ErrorQueue.clear() }
    var certificates = unsafe try Certificate.readChain(files.chain)
    var privateKey: OpaquePointer?
    var succeeded = false
    defer {
      // Only what an unfinished initialiser would leave behind.
      if !succeeded {
        unsafe certificates.forEach { unsafe X509_free($0) }
        unsafe EVP_PKEY_free(privateKey)
      }
    }
    guard let first = unsafe certificates.first else {
      throw TLSLoadError(files.chain, .badCertificate)
    }
    notAfter = try unsafe Certificate.checkTimes(first, files.chain, now)
    unsafe privateKey = try Certificate.readKey(files.key)
    guard let readKey = unsafe privateKey, unsafe X509_check_private_key(first, readKey) == 1 else {
      throw TLSLoadError(files.key, .keyMismatch(certificate: files.chain))
    }
    names = try unsafe Certificate.hostNames(first, files)
    (staple, hasOldStaple) = try Certificate.readStaple(files.staple, now)
    keyType = unsafe EVP_PKEY_get_base_id(readKey)
    unsafe handle = first
    unsafe key = readKey
    unsafe certificates.removeFirst()
    unsafe chain = unsafe certificates
    succeeded = true
  }

  deinit {
    unsafe X509_free(handle)
    unsafe chain.forEach { unsafe X509_free($0) }
    unsafe EVP_PKEY_free(key)
  }

  /// Gives the certificate, its chain and key to a context, which keeps references of its own.
  func install(in context: OpaquePointer, file: String) throws(TLSLoadError) {
    ErrorQueue.clear()
    guard unsafe SSL_CTX_use_certificate(context, handle) == 1,
      unsafe SSL_CTX_use_PrivateKey(context, key) == 1
    else { throw Certificate.refusal(file) }
    for index in unsafe chain.indices {
      guard unsafe weir_ssl_ctx_chain(context, chain[index]) == 1 else {
        throw Certificate.refusal(file)
      }
    }
  }

  /// Whether OpenSSL speaks of this certificate.
  func isSame(as other: OpaquePointer?) -> Bool { unsafe other == handle }

  private static func refusal(_ file: String) -> TLSLoadError {
    let code = ErrorQueue.drain()
    switch Int32(truncatingIfNeeded: weir_err_reason(code)) {
    case SSL_R_EE_KEY_TOO_SMALL, SSL_R_CA_KEY_TOO_SMALL, SSL_R_CA_MD_TOO_WEAK:
      return TLSLoadError(file, .tooWeak)
    default: return TLSLoadError(file, .refused(ErrorQueue.text(code)))
    }
  }
}

extension Certificate {
  /// All certificates of a PEM file, to be freed by the caller.
  private static func readChain(_ path: String) throws(TLSLoadError) -> [OpaquePointer] {
    let bytes = try readFile(path)
    return try unsafe withReader(of: bytes, path) { reader throws(TLSLoadError) in
      var found: [OpaquePointer] = unsafe []
      while let certificate = unsafe PEM_read_bio_X509(reader, nil, nil, nil) {
        unsafe found.append(certificate)
        if unsafe found.count > 100 { break }
      }
      // The end of the file is told as "no start line"; anything else is a certificate that is damaged.
      let code = ERR_peek_last_error()
      let isEnd = code == 0 || weir_err_reason(code) == UInt(PEM_R_NO_START_LINE)
      if unsafe found.isEmpty || !isEnd {
        unsafe found.forEach { unsafe X509_free($0) }
        throw TLSLoadError(path, .badCertificate)
      }
      ErrorQueue.clear()
      return unsafe found
    }
  }

  static func fingerprint(of path: String) throws(TLSLoadError) -> [UInt8] {
    let certificates = unsafe try readChain(path)
    defer { unsafe certificates.forEach { unsafe X509_free($0) } }
    guard let first = unsafe certificates.first else {
      throw TLSLoadError(path, .badCertificate)
    }
    return unsafe PeerCertificate(first, isVerified: false).fingerprint
  }

  private static func readKey(_ path: String) throws(TLSLoadError) -> OpaquePointer {
    let bytes = try readFile(path)
    return try unsafe withReader(of: bytes, path) { reader throws(TLSLoadError) in
      var isEncrypted: Int32 = 0
      guard let key = unsafe weir_read_private_key(reader, &isEncrypted) else {
        throw TLSLoadError(path, isEncrypted != 0 ? .encryptedKey : .badKey)
      }
      return unsafe key
    }
  }

  static func withReader<Result>(
    of bytes: [UInt8], _ path: String,
    _ body: (OpaquePointer) throws(TLSLoadError) -> Result
  ) throws(TLSLoadError) -> Result {
    // OpenSSL copies nothing here: the reader ends before the array does.
    let outcome = unsafe bytes.withUnsafeBytes { buffer -> Swift.Result<Result, TLSLoadError> in
      guard let reader = unsafe BIO_new_mem_buf(buffer.baseAddress, Int32(buffer.count)) else {
        return .failure(TLSLoadError(path, .badCertificate))
      }
      defer { unsafe BIO_free(reader) }
      do throws(TLSLoadError) {
        return .success(try unsafe body(reader))
      } catch {
        return .failure(error)
      }
    }
    return try outcome.get()
  }

  /// Returns the end of the certificate's time.
  private static func checkTimes(
    _ certificate: OpaquePointer, _ path: String, _ now: Int64
  ) throws(TLSLoadError) -> Int64 {
    let end = unsafe seconds(X509_get0_notAfter(certificate), now) ?? .max
    if end <= now { throw TLSLoadError(path, .expired(notAfter: end)) }
    let start = unsafe seconds(X509_get0_notBefore(certificate), now) ?? .min
    if start > now { throw TLSLoadError(path, .notYetValid(notBefore: start)) }
    return end
  }

  /// A time as seconds since 1970.
  private static func seconds(_ time: UnsafePointer<ASN1_TIME>?, _ now: Int64) -> Int64? {
    guard let time = unsafe time, let base = unsafe ASN1_TIME_set(nil, time_t(now)) else {
      return nil
    }
    defer { unsafe ASN1_STRING_free(base) }
    var days: Int32 = 0
    var rest: Int32 = 0
    guard unsafe ASN1_TIME_diff(&days, &rest, base, time) == 1 else { return nil }
    return now + Int64(days) * 86_400 + Int64(rest)
  }

  private static func hostNames(
    _ certificate: OpaquePointer, _ files: CertificateFiles
  ) throws(TLSLoadError) -> [String] {
    if let names = files.names { return names.map { $0.lowercased() } }
    let names = unsafe alternativeNames(of: certificate).compactMap { $0.hostName?.lowercased() }
      .filter { !files.yielded.contains($0) }
    // A certificate for addresses alone is fine as the default: those are never asked for by name.
    let namesNothing = unsafe alternativeNames(of: certificate).isEmpty
    if namesNothing {
      throw TLSLoadError(files.chain, .noNames)
    }
    return names
  }

  private static func readStaple(
    _ path: String?, _ now: Int64
  ) throws(TLSLoadError) -> ([UInt8], Bool) {
    guard let path else { return ([], false) }
    let bytes = try readFile(path)
    var isOld = false
    let isUsable = unsafe bytes.withUnsafeBufferPointer { buffer in
      var start = buffer.baseAddress
      guard let response = unsafe d2i_OCSP_RESPONSE(nil, &start, buffer.count) else { return false }
      defer { unsafe OCSP_RESPONSE_free(response) }
      guard unsafe OCSP_response_status(response) == OCSP_RESPONSE_STATUS_SUCCESSFUL,
        let basic = unsafe OCSP_response_get1_basic(response)
      else { return false }
      defer { unsafe OCSP_BASICRESP_free(basic) }
      guard let single = unsafe OCSP_resp_get0(basic, 0) else { return false }
      var next: UnsafeMutablePointer<ASN1_GENERALIZEDTIME>?
      _ = unsafe OCSP_single_get0_status(single, nil, nil, nil, &next)
      if let next = unsafe next, let end = unsafe seconds(UnsafePointer(next), now) {
        isOld = end <= now
      }
      return true
    }
    guard isUsable else { throw TLSLoadError(path, .badStaple) }
    return isOld ? ([], true) : (bytes, false)
  }
}

/// What a certificate says of itself.
package struct CertificateFacts: Equatable, Sendable {
  /// The hosts it is for, in lower case.
  package var names: [String]
  /// When it ends, in seconds since 1970.
  package var notAfter: Int64
  /// What is not as it should be and stops nothing.
  package var notice: String?
}

extension CertificateFiles {
  /// The SHA-256 of a PEM file's first certificate, as `PeerCertificate.fingerprint` has it. The key is not
  /// looked at.
  package static func fingerprint(of chain: String) throws(TLSLoadError) -> [UInt8] {
    try Certificate.fingerprint(of: chain)
  }

  /// Reads and checks the files, and keeps nothing of them; `now` is in seconds since 1970.
  package func inspect(now: Int64) throws(TLSLoadError) -> CertificateFacts {
    let certificate = try Certificate(self, now: now)
    return CertificateFacts(
      names: certificate.names, notAfter: certificate.notAfter,
      notice: certificate.hasOldStaple ? "the OCSP response is past its time" : nil)
  }
}
