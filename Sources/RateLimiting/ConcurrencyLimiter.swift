package import Bytes
internal import Synchronization

/// The right to be in flight, to be given back once.
///
/// It cannot be copied, and `ConcurrencyLimiter.release` consumes it, so the compiler sees to it that
/// it is given back at most once; that it is given back at all is its holder's duty.
package struct ConcurrencyPermit: ~Copyable, Sendable {
  let key: Hash128
  let isOverflow: Bool
}

/// A limit of requests in flight, for each key.
///
/// A key with nothing in flight says nothing, and leaves when newcomers need its place. One for whom
/// there is no place is counted in its stripe's overflow count, together with all others in that
/// position, and held to one key's limit with them. A key that gets a place while that count is not
/// zero may be among them: until the count has been zero once, it counts as the key's own.
package final class ConcurrencyLimiter: Sendable {
  /// One stripe's counts; a key's state is (in flight, overflow period at its coming).
  struct Table: ~Copyable {
    var keys: KeyTable
    var overflow: UInt64 = 0
    /// How often the overflow count has come back to zero, plus one.
    var period: UInt64 = 1
    var tally = LimitTally()
  }

  private let stripes: InlineArray<64, Mutex<Table>>
  private let stripeMask: UInt64
  private let most: Atomic<UInt64>

  /// At most `limit` requests in flight for each of at most `maxKeys` keys (at least one).
  package init(limit: UInt64, maxKeys: Int) {
    let keys = max(maxKeys, 1)
    var count = 1
    while count < 64 && keys / (count * 2) >= 64 { count *= 2 }
    let capacity = keys / count
    stripes = InlineArray { _ in Mutex(Table(keys: KeyTable(capacity: capacity))) }
    stripeMask = UInt64(count - 1)
    most = Atomic(limit)
  }

  /// The most in flight. A change counts from the next decision on; what is in flight stays so.
  package var limit: UInt64 {
    get { most.load(ordering: .relaxed) }
    set { most.store(newValue, ordering: .relaxed) }
  }

  /// A permit for one more request, or nil.
  package func acquire(key: Hash128) -> ConcurrencyPermit? {
    let spread = BucketKey(key)
    let limit = limit
    let place: Spot? = withTable(of: spread) { table in
      let check = table.check(spread)
      guard check.inFlight < limit else {
        table.tally.refused &+= 1
        return nil
      }
      table.commit(check.spot, spread)
      return check.spot
    }
    guard let place else { return nil }
    let isOverflow = if case .overflow = place { true } else { false }
    return ConcurrencyPermit(key: key, isOverflow: isOverflow)
  }

  /// Gives a permit back.
  package func release(_ permit: consuming ConcurrencyPermit) {
    release(key: permit.key, isOverflow: permit.isOverflow)
  }

  func release(key: Hash128, isOverflow: Bool) {
    let key = BucketKey(key)
    withTable(of: key) { $0.release(key, isOverflow: isOverflow) }
  }

  /// How many of a key's requests are in flight.
  package func inFlight(key: Hash128) -> UInt64 {
    let key = BucketKey(key)
    return withTable(of: key) { table in
      guard let index = table.keys.find(key) else { return 0 }
      return table.keys[index].first
    }
  }

  /// Where a key's count is.
  enum Spot {
    case place(Int)
    case newcomer
    case overflow
  }

  @inline(__always)
  func withTable<Result>(of key: BucketKey, _ body: (inout Table) -> Result) -> Result {
    stripes[Int(truncatingIfNeeded: key.spread &>> 12 & stripeMask)].withLock { body(&$0) }
  }

  /// How many keys are remembered.
  package var keys: Int {
    var sum = 0
    for index in stripes.indices { sum += stripes[index].withLock { $0.keys.count } }
    return sum
  }

  /// Bytes that the tables take.
  package var bytes: Int {
    var sum = MemoryLayout<InlineArray<64, Mutex<Table>>>.size
    for index in stripes.indices { sum += stripes[index].withLock { $0.keys.bytes } }
    return sum
  }

  /// What has been decided.
  package var tally: LimitTally {
    var tally = LimitTally()
    for index in stripes.indices { stripes[index].withLock { tally.add($0.tally) } }
    return tally
  }
}

extension ConcurrencyLimiter.Table {
  /// How many are in flight for a key, and where one more is to be counted.
  mutating func check(_ key: BucketKey) -> (spot: ConcurrencyLimiter.Spot, inFlight: UInt64) {
    if let index = keys.find(key) {
      let state = keys[index]
      let shared = state.second == period ? overflow : 0
      return (.place(index), state.first &+ shared)
    }
    keys.sweep { $0.first == 0 }
    return (keys.count < keys.capacity ? .newcomer : .overflow, overflow)
  }

  /// Counts one more.
  mutating func commit(_ spot: ConcurrencyLimiter.Spot, _ key: BucketKey) {
    tally.allowed &+= 1
    switch spot {
    case .place(let index): keys[index].first &+= 1
    case .newcomer: keys.insert(key, KeyState(first: 1, second: overflow > 0 ? period : 0))
    case .overflow: overflow &+= 1
    }
  }

  /// Counts one less.
  mutating func release(_ key: BucketKey, isOverflow: Bool) {
    if isOverflow {
      guard overflow > 0 else { return }
      overflow &-= 1
      if overflow == 0 { period &+= 1 }
    } else if let index = keys.find(key), keys[index].first > 0 {
      keys[index].first &-= 1
    }
  }
}
