import Bytes
import RateLimiting
import Testing

private let second: Int64 = 1_000_000_000
private let secret = Hash128(low: 1, high: 2)

private func limiter(_ tokens: UInt64, burst: UInt64, maxKeys: Int) throws -> RateLimiter {
  let rate = try #require(TokenBucketRate(tokens: tokens, per: second, burst: burst))
  return RateLimiter(rate: rate, maxKeys: maxKeys, secret: secret)
}

private func address(_ limit: RateLimiter, _ number: UInt64) -> Hash128 {
  limit.key(addressHigh: 0x2001_0db8_0000_0000 | number, addressLow: 0)
}

extension LimitDecision {
  fileprivate var isAllowed: Bool { if case .allowed = self { true } else { false } }
}

@Suite struct FloodTests {
  @Test(arguments: [1, 100, 5000, 20_000])
  func `random keys never take more than the table's share of memory`(maxKeys: Int) throws {
    let limit = try limiter(1, burst: 2, maxKeys: maxKeys)
    for number in 0..<200_000 as Range<UInt64> {
      _ = limit.decide(key: address(limit, number), now: second + Int64(number))
    }
    #expect(limit.keys <= maxKeys)
    #expect(limit.keys >= maxKeys * 9 / 10)
    #expect(limit.bytes <= maxKeys * 64 + 256 * 640)
  }

  @Test func `a key takes at most 64 bytes at any size`() throws {
    let limit = try limiter(1, burst: 2, maxKeys: 100_000)
    for number in 0..<100_000 as Range<UInt64> {
      _ = limit.decide(key: address(limit, number), now: second)
      if number > 20_000 && number % 5000 == 0 {
        #expect(limit.bytes <= limit.keys * 64 + 256 * 384)
      }
    }
  }

  @Test func `a flood of new keys does not let a heavy key off`() throws {
    let limit = try limiter(10, burst: 20, maxKeys: 4096)
    let heavy = address(limit, .max >> 32)
    var passed = 0
    var number: UInt64 = 0
    // Ten seconds; the heavy key asks every millisecond, forty new keys come between.
    for step in 0..<10_000 as Range<Int64> {
      let now = second + step * 1_000_000
      if limit.decide(key: heavy, now: now).isAllowed { passed += 1 }
      for _ in 0..<40 {
        number += 1
        _ = limit.decide(key: address(limit, number), now: now)
      }
    }
    #expect(passed <= 20 + 10 * 10)
    #expect(passed >= 10 * 10)
    #expect(limit.keys <= 4096)
  }

  @Test func `a newcomer to a full table shares the overflow bucket, and keeps its debt inside`()
    throws
  {
    // One stripe of two places, both taken by keys that owe for long.
    let limit = try limiter(1, burst: 10, maxKeys: 2)
    for number in 0..<2 as Range<UInt64> {
      #expect(limit.decide(key: address(limit, number), now: 0, cost: 10).isAllowed)
    }
    let late = address(limit, 7)
    #expect(limit.decide(key: late, now: 0, cost: 6) == .allowed(remaining: 4))
    #expect(limit.decide(key: address(limit, 8), now: 0, cost: 5) == .refused(retryAfter: second))
    #expect(limit.decide(key: address(limit, 9), now: 0, cost: 4) == .allowed(remaining: 0))
    // At 10 s the first two are full and leave; the overflow bucket is full, too.
    #expect(limit.decide(key: late, now: 9 * second, cost: 1) == .allowed(remaining: 8))
    #expect(limit.decide(key: late, now: 10 * second, cost: 9) == .allowed(remaining: 0))
    #expect(limit.keys <= 2)
    #expect(limit.decide(key: late, now: 10 * second) == .refused(retryAfter: second))
  }

  @Test func `a key that left as full is not better off for a worker whose clock lags`() throws {
    let limit = try limiter(1, burst: 4, maxKeys: 1)
    let key = address(limit, 1)
    #expect(limit.decide(key: key, now: second, cost: 4).isAllowed)
    // At 5 s it is full again, and leaves for another.
    #expect(limit.decide(key: address(limit, 2), now: 5 * second, cost: 4).isAllowed)
    // A worker that is still at 4 s: one token short then, and the overflow bucket knows.
    #expect(limit.decide(key: key, now: 4 * second, cost: 4) == .refused(retryAfter: second))
    #expect(limit.decide(key: key, now: 4 * second, cost: 3) == .allowed(remaining: 0))
  }

  @Test func `idle keys leave as others come, and the table shrinks again`() throws {
    let limit = try limiter(1, burst: 1, maxKeys: 100_000)
    for number in 0..<50_000 as Range<UInt64> {
      _ = limit.decide(key: address(limit, number), now: second)
    }
    let grown = limit.bytes
    for number in 0..<50_000 as Range<UInt64> {
      let now = 10 * second + Int64(number) * 100_000_000
      _ = limit.decide(key: address(limit, 1 << 20 + number), now: now)
    }
    #expect(limit.keys < 3000)
    #expect(limit.bytes < grown / 4)
  }

  @Test func `no removal loses a key that stays`() throws {
    let limit = try limiter(1, burst: 100, maxKeys: 3000)
    // Every third key owes for long; the rest are full within a second and leave.
    for number in 0..<2400 as Range<UInt64> {
      let cost: UInt64 = number % 3 == 0 ? 100 : 1
      #expect(limit.decide(key: address(limit, number), now: 0, cost: cost).isAllowed)
    }
    for number in 0..<4000 as Range<UInt64> {
      _ = limit.decide(key: address(limit, 1 << 24 + number), now: 2 * second)
    }
    for number in stride(from: 0, to: 2400, by: 3) as StrideTo<UInt64> {
      #expect(
        limit.decide(key: address(limit, number), now: 2 * second, cost: 3)
          == .refused(retryAfter: second))
    }
  }
}
