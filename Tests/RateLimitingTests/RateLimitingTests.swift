import Bytes
import Dispatch
import RateLimiting
import Synchronization
import Testing

private let second: Int64 = 1_000_000_000
private let day: Int64 = 86_400 * second
private let secret = Hash128(low: 0x0123_4567_89AB_CDEF, high: 0xFEDC_BA98_7654_3210)

/// The textbook's bucket in exact integers: a level in `period`-ths of a token, filled by `tokens`
/// each nanosecond.
private struct ReferenceBucket {
  let tokens: Int128
  let period: Int128
  let burst: Int128
  var level: Int128
  var time: Int64

  init(tokens: UInt64, period: Int64, burst: UInt64, now: Int64) {
    self.tokens = Int128(tokens)
    self.period = Int128(period)
    self.burst = Int128(burst)
    level = self.burst * self.period
    time = now
  }

  mutating func decide(now: Int64, cost: UInt64) -> LimitDecision {
    level = min(burst * period, level + Int128(now - time) * tokens)
    time = now
    let price = Int128(cost) * period
    if price > burst * period { return .refused(retryAfter: .max) }
    if price <= level {
      level -= price
      return .allowed(remaining: UInt64(level / period))
    }
    return .refused(retryAfter: Int64((price - level + tokens - 1) / tokens))
  }
}

private func limiter(_ tokens: UInt64, per period: Int64, burst: UInt64, maxKeys: Int = 1000) throws
  -> RateLimiter
{
  let rate = try #require(TokenBucketRate(tokens: tokens, per: period, burst: burst))
  return RateLimiter(rate: rate, maxKeys: maxKeys, secret: secret)
}

extension LimitDecision {
  fileprivate var isAllowed: Bool { if case .allowed = self { true } else { false } }
}

@Suite struct TokenBucketRateTests {
  @Test func `rates from one a day to a million a second are taken, and none outside`() {
    #expect(TokenBucketRate(tokens: 1, per: day, burst: 1) != nil)
    #expect(TokenBucketRate(tokens: 1, per: day + 1, burst: 1) == nil)
    #expect(TokenBucketRate(tokens: 1_000_000, per: second, burst: 1) != nil)
    #expect(TokenBucketRate(tokens: 1_000_001, per: second, burst: 1) == nil)
    #expect(TokenBucketRate(tokens: 86_400_000_000, per: day, burst: .max >> 20) != nil)
    #expect(TokenBucketRate(tokens: 86_399_999_999, per: day, burst: 5) != nil)
  }

  @Test(
    arguments: [
      (0, second, 1), (1, 0, 1), (1, second, 0), (1, -1, 1), (1, .min, 1), (.max, .max, .max),
      (.max, 1, 1), (1, .max, 1), (1, day, .max), (1, day, 26_689 * 2),
    ] as [(UInt64, Int64, UInt64)])
  func `what makes no sense or does not fit in 64 bits is refused`(
    tokens: UInt64, period: Int64, burst: UInt64
  ) {
    #expect(TokenBucketRate(tokens: tokens, per: period, burst: burst) == nil)
  }
}

@Suite struct RateLimiterTests {
  /// Rates that divide a nanosecond evenly and rates that do not, the slowest, the fastest.
  static let rates: [(UInt64, Int64, UInt64)] = [
    (50, second, 100), (3, second, 1), (7, 60 * second, 2), (1, day, 3), (1_000_000, second, 1),
    (999_983, second, 1000), (86_399_999_999, day, 1_000_000), (1000, 3600 * second, 1),
    (1, second, 2_000_000_000), (17, 10 * second, 40),
  ]

  @Test(arguments: rates)
  func `decisions are those of the exact model`(tokens: UInt64, period: Int64, burst: UInt64) throws
  {
    for seed in 0..<8 as Range<UInt64> {
      let limit = try limiter(tokens, per: period, burst: burst)
      var random = Seeded(state: seed &* 977 &+ tokens)
      var now = Int64.random(in: 0..<1 << 55, using: &random)
      var model = ReferenceBucket(tokens: tokens, period: period, burst: burst, now: now)
      let key = Hash128(low: seed, high: 1)
      let tokenTime = max(period / Int64(tokens), 1)
      for _ in 0..<2000 {
        let cost =
          Bool.random(using: &random) ? 1 : UInt64.random(in: 0...burst + 1, using: &random)
        let decision = limit.decide(key: key, now: now, cost: cost)
        #expect(decision == model.decide(now: now, cost: cost))
        switch Int.random(in: 0..<5, using: &random) {
        case 0: break
        case 1: now += Int64.random(in: 0...3, using: &random)
        case 2: now += Int64.random(in: 0...tokenTime * 2, using: &random)
        case 3: now += Int64.random(in: 0...tokenTime * 20, using: &random)
        default:
          // Exactly when it said, and a nanosecond before: the sharpest edge there is.
          guard case .refused(let wait) = decision, wait < 1 << 50 else { break }
          let early = limit.decide(key: key, now: now + wait - 1, cost: cost)
          #expect(early == model.decide(now: now + wait - 1, cost: cost))
          #expect(!early.isAllowed)
          now += wait
          #expect(model.decide(now: now, cost: 0) == limit.decide(key: key, now: now, cost: 0))
        }
      }
    }
  }

  @Test(arguments: rates)
  func `no window lets through more than the burst and what comes back in it`(
    tokens: UInt64, period: Int64, burst: UInt64
  ) throws {
    let limit = try limiter(tokens, per: period, burst: burst)
    var random = Seeded(state: 42)
    let key = Hash128(low: 7, high: 7)
    let tokenTime = max(period / Int64(tokens), 1)
    var now: Int64 = 1 << 50
    var passed: [Int64] = []
    for _ in 0..<6000 where passed.count < 1500 {
      // Workers' clocks that disagree by up to a few tokens' time, never more than is tolerated.
      let skew = Int64.random(in: 0...min(tokenTime * 3, second), using: &random)
      if limit.decide(key: key, now: now - skew).isAllowed { passed.append(now - skew) }
      now += Int64.random(in: 0...tokenTime, using: &random)
    }
    passed.sort()
    for first in stride(from: 0, to: passed.count, by: 7) {
      for last in first..<passed.count {
        let window = Int128(passed[last] - passed[first])
        let bound = Int128(burst) * Int128(period) + window * Int128(tokens)
        if Int128(last - first + 1) * Int128(period) > bound {
          Issue.record("\(last - first + 1) let through in \(window) ns")
          return
        }
      }
    }
  }

  @Test func `twice the rate for ten minutes lets exactly the bound through`() throws {
    let limit = try limiter(50, per: second, burst: 100)
    let key = limit.key(addressHigh: 0, addressLow: 0xFFFF_0102_0304)
    var passed = 0
    for index in 0...60_000 as ClosedRange<Int64> {
      if limit.decide(key: key, now: index * 10_000_000).isAllowed { passed += 1 }
    }
    #expect(passed == 100 + 50 * 600)
  }

  @Test func `threads that hammer one key get exactly the burst between them`() throws {
    let limit = try limiter(1, per: day, burst: 10_007, maxKeys: 1_000_000)
    let key = limit.key(addressHigh: 0x2001_0db8 << 32, addressLow: 1)
    let passed = Atomic<Int>(0)
    DispatchQueue.concurrentPerform(iterations: 4) { _ in
      var mine = 0
      for _ in 0..<20_000 where limit.decide(key: key, now: 1 << 50).isAllowed { mine += 1 }
      passed.add(mine, ordering: .relaxed)
    }
    #expect(passed.load(ordering: .relaxed) == 10_007)
  }

  @Test func `keys are apart, IPv6 counts by its first 64 bits, IPv4 whole`() throws {
    let limit = try limiter(1, per: second, burst: 1)
    let prefix: UInt64 = 0x2001_0db8_0000_0001
    let keys = [
      limit.key(addressHigh: prefix, addressLow: 1),
      limit.key(addressHigh: prefix + 1, addressLow: 1),
      limit.key(addressHigh: 0, addressLow: 0xFFFF_0A00_0001),
      limit.key(addressHigh: 0, addressLow: 0xFFFF_0A00_0002),
      limit.key(addressHigh: 0, addressLow: 1),
    ]
    #expect(Set(keys).count == keys.count)
    #expect(limit.key(addressHigh: prefix, addressLow: .max) == keys[0])
    for key in keys { #expect(limit.decide(key: key, now: 5) == .allowed(remaining: 0)) }
    for key in keys { #expect(limit.decide(key: key, now: 5) == .refused(retryAfter: second)) }
    let other = RateLimiter(
      rate: try #require(TokenBucketRate(tokens: 1, per: second, burst: 1)), maxKeys: 1,
      secret: Hash128(low: 1, high: 2))
    #expect(other.key(addressHigh: prefix, addressLow: 1) != keys[0])
  }

  @Test func `a cost of nothing only asks, and one beyond the burst never passes`() throws {
    let limit = try limiter(1, per: second, burst: 5)
    let key = Hash128(low: 1, high: 1)
    #expect(limit.decide(key: key, now: 0, cost: 0) == .allowed(remaining: 5))
    #expect(limit.keys == 0)
    #expect(limit.decide(key: key, now: 0, cost: 6) == .refused(retryAfter: .max))
    #expect(limit.decide(key: key, now: 0, cost: .max) == .refused(retryAfter: .max))
    #expect(limit.decide(key: key, now: 0, cost: 5) == .allowed(remaining: 0))
    #expect(limit.decide(key: key, now: 0, cost: 0) == .allowed(remaining: 0))
    #expect(limit.decide(key: key, now: 0, cost: 2) == .refused(retryAfter: 2 * second))
  }
}
