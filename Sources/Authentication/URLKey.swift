// Keys that sign URLs, and their file. `SignedURL.swift` has what is done with them.

package import Bytes
package import Cryptography

/// A key with its name.
package struct URLKey: Sendable, Equatable {
  /// The name: letters, digits, `.`, `-` and `_`, at most 64.
  package let id: String
  /// The secret, at least 32 bytes.
  package let secret: [UInt8]

  /// A key; nil if its name or its length is not as it must be.
  package init?(id: String, secret: [UInt8]) {
    guard URLKey.isID(id), secret.count >= 32, secret.count <= 1_024 else { return nil }
    self.id = id
    self.secret = secret
  }

  static func isID(_ id: String) -> Bool {
    !id.isEmpty && id.utf8.count <= 64
      && id.utf8.allSatisfy { byte in
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F: true
        default: false
        }
      }
  }

  /// Reads a file of keys: lines `id:secret`, the secret in base64url. There must be one.
  package static func load(_ path: String) throws(CredentialDefect) -> [URLKey] {
    let content = try CredentialFile.read(path)
    return try read(content.view, file: path)
  }

  /// Reads a file's content; `file` is what a defect calls it.
  package static func read(
    _ content: ByteView, file: String
  ) throws(CredentialDefect) -> [URLKey] {
    var keys: [URLKey] = []
    try CredentialFile.forEachLine(of: content, file: file) { line throws(LineDefect) in
      guard let colon = line.firstIndex(of: ASCII.colon),
        let secret = Base64URL.decode(line.dropping(first: colon + 1))
      else { throw LineDefect("expected id:secret, the secret in base64url without padding") }
      guard let key = URLKey(id: line.prefix(colon).string, secret: secret) else {
        throw LineDefect(
          "the id must have letters, digits, \".\", \"-\" and \"_\" only, the secret 32 bytes")
      }
      guard !keys.contains(where: { $0.id == key.id }) else {
        throw LineDefect("the id is there twice")
      }
      guard keys.count < 64 else { throw LineDefect("more than 64 keys") }
      keys.append(key)
    }
    guard !keys.isEmpty else { throw CredentialDefect(file: file, line: 0, text: "no key") }
    return keys
  }

  /// A line with a fresh key.
  package static func makeLine(id: String) throws(OpenSSLError) -> String? {
    guard isID(id) else { return nil }
    return id + ":" + Base64URL.encode(try SecureRandom.bytes(32))
  }
}
