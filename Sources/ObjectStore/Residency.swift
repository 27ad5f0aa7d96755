// Pages of the map that are not in memory.
//
// A worker that touches such a page sleeps until the disk has read it, and every client of the worker
// with it. In a store that fits into memory that happens once for each page and is let be. In a larger
// one, a worker asks first: about a chunk, the kernel (`mincore`: a system call, about 1 µs, against the
// 50 µs or so that 256 KiB take to send); about a record, which is too small for that, the object table:
// what was not used since eviction last looked at it is taken to be cold. What is cold is left to the
// warmer's thread, which reads it and says so; the worker goes on with its other clients meanwhile.
//
// In a control group mincore tells the truth too: it asks the page cache, whoever is charged for it.

package import Bytes
internal import CLinux
import EventLoop
import Synchronization

/// What pages there are, and which are in memory.
enum Memory {
  private static let pageSize = 4_096

  /// Bytes of memory that this process may fill: the machine's, or its control group's if that is less.
  static var available: UInt64 {
    let pages = UInt64(max(sysconf(Int32(_SC_PHYS_PAGES)), 0))
    var least = pages &* UInt64(max(sysconf(Int32(_SC_PAGESIZE)), 0))
    for path in limits(groups: text(in: "/proc/self/cgroup") ?? "") {
      if let limit = text(in: path).flatMap({ UInt64($0.prefix { $0.isNumber }) }) {
        least = min(least, limit)
      }
    }
    return least
  }

  /// The files that have the limits of a process's control groups: of its own (a line `0::/path` in the
  /// second version, `N:memory:/path` in the first) and of those above, whose limits hold for it too.
  static func limits(groups: String) -> [String] {
    var files = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
    for line in groups.split(separator: "\n") {
      let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard parts.count == 3 else { continue }
      let isFirst = parts[1].split(separator: ",").contains("memory")
      guard isFirst || parts[1].isEmpty else { continue }
      var path = isFirst ? "/sys/fs/cgroup/memory" : "/sys/fs/cgroup"
      for name in parts[2].split(separator: "/") {
        path += "/\(name)"
        files.append(path + (isFirst ? "/memory.limit_in_bytes" : "/memory.max"))
      }
    }
    return files
  }

  /// The beginning of a short file.
  private static func text(in path: String) -> String? {
    let file = unsafe weir_open(path, O_RDONLY, 0)
    guard file >= 0 else { return nil }
    let descriptor = Descriptor(owning: file)
    var bytes = [UInt8](repeating: 0, count: 4_096)
    let count = unsafe bytes.withUnsafeMutableBytes {
      unsafe read(descriptor.number, $0.baseAddress, $0.count)
    }
    return count > 0 ? String(decoding: bytes[..<count], as: UTF8.self) : nil
  }

  /// The whole pages that a view touches.
  private static func pages(_ view: ByteView) -> UnsafeRawBufferPointer {
    let start = unsafe UInt(bitPattern: view.baseAddress)
    let first = start & ~UInt(pageSize - 1)
    let end = (start + UInt(view.count) + UInt(pageSize - 1)) & ~UInt(pageSize - 1)
    return unsafe UnsafeRawBufferPointer(
      start: UnsafeRawPointer(bitPattern: first), count: Int(end - first))
  }

  /// Whether all pages of a view into the map are in memory. At most 128 of them are looked at.
  static func isResident(_ view: ByteView) -> Bool {
    guard !view.isEmpty else { return true }
    let range = unsafe pages(view)
    let length = min(range.count, 128 * pageSize)
    return unsafe withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 128) { found in
      // Safe: the pages belong to the map, and there is a byte for each of them.
      let start = unsafe UnsafeMutableRawPointer(mutating: range.baseAddress)
      // A kernel that does not say: then it is read as it is.
      guard unsafe mincore(start, length, found.baseAddress) == 0 else { return true }
      return unsafe found.prefix(length / pageSize).allSatisfy { $0 & 1 == 1 }
    }
  }

  /// Brings the pages of a view into memory; returns when they are there.
  static func bring(_ view: ByteView) {
    guard !view.isEmpty else { return }
    let range = unsafe pages(view)
    // All at once first: page by page the disk would be asked for each.
    _ = unsafe madvise(
      UnsafeMutableRawPointer(mutating: range.baseAddress), range.count, MADV_WILLNEED)
    var sum: UInt8 = 0
    for index in stride(from: 0, to: view.count, by: pageSize) { sum &+= view[index] }
    sum &+= view[view.count - 1]
    withExtendedLifetime(sum) {}
  }
}

extension StoreReader {
  /// Whether a chunk can be read without waiting for the disk; true if it is not there at all. About
  /// 1 µs in a store that exceeds memory; else true for nothing.
  package func isResident(body: UInt64, number: UInt32) -> Bool {
    guard core.exceedsMemory.load(ordering: .relaxed), beginTurn(), body < ChunkKey.bodyLimit,
      UInt64(number) < ChunkKey.numberLimit,
      let value = chunkValue(ChunkKey.make(body, UInt64(number)))
    else { return true }
    return Memory.isResident(value)
  }

  /// Whether the record of a hash is likely to be on disk only: the store exceeds memory, and no use is
  /// counted of the object. False for what is not stored. Before `lookup`, which would touch it; for
  /// nothing in a store that fits.
  @inline(__always)
  package func isCold(_ hash: Hash128) -> Bool {
    core.exceedsMemory.load(ordering: .relaxed) && isUnused(hash)
  }

  @inline(never)
  private func isUnused(_ hash: Hash128) -> Bool {
    guard beginTurn(), let slot = core.table.find(hash) else { return false }
    return slot.entry.frequency == 0
  }

  /// Brings a chunk into memory and verifies it.
  func bring(body: UInt64, number: UInt32) {
    guard beginTurn(), body < ChunkKey.bodyLimit, UInt64(number) < ChunkKey.numberLimit,
      let value = chunkValue(ChunkKey.make(body, UInt64(number)))
    else { return }
    Memory.bring(value)
    _ = chunk(body: body, number: number)
  }

  /// Brings a record into memory.
  func bring(_ hash: Hash128) {
    guard beginTurn(), let record = stored(hash) else { return }
    Memory.bring(record)
  }
}

/// The thread that waits for the disk in the workers' place.
final class Warmer: Sendable {
  enum Request: Sendable {
    case chunks(body: UInt64, Range<UInt32>, @Sendable () -> Void)
    case record(Hash128, @Sendable () -> Void)
  }
  private struct State {
    var waiting: [Request] = []
    var isStopping = false
  }
  /// Requests that may wait.
  private static let limit = 1_024
  /// Chunks brought in for one request.
  private static let chunkLimit: UInt32 = 64

  private let state = Mutex(State())
  private let reader: StoreReader
  private let waker: Waker?
  private let thread = Mutex<LoopThread?>(nil)

  init(_ reader: StoreReader) {
    self.reader = reader
    // Without one nothing is taken, and everything read as it is.
    waker = try? Waker()
  }

  func start() { thread.withLock { $0 = LoopThread(name: "store-warmer") { self.run() } } }

  /// Leaves a request; false if too many wait.
  func push(_ request: Request) -> Bool {
    guard let waker else { return false }
    let taken = state.withLock { state in
      guard !state.isStopping, state.waiting.count < Self.limit else { return false }
      state.waiting.append(request)
      return true
    }
    if taken { waker.wake() }
    return taken
  }

  /// Ends the thread, after what waits.
  func stop() {
    state.withLock { $0.isStopping = true }
    waker?.wake()
    thread.withLock { thread in
      thread?.join()
      thread = nil
    }
  }

  private func run() {
    guard let waker else { return }
    while true {
      let (requests, isStopping) = state.withLock { state in
        defer { state.waiting = [] }
        return (state.waiting, state.isStopping)
      }
      for request in requests { carryOut(request) }
      if !requests.isEmpty { continue }
      if isStopping { return }
      waker.wait(milliseconds: -1)
    }
  }

  private func carryOut(_ request: Request) {
    switch request {
    case .chunks(let body, let numbers, let completion):
      for number in numbers.prefix(Int(Self.chunkLimit)) {
        reader.bring(body: body, number: number)
        // The disk takes its time: no turn is held for longer than one chunk.
        reader.endTurn()
      }
      completion()
    case .record(let hash, let completion):
      reader.bring(hash)
      reader.endTurn()
      completion()
    }
  }
}
