import ArgumentParser
internal import CLinux
import Configuration
import Crashes
import EventLoop

/// Where reports of crashes go, and whose they are.
struct CrashPlace {
  /// The store beside which they are kept; nil: there is none, and they are said.
  let store: String?
  /// Whom the node becomes, and so whoever writes beside its store.
  let user: String?

  /// As configured; nil: nobody knows how.
  init(_ configuration: NodeConfiguration?) {
    store = configuration?.store?.path
    user = configuration?.user
  }

  /// What `weir crash-report` is told.
  func arguments(process: Int32, signal: Int32, name: String, area: Int32) -> [String] {
    ["crash-report", "--process", "\(process)", "--signal", "\(signal)", "--signal-name", name]
      + ["--area", "\(area)"] + (store.map { ["--store", $0] } ?? [])
      + (user.map { ["--user", $0] } ?? [])
  }

  /// The variables for a node that leaves its traces in a file of that number.
  static func environment(_ area: Int32?) -> [String] {
    guard let area else { return [] }
    var variables = ["\(CrashArea.variable)=\(area)"]
    // Swift's own backtracer keeps a process that has crashed alive while it reads symbols, and the next
    // node waits for that: only for who asks for it.
    let backtracer = "SWIFT_BACKTRACE"
    if NodeArguments.environment(backtracer) == nil { variables.append("\(backtracer)=enable=no") }
    return variables
  }

  /// Has this process leave traces for its supervisor, if that has given it a place for them.
  static func leaveTraces() {
    guard let text = NodeArguments.environment(CrashArea.variable), let number = Int32(text),
      number > 2
    else { return }
    unsafe unsetenv(CrashArea.variable)
    let file = Descriptor(owning: number)
    if !CrashArea.use(file, CrashIdentity.own(version: Version.text)) {
      StandardError.note("a crash of this node would leave no report: its memory cannot be mapped")
    }
  }
}

/// `weir crash-report`: what the supervisor has done after a node has died.
struct CrashReportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "crash-report",
    abstract: "Write the report of a node's crash (started by `weir run`).", shouldDisplay: false)

  @Option(help: "The process that has died.")
  var process: Int32

  @Option(help: "The signal that it died by.")
  var signal: Int32

  @Option(help: "What that is called.")
  var signalName: String

  @Option(help: "The descriptor of what it has left behind.")
  var area: Int32

  @Option(help: "The store beside which reports are kept.")
  var store: String?

  @Option(help: "The user that the node has become.")
  var user: String?

  func run() throws {
    if let user, let problem = Privileges.become(user) { throw Start.refusal(problem) }
    let file = Descriptor(owning: area)
    guard let bytes = CrashArea.bytes(of: file) else {
      throw Start.refusal("node \(process) has left nothing behind")
    }
    let report = CrashReport(
      bytes, process: process, signal: signal, signalName: signalName,
      executable: "/proc/self/exe", now: Time.seconds)
    guard let store else {
      StandardError.say(
        "node \(process) leaves this report, and there is no store to keep it beside")
      StandardError.write(report.text)
      return
    }
    do throws(Errno) {
      let path = try CrashFolder(store: store).write(report)
      StandardError.say("node \(process) leaves a report: \(path) (weir doctor shows it)")
    } catch {
      StandardError.say(
        "node \(process) leaves this report, which cannot be kept beside the store: \(error)")
      StandardError.write(report.text)
    }
  }
}
