internal import CLinux
internal import CTerminal
import EdgeTesting
import EventLoop
import Testing

/// `weir` on a terminal of its own, whose other end the test has.
private final class OnTerminal: Sendable {
  private let master: Int32
  private let slave: Int32
  private let process: Int32
  private let shown = Watched<[UInt8]>([])
  private let status = Watched<Int32?>(nil)

  init(_ arguments: [String], in directory: TemporaryDirectory, columns: Int32, rows: Int32)
    throws
  {
    var (master, slave): (Int32, Int32) = (-1, -1)
    guard unsafe weir_terminal_pair(&master, &slave) == 0 else {
      throw PeerFailure(.system, "openpty: \(Errno.current)")
    }
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

/// A node with traffic, and where it is asked.
private struct Watching {
  let origin: ScriptedOrigin
  let node: TestNode
  let directory: TemporaryDirectory

  init() async throws {
    origin = try await ScriptedOrigin.answering { request in
      Reply(200, ["Cache-Control: max-age=600"], "x")
    }
    // By the system's clock: the node sends its figures by it.
    node = try TestNode.start(
      origin: origin.port, route: "limit few;", top: "limit few { token_bucket 1/d burst=4; }",
      clock: NodeClock())
    directory = try TemporaryDirectory()
    try directory.write(
      "edge.conf",
      """
      listen 127.0.0.1:0;
      admin 127.0.0.1:\(node.adminPort) { token "\(TestNode.token)"; }
      origin app 127.0.0.1:1;
      site * { origin app; }
      """)
    for target in ["/first", "/second", "/first", "/first", "/first", "/first"] {
      _ = try await node.get(target)
    }
    try await node.settle()
  }
}

@Suite("weir top") struct TopTests {
  @Test func `one frame is printed without a terminal's codes`() async throws {
    let watching = try await Watching()
    let text = try WeirProcess(["top", "--once", "--by", "misses"], in: watching.directory)
    #expect(try await text.exitStatus() == 0, "\(text.said)")
    #expect(text.printed.utf8.allSatisfy { $0 == 10 || (0x20..<0x7F).contains($0) })
    let lines = text.printed.split(separator: "\n", omittingEmptySubsequences: false)
    #expect(lines.count <= 25 && lines.allSatisfy { $0.count <= 80 })
    #expect(text.printed.contains("BY MISSES OF LATE"))
    #expect(text.printed.contains("/second  (uri-miss)"), "\(text.printed)")
    #expect(text.printed.contains("app 127.0.0.1:\(watching.origin.port)"))
    #expect(text.printed.contains("2 objects"))
    let json = try WeirProcess(["top", "--once", "--json"], in: watching.directory)
    #expect(try await json.exitStatus() == 0, "\(json.said)")
    let figures = try JSONValue(parsing: json.printed)
    #expect(figures["store"]?["objects"]?.int == 2)
    #expect(figures["requests_per_second"] != nil)
    #expect(figures["misses"]?.array?.count == 2)
  }

  @Test func `without a terminal it says so, and without a node`() async throws {
    let watching = try await Watching()
    let process = try WeirProcess(["top"], in: watching.directory)
    #expect(try await process.exitStatus() == 69)
    #expect(process.said.contains("--once"))
    watching.node.stop()
    let gone = try WeirProcess(["top", "--once"], in: watching.directory)
    #expect(try await gone.exitStatus() == 69)
    #expect(gone.said.contains("cannot connect"), "\(gone.said)")
  }

  @Test func `a terminal is filled, obeys keys and sizes, and is given back`() async throws {
    let watching = try await Watching()
    let terminal = try OnTerminal(["top"], in: watching.directory, columns: 80, rows: 24)
    try await eventually("a frame") { terminal.frame.count == 24 }
    #expect(!terminal.isAsBefore)
    #expect(terminal.output.hasPrefix("\u{1b}[?1049h\u{1b}[?25l"))
    terminal.type("s")
    try await eventually("the list of misses; \(terminal.frame)") {
      terminal.frame.contains { $0.contains("BY MISSES OF LATE") }
        && terminal.frame.contains { $0.contains("/second") }
    }
    terminal.resize(columns: 132, rows: 40)
    try await eventually("a frame of the new size") { terminal.frame.count == 40 }
    // Traffic shows, second by second.
    try await eventually("requests") {
      _ = try await watching.node.get("/first")
      return terminal.frame.contains { $0.hasPrefix("requests  ") && !$0.contains("  0/s") }
    }
    terminal.type("p")
    try await eventually("a pause") { terminal.frame.first?.contains("PAUSED") == true }
    terminal.type("q")
    #expect(try await terminal.ends() == 0)
    #expect(terminal.isAsBefore)
    #expect(terminal.output.hasSuffix("\u{1b}[?25h\u{1b}[?1049l"))
  }

  @Test(arguments: [SIGTERM, SIGINT, SIGHUP, SIGQUIT])
  func `a signal ends it as a key does`(_ signal: Int32) async throws {
    let watching = try await Watching()
    let terminal = try OnTerminal(["top"], in: watching.directory, columns: 100, rows: 30)
    try await eventually("a frame") { terminal.frame.count == 30 }
    terminal.send(signal)
    #expect(try await terminal.ends() == 0)
    #expect(terminal.isAsBefore)
    #expect(terminal.output.hasSuffix("\u{1b}[?25h\u{1b}[?1049l"))
  }

  @Test func `a node that goes away is said to, and asked again`() async throws {
    let watching = try await Watching()
    let terminal = try OnTerminal(["top"], in: watching.directory, columns: 100, rows: 30)
    try await eventually("a frame") { terminal.frame.count == 30 }
    watching.node.stop()
    try await eventually("the last line to say so") {
      terminal.frame.last?.contains("asking again") == true
    }
    terminal.type("\u{3}")
    #expect(try await terminal.ends() == 0)
  }
}
