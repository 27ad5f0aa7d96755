import ArgumentParser
import Configuration
import EventLoop
import Node
import Supervision

/// `weir node`: what the supervisor starts. The sockets come by number from whoever opened them.
struct NodeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "node", abstract: "Run a node on inherited sockets (started by `weir run`).",
    shouldDisplay: false)

  @Option(help: ArgumentHelp("The configuration file.", valueName: "file"))
  var config: String

  @Option(help: ArgumentHelp("The descriptor of a copy to read instead.", valueName: "number"))
  var configCopy: Int32?

  @Option(help: "The process to end with.")
  var supervisor: Int32?

  @Option(help: "The data sockets: those of an address by comma, addresses by semicolon.")
  var data: InheritedSockets

  @Option(help: "The admin socket.")
  var admin: Int32?

  @Flag(help: "Wait until the node whose place it takes has let go.")
  var successor = false

  @Option(help: "The socket to whoever holds the others beside the node.")
  var control: Int32?

  func validate() throws {
    for number in inherited where !Processes.isListening(number) {
      throw ValidationError("descriptor \(number) is not a socket that listens")
    }
    if Set(inherited).count != inherited.count {
      throw ValidationError("the admin socket is also a data socket")
    }
  }

  func run() throws {
    Processes.openStandardStreams()
    Signals.prepare()
    Processes.setOwnName("weir-node")
    if let supervisor, !Processes.follow(parent: supervisor) { return }
    CrashPlace.leaveTraces()
    let source = source
    var configuration = try Start.configuration(
      source, path: config, sayingWarnings: supervisor == nil)
    try expectSockets(for: configuration)
    // As many as there are sockets for, whatever the machine has by now: a socket that nobody accepts
    // from would leave its share of the clients waiting.
    if let workers = data.workers { configuration.workers = workers }
    if let user = configuration.user {
      if let problem = Privileges.become(user) { throw Start.refusal(problem) }
      // The system has forgotten that with the change.
      if let supervisor, !Processes.follow(parent: supervisor) { return }
    }
    CrashPlace(configuration).reportLeftovers()
    for number in inherited { Processes.closeOnExec(number) }
    if let configCopy { Processes.closeOnExec(configCopy) }
    let listeners = NodeListeners.inherited(data: data.numbers, admin: admin)
    let holder = control.map { number in
      Processes.closeOnExec(number)
      return ControlChannel(PacketSocket(Descriptor(owning: number)))
    }
    try Start.node(
      configuration, source?.text, listeners, channel: holder, asSuccessor: successor,
      endsAtSecondSignal: supervisor == nil)
  }

  private var inherited: [Int32] { data.numbers.joined() + [admin].compactMap { $0 } }

  private var source: ConfigurationSource? {
    guard let configCopy else { return ConfigurationSource(path: config) }
    return ConfigurationSource(copy: configCopy, of: config)
  }

  private func expectSockets(for configuration: NodeConfiguration) throws(ExitCode) {
    // A reload may have brought an admin listener, or taken it away, which a restart of the supervisor
    // sees to: so there may be a socket too few, or one that is not needed.
    if configuration.listeners.count != data.numbers.count {
      throw Start.refusal("\(config) asks for other sockets than --data names")
    }
  }
}

extension InheritedSockets: ExpressibleByArgument {
  init?(argument: String) { self.init(text: argument) }
}
