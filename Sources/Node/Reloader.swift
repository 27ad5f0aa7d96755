internal import EventLoop
internal import Synchronization

/// The thread that does what takes time: reading a configuration and all that belongs to it, and closing
/// what an earlier one had. One job after the other.
final class Reloader: Sendable {
  private struct State {
    var jobs: [@Sendable () -> Void] = []
    var isStopping = false
    var thread: LoopThread?
    /// What is to be done at a time (monotonic).
    var alarm: (time: Int64, job: @Sendable () -> Void)?
  }
  private let state = Mutex(State())
  private let waker: Waker
  private let clock: NodeClock

  init(_ clock: NodeClock) throws(Errno) {
    waker = try Waker()
    self.clock = clock
    clock.follow(waker)
  }

  /// Has a job done at a time (monotonic), in the place of what was to be done at another; nil: nothing is.
  /// It needs a thread that runs already.
  func setAlarm(at time: Int64?, _ job: @escaping @Sendable () -> Void = {}) {
    state.withLock { $0.alarm = time.map { ($0, job) } }
    waker.wake()
  }

  /// Has a job done; after `stop` it is left to `finish`.
  func post(_ job: @escaping @Sendable () -> Void) {
    state.withLock { state in
      state.jobs.append(job)
      guard state.thread == nil, !state.isStopping else { return }
      // Most nodes never reload: they have no such thread.
      state.thread = LoopThread(name: "weir-reload") { [self] in run() }
    }
    waker.wake()
  }

  private func run() {
    while true {
      let now = clock.now().monotonic
      let (jobs, isStopping, pause) = state.withLock { state in
        var jobs = state.jobs
        state.jobs = []
        if let alarm = state.alarm, alarm.time <= now, !state.isStopping {
          state.alarm = nil
          jobs.append(alarm.job)
        }
        return (jobs, state.isStopping, milliseconds(until: state.alarm?.time, now))
      }
      for job in jobs { job() }
      if isStopping { return }
      if jobs.isEmpty { waker.wait(milliseconds: pause) }
    }
  }

  /// How long to wait, in milliseconds; -1: until something is to be done, or the clock is moved by hand.
  private func milliseconds(until time: Int64?, _ now: Int64) -> Int32 {
    guard let time, !clock.standsStill else { return -1 }
    return Int32(clamping: max(1, (time - now + 999_999) / 1_000_000))
  }

  /// Whether nothing new is to begin.
  var isStopping: Bool { state.withLock { $0.isStopping } }

  /// Ends the thread, after the jobs that are there.
  func stop() {
    let thread = state.withLock { state in
      state.isStopping = true
      defer { state.thread = nil }
      return state.thread
    }
    waker.wake()
    thread?.join()
  }

  /// Does on the calling thread what came after `stop`.
  func finish() {
    for job in state.withLock({ state in
      defer { state.jobs = [] }
      return state.jobs
    }) { job() }
  }
}
