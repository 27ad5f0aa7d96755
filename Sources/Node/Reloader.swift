internal import EventLoop
internal import Synchronization

/// The thread that does what takes time: reading a configuration and all that belongs to it, and closing
/// what an earlier one had. One job after the other.
final class Reloader: Sendable {
  private struct State {
    var jobs: [@Sendable () -> Void] = []
    var isStopping = false
    var thread: LoopThread?
  }
  private let state = Mutex(State())
  private let waker: Waker

  init() throws(Errno) { waker = try Waker() }

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
      let (jobs, isStopping) = state.withLock { state in
        defer { state.jobs = [] }
        return (state.jobs, state.isStopping)
      }
      for job in jobs { job() }
      if isStopping { return }
      if jobs.isEmpty { waker.wait(milliseconds: -1) }
    }
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
