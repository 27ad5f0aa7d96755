internal import CLinux
import EdgeTesting
import EventLoop
import FoundationEssentials
import Testing

/// The commands of docs/observability.md that stand behind a `$`, run as they stand there; what stands below
/// one is what it prints. Only the node's addresses are put in.
@Suite("Examples of docs/observability.md") struct ObservabilityExamplesTests {
  private struct Example {
    var command: String
    /// The lines below it.
    var printed: [String] = []
  }

  private static let examples: [Example] = {
    let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
    let path = "/\(root)/docs/observability.md"
    let text = (try? String(contentsOf: URL(filePath: path), encoding: .utf8)) ?? ""
    var examples: [Example] = []
    var isOpen = false
    for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
      if line.hasPrefix("    $ ") {
        examples.append(Example(command: String(line.dropFirst(6))))
        isOpen = true
      } else if line.hasPrefix("    "), isOpen {
        examples[examples.count - 1].printed.append(String(line.dropFirst(4)))
      } else {
        isOpen = false
      }
    }
    return examples
  }()

  /// A node that has served some requests, and a directory whose configuration names it.
  private struct Setup {
    let origin: ScriptedOrigin
    let node: TestNode
    let directory: TemporaryDirectory

    init() async throws {
      origin = try await ScriptedOrigin.answering { request in
        request.target == "/cart"
          ? Reply(503, [], "down") : Reply(200, ["Cache-Control: max-age=60"], "content")
      }
      directory = try TemporaryDirectory()
      let rest = "origin app 127.0.0.1:\(origin.port); site shop.example { origin app; }"
      node = try TestNode.start(
        configuration:
          "listen 127.0.0.1:0; workers 1; \(TestNode.adminBlock) store ./store; \(rest)",
        // A stream says nothing more while the time stands still, and whoever reads it waits.
        directory: try TemporaryDirectory(), clock: NodeClock())
      try directory.write(
        "edge.conf",
        """
        listen 127.0.0.1:\(node.port);
        admin 127.0.0.1:\(node.adminPort) { token "\(TestNode.token)"; }
        \(rest)
        """)
      try directory.write(
        ".curlrc", "connect-to = \"shop.example:80:127.0.0.1:\(node.port)\"\nfail-with-body\n")
      try await ask("/p/17")
      try await node.settle()
    }

    func ask(_ path: String) async throws {
      let client = try await node.connect()
      _ = try await client.get(path, host: "shop.example")
      client.close()
    }

    func run(_ command: String) async throws -> Program.Outcome {
      let line = command.replacing("127.0.0.1:9090", with: "127.0.0.1:\(node.adminPort)")
      return try await Program.run([
        "env", "HOME=\(directory.path)", "TOKEN=\(TestNode.token)", "bash", "-c",
        "cd \"$HOME\" && weir() { \"\(WeirProcess.executable)\" \"$@\"; } && \(line)",
      ])
    }
  }

  @Test func `each of them does what it says`() async throws {
    let setup = try await Setup()
    var kinds: Set<String> = []
    for example in Self.examples where !example.command.hasPrefix("weir log ") {
      let words = example.command.split(separator: " ")
      kinds.insert(words.prefix(words.first == "weir" ? 2 : 1).joined(separator: " "))
      // Not everybody has it.
      let shown = example.command.replacing(" | jq .freshness", with: "")
      let outcome = try await setup.run(shown)
      #expect(outcome.status == 0, "\(example.command)\n\(outcome.output)")
      switch words.prefix(2).joined(separator: " ") {
      case "weir accounting":
        let head = try #require(example.printed.first)
        #expect(outcome.output.hasPrefix(head.prefix { $0 != " " }), "\(outcome.output)")
      case "weir explain": #expect(outcome.output.contains("site    shop.example\n"))
      default:
        if !example.printed.isEmpty {
          #expect(outcome.output == example.printed.map { $0 + "\n" }.joined())
        } else if example.command.contains("fields") {
          #expect(outcome.output.contains("weir-explain-route: "), "\(outcome.output)")
        } else {
          #expect(try JSONValue(parsing: outcome.output)["freshness"] != nil, "\(outcome.output)")
        }
      }
    }
    #expect(kinds == ["curl", "weir accounting", "weir explain"])
  }

  @Test func `the log shows what its filter lets through, as the page shows it`() async throws {
    let setup = try await Setup()
    let example = try #require(Self.examples.first { $0.command.hasPrefix("weir log ") })
    let filter = try #require(example.command.split(separator: "'").dropFirst().first)
    let log = try WeirProcess(["log", "-f", String(filter)], in: setup.directory)
    try await eventually("a line is shown; it said: \(log.said)") {
      try await setup.ask("/cart")
      setup.node.flushLogs()
      return log.printed.contains("\n")
    }
    let line = try #require(log.printed.split(separator: "\n").first)
    #expect(line.contains(" 503 ") && line.contains(" GET shop.example/cart "), "\(line)")
    #expect(!log.printed.contains("/p/17"))
    log.send(SIGTERM)
    _ = try await log.exitStatus()
  }
}
