// Opening a store: the files, the secrets, and one pass over the index that builds the table.
//
// What makes a store unusable (`OpeningFault.bad`) has it set aside and a fresh one made; what a fresh
// one would meet as well (no memory, no space, no permission) is thrown.

import Bytes
import CLinux
import Crashes
import EventLoop
import LMDB
import Synchronization

/// Why opening has failed.
enum OpeningFault: Error, CustomStringConvertible {
  /// The files are not a store that can be used.
  case bad(String)
  /// Nothing to do with the files.
  case hopeless(String)

  var description: String {
    switch self {
    case .bad(let reason), .hopeless(let reason): reason
    }
  }

  init(_ error: LMDBError) {
    switch error.code {
    case ENOMEM, ENOSPC, EROFS, EMFILE, ENFILE, EDQUOT, EAGAIN:
      self = .hopeless("\(error)")
    default:
      self = .bad("\(error)")
    }
  }
}

/// A store's parts, opened.
struct OpenedStore {
  let core: StoreCore
  let writer: Writer
  let journal: Journal
  let journalFile: JournalFile
  /// For the thread that warms pages.
  let warmerReader: StoreReader
}

/// The sizes that follow from the limit.
struct StoreSizes {
  static let pageSize = 4_096
  let limitPages: Int
  let groupPages: Int

  init(limit: UInt64) {
    let bytes = max(limit, 8 << 20)
    limitPages = Int(clamping: bytes / UInt64(Self.pageSize))
    groupPages = min(max(limitPages / 16, 128), 4_096)
  }

  /// The limit, four groups' pages that commits have freed and LMDB not yet given out again, and what
  /// the lists of free pages take.
  var mapSize: Int { (limitPages + 4 * groupPages + limitPages / 256 + 256) * Self.pageSize }
}

/// What the state database says.
private struct StoredState {
  var databases: Databases
  var keySecret: Hash128
  var tagSecret: Hash128
  var objectIDs: UInt64
  var bodyIDs: UInt64
  var folded: UInt64
  var sweptPatterns: UInt64
}

extension OpenedStore {
  static let formatVersion: UInt64 = 2

  /// Opens what is in the directory, or makes it.
  static func open(
    _ directory: StoreDirectory, _ options: StoreOptions,
    fault: (@Sendable (UInt64) -> LMDBError?)?
  ) throws(OpeningFault) -> OpenedStore {
    let sizes = StoreSizes(limit: options.sizeLimit)
    // Two for the store's own threads.
    let readers = max(options.readers, 1) + 2
    let environment = try translated { () throws(LMDBError) in
      // Two transactions for each reader, as many for a process that takes over while this one still
      // reads, the writer's, and some for whoever looks in from outside.
      try Environment.open(
        directory: directory.path, mapSize: sizes.mapSize, readers: 4 * readers + 64,
        databases: 16)
    }
    try checkSize(of: environment, directory)
    let state = try readState(environment)
    let journalFile = try openJournal(directory)
    let history = try openHistory(directory)
    let queue = try makeQueue(sizes)
    let core = StoreCore(
      directory: directory, environment: environment, databases: state.databases,
      keySecret: state.keySecret, tagSecret: state.tagSecret, readers: readers,
      sizeLimit: options.sizeLimit, queue: queue, history: history,
      memory: options.memory > 0 ? options.memory : Memory.available,
      hasPredecessor: options.hasPredecessor)
    directory.sync()

    var loading = Loading(core: core)
    try loading.load(
      journal: journalFile.found, folded: state.folded,
      patterns: history.found.compactMap { record in
        guard record.id > state.sweptPatterns else { return nil }
        return PurgeMatcher(record, reading: options.condition).map {
          PatternPurge(
            sequence: record.id, isSoft: record.isSoft, time: record.time, matcher: $0)
        }
      }, last: history.last)
    let journal: Journal
    do throws(Errno) {
      journal = try Journal(
        path: directory.file("journal"), folded: state.folded, history: history)
    } catch {
      throw .hopeless("\(error)")
    }
    let writer = Writer(
      core: core, journal: journal, limitPages: sizes.limitPages, groupPages: sizes.groupPages,
      accounts: loading.accounts(objectIDs: state.objectIDs, bodyIDs: state.bodyIDs),
      sliced: loading.sliced, lastSweepSequence: loading.hasPurges ? 0 : core.ledger.sequence,
      note: options.note,
      fault: fault)
    let warmerReader = try translated { () throws(LMDBError) in
      try StoreReader(
        core: core, slot: core.takeReaderSlot() ?? 1, note: CrashArea.note(of: .warmer))
    }
    return OpenedStore(
      core: core, writer: writer, journal: journal, journalFile: journalFile,
      warmerReader: warmerReader)
  }

  private static func openJournal(_ directory: StoreDirectory) throws(OpeningFault) -> JournalFile {
    do throws(Errno) {
      return try JournalFile(directory.file("journal"))
    } catch {
      throw OpeningFault(LMDBError(error.code))
    }
  }

  private static func openHistory(_ directory: StoreDirectory) throws(OpeningFault)
    -> PurgeHistory
  {
    do throws(Errno) {
      return try PurgeHistory(directory.file("purges"))
    } catch {
      throw OpeningFault(LMDBError(error.code))
    }
  }

  private static func makeQueue(_ sizes: StoreSizes) throws(OpeningFault) -> OperationQueue {
    let groupBytes = sizes.groupPages * StoreSizes.pageSize
    do throws(Errno) {
      return try OperationQueue(
        byteLimit: max(4 * groupBytes, 8 << 20), groupBytes: groupBytes,
        groupCount: Writer.groupCount)
    } catch {
      throw .hopeless("\(error)")
    }
  }

  /// A file shorter than its pages would be a fault on first touch.
  private static func checkSize(of environment: borrowing Environment, _ directory: StoreDirectory)
    throws(OpeningFault)
  {
    var status = stat()
    guard unsafe fstat(environment.dataFile, &status) == 0 else { return }
    let needed = environment.usedPages * environment.pageSize
    // A fresh file has its two first pages and says so.
    if status.st_size < needed {
      throw .bad("data.mdb has \(status.st_size) bytes of \(needed)")
    }
  }

  /// Opens the databases; reads what the state says, or makes it in a fresh store.
  private static func readState(_ environment: borrowing Environment) throws(OpeningFault)
    -> StoredState
  {
    let transaction = try begin(environment)
    let databases: Databases
    var version: UInt64?
    do throws(LMDBError) {
      databases = try Databases(opening: transaction)
      version = try read(.format, databases, transaction)
      let isFresh = try transaction.size(databases.state).entries == 0
      if isFresh {
        version = Self.formatVersion
        try initialise(databases, transaction)
      }
    } catch {
      throw OpeningFault(error)
    }
    guard version == Self.formatVersion else {
      throw .bad(
        "format \(version.map(String.init) ?? "unknown"), not \(Self.formatVersion): another version of "
          + "Weir has made it")
    }
    do throws(LMDBError) {
      let state = StoredState(
        databases: databases,
        keySecret: Hash128(
          low: try read(.keySecretLow, databases, transaction) ?? 0,
          high: try read(.keySecretHigh, databases, transaction) ?? 0),
        tagSecret: Hash128(
          low: try read(.tagSecretLow, databases, transaction) ?? 0,
          high: try read(.tagSecretHigh, databases, transaction) ?? 0),
        objectIDs: try read(.objectIDs, databases, transaction) ?? 1,
        bodyIDs: try read(.bodyIDs, databases, transaction) ?? 1,
        folded: try read(.foldedPurges, databases, transaction) ?? 0,
        sweptPatterns: try read(.sweptPatterns, databases, transaction) ?? 0)
      try transaction.commit()
      return state
    } catch {
      throw OpeningFault(error)
    }
  }

  private static func initialise(
    _ databases: Databases, _ transaction: borrowing WriteTransaction
  ) throws(LMDBError) {
    let keySecret = Random.hash128()
    let tagSecret = Random.hash128()
    let values: [(StateKey, UInt64)] = [
      (.format, formatVersion), (.keySecretLow, keySecret.low), (.keySecretHigh, keySecret.high),
      (.tagSecretLow, tagSecret.low), (.tagSecretHigh, tagSecret.high),
    ]
    for (key, value) in values {
      var bytes = ByteBuffer()
      bytes.append(littleEndian: value)
      try transaction.put(databases.state, key.rawValue, bytes.view)
    }
  }

  private static func read(
    _ key: StateKey, _ databases: Databases, _ transaction: borrowing WriteTransaction
  ) throws(LMDBError) -> UInt64? {
    guard let value = try transaction.get(databases.state, key.rawValue), value.count == 8 else {
      return nil
    }
    return value.uint64(at: 0)
  }

  private static func begin(_ environment: borrowing Environment) throws(OpeningFault)
    -> WriteTransaction
  {
    do throws(LMDBError) { return try environment.beginWrite() } catch { throw OpeningFault(error) }
  }
}

/// Runs LMDB calls and says of an error what it means for the opening.
private func translated<Result: ~Copyable>(_ body: () throws(LMDBError) -> Result)
  throws(OpeningFault) -> Result
{
  do throws(LMDBError) { return try body() } catch { throw OpeningFault(error) }
}
