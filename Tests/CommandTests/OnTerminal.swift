internal import CLinux
internal import CTerminal
import EdgeTesting
import EventLoop

/// `weir` on a terminal of its own, whose other end the test has.
final class OnTerminal: Sendable {
  private let master: Int32
  private let slave: Int32
  private let process: Int32
  /// It goes with its last owner.
  private let directory: TemporaryDirectory
  private let shown = Watched<[UInt8]>([])
  private let status = Watched<Int32?>(nil)

  init(_ arguments: [String], in directory: TemporaryDirectory, columns: Int32, rows: Int32)
    throws
  {
    var (master, slave): (Int32, Int32) = (-1, -1)
    guard unsafe weir_terminal_pair(&master, &slave) == 0 else {
      throw PeerFailure(.system, "openpty: \(Errno.current)")
    }
    self.directory = directory
    self.master = master
    self.slave = slave
    _ = weir_terminal_resize(master, columns, rows)
    _ = weir_fcntl_int(master, F_SETFL, O_NONBLOCK)
    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    for number in 0...2 as ClosedRange<Int32> {
      unsafe posix_spawn_file_actions_adddup2(&actions, slave, number)
    }
    unsafe posix_spawn_file_actions_addclose(&actions, master)
    let words =
      ["/bin/sh", "-c", "cd \"$0\" && exec \"$@\"", directory.path, WeirProcess.executable]
      + arguments
    var vector = unsafe words.map { unsafe strdup($0) }
    defer { unsafe vector.forEach { unsafe free($0) } }
    unsafe vector.append(nil)
    var process: pid_t = 0
    let code = unsafe posix_spawn(
      &process, "/bin/sh", &actions, nil, vector, weir_environment())
    guard code == 0 else { throw PeerFailure(.system, "starting weir: \(Errno(code))") }
    self.process = process
  }

  deinit {
    if status.value == nil, !hasEnded { kill(process, SIGKILL) }
    close(master)
    close(slave)
  }

  private var hasEnded: Bool {
    status.update { [process] status in
      if status == nil {
        var code: Int32 = 0
        if unsafe waitpid(process, &code, WNOHANG) == process {
          status = weir_wifexited(code) != 0 ? weir_wexitstatus(code) : 128 + weir_wtermsig(code)
        }
      }
      return status != nil
    }
  }

  func send(_ signal: Int32) { kill(process, signal) }

  func type(_ keys: String) {
    let bytes = Array(keys.utf8)
    _ = unsafe CLinux.write(master, bytes, bytes.count)
  }

  func resize(columns: Int32, rows: Int32) {
    _ = weir_terminal_resize(master, columns, rows)
    send(SIGWINCH)
  }

  /// All that has been shown so far.
  var output: String {
    var piece = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = unsafe CLinux.read(master, &piece, piece.count)
      if count <= 0 { break }
      let read = Array(piece.prefix(count))
      shown.update { $0 += read }
    }
    return String(decoding: shown.value, as: UTF8.self)
  }

  /// The lines of the last whole frame.
  var frame: [String] {
    let frames = output.split(separator: "\u{1b}[H")
    guard let whole = frames.last(where: { $0.contains("\u{1b}[J") }) else { return [] }
    return whole.prefix { $0 != "\u{7}" }.split(separator: "\r\n", omittingEmptySubsequences: false)
      .map { String($0) }
  }

  /// What stood in its first line, up to the line's end: texts, each of which took the place of the one
  /// before. One that is not whole yet is left out.
  var replaced: [String] {
    let line = String(String.UnicodeScalarView(output.unicodeScalars.prefix { $0 != "\n" }))
    return line.pieces(separatedBy: "\u{1b}[K").dropLast().map { String($0) }
  }

  func ends() async throws -> Int32 {
    try await eventually("weir to end") {
      // What it still writes must be read, or it waits for that.
      _ = output
      return hasEnded
    }
    return status.value ?? -1
  }

  /// How the terminal is set, as far as it matters: whether keys are shown and come by lines.
  var isAsBefore: Bool { weir_terminal_is_usual(slave) == 1 }
}

extension String {
  /// What stands between its occurrences of a text.
  func pieces(separatedBy separator: String) -> [Substring] {
    var found: [Substring] = []
    var rest = self[...]
    while let range = rest.firstRange(of: separator) {
      found.append(rest[..<range.lowerBound])
      rest = rest[range.upperBound...]
    }
    return found + [rest]
  }
}
