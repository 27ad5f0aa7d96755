internal import CLinux
import EdgeTesting
import EventLoop
import Testing

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
