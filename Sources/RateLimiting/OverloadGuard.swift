// Sheds load by priority when a loop lags, in the manner of CoDel (Nichols, Jacobson: Controlling Queue
// Delay, 2012; RFC 8289).
//
// What is measured is how long a request waited before the loop came to it. A burst makes that long for
// a moment and is no reason to refuse anybody; a standing queue does, and is told from a burst by the
// least delay within an interval, as CoDel does. While that stays above the target, the guard sheds
// more, a step at the end of each interval, unless the delay is already falling by an eighth or more:
// what queues lowers the delay only once it has been worked off, and without waiting for that the
// guard would overshoot (simulated at 1.2 times the load, with CoDel's shortening intervals: it went on
// into the second class, where three quarters of the last were enough). As soon as the delay has been below
// the target, it takes a step back for each interval, so that it stays about the point where the loop just
// keeps up.
//
// A step is a quarter of a class: the least important class goes first, first a quarter of its requests
// and at last all of them, then the next. The most important class is never shed: it is for what must
// be answered (health, operators). Integers only; the caller brings the time.

/// How important a request is, when not all can be served.
package enum PriorityClass: UInt8, Sendable, CaseIterable {
  /// Never shed.
  case critical = 0
  /// What is served from the store to those within their limits.
  case high = 1
  /// What is not said to be anything else.
  case normal = 2
  /// The first to be shed.
  case low = 3
}

/// The guard of one loop: see the top of this file.
package struct OverloadGuard: Sendable {
  /// Delays up to this are fine, in nanoseconds.
  package let target: Int64
  /// How long a delay must stand before it counts, in nanoseconds.
  package let interval: Int64
  /// How many quarters of classes are shed, from the least important on.
  package private(set) var level = 0

  private var least = Int64.max
  private var intervalEnd: Int64?
  private var former: Int64 = 0
  private var turn: UInt8 = 0

  private static var quarters: Int { 4 }
  private static var highestLevel: Int { quarters * (PriorityClass.allCases.count - 1) }

  /// A guard that sheds nothing yet.
  package init(target: Int64 = 5_000_000, interval: Int64 = 100_000_000) {
    self.target = max(target, 1)
    self.interval = min(max(interval, 1), 1 << 40)
  }

  /// Notes how long something had to wait for the loop, once a turn: `now` on a monotonic clock, both
  /// in nanoseconds.
  package mutating func observe(lag: Int64, now: Int64) {
    least = min(least, max(lag, 0))
    guard let end = intervalEnd else {
      intervalEnd = now &+ interval
      return
    }
    // Back beyond a whole interval: the clock was set, and an interval begins anew.
    if end &- now > interval { intervalEnd = now &+ interval }
    guard now >= end else { return }
    if least > target {
      if least > former - former / 8 { level = min(level + 1, Self.highestLevel) }
    } else {
      // A loop that had nothing to do for long has nothing left to recover from.
      let idle = min(max((now &- end) / interval, 0), Int64(Self.highestLevel))
      level = max(level - 1 - Int(idle), 0)
    }
    former = least
    intervalEnd = now &+ interval
    least = .max
  }

  /// Whether a request of a class is to be shed now. Of a class that is shed in part, each fourth,
  /// second, or three of four.
  package mutating func sheds(_ priority: PriorityClass) -> Bool {
    guard level > 0 else { return false }
    let classesBelow = Int(PriorityClass.low.rawValue - priority.rawValue)
    let share = level - classesBelow * Self.quarters
    if share <= 0 { return false }
    switch priority {
    case .critical: return false
    case .high, .normal, .low: break
    }
    if share >= Self.quarters { return true }
    turn &+= 1
    return Int(turn & 3) < share
  }
}
