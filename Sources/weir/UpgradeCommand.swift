import ArgumentParser
internal import CLinux
import Configuration
import FoundationEssentials
import Supervision

/// `weir upgrade`.
struct UpgradeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "upgrade",
    abstract: "Put a new executable in a running node's place, without losing a request.",
    discussion: """
      First put the new executable where the old one was (by renaming: a file that runs cannot be \
      written). The supervisor starts it, hands it the listening sockets and the store, and lets the old \
      node finish what it has begun. If it does not start, the old node goes on. To go back, put the old \
      executable there again and run this once more.

      Exit status: 0 when the new node answers; 1 if it does not; 69 if the node cannot be reached; 78 if \
      the configuration has errors.
      """)

  @OptionGroup var node: AskedNode

  @Option(
    help: ArgumentHelp(
      "How many seconds to wait for the new node.",
      discussion: "To open a store takes one for each million objects."))
  var timeout = 120

  func run() throws {
    let before = try JSONDecoder().decode(
      NodeStatus.self, from: Data(node.ask("GET", "/v1/status")))
    _ = try node.ask("POST", "/v1/upgrade")
    let client = try node.node.client()
    let end = time(nil) + max(1, timeout)
    while time(nil) < end {
      _ = poll(nil, 0, 100)
      if let now = status(client), now.process != before.process { return report(now) }
    }
    StandardError.say("the old node still answers; the supervisor's log says why")
    throw ExitCode(1)
  }

  private func report(_ status: NodeStatus) {
    if node.json {
      print("{\"process\": \(status.process), \"version\": \"\(status.version)\"}")
    } else {
      print("node \(status.process) (version \(status.version)) has taken over")
    }
  }

  /// What whoever answers says of itself; nil in the moment in which nobody does.
  private func status(_ client: AdminClient) -> NodeStatus? {
    guard let answer = try? client.ask("GET", "/v1/status"), answer.status == 200
    else { return nil }
    return try? JSONDecoder().decode(NodeStatus.self, from: Data(answer.content))
  }
}

private struct NodeStatus: Decodable {
  let version: String
  let process: Int
}
