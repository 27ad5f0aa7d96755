// What has been purged, by number; how many objects carry each tag; which fills are under way.
//
// A purge takes the next number and is in force at once, under one short lock; the journal then makes
// it durable before it is answered. Numbers are given in the order in which purges come into force:
// were a lower number to come into force later, an object might already have been found good through
// the higher one.
//
// A purge that is in force but not yet durable when the node dies was not answered. It may be lost, or
// not; nothing depends on which: what was stored after it carries its number or a higher one, and the
// next run begins above every number in store and journal.
//
// The lock is the only one in the store that workers take on a request's way, for a fill's begin and
// end. It is held for a few operations on tables in memory.

import Synchronization

/// One purge of one tag.
struct PurgeEntry: Sendable, Equatable {
  /// Its number in the node's one sequence.
  var sequence: UInt64
  /// The tag's hash; never 0.
  var tag: UInt64
}

/// A change of the count of some tags: an object has come or gone.
struct TagChange {
  /// Where its tags stand in the list that goes with the changes.
  var tags: Range<Int>
  /// The object's number: purges above it have taken it out of the counts already.
  var sequence: UInt64
  /// Whether the object has come.
  var isAddition: Bool
}

final class PurgeLedger: Sendable {
  /// So many pending purges are kept for the sake of long fills; then those fills are given up.
  private static let patience = 1 << 20

  private struct State {
    var counts: [UInt64: UInt32] = [:]
    /// Fills under way, by the number at their start.
    var fills: [UInt64: Int] = [:]
    /// Purges that are not yet in the purges database.
    var unfolded: [PurgeEntry] = []
    /// Fills that began before this number may have missed a purge that is forgotten.
    var floor: UInt64 = 0
    var purges: UInt64 = 0
  }

  /// What lookups read.
  let index: PurgeIndex
  private let state = Mutex(State())

  init(epochs: Epochs) { index = PurgeIndex(epochs: epochs) }

  /// The newest purge's number.
  @inline(__always)
  var sequence: UInt64 { index.sequence }

  // MARK: Purging

  /// Purges tags; they are in force on return. The entries are to be made durable. `isNews`: the writer
  /// may not know that there is something to fold and to sweep.
  func purge(_ tags: [UInt64]) -> (entries: [PurgeEntry], counts: [UInt64], isNews: Bool) {
    state.withLock { state in
      let isNews = state.unfolded.isEmpty
      var entries: [PurgeEntry] = []
      var counts: [UInt64] = []
      for tag in tags {
        entries.append(PurgeEntry(sequence: index.purge(tag), tag: tag))
        counts.append(UInt64(state.counts.removeValue(forKey: tag) ?? 0))
      }
      state.unfolded.append(contentsOf: entries)
      state.purges &+= UInt64(tags.count)
      return (entries, counts, isNews)
    }
  }

  /// Whether something newer than `since` purges an object with these tags, or may have.
  func isPurged(since: UInt64, tags: [UInt64]) -> Bool {
    if since >= sequence { return false }
    return state.withLock { state in
      if since < state.floor { return true }
      return tags.contains { index.newest($0) > since }
    }
  }

  // MARK: Fills

  func beginFill() -> FillMark {
    state.withLock { state in
      let sequence = index.sequence
      state.fills[sequence, default: 0] += 1
      return FillMark(sequence: sequence)
    }
  }

  func endFill(_ mark: FillMark) {
    state.withLock { state in
      guard let count = state.fills[mark.sequence] else { return }
      state.fills[mark.sequence] = count > 1 ? count - 1 : nil
    }
  }

  // MARK: Counting

  /// Applies the changes of a commit. `tags` is what their ranges refer to.
  func apply(_ changes: [TagChange], tags: [UInt64]) {
    // In short runs, so that nobody waits long for the lock.
    var next = 0
    while next < changes.count {
      let end = min(next + 64, changes.count)
      state.withLock { state in
        for change in changes[next..<end] {
          for tag in tags[change.tags] where index.newest(tag) <= change.sequence {
            let count = state.counts[tag] ?? 0
            if change.isAddition {
              state.counts[tag] = count &+ 1
            } else {
              state.counts[tag] = count > 1 ? count - 1 : nil
            }
          }
        }
      }
      next = end
    }
  }

  /// The counts, for the check.
  var tagCounts: [UInt64: UInt32] { state.withLock { $0.counts } }

  // MARK: Start, folding, forgetting (the writer)

  /// Begins from what an earlier run left: purges of the database, and those of the journal that are
  /// not in it yet.
  func restore(folded: [PurgeEntry], unfolded: [PurgeEntry]) {
    state.withLock { state in
      for entry in folded { index.restore(entry.tag, sequence: entry.sequence) }
      for entry in unfolded { index.restore(entry.tag, sequence: entry.sequence) }
      state.unfolded = unfolded
    }
  }

  /// Sets the number above which purges begin.
  func begin(at sequence: UInt64) { state.withLock { _ in index.begin(at: sequence) } }

  /// How many purges wait to be folded.
  var unfoldedCount: Int { state.withLock { $0.unfolded.count } }

  /// Takes the purges to be folded; all up to the number returned are in them or were taken before.
  func takeUnfolded() -> (entries: [PurgeEntry], through: UInt64) {
    state.withLock { state in
      let entries = state.unfolded
      state.unfolded = []
      return (entries, index.sequence)
    }
  }

  /// Gives back purges whose folding failed.
  func returnUnfolded(_ entries: [PurgeEntry]) {
    state.withLock { $0.unfolded.insert(contentsOf: entries, at: 0) }
  }

  /// Forgets the purges up to `sequence` that no fill needs any more: every stored object was tested
  /// against them, and every turn that could hold one that failed has ended.
  func forget(through sequence: UInt64) -> (tags: [UInt64], through: UInt64) {
    state.withLock { state in
      var last = sequence
      if let oldest = state.fills.keys.min(), oldest < sequence {
        if index.count < Self.patience { last = oldest } else { state.floor = sequence }
      }
      return (index.forget(through: last), last)
    }
  }

  /// Purged tags since the start, and tags with a purge in force.
  var figures: (purges: UInt64, pending: UInt64) {
    state.withLock { ($0.purges, UInt64(index.count)) }
  }
}
