import Bytes
import RateLimiting
import Testing

/// How a region's processes share a budget, in simulated time, with 80 ms to the engine and back.
@Suite struct RegionalLimitTests {
  private static let millisecond = SimulatedRegion.millisecond
  private static let second = SimulatedRegion.second

  private func rate(_ tokens: UInt64, per period: Int64 = second, burst: UInt64? = nil) throws
    -> TokenBucketRate
  {
    try #require(TokenBucketRate(tokens: tokens, per: period, burst: burst ?? tokens))
  }

  /// How load falls on processes.
  enum Load: CaseIterable {
    case even, skewed, single, moving

    /// How many requests a process gets in a millisecond that begins at `time` (ms since the start), where
    /// all together get `all` on average.
    func requests(_ process: Int, of count: Int, all: Double, time: Int64) -> Double {
      switch self {
      case .even: all / Double(count)
      case .skewed: process == 0 ? all * 0.8 : all * 0.2 / Double(max(count - 1, 1))
      case .single: process == 0 ? all : 0
      case .moving: process == Int(time / 5_000) % count ? all : 0
      }
    }
  }

  private func run(
    _ region: inout SimulatedRegion, _ load: Load, perSecond: Double, milliseconds: Int64,
    chance: inout Seeded
  ) {
    for time in 0..<milliseconds {
      for process in region.limiters.indices {
        var wanted = load.requests(
          process, of: region.limiters.count, all: perSecond / 1_000, time: time)
        while wanted > 0 {
          if wanted >= 1 || Double.random(in: 0..<1, using: &chance) < wanted {
            region.spend(process)
          }
          wanted -= 1
        }
      }
      region.advance(Self.millisecond)
    }
  }

  @Test(arguments: Load.allCases, [1, 8, 20])
  func `all processes together let pass what the region may, to a hundredth`(
    load: Load, processes: Int
  ) throws {
    var chance = Seeded(state: 11)
    let rate = try rate(100)
    var region = SimulatedRegion(rate, processes: processes)
    // Twice as much as may pass, for long enough that the bucket itself does not count.
    run(&region, load, perSecond: 300, milliseconds: 40_000, chance: &chance)
    let fair = 100.0 + 100 * 40
    #expect(Double(region.spent.count) <= fair * 1.01, "\(region.spent.count) of \(fair)")
    // What is leased to those who are hardly asked, and who learn of each other late, is spent by nobody.
    let least = load == .skewed && processes == 20 ? 0.97 : 0.985
    #expect(Double(region.spent.count) >= fair * least, "\(region.spent.count) of \(fair)")
    #expect(region.worstExcess <= region.bound)
  }

  @Test(arguments: [
    (tokens: 5 as UInt64, period: 60 * second, burst: 5 as UInt64), (1, second, 1),
    (1_000, second, 10), (10_000, second, 20_000), (7, second, 100),
  ])
  func `whatever jumps, the bound holds in any time`(
    tokens: UInt64, period: Int64, burst: UInt64
  ) throws {
    for seed in 1...2 as ClosedRange<UInt64> {
      var chance = Seeded(state: seed)
      let rate = try rate(tokens, per: period, burst: burst)
      var region = SimulatedRegion(rate, processes: 8)
      let pace = min(Double(tokens) / Double(period) * 1e9 * 4, 20_000)
      for _ in 0..<40 {
        // From full load on some to none, for a while each.
        let hot = Set((0..<8).filter { _ in Bool.random(using: &chance) })
        let length = Int64.random(in: 20...600, using: &chance)
        for _ in 0..<length {
          for process in hot.sorted() {
            var wanted = pace / 1_000 / Double(hot.count) + 0.02
            while wanted > 0 {
              if Double.random(in: 0..<1, using: &chance) < wanted { region.spend(process) }
              wanted -= 1
            }
          }
          region.advance(Self.millisecond)
        }
      }
      #expect(region.worstExcess <= region.bound, "seed \(seed)")
      #expect(!region.spent.isEmpty)
    }
  }

  @Test func `one who is alone has the whole burst, though the region is large`() throws {
    let rate = try rate(5, per: 60 * Self.second, burst: 5)
    var region = SimulatedRegion(rate, processes: 4)
    for _ in 0..<5 {
      let passes = region.spend(0)
      #expect(passes)
      for _ in 0..<15 { region.advance(100 * Self.millisecond) }
    }
    var passes = region.spend(0)
    #expect(!passes)
    // A token comes back in twelve seconds, and is there when it does.
    for _ in 0..<130 { region.advance(100 * Self.millisecond) }
    passes = region.spend(0)
    #expect(passes)
  }

  @Test func `what one process has spent another knows after it has asked`() throws {
    var region = SimulatedRegion(try rate(1, burst: 10), processes: 2)
    for _ in 0..<60 {
      region.spend(0)
      region.advance(20 * Self.millisecond)
    }
    // The other does not know until it has asked.
    region.spend(1)
    for _ in 0..<10 { region.advance(20 * Self.millisecond) }
    let before = region.spent.count
    for _ in 0..<10 { region.spend(1) }
    #expect(region.spent.count <= before + 1)
  }

  @Test func `without the engine each goes on with its share, and no more`() throws {
    var chance = Seeded(state: 5)
    var region = SimulatedRegion(try rate(100), processes: 4)
    run(&region, .even, perSecond: 400, milliseconds: 10_000, chance: &chance)
    let before = region.spent.count
    for process in 0..<4 {
      region.isCut[process] = true
      region.limiters[process].isGone = true
    }
    run(&region, .even, perSecond: 400, milliseconds: 20_000, chance: &chance)
    // 100 a second for twenty seconds.
    let alone = region.spent.count - before
    #expect(alone <= 2_120)
    #expect(alone >= 1_900)
    // It is back, and what was spent meanwhile by right is not asked for again.
    for process in 0..<4 {
      region.isCut[process] = false
      region.limiters[process].isGone = false
    }
    let then = region.spent.count
    run(&region, .single, perSecond: 400, milliseconds: 20_000, chance: &chance)
    #expect(region.spent.count - then >= 1_860)
    #expect(region.worstExcess <= region.bound)
  }

  @Test(arguments: [(BudgetFallback.open, 50), (.closed, 0), (.share, 5)])
  func `without the engine a limit does what it is told`(fallback: BudgetFallback, passed: Int)
    throws
  {
    let limiter = RegionalLimiter(
      rate: try rate(1, burst: 10), maxKeys: 10, fallback: fallback)
    limiter.share = 0.5
    limiter.isGone = true
    let key = Hash128(low: 1, high: 2)
    var count = 0
    for _ in 0..<50 {
      if case .allowed = limiter.decide(key: key, now: 1_000_000_000) { count += 1 }
    }
    #expect(count == passed)
  }

  @Test func `an engine whose clock jumps holds nobody off for longer than a bucket takes`() throws
  {
    var chance = Seeded(state: 3)
    var region = SimulatedRegion(try rate(100), processes: 2)
    region.engine.skew = 3_600 * Self.second
    run(&region, .even, perSecond: 300, milliseconds: 3_000, chance: &chance)
    region.engine.skew = 0
    run(&region, .even, perSecond: 300, milliseconds: 5_000, chance: &chance)
    let before = region.spent.count
    run(&region, .even, perSecond: 300, milliseconds: 10_000, chance: &chance)
    #expect(region.spent.count - before >= 950)
  }

  @Test func `an engine that comes back empty costs one bucket`() throws {
    var chance = Seeded(state: 4)
    var region = SimulatedRegion(try rate(50, burst: 100), processes: 3)
    run(&region, .even, perSecond: 200, milliseconds: 20_000, chance: &chance)
    region.engine.forget()
    run(&region, .even, perSecond: 200, milliseconds: 20_000, chance: &chance)
    #expect(region.spent.count <= 2_250)
  }

  @Test func `keys beyond the table's room share one budget, and none is forgiven`() throws {
    let limiter = RegionalLimiter(rate: try rate(1, burst: 4), maxKeys: 8)
    limiter.share = 1
    let now = 5 * Self.second
    var allowed = 0
    for number in 1...100 as ClosedRange<UInt64> {
      for _ in 0..<10 {
        let key = Hash128(low: number &* 0x9E37_79B9_7F4A_7C15, high: number)
        if case .allowed = limiter.decide(key: key, now: now) { allowed += 1 }
      }
    }
    #expect(allowed == 36)
    #expect(limiter.keys == 8)
  }

  @Test func `a key that an operator forgives has a full bucket everywhere`() throws {
    var region = SimulatedRegion(try rate(1, per: 60 * Self.second, burst: 4), processes: 2)
    let key = Hash128(low: 7, high: 7)
    for _ in 0..<40 {
      region.spend(0)
      region.advance(100 * Self.millisecond)
    }
    let passes = region.spend(0)
    #expect(!passes)
    #expect(region.limiters[0].forgive(key: key, now: region.now))
    region.advance(200 * Self.millisecond)
    var passed = 0
    for _ in 0..<40 {
      if region.spend(1) { passed += 1 }
      region.advance(100 * Self.millisecond)
    }
    #expect(passed >= 3)
  }
}
