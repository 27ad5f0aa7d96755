import ArgumentParser
import CLinux
import Configuration
import Doctor
import FoundationEssentials
import Supervision

/// `weir doctor`.
struct DoctorCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor",
    abstract: "Look at everything that a node needs, and say what to do.",
    discussion: """
      The configuration, descriptors, the kernel's settings, the clock, the store's directory and file \
      system, certificates, origins, addresses, and the node, if it runs. Nothing is changed. Run it as the \
      node's user.

      Exit status: 0 if there are no errors (there may be warnings), 1 if there are, 78 if the configuration \
      cannot be read.
      """)

  @OptionGroup var source: ConfigurationArgument

  @Flag(help: "Print a JSON array with an object for each finding.")
  var json = false

  func run() throws {
    let loaded = ConfigurationFile.load(path: source.file)
    guard let configuration = loaded.configuration else {
      StandardError.write(Diagnostic.text(loaded.diagnostics))
      throw ExitCode(ExitStatus.configuration)
    }
    let now = Int64(Date().timeIntervalSince1970)
    let warnings = loaded.diagnostics.count
    let first = CheckFinding(
      warnings == 0 ? .ok : .warning, "configuration",
      warnings == 0 ? source.file : "\(source.file) has \(warnings) warnings",
      advice: warnings == 0 ? nil : "weir check \(source.file) shows them")
    let findings =
      [first] + Checkup(configuration, node: Self.node(configuration), now: now).findings()
    print(json ? CheckFinding.json(findings) : CheckFinding.text(findings), terminator: "")
    if findings.contains(where: { $0.state == .error }) { throw ExitCode(1) }
  }

  /// What the node says of itself, if it runs.
  private static func node(_ configuration: NodeConfiguration) -> RunningNode? {
    guard let admin = configuration.admin,
      let client = try? AdminClient(admin, token: admin.token, patience: 2_000),
      let answer = try? client.ask("GET", "/v1/status"), answer.status == 200,
      let status = try? JSONDecoder().decode(Status.self, from: Data(answer.content))
    else { return nil }
    return RunningNode(
      version: status.version, hasEndedWriting: status.store?.writing_ended ?? false,
      damaged: status.store?.damaged ?? 0, isDrained: status.drained ?? false)
  }

  private struct Status: Decodable {
    struct Store: Decodable {
      let writing_ended: Bool
      let damaged: UInt64
    }
    let version: String
    let drained: Bool?
    let store: Store?
  }
}
