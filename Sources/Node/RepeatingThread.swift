internal import EventLoop
internal import Synchronization

/// A thread of its own that does something again and again, with pauses between, until it is ended.
final class RepeatingThread: Sendable {
  private let waker: Waker
  private let isStopping = Atomic(false)
  private let thread = Mutex<LoopThread?>(nil)

  init() throws(Errno) { waker = try Waker() }

  /// Begins. `pause` says before each turn how many milliseconds to wait; -1: until it is woken. What is
  /// under way when it is ended is done, and once more.
  func start(
    _ name: String, pause: @escaping @Sendable () -> Int32, work: @escaping @Sendable () -> Void
  ) {
    thread.withLock { thread in
      thread = LoopThread(name: name) { [self] in
        while !isStopping.load(ordering: .acquiring) {
          waker.wait(milliseconds: pause())
          work()
        }
      }
    }
  }

  /// Ends the present pause.
  func wake() { waker.wake() }

  /// Ends a pause whenever the clock is moved by hand.
  func follow(_ clock: NodeClock) { clock.follow(waker) }

  /// Ends it; returns when it has ended.
  func stop() {
    isStopping.store(true, ordering: .releasing)
    waker.wake()
    let running = thread.withLock { $0.take() }
    running?.join()
  }
}
