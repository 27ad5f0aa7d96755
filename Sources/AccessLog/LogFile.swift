// Where lines end up: a file, standard output, or a descriptor that somebody else owns.
//
// The log's thread may wait for a disk, but not for ever for whoever reads a pipe: the rings would
// fill, and the node could not stop. A regular file takes a whole batch in one write. Anything else
// is asked first whether it takes a page (PIPE_BUF, which a pipe that is writable takes without
// blocking), and given up on for this batch when it has not for a second.

internal import Bytes
internal import CLinux
internal import EventLoop

/// Where the log goes.
package enum AccessLogDestination: Sendable, Equatable {
  /// A file, created if need be, appended to, opened anew by `reopen()`.
  case file(String)
  /// Standard output.
  case standardOutput
  /// An open descriptor, which stays its owner's.
  case descriptor(Int32)
}

/// An open destination. Used by the log's thread only.
struct LogFile: ~Copyable {
  private let destination: AccessLogDestination
  private var number: Int32
  private var isRegular: Bool
  /// Whether the last write ended within a line.
  private var isTorn = false

  static func open(_ destination: AccessLogDestination) throws(Errno) -> LogFile {
    let number: Int32
    switch destination {
    case .file(let path): number = try open(path: path)
    case .standardOutput: number = STDOUT_FILENO
    case .descriptor(let descriptor): number = descriptor
    }
    return LogFile(destination: destination, number: number, isRegular: isRegular(number))
  }

  private init(destination: AccessLogDestination, number: Int32, isRegular: Bool) {
    self.destination = destination
    self.number = number
    self.isRegular = isRegular
  }

  deinit { if case .file = destination { _ = CLinux.close(number) } }

  private static func open(path: String) throws(Errno) -> Int32 {
    // Non-blocking for the case that somebody has put a pipe there; files do not care.
    let flags = O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY
    let number = unsafe path.withCString { unsafe weir_open($0, flags, 0o640) }
    guard number >= 0 else { throw .current }
    return number
  }

  private static func isRegular(_ number: Int32) -> Bool {
    var status = stat()
    return unsafe fstat(number, &status) == 0 && mode(status) & S_IFMT == S_IFREG
  }

  private static func mode(_ status: stat) -> Int32 { Int32(bitPattern: status.st_mode) }

  /// Opens the path again; if that fails, goes on with the file it has.
  mutating func reopen() -> Errno? {
    guard case .file(let path) = destination else { return nil }
    do throws(Errno) {
      let fresh = try Self.open(path: path)
      _ = CLinux.close(number)
      number = fresh
      isRegular = Self.isRegular(fresh)
      isTorn = false
      return nil
    } catch {
      return error
    }
  }

  /// Writes whole lines. Returns how many bytes got out, and why not all of them.
  mutating func write(_ lines: ByteView) -> (written: Int, error: Errno?) {
    if isTorn {
      // A line was cut off by an error: what follows begins on a line of its own.
      guard put(ByteView("\n")).written == 1 else { return (0, .current) }
      isTorn = false
    }
    let outcome = put(lines)
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
