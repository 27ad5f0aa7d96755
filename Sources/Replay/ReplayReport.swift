// What came of a replay, as it is written to JSON and read again to be compared. Durations are in
// microseconds with a fraction, rates per second.

/// A latency distribution.
package struct LatencyReport: Codable, Equatable, Sendable {
  /// The arithmetic mean.
  package var mean: Double
  /// The shortest.
  package var min: Double
  /// The longest.
  package var max: Double
  /// Percentiles by their numbers: `50`, `90`, `99`, `99.9`, `99.99` and others.
  package var percentiles: [String: Double]

  /// A percentile, of those that `percentiles` has.
  package func percentile(_ name: String) -> Double? { percentiles[name] }
}

/// One class of answers.
package struct ClassReport: Codable, Equatable, Sendable {
  /// What the cache did.
  package var name: String
  /// Answers of the class.
  package var answers: UInt64
  /// Bytes of their content.
  package var contentBytes: UInt64
  /// Their latencies.
  package var latency: LatencyReport
}

/// One second.
package struct SecondReport: Codable, Equatable, Sendable {
  /// Requests sent in it.
  package var sent: UInt64
  /// Requests answered in it.
  package var answers: UInt64
  /// Requests that failed in it.
  package var failures: UInt64
  /// Requests sent late.
  package var late: UInt64
  /// Bytes received.
  package var receivedBytes: UInt64
  /// Hits among the answers whose cache spoke; nil if none did.
  package var hitRatio: Double?
  /// The median latency.
  package var p50: Double
  /// The 99th percentile.
  package var p99: Double
}

/// One step of a rate.
package struct StepReport: Codable, Equatable, Sendable {
  /// The rate it asked for.
  package var rate: Double
  /// Requests sent.
  package var sent: UInt64
  /// Requests answered.
  package var answers: UInt64
  /// Requests that failed.
  package var failures: UInt64
  /// Requests sent late.
  package var late: UInt64
  /// The median latency.
  package var p50: Double
  /// The 99th percentile.
  package var p99: Double
  /// Whether the server kept up: a hundredth failed at most, the 99th percentile is within the limit, and
  /// answers came as fast as requests went out.
  package var holds: Bool
}

/// Decisions of limits.
package struct LimitReport: Codable, Equatable, Sendable {
  /// Answers 429.
  package var limited: UInt64
  /// Of these, those with `Retry-After`.
  package var withRetryAfter: UInt64
  /// Of these, those with `RateLimit` fields.
  package var withFields: UInt64
}

/// What was read.
package struct InputReport: Codable, Equatable, Sendable {
  /// Records, each as often as it was played.
  package var records: Int
  /// Records left out by the plan.
  package var skipped: Int
  /// Lines that could not be read.
  package var badLines: Int
}

/// A replay's results.
package struct ReplayReport: Codable, Equatable, Sendable {
  /// The form of this report.
  package var version = 1
  /// What it is called, in comparisons.
  package var name: String
  /// What was asked for, in words.
  package var plan: String
  /// When it began, RFC 3339.
  package var began: String
  /// Seconds from the end of the warm-up to the last answer.
  package var seconds: Double
  /// Requests sent.
  package var sent: UInt64
  /// Requests answered.
  package var answers: UInt64
  /// Requests that failed.
  package var failed: UInt64
  /// Answers a second.
  package var rate: Double
  /// Bytes received, heads and TLS's content included.
  package var receivedBytes: UInt64
  /// Bytes sent.
  package var sentBytes: UInt64
  /// Bytes of answers' content.
  package var contentBytes: UInt64
  /// Failures by kind.
  package var errors: [String: UInt64]
  /// Answers by status code.
  package var statuses: [String: UInt64]
  /// From when requests were due to their answers' last bytes.
  package var latency: LatencyReport
  /// From when requests were sent.
  package var serviceTime: LatencyReport
  /// Answers by what the cache did.
  package var classes: [ClassReport]
  /// Hits among the answers whose cache spoke; nil if none did.
  package var hitRatio: Double?
  /// The same in bytes of content.
  package var byteHitRatio: Double?
  /// The share of answers for which the origin was not asked; nil if the cache did not say.
  package var offload: Double?
  /// What limits decided.
  package var limits: LimitReport
  /// Requests sent later than they should have been.
  package var late: UInt64
  /// By how much at worst.
  package var worstLateness: Double
  /// Seconds in which the recording could not be read fast enough.
  package var starvedSeconds: Double
  /// Connections opened.
  package var connectionsOpened: UInt64
  /// Requests sent on a connection that was kept.
  package var connectionsReused: UInt64
  /// Requests sent again because a kept connection was closed.
  package var resent: UInt64
  /// Each second.
  package var timeline: [SecondReport]
  /// Each step, if the pace has steps.
  package var steps: [StepReport]
  /// The highest rate that held; nil without steps.
  package var knee: Double?
  /// What was read.
  package var input: InputReport

  /// The percentiles of a latency report.
  package static let percentiles: [(name: String, value: Double)] = [
    ("10", 10), ("25", 25), ("50", 50), ("75", 75), ("90", 90), ("95", 95), ("99", 99),
    ("99.5", 99.5), ("99.9", 99.9), ("99.95", 99.95), ("99.99", 99.99),
  ]
}
