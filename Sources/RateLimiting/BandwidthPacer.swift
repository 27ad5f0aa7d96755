package import Bytes

/// What pacing says about bytes that are ready to be sent.
package enum PacingDecision: Sendable, Equatable {
  /// So many may be sent now; they have been taken from the budget, and what is not sent must be
  /// given back.
  case send(UInt64)
  /// None may be sent before that time, in nanoseconds.
  case waits(until: Int64)
}

extension TokenBucketRate {
  /// The fewest bytes worth a system call, where a bucket holds as many.
  static var quantum: UInt64 { 16_384 }

  /// How many of `wanted` bytes a bucket gives that is full at `full`, and what it is then.
  func portion(of wanted: UInt64, full: inout ExactTime, now: Int64) -> PacingDecision {
    guard wanted > 0 else { return .send(0) }
    let least = min(wanted, Self.quantum, burst)
    let level = level(full: full, now: now)
    if level >= least {
      let granted = min(level, wanted)
      full = sum(max(full, ExactTime(whole: now, part: 0)), debt(of: granted))
      return .send(granted)
    }
    // `least` are there when the bucket, having given them, is as empty as it may be.
    let after = sum(max(full, ExactTime(whole: now, part: 0)), debt(of: least))
    return .waits(until: max(difference(after, depth).roundedUp, now &+ 1))
  }
}

/// The pace of one response: a bucket of bytes that belongs to it alone.
package struct BandwidthPacer: Sendable {
  private var rate: TokenBucketRate
  private var full = ExactTime(whole: 0, part: 0)

  /// A response that may send a whole burst at once.
  package init(rate: TokenBucketRate) { self.rate = rate }

  /// How many of `wanted` bytes may be sent at `now`, a monotonic clock in nanoseconds; not fewer than
  /// 16 KiB (or the burst) unless fewer are wanted.
  package mutating func allowance(_ wanted: UInt64, now: Int64) -> PacingDecision {
    rate.portion(of: wanted, full: &full, now: min(max(now, 0), 1 << 61))
  }

  /// Takes back what was allowed and not sent.
  package mutating func giveBack(_ bytes: UInt64) {
    full = rate.difference(full, rate.debt(of: bytes))
  }

  /// Goes on at another rate. What was sent stays sent.
  package mutating func setRate(_ new: TokenBucketRate, now: Int64) {
    let change = ExactTime(whole: min(max(now, 0), 1 << 61), part: 0)
    if change < full {
      full = new.sum(change, new.debt(rate.difference(full, change), from: rate))
    } else {
      full = ExactTime(whole: full.roundedUp, part: 0)
    }
    rate = new
  }
}

extension BucketTable {
  /// As `BandwidthPacer.allowance`, from a key's bucket; whether that is the overflow bucket.
  mutating func allowance(
    _ wanted: UInt64, _ key: BucketKey, now: Int64
  ) -> (decision: PacingDecision, isOverflow: Bool) {
    let now = observe(now)
    let spot = find(key, now: now)
    var full = full(at: spot)
    let decision = rate.portion(of: wanted, full: &full, now: now)
    switch decision {
    case .send(0): break
    case .send:
      tally.allowed &+= 1
      store(full, at: spot, key)
    case .waits: tally.delayed &+= 1
    }
    if case .overflow = spot { return (decision, true) }
    return (decision, false)
  }
}

extension RateLimiter {
  /// How many of `wanted` bytes the key may send at `now`; the limit's rate is one of bytes. What is
  /// not sent is given back with `refund`, in the same turn and with the same `isOverflow`.
  package func allowance(
    _ wanted: UInt64, key: Hash128, now: Int64
  ) -> (decision: PacingDecision, isOverflow: Bool) {
    let key = BucketKey(key)
    return withTable(of: key) { table, _ in table.allowance(wanted, key, now: now) }
  }
}
