// Performs what the supervisor's rules ask for, on one thread: it waits for a signal or the rules'
// deadline, takes children that have ended, tells the rules, and does what they say.

internal import CLinux
import EventLoop
import Node
import Supervision

/// A supervisor at work.
final class Supervising {
  private var configuration: Descriptor
  private let path: String
  /// The sockets, until the node is to stop: then nobody but the node holds them.
  private var listeners: HeldSockets?
  /// The way to the node that runs.
  private var channel: PacketSocket?
  private var rules: Supervisor
  private var status: Int32?
  private let clock = NodeClock()

  /// - Parameters:
  ///   - configuration: the copy of the configuration's text that nodes read.
  ///   - path: what its file is called.
  ///   - listeners: the sockets that nodes get.
  ///   - drainTimeout: in nanoseconds.
  init(
    configuration: consuming Descriptor, path: String, listeners: NodeListeners, drainTimeout: Int64
  ) {
    self.configuration = configuration
    self.path = path
    self.listeners = HeldSockets(listeners.take())
    rules = Supervisor(drainTimeout: drainTimeout)
  }

  /// Keeps a node running until there shall be none, and returns the exit status.
  func run() -> Int32 {
    happened(.begin)
    while true {
      while let (process, end) = Processes.takeEnded() { happened(.ended(process: process, end)) }
      if let status { return status }
      let wait = rules.deadline.map { max(0, $0 - clock.now().monotonic) }
      let signal = Signals.wait(
        for: Signals.operators + [SIGCHLD], or: channel?.descriptor.number, nanoseconds: wait)
      takePackets()
      if let meaning = signal.flatMap(Signals.meaning(of:)) { happened(.signal(meaning)) }
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
    case .send(let signal, let process): Processes.send(signal, to: process)
    case .closeSockets: listeners = nil
    case .say(let text): StandardError.say(text)
    case .exit(let status): self.status = status
    }
  }

  /// Takes what the node has to say.
  private func takePackets() {
    while let channel {
      do throws(Errno) {
        guard let packet = try channel.receive(milliseconds: 0) else { return }
        guard let order = listeners?.take(packet) else { continue }
        rules.drainTimeout = order.drainTimeout
        // The copy is the kernel's, as the sockets are: it came with them.
        configuration = Descriptor(owning: order.text)
        try channel.send("held")
      } catch {
        // It has ended, or is about to.
        self.channel = nil
      }
    }
  }

  private func startNode() -> Supervisor.Event {
    guard let listeners else { return .startFailed(reason: "the sockets are closed") }
    let numbers = listeners.numbers
    let ends: (PacketSocket, PacketSocket)
    do throws(Errno) {
      ends = try PacketSocket.pair()
    } catch {
      return .startFailed(reason: "\(error)")
    }
    var arguments = [
      "node", "--config", path, "--config-copy", "\(configuration.number)",
      "--supervisor", "\(Processes.own)", "--data", InheritedSockets(numbers: numbers.data).text,
      "--control", "\(ends.1.descriptor.number)",
    ]
    if let admin = numbers.admin { arguments += ["--admin", "\(admin)"] }
    let descriptors =
      numbers.data.joined()
      + [numbers.admin, configuration.number, ends.1.descriptor.number].compactMap { $0 }
    do throws(Errno) {
      let process = try Processes.startSelf(arguments, inheriting: Array(descriptors))
      channel = ends.0
      return .started(process: process)
    } catch {
      return .startFailed(reason: "\(error)")
    }
  }
}
