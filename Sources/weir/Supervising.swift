// Performs what the supervisor's rules ask for, on one thread: it waits for a signal or the rules'
// deadline, takes children that have ended, tells the rules, and does what they say.

internal import CLinux
import Crashes
import EventLoop
import Node
import Supervision

/// A supervisor at work.
final class Supervising {
  private var configuration: Descriptor
  private let path: String
  /// The sockets, until the node is to stop: then nobody but the node holds them.
  private var listeners: HeldSockets?
  /// The ways to the nodes, by their processes; and which of them has the sockets' numbers.
  private var channels: [Int32: PacketSocket] = [:]
  private var current: Int32 = 0
  /// What each node leaves behind if it crashes; and those that were killed from here.
  private var traces: [Int32: CrashFile] = [:]
  private var killed: Set<Int32> = []
  /// What the last nodes worked on that have crashed: the next one is there before their reports are.
  private var namings: [CrashNaming] = []
  private static let mostNamings = 8
  private let crashes: CrashPlace
  private var rules: Supervisor
  private var status: Int32?
  private let manager = ServiceManager()
  /// Whether there is a node already.
  private var isGoingOn = false
  /// Where the next version is put: asked for at the start, when this one's name is still its own.
  private let executable: String
  /// When the service manager is to be told next that the node is well.
  private var nextReport = Int64.max
  private let clock = NodeClock()

  /// - Parameters:
  ///   - configuration: the copy of the configuration's text that nodes read.
  ///   - path: what its file is called.
  ///   - listeners: the sockets that nodes get.
  ///   - drainTimeout: in nanoseconds.
  ///   - crashes: where reports of crashes go.
  init(
    configuration: consuming Descriptor, path: String, listeners: NodeListeners,
    drainTimeout: Int64, crashes: CrashPlace
  ) {
    self.crashes = crashes
    self.configuration = configuration
    self.path = path
    self.listeners = HeldSockets(listeners.take())
    rules = Supervisor(drainTimeout: drainTimeout)
    executable = Processes.executable
  }

  /// Goes on as the supervisor that this process was as another executable. The descriptors become this
  /// one's.
  init(goingOnWith state: HandedOver, path: String, crashes: CrashPlace) {
    self.crashes = crashes
    for number in state.descriptors { Processes.closeOnExec(number) }
    configuration = Descriptor(owning: state.configuration)
    self.path = path
    listeners = HeldSockets(state)
    rules = Supervisor(goingOnWith: state)
    channels = state.channels.mapValues { PacketSocket(Descriptor(owning: $0)) }
    traces = state.traces.mapValues { CrashFile(Descriptor(owning: $0)) }
    current = state.node
    executable = state.executable
    if let interval = manager.watchdogInterval { nextReport = clock.now().monotonic + interval }
    isGoingOn = true
  }

  /// Keeps a node running until there shall be none, and returns the exit status.
  func run() -> Int32 {
    if !isGoingOn { happened(.begin) }
    while true {
      while let (process, end) = Processes.takeEnded() {
        noteObject(process, end)
        happened(.ended(process: process, end))
        // After that: the next node comes first.
        if let left = traces.removeValue(forKey: process) { report(process, end, left) }
      }
      if let status { return status }
      let next = min(rules.deadline ?? .max, nextReport)
      let wait = next == .max ? nil : max(0, next - clock.now().monotonic)
      let signal = Signals.wait(
        for: Signals.operators + [SIGCHLD], or: channels.values.map { $0.descriptor.number },
        nanoseconds: wait)
      takePackets()
      if let meaning = signal.flatMap(Signals.meaning(of:)) {
        if meaning == .reload { manager.reloading(now: clock.now().monotonic) }
        happened(.signal(meaning))
      }
      askForReport()
      if let deadline = rules.deadline, deadline <= clock.now().monotonic { happened(.deadline) }
      if let status { return status }
    }
  }

  private func happened(_ event: Supervisor.Event) {
    for action in rules.handle(event, now: clock.now().monotonic) { perform(action) }
  }

  private func perform(_ action: Supervisor.Action) {
    switch action {
    case .start: happened(startNode())
    case .startSuccessor: happened(startSuccessor())
    case .tryExecutable: happened(tryExecutable())
    case .becomeExecutable: becomeExecutable()
    case .tell(let order, let process): tell(order, process)
    case .send(let signal, let process):
      if signal == .kill { killed.insert(process) }
      Processes.send(signal, to: process)
    case .closeSockets:
      listeners = nil
      manager.stopping()
    case .say(let text): StandardError.say(text)
    case .exit(let status): self.status = status
    }
  }

  private func tell(_ order: NodeOrder, _ process: Int32) {
    if case .begin = order {
      current = process
      listeners?.renumber()
    }
    // To one that has just ended nothing needs to be said.
    try? channels[process]?.send(order.rawValue)
  }

  /// Takes what the nodes have to say.
  private func takePackets() {
    for (process, channel) in channels {
      do throws(Errno) {
        while let packet = try channel.receive(milliseconds: 0) {
          try take(packet, process, channel)
        }
      } catch {
        // It has ended, or is about to.
        channels[process] = nil
      }
    }
  }

  /// Notes what a node worked on that has crashed.
  private func noteObject(_ process: Int32, _ end: NodeEnd) {
    guard case .died = end, !killed.contains(process), let left = traces[process],
      let naming = CrashArea.naming(in: left, process: process)
    else { return }
    namings = namings.suffix(Self.mostNamings - 1) + [naming]
  }

  /// Has a report made of what a node has left behind, by a process of its own: what is read there was
  /// written by one that went wrong.
  private func report(_ process: Int32, _ end: NodeEnd, _ left: CrashFile) {
    let wasKilled = killed.remove(process) != nil
    guard case .died(let signal, let name) = end, !wasKilled else { return }
    do throws(Errno) {
      _ = try Processes.startSelf(
        crashes.arguments(process: process, signal: signal, name: name, area: left.number),
        inheriting: [left.number])
    } catch {
      StandardError.say("node \(process): no report can be made of its death: \(error)")
    }
  }

  /// Passes on what the service manager wants to know.
  private func tellManager(_ word: NodeWord) {
    switch word {
    case .ready:
      manager.ready("node \(current) answers")
      if let interval = manager.watchdogInterval {
        nextReport = min(nextReport, clock.now().monotonic + interval)
      }
    case .alive: manager.alive()
    case .prepared, .retired, .released, .upgrade: break
    }
  }

  /// Asks the node, when it is time, whether its workers turn.
  private func askForReport() {
    guard let interval = manager.watchdogInterval, clock.now().monotonic >= nextReport else {
      return
    }
    nextReport = clock.now().monotonic + interval
    tell(.report, current)
  }

  private func take(
    _ packet: PacketSocket.Packet, _ process: Int32, _ channel: PacketSocket
  ) throws(Errno) {
    if let word = NodeWord(rawValue: packet.text) {
      if process == current { tellManager(word) }
      happened(word == .upgrade ? .signal(.upgrade) : .said(process: process, word))
      return
    }
    if ControlChannel.invalidation(in: packet.text) != nil {
      for (other, channel) in channels where other != process { try? channel.send(packet.text) }
      return
    }
    guard process == current, let order = listeners?.take(packet) else {
      for number in packet.descriptors where process != current { close(number) }
      return
    }
    rules.drainTimeout = order.drainTimeout
    // The copy is the kernel's, as the sockets are: it came with them.
    configuration = Descriptor(owning: order.text)
    try channel.send("held")
    happened(.reloaded)
  }

  private func startNode() -> Supervisor.Event {
    listeners?.renumber()
    do throws(Errno) {
      let process = try start("/proc/self/exe", [])
      current = process
      return .started(process: process)
    } catch {
      return .startFailed(reason: "\(error)")
    }
  }

  private func startSuccessor() -> Supervisor.Event {
    do throws(Errno) {
      return .successorStarted(process: try start(executable, ["--successor"]))
    } catch {
      return .successorFailed(reason: "\(executable) cannot be started: \(error)")
    }
  }

  // MARK: Becoming the new executable

  /// What the executable that this process becomes is told.
  private func handedOver() throws(Errno) -> HandedOver {
    guard let node = rules.handedOver, let held = listeners?.handedOver else {
      throw Errno(EBADF)
    }
    return HandedOver(
      executable: executable, node: node.node, since: node.since, draining: node.draining,
      drainTimeout: rules.drainTimeout, configuration: configuration.number,
      channels: channels.mapValues { $0.descriptor.number }, traces: traces.mapValues(\.number),
      addresses: held.addresses, coming: held.coming, admin: held.admin)
  }

  private static func file(of state: HandedOver) throws(Errno) -> Descriptor {
    try MemoryFile.make(named: "weir-supervisor", Array(state.text.utf8))
  }

  private func tryExecutable() -> Supervisor.Event {
    do throws(Errno) {
      let state = try handedOver()
      let text = try Self.file(of: state)
      let process = try Processes.start(
        executable, ["run", "--going-on", "\(text.number)", "--only-try", "--", path],
        inheriting: state.descriptors + [text.number])
      return .trialStarted(process: process)
    } catch {
      return .trialFailed(reason: "\(executable): \(error)")
    }
  }

  private func becomeExecutable() {
    do throws(Errno) {
      let state = try handedOver()
      let text = try Self.file(of: state)
      throw Processes.become(
        executable, ["run", "--going-on", "\(text.number)", "--", path],
        keeping: state.descriptors + [text.number])
    } catch {
      StandardError.say("the supervisor stays the executable that it was: \(error)")
    }
  }

  /// Starts a node with the sockets, and returns its process.
  private func start(_ executable: String, _ more: [String]) throws(Errno) -> Int32 {
    guard let numbers = listeners?.numbers else { throw Errno(EBADF) }
    let (own, theirs) = try PacketSocket.pair()
    var arguments = [
      "node", "--config", path, "--config-copy", "\(configuration.number)",
      "--supervisor", "\(Processes.own)", "--data", InheritedSockets(numbers: numbers.data).text,
      "--control", "\(theirs.descriptor.number)",
    ]
    if let admin = numbers.admin { arguments += ["--admin", "\(admin)"] }
    let descriptors =
      numbers.data.joined()
      + [numbers.admin, configuration.number, theirs.descriptor.number].compactMap { $0 }
    // Without one it leaves nothing behind, and works as well.
    let traces = try? CrashArea.make()
    let process = try Processes.start(
      executable, arguments + more,
      inheriting: Array(descriptors) + [traces?.number].compactMap { $0 },
      environment: CrashPlace.environment(traces?.number, namings))
    channels[process] = own
    self.traces[process] = traces
    return process
  }
}
