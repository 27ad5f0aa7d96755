import ArgumentParser
import CLinux
import EventLoop
import Replay
import Supervision
import TrafficFormats

/// `weir replay`.
struct ReplayCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "replay",
    abstract: "Send recorded traffic at a server, and measure.",
    usage: """
      weir replay <recording> ... --to <url> [<options>]
      weir replay <recording> ... --origin [--listen <address>]
      weir replay --compare <report> <report> [--html <file>]
      """,
    discussion: """
      Recordings are access logs (Weir's, nginx's, Apache's, varnishncsa's, CloudFront's), HTTP archives, \
      cache traces and lists of URLs, also compressed with gzip or zstd; - is standard input. \
      docs/replay.md explains all of it.

      Example: weir replay access.log.gz --to http://127.0.0.1:8080 --pace 2x

      Signals: SIGINT, SIGTERM: send no more, and report; a second one ends at once.

      Exit status: 0; 1 if a condition of the budget does not hold; 64 if an option is wrong; 66 if a \
      recording cannot be read; 69 if the server cannot be reached.
      """)

  @Argument(help: ArgumentHelp("What to replay.", valueName: "recording"), completion: .file())
  var recordings: [String] = []

  @OptionGroup(title: "Target") var target: ReplayTarget
  @OptionGroup(title: "Pace") var pace: ReplayPacing
  @OptionGroup(title: "Faithfulness") var changes: ReplayChanges
  @OptionGroup(title: "Results") var results: ReplayResults
  @OptionGroup(title: "Origin for a trace") var standIn: ReplayStandIn

  func validate() throws {
    if results.compare {
      guard recordings.count == 2 else { throw ValidationError("--compare takes two reports") }
    } else if recordings.isEmpty {
      throw ValidationError("there is no recording to replay")
    } else if !standIn.origin && target.to == nil {
      throw ValidationError("--to must name the server, such as http://127.0.0.1:8080")
    }
    try pace.check()
    try changes.check()
  }

  func run() throws {
    if results.compare { return try results.compare(recordings[0], recordings[1]) }
    if standIn.origin { return try standIn.run(recordings, format: target.format()) }
    var (plan, addresses) = try target.plan()
    plan.inputs = recordings
    try pace.apply(to: &plan)
    try changes.apply(to: &plan)
    let budget = try results.readBudget()
    for path in recordings where path != "-" {
      if unsafe access(path, R_OK) == 0 { continue }
      StandardError.say("\(path): \(Errno.current)")
      throw ExitCode(66)
    }
    plan.address = try target.reach(addresses)
    Signals.prepare()
    Machine.raiseDescriptorLimit()
    let (report, source) = try replayed(plan)
    for (file, line) in source.badLines {
      StandardError.write("\(file):\(line.number): \(line.reason): \(line.text)\n")
    }
    if let problem = source.problem {
      StandardError.say(problem)
      throw ExitCode(66)
    }
    try results.show(report, budget)
  }

  private func replayed(_ plan: ReplayPlan) throws -> (ReplayReport, SourceOutcome) {
    let run: ReplayRun
    do throws(Errno) {
      run = try ReplayRun(plan, name: results.name, now: NodeClock().now())
    } catch {
      throw Start.refusal("cannot start: \(error)")
    }
    let line = StatusLine(isOn: !results.quiet)
    var shown = -1
    var wasStopped = false
    while !run.isOver {
      if Signals.wait(for: [SIGINT, SIGTERM], nanoseconds: 250_000_000) != nil {
        if wasStopped { run.progress.abort() } else { run.progress.stop() }
        wasStopped = true
      }
      // The latest second, if it is another than before.
      guard let second = run.progress.latest, second.index != shown else { continue }
      shown = second.index
      line.show { second.text(width: $0) }
    }
    line.clear()
    return run.finish()
  }
}
