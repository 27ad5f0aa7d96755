// How many objects a purge by URL or by host has reached. There is no count for each URL to be had at once
// (it would cost each object more memory than its entry); but what such a purge reaches leaves the store, by
// the sweeper, by eviction, or because another response takes its place, or is marked by the sweeper, if it
// is soft. Each of these looks here, and when a pass that began after the purge has ended, the number is
// known. With nothing to count none of them does more than ask that.
//
// The writer's own. Purges of an earlier run are not counted: their numbers stay unknown.

/// A purge whose objects are to be counted.
struct AwaitedCount: Sendable {
  /// Its number.
  let number: UInt64
  /// An object that carries one of these is reached; at most one of its own fits, for an order's URLs and
  /// hosts exclude each other, but for two schemes and spellings of one URL.
  let tags: [UInt64]
  let isSoft: Bool
}

struct ReachedCounts {
  /// So many at a time; of further ones the number stays unknown. Eight times the records that are kept.
  static let limit = 8_192

  private var byTag: [UInt64: [UInt64]] = [:]
  private var awaited: [UInt64: AwaitedCount] = [:]
  private var counts: [UInt64: UInt64] = [:]

  var isEmpty: Bool { awaited.isEmpty }

  mutating func await(_ more: [AwaitedCount]) {
    for purge in more where awaited.count < Self.limit {
      awaited[purge.number] = purge
      for tag in purge.tags { byTag[tag, default: []].append(purge.number) }
    }
  }

  /// Which purges an object is counted for that goes, or with `isMarked` is marked as stale.
  ///
  /// - Parameters:
  ///   - sequence: the newest purge that it was tested against.
  ///   - isSoft: whether a soft purge has marked it before.
  func purges(reaching tags: TagList, sequence: UInt64, isSoft: Bool, isMarked: Bool) -> [UInt64] {
    var found: [UInt64] = []
    for index in 0..<tags.count {
      for number in byTag[tags[index]] ?? [] where number > sequence && !found.contains(number) {
        guard let purge = awaited[number] else { continue }
        // What is marked was counted for the soft ones, and stays for the hard ones to come.
        if purge.isSoft ? !isSoft : !isMarked { found.append(number) }
      }
    }
    return found
  }

  mutating func add(_ reached: [UInt64: UInt64]) {
    for (number, count) in reached { counts[number, default: 0] += count }
  }

  /// The counts of all purges through a number: a pass that began after them has ended.
  mutating func settle(through sequence: UInt64) -> [(number: UInt64, objects: UInt64)] {
    let done = awaited.values.filter { $0.number <= sequence }.sorted { $0.number < $1.number }
    for purge in done {
      awaited[purge.number] = nil
      for tag in purge.tags {
        byTag[tag]?.removeAll { $0 == purge.number }
        if byTag[tag]?.isEmpty ?? false { byTag[tag] = nil }
      }
    }
    return done.map { ($0.number, counts.removeValue(forKey: $0.number) ?? 0) }
  }
}
