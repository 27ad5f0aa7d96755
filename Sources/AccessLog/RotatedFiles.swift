// The files of a log that were put aside: FILE.1 is the youngest, FILE.2 the one before; compressed they are
// FILE.1.gz and so on, and while one is being compressed what there is of it is FILE.gz.part.
//
// The log's thread moves all of them one further while the compressor reads one of them, and another process
// may do so too (two nodes during an upgrade). So the compressor knows its file by its inode, and looks under
// a lock by which number it is called when it is done: a mutex for the threads, a lock on the directory
// (flock(2)) for processes.

internal import CLinux
internal import EventLoop
internal import Synchronization

/// See the top of the file. Of one log's file.
final class RotatedFiles: Sendable {
  let path: String
  let rotation: LogRotation
  private let names = Mutex(())

  /// Of the log at `path`.
  init(_ path: String, _ rotation: LogRotation) {
    self.path = path
    self.rotation = rotation
  }

  /// What is written before it has its name.
  var part: String { path + ".gz.part" }

  /// Moves all of them one further, the oldest out, and the log's own file, open as `number`, to FILE.1.
  /// Nothing happens if the path is another file's: somebody else has done it.
  func putAside(_ number: Int32) -> Errno? {
    withNames {
      guard let named = FileIdentity(path), named == FileIdentity(number) else { return nil }
      for end in ["", ".gz"] { _ = unsafe unlink("\(path).\(rotation.keep)\(end)") }
      for number in stride(from: rotation.keep - 1, to: 0, by: -1) {
        for end in ["", ".gz"] {
          _ = Self.rename("\(path).\(number)\(end)", "\(path).\(number + 1)\(end)")
        }
      }
      return Self.rename(path, path + ".1")
    }
  }

  /// Removes those that are beyond the number that is kept, or older than they may be.
  func removeOld(at now: Int64) {
    _ = withNames {
      for number in 1..<20_000 {
        let all = both(number)
        if all.isEmpty { break }
        for (name, file) in all {
          let age = now - file.changed
          if number > rotation.keep || rotation.keepFor.map({ age >= $0 }) == true {
            _ = unsafe unlink(name)
          }
        }
      }
      return nil
    }
  }

  /// The names of those that are not compressed, the oldest first.
  func uncompressed() -> [String] {
    var names: [String] = []
    for number in 1...rotation.keep {
      let all = both(number)
      if all.isEmpty { break }
      names += all.map(\.name).filter { !$0.hasSuffix(".gz") }
    }
    return names.reversed()
  }

  /// Puts what was compressed in the place of the file that it was made of, if that is still there.
  func replace(_ source: FileIdentity) -> Errno? {
    withNames {
      for number in 1...rotation.keep {
        let name = "\(path).\(number)"
        guard FileIdentity(name) == source else { continue }
        if let error = Self.rename(part, name + ".gz") { return error }
        return unsafe unlink(name) == 0 ? nil : .current
      }
      _ = unsafe unlink(part)
      return nil
    }
  }

  /// Both files that a number may have.
  private func both(_ number: Int) -> [(name: String, file: FileIdentity)] {
    ["\(path).\(number)", "\(path).\(number).gz"].compactMap { name in
      FileIdentity(name).map { (name, $0) }
    }
  }

  private static func rename(_ from: String, _ to: String) -> Errno? {
    unsafe CLinux.rename(from, to) == 0 ? nil : .current
  }

  /// While nobody else renames. Somebody who does not let go of the directory is an error, for the log's
  /// thread must not wait.
  private func withNames(_ body: () -> Errno?) -> Errno? {
    names.withLock { _ in
      let end = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
      let directory = unsafe weir_open(end.isEmpty ? "/" : end, O_RDONLY | O_CLOEXEC, 0)
      // One that may only be written to cannot be locked; nobody else's is then either.
      guard directory >= 0 else { return body() }
      defer { _ = close(directory) }
      if flock(directory, LOCK_EX | LOCK_NB) != 0 { return .current }
      return body()
    }
  }
}

/// Which file it is, whatever its name.
struct FileIdentity: Equatable {
  let device: UInt64
  let number: UInt64
  /// When it was written to last (Unix time), which does not tell files apart.
  let changed: Int64

  static func == (one: FileIdentity, other: FileIdentity) -> Bool {
    one.device == other.device && one.number == other.number
  }

  /// Of what has that name now; nil if nothing has.
  init?(_ name: String) {
    var status = stat()
    guard unsafe stat(name, &status) == 0 else { return nil }
    self.init(status)
  }

  /// Of an open file.
  init?(_ number: Int32) {
    var status = stat()
    guard unsafe fstat(number, &status) == 0 else { return nil }
    self.init(status)
  }

  private init(_ status: stat) {
    device = UInt64(status.st_dev)
    number = UInt64(status.st_ino)
    changed = Int64(status.st_mtim.tv_sec)
  }
}
