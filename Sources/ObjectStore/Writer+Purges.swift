// Folding the journal's purges into the database, and the sweeper.
//
// A pass of the sweeper looks at every object that was there when it began, in id order, through read
// transactions of its own, and has what is purged deleted. What gets an id later was tested when it got
// it: a new object against every purge since its fill's start, a moved one when it moved. So after the
// pass, and after every turn that could still hold a deleted object, no stored object is touched by a
// purge that was in force when the pass began, and those can be forgotten, but for the sake of fills
// that began before them.

import Bytes
import Crashes
import LMDB
import Synchronization

/// A pass under way.
struct Sweep {
  /// The newest purge when it began.
  let sequence: UInt64
  /// Objects from here on are newer than the pass.
  let limit: UInt64
  var queue = Queue.small
  var next: UInt64 = 0
}

/// A purged object.
struct SweepVictim {
  var id: UInt64
  var queue: Queue
  /// Since when it is stale; `.max` if it is gone.
  var softTime: Int64
}

extension Writer {
  /// Index entries looked at in one step.
  private static let stepSize = 2_048
  /// So many purges in force make a pass due at once.
  private static let eagerCount: UInt64 = 1_024
  /// Else a pass begins this long after the last one's end, ns.
  private static let sweepInterval: Int64 = 30_000_000_000

  // MARK: Folding

  /// Writes what the journal holds into the database, and deletes what is forgotten.
  func foldPurges(_ transaction: borrowing WriteTransaction) throws(LMDBError) {
    let (entries, through) = core.ledger.takeUnfolded()
    group.unfolded = entries
    for entry in entries {
      let old = try transaction.get(core.databases.purges, entry.tag)
      scratch.removeAll()
      PurgeLayout.encode(entry, after: old, onto: &scratch)
      try transaction.put(core.databases.purges, entry.tag, scratch.view)
    }
    if !entries.isEmpty {
      try put(.foldedPurges, through, transaction)
      group.foldedThrough = through
    }
    for entry in accounts.forgotten.prefix(Self.groupCount) {
      // Not if the tag has been purged again since.
      if let value = try transaction.get(core.databases.purges, entry.tag),
        PurgeLayout.newest(value) <= entry.sequence
      {
        try transaction.delete(core.databases.purges, entry.tag)
      }
    }
    accounts.forgotten.removeFirst(min(Self.groupCount, accounts.forgotten.count))
    if accounts.sweptPatterns > 0 {
      try put(.sweptPatterns, accounts.sweptPatterns, transaction)
      accounts.sweptPatterns = 0
    }
  }

  // MARK: Sweeping

  /// How long until a pass is due, ms; negative if nothing is to be swept.
  var sweepPause: Int32 {
    guard !hasEnded, sweep == nil, core.ledger.sequence > lastSweepSequence else { return -1 }
    // Those that came since: what an unfinished fill keeps in force no pass can forget.
    if core.ledger.sequence - lastSweepSequence >= Self.eagerCount { return 0 }
    let left = Self.sweepInterval - (monotonicTime() - lastSweepEnd)
    return Int32(clamping: max(0, left / 1_000_000 + 1))
  }

  /// Begins a pass if one is due, and looks at the next entries.
  func stepSweep() {
    if sweep == nil {
      let isWanted = sweepWaiters.contains { $0.sequence > lastSweepSequence }
      guard isWanted || sweepPause == 0 else { return }
      sweep = Sweep(sequence: core.ledger.sequence, limit: accounts.nextID)
    }
    core.epochs.enter(StoreCore.writerSlot)
    defer { core.epochs.leave(StoreCore.writerSlot) }
    do throws(LMDBError) {
      try lookAtNext()
    } catch {
      // Nothing is known to be swept: a later pass will see.
      sweep = nil
      lastSweepEnd = monotonicTime()
    }
  }

  private func lookAtNext() throws(LMDBError) {
    guard var current = sweep else { return }
    let transaction = try core.environment.beginRead()
    let through = core.ledger.sequence
    var count = 0
    var isEnd = true
    patterns.update(from: core.ledger)
    // Those whose tags or key have to be looked up in the record.
    var far: [UInt64] = []
    let queue = current.queue
    try transaction.scan(core.databases.index(queue), from: current.next) { id, bytes in
      if id >= current.limit { return false }
      if count == Self.stepSize {
        isEnd = false
        return false
      }
      count += 1
      current.next = id + 1
      guard let index = IndexView(bytes), !index.isRules, index.sequence < through else {
        return true
      }
      if index.hasFarTags || patterns.isAnyNewer(than: index.sequence) {
        far.append(id)
      } else {
        let state = core.ledger.index.state(
          of: index.tags, since: index.sequence, through: through)
        note(state, of: id, queue, wasSoft: index.isSoft)
      }
      return true
    }
    for id in far {
      guard
        let index = try transaction.get(core.databases.index(queue), id).flatMap({ IndexView($0) })
      else { continue }
      working.begin(index.keyHash)
      guard let bytes = try transaction.get(core.databases.records(queue), id),
        let record = RecordView(bytes)
      else { continue }
      var state = core.ledger.index.state(
        of: record.tags, since: record.sequence, through: through)
      if state != .hard {
        let reached = patterns.state(of: ObjectFacts(record), since: record.sequence) { purge in
          // What it has marked before is counted.
          if !purge.isSoft || !index.isSoft { sweptByPattern[purge.sequence, default: 0] += 1 }
        }
        state = state.joined(reached)
      }
      note(state, of: id, queue, wasSoft: index.isSoft)
    }
    if !isEnd {
      sweep = current
    } else if queue == .small {
      current.queue = .main
      current.next = 0
      sweep = current
    } else {
      sweep = nil
      endPass(current.sequence)
    }
  }

  private func note(_ state: PurgeState, of id: UInt64, _ queue: Queue, wasSoft: Bool) {
    switch state {
    case .none: break
    case .soft(let time):
      if !wasSoft { victims.append(SweepVictim(id: id, queue: queue, softTime: time)) }
    case .hard: victims.append(SweepVictim(id: id, queue: queue, softTime: .max))
    }
  }

  private func endPass(_ sequence: UInt64) {
    if !victims.isEmpty { commit([]) }
    // Not deleted after all (no page left): the purges stay in force until a later pass.
    guard victims.isEmpty else { return }
    lastSweepSequence = sequence
    lastSweepEnd = monotonicTime()
    endedSweeps.append((sequence, core.epochs.advance()))
    core.counters.sweeps.add(1, ordering: .relaxed)
    let patterns = patterns.purges.filter { $0.sequence <= sequence }.map {
      ($0.sequence, sweptByPattern.removeValue(forKey: $0.sequence) ?? 0)
    }
    reached.await(core.ledger.takeAwaited())
    core.history.settle(patterns + reached.settle(through: sequence))
  }

  /// Deletes what the sweeper has found, and marks what is softly purged.
  func deleteVictims(_ transaction: borrowing WriteTransaction) throws(LMDBError) {
    for victim in victims {
      // Gone already if it was evicted, moved or replaced meanwhile.
      let index = try transaction.get(core.databases.index(victim.queue), victim.id)
      guard let index = index.flatMap({ IndexView($0) }) else { continue }
      if victim.softTime == .max {
        try delete(id: victim.id, queue: victim.queue, transaction)
        group.swept += 1
      } else {
        try mark(victim, index, transaction)
      }
    }
    victims = []
  }

  /// Counts an object that goes, or with `isMarked` is marked as stale, for the purges that wait for it.
  func noteReached(
    _ id: UInt64, _ queue: Queue, _ index: IndexView, isMarked: Bool,
    _ transaction: borrowing WriteTransaction
  ) throws(LMDBError) {
    if reached.isEmpty || index.isRules { return }
    var tags = index.tags
    if index.hasFarTags {
      let record = try transaction.get(core.databases.records(queue), id).flatMap { RecordView($0) }
      guard let record else { return }
      tags = record.tags
    }
    let purges = reached.purges(
      reaching: tags, sequence: index.sequence, isSoft: index.isSoft, isMarked: isMarked)
    for number in purges { group.reached[number, default: 0] += 1 }
  }

  /// Writes into an index entry that a soft purge has reached the object: then that can be forgotten.
  private func mark(
    _ victim: SweepVictim, _ index: IndexView, _ transaction: borrowing WriteTransaction
  ) throws(LMDBError) {
    let hash = index.keyHash
    try noteReached(victim.id, victim.queue, index, isMarked: true, transaction)
    scratch.removeAll()
    IndexLayout.encode(index, softTime: victim.softTime, onto: &scratch)
    try transaction.put(core.databases.index(victim.queue), victim.id, scratch.view)
    guard let entry = find(hash), entry.id == victim.id else { return }
    group.effects.append(
      TableEffect(hash: hash, entry: entry, id: entry.id, sequence: 0, isSoftMark: true))
    if group.overlay[ObjectTable.identity(hash)] != nil {
      group.overlay[ObjectTable.identity(hash)] = TableEntry(
        word: entry.word | TableEntry.softBit)
    }
  }

  /// Forgets the purges of passes whose last turns have ended.
  func forgetSwept() {
    while let first = endedSweeps.first, core.epochs.hasPassed(first.epoch) {
      endedSweeps.removeFirst()
      let (tags, hasPatterns, through) = core.ledger.forget(through: first.sequence)
      if hasPatterns { accounts.sweptPatterns = max(accounts.sweptPatterns, through) }
      accounts.forgotten += tags.map { PurgeEntry(sequence: through, tag: $0) }
      core.epochs.collect()
    }
    guard endedSweeps.isEmpty else { return }
    sweepWaiters.removeAll { waiter in
      guard waiter.sequence <= lastSweepSequence else { return false }
      waiter.latch.open()
      return true
    }
  }
}
