import FoundationEssentials
import Metrics
import Testing

@Suite struct MetricTableTests {
  @Test func `names follow the conventions and are used once`() {
    let descriptors = Metric.allCases.map(\.descriptor)
    #expect(Set(descriptors.map(\.name)).count == descriptors.count)
    for descriptor in descriptors {
      #expect(descriptor.name.wholeMatch(of: /weir_[a-z0-9_]+/) != nil)
      #expect((descriptor.kind == .counter) == descriptor.name.hasSuffix("_total"))
      #expect(descriptor.help.hasSuffix("."))
      if ["seconds", "bytes"].contains(descriptor.unit) {
        #expect(descriptor.name.contains("_\(descriptor.unit)"))
      }
    }
  }

  @Test func `every counter is shown once or is half of a gauge`() {
    let samples = Counter.allCases.compactMap(\.sample).map { "\($0.metric)/\($0.label ?? "")" }
    #expect(Set(samples).count == samples.count)
    for case let (metric, label)? in Counter.allCases.map(\.sample) {
      #expect(metric.descriptor.labels.count == (label == nil ? 0 : 1))
      #expect(metric.descriptor.kind == .counter)
    }
  }

  /// With WEIR_WRITE_DOCS set, writes the table into the document instead.
  @Test func `docs metrics md holds the table`() throws {
    let path =
      #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3)
      .joined(separator: "/") + "/docs/metrics.md"
    let url = URL(filePath: path)
    let document = try String(contentsOf: url, encoding: .utf8)
    let begin = "<!-- table: begin -->\n"
    let end = "<!-- table: end -->"
    let parts = document.split(separator: begin, maxSplits: 1, omittingEmptySubsequences: false)
    try #require(parts.count == 2)
    let rest = parts[1].split(separator: end, maxSplits: 1, omittingEmptySubsequences: false)
    try #require(rest.count == 2)
    if ProcessInfo.processInfo.environment["WEIR_WRITE_DOCS"] != nil {
      let written = "\(parts[0])\(begin)\(Metric.documentation)\(end)\(rest[1])"
      try written.write(to: url, atomically: true, encoding: .utf8)
    } else {
      #expect(rest[0] == Metric.documentation)
    }
  }
}

@Suite struct CounterTests {
  @Test func `counters of all workers are summed, and gauges are differences`() throws {
    let registry = MetricsRegistry()
    for _ in 0..<3 {
      let counters = CounterBlock()
      registry.register(counters: counters, requests: RequestCounters(routes: []))
      counters.add(.connectionsAccepted, 5)
      counters.add(.connectionsClosed, 2)
      counters.add(.originTimeouts)
    }
    #expect(registry.total(.connectionsAccepted) == 15)
    let exposition = try Exposition(registry.prometheus())
    #expect(exposition.value("weir_connections") == 9)
    #expect(exposition.value("weir_connections_accepted_total") == 15)
    #expect(exposition.value("weir_origin_errors_total", ["kind": "timeout"]) == 3)
    #expect(exposition.value("weir_origin_errors_total", ["kind": "reset"]) == 0)
  }

  @Test func `counters wrap around instead of trapping`() {
    let counters = CounterBlock()
    counters.add(.bytesSent, .max)
    counters.add(.bytesSent, 3)
    #expect(counters.value(.bytesSent) == 2)
  }
}

@Suite struct RequestCounterTests {
  @Test func `a request is found again by route, status and result`() throws {
    let registry = MetricsRegistry()
    let first = RequestCounters(routes: ["a/", "b\"\\\n/"])
    let second = RequestCounters(routes: ["b\"\\\n/"])
    registry.register(counters: CounterBlock(), requests: first)
    registry.register(counters: CounterBlock(), requests: second)
    first.record(route: 0, status: 200, result: .hit, bytes: 1000, duration: 40_000)
    first.record(route: 1, status: 200, result: .hit, bytes: 10, duration: 40_000)
    second.record(route: 0, status: 200, result: .hit, bytes: 7, duration: 2_000_000)
    second.record(route: 0, status: 555, result: .error, bytes: 7, duration: -5)
    second.record(route: -1, status: 404, result: .none, bytes: 3, duration: .max)
    second.record(route: 99, status: 9999, result: .none, bytes: 3, duration: 1)
    #expect(registry.requests() == 6)
    #expect(registry.requests(status: 200, result: .hit) == 3)
    #expect(registry.requests(route: "b\"\\\n/", status: 200) == 2)
    #expect(registry.requests(route: MetricsRegistry.noRoute) == 2)
    #expect(registry.requests(route: "nowhere") == 0)
    let exposition = try Exposition(registry.prometheus())
    #expect(
      exposition.value(
        "weir_requests_total", ["route": "b\"\\\n/", "status": "200", "cache": "hit"]) == 2)
    #expect(
      exposition.value(
        "weir_requests_total", ["route": "b\"\\\n/", "status": "5xx", "cache": "error"]) == 1)
    #expect(
      exposition.value(
        "weir_requests_total", ["route": "none", "status": "other", "cache": "none"])
        == 1)
    #expect(exposition.value("weir_response_bytes_total", ["route": "b\"\\\n/"]) == 24)
    #expect(exposition.value("weir_request_duration_seconds_count", ["cache": "hit"]) == 3)
    #expect(
      exposition.value("weir_request_duration_seconds_bucket", ["cache": "hit", "le": "5e-05"])
        == 2)
  }

  /// A duration's bucket is the first whose bound is not below it.
  @Test func `durations at and beside every bound fall on its right side`() throws {
    var bound: Int64 = 50_000
    for power in 0..<21 {
      let registry = MetricsRegistry()
      let requests = RequestCounters(routes: [])
      registry.register(counters: CounterBlock(), requests: requests)
      for duration in [bound - 1, bound, bound + 1] {
        requests.record(route: 0, status: 200, result: .miss, bytes: 0, duration: duration)
      }
      let exposition = try Exposition(registry.prometheus())
      let label = (Double(bound) / 1e9).description
      let name = "weir_request_duration_seconds_bucket"
      #expect(exposition.value(name, ["cache": "miss", "le": label]) == 2, "50 µs × 2^\(power)")
      #expect(exposition.value(name, ["cache": "miss", "le": "+Inf"]) == 3)
      bound *= 2
    }
  }
}

@Suite struct ExpositionTests {
  static func fullRegistry() -> MetricsRegistry {
    let registry = MetricsRegistry()
    let counters = CounterBlock()
    let requests = RequestCounters(routes: ["example.com/", "example.com/\"quoted\"\\"])
    registry.register(counters: counters, requests: requests)
    for counter in Counter.allCases { counters.add(counter, UInt64(counter.rawValue) + 1) }
    for result in CacheResult.allCases {
      for status in [200, 304, 404, 502, 599] as [UInt16] {
        requests.record(
          route: Int(result.rawValue) % 3, status: status, result: result, bytes: 100,
          duration: Int64(status) * 1_000_000)
      }
    }
    registry.addSource { writer in
      let counted = Set(Counter.allCases.compactMap { $0.sample?.metric })
      for metric in Metric.allCases where !counted.contains(metric) {
        if [.requests, .responseBytes, .requestDuration].contains(metric) { continue }
        writer.add(metric, 1, metric.descriptor.labels.map { "\($0)\\\"\n" })
      }
      writer.add(.storeCommitSeconds, seconds: 0.25)
      writer.add(.logDropped, 2, ["write"])
    }
    return registry
  }

  @Test func `everything together is a valid exposition, a family once`() throws {
    let exposition = try Exposition(Self.fullRegistry().prometheus())
    #expect(exposition.types.count == Metric.allCases.count)
    #expect(exposition.value("weir_store_commit_seconds_total") == 1.25)
    #expect(exposition.value("weir_log_dropped_total", ["reason": "write"]) == 2)
    #expect(exposition.value("weir_limit_keys", ["limit": "limit\\\"\n"]) == 1)
  }

  /// Skipped where promtool (Debian: prometheus) is not installed; WEIR_PROMTOOL may say where it is.
  @Test(.enabled(if: Promtool.path != nil))
  func `promtool has nothing to say against it`() throws {
    #expect(try Promtool.check(Self.fullRegistry().prometheus()) == 0)
  }

  @Test func `figures of one family from several sources are one family, equal labels one sample`()
    throws
  {
    let registry = MetricsRegistry()
    for name in ["a", "b", "a"] {
      registry.addSource { $0.add(.limitKeys, 3, [name]) }
      registry.addSource { $0.add(.storeBytes, 1 << 40 as UInt64) }
    }
    let exposition = try Exposition(registry.prometheus())
    #expect(exposition.value("weir_limit_keys", ["limit": "a"]) == 6)
    #expect(exposition.value("weir_limit_keys", ["limit": "b"]) == 3)
    #expect(exposition.value("weir_store_bytes") == Double(3 << 40 as Int64))
  }

  @Test func `no figures are an empty exposition but for the counters`() throws {
    #expect(try Exposition(MetricsWriter().text()).samples.isEmpty)
    #expect(try Exposition(MetricsRegistry().prometheus()).value("weir_connections") == 0)
  }
}
