// What a client's hello says, in the order in which it says it: the raw material of its fingerprint (JA4.swift).
// Read from the bytes themselves, because OpenSSL's list of extensions leaves out those that it does not know.

package import Bytes

/// The fields of a ClientHello (RFC 8446 §4.1.2) that tell implementations apart. Values of GREASE
/// (RFC 8701) are among them.
package struct ClientHello: Equatable, Sendable {
  /// The version field, 0x0303 for all but the oldest.
  package private(set) var legacyVersion: UInt16 = 0
  /// Cipher suites in the client's order.
  package private(set) var cipherSuites: [UInt16] = []
  /// Types of the extensions in the client's order.
  package private(set) var extensions: [UInt16] = []
  /// Contents of `supported_versions`.
  package private(set) var supportedVersions: [UInt16] = []
  /// Contents of `signature_algorithms`.
  package private(set) var signatureAlgorithms: [UInt16] = []
  /// The protocols of ALPN.
  package private(set) var applicationProtocols: [[UInt8]] = []

  /// Types of extensions (IANA's registry).
  private enum ExtensionType {
    static var signatureAlgorithms: UInt16 { 13 }
    static var applicationProtocols: UInt16 { 16 }
    static var supportedVersions: UInt16 { 43 }
  }

  /// The hello in the record that a client begins with (`HelloArrival`). Nil if it is not whole in that
  /// record, or is malformed. Allocates.
  package init?(record: ByteView) {
    var reader = HelloReader(bytes: record)
    // The record: handshake, version, length. The message: client_hello, length.
    guard reader.number(1) == 22, reader.number(2) != nil, var message = reader.run(lengthBytes: 2),
      message.number(1) == 1, var hello = message.run(lengthBytes: 3),
      let version = hello.number(2), hello.skip(32), hello.run(lengthBytes: 1) != nil,
      var suites = hello.run(lengthBytes: 2), hello.run(lengthBytes: 1) != nil
    else { return nil }
    legacyVersion = UInt16(truncatingIfNeeded: version)
    cipherSuites = suites.numbers()
    if hello.isEmpty { return }
    guard var list = hello.run(lengthBytes: 2) else { return nil }
    while !list.isEmpty {
      guard let type = list.number(2), let content = list.run(lengthBytes: 2) else { return nil }
      take(UInt16(truncatingIfNeeded: type), content)
    }
  }

  private mutating func take(_ type: UInt16, _ content: HelloReader) {
    var content = content
    extensions.append(type)
    switch type {
    case ExtensionType.supportedVersions:
      if var list = content.run(lengthBytes: 1) { supportedVersions = list.numbers() }
    case ExtensionType.signatureAlgorithms:
      if var list = content.run(lengthBytes: 2) { signatureAlgorithms = list.numbers() }
    case ExtensionType.applicationProtocols:
      guard var list = content.run(lengthBytes: 2) else { return }
      while let name = list.run(lengthBytes: 1) { applicationProtocols.append(name.bytes.array) }
    default: break
    }
  }
}

/// Reads the numbers and the runs with lengths that TLS is made of (RFC 8446 §3).
private struct HelloReader {
  private(set) var bytes: ByteView

  init(bytes: ByteView) { self.bytes = bytes }

  var isEmpty: Bool { bytes.isEmpty }

  /// A number of so many bytes, the highest first; nil if there are fewer.
  mutating func number(_ count: Int) -> Int? {
    guard bytes.count >= count else { return nil }
    var value = 0
    for index in 0..<count { value = value << 8 | Int(bytes[index]) }
    bytes = bytes.dropping(first: count)
    return value
  }

  mutating func skip(_ count: Int) -> Bool {
    guard bytes.count >= count else { return false }
    bytes = bytes.dropping(first: count)
    return true
  }

  /// What stands behind a length of so many bytes; nil if it is not all there.
  mutating func run(lengthBytes: Int) -> HelloReader? {
    guard let length = number(lengthBytes), bytes.count >= length else { return nil }
    let content = HelloReader(bytes: bytes.prefix(length))
    bytes = bytes.dropping(first: length)
    return content
  }

  /// All that is left, as numbers of two bytes.
  mutating func numbers() -> [UInt16] {
    var found: [UInt16] = []
    while let next = number(2) { found.append(UInt16(truncatingIfNeeded: next)) }
    return found
  }
}
