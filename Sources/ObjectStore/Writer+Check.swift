import Bytes
import Checksum
import LMDB

/// The store's invariants, all of them, for tests.
extension Writer {
  /// What does not hold; empty if all is well. On the writer's thread, between groups.
  func faults() -> [String] {
    var check = StoreCheck()
    do throws(LMDBError) {
      let transaction = try core.environment.beginRead()
      try check.objects(.small, self, transaction)
      try check.objects(.main, self, transaction)
      try check.chunks(self, transaction)
      try check.totals(self, transaction)
    } catch {
      check.faults.append("reading: \(error)")
    }
    return check.faults
  }
}

private struct StoreCheck {
  var faults: [String] = []
  var objects = 0
  var chunkPages: [Queue: Int] = [:]
  /// Lengths of bodies that records name.
  var bodies: [UInt64: UInt64] = [:]
  /// Bodies of them that may lack chunks, and the queues of their records.
  var sliced: [UInt64: Queue] = [:]
  var tagCounts: [UInt64: UInt32] = [:]

  /// Index against records and table.
  mutating func objects(
    _ queue: Queue, _ writer: Writer, _ transaction: borrowing ReadTransaction
  ) throws(LMDBError) {
    let databases = writer.core.databases
    var ids: [UInt64] = []
    try transaction.scan(databases.index(queue)) { id, _ in
      ids.append(id)
      return true
    }
    let records = try transaction.size(databases.records(queue)).entries
    if records != ids.count { faults.append("\(queue): \(ids.count) entries, \(records) records") }
    for id in ids {
      guard let bytes = try transaction.get(databases.index(queue), id),
        let index = IndexView(bytes)
      else {
        faults.append("\(queue) \(id): index entry malformed")
        continue
      }
      let record = try transaction.get(databases.records(queue), id).flatMap { RecordView($0) }
      guard let record else {
        faults.append("\(queue) \(id): record missing or malformed")
        continue
      }
      object(id, queue, index, record, writer)
    }
    objects += ids.count
  }

  private mutating func object(
    _ id: UInt64, _ queue: Queue, _ index: IndexView, _ record: RecordView, _ writer: Writer
  ) {
    func expect(_ holds: Bool, _ what: String) {
      if !holds { faults.append("\(queue) \(id): \(what)") }
    }
    expect(Checksum.of(record.bytes.dropping(first: 8)) == record.checksum, "checksum")
    expect(index.keyHash == record.keyHash, "hash of index and record differ")
    expect(index.bodyID == record.bodyID && index.bodyLength == record.bodyLength, "body differs")
    expect(index.sequence == record.sequence, "sequence differs")
    expect(index.recordSize == record.bytes.count, "size differs")
    expect(index.isRules == record.isRules, "kind differs")
    expect(index.isSoft || index.expiry == record.metadata.expiry, "expiry differs")
    expect(index.isSliced == record.isSliced, "slicing differs")
    expect(index.tagCount == record.tagCount, "tags differ")
    expect(index.hasFarTags || index.tags.bytes == record.tags.bytes, "tags differ")
    expect(id < writer.accounts.nextID && record.birth <= id, "id out of range")
    let slot = writer.core.table.find(index.keyHash)
    expect(slot?.entry.id == id && slot?.entry.queue == queue, "not in the table")
    expect(slot?.entry.isRules == record.isRules, "kind in the table differs")
    expect(!index.isSoft || slot?.entry.isSoft == true, "soft purge not in the table")
    for tag in 0..<record.tagCount {
      let tag = record.tags[tag]
      if writer.core.ledger.index.newestHard(tag) <= record.sequence {
        tagCounts[tag, default: 0] += 1
      }
    }
    if record.bodyID != 0 {
      expect(bodies[record.bodyID] == nil, "shares its body")
      bodies[record.bodyID] = record.bodyLength
      if record.isSliced {
        sliced[record.bodyID] = queue
      } else {
        chunkPages[queue, default: 0] += ChunkSize.pages(ofBody: record.bodyLength)
      }
    }
  }

  /// Chunks against records, bodies under way and bodies to be deleted.
  mutating func chunks(_ writer: Writer, _ transaction: borrowing ReadTransaction)
    throws(LMDBError)
  {
    var found: [UInt64: UInt64] = [:]
    var slicedPages: [UInt64: Int] = [:]
    var wrong: [String] = []
    try transaction.scan(writer.core.databases.chunks) { key, value in
      let body = ChunkKey.body(key)
      let number = key & (ChunkKey.numberLimit - 1)
      found[body, default: 0] += 1
      if let queue = sliced[body] {
        slicedPages[body, default: 0] += ChunkSize.pages(ofValue: value.count)
        chunkPages[queue, default: 0] += ChunkSize.pages(ofValue: value.count)
      }
      let bytes = value.prefix(value.count - ChunkSize.trailer)
      if Checksum.of(bytes) != value.uint64(at: bytes.count) {
        wrong.append("chunk \(body)/\(number): checksum")
      }
      if let length = bodies[body],
        UInt64(bytes.count) != ChunkSize.bytes(length, number: number)
      {
        wrong.append("chunk \(body)/\(number): \(bytes.count) bytes")
      }
      return true
    }
    faults += wrong
    for body in sliced.keys {
      let known = writer.sliced[body]
      if known?.chunks != found[body] ?? 0 || known?.pages != slicedPages[body] ?? 0
        || known?.length != bodies[body] || known?.queue != sliced[body]
      {
        faults.append("sliced body \(body): \(String(describing: known)) is not what is there")
      }
    }
    if writer.sliced.count != sliced.count {
      faults.append("\(writer.sliced.count) sliced bodies known, \(sliced.count) there")
    }
    for (body, length) in bodies
    where sliced[body] == nil && found[body] != ChunkSize.count(length) {
      faults.append("body \(body): \(found[body] ?? 0) chunks of \(ChunkSize.count(length))")
    }
    let retired = Set(writer.accounts.retired.map(\.id))
    for body in found.keys where bodies[body] == nil {
      if writer.accounts.pending[body] == nil && !retired.contains(body) {
        faults.append("body \(body): nobody's chunks")
      }
    }
  }

  /// What is counted against what there is.
  mutating func totals(_ writer: Writer, _ transaction: borrowing ReadTransaction)
    throws(LMDBError)
  {
    let accounts = writer.accounts
    func expect(_ value: Int, _ expected: Int, _ what: String) -> [String] {
      value == expected ? [] : ["\(what): \(value) instead of \(expected)"]
    }
    faults += expect(writer.core.table.count, objects, "entries of the table")
    faults += expect(accounts.objects, objects, "objects counted")
    faults += expect(accounts.smallChunkPages, chunkPages[.small] ?? 0, "small chunk pages")
    faults += expect(accounts.mainChunkPages, chunkPages[.main] ?? 0, "main chunk pages")
    let pending = accounts.pending.values.reduce(0) { $0 + $1.pages }
    faults += expect(accounts.pendingPages, pending, "pages of bodies under way")
    if writer.core.ledger.tagCounts != tagCounts { faults.append("counts of tags differ") }
    if objects > 10_000 && writer.core.table.bytes > objects * 40 {
      faults.append("table of \(writer.core.table.bytes) bytes for \(objects) objects")
    }
    var pages = 0
    for database in writer.core.databases.all { pages += try transaction.size(database).pages }
    let leaving = accounts.retired.reduce(0) { $0 + $1.pages }
    // A group's lists of free pages are written after its space was made.
    let slack = writer.limitPages / 256 + 64
    if pages - leaving > writer.limitPages + slack && objects > 0 {
      faults.append("\(pages) pages in use, \(leaving) leaving, of \(writer.limitPages)")
    }
    if writer.core.environment.usedPages > writer.core.environment.mapSize / 4096 {
      faults.append("the file is larger than the map")
    }
  }
}
