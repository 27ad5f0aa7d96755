import ArgumentParser
internal import Bytes
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
      ConfigShow.self, ConfigDiff.self, ConfigCheck.self, ConfigApply.self, ConfigConfirm.self,
      ConfigHistory.self, ConfigRollback.self,
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

private struct ConfigApply: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "apply",
    abstract: "Have a running node go by a file, perhaps on trial.",
    discussion: """
      The file's text is sent to the node, which goes by all of it or by nothing of it. With \
      --confirm-within the node goes back by itself to what was before, unless `weir config confirm` comes \
      in time: whoever has locked themselves out only has to wait. The node's own file stays as it is, and is \
      what counts at the next start.
      """)

  @OptionGroup var node: AskedNode
  @Argument(help: "The file.", completion: .file()) var file: String
  @Option(
    help: ArgumentHelp("How long to wait for a confirmation, as 60s or 5m.", valueName: "time"))
  var confirmWithin: String?
  @Option(
    help: ArgumentHelp("Only if this generation is still in force.", valueName: "number"))
  var ifGeneration: UInt64?
  @Flag(help: "Only say what it would change.") var dryRun = false

  func run() throws {
    guard let data = FileManager.default.contents(atPath: file) else {
      throw Start.refusal("\(file) cannot be read")
    }
    var content = "{\"text\": \(JSONString.quoted(String(decoding: data, as: UTF8.self)))"
    if let confirmWithin {
      guard let seconds = Self.seconds(confirmWithin) else {
        throw ValidationError("--confirm-within takes a time such as 60s, 5m or 1h")
      }
      content += ", \"confirm_within\": \(seconds)"
    }
    if let ifGeneration { content += ", \"if_generation\": \(ifGeneration)" }
    content += dryRun ? ", \"dry_run\": true}" : "}"
    let answer = try node.ask("POST", "/v1/config/apply", json: content)
    if dryRun {
      guard let difference = try node.decoded(Difference.self, answer) else { return }
      print(difference.text, terminator: "")
      if difference.diagnostics.contains(where: { $0.severity == "error" }) { throw ExitCode(1) }
    } else if let report = try node.decoded(ReloadedNode.self, answer) {
      print(report.text("applied"), terminator: "")
    }
  }

  /// Seconds of `60s`, `5m`, `1h`.
  private static func seconds(_ text: String) -> Int? {
    let units = ["s": 1, "m": 60, "h": 3_600]
    guard let unit = text.last.flatMap({ units[String($0)] }), let number = Int(text.dropLast()),
      1...86_400 ~= number
    else { return nil }
    return number * unit
  }
}

private struct ConfigConfirm: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "confirm", abstract: "Stay with what was applied on trial.")

  @OptionGroup var node: AskedNode

  func run() throws {
    guard let report = try node.decoded(ReloadedNode.self, node.ask("POST", "/v1/config/confirm"))
    else { return }
    print("confirmed: generation \(report.generation) stays in force")
  }
}

private struct ConfigHistory: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "history", abstract: "List the configurations that were in force.")

  @OptionGroup var node: AskedNode

  func run() throws {
    let answer = try node.ask("GET", "/v1/config/history")
    guard let list = try node.decoded(Answer.self, answer) else { return }
    let rows = list.history.map { entry in
      let date = Date(timeIntervalSince1970: entry.since_seconds)
      return [String(entry.generation), date.formatted(.iso8601), entry.source]
    }
    print(TextTable.text([["GENERATION", "SINCE", "FROM"]] + rows), terminator: "")
  }

  private struct Answer: Decodable {
    struct Entry: Decodable {
      let generation: UInt64
      let since_seconds: Double
      let source: String
    }
    let history: [Entry]
  }
}

private struct ConfigRollback: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rollback",
    abstract: "Go back to the configuration that was in force before the last reload.",
    discussion: "The file stays as it is: the next reload reads it again.")

  @OptionGroup var node: AskedNode
  @Option(
    help: ArgumentHelp("To which one; see weir config history.", valueName: "generation"))
  var to: UInt64?

  func run() throws {
    let path = to.map { "/v1/config/history/\($0)" } ?? "/v1/config/rollback"
    guard let report = try node.decoded(ReloadedNode.self, node.ask("POST", path))
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
  let confirm_by_seconds: Double?

  func text(_ done: String) -> String {
    var lines = warnings.map(\.text) + notes
    lines += needs_restart.map { "takes effect only at the next start: \($0)" }
    lines.append("\(done): generation \(generation) is in force")
    if confirm_by_seconds != nil {
      lines.append("the node goes back by itself unless `weir config confirm` comes in time")
    }
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
