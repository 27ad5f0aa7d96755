// What all workers know of a server, as words: no lock, and no reference counted for a look at it.
//
//   line 0   state, read for each choice and changed rarely
//   line 1   counts that change with each request
//   line 2   totals, for reports only
//   line 3 on  how long connections, and the heads of responses, took: `ServerTimings`
//
// A time is nanoseconds of the monotonic clock; 0 means that there is none.

/// Why a server was ejected.
package enum EjectionReason: UInt8, Sendable, CaseIterable {
  /// It never was.
  case none
  /// Failures one after the other.
  case consecutiveFailures
  /// Too large a share of failures.
  case failureRate
  /// Much slower than the others.
  case latency

  /// The name in reports.
  package var name: String {
    switch self {
    case .none: "none"
    case .consecutiveFailures: "consecutive_failures"
    case .failureRate: "failure_rate"
    case .latency: "latency"
    }
  }
}

/// What an operator said of a server.
package enum AdministrativeState: UInt8, Sendable, CaseIterable {
  /// It is used.
  case enabled
  /// Nothing new is sent to it; what is under way ends.
  case draining
  /// As `draining`, and it is not checked either.
  case disabled

  /// The name in reports and commands.
  package var name: String {
    switch self {
    case .enabled: "enabled"
    case .draining: "draining"
    case .disabled: "disabled"
    }
  }
}

/// A server's words; see the top of this file.
struct ServerCells: Sendable {
  let words: AtomicWords

  enum Word {
    static var administrative: Int { 0 }
    static var isDown: Int { 1 }
    static var ejectedUntil: Int { 2 }
    /// The reason (bits 0 to 7) and how many ejections count for the next one's length (8 to 39).
    static var ejection: Int { 3 }
    static var weight: Int { 4 }
    static var returned: Int { 5 }
    static var restUntil: Int { 6 }
    /// Permille + 1 (bits 0 to 15) and the millisecond it was said in (16 to 63).
    static var load: Int { 7 }
    static var checkResult: Int { 8 }
    static var downSince: Int { 9 }
    static var checkLatency: Int { 10 }
    static var inFlight: Int { 16 }
    static var latency: Int { 17 }
    static var breaker: Int { 18 }
    static var consecutiveFailures: Int { 19 }
    static var windowRequests: Int { 20 }
    static var windowFailures: Int { 21 }
    static var windowLatency: Int { 22 }
    static var requests: Int { 32 }
    static var failures: Int { 33 }
    static var connectFailures: Int { 34 }
    static var timeouts: Int { 35 }
    static var serverErrors: Int { 36 }
    static var latencySum: Int { 37 }
    static var ejections: Int { 38 }
    static var breakerOpenings: Int { 39 }
    static var checks: Int { 40 }
    static var failedChecks: Int { 41 }
    static var connectTimes: Int { 48 }
    static var firstByteTimes: Int { 80 }
  }

  static func allocate() -> ServerCells { ServerCells(words: .allocate(lines: 7)) }

  var administrative: AdministrativeState {
    AdministrativeState(rawValue: UInt8(truncatingIfNeeded: words.load(Word.administrative)))
      ?? .enabled
  }
  var isDown: Bool { words.load(Word.isDown) != 0 }
  var inFlight: Int { Int(truncatingIfNeeded: words.load(Word.inFlight)) }
  var latency: PeakLatency { PeakLatency(word: words.load(Word.latency)) }
  var breaker: Breaker { Breaker(word: words.load(Word.breaker)) }
  var ejection: (reason: EjectionReason, count: Int) {
    let word = words.load(Word.ejection)
    return (
      EjectionReason(rawValue: UInt8(truncatingIfNeeded: word)) ?? .none,
      Int(word &>> 8 & 0xFFFF_FFFF)
    )
  }

  @inline(__always) func time(_ word: Int) -> Int64 { Int64(bitPattern: words.load(word)) }
  @inline(__always) func set(_ word: Int, time: Int64) {
    words.store(word, UInt64(bitPattern: time))
  }

  func setEjection(_ reason: EjectionReason, count: Int) {
    words.store(
      Word.ejection, UInt64(reason.rawValue) | UInt64(min(max(count, 0), 0xFFFF_FFFF)) &<< 8)
  }

  /// Counts a request in unless there are `limit` already.
  func enter(limit: Int?) -> Bool {
    words.update(Word.inFlight) { count in
      if let limit, count >= UInt64(max(limit, 0)) { return nil }
      return count &+ 1
    }
  }

  /// Counts a request out.
  func leave() { words.update(Word.inFlight) { $0 > 0 ? $0 &- 1 : nil } }

  /// Whether it may be used at all: not taken out by an operator, a check, or an ejection.
  @inline(__always)
  func isHealthy(now: Int64) -> Bool { !isDown && time(Word.ejectedUntil) <= now }

  /// The load that the server last told, in permille; nil if it was not within ten seconds.
  func reportedLoad(now: Int64) -> Int64? {
    let word = words.load(Word.load)
    let said = Int64(word &>> 16)
    guard word & 0xFFFF > 0, now / 1_000_000 &- said <= 10_000 else { return nil }
    return Int64(word & 0xFFFF) - 1
  }

  func setReportedLoad(_ permille: Int, now: Int64) {
    let value = UInt64(min(max(permille, 0), 1000)) + 1
    words.store(Word.load, value | UInt64(max(now, 0) / 1_000_000) &<< 16)
  }

  /// When it last returned: slow start counts from there. An ejection ends by itself.
  func returned(now: Int64) -> Int64 {
    let ejected = time(Word.ejectedUntil)
    let other = time(Word.returned)
    return ejected <= now ? max(ejected, other) : other
  }
}
