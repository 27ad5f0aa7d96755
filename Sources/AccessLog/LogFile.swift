// Where lines end up: a file, standard output, or a descriptor that somebody else owns.
//
// The log's thread may wait for a disk, but not for ever for whoever reads a pipe: the rings would
// fill, and the node could not stop. A regular file takes a whole batch in one write. Anything else
// is asked first whether it takes a page (PIPE_BUF, which a pipe that is writable takes without
// blocking), and given up on for this batch when it has not for a second.

internal import Bytes
internal import CLinux
internal import EventLoop

/// An open destination. Used by the log's thread only.
final class LogFile {
  private let path: String?
  private let ownsNumber: Bool
  private var number: Int32
  private var isRegular: Bool
  /// Whether the last write ended within a line.
  private var isTorn = false
  private let rotation: LogRotation?
  /// What the file holds, and when it was begun (Unix time), as far as rotation asks.
  private var size: UInt64 = 0
  private var begun: Int64 = 0
  /// Before which it is not tried again to put a file aside.
  private var retryAt: Int64 = 0

  /// Opens a file by its name.
  init(path: String, rotation: LogRotation? = nil) throws(Errno) {
    let number = try Self.open(path: path)
    self.path = path
    self.number = number
    self.rotation = rotation
    ownsNumber = true
    isRegular = Self.isRegular(number)
    measure()
    removeOld(at: Self.now)
  }

  /// Writes to a descriptor that stays its owner's.
  init(descriptor: Int32) {
    path = nil
    number = descriptor
    rotation = nil
    ownsNumber = false
    isRegular = Self.isRegular(descriptor)
  }

  deinit { if ownsNumber { _ = CLinux.close(number) } }

  private static func open(path: String) throws(Errno) -> Int32 {
    // Non-blocking for the case that somebody has put a pipe there; files do not care.
    let flags = O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC
    let number = unsafe path.withCString { unsafe weir_open($0, flags, 0o640) }
    guard number >= 0 else { throw .current }
    return number
  }

  private static func isRegular(_ number: Int32) -> Bool {
    var status = stat()
    return unsafe fstat(number, &status) == 0 && mode(status) & S_IFMT == S_IFREG
  }

  private static func mode(_ status: stat) -> Int32 { Int32(bitPattern: status.st_mode) }

  // MARK: Rotation

  /// Whether it must be looked after while nothing is written.
  var needsTending: Bool {
    isRegular && path != nil && (rotation?.age != nil || rotation?.keepFor != nil)
  }

  private func measure() {
    var status = stat()
    guard rotation != nil, unsafe fstat(number, &status) == 0 else { return }
    size = UInt64(max(0, status.st_size))
    begun = size == 0 ? Self.now : Int64(status.st_mtim.tv_sec)
  }

  private static var now: Int64 { Int64(time(nil)) }

  /// Puts a file that is full or old aside, the older ones one further, begins a new one, and removes what
  /// is too old. What keeps it from that is returned; then the log goes on where it is, and it is tried
  /// again a minute later.
  func tend() -> Errno? {
    guard let rotation, isRegular, let path else { return nil }
    let now = Self.now
    guard now >= retryAt else { return nil }
    if size > 0, rotation.isDue(size: size, age: now - begun) {
      if let error = putAside(path, keep: rotation.keep) ?? reopen() {
        retryAt = now + 60
        return error
      }
    }
    removeOld(at: now)
    return nil
  }

  private func putAside(_ path: String, keep: Int) -> Errno? {
    // Somebody else may have done it: then the name is another file's.
    guard isStillNamed(path) else { return nil }
    for number in stride(from: keep - 1, through: 0, by: -1) {
      let from = number == 0 ? path : "\(path).\(number)"
      let result = unsafe from.withCString { from in
        unsafe "\(path).\(number + 1)".withCString { unsafe rename(from, $0) }
      }
      if result != 0, number == 0 { return .current }
    }
    return nil
  }

  private func isStillNamed(_ path: String) -> Bool {
    var own = stat()
    var named = stat()
    return unsafe fstat(number, &own) == 0 && stat(path, &named) == 0
      && own.st_ino == named.st_ino && own.st_dev == named.st_dev
  }

  /// Removes files put aside that are beyond the number that is kept, or older than they may be.
  private func removeOld(at now: Int64) {
    guard let rotation, let path, isRegular else { return }
    var number = 1
    while number < 20_000 {
      let name = "\(path).\(number)"
      var status = stat()
      guard unsafe stat(name, &status) == 0 else { break }
      let age = now - Int64(status.st_mtim.tv_sec)
      if number > rotation.keep || rotation.keepFor.map({ age >= $0 }) == true {
        _ = unsafe unlink(name)
      }
      number += 1
    }
  }

  /// Opens the path again; if that fails, goes on with the file it has.
  func reopen() -> Errno? {
    guard let path else { return nil }
    do throws(Errno) {
      let fresh = try Self.open(path: path)
      _ = CLinux.close(number)
      number = fresh
      isRegular = Self.isRegular(fresh)
      isTorn = false
      measure()
      return nil
    } catch {
      return error
    }
  }

  // MARK: Writing

  /// Writes whole lines. Returns how many bytes got out, and why not all of them.
  func write(_ lines: ByteView) -> (written: Int, error: Errno?) {
    if isTorn {
      // A line was cut off by an error: what follows begins on a line of its own.
      guard put(ByteView("\n")).written == 1 else { return (0, .current) }
      isTorn = false
    }
    let outcome = put(lines)
    size &+= UInt64(outcome.written)
    isTorn = outcome.written > 0 && lines[outcome.written - 1] != ASCII.lf
    return outcome
  }

  private func put(_ bytes: ByteView) -> (written: Int, error: Errno?) {
    var rest = bytes
    while !rest.isEmpty {
      if !isRegular && !waitsForRoom() { return (bytes.count - rest.count, .wouldBlock) }
      let piece = isRegular ? rest : rest.prefix(4096)
      // Safe: the kernel reads what the view covers.
      let count = unsafe CLinux.write(number, piece.baseAddress, piece.count)
      if count >= 0 {
        rest = rest.dropping(first: count)
      } else if weir_errno() != EINTR {
        return (bytes.count - rest.count, .current)
      }
    }
    return (bytes.count, nil)
  }

  /// Whether there is, within a second, room for a page, or an error to be met.
  private func waitsForRoom() -> Bool {
    var descriptor = pollfd(fd: number, events: Int16(POLLOUT), revents: 0)
    return unsafe poll(&descriptor, 1, 1000) != 0
  }
}
