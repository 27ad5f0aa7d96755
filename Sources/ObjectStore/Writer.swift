// The one thread that changes the store.
//
// It takes operations from the queue in groups and commits each group in one transaction: at once when
// it has been idle, else at most every 20 ms, or when a group is full. Whatever a group changes outside
// LMDB is put together in `group` while the transaction runs and published after its commit, in this
// order: counts, table, moves taken back, completions. If the transaction fails, `group` is dropped and
// `accounts` put back, and nothing has happened.
//
// An object's life: stored into the small queue (into the main one if the ghosts remember it) under the
// next id; found by readers, who count uses in the table; at the head of its queue moved to the end of
// the main one under a new id, or dropped. A dropped or replaced object's chunks stay until every turn
// that could have seen it has ended and no reader pins them; they are deleted in a later group.
//
// Space: the pages in use, less those of bodies about to be deleted, never exceed the limit at a
// commit. What the map has beyond the limit is for pages that a commit frees, which LMDB gives out again
// two commits later. If pages run out all the same (free ones may lie scattered, without a run long
// enough for a chunk), the group is aborted, other groups evict, and it is tried again; at last it is
// refused. Each time the pages to be in use become a group fewer, which leaves longer runs free; with
// each group that goes through a few of them are given back.

import Bytes
import CLinux
import Crashes
import EventLoop
import LMDB
import Synchronization

/// A body without a record yet.
struct PendingBody: Sendable {
  var chunks: UInt64 = 0
  var bytes: UInt64 = 0
  var pages = 0
}

/// A body that a record names and of which chunks may be missing.
struct SlicedBody: Sendable {
  var length: UInt64
  /// The queue that the record stands in, which the pages count for.
  var queue: Queue
  var chunks: UInt64 = 0
  var pages = 0
}

/// A body that no record names any more, whose chunks are to be deleted.
struct RetiredBody: Sendable {
  var id: UInt64
  /// Pages of the chunks that are left.
  var pages: Int
  /// Turns before this epoch may have seen it.
  var epoch: UInt64
}

/// What the writer remembers from group to group; put back if a group fails.
struct Accounts: Sendable {
  var nextID: UInt64
  /// Ids below this are reserved in the state database.
  var reservedIDs: UInt64
  var reservedBodies: UInt64
  var objects = 0
  /// Pages of chunks that objects of each queue have.
  var smallChunkPages = 0
  var mainChunkPages = 0
  var pending: [UInt64: PendingBody] = [:]
  var pendingPages = 0
  var retired: [RetiredBody] = []
  /// Tags of purges that are forgotten, to be deleted from the database if not newer than the number.
  var forgotten: [PurgeEntry] = []
  /// Purges by pattern through this number are forgotten, which is yet to be written; 0: nothing is.
  var sweptPatterns: UInt64 = 0

  mutating func addChunkPages(_ pages: Int, to queue: Queue) {
    if queue == .small { smallChunkPages += pages } else { mainChunkPages += pages }
  }
}

/// A change of the object table; an entry word of 0 removes `id`.
struct TableEffect {
  var hash: Hash128
  var entry: TableEntry
  var id: UInt64
  /// Through which purge it was checked.
  var sequence: UInt64
  /// Nothing but that a soft purge has reached it.
  var isSoftMark = false
}

/// What a group will publish.
struct Group {
  /// The table as it will be, where it differs; an entry word of 0: none.
  var overlay: [Hash128: TableEntry] = [:]
  var effects: [TableEffect] = []
  var moves: [(old: UInt64, new: TableEntry)] = []
  var tagChanges: [TagChange] = []
  var tagPool: [UInt64] = []
  /// Bodies that records named until now.
  var retired: [RetiredBody] = []
  /// What `sliced` had before, newest last, for a group that fails.
  var slicedBefore: [(body: UInt64, old: SlicedBody?)] = []
  var unfolded: [PurgeEntry] = []
  var foldedThrough: UInt64?
  /// Pages of retired bodies, old and new, that will go as soon as turns have ended.
  var leavingPages = 0
  var insertions: UInt64 = 0
  var evictions: UInt64 = 0
  var reinsertions: UInt64 = 0
  var swept: UInt64 = 0
  /// Objects that count for purges, by these' numbers.
  var reached: [UInt64: UInt64] = [:]
}

final class Writer: @unchecked Sendable {
  // Sendable because after `start` only its own thread touches what is not a constant.
  static let groupInterval: Int64 = 20_000_000
  static let groupCount = 4_096
  /// Milliseconds between looks at what waits for readers.
  private static let pendingPause: Int32 = 20
  /// How often a group is tried that finds no page, with two more groups' worth evicted each time.
  private static let attemptLimit = 5

  let core: StoreCore
  let journal: Journal
  private let note: @Sendable (String) -> Void
  let groupPages: Int
  var limitPages: Int
  /// To how many pages in use eviction goes: the limit, or fewer while free pages lie scattered.
  var targetPages: Int
  var accounts: Accounts
  /// About 60 bytes for each sliced body. Not among the accounts, which are copied for each group.
  private(set) var sliced: [UInt64: SlicedBody]
  var patterns = PatternList()
  /// How many objects the sweeper has found by each pattern or condition in force.
  var sweptByPattern: [UInt64: UInt64] = [:]
  var reached = ReachedCounts()
  var group = Group()
  var ghosts = GhostSet()
  /// Which object the thread works on, for the report of a crash.
  let working = CrashArea.note(of: .writer)
  var scratch = ByteBuffer()
  var recordScratch = ByteBuffer()

  var lastCommit: Int64 = 0
  var hasEnded = false
  let foldRequested = Atomic<Bool>(false)
  /// For tests: called before a commit with its number; what it returns is what the commit fails with.
  let fault: (@Sendable (UInt64) -> LMDBError?)?

  var sweep: Sweep?
  var lastSweepSequence: UInt64
  var lastSweepEnd = monotonicTime()
  /// Objects to be deleted because they are purged.
  var victims: [SweepVictim] = []
  /// Passes that have ended, with the epoch from which on their purges can be forgotten.
  var endedSweeps: [(sequence: UInt64, epoch: UInt64)] = []
  var sweepWaiters: [(sequence: UInt64, latch: Latch)] = []

  private let thread = Mutex<LoopThread?>(nil)

  init(
    core: StoreCore, journal: Journal, limitPages: Int, groupPages: Int, accounts: Accounts,
    sliced: [UInt64: SlicedBody], lastSweepSequence: UInt64,
    note: @escaping @Sendable (String) -> Void,
    fault: (@Sendable (UInt64) -> LMDBError?)?
  ) {
    self.note = note
    self.core = core
    self.journal = journal
    self.limitPages = limitPages
    targetPages = limitPages
    self.groupPages = groupPages
    self.accounts = accounts
    self.sliced = sliced
    self.lastSweepSequence = lastSweepSequence
    self.fault = fault
    ghosts.fit(objects: accounts.objects)
    core.counters.objects.store(UInt64(accounts.objects), ordering: .relaxed)
    core.counters.pageLimit.store(UInt64(limitPages), ordering: .relaxed)
  }

  /// Starts the thread.
  func start() { thread.withLock { $0 = LoopThread(name: "store-writer") { self.run() } } }

  /// Commits what waits and ends the thread.
  func stop() {
    core.queue.close()
    thread.withLock { thread in
      thread?.join()
      thread = nil
    }
  }

  /// Asks for purges to be folded soon. Any thread.
  func requestFolding() {
    foldRequested.store(true, ordering: .releasing)
    core.queue.wake()
  }

  private func run() {
    while true {
      let waiting = core.queue.waiting
      let isClosing = core.queue.isClosed
      if waiting.isFull || waiting.count > 0 && (isClosing || isDue) {
        commit(core.queue.take())
      } else if isClosing && waiting.count == 0 {
        break
      }
      background()
      core.queue.wait(milliseconds: pause)
    }
    if core.ledger.unfoldedCount > 0 || !accounts.retired.isEmpty || !accounts.forgotten.isEmpty
      || accounts.sweptPatterns > 0
    {
      commit([])
    }
    for waiter in sweepWaiters { waiter.latch.open() }
  }

  private var isDue: Bool { monotonicTime() - lastCommit >= Self.groupInterval }

  /// How long the thread may wait, in ms; negative: until it is woken.
  private var pause: Int32 {
    let waiting = core.queue.waiting
    if waiting.isFull || core.queue.isClosed || hasUrgentWork { return 0 }
    if waiting.count > 0 {
      let left = Self.groupInterval - (monotonicTime() - lastCommit)
      let milliseconds = Int32(clamping: max(0, (left + 999_999) / 1_000_000))
      return sweep == nil ? milliseconds : min(milliseconds, 5)
    }
    if sweep != nil { return 5 }
    // A body may stay pinned for as long as its client takes: looked at now and then, not all the time.
    if hasPendingWork { return Self.pendingPause }
    return sweepPause
  }

  /// Work that waits for other threads' turns to end.
  private var hasPendingWork: Bool {
    !hasEnded && (!accounts.retired.isEmpty || !endedSweeps.isEmpty)
  }

  /// Work that somebody waits for.
  private var hasUrgentWork: Bool { !hasEnded && sweep != nil && !sweepWaiters.isEmpty }

  private func background() {
    if hasEnded {
      for waiter in sweepWaiters { waiter.latch.open() }
      sweepWaiters = []
      return
    }
    stepSweep()
    forgetSwept()
    let mustFold =
      foldRequested.exchange(false, ordering: .acquiringAndReleasing)
      || core.ledger.unfoldedCount > Int(JournalFile.places / 4)
    if mustFold || !victims.isEmpty || accounts.forgotten.count > Self.groupCount
      || accounts.sweptPatterns > 0
      || accounts.retired.contains(where: isDeletable)
    {
      commit([])
    }
  }

  // MARK: A group

  /// Carries operations out in one transaction and calls their completions.
  func commit(_ operations: [Operation]) {
    if hasEnded { return finish(operations, outcomes: []) }
    lastCommit = monotonicTime()
    reached.await(core.ledger.takeAwaited())
    defer {
      working.end()
      core.epochs.leave(StoreCore.writerSlot)
      core.epochs.collect()
    }
    for attempt in 1...Self.attemptLimit {
      do throws(LMDBError) {
        let outcomes = try attemptCommit(operations)
        publish()
        targetPages = min(limitPages, targetPages + max(1, groupPages / 128))
        return finish(operations, outcomes: outcomes)
      } catch {
        let isDiskFull = isDiskFull(error)
        guard isDiskFull || error == .mapFull || error == .transactionFull else {
          endWriting(error)
          break
        }
        core.counters.mapFull.add(1, ordering: .relaxed)
        targetPages = max(limitPages / 2, targetPages - groupPages)
        if isDiskFull { stopGrowing() }
        if attempt == Self.attemptLimit || !evictAfterFailure() { break }
      }
    }
    finish(operations, outcomes: [])
  }

  /// LMDB says EIO of a write that the disk took in part only, as a full one does. Nothing refers to the
  /// pages then: the meta page is written last, and if that fails LMDB ends writing itself.
  private func isDiskFull(_ error: LMDBError) -> Bool {
    error == .noSpace
      || error == .inputOutput && core.directory.freeBytes() < UInt64(groupPages) * 4096
  }

  /// Runs a transaction of operations and what else is due; on failure nothing has changed.
  private func attemptCommit(_ operations: [Operation]) throws(LMDBError) -> [StoreOutcome] {
    try transact { transaction throws(LMDBError) in
      try deleteRetired(transaction)
      try foldPurges(transaction)
      try deleteVictims(transaction)
      var outcomes: [StoreOutcome] = []
      outcomes.reserveCapacity(operations.count)
      for operation in operations { outcomes.append(try apply(operation, transaction)) }
      return outcomes
    }
  }

  /// Runs `body` in a transaction with an empty group and commits it.
  private func transact<Result>(
    _ body: (borrowing WriteTransaction) throws(LMDBError) -> Result
  ) throws(LMDBError) -> Result {
    let saved = accounts
    let savedVictims = victims
    core.epochs.enter(StoreCore.writerSlot)
    group = Group()
    group.leavingPages = accounts.retired.reduce(0) { $0 + (core.isPinned($1.id) ? 0 : $1.pages) }
    do throws(LMDBError) {
      let transaction = try core.environment.beginWrite()
      let result = try body(transaction)
      try reserveIDs(transaction)
      core.counters.pagesInUse.store(UInt64(try pagesInUse(transaction)), ordering: .relaxed)
      core.moves.publish(group.moves)
      let number = core.counters.commits.load(ordering: .relaxed)
      if let error = fault?(number) { throw error }
      try transaction.commit()
      return result
    } catch {
      core.moves.retract()
      core.ledger.returnUnfolded(group.unfolded)
      accounts = saved
      victims = savedVictims
      for (body, old) in group.slicedBefore.reversed() { sliced[body] = old }
      group.slicedBefore = []
      throw error
    }
  }

  /// Changes what is known of a sliced body; nil forgets it.
  func setSliced(_ body: UInt64, _ value: SlicedBody?) {
    group.slicedBefore.append((body, sliced[body]))
    sliced[body] = value
  }

  /// Pages of the chunks that a record's body has.
  func pages(ofBody body: UInt64, length: UInt64) -> Int {
    sliced[body]?.pages ?? ChunkSize.pages(ofBody: length)
  }

  /// Keeps the numbers in the state database ahead of those in use.
  private func reserveIDs(_ transaction: borrowing WriteTransaction) throws(LMDBError) {
    guard accounts.nextID > accounts.reservedIDs else { return }
    accounts.reservedIDs = accounts.nextID + 65_536
    try put(.objectIDs, accounts.reservedIDs, transaction)
  }

  func put(_ key: StateKey, _ value: UInt64, _ transaction: borrowing WriteTransaction)
    throws(LMDBError)
  {
    scratch.removeAll()
    scratch.append(littleEndian: value)
    try transaction.put(core.databases.state, key.rawValue, scratch.view)
  }

  /// Makes a commit known: counts, then the table.
  private func publish() {
    core.ledger.apply(group.tagChanges, tags: group.tagPool)
    for effect in group.effects {
      if effect.isSoftMark {
        core.table.markSoft(effect.hash, id: effect.id)
      } else if effect.entry.word == 0 {
        core.table.remove(effect.hash, id: effect.id)
      } else {
        core.table.set(effect.hash, effect.entry, checkedThrough: effect.sequence)
      }
    }
    core.moves.retract()
    if !group.retired.isEmpty {
      let epoch = core.epochs.advance()
      for body in group.retired {
        var body = body
        body.epoch = epoch
        accounts.retired.append(body)
      }
    }
    if let through = group.foldedThrough { journal.didFold(through: through) }
    ghosts.fit(objects: accounts.objects)
    publishFigures()
    group = Group()
  }

  private func publishFigures() {
    let counters = core.counters
    counters.commits.add(1, ordering: .relaxed)
    counters.objects.store(UInt64(accounts.objects), ordering: .relaxed)
    noteSize()
    counters.insertions.add(group.insertions, ordering: .relaxed)
    counters.evictions.add(group.evictions, ordering: .relaxed)
    counters.reinsertions.add(group.reinsertions, ordering: .relaxed)
    counters.swept.add(group.swept, ordering: .relaxed)
    reached.add(group.reached)
  }

  /// Notes whether the pages in use fit into memory, with a quarter to spare.
  func noteSize() {
    let bytes = core.counters.pagesInUse.load(ordering: .relaxed) * UInt64(StoreSizes.pageSize)
    let exceeds = bytes > core.memory / 4 * 3
    if exceeds != core.exceedsMemory.load(ordering: .relaxed) {
      core.exceedsMemory.store(exceeds, ordering: .relaxed)
    }
  }

  /// Calls completions: with the outcomes, or with a refusal where there is none.
  private func finish(_ operations: [Operation], outcomes: [StoreOutcome]) {
    for (index, operation) in operations.enumerated() {
      let outcome = index < outcomes.count ? outcomes[index] : .refused
      if outcome == .refused { noteRefusal(operation, wasApplied: index < outcomes.count) }
      switch operation {
      case .chunk(_, _, _, _, let completion), .slice(_, _, _, _, let completion):
        completion(outcome != .refused)
      case .store(_, let completion), .freshen(_, let completion): completion(outcome)
      case .barrier(let body): body(self)
      case .dropBody, .remove, .removeSliced, .removeDamaged: break
      }
    }
  }

  /// Counts a refusal. One that came from a failed group leaves its body to be dropped.
  private func noteRefusal(_ operation: Operation, wasApplied: Bool) {
    switch operation {
    case .chunk(let body, _, _, _, _):
      core.counters.refusals.add(1, ordering: .relaxed)
      if !wasApplied { dropPending(body) }
    case .slice: core.counters.refusals.add(1, ordering: .relaxed)
    case .store(let object, _):
      core.counters.refusals.add(1, ordering: .relaxed)
      if !wasApplied, case .chunks(let body, _) = object.body { dropPending(body) }
    case .freshen: core.counters.refusals.add(1, ordering: .relaxed)
    case .dropBody(let body): if !wasApplied { dropPending(body) }
    case .remove, .removeSliced, .removeDamaged, .barrier: break
    }
  }

  // MARK: Failures

  /// A commit has failed in a way after which the file is not to be trusted with more.
  private func endWriting(_ error: LMDBError) {
    hasEnded = true
    core.counters.writingEnded.store(true, ordering: .releasing)
    if [.corrupted, .pageNotFound, .invalid, .keyExists, .panic].contains(error) {
      core.directory.markDamaged("\(error)")
    }
    journal.writingDidEnd()
    note(
      "writing has failed (\(error)) and is ended: what is stored is still "
        + "served, the rest comes from the origin. See to the disk, then restart the node.")
  }

  /// The disk is full: from now on the store lives in the pages that it has.
  private func stopGrowing() {
    let used = Int(core.counters.pagesInUse.load(ordering: .relaxed))
    limitPages = max(min(limitPages, used - 2 * groupPages), groupPages)
    core.counters.pageLimit.store(UInt64(limitPages), ordering: .relaxed)
    note(
      "the disk is full: the store stays at "
        + "\(limitPages / 256) MiB. Make room there, or give it a smaller size, and restart the node."
    )
  }

  /// After a group found no page: evicts two groups' worth, and lets LMDB have the pages again, which it
  /// does two commits later.
  private func evictAfterFailure() -> Bool {
    let target = Int(core.counters.pagesInUse.load(ordering: .relaxed)) - 2 * groupPages
    for evicts in [true, false, false] {
      core.epochs.leave(StoreCore.writerSlot)
      awaitTurns()
      do throws(LMDBError) {
        try transact { transaction throws(LMDBError) in
          try deleteRetired(transaction)
          while evicts, try pagesInUse(transaction) - group.leavingPages > target {
            guard try evictOne(transaction) else { break }
          }
          try put(.objectIDs, accounts.reservedIDs, transaction)
        }
        publish()
      } catch {
        return false
      }
    }
    return true
  }
}
