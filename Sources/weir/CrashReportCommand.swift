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

  /// The variables for a node that leaves its traces in a file of that number, and is told what those before
  /// it worked on.
  static func environment(_ area: Int32?, _ namings: [CrashNaming]) -> [String] {
    let told = namings.map(\.text).joined(separator: ",")
    var variables = told.isEmpty ? [] : ["\(CrashArea.namingsVariable)=\(told)"]
    guard let area else { return variables }
    variables.append("\(CrashArea.variable)=\(area)")
    // Swift's own backtracer keeps a process that has crashed alive while it reads symbols, and the next
    // node waits for that: only for who asks for it.
    let backtracer = "SWIFT_BACKTRACE"
    if NodeArguments.environment(backtracer) == nil { variables.append("\(backtracer)=enable=no") }
    return variables
  }

  /// Has this process leave traces for its supervisor, if that has given it a place for them; takes over
  /// what that says of its predecessors.
  static func leaveTraces() {
    if let told = NodeArguments.environment(CrashArea.namingsVariable) {
      unsafe unsetenv(CrashArea.namingsVariable)
      CrashArea.take(told.split(separator: ",").compactMap { CrashNaming(text: $0) })
    }
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

extension CrashPlace {
  /// Makes reports of what processes without a supervisor have left behind. As the node's user.
  func reportLeftovers() {
    guard let store else { return }
    let folder = CrashFolder(store: store)
    for (process, bytes) in CrashLeftover.take(from: folder) {
      guard let signal = CrashReport.signal(of: bytes) else { continue }
      let report = CrashReport(
        bytes, process: process, signal: signal, signalName: Processes.name(ofSignal: signal),
        executable: "/proc/self/exe", now: Time.seconds)
      report.keep(in: folder)
    }
  }

  /// Has this process leave traces beside the store, where it has no supervisor to hold them; nil if it
  /// cannot, or there is no store. As the node's user, before there is a second thread.
  func leaveTracesAlone() -> CrashLeftover? {
    guard let store else { return nil }
    reportLeftovers()
    do throws(Errno) {
      let left = try CrashLeftover(in: CrashFolder(store: store), process: Processes.own)
      if left.use(CrashIdentity.own(version: Version.text)) { return left }
      left.end()
      StandardError.note("a crash of this node would leave no report: its memory cannot be mapped")
    } catch {
      StandardError.note("a crash of this node would leave no report: \(store)/crashes: \(error)")
    }
    return nil
  }
}

extension CrashReport {
  /// Writes it into a folder, and says where; if that cannot be, says the report itself.
  func keep(in folder: CrashFolder) {
    do throws(Errno) {
      let path = try folder.write(self)
      StandardError.say("node \(process) leaves a report: \(path) (weir doctor shows it)")
    } catch {
      StandardError.say(
        "node \(process) leaves this report, which cannot be kept beside the store: \(error)")
      StandardError.write(text)
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
    report.keep(in: CrashFolder(store: store))
  }
}
