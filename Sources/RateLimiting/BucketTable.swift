// One stripe of a limiter: buckets by key, and the overflow bucket.
//
//   state   8 bytes the time at which the bucket is full, whole nanoseconds ·
//           8 bytes: parts of a nanosecond (40 bits), the mark (23 bits) and, on top, the parity of the
//           rate's era. The mark of a leaky bucket is the number of the line that waits at it, that of
//           any other how much was given back to it (see BucketShare.swift).
//
// Who leaves. Only a bucket that is full, that is one that says nothing a newcomer's would not say.
// Each newcomer looks at the next few places behind a hand that goes round, and takes out what is
// full there. A newcomer for whom there is then no place spends from the stripe's overflow bucket,
// which it shares with all others in that position; when a place is found later, its bucket starts
// where the overflow bucket stands. So nobody gains by flooding the table: who is in stays in, and
// who comes is, together with the flood, held to one bucket's rate. When a bucket leaves, the
// overflow bucket is moved up to where that stood: for a worker whose clock lags behind, the key may
// not have been full yet, and it must not come back better off.
//
// Change of rate. Debts are kept in time, and a token's price in time has changed. The stripe
// remembers the rate before and when it ended, and converts a bucket when it is next touched or
// moved; who changed the rate then walks through the table until all are converted, so that two
// rates are all that ever need to be known.
//
// The clock is monotonic, so that it goes back can only be a clock moved by hand, a machine restored
// from a snapshot, or workers that disagree by a little. A little needs no care (see
// TokenBucketRate.swift). Beyond `clockTolerance` it may still be a worker that has stalled in its turn and
// goes by the time at which that began: so the clock is read again, and only what that says is believed.
// Then the stripe takes all its times along, so that every debt is as large as before.
//
// A decision is two steps, `check` and `commit`, so that several limits can be asked before any is
// spent from; nothing else may happen to the stripe in between (the lock is held).

internal import Bytes

/// One stripe; see the top of this file.
struct BucketTable: ~Copyable {
  var keys: KeyTable
  // What a decision needs first, what it does not last.
  private(set) var rate: TokenBucketRate
  /// Whether these are leaky buckets, at which lines wait.
  private let hasLines: Bool
  /// What has been decided here.
  var tally = LimitTally()
  private var era: UInt64 = 0
  private var latest: Int64 = 0
  private(set) var overflow = ExactTime(whole: 0, part: 0)
  private var rateChanged: Int64 = 0
  /// Whether buckets of the era before may be left.
  private var isConverting = false
  private var formerRate: TokenBucketRate
  /// How often the rate has changed.
  private(set) var changes: UInt32 = 0
  /// How far times have been moved back in all.
  private(set) var movedBack: Int64 = 0
  /// The longest that what was taken from a bucket takes to come back.
  private var longestShare: ExactTime
  private var overflowMark: UInt32 = 0
  private let clock: LimitClock?
  /// Requests that wait, if this is a leaky bucket.
  var lines = WaitingLines()
  var overflowLine: UInt32 = 0

  /// How far the clock may go back before it is believed: more than workers ever disagree.
  static var clockTolerance: Int64 { 10_000_000_000 }

  /// An empty table.
  init(capacity: Int, rate: TokenBucketRate, hasLines: Bool, clock: LimitClock?) {
    keys = KeyTable(capacity: capacity)
    self.rate = rate
    self.hasLines = hasLines
    self.clock = clock
    formerRate = rate
    longestShare = rate.depth
  }

  /// Where a key's bucket is.
  enum Spot {
    /// In the table, at an index that is good until the table next changes.
    case place(Int)
    /// To be put in.
    case newcomer
    /// Together with all that the table has no room for.
    case overflow
  }

  /// A decision that has not been carried out.
  struct Check {
    var spot: Spot
    /// When the bucket will be full if it is.
    var after: ExactTime
    var decision: LimitDecision
  }

  /// What the key's bucket says to `cost` tokens, which cost `price`.
  @inline(__always)
  mutating func check(_ key: BucketKey, price: ExactTime, now: Int64) -> Check {
    let now = observe(now)
    let spot = find(key, now: now)
    let quote = rate.quote(price, full: full(at: spot), now: now)
    return Check(spot: spot, after: quote.after, decision: quote.decision)
  }

  /// Carries a check out.
  @inline(__always)
  mutating func commit(_ check: Check, _ key: BucketKey) { store(check.after, at: check.spot, key) }

  /// Takes `cost` tokens from the key's bucket, or says why not.
  mutating func decide(_ key: BucketKey, now: Int64, cost: UInt64) -> LimitDecision {
    guard let price = rate.price(of: cost) else {
      tally.refused &+= 1
      return .refused(retryAfter: .max)
    }
    let check = check(key, price: price, now: now)
    if case .allowed = check.decision {
      tally.allowed &+= 1
      if cost > 0 { commit(check, key) }
    } else {
      tally.refused &+= 1
    }
    return check.decision
  }

  /// Takes `cost` tokens, be it more than the bucket holds.
  mutating func charge(_ key: BucketKey, cost: UInt64, now: Int64) {
    let now = observe(now)
    let spot = find(key, now: now)
    var after = rate.sum(
      max(full(at: spot), ExactTime(whole: now, part: 0)), rate.debt(of: cost))
    let longest = ExactTime(whole: now &+ TokenBucketRate.longestDebt, part: 0)
    if longest < after { after = longest }
    store(after, at: spot, key)
  }

  /// Gives back what was taken in the same turn, so that nothing of it has come back by itself.
  mutating func refund(_ key: BucketKey, cost: UInt64, isOverflow: Bool, now: Int64) {
    _ = observe(now)
    guard let spot = isOverflow ? .overflow : present(key) else { return }
    store(rate.difference(full(at: spot), rate.debt(of: cost)), at: spot, key)
  }

  /// The key's place, if it has one.
  mutating func present(_ key: BucketKey) -> Spot? {
    guard let index = keys.find(key) else { return nil }
    convert(index)
    return .place(index)
  }

  /// How many tokens the key has left, and when it has all again (0: now).
  mutating func balance(_ key: BucketKey, now: Int64) -> (remaining: UInt64, fullAfter: Int64) {
    let now = observe(now)
    var full = overflow
    if let index = keys.find(key) {
      convert(index)
      full = fullTime(index)
    }
    let wait = max(full.whole &- now &+ (full.part > 0 ? 1 : 0), 0)
    return (rate.level(full: full, now: now), wait)
  }

  /// Makes the key's bucket full. Nobody who waits at it leaves before the first one's time.
  mutating func forgive(_ key: BucketKey, now: Int64) -> Bool {
    let now = ExactTime(whole: observe(now), part: 0)
    guard let spot = present(key) else { return false }
    store(now, at: spot, key)
    if !hasLines { advanceMark(by: BucketShare.most, at: spot) }
    return true
  }

  // MARK: A bucket

  /// Finds the key's bucket, or where it is to be.
  @inline(__always)
  mutating func find(_ key: BucketKey, now: Int64) -> Spot {
    if let index = keys.find(key) {
      convert(index)
      return .place(index)
    }
    sweep(now: now)
    return keys.count < keys.capacity ? .newcomer : .overflow
  }

  /// When a bucket is full.
  @inline(__always)
  func full(at spot: Spot) -> ExactTime {
    if case .place(let index) = spot { fullTime(index) } else { overflow }
  }

  @inline(__always)
  private func fullTime(_ index: Int) -> ExactTime {
    let state = keys[index]
    return ExactTime(whole: Int64(bitPattern: state.first), part: state.second & (1 << 40 - 1))
  }

  /// The line that waits at a bucket; 0 if none.
  func line(at spot: Spot) -> UInt32 {
    guard hasLines else { return 0 }
    return switch spot {
    case .place(let index): tag(index)
    case .newcomer: 0
    case .overflow: overflowLine
    }
  }

  /// The mark of a bucket that is not a leaky one.
  @inline(__always)
  func mark(at spot: Spot) -> UInt32 {
    switch spot {
    case .place(let index): tag(index)
    case .newcomer: 0
    case .overflow: overflowMark
    }
  }

  @inline(__always)
  private func tag(_ index: Int) -> UInt32 {
    UInt32(truncatingIfNeeded: keys[index].second &>> 40 & (1 << 23 - 1))
  }

  private mutating func setTag(_ tag: UInt32, _ index: Int) {
    let others = keys[index].second & ~(UInt64(1 << 23 - 1) &<< 40)
    keys[index].second = others | UInt64(tag) &<< 40
  }

  /// Notes that something was given back to a bucket that is in the table or the overflow bucket.
  mutating func note(givenBack time: ExactTime, at spot: Spot) {
    advanceMark(by: rate.marks(of: time), at: spot)
  }

  private mutating func advanceMark(by marks: UInt32, at spot: Spot) {
    let mark = BucketShare.mark(mark(at: spot), after: marks)
    switch spot {
    case .place(let index): setTag(mark, index)
    case .newcomer: break
    case .overflow: overflowMark = mark
    }
  }

  /// Names the line that waits at a bucket. A newcomer must have been put in before.
  mutating func setLine(_ line: UInt32, at spot: Spot) {
    switch spot {
    case .place(let index): setTag(line, index)
    case .newcomer: preconditionFailure("a line for a bucket that does not exist")
    case .overflow: overflowLine = line
    }
  }

  /// Says when a bucket is full.
  @inline(__always)
  mutating func store(_ full: ExactTime, at spot: Spot, _ key: BucketKey) {
    switch spot {
    case .place(let index):
      let line = keys[index].second & (UInt64(1 << 23 - 1) &<< 40)
      keys[index] = KeyState(
        first: UInt64(bitPattern: full.whole), second: full.part | line | era &<< 63)
    case .newcomer:
      if isConverting && keys.growsNext { convertEverything() }
      keys.insert(
        key, KeyState(first: UInt64(bitPattern: full.whole), second: full.part | era &<< 63))
    case .overflow: overflow = full
    }
  }

  /// Takes out what is full in the next few places.
  private mutating func sweep(now: Int64) {
    guard keys.count > 0 else { return }
    for _ in 0..<KeyTable.sweepLength {
      guard let index = keys.underHand() else { return }
      if keys.isFree(index) {
        keys.moveHand()
        continue
      }
      convert(index)
      let full = fullTime(index)
      if ExactTime(whole: now, part: 0) < full || !isForgettable(index, full, now: now) {
        keys.moveHand()
      } else {
        overflow = max(overflow, full)
        remove(index)
      }
    }
    if keys.isSparse {
      if isConverting { convertEverything() }
      keys.shrink()
    }
  }

  /// Whether nobody needs to know any more of a bucket than that it is full.
  private func isForgettable(_ index: Int, _ full: ExactTime, now: Int64) -> Bool {
    if hasLines { return tag(index) == 0 }
    // What was given back must be known for as long as more might be.
    return tag(index) == 0 || !(ExactTime(whole: now, part: 0) < rate.sum(full, longestShare))
  }

  private mutating func remove(_ index: Int) {
    if isConverting {
      // What closes the gap may pass the one who walks through the table.
      var behind = keys.next(index)
      while !keys.isFree(behind) {
        convert(behind)
        behind = keys.next(behind)
      }
    }
    keys.remove(index)
  }

  // MARK: Time and rate

  /// The time to go by.
  @inline(__always)
  mutating func observe(_ now: Int64) -> Int64 {
    let now = min(max(now, 0), 1 << 61)
    if now >= latest {
      latest = now
    } else if latest &- now > Self.clockTolerance {
      return readAgain(now)
    }
    return now
  }

  /// What the clock says to a time that lies far back; if it says the same, it is believed.
  @inline(never)
  private mutating func readAgain(_ now: Int64) -> Int64 {
    let now = clock.map { min(max($0(), 0), 1 << 61) } ?? now
    if latest &- now > Self.clockTolerance {
      moveBack(by: latest &- now)
      latest = now
    }
    latest = max(latest, now)
    return now
  }

  private mutating func moveBack(by duration: Int64) {
    movedBack &+= duration
    for index in 0..<keys.size where !keys.isFree(index) {
      keys[index].first &-= UInt64(bitPattern: duration)
    }
    overflow.whole &-= duration
    rateChanged &-= duration
  }

  /// Goes on at another rate. All buckets must have been converted to the present one.
  mutating func change(to rate: TokenBucketRate, now: Int64) {
    rateChanged = observe(now)
    formerRate = self.rate
    self.rate = rate
    changes &+= 1
    longestShare = max(rate.depth, rate.debt(of: formerRate.burst))
    era ^= 1
    isConverting = true
    overflow = converted(overflow)
  }

  /// Converts the buckets at `start` and the places behind it; returns where to go on, or nil.
  mutating func convertAll(from start: Int, limit: Int) -> Int? {
    let end = min(start + limit, keys.size)
    if start < end { for index in start..<end where !keys.isFree(index) { convert(index) } }
    if end < keys.size { return end }
    isConverting = false
    return nil
  }

  private mutating func convertEverything() { _ = convertAll(from: 0, limit: keys.size) }

  @inline(__always)
  private mutating func convert(_ index: Int) {
    guard keys[index].second &>> 63 != era else { return }
    let line = keys[index].second & (UInt64(1 << 23 - 1) &<< 40)
    let full = converted(fullTime(index))
    keys[index] = KeyState(
      first: UInt64(bitPattern: full.whole), second: full.part | line | era &<< 63)
  }

  /// A time under the rate before as one under this.
  func converted(_ full: ExactTime) -> ExactTime {
    let change = ExactTime(whole: rateChanged, part: 0)
    // Full before the change: rounded up, as parts mean something else now.
    guard change < full else {
      return ExactTime(whole: full.whole &+ (full.part > 0 ? 1 : 0), part: 0)
    }
    let debt = rate.debt(formerRate.difference(full, change), from: formerRate)
    return rate.sum(change, debt)
  }
}
