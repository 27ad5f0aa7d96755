internal import CLinux
import Synchronization

/// One reading of both clocks.
package struct Instant: Sendable, Equatable {
  /// Nanoseconds of a clock that only goes forward; for timers and durations.
  package var monotonic: Int64
  /// Milliseconds since the epoch; for Date, Age and Expires.
  package var wall: Int64

  /// An instant.
  package init(monotonic: Int64, wall: Int64) {
    self.monotonic = monotonic
    self.wall = wall
  }
}

/// The node's time: the system's, or one that tests move by hand.
package final class NodeClock: Sendable {
  private let isManual: Bool
  private let elapsed = Atomic<Int64>(0)
  /// What each reading of a manual clock for a duration's end takes.
  private let pace = Atomic<Int64>(0)
  private let wallStart: Int64
  private let wakers = Mutex<[Waker]>([])

  /// The system's clocks.
  package init() {
    isManual = false
    wallStart = 0
  }

  /// A clock that stands still at `wall` (milliseconds since the epoch) until it is advanced.
  package init(manualFrom wall: Int64) {
    isManual = true
    wallStart = wall
  }

  /// Whether loops must not wait by the system's clock.
  package var standsStill: Bool { isManual }

  /// The time now.
  package func now() -> Instant {
    if isManual {
      let passed = elapsed.load(ordering: .acquiring)
      // Far from 0, so that no subtraction of a timeout goes below it.
      return Instant(monotonic: (1 << 50) + passed, wall: wallStart + passed / 1_000_000)
    }
    return Instant(
      monotonic: Self.read(CLOCK_MONOTONIC), wall: Self.read(CLOCK_REALTIME) / 1_000_000)
  }

  /// The monotonic clock alone, for the end of a duration that began with a turn's `now`.
  package func monotonic() -> Int64 {
    guard isManual else { return Self.read(CLOCK_MONOTONIC) }
    elapsed.add(pace.load(ordering: .relaxed), ordering: .acquiringAndReleasing)
    return now().monotonic
  }

  /// Lets whatever is measured with `monotonic()` on a manual clock take so long, as on a machine that
  /// cannot keep up.
  package func slowDown(nanoseconds: Int64) {
    precondition(isManual, "the system's clock cannot be slowed down")
    pace.store(nanoseconds, ordering: .relaxed)
  }

  /// Moves a manual clock forward and wakes every loop that goes by it.
  package func advance(nanoseconds: Int64) {
    precondition(isManual, "the system's clock cannot be moved")
    elapsed.add(nanoseconds, ordering: .acquiringAndReleasing)
    for waker in wakers.withLock({ $0 }) { waker.wake() }
  }

  /// Registers a loop that wants to be woken when the clock is moved.
  package func follow(_ waker: Waker) {
    // The system's clock is never moved, and would keep each for ever.
    guard isManual else { return }
    wakers.withLock { $0.append(waker) }
  }

  private static func read(_ clock: clockid_t) -> Int64 {
    var time = timespec()
    _ = unsafe clock_gettime(clock, &time)
    return Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec)
  }
}
