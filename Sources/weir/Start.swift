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
      return try NodeListeners.open(
        configuration, workers: Node.workers(of: configuration),
        given: ServiceManager.takeSockets())
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
  /// - Parameters:
  ///   - channel: to the supervisor.
  ///   - asSuccessor: whether it takes another's place, as the supervisor says when.
  ///   - endsAtSecondSignal: whether a second SIGTERM or SIGINT ends the process at once; with a
  ///     supervisor, that decides.
  static func node(
    _ configuration: NodeConfiguration, _ text: ConfigurationText?, _ listeners: NodeListeners,
    channel: ControlChannel? = nil, asSuccessor: Bool = false, endsAtSecondSignal: Bool
  ) throws(ExitCode) {
    if asSuccessor, let channel { try wait(for: .open, afterSaying: .prepared, channel) }
    let node: Node
    do throws(NodeError) {
      node = try Node.start(
        configuration, text: text, listeners: listeners, holder: channel, asSuccessor: asSuccessor,
        note: { StandardError.note($0) })
    } catch {
      throw refusal(error.description)
    }
    if asSuccessor, let channel {
      try wait(for: .begin, afterSaying: .ready, channel)
      node.begin()
    } else {
      channel?.say(.ready)
    }
    StandardError.say(greeting(of: node))
    waitForStop(node, channel)
    if endsAtSecondSignal { Signals.unblock([SIGTERM, SIGINT]) }
    node.stop()
  }

  /// Says how far it is, and waits for the supervisor's word to go on.
  private static func wait(
    for order: NodeOrder, afterSaying word: NodeWord, _ channel: ControlChannel
  ) throws(ExitCode) {
    channel.say(word)
    do throws(Errno) {
      while true {
        if case .order(let said)? = try channel.receive(milliseconds: -1), said == order { return }
      }
    } catch {
      throw refusal("the supervisor is gone: \(error)")
    }
  }

  private static func waitForStop(_ node: Node, _ channel: ControlChannel?) {
    var descriptors = channel.map { [$0.socket.descriptor.number] } ?? []
    while true {
      let signal = Signals.wait(for: Signals.operators, or: descriptors, nanoseconds: nil)
      do throws(Errno) {
        while !descriptors.isEmpty, let message = try channel?.receive(milliseconds: 0) {
          if hear(message, node, channel) { return }
        }
      } catch {
        // Without a supervisor the system ends this process.
        descriptors = []
      }
      switch signal.flatMap(Signals.meaning(of:)) {
      case .stop: return
      case .reopenLogs: node.reopenLogs()
      case .reload: node.reloadAside { channel?.say(.ready) }
      case .upgrade: channel?.askForSuccessor()
      case nil: continue
      }
    }
  }

  /// Does what the supervisor says; whether the node is to stop.
  private static func hear(
    _ message: ControlChannel.Message, _ node: Node, _ channel: ControlChannel?
  ) -> Bool {
    switch message {
    case .order(.retire):
      node.retire()
      channel?.say(.retired)
    case .order(.release):
      node.release()
      channel?.say(.released)
      node.letClientsGo()
      return true
    case .order(.gone): node.predecessorIsGone()
    case .order(.report): if node.isAlive() { channel?.say(.alive) }
    case .order(.open), .order(.begin), .other: break
    case .invalidation(let tag): node.invalidate(tag: tag)
    }
    return false
  }

  /// The line that says that a node is ready. Tests and tools read it.
  private static func greeting(of node: Node) -> String {
    let workers = Node.workers(of: node.configuration)
    let addresses = node.addresses.map(\.description).joined(separator: ", ")
    let count = workers == 1 ? "1 worker" : "\(workers) workers"
    let admin = node.adminPlace.map { ", admin on \($0)" } ?? ""
    return "listening on \(addresses) (\(count))\(admin)"
  }
}
