import CLinux
import EventLoop
import Synchronization

/// Lets threads wait, blocking, until something has happened once.
final class Latch: Sendable {
  private let isOpen = Atomic<Bool>(false)
  private let waker = try? Waker()

  /// It has happened.
  func open() {
    isOpen.store(true, ordering: .releasing)
    waker?.wake()
  }

  /// Waits until it has.
  func wait() {
    while !isOpen.load(ordering: .acquiring) {
      // Without a descriptor to wait on, another thread gets the processor.
      if let waker { waker.wait(milliseconds: -1) } else { sched_yield() }
    }
  }
}

/// Nanoseconds of a clock that only goes forward.
func monotonicTime() -> Int64 {
  var time = timespec()
  _ = unsafe clock_gettime(CLOCK_MONOTONIC, &time)
  return Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec)
}
