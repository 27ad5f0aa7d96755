// What the supervisor of a node does, without doing it: events go in, actions come out, `now` is a
// parameter. `weir run` performs the actions with real processes, tests look at them.
//
//     begin ──► starting ──► running ──► pausing ──► starting …      the node died: another one
//                   │            │           │
//                   ▼            ▼           ▼
//                  over ◄── stopping        over                     SIGTERM, SIGINT
//
// There is at most one node at a time: one process writes the store. The listening sockets belong to
// the supervisor as long as it wants a node, so a connection that arrives while there is none waits in
// the kernel's queue for the next.
//
// Only the first node may give up for good, by exiting with one of `ExitStatus.refusals`: then whoever
// typed the command reads why. Once a node has been up, a configuration or a machine that has become
// unfit since is not a reason to stop trying.

/// The supervisor's state.
package struct Supervisor: Sendable {
  /// What happens to it.
  package enum Event: Sendable, Equatable {
    /// The sockets are open.
    case begin
    /// The node that was asked for runs as that process.
    case started(process: Int32)
    /// The system refused to start it.
    case startFailed(reason: String)
    /// A process has ended.
    case ended(process: Int32, NodeEnd)
    /// The operator wants something.
    case signal(OperatorSignal)
    /// `deadline` has been reached.
    case deadline
  }

  /// What it wants done, in order.
  package enum Action: Sendable, Equatable {
    /// Start a node; `started` or `startFailed` must follow.
    case start
    /// Send a signal to the node.
    case send(NodeSignal, process: Int32)
    /// Close the supervisor's own copies of the sockets.
    case closeSockets
    /// Tell the operator, in a line.
    case say(String)
    /// End the supervisor with that status.
    case exit(Int32)
  }

  private enum Phase: Sendable, Equatable {
    /// A node is being started.
    case starting
    /// A node runs since then.
    case running(process: Int32, since: Int64)
    /// There is none until then.
    case pausing(until: Int64)
    /// The node drains, until then at most; nil when it has been killed.
    case stopping(process: Int32, until: Int64?)
    /// Nothing more happens.
    case over
  }

  /// What a node may take beyond its drain timeout before it is killed, in nanoseconds.
  package static let grace: Int64 = 5_000_000_000

  private var phase = Phase.starting
  private var pause = RestartPause()
  private var isFirst = true
  /// How long nodes drain at most, in nanoseconds.
  package var drainTimeout: Int64

  /// The supervisor of nodes that drain for at most `drainTimeout` nanoseconds.
  package init(drainTimeout: Int64) { self.drainTimeout = max(0, drainTimeout) }

  /// When it wants to be told that time has passed; nil: not at all.
  package var deadline: Int64? {
    switch phase {
    case .pausing(let until): until
    case .stopping(_, let until): until
    case .starting, .running, .over: nil
    }
  }

  /// Takes an event at `now` (nanoseconds of a clock that only goes forward).
  package mutating func handle(_ event: Event, now: Int64) -> [Action] {
    switch event {
    case .begin: return [.start]
    case .started(let process): return started(process, now)
    case .startFailed(let reason): return startFailed(reason, now)
    case .ended(let process, let end): return ended(process, end, now)
    case .signal(.stop): return stop(now)
    case .signal(.reopenLogs): return pass(.reopenLogs)
    case .signal(.reload): return pass(.reload)
    case .deadline: return deadlinePassed(now)
    }
  }

  // MARK: A node's life

  private mutating func started(_ process: Int32, _ now: Int64) -> [Action] {
    guard phase == .starting else { return [] }
    phase = .running(process: process, since: now)
    return [.say("node \(process) started")]
  }

  private mutating func startFailed(_ reason: String, _ now: Int64) -> [Action] {
    guard phase == .starting else { return [] }
    let message = "cannot start a node: \(reason)"
    if isFirst {
      phase = .over
      return [.say(message), .exit(ExitStatus.unavailable)]
    }
    return restart(after: 0, message, now)
  }

  private mutating func ended(_ process: Int32, _ end: NodeEnd, _ now: Int64) -> [Action] {
    switch phase {
    case .running(process, let since):
      if isFirst, case .exited(let status) = end, ExitStatus.refusals.contains(status) {
        // The node has said why.
        phase = .over
        return [.exit(status)]
      }
      return restart(after: now - since, "node \(process) \(end)", now)
    case .stopping(process, _):
      phase = .over
      return stopped(process, end)
    default:
      // Someone else's child, left to the supervisor.
      return []
    }
  }

  private mutating func restart(after ran: Int64, _ message: String, _ now: Int64) -> [Action] {
    isFirst = false
    let wait = pause.afterRun(of: ran)
    if wait == 0 {
      phase = .starting
      return [.say("\(message), restarting"), .start]
    }
    phase = .pausing(until: now + wait)
    return [.say("\(message), restarting in \(wait / 1_000_000) ms")]
  }

  // MARK: The end

  private mutating func stop(_ now: Int64) -> [Action] {
    switch phase {
    case .running(let process, _):
      let drained = now.addingReportingOverflow(max(0, drainTimeout))
      let late = drained.partialValue.addingReportingOverflow(Self.grace)
      let isNever = drained.overflow || late.overflow
      phase = .stopping(process: process, until: isNever ? .max : late.partialValue)
      return [
        .closeSockets,
        .say("stopping; node \(process) finishes what is in flight (a second signal ends it now)"),
        .send(.stop, process: process),
      ]
    case .stopping(let process, .some):
      return kill(process, "node \(process) is killed at the second signal")
    case .starting, .pausing:
      phase = .over
      return [.closeSockets, .say("stopped"), .exit(ExitStatus.success)]
    case .stopping(_, nil), .over: return []
    }
  }

  private mutating func deadlinePassed(_ now: Int64) -> [Action] {
    switch phase {
    case .pausing(let until) where until <= now:
      phase = .starting
      return [.start]
    case .stopping(let process, .some(let until)) where until <= now:
      return kill(process, "node \(process) is killed: it has not ended after its drain_timeout")
    default: return []
    }
  }

  private mutating func kill(_ process: Int32, _ message: String) -> [Action] {
    phase = .stopping(process: process, until: nil)
    return [.say(message), .send(.kill, process: process)]
  }

  private func stopped(_ process: Int32, _ end: NodeEnd) -> [Action] {
    switch end {
    case .exited(ExitStatus.success): [.say("stopped"), .exit(ExitStatus.success)]
    case .exited(let status): [.say("stopped; node \(process) \(end)"), .exit(status)]
    case .died:
      [
        .say("stopped; node \(process) \(end), and what was in flight is lost"),
        .exit(ExitStatus.failure),
      ]
    }
  }

  /// Without a node there is nobody to tell: the next one reads and opens everything anew.
  private func pass(_ signal: NodeSignal) -> [Action] {
    guard case .running(let process, _) = phase else { return [] }
    return [.send(signal, process: process)]
  }
}
