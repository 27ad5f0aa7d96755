package import Bytes

/// What part of a request a piece of a limit's key is taken from. It goes into the hash, so that a
/// header's value never counts as an address's.
package enum LimitKeyPart: UInt8, Sendable {
  /// A client's address, or its prefix.
  case address = 1
  /// A claim of a token.
  case claim = 2
  /// An API key.
  case apiKey = 3
  /// A field's value.
  case field = 4
  /// A cookie's value.
  case cookie = 5
  /// The route.
  case route = 6
  /// The host.
  case host = 7
  /// Anything else.
  case other = 8
  /// The subject of a client's certificate.
  case certificate = 9
  /// Who issued a token.
  case issuer = 10
  /// A user's name.
  case user = 11
  /// A client's fingerprint.
  case fingerprint = 12
}

/// Puts the key of a limit together from parts of a request, under a secret.
///
///     var key = LimitKey(secret)
///     key.add(.host, host)
///     key.add(.address, high: prefix.high, low: prefix.low)
///     limits.add(3, key: key.hash, to: &checks)
///
/// Each part is hashed on its own and the results chained, so ("ab", "c") and ("a", "bc") are two keys,
/// and so are the same parts in another order. Allocates nothing; two hashes for each part.
package struct LimitKey: Sendable {
  private let sip: SipHash
  /// The key so far.
  package private(set) var hash = Hash128(low: 0, high: 0)

  /// A key without parts: all requests share it.
  package init(_ secret: SipHash) { sip = secret }

  /// Adds bytes.
  package mutating func add(_ part: LimitKeyPart, _ bytes: ByteView) {
    chain(part, sip.hash(bytes))
  }

  /// Adds two words.
  package mutating func add(_ part: LimitKeyPart, high: UInt64, low: UInt64) {
    chain(part, sip.hash(high, low))
  }

  @inline(__always)
  private mutating func chain(_ part: LimitKeyPart, _ piece: Hash128) {
    let tag = UInt64(part.rawValue) &<< 56
    hash = sip.hash(hash.low ^ piece.low, hash.high ^ piece.high ^ tag)
  }
}
