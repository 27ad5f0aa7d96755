// Which object a key's hash names: the whole index in memory, at most 40 bytes an object.
//
// 128 shards by the hash's high word; in each, open addressing with linear probing by its low word. An
// entry is three words:
//
//     hash   the low word
//     entry  id (48 bits) | queue | frequency (2) | verified | rules | damaged | softly purged;
//            0: no entry
//     check  low 20 bits of the id | purge sequence through which it was checked (44 bits)
//
// Only the writer inserts, replaces and removes, after its commit. Readers probe without a lock, and
// change two things by compare-and-exchange: bits of the entry word, and the check word. Both words
// carry the id, so a reader that races with a replacement changes nothing of the new object.
//
// A reader sees a whole entry: the writer clears the entry word before it writes another hash into a
// place, and ids are never used twice, so an entry word that reads the same before and after the hash
// belongs to it. Removing shifts later entries back and could hide one from a probe under way; the
// shard's version tells (odd: shifting), and only a probe that found nothing has to look at it.
//
// A shard grows by a quarter when it is 85 % full (so 28 to 36 bytes an object), by publishing a new
// block and retiring the old one (`Epochs`). A change that a reader makes to the old block meanwhile is
// lost; it is only a hint.

import Bytes
import Synchronization

/// One of S3-FIFO's queues.
enum Queue: UInt64, Sendable {
  /// New objects, at most a tenth of the space.
  case small = 0
  /// Objects that were used again.
  case main = 1
}

/// An entry's word: the object's id and what eviction and integrity know of it.
struct TableEntry: Equatable {
  static let idMask: UInt64 = (1 << 48) - 1
  static let frequencyUnit: UInt64 = 1 << 49
  static let verifiedBit: UInt64 = 1 << 51
  static let rulesBit: UInt64 = 1 << 52
  static let damagedBit: UInt64 = 1 << 53
  static let softBit: UInt64 = 1 << 54

  var word: UInt64

  init(word: UInt64) { self.word = word }

  init(
    id: UInt64, queue: Queue, frequency: UInt64 = 0, isRules: Bool, isVerified: Bool = false,
    isSoft: Bool = false
  ) {
    word =
      id & Self.idMask | queue.rawValue << 48 | min(frequency, 3) << 49
      | (isRules ? Self.rulesBit : 0) | (isVerified ? Self.verifiedBit : 0)
      | (isSoft ? Self.softBit : 0)
  }

  var id: UInt64 { word & Self.idMask }
  var queue: Queue { word & (1 << 48) == 0 ? .small : .main }
  var frequency: UInt64 { word &>> 49 & 3 }
  var isVerified: Bool { word & Self.verifiedBit != 0 }
  var isRules: Bool { word & Self.rulesBit != 0 }
  /// Whether a soft purge has made it stale.
  var isSoft: Bool { word & Self.softBit != 0 }
  var isDamaged: Bool { word & Self.damagedBit != 0 }
}

/// An entry as a probe found it, and where.
struct TableSlot {
  let block: Words
  let index: Int
  let entry: TableEntry
  let check: UInt64

  /// Through which purge the object was checked; nil if that is not known.
  var checkedThrough: UInt64? {
    check &>> 44 == entry.id & 0xF_FFFF ? check & ObjectTable.sequenceMask : nil
  }

  /// Remembers that no purge through `sequence` matches the object.
  func remember(checkedThrough sequence: UInt64) {
    block.exchange(index + 2, check, ObjectTable.check(id: entry.id, sequence: sequence))
  }

  /// Counts a use (up to 3) and sets bits, unless the entry has changed meanwhile.
  @inline(__always)
  func touch(setting bits: UInt64) {
    let counted =
      entry.frequency < 3 ? entry.word &+ TableEntry.frequencyUnit : entry.word
    let word = counted | bits
    if word != entry.word { block.exchange(index + 1, entry.word, word) }
  }

  /// Marks the object as softly purged; false if the entry has changed meanwhile.
  func markSoft() -> Bool {
    block.exchange(index + 1, entry.word, entry.word | TableEntry.softBit)
  }

  /// Marks the object as damaged; true for the one caller that did.
  func markDamaged() -> Bool {
    block.exchange(index + 1, entry.word, entry.word | TableEntry.damagedBit)
  }
}

final class ObjectTable: @unchecked Sendable {
  // Sendable because readers only use the words, and the rest is the writer's.
  static let shardCount = 128
  static let sequenceMask: UInt64 = (1 << 44) - 1
  /// Words of a shard's description: its block's address, its version.
  private static let shardWords = 8
  private static let smallest = 12

  private let shards: Words
  private let epochs: Epochs
  private var counts = [Int](repeating: 0, count: shardCount)
  private let allocated = Atomic<Int>(0)

  init(epochs: Epochs) {
    self.epochs = epochs
    shards = Words.allocate(Self.shardCount * Self.shardWords)
    for shard in 0..<Self.shardCount { publish(Words.allocate(3 * Self.smallest), as: shard) }
  }

  deinit {
    for shard in 0..<Self.shardCount { block(shard).deallocate() }
    shards.deallocate()
  }

  static func check(id: UInt64, sequence: UInt64) -> UInt64 {
    (id & 0xF_FFFF) << 44 | min(sequence, sequenceMask)
  }

  /// Bytes of memory the table holds.
  var bytes: Int { allocated.load(ordering: .relaxed) }

  // MARK: Any thread, within a turn

  /// The entry of a hash.
  @inline(__always)
  func find(_ hash: Hash128) -> TableSlot? {
    let shard = Self.shard(hash)
    let before = shards.loadAcquiring(shard &* Self.shardWords &+ 1)
    if let slot = probe(block(shard), hash.low) { return slot }
    if before & 1 == 0 && shards.loadAcquiring(shard &* Self.shardWords &+ 1) == before {
      return nil
    }
    return findAgain(hash)
  }

  /// After a probe that a removal disturbed. Gives up (a miss) if the writer keeps disturbing.
  @inline(never)
  private func findAgain(_ hash: Hash128) -> TableSlot? {
    let shard = Self.shard(hash)
    for _ in 0..<1_000 {
      let before = shards.loadAcquiring(shard * Self.shardWords + 1)
      if let slot = probe(block(shard), hash.low) { return slot }
      if before & 1 == 0 && shards.loadAcquiring(shard * Self.shardWords + 1) == before {
        return nil
      }
    }
    return nil
  }

  @inline(__always)
  private static func shard(_ hash: Hash128) -> Int {
    Int(truncatingIfNeeded: hash.high) & (shardCount &- 1)
  }

  /// What tells two hashes apart here: the low word and the shard.
  static func identity(_ hash: Hash128) -> Hash128 {
    Hash128(low: hash.low, high: UInt64(shard(hash)))
  }

  @inline(__always)
  private func block(_ shard: Int) -> Words {
    guard let block = Words(address: shards.loadAcquiring(shard &* Self.shardWords)) else {
      preconditionFailure("a shard without a block")
    }
    return block
  }

  @inline(__always)
  private func home(_ hash: UInt64, _ capacity: Int) -> Int {
    Int(truncatingIfNeeded: hash.multipliedFullWidth(by: UInt64(capacity)).high)
  }

  @inline(__always)
  private func probe(_ block: Words, _ hash: UInt64) -> TableSlot? {
    var index = 3 &* home(hash, block.count / 3)
    // Ends at an empty place: the load is below 1.
    while true {
      let word = block.loadAcquiring(index &+ 1)
      if word == 0 { return nil }
      if block.loadAcquiring(index) == hash {
        let check = block.loadAcquiring(index &+ 2)
        let again = block.loadAcquiring(index &+ 1)
        if (again ^ word) & TableEntry.idMask == 0 {
          return TableSlot(
            block: block, index: index, entry: TableEntry(word: again), check: check)
        }
        continue
      }
      index &+= 3
      if index == block.count { index = 0 }
    }
  }

  // MARK: The writer

  /// Inserts an entry, or replaces the one of the same hash.
  func set(_ hash: Hash128, _ entry: TableEntry, checkedThrough sequence: UInt64) {
    let shard = Self.shard(hash)
    let check = Self.check(id: entry.id, sequence: sequence)
    if let slot = probe(block(shard), hash.low) {
      slot.block.storeReleasing(slot.index + 2, check)
      slot.block.storeReleasing(slot.index + 1, entry.word)
      return
    }
    counts[shard] += 1
    if counts[shard] * 20 > block(shard).count / 3 * 17 {
      rebuild(shard, capacity: block(shard).count / 3 * 5 / 4)
    }
    insert(into: block(shard), hash.low, entry.word, check)
  }

  /// Marks the object as softly purged, if the hash still names that id.
  func markSoft(_ hash: Hash128, id: UInt64) {
    while let slot = probe(block(Self.shard(hash)), hash.low), slot.entry.id == id {
      if slot.entry.isSoft || slot.markSoft() { return }
    }
  }

  /// Removes the entry of a hash if it still names that id.
  func remove(_ hash: Hash128, id: UInt64) {
    let shard = Self.shard(hash)
    let block = block(shard)
    guard let slot = probe(block, hash.low), slot.entry.id == id else { return }
    let version = shards.load(shard * Self.shardWords + 1)
    shards.storeOrdered(shard * Self.shardWords + 1, version + 1)
    closeGap(block, at: slot.index)
    shards.storeOrdered(shard * Self.shardWords + 1, version + 2)
    counts[shard] -= 1
    if block.count / 3 > 4 * Self.smallest && counts[shard] * 4 < block.count / 3 {
      rebuild(shard, capacity: counts[shard] * 3 / 2)
    }
  }

  /// Makes room for that many objects in all.
  func reserve(_ objects: Int) {
    let each = objects / Self.shardCount * 5 / 4 + Self.smallest
    for shard in 0..<Self.shardCount where block(shard).count / 3 < each {
      rebuild(shard, capacity: each)
    }
  }

  /// Calls `body` with each entry, as it is at some moment of the call; one that is moved meanwhile may
  /// be missed or come twice. Any thread, within a turn.
  func forEach(_ body: (TableEntry) -> Void) {
    for shard in 0..<Self.shardCount {
      let block = block(shard)
      for index in stride(from: 1, to: block.count, by: 3) {
        let word = block.load(index)
        if word != 0 { body(TableEntry(word: word)) }
      }
    }
  }

  /// How many entries there are.
  var count: Int { counts.reduce(0, +) }

  private func publish(_ block: Words, as shard: Int) {
    shards.storeReleasing(shard * Self.shardWords, block.address)
    allocated.add(block.count * 8, ordering: .relaxed)
  }

  private func rebuild(_ shard: Int, capacity: Int) {
    let old = block(shard)
    let new = Words.allocate(3 * max(capacity, Self.smallest))
    for index in stride(from: 0, to: old.count, by: 3) where old.load(index + 1) != 0 {
      insert(into: new, old.load(index), old.load(index + 1), old.load(index + 2))
    }
    publish(new, as: shard)
    allocated.subtract(old.count * 8, ordering: .relaxed)
    epochs.retire(old)
  }

  private func insert(into block: Words, _ hash: UInt64, _ word: UInt64, _ check: UInt64) {
    var index = 3 * home(hash, block.count / 3)
    while block.load(index + 1) != 0 {
      index += 3
      if index == block.count { index = 0 }
    }
    block.storeReleasing(index, hash)
    block.storeReleasing(index + 2, check)
    block.storeReleasing(index + 1, word)
  }

  /// Moves entries back over a gap until each is found from its home again.
  private func closeGap(_ block: Words, at start: Int) {
    var gap = start
    var index = start
    while true {
      index += 3
      if index == block.count { index = 0 }
      let word = block.load(index + 1)
      if word == 0 { break }
      let hash = block.load(index)
      let home = 3 * home(hash, block.count / 3)
      let staysPut = gap <= index ? gap < home && home <= index : gap < home || home <= index
      if staysPut { continue }
      block.storeOrdered(gap + 1, 0)
      block.storeReleasing(gap, hash)
      block.storeReleasing(gap + 2, block.load(index + 2))
      block.storeReleasing(gap + 1, word)
      gap = index
    }
    block.storeOrdered(gap + 1, 0)
  }
}
