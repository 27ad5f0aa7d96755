// A replay from its plan to its report.

package import EventLoop
internal import HTTPMessage
internal import Synchronization

/// A replay that is going on.
package final class ReplayRun: Sendable {
  /// What it shows, and how it is stopped.
  package let progress = Progress()
  private let plan: ReplayPlan
  private let senders: [SenderThread]
  private let reading: SourceThread
  private let name: String
  private let began: String

  /// One sender's thread and what it has left.
  private final class SenderThread: Sendable {
    let result = Mutex<Tally?>(nil)
    let thread = Mutex<LoopThread?>(nil)
    func join() { thread.withLock { $0 }?.join() }
  }

  /// The reading thread and what it has left.
  private final class SourceThread: Sendable {
    let result = Mutex(SourceOutcome())
    let thread = Mutex<LoopThread?>(nil)
    func join() { thread.withLock { $0 }?.join() }
  }

  /// Starts a replay.
  ///
  /// - Parameters:
  ///   - name: what its report is called.
  ///   - now: the time, of which tokens and the report's date are.
  package init(_ plan: ReplayPlan, name: String, now: Instant) throws(Errno) {
    self.plan = plan
    self.name = name
    began = Timestamp.text(now.wall)
    let room = try Waker()
    var queues: [BatchQueue] = []
    // No more threads than clients: each has one at least.
    let count = min(plan.threads, plan.clients ?? plan.threads)
    for _ in 0..<max(1, count) { queues.append(try BatchQueue(room: room)) }
    senders = queues.map { _ in SenderThread() }
    reading = SourceThread()
    let progress = progress
    let (dealt, wall) = (queues, now.wall / 1_000)
    let reading = reading
    let start = StartLine()
    let source = LoopThread(name: "replay-source") {
      let source = Source(
        plan, queues: dealt, room: room, now: wall, isStopping: { progress.isStopping },
        begin: { start.set(NodeClock().monotonic() + Self.runUp, waking: dealt) })
      source.run()
      reading.result.withLock { $0 = source.outcome }
    }
    reading.thread.withLock { $0 = source }
    for (index, (queue, sender)) in zip(queues, senders).enumerated() {
      let share = (index, queues.count)
      let thread = LoopThread(name: "replay-sender") {
        let moment = start.wait(queue, plan.duration ?? .max) { progress.isStopping }
        let running = try? Sender(
          plan, queue: queue, progress: progress, start: moment, share: share)
        running?.run()
        // Without a poller nothing is sent; it has ended all the same.
        sender.result.withLock { $0 = running?.tally ?? Tally() }
        // The reader may wait for room in this queue.
        if running == nil { progress.abort() }
      }
      sender.thread.withLock { $0 = thread }
    }
  }

  /// How long before the clock starts the first requests are there: the others are read meanwhile.
  private static let runUp: Int64 = 20_000_000

  /// Whether all senders have ended.
  package var isOver: Bool { senders.allSatisfy { $0.result.withLock { $0 != nil } } }

  /// Waits for the end; what came of it.
  package func finish() -> (report: ReplayReport, source: SourceOutcome) {
    for sender in senders { sender.join() }
    // A reader may still be ahead, or wait for a pipe.
    progress.stop()
    reading.join()
    var tally = Tally()
    for sender in senders { if let result = sender.result.withLock({ $0 }) { tally.add(result) } }
    let outcome = reading.result.withLock { $0 }
    let report = ReplayReport(
      tally, plan: plan, name: name, began: began, timeline: progress.live, source: outcome)
    return (report, outcome)
  }
}

/// When the replay starts: with the first requests. Of a pipe they may come long after its process began.
private final class StartLine: Sendable {
  private let moment = Atomic<Int64>(0)

  /// Sets it if it is not set.
  func set(_ time: Int64, waking queues: [BatchQueue]) {
    guard moment.load(ordering: .relaxed) == 0 else { return }
    moment.store(time, ordering: .releasing)
    for queue in queues { queue.ready.wake() }
  }

  /// Waits until it is set, or nobody wants it any more; where nothing comes for as long as the replay is to last,
  /// that was it.
  func wait(_ queue: BatchQueue, _ duration: Int64, isStopping: () -> Bool) -> Int64 {
    let clock = NodeClock()
    let begun = clock.monotonic()
    while true {
      let time = moment.load(ordering: .acquiring)
      if time != 0 { return time }
      if isStopping() || clock.monotonic() &- begun >= duration { return begun }
      queue.ready.wait(milliseconds: 100)
    }
  }
}

/// Times in reports.
enum Timestamp {
  /// Milliseconds since 1970 as RFC 3339 has it, in UTC, to the second.
  static func text(_ wall: Int64) -> String {
    let seconds = wall / 1_000
    let days = seconds / 86_400
    let time = seconds % 86_400
    func two(_ value: Int64) -> String { CivilDate.padded(value, 2) }
    return "\(CivilDate(daysSinceEpoch: days))T\(two(time / 3_600)):\(two(time / 60 % 60)):"
      + "\(two(time % 60))Z"
  }
}
