package import Cryptography

/// What a token must be to let a request in: the plain form of an `auth` block.
package struct TokenRules: Sendable {
  /// The only algorithms that are accepted, whatever a token or a key says (RFC 8725 §3.1).
  package var algorithms: AlgorithmSet
  /// The issuers of which `iss` must name one, compared byte by byte; empty: any, or none.
  package var issuers: [String]
  /// The audiences of which `aud` must name one. Empty: a token that has an `aud` is refused, since it
  /// is for somebody else (RFC 7519 §4.1.3), unless `ignoresAudience`.
  package var audiences: [String]
  /// Whether `aud` is not looked at. Only where every service of the issuer may be asked with any
  /// token of its.
  package var ignoresAudience: Bool
  /// By how much clocks may differ, in milliseconds.
  package var skew: Int64
  /// The oldest `iat` that is accepted, in milliseconds before now; nil: any. Needs the claim.
  package var maxAge: Int64?
  /// Claims that must be there, and not be `null`.
  package var requiredClaims: [String]
  /// What `typ` must be, without `application/`, in any case of letters; nil: anything or nothing.
  package var type: String?
  /// The longest token, in bytes.
  package var maxLength: Int
  /// How many tokens are remembered, by each worker.
  package var maxRemembered: Int
  /// How much memory they may take, in bytes, in each worker.
  package var maxRememberedBytes: Int

  /// Rules. The default wants `exp`, and nothing else of the claims.
  package init(
    algorithms: [SignatureAlgorithm], issuers: [String] = [], audiences: [String] = [],
    ignoresAudience: Bool = false, skew: Int64 = 60_000, maxAge: Int64? = nil,
    requiredClaims: [String] = ["exp"], type: String? = nil, maxLength: Int = 8_192,
    maxRemembered: Int = 10_000, maxRememberedBytes: Int = 16 << 20
  ) {
    self.algorithms = AlgorithmSet(algorithms)
    self.issuers = issuers
    self.audiences = audiences
    self.ignoresAudience = ignoresAudience
    self.skew = min(max(skew, 0), 86_400_000)
    self.maxAge = maxAge
    self.requiredClaims = requiredClaims
    self.type = type
    self.maxLength = min(max(maxLength, 16), 65_536)
    self.maxRemembered = max(maxRemembered, 0)
    self.maxRememberedBytes = max(maxRememberedBytes, 0)
  }
}
