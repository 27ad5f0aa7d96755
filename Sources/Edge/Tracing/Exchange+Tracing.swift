internal import Bytes
internal import EventLoop
internal import HTTPCaching
internal import HTTPMessage
internal import Metrics
internal import Tracing

extension Exchange {
  /// Decides whether the request is traced. Called only where the configuration has traces.
  func beginTrace(_ head: RequestHead, _ worker: Worker) {
    trace = nil
    var parent: TraceContext?
    if worker.followsTraces { parent = Self.parent(head) }
    let isChosen = worker.traceNumbers.next() < worker.traceThreshold
    guard isChosen || parent?.isSampled == true else { return }
    if !worker.followsTraces { parent = Self.parent(head) }
    let context =
      parent
      ?? TraceContext(
        traceHigh: worker.traceNumbers.identifier(), traceLow: worker.traceNumbers.identifier(),
        parent: 0, isSampled: true)
    trace = RequestTrace(
      context: context, span: worker.traceNumbers.identifier(),
      originSpan: worker.traceNumbers.identifier(),
      state: parent == nil ? "" : Self.state(head), began: worker.clock.monotonic())
  }

  /// What the client says of its trace: one field, or none counts (W3C Trace Context §3.2).
  private static func parent(_ head: RequestHead) -> TraceContext? {
    var context: TraceContext?
    var count = 0
    head.fields.forEach(named: ByteView("traceparent"), in: head.bytes) { value in
      count += 1
      context = TraceContext(value)
    }
    return count == 1 ? context : nil
  }

  /// The client's `tracestate`, its lines put together; nothing of one that is too long (§3.3.1.5).
  private static func state(_ head: RequestHead) -> String {
    var state = ""
    head.fields.forEach(named: ByteView("tracestate"), in: head.bytes) { value in
      if !state.isEmpty { state += "," }
      state += value.string
    }
    return state.utf8.count <= 512 ? state : ""
  }

  /// Hands the trace of a request that has ended to who exports it.
  func export(_ trace: RequestTrace, duration: Int64, on connection: some ClientStream) {
    self.trace = nil
    let worker = connection.worker
    guard trace.isExported, let queue = worker.context.traces else { return }
    let end = worker.clock.monotonic()
    let now = worker.clock.now()
    let wall = { (time: Int64) -> UInt64 in
      UInt64(clamping: now.wall &* 1_000_000 &- (now.monotonic &- time))
    }
    let head = head(worker)
    let bytes = head.bytes
    var record = TraceRecord(
      context: trace.context, span: trace.span, start: wall(trace.began), end: wall(end))
    if trace.asksOrigin { record.originSpan = trace.originSpan }
    record.state = trace.state
    record.phases = trace.phases(until: end, wall: wall)
    record.method = bytes[head.methodRange].string
    record.host = bytes[head.authority].string
    record.path = bytes[head.path].string
    if route < generation.routes.unrouted { record.route = generation.routes.names[route] }
    record.status = status
    record.cache = "\(result.label)"
    if let reason { record.detail = "\(reason.name)" }
    record.version = isHTTP2 ? "2" : "1.\(head.minorVersion)"
    record.bytes = contentSent
    queue.append(record)
    worker.context.metrics.noteTraced(
      traceHigh: trace.context.traceHigh, traceLow: trace.context.traceLow, result: result,
      duration: duration, wall: now.wall)
  }
}
