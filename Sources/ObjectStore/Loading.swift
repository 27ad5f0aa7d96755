import Bytes
import LMDB

/// The pass over the index with which a store starts: builds the table and the counts, and finds the
/// chunks that no record names (of fills that a crash cut off).
struct Loading {
  let core: StoreCore
  private var loaded = Accounts(nextID: 1, reservedIDs: 1, reservedBodies: 1)
  /// Body ids that records name, but for sliced ones.
  private var bodies: Set<UInt64> = []
  /// Sliced bodies that records name.
  private(set) var sliced: [UInt64: SlicedBody] = [:]
  private var lastBody: UInt64 = 0
  private var lastSequence: UInt64 = 0
  private(set) var hasPurges = false
  /// How much objects were used, as of some time in the last run.
  private let recency: RecencyFile?

  init(core: StoreCore) {
    self.core = core
    recency = RecencyFile(reading: core.directory.file("recency"), of: core)
  }

  /// Reads everything.
  mutating func load(
    journal: [PurgeEntry], folded: UInt64, patterns: [PatternPurge], last: UInt64
  ) throws(OpeningFault) {
    do throws(LMDBError) {
      let transaction = try core.environment.beginRead()
      try loadPurges(journal, folded, patterns, transaction)
      lastSequence = max(lastSequence, last)
      let databases = core.databases
      let objects =
        try transaction.size(databases.smallIndex).entries
        + transaction.size(databases.mainIndex).entries
      core.table.reserve(objects)
      try loadIndex(.small, transaction)
      try loadIndex(.main, transaction)
      try lookAtChunks(transaction)
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
    _ journal: [PurgeEntry], _ folded: UInt64, _ patterns: [PatternPurge],
    _ transaction: borrowing ReadTransaction
  ) throws(LMDBError) {
    var entries: [PurgeEntry] = []
    try transaction.scan(core.databases.purges) { tag, value in
      entries += PurgeLayout.entries(of: tag, in: value)
      return true
    }
    let unfolded = journal.filter { $0.sequence > folded }
    lastSequence = folded
    for entry in entries + unfolded { lastSequence = max(lastSequence, entry.sequence) }
    hasPurges = !entries.isEmpty || !unfolded.isEmpty || !patterns.isEmpty
    core.ledger.restore(folded: entries, unfolded: unfolded, patterns: patterns)
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
    let entry = TableEntry(
      id: id, queue: queue, frequency: recency?.uses(of: id) ?? 0, isRules: index.isRules,
      isSoft: index.isSoft)
    core.table.set(index.keyHash, entry, checkedThrough: index.sequence)
    loaded.objects += 1
    loaded.nextID = max(loaded.nextID, id + 1)
    lastSequence = max(lastSequence, index.sequence)
    guard index.bodyID != 0 else { return }
    lastBody = max(lastBody, index.bodyID)
    if index.isSliced {
      sliced[index.bodyID] = SlicedBody(length: index.bodyLength, queue: queue)
      return
    }
    bodies.insert(index.bodyID)
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

  /// Finds the chunks that no record names, and counts those of sliced bodies. One seek for each body:
  /// the chunks of others are passed over.
  private mutating func lookAtChunks(_ transaction: borrowing ReadTransaction) throws(LMDBError) {
    var next: UInt64 = 0
    while true {
      var found: UInt64?
      var chunks: UInt64 = 0
      var pages = 0
      let known = bodies
      try transaction.scan(core.databases.chunks, from: next) { key, value in
        let body = ChunkKey.body(key)
        if let found, body != found { return false }
        found = body
        if known.contains(body) { return false }
        chunks += 1
        pages += ChunkSize.pages(ofValue: value.count)
        return true
      }
      guard let body = found else { return }
      lastBody = max(lastBody, body)
      next = ChunkKey.make(body + 1, 0)
      if chunks == 0 { continue }
      if let queue = sliced[body]?.queue {
        sliced[body]?.chunks = chunks
        sliced[body]?.pages = pages
        loaded.addChunkPages(pages, to: queue)
      } else {
        loaded.retired.append(RetiredBody(id: body, pages: pages, epoch: 0))
      }
    }
  }
}
