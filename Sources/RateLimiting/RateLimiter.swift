package import Bytes
internal import CLinux
internal import Synchronization

/// Reads the clock that decisions are made by, in nanoseconds. Called only where a time looks wrong.
package typealias LimitClock = @Sendable () -> Int64

/// A limit: a token bucket or a leaky bucket for each key, shared by all workers.
///
/// The keys are spread over up to 256 stripes, each behind its own lock, which is held for one
/// decision (some 30 ns, and a cache miss where there are many keys). Memory is bounded by `maxKeys`
/// at no more than 64 bytes each, and grows only as keys come. See BucketTable.swift for who leaves,
/// and what then; LeakyBucket.swift for those who wait.
package final class RateLimiter: Sendable {
  /// A stripe with its lock, on cache lines of its own.
  private struct Stripe: ~Copyable, Sendable {
    let table: Mutex<BucketTable>
    /// Where the places were when it was last looked at, for prefetching without the lock.
    let address = Atomic<UInt>(0)
    let size = Atomic<Int>(0)
    private let padding: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) =
      (0, 0, 0, 0, 0, 0, 0, 0)

    init(capacity: Int, rate: TokenBucketRate, hasLines: Bool, clock: LimitClock?) {
      table = Mutex(
        BucketTable(capacity: capacity, rate: rate, hasLines: hasLines, clock: clock))
    }
  }

  private let stripes: InlineArray<256, Stripe>
  private let stripeMask: UInt64
  private let hash: SipHash
  private let changing = Mutex(())
  private let queueLimit: Atomic<UInt32>
  // The rate as clients are told of it, so that telling them takes no lock. Read one by one: for the
  // moment of a change, an old burst may stand beside a new time.
  private let toldBurst: Atomic<UInt64>
  private let toldDepth: Atomic<Int64>
  private let toldTokens: Atomic<UInt64>
  private let toldPeriod: Atomic<Int64>

  /// A limit of token buckets that remembers at most `maxKeys` keys (at least one).
  ///
  /// `secret` keys the hash of `key(addressHigh:addressLow:)`, so that nobody outside can choose
  /// addresses that fall on each other. Without a `clock` each time is believed that is given.
  package convenience init(
    rate: TokenBucketRate, maxKeys: Int, secret: Hash128, clock: LimitClock? = nil
  ) {
    self.init(rate, maxKeys, secret, hasLines: false, clock)
  }

  private init(
    _ rate: TokenBucketRate, _ maxKeys: Int, _ secret: Hash128, hasLines: Bool,
    _ clock: LimitClock?
  ) {
    let keys = max(maxKeys, 1)
    // Few keys in many stripes would leave some full while others are empty.
    var count = 1
    while count < 256 && keys / (count * 2) >= 64 { count *= 2 }
    let capacity = keys / count
    stripes = InlineArray { _ in
      Stripe(capacity: capacity, rate: rate, hasLines: hasLines, clock: clock)
    }
    stripeMask = UInt64(count - 1)
    hash = SipHash(key: secret)
    queueLimit = Atomic(0)
    toldBurst = Atomic(rate.burst)
    toldDepth = Atomic(rate.depth.roundedUp)
    toldTokens = Atomic(rate.tokens)
    toldPeriod = Atomic(rate.period)
  }

  /// A limit of leaky buckets: `tokens` in `period` leave, evenly spaced, and at most `queue` wait
  /// at each key. Nil for a rate that `TokenBucketRate` refuses.
  package convenience init?(
    leaking tokens: UInt64, per period: Int64, queue: UInt32, maxKeys: Int, secret: Hash128,
    clock: LimitClock? = nil
  ) {
    guard let rate = TokenBucketRate(tokens: tokens, per: period, burst: 1) else { return nil }
    self.init(rate, maxKeys, secret, hasLines: true, clock)
    queueLimit.store(queue, ordering: .relaxed)
  }

  @inline(__always)
  private func stripe(of key: BucketKey) -> Int {
    Int(truncatingIfNeeded: key.spread &>> 12 & stripeMask)
  }

  /// Calls `body` with the key's stripe, locked, and its number.
  @inline(__always)
  func withTable<Result>(
    of key: BucketKey, _ body: (inout BucketTable, UInt32) -> Result
  ) -> Result {
    let number = stripe(of: key)
    return stripes[number].table.withLock { table in
      let size = table.keys.size
      let result = body(&table, UInt32(truncatingIfNeeded: number))
      if table.keys.size != size {
        stripes[number].address.store(table.keys.address, ordering: .relaxed)
        stripes[number].size.store(table.keys.size, ordering: .relaxed)
      }
      return result
    }
  }

  /// Takes `cost` tokens from the key's bucket, or refuses and leaves the bucket as it is.
  ///
  /// `now` is a monotonic clock in nanoseconds; workers' clocks may disagree. A cost of 0 only asks.
  package func decide(key: Hash128, now: Int64, cost: UInt64 = 1) -> LimitDecision {
    let key = BucketKey(key)
    return withTable(of: key) { table, _ in table.decide(key, now: now, cost: cost) }
  }

  /// Asks the processor for the cache line of a key that is about to be decided on. Worth it if
  /// other work lies between.
  package func prefetch(key: Hash128) {
    let key = BucketKey(key)
    let number = stripe(of: key)
    let size = stripes[number].size.load(ordering: .relaxed)
    guard size > 0 else { return }
    // A pair that does not match is a useless prefetch, and nothing else.
    let home = UInt(bitPattern: KeyTable.home(key, size: size)) &* 32
    weir_prefetch(stripes[number].address.load(ordering: .relaxed) &+ home)
  }

  /// The key of a client's address: two big-endian words, IPv4 as ::ffff:a.b.c.d. An IPv6 client
  /// counts with its whole /64, which is what one customer gets (RFC 6177).
  package func key(addressHigh: UInt64, addressLow: UInt64) -> Hash128 {
    let isIPv4 = addressHigh == 0 && addressLow &>> 32 == 0xFFFF
    return isIPv4 ? hash.hash(4, addressLow) : hash.hash(6, addressHigh)
  }

  /// Gives `cost` tokens back that were taken in the same turn, so that nothing of them has come back by
  /// itself. `isOverflow`: they were taken from what all keys share that have no place.
  package func refund(key: Hash128, cost: UInt64, isOverflow: Bool = false, now: Int64) {
    guard cost > 0 else { return }
    let key = BucketKey(key)
    withTable(of: key) { table, _ in
      table.refund(key, cost: cost, isOverflow: isOverflow, now: now)
    }
  }

  /// Gives `cost` tokens back that a request took earlier, as far as they have not come back by themselves.
  func refund(key: Hash128, cost: UInt64, share: BucketShare, isOverflow: Bool, now: Int64) {
    guard cost > 0 else { return }
    let key = BucketKey(key)
    withTable(of: key) { table, _ in
      table.refund(key, cost: cost, share: share, isOverflow: isOverflow, now: now)
    }
  }

  /// Takes `cost` tokens, be it more than the bucket holds: what was found out too late to refuse.
  package func charge(key: Hash128, cost: UInt64, now: Int64) {
    guard cost > 0 else { return }
    let key = BucketKey(key)
    withTable(of: key) { table, _ in table.charge(key, cost: cost, now: now) }
  }

  /// How many tokens the key has left, and in how many nanoseconds it has all again.
  package func balance(key: Hash128, now: Int64) -> (remaining: UInt64, fullAfter: Int64) {
    let key = BucketKey(key)
    return withTable(of: key) { table, _ in table.balance(key, now: now) }
  }

  /// Fills the key's bucket, as an operator asks; whether there was something to fill.
  package func forgive(key: Hash128, now: Int64) -> Bool {
    let key = BucketKey(key)
    return withTable(of: key) { table, _ in table.forgive(key, now: now) }
  }

  // MARK: Leaky buckets

  /// How many may wait at a key. A change counts for those who come from then on.
  package var queue: UInt32 {
    get { queueLimit.load(ordering: .relaxed) }
    set { queueLimit.store(newValue, ordering: .relaxed) }
  }

  /// Lets a request leave, gives it a place in its key's line, or rejects it.
  ///
  /// `worker` and `request` are the caller's own names, given back in `DueDeparture`.
  package func arrive(
    key: Hash128, worker: UInt32, request: UInt64, now: Int64, cost: UInt64 = 1
  ) -> LeakyDecision {
    let key = BucketKey(key)
    let queue = queue
    return withTable(of: key) { table, stripe in
      let arrival = table.checkArrival(key, cost: cost, queue: queue, now: now)
      return table.carryOut(arrival, key, stripe: stripe, worker: worker, request: request)
    }
  }

  /// Lets a request that waits leave, if it is first and its time has come.
  package func depart(_ place: WaitingPlace, now: Int64) -> LeakyDeparture {
    guard place.stripe < 256 else { return .isGone }
    return stripes[Int(place.stripe)].table.withLock { $0.depart(place, now: now) }
  }

  /// Frees the place of a client that has left. Who has become first by that must be told.
  package func leave(_ place: WaitingPlace) -> DueDeparture? {
    guard place.stripe < 256 else { return nil }
    return stripes[Int(place.stripe)].table.withLock { $0.leave(place) }
  }

  // MARK: Tuning

  /// Goes on at another rate, from the next decision on, in all workers.
  ///
  /// What was spent stays spent: a key that owes so many tokens at `now` owes as many afterwards,
  /// even if that is more than a bucket now holds, and they come back at the new rate. Returns when
  /// all buckets are converted (some 30 ms for a million keys); decisions go on meanwhile. The first
  /// of each line has another time: the answer, to be told to their workers.
  @discardableResult
  package func setRate(_ rate: TokenBucketRate, now: Int64) -> [DueDeparture] {
    changing.withLock { _ in
      for index in stripes.indices {
        stripes[index].table.withLock { $0.change(to: rate, now: now) }
      }
      toldBurst.store(rate.burst, ordering: .relaxed)
      toldDepth.store(rate.depth.roundedUp, ordering: .relaxed)
      toldTokens.store(rate.tokens, ordering: .relaxed)
      toldPeriod.store(rate.period, ordering: .relaxed)
      var due: [DueDeparture] = []
      for index in stripes.indices {
        var next: Int? = 0
        while let start = next {
          next = stripes[index].table.withLock { $0.convertAll(from: start, limit: 128) }
        }
        due += stripes[index].table.withLock { $0.dueDepartures(stripe: UInt32(index)) }
      }
      return due
    }
  }

  /// A bucket's tokens, and the nanoseconds in which they all come back.
  var bucketPolicy: (quota: UInt64, window: Int64) {
    (toldBurst.load(ordering: .relaxed), toldDepth.load(ordering: .relaxed))
  }

  /// How many leave a leaky bucket in how many nanoseconds.
  var leakPolicy: (quota: UInt64, window: Int64) {
    (toldTokens.load(ordering: .relaxed), toldPeriod.load(ordering: .relaxed))
  }

  /// The rate that decisions go by.
  package var rate: TokenBucketRate { stripes[0].table.withLock { $0.rate } }

  // MARK: Figures

  /// How many keys are remembered. For figures, not for decisions.
  package var keys: Int { sum { $0.keys.count } }

  /// How many requests wait.
  package var waiting: Int { sum { $0.lines.count } }

  /// Bytes that the tables take.
  package var bytes: Int {
    sum { $0.keys.bytes } + MemoryLayout<InlineArray<256, Stripe>>.size
  }

  /// What has been decided.
  package var tally: LimitTally {
    var tally = LimitTally()
    for index in stripes.indices { stripes[index].table.withLock { tally.add($0.tally) } }
    return tally
  }

  private func sum(_ figure: (borrowing BucketTable) -> Int) -> Int {
    var sum = 0
    for index in stripes.indices { sum += stripes[index].table.withLock { figure($0) } }
    return sum
  }
}

extension BucketTable {
  /// Carries an arrival out, counts it, and says so.
  mutating func carryOut(
    _ arrival: Arrival, _ key: BucketKey, stripe: UInt32, worker: UInt32, request: UInt64
  ) -> LeakyDecision {
    switch arrival.outcome {
    case .departs:
      commitDeparture(arrival, key)
      tally.allowed &+= 1
      return .departs
    case .waits(let until, let isFirst):
      guard let occupant = join(arrival, key, worker: worker, request: request) else { break }
      tally.delayed &+= 1
      let place = WaitingPlace(
        stripe: stripe, place: occupant.place, generation: occupant.generation)
      return .waits(place, isFirst: isFirst, until: until)
    case .rejected(let retryAfter):
      tally.refused &+= 1
      return .rejected(retryAfter: retryAfter)
    }
    tally.refused &+= 1
    return .rejected(retryAfter: 1)
  }
}
