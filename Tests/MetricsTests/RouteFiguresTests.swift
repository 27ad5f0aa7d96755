import Metrics
import Testing

@Suite("Figures by route and by turn") struct RouteFiguresTests {
  /// A registry with two workers' blocks.
  private static func registry() -> (MetricsRegistry, [RequestCounters]) {
    let registry = MetricsRegistry()
    let names = RouteNames([MetricsRegistry.noRoute, "a.example/", "b.example/"])
    let blocks = (0..<2).map { _ in RequestCounters(names: names) }
    for block in blocks { registry.register(counters: CounterBlock(), requests: block) }
    return (registry, blocks)
  }

  @Test func `a route's durations are summed over workers, in buckets of four times each`() {
    let (registry, blocks) = Self.registry()
    for (worker, duration) in [(0, 100_000), (0, 100_001), (1, 400_000), (1, 60_000_000_000)] {
      blocks[worker].record(
        route: 1, status: 200, result: .miss, bytes: 1, duration: Int64(duration))
    }
    let text = String(decoding: registry.prometheus(), as: UTF8.self)
    func line(_ bound: String) -> String {
      "weir_route_duration_seconds_bucket{route=\"a.example/\",le=\"\(bound)\"}"
    }
    #expect(text.contains(line("0.0001") + " 1\n"))
    #expect(text.contains(line("0.0004") + " 3\n"))
    #expect(text.contains(line("26.2144") + " 3\n"))
    #expect(text.contains(line("+Inf") + " 4\n"))
    #expect(text.contains("weir_route_duration_seconds_sum{route=\"a.example/\"} 60.000600001\n"))
    // A route that nobody asked for has none.
    #expect(!text.contains("weir_route_duration_seconds_bucket{route=\"b.example/\""))
  }

  @Test func `an account tells the store's bytes from the others, and has the origins'`() {
    let (registry, blocks) = Self.registry()
    blocks[0].record(route: 1, status: 200, result: .hit, bytes: 1_000, duration: 1)
    blocks[1].record(route: 1, status: 200, result: .stale, bytes: 100, duration: 1)
    blocks[1].record(route: 1, status: 200, result: .miss, bytes: 10, duration: 1)
    blocks[1].addOriginBytes(route: 1, 300)
    blocks[0].addOriginBytes(route: 1, 4)
    var account = RouteAccount()
    account.requests = 3
    account.sent = 1_110
    account.stored = 1_100
    account.received = 304
    #expect(registry.accounts() == ["a.example/": account])
    let text = String(decoding: registry.prometheus(), as: UTF8.self)
    #expect(text.contains("weir_response_bytes_total{route=\"a.example/\"} 1110\n"))
    #expect(text.contains("weir_response_stored_bytes_total{route=\"a.example/\"} 1100\n"))
    #expect(text.contains("weir_route_origin_bytes_total{route=\"a.example/\"} 304\n"))
  }

  @Test func `the turns of each worker are shown by themselves`() {
    let (registry, blocks) = Self.registry()
    blocks[0].recordTurn(10_000)
    blocks[1].recordTurn(60_000)
    blocks[1].recordTurn(-5)
    let text = String(decoding: registry.prometheus(), as: UTF8.self)
    #expect(text.contains("weir_loop_turn_seconds_bucket{worker=\"0\",le=\"5e-05\"} 1\n"))
    #expect(text.contains("weir_loop_turn_seconds_bucket{worker=\"1\",le=\"5e-05\"} 1\n"))
    #expect(text.contains("weir_loop_turn_seconds_bucket{worker=\"1\",le=\"0.0001\"} 2\n"))
    #expect(text.contains("weir_loop_turn_seconds_sum{worker=\"0\"} 1e-05\n"))
  }
}
