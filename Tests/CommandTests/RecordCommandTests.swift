// `weir record` as a process, beside a node.

internal import CLinux
import EdgeTesting
import EventLoop
import FoundationEssentials
import Testing

/// A node, and a directory whose configuration names its admin listener.
private struct Recorded {
  let origin: ScriptedOrigin
  let node: TestNode
  let directory: TemporaryDirectory

  init() async throws {
    origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    node = try TestNode.start(origin: origin.port, clock: NodeClock())
    directory = try TemporaryDirectory()
    try directory.write(
      "edge.conf",
      """
      listen 127.0.0.1:0;
      admin 127.0.0.1:\(node.adminPort) { token "\(TestNode.token)"; }
      origin app 127.0.0.1:1;
      site * { origin app; }
      """)
  }
}

@Suite("weir record") struct RecordCommandTests {
  @Test func `with a duration it ends by itself, with all of what it says`() async throws {
    let recorded = try await Recorded()
    let recorder = try WeirProcess(
      ["record", "--out", "file", "--duration", "2"], in: recorded.directory)
    let path = recorded.directory.file("file")
    var asked = 0
    // Its file is there when the node knows of it.
    try await eventually("the recorder to begin; \(recorder.said)") {
      FileManager.default.fileExists(atPath: path)
    }
    try await eventually("the recorder to end; \(recorder.said)") {
      _ = try await recorded.node.get("/\(asked)")
      asked += 1
      return !WeirProcess.isRunning(recorder.number)
    }
    #expect(try await recorder.exitStatus() == 0, "\(recorder.said)")
    let lines = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
    #expect(recorder.lines == ["weir: recorded \(lines.count) requests"])
    #expect(lines.count <= asked)
    for line in lines { #expect(try JSONValue(parsing: String(line))["status"]?.int == 200) }
    // The node is free for another.
    let next = try WeirProcess(
      ["record", "--out", "next", "--duration", "0.1"], in: recorded.directory)
    #expect(try await next.exitStatus() == 0, "\(next.said)")
  }

  @Test(arguments: ["0", "-1", "nan", "inf", "1e9", "ten"])
  func `a duration that is none is refused`(_ duration: String) async throws {
    let process = try WeirProcess(
      ["record", "--out", "file", "--duration", duration], in: TemporaryDirectory())
    #expect(try await process.exitStatus() == 64)
    #expect(process.said.contains("--duration"), "\(process.said)")
  }

  @Test func `a recording's is taken away, by its end and by what ends it`() async throws {
    let recorded = try await Recorded()
    func recorder(_ file: String, _ columns: Int32) async throws -> OnTerminal {
      let terminal = try OnTerminal(
        ["record", "--config", "edge.conf", "--out", file], in: recorded.directory,
        columns: columns, rows: 24)
      try await eventually("a line; \(terminal.output)") { !terminal.replaced.isEmpty }
      return terminal
    }
    let narrow = try await recorder("one", 8)
    #expect(narrow.replaced.first == "\r0 reque")
    narrow.send(SIGINT)
    #expect(try await narrow.ends() == 0)
    #expect(narrow.output.hasSuffix("\r\u{1b}[Kweir: recorded 0 requests\r\n"), "\(narrow.output)")

    let left = try await recorder("two", 80)
    recorded.node.stop()
    #expect(try await left.ends() == 69)
    #expect(left.output.contains("\r\u{1b}[Kweir: "), "\(left.output.debugDescription)")
  }
}
