internal import AccessLog
internal import Configuration
internal import Edge
internal import Metrics

extension Node {
  /// Opens the logs of a configuration. There is always one, if only for who watches.
  static func openLog(
    _ configuration: NodeConfiguration, _ names: RouteNames, live: LiveLog?,
    note: (String) -> Void
  ) throws -> AccessLogWriter {
    let plan = AccessLogPlan(configuration)
    do {
      let log = try AccessLogWriter(
        channels: plan.channels, labels: NodeContext.logLabels(routes: names), live: live)
      if let error = log.lastError {
        note("access log: a syslog server cannot be reached yet: \(error)")
      }
      return log
    } catch {
      let targets = plan.logs.compactMap { log in
        if case .file(let path) = log.target { path } else { nil }
      }
      throw NodeError("cannot open the access log \(targets.joined(separator: ", ")): \(error)")
    }
  }
}
