// The log of purges: what was purged when, by whom, and how much it reached; and the only place on disk
// where the patterns of purges stand.
//
// A file of entries, appended to by the journal's thread and written anew when it has grown too long:
//
//     0 u64 XXH3-64 of the rest   8 u32 length of the entry   12 u32 tags
//    16 u64 number               24 i64 time, ms            32 u64 objects (all ones: not known)
//    40 u8 target: 0 tags, 1 everything, 2 pattern, 3 condition, 4 nothing   41 u8 1: soft
//    42 u16 length of who
//    44 u16 of what              46 u16 of the idempotency key       48 u16 of the pattern
//    50 u32 of the fleet's mark (0: none)   54 0
//    56 who, what, key, pattern, mark (FleetMark.swift)
//
// An entry may come again, with what the sweeper has counted: the last one holds.
//
// It is read until the first entry that is not whole: what a crash tore off was not answered. Only
// entries with a pattern, or a mark of the fleet, are synced before the answer. The others outlive the
// process, not a power loss, in which only their record is lost: the purges themselves are in the journal.

import Bytes
import CLinux
import Checksum
import EventLoop
import Synchronization

/// The log's file and the newest records.
final class PurgeHistory: Sendable {
  /// So many records are kept.
  static let limit = 1_024
  /// Bytes from which on the file is written anew, unless twice what is kept is more.
  private static let fileLimit = 4 << 20

  private struct State {
    /// Ascending.
    var records: [PurgeRecord] = []
    var numbers: [String: UInt64] = [:]
    /// Records below this many at the front are no longer of interest.
    var dropped = 0
    /// What of the fleet's log is durable here, but for own numbers, which are given before.
    var book = FleetBook()
    /// The newest soft purge of everything.
    var staling: PurgeRecord?
  }

  private let path: String
  /// Own orders that are in force and not yet in the book; and those in it that the log may lack.
  private let notedOrders = Atomic<Int>(0)
  private let waitingOrders = Atomic<Int>(0)
  /// When everything was last purged softly, ms; `.min`: never, as far as is known.
  private let staledAt = Atomic<Int64>(.min)
  private let listener = Hook<UInt64>()
  private let ledger: Mutex<PurgeLedger?>
  private let file: Mutex<(descriptor: Int32, size: Int, limit: Int)>
  private let state: Mutex<State>
  /// The purges by pattern or condition that the file had, ascending.
  let found: [PurgeRecord]
  /// The highest number in the file.
  let last: UInt64

  /// Opens the log, making it if it is missing; an end that is not whole is cut off.
  init(_ path: String) throws(Errno) {
    self.path = path
    let number = unsafe weir_open(path, O_RDWR | O_CREAT, 0o640)
    guard number >= 0 else { throw .current }
    let descriptor = Descriptor(owning: number)
    var content = ByteBuffer()
    while true {
      let result = descriptor.read(onto: &content, limit: 1 << 20)
      if let error = result.error { throw error }
      if result.isEnd { break }
    }
    var state = State()
    var patterns: [UInt64: PurgeRecord] = [:]
    var length = 0
    var last: UInt64 = 0
    while let (record, size) = Self.decode(content.view.dropping(first: length)) {
      length += size
      if let mark = record.fleet { state.book.take(mark) }
      if case .nothing = record.target { continue }
      last = max(last, record.id)
      if !record.pattern.isEmpty { patterns[record.id] = record }
      Self.add(record, to: &state)
    }
    if length < content.count { _ = ftruncate(number, off_t(length)) }
    _ = lseek(number, off_t(length), SEEK_SET)
    waitingOrders.store(state.book.waiting, ordering: .relaxed)
    staledAt.store(state.staling?.time ?? .min, ordering: .relaxed)
    // Orders that came at the same time may stand in either order.
    state.records.sort { $0.id < $1.id }
    found = patterns.values.sorted { $0.id < $1.id }
    self.last = last
    ledger = Mutex(nil)
    self.state = Mutex(state)
    file = Mutex((descriptor.release(), length, max(Self.fileLimit, length)))
  }

  deinit { file.withLock { _ = close($0.descriptor) } }

  /// Whose pattern purges the file has to keep.
  func keep(patternsOf ledger: PurgeLedger) { self.ledger.withLock { $0 = ledger } }

  // MARK: In memory

  private static func add(_ record: PurgeRecord, to state: inout State) {
    var record = record
    record.fleet?.order = []
    if case .everything = record.target, record.isSoft, record.id >= state.staling?.id ?? 0 {
      state.staling = record
    }
    // Only what is read from the file can come again.
    if let last = state.records.last, record.id <= last.id,
      let place = state.records.lastIndex(where: { $0.id == record.id }), place >= state.dropped
    {
      state.records[place] = record
      return
    }
    state.records.append(record)
    if !record.idempotencyKey.isEmpty { state.numbers[record.idempotencyKey] = record.id }
    while state.records.count - state.dropped > limit {
      let old = state.records[state.dropped]
      if state.numbers[old.idempotencyKey] == old.id { state.numbers[old.idempotencyKey] = nil }
      state.dropped += 1
    }
    if state.dropped >= limit {
      state.records.removeFirst(state.dropped)
      state.dropped = 0
    }
  }

  /// Notes a purge that `make` puts into force, unless its key was used before: then the earlier one's
  /// record. `isNew`: it is for the caller to be made durable.
  func note(
    _ key: String, isOwn: Bool = false, _ make: () -> PurgeRecord?
  ) -> (record: PurgeRecord, isNew: Bool)? {
    // Before it is in force.
    if isOwn { notedOrders.add(1, ordering: .sequentiallyConsistent) }
    let noted = noteLocked(key, make)
    if isOwn, noted?.isNew != true {
      notedOrders.subtract(1, ordering: .sequentiallyConsistent)
    }
    return noted
  }

  private func noteLocked(
    _ key: String, _ make: () -> PurgeRecord?
  ) -> (record: PurgeRecord, isNew: Bool)? {
    state.withLock { state in
      if !key.isEmpty, let number = state.numbers[key],
        let record = state.records[state.dropped...].last(where: { $0.id == number })
      {
        return (record, false)
      }
      guard var record = make() else { return nil }
      if record.fleet?.kind == .own {
        record.fleet?.pop = state.book.pop
        record.fleet?.number = state.book.nextNumber(time: record.time)
      }
      Self.add(record, to: &state)
      staledAt.store(state.staling?.time ?? .min, ordering: .relaxed)
      return (record, true)
    }
  }

  /// Takes a record back: its purge has not become durable.
  func withdraw(_ record: PurgeRecord) {
    if record.fleet?.kind == .own { notedOrders.subtract(1, ordering: .sequentiallyConsistent) }
    state.withLock { state in
      state.records.removeAll { $0.id == record.id }
      state.dropped = min(state.dropped, state.records.count)
      if state.numbers[record.idempotencyKey] == record.id {
        state.numbers[record.idempotencyKey] = nil
      }
    }
  }

  /// The records below a number, newest first.
  func records(before number: UInt64, limit: Int) -> [PurgeRecord] {
    state.withLock { state in
      Array(state.records[state.dropped...].reversed().filter { $0.id < number }.prefix(limit))
    }
  }

  func record(_ number: UInt64) -> PurgeRecord? {
    state.withLock { $0.records[$0.dropped...].last { $0.id == number } }
  }

  /// Notes how many objects purges have reached, as a pass of the sweeper tells (the writer's thread).
  func settle(_ reached: [(number: UInt64, objects: UInt64)]) {
    if reached.isEmpty { return }
    let counts = Dictionary(reached.map { ($0.number, $0.objects) }) { $1 }
    let settled = state.withLock { state -> [PurgeRecord] in
      var settled: [PurgeRecord] = []
      for place in state.dropped..<state.records.count where state.records[place].objects == nil {
        guard let objects = counts[state.records[place].id] else { continue }
        state.records[place].objects = objects
        var record = state.records[place]
        // It stands in the file already, where it belongs.
        record.fleet = nil
        settled.append(record)
      }
      return settled
    }
    _ = append(settled, isAgain: true)
  }

  /// When everything was last purged softly, ms since the epoch; `.min`: never. Takes no lock.
  var everythingStaledAt: Int64 { staledAt.load(ordering: .relaxed) }

  // MARK: On disk (the journal's thread, but for `settle`)

  /// Appends records. An error only if a pattern or a mark was among them, which would be lost.
  func append(_ records: [PurgeRecord], isAgain: Bool = false) -> StoreError? {
    if records.isEmpty { return nil }
    let needsSync = !isAgain && records.contains { !$0.pattern.isEmpty || $0.fleet != nil }
    let error = file.withLock { file -> Errno? in
      var bytes = ByteBuffer()
      for record in records { Self.encode(record, onto: &bytes) }
      do throws(Errno) {
        try WholeWrite.append(bytes.view, to: file.descriptor)
        guard !needsSync || fdatasync(file.descriptor) == 0 else { throw .current }
        file.size += bytes.count
      } catch {
        // What was written of it must not stand before later entries.
        _ = ftruncate(file.descriptor, off_t(file.size))
        _ = lseek(file.descriptor, off_t(file.size), SEEK_SET)
        return error
      }
      take(records.compactMap(\.fleet))
      shorten(&file)
      return nil
    }
    guard let error, needsSync else { return nil }
    return StoreError(path: path, reason: "cannot write the log of purges: \(error)")
  }

  /// Notes what is durable of the fleet's; tells the listener of own orders.
  private func take(_ marks: [FleetMark]) {
    if marks.isEmpty { return }
    state.withLock { state in
      for mark in marks { state.book.take(mark) }
      waitingOrders.store(state.book.waiting, ordering: .sequentiallyConsistent)
    }
    let own = marks.count { $0.kind == .own }
    if own > 0 { notedOrders.subtract(own, ordering: .sequentiallyConsistent) }
    let lowest = marks.lazy.filter { $0.kind == .own }.map(\.number).min()
    if let lowest { listener.call(max(lowest, 1)) }
  }

  // MARK: The fleet

  /// What of the fleet's log is durable. Gives the store a PoP's name if it has none.
  func fleetBook(naming pop: UInt64) -> FleetBook {
    state.withLock { state in
      state.book.settle(pop: pop)
      return state.book
    }
  }

  /// Own orders above a number that are durable and not known to stand in the log, at most `limit`.
  func fleetOrders(after number: UInt64, limit: Int) -> [OutboxEntry] {
    state.withLock { $0.book.orders(after: number, limit: limit) }
  }

  /// Of the log only what stands up to `position` is as it was.
  func forgetFleetPlaces(after position: LogPosition) {
    state.withLock { state in
      state.book.forgetPlaces(after: position)
      waitingOrders.store(state.book.waiting, ordering: .sequentiallyConsistent)
    }
  }

  /// Whether there are own orders in force that the log may lack. Takes no lock.
  var hasFleetOrders: Bool {
    // In this order: an order goes from the one to the other.
    notedOrders.load(ordering: .sequentiallyConsistent) > 0
      || waitingOrders.load(ordering: .sequentiallyConsistent) > 0
  }

  /// How many own orders the others may lack.
  var fleetOrdersWaiting: Int { state.withLock { $0.book.waiting } }

  /// Who is told, on the journal's thread, that own orders are durable.
  func listen(_ body: (@Sendable (UInt64) -> Void)?) { listener.set(body) }

  /// Notes marks that nobody waits for.
  func note(_ marks: [FleetMark]) {
    _ = append(marks.map { PurgeRecord(carrying: $0) }, isAgain: true)
  }

  /// Notes how far the log is read, where no purge says so.
  func noteStanding(_ book: FleetBook) {
    guard var mark = book.standing else { return }
    mark.number = state.withLock { $0.book.lastNumber }
    note([mark])
  }

  /// Writes the file again if it has grown long; if that fails it grows on, and is tried again later.
  private func shorten(_ file: inout (descriptor: Int32, size: Int, limit: Int)) {
    guard file.size > file.limit else { return }
    do throws(Errno) {
      try rewrite(&file)
    } catch {
      file.limit = file.size + Self.fileLimit
    }
  }

  /// Writes a new file with the records that are kept, the patterns in force, and the fleet's book.
  private func rewrite(_ file: inout (descriptor: Int32, size: Int, limit: Int)) throws(Errno) {
    let kept = state.withLock { state in
      let newest = Array(state.records[state.dropped...])
      guard let staling = state.staling, !newest.contains(where: { $0.id == staling.id }) else {
        return newest
      }
      return [staling] + newest
    }
    let patterns = ledger.withLock { $0?.patternPurges.purges ?? [] }
    let known = Set(kept.map(\.id))
    var bytes = ByteBuffer()
    for purge in patterns where !known.contains(purge.sequence) {
      Self.encode(
        PurgeRecord(
          id: purge.sequence, time: purge.time, target: purge.matcher.kind, isSoft: purge.isSoft,
          tags: 0, objects: nil, who: "", what: "", idempotencyKey: "",
          pattern: purge.matcher.text),
        onto: &bytes)
    }
    for var record in kept {
      record.fleet = nil
      Self.encode(record, onto: &bytes)
    }
    for mark in state.withLock({ $0.book.marks }) {
      Self.encode(PurgeRecord(carrying: mark), onto: &bytes)
    }
    let number = unsafe weir_open(path + ".new", O_RDWR | O_CREAT | O_TRUNC, 0o640)
    guard number >= 0 else { throw .current }
    let fresh = Descriptor(owning: number)
    try WholeWrite.append(bytes.view, to: number)
    guard fsync(number) == 0, unsafe rename(path + ".new", path) == 0 else { throw .current }
    _ = close(file.descriptor)
    // What is kept may be longer than that: it is not written again for each entry.
    file = (fresh.release(), bytes.count, max(Self.fileLimit, 2 * bytes.count))
  }

  private static let headerSize = 56

  static func encode(_ record: PurgeRecord, onto buffer: inout ByteBuffer) {
    let start = buffer.count
    let parts = [
      Array(record.who.utf8), Array(record.what.utf8), Array(record.idempotencyKey.utf8),
      record.pattern,
    ]
    let markSize = record.fleet.map { FleetMark.headerSize + $0.order.count } ?? 0
    let length = parts.reduce(headerSize + markSize) { $0 + $1.count }
    buffer.append(littleEndian: 0 as UInt64)
    buffer.append(littleEndian: UInt32(clamping: length))
    buffer.append(littleEndian: record.tags)
    buffer.append(littleEndian: record.id)
    buffer.append(littleEndian: record.time)
    buffer.append(littleEndian: record.objects ?? .max)
    buffer.append(record.target.rawValue)
    buffer.append(record.isSoft ? 1 as UInt8 : 0)
    for part in parts { buffer.append(littleEndian: UInt16(clamping: part.count)) }
    buffer.append(littleEndian: UInt32(clamping: markSize))
    buffer.append(littleEndian: 0 as UInt16)
    for part in parts { part.withView { buffer.append($0) } }
    record.fleet?.append(to: &buffer)
    buffer.overwrite(at: start, littleEndian: Checksum.of(buffer.view.dropping(first: start + 8)))
  }

  /// The entry with which bytes begin, and its length; nil if there is no whole one.
  static func decode(_ bytes: ByteView) -> (PurgeRecord, Int)? {
    guard bytes.count >= headerSize else { return nil }
    let lengths = (0..<4).map { Int(bytes.uint16(at: 42 + 2 * $0)) }
    let markSize = Int(bytes.uint32(at: 50))
    let length = lengths.reduce(headerSize + markSize, +)
    guard Int(bytes.uint32(at: 8)) == length, bytes.count >= length,
      Checksum.of(bytes[8..<length]) == bytes.uint64(at: 0),
      let target = PurgeRecord.Target(rawValue: bytes[40])
    else { return nil }
    var start = headerSize
    let parts = lengths.map { length in
      defer { start += length }
      return bytes[start..<start + length]
    }
    let objects = bytes.uint64(at: 32)
    return (
      PurgeRecord(
        id: bytes.uint64(at: 16), time: Int64(bitPattern: bytes.uint64(at: 24)), target: target,
        isSoft: bytes[41] == 1, tags: bytes.uint32(at: 12),
        objects: objects == .max ? nil : objects,
        who: parts[0].string, what: parts[1].string, idempotencyKey: parts[2].string,
        pattern: parts[3].array, fleet: FleetMark(bytes[start..<length])), length
    )
  }
}
