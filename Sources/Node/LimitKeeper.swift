internal import Edge
internal import EventLoop
internal import Synchronization

/// Writes what quotas have used beside the store, each minute and in the end, on a thread of its own.
final class LimitKeeper: Sendable {
  private static let period: Int32 = 60_000
  private let limits: @Sendable () -> NodeLimits
  private let directory: String
  private let note: @Sendable (String) -> Void
  private let waker: Waker
  private let isStopping = Atomic(false)
  private let thread = Mutex<LoopThread?>(nil)

  init(
    _ limits: @escaping @Sendable () -> NodeLimits, directory: String,
    note: @escaping @Sendable (String) -> Void
  ) throws(Errno) {
    self.limits = limits
    self.directory = directory
    self.note = note
    waker = try Waker()
  }

  func start() {
    thread.withLock { thread in
      thread = LoopThread(name: "weir-quotas") { [self] in
        while !isStopping.load(ordering: .acquiring) {
          waker.wait(milliseconds: Self.period)
          limits().saveQuotas(to: directory) { note("limits: \($0)") }
        }
      }
    }
  }

  /// Writes once more and ends. To be called when no worker decides any more.
  func stop() {
    isStopping.store(true, ordering: .releasing)
    waker.wake()
    let running = thread.withLock { thread in
      let running = thread
      thread = nil
      return running
    }
    running?.join()
  }
}
