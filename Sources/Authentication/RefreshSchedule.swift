// When keys are fetched. No clock and no thread: whoever owns one of these tells it the time.
//
//   every `interval` after a fetch that brought keys
//   `firstRetry` after one that did not, then twice as long each time, up to the interval
//   at once when a token names a key that is not there, but not within `cooldown` of the last fetch:
//   names cost an attacker nothing
//
// What was fetched stays in use however old it is: an issuer that is down must not lock everybody out.

/// Durations in nanoseconds.
package struct RefreshTiming: Sendable, Equatable {
  /// Between fetches when all is well.
  package var interval: Int64
  /// The least between two fetches, whoever wants them.
  package var cooldown: Int64
  /// Until the first fetch after one that failed.
  package var firstRetry: Int64

  /// Durations; each at least a millisecond.
  package init(
    interval: Int64 = 600_000_000_000, cooldown: Int64 = 30_000_000_000,
    firstRetry: Int64 = 5_000_000_000
  ) {
    let least: Int64 = 1_000_000
    let most: Int64 = 1 << 60
    self.interval = min(max(interval, least), most)
    self.cooldown = min(max(cooldown, least), most)
    self.firstRetry = min(max(firstRetry, least), most)
  }
}

/// The state of one source of keys.
package struct RefreshSchedule: Sendable {
  private let timing: RefreshTiming
  /// When the next fetch is to begin; at once if that is past.
  package private(set) var next: Int64
  /// Whether a fetch is going on.
  package private(set) var isFetching = false
  /// Fetches that failed since the last that did not.
  package private(set) var failures = 0
  private var lastStart: Int64?

  /// A schedule that wants a first fetch at `first`.
  package init(_ timing: RefreshTiming, first: Int64) {
    self.timing = timing
    next = first
  }

  /// Begins a fetch if one is due; whether it is.
  package mutating func start(now: Int64) -> Bool {
    guard !isFetching, now >= next else { return false }
    isFetching = true
    lastStart = now
    return true
  }

  /// Keys came.
  package mutating func succeeded(now: Int64) {
    isFetching = false
    failures = 0
    next = now &+ timing.interval
  }

  /// No keys came.
  package mutating func failed(now: Int64) {
    isFetching = false
    failures = min(failures + 1, 40)
    let doubled = timing.firstRetry.multipliedReportingOverflow(by: 1 << Int64(failures - 1))
    let wait = doubled.overflow ? timing.interval : min(doubled.partialValue, timing.interval)
    next = now &+ wait
  }

  /// A token names a key that is not there. Whether keys are being fetched for it now, or are about
  /// to be.
  package mutating func wantKey(now: Int64) -> Bool {
    if isFetching || now >= next { return true }
    if let lastStart, now &- lastStart < timing.cooldown { return false }
    next = now
    return true
  }

  /// The operator wants the keys fetched now.
  package mutating func hurry(now: Int64) { next = min(next, now) }
}
