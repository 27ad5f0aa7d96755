// The purges in force, as lookups see them: the current sequence number, the newest hard and soft purge
// of each tag and of everything, and a ring of the last 256. Changed under the ledger's lock, read without
// one within a turn. (Purges by pattern: `PatternList`.)
//
// A purge is put into the table, then into the ring, and then the current number is raised: who has
// seen the number sees the purge.
//
//     words    0 the current number        1 the version of the list of patterns
//              2 newest hard purge of everything   3 newest soft one   4 its time
//              5 newest purge of a tag within a host (ScopedTags.swift)
//             16 the table's address      32 the ring: number, tag, kind, time
//     table    tag, newest hard purge, newest soft purge, its time

final class PurgeIndex: @unchecked Sendable {
  // Sendable because readers only use the words; the rest changes under the ledger's lock.
  private static let ringSize: UInt64 = 256
  private static let tableWord = 16
  private static let ringStart = 32
  /// Words of a place in the ring or the table.
  private static let width = 4
  private static let hardTag: UInt64 = 0
  private static let softTag: UInt64 = 1
  private static let pattern: UInt64 = 2
  private static let scoped: UInt64 = 4

  private let words = Words.allocate(ringStart + width * Int(ringSize))
  private let epochs: Epochs
  /// How many tags are in the table.
  private(set) var count = 0
  /// Those, and everything if that is purged.
  var pending: Int { count + (words.load(2) | words.load(3) == 0 ? 0 : 1) }

  init(epochs: Epochs) {
    self.epochs = epochs
    words.store(Self.tableWord, Words.allocate(Self.width * 64).address)
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

  /// The version of the list of pattern purges.
  @inline(__always)
  var patternVersion: UInt64 { words.loadAcquiring(1) }

  /// The number of the newest hard purge of a tag, or of everything; 0 if there is none.
  func newestHard(_ tag: UInt64) -> UInt64 {
    let table = table
    let place = Self.place(tag, table)
    let everything = words.loadAcquiring(2)
    return table.load(place) == 0 ? everything : max(everything, table.loadAcquiring(place + 1))
  }

  /// What purges of everything newer than `since` say.
  func stateOfEverything(since: UInt64) -> PurgeState {
    if words.loadAcquiring(2) > since { return .hard }
    if words.loadAcquiring(3) > since { return .soft(since: Self.time(words.loadAcquiring(4))) }
    return .none
  }

  /// What purges of a tag newer than `since` say.
  func state(of tag: UInt64, since: UInt64) -> PurgeState {
    let table = table
    let place = Self.place(tag, table)
    if table.load(place) == 0 { return .none }
    if table.loadAcquiring(place + 1) > since { return .hard }
    if table.loadAcquiring(place + 2) > since {
      return .soft(since: Self.time(table.loadAcquiring(place + 3)))
    }
    return .none
  }

  /// What purges newer than `since` say of an object with these tags, but for those by pattern.
  /// `through` is the current number.
  func state(of tags: TagList, since: UInt64, through: UInt64) -> PurgeState {
    if since >= through { return .none }
    if through - since <= min(UInt64(tags.count), Self.ringSize),
      let answer = recentState(of: tags, since: since, through: through)
    {
      return answer
    }
    var found = stateOfEverything(since: since)
    for index in 0..<tags.count {
      if found == .hard { return found }
      found = found.joined(state(of: tags[index], since: since))
    }
    return hasScoped(since: since) ? found.joined(scopedState(of: tags, since: since)) : found
  }

  /// Whether a tag was purged within a host after `since`.
  func hasScoped(since: UInt64) -> Bool { words.loadAcquiring(5) > since }

  /// What purges of tags within hosts say.
  @inline(never)
  private func scopedState(of tags: TagList, since: UInt64) -> PurgeState {
    var found = PurgeState.none
    for host in tags.explicit..<tags.count {
      for tag in 0..<tags.explicit {
        found = found.joined(state(of: ScopedTag.mix(tags[host], tags[tag]), since: since))
        if found == .hard { return found }
      }
    }
    return found
  }

  /// The same for tags that are not known to be implicit or not; of too many that they are reached.
  func scopedState(of tags: [UInt64], since: UInt64) -> PurgeState {
    guard tags.count * tags.count <= ScopedTag.pairLimit else { return .hard }
    var found = PurgeState.none
    for host in tags {
      for tag in tags {
        found = found.joined(state(of: ScopedTag.mix(host, tag), since: since))
      }
    }
    return found
  }

  /// The same by the ring; nil if it has been overwritten, or the tables have to be asked.
  private func recentState(of tags: TagList, since: UInt64, through: UInt64) -> PurgeState? {
    var found = PurgeState.none
    for sequence in since + 1...through {
      let slot = Self.ringStart + Self.width * Int(sequence & (Self.ringSize - 1))
      guard words.loadAcquiring(slot) == sequence else { return nil }
      let tag = words.loadAcquiring(slot + 1)
      let kind = words.loadAcquiring(slot + 2)
      let time = words.loadAcquiring(slot + 3)
      guard words.loadAcquiring(slot) == sequence else { return nil }
      if kind == Self.pattern { continue }
      let isReached: Bool
      if kind & Self.scoped != 0 {
        // Of many pairs, looking each up is cheaper than going through them for each purge.
        if tags.pairs > 64 { return nil }
        isReached = tags.containsScoped(tag)
      } else {
        isReached = tag == PurgeEntry.everything || tags.contains(tag)
      }
      if isReached {
        let isSoft = kind & ~Self.scoped == Self.softTag
        found = found.joined(PurgeState(isSoft: isSoft, time: Self.time(time)))
        if found == .hard { return found }
      }
    }
    return found
  }

  private static func time(_ word: UInt64) -> Int64 { Int64(bitPattern: word) }

  // MARK: Under the ledger's lock

  /// Sets the number to begin from.
  func begin(at sequence: UInt64) { words.storeReleasing(0, sequence) }

  /// Puts a purge of an earlier run into force.
  func restore(_ entry: PurgeEntry) {
    put(entry)
    // Whether it was of a tag within a host is not kept.
    noteScoped(entry.sequence)
  }

  /// Takes the next number for a purge of the tag, or of everything, and puts it into force.
  /// A tag within a host is its mixture, and `isScoped`.
  func purge(_ tag: UInt64, isSoft: Bool, time: Int64, isScoped: Bool = false) -> PurgeEntry {
    let entry = PurgeEntry(
      sequence: words.load(0) + 1, tag: tag, isSoft: isSoft, time: isSoft ? time : 0)
    put(entry)
    if isScoped { noteScoped(entry.sequence) }
    let kind = isSoft ? Self.softTag : Self.hardTag
    publish(
      entry.sequence, tag: tag, kind: isScoped ? kind | Self.scoped : kind, time: entry.time)
    return entry
  }

  private func noteScoped(_ sequence: UInt64) {
    words.storeReleasing(5, max(words.load(5), sequence))
  }

  /// Takes the next number for a purge by pattern, which is in the ledger's list already. A list that
  /// others take up before the number is raised does no harm.
  func purgeByPattern() -> UInt64 {
    let sequence = words.load(0) + 1
    patternsDidChange()
    publish(sequence, tag: 0, kind: Self.pattern, time: 0)
    return sequence
  }

  /// The ledger's list of pattern purges is another one.
  func patternsDidChange() { words.storeReleasing(1, words.load(1) + 1) }

  private func publish(_ sequence: UInt64, tag: UInt64, kind: UInt64, time: Int64) {
    let slot = Self.ringStart + Self.width * Int(sequence & (Self.ringSize - 1))
    words.storeOrdered(slot, 0)
    words.storeReleasing(slot + 1, tag)
    words.storeReleasing(slot + 2, kind)
    words.storeReleasing(slot + 3, UInt64(bitPattern: time))
    words.storeReleasing(slot, sequence)
    words.storeReleasing(0, sequence)
  }

  /// Forgets the purges up to `sequence`, and says of which tags they were.
  func forget(through sequence: UInt64) -> [UInt64] {
    let old = table
    var forgotten: [UInt64] = []
    var kept = 0
    for place in stride(from: 0, to: old.count, by: Self.width) where old.load(place) != 0 {
      if Self.newest(old, place) <= sequence {
        forgotten.append(old.load(place))
      } else {
        kept += 1
      }
    }
    if !forgotten.isEmpty { rebuild(capacity: max(64, kept * 2), keepingAfter: sequence) }
    if words.load(5) <= sequence { words.storeReleasing(5, 0) }
    let everything = max(words.load(2), words.load(3))
    if everything != 0 && everything <= sequence {
      words.storeReleasing(2, 0)
      words.storeReleasing(3, 0)
      forgotten.append(PurgeEntry.everything)
    }
    return forgotten
  }

  private func put(_ entry: PurgeEntry) {
    if entry.tag == PurgeEntry.everything { return put(entry, in: words, at: 2) }
    if (count + 1) * 4 > table.count / Self.width * 3 {
      rebuild(capacity: table.count / Self.width * 2, keepingAfter: 0)
    }
    let table = table
    let place = Self.place(entry.tag, table)
    put(entry, in: table, at: place + 1)
    if table.load(place) == 0 {
      table.storeReleasing(place, entry.tag)
      count += 1
    }
  }

  /// Keeps a purge in the three words for the newest hard one, the newest soft one and its time.
  private func put(_ entry: PurgeEntry, in block: Words, at place: Int) {
    if !entry.isSoft {
      if entry.sequence > block.load(place) { block.storeReleasing(place, entry.sequence) }
    } else if entry.sequence > block.load(place + 1) {
      block.storeReleasing(place + 2, UInt64(bitPattern: entry.time))
      block.storeReleasing(place + 1, entry.sequence)
    }
  }

  private static func newest(_ table: Words, _ place: Int) -> UInt64 {
    max(table.load(place + 1), table.load(place + 2))
  }

  private func rebuild(capacity: Int, keepingAfter sequence: UInt64) {
    let old = table
    let new = Words.allocate(Self.width * capacity)
    count = 0
    for place in stride(from: 0, to: old.count, by: Self.width) where old.load(place) != 0 {
      guard Self.newest(old, place) > sequence else { continue }
      let target = Self.place(old.load(place), new)
      for word in 0..<Self.width { new.store(target + word, old.load(place + word)) }
      count += 1
    }
    words.storeReleasing(Self.tableWord, new.address)
    epochs.retire(old)
  }

  /// Where a tag stands, or the empty place where it would.
  private static func place(_ tag: UInt64, _ table: Words) -> Int {
    let home = tag.multipliedFullWidth(by: UInt64(table.count / width)).high
    var place = width * Int(truncatingIfNeeded: home)
    while true {
      let found = table.loadAcquiring(place)
      if found == tag || found == 0 { return place }
      place += width
      if place == table.count { place = 0 }
    }
  }
}
