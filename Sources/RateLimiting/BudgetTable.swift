// One stripe of a region's limit in one process: shares by key, and the list of those of whom the engine is
// to be told something.
//
// Who leaves: only a share of which nothing would be lost. A newcomer for whom there is then no place spends
// from the stripe's overflow, place 0, which it has in common with all others in that position, in every
// process: so nobody gains by flooding the table.

internal import Bytes

/// One stripe; see the top of this file.
struct BudgetTable: ~Copyable {
  private var keys: KeyTable
  private var shares: [BudgetShare]
  private var free: [UInt32] = []
  private var listed: [UInt32] = []
  private var generation: UInt32 = 1
  private(set) var terms: BudgetTerms
  /// What has been decided here.
  var tally = LimitTally()
  /// Tokens that were leased, that were spent of the share, and that requests wanted.
  private(set) var leased: UInt64 = 0
  private(set) var advanced: UInt64 = 0
  private var wanted: UInt64 = 0

  init(capacity: Int, rate: TokenBucketRate, stripe: Int) {
    keys = KeyTable(capacity: max(capacity, 1))
    terms = BudgetTerms(rate)
    shares = [BudgetShare(Hash128(low: 0, high: UInt64(stripe)), generation: 0)]
  }

  /// How many keys there are.
  var count: Int { keys.count }
  /// Bytes that they take.
  var bytes: Int { keys.bytes + shares.capacity * MemoryLayout<BudgetShare>.stride }

  /// Goes on at another rate. Times stay: a bucket that was full in a second is so afterwards.
  mutating func change(to rate: TokenBucketRate) { terms = BudgetTerms(rate) }

  // MARK: Shares

  /// The place of a key's share, which is made if it is not there.
  mutating func place(of hash: Hash128, now: Int64) -> Int {
    let key = BucketKey(hash)
    if let index = keys.find(key) { return Int(keys[index].first) }
    sweep(now: now)
    guard keys.count < keys.capacity else { return 0 }
    generation &+= 1
    let share = BudgetShare(hash, generation: generation)
    let place: UInt32
    if let old = free.popLast() {
      place = old
      shares[Int(old)] = share
    } else {
      place = UInt32(truncatingIfNeeded: shares.count)
      shares.append(share)
    }
    keys.insert(key, KeyState(first: UInt64(place), second: 0))
    return Int(place)
  }

  /// The place of a key's share; nil if there is none.
  func find(_ hash: Hash128) -> Int? {
    keys.find(BucketKey(hash)).map { Int(keys[$0].first) }
  }

  private mutating func sweep(now: Int64) {
    guard keys.count > 0 else { return }
    for _ in 0..<KeyTable.sweepLength {
      guard let index = keys.underHand() else { return }
      guard !keys.isFree(index) else {
        keys.moveHand()
        continue
      }
      let place = keys[index].first
      if shares[Int(place)].isIdle(terms, now: now) {
        keys.remove(index)
        free.append(UInt32(truncatingIfNeeded: place))
      } else {
        keys.moveHand()
      }
    }
    if keys.isSparse { keys.shrink() }
  }

  /// Where a request's tokens would come from.
  func source(
    _ place: Int, _ cost: UInt64, _ standing: BudgetStanding, now: Int64
  ) -> BudgetShare.Source { shares[place].source(cost, terms, standing, now: now) }

  /// Takes a request's tokens.
  mutating func take(
    _ place: Int, _ cost: UInt64, from source: BudgetShare.Source, _ standing: BudgetStanding,
    now: Int64
  ) {
    if case .share = source { advanced &+= cost }
    shares[place].take(cost, from: source, terms, standing, now: now)
  }

  /// Notes that tokens are wanted; whether the engine has news to hear that it did not have before.
  mutating func want(_ place: Int, _ cost: UInt64, now: Int64) -> Bool {
    wanted &+= cost
    shares[place].want(cost, now: now)
    return list(place)
  }

  /// Counts tokens that are wanted of the engine itself.
  mutating func countWanted(_ cost: UInt64) { wanted &+= cost }

  /// Takes tokens, be it more than there are.
  mutating func charge(
    _ place: Int, _ cost: UInt64, _ standing: BudgetStanding, now: Int64
  ) -> Bool {
    shares[place].charge(cost, terms, standing, now: now)
    return list(place)
  }

  /// Gives tokens back.
  mutating func refund(_ place: Int, _ cost: UInt64, _ standing: BudgetStanding, now: Int64) {
    shares[place].refund(cost, terms, standing, now: now)
  }

  /// Makes a bucket full.
  mutating func forgive(_ place: Int, now: Int64) -> Bool {
    shares[place].forgive(now: now)
    return list(place)
  }

  /// Tokens at hand, and in how many nanoseconds the region's bucket is full.
  func balance(
    _ place: Int, _ standing: BudgetStanding, now: Int64
  ) -> (remaining: UInt64, fullAfter: Int64) {
    (shares[place].level(terms, standing, now: now), shares[place].fullAfter(now: now))
  }

  /// Adds tokens that came too late for the request that wanted them.
  mutating func keep(_ tokens: UInt64, of hash: Hash128, since time: Int64, now: Int64) {
    guard let place = find(hash) else { return }
    shares[place].lease(tokens, until: time &+ terms.lease, now: now)
  }

  // MARK: Telling

  private mutating func list(_ place: Int) -> Bool {
    guard !shares[place].isListed, !shares[place].isUnderWay else { return false }
    shares[place].isListed = true
    listed.append(UInt32(truncatingIfNeeded: place))
    return true
  }

  /// What requests wanted since the last call.
  mutating func takeWanted() -> UInt64 {
    defer { wanted = 0 }
    return wanted
  }

  /// Appends what is to be told, `most` at most; when there will be more, or `Int64.max`.
  mutating func takeReports(
    _ most: Int, stripe: UInt32, _ standing: BudgetStanding, now: Int64,
    into reports: inout [BudgetReport]
  ) -> Int64 {
    var kept = 0
    var next = Int64.max
    for index in listed.indices {
      let place = listed[index]
      var news = BudgetShare.News.later(now)
      if reports.count < most {
        news = shares[Int(place)].takeNews(terms, standing, now: now)
      }
      switch news {
      case .later(let time):
        next = min(next, time)
        listed[kept] = place
        kept += 1
        continue
      case .none: break
      case .report(let charge, let want, let back, let end):
        let share = shares[Int(place)]
        reports.append(
          BudgetReport(
            key: share.key, charge: charge, want: want, back: back, backEnd: end, least: 0,
            time: now, place: place, stripe: stripe, generation: share.generation, isExact: false))
      }
      shares[Int(place)].isListed = false
    }
    listed.removeLast(listed.count - kept)
    return next
  }

  /// What the engine has answered to a report; nil: nothing.
  mutating func hear(
    _ answer: BudgetAnswer?, to report: BudgetReport, _ standing: BudgetStanding, now: Int64
  ) {
    let place = Int(report.place)
    guard place < shares.count, shares[place].generation == report.generation else { return }
    guard let answer else {
      shares[place].isUnheard(report, now: now)
      _ = list(place)
      return
    }
    leased &+= answer.granted
    shares[place].hear(answer, to: report, terms, standing, now: now)
    _ = list(place)
  }
}
