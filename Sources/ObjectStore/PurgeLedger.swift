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

import Bytes
import Synchronization

/// One purge of one tag, or of everything.
struct PurgeEntry: Sendable, Equatable {
  /// Stands in the place of a tag, of which none is 0.
  static let everything: UInt64 = 0

  /// Its number in the node's one sequence.
  var sequence: UInt64
  /// The tag's hash, or `everything`.
  var tag: UInt64
  /// Whether what it reaches is stale instead of gone.
  var isSoft = false
  /// When it was asked for, in ms since the epoch; 0 for a hard one.
  var time: Int64 = 0
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
  /// So many tags are counted (16 to 32 bytes each, 128 MiB at most); further ones are purged all the
  /// same, but the answer then says too few.
  static let countedTagLimit = 1 << 22

  private struct State {
    var counts: [UInt64: UInt32] = [:]
    /// The pattern purges in force, ascending.
    var patterns: [PatternPurge] = []
    /// Fills under way, by the number at their start.
    var fills: [UInt64: Int] = [:]
    /// Purges that are not yet in the purges database.
    var unfolded: [PurgeEntry] = []
    /// Fills that began before this number may have missed a purge that is forgotten.
    var floor: UInt64 = 0
    var purges: UInt64 = 0
    /// Purges whose objects are to be counted, which the writer has not taken yet.
    var awaited: [AwaitedCount] = []
  }

  /// What lookups read.
  let index: PurgeIndex
  private let state = Mutex(State())

  private let tagSecret: SipHash

  init(epochs: Epochs, tagSecret: SipHash = SipHash(key: Hash128(low: 0, high: 0))) {
    index = PurgeIndex(epochs: epochs)
    self.tagSecret = tagSecret
  }

  /// The keyed hash of a tag; never 0.
  func tagHash(_ tag: ByteView) -> UInt64 { max(tagSecret.hash(tag).low, 1) }

  /// A thread's way to test a condition.
  func makeTest(_ condition: any ObjectCondition) -> any ObjectTest {
    condition.makeTest { tagHash($0) }
  }

  /// The newest purge's number.
  @inline(__always)
  var sequence: UInt64 { index.sequence }

  // MARK: Purging

  /// Purges tags; they are in force on return. The entries are to be made durable. The counts are of
  /// objects that carry each tag and that no hard purge of it has reached.
  /// With `isCounted` false they are implicit ones, and the writer is to count what they reach.
  func purge(
    _ tags: [UInt64], isSoft: Bool = false, time: Int64 = 0, isCounted: Bool = true
  ) -> (entries: [PurgeEntry], counts: [UInt64]) {
    state.withLock { state in
      var entries: [PurgeEntry] = []
      var counts: [UInt64] = []
      for tag in tags {
        entries.append(index.purge(tag, isSoft: isSoft, time: time))
        let count = isSoft ? state.counts[tag] : state.counts.removeValue(forKey: tag)
        counts.append(UInt64(count ?? 0))
      }
      state.unfolded.append(contentsOf: entries)
      state.purges &+= UInt64(tags.count)
      if !isCounted, let number = entries.last?.sequence,
        state.awaited.count < ReachedCounts.limit
      {
        state.awaited.append(AwaitedCount(number: number, tags: tags, isSoft: isSoft))
      }
      return (entries, counts)
    }
  }

  /// Takes the purges whose objects are to be counted (the writer).
  func takeAwaited() -> [AwaitedCount] {
    state.withLock { state in
      defer { state.awaited = [] }
      return state.awaited
    }
  }

  /// Purges tags within hosts, given their mixtures. How many objects that reaches is not known.
  func purge(scoped mixtures: [UInt64], isSoft: Bool, time: Int64) -> [PurgeEntry] {
    state.withLock { state in
      let entries = mixtures.map { index.purge($0, isSoft: isSoft, time: time, isScoped: true) }
      state.unfolded.append(contentsOf: entries)
      state.purges &+= UInt64(mixtures.count)
      return entries
    }
  }

  /// Purges everything that is stored or being fetched.
  func purgeEverything(isSoft: Bool, time: Int64) -> PurgeEntry {
    state.withLock { state in
      let entry = index.purge(PurgeEntry.everything, isSoft: isSoft, time: time)
      if !isSoft { state.counts = [:] }
      state.unfolded.append(entry)
      state.purges &+= 1
      return entry
    }
  }

  /// Purges what a pattern or a condition reaches, and returns its number; nil if too many are in force
  /// already.
  func purge(_ matcher: PurgeMatcher, isSoft: Bool, time: Int64) -> UInt64? {
    state.withLock { state in
      guard state.patterns.count < PatternList.limit else { return nil }
      let sequence = index.sequence + 1
      state.patterns.append(
        PatternPurge(sequence: sequence, isSoft: isSoft, time: time, matcher: matcher))
      state.purges &+= 1
      return index.purgeByPattern()
    }
  }

  /// What something newer than `since` says, or may say, of an object with these tags and that URL.
  /// Without a URL every pattern is taken to match; a condition always is.
  func state(since: UInt64, tags: [UInt64], url: ByteView?) -> PurgeState {
    if since >= sequence { return .none }
    return state.withLock { state in
      var found = stateOfTags(state, since: since, tags: tags)
      for purge in state.patterns where purge.sequence > since {
        guard purge.matcher.mayMatch(url: url) else { continue }
        found = found.joined(PurgeState(isSoft: purge.isSoft, time: purge.time))
      }
      return found
    }
  }

  /// The same but for patterns and conditions.
  func stateOfTags(since: UInt64, tags: [UInt64]) -> PurgeState {
    if since >= sequence { return .none }
    return state.withLock { stateOfTags($0, since: since, tags: tags) }
  }

  private func stateOfTags(_ state: borrowing State, since: UInt64, tags: [UInt64]) -> PurgeState {
    if since < state.floor { return .hard }
    var found = index.stateOfEverything(since: since)
    for tag in tags { found = found.joined(index.state(of: tag, since: since)) }
    if index.hasScoped(since: since) {
      found = found.joined(index.scopedState(of: tags, since: since))
    }
    return found
  }

  /// The pattern purges in force and the version of their list.
  var patternPurges: (version: UInt64, purges: [PatternPurge]) {
    state.withLock { (index.patternVersion, $0.patterns) }
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
          for tag in tags[change.tags] where index.newestHard(tag) <= change.sequence {
            let count = state.counts[tag] ?? 0
            if change.isAddition {
              if count > 0 || state.counts.count < Self.countedTagLimit {
                state.counts[tag] = count &+ 1
              }
            } else {
              state.counts[tag] = count > 1 ? count - 1 : nil
            }
          }
        }
      }
      next = end
    }
  }

  /// How many objects carry each tag, as a purge would say.
  func counts(of tags: [UInt64]) -> [UInt64] {
    state.withLock { state in tags.map { UInt64(state.counts[$0] ?? 0) } }
  }

  /// The counts, for the check.
  var tagCounts: [UInt64: UInt32] { state.withLock { $0.counts } }

  // MARK: Start, folding, forgetting (the writer)

  /// Begins from what an earlier run left: purges of the database, and those of the journal that are
  /// not in it yet.
  func restore(folded: [PurgeEntry], unfolded: [PurgeEntry], patterns: [PatternPurge]) {
    state.withLock { state in
      for entry in folded { index.restore(entry) }
      for entry in unfolded { index.restore(entry) }
      state.unfolded = unfolded
      state.patterns = patterns.sorted { $0.sequence < $1.sequence }
      index.patternsDidChange()
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
  func forget(through sequence: UInt64) -> (tags: [UInt64], hasPatterns: Bool, through: UInt64) {
    state.withLock { state in
      var last = sequence
      if let oldest = state.fills.keys.min(), oldest < sequence {
        // A client that reads slowly may hold a fill for hours. Patterns have few places, and each is tried with
        // every key: a fill that stands in the way of half of them is not stored.
        let isPatient =
          index.count < Self.patience && state.patterns.count < PatternList.limit / 2
        if isPatient { last = oldest } else { state.floor = sequence }
      }
      let patterns = state.patterns.count
      state.patterns.removeAll { $0.sequence <= last }
      let hasPatterns = state.patterns.count < patterns
      if hasPatterns { index.patternsDidChange() }
      return (index.forget(through: last), hasPatterns, last)
    }
  }

  /// Purges since the start, and tags, patterns and the like with a purge in force.
  var figures: (purges: UInt64, pending: UInt64) {
    state.withLock { ($0.purges, UInt64(index.pending + $0.patterns.count)) }
  }
}
