internal import AccessLog
internal import Edge
internal import EventLoop
internal import Metrics
internal import ObjectStore

/// The message of `GET /v1/events` that comes every second. Members are only ever added.
enum FiguresReport {
  /// The most routes that it names: those with the most requests.
  static let mostRoutes = 50

  static func text(
    _ context: NodeContext, _ sample: TrafficSample, startedAt: Instant, now: Instant
  ) -> JSONText {
    let current = context.current
    let (routes, classes) = context.metrics.routes()
    return .object([
      ("status", StatusReport.text(context, current, startedAt: startedAt, now: now)),
      ("sample", sample.text),
      ("result_names", .array(CacheResult.allCases.map { .string("\($0.label)") })),
      (
        "duration_bounds_us",
        .array(TrafficTotals.bounds.map { .number(UInt64(clamping: $0 / 1000)) })
      ),
      (
        "classes",
        .object(zip(MetricsRegistry.statusClasses, classes).map { ($0, .number($1)) })
      ),
      ("received_bytes", .number(context.metrics.total(.bytesReceived))),
      ("origin_received_bytes", .number(context.metrics.total(.originBytesReceived))),
      ("log_dropped", .number(current.log?.dropped ?? 0)),
      ("routes", .array(busiest(routes).map(route))),
      ("limits", .array(LimitReport.all(current))),
      ("origins", OriginsReport.list(current, now: now)),
    ])
  }

  private static func busiest(_ routes: [RouteTotals]) -> ArraySlice<RouteTotals> {
    routes.filter { $0.requests > 0 }.sorted { $0.requests > $1.requests }.prefix(mostRoutes)
  }

  private static func route(_ totals: RouteTotals) -> JSONText {
    .object([
      ("name", .string(totals.name)), ("requests", .number(totals.requests)),
      ("hits", .number(totals.hits)), ("server_errors", .number(totals.serverErrors)),
      ("sent_bytes", .number(totals.bytes)),
    ])
  }
}

extension AdminService {
  /// `GET /v1/events`: what has been and what is; the rest comes by `figures`.
  func beginEvents(at now: Instant) -> AdminResponse {
    guard !streams.isFull else {
      return Problem(
        .tooManyStreams, "There are \(EventStreams.most) streams of events already."
      ).response
    }
    // Whoever reconnects does so after this many milliseconds.
    let content = Array("retry: 2000\n\n".utf8) + streams.historyMessage + figures(at: now)
    var response = AdminResponse(contentType: "text/event-stream", content: content)
    response.stream = .figures
    return response
  }

  /// Notes where the traffic stands; the message for those who watch, if anybody does.
  func secondPassed(at now: Instant) -> [UInt8]? {
    streams.note(TrafficSample(context.metrics, at: now))
    return streams.watching.isEmpty ? nil : figures(at: now)
  }

  /// The message of every second.
  private func figures(at now: Instant) -> [UInt8] {
    let sample = TrafficSample(context.metrics, at: now)
    return EventStreams.message(
      "figures", FiguresReport.text(context, sample, startedAt: startedAt, now: now))
  }
}
