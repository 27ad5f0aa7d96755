// The arithmetic of a token bucket, exact.
//
// A bucket is one number: the time at which it will be full again if nobody takes from it (the
// "theoretical arrival time" of the ATM Forum's GCRA, which is the same machine seen from the other
// side). Full means: that time has passed. Taking a token moves it back by the token's price in time;
// a request may pass if the bucket would then be full no later than now + the time that a whole burst
// takes. Compared with the usual (level, time of last change), it needs one word less, no decision
// ever rounds, and it cannot be tricked by clocks that disagree: whatever order the workers' `now`s
// arrive in, the time only grows, so n requests let through with `now` in [a, b] have moved it from
// at least a to at most b + burst, which is the bound: n × price ≤ (b − a) + burst × price.
//
// A price is seldom a whole number of nanoseconds (3 tokens a second: 333,333,333⅓). With the rate
// reduced to lowest terms, n tokens in d nanoseconds, a price is d/n, so times are kept as whole
// nanoseconds and n-ths of one. No division is left on the way except for what remains.

/// How fast tokens come back, and how many a bucket holds.
package struct TokenBucketRate: Sendable, Equatable {
  /// Tokens that come back in `period`.
  package let tokens: UInt64
  /// Nanoseconds.
  package let period: Int64
  /// The most tokens that a bucket holds.
  package let burst: UInt64

  /// The rate in lowest terms: so many tokens …
  let numerator: UInt64
  /// … in so many nanoseconds.
  let denominator: UInt64
  /// What one token costs.
  let tokenPrice: ExactTime
  /// What a whole bucket costs.
  let depth: ExactTime

  /// A rate between one token a day and a million a second; nil outside of it, for an empty bucket,
  /// and for one that would take longer than 73 years (2⁶¹ ns) to fill.
  package init?(tokens: UInt64, per period: Int64, burst: UInt64) {
    self.init(tokens, period, burst, fastest: 1_000_000)
  }

  /// A rate of bytes: between one a day and 10¹² a second, else as above.
  package init?(bytes: UInt64, per period: Int64, burst: UInt64) {
    self.init(bytes, period, burst, fastest: 1_000_000_000_000)
  }

  /// `fastest` is in tokens a second.
  private init?(_ tokens: UInt64, _ period: Int64, _ burst: UInt64, fastest: UInt64) {
    guard tokens > 0, period > 0, burst > 0 else { return nil }
    let divisor = greatestCommonDivisor(tokens, UInt64(period))
    let numerator = tokens / divisor
    let denominator = UInt64(period) / divisor
    guard numerator < Self.numeratorLimit,
      UInt128(numerator) * 1_000_000_000 <= UInt128(denominator) * UInt128(fastest),
      UInt128(denominator) <= UInt128(numerator) * 86_400_000_000_000,
      let one = Self.price(of: 1, numerator, denominator),
      let depth = Self.price(of: burst, numerator, denominator)
    else { return nil }
    self.tokens = tokens
    self.period = period
    self.burst = burst
    self.numerator = numerator
    self.denominator = denominator
    self.tokenPrice = one
    self.depth = depth
  }

  /// Parts of a nanosecond stay below 2⁴⁰, which leaves room beside them in a bucket.
  private static var numeratorLimit: UInt64 { 1 << 40 }
  /// No debt is longer than this: with a clock up to 2⁶¹ no sum reaches the end of 64 bits.
  static var longestDebt: Int64 { 1 << 61 }

  private static func price(of cost: UInt64, _ numerator: UInt64, _ denominator: UInt64)
    -> ExactTime?
  {
    let wide = cost.multipliedFullWidth(by: denominator)
    guard wide.high < numerator else { return nil }
    let (whole, part) = numerator.dividingFullWidth(wide)
    guard whole <= UInt64(longestDebt) else { return nil }
    return ExactTime(whole: Int64(whole), part: part)
  }

  /// What `cost` tokens cost in time, be it more than a bucket holds; at most `longestDebt`.
  func debt(of cost: UInt64) -> ExactTime {
    Self.price(of: cost, numerator, denominator) ?? ExactTime(whole: Self.longestDebt, part: 0)
  }

  /// What `cost` tokens cost in time; nil if no bucket ever holds so many.
  func price(of cost: UInt64) -> ExactTime? {
    if cost == 1 { return tokenPrice }
    return cost <= burst ? Self.price(of: cost, numerator, denominator) : nil
  }

  /// What a bucket that is full at `full` says to a price, and when it would be full if it paid.
  @inline(__always)
  func quote(_ price: ExactTime, full: ExactTime, now: Int64) -> Quote {
    let present = ExactTime(whole: now, part: 0)
    let after = sum(max(full, present), price)
    let limit = sum(present, depth)
    if limit < after {
      let missing = difference(after, limit)
      return Quote(
        after: after, decision: .refused(retryAfter: missing.whole &+ (missing.part > 0 ? 1 : 0)))
    }
    return Quote(
      after: after, decision: .allowed(remaining: wholeTokens(in: difference(limit, after))))
  }

  /// How many whole tokens a bucket holds that is full at `full`.
  func level(full: ExactTime, now: Int64) -> UInt64 {
    let present = ExactTime(whole: now, part: 0)
    let owed = max(full, present)
    let limit = sum(present, depth)
    return limit < owed ? 0 : wholeTokens(in: difference(limit, owed))
  }

  /// The debt of a bucket under another rate as a debt under this one: the same tokens, rounded up
  /// to the next part of a nanosecond.
  func debt(_ debt: ExactTime, from old: TokenBucketRate) -> ExactTime {
    let units = UInt128(debt.whole.magnitude) * UInt128(old.numerator) + UInt128(debt.part)
    let (tokens, rest) = units.quotientAndRemainder(dividingBy: UInt128(old.denominator))
    let restUnits = (rest * UInt128(denominator) + UInt128(old.denominator) - 1)
    let (product, overflow) = tokens.multipliedReportingOverflow(by: UInt128(denominator))
    let parts = product.addingReportingOverflow(restUnits / UInt128(old.denominator))
    let (whole, part) = parts.partialValue.quotientAndRemainder(dividingBy: UInt128(numerator))
    guard !overflow, !parts.overflow, whole < UInt128(Self.longestDebt) else {
      return ExactTime(whole: Self.longestDebt, part: 0)
    }
    return ExactTime(whole: Int64(whole), part: UInt64(part))
  }

  /// A time later by a duration.
  @inline(__always)
  func sum(_ time: ExactTime, _ duration: ExactTime) -> ExactTime {
    // Both parts are below 2⁴⁰, both wholes far from the end (see `longestDebt`).
    let part = time.part &+ duration.part
    let carries = part >= numerator
    return ExactTime(
      whole: time.whole &+ duration.whole &+ (carries ? 1 : 0),
      part: carries ? part &- numerator : part)
  }

  /// How much later `time` is than `earlier`, which it must not precede.
  @inline(__always)
  func difference(_ time: ExactTime, _ earlier: ExactTime) -> ExactTime {
    let borrows = time.part < earlier.part
    return ExactTime(
      whole: time.whole &- earlier.whole &- (borrows ? 1 : 0),
      part: borrows ? time.part &+ numerator &- earlier.part : time.part &- earlier.part)
  }

  /// How many tokens come back in a duration, rounded down.
  @inline(__always)
  private func wholeTokens(in duration: ExactTime) -> UInt64 {
    let wide = duration.whole.magnitude.multipliedFullWidth(by: numerator)
    let (low, carry) = wide.low.addingReportingOverflow(duration.part)
    if wide.high == 0 && !carry { return low / denominator }
    let units = UInt128(wide.high) << 64 + UInt128(wide.low) + UInt128(duration.part)
    return UInt64(truncatingIfNeeded: units / UInt128(denominator))
  }
}

/// A time, or a duration, in whole nanoseconds and parts of one; how many parts make one is the
/// numerator of the rate that it belongs to.
struct ExactTime: Sendable, Equatable, Comparable {
  var whole: Int64
  var part: UInt64

  @inline(__always)
  static func < (left: ExactTime, right: ExactTime) -> Bool {
    left.whole < right.whole || left.whole == right.whole && left.part < right.part
  }
}

/// What a bucket would say, and what it would then be.
struct Quote {
  /// When it would be full.
  var after: ExactTime
  var decision: LimitDecision
}

/// What a limit says to a request.
package enum LimitDecision: Sendable, Equatable {
  /// It may pass; so many whole tokens are left.
  case allowed(remaining: UInt64)
  /// It may not. The same request would pass after so many nanoseconds if nobody else took tokens
  /// meanwhile; `Int64.max` if it costs more than a full bucket holds.
  case refused(retryAfter: Int64)
}

private func greatestCommonDivisor(_ first: UInt64, _ second: UInt64) -> UInt64 {
  var (larger, smaller) = (first, second)
  while smaller != 0 { (larger, smaller) = (smaller, larger % smaller) }
  return larger
}
