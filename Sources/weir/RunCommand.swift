import ArgumentParser
import Configuration
import EventLoop
import Node
import Supervision

/// `weir run`.
struct RunCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run",
    abstract: "Run a node, and start it again when it dies.",
    discussion: """
      In the foreground, until SIGTERM or SIGINT: then what is in flight is finished, for as long as \
      the configuration's drain_timeout allows. A second one ends the node at once.

      Signals: SIGTERM, SIGINT: stop. SIGHUP: read the configuration again (`weir reload` says what \
      comes of it). SIGUSR1: open the access log's file again.

      Exit status: 0 after a complete drain; 1 if requests in flight were lost; 69 if an address or a \
      file cannot be had; 78 if the configuration has errors.
      """)

  @OptionGroup var source: ConfigurationArgument

  @Flag(
    help: ArgumentHelp(
      "Run the node in this process.",
      discussion: "Nothing starts it again then. For debuggers, and for supervisors of your own."))
  var noSupervisor = false

  func run() throws {
    Processes.openStandardStreams()
    Signals.prepare()
    let text = ConfigurationSource(path: source.file)
    let configuration = try Start.configuration(text, path: source.file, sayingWarnings: true)
    let listeners = try Start.listeners(configuration)
    defer { NodeListeners.removeLeftovers(of: configuration) }
    guard !noSupervisor, let text else {
      if let user = configuration.user, let problem = Privileges.become(user) {
        throw Start.refusal(problem)
      }
      try Start.node(configuration, text?.text, listeners, endsAtSecondSignal: true)
      return
    }
    let supervising: Supervising
    do throws(Errno) {
      supervising = Supervising(
        configuration: try text.copied(), path: source.file, listeners: listeners,
        drainTimeout: configuration.drainTimeout, crashes: CrashPlace(configuration))
    } catch {
      throw Start.refusal("cannot keep a copy of \(source.file): \(error)")
    }
    let status = supervising.run()
    if status != ExitStatus.success { throw ExitCode(status) }
  }
}
