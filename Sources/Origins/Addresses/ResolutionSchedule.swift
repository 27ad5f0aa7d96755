/// When a name is looked up again. The resolver does not tell how long a record lives, so this goes by an
/// interval; after failures it comes back sooner, and ever later up to the interval.
struct ResolutionSchedule: Sendable, Equatable {
  /// Between two lookups that find something.
  let interval: Int64
  private var failures = 0
  /// The time of the next lookup (monotonic); at first at once.
  private(set) var next = Int64.min

  init(interval: Int64) { self.interval = max(interval, Self.firstPause) }

  /// After the first failed lookup: one second.
  static var firstPause: Int64 { 1_000_000_000 }

  func isDue(now: Int64) -> Bool { now >= next }

  /// A lookup has ended.
  mutating func ended(foundAny: Bool, now: Int64) {
    failures = foundAny ? 0 : min(failures + 1, 32)
    let pause =
      foundAny
      ? interval : Backoff.bound(retry: failures, first: Self.firstPause, longest: interval)
    next = now &+ pause
  }
}
