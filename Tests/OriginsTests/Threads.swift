import Bytes
import EventLoop
import Synchronization

@testable import Origins

/// Runs a body in so many threads and waits for all.
func runThreads(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
  let threads = (0..<count).map { number in
    LoopThread(name: "test-\(number)") { body(number) }
  }
  for thread in threads { thread.join() }
}

/// Grants of one thread, which waits for each.
final class Box: Sendable {
  private let grants = Mutex<[SlotGrant]>([])
  private let waker: Waker?

  init() { waker = try? Waker() }

  func post(_ grant: SlotGrant) {
    grants.withLock { $0.append(grant) }
    waker?.wake()
  }

  /// Waits, blocking, until one is there.
  func take() -> SlotGrant {
    while true {
      if let grant = grants.withLock({ $0.isEmpty ? nil : $0.removeFirst() }) { return grant }
      waker?.wait(milliseconds: -1)
    }
  }
}
