// One stripe of a limiter: a bounded table of buckets by key, and the overflow bucket.
//
// An open-addressing table of 32-byte places, at most three quarters full, probed in a line. It grows
// by two fifths at a time, so a key takes between 43 and 60 bytes, and never beyond `capacity` keys.
//
//   place   16 bytes key · 8 bytes the time at which the bucket is full, whole nanoseconds ·
//           8 bytes: parts of a nanosecond (40 bits) and, on top, the parity of the rate's era
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
// TokenBucketRate.swift). Beyond `clockTolerance` the stripe believes the new time and takes all its
// times along, so that every debt is as large as before.

internal import Bytes

/// A key, spread: SipHash's output is, but a caller's own number need not be.
struct BucketKey {
  let low: UInt64
  /// Never 0, which marks a free place.
  let high: UInt64

  @inline(__always)
  init(_ hash: Hash128) {
    low = hash.low
    high = hash.high | 1
  }

  @inline(__always)
  init(low: UInt64, high: UInt64) {
    self.low = low
    self.high = high
  }

  /// Its top bits choose the place, bits 12 to 19 the stripe.
  @inline(__always)
  var spread: UInt64 { (low ^ (high &<< 32 | high &>> 32)) &* 0x9E37_79B9_7F4A_7C15 }
}

/// One stripe; see the top of this file.
struct BucketTable: ~Copyable {
  private struct Place {
    var low: UInt64 = 0
    var high: UInt64 = 0
    var whole: Int64 = 0
    var partAndEra: UInt64 = 0

    @inline(__always) var isFree: Bool { high == 0 }
    @inline(__always) var era: UInt64 { partAndEra &>> 63 }
    @inline(__always) var full: ExactTime {
      ExactTime(whole: whole, part: partAndEra & (1 << 63 - 1))
    }
    @inline(__always) mutating func set(full: ExactTime, era: UInt64) {
      whole = full.whole
      partAndEra = full.part | era &<< 63
    }
  }

  /// The most keys.
  let capacity: Int
  /// How many keys there are.
  private(set) var count = 0
  private var places: [Place] = []
  private var hand = 0
  private var rate: TokenBucketRate
  private var formerRate: TokenBucketRate
  private var rateChanged: Int64 = 0
  private var era: UInt64 = 0
  private var overflow = ExactTime(whole: 0, part: 0)
  private var latest: Int64 = 0

  /// Places that a newcomer looks at for full buckets.
  private static var sweepLength: Int { 8 }
  /// How far the clock may go back before it is believed: more than workers ever disagree.
  static var clockTolerance: Int64 { 10_000_000_000 }

  /// An empty table.
  init(capacity: Int, rate: TokenBucketRate) {
    self.capacity = capacity
    self.rate = rate
    formerRate = rate
  }

  /// Bytes that the places take.
  var bytes: Int { places.capacity * MemoryLayout<Place>.stride }

  /// Takes `cost` tokens from the key's bucket, or says why not.
  mutating func decide(_ key: BucketKey, now: Int64, cost: UInt64) -> LimitDecision {
    guard let price = rate.price(of: cost) else { return .refused(retryAfter: .max) }
    let now = observe(now)
    if let place = find(key) {
      convert(place)
      var full = places[place].full
      let decision = rate.spend(price, from: &full, now: now)
      places[place].set(full: full, era: era)
      return decision
    }
    sweep(now: now)
    if count >= capacity { return rate.spend(price, from: &overflow, now: now) }
    var full = overflow
    let decision = rate.spend(price, from: &full, now: now)
    // A bucket that says what a newcomer's would say needs no place.
    if case .allowed = decision, cost > 0 { insert(key, full: full) }
    return decision
  }

  // MARK: Time and rate

  /// The time to go by.
  @inline(__always)
  private mutating func observe(_ now: Int64) -> Int64 {
    let now = min(max(now, 0), 1 << 61)
    if now >= latest {
      latest = now
    } else if latest &- now > Self.clockTolerance {
      moveBack(by: latest &- now)
      latest = now
    }
    return now
  }

  private mutating func moveBack(by duration: Int64) {
    for index in places.indices { places[index].whole &-= duration }
    overflow.whole &-= duration
    rateChanged &-= duration
  }

  /// Goes on at another rate. All buckets must have been converted to the present one.
  mutating func change(to rate: TokenBucketRate, now: Int64) {
    rateChanged = observe(now)
    formerRate = self.rate
    self.rate = rate
    era ^= 1
    overflow = converted(overflow)
  }

  /// Converts the buckets at `start` and the places behind it; returns where to go on, or nil.
  mutating func convertAll(from start: Int, limit: Int) -> Int? {
    guard start < places.count else { return nil }
    let end = min(start + limit, places.count)
    for index in start..<end where !places[index].isFree { convert(index) }
    return end < places.count ? end : nil
  }

  @inline(__always)
  private mutating func convert(_ index: Int) {
    guard places[index].era != era else { return }
    places[index].set(full: converted(places[index].full), era: era)
  }

  private func converted(_ full: ExactTime) -> ExactTime {
    let change = ExactTime(whole: rateChanged, part: 0)
    // Full before the change: rounded up, as parts mean something else now.
    guard change < full else {
      return ExactTime(whole: full.whole &+ (full.part > 0 ? 1 : 0), part: 0)
    }
    let debt = rate.debt(formerRate.difference(full, change), from: formerRate)
    return rate.sum(change, debt)
  }

  // MARK: Places

  @inline(__always)
  private func home(_ key: BucketKey) -> Int {
    Int(truncatingIfNeeded: key.spread.multipliedFullWidth(by: UInt64(places.count)).high)
  }

  @inline(__always)
  private func next(_ index: Int) -> Int { index &+ 1 == places.count ? 0 : index &+ 1 }

  @inline(__always)
  private func find(_ key: BucketKey) -> Int? {
    guard !places.isEmpty else { return nil }
    var index = home(key)
    while true {
      if places[index].high == key.high && places[index].low == key.low { return index }
      if places[index].isFree { return nil }
      index = next(index)
    }
  }

  private mutating func insert(_ key: BucketKey, full: ExactTime) {
    if (count + 1) * 4 > places.count * 3 { resize(to: max(8, places.count * 7 / 5 + 1)) }
    var place = Place(low: key.low, high: key.high)
    place.set(full: full, era: era)
    put(place)
    count += 1
  }

  private mutating func put(_ place: Place) {
    var index = home(BucketKey(low: place.low, high: place.high))
    while !places[index].isFree { index = next(index) }
    places[index] = place
  }

  private mutating func resize(to size: Int) {
    for index in places.indices where !places[index].isFree { convert(index) }
    let old = places
    places = Array(repeating: Place(), count: size)
    for place in old where !place.isFree { put(place) }
    hand = 0
  }

  /// Takes out what is full in the next few places.
  private mutating func sweep(now: Int64) {
    guard count > 0 else { return }
    for _ in 0..<Self.sweepLength {
      if hand >= places.count { hand = 0 }
      if places[hand].isFree {
        hand += 1
        continue
      }
      convert(hand)
      let full = places[hand].full
      if ExactTime(whole: now, part: 0) < full {
        hand += 1
      } else {
        overflow = max(overflow, full)
        remove(hand)
      }
    }
    if places.count > 64 && count * 8 < places.count { resize(to: max(64, count * 2)) }
  }

  /// Frees a place and closes the gap, so that no marker has to stay behind.
  private mutating func remove(_ index: Int) {
    var gap = index
    var candidate = next(index)
    while !places[candidate].isFree {
      let key = BucketKey(low: places[candidate].low, high: places[candidate].high)
      if distance(from: home(key), to: candidate) >= distance(from: gap, to: candidate) {
        convert(candidate)
        places[gap] = places[candidate]
        gap = candidate
      }
      candidate = next(candidate)
    }
    places[gap] = Place()
    count -= 1
  }

  private func distance(from: Int, to: Int) -> Int {
    to >= from ? to - from : to - from + places.count
  }
}
