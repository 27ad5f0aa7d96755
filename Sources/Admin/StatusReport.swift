internal import CLinux
internal import Configuration
internal import Edge
internal import EventLoop
internal import Metrics
internal import ObjectStore

/// What `GET /v1/status` answers. Members are only ever added.
enum StatusReport {
  /// The node at a glance, under the generation in force.
  static func text(
    _ context: NodeContext, _ current: NodeGeneration, startedAt: Instant, now: Instant
  ) -> JSONText {
    let uptime = UInt64(clamping: (now.monotonic - startedAt.monotonic) / 1_000_000)
    let workers = current.configuration.workers ?? Machine.processors
    return .object([
      ("version", .string(Release.version)),
      ("process", .number(UInt64(clamping: getpid()))),
      ("node", .string(current.configuration.nodeName)),
      ("start_time_seconds", .thousandths(UInt64(clamping: startedAt.wall))),
      ("uptime_seconds", .thousandths(uptime)),
      ("workers", .number(UInt64(clamping: workers))),
      ("drained", .bool(context.switches.isDrained)), ("switches", SwitchReport.list(context)),
      ("connections", connections(context.metrics)),
      ("requests", requests(context.metrics)),
      ("fills", fills(context)),
      ("origins", origins(context.metrics)),
      ("store", context.store.map(store) ?? .null),
    ])
  }

  private static func connections(_ metrics: MetricsRegistry) -> JSONText {
    // Closed first: one that is closed between the two was open.
    let closed = metrics.total(.connectionsClosed)
    let accepted = metrics.total(.connectionsAccepted)
    return .object([
      ("open", .number(accepted > closed ? accepted - closed : 0)),
      ("accepted", .number(accepted)),
      ("refused", .number(metrics.total(.connectionsRefused))),
    ])
  }

  private static func requests(_ metrics: MetricsRegistry) -> JSONText {
    let results = CacheResult.allCases.map { ("\($0.label)", metrics.requests(result: $0)) }
    return .object([
      ("total", .number(results.reduce(0) { $0 &+ $1.1 })),
      ("by_result", .object(results.map { ($0.0, .number($0.1)) })),
      ("rejected", .number(metrics.total(.requestsRejected))),
      ("limited", .number(metrics.total(.limited))),
    ])
  }

  private static func fills(_ context: NodeContext) -> JSONText {
    .object([
      ("under_way", .number(UInt64(clamping: context.fillsUnderWay))),
      ("started", .number(context.metrics.total(.fillsStarted))),
      ("collapsed", .number(context.metrics.total(.fillsCollapsed))),
      ("failed", .number(context.metrics.total(.fillsFailed))),
    ])
  }

  private static func origins(_ metrics: MetricsRegistry) -> JSONText {
    let closed = metrics.total(.originConnectionsClosed)
    let opened = metrics.total(.originConnectionsOpened)
    return .object([
      ("connections", .number(opened > closed ? opened - closed : 0)),
      ("requests", .number(metrics.total(.originRequests))),
      ("retries", .number(metrics.total(.originRetries))),
      ("connect_errors", .number(metrics.total(.originConnectErrors))),
      ("timeouts", .number(metrics.total(.originTimeouts))),
      ("resets", .number(metrics.total(.originResets))),
      ("framing_errors", .number(metrics.total(.originFramingErrors))),
    ])
  }

  private static func store(_ store: ObjectStore) -> JSONText {
    let figures = store.statistics
    return .object([
      ("objects", .number(figures.objects)),
      ("bytes", .number(figures.bytesInUse)),
      ("limit_bytes", .number(figures.sizeLimit)),
      ("file_bytes", .number(figures.fileBytes)),
      ("stored", .number(figures.insertions)),
      ("evicted", .number(figures.evictions)),
      ("refused", .number(figures.refusals)),
      ("damaged", .number(figures.damaged)),
      ("commits", .number(figures.commits)),
      ("queue_length", .number(figures.queueLength)),
      ("queue_bytes", .number(figures.queueBytes)),
      ("table_bytes", .number(figures.tableBytes)),
      ("writing_ended", .bool(figures.writingEnded)),
      ("purge_id", .number(store.purgeSequence)),
      ("purges", .number(figures.purges)),
      ("purges_pending", .number(figures.pendingPurges)),
      ("purged_objects", .number(figures.swept)),
    ])
  }
}
