import ArgumentParser
import FoundationEssentials
import Supervision

/// `weir reload`.
struct ReloadCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "reload",
    abstract: "Have a running node read its configuration again.",
    discussion: """
      All of it comes into force, or nothing changes and the command says what is wrong, with file, line \
      and column. No request is lost: those under way end under the configuration that they began with. \
      What only a restart can change is named.

      Exit status: 0; 1 if the node refuses; 69 if it cannot be reached; 78 if the configuration has \
      errors.
      """)

  @OptionGroup var node: AskedNode

  func run() throws {
    guard let report = try node.decoded(ReloadedNode.self, node.ask("POST", "/v1/config/reload"))
    else { return }
    print(report.text("reloaded"), terminator: "")
  }
}

/// `weir config`.
struct ConfigCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "config",
    abstract: "See the configuration of a running node, and go back to the one before.",
    discussion: """
      Asks the admin listener that the configuration names, with its token.

      Exit status: 0; 1 if the node refuses, or if `diff` or `check` find something; 69 if it cannot be \
      reached; 78 if the configuration has errors.
      """,
    subcommands: [
      ConfigShow.self, ConfigDiff.self, ConfigCheck.self, ConfigRollback.self,
    ])
}

private struct ConfigShow: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show", abstract: "Print what is in force, without its secrets.")

  @OptionGroup var node: AskedNode

  func run() throws {
    guard let shown = try node.decoded(ShownConfiguration.self, node.ask("GET", "/v1/config"))
    else { return }
    print(shown.text, terminator: shown.text.hasSuffix("\n") ? "" : "\n")
  }
}

private struct ConfigDiff: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "diff", abstract: "Print how the file differs from what is in force.")

  @OptionGroup var node: AskedNode

  func run() throws {
    let content = try node.ask("GET", "/v1/config/diff")
    let difference = try JSONDecoder().decode(Difference.self, from: Data(content))
    if node.json {
      print(String(decoding: content, as: UTF8.self))
    } else {
      print(difference.text, terminator: "")
    }
    if difference.changed || !difference.limits.isEmpty { throw ExitCode(1) }
  }
}

private struct ConfigCheck: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check", abstract: "Say whether the node could go over to the file.",
    discussion: "`weir check` does the same for a file without asking a node.")

  @OptionGroup var node: AskedNode

  func run() throws {
    let content = try node.ask("GET", "/v1/config/diff")
    let difference = try JSONDecoder().decode(Difference.self, from: Data(content))
    let hasErrors = difference.diagnostics.contains { $0.severity == "error" }
    if node.json {
      print(String(decoding: content, as: UTF8.self))
    } else {
      for diagnostic in difference.diagnostics { print(diagnostic.text) }
      for name in difference.needs_restart { print("takes effect only at the next start: \(name)") }
      if !hasErrors { print(difference.changed ? "ok" : "ok, unchanged") }
    }
    if hasErrors { throw ExitCode(1) }
  }
}

private struct ConfigRollback: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rollback",
    abstract: "Go back to the configuration that was in force before the last reload.",
    discussion: "The file stays as it is: the next reload reads it again.")

  @OptionGroup var node: AskedNode

  func run() throws {
    guard let report = try node.decoded(ReloadedNode.self, node.ask("POST", "/v1/config/rollback"))
    else { return }
    print(report.text("rolled back"), terminator: "")
  }
}

// What the node answers.

private struct ReloadedNode: Decodable {
  let generation: Int
  let needs_restart: [String]
  let warnings: [ShownDiagnostic]
  let notes: [String]

  func text(_ done: String) -> String {
    var lines = warnings.map(\.text) + notes
    lines += needs_restart.map { "takes effect only at the next start: \($0)" }
    lines.append("\(done): generation \(generation) is in force")
    return lines.joined(separator: "\n") + "\n"
  }
}

private struct ShownConfiguration: Decodable {
  let text: String
}

private struct Difference: Decodable {
  struct ChangedLimit: Decodable {
    let name: String
    let in_force: String
  }

  let changed: Bool
  let diff: String
  let needs_restart: [String]
  let limits: [ChangedLimit]
  let diagnostics: [ShownDiagnostic]

  var text: String {
    var text = diff
    if changed && diff.isEmpty { text += "a secret differs\n" }
    for limit in limits { text += "limit \(limit.name) was changed by hand: \(limit.in_force)\n" }
    for name in needs_restart { text += "takes effect only at the next start: \(name)\n" }
    for diagnostic in diagnostics { text += diagnostic.text + "\n" }
    return text
  }
}
