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
  /// Those that were put aside, and who compresses them.
  private let rotated: RotatedFiles?
  private let compressor: LogCompressor?
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
    rotated = rotation.flatMap { [isRegular] in isRegular ? RotatedFiles(path, $0) : nil }
    do throws(Errno) {
      compressor =
        if let rotated, rotated.rotation.compresses { try LogCompressor(rotated) } else { nil }
    } catch {
      _ = CLinux.close(number)
      throw error
    }
    measure()
    rotated?.removeOld(at: Self.now)
  }

  /// Writes to a descriptor that stays its owner's.
  init(descriptor: Int32) {
    path = nil
    number = descriptor
    rotation = nil
    rotated = nil
    compressor = nil
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
    guard let rotation, let rotated, isRegular else { return nil }
    let now = Self.now
    guard now >= retryAt else { return nil }
    if size > 0, rotation.isDue(size: size, age: now - begun) {
      if let error = rotated.putAside(number) ?? reopen() {
        retryAt = now + 60
        return error
      }
      compressor?.wake()
    }
    rotated.removeOld(at: now)
    return compressor?.takeError()
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
