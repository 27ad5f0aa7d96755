// What a node leaves behind when its process dies: a file in memory that the supervisor holds as well, so
// that it outlives the process, however that ends. The kernel writes nothing of it anywhere.
//
//     page 0        what a signal handler writes down: signal, address, thread, return addresses
//     page 1        who the process is, written at its start: a text (`CrashIdentity`)
//     page 2 …      one for each worker: the requests that it began last (`RequestNotes`)
//
// The handler (weir_on_crash, module CLinux) calls nothing that is not safe in one, takes some microseconds
// and lets the process die as it would have. All else is made of it later, by a process of its own
// (`weir crash-report`), while the next node answers already: names of functions, the report, its file.
//
// Why not the backtracer that comes with Swift: it is another program, which has to be there, and the node
// ends only when that has read all symbols, for as long as which nobody answers. Where it is turned on
// (SWIFT_BACKTRACE in the supervisor's environment), it has its turn after ours.

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

  /// Where it is mapped in this process; 0: nowhere.
  private static let place = Mutex<UInt>(0)

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
