// The purges in force, as lookups see them: the current sequence number, the newest purge of each tag,
// and a ring of the last 256. Changed under the ledger's lock, read without one within a turn.
//
// A purge is put into the table, then into the ring, and then the current number is raised: who has
// seen the number sees the purge.

final class PurgeIndex: @unchecked Sendable {
  // Sendable because readers only use the words; the rest changes under the ledger's lock.
  private static let ringSize: UInt64 = 256
  /// Words: the current number, the table's address a cache line on, then the ring.
  private static let tableWord = 16
  private static let ringStart = 32

  private let words = Words.allocate(ringStart + 2 * Int(ringSize))
  private let epochs: Epochs
  /// How many tags are in the table.
  private(set) var count = 0

  init(epochs: Epochs) {
    self.epochs = epochs
    words.store(Self.tableWord, Words.allocate(2 * 64).address)
  }

  deinit { table.deallocate(); words.deallocate() }

  private var table: Words {
    guard let table = Words(address: words.loadAcquiring(Self.tableWord)) else {
      preconditionFailure("no purge table")
    }
    return table
  }

  // MARK: Any thread; within a turn, or under the ledger's lock

  /// The newest purge's number.
  @inline(__always)
  var sequence: UInt64 { words.loadAcquiring(0) }

  /// The number of a tag's newest purge; 0 if there is none.
  func newest(_ tag: UInt64) -> UInt64 {
    let table = table
    let place = Self.place(tag, table)
    return table.load(place) == 0 ? 0 : table.loadAcquiring(place + 1)
  }

  /// Whether a purge newer than `since` matches one of the tags. `through` is the current number.
  func matches(_ tags: TagList, since: UInt64, through: UInt64) -> Bool {
    if since >= through || tags.count == 0 { return false }
    if through - since <= min(UInt64(tags.count), Self.ringSize),
      let answer = recentMatches(tags, since: since, through: through)
    {
      return answer
    }
    for index in 0..<tags.count where newest(tags[index]) > since { return true }
    return false
  }

  /// The same by the ring; nil if it has been overwritten.
  private func recentMatches(_ tags: TagList, since: UInt64, through: UInt64) -> Bool? {
    for sequence in since + 1...through {
      let slot = Self.ringStart + 2 * Int(sequence & (Self.ringSize - 1))
      guard words.loadAcquiring(slot) == sequence else { return nil }
      let tag = words.loadAcquiring(slot + 1)
      guard words.loadAcquiring(slot) == sequence else { return nil }
      if tags.contains(tag) { return true }
    }
    return false
  }

  // MARK: Under the ledger's lock

  /// Sets the number to begin from.
  func begin(at sequence: UInt64) { words.storeReleasing(0, sequence) }

  /// Puts a purge of an earlier run into the table.
  func restore(_ tag: UInt64, sequence: UInt64) {
    if sequence > newest(tag) { put(tag, sequence) }
  }

  /// Takes the next number for a purge of the tag and puts it into force.
  func purge(_ tag: UInt64) -> UInt64 {
    let sequence = words.load(0) + 1
    put(tag, sequence)
    let slot = Self.ringStart + 2 * Int(sequence & (Self.ringSize - 1))
    words.storeOrdered(slot, 0)
    words.storeReleasing(slot + 1, tag)
    words.storeReleasing(slot, sequence)
    words.storeReleasing(0, sequence)
    return sequence
  }

  /// Forgets the purges up to `sequence`, and says of which tags they were.
  func forget(through sequence: UInt64) -> [UInt64] {
    let old = table
    var forgotten: [UInt64] = []
    var kept = 0
    for place in stride(from: 0, to: old.count, by: 2) where old.load(place) != 0 {
      if old.load(place + 1) <= sequence { forgotten.append(old.load(place)) } else { kept += 1 }
    }
    if !forgotten.isEmpty { rebuild(capacity: max(64, kept * 2)) { $0 > sequence } }
    return forgotten
  }

  private func put(_ tag: UInt64, _ sequence: UInt64) {
    if (count + 1) * 4 > table.count / 2 * 3 { rebuild(capacity: table.count) { _ in true } }
    let table = table
    let place = Self.place(tag, table)
    table.storeReleasing(place + 1, sequence)
    if table.load(place) == 0 {
      table.storeReleasing(place, tag)
      count += 1
    }
  }

  private func rebuild(capacity: Int, keeping: (UInt64) -> Bool) {
    let old = table
    let new = Words.allocate(2 * capacity)
    count = 0
    for place in stride(from: 0, to: old.count, by: 2) {
      let tag = old.load(place)
      let sequence = old.load(place + 1)
      guard tag != 0, keeping(sequence) else { continue }
      let target = Self.place(tag, new)
      new.store(target + 1, sequence)
      new.store(target, tag)
      count += 1
    }
    words.storeReleasing(Self.tableWord, new.address)
    epochs.retire(old)
  }

  /// Where a tag stands, or the empty place where it would.
  private static func place(_ tag: UInt64, _ table: Words) -> Int {
    var place =
      2 * Int(truncatingIfNeeded: tag.multipliedFullWidth(by: UInt64(table.count / 2)).high)
    while true {
      let found = table.loadAcquiring(place)
      if found == tag || found == 0 { return place }
      place += 2
      if place == table.count { place = 0 }
    }
  }
}
