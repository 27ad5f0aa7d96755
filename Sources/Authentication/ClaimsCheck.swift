// What the claims of a token must say (RFC 7519 §4.1), once its signature is known to be right.

internal import Bytes

/// When a token is valid; milliseconds since the epoch.
struct TokenTimes {
  var expires: Int64?
  var notBefore: Int64 = 0
  var tooOldAt: Int64 = .max

  /// Whether a token is valid now. Checked for every request, remembered or not.
  @inline(__always)
  static func check(
    expires: Int64?, notBefore: Int64, tooOldAt: Int64, now: Int64, skew: Int64
  ) -> TokenRefusal? {
    // The clocks are within ±2^62, and the skew is at most a day.
    if let expires, now >= expires &+ skew { return .expired }
    if now < notBefore &- skew { return .notYetValid }
    if now >= tooOldAt { return .tooOld }
    return nil
  }
}

/// `TokenRules` in the form in which claims are compared with them.
struct ClaimsCheck {
  private let issuers: [[UInt8]]
  private let audiences: [[UInt8]]
  private let ignoresAudience: Bool
  private let required: [(name: String, bytes: [UInt8])]
  private let maxAge: Int64?
  let skew: Int64

  init(_ rules: TokenRules) {
    issuers = rules.issuers.map { Array($0.utf8) }
    audiences = rules.audiences.map { Array($0.utf8) }
    ignoresAudience = rules.ignoresAudience
    required = rules.requiredClaims.map { ($0, Array($0.utf8)) }
    maxAge = rules.maxAge
    skew = rules.skew
  }

  /// The times of a token whose claims are as they must be; throws what is wrong first. Times before
  /// names, so that an expired token is said to be so whatever else it says.
  func check(
    _ claims: borrowing JSONDocument, now: Int64
  ) throws(TokenRefusal) -> TokenTimes {
    guard claims.kind(of: 0) == .object else { throw .malformed }
    let times = try times(claims)
    if let refusal = TokenTimes.check(
      expires: times.expires, notBefore: times.notBefore, tooOldAt: times.tooOldAt, now: now,
      skew: skew)
    {
      throw refusal
    }
    if let subject = claims.member(of: 0, named: ByteView("sub")),
      claims.kind(of: subject) != .string
    {
      throw .malformedClaims
    }
    try checkIssuer(claims)
    try checkAudience(claims)
    for claim in required {
      let node = claim.bytes.withView { claims.member(of: 0, named: $0) }
      guard let node, claims.kind(of: node) != .null else { throw .missingClaim(claim.name) }
    }
    return times
  }

  private func times(_ claims: borrowing JSONDocument) throws(TokenRefusal) -> TokenTimes {
    var times = TokenTimes()
    times.expires = try date(claims, ByteView("exp"))
    times.notBefore = try date(claims, ByteView("nbf")) ?? 0
    let issued = try date(claims, ByteView("iat"))
    if let issued { times.notBefore = max(times.notBefore, issued) }
    if let maxAge {
      guard let issued else { throw .missingClaim("iat") }
      let (end, overflow) = issued.addingReportingOverflow(maxAge)
      times.tooOldAt = overflow ? .max : end
    }
    return times
  }

  private func date(
    _ claims: borrowing JSONDocument, _ name: ByteView
  ) throws(TokenRefusal) -> Int64? {
    guard let node = claims.member(of: 0, named: name) else { return nil }
    guard claims.kind(of: node) == .number,
      let time = JSONNumber.milliseconds(claims.text(of: node))
    else { throw .malformedClaims }
    return time
  }

  private func checkIssuer(_ claims: borrowing JSONDocument) throws(TokenRefusal) {
    guard let node = claims.member(of: 0, named: ByteView("iss")) else {
      if issuers.isEmpty { return }
      throw .wrongIssuer
    }
    guard claims.kind(of: node) == .string else { throw .malformedClaims }
    guard issuers.isEmpty || ClaimsCheck.has(issuers, claims.text(of: node)) else {
      throw .wrongIssuer
    }
  }

  /// `aud` is a string, or an array of strings (RFC 7519 §4.1.3).
  private func checkAudience(_ claims: borrowing JSONDocument) throws(TokenRefusal) {
    guard let node = claims.member(of: 0, named: ByteView("aud")) else {
      if audiences.isEmpty || ignoresAudience { return }
      throw .wrongAudience
    }
    var isOurs = ignoresAudience
    switch claims.kind(of: node) {
    case .string: isOurs = isOurs || ClaimsCheck.has(audiences, claims.text(of: node))
    case .array:
      var element = node + 1
      while element < claims.end(of: node) {
        guard claims.kind(of: element) == .string else { throw .malformedClaims }
        isOurs = isOurs || ClaimsCheck.has(audiences, claims.text(of: element))
        element = claims.end(of: element)
      }
    default: throw .malformedClaims
    }
    guard isOurs else { throw .wrongAudience }
  }

  private static func has(_ list: [[UInt8]], _ text: ByteView) -> Bool {
    for entry in list where entry.withView({ $0 == text }) { return true }
    return false
  }
}
