// A worker's gate for tokens. Each worker has one for each `auth` block, with keys and memory of its own;
// what the workers share is a `KeySource`, of which they read one number for each request.
//
//   known     a token that was verified before: hash, find, compare, look at the clock. 0.2 µs
//   verify    any token; a new one costs what OpenSSL needs, and a few microseconds for reading it
//
// Two calls, because first checks are for the worker to ration: so many in a turn, the rest in the next.
//
// A remembered token is found by a keyed hash of its length and last bytes: with every algorithm they are
// the signature, or most of it, so that no two tokens that were verified have the same; and then compared
// whole. Tokens that were refused are not remembered (anybody could fill the memory with them), but one
// that has expired since stays until its place is needed: clients repeat it.
//
// When the set of keys changes, tokens whose very key is still in it stay remembered; the others go.

package import Bytes
package import EventLoop

/// What came of a token.
package enum TokenOutcome {
  /// The request may go on, with these claims.
  case verified(VerifiedToken)
  /// It may not.
  case refused(TokenRefusal)

  /// Whether that took a check of a signature, which is what is dear.
  package var hadSignatureChecked: Bool {
    switch self {
    case .verified: true
    case .refused(let refusal): refusal.isBehindSignature
    }
  }
}

/// Verifies tokens for one worker.
package final class TokenAuthenticator {
  private let rules: TokenRules
  private let claimsCheck: ClaimsCheck
  private let source: KeySource
  private let hash: SipHash
  private var keys: WorkerKeys?
  private var generation: UInt64 = 0
  private var signatures = SignatureCheck()
  private var remembered: RecentTable<VerifiedToken>
  /// How much of a token's end is hashed: a signature of ES256 or EdDSA with the dot before it.
  private static var hashedLength: Int { 88 }

  /// A gate with the given rules and keys. `secret` keys the hash of remembered tokens.
  package init(rules: TokenRules, source: KeySource, secret: Hash128) {
    self.rules = rules
    claimsCheck = ClaimsCheck(rules)
    self.source = source
    hash = SipHash(key: secret)
    remembered = RecentTable(maxCount: rules.maxRemembered, maxCost: rules.maxRememberedBytes)
  }

  /// How many tokens are remembered.
  package var rememberedCount: Int { remembered.count }
  /// What they take, in bytes, about.
  package var rememberedBytes: Int { remembered.cost }

  /// What comes of a token that was verified before; nil for any other.
  package func known(_ token: ByteView, now: Instant) -> TokenOutcome? {
    if source.keys.generation != generation { adoptKeys() }
    guard let found = remembered.find(key(of: token)), found.matches(token) else { return nil }
    let refusal = TokenTimes.check(
      expires: found.expires, notBefore: found.notBefore, tooOldAt: found.tooOldAt, now: now.wall,
      skew: claimsCheck.skew)
    if let refusal { return .refused(refusal) }
    return .verified(found)
  }

  /// What comes of a token.
  package func verify(_ token: ByteView, now: Instant) -> TokenOutcome {
    if let outcome = known(token, now: now) { return outcome }
    let outcome = check(token, now: now)
    guard case .refused(.unknownKey(fetching: false)) = outcome,
      source.keys.generation != generation
    else { return outcome }
    // Keys came between the look at them and the question for more.
    adoptKeys()
    return check(token, now: now)
  }

  private func check(_ token: ByteView, now: Instant) -> TokenOutcome {
    do throws(TokenRefusal) {
      let verified = try verifyNew(token, now: now)
      remembered.insert(key(of: token), verified, cost: verified.memory)
      return .verified(verified)
    } catch {
      if case .unknownKey = error {
        return .refused(.unknownKey(fetching: source.wantsKeys(now: now)))
      }
      return .refused(error)
    }
  }

  private func key(of token: ByteView) -> Hash128 {
    let tail = hash.hash(token.dropping(first: token.count - Self.hashedLength))
    return Hash128(low: tail.low &+ UInt64(truncatingIfNeeded: token.count), high: tail.high)
  }

  private func verifyNew(_ token: ByteView, now: Instant) throws(TokenRefusal) -> VerifiedToken {
    guard let keys else { throw .keysUnavailable }
    let number = try signatures.verify(
      token, keys: keys, algorithms: rules.algorithms, type: rules.type,
      maxLength: rules.maxLength)
    let claims: JSONDocument
    do throws(JSONDefect) {
      claims = try JSONDocument.reading(
        signatures.payload, limits: JSONLimits(bytes: rules.maxLength))
    } catch {
      throw .malformed
    }
    let times = try claimsCheck.check(claims, now: now.wall)
    return VerifiedToken(
      token, claims: claims, key: keys.identity(of: number), times: times)
  }

  /// Takes over the newest keys, and forgets tokens whose key is not among them.
  private func adoptKeys() {
    let (set, newGeneration) = source.keys.current
    generation = newGeneration
    guard let set else { return }
    let former = keys
    let newest = WorkerKeys(set, algorithms: rules.algorithms, former: former)
    keys = newest
    if let former, !newest.contains(allOf: former) {
      remembered.removeAll { !newest.contains($0.key) }
    }
  }
}
