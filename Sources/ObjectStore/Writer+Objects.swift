import Bytes
import CLinux
import Checksum
import Crashes
import LMDB

extension Writer {
  /// Carries one operation out within the transaction.
  func apply(_ operation: Operation, _ transaction: borrowing WriteTransaction)
    throws(LMDBError) -> StoreOutcome
  {
    switch operation {
    case .chunk(let body, let number, let bytes, let count, _):
      return try storeChunk(body, number, bytes.view(0..<count), transaction)
    case .slice(let body, let number, let bytes, let count, _):
      return try storeSlice(body, number, bytes.view(0..<count), transaction)
    case .store(let object, _):
      return try store(object, transaction)
    case .freshen(let freshening, _):
      return try freshen(freshening, transaction)
    case .dropBody(let body):
      dropPending(body)
    case .remove(let hash, let birth):
      try remove(hash, transaction) { $0.birth == birth }
    case .removeSliced(let hash, let body):
      try remove(hash, transaction) { $0.isSliced && $0.bodyID == body }
    case .removeDamaged(let hash, let id):
      if let entry = find(hash), entry.id == id {
        try delete(id: id, queue: entry.queue, transaction)
      }
    case .barrier: break
    }
    return .stored(id: 0)
  }

  // MARK: Chunks

  private func storeChunk(
    _ body: UInt64, _ number: UInt32, _ bytes: ByteView,
    _ transaction: borrowing WriteTransaction
  ) throws(LMDBError) -> StoreOutcome {
    var pending = accounts.pending[body] ?? PendingBody()
    let pages = ChunkSize.pages(ofChunk: bytes.count)
    let isInOrder =
      UInt64(number) == pending.chunks
      && pending.bytes == pending.chunks * UInt64(ObjectStore.chunkSize)
    // Half of the space at most for bodies under way: they cannot be evicted.
    guard isInOrder, accounts.pendingPages + pages <= limitPages / 2,
      try makeRoom(pages + 2, transaction)
    else {
      // The rest of the body will be out of order, and so refused as well.
      dropPending(body)
      return .refused
    }
    if body >= accounts.reservedBodies {
      accounts.reservedBodies = body + 65_536
      try put(.bodyIDs, accounts.reservedBodies, transaction)
    }
    try putChunk(ChunkKey.make(body, UInt64(number)), bytes, transaction)
    pending.chunks += 1
    pending.bytes += UInt64(bytes.count)
    pending.pages += pages
    accounts.pending[body] = pending
    accounts.pendingPages += pages
    return .stored(id: 0)
  }

  private func putChunk(
    _ key: UInt64, _ bytes: ByteView, _ transaction: borrowing WriteTransaction
  ) throws(LMDBError) {
    let sum = Checksum.of(bytes)
    let size = bytes.count + ChunkSize.trailer
    try unsafe transaction.put(core.databases.chunks, key, size: size) { memory in
      guard let base = memory.baseAddress else { return }
      // Safe: `memory` has room for the bytes and 8 more.
      unsafe memcpy(base, bytes.baseAddress, bytes.count)
      unsafe (base + bytes.count).storeBytes(of: sum.littleEndian, as: UInt64.self)
    }
  }

  /// Stores a chunk of a sliced body; refused if no record has that body any more, or if the body takes
  /// more than half of the space. A chunk that is there already stays as it is.
  private func storeSlice(
    _ body: UInt64, _ number: UInt32, _ bytes: ByteView,
    _ transaction: borrowing WriteTransaction
  ) throws(LMDBError) -> StoreOutcome {
    guard let known = sliced[body], UInt64(number) < ChunkSize.count(known.length),
      UInt64(bytes.count) == ChunkSize.bytes(known.length, number: UInt64(number))
    else { return .refused }
    let key = ChunkKey.make(body, UInt64(number))
    if try transaction.get(core.databases.chunks, key) != nil { return .stored(id: 0) }
    let pages = ChunkSize.pages(ofChunk: bytes.count)
    // Making room may evict the very object.
    guard known.pages + pages <= limitPages / 2, try makeRoom(pages + 2, transaction),
      var current = sliced[body]
    else { return .refused }
    try putChunk(key, bytes, transaction)
    current.chunks += 1
    current.pages += pages
    accounts.addChunkPages(pages, to: current.queue)
    setSliced(body, current)
    return .stored(id: 0)
  }

  /// Drops a body that gets no record.
  func dropPending(_ body: UInt64) {
    guard let pending = accounts.pending.removeValue(forKey: body) else { return }
    accounts.pendingPages -= pending.pages
    guard pending.chunks > 0 else { return }
    // No record ever named it: no turn can have seen it.
    accounts.retired.append(
      RetiredBody(id: body, pages: pending.pages, epoch: 0))
    group.leavingPages += pending.pages
  }

  /// Whether all of a body's chunks are there.
  private func isComplete(_ body: UInt64, length: UInt64) -> Bool {
    guard let pending = accounts.pending[body] else { return false }
    return pending.bytes == length && pending.chunks == ChunkSize.count(length)
  }

  // MARK: Storing

  private func store(_ object: NewObject, _ transaction: borrowing WriteTransaction)
    throws(LMDBError) -> StoreOutcome
  {
    let outcome = try storeIfPossible(object, transaction)
    if case .chunks(let body, _) = object.body {
      if case .stored = outcome {
        let pending = accounts.pending.removeValue(forKey: body)
        accounts.pendingPages -= pending?.pages ?? 0
      } else {
        dropPending(body)
      }
    }
    return outcome
  }

  private func storeIfPossible(_ object: NewObject, _ transaction: borrowing WriteTransaction)
    throws(LMDBError) -> StoreOutcome
  {
    // Taken before the test: what comes in between is tested by who looks the object up.
    let checked = core.ledger.sequence
    var source = RecordSource(object, under: object.keyHash, birth: accounts.nextID)
    let purges = try purges(of: source, object.varyRule ?? [], object.varyValues, transaction)
    if purges == .hard { return .purged }
    if case .chunks(let body, let length) = object.body, !isComplete(body, length: length) {
      return .refused
    }
    let size = Operation.store(object, { _ in }).cost
    guard try makeRoom(size / 4096 + 4, transaction) else { return .refused }

    let rule = object.varyRule ?? []
    let known = try rules(object.keyHash, object.key, transaction)
    if rule.isEmpty && known == nil {
      source.birth = accounts.nextID
      source.softTime = purges.softTime
      return .stored(id: try replace(with: source, checkedThrough: checked, transaction))
    }
    try putRules(rule, before: known ?? [], of: object, transaction)
    source.keyHash = variantHash(object.keyHash, rule, object.varyValues)
    source.birth = accounts.nextID
    source.rule = rule
    source.values = object.varyValues
    source.softTime = purges.softTime
    return .stored(id: try replace(with: source, checkedThrough: checked, transaction))
  }

  private func variantHash(_ primary: Hash128, _ rule: [UInt8], _ values: [UInt8]) -> Hash128 {
    rule.withView { rule in values.withView { core.variantHash(primary, rule, $0) } }
  }

  /// What purges newer than a record's sequence say of it before it is stored.
  private func purges(
    of source: RecordSource, _ rule: [UInt8], _ values: [UInt8],
    _ transaction: borrowing WriteTransaction
  ) throws(LMDBError) -> PurgeState {
    let state = core.ledger.stateOfTags(
      since: source.sequence, tags: source.tags + source.implicitTags)
    patterns.update(from: core.ledger)
    guard state != .hard, patterns.isAnyNewer(than: source.sequence) else { return state }
    var source = source
    let known = try rules(source.keyHash, source.key, transaction)
    if !rule.isEmpty || known != nil {
      source.keyHash = variantHash(source.keyHash, rule, values)
    }
    let since = source.sequence
    return state.joined(source.withFacts { patterns.state(of: $0, since: since) })
  }

  /// The Vary rules of a key; nil if it has none.
  private func rules(
    _ hash: Hash128, _ key: [UInt8], _ transaction: borrowing WriteTransaction
  ) throws(LMDBError) -> [[UInt8]]? {
    guard let entry = find(hash), entry.isRules,
      let bytes = try transaction.get(core.databases.records(entry.queue), entry.id),
      let record = RecordView(bytes), record.isRules, key.withView({ record.key == $0 })
    else { return nil }
    let rules = VaryRules(list: record.head)
    return (0..<rules.count).map { rules.rule($0).array }
  }

  /// Makes `rule` the newest of the key's rules, if it is not already.
  private func putRules(
    _ rule: [UInt8], before known: [[UInt8]], of object: NewObject,
    _ transaction: borrowing WriteTransaction
  ) throws(LMDBError) {
    if known.first == rule { return }
    let list = ([rule] + known.filter { $0 != rule }).prefix(RecordLayout.ruleLimit)
    let source = RecordSource(
      rules: Array(list), key: object.key, keyHash: object.keyHash, birth: accounts.nextID,
      sequence: object.sequence)
    _ = try replace(with: source, checkedThrough: object.sequence, transaction)
  }

  /// Stores a record in place of what its hash names. A new hash goes into the small queue, or into the
  /// main one if the ghosts remember it.
  private func replace(
    with source: RecordSource, checkedThrough checked: UInt64, frequency: UInt64? = nil,
    _ transaction: borrowing WriteTransaction
  ) throws(LMDBError) -> UInt64 {
    let old = find(source.keyHash)
    var queue = Queue.small
    if let old {
      queue = old.queue
      try delete(
        id: old.id, queue: queue, isReplaced: true, keepingBody: source.bodyID, transaction)
    } else if ghosts.remove(source.keyHash) {
      queue = .main
    }
    let id = accounts.nextID
    accounts.nextID += 1
    try unsafe transaction.put(
      core.databases.records(queue), id, size: source.size, append: true
    ) { unsafe source.encode(into: $0) }
    scratch.removeAll()
    IndexLayout.encode(source, recordSize: source.size, onto: &scratch)
    try transaction.put(core.databases.index(queue), id, scratch.view, append: true)

    let entry = TableEntry(
      id: id, queue: queue, frequency: frequency ?? 0, isRules: source.isRules,
      isSoft: source.softTime != .max)
    note(entry, at: source.keyHash, replacing: old?.id, checkedThrough: checked)
    let start = group.tagPool.count
    group.tagPool.append(contentsOf: source.tags)
    noteTags(from: start, sequence: source.sequence, isAddition: true)
    if source.bodyID != 0 { take(source, into: queue) }
    accounts.objects += 1
    group.insertions += 1
    return id
  }

  /// Counts a record's body for the queue that the record stands in.
  private func take(_ source: RecordSource, into queue: Queue) {
    if source.isSliced {
      var body =
        sliced[source.bodyID] ?? SlicedBody(length: source.bodyLength, queue: queue)
      body.queue = queue
      setSliced(source.bodyID, body)
    }
    accounts.addChunkPages(pages(ofBody: source.bodyID, length: source.bodyLength), to: queue)
  }

  // MARK: Freshening and removing

  private func freshen(_ freshening: Freshening, _ transaction: borrowing WriteTransaction)
    throws(LMDBError) -> StoreOutcome
  {
    let checked = core.ledger.sequence
    guard try makeRoom(8, transaction) else { return .refused }
    working.begin(freshening.keyHash)
    guard let entry = find(freshening.keyHash),
      let bytes = try transaction.get(core.databases.records(entry.queue), entry.id),
      let record = RecordView(bytes), record.birth == freshening.id, !record.isRules,
      Checksum.of(bytes.dropping(first: 8)) == record.checksum
    else { return .replaced }
    var source = RecordSource(copying: record, birth: accounts.nextID)
    source.head = freshening.head
    source.metadata = freshening.metadata
    source.sequence = freshening.sequence
    if let tags = freshening.tags { source.tags = RecordSource.ordered(tags) }
    if let tags = freshening.implicitTags { source.implicitTags = RecordSource.ordered(tags) }
    var purges = core.ledger.stateOfTags(
      since: freshening.sequence, tags: source.tags + source.implicitTags)
    patterns.update(from: core.ledger)
    if purges != .hard, patterns.isAnyNewer(than: freshening.sequence) {
      purges = purges.joined(
        source.withFacts { patterns.state(of: $0, since: freshening.sequence) })
    }
    if purges == .hard { return .purged }
    source.softTime = purges.softTime
    let id = try replace(
      with: source, checkedThrough: checked, frequency: entry.frequency, transaction)
    return .stored(id: id)
  }

  /// Removes what a hash names if it is what is meant; also if that cannot be told.
  private func remove(
    _ hash: Hash128, _ transaction: borrowing WriteTransaction, if isMeant: (RecordView) -> Bool
  ) throws(LMDBError) {
    guard let entry = find(hash) else { return }
    working.begin(hash)
    let bytes = try transaction.get(core.databases.records(entry.queue), entry.id)
    if let record = bytes.flatMap({ RecordView($0) }), !isMeant(record) { return }
    try delete(id: entry.id, queue: entry.queue, transaction)
  }

  /// Deletes an object's record and index entry. Its body's chunks go later, unless they are kept. Its
  /// place in the table stays if it is replaced, so that no lookup misses in between.
  func delete(
    id: UInt64, queue: Queue, isReplaced: Bool = false, keepingBody kept: UInt64 = 0,
    _ transaction: borrowing WriteTransaction
  ) throws(LMDBError) {
    let databases = core.databases
    guard let bytes = try transaction.get(databases.index(queue), id), let index = IndexView(bytes)
    else { throw .corrupted }
    let hash = index.keyHash
    working.begin(hash)
    let body = index.bodyID
    let length = index.bodyLength
    try noteReached(id, queue, index, isMarked: false, transaction)
    let start = group.tagPool.count
    if index.hasFarTags {
      let record = try transaction.get(databases.records(queue), id).flatMap { RecordView($0) }
      if let record { collect(record.tags) }
    } else {
      collect(index.tags)
    }
    noteTags(from: start, sequence: index.sequence, isAddition: false)
    try transaction.delete(databases.index(queue), id)
    try transaction.delete(databases.records(queue), id)
    if !isReplaced && find(hash)?.id == id {
      group.overlay[ObjectTable.identity(hash)] = TableEntry(word: 0)
      group.effects.append(
        TableEffect(hash: hash, entry: TableEntry(word: 0), id: id, sequence: 0))
    }
    accounts.objects -= 1
    if body != 0 { leave(body, length, queue, isKept: body == kept) }
  }

  private func leave(_ body: UInt64, _ length: UInt64, _ queue: Queue, isKept: Bool) {
    let pages = pages(ofBody: body, length: length)
    accounts.addChunkPages(-pages, to: queue)
    guard !isKept else { return }
    if sliced[body] != nil { setSliced(body, nil) }
    group.retired.append(RetiredBody(id: body, pages: pages, epoch: 0))
    if !core.isPinned(body) { group.leavingPages += pages }
  }

  private func collect(_ tags: TagList) {
    for index in 0..<tags.explicit { group.tagPool.append(tags[index]) }
  }

  private func noteTags(from start: Int, sequence: UInt64, isAddition: Bool) {
    let tags = start..<group.tagPool.count
    guard !tags.isEmpty else { return }
    group.tagChanges.append(TagChange(tags: tags, sequence: sequence, isAddition: isAddition))
  }

  // MARK: The table as it will be

  /// The entry of a hash, with the changes of this group.
  func find(_ hash: Hash128) -> TableEntry? {
    if let entry = group.overlay[ObjectTable.identity(hash)] {
      return entry.word == 0 ? nil : entry
    }
    return core.table.find(hash)?.entry
  }

  /// Notes an entry that the commit will publish.
  func note(
    _ entry: TableEntry, at hash: Hash128, replacing old: UInt64?, checkedThrough: UInt64
  ) {
    group.overlay[ObjectTable.identity(hash)] = entry
    group.effects.append(
      TableEffect(hash: hash, entry: entry, id: entry.id, sequence: checkedThrough))
    if let old { group.moves.append((old, entry)) }
  }
}
