// What is noted of a request that is traced: when each phase of its way ended. Whether it is traced is
// decided when it begins, by a random number; of all others an exchange knows that there is nothing to
// note, and that is all they cost.
//
// Phases follow one upon the other. One that a request did not have is not there, and one that it had
// twice (it began again, or asked the origin again) ends when it ended last.

internal import Bytes
internal import Tracing

final class RequestTrace {
  /// The trace, with the client's span as parent; 0 if it named none.
  let context: TraceContext
  /// The request's own span, and the one that the origin is told.
  let span: UInt64
  let originSpan: UInt64
  /// The client's `tracestate`.
  let state: String
  /// When it began (monotonic).
  let began: Int64
  /// Whether it goes to a collector, and the origin is told of it: not if it is only explained.
  let isExported: Bool
  /// What is noted for who asked to have the request explained; nil: nobody did.
  var explanation: LiveExplanation?
  private(set) var asksOrigin = false
  private var ends = InlineArray<7, Int64>(repeating: -1)

  init(
    context: TraceContext, span: UInt64, originSpan: UInt64, state: String, began: Int64,
    isExported: Bool = true
  ) {
    self.isExported = isExported
    self.context = context
    self.span = span
    self.originSpan = originSpan
    self.state = state
    self.began = began
  }

  /// Notes that a phase has ended, and with it those before it.
  func end(_ phase: TracePhase, at time: Int64) { ends[Int(phase.rawValue)] = time }

  /// Notes that the request goes out to the origin.
  func askOrigin(at time: Int64) {
    asksOrigin = true
    end(.connect, at: time)
  }

  /// Appends the field line that tells the origin.
  func appendField(to lines: inout ByteBuffer) {
    var own = context
    own.parent = originSpan
    own.isSampled = true
    lines.append("traceparent: ")
    own.append(to: &lines)
    lines.append("\r\n")
  }

  /// How long each phase took so far, in nanoseconds.
  func durations() -> [(phase: TracePhase, length: Int64)] {
    var durations: [(TracePhase, Int64)] = []
    var start = began
    for phase in TracePhase.allCases {
      let end = ends[Int(phase.rawValue)]
      guard end >= start else { continue }
      durations.append((phase, end - start))
      start = end
    }
    return durations
  }

  /// The phases, from the beginning to `end`; `wall` says when a monotonic time was, in nanoseconds since
  /// the epoch.
  func phases(until end: Int64, wall: (Int64) -> UInt64) -> [TraceSpan] {
    var spans: [TraceSpan] = []
    var start = began
    ends[Int(TracePhase.body.rawValue)] = end
    for phase in TracePhase.allCases {
      let end = ends[Int(phase.rawValue)]
      guard end >= start else { continue }
      spans.append(TraceSpan(phase, start: wall(start), end: wall(end)))
      start = end
    }
    return spans
  }
}
