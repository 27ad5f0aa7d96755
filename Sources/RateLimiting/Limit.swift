package import Bytes
internal import Synchronization

/// How a limit decides.
package enum LimitRule: Sendable {
  /// Bursts up to the bucket, then the rate.
  case tokenBucket(RateLimiter)
  /// A constant rate; the excess waits.
  case leakyBucket(RateLimiter)
  /// So many requests in flight.
  case concurrency(ConcurrencyLimiter)
  /// So much in a long window.
  case quota(QuotaLimiter)
  /// Bursts up to the bucket, then the rate: of a whole region.
  case regional(RegionalLimiter)
}

/// A limit as it is configured, with all that it remembers. Lives on over a change of configuration,
/// matched by name.
package final class Limit: Sendable {
  /// In what order limits are asked, the same for all requests, whatever configuration they are under.
  let rank: UInt32
  /// Its name, printable ASCII.
  package let name: String
  /// The name's bytes, as the fields quote them.
  let quotedName: [UInt8]
  /// How it decides.
  package let rule: LimitRule
  /// The time out for repeat offenders, if there is one.
  package let penalty: PenaltyBox?
  private let shadow: Atomic<Bool>
  private let heaviest: Mutex<HeaviestKeys>
  private let penalised = Atomic<UInt64>(0)
  private let penalisedInShadow = Atomic<UInt64>(0)

  private static let lastRank = Atomic<UInt32>(0)

  /// A limit; in `shadow` mode it only counts. One that goes on with another's `rule` is to name that as
  /// `former`: their locks are the same, and must be taken in the same order.
  package init(
    name: String, rule: LimitRule, penalty: PenaltyBox? = nil, isShadow: Bool = false,
    successorOf former: Limit? = nil
  ) {
    rank = former?.rank ?? Self.lastRank.add(1, ordering: .relaxed).newValue
    self.name = name
    self.rule = rule
    self.penalty = penalty
    shadow = Atomic(isShadow)
    heaviest = Mutex(HeaviestKeys())
    quotedName = Self.quoted(name)
  }

  /// Whether it only counts. A change is in force from the next decision on, in all workers.
  package var isShadow: Bool {
    get { shadow.load(ordering: .relaxed) }
    set { shadow.store(newValue, ordering: .relaxed) }
  }

  /// What it has decided.
  package var tally: LimitTally {
    var tally =
      switch rule {
      case .tokenBucket(let limiter), .leakyBucket(let limiter): limiter.tally
      case .concurrency(let limiter): limiter.tally
      case .quota(let limiter): limiter.tally
      case .regional(let limiter): limiter.tally
      }
    tally.refused &+= penalised.load(ordering: .relaxed)
    tally.shadowed &+= penalisedInShadow.load(ordering: .relaxed)
    return tally
  }

  /// How many keys it remembers.
  package var keys: Int {
    switch rule {
    case .tokenBucket(let limiter), .leakyBucket(let limiter): limiter.keys
    case .concurrency(let limiter): limiter.keys
    case .quota(let limiter): limiter.keys
    case .regional(let limiter): limiter.keys
    }
  }

  /// Bytes that its table takes.
  package var bytes: Int {
    switch rule {
    case .tokenBucket(let limiter), .leakyBucket(let limiter): limiter.bytes
    case .concurrency(let limiter): limiter.bytes
    case .quota(let limiter): limiter.bytes
    case .regional(let limiter): limiter.bytes
    }
  }

  /// How many requests wait at it.
  package var waiting: Int {
    switch rule {
    case .tokenBucket(let limiter), .leakyBucket(let limiter): limiter.waiting
    case .regional(let limiter): limiter.waiting
    case .concurrency, .quota: 0
    }
  }

  /// Counts a request that was not asked about because its key is punished.
  func countPenalised(isShadow: Bool) {
    if isShadow {
      penalisedInShadow.wrappingAdd(1, ordering: .relaxed)
    } else {
      penalised.wrappingAdd(1, ordering: .relaxed)
    }
  }

  /// Gives a key all it may have, ends its penalty and forgets its weight; whether it was known.
  package func forgive(key: Hash128, now: Int64) -> Bool {
    var wasKnown = penalty?.forgive(key: key) ?? false
    switch rule {
    case .tokenBucket(let limiter), .leakyBucket(let limiter):
      if limiter.forgive(key: key, now: now) { wasKnown = true }
    case .quota(let limiter):
      if limiter.forgive(key: key) { wasKnown = true }
    case .regional(let limiter):
      if limiter.forgive(key: key, now: now) { wasKnown = true }
    case .concurrency: break  // What is in flight is in flight.
    }
    if heaviest.withLock({ $0.remove(key) }) { wasKnown = true }
    return wasKnown
  }

  /// How many requests are behind each that is noted by `note`, when called as described there.
  package static var sampling: UInt64 { 16 }

  /// Notes a key with its name, for the list of the heaviest. Callers note one request of
  /// `Limit.sampling`, whichever worker it is in; who comes while another is at it is not noted, so
  /// nobody ever waits here. A pass over 256 counters.
  package func note(key: Hash128, name: ByteView, cost: UInt64, isRefused: Bool, now: Int64) {
    _ = heaviest.withLockIfAvailable {
      $0.record(key, name: name, cost: cost &* Self.sampling, isRefused: isRefused, now: now)
    }
  }

  /// The keys that have spent most lately, heaviest first.
  package func heaviestKeys(top: Int, now: Int64) -> [HeaviestKeys.Entry] {
    heaviest.withLock { $0.top(top, now: now) }
  }

  /// A name as a string of a structured field, without what cannot stand in one (RFC 9651 §3.3.3).
  private static func quoted(_ name: String) -> [UInt8] {
    var quoted: [UInt8] = [ASCII.quote]
    for byte in name.utf8 where byte >= 0x20 && byte < 0x7F {
      if byte == ASCII.quote || byte == ASCII.backslash { quoted.append(ASCII.backslash) }
      quoted.append(byte)
    }
    quoted.append(ASCII.quote)
    return quoted
  }
}
