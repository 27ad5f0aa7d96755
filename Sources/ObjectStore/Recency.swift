// What eviction knows of the objects' use, over a restart: a file with two bits for each object id, written
// every minute and on closing, read when the table is built. It is a hint. Ids are never used twice, so an
// old file says nothing wrong, only less; one of another store, or a damaged one, is left alone.
//
//     0 "WEIRUSE1"   8 u64 a hash by the store's secret   16 u64 the first id   24 u64 ids
//    32 u64 XXH3-64 of the rest   40 the uses (0 to 3) of each id in turn, four to a byte, low bits first
//
// The ids between the oldest and the newest object that no object has take room as well: about a quarter
// of a byte for each object stored since the oldest that is left. Written without a sync: a power loss
// may cost it.

import Bytes
import CLinux
import Checksum
import EventLoop
import Synchronization

struct RecencyFile {
  private static let magic: UInt64 = 0x3145_5355_5249_4557
  private static let headerSize = 40
  /// Ids that are written at most, the newest: 64 MiB.
  private static let idLimit: UInt64 = 1 << 28

  private let first: UInt64
  private let bits: [UInt8]

  private static func identity(_ core: StoreCore) -> UInt64 {
    core.keyHash(ByteView("recency")).low
  }

  /// The uses as the table has them. Within a turn.
  init(of core: StoreCore) {
    var least = UInt64.max
    var most: UInt64 = 0
    core.table.forEach { entry in
      least = min(least, entry.id)
      most = max(most, entry.id)
    }
    if most >= least { least = max(least, most - min(most, Self.idLimit - 1)) }
    let first = min(least, most)
    self.first = first
    var bits = [UInt8](repeating: 0, count: Int((most - first) / 4 + 1))
    core.table.forEach { entry in
      // The table may have got newer ones between the passes.
      guard entry.id >= first, entry.id <= most else { return }
      let place = entry.id - first
      bits[Int(place / 4)] |= UInt8(entry.frequency) << UInt8(place % 4 * 2)
    }
    self.bits = bits
  }

  /// What a file says; nil if it is not of this store, or not whole.
  init?(reading path: String, of core: StoreCore) {
    let number = unsafe weir_open(path, O_RDONLY, 0)
    guard number >= 0 else { return nil }
    let descriptor = Descriptor(owning: number)
    var content = ByteBuffer()
    let limit = Self.headerSize + Int(Self.idLimit / 4)
    while content.count <= limit {
      let result = descriptor.read(onto: &content, limit: 1 << 20)
      if result.error != nil { return nil }
      if result.isEnd { break }
    }
    let view = content.view
    guard view.count > Self.headerSize, view.count <= limit, view.uint64(at: 0) == Self.magic,
      view.uint64(at: 8) == Self.identity(core),
      view.uint64(at: 24) / 4 <= UInt64(view.count - Self.headerSize),
      Checksum.of(view.dropping(first: Self.headerSize)) == view.uint64(at: 32)
    else { return nil }
    first = view.uint64(at: 16)
    bits = view.dropping(first: Self.headerSize).array
  }

  /// The uses of an object; 0 if they are not known.
  func uses(of id: UInt64) -> UInt64 {
    guard id >= first, (id - first) / 4 < UInt64(bits.count) else { return 0 }
    let place = id - first
    return UInt64(bits[Int(place / 4)] >> UInt8(place % 4 * 2) & 3)
  }

  /// Writes it in the place of the file that is there. What fails is tried again in a minute.
  func write(to path: String, of core: StoreCore) {
    var header = ByteBuffer()
    header.append(littleEndian: Self.magic)
    header.append(littleEndian: Self.identity(core))
    header.append(littleEndian: first)
    header.append(littleEndian: UInt64(bits.count) * 4)
    header.append(littleEndian: bits.withView { Checksum.of($0) })
    let number = unsafe weir_open(path + ".new", O_WRONLY | O_CREAT | O_TRUNC, 0o640)
    guard number >= 0 else { return }
    let descriptor = Descriptor(owning: number)
    let isWritten =
      Self.write(header.view, descriptor) && bits.withView { Self.write($0, descriptor) }
    if isWritten {
      _ = unsafe rename(path + ".new", path)
    } else {
      _ = unsafe unlink(path + ".new")
    }
  }

  private static func write(_ bytes: ByteView, _ file: borrowing Descriptor) -> Bool {
    var rest = bytes
    while !rest.isEmpty {
      let count = unsafe CLinux.write(file.number, rest.baseAddress, rest.count)
      if count < 0 && Errno.current.code != EINTR { return false }
      rest = rest.dropping(first: max(count, 0))
    }
    return true
  }
}

/// The thread that writes the file.
final class RecencyKeeper: Sendable {
  private static let interval: Int32 = 60_000

  private let core: StoreCore
  private let slot: Int?
  private let isStopping = Atomic<Bool>(false)
  private let waker: Waker?
  private let thread = Mutex<LoopThread?>(nil)

  /// `slot` is a reader's, for good.
  init(core: StoreCore, slot: Int?) {
    self.core = core
    self.slot = slot
    waker = try? Waker()
  }

  func start() {
    guard let waker else { return }
    thread.withLock {
      $0 = LoopThread(name: "store-recency") {
        while !self.isStopping.load(ordering: .acquiring) {
          waker.wait(milliseconds: Self.interval)
          self.save()
        }
      }
    }
  }

  /// Writes the file a last time and ends the thread.
  func stop() {
    isStopping.store(true, ordering: .releasing)
    waker?.wake()
    thread.withLock { thread in
      thread?.join()
      thread = nil
    }
  }

  private func save() {
    guard let slot else { return }
    core.epochs.enter(slot)
    let file = RecencyFile(of: core)
    core.epochs.leave(slot)
    file.write(to: core.directory.file("recency"), of: core)
  }
}
