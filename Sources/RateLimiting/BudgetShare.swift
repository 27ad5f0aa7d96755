// What one process knows of a bucket that a whole region spends from, and what it may spend of it.
//
// The bucket itself is the engine's: one time, as in TokenBucketRate.swift, by the engine's clock. A request
// cannot wait for the engine, so each process spends from two things that it has at hand:
//
//   leases   tokens that the engine has taken from the bucket for this process. They are spent or, after
//            `BudgetTerms.lease`, gone: what nobody spends is nobody's, so that none is spent twice. For which
//            there is no use any more is given back before, as far as the bucket would still hold it.
//   share    a part of the bucket that is this process' own as long as it knows nothing better: a bucket
//            of a `share` of the rate and of the burst, whose level is that of the region's when it was last
//            heard of. What is spent so is told afterwards, and the engine takes it whether it is there or
//            not. Without an engine this is all there is, and the shares of all processes sum up to 1.
//
// The bound. Let B be the burst (or what comes back in a quarter of a second, if that is more), r the rate, W
// the length of a lease. All that is spent in [a, b] was leased in [a − W, b] or told later. The engine
// leases only as much as its bucket holds, so its time is never more than a bucket ahead of its clock, but
// for what was told that was not there: that is what processes spent who did not know of each other, at
// most their shares of a bucket (one token, where a share is less). So whatever the load, in any time T, no
// more is spent than
//
//     B + r × (T + W) + A,   A ≤ B + one for each process
//
// and A is paid back before anything else is leased: it is there once, not again and again. Where the load
// does not jump from one process to the next faster than they hear of it, A is nothing.
//
// What is given back must not come on top. A lease takes a stretch of the bucket's time that ends at `end`, in
// the order of leases; as that time passes, its tokens have come back by themselves. The engine takes back
// only those of which the stretch has not come yet, so in any time it leases no more, net, than without. As
// what others give back moves the stretches behind theirs, it counts all that was lately given back against
// it.

package import Bytes

/// What processes do when the engine is gone.
package enum BudgetFallback: UInt8, Sendable {
  /// Each goes on with its share of the rate and of the burst.
  case share
  /// Everything passes.
  case open
  /// Nothing does.
  case closed
}

/// The terms on which a bucket is shared.
struct BudgetTerms: Sendable {
  /// The region's rate and burst.
  var rate: TokenBucketRate
  /// What a token costs, in nanoseconds.
  var price: Double
  /// How far ahead of its clock the engine's time may be, in nanoseconds.
  var depth: Int64
  /// How long a lease lasts, in nanoseconds.
  var lease: Int64

  /// What a process is content to have at hand: for so many nanoseconds.
  static var horizon: Double { 200_000_000 }
  /// No key is told more often than each so many nanoseconds.
  static var interval: Int64 { 25_000_000 }
  /// Nothing may be spent longer than this after it was leased, or than two tokens take to come back.
  static var shortestLease: Int64 { 1_000_000_000 }
  /// Between two questions of a process the engine's bucket must not flow over.
  static var shallowest: Int64 { 250_000_000 }

  init(_ rate: TokenBucketRate) {
    self.rate = rate
    price = Double(rate.denominator) / Double(rate.numerator)
    depth = max(rate.depth.roundedUp, Self.shallowest)
    lease = max(Self.shortestLease, Int64(min(2 * price, 1e18)))
  }

  /// For how long after a request more are expected, in nanoseconds.
  var interest: Int64 { min(lease, 60_000_000_000) }

  /// What tokens cost in time.
  func time(_ tokens: Double) -> Int64 { Int64(min(max(tokens * price, 0), 1e18)) }

  /// The most that is leased at a time.
  var mostTokens: UInt64 { UInt64(Double(depth) / price) + 1 }
}

/// What a process says of a key to the engine, and wants of it.
package struct BudgetReport: Sendable, Equatable {
  /// Whose budget it is, the same in every process.
  package let key: Hash128
  /// Tokens that were spent and not told; negative: they are given back.
  package let charge: Int64
  /// Tokens that are wanted.
  package let want: UInt64
  /// Leased tokens that are given back, and the end of their stretch of the bucket's time, as the engine has
  /// told it.
  package let back: UInt64
  package let backEnd: Int64
  /// How many it must be, or none.
  package let least: UInt64
  /// When it was said (monotonic, nanoseconds).
  package let time: Int64
  /// Where the answer goes.
  let place: UInt32
  let stripe: UInt32
  let generation: UInt32
  let isExact: Bool

  /// The key as 32 hexadecimal digits.
  package var keyText: String {
    [key.high, key.low].map { word in
      let digits = String(word, radix: 16)
      return String(repeating: "0", count: 16 - digits.utf8.count) + digits
    }.joined()
  }
}

/// What the engine answers to a report.
package struct BudgetAnswer: Sendable, Equatable {
  /// Tokens that are leased.
  package let granted: UInt64
  /// In how many nanoseconds the region's bucket is full.
  package let fullAfter: Int64
  /// When that is by the engine's clock, in its unit: the end of what is leased. At least 1; 0: not known.
  package let end: Int64

  /// An answer.
  package init(granted: UInt64, fullAfter: Int64, end: Int64 = 0) {
    self.granted = granted
    self.fullAfter = fullAfter
    self.end = end
  }
}

/// A key's budget in one process; see the top of this file. Times are monotonic nanoseconds.
struct BudgetShare {
  var key: Hash128
  var generation: UInt32
  /// Whether it is in the list of those of whom something is to be told.
  var isListed = false
  /// Whether a report is on its way.
  var isUnderWay = false
  /// Whether an operator has made the bucket full.
  var isForgiven = false
  /// Leased tokens, the older and the younger ones, when they are gone, and `BudgetAnswer.end`.
  private var held: UInt64 = 0
  private var heldUntil: Int64 = 0
  private var heldEnd: Int64 = 0
  private var fresh: UInt64 = 0
  private var freshUntil: Int64 = 0
  private var freshEnd: Int64 = 0
  /// Tokens of the share that are spent and not told, and since when.
  private(set) var owed: UInt64 = 0
  private var owedSince: Int64 = 0
  /// When the own bucket is full.
  private var full: Int64 = 0
  /// When the region's is, as far as is known.
  private var region: Int64 = 0
  /// Tokens that requests wanted since the last report, and how many they want a second.
  private(set) var asked: UInt64 = 0
  private var pace = 0.0
  private var askedAt: Int64 = 0
  private var toldAt: Int64 = 0
  /// When it is worth asking again for what there was not.
  private var askAt: Int64 = 0

  init(_ key: Hash128, generation: UInt32) {
    self.key = key
    self.generation = generation
  }

  /// Where a request's tokens come from.
  enum Source {
    case older
    case younger
    case share
    /// The engine is gone, and that means that everything passes.
    case nowhere
    /// There are none; they may be there in so many nanoseconds.
    case missing(Int64)
    /// The engine is to be asked.
    case engine
  }

  // MARK: Spending

  /// Where the tokens for a request would come from.
  func source(_ cost: UInt64, _ terms: BudgetTerms, _ standing: BudgetStanding, now: Int64)
    -> Source
  {
    guard cost <= terms.rate.burst else { return .missing(.max) }
    if cost == 0 { return .nowhere }
    if held >= cost, now < heldUntil { return .older }
    if fresh >= cost, now < freshUntil { return .younger }
    if standing.isGone {
      switch standing.fallback {
      case .share: break
      case .open: return .nowhere
      case .closed: return .missing(1_000_000_000)
      }
    } else if standing.isExact {
      return .engine
    }
    let own = standing.own(Double(cost), terms)
    if full <= now || max(full, now) &+ own <= now &+ terms.depth { return .share }
    let wait =
      standing.isGone
      ? full &+ own &- terms.depth &- now : region &+ terms.time(Double(cost)) &- terms.depth &- now
    return .missing(max(wait, BudgetTerms.interval))
  }

  /// Takes the tokens from where `source` said.
  mutating func take(
    _ cost: UInt64, from source: Source, _ terms: BudgetTerms, _ standing: BudgetStanding,
    now: Int64
  ) {
    switch source {
    case .older: held -= cost
    case .younger: fresh -= cost
    case .share: charge(cost, terms, standing, now: now)
    case .nowhere, .missing, .engine: break
    }
  }

  /// Notes that tokens are wanted, whether there are any or not.
  mutating func want(_ cost: UInt64, now: Int64) {
    asked &+= cost
    askedAt = now
  }

  /// Takes tokens of the share, be it more than there are.
  mutating func charge(
    _ cost: UInt64, _ terms: BudgetTerms, _ standing: BudgetStanding, now: Int64
  ) {
    if owed == 0 { owedSince = now }
    owed &+= cost
    full = min(max(full, now), 1 << 61) &+ standing.own(Double(cost), terms)
    region = min(max(region, now), 1 << 61) &+ terms.time(Double(cost))
  }

  /// Gives tokens back that were taken a moment ago.
  mutating func refund(
    _ cost: UInt64, _ terms: BudgetTerms, _ standing: BudgetStanding, now: Int64
  ) {
    guard owed >= cost else { return lease(cost, until: now &+ terms.lease, now: now) }
    owed -= cost
    full &-= standing.own(Double(cost), terms)
    region &-= terms.time(Double(cost))
  }

  /// Makes the bucket full.
  mutating func forgive(now: Int64) {
    (full, region, owed, isForgiven) = (now, now, 0, true)
  }

  /// Adds leased tokens. The older ones keep their time; what comes to the younger ones has theirs.
  mutating func lease(_ tokens: UInt64, until: Int64, end: Int64 = 0, now: Int64) {
    if held == 0 || now >= heldUntil {
      (held, heldUntil, heldEnd) = (fresh, freshUntil, freshEnd)
      fresh = 0
    }
    guard tokens > 0 else { return }
    if fresh == 0 || now >= freshUntil { (fresh, freshUntil, freshEnd) = (0, until, end) }
    fresh &+= tokens
    freshEnd = min(freshEnd, end)
  }

  /// Leased tokens at hand.
  private func leased(_ now: Int64) -> UInt64 {
    (now < heldUntil ? held : 0) &+ (now < freshUntil ? fresh : 0)
  }

  /// Tokens at hand.
  func level(_ terms: BudgetTerms, _ standing: BudgetStanding, now: Int64) -> UInt64 {
    let leased = leased(now)
    let room = Double(now &+ terms.depth &- max(full, now))
    let own = standing.own(1, terms)
    return leased &+ (room <= 0 ? 0 : UInt64(room / Double(max(own, 1))))
  }

  /// In how many nanoseconds the region's bucket is full.
  func fullAfter(now: Int64) -> Int64 { max(region &- now, 0) }

  /// Whether nothing is lost if it is forgotten.
  func isIdle(_ terms: BudgetTerms, now: Int64) -> Bool {
    !isUnderWay && !isListed && owed == 0 && full <= now && region <= now
      && (held == 0 || now >= heldUntil) && (fresh == 0 || now >= freshUntil)
  }

  // MARK: Telling

  /// What is to be told.
  enum News {
    /// Nothing, and nothing is expected.
    case none
    /// Nothing before that time.
    case later(Int64)
    case report(charge: Int64, want: UInt64, back: UInt64, end: Int64)
  }

  /// What is to be told now; what it says counts as told.
  mutating func takeNews(_ terms: BudgetTerms, _ standing: BudgetStanding, now: Int64) -> News {
    if toldAt != 0, now &- toldAt < BudgetTerms.interval {
      return .later(toldAt &+ BudgetTerms.interval)
    }
    let wanted = wanted(terms, standing, now: now)
    let isWorthAsking = wanted > 0 && now >= askAt
    let (back, end) = takeSpare(terms, standing, now: now)
    guard owed > 0 || isForgiven || isWorthAsking || back > 0 else {
      let look = nextLook(terms, now: now)
      // Who was refused may come again when there is a token.
      if wanted > 0, askAt &- askedAt < terms.interest { return .later(min(askAt, look)) }
      measure(now)
      return look == .max ? .none : .later(look)
    }
    measure(now)
    var charge = isForgiven ? -Int64(clamping: terms.rate.burst &* 2 &+ 1_000) : 0
    charge += Int64(clamping: min(owed, payable(terms, standing, now: now)))
    (owed, isForgiven, isUnderWay) = (0, false, true)
    return .report(charge: charge, want: isWorthAsking ? wanted : 0, back: back, end: end)
  }

  /// Takes leased tokens for which there is no use: those of who is not asked any more, or by far not as
  /// often. And the end of the earliest stretch among them.
  private mutating func takeSpare(
    _ terms: BudgetTerms, _ standing: BudgetStanding, now: Int64
  ) -> (tokens: UInt64, end: Int64) {
    let leased = leased(now)
    guard leased > 0 else { return (0, 0) }
    let isOver = now &- usedAt(terms) >= terms.lease / 2
    let need = isOver ? 0 : max(1, (presentPace(now) * BudgetTerms.horizon / 1e9).rounded(.up))
    guard Double(leased) > 2 * need else { return (0, 0) }
    let spare = leased &- UInt64(need)
    var left = spare
    var end = Int64.max
    if now < freshUntil, freshEnd > 0, fresh > 0 {
      let part = min(left, fresh)
      (fresh, left, end) = (fresh - part, left - part, freshEnd)
    }
    if left > 0, now < heldUntil, heldEnd > 0, held > 0 {
      let part = min(left, held)
      (held, left, end) = (held - part, left - part, min(end, heldEnd))
    }
    return left == spare ? (0, 0) : (spare - left, end)
  }

  /// When somebody last asked, or the newest of what is leased was leased.
  private func usedAt(_ terms: BudgetTerms) -> Int64 {
    max(askedAt, (fresh > 0 ? freshUntil : heldUntil) &- terms.lease)
  }

  /// When it is to be seen whether what is leased is of use; `Int64.max`: there is nothing to see.
  private func nextLook(_ terms: BudgetTerms, now: Int64) -> Int64 {
    guard leased(now) > 0 else { return .max }
    let next = askedAt &+ Int64(BudgetTerms.horizon)
    if now < next { return next }
    let last = usedAt(terms) &+ terms.lease / 2
    return now < last ? last : .max
  }

  /// How much of what is owed is still to be paid: after a long time without an engine, what the share has
  /// not brought back since.
  private func payable(_ terms: BudgetTerms, _ standing: BudgetStanding, now: Int64) -> UInt64 {
    guard now &- owedSince > max(terms.depth, 2_000_000_000) else { return .max }
    let own = max(standing.own(1, terms), 1)
    return UInt64(max(full &- now, 0) / own) &+ 1
  }

  /// How many tokens requests want a second: of the last `horizon`, about.
  private func presentPace(_ now: Int64) -> Double {
    let part = toldAt == 0 ? 1 : min(1, Double(max(now &- toldAt, 0)) / BudgetTerms.horizon)
    let time = toldAt == 0 ? BudgetTerms.horizon : max(Double(now &- toldAt), BudgetTerms.horizon)
    return pace * (1 - part) + Double(asked) * 1e9 / time
  }

  private mutating func measure(_ now: Int64) {
    pace = presentPace(now)
    asked = 0
    toldAt = now
  }

  /// How many tokens more should be at hand: for the time until the next answer. One at least for whoever
  /// has asked lately.
  private func wanted(_ terms: BudgetTerms, _ standing: BudgetStanding, now: Int64) -> UInt64 {
    // Where each request is asked for, nothing is leased ahead.
    guard askedAt != 0, now &- askedAt < terms.interest, !standing.isExact else { return 0 }
    let need = max(1, (presentPace(now) * BudgetTerms.horizon / 1e9).rounded(.up))
    let level = level(terms, standing, now: now)
    let tokens = UInt64(min(need, Double(terms.mostTokens)))
    return tokens > level ? tokens - level : 0
  }

  /// The engine has answered.
  mutating func hear(
    _ answer: BudgetAnswer, to report: BudgetReport, _ terms: BudgetTerms,
    _ standing: BudgetStanding, now: Int64
  ) {
    isUnderWay = false
    lease(answer.granted, until: report.time &+ terms.lease, end: answer.end, now: now)
    let after = min(max(answer.fullAfter, 0), 1 << 60)
    region = now &+ after &+ terms.time(Double(owed))
    full = now &+ after &+ standing.own(Double(owed), terms)
    let isMet = answer.granted >= report.want
    askAt = isMet ? 0 : now &+ max(0, after &+ Int64(min(terms.price, 1e18)) &- terms.depth)
  }

  /// There was no answer; whether the engine has heard nobody knows. It is told again: paid twice is not
  /// spent twice.
  mutating func isUnheard(_ report: BudgetReport, now: Int64) {
    isUnderWay = false
    if report.charge > 0 {
      if owed == 0 { owedSince = report.time }
      owed &+= UInt64(report.charge)
    }
    if report.charge < 0 { isForgiven = true }
  }
}

/// How a process stands to the engine, as a decision needs it.
struct BudgetStanding: Sendable {
  /// Whether the engine is gone.
  var isGone: Bool
  var isExact: Bool
  var fallback: BudgetFallback
  /// The part of the rate and the burst that is this process' own, above 0 and at most 1.
  var share: Double

  /// What tokens cost in time of the own bucket.
  func own(_ tokens: Double, _ terms: BudgetTerms) -> Int64 {
    Int64(min(max(tokens * terms.price / share, 0), 1e18))
  }
}
