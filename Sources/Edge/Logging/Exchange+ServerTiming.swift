internal import Bytes
internal import EventLoop
internal import Metrics

extension Exchange {
  /// `Server-Timing` (W3C Server Timing): what the cache did, how long the origin took to the head of its
  /// response, and how long the request has been here, in milliseconds. The origin's own stay as they are.
  @inline(never)
  func appendServerTiming(_ worker: Worker) {
    worker.lines.append("server-timing: cache;desc=")
    worker.lines.append(result.label)
    let now = worker.clock.monotonic()
    if originStarted >= 0 {
      let end = originDuration >= 0 ? originStarted &+ originDuration : now
      worker.lines.append(", origin")
      Self.append(duration: end &- originStarted, to: &worker.lines)
    }
    worker.lines.append(", total")
    Self.append(duration: now &- started, to: &worker.lines)
    worker.lines.append("\r\n")
  }

  /// `;dur=12.345`, of nanoseconds.
  private static func append(duration: Int64, to lines: inout ByteBuffer) {
    let microseconds = UInt64(max(duration, 0)) / 1_000
    lines.append(";dur=")
    lines.append(decimal: microseconds / 1_000)
    let rest = microseconds % 1_000
    lines.append(rest < 10 ? ".00" : rest < 100 ? ".0" : ".")
    lines.append(decimal: rest)
  }
}
