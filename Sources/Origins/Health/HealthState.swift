/// What became of a check.
package enum CheckResult: UInt8, Sendable, CaseIterable {
  /// The server is well.
  case passed
  /// The name has no address.
  case unresolved
  /// No connection.
  case connectFailed
  /// Not within the time.
  case timedOut
  /// The connection broke.
  case reset
  /// Not HTTP, or too large a head.
  case malformed
  /// Another status than expected.
  case wrongStatus
  /// The content lacks what was expected.
  case wrongContent
  /// TLS failed, or the certificate is not the server's.
  case tlsFailed

  /// Whether the server is well.
  package var isPass: Bool { self == .passed }

  /// The name in reports.
  package var name: String {
    switch self {
    case .passed: "passed"
    case .unresolved: "unresolved"
    case .connectFailed: "connect_failed"
    case .timedOut: "timed_out"
    case .reset: "reset"
    case .malformed: "malformed"
    case .wrongStatus: "wrong_status"
    case .wrongContent: "wrong_content"
    case .tlsFailed: "tls_failed"
    }
  }
}

/// Whether a server is up, by its checks: so many failed in a row take it out, so many passed in a row
/// bring it back. It begins up, for a node that starts must not refuse what it has not asked yet; and a
/// server that has never been checked falls with its first failed check, for nothing speaks for it.
struct HealthState: Sendable, Equatable {
  /// Whether it is in rotation.
  private(set) var isUp = true
  /// Whether a check has ended since the start.
  private(set) var isKnown = false
  /// Checks in a row that say otherwise.
  private(set) var contrary = 0

  /// What a check changes.
  enum Change: Sendable, Equatable {
    /// Nothing.
    case none
    /// It leaves rotation.
    case down
    /// It is back.
    case up
  }

  /// A check has ended.
  mutating func ended(_ passed: Bool, fall: Int, rise: Int) -> Change {
    let wasKnown = isKnown
    isKnown = true
    if passed == isUp {
      contrary = 0
      return .none
    }
    contrary += 1
    let needed = isUp ? (wasKnown ? max(fall, 1) : 1) : max(rise, 1)
    guard contrary >= needed else { return .none }
    isUp = passed
    contrary = 0
    return passed ? .up : .down
  }
}

/// When a server is checked: at an even pace, begun at a random time within the interval, so that servers
/// and nodes do not check in step, and each pause off by up to a tenth.
struct CheckSchedule: Sendable {
  private let interval: Int64
  private(set) var next: Int64

  /// The first check comes within a tenth of the interval.
  init(interval: Int64, now: Int64, random: inout SeededRandom) {
    self.interval = max(interval, 1_000_000)
    next = now &+ Int64(random.below(UInt64(self.interval / 10 + 1)))
  }

  /// A check has begun at a time: sets the next.
  mutating func began(now: Int64, random: inout SeededRandom) {
    // Between 0.9 and 1.0 of it: a check is never later than was asked for.
    next = now &+ interval &- Int64(random.below(UInt64(interval / 10 + 1)))
  }
}
