internal import Bytes

/// What the log says of a connection's TLS, by the number of its cipher suite (IANA's registry): those of
/// TLS 1.3 stand by themselves, all others that a node speaks are of TLS 1.2.
enum CipherSuiteName {
  /// `TLSv1.3` or `TLSv1.2`.
  static func version(of suite: UInt16) -> StaticString {
    suite >> 8 == 0x13 ? "TLSv1.3" : "TLSv1.2"
  }

  /// The suite's name; nil if it is none of those that a node speaks by itself.
  static func name(of suite: UInt16) -> StaticString? {
    switch suite {
    case 0x1301: "TLS_AES_128_GCM_SHA256"
    case 0x1302: "TLS_AES_256_GCM_SHA384"
    case 0x1303: "TLS_CHACHA20_POLY1305_SHA256"
    case 0xC02B: "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
    case 0xC02C: "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"
    case 0xC02F: "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
    case 0xC030: "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"
    case 0xCCA8: "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"
    case 0xCCA9: "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"
    default: nil
    }
  }

  /// Appends `,"tls":"…","cipher":"…"`; a suite without a name as its number.
  static func append(_ suite: UInt16, to line: inout LineBuffer) {
    guard suite != 0 else { return }
    line.append(",\"tls\":\"")
    line.append(version(of: suite))
    line.append("\",\"cipher\":\"")
    if let name = name(of: suite) { line.append(name) } else { line.append(decimal: UInt64(suite)) }
    line.append(ASCII.quote)
  }
}
