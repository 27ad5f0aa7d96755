// What `weir run` and `weir node` have in common: from a file to a configuration, from a configuration
// to a node, from a node to its end.

internal import ArgumentParser
internal import CLinux
import Configuration
import EventLoop
import Node
import Supervision

/// The steps of a start. Each says on standard error why it fails, and throws the exit status.
enum Start {
  /// The configuration of a source; nil: the file cannot be read.
  static func configuration(
    _ source: ConfigurationSource?, path: String, sayingWarnings: Bool
  ) throws(ExitCode) -> NodeConfiguration {
    let loaded = source?.parsed() ?? ConfigurationFile.load(path: path)
    let said = loaded.diagnostics.filter { sayingWarnings || $0.severity == .error }
    StandardError.write(Diagnostic.text(said))
    guard let configuration = loaded.configuration else {
      throw ExitCode(ExitStatus.configuration)
    }
    return configuration
  }

  /// The listening sockets.
  static func listeners(_ configuration: NodeConfiguration) throws(ExitCode) -> NodeListeners {
    do throws(NodeError) {
      return try NodeListeners.open(configuration, workers: Node.workers(of: configuration))
    } catch {
      throw refusal(error.description)
    }
  }

  /// Says why there is no node.
  static func refusal(_ reason: String) -> ExitCode {
    StandardError.say(reason)
    return ExitCode(ExitStatus.unavailable)
  }

  /// Runs a node in this process until it is told to end, and has drained.
  ///
  /// - Parameter endsAtSecondSignal: whether a second SIGTERM or SIGINT ends the process at once; with
  ///   a supervisor, that decides.
  static func node(
    _ configuration: NodeConfiguration, _ text: ConfigurationText?, _ listeners: NodeListeners,
    holder: (any SocketHolder)? = nil, endsAtSecondSignal: Bool
  ) throws(ExitCode) {
    let node: Node
    do throws(NodeError) {
      node = try Node.start(
        configuration, text: text, listeners: listeners, holder: holder,
        note: { StandardError.note($0) })
    } catch {
      throw refusal(error.description)
    }
    StandardError.say(greeting(of: node))
    waitForStop(node)
    if endsAtSecondSignal { Signals.unblock([SIGTERM, SIGINT]) }
    node.stop()
  }

  private static func waitForStop(_ node: Node) {
    while true {
      switch Signals.wait(for: Signals.operators).flatMap(Signals.meaning(of:)) {
      case .stop: return
      case .reopenLogs: node.reopenLogs()
      case .reload: node.reloadAside()
      case nil: continue
      }
    }
  }

  /// The line that says that a node is ready. Tests and tools read it.
  private static func greeting(of node: Node) -> String {
    let workers = Node.workers(of: node.configuration)
    let addresses = node.addresses.map(\.description).joined(separator: ", ")
    let count = workers == 1 ? "1 worker" : "\(workers) workers"
    let admin = node.adminAddress.map { ", admin on \($0)" } ?? ""
    return "listening on \(addresses) (\(count))\(admin)"
  }
}
