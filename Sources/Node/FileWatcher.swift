internal import Edge
internal import EventLoop
internal import Synchronization

/// Looks at the files that may change while the node runs, every two seconds, on a thread of its own.
final class FileWatcher: Sendable {
  private static let period: Int32 = 2_000
  private let clock: NodeClock
  private let look: @Sendable () -> [FileReload]
  private let note: @Sendable (String) -> Void
  private let waker: Waker
  private let isStopping = Atomic(false)
  private let thread = Mutex<LoopThread?>(nil)

  /// `look` reads again what has changed.
  init(
    clock: NodeClock, note: @escaping @Sendable (String) -> Void,
    look: @escaping @Sendable () -> [FileReload]
  ) throws(Errno) {
    self.clock = clock
    self.note = note
    self.look = look
    waker = try Waker()
  }

  func start() {
    clock.follow(waker)
    thread.withLock { thread in
      thread = LoopThread(name: "weir-watch") { [self] in
        while !isStopping.load(ordering: .acquiring) {
          waker.wait(milliseconds: clock.standsStill ? -1 : Self.period)
          for reload in look() { note("files: \(reload.text)") }
        }
      }
    }
  }

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
