import Bytes
import CLinux
import Crashes
import LMDB
import Synchronization

/// What evicting the head of a queue needs to know of it.
private struct QueueHead {
  var id: UInt64
  var hash: Hash128
  var purges: PurgeState
  /// The purge through which `purges` holds.
  var checkedThrough: UInt64
  var bodyLength: UInt64
  /// 0: inline.
  var bodyID: UInt64
  var isPurged: Bool { purges == .hard }
}

extension Writer {
  /// Objects moved on before one must go, whatever its use.
  private static let moveLimit = 64
  /// Chunks deleted in one group.
  private static let deletionLimit = 1_024

  /// Pages in use by everything in the environment.
  func pagesInUse(_ transaction: borrowing WriteTransaction) throws(LMDBError) -> Int {
    let databases = core.databases
    var pages = try transaction.size(databases.smallRecords).pages
    pages += try transaction.size(databases.mainRecords).pages
    pages += try transaction.size(databases.smallIndex).pages
    pages += try transaction.size(databases.mainIndex).pages
    pages += try transaction.size(databases.chunks).pages
    pages += try transaction.size(databases.purges).pages
    pages += try transaction.size(databases.state).pages
    pages += try transaction.size(.freeList).pages
    pages += try transaction.size(.names).pages
    return pages
  }

  /// Evicts until `pages` more fit within what is to be in use; false if they cannot.
  func makeRoom(_ pages: Int, _ transaction: borrowing WriteTransaction) throws(LMDBError) -> Bool {
    // What is evicted stays as long as the process before this one may be sending it: with more than a little of
    // it the map would be full, which is a failure, and not a store that takes nothing for a while.
    if group.leavingPages > 2 * groupPages, core.hasPredecessor.load(ordering: .acquiring) {
      return false
    }
    while try pagesInUse(transaction) - group.leavingPages + pages > targetPages {
      guard try evictOne(transaction) else { return false }
    }
    return true
  }

  // MARK: S3-FIFO

  /// Evicts one object; false if there is none.
  func evictOne(_ transaction: borrowing WriteTransaction) throws(LMDBError) -> Bool {
    for moved in 0...Self.moveLimit {
      let queue = try fullerQueue(transaction)
      guard let head = try head(of: queue, transaction) else { return false }
      let entry = find(head.hash)
      let isCurrent = entry?.id == head.id
      let isUsed = EvictionPolicy.stays(uses: entry?.frequency ?? 0, inSmall: queue == .small)
      if let entry, isCurrent, isUsed, !head.isPurged, moved < Self.moveLimit {
        try move(head, entry, from: queue, transaction)
        continue
      }
      if queue == .small && isCurrent && !head.isPurged { ghosts.insert(head.hash) }
      try delete(id: head.id, queue: queue, transaction)
      group.evictions += 1
      return true
    }
    return false
  }

  /// The small queue while it has more than its tenth, else the main one.
  private func fullerQueue(_ transaction: borrowing WriteTransaction) throws(LMDBError) -> Queue {
    let records = try transaction.size(core.databases.smallRecords)
    let index = try transaction.size(core.databases.smallIndex)
    if index.entries == 0 { return .main }
    if try transaction.size(core.databases.mainIndex).entries == 0 { return .small }
    let pages = records.pages + index.pages + accounts.smallChunkPages
    return EvictionPolicy.takesFromSmall(pages, of: limitPages) ? .small : .main
  }

  private func head(of queue: Queue, _ transaction: borrowing WriteTransaction)
    throws(LMDBError) -> QueueHead?
  {
    var found: (id: UInt64, index: IndexView)?
    var isDamaged = false
    try transaction.scan(core.databases.index(queue)) { id, bytes in
      if let index = IndexView(bytes) { found = (id, index) } else { isDamaged = true }
      return false
    }
    if isDamaged { throw .corrupted }
    guard let (id, index) = found else { return nil }
    let current = core.ledger.sequence
    let purges = try purges(of: index, id, queue, through: current, transaction)
    return QueueHead(
      id: id, hash: index.keyHash, purges: purges, checkedThrough: current,
      bodyLength: index.bodyLength, bodyID: index.bodyID)
  }

  /// What purges newer than an object say of it.
  private func purges(
    of index: IndexView, _ id: UInt64, _ queue: Queue, through current: UInt64,
    _ transaction: borrowing WriteTransaction
  ) throws(LMDBError) -> PurgeState {
    if index.isRules || index.sequence >= current { return .none }
    patterns.update(from: core.ledger)
    var tags = index.tags
    var facts: ObjectFacts?
    if index.hasFarTags || patterns.isAnyNewer(than: index.sequence) {
      // Else the record is left alone: its pages may not be in memory.
      working.begin(index.keyHash)
      let record = try transaction.get(core.databases.records(queue), id)
      guard let record = record.flatMap({ RecordView($0) }) else { return .none }
      tags = record.tags
      facts = ObjectFacts(record)
    }
    let state = core.ledger.index.state(of: tags, since: index.sequence, through: current)
    guard let facts else { return state }
    return state.joined(patterns.state(of: facts, since: index.sequence))
  }

  /// Appends an object to the main queue again, byte for byte, under a new id.
  private func move(
    _ head: QueueHead, _ entry: TableEntry, from queue: Queue,
    _ transaction: borrowing WriteTransaction
  ) throws(LMDBError) {
    let databases = core.databases
    working.begin(head.hash)
    guard let record = try transaction.get(databases.records(queue), head.id),
      let index = try transaction.get(databases.index(queue), head.id)
    else { throw .corrupted }
    // Copied: a view is good until the transaction's next change.
    recordScratch.removeAll()
    recordScratch.append(record)
    scratch.removeAll()
    guard let index = IndexView(index) else { throw .corrupted }
    IndexLayout.encode(index, softTime: head.purges.softTime, onto: &scratch)
    let isSoft = index.isSoft || head.purges != .none
    try transaction.delete(databases.records(queue), head.id)
    try transaction.delete(databases.index(queue), head.id)
    let id = accounts.nextID
    accounts.nextID += 1
    try transaction.put(databases.mainRecords, id, recordScratch.view, append: true)
    try transaction.put(databases.mainIndex, id, scratch.view, append: true)
    let uses = EvictionPolicy.uses(afterMove: entry.frequency, fromSmall: queue == .small)
    let moved = TableEntry(
      id: id, queue: .main, frequency: uses, isRules: entry.isRules,
      isVerified: entry.isVerified, isSoft: isSoft)
    note(moved, at: head.hash, replacing: head.id, checkedThrough: head.checkedThrough)
    if head.bodyID != 0 {
      let pages = pages(ofBody: head.bodyID, length: head.bodyLength)
      accounts.addChunkPages(-pages, to: queue)
      accounts.addChunkPages(pages, to: .main)
      if var body = sliced[head.bodyID] {
        body.queue = .main
        setSliced(head.bodyID, body)
      }
    }
    group.reinsertions += 1
  }

  // MARK: Chunks of bodies that are gone

  /// Gives turns that may see retired bodies a moment to end.
  func awaitTurns() {
    for _ in 0..<50 {
      let isWaiting = accounts.retired.contains {
        !core.epochs.hasPassed($0.epoch) && !core.isPinned($0.id)
      }
      if !isWaiting { return }
      _ = poll(nil, 0, 1)
    }
  }

  /// Whether no turn can see the body any more and no reader is sending it.
  func isDeletable(_ body: RetiredBody) -> Bool {
    core.epochs.hasPassed(body.epoch) && !core.isPinned(body.id)
      && !core.hasPredecessor.load(ordering: .acquiring)
  }

  /// Deletes the chunks of retired bodies, a bounded number of them.
  func deleteRetired(_ transaction: borrowing WriteTransaction) throws(LMDBError) {
    var budget = Self.deletionLimit
    var kept: [RetiredBody] = []
    for body in accounts.retired {
      guard budget > 0, isDeletable(body) else {
        kept.append(body)
        continue
      }
      let (chunks, isAll) = try chunks(of: body.id, limit: budget, transaction)
      var left = body
      for chunk in chunks {
        try transaction.delete(core.databases.chunks, chunk.key)
        left.pages -= chunk.pages
      }
      if isAll { left.pages = 0 }
      group.leavingPages -= body.pages - left.pages
      budget -= chunks.count
      if !isAll { kept.append(left) }
    }
    accounts.retired = kept
  }

  /// The chunks that a body has, at most `limit`, and whether that is all of them.
  private func chunks(
    of body: UInt64, limit: Int, _ transaction: borrowing WriteTransaction
  ) throws(LMDBError) -> (chunks: [(key: UInt64, pages: Int)], isAll: Bool) {
    var chunks: [(key: UInt64, pages: Int)] = []
    var isAll = true
    try transaction.scan(core.databases.chunks, from: ChunkKey.make(body, 0)) { key, value in
      guard ChunkKey.body(key) == body else { return false }
      isAll = chunks.count < limit
      if isAll { chunks.append((key, ChunkSize.pages(ofValue: value.count))) }
      return isAll
    }
    return (chunks, isAll)
  }
}
