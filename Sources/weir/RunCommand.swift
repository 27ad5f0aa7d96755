import ArgumentParser
internal import CLinux
import Configuration
import Crashes
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
      comes of it). SIGUSR1: open the access log's file again. SIGUSR2: `weir upgrade`.

      Exit status: 0 after a complete drain; 1 if requests in flight were lost; 69 if an address or a \
      file cannot be had; 78 if the configuration has errors.
      """)

  @OptionGroup var source: ConfigurationArgument

  @Flag(
    help: ArgumentHelp(
      "Run the node in this process.",
      discussion: "Nothing starts it again then. For debuggers, and for supervisors of your own."))
  var noSupervisor = false

  @Option(
    help: ArgumentHelp(
      "Go on as the supervisor that this process was; the descriptor of what it knew.",
      valueName: "number", visibility: .private))
  var goingOn: Int32?

  @Flag(help: ArgumentHelp("Only look whether that could be.", visibility: .private))
  var onlyTry = false

  func run() throws {
    if let goingOn { return try goOn(goingOn) }
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
      let left = CrashPlace(configuration).leaveTracesAlone()
      defer { left?.end() }
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

  /// Behind an upgrade: the supervisor is this executable from now on.
  private func goOn(_ number: Int32) throws {
    guard let bytes = MemoryFile.read(number),
      let state = HandedOver(text: String(decoding: bytes, as: UTF8.self)),
      state.listening.allSatisfy(Processes.isListening),
      state.descriptors.allSatisfy(Processes.isOpen)
    else {
      throw Start.refusal("what the supervisor knew is not of this version's kind")
    }
    if onlyTry { return }
    close(number)
    Signals.prepare()
    let source = ConfigurationSource(copy: state.configuration, of: self.source.file)
    defer {
      if let configuration = source?.parsed().configuration {
        NodeListeners.removeLeftovers(of: configuration)
      }
    }
    StandardError.say("the supervisor goes on as \(Version.text)")
    let crashes = CrashPlace(source?.parsed().configuration)
    let status = Supervising(goingOnWith: state, path: self.source.file, crashes: crashes).run()
    if status != ExitStatus.success { throw ExitCode(status) }
  }
}
