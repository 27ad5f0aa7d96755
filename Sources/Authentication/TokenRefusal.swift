// Why a request's token does not let it in, and how the client is told (RFC 6750 §3). The answer says in
// a few fixed words what is wrong, never what was expected: who holds a wrong token learns nothing.

package import Bytes

/// Why a token is not accepted.
package enum TokenRefusal: Error, Equatable, Sendable {
  /// There is none.
  case missing
  /// There is more than one, and nobody can know which one counts (RFC 6750 §3.1).
  case ambiguous
  /// Longer than the limit.
  case tooLong
  /// Not three parts of base64url with JSON in the first two (RFC 7515 §3.1, RFC 7519 §7.2).
  case malformed
  /// Signed with an algorithm that is not allowed here, or not with this key; `none` is one of these.
  case algorithmNotAllowed
  /// `crit` asks for an extension that is not understood, as all of them are (RFC 7515 §4.1.11).
  case criticalNotUnderstood
  /// `typ` is another kind of token than is wanted (RFC 8725 §3.11).
  case wrongType
  /// No key has the token's `kid`. If `fetching`, the keys are being fetched: ask again when the
  /// `KeySource` says that it is done.
  case unknownKey(fetching: Bool)
  /// There are no keys yet, because their source has not answered.
  case keysUnavailable
  /// The signature is not that of the key.
  case badSignature
  /// A registered claim has the wrong type (RFC 7519 §4.1).
  case malformedClaims
  /// Past `exp`.
  case expired
  /// Before `nbf`, or issued in the future.
  case notYetValid
  /// Issued longer ago than is allowed.
  case tooOld
  /// Another `iss`.
  case wrongIssuer
  /// Another `aud`.
  case wrongAudience
  /// A claim that must be there is not.
  case missingClaim(String)
  /// The token is good, but what its subject wants needs more than it allows.
  case insufficientScope

  /// Whether it was found out after a signature was checked.
  package var isBehindSignature: Bool {
    switch self {
    case .missing, .ambiguous, .tooLong, .malformed, .algorithmNotAllowed, .criticalNotUnderstood,
      .wrongType, .unknownKey, .keysUnavailable:
      false
    default: true
    }
  }

  /// The status code of the answer.
  package var status: UInt16 {
    switch self {
    case .ambiguous: 400
    case .insufficientScope: 403
    case .keysUnavailable: 503
    default: 401
    }
  }

  /// RFC 6750's error code; nil where the challenge must have none (RFC 6750 §3.1), and for the
  /// status that has no challenge.
  package var errorCode: StaticString? {
    switch self {
    case .missing, .keysUnavailable: nil
    case .ambiguous: "invalid_request"
    case .insufficientScope: "insufficient_scope"
    default: "invalid_token"
    }
  }

  /// What is wrong, in words for the client and the log.
  package var text: StaticString {
    switch self {
    case .missing: "no token"
    case .ambiguous: "more than one token"
    case .tooLong: "the token is too long"
    case .malformed: "the token is malformed"
    case .algorithmNotAllowed: "the algorithm is not allowed"
    case .criticalNotUnderstood: "a critical extension is not understood"
    case .wrongType: "the token is of another type"
    case .unknownKey: "the key is unknown"
    case .keysUnavailable: "the keys are not available"
    case .badSignature: "the signature is wrong"
    case .malformedClaims: "a claim is malformed"
    case .expired: "the token expired"
    case .notYetValid: "the token is not valid yet"
    case .tooOld: "the token is too old"
    case .wrongIssuer: "the issuer is not accepted"
    case .wrongAudience: "the audience is not accepted"
    case .missingClaim: "a claim is missing"
    case .insufficientScope: "the token does not allow this"
    }
  }
}

/// Writes the `WWW-Authenticate` fields of a protection space.
package struct Challenge: Sendable {
  private let realm: [UInt8]

  /// Challenges for a realm. Nil if the realm has a control character or one outside of ASCII, which
  /// a quoted string should not have (RFC 9110 §5.6.4).
  package init?(realm: String) {
    var quoted: [UInt8] = []
    for byte in realm.utf8 {
      guard byte >= 0x20, byte < 0x7F else { return nil }
      if byte == ASCII.quote || byte == ASCII.backslash { quoted.append(ASCII.backslash) }
      quoted.append(byte)
    }
    self.realm = quoted
  }

  /// Appends the value of `WWW-Authenticate` for a refused token (RFC 6750 §3); nothing for a
  /// status that has none. `scope` is what the request would have needed, for `insufficientScope`:
  /// scope tokens (RFC 6750 §3) separated by spaces, checked by whoever configured them.
  package func appendBearer(
    _ refusal: TokenRefusal, scope: String? = nil, to buffer: inout ByteBuffer
  ) {
    guard refusal.status != 503 else { return }
    buffer.append("Bearer ")
    appendRealm(to: &buffer)
    guard let code = refusal.errorCode else { return }
    buffer.append(", error=\"")
    buffer.append(code)
    buffer.append("\", error_description=\"")
    buffer.append(refusal.text)
    buffer.append(ASCII.quote)
    guard let scope, case .insufficientScope = refusal else { return }
    buffer.append(", scope=\"")
    buffer.append(text: scope)
    buffer.append(ASCII.quote)
  }

  /// Appends the value of `WWW-Authenticate` that asks for a name and password (RFC 7617 §2).
  package func appendBasic(to buffer: inout ByteBuffer) {
    buffer.append("Basic ")
    appendRealm(to: &buffer)
    buffer.append(", charset=\"UTF-8\"")
  }

  private func appendRealm(to buffer: inout ByteBuffer) {
    buffer.append("realm=\"")
    realm.withView { buffer.append($0) }
    buffer.append(ASCII.quote)
  }
}
