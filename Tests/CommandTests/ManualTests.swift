import EdgeTesting
import FoundationEssentials
import Testing

/// What a package brings besides the command, made of what the command says of itself.
@Suite("Manual pages and completions") struct ManualTests {
  private static let root: String =
    "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/") + "/"

  @Test func `each command has a page with its options`() async throws {
    let directory = try TemporaryDirectory()
    let made = try await Program.run([
      "python3", Self.root + "tools/packaging/manual", WeirProcess.executable, "0.1.0",
      directory.path,
    ])
    try #require(made.status == 0, "\(made.output)")
    let names = try FileManager.default.contentsOfDirectory(atPath: directory.path)
    for name in [
      "weir", "weir-run", "weir-convert", "weir-doctor", "weir-config-apply", "weir-limit-set",
      "weir-origins-drain", "weir-explain",
    ] { #expect(names.contains("\(name).1.gz"), "\(names)") }
    // What the supervisor starts is nobody's to type.
    #expect(!names.contains { $0.contains("weir-node") || $0.contains("crash-report") })
    for name in names {
      let page = try await Program.run(["gzip", "-dc", directory.file(name)])
      #expect(page.output.hasPrefix(".TH \"WEIR"), "\(name)")
      for part in [".SH NAME\n", " \\- ", ".SH SYNOPSIS\n", ".SH OPTIONS\n"] {
        #expect(page.output.contains(part), "\(name)")
      }
    }
    let run = try await Program.run(["gzip", "-dc", directory.file("weir-run.1.gz")])
    #expect(run.output.contains("\\fB\\-\\-no\\-supervisor\\fR"), "\(run.output)")
    #expect(run.output.contains("Nothing starts it again then."))
    let apply = try await Program.run(["gzip", "-dc", directory.file("weir-config-apply.1.gz")])
    #expect(apply.output.contains("\\fB\\-\\-confirm\\-within\\fR \\fItime\\fR"))
  }

  @Test func `a container has no token that its image has`() async throws {
    let steps = try String(
      contentsOf: URL(filePath: Self.root + "tools/packaging/Containerfile"), encoding: .utf8)
    #expect(steps.contains("rm -rf /etc/weir/admin.token "))
    let edit = try #require(steps.firstMatch(of: /sed -i ('[^']+') \/etc\/weir\/edge.conf/)).1
    let directory = try TemporaryDirectory()
    let made = try await Program.run([
      "bash", "-c",
      "sed \(edit) \(Self.root)tools/packaging/edge.conf | sed 's|files /usr.*|files .;|' >"
        + directory.file("edge.conf"),
    ])
    #expect(made.status == 0, "\(made.output)")
    let text = try await Program.run(["cat", directory.file("edge.conf")]).output
    #expect(text.contains("\nadmin 127.0.0.1:9090;\n") && !text.contains("token_file"), "\(text)")
    let check = try await Program.run([
      WeirProcess.executable, "check", directory.file("edge.conf"),
    ])
    #expect(check.status == 0, "\(check.output)")
  }

  @Test func `bash takes its completions`() async throws {
    let outcome = try await Program.run([
      "bash", "-c", "\(WeirProcess.executable) --generate-completion-script bash | bash -n",
    ])
    #expect(outcome.status == 0 && outcome.output.isEmpty, "\(outcome.output)")
  }
}
