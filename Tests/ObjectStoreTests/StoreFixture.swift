import Bytes
import CLinux
import Synchronization
import Testing

@testable import LMDB
@testable import ObjectStore

/// A directory that is there for one test; in memory where the system has that.
final class TemporaryDirectory {
  let path: String
  private static let count = Atomic<Int>(0)

  init() {
    let number = Self.count.add(1, ordering: .relaxed).newValue
    path = "\(Self.base)/weir-store-\(getpid())-\(number)"
    // Of a process that was killed, and had the same number.
    Self.remove(path)
    _ = unsafe mkdir(path, 0o700)
  }

  deinit { Self.remove(path) }

  /// In memory, where there is room: a container often has 64 MiB of that.
  private static let base: String = {
    var status = statvfs()
    guard unsafe statvfs("/dev/shm", &status) == 0, unsafe access("/dev/shm", W_OK) == 0,
      UInt64(status.f_bavail) &* UInt64(status.f_frsize) > 1 << 30
    else { return "/tmp" }
    return "/dev/shm"
  }()

  func file(_ name: String) -> String { path + "/" + name }

  static func names(_ path: String) -> [String] {
    guard let directory = unsafe opendir(path) else { return [] }
    defer { unsafe closedir(directory) }
    var names: [String] = []
    while let entry = unsafe readdir(directory) {
      let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
        unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  static func remove(_ path: String) {
    for name in names(path) { remove(path + "/" + name) }
    if unsafe rmdir(path) != 0 { _ = unsafe unlink(path) }
  }

  static func read(_ path: String) -> [UInt8] {
    let file = unsafe weir_open(path, O_RDONLY, 0)
    guard file >= 0 else { return [] }
    defer { close(file) }
    var bytes: [UInt8] = []
    var part = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = unsafe part.withUnsafeMutableBytes {
        unsafe CLinux.read(file, $0.baseAddress, $0.count)
      }
      if count <= 0 { return bytes }
      bytes += part[..<count]
    }
  }

  static func write(_ bytes: [UInt8], to path: String) {
    let file = unsafe weir_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    guard file >= 0 else { return }
    defer { close(file) }
    var offset = 0
    while offset < bytes.count {
      let count = unsafe bytes.withUnsafeBytes {
        unsafe CLinux.write(file, $0.baseAddress.map { unsafe $0 + offset }, $0.count - offset)
      }
      if count <= 0 { return }
      offset += count
    }
  }
}

/// A count that closures can share.
final class Counter: Sendable {
  let count = Atomic<Int>(0)
}

/// A generator with a seed (SplitMix64).
struct Seeded: RandomNumberGenerator {
  var state: UInt64
  init(_ seed: UInt64) { state = seed }
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z &>> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z &>> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z &>> 31)
  }
}

/// A store with one reader, for tests: calls that wait, and the check at the end.
final class StoreFixture {
  let directory = TemporaryDirectory()
  let limit: UInt64
  let fault: (@Sendable (UInt64) -> LMDBError?)?
  private(set) var store: ObjectStore
  private(set) var reader: StoreReader

  init(limit: UInt64 = 64 << 20, fault: (@Sendable (UInt64) -> LMDBError?)? = nil) throws {
    self.limit = limit
    self.fault = fault
    store = try ObjectStore.open(
      StoreOptions(
        path: directory.file("s"), sizeLimit: limit, readers: 8,
        condition: { WordCondition($0) }), fault: fault)
    reader = try store.makeReader()
  }

  /// Closes the store, lets `change` do something to its files, and opens it again.
  func reopen(
    dropping dropped: [Hash128] = [], asSuccessor: Bool = false, _ change: () -> Void = {}
  ) throws {
    store.close()
    try withExtendedLifetime(Released(self)) {
      change()
      var options = StoreOptions(
        path: directory.file("s"), sizeLimit: limit, readers: 8,
        condition: { WordCondition($0) })
      options.dropped = dropped
      options.hasPredecessor = asSuccessor
      store = try ObjectStore.open(options, fault: fault)
      reader = try store.makeReader()
    }
  }

  /// Puts a store elsewhere in the place of the fixture's, so that its files are closed.
  private final class Released {
    let other = TemporaryDirectory()
    init(_ fixture: StoreFixture) throws {
      let empty = try ObjectStore.open(
        StoreOptions(path: other.file("none"), sizeLimit: 0, readers: 1))
      fixture.reader = try empty.makeReader()
      fixture.store = empty
    }
  }

  func finish() throws {
    reader.endTurn()
    store.flush()
    try store.check()
    store.close()
  }

  // MARK: Calls that wait

  @discardableResult
  func store(_ object: NewObject) -> StoreOutcome {
    wait { store.store(object, completion: $0) } ?? .refused
  }

  /// Stores without waiting.
  func hand(_ object: NewObject) { _ = store.store(object) { _ in } }

  func wait<Outcome: Sendable>(_ start: (@escaping @Sendable (Outcome) -> Void) -> Bool) -> Outcome?
  {
    let latch = Latch()
    let result = Mutex<Outcome?>(nil)
    let taken = start { outcome in
      result.withLock { $0 = outcome }
      latch.open()
    }
    guard taken else { return nil }
    latch.wait()
    return result.withLock { $0 }
  }

  @discardableResult
  func purge(_ tags: String...) -> PurgeResult? {
    let result: Result<PurgeResult, StoreError>? = wait { completion in
      store.purge(tags: tags.map(tag), completion: completion)
      return true
    }
    return try? result?.get()
  }

  /// Hands a body over in chunks; nil if one was refused.
  func chunks(_ bytes: [UInt8]) -> NewBody? {
    let body = store.makeBodyID()
    var number: UInt32 = 0
    let refusals = Counter()
    for start in stride(from: 0, to: bytes.count, by: ObjectStore.chunkSize) {
      let part = Array(bytes[start..<min(start + ObjectStore.chunkSize, bytes.count)])
      let shared = SharedBytes(capacity: part.count)
      part.withView { _ = shared.append($0) }
      let note: @Sendable (Bool) -> Void = { if !$0 { refusals.count.add(1, ordering: .relaxed) } }
      if !store.storeChunk(body: body, number: number, shared, completion: note) {
        store.flush()
        if !store.storeChunk(body: body, number: number, shared, completion: note) { return nil }
      }
      number += 1
    }
    store.flush()
    return refusals.count.load(ordering: .relaxed) == 0
      ? .chunks(id: body, length: UInt64(bytes.count)) : nil
  }

  // MARK: Objects and lookups

  func tag(_ name: String) -> UInt64 { name.withView { store.tagHash($0) } }

  func object(
    _ key: String, _ body: String = "", tags: [String] = [], rule: String? = nil,
    values: String = "", lifetime: Int64 = 60_000, sequence: UInt64? = nil
  ) -> NewObject {
    NewObject(
      keyHash: key.withView { store.keyHash($0) }, key: Array(key.utf8),
      varyRule: rule.map { Array($0.utf8) }, varyValues: Array(values.utf8),
      metadata: Metadata(status: 200, responseTime: 1_000, lifetime: lifetime),
      head: Array("content-type: text/plain\r\n".utf8), tags: tags.map(tag),
      implicitTags: [tag("url " + key)], body: .inline(Array(body.utf8)),
      sequence: sequence ?? store.purgeSequence)
  }

  func lookup(_ key: String) -> Lookup {
    key.withView { reader.lookup(store.keyHash($0), key: $0) }
  }

  /// The inline body stored under a key; nil for a miss. Ends the turn.
  func body(_ key: String) -> String? {
    defer { reader.endTurn() }
    guard case .found(let response) = lookup(key) else { return nil }
    return response.body.string
  }

  func found(_ key: String) -> StoredResponse? {
    guard case .found(let response) = lookup(key) else { return nil }
    return response
  }

  func variant(_ key: String, _ rule: String, _ values: String) -> StoredResponse? {
    key.withView { key in
      rule.withView { rule in
        values.withView {
          reader.lookupVariant(primary: store.keyHash(key), key: key, rule: rule, values: $0)
        }
      }
    }
  }
}

/// Runs a test on a store, and the store's own check after it.
func withStore(
  limit: UInt64 = 64 << 20, fault: (@Sendable (UInt64) -> LMDBError?)? = nil,
  _ body: (StoreFixture) throws -> Void
) throws {
  let fixture = try StoreFixture(limit: limit, fault: fault)
  try body(fixture)
  try fixture.finish()
}
