package import Bytes
internal import Synchronization

/// A token bucket for each key that all processes of a region spend from; see BudgetShare.swift.
///
/// Decisions take no longer than others do, but where each request is to be decided on by the engine
/// (`isExact`). Who talks to the engine takes reports and gives back what it answers; `listen` says when.
package final class RegionalLimiter: Sendable {
  private let stripes: InlineArray<64, Mutex<BudgetTable>>
  private let stripeMask: UInt64
  /// Whether the engine is asked for each request.
  package let isExact: Bool
  /// How long a request waits for it then, nanoseconds.
  package let timeout: Int64
  /// What is done without it.
  package let fallback: BudgetFallback
  private let gone = Atomic<Bool>(false)
  private let shareBits: Atomic<UInt64>
  private let saltWord = Atomic<UInt64>(0)
  private let hasNews = Atomic<Bool>(false)
  private struct Bell {
    var body: (@Sendable () -> Void)?
  }
  /// In a structure: a mutex of a function itself leaves functions around it with each look.
  private let bell = Mutex(Bell())
  let asks = Mutex(BudgetAsks())
  // As clients are told of it.
  private let toldBurst: Atomic<UInt64>
  private let toldDepth: Atomic<Int64>

  /// The part of the budget that a process takes for its own before it knows how many there are.
  package static var firstShare: Double { 0.1 }

  /// A limit whose tables have at most `maxKeys` keys (at least one).
  package init(
    rate: TokenBucketRate, maxKeys: Int, isExact: Bool = false, timeout: Int64 = 100_000_000,
    fallback: BudgetFallback = .share
  ) {
    let keys = max(maxKeys, 1)
    var count = 1
    while count < 64 && keys / (count * 2) >= 64 { count *= 2 }
    let capacity = keys / count
    stripes = InlineArray { Mutex(BudgetTable(capacity: capacity, rate: rate, stripe: $0)) }
    stripeMask = UInt64(count - 1)
    self.isExact = isExact
    self.timeout = timeout
    self.fallback = fallback
    shareBits = Atomic(Self.firstShare.bitPattern)
    toldBurst = Atomic(rate.burst)
    toldDepth = Atomic(rate.depth.roundedUp)
  }

  private func stripe(of hash: Hash128) -> Int {
    Int(truncatingIfNeeded: BucketKey(hash).spread &>> 12 & stripeMask)
  }

  /// Calls `body` with the key's stripe, locked.
  func withTable<Result>(of hash: Hash128, _ body: (inout BudgetTable) -> Result) -> Result {
    stripes[stripe(of: hash)].withLock { body(&$0) }
  }

  // MARK: Standing

  /// Whether the engine is gone: for as long as it is, `fallback` counts.
  package var isGone: Bool {
    get { gone.load(ordering: .relaxed) }
    set { gone.store(newValue, ordering: .relaxed) }
  }

  /// The part of the budget that is this process' own: above 0, at most 1.
  package var share: Double {
    get { Double(bitPattern: shareBits.load(ordering: .relaxed)) }
    set { shareBits.store(min(max(newValue, 1e-6), 1).bitPattern, ordering: .relaxed) }
  }

  /// What makes keys of this region's processes one: a number that all of them have. 0: not known yet.
  package var salt: UInt64 {
    get { saltWord.load(ordering: .relaxed) }
    set { saltWord.store(newValue, ordering: .relaxed) }
  }

  /// What keys are hashed with, in all processes of the region alike.
  package var hash: SipHash { SipHash(key: Hash128(low: salt, high: 0x7765_6972_2D62_7564)) }

  var standing: BudgetStanding {
    BudgetStanding(isGone: isGone, isExact: isExact, fallback: fallback, share: share)
  }

  // MARK: Deciding

  /// Takes `cost` tokens, or refuses. Where the engine is to be asked for each request this does not: it
  /// takes what is at hand.
  package func decide(key: Hash128, now: Int64, cost: UInt64 = 1) -> LimitDecision {
    var standing = standing
    standing.isExact = false
    let (decision, isNews) = withTable(of: key) { table in
      let place = table.place(of: key, now: now)
      let isNews = table.want(place, cost, now: now)
      let source = table.source(place, cost, standing, now: now)
      if case .missing(let wait) = source {
        table.tally.refused &+= 1
        return (LimitDecision.refused(retryAfter: wait), isNews)
      }
      table.take(place, cost, from: source, standing, now: now)
      table.tally.allowed &+= 1
      let left = table.balance(place, standing, now: now).remaining
      return (LimitDecision.allowed(remaining: left), isNews)
    }
    if isNews { ring() }
    return decision
  }

  /// Gives tokens back.
  package func refund(key: Hash128, cost: UInt64, now: Int64) {
    guard cost > 0 else { return }
    let standing = standing
    withTable(of: key) { table in
      guard let place = table.find(key) else { return }
      table.refund(place, cost, standing, now: now)
    }
  }

  /// Takes tokens, be it more than there are: what was found out too late to refuse.
  package func charge(key: Hash128, cost: UInt64, now: Int64) {
    guard cost > 0 else { return }
    let standing = standing
    let isNews = withTable(of: key) { table in
      table.charge(table.place(of: key, now: now), cost, standing, now: now)
    }
    if isNews { ring() }
  }

  /// Fills the key's bucket, here at once and in the region when the engine hears of it.
  package func forgive(key: Hash128, now: Int64) -> Bool {
    let isKnown: Bool? = withTable(of: key) { table in
      table.find(key).map { table.forgive($0, now: now) }
    }
    if isKnown != nil { ring() }
    return isKnown != nil
  }

  // MARK: Telling

  /// Calls `body`, on whichever thread, when there is something to be told and was not before.
  package func listen(_ body: (@Sendable () -> Void)?) { bell.withLock { $0.body = body } }

  /// Says that there is something to be told.
  func ring() {
    guard !hasNews.exchange(true, ordering: .acquiringAndReleasing) else { return }
    bell.withLock { $0.body }?()
  }

  /// Who listens has come: what is new from now on rings again.
  func isHeard() { hasNews.store(false, ordering: .sequentiallyConsistent) }

  /// What the engine is to be told now, `most` keys at most, and when there will be more to tell, unless
  /// something happens before (`Int64.max`: never).
  package func takeReports(_ most: Int, now: Int64) -> (reports: [BudgetReport], next: Int64) {
    isHeard()
    let standing = standing
    var reports: [BudgetReport] = []
    var next = Int64.max
    for stripe in 0...Int(stripeMask) {
      let due = stripes[stripe].withLock {
        $0.takeReports(
          most, stripe: UInt32(stripe), standing, now: now, into: &reports)
      }
      next = min(next, due)
    }
    return (reports, next)
  }

  /// What requests wanted since the last call.
  package func takeWanted() -> UInt64 {
    var sum: UInt64 = 0
    for stripe in 0...Int(stripeMask) { sum &+= stripes[stripe].withLock { $0.takeWanted() } }
    return sum
  }

  /// What the engine has answered to a report; nil: nothing, and whether it has heard nobody knows. If a
  /// request waits for it, who it is.
  package func hear(_ answer: BudgetAnswer?, to report: BudgetReport, now: Int64) -> DueDeparture? {
    if report.isExact { return hearExactly(answer, to: report, now: now) }
    guard report.stripe <= stripeMask else { return nil }
    let standing = standing
    stripes[Int(report.stripe)].withLock { $0.hear(answer, to: report, standing, now: now) }
    return nil
  }

  // MARK: Tuning and figures

  /// The rate and burst of the region.
  package var rate: TokenBucketRate { stripes[0].withLock { $0.terms.rate } }

  /// What a token costs, how far ahead the engine's time may be, and how far it can come to be, all in
  /// nanoseconds, for `pops` processes.
  package func terms(pops: Int) -> (price: Double, depth: Int64, cap: Int64) {
    let terms = stripes[0].withLock { $0.terms }
    let ones = terms.time(Double(max(pops, 1)))
    return (terms.price, terms.depth, min(2 &* min(terms.depth, 1 << 60) &+ ones, 1 << 61))
  }

  /// How long what is leased may be spent, nanoseconds.
  package var lease: Int64 { stripes[0].withLock { $0.terms.lease } }

  /// Goes on at another rate from the next decision on.
  package func setRate(_ rate: TokenBucketRate) {
    for stripe in 0...Int(stripeMask) { stripes[stripe].withLock { $0.change(to: rate) } }
    toldBurst.store(rate.burst, ordering: .relaxed)
    toldDepth.store(rate.depth.roundedUp, ordering: .relaxed)
  }

  /// A bucket's tokens, and the nanoseconds in which they all come back.
  var policy: (quota: UInt64, window: Int64) {
    (toldBurst.load(ordering: .relaxed), toldDepth.load(ordering: .relaxed))
  }

  /// How many keys are remembered.
  package var keys: Int { Int(clamping: sum { UInt64($0.count) }) }
  /// Bytes that the tables take.
  package var bytes: Int { Int(clamping: sum { UInt64($0.bytes) }) }
  /// Tokens that the engine has leased to this process.
  package var leased: UInt64 { sum { $0.leased } }
  /// Tokens that were spent of this process' share.
  package var advanced: UInt64 { sum { $0.advanced } }

  /// What has been decided.
  package var tally: LimitTally {
    var tally = LimitTally()
    for stripe in 0...Int(stripeMask) { stripes[stripe].withLock { tally.add($0.tally) } }
    return tally
  }

  private func sum(_ figure: (borrowing BudgetTable) -> UInt64) -> UInt64 {
    var sum: UInt64 = 0
    for stripe in 0...Int(stripeMask) { sum &+= stripes[stripe].withLock { figure($0) } }
    return sum
  }
}
