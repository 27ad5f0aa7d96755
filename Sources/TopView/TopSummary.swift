/// A second of a node: two of its messages, and what lies between them.
package struct TopSummary: Encodable, Sendable {
  package struct Latency: Encodable, Sendable, Equatable {
    package var p50: Double
    package var p90: Double
    package var p99: Double
    package var p999: Double
  }

  package struct Store: Encodable, Sendable {
    package var objects: UInt64
    package var bytes: UInt64
    package var limit_bytes: UInt64
    package var stored_per_second: Double
    package var evicted_per_second: Double
    package var purges_pending: UInt64
    package var writing_ended: Bool
  }

  package struct Server: Encodable, Sendable {
    package var origin: String
    package var server: String
    package var state: String
    package var in_flight: UInt64
    package var requests_per_second: Double
    package var failures_per_second: Double
    package var mean_latency_ms: Double
  }

  package var node: String
  package var version: String
  package var workers: UInt64
  package var uptime_seconds: Double
  /// Seconds since 1970.
  package var time: Double
  package var requests_per_second: Double
  /// Of those that the cache was asked for; nil if there were none.
  package var hit_ratio: Double?
  package var results_per_second: [String: Double]
  package var classes_per_second: [String: Double]
  package var sent_bytes_per_second: Double
  package var origin_bytes_per_second: Double
  /// Milliseconds; nil if nothing was answered.
  package var latency_ms: Latency?
  package var connections_open: UInt64
  package var fills_under_way: UInt64
  package var limited_per_second: Double
  package var delayed_per_second: Double
  package var waiting: UInt64
  package var store: Store?
  package var servers: [Server]
  package var hits: [TopLists.Entry]
  package var misses: [TopLists.Entry]
  package var tags: [TopLists.Entry]
  package var keys: [TopLists.Key]
  /// Why the lists are empty, if the node would not say.
  package var problem: String?

  /// What has been between two messages. A node that has started anew in between begins at nothing.
  package init(_ now: TopFigures, after before: TopFigures, _ lists: TopLists) {
    let isSame = now.status.uptime_seconds >= before.status.uptime_seconds
    let rate = Rate(seconds: now.sample.time - before.sample.time, isSame: isSame)
    node = now.status.node
    version = now.status.version
    workers = now.status.workers
    uptime_seconds = now.status.uptime_seconds
    time = now.sample.time
    let results = rate.differences(now.sample.results, before.sample.results)
    requests_per_second = rate.perSecond(results.reduce(0, &+))
    var named: [String: Double] = [:]
    for (name, count) in zip(now.result_names, results) where count > 0 {
      named[name] = rate.perSecond(count)
    }
    results_per_second = named
    let hits = ["hit", "stale"].reduce(0) { $0 + (named[$1] ?? 0) }
    hit_ratio = requests_per_second > 0 ? min(1, hits / requests_per_second) : nil
    var classes: [String: Double] = [:]
    for (name, count) in now.classes {
      classes[name] = rate.perSecond(count, before.classes[name] ?? 0)
    }
    classes_per_second = classes
    sent_bytes_per_second = rate.perSecond(now.sample.sent_bytes, before.sample.sent_bytes)
    origin_bytes_per_second = rate.perSecond(
      now.origin_received_bytes, before.origin_received_bytes)
    latency_ms = Latency(
      rate.differences(now.sample.durations, before.sample.durations),
      bounds: now.duration_bounds_us)
    connections_open = now.status.connections.open
    fills_under_way = now.status.fills.under_way
    limited_per_second = rate.perSecond(
      now.status.requests.limited, before.status.requests.limited)
    delayed_per_second = rate.perSecond(
      now.limits.reduce(0) { $0 &+ $1.delayed }, before.limits.reduce(0) { $0 &+ $1.delayed })
    waiting = now.limits.reduce(0) { $0 &+ $1.waiting }
    store = now.status.store.map { Store($0, before.status.store, rate) }
    servers = now.origins.flatMap { Self.servers(of: $0, before.origins, rate) }
    self.hits = lists.hits
    misses = lists.misses
    tags = lists.tags
    keys = lists.keys
    problem = lists.problem
  }

  private static func servers(
    of origin: TopFigures.Origin, _ before: [TopFigures.Origin], _ rate: Rate
  ) -> [Server] {
    let former = before.first { $0.name == origin.name }
    if origin.servers.isEmpty {
      return [
        Server(
          origin: origin.name, server: origin.files ?? "", state: "files",
          in_flight: origin.in_flight,
          requests_per_second: rate.perSecond(origin.requests, former?.requests ?? 0),
          failures_per_second: 0, mean_latency_ms: 0)
      ]
    }
    return origin.servers.map { server in
      let earlier = former?.servers.first { $0.name == server.name }
      return Server(
        origin: origin.name, server: server.name, state: server.state,
        in_flight: server.in_flight,
        requests_per_second: rate.perSecond(server.requests, earlier?.requests ?? 0),
        failures_per_second: rate.perSecond(server.failures, earlier?.failures ?? 0),
        mean_latency_ms: server.mean_latency_ms)
    }
  }
}

extension TopSummary.Store {
  fileprivate init(_ now: TopFigures.Store, _ before: TopFigures.Store?, _ rate: Rate) {
    objects = now.objects
    bytes = now.bytes
    limit_bytes = now.limit_bytes
    stored_per_second = rate.perSecond(now.stored, before?.stored ?? 0)
    evicted_per_second = rate.perSecond(now.evicted, before?.evicted ?? 0)
    purges_pending = now.purges_pending
    writing_ended = now.writing_ended
  }
}

/// From counts to what they were in a second.
private struct Rate {
  let seconds: Double
  let isSame: Bool

  func perSecond(_ count: UInt64) -> Double { seconds > 0 ? Double(count) / seconds : 0 }

  func perSecond(_ now: UInt64, _ before: UInt64) -> Double {
    perSecond(difference(now, before))
  }

  private func difference(_ now: UInt64, _ before: UInt64) -> UInt64 {
    isSame && now >= before ? now - before : isSame ? 0 : now
  }

  func differences(_ now: [UInt64], _ before: [UInt64]) -> [UInt64] {
    now.enumerated().map { index, count in
      difference(count, index < before.count ? before[index] : 0)
    }
  }
}

extension TopSummary.Latency {
  /// Percentiles of a histogram whose last bucket has no bound; within a bucket times are taken to lie
  /// evenly. Nil if it is empty.
  init?(_ counts: [UInt64], bounds: [UInt64]) {
    let total = counts.reduce(0, &+)
    guard total > 0, !bounds.isEmpty else { return nil }
    func percentile(_ share: Double) -> Double {
      let wanted = share * Double(total)
      var seen = 0.0
      for (index, count) in counts.enumerated() where count > 0 {
        let lower = index == 0 ? 0 : Double(bounds[min(index, bounds.count) - 1])
        // What is longer than the last bound is at least that long.
        let upper = index < bounds.count ? Double(bounds[index]) : lower
        if seen + Double(count) >= wanted {
          return (lower + (upper - lower) * (wanted - seen) / Double(count)) / 1_000
        }
        seen += Double(count)
      }
      return Double(bounds[bounds.count - 1]) / 1_000
    }
    self.init(
      p50: percentile(0.5), p90: percentile(0.9), p99: percentile(0.99), p999: percentile(0.999))
  }
}
