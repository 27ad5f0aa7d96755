// Sheds load by priority when a loop lags, in the manner of CoDel (Nichols, Jacobson: Controlling Queue
// Delay, 2012; RFC 8289).
//
// What is measured is how long a request waited before the loop came to it. A burst makes that long for
// a moment and is no reason to refuse anybody; a standing queue does, and is told from a burst by the
// least delay within an interval. While that stays above the target, the guard sheds more and more: a
// step at the end of each interval, intervals shortening as 1/√n as CoDel's do, because requests in the
// queue lower the delay only once fewer join it. As soon as the delay has been below the target, it
// takes steps back, one for each interval, so that it finds the point where the loop just keeps up
// instead of swinging.
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
  private var stepsInRow: Int64 = 0
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
      level = min(level + 1, Self.highestLevel)
      stepsInRow = min(stepsInRow + 1, 10_000)
      intervalEnd = now &+ max(interval / Self.squareRoot(stepsInRow), 1)
    } else {
      // A loop that had nothing to do for long has nothing left to recover from.
      let idle = (now &- end) / interval
      level = max(level - 1 - Int(min(max(idle, 0), Int64(Self.highestLevel))), 0)
      stepsInRow = 0
      intervalEnd = now &+ interval
    }
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

  /// The whole part of a square root; at least 1.
  private static func squareRoot(_ value: Int64) -> Int64 {
    var root: Int64 = 1
    while (root + 1) * (root + 1) <= value { root += 1 }
    return root
  }
}
