package import Bytes
package import Crashes
import EventLoop
import LMDB
import Synchronization

/// Stored responses on disk, shared by all workers.
package final class ObjectStore: Sendable {
  /// How many bytes of a body go into each chunk but the last.
  package static let chunkSize = 262_120
  /// How many bytes of a body are kept within the record; longer ones go into chunks.
  package static let inlineLimit = 16_384

  let core: StoreCore
  private let writer: Writer
  private let journal: Journal
  private let warmer: Warmer
  private let recency: RecencyKeeper
  private let nextBody: Atomic<UInt64>
  private let isClosed = Atomic<Bool>(false)
  /// Where purges go that this process may not write any more: the store is another's.
  private let successor = Hook<UInt64>()
  private let isHandedOver = Atomic<Bool>(false)
  /// What was unusual about the opening, for the log; nil if nothing was.
  package let openingNote: String?

  private init(_ opened: OpenedStore, note: String?) {
    core = opened.core
    writer = opened.writer
    journal = opened.journal
    nextBody = Atomic(opened.writer.accounts.reservedBodies)
    openingNote = note
    warmer = Warmer(opened.warmerReader)
    recency = RecencyKeeper(core: opened.core, slot: opened.core.takeReaderSlot())
    let writer = opened.writer
    journal.start(opened.journalFile) { [weak writer] in writer?.requestFolding() }
    writer.start()
    warmer.start()
    recency.start()
  }

  deinit { close() }

  /// Opens the store in `options.path`, making it if need be. Blocks; for the start of a node.
  ///
  /// A store that cannot be read is set aside and a fresh one made (see `openingNote`). Throws if the
  /// directory cannot be used at all, or is in use by another process.
  package static func open(_ options: StoreOptions) throws(StoreError) -> ObjectStore {
    try open(options, fault: nil)
  }

  /// As `open`; tests may have commits fail by their number.
  static func open(_ options: StoreOptions, fault: (@Sendable (UInt64) -> LMDBError?)?)
    throws(StoreError) -> ObjectStore
  {
    let directory = try StoreDirectory(options.path)
    var note = directory.note
    if let reason = directory.suspicion() { note = try directory.setAside(because: reason) }
    directory.beginOpening()
    defer { directory.endOpening() }
    do throws(OpeningFault) {
      let store = ObjectStore(try OpenedStore.open(directory, options, fault: fault), note: note)
      // While the mark stands: what cannot even be deleted ends in a store that is set aside.
      store.drop(options.dropped)
      return store
    } catch {
      guard case .bad(let reason) = error else {
        throw StoreError(path: options.path, reason: "the store cannot be opened: \(error)")
      }
      note = try directory.setAside(because: reason)
    }
    do throws(OpeningFault) {
      return ObjectStore(try OpenedStore.open(directory, options, fault: fault), note: note)
    } catch {
      throw StoreError(path: options.path, reason: "no store can be made: \(error)")
    }
  }

  /// Deletes objects; nobody finds them from now on, even if the disk does not take it. Blocks.
  private func drop(_ hashes: [Hash128]) {
    let found = hashes.compactMap { hash in core.table.find(hash).map { (hash, $0) } }
    guard !found.isEmpty else { return }
    for (hash, slot) in found where slot.markDamaged() {
      _ = core.queue.push(.removeDamaged(hash, id: slot.entry.id), isSmall: true)
    }
    flush()
  }

  /// A way to read, for one thread, which notes what it looks at. At most `StoreOptions.readers` may exist
  /// at a time.
  package func makeReader(noting note: ObjectNote = ObjectNote()) throws(StoreError) -> StoreReader
  {
    guard let slot = core.takeReaderSlot() else {
      throw StoreError(path: core.directory.path, reason: "more readers than were asked for")
    }
    do throws(LMDBError) {
      return try StoreReader(core: core, slot: slot, note: note)
    } catch {
      core.returnReaderSlot(slot)
      throw StoreError(path: core.directory.path, reason: "no reader can be made: \(error)")
    }
  }

  // MARK: Hashes

  /// The keyed hash of a full primary key.
  package func keyHash(_ key: ByteView) -> Hash128 { core.keyHash(key) }

  /// The hash that a variant is stored under.
  package func variantHash(primary: Hash128, rule: ByteView, values: ByteView) -> Hash128 {
    core.variantHash(primary, rule, values)
  }

  /// The keyed hash of a tag; never 0.
  package func tagHash(_ tag: ByteView) -> UInt64 { core.tagHash(tag) }

  // MARK: Fills

  /// The newest purge's number. Takes no lock.
  package var purgeSequence: UInt64 { core.ledger.sequence }

  /// Begins a fill (or a validation): end it with `endFill` after its last `store` has completed.
  package func beginFill() -> FillMark { core.ledger.beginFill() }

  /// Ends a fill.
  package func endFill(_ mark: FillMark) { core.ledger.endFill(mark) }

  /// Whether something newer than `sequence` purges an object with these tags, softly or not: then a
  /// request may not join the fill that brings it. Takes a short lock if there is anything newer at all.
  ///
  /// Without the object's URL, a newer purge by pattern counts as one that matches; one by a condition
  /// always does.
  package func isPurged(since sequence: UInt64, tags: [UInt64], url: ByteView? = nil) -> Bool {
    core.ledger.state(since: sequence, tags: tags, url: url) != .none
  }

  /// As `isPurged`, and how: what is purged softly may still be validated and, where stale responses
  /// may, served.
  package func purgeState(since sequence: UInt64, tags: [UInt64], url: ByteView? = nil)
    -> PurgeState
  {
    core.ledger.state(since: sequence, tags: tags, url: url)
  }

  /// A new body's id.
  package func makeBodyID() -> UInt64 { nextBody.add(1, ordering: .relaxed).oldValue }

  // MARK: Storing

  private var takesNoMore: Bool { core.counters.writingEnded.load(ordering: .relaxed) }

  /// Hands over a chunk of a body: exactly `chunkSize` bytes, or fewer for the last; `number` from 0,
  /// in order. The bytes are those that `bytes` holds at the call.
  ///
  /// The completion is called on the writer's thread: true once committed, false if refused. Returns
  /// false, takes nothing and never calls it if too much waits or writing has ended.
  package func storeChunk(
    body: UInt64, number: UInt32, _ bytes: SharedBytes,
    completion: @escaping @Sendable (Bool) -> Void
  ) -> Bool {
    let count = bytes.count
    precondition(count > 0 && count <= Self.chunkSize, "a chunk of a wrong size")
    guard !takesNoMore, body < ChunkKey.bodyLimit, UInt64(number) < ChunkKey.numberLimit else {
      return false
    }
    return core.queue.push(
      .chunk(body: body, number: number, bytes, count: count, completion))
  }

  /// Hands over a chunk of a sliced body (`NewBody.slices`), in any order, once `store` has said that its
  /// object is stored: chunk `number` holds the bytes from `number * chunkSize` on, `chunkSize` of them
  /// or, at the end, what is left. A slice is so many chunks as the caller likes.
  ///
  /// The completion is called on the writer's thread: true once committed (or there already), false if
  /// refused, which the body's object going for any reason is one. Returns false as `storeChunk` does.
  package func storeSlice(
    body: UInt64, number: UInt32, _ bytes: SharedBytes,
    completion: @escaping @Sendable (Bool) -> Void
  ) -> Bool {
    let count = bytes.count
    guard !takesNoMore, count > 0, count <= Self.chunkSize, body < ChunkKey.bodyLimit,
      UInt64(number) < ChunkKey.numberLimit
    else { return false }
    return core.queue.push(
      .slice(body: body, number: number, bytes, count: count, completion))
  }

  /// Removes the stored response of a hash if it still has that sliced body: the origin has another
  /// representation now, whose parts must not be put together with these (RFC 9110 §15.3.7.3).
  package func removeSliced(keyHash: Hash128, body: UInt64) {
    _ = core.queue.push(.removeSliced(keyHash, body: body), isSmall: true)
  }

  /// Hands over an object. The completion is called on the writer's thread, after the commit and after
  /// every lookup can find it. Returns false, takes nothing and never calls it if too much waits, a
  /// length is out of range or writing has ended; then `dropBody` is the caller's to call.
  package func store(
    _ object: NewObject, completion: @escaping @Sendable (StoreOutcome) -> Void
  ) -> Bool {
    guard !takesNoMore, object.isInRange else { return false }
    return core.queue.push(.store(object, completion))
  }

  /// Gives a stored response a new head and metadata, as a 304 does (RFC 9111 §4.3.4); the content
  /// stays. Tags that are nil stay as well. As `store` otherwise.
  package func freshen(
    id: UInt64, keyHash: Hash128, head: [UInt8], metadata: Metadata, tags: [UInt64]? = nil,
    implicitTags: [UInt64]? = nil, sequence: UInt64,
    completion: @escaping @Sendable (StoreOutcome) -> Void
  ) -> Bool {
    guard !takesNoMore, head.count <= NewObject.headLimit,
      tags?.count ?? 0 <= NewObject.tagLimit,
      implicitTags?.count ?? 0 <= NewObject.implicitTagLimit
    else { return false }
    let freshening = Freshening(
      id: id, keyHash: keyHash, head: head, metadata: metadata, tags: tags,
      implicitTags: implicitTags, sequence: sequence)
    return core.queue.push(.freshen(freshening, completion))
  }

  /// Drops the chunks of a body that will get no record: its fill has failed.
  package func dropBody(_ body: UInt64) { _ = core.queue.push(.dropBody(body), isSmall: true) }

  /// Removes a stored response, if it is still the one stored under that hash.
  package func remove(keyHash: Hash128, id: UInt64) {
    _ = core.queue.push(.remove(keyHash, birth: id), isSmall: true)
  }

  // MARK: Purging

  /// Purges every object that carries one of the tags. In force for every lookup when it returns;
  /// once it is durable, the completion is called on the journal's thread with the counts.
  package func purge(
    tags: [UInt64], completion: @escaping @Sendable (Result<PurgeResult, StoreError>) -> Void
  ) {
    let (entries, counts) = core.ledger.purge(tags)
    let result = PurgeResult(sequence: entries.last?.sequence ?? purgeSequence, counts: counts)
    journal.append(entries) { error in
      if let error { completion(.failure(error)) } else { completion(.success(result)) }
    }
    core.queue.wake()
  }

  /// Carries out an order to purge. In force for every lookup when it returns; once it is durable, the
  /// completion is called on the journal's thread. A failure, or the answer to a repeated order, may
  /// come from within the call.
  package func purge(
    _ order: PurgeOrder,
    completion: @escaping @Sendable (Result<PurgeReceipt, PurgeFailure>) -> Void
  ) {
    guard order.isInRange else { return completion(.failure(.outOfRange)) }
    var entries: [PurgeEntry] = []
    var counts: [UInt64] = []
    let noted = core.history.note(order.idempotencyKey, isOwn: order.fleet?.kind == .own) {
      let number: UInt64?
      (number, entries, counts) = carryOut(order)
      return number.map { order.record(number: $0, counts: counts) }
    }
    guard let (record, isNew) = noted else { return completion(.failure(.tooManyPatterns)) }
    guard isNew || record.repeats(order) else { return completion(.failure(.keyReused)) }
    let receipt = PurgeReceipt(record: record, counts: counts, isRepeat: !isNew)
    let history = core.history
    // A repeated one is answered behind the first, which may not be durable yet.
    journal.append(entries, record: isNew ? record : nil) { error in
      if let error {
        if isNew { history.withdraw(record) }
        completion(.failure(.notDurable(error)))
      } else if !isNew && history.record(record.id) == nil {
        let gone = StoreError(path: "", reason: "the first order was not carried out")
        completion(.failure(.notDurable(gone)))
      } else {
        completion(.success(receipt))
      }
    }
    if isNew { core.queue.wake() }
  }

  /// Puts a purge into force; nil if there is no room for another pattern.
  private func carryOut(_ order: PurgeOrder) -> (UInt64?, [PurgeEntry], [UInt64]) {
    switch order.target {
    case .tags(let tags):
      let (entries, counts) = core.ledger.purge(
        tags, isSoft: order.isSoft, time: order.time, isCounted: !order.isOfImplicitTags)
      return (entries.last?.sequence ?? purgeSequence, entries, counts)
    case .everything:
      let objects = core.counters.objects.load(ordering: .relaxed)
      let entry = core.ledger.purgeEverything(isSoft: order.isSoft, time: order.time)
      return (entry.sequence, [entry], [objects])
    case .tagsWithin(let hosts, let tags):
      let entries = core.ledger.purge(
        scoped: ScopedTag.mix(hosts, tags), isSoft: order.isSoft, time: order.time)
      return (entries.last?.sequence ?? purgeSequence, entries, [])
    case .pattern(let pattern):
      return (core.ledger.purge(.pattern(pattern), isSoft: order.isSoft, time: order.time), [], [])
    case .condition(let condition):
      return (
        core.ledger.purge(.condition(condition), isSoft: order.isSoft, time: order.time), [], []
      )
    }
  }

  // MARK: The fleet

  /// Whether another purge by pattern or condition finds a place.
  package var hasRoomForPatterns: Bool {
    core.ledger.patternPurges.purges.count < PatternList.limit
  }

  /// What is durable of the fleet's log; gives the store a PoP's name if it has none yet.
  package func fleetBook() -> FleetBook {
    core.history.fleetBook(naming: max(Random.hash128().low, 1))
  }

  /// Of the log only what stands up to `position` is as it was: own orders that stood after it are given out
  /// again.
  package func forgetFleetPlaces(after position: LogPosition) {
    core.history.forgetFleetPlaces(after: position)
  }

  /// Whether there are own orders in force that the log may lack. Takes no lock.
  package var hasFleetOrders: Bool { core.history.hasFleetOrders }

  /// How many own orders the others may lack.
  package var fleetOrdersWaiting: Int { core.history.fleetOrdersWaiting }

  /// Own orders above a number that are durable and not known to stand in the log, in order.
  package func fleetOrders(after number: UInt64, limit: Int) -> [OutboxEntry] {
    core.history.fleetOrders(after: number, limit: limit)
  }

  /// When everything was last purged softly, ms since the epoch; `.min`: never, as far as is known. Takes
  /// no lock.
  package var everythingStaledAt: Int64 { core.history.everythingStaledAt }

  /// Has `body` called, on the journal's thread, whenever own orders have become durable: with the lowest of
  /// their numbers, at least 1. Those of a later call may be lower.
  package func listenForFleetOrders(_ body: (@Sendable (UInt64) -> Void)?) {
    core.history.listen(body)
  }

  /// Notes where own orders stand in the log; without waiting for the disk.
  package func noteAppended(_ places: [LogPlace]) {
    core.history.note(
      places.map {
        FleetMark(.appended, pop: $0.pop, number: $0.number, position: $0.position)
      })
  }

  /// Notes how far the log is read where no purge has said so; without waiting for the disk.
  /// All that the book has read must be durable.
  package func noteStanding(_ book: FleetBook) { core.history.noteStanding(book) }

  /// How many committed objects carry each tag and are not purged by it: what a purge would answer.
  /// Implicit tags are not counted, nor tags beyond the first 4 million different ones.
  package func counts(ofTags tags: [UInt64]) -> [UInt64] { core.ledger.counts(of: tags) }

  /// The newest purges that were ordered, newest first, with numbers below `number`; the last 1,024 are
  /// kept, over restarts too.
  package func purgeRecords(before number: UInt64 = .max, limit: Int = 100) -> [PurgeRecord] {
    core.history.records(before: number, limit: limit)
  }

  /// The record of one purge.
  package func purgeRecord(_ number: UInt64) -> PurgeRecord? { core.history.record(number) }

  /// Purges by one tag without waiting for the disk (RFC 9111 §4.4): in force when it returns, written
  /// to the journal soon after.
  package func invalidate(tag: UInt64) {
    if isHandedOver.load(ordering: .acquiring) {
      successor.call(tag)
      return
    }
    let (entries, _) = core.ledger.purge([tag])
    journal.append(entries, completion: nil)
    core.queue.wake()
  }

  // MARK: Cold pages

  /// Whether the store has more pages than memory can keep. Else nothing here needs to be asked.
  package var exceedsMemory: Bool { core.exceedsMemory.load(ordering: .relaxed) }

  /// Has a helper thread bring chunks of a body into memory (`StoreReader.isResident`), and verify them,
  /// before a worker reads them. The completion is called on that thread, whatever came of it. False,
  /// and the completion is not called, if too much waits: then read as it is.
  package func warm(
    body: UInt64, chunks: Range<UInt32>, completion: @escaping @Sendable () -> Void
  ) -> Bool {
    warmer.push(.chunks(body: body, chunks, completion))
  }

  /// Has a helper thread bring the record of a hash into memory (`StoreReader.isCold`), as `warm(body:)`.
  package func warm(_ hash: Hash128, completion: @escaping @Sendable () -> Void) -> Bool {
    warmer.push(.record(hash, completion))
  }

  // MARK: The store as a whole

  /// The store's figures now.
  package var statistics: StoreStatistics {
    let counters = core.counters
    let waiting = core.queue.waiting
    let purges = core.ledger.figures
    let page = UInt64(StoreSizes.pageSize)
    return StoreStatistics(
      objects: counters.objects.load(ordering: .relaxed),
      bytesInUse: counters.pagesInUse.load(ordering: .relaxed) * page,
      sizeLimit: counters.pageLimit.load(ordering: .relaxed) * page,
      fileBytes: UInt64(core.environment.usedPages) * page,
      insertions: counters.insertions.load(ordering: .relaxed),
      evictions: counters.evictions.load(ordering: .relaxed),
      reinsertions: counters.reinsertions.load(ordering: .relaxed),
      commits: counters.commits.load(ordering: .relaxed),
      queueLength: UInt64(waiting.count), queueBytes: UInt64(waiting.bytes),
      refusals: counters.refusals.load(ordering: .relaxed),
      mapFull: counters.mapFull.load(ordering: .relaxed),
      damaged: counters.damaged.load(ordering: .relaxed),
      writingEnded: counters.writingEnded.load(ordering: .relaxed),
      purges: purges.purges, pendingPurges: purges.pending,
      sweeps: counters.sweeps.load(ordering: .relaxed),
      swept: counters.swept.load(ordering: .relaxed), tableBytes: UInt64(core.table.bytes))
  }

  /// Waits until everything handed over before is committed or refused.
  package func flush() {
    let latch = Latch()
    if core.queue.push(.barrier { _ in latch.open() }, isSmall: true) { latch.wait() }
  }

  /// Waits until a pass of the sweeper that began after the call has ended, and what it makes
  /// forgettable is forgotten. For tests: no turn may be open.
  package func waitForSweep() {
    let latch = Latch()
    let sequence = purgeSequence
    let asked = core.queue.push(
      .barrier { $0.sweepWaiters.append((sequence, latch)) }, isSmall: true)
    if asked { latch.wait() }
  }

  /// Commits what waits, ends writing for good and lets another process have the store; readers go on.
  /// Nothing is stored after it. Purges for the sake of unsafe requests (`invalidate`) are told to
  /// `invalidate` instead, for the other process to carry out; there must be no others. Blocks.
  package func handOver(invalidate: @escaping @Sendable (UInt64) -> Void) {
    successor.set(invalidate)
    isHandedOver.store(true, ordering: .releasing)
    core.counters.writingEnded.store(true, ordering: .relaxed)
    journal.stop()
    writer.stop()
    recency.stop()
    core.directory.release()
  }

  /// The process that had the store before sends nothing from it any more: bodies may be deleted.
  package func predecessorIsGone() {
    core.environment.dropStaleReaders()
    core.hasPredecessor.store(false, ordering: .releasing)
    core.queue.wake()
  }

  /// Commits what waits and stops the store's threads. The files are closed when the last reader goes.
  package func close() {
    guard !isClosed.exchange(true, ordering: .acquiringAndReleasing) else { return }
    warmer.stop()
    journal.stop()
    writer.stop()
    recency.stop()
  }

  /// Compares everything with everything (index, records, table, chunks, counts). Slow; for tests.
  package func check() throws(StoreError) {
    let latch = Latch()
    let faults = Mutex<[String]>([])
    let asked = core.queue.push(
      .barrier { writer in
        let found = writer.faults()
        faults.withLock { $0 = found }
        latch.open()
      }, isSmall: true)
    guard asked else { return }
    latch.wait()
    let found = faults.withLock { $0 }
    if !found.isEmpty {
      throw StoreError(path: core.directory.path, reason: found.joined(separator: "\n"))
    }
  }
}

extension NewObject {
  static let headLimit = 1 << 20
  static let tagLimit = 4_096
  static let implicitTagLimit = 64

  /// Whether every part is within its limits.
  var isInRange: Bool {
    guard key.count <= 65_535, target.count <= 65_535, varyRule?.count ?? 0 <= 4_096,
      varyValues.count <= 65_535,
      head.count <= Self.headLimit, tags.count <= Self.tagLimit,
      implicitTags.count <= Self.implicitTagLimit
    else { return false }
    switch body {
    case .inline(let bytes): return bytes.count <= ObjectStore.inlineLimit
    case .chunks(let id, let length): return id != 0 && id < ChunkKey.bodyLimit && length > 0
    case .slices(let id, let length):
      return id != 0 && id < ChunkKey.bodyLimit && length > 0
        && ChunkSize.count(length) <= ChunkKey.numberLimit
    }
  }
}
