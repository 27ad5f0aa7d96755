internal import CLinux
internal import EventLoop

/// Other people's programs, such as curl.
package enum Program {
  /// What a program has done.
  package struct Outcome: Sendable {
    /// Its exit status; -1 if a signal ended it.
    package var status: Int32
    /// What it wrote, to standard output and error.
    package var output: String
  }

  /// Runs a program found on the PATH to its end, without input.
  @discardableResult
  package static func run(_ words: [String]) async throws -> Outcome {
    let log = try TemporaryDirectory()
    let path = log.file("output")
    let id = try spawn(words, output: path)
    let status = await withCheckedContinuation { continuation in
      _ = LoopThread(name: "test-program") {
        var status: Int32 = 0
        while unsafe waitpid(id, &status, 0) < 0, weir_errno() == EINTR {}
        continuation.resume(
          returning: weir_wifexited(status) != 0 ? weir_wexitstatus(status) : -1)
      }
    }
    return Outcome(status: status, output: read(path))
  }

  private static func spawn(_ words: [String], output: String) throws -> pid_t {
    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    unsafe posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    unsafe posix_spawn_file_actions_addopen(
      &actions, 1, output, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    unsafe posix_spawn_file_actions_adddup2(&actions, 1, 2)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    var arguments: [UnsafeMutablePointer<CChar>?] = unsafe words.map { unsafe strdup($0) }
    unsafe arguments.append(nil)
    defer { unsafe arguments.forEach { unsafe free($0) } }
    var id: pid_t = 0
    let result = unsafe posix_spawnp(&id, words[0], &actions, nil, arguments, weir_environment())
    guard result == 0 else { throw PeerFailure(.system, "\(words[0]) must be installed") }
    return id
  }

  private static func read(_ path: String) -> String {
    let number = unsafe weir_open(path, O_RDONLY, 0)
    guard number >= 0 else { return "" }
    defer { _ = CLinux.close(number) }
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = unsafe CLinux.read(number, &piece, piece.count)
      guard count > 0 else { return String(decoding: bytes, as: UTF8.self) }
      bytes += piece.prefix(count)
    }
  }
}
