// What a client's hello says, in the order in which it says it: the raw material of fingerprints (JA4).

internal import COpenSSL

/// The fields of a ClientHello (RFC 8446 §4.1.2) that tell implementations apart. Values of GREASE
/// (RFC 8701) are among them.
package struct ClientHello: Equatable, Sendable {
  /// The version field, 0x0303 for all but the oldest.
  package var legacyVersion: UInt16 = 0
  /// Cipher suites in the client's order.
  package var cipherSuites: [UInt16] = []
  /// Types of the extensions in the client's order.
  package var extensions: [UInt16] = []
  /// Contents of `supported_versions`.
  package var supportedVersions: [UInt16] = []
  /// Contents of `signature_algorithms`.
  package var signatureAlgorithms: [UInt16] = []
  /// Contents of `supported_groups`.
  package var groups: [UInt16] = []
  /// The protocols of ALPN.
  package var applicationProtocols: [[UInt8]] = []
}

/// Where the callback leaves what it read; its address is stable, a connection's is not.
final class HelloRecord {
  private(set) var hello: ClientHello?

  /// Reads the hello that OpenSSL is looking at.
  func read(_ ssl: OpaquePointer) {
    var hello = ClientHello()
    hello.legacyVersion = UInt16(
      truncatingIfNeeded: unsafe SSL_client_hello_get0_legacy_version(ssl))
    var start: UnsafePointer<UInt8>?
    let length = unsafe SSL_client_hello_get0_ciphers(ssl, &start)
    hello.cipherSuites = unsafe Self.numbers(UnsafeBufferPointer(start: start, count: length))
    hello.extensions = unsafe Self.extensionTypes(ssl)
    hello.supportedVersions = unsafe Self.list(ssl, TLSEXT_TYPE_supported_versions, prefix: 1)
    hello.signatureAlgorithms = unsafe Self.list(ssl, TLSEXT_TYPE_signature_algorithms, prefix: 2)
    hello.groups = unsafe Self.list(ssl, TLSEXT_TYPE_supported_groups, prefix: 2)
    hello.applicationProtocols = unsafe Self.protocols(ssl)
    self.hello = hello
  }

  private static func extensionTypes(_ ssl: OpaquePointer) -> [UInt16] {
    var types: UnsafeMutablePointer<Int32>?
    var count = 0
    guard unsafe SSL_client_hello_get1_extensions_present(ssl, &types, &count) == 1 else {
      return []
    }
    defer { unsafe CRYPTO_free(types, nil, 0) }
    // `count` numbers, ours to free.
    return unsafe UnsafeBufferPointer(start: types, count: count).map {
      UInt16(truncatingIfNeeded: $0)
    }
  }

  private static func content(_ ssl: OpaquePointer, _ type: Int32) -> [UInt8] {
    var start: UnsafePointer<UInt8>?
    var count = 0
    guard unsafe SSL_client_hello_get0_ext(ssl, UInt32(type), &start, &count) == 1 else {
      return []
    }
    return unsafe Array(UnsafeBufferPointer(start: start, count: count))
  }

  /// A list of numbers behind a length of `prefix` bytes.
  private static func list(_ ssl: OpaquePointer, _ type: Int32, prefix: Int) -> [UInt16] {
    let bytes = Array(unsafe content(ssl, type).dropFirst(prefix))
    return unsafe bytes.withUnsafeBufferPointer { unsafe numbers($0) }
  }

  private static func numbers(_ bytes: UnsafeBufferPointer<UInt8>) -> [UInt16] {
    var found: [UInt16] = []
    var at = 0
    while at + 1 < bytes.count {
      unsafe found.append(UInt16(bytes[at]) << 8 | UInt16(bytes[at + 1]))
      at += 2
    }
    return found
  }

  private static func protocols(_ ssl: OpaquePointer) -> [[UInt8]] {
    let bytes = unsafe content(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation)
    var found: [[UInt8]] = []
    var at = 2
    while at < bytes.count {
      let end = at + 1 + Int(bytes[at])
      guard end <= bytes.count else { break }
      found.append(Array(bytes[at + 1..<end]))
      at = end
    }
    return found
  }
}
