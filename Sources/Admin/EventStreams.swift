// Server-sent events (the WHATWG's HTML standard, "Server-sent events"): the figures, once a second, to
// whoever watches: the dashboard, `weir top`, a script.
//
//     event: history      once, at the beginning: the last five minutes, second by second
//     event: figures      at the beginning and then every second: all that is shown
//
// Figures are sums from the node's start: whoever reads takes differences, and one message that is missed
// costs nothing. A message is made once for all that watch. Who does not take messages in is dropped
// (`AdminConnection.push`), so that a stream costs the loop no more than its copy of a message.
//
// The history is kept whether somebody watches or not: an operator looks when it has happened. It reads
// a few hundred words of each worker once a second. All of it on the loop's thread.

internal import EventLoop
internal import Metrics

final class EventStreams {
  /// The most streams at a time.
  static let most = 16
  /// How often there are figures, in nanoseconds.
  static let period: Int64 = 1_000_000_000

  /// The connections that watch, by their names in the loop.
  private(set) var watching: [UInt64] = []
  private var history = TrafficHistory()

  /// Whether there is no place for another.
  var isFull: Bool { watching.count >= Self.most }

  /// Sends figures to a connection from now on.
  func begin(_ connection: UInt64) { watching.append(connection) }

  /// Forgets a connection that has ended.
  func end(_ connection: UInt64) { watching.removeAll { $0 == connection } }

  /// Notes where the traffic stands.
  func note(_ sample: TrafficSample) { history.append(sample) }

  /// The history as a message.
  var historyMessage: [UInt8] { Self.message("history", history.text) }

  /// A message of a name: JSON has no line ends, so one line of data will do.
  static func message(_ name: String, _ data: JSONText) -> [UInt8] {
    Array("event: \(name)\ndata: \(data.text)\n\n".utf8)
  }
}

/// Where the traffic stood at a time.
struct TrafficSample {
  /// Milliseconds since the epoch.
  var wall: Int64
  var totals: TrafficTotals
  /// Bytes sent to clients.
  var sent: UInt64

  /// Where it stands now.
  init(_ metrics: MetricsRegistry, at now: Instant) {
    wall = now.wall
    totals = metrics.traffic()
    sent = metrics.total(.bytesSent)
  }

  /// `{"time": …, "sent_bytes": …, "results": […], "durations": […]}`
  var text: JSONText {
    .object([
      ("time", .thousandths(UInt64(clamping: wall))), ("sent_bytes", .number(sent)),
      ("results", .array(totals.results.map { .number($0) })),
      ("durations", .array(totals.durations.map { .number($0) })),
    ])
  }
}

/// The traffic of the last five minutes, second by second.
struct TrafficHistory {
  static let length = 300
  private var samples: [TrafficSample] = []
  /// Where the oldest is, once there are `length`.
  private var oldest = 0

  mutating func append(_ sample: TrafficSample) {
    guard samples.count == Self.length else {
      samples.append(sample)
      return
    }
    samples[oldest] = sample
    oldest = (oldest + 1) % Self.length
  }

  /// Oldest first.
  var text: JSONText {
    let ordered = samples[oldest...] + samples[..<oldest]
    return .object([("samples", .array(ordered.map(\.text)))])
  }
}
