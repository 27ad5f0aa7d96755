// The command as a process: started with a directory of its own, read through files, stopped by its
// own number only.

internal import CLinux
import EdgeTesting
import EventLoop
import FoundationEssentials

/// A `weir` that runs, or has run.
final class WeirProcess: Sendable {
  /// Its number.
  let number: Int32
  private let directory: TemporaryDirectory
  private let output: String
  private let errors: String
  private let status = Watched<Int32?>(nil)

  /// Starts `weir` with arguments; what it prints goes to files in the directory, of which it
  /// is the only one.
  init(
    _ arguments: [String], in directory: TemporaryDirectory, environment: [String] = [],
    executable: String = WeirProcess.executable
  ) throws {
    self.directory = directory
    output = directory.file("output")
    errors = directory.file("errors")
    number = try Self.spawn(
      environment + [executable] + arguments, directory.path, output, errors)
  }

  deinit {
    guard status.value == nil, takeStatus() == nil else { return }
    // Not SIGKILL: a node that its supervisor has waited for leaves nothing behind.
    kill(number, SIGTERM)
    var ignored: Int32 = 0
    _ = unsafe waitpid(number, &ignored, 0)
  }

  /// What it has printed to standard output.
  var printed: String { Self.contents(output) }
  /// What it has printed to standard error.
  var said: String { Self.contents(errors) }
  /// The lines of that.
  var lines: [Substring] { said.split(separator: "\n") }

  /// Sends a signal to it.
  func send(_ signal: Int32) { kill(number, signal) }

  /// Waits until it has ended; returns its status, or 128 and the signal that it died of.
  func exitStatus() async throws -> Int32 {
    try await eventually("weir has ended; it said:\n\(said)") { takeStatus() != nil }
    return status.value ?? -1
  }

  /// Waits until that stands on its standard error.
  func waitUntilSaid(_ text: String) async throws {
    try await eventually("weir says \"\(text)\"; it said:\n\(said)") { said.contains(text) }
  }

  /// Waits until nodes were ready so many times, and returns the port of the last.
  @discardableResult
  func port(ofStart count: Int = 1) async throws -> UInt16 {
    let start = "weir: listening on 127.0.0.1:"
    func ready() -> [Substring] { lines.filter { $0.hasPrefix(start) && $0.hasSuffix(")") } }
    try await eventually("node \(count) is ready; weir said:\n\(said)") {
      if takeStatus() != nil { throw PeerFailure(.ended, "weir has ended; it said:\n\(said)") }
      return ready().count >= count
    }
    let line = ready()[count - 1]
    guard let port = UInt16(line.dropFirst(start.count).prefix { $0 != " " }) else {
      throw PeerFailure(.malformed, "no port in: \(line)")
    }
    return port
  }

  /// The processes of its nodes so far.
  var nodes: [Int32] {
    lines.filter { $0.hasPrefix("weir: node ") && $0.hasSuffix(" started") }
      .compactMap { Int32($0.split(separator: " ")[2]) }
  }

  /// The file that a process was started from or has become; ` (deleted)` stands behind one that has lost
  /// that name.
  static func executable(of process: Int32) -> String? {
    try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(process)/exe")
  }

  /// Whether a process runs (and is not just waiting to be taken off the list).
  static func isRunning(_ process: Int32) -> Bool {
    let status = contents("/proc/\(process)/stat")
    guard let end = status.lastIndex(of: ")") else { return false }
    return !status[end...].hasPrefix(") Z")
  }

  private func takeStatus() -> Int32? {
    status.update { [number] status in
      if status == nil {
        var code: Int32 = 0
        if unsafe waitpid(number, &code, WNOHANG) == number {
          status = weir_wifexited(code) != 0 ? weir_wexitstatus(code) : 128 + weir_wtermsig(code)
        }
      }
      return status
    }
  }

  /// The executable, which is built into the directory of the tests.
  static let executable: String = {
    let own = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
    let beside = own.prefix(upTo: own.lastIndex(of: "/") ?? own.startIndex) + "/weir"
    if FileManager.default.isExecutableFile(atPath: String(beside)) { return String(beside) }
    let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
    return "/\(root)/.build/debug/weir"
  }()

  private static func contents(_ path: String) -> String {
    // Not `String(contentsOf:)`: files in /proc say that they are empty.
    let number = unsafe weir_open(path, O_RDONLY, 0)
    guard number >= 0 else { return "" }
    defer { close(number) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = unsafe chunk.withUnsafeMutableBytes { buffer in
        unsafe CLinux.read(number, buffer.baseAddress, buffer.count)
      }
      if count <= 0 { return String(decoding: bytes, as: UTF8.self) }
      bytes.append(contentsOf: chunk[..<count])
    }
  }

  private static func spawn(
    _ command: [String], _ directory: String, _ output: String, _ errors: String
  ) throws -> Int32 {
    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    unsafe posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    let flags = O_WRONLY | O_CREAT | O_TRUNC | O_APPEND
    unsafe posix_spawn_file_actions_addopen(&actions, 1, output, flags, 0o600)
    unsafe posix_spawn_file_actions_addopen(&actions, 2, errors, flags, 0o600)
    // Through a shell that goes there first and then becomes the command.
    let script = "cd \"$0\" && exec env \"$@\""
    let words = ["/bin/sh", "-c", script, directory] + command
    var vector = unsafe words.map { unsafe strdup($0) }
    defer { unsafe vector.forEach { unsafe free($0) } }
    unsafe vector.append(nil)
    var process: pid_t = 0
    let code = unsafe posix_spawn(
      &process, "/bin/sh", &actions, nil, vector, weir_environment())
    guard code == 0 else { throw PeerFailure(.system, "starting weir: \(Errno(code))") }
    return process
  }
}
