// The compact form of a signed token (RFC 7515 §3.1 and §7.1):
//
//     base64url(header) . base64url(payload) . base64url(signature)
//
// What the signature covers is the text up to the second dot, as it came. Of the header only `alg`, `kid`,
// `typ` and `crit` are ever looked at: a key in the header (`jwk`, `x5c`), or a place to get one from
// (`jku`, `x5u`), is the sender's word for the sender (RFC 8725 §3.10).

package import Bytes
internal import Cryptography

/// Where the parts of a token are.
package struct CompactToken: Sendable {
  /// The header, encoded.
  package let header: Range<Int>
  /// The payload, encoded.
  package let payload: Range<Int>
  /// The signature, encoded.
  package let signature: Range<Int>

  /// Finds the parts: three, of which the payload alone may be empty.
  package init?(_ token: ByteView, maxLength: Int) {
    guard token.count <= maxLength, let first = token.firstIndex(of: 0x2E),
      let second = token.firstIndex(of: 0x2E, from: first + 1),
      token.firstIndex(of: 0x2E, from: second + 1) == nil,
      first > 0, second + 1 < token.count
    else { return nil }
    header = 0..<first
    payload = first + 1..<second
    signature = second + 1..<token.count
  }
}

/// What a token is decoded into. One for each worker, used for one token after the other.
struct TokenScratch: ~Copyable {
  var header = JSONDocument()
  var decoded = ByteBuffer()
  var payload = ByteBuffer()
  var signature = ByteBuffer()
}

/// Checks the signature of a token, and nothing that its payload says.
package struct SignatureCheck: ~Copyable {
  private var scratch = TokenScratch()

  /// A check with its own memory.
  package init() {}

  /// What the last token that was accepted carries.
  package var payload: ByteView { scratch.payload.view }

  /// Checks a token against keys; returns the number of the key that signed it. Its payload is then
  /// in `payload`, until the next call.
  package mutating func verify(
    _ token: ByteView, keys: WorkerKeys, algorithms: AlgorithmSet, type: String? = nil,
    maxLength: Int = 8_192
  ) throws(TokenRefusal) -> Int {
    guard token.count <= maxLength else { throw .tooLong }
    guard let parts = CompactToken(token, maxLength: maxLength) else { throw .malformed }
    try decode(token, parts)
    let algorithm = try readHeader(algorithms, type)
    let candidates = try keys.candidates(
      named: scratch.header.string(of: 0, named: ByteView("kid")), for: algorithm)
    let signed = token[0..<parts.payload.upperBound]
    for number in candidates
    where keys.verifies(number, algorithm, signed, scratch.signature.view) {
      return number
    }
    throw .badSignature
  }

  private mutating func decode(_ token: ByteView, _ parts: CompactToken) throws(TokenRefusal) {
    scratch.decoded.removeAll()
    scratch.payload.removeAll()
    scratch.signature.removeAll()
    guard Base64URL.decode(token[parts.header], onto: &scratch.decoded),
      Base64URL.decode(token[parts.payload], onto: &scratch.payload),
      Base64URL.decode(token[parts.signature], onto: &scratch.signature)
    else { throw .malformed }
    do throws(JSONDefect) {
      try scratch.header.read(scratch.decoded.view, limits: .header)
    } catch {
      throw .malformed
    }
    guard scratch.header.kind(of: 0) == .object else { throw .malformed }
  }

  private func readHeader(
    _ allowed: AlgorithmSet, _ type: String?
  ) throws(TokenRefusal) -> SignatureAlgorithm {
    guard let name = scratch.header.string(of: 0, named: ByteView("alg")) else { throw .malformed }
    guard let algorithm = SignatureAlgorithm(name: name), allowed.contains(algorithm) else {
      throw .algorithmNotAllowed
    }
    // No extension is understood, so whatever `crit` lists, and even if it lists nothing, which it
    // must not, the token is refused.
    guard scratch.header.member(of: 0, named: ByteView("crit")) == nil else {
      throw .criticalNotUnderstood
    }
    if let kid = scratch.header.member(of: 0, named: ByteView("kid")),
      scratch.header.kind(of: kid) != .string
    {
      throw .malformed
    }
    if let type { try checkType(type) }
    return algorithm
  }

  /// `typ` is a media type, of which `application/` may be left out (RFC 7515 §4.1.9).
  private func checkType(_ type: String) throws(TokenRefusal) {
    guard var found = scratch.header.string(of: 0, named: ByteView("typ")) else {
      throw .wrongType
    }
    let prefix = ByteView("application/")
    if found.prefix(prefix.count).equalsIgnoringCase(prefix) {
      found = found.dropping(first: prefix.count)
    }
    guard type.withView({ $0.equalsIgnoringCase(found) }) else { throw .wrongType }
  }
}
