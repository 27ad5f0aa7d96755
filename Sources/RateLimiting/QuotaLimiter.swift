package import Bytes
internal import Synchronization

/// What a quota says.
package enum QuotaDecision: Sendable, Equatable {
  /// It may pass; so much is left, and it is over in so many seconds.
  case allowed(remaining: UInt64, reset: Int64)
  /// It may not; something comes back in so many seconds at the earliest.
  case refused(retryAfter: Int64)
}

/// A limit over a long window that survives a restart: so much for each key in an hour, day or month.
///
/// Times are the wall clock's, in seconds since 1970. See QuotaWindow.swift for the windows,
/// QuotaTable.swift for who leaves.
package final class QuotaLimiter: Sendable {
  private let stripes: InlineArray<64, Mutex<QuotaTable>>
  private let stripeMask: UInt64
  private let most: Atomic<UInt64>
  /// The windows.
  package let window: QuotaWindow

  /// At most `limit` in a window, for each of at most `maxKeys` keys (at least one). Nil if the windows
  /// roll and the limit is beyond 16,777,215.
  package init?(limit: UInt64, window: QuotaWindow, maxKeys: Int) {
    guard !window.isRolling || limit <= QuotaTable.rollingLimit else { return nil }
    let keys = max(maxKeys, 1)
    var count = 1
    while count < 64 && keys / (count * 2) >= 64 { count *= 2 }
    let capacity = keys / count
    stripes = InlineArray { _ in Mutex(QuotaTable(capacity: capacity, window: window)) }
    stripeMask = UInt64(count - 1)
    most = Atomic(limit)
    self.window = window
  }

  /// The most in a window. A change counts from the next decision on; what was used stays used.
  package var limit: UInt64 { most.load(ordering: .relaxed) }

  /// Changes the most; false if the windows roll and it is beyond 16,777,215.
  package func setLimit(_ limit: UInt64) -> Bool {
    guard !window.isRolling || limit <= QuotaTable.rollingLimit else { return false }
    most.store(limit, ordering: .relaxed)
    return true
  }

  /// Uses `cost` of the key's quota, or refuses and leaves it as it is. A cost of 0 only asks.
  package func decide(key: Hash128, time: Int64, cost: UInt64 = 1) -> QuotaDecision {
    let key = BucketKey(key)
    return withTable(of: key) { table in
      let (decision, usage) = check(&table, key, time: time, cost: cost)
      if case .allowed = decision {
        table.tally.allowed &+= 1
        if cost > 0 { table.spend(cost, usage, key) }
      } else {
        table.tally.refused &+= 1
      }
      return decision
    }
  }

  /// What the quota says, without spending.
  func check(
    _ table: inout QuotaTable, _ key: BucketKey, time: Int64, cost: UInt64
  ) -> (QuotaDecision, QuotaTable.Usage) {
    let usage = table.usage(of: key, number: window.number(at: time))
    let limit = limit
    let left = limit > usage.used ? limit - usage.used : 0
    let reset = window.remainder(at: time)
    guard cost <= left else { return (.refused(retryAfter: reset), usage) }
    return (.allowed(remaining: left - cost, reset: reset), usage)
  }

  /// Gives back what was used in a window, or part of one, by its number. Of what is over nothing is left
  /// to give back, and what came later has not been charged with it.
  func refund(
    key: Hash128, cost: UInt64, time: Int64, takenIn former: UInt32, isOverflow: Bool
  ) {
    let key = BucketKey(key)
    let number = window.number(at: time)
    withTable(of: key) {
      $0.refund(cost, key, takenIn: former, isOverflow: isOverflow, number: number)
    }
  }

  /// Uses `cost`, be it more than is left.
  package func charge(key: Hash128, cost: UInt64, time: Int64) {
    let key = BucketKey(key)
    let number = window.number(at: time)
    withTable(of: key) { table in
      let usage = table.usage(of: key, number: number)
      table.spend(cost, usage, key)
    }
  }

  /// What the key has used in its window.
  package func used(key: Hash128, time: Int64) -> UInt64 {
    let key = BucketKey(key)
    let number = window.number(at: time)
    return withTable(of: key) { $0.usage(of: key, number: number).used }
  }

  /// Forgets what the key has used, as an operator asks; whether there was something to forget.
  package func forgive(key: Hash128) -> Bool {
    let key = BucketKey(key)
    return withTable(of: key) { table in
      guard let index = table.keys.find(key) else { return false }
      table.keys[index].second = 0
      table.keys[index].first &= UInt64(UInt32.max)
      return true
    }
  }

  @inline(__always)
  func withTable<Result>(of key: BucketKey, _ body: (inout QuotaTable) -> Result) -> Result {
    stripes[stripe(of: key)].withLock { body(&$0) }
  }

  @inline(__always)
  private func stripe(of key: BucketKey) -> Int {
    Int(truncatingIfNeeded: key.spread &>> 12 & stripeMask)
  }

  /// How many keys are remembered.
  package var keys: Int {
    var sum = 0
    for index in stripes.indices { sum += stripes[index].withLock { $0.keys.count } }
    return sum
  }

  /// Bytes that the tables take.
  package var bytes: Int {
    var sum = MemoryLayout<InlineArray<64, Mutex<QuotaTable>>>.size
    for index in stripes.indices { sum += stripes[index].withLock { $0.keys.bytes } }
    return sum
  }

  /// What has been decided.
  package var tally: LimitTally {
    var tally = LimitTally()
    for index in stripes.indices { stripes[index].withLock { tally.add($0.tally) } }
    return tally
  }

  // MARK: Snapshots

  // A snapshot is bytes, little-endian:
  //
  //   0   8 bytes "WEIRQUO1"          24  8 bytes the number of entries
  //   8   1 byte the window's kind    32  entries of 32 bytes: the key's hash, of which 0 is the
  //   9   7 bytes 0                       overflow state, and the state
  //   16  8 bytes: a hash under the secret that keys were hashed with
  //
  // Keys are hashes under a secret, so a snapshot is of use only to who has the same one.

  private static var magic: UInt64 { 0x314F_5551_5249_4557 }
  private static var headLength: Int { 32 }
  private static var entryLength: Int { 32 }

  private static func fingerprint(_ secret: Hash128) -> UInt64 {
    SipHash(key: secret).hash(0x7175_6F74_6173, 1).low
  }

  /// Appends what every key has used, to be kept over a restart together with the secret that keys are
  /// hashed with. Decisions go on meanwhile; each is in the snapshot or not.
  package func snapshot(into buffer: inout ByteBuffer, secret: Hash128) {
    let start = buffer.count
    buffer.append(littleEndian: Self.magic)
    buffer.append(littleEndian: UInt64(window.kind.rawValue))
    buffer.append(littleEndian: Self.fingerprint(secret))
    buffer.append(littleEndian: 0 as UInt64)
    var count: UInt64 = 0
    for index in stripes.indices {
      let entries = stripes[index].withLock { Self.entries(of: &$0) }
      for (low, high, state) in entries {
        for word in [low, high, state.first, state.second] { buffer.append(littleEndian: word) }
      }
      count += UInt64(entries.count)
    }
    buffer.overwrite(at: start + 24, littleEndian: count)
  }

  private static func entries(of table: inout QuotaTable) -> [(UInt64, UInt64, KeyState)] {
    var entries: [(UInt64, UInt64, KeyState)] = []
    entries.reserveCapacity(table.keys.count + 1)
    if QuotaTable.used(table.overflow, table.window) > 0 { entries.append((0, 0, table.overflow)) }
    for place in 0..<table.keys.size where !table.keys.isFree(place) {
      let key = table.keys.key(at: place)
      entries.append((key.low, key.high, table.keys[place]))
    }
    return entries
  }

  /// Adds what a snapshot says to what is known; false, and nothing changed, if it is damaged, or of
  /// other windows, or of keys under another secret.
  package func restore(_ bytes: ByteView, secret: Hash128, time: Int64) -> Bool {
    guard bytes.count >= Self.headLength, bytes.uint64(at: 0) == Self.magic,
      bytes.uint64(at: 8) == UInt64(window.kind.rawValue),
      bytes.uint64(at: 16) == Self.fingerprint(secret)
    else { return false }
    let count = (bytes.count - Self.headLength) / Self.entryLength
    guard bytes.uint64(at: 24) == UInt64(count),
      bytes.count == Self.headLength + count * Self.entryLength
    else { return false }
    let number = window.number(at: time)
    // The stripes may be others now: all begin where the fullest would.
    var fullest = KeyState()
    for entry in 0..<count {
      let offset = Self.headLength + entry * Self.entryLength
      let (low, high) = (bytes.uint64(at: offset), bytes.uint64(at: offset + 8))
      let state = KeyState(
        first: bytes.uint64(at: offset + 16), second: bytes.uint64(at: offset + 24))
      if high == 0 {
        fullest = QuotaTable.fuller(fullest, state, number: number, window)
      } else {
        let key = BucketKey(low: low, high: high | 1)
        withTable(of: key) { $0.merge(key, state, number: number) }
      }
    }
    for index in stripes.indices {
      stripes[index].withLock { $0.merge(overflow: fullest, number: number) }
    }
    return true
  }
}
