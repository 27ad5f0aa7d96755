// How a worker reads. In a turn's first lookup the reader enters the epoch and renews its LMDB
// transaction; `endTurn` resets it. Nothing on the way of a hit allocates or takes a lock.
//
// The table may be ahead of the turn's snapshot, or a moment behind it (see `fetch`). In the first case
// a second transaction is taken beside the first, since views from the first must stay good.

package import Bytes
internal import CLinux
internal import Checksum
internal import Crashes
internal import LMDB
internal import Synchronization

/// One worker thread's way to read the store.
///
/// Used by one thread only. A turn begins with its first lookup and ends with `endTurn`; every view it
/// gave is good until then. Between turns keep ids and offsets, and a pin on a body being sent.
package final class StoreReader: @unchecked Sendable {
  // Sendable so that it can be handed to the thread that will use it, once, before its first use.
  let core: StoreCore
  private let slot: Int
  private(set) var current: ReadTransaction
  /// Begun later in the turn than `current`, for what that lacks.
  private var late: ReadTransaction
  private var isInTurn = false
  var patterns = PatternList()
  /// Which object the thread works on, for the report of a crash.
  private let note: ObjectNote

  init(core: StoreCore, slot: Int, note: ObjectNote) throws(LMDBError) {
    self.core = core
    self.slot = slot
    self.note = note
    current = try core.environment.beginRead()
    late = try core.environment.beginRead()
    current.reset()
    late.reset()
  }

  deinit {
    endTurn()
    // Before `core` goes, and with it perhaps the environment.
    current.close()
    late.close()
    core.returnReaderSlot(slot)
  }

  // MARK: Turns

  /// False if LMDB gives no transaction: then everything is a miss.
  @inline(__always)
  func beginTurn() -> Bool { isInTurn || enter() }

  @inline(never)
  private func enter() -> Bool {
    // The epoch first: a snapshot taken before it could see what is thought to be out of reach.
    core.epochs.enter(slot)
    do throws(LMDBError) {
      try current.renew()
    } catch {
      core.epochs.leave(slot)
      return false
    }
    isInTurn = true
    return true
  }

  /// Ends the turn: every view is void. Costs next to nothing if nothing was looked up.
  package func endTurn() {
    guard isInTurn else { return }
    isInTurn = false
    note.end()
    current.reset()
    late.reset()
    core.epochs.leave(slot)
  }

  // MARK: Stored responses

  /// What is stored under a primary key. A found response counts as used.
  package func lookup(_ hash: Hash128, key: ByteView) -> Lookup {
    guard beginTurn(), let response = fetch(hash), response.record.key == key,
      response.record.ruleLength == 0
    else { return .miss }
    return response.record.isRules
      ? .varies(VaryRules(list: response.record.head)) : .found(response)
  }

  /// The variant of a primary key selected by a rule and the request's values for it.
  package func lookupVariant(
    primary: Hash128, key: ByteView, rule: ByteView, values: ByteView
  ) -> StoredResponse? {
    let hash = core.variantHash(primary, rule, values)
    guard beginTurn(), let response = fetch(hash), response.isVariant(of: key, rule, values) else {
      return nil
    }
    return response
  }

  /// As `lookup`, but does not count as a use: for whoever only wants to know.
  package func peek(_ hash: Hash128, key: ByteView) -> Lookup {
    guard beginTurn(), let response = fetch(hash, isUse: false), response.record.key == key,
      response.record.ruleLength == 0
    else { return .miss }
    return response.record.isRules
      ? .varies(VaryRules(list: response.record.head)) : .found(response)
  }

  /// As `lookupVariant`, but does not count as a use.
  package func peekVariant(
    primary: Hash128, key: ByteView, rule: ByteView, values: ByteView
  ) -> StoredResponse? {
    let hash = core.variantHash(primary, rule, values)
    guard beginTurn(), let response = fetch(hash, isUse: false),
      response.isVariant(of: key, rule, values)
    else { return nil }
    return response
  }

  /// A stored response again, in a later turn: nil once it is replaced, removed or evicted. Purges are
  /// not looked at, so that what was begun can be finished; does not count as a use.
  package func record(id: UInt64, hash: Hash128) -> StoredResponse? {
    guard works(on: hash), let slot = core.table.find(hash), let bytes = bytes(slot.entry, hash),
      let record = RecordView(bytes), record.birth == id, record.keyHash == hash, !record.isRules
    else { return nil }
    return StoredResponse(
      record, softlyPurgedAt: slot.entry.isSoft ? softTime(record, slot.entry) : .max)
  }

  /// Bytes of a record that are asked for before the first of them is read.
  private static let readAhead = 2_048

  /// The record that a hash names, whole and not purged.
  @inline(__always)
  private func fetch(_ hash: Hash128, isUse: Bool = true) -> StoredResponse? {
    guard let slot = core.table.find(hash), !slot.entry.isDamaged else { return nil }
    note.begin(hash)
    guard let bytes = bytes(slot.entry, hash) else { return nil }
    // All of a small response is about to be read, one line after the other: ask for it at once. Safe:
    // the view covers what is asked for.
    unsafe weir_prefetch_read(bytes.baseAddress, min(bytes.count, Self.readAhead))
    guard let record = RecordView(bytes) else { return damaged(slot, hash) }
    var bits: UInt64 = 0
    if !slot.entry.isVerified {
      guard isWhole(record) else { return damaged(slot, hash) }
      bits = TableEntry.verifiedBit
    }
    // Another key with the same 64 bits.
    guard record.keyHash == hash else { return nil }
    let sequence = core.ledger.sequence
    let checked = slot.checkedThrough ?? record.sequence
    var softTime = Int64.max
    if slot.entry.isSoft || checked < sequence {
      guard let time = standing(record, slot, since: checked, through: sequence) else {
        return nil
      }
      softTime = time
    }
    if isUse { slot.touch(setting: bits) }
    return StoredResponse(record, softlyPurgedAt: softTime)
  }

  /// Tests an object against the purges since it was last tested, and remembers the outcome: nil if it
  /// is gone, `.max` if no purge touches it, else since when it is stale.
  @inline(never)
  private func standing(
    _ record: RecordView, _ slot: TableSlot, since checked: UInt64, through sequence: UInt64
  ) -> Int64? {
    // Rules are not content: their variants are tested.
    if record.isRules {
      slot.remember(checkedThrough: sequence)
      return .max
    }
    var state = PurgeState.none
    if checked < sequence {
      patterns.update(from: core.ledger)
      state = core.ledger.index.state(of: record.tags, since: checked, through: sequence)
      if patterns.isAnyNewer(than: checked) {
        state = state.joined(patterns.state(of: ObjectFacts(record), since: checked))
      }
    }
    switch state {
    case .hard: return nil
    case .soft:
      // Only what the mark stands for may be remembered as tested.
      if slot.entry.isSoft || slot.markSoft() { slot.remember(checkedThrough: sequence) }
      return min(softTime(record, slot.entry), state.softTime)
    case .none:
      slot.remember(checkedThrough: sequence)
      return slot.entry.isSoft ? softTime(record, slot.entry) : .max
    }
  }

  /// Since when a softly purged object is stale: as its index entry says, or purges that are in force.
  @inline(never)
  private func softTime(_ record: RecordView, _ entry: TableEntry) -> Int64 {
    var time = index(entry)?.softTime ?? .max
    if time != .max { return time }
    let sequence = core.ledger.sequence
    patterns.update(from: core.ledger)
    time =
      core.ledger.index.state(
        of: record.tags, since: record.sequence, through: sequence
      ).joined(patterns.state(of: ObjectFacts(record), since: record.sequence)).softTime
    // Forgotten this very moment: stale since it was received is on the safe side.
    return time == .max ? record.integer(at: 80) : time
  }

  private func index(_ entry: TableEntry) -> IndexView? {
    do throws(LMDBError) {
      let index = core.databases.index(entry.queue)
      if let bytes = try current.get(index, entry.id) { return IndexView(bytes) }
      if !late.isActive { try late.renew() }
      return try late.get(index, entry.id).flatMap { IndexView($0) }
    } catch {
      return nil
    }
  }

  /// The bytes of the object that an entry names.
  @inline(__always)
  private func bytes(_ entry: TableEntry, _ hash: Hash128) -> ByteView? {
    if let bytes = get(entry) { return bytes }
    return bytesElsewhere(entry, hash)
  }

  /// The bytes of the object that a hash names, not looked at.
  func stored(_ hash: Hash128) -> ByteView? {
    guard let slot = core.table.find(hash) else { return nil }
    note.begin(hash)
    return bytes(slot.entry, hash)
  }

  @inline(__always)
  private func get(_ entry: TableEntry) -> ByteView? {
    do throws(LMDBError) {
      return try current.get(core.databases.records(entry.queue), entry.id)
    } catch {
      return nil
    }
  }

  /// When the turn's snapshot lacks an id that the table names. Either the snapshot is newer than the
  /// table: the commit's moves, or the table a moment later, name the object's new id. Or it is older:
  /// a later snapshot has the id. Or the object is gone.
  @inline(never)
  private func bytesElsewhere(_ first: TableEntry, _ hash: Hash128) -> ByteView? {
    var entry = first
    for _ in 0..<3 {
      if let moved = core.moves.find(entry.id), let bytes = get(moved) { return bytes }
      if let bytes = getLate(entry) { return bytes }
      guard let again = core.table.find(hash)?.entry else { return nil }
      if again.id == entry.id { return nil }
      entry = again
      if let bytes = get(entry) { return bytes }
    }
    return nil
  }

  private func getLate(_ entry: TableEntry) -> ByteView? {
    do throws(LMDBError) {
      // Views from an earlier late snapshot of this turn must stay good, so there is only one.
      if !late.isActive { try late.renew() }
      return try late.get(core.databases.records(entry.queue), entry.id)
    } catch {
      return nil
    }
  }

  @inline(never)
  private func isWhole(_ record: RecordView) -> Bool {
    Checksum.of(record.bytes.dropping(first: 8)) == record.checksum
  }

  /// Counts a damaged record and has it removed, once.
  @inline(never)
  private func damaged(_ slot: TableSlot, _ hash: Hash128) -> StoredResponse? {
    if slot.markDamaged() {
      core.counters.damaged.add(1, ordering: .relaxed)
      _ = core.queue.push(.removeDamaged(hash, id: slot.entry.id), isSmall: true)
    }
    return nil
  }

  // MARK: Bodies

  /// Notes, before its content is read in a later turn, which object the thread works on; false if LMDB gives
  /// no transaction.
  @discardableResult
  package func works(on hash: Hash128) -> Bool {
    guard beginTurn() else { return false }
    note.begin(hash)
    return true
  }

  /// The bytes of a body's chunk; nil if it is not there or damaged: then `ObjectStore.remove` the
  /// object. The first use in a process verifies the checksum (about 15 µs for a full chunk).
  package func chunk(body: UInt64, number: UInt32) -> ByteView? {
    guard beginTurn(), body < ChunkKey.bodyLimit, UInt64(number) < ChunkKey.numberLimit else {
      return nil
    }
    let key = ChunkKey.make(body, UInt64(number))
    guard let value = chunkValue(key), value.count > ChunkSize.trailer else { return nil }
    let bytes = value.prefix(value.count - ChunkSize.trailer)
    if !core.verifiedChunks.contains(key) {
      guard Checksum.of(bytes) == value.uint64(at: bytes.count) else {
        core.counters.damaged.add(1, ordering: .relaxed)
        return nil
      }
      core.verifiedChunks.insert(key)
    }
    return bytes
  }

  func chunkValue(_ key: UInt64) -> ByteView? {
    do throws(LMDBError) {
      if let value = try current.get(core.databases.chunks, key) { return value }
      if !late.isActive { try late.renew() }
      return try late.get(core.databases.chunks, key)
    } catch {
      return nil
    }
  }

  /// Keeps a body's chunks after its record is gone, until `unpin`. Within the turn that found it.
  package func pin(_ body: UInt64) {
    if body != 0 { core.pins[slot - 1].insert(body) }
  }

  /// Takes one `pin` back.
  package func unpin(_ body: UInt64) {
    if body != 0 { core.pins[slot - 1].remove(body) }
  }
}
