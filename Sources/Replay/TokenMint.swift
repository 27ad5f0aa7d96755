internal import Bytes
internal import Cryptography

/// Makes a token (RFC 7519) for each user of a recording, signed with a key that the server under test
/// accepts: a recording holds no credentials.
package final class TokenMint: @unchecked Sendable {
  // Sendable: used by the one thread that reads the recording.
  private let secret: [UInt8]?
  private let key: SigningKey?
  private let keyID: String?
  private let claims: String
  private let lifetime: Int64
  private var made: [UInt64: String] = [:]
  private static let mostKept = 200_000

  /// Why there is none.
  package struct Problem: Error, CustomStringConvertible {
    /// What is wrong, in words.
    package let description: String
  }

  /// - Parameters:
  ///   - key: a private key as PEM (RSA: RS256, P-256: ES256, Ed25519: EdDSA), or a secret of at least 16
  ///     bytes (HS256).
  ///   - keyID: the token's `kid`.
  ///   - claims: further members of its payload, without braces: `"aud":"shop"`.
  ///   - lifetime: in seconds.
  package init(key: [UInt8], keyID: String?, claims: String, lifetime: Int64) throws(Problem) {
    self.keyID = keyID
    self.claims = claims
    self.lifetime = lifetime
    let begin = Array("-----BEGIN ".utf8)
    if key.starts(with: begin) {
      secret = nil
      do throws(OpenSSLError) {
        self.key = try SigningKey.load(pem: key)
      } catch {
        throw Problem(description: "the key is none that can sign: \(error)")
      }
      return
    }
    var secret = key
    while let last = secret.last, last == 10 || last == 13 { secret.removeLast() }
    guard secret.count >= 16 else {
      throw Problem(description: "the key is shorter than 16 bytes, and no private key")
    }
    self.secret = secret
    self.key = nil
  }

  /// A user's token; `now` in seconds since 1970. Nil if it cannot be signed.
  func token(for user: ByteView, hash: UInt64, now: Int64) -> String? {
    if let token = made[hash] { return token }
    guard let token = sign(user, now) else { return nil }
    if made.count >= Self.mostKept { made.removeAll() }
    made[hash] = token
    return token
  }

  private var algorithm: (name: String, value: SignatureAlgorithm) {
    switch key?.algorithm {
    case .es256?: ("ES256", .es256)
    case .es384?: ("ES384", .es384)
    case .es512?: ("ES512", .es512)
    case .edDSA?: ("EdDSA", .edDSA)
    case .rs256?: ("RS256", .rs256)
    default: ("HS256", .hs256)
    }
  }

  private func sign(_ user: ByteView, _ now: Int64) -> String? {
    var header = "{\"alg\":\"\(algorithm.name)\",\"typ\":\"JWT\""
    if let keyID { header += ",\"kid\":\(JSONString.quoted(keyID))" }
    header += "}"
    var payload =
      "{\"sub\":\(JSONString.quoted(user.string)),\"iat\":\(now),\"exp\":\(now + lifetime)"
    if !claims.isEmpty { payload += "," + claims }
    payload += "}"
    let text = Base64URL.encode(Array(header.utf8)) + "." + Base64URL.encode(Array(payload.utf8))
    guard let signature = try? signature(of: Array(text.utf8)) else { return nil }
    return text + "." + Base64URL.encode(signature)
  }

  private func signature(of text: [UInt8]) throws(OpenSSLError) -> [UInt8] {
    var buffer = ByteBuffer(capacity: text.count)
    text.withView { buffer.append($0) }
    if let key { return try key.sign(buffer.view) }
    return try KeyedHMAC.make(.sha256, key: secret ?? []).code(buffer.view)
  }
}
