// What was found out lately, by a 128-bit keyed hash, bounded in number and in bytes.
//
//   heads   for each bucket the number of its first slot
//   slots   key, the next slot of the bucket, whether it was used since the hand came by, cost, value
//
// When there is no room, a hand goes round: what was used since it last came by is spared once, the rest
// goes (the CLOCK algorithm, Corbató 1968). A slot that is let go is used again for what comes next.
//
// The hash is keyed with a secret, so nobody can make buckets long; it only finds, and the owner compares
// what it found in full.

internal import Bytes

struct RecentTable<Value>: ~Copyable {
  private struct Slot {
    var key: Hash128
    var next: Int32
    var wasUsed: Bool
    var cost: Int
    var value: Value?
  }

  /// The most values.
  let maxCount: Int
  /// The most that they may cost in all.
  let maxCost: Int
  /// How many values there are.
  private(set) var count = 0
  /// What they cost.
  private(set) var cost = 0
  private var heads: [Int32] = []
  private var slots: [Slot] = []
  private var free: Int32 = -1
  private var hand = 0

  init(maxCount: Int, maxCost: Int) {
    self.maxCount = min(max(maxCount, 0), 1 << 24)
    self.maxCost = maxCost
  }

  /// The value of a key, which is now used.
  mutating func find(_ key: Hash128) -> Value? {
    guard let slot = slot(of: key) else { return nil }
    slots[slot].wasUsed = true
    return slots[slot].value
  }

  /// Remembers a value in place of the key's former one, unless it costs more than all may.
  mutating func insert(_ key: Hash128, _ value: Value, cost: Int) {
    remove(key)
    guard cost <= maxCost, maxCount > 0 else { return }
    while count >= maxCount || self.cost > maxCost - cost { evict() }
    if count >= heads.count { grow() }
    let bucket = bucket(of: key)
    let slot = Slot(key: key, next: heads[bucket], wasUsed: false, cost: cost, value: value)
    if free >= 0 {
      let place = Int(free)
      free = slots[place].next
      slots[place] = slot
      heads[bucket] = Int32(truncatingIfNeeded: place)
    } else {
      heads[bucket] = Int32(truncatingIfNeeded: slots.count)
      slots.append(slot)
    }
    count += 1
    self.cost += cost
  }

  /// Forgets a key.
  mutating func remove(_ key: Hash128) {
    guard let slot = slot(of: key) else { return }
    release(slot)
  }

  /// Forgets all values that a condition holds for.
  mutating func removeAll(where condition: (Value) -> Bool) {
    for slot in slots.indices {
      if let value = slots[slot].value, condition(value) { release(slot) }
    }
  }

  private func bucket(of key: Hash128) -> Int {
    // A power of two, and at least 1.
    Int(truncatingIfNeeded: key.low & UInt64(heads.count - 1))
  }

  private func slot(of key: Hash128) -> Int? {
    guard !heads.isEmpty else { return nil }
    var next = heads[bucket(of: key)]
    while next >= 0 {
      let slot = Int(next)
      if slots[slot].key.low == key.low, slots[slot].key.high == key.high { return slot }
      next = slots[slot].next
    }
    return nil
  }

  /// Takes a slot out of its bucket and makes it free.
  private mutating func release(_ slot: Int) {
    let bucket = bucket(of: slots[slot].key)
    if heads[bucket] == slot {
      heads[bucket] = slots[slot].next
    } else {
      var previous = Int(heads[bucket])
      while slots[previous].next != slot { previous = Int(slots[previous].next) }
      slots[previous].next = slots[slot].next
    }
    count -= 1
    cost -= slots[slot].cost
    slots[slot].value = nil
    slots[slot].next = free
    free = Int32(truncatingIfNeeded: slot)
  }

  /// Lets go of one value. There must be one.
  private mutating func evict() {
    while true {
      hand = hand + 1 < slots.count ? hand + 1 : 0
      guard slots[hand].value != nil else { continue }
      guard slots[hand].wasUsed else { return release(hand) }
      slots[hand].wasUsed = false
    }
  }

  /// Doubles the buckets.
  private mutating func grow() {
    heads = [Int32](repeating: -1, count: max(64, heads.count * 2))
    for slot in slots.indices where slots[slot].value != nil {
      let bucket = bucket(of: slots[slot].key)
      slots[slot].next = heads[bucket]
      heads[bucket] = Int32(truncatingIfNeeded: slot)
    }
  }
}
