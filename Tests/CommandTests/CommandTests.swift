import EdgeTesting
import Testing

/// Runs a command to its end.
private func weir(
  _ arguments: String..., configuration: String? = nil
) async throws -> (status: Int32, printed: String, said: String) {
  let directory = try TemporaryDirectory()
  if let configuration { try directory.write("edge.conf", configuration) }
  let process = try WeirProcess(arguments, in: directory)
  return (try await process.exitStatus(), process.printed, process.said)
}

private let good = """
  listen 127.0.0.1:0;
  origin app 127.0.0.1:1;
  site example.com { origin app; }

  """

@Suite("Commands that only say something")
struct CommandTests {
  @Test func `the version is said in one line`() async throws {
    let version = try await weir("version")
    #expect(version.status == 0)
    #expect(version.printed.hasPrefix("weir 0.1.0 (swift 6."))
    #expect(version.printed.hasSuffix(")\n"))
    #expect(try await weir("--version").printed == version.printed)
  }

  @Test(arguments: [
    "run", "check", "settings", "version", "eval", "sign", "key", "replay", "record",
  ])
  func `every command explains itself within 80 columns`(command: String) async throws {
    let help = try await weir(command, "--help")
    #expect(help.status == 0)
    #expect(help.printed.contains("USAGE: weir \(command)"))
    #expect(help.printed.split(separator: "\n").allSatisfy { $0.count <= 80 })
  }

  @Test(arguments: ["bash", "zsh", "fish"])
  func `completions are made for a shell`(_ shell: String) async throws {
    let made = try await weir("--generate-completion-script", shell)
    #expect(made.status == 0, "\(made.said)")
    for word in ["purge", "upgrade", "limit", "dry-run"] { #expect(made.printed.contains(word)) }
    guard shell == "bash" else { return }
    let directory = try TemporaryDirectory()
    try directory.write("completions", made.printed)
    let reading = try WeirProcess(["-n", "completions"], in: directory, executable: "bash")
    #expect(try await reading.exitStatus() == 0, "\(reading.said)")
  }

  @Test func `without a command the commands are listed, and the hidden one is not`() async throws {
    let help = try await weir()
    #expect(help.status == 0)
    for command in [
      "run", "check", "settings", "version", "eval", "sign", "key", "replay", "record",
    ] {
      #expect(help.printed.contains("\n  \(command) "))
    }
    #expect(!help.printed.contains("\n  node "))
  }

  @Test func `a command that does not exist is a usage error`() async throws {
    #expect(try await weir("rum").status == 64)
  }

  @Test func `the settings are explained`() async throws {
    let text = try await weir("settings")
    #expect(text.status == 0)
    #expect(text.printed.contains("drain_timeout"))
    let json = try JSONValue(parsing: try await weir("settings", "--json").printed)
    #expect(json.array?.contains { $0["name"]?.string == "drain_timeout" } == true)
  }

  @Test func `a good configuration is ok`() async throws {
    let check = try await weir("check", configuration: good)
    #expect(check.status == 0)
    #expect(check.printed == "edge.conf: ok\n")
    #expect(check.said == "")
  }

  @Test func `a warning is shown, and the configuration is ok`() async throws {
    let check = try await weir("check", "edge.conf", configuration: good + "origin b 127.0.0.1:2;")
    #expect(check.status == 0)
    #expect(check.printed == "edge.conf: ok, 1 warning\n")
    #expect(check.said.hasPrefix("edge.conf:4:8: warning: "))
  }

  @Test func `all errors are shown, with their place`() async throws {
    let check = try await weir(
      "check", configuration: "listne :80;\nworkers 1; workers 2;\n" + good)
    #expect(check.status == 78)
    #expect(check.printed == "")
    #expect(check.said.contains("edge.conf:1:1: error: unknown setting \"listne\""))
    #expect(check.said.contains("edge.conf:2:12: error: \"workers\" is given twice"))
    #expect(check.said.hasSuffix("edge.conf: 2 errors\n"))
  }

  @Test func `errors can be had as JSON`() async throws {
    let check = try await weir("check", "--json", configuration: "listne :80;\n" + good)
    #expect(check.status == 78)
    #expect(check.said == "")
    let json = try JSONValue(parsing: check.printed)
    #expect(json[0]?["line"]?.int == 1)
    #expect(json[0]?["suggestion"]?.string == "listen")
  }

  @Test func `a configuration that is not there is an error`() async throws {
    let check = try await weir("check", "other.conf")
    #expect(check.status == 78)
    #expect(check.said.hasPrefix("other.conf: error: the configuration does not exist\n"))
  }
}
