// Without a supervisor nobody holds the memory in which a process leaves its traces when it is gone. So it is
// a file beside the store, mapped, which the next start makes the report of:
//
//     crashes/left-1234   the area of process 1234, which holds a lock on it as long as it lives
//
// The kernel writes its pages to the disk now and then, which costs about nothing; with a supervisor it
// writes none. A file whose process has ended by itself is deleted; one of a process that was killed says
// nothing of its end, as after a power cut, and no report is made of it.

internal import CLinux
package import EventLoop

/// The traces of a process, in a file beside the store.
package final class CrashLeftover: Sendable {
  private let descriptor: Descriptor
  private let path: String
  private static let prefix = "left-"

  /// A file in a folder for the process `process`, which is locked by this one.
  package init(in folder: CrashFolder, process: Int32) throws(Errno) {
    try folder.make()
    path = "\(folder.path)/\(Self.prefix)\(process)"
    let number = unsafe weir_open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    guard number >= 0 else { throw .current }
    descriptor = Descriptor(owning: number)
    guard flock(number, LOCK_EX | LOCK_NB) == 0 else { throw .current }
    // With all its blocks: to write where the disk has none would end the process.
    let code = posix_fallocate(number, 0, off_t(CrashArea.size))
    guard code == 0 else {
      unsafe unlink(path)
      throw Errno(code)
    }
  }

  /// Has this process leave its traces there, as `CrashArea.use`.
  package func use(_ identity: CrashIdentity) -> Bool { CrashArea.use(descriptor, identity) }

  /// Deletes it: the process ends by itself.
  package func end() { unsafe unlink(path) }

  /// Takes the files of processes that are gone, with their bytes.
  package static func take(from folder: CrashFolder) -> [(process: Int32, bytes: [UInt8])] {
    folder.entries { $0.hasPrefix(prefix) }.compactMap { name in
      let path = "\(folder.path)/\(name)"
      let number = unsafe weir_open(path, O_RDONLY | O_CLOEXEC, 0)
      guard number >= 0 else { return nil }
      let file = Descriptor(owning: number)
      guard flock(number, LOCK_EX | LOCK_NB) == 0 else { return nil }
      let bytes = CrashArea.bytes(of: file)
      unsafe unlink(path)
      guard let process = Int32(name.dropFirst(prefix.utf8.count)), let bytes else { return nil }
      return (process, bytes)
    }
  }
}
