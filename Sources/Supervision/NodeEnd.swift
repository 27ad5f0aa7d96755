/// How a node's process has ended.
package enum NodeEnd: Sendable, Equatable, CustomStringConvertible {
  /// By itself, with that status.
  case exited(Int32)
  /// By a signal, with the system's words for it.
  case died(signal: Int32, name: String)

  /// Goes on after the node's number.
  package var description: String {
    switch self {
    case .exited(let status): "exited with status \(status)"
    case .died(let signal, let name): "died by signal \(signal) (\(name))"
    }
  }
}

/// What an operator can want of a running node.
package enum OperatorSignal: Sendable, Equatable {
  /// End, after what is in flight (SIGTERM, SIGINT).
  case stop
  /// Open the access log's file again (SIGUSR1).
  case reopenLogs
  /// Read the configuration again (SIGHUP).
  case reload
  /// Have the executable that is there now take the node's place (SIGUSR2).
  case upgrade
}

/// What a node says to its supervisor.
package enum NodeWord: String, Sendable {
  /// Of a successor: it can work like this.
  case prepared
  /// Of the old one: it writes the store no more.
  case retired
  /// It has all that it needs; of a successor: but accepts nothing yet.
  case ready
  /// Of the old one: it accepts nothing and looks up nothing more.
  case released
  /// Another process is to take its place.
  case upgrade
  /// Its workers turn.
  case alive
}

/// What a supervisor says to a node.
package enum NodeOrder: String, Sendable {
  /// To the old one: write the store no more.
  case retire
  /// To a successor: open the store.
  case open
  /// To the old one: accept and look up nothing more, then drain.
  case release
  /// To a successor: accept.
  case begin
  /// To the one that has taken over: the other has ended.
  case gone
  /// Say whether your workers turn.
  case report
}

/// What a supervisor sends to its node.
package enum NodeSignal: Sendable, Equatable {
  /// SIGTERM.
  case stop
  /// SIGUSR1.
  case reopenLogs
  /// SIGHUP.
  case reload
  /// SIGKILL.
  case kill
}

/// With what the processes of this package end; the numbers are those of sysexits(3).
package enum ExitStatus {
  /// All went well; a node has drained.
  package static let success: Int32 = 0
  /// What was in flight was lost at the end.
  package static let failure: Int32 = 1
  /// The command was not understood (EX_USAGE).
  package static let usage: Int32 = 64
  /// Something that a node needs is not to be had: an address, a file (EX_UNAVAILABLE).
  package static let unavailable: Int32 = 69
  /// The configuration has errors (EX_CONFIG).
  package static let configuration: Int32 = 78

  /// With these a node says that it cannot work like this, and that another try would end the same.
  package static let refusals: [Int32] = [unavailable, configuration]
}
