internal import CLinux
import EdgeTesting
import FoundationEssentials
import Testing

/// The curl lines and weir commands of docs/admin.md, run as they stand there against nodes with the `admin`
/// blocks that stand there. Only addresses, and paths outside of a test's directory, are replaced.
@Suite("Examples of docs/admin.md") struct AdminExamplesTests {
  private static let document: String = {
    let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
    let text = try? String(contentsOf: URL(filePath: "/\(root)/docs/admin.md"), encoding: .utf8)
    return text ?? ""
  }()

  /// The lines of the document's code, those that go on joined, and without what is said beside them.
  private static var code: [String] {
    var lines: [String] = []
    var begun = ""
    for line in document.split(separator: "\n", omittingEmptySubsequences: false) {
      guard line.hasPrefix("    ") else { continue }
      let text = begun.isEmpty ? line.drop { $0 == " " } : line.dropFirst(4)
      if text.hasSuffix("\\") {
        begun += text.dropLast() + " "
      } else {
        lines.append(begun + text)
        begun = ""
      }
    }
    return lines
  }

  /// The commands: a line may have two of `weir` beside each other.
  private static var commands: [String] {
    code.flatMap { line -> [String] in
      if line.hasPrefix("curl ") { return [line] }
      guard line.hasPrefix("weir ") else { return [] }
      return line.split(separator: "weir ").map {
        var text = $0
        while text.last == " " { text.removeLast() }
        return "weir " + text
      }
    }
  }

  /// The `admin` blocks, in their order.
  private static var blocks: [String] {
    var blocks: [String] = []
    var isOpen = false
    for line in code {
      if line.hasPrefix("admin ") {
        blocks.append("")
        isOpen = true
      }
      guard isOpen else { continue }
      let text = line.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false)[0]
      blocks[blocks.count - 1] += text + "\n"
      if text.contains("}") { isOpen = false }
    }
    return blocks
  }

  /// Nodes with these blocks, and a directory from which they are asked.
  private struct Setup {
    let origin: ScriptedOrigin
    let certificates: TestCertificates
    var nodes: [TestNode] = []
    /// Where the commands run.
    let directory: TemporaryDirectory

    init() async throws {
      origin = try await ScriptedOrigin.answering { _ in
        Reply(200, ["Cache-Control: max-age=60", "Cache-Tag: article-17"], "x")
      }
      certificates = try await TestCertificates()
      try await certificates.leaf("admin", "DNS:edge-1.example")
      directory = certificates.directory
      try directory.write("admin.token", TestNode.token + "\n")
      _ = unsafe chmod(directory.file("admin.token"), 0o600)
      for block in AdminExamplesTests.blocks { nodes.append(try start(block)) }
      let secure = try #require(
        AdminExamplesTests.blocks.firstIndex { $0.contains("certificate ") })
      // What the commands read says where the first of them is.
      let address = "127.0.0.1:\(nodes[0].adminPort)"
      try directory.write(
        "edge.conf", configuration("admin \(address) { token_file admin.token; }"))
      try directory.write(
        "new.conf",
        configuration("admin \(address) { token_file \(directory.file("admin.token")); }"))
      try directory.write(
        ".curlrc",
        """
        silent
        show-error
        fail-with-body
        connect-to = "shop.example:80:127.0.0.1:\(nodes[0].port)"
        connect-to = "edge-1.example:9090:127.0.0.1:\(nodes[secure].adminPort)"
        """)
      let client = try await nodes[0].connect()
      _ = try await client.get(
        "/p/17", host: "shop.example", ["X-Forwarded-For: 203.0.113.7"])
      client.close()
      try await nodes[0].settle()
    }

    private func start(_ block: String) throws -> TestNode {
      var block = block
      for (shown, used) in [
        ("127.0.0.1:9090", "127.0.0.1:0"), ("10.0.0.5:9090", "127.0.0.1:0"),
        ("/run/weir/admin.sock", directory.file("admin.sock")),
      ] { block.replace(shown, with: used) }
      let own = try TemporaryDirectory()
      for name in ["admin.token", "admin.pem", "admin.key"] {
        block.replace(" \(name)", with: " " + directory.file(name))
      }
      return try TestNode.start(configuration: configuration(block), directory: own)
    }

    private func configuration(_ admin: String) -> String {
      """
      listen 127.0.0.1:0; workers 1;
      \(admin)
      store ./store;
      trusted_proxies 127.0.0.1;
      limit login { token_bucket 5/m burst=10; key client.ip; }
      origin app 10.0.0.1:9000;
      origin shop 127.0.0.1:\(origin.port);
      site shop.example { purge on; origin shop; route / { limit login; } }
      site app.example { origin app; }
      """
    }

    /// Runs a line in a shell, with the node's address in the place of the document's.
    func run(_ line: String) async throws -> Program.Outcome {
      var line = line
      for (shown, used) in [
        ("127.0.0.1:9090", "127.0.0.1:\(nodes[0].adminPort)"),
        ("/run/weir/admin.sock", directory.file("admin.sock")),
        ("/etc/bash_completion.d/weir", directory.file("completion")),
      ] { line.replace(shown, with: used) }
      return try await Program.run([
        "env", "HOME=\(directory.path)", "TOKEN=\(TestNode.token)", "bash", "-c",
        """
        cd "$HOME" && weir() { "\(WeirProcess.executable)" "$@"; } && \(line)
        """,
      ])
    }
  }

  @Test func `each of them does what it says`() async throws {
    let setup = try await Setup()
    #expect(setup.nodes.count == 4)
    let commands = Self.commands
    #expect(commands.count { $0.hasPrefix("curl ") } >= 9)
    #expect(commands.count { $0.hasPrefix("weir ") } >= 11)
    for command in commands {
      let outcome = try await setup.run(command)
      // A difference is what the command was asked for: a limit was changed by one before.
      let expected: Set<Int32> = command == "weir config diff" ? [0, 1] : [0]
      #expect(expected.contains(outcome.status), "\(command)\n\(outcome.output)")
    }
    let limit = try await setup.nodes[0].admin("GET", "/v1/limits/login").json()
    #expect(limit["rate"]?.string == "10/m" && limit["burst"]?.int == 20)
    let origins = try await setup.nodes[0].admin("GET", "/v1/origins").json()
    #expect(
      origins["origins"]?.array?.first?["servers"]?.array?.first?["state"]?.string == "draining")
    let purges = try await setup.nodes[0].admin("GET", "/v1/purges").json()
    #expect((purges["purges"]?.array?.count ?? 0) >= 3)
  }
}
