// What the senders count. Each has one of its own, merged when all have ended; once a second it leaves the
// figures of that second for whoever shows the progress.

internal import Bytes
internal import Histogram

/// Why a request had no answer.
package enum SendFailure: Int, CaseIterable, Sendable {
  /// No connection: refused, unreachable, or no port left.
  case connect
  /// The connection was not there in time.
  case connectTimeout
  /// TLS could not be agreed on.
  case tls
  /// The answer was not complete in time.
  case timeout
  /// The connection was reset.
  case reset
  /// The connection ended before the answer did.
  case closed
  /// What came was no answer.
  case malformed
  /// The server reset the stream, or broke HTTP/2.
  case stream
  /// The replay ended before the answer came.
  case unfinished

  /// The name in reports.
  package var name: String {
    switch self {
    case .connect: "connect"
    case .connectTimeout: "connect-timeout"
    case .tls: "tls"
    case .timeout: "timeout"
    case .reset: "reset"
    case .closed: "closed-early"
    case .malformed: "malformed"
    case .stream: "stream-reset"
    case .unfinished: "unfinished"
    }
  }
}

/// Latencies in nanoseconds: 64 ns to an hour, three significant digits.
struct Latencies: Sendable {
  private(set) var histogram = Histogram<UInt64>(
    lowestDiscernibleValue: 100, highestTrackableValue: 3_600_000_000_000,
    numberOfSignificantValueDigits: .three)

  mutating func record(_ nanoseconds: Int64) {
    histogram.record(UInt64(min(max(nanoseconds, 1), 3_600_000_000_000)))
  }

  mutating func add(_ other: Latencies) { histogram.add(other.histogram) }
}

/// The figures of one class of answers.
struct ClassTally: Sendable {
  var answers: UInt64 = 0
  var contentBytes: UInt64 = 0
  var latencies = Latencies()

  mutating func add(_ other: ClassTally) {
    answers += other.answers
    contentBytes += other.contentBytes
    latencies.add(other.latencies)
  }
}

/// The figures of one second.
struct SecondTally: Sendable {
  var sent: UInt64 = 0
  var answers: UInt64 = 0
  var failures: UInt64 = 0
  var hits: UInt64 = 0
  /// Answers of which it is known whether the cache had them.
  var judged: UInt64 = 0
  var late: UInt64 = 0
  var receivedBytes: UInt64 = 0
  var latencies = Histogram<UInt32>(
    lowestDiscernibleValue: 1_000, highestTrackableValue: 3_600_000_000_000,
    numberOfSignificantValueDigits: .two)

  mutating func record(_ nanoseconds: Int64) {
    latencies.record(UInt64(min(max(nanoseconds, 1), 3_600_000_000_000)))
  }

  mutating func add(_ other: SecondTally) {
    sent += other.sent
    answers += other.answers
    failures += other.failures
    hits += other.hits
    judged += other.judged
    late += other.late
    receivedBytes += other.receivedBytes
    latencies.add(other.latencies)
  }
}

/// The figures of one step of a rate.
struct StepTally: Sendable {
  var sent: UInt64 = 0
  var answers: UInt64 = 0
  var failures: UInt64 = 0
  /// Answers that are a limit's or a failure's: 429 and 5xx.
  var refused: UInt64 = 0
  var late: UInt64 = 0
  var latencies = Latencies()

  mutating func add(_ other: StepTally) {
    refused += other.refused
    sent += other.sent
    answers += other.answers
    failures += other.failures
    late += other.late
    latencies.add(other.latencies)
  }
}

/// All that one sender counts.
struct Tally: Sendable {
  var sent: UInt64 = 0
  var answers: UInt64 = 0
  var receivedBytes: UInt64 = 0
  var sentBytes: UInt64 = 0
  var contentBytes: UInt64 = 0
  var late: UInt64 = 0
  var worstLateness: Int64 = 0
  /// How long the senders had nothing to send although more was to come: the reader is too slow.
  var starved: Int64 = 0
  var connectionsOpened: UInt64 = 0
  var connectionsReused: UInt64 = 0
  /// Requests sent again because a kept connection had been closed meanwhile.
  var resent: UInt64 = 0
  var limitedWithRetryAfter: UInt64 = 0
  var withRateLimitFields: UInt64 = 0
  var statuses = [UInt64](repeating: 0, count: 600)
  var failures = [UInt64](repeating: 0, count: SendFailure.allCases.count)
  /// From when each was due.
  var latencies = Latencies()
  /// From when each was sent.
  var serviceTimes = Latencies()
  var classes = [ClassTally?](repeating: nil, count: CacheVerdict.allCases.count)
  var steps: [StepTally] = []
  /// When the last answer came, nanoseconds after the start.
  var lastAnswer: Int64 = 0
  /// Where the sending was ended before the recording: when, and how many answers there were.
  private(set) var end: (time: Int64, answers: UInt64)?

  /// The sending is ended, so long after the start. What is under way is answered later, and may take as long
  /// as it likes: no part of the rate.
  mutating func cut(at time: Int64) {
    if end == nil { end = (time, answers) }
  }

  /// The answers that make the rate, and until when they came.
  var rated: (time: Int64, answers: UInt64) {
    guard let end, end.answers > 0 else { return (lastAnswer, answers) }
    return end
  }

  mutating func add(_ other: Tally) {
    sent += other.sent
    receivedBytes += other.receivedBytes
    sentBytes += other.sentBytes
    contentBytes += other.contentBytes
    late += other.late
    worstLateness = max(worstLateness, other.worstLateness)
    starved = max(starved, other.starved)
    connectionsOpened += other.connectionsOpened
    connectionsReused += other.connectionsReused
    resent += other.resent
    limitedWithRetryAfter += other.limitedWithRetryAfter
    withRateLimitFields += other.withRateLimitFields
    for index in statuses.indices { statuses[index] += other.statuses[index] }
    for index in failures.indices { failures[index] += other.failures[index] }
    latencies.add(other.latencies)
    serviceTimes.add(other.serviceTimes)
    for (index, tally) in other.classes.enumerated() {
      guard let tally else { continue }
      if classes[index]?.add(tally) == nil { classes[index] = tally }
    }
    while steps.count < other.steps.count { steps.append(StepTally()) }
    for (index, step) in other.steps.enumerated() { steps[index].add(step) }
    if end != nil || other.end != nil {
      // A sender whose part of the recording had ended has all of its answers.
      let (own, others) = (
        end ?? (lastAnswer, answers), other.end ?? (other.lastAnswer, other.answers)
      )
      end = (max(own.time, others.time), own.answers + others.answers)
    }
    answers += other.answers
    lastAnswer = max(lastAnswer, other.lastAnswer)
  }

  /// The tally of a step, made when it is first asked for; the last one if there are too many.
  mutating func step(_ index: Int, _ change: (inout StepTally) -> Void) {
    let index = min(max(index, 0), 999)
    while steps.count <= index { steps.append(StepTally()) }
    change(&steps[index])
  }
}
