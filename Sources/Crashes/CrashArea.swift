// What a node leaves behind when its process dies: a file in memory that the supervisor holds as well, so
// that it outlives the process, however that ends. The kernel writes nothing of it anywhere.
//
//     page 0        what a signal handler writes down: signal, address, thread, return addresses; from 1,024
//                   on, the objects that the store's own threads work on (`ObjectNote`)
//     page 1        who the process is, written at its start: a text (`CrashIdentity`)
//     page 2 …      one for each worker: the requests that it began last (`RequestNotes`), and the object
//                   that it works on
//
// Without a supervisor it is a file beside the store, which the next start reads (`CrashLeftover`).
//
// The handler (weir_on_crash, module CLinux) calls nothing that is not safe in one, takes some microseconds
// and lets the process die as it would have. All else is made of it later, by a process of its own
// (`weir crash-report`), while the next node answers already: names of functions, the report, its file.
//
// Why not the backtracer that comes with Swift: it is another program, which has to be there, and the node
// ends only when that has read all symbols, for as long as which nobody answers. Where it is turned on
// (SWIFT_BACKTRACE in the supervisor's environment), it has its turn after ours.

internal import Bytes
internal import CLinux
package import EventLoop
import Synchronization

/// The memory that outlives a process.
package enum CrashArea {
  static let page = 4_096
  static let firstWorker = 2
  /// Workers beyond these leave no requests behind.
  static let mostWorkers = 254
  static let size = (firstWorker + mostWorkers) * page
  /// The variable of the environment in which a node finds the number of its file: not an argument, which
  /// a version that knows nothing of it would refuse.
  package static let variable = "WEIR_CRASH_AREA"
  /// That in which it finds what the nodes before it worked on as they died: `CrashNaming`, by comma.
  package static let namingsVariable = "WEIR_CRASHED_AT"
  static let magic: UInt64 = 0x3173_7263_7269_6577
  static let objects = 1_024

  /// Where it is mapped in this process; 0: nowhere.
  private static let place = Mutex<UInt>(0)
  private static let told = Mutex<[CrashNaming]>([])

  /// What the nodes before this one worked on as they died, as its supervisor has told.
  package static var namings: [CrashNaming] { told.withLock { $0 } }

  /// Takes over what the supervisor has told.
  package static func take(_ namings: [CrashNaming]) { told.withLock { $0 = namings } }

  /// A file for one process.
  package static func make() throws(Errno) -> CrashFile {
    let number = unsafe weir_memory_file("weir-crash")
    guard number >= 0 else { throw .current }
    let file = Descriptor(owning: number)
    guard ftruncate(file.number, off_t(size)) == 0 else { throw .current }
    return CrashFile(file)
  }

  /// Has this process leave its traces in a file; false if that cannot be mapped. Once, before there is a
  /// second thread.
  package static func use(_ file: borrowing Descriptor, _ identity: CrashIdentity) -> Bool {
    guard let mapped = unsafe weir_map_shared(file.number, size) else { return false }
    let text = Array(identity.text.utf8.prefix(page - 8))
    unsafe text.withUnsafeBytes { bytes in
      // Safe: a page has room for it, and nobody else writes there.
      unsafe mapped.storeBytes(of: UInt64(bytes.count), toByteOffset: page, as: UInt64.self)
      unsafe (mapped + page + 8).copyMemory(
        from: bytes.baseAddress ?? UnsafeRawPointer(mapped), byteCount: bytes.count)
    }
    place.withLock { $0 = UInt(bitPattern: mapped) }
    // The stack of the thread that does all the rest.
    _ = unsafe weir_begin_signal_stack()
    return unsafe weir_catch_crashes(mapped) == 0
  }

  /// Where a worker notes its requests: in the process's file, or where nobody looks.
  package static func notes(ofWorker index: Int) -> RequestNotes {
    let base = place.withLock { $0 }
    if base != 0, index >= 0, index < mostWorkers,
      let mapped = unsafe UnsafeMutableRawPointer(bitPattern: base)
    {
      return unsafe RequestNotes(mapped + (firstWorker + index) * page, owns: false)
    }
    let own = UnsafeMutableRawPointer.allocate(byteCount: page, alignment: 64)
    unsafe own.initializeMemory(as: UInt8.self, repeating: 0, count: page)
    return unsafe RequestNotes(own, owns: true)
  }

  /// Where a thread of the store notes its objects, likewise.
  package static func note(of thread: StoreThread) -> ObjectNote {
    let base = place.withLock { $0 }
    guard base != 0, let mapped = unsafe UnsafeMutableRawPointer(bitPattern: base) else {
      return ObjectNote()
    }
    return unsafe ObjectNote(
      mapped + objects + thread.rawValue * ObjectNote.size, owns: false)
  }

  /// What the thread worked on that has died, as the file of a process says; nil: on none, or nobody knows.
  /// Reads numbers at fixed places only: for a supervisor, which must not be led astray by what a dead process
  /// wrote.
  package static func naming(in file: CrashFile, process: Int32) -> CrashNaming? {
    func read(_ start: Int, _ count: Int) -> [UInt8]? {
      var bytes = [UInt8](repeating: 0, count: count)
      let found = unsafe bytes.withUnsafeMutableBytes {
        // Safe: the buffer is the array's own, and used within the call only.
        unsafe pread(file.number, $0.baseAddress, count, off_t(start))
      }
      return found == count ? bytes : nil
    }
    guard let head = read(0, 64), let place = objectPlace(head),
      let object = read(place, 16).flatMap({ object($0, at: 0) })
    else { return nil }
    return CrashNaming(object: object, process: process, time: CrashReport.time(of: head))
  }

  /// Where the thread that has died notes its objects, by the area's first 64 bytes; nil: nowhere.
  static func objectPlace(_ head: [UInt8]) -> Int? {
    // What somebody else's kill(2) has ended was at work on something by chance.
    guard head.count >= 64, RequestNotes.number(head, 0, 8) == magic,
      RequestNotes.number(head, 12, 4) != 0
    else { return nil }
    let name = head[48..<64].prefix { $0 != 0 }
    let worker = "weir-worker-"
    if name.starts(with: worker.utf8) {
      let digits = String(decoding: name.dropFirst(worker.utf8.count), as: UTF8.self)
      guard let index = Int(digits), index >= 0, index < mostWorkers else { return nil }
      return (firstWorker + index) * page + RequestNotes.objectPlace
    }
    return StoreThread.allCases.first { name.elementsEqual($0.name.utf8) }.map {
      objects + $0.rawValue * ObjectNote.size
    }
  }

  /// The hash at a place; nil: none.
  static func object(_ bytes: [UInt8], at place: Int) -> Hash128? {
    guard place >= 0, bytes.count - 16 >= place else { return nil }
    let hash = Hash128(
      low: RequestNotes.number(bytes, place, 8), high: RequestNotes.number(bytes, place + 8, 8))
    return hash.low == 0 && hash.high == 0 ? nil : hash
  }

  /// All bytes of a file.
  package static func bytes(of file: borrowing Descriptor) -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: size)
    let count = unsafe bytes.withUnsafeMutableBytes {
      // Safe: the buffer is the array's own, and used within the call only.
      unsafe pread(file.number, $0.baseAddress, $0.count, 0)
    }
    return count == size ? bytes : nil
  }
}

/// The file in memory of one process, as whoever watches it holds it.
package final class CrashFile: Sendable {
  private let descriptor: Descriptor
  /// Its number.
  package var number: Int32 { descriptor.number }

  /// The file that a descriptor is of.
  package init(_ descriptor: consuming Descriptor) { self.descriptor = descriptor }
}
