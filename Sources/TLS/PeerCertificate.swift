internal import COpenSSL

/// A name that a certificate stands for (RFC 5280 §4.2.1.6).
package enum AlternativeName: Equatable, Sendable {
  /// A host, perhaps with a wildcard.
  case host(String)
  /// A mail address.
  case email(String)
  /// A URI.
  case uri(String)
  /// An IPv4 or IPv6 address, 4 or 16 bytes.
  case address([UInt8])

  /// The host's name, if it is one.
  package var hostName: String? {
    if case .host(let name) = self { return name }
    return nil
  }
}

/// What the peer's certificate says; read once, when a rule or the log asks for it.
package struct PeerCertificate: Equatable, Sendable {
  /// The subject's distinguished name (RFC 2253), such as `CN=shop,O=Example`.
  package var subject: String
  /// The issuer's distinguished name.
  package var issuer: String
  /// The serial number in upper-case hexadecimal.
  package var serial: String
  /// The SHA-256 of the certificate.
  package var fingerprint: [UInt8]
  /// Its alternative names.
  package var names: [AlternativeName]
  /// Whether it was verified; false only for a client whose certificate was optional.
  package var isVerified: Bool
}

/// The alternative names of a certificate. A name with a zero byte is left out: what compares it as a C
/// string would see another.
func alternativeNames(of certificate: OpaquePointer) -> [AlternativeName] {
  guard let list = unsafe X509_get_ext_d2i(certificate, NID_subject_alt_name, nil, nil) else {
    return []
  }
  let names = OpaquePointer(list)
  defer { unsafe GENERAL_NAMES_free(names) }
  var found: [AlternativeName] = []
  for index in 0..<max(0, unsafe weir_names_count(names)) {
    var kind: Int32 = 0
    var count: Int32 = 0
    guard let text = unsafe weir_name_text(names, index, &kind, &count), count >= 0 else {
      continue
    }
    // OpenSSL's string, `count` bytes long, good as long as `names`.
    let bytes = unsafe Array(UnsafeBufferPointer(start: text, count: Int(count)))
    guard kind == GEN_IPADD || !bytes.contains(0) else { continue }
    switch kind {
    case GEN_DNS: found.append(.host(String(decoding: bytes, as: UTF8.self)))
    case GEN_EMAIL: found.append(.email(String(decoding: bytes, as: UTF8.self)))
    case GEN_URI: found.append(.uri(String(decoding: bytes, as: UTF8.self)))
    case GEN_IPADD: found.append(.address(bytes))
    default: break
    }
  }
  return found
}

extension PeerCertificate {
  init(_ certificate: OpaquePointer, isVerified: Bool) {
    subject = unsafe PeerCertificate.text(X509_get_subject_name(certificate))
    issuer = unsafe PeerCertificate.text(X509_get_issuer_name(certificate))
    serial = unsafe PeerCertificate.serial(certificate)
    names = unsafe alternativeNames(of: certificate)
    var digest = [UInt8](repeating: 0, count: 32)
    var length: UInt32 = 32
    _ = unsafe X509_digest(certificate, EVP_sha256(), &digest, &length)
    fingerprint = digest
    self.isVerified = isVerified
  }

  private static func text(_ name: OpaquePointer?) -> String {
    guard let name = unsafe name, let bio = unsafe BIO_new(BIO_s_mem()) else { return "" }
    defer { unsafe BIO_free(bio) }
    // RFC 2253's form, with UTF-8 left as it is: the flags of XN_FLAG_RFC2253 but escaping above 127.
    let flags = weir_name_flags()
    guard unsafe X509_NAME_print_ex(bio, name, 0, flags) >= 0 else { return "" }
    var start: UnsafePointer<CChar>?
    var count = 0
    unsafe weir_bio_text(bio, &start, &count)
    guard let start = unsafe start, count > 0 else { return "" }
    return unsafe String(
      decoding: UnsafeRawBufferPointer(start: UnsafeRawPointer(start), count: count), as: UTF8.self)
  }

  private static func serial(_ certificate: OpaquePointer) -> String {
    guard let number = unsafe ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), nil) else {
      return ""
    }
    defer { unsafe BN_free(number) }
    guard let text = unsafe BN_bn2hex(number) else { return "" }
    defer { unsafe CRYPTO_free(text, nil, 0) }
    return unsafe String(cString: text)
  }
}
