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
//
// Behind an upgrade the supervisor itself becomes the new executable, so that nothing of the old one is
// left but a node that drains. What would fail at that must fail before, for it would take the sockets
// along: first the new executable is started once to look whether it could take over (`tryExecutable`), and
// only if it says so the supervisor becomes it (`becomeExecutable`).

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
    /// A successor was started, or could not be.
    case successorStarted(process: Int32)
    case successorFailed(reason: String)
    /// A node has said something.
    case said(process: Int32, NodeWord)
    /// A node has gone over to another configuration.
    case reloaded
    /// The new executable was started to look whether it can be the supervisor, or could not be.
    case trialStarted(process: Int32)
    case trialFailed(reason: String)
    /// `deadline` has been reached.
    case deadline
  }

  /// What it wants done, in order.
  package enum Action: Sendable, Equatable {
    /// Start a node; `started` or `startFailed` must follow.
    case start
    /// Start a node of the executable that is there now, beside the one that runs; `successorStarted` or
    /// `successorFailed` must follow.
    case startSuccessor
    /// Have the executable that is there now look whether it can be the supervisor; `trialStarted` or
    /// `trialFailed` must follow.
    case tryExecutable
    /// Become the executable that is there now. If the system refuses, nothing has changed.
    case becomeExecutable
    /// Say something to a node.
    case tell(NodeOrder, process: Int32)
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
    /// Another is taking its place.
    case upgrading(Upgrade)
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
  /// Nodes whose place another has taken, and which drain.
  private var draining: Set<Int32> = []
  private var pause = RestartPause()
  private var isFirst = true
  /// Who looks whether the new executable can be the supervisor, and until when.
  private var trial: (process: Int32, until: Int64)?
  /// How long nodes drain at most, in nanoseconds.
  package var drainTimeout: Int64

  /// The supervisor of nodes that drain for at most `drainTimeout` nanoseconds.
  package init(drainTimeout: Int64) { self.drainTimeout = max(0, drainTimeout) }

  /// Goes on with what another has been told of (`HandedOver`).
  package init(goingOnWith state: HandedOver) {
    self.init(drainTimeout: state.drainTimeout)
    phase = .running(process: state.node, since: state.since)
    draining = state.draining
    isFirst = false
  }

  /// What another is to be told; nil unless a node runs steadily.
  package var handedOver: (node: Int32, since: Int64, draining: Set<Int32>)? {
    guard case .running(let process, let since) = phase else { return nil }
    return (process, since, draining)
  }

  /// When it wants to be told that time has passed; nil: not at all.
  package var deadline: Int64? {
    [phaseDeadline, trial?.until].compactMap { $0 }.min()
  }

  private var phaseDeadline: Int64? {
    switch phase {
    case .pausing(let until): until
    case .stopping(_, let until): until
    case .upgrading(let upgrade): upgrade.until
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
    case .signal(.upgrade): return upgrade(now)
    case .successorStarted, .successorFailed, .said, .reloaded: return advance(event, now)
    case .trialStarted(let process):
      trial = (process, now + Upgrade.patience)
      return []
    case .trialFailed(let reason): return stay(reason)
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
    if let trial, trial.process == process { return trialEnded(end) }
    if draining.remove(process) != nil {
      let said = Action.say("node \(process), whose place was taken, \(end)")
      return [said] + allGone()
    }
    switch phase {
    case .upgrading(let upgrade) where upgrade.old == process || upgrade.successor == process:
      return ended(process, end, during: upgrade, now)
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
    case .upgrading(let upgrade): return stop(during: upgrade, now)
    case .starting, .pausing:
      phase = .over
      return [.closeSockets, .say("stopped"), .exit(ExitStatus.success)]
    case .stopping(_, nil), .over: return []
    }
  }

  private mutating func deadlinePassed(_ now: Int64) -> [Action] {
    if let late = trial, late.until <= now {
      trial = (late.process, .max)
      return [.send(.kill, process: late.process)]
    }
    switch phase {
    case .pausing(let until) where until <= now:
      phase = .starting
      return [.start]
    case .stopping(let process, .some(let until)) where until <= now:
      return kill(process, "node \(process) is killed: it has not ended after its drain_timeout")
    case .upgrading(var upgrade) where upgrade.until <= now:
      upgrade.until = .max
      phase = .upgrading(upgrade)
      guard let successor = upgrade.successor else { return [] }
      return [
        .say("upgrade: node \(successor) is killed: it takes too long"),
        .send(.kill, process: successor),
      ]
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
    if case .upgrading = phase { return [.say("not now: an upgrade is under way")] }
    guard case .running(let process, _) = phase else { return [] }
    return [.send(signal, process: process)]
  }
}

// MARK: - Upgrades

extension Supervisor {
  /// A successor takes the node's place (Node+Upgrade.swift says how).
  struct Upgrade: Sendable, Equatable {
    enum Step: Sendable, Equatable {
      /// The successor reads its configuration. Until it has, nothing has changed.
      case preparing
      /// The old one ends writing.
      case retiring
      /// The successor opens the store.
      case opening
      /// The old one lets go.
      case releasing
    }
    var step = Step.preparing
    /// The node whose place is taken, and since when it runs; nil if it has died meanwhile.
    var old: Int32?
    let since: Int64
    var successor: Int32?
    /// When the step has taken too long.
    var until: Int64

    /// How long the steps may take, in nanoseconds. To open a store takes a second for each million
    /// objects.
    static let patience: Int64 = 60_000_000_000
    static let openingPatience: Int64 = 900_000_000_000
  }

  /// The node that answers.
  private var current: Int32? {
    switch phase {
    case .running(let process, _), .stopping(let process, _): process
    case .upgrading(let upgrade): upgrade.old ?? upgrade.successor
    case .starting, .pausing, .over: nil
    }
  }

  /// Says to the node that answers that nobody sends from its store any more, if that is so.
  private func allGone() -> [Action] {
    guard draining.isEmpty, let current else { return [] }
    return [.tell(.gone, process: current)]
  }

  private mutating func upgrade(_ now: Int64) -> [Action] {
    guard case .running(let process, let since) = phase else {
      return [.say("no upgrade: there is no node that runs steadily")]
    }
    phase = .upgrading(
      Upgrade(old: process, since: since, successor: nil, until: now + Upgrade.patience))
    return [.say("upgrade: starting what takes node \(process)'s place"), .startSuccessor]
  }

  private mutating func advance(_ event: Event, _ now: Int64) -> [Action] {
    guard case .upgrading(var upgrade) = phase else { return [] }
    switch event {
    case .successorStarted(let process):
      upgrade.successor = process
      phase = .upgrading(upgrade)
      return [.say("node \(process) started")]
    case .successorFailed(let reason): return giveUp(upgrade, reason, now)
    case .reloaded:
      guard upgrade.step == .preparing, let successor = upgrade.successor else { return [] }
      return [
        .say("upgrade: node \(successor) is killed: the configuration was reloaded meanwhile"),
        .send(.kill, process: successor),
      ]
    case .said(let process, let word):
      return heard(word, isSuccessor: process == upgrade.successor, upgrade, now)
    default: return []
    }
  }

  private mutating func heard(
    _ word: NodeWord, isSuccessor: Bool, _ upgrade: Upgrade, _ now: Int64
  ) -> [Action] {
    guard let successor = upgrade.successor else { return [] }
    switch (word, isSuccessor, upgrade.step) {
    case (.prepared, true, .preparing):
      guard let old = upgrade.old else { return open(upgrade, now) }
      return go(to: .retiring, upgrade, Upgrade.patience, now) + [.tell(.retire, process: old)]
    case (.retired, false, .retiring): return open(upgrade, now)
    case (.ready, true, .opening):
      guard let old = upgrade.old else { return takeOver(successor, upgrade, now) }
      return go(to: .releasing, upgrade, Upgrade.patience, now) + [.tell(.release, process: old)]
    case (.released, false, .releasing): return takeOver(successor, upgrade, now)
    default: return []
    }
  }

  private mutating func go(
    to step: Upgrade.Step, _ upgrade: Upgrade, _ patience: Int64, _ now: Int64
  ) -> [Action] {
    var upgrade = upgrade
    upgrade.step = step
    upgrade.until = now + patience
    phase = .upgrading(upgrade)
    return []
  }

  private mutating func open(_ upgrade: Upgrade, _ now: Int64) -> [Action] {
    guard let successor = upgrade.successor else { return [] }
    return go(to: .opening, upgrade, Upgrade.openingPatience, now)
      + [.tell(.open, process: successor)]
  }

  private mutating func takeOver(
    _ successor: Int32, _ upgrade: Upgrade, _ now: Int64
  ) -> [Action] {
    phase = .running(process: successor, since: now)
    var actions: [Action] = [.tell(.begin, process: successor)]
    if let old = upgrade.old {
      draining.insert(old)
      actions.append(.say("node \(successor) has taken the place of node \(old), which drains"))
    } else {
      actions += allGone() + [.say("node \(successor) has taken its place")]
    }
    return actions + [.tryExecutable]
  }

  private mutating func trialEnded(_ end: NodeEnd) -> [Action] {
    trial = nil
    guard case .exited(ExitStatus.success) = end else { return stay("the new one \(end)") }
    // Another upgrade ends with a trial of its own, and a stop with nothing.
    guard case .running = phase else { return [] }
    return [.becomeExecutable]
  }

  private func stay(_ reason: String) -> [Action] {
    [.say("the supervisor stays the executable that it was: \(reason)")]
  }

  private mutating func ended(
    _ process: Int32, _ end: NodeEnd, during upgrade: Upgrade, _ now: Int64
  ) -> [Action] {
    if process == upgrade.successor { return giveUp(upgrade, "node \(process) \(end)", now) }
    var upgrade = upgrade
    upgrade.old = nil
    phase = .upgrading(upgrade)
    let said = Action.say("node \(process) \(end), while another was taking its place")
    switch upgrade.step {
    case .preparing, .opening: return [said]
    case .retiring: return [said] + open(upgrade, now)
    case .releasing:
      guard let successor = upgrade.successor else { return [said] }
      return [said] + takeOver(successor, upgrade, now)
    }
  }

  /// Without the successor: the old one goes on if nothing has been taken from it, else one of this
  /// executable takes its place.
  private mutating func giveUp(
    _ upgrade: Upgrade, _ reason: String, _ now: Int64
  ) -> [Action] {
    guard let old = upgrade.old else {
      return restart(after: now - upgrade.since, "upgrade failed: \(reason)", now)
    }
    if upgrade.step == .preparing {
      phase = .running(process: old, since: upgrade.since)
      return [.say("upgrade failed: \(reason); node \(old) goes on")]
    }
    draining.insert(old)
    phase = .starting
    return [
      .say("upgrade failed: \(reason); node \(old) is followed by one as it was"),
      .send(.stop, process: old), .start,
    ]
  }

  private mutating func stop(during upgrade: Upgrade, _ now: Int64) -> [Action] {
    guard let process = upgrade.old ?? upgrade.successor else { return [] }
    var actions: [Action] = []
    if let successor = upgrade.successor, successor != process {
      actions.append(.send(.kill, process: successor))
    }
    phase = .running(process: process, since: upgrade.since)
    return actions + stop(now)
  }
}
