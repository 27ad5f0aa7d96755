import Bytes
import LMDB

/// The pass over the index with which a store starts: builds the table and the counts, and finds the
/// chunks that no record names (of fills that a crash cut off).
struct Loading {
  let core: StoreCore
  private var loaded = Accounts(nextID: 1, reservedIDs: 1, reservedBodies: 1)
  /// Body ids that records name.
  private var bodies: Set<UInt64> = []
  private var lastBody: UInt64 = 0
  private var lastSequence: UInt64 = 0
  private(set) var hasPurges = false

  init(core: StoreCore) { self.core = core }

  /// Reads everything.
  mutating func load(journal: [PurgeEntry], folded: UInt64) throws(OpeningFault) {
    do throws(LMDBError) {
      let transaction = try core.environment.beginRead()
      try loadPurges(journal, folded, transaction)
      let databases = core.databases
      let objects =
        try transaction.size(databases.smallIndex).entries
        + transaction.size(databases.mainIndex).entries
      core.table.reserve(objects)
      try loadIndex(.small, transaction)
      try loadIndex(.main, transaction)
      try findOrphans(transaction)
    } catch {
      throw OpeningFault(error)
    }
    // Above every number in store and journal; set last, when all are known.
    core.ledger.begin(at: lastSequence)
  }

  /// What the writer begins with, above every id that may have been used.
  func accounts(objectIDs: UInt64, bodyIDs: UInt64) -> Accounts {
    var accounts = loaded
    accounts.nextID = max(loaded.nextID, objectIDs, 1)
    accounts.reservedIDs = accounts.nextID
    accounts.reservedBodies = max(lastBody + 1, bodyIDs, 1)
    return accounts
  }

  private mutating func loadPurges(
    _ journal: [PurgeEntry], _ folded: UInt64, _ transaction: borrowing ReadTransaction
  ) throws(LMDBError) {
    var entries: [PurgeEntry] = []
    try transaction.scan(core.databases.purges) { tag, value in
      if value.count >= 8 {
        entries.append(PurgeEntry(sequence: value.uint64(at: 0), tag: tag))
      }
      return true
    }
    let unfolded = journal.filter { $0.sequence > folded }
    lastSequence = folded
    for entry in entries + unfolded { lastSequence = max(lastSequence, entry.sequence) }
    hasPurges = !entries.isEmpty || !unfolded.isEmpty
    core.ledger.restore(folded: entries, unfolded: unfolded)
  }

  private mutating func loadIndex(_ queue: Queue, _ transaction: borrowing ReadTransaction)
    throws(LMDBError)
  {
    var changes: [TagChange] = []
    var tags: [UInt64] = []
    var far: [UInt64] = []
    var isDamaged = false
    try transaction.scan(core.databases.index(queue)) { id, bytes in
      guard let index = IndexView(bytes), id != 0, id <= TableEntry.idMask else {
        isDamaged = true
        return false
      }
      add(index, id, queue)
      if index.hasFarTags {
        far.append(id)
      } else {
        append(index.tags, index.sequence, &changes, &tags)
      }
      return true
    }
    if isDamaged { throw .corrupted }
    for id in far {
      guard let bytes = try transaction.get(core.databases.records(queue), id),
        let record = RecordView(bytes)
      else { continue }
      append(record.tags, record.sequence, &changes, &tags)
    }
    core.ledger.apply(changes, tags: tags)
  }

  private mutating func add(_ index: IndexView, _ id: UInt64, _ queue: Queue) {
    let entry = TableEntry(id: id, queue: queue, isRules: index.isRules)
    core.table.set(index.keyHash, entry, checkedThrough: index.sequence)
    loaded.objects += 1
    loaded.nextID = max(loaded.nextID, id + 1)
    lastSequence = max(lastSequence, index.sequence)
    guard index.bodyID != 0 else { return }
    bodies.insert(index.bodyID)
    lastBody = max(lastBody, index.bodyID)
    loaded.addChunkPages(ChunkSize.pages(ofBody: index.bodyLength), to: queue)
  }

  private func append(
    _ list: TagList, _ sequence: UInt64, _ changes: inout [TagChange], _ tags: inout [UInt64]
  ) {
    guard list.explicit > 0 else { return }
    let start = tags.count
    for index in 0..<list.explicit { tags.append(list[index]) }
    changes.append(TagChange(tags: start..<tags.count, sequence: sequence, isAddition: true))
  }

  /// One seek for each body: those that a record names are passed over.
  private mutating func findOrphans(_ transaction: borrowing ReadTransaction) throws(LMDBError) {
    var next: UInt64 = 0
    while true {
      var found: UInt64?
      var orphan = RetiredBody(id: 0, chunks: 0, pages: 0, epoch: 0)
      let known = bodies
      try transaction.scan(core.databases.chunks, from: next) { key, value in
        let body = ChunkKey.body(key)
        if let found, body != found { return false }
        found = body
        if known.contains(body) { return false }
        orphan.id = body
        orphan.chunks = (key & (ChunkKey.numberLimit - 1)) + 1
        orphan.pages += (16 + value.count + 4095) / 4096
        return true
      }
      guard let body = found else { return }
      lastBody = max(lastBody, body)
      if orphan.chunks > 0 { loaded.retired.append(orphan) }
      next = ChunkKey.make(body + 1, 0)
    }
  }
}
