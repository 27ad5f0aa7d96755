internal import Configuration
internal import EventLoop
package import Metrics
internal import Origins
internal import RateLimiting

extension NodeContext {
  /// Adds the origins' figures to a scrape.
  package func addOrigins(to writer: inout MetricsWriter) {
    let now = clock.now().monotonic
    for pool in current.pools where pool.configuration.files == nil {
      let report = pool.report(now: now)
      let name = [report.name]
      writer.add(.originInFlight, UInt64(clamping: report.inFlight), name)
      writer.add(.originWaiting, UInt64(clamping: report.waiting), name)
      let misses = pool.missCounts
      writer.add(.originMisses, UInt64(clamping: misses.inside), name)
      writer.add(.originMissesWaiting, UInt64(clamping: misses.waiting), name)
      writer.add(.originPoolRetries, report.retries, name)
      writer.add(.originHedges, report.hedges, name)
      writer.add(.originRetriesRefused, report.budgetRefusals, name)
      writer.add(.originRefused, report.refusedNoServer, name + ["no_server"])
      writer.add(.originRefused, report.refusedBreaker, name + ["breaker"])
      writer.add(.originRefused, report.refusedFull, name + ["full"])
      writer.add(.originRefused, report.queueTimeouts, name + ["queue"])
      writer.add(.originPanics, report.panics, name)
      switch report.breaker {
      case .closed: writer.add(.originBreakerOpen, 0, name)
      case .open: writer.add(.originBreakerOpen, 1, name)
      case .halfOpen: writer.add(.originBreakerOpen, seconds: 0.5, name)
      }
      for server in report.servers { add(server, of: report.name, to: &writer) }
    }
  }

  private func add(_ server: ServerReport, of pool: String, to writer: inout MetricsWriter) {
    let names = [pool, server.name]
    writer.add(.originServerState, 1, names + [server.condition.rawValue])
    writer.add(.originServerInFlight, UInt64(clamping: server.inFlight), names)
    writer.add(.originServerRequests, server.requests, names)
    writer.add(.originServerFailures, server.failures, names)
    writer.add(.originServerLatency, seconds: Double(server.peakLatency) / 1_000_000, names)
    Self.add(.originServerConnect, server.connectTimes, names, to: &writer)
    Self.add(.originServerFirstByte, server.firstByteTimes, names, to: &writer)
    writer.add(.originServerEjections, server.ejections, names)
    writer.add(.originServerBreakerOpenings, server.breakerOpenings, names)
    let passed = server.checks >= server.failedChecks ? server.checks - server.failedChecks : 0
    writer.add(.originServerChecks, passed, names + ["passed"])
    writer.add(.originServerChecks, server.failedChecks, names + ["failed"])
  }

  private static func add(
    _ metric: Metric, _ timings: ServerTimings, _ names: [String], to writer: inout MetricsWriter
  ) {
    writer.add(
      metric, histogram: timings.counts, bounds: ServerTimings.bounds.map { Double($0) / 1e9 },
      sum: Double(timings.sum) / 1e9, names)
  }
}

extension NodeContext {
  /// Adds the limits' figures to a scrape.
  package func addLimits(to writer: inout MetricsWriter) {
    let limits = current.limits.set.limits
    for limit in limits {
      let tally = limit.tally
      writer.add(.limitDecisions, tally.allowed, [limit.name, "allowed"])
      writer.add(.limitDecisions, tally.delayed, [limit.name, "delayed"])
      writer.add(.limitDecisions, tally.refused, [limit.name, "rejected"])
      writer.add(.limitDecisions, tally.shadowed, [limit.name, "shadowed"])
    }
    for limit in limits { writer.add(.limitKeys, UInt64(limit.keys), [limit.name]) }
    for limit in limits { writer.add(.limitBytes, UInt64(limit.bytes), [limit.name]) }
    for limit in limits {
      writer.add(.limitWaiting, UInt64(limit.waiting), [limit.name])
    }
    let regional = current.limits.regional
    for (name, limiter) in regional {
      writer.add(.limitShare, UInt64((limiter.share * 100).rounded()), [name])
    }
    for (name, limiter) in regional { writer.add(.limitLeased, limiter.leased, [name]) }
    for (name, limiter) in regional { writer.add(.limitAdvanced, limiter.advanced, [name]) }
  }
}
