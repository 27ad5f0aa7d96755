import Bytes
import CLinux
import EventLoop

/// The store's directory: held by one process at a time, and where a bad store is set aside.
///
///     lock       flock'ed by the process that has the store
///     data.mdb   LMDB's file            lock.mdb   LMDB's reader table
///     journal    purges of tags and of everything
///     purges     the log of purges, with those by pattern
///     recency    which objects were in use, as of a while ago
///     opening    one byte for each start that has not got through yet
///     damaged    there if the last run found the file damaged; says how
final class StoreDirectory: Sendable {
  let path: String
  private let lock: Descriptor
  /// What was set aside to make the directory; nil if nothing was.
  let note: String?

  private static let files = ["data.mdb", "lock.mdb", "journal", "purges", "opening", "damaged"]
  /// So many starts that died while opening the store make it suspect.
  private static let attemptLimit = 3

  /// How many bytes the file system can still take; plenty if it does not say.
  func freeBytes() -> UInt64 {
    var status = statvfs()
    guard unsafe statvfs(path, &status) == 0 else { return .max }
    return UInt64(status.f_bavail) &* UInt64(status.f_frsize)
  }

  /// Makes the directory if need be and takes it; what stands in its place is set aside.
  init(_ path: String) throws(StoreError) {
    self.path = path
    note = try Self.makeDirectory(path)
    let name = path + "/lock"
    let number = unsafe weir_open(name, O_RDWR | O_CREAT, 0o640)
    guard number >= 0 else {
      throw StoreError(path: name, reason: "cannot be opened: \(Errno.current)")
    }
    lock = Descriptor(owning: number)
    guard flock(number, LOCK_EX | LOCK_NB) == 0 else {
      let error = Errno.current
      throw StoreError(
        path: path,
        reason: error == .wouldBlock
          ? "in use: another process has the store" : "cannot be locked: \(error)")
    }
  }

  /// Lets another process take it. What is open stays open.
  func release() { _ = flock(lock.number, LOCK_UN) }

  /// The path of a file in it.
  func file(_ name: String) -> String { path + "/" + name }

  private static func makeDirectory(_ path: String) throws(StoreError) -> String? {
    var status = stat()
    if unsafe stat(path, &status) == 0 {
      if status.st_mode & mode_t(S_IFMT) == mode_t(S_IFDIR) { return nil }
      let aside = try move(path)
      try make(path)
      return "\(path) is not a directory: set aside as \(aside)"
    }
    var parent = ""
    for part in path.split(separator: "/", omittingEmptySubsequences: false).dropLast() {
      parent += part + "/"
      // Whether the last one works is what matters.
      if !part.isEmpty { _ = unsafe mkdir(parent, 0o755) }
    }
    try make(path)
    return nil
  }

  private static func make(_ path: String) throws(StoreError) {
    guard unsafe mkdir(path, 0o750) == 0 || Errno.current.code == EEXIST else {
      throw StoreError(path: path, reason: "cannot be made: \(Errno.current)")
    }
  }

  /// Renames a file to a name that says when it was found bad.
  private static func move(_ path: String) throws(StoreError) -> String {
    var target = "\(path).bad-\(time(nil))"
    var status = stat()
    var number = 1
    while unsafe stat(target, &status) == 0 {
      number += 1
      target = "\(path).bad-\(time(nil))-\(number)"
    }
    guard unsafe rename(path, target) == 0 else {
      throw StoreError(path: path, reason: "cannot be set aside: \(Errno.current)")
    }
    return target
  }

  /// Sets the store's files aside and says so.
  func setAside(because reason: String) throws(StoreError) -> String {
    var moved: [String] = []
    for name in Self.files {
      var status = stat()
      guard unsafe lstat(file(name), &status) == 0 else { continue }
      if name == "opening" || name == "damaged" {
        _ = unsafe unlink(file(name))
      } else {
        moved.append(try Self.move(file(name)))
      }
    }
    return
      "\(reason): the store was set aside as \(moved.joined(separator: ", ")), and the node goes on with "
      + "an empty one. To go back, start the former version with these; else delete them"
  }

  // MARK: Marks for the next start

  /// Why the store that is there should not be opened; nil if there is no reason.
  func suspicion() -> String? {
    if let reason = read("damaged") { return "the last run found the store damaged (\(reason))" }
    if let attempts = read("opening"), attempts.utf8.count >= Self.attemptLimit {
      return "\(attempts.utf8.count) starts died while opening the store"
    }
    return nil
  }

  /// Marks that the store is being opened.
  func beginOpening() { append(".", to: "opening") }

  /// Takes the mark back.
  func endOpening() { _ = unsafe unlink(file("opening")) }

  /// Has the next start set the store aside.
  func markDamaged(_ reason: String) { append(reason, to: "damaged") }

  /// Makes the names of new files durable.
  func sync() {
    let number = unsafe weir_open(path, O_RDONLY, 0)
    if number >= 0 { _ = fsync(Descriptor(owning: number).number) }
  }

  private func append(_ text: String, to name: String) {
    let number = unsafe weir_open(file(name), O_WRONLY | O_CREAT | O_APPEND, 0o640)
    guard number >= 0 else { return }
    let descriptor = Descriptor(owning: number)
    // A mark that cannot be written is a mark less; nothing depends on it.
    text.withView { _ = unsafe write(descriptor.number, $0.baseAddress, $0.count) }
  }

  private func read(_ name: String) -> String? {
    let number = unsafe weir_open(file(name), O_RDONLY, 0)
    guard number >= 0 else { return nil }
    let descriptor = Descriptor(owning: number)
    var bytes = [UInt8](repeating: 0, count: 256)
    let count = unsafe bytes.withUnsafeMutableBytes {
      unsafe CLinux.read(descriptor.number, $0.baseAddress, $0.count)
    }
    return count > 0 ? String(decoding: bytes[..<count], as: UTF8.self) : nil
  }
}
