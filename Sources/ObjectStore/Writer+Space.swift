import Bytes
import CLinux
import LMDB

/// What evicting the head of a queue needs to know of it.
private struct QueueHead {
  var id: UInt64
  var hash: Hash128
  var isPurged: Bool
  /// The purge through which `isPurged` holds.
  var checkedThrough: UInt64
  var bodyLength: UInt64
  var hasBody: Bool
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
      let isUsed = (entry?.frequency ?? 0) >= (queue == .small ? 2 : 1)
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
    return pages > limitPages / 10 ? .small : .main
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
    var tags: TagList? = index.tags
    if index.hasFarTags {
      // Else the record is left alone: its pages may not be in memory.
      let record = try transaction.get(core.databases.records(queue), id)
      tags = record.flatMap { RecordView($0) }?.tags
    }
    let current = core.ledger.sequence
    let isPurged = tags.map {
      core.ledger.index.matches($0, since: index.sequence, through: current)
    }
    return QueueHead(
      id: id, hash: index.keyHash, isPurged: isPurged ?? false, checkedThrough: current,
      bodyLength: index.bodyLength, hasBody: index.bodyID != 0)
  }

  /// Appends an object to the main queue again, byte for byte, under a new id.
  private func move(
    _ head: QueueHead, _ entry: TableEntry, from queue: Queue,
    _ transaction: borrowing WriteTransaction
  ) throws(LMDBError) {
    let databases = core.databases
    guard let record = try transaction.get(databases.records(queue), head.id),
      let index = try transaction.get(databases.index(queue), head.id)
    else { throw .corrupted }
    // Copied: a view is good until the transaction's next change.
    recordScratch.removeAll()
    recordScratch.append(record)
    scratch.removeAll()
    scratch.append(index)
    try transaction.delete(databases.records(queue), head.id)
    try transaction.delete(databases.index(queue), head.id)
    let id = accounts.nextID
    accounts.nextID += 1
    try transaction.put(databases.mainRecords, id, recordScratch.view, append: true)
    try transaction.put(databases.mainIndex, id, scratch.view, append: true)
    let frequency = queue == .small ? 0 : entry.frequency - 1
    let moved = TableEntry(
      id: id, queue: .main, frequency: frequency, isRules: entry.isRules,
      isVerified: entry.isVerified)
    note(moved, at: head.hash, replacing: head.id, checkedThrough: head.checkedThrough)
    if head.hasBody {
      let pages = ChunkSize.pages(ofBody: head.bodyLength)
      accounts.addChunkPages(-pages, to: queue)
      accounts.addChunkPages(pages, to: .main)
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
  }

  /// Deletes the chunks of retired bodies, a bounded number of them.
  func deleteRetired(_ transaction: borrowing WriteTransaction) throws(LMDBError) {
    var budget = Self.deletionLimit
    var kept: [RetiredBody] = []
    for body in accounts.retired {
      var body = body
      guard budget > 0, isDeletable(body) else {
        kept.append(body)
        continue
      }
      let before = body.pages
      while body.chunks > 0 && budget > 0 {
        body.chunks -= 1
        budget -= 1
        let key = ChunkKey.make(body.id, body.chunks)
        try transaction.delete(core.databases.chunks, key)
        // All but the last are full; what is left over goes with the last one.
        body.pages = min(body.pages, Int(clamping: body.chunks) * 64)
      }
      group.leavingPages -= before - body.pages
      if body.chunks > 0 { kept.append(body) }
    }
    accounts.retired = kept
  }
}
