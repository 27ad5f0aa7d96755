// Places by hashes that are random already: open addressing in twice the room, the next free slot after a
// hash's own. Who leaves is followed up by those that had to go further, so that nothing is ever marked as
// deleted, however many names come and go.

/// See the top of this file. The hashes themselves stand with its owner, by place.
struct PlaceTable {
  private var slots: [Int16] = []

  private var mask: Int { slots.count - 1 }

  private func slot(of hash: UInt64) -> Int { Int(truncatingIfNeeded: hash) & mask }

  /// The place of a hash.
  func find(_ hash: UInt64, in hashes: [UInt64]) -> Int? {
    if slots.isEmpty { return nil }
    var slot = slot(of: hash)
    while slots[slot] >= 0 {
      if hashes[Int(slots[slot])] == hash { return Int(slots[slot]) }
      slot = (slot + 1) & mask
    }
    return nil
  }

  /// Notes the place of a hash that has none. There are never more than `capacity`, 1 to 16,384; the first
  /// one makes room for them.
  mutating func insert(_ place: Int, of hash: UInt64, capacity: Int) {
    if slots.isEmpty { makeRoom(for: capacity) }
    var slot = slot(of: hash)
    while slots[slot] >= 0 { slot = (slot + 1) & mask }
    slots[slot] = Int16(truncatingIfNeeded: place)
  }

  private mutating func makeRoom(for capacity: Int) {
    var size = 4
    while size < 2 * min(max(capacity, 1), 16_384) { size *= 2 }
    slots = [Int16](repeating: -1, count: size)
  }

  /// Forgets a hash.
  mutating func remove(_ hash: UInt64, in hashes: [UInt64]) {
    if slots.isEmpty { return }
    var free = slot(of: hash)
    while slots[free] >= 0, hashes[Int(slots[free])] != hash { free = (free + 1) & mask }
    guard slots[free] >= 0 else { return }
    var next = (free + 1) & mask
    while slots[next] >= 0 {
      // Who would be found from the free slot on as well goes there.
      let own = slot(of: hashes[Int(slots[next])])
      if (next - own) & mask >= (next - free) & mask {
        slots[free] = slots[next]
        free = next
      }
      next = (next + 1) & mask
    }
    slots[free] = -1
  }
}
