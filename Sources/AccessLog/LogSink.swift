internal import Bytes
internal import CLinux
internal import EventLoop

/// A destination with the lines that wait for it; channels of one destination share one. Used by the log's
/// thread only.
final class LogSink {
  /// What came of a batch.
  struct Outcome {
    var written: UInt64 = 0
    var lost: UInt64 = 0
    var errors: [Errno] = []
  }

  private enum Way {
    case file(LogFile)
    case syslog(SyslogSocket)
  }
  private let way: Way
  /// Lines that wait; whoever adds one says so by `count`.
  var buffer = LineBuffer(capacity: batch + LineFormatter.longestLine)
  private var waiting: UInt64 = 0

  /// So many bytes are written at a time.
  private static let batch = 64 << 10

  /// Opens a destination; nil: there is none. A syslog server need not be there yet.
  static func open(
    _ destination: AccessLogDestination, rotation: LogRotation?
  ) throws(Errno) -> LogSink? {
    switch destination {
    case .nowhere: nil
    case .file(let path): LogSink(.file(try LogFile(path: path, rotation: rotation)))
    case .standardOutput: LogSink(.file(LogFile(descriptor: STDOUT_FILENO)))
    case .descriptor(let number): LogSink(.file(LogFile(descriptor: number)))
    case .syslog(let target): LogSink(.syslog(SyslogSocket(target)))
    }
  }

  private init(_ way: Way) { self.way = way }

  /// Why it cannot be written to now, as far as that is known before the first line.
  var openingError: Errno? {
    switch way {
    case .file: nil
    case .syslog(let socket): socket.connect()
    }
  }

  /// Whether it must be looked after while nothing is written.
  var needsTending: Bool {
    switch way {
    case .file(let file): file.needsTending
    case .syslog: false
    }
  }

  /// Says that a line was added; true if it is time to write.
  func count() -> Bool {
    waiting &+= 1
    return buffer.count >= Self.batch
  }

  /// Looks whether a file is to be put aside.
  func tend() -> Errno? {
    switch way {
    case .file(let file): file.tend()
    case .syslog: nil
    }
  }

  /// Opens the destination again.
  func reopen() -> Errno? {
    switch way {
    case .file(let file): file.reopen()
    case .syslog: nil
    }
  }

  /// Writes what waits; what is not taken is lost.
  func writeOut(at wall: Int64) -> Outcome {
    var outcome = Outcome()
    if buffer.count == 0 { return outcome }
    let batch = buffer.view
    switch way {
    case .file(let file):
      if let error = file.tend() { outcome.errors.append(error) }
      let (written, error) = file.write(batch)
      if let error {
        outcome.lost = Self.lines(batch.dropping(first: written))
        outcome.errors.append(error)
      }
    case .syslog(let socket):
      let (lost, error) = socket.write(batch, at: wall)
      outcome.lost = lost
      if let error { outcome.errors.append(error) }
    }
    outcome.written = waiting &- min(waiting, outcome.lost)
    waiting = 0
    buffer.removeAll()
    return outcome
  }

  /// How many lines end in a run of bytes.
  private static func lines(_ bytes: ByteView) -> UInt64 {
    var count: UInt64 = 0
    var from = 0
    while let end = bytes.firstIndex(of: ASCII.lf, from: from) {
      count += 1
      from = end + 1
    }
    return count
  }
}
