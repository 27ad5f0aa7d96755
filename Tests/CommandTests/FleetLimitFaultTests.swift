import EdgeTesting
import RedisTesting
import Synchronization
import Testing

/// A limit that whole PoPs of a region share, under more load than it allows, over faults: what is let through
/// is never more than the bound of docs/fleet.md says.
@Suite(
  .enabled(if: RedisProcess.isInstalled, "redis-server is not installed"), .serialized)
struct FleetLimitFaultTests {
  private static let rate = 100.0
  private static let burst = 50.0

  /// PoPs with a limit, and clients that ask each of them without a pause.
  private final class Region: Sendable {
    let pops: [ProcessPoP]
    private let origin: ScriptedOrigin
    private let isOver = Atomic(false)
    private let passed = Atomic(0)
    private let refused = Atomic(0)
    private let others = Mutex<[Int]>([])

    init(_ count: Int, engine: UInt16, _ limit: String) async throws {
      origin = try await ScriptedOrigin.answering { _ in
        Reply(200, ["Cache-Control: max-age=100000"], "x")
      }
      let port = origin.port
      pops = try (0..<count).map { index in
        try ProcessPoP(
          "pop-\(index)",
          configuration: popConfiguration(
            index, origin: port, fleet: "server 127.0.0.1:\(engine);",
            site: "route / { origin app; limit shared; }",
            top: "limit shared { token_bucket 100/s burst=50; key host; scope region \(limit); }"))
      }
      for pop in pops { try await pop.start() }
      try await meet()
    }

    /// Waits until all PoPs know of each other.
    func meet() async throws {
      for pop in pops {
        try await inTheEnd("\(pop.name) knows the others") {
          guard await figure("weir_fleet_limits_connected", pop) == 1 else { return false }
          return await figure("weir_fleet_limits_pops", pop) == pops.count
        }
      }
    }

    func figure(_ name: String, _ pop: ProcessPoP) async -> Int? {
      let lines = await pop.admin("GET", "/metrics")?.text.split(separator: "\n") ?? []
      return lines.first { $0.hasPrefix("\(name) ") }.flatMap { Int($0.dropFirst(name.count + 1)) }
    }

    /// Waits until so many more requests were answered.
    func asked(_ count: Int) async throws {
      func sum() -> Int { passed.load(ordering: .relaxed) + refused.load(ordering: .relaxed) }
      let end = sum() + count
      try await inTheEnd("\(count) more requests") { sum() >= end }
    }

    /// Kills the engine, and waits until all PoPs have noticed.
    func lose(_ engine: RedisProcess) async throws {
      engine.kill()
      for pop in pops {
        try await inTheEnd("\(pop.name) has noticed") {
          await figure("weir_fleet_limits_connected", pop) == 0
        }
      }
    }

    /// Kills a PoP and starts it again, with requests before and after.
    func killOne() async throws {
      try await pops[2].kill()
      try await asked(500)
      try await pops[2].start()
      try await meet()
      try await asked(500)
    }

    /// Asks while something happens; returns how many were let through, and the seconds from before the
    /// first request until after the last.
    func load(_ body: () async throws -> Void) async throws -> (passed: Int, seconds: Double) {
      isOver.store(false, ordering: .relaxed)
      passed.store(0, ordering: .relaxed)
      let begin = ContinuousClock.now
      try await withThrowingTaskGroup(of: Void.self) { group in
        defer { isOver.store(true, ordering: .relaxed) }
        for pop in pops { for _ in 0..<2 { group.addTask { try await self.ask(pop) } } }
        try await body()
        isOver.store(true, ordering: .relaxed)
        try await group.waitForAll()
      }
      #expect(others.withLock { $0 } == [])
      let elapsed = ContinuousClock.now - begin
      return (passed.load(ordering: .relaxed), elapsed / .seconds(1))
    }

    private func ask(_ pop: ProcessPoP) async throws {
      while !isOver.load(ordering: .relaxed) {
        switch await pop.get("/")?.status {
        case 200: passed.add(1, ordering: .relaxed)
        case 429: refused.add(1, ordering: .relaxed)
        case nil: try await Task.sleep(for: .milliseconds(2))
        case let status?: others.withLock { $0.append(status) }
        }
      }
    }
  }

  @Test func `with leases the bound holds, and each fault costs a bucket at most`() async throws {
    let engine = try RedisProcess()
    let region = try await Region(3, engine: engine.port, "")
    // Leases last a second, and PoPs that do not know of each other yet spend a bucket and a token each.
    let most = 2 * Self.burst + 3 + Self.rate
    let before = try await region.load { try await region.asked(2_000) }
    #expect(Double(before.passed) <= most + Self.rate * before.seconds)
    let over = try await region.load {
      try await region.lose(engine)
      try await region.asked(1_000)
      try engine.start()
      try await region.meet()
      try await region.killOne()
    }
    // Where the engine is away shares of the rate and the burst add up to one of each; a PoP that was killed
    // has not told what it spent last.
    #expect(Double(over.passed) <= most + 2 * Self.burst + Self.rate * over.seconds)
  }

  @Test func `where each request is asked for, faults let nothing more through`() async throws {
    let engine = try RedisProcess()
    let region = try await Region(
      3, engine: engine.port, "consistency=exact timeout=10s when_down=closed")
    let over = try await region.load {
      try await region.asked(500)
      try await region.lose(engine)
      try engine.start()
      try await region.meet()
      try await region.killOne()
    }
    #expect(Double(over.passed) <= Self.burst + Self.rate * over.seconds)
  }
}
