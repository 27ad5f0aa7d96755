// JA4, the fingerprint of a TLS client, as FoxIO has published it (github.com/FoxIO-LLC/ja4,
// technical_details/JA4.md): programs, not people, are told apart by what their hello offers. It is 36
// characters:
//
//   t13d1516h2_8daaf6152771_e5627efa2ab1
//   │││ │ │ │        │            └ SHA-256 of the sorted extensions, without names of hosts and protocols,
//   │││ │ │ │        │              and the signature algorithms in their order; the first 12 digits
//   │││ │ │ │        └ SHA-256 of the sorted cipher suites; the first 12 digits
//   │││ │ │ └ the first protocol's first and last character
//   │││ │ └ how many extensions      └ what has no member at all: 000000000000
//   │││ └ how many cipher suites
//   ││└ d: names a host, i: does not
//   │└ the newest version
//   └ TLS over TCP
//
// Values of GREASE are left out everywhere.

package import Bytes
internal import COpenSSL

extension ClientHello {
  /// Appends the JA4 fingerprint: 36 characters.
  package func appendJA4(to buffer: inout ByteBuffer) {
    let suites = cipherSuites.filter { !Self.isGrease($0) }
    let extensions = extensions.filter { !Self.isGrease($0) }
    buffer.append("t")
    buffer.append(versionName)
    buffer.append(extensions.contains(0) ? "d" : "i")
    Self.append(count: suites.count, to: &buffer)
    Self.append(count: extensions.count, to: &buffer)
    appendProtocol(to: &buffer)
    buffer.append("_")
    Self.appendHash(of: Self.list(suites.sorted()), to: &buffer)
    buffer.append("_")
    // The name of the host and the protocols are in the first part.
    var text = Self.list(extensions.filter { $0 != 0 && $0 != 16 }.sorted())
    let algorithms = signatureAlgorithms.filter { !Self.isGrease($0) }
    if !text.isEmpty && !algorithms.isEmpty {
      let list = Self.list(algorithms)
      text.append("_")
      text.append(list.view)
    }
    Self.appendHash(of: text, to: &buffer)
  }

  /// 0x0A0A, 0x1A1A, … 0xFAFA (RFC 8701).
  private static func isGrease(_ value: UInt16) -> Bool {
    value & 0x0F0F == 0x0A0A && value >> 8 == value & 0xFF
  }

  private var versionName: StaticString {
    let newest = supportedVersions.filter { !Self.isGrease($0) }.max() ?? legacyVersion
    switch newest {
    case 0x0304: return "13"
    case 0x0303: return "12"
    case 0x0302: return "11"
    case 0x0301: return "10"
    case 0x0300: return "s3"
    case 0x0002: return "s2"
    default: return "00"
    }
  }

  private static func append(count: Int, to buffer: inout ByteBuffer) {
    if count < 10 { buffer.append("0") }
    buffer.append(decimal: UInt64(min(count, 99)))
  }

  private func appendProtocol(to buffer: inout ByteBuffer) {
    guard let name = applicationProtocols.first, let first = name.first, let last = name.last else {
      buffer.append("00")
      return
    }
    if Self.isAlphanumeric(first) && Self.isAlphanumeric(last) {
      buffer.append(first)
      buffer.append(last)
    } else {
      buffer.append(hexadecimal: UInt64(first >> 4))
      buffer.append(hexadecimal: UInt64(last & 0xF))
    }
  }

  private static func isAlphanumeric(_ byte: UInt8) -> Bool {
    byte &- 0x30 < 10 || (byte | 0x20) &- 0x61 < 26
  }

  /// Numbers in four digits, by commas.
  private static func list(_ values: [UInt16]) -> ByteBuffer {
    var text = ByteBuffer()
    for value in values {
      if !text.isEmpty { text.append(",") }
      text.append(allHexadecimal: value)
    }
    return text
  }

  private static func appendHash(of text: borrowing ByteBuffer, to buffer: inout ByteBuffer) {
    guard !text.isEmpty else {
      buffer.append("000000000000")
      return
    }
    var digest = [UInt8](repeating: 0, count: 32)
    var length: UInt32 = 32
    let view = text.view
    // Safe: the view is `count` bytes, the digest has room for SHA-256's 32.
    _ = unsafe EVP_Digest(view.baseAddress, view.count, &digest, &length, EVP_sha256(), nil)
    for byte in digest.prefix(6) {
      buffer.append(allHexadecimal: byte)
    }
  }
}
