import Bytes
import CLinux
import LMDB
import Synchronization

/// The environment's databases. Keys are object ids, unless said otherwise.
struct Databases: Sendable {
  /// Records of the small and of the main queue.
  let smallRecords, mainRecords: Database
  /// Index entries of the small and of the main queue.
  let smallIndex, mainIndex: Database
  /// Slices of large bodies, by body id and number.
  let chunks: Database
  /// By tag hash, 0 for everything: the newest hard purge's number, the newest soft one's, and its time.
  let purges: Database
  /// Numbers by `StateKey`.
  let state: Database

  init(opening transaction: borrowing WriteTransaction) throws(LMDBError) {
    smallRecords = try transaction.open("records.small")
    mainRecords = try transaction.open("records.main")
    smallIndex = try transaction.open("index.small")
    mainIndex = try transaction.open("index.main")
    chunks = try transaction.open("chunks")
    purges = try transaction.open("purges")
    state = try transaction.open("state")
  }

  @inline(__always)
  func records(_ queue: Queue) -> Database { queue == .small ? smallRecords : mainRecords }
  @inline(__always)
  func index(_ queue: Queue) -> Database { queue == .small ? smallIndex : mainIndex }

  /// Everything that takes pages.
  var all: [Database] {
    [
      smallRecords, mainRecords, smallIndex, mainIndex, chunks, purges, state, .freeList, .names,
    ]
  }
}

/// What the state database keeps; each value is 8 bytes, little-endian.
enum StateKey: UInt64 {
  /// The format's version.
  case format = 1
  /// The secret of key hashes, and of tag hashes, in halves.
  case keySecretLow = 2
  case keySecretHigh = 3
  case tagSecretLow = 4
  case tagSecretHigh = 5
  /// Object ids below this number may have been used.
  case objectIDs = 6
  /// Body ids below this number may have been used.
  case bodyIDs = 7
  /// Purges through this number are in the purges database, or forgotten.
  case foldedPurges = 8
  /// Purges by pattern through this number are forgotten.
  case sweptPatterns = 9
}

/// The key of a chunk: the body's id and the chunk's number.
enum ChunkKey {
  /// Chunks of a body: 256 GiB.
  static let numberLimit: UInt64 = 1 << 20
  /// Body ids.
  static let bodyLimit: UInt64 = 1 << 44

  static func make(_ body: UInt64, _ number: UInt64) -> UInt64 { body << 20 | number }
  static func body(_ key: UInt64) -> UInt64 { key >> 20 }
}

/// Sizes of bodies in chunks.
enum ChunkSize {
  /// Bytes of checksum behind a chunk's bytes.
  static let trailer = 8

  /// How many chunks a body has.
  static func count(_ length: UInt64) -> UInt64 {
    let size = UInt64(ObjectStore.chunkSize)
    return length / size + (length % size == 0 ? 0 : 1)
  }

  /// Bytes of a body's chunk.
  static func bytes(_ length: UInt64, number: UInt64) -> UInt64 {
    let size = UInt64(ObjectStore.chunkSize)
    return number + 1 < count(length) ? size : length - number * size
  }

  /// Pages of a value of `bytes` bytes, checksum included.
  static func pages(ofValue bytes: Int) -> Int { (16 + bytes + 4095) / 4096 }

  /// Pages of one chunk of `bytes` bytes: page header, bytes, checksum.
  static func pages(ofChunk bytes: Int) -> Int { (16 + bytes + trailer + 4095) / 4096 }

  /// Pages of a body's chunks.
  static func pages(ofBody length: UInt64) -> Int {
    let size = UInt64(ObjectStore.chunkSize)
    let rest = Int(length % size)
    return Int(clamping: length / size) * 64 + (rest == 0 ? 0 : pages(ofChunk: rest))
  }
}

/// What readers and the writer share. The files are closed when the last of them lets go.
final class StoreCore: Sendable {
  let directory: StoreDirectory
  let environment: Environment
  let databases: Databases
  let keySecret: SipHash
  let epochs: Epochs
  let table: ObjectTable
  let ledger: PurgeLedger
  let moves: Moves
  let verifiedChunks: VerifiedChunks
  let counters = StoreCounters()
  let queue: OperationQueue
  let history: PurgeHistory
  let pins: [PinSet]
  /// Bytes of memory that pages of the map may take.
  let memory: UInt64
  /// Whether the store has come to be larger than that: what is not in use may have to be read from disk.
  let exceedsMemory = Atomic<Bool>(false)
  /// Whether a process that had the store before is still sending bodies from it.
  let hasPredecessor: Atomic<Bool>
  private let freeSlots: Mutex<[Int]>

  /// The writer's slot among the epochs'.
  static let writerSlot = 0

  init(
    directory: consuming StoreDirectory, environment: consuming Environment, databases: Databases,
    keySecret: Hash128, tagSecret: Hash128, readers: Int, sizeLimit: UInt64, queue: OperationQueue,
    history: PurgeHistory, memory: UInt64, hasPredecessor: Bool
  ) {
    self.hasPredecessor = Atomic(hasPredecessor)
    self.directory = directory
    self.environment = environment
    self.databases = databases
    self.keySecret = SipHash(key: keySecret)
    epochs = Epochs(slots: readers + 1)
    table = ObjectTable(epochs: epochs)
    ledger = PurgeLedger(epochs: epochs, tagSecret: SipHash(key: tagSecret))
    moves = Moves(epochs: epochs)
    verifiedChunks = VerifiedChunks(sizeLimit: sizeLimit)
    self.queue = queue
    self.history = history
    self.memory = memory
    history.keep(patternsOf: ledger)
    pins = (0..<readers).map { _ in PinSet() }
    freeSlots = Mutex(Array(1..<readers + 1))
  }

  func keyHash(_ key: ByteView) -> Hash128 { keySecret.hash(key) }

  func tagHash(_ tag: ByteView) -> UInt64 { ledger.tagHash(tag) }

  /// What a variant is stored under: primary hash, rule and values, each hashed with the secret before
  /// it is mixed in, so that nobody outside can choose what cancels out.
  func variantHash(_ primary: Hash128, _ rule: ByteView, _ values: ByteView) -> Hash128 {
    let rule = keySecret.hash(rule)
    let first = keySecret.hash(primary.low ^ rule.low, primary.high ^ rule.high)
    let values = keySecret.hash(values)
    return keySecret.hash(first.low ^ values.low, first.high ^ values.high)
  }

  func takeReaderSlot() -> Int? { freeSlots.withLock { $0.popLast() } }
  func returnReaderSlot(_ slot: Int) { freeSlots.withLock { $0.append(slot) } }

  func isPinned(_ body: UInt64) -> Bool { pins.contains { $0.contains(body) } }
}

/// The store's counters; see `StoreStatistics` for their meaning.
final class StoreCounters: Sendable {
  let objects = Atomic<UInt64>(0)
  let pagesInUse = Atomic<UInt64>(0)
  let pageLimit = Atomic<UInt64>(0)
  let insertions = Atomic<UInt64>(0)
  let evictions = Atomic<UInt64>(0)
  let reinsertions = Atomic<UInt64>(0)
  let commits = Atomic<UInt64>(0)
  let refusals = Atomic<UInt64>(0)
  let mapFull = Atomic<UInt64>(0)
  let damaged = Atomic<UInt64>(0)
  let writingEnded = Atomic<Bool>(false)
  let sweeps = Atomic<UInt64>(0)
  let swept = Atomic<UInt64>(0)
}

/// Which chunks were found whole in this process: a table of chunk keys, each in the one place that its
/// hash names. A chunk that loses its place is verified once more.
final class VerifiedChunks: Sendable {
  private let words: Words
  private let mask: Int

  /// Room for every full chunk of a store, up to 8 MiB of memory.
  init(sizeLimit: UInt64) {
    var size = 256
    while size < 1 << 20 && UInt64(size) * 131_072 < sizeLimit { size *= 2 }
    words = Words.allocate(size)
    mask = size - 1
  }

  deinit { words.deallocate() }

  private func place(_ key: UInt64) -> Int {
    Int(truncatingIfNeeded: (key &* 0x9E37_79B9_7F4A_7C15) &>> 32) & mask
  }

  func contains(_ key: UInt64) -> Bool { words.load(place(key)) == key }
  func insert(_ key: UInt64) { words.store(place(key), key) }
  func remove(_ key: UInt64) { words.exchange(place(key), key, 0) }
}
