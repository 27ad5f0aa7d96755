import Bytes
import RateLimiting
import Testing

private let second: Int64 = 1_000_000_000
private let secret = Hash128(low: 1, high: 2)
private let key = Hash128(low: 3, high: 5)

/// A request under way.
private final class Request {
  var checks = LimitChecks()
  let begun: Int64
  let isKept: Bool

  init(at now: Int64, isKept: Bool = false) {
    begun = now
    self.isKept = isKept
  }
}

extension LimitSet {
  /// Begins a request under the first limit; nil if it is refused.
  fileprivate func begin(
    at now: Int64, key: Hash128 = key, cost: UInt64 = 1, isKept: Bool = false
  ) -> Request? {
    let request = Request(at: now, isKept: isKept)
    add(0, key: key, cost: cost, to: &request.checks)
    let outcome = decide(
      &request.checks, now: now, time: now / second, worker: 0, request: 0)
    return outcome == .allowed ? request : nil
  }

  /// Ends a request that turns out to cost nothing.
  fileprivate func giveBack(_ request: Request, at now: Int64, byUndo: Bool = false) {
    if byUndo {
      undo(&request.checks, now: now, time: now / second)
    } else {
      correct(&request.checks, check: 0, cost: 0, now: now, time: now / second)
    }
  }
}

private func bucketSet(
  _ tokens: UInt64, per period: Int64, burst: UInt64, maxKeys: Int = 1000
) throws -> LimitSet {
  let rate = try #require(TokenBucketRate(tokens: tokens, per: period, burst: burst))
  return LimitSet([
    Limit(
      name: "l", rule: .tokenBucket(RateLimiter(rate: rate, maxKeys: maxKeys, secret: secret)))
  ])
}

/// What is given back after time has passed: only what has not come back by itself meanwhile.
@Suite struct RefundTests {
  @Test func `slow successes that end between failures buy no further failures`() throws {
    let set = try bucketSet(5, per: 60 * second, burst: 5)
    var slow: [Request] = []
    for number in 0..<50 as Range<Int64> {
      slow.append(try #require(set.begin(at: number * 12 * second)))
    }
    let now = 600 * second
    var failures = 0
    for request in slow {
      while set.begin(at: now) != nil { failures += 1 }
      set.giveBack(request, at: now)
    }
    while set.begin(at: now) != nil { failures += 1 }
    #expect(failures == 5)
  }

  @Test(
    arguments: [
      (5, 60 * second, 5), (3, second, 1), (50, second, 100), (7, 60 * second, 2),
      (999_983, second, 1000),
    ] as [(UInt64, Int64, UInt64)])
  func `whatever is given back and whenever, no window keeps more than the bound`(
    tokens: UInt64, period: Int64, burst: UInt64
  ) throws {
    let tokenTime = period / Int64(tokens)
    for seed in 0..<24 as Range<UInt64> {
      // With a small table keys also leave and come back.
      let set = try bucketSet(
        tokens, per: period, burst: burst, maxKeys: seed % 2 == 0 ? 3 : 1000)
      var random = Seeded(state: seed)
      var now: Int64 = 1 << 50
      var underWay: [Request] = []
      var kept: [Int64] = []
      for _ in 0..<1500 {
        switch Int.random(in: 0..<8, using: &random) {
        case 0...3:
          let isKept = Int.random(in: 0..<3, using: &random) == 0
          guard let request = set.begin(at: now, isKept: isKept) else { break }
          if isKept { kept.append(now) } else { underWay.append(request) }
        case 4, 5:
          guard let index = underWay.indices.randomElement(using: &random) else { break }
          set.giveBack(
            underWay.remove(at: index), at: now, byUndo: Bool.random(using: &random))
        case 6: now += Int64.random(in: 0...tokenTime * 3, using: &random)
        default:
          // Others, who push those out of the table that are full.
          let other = Hash128(low: UInt64.random(in: 10..<40, using: &random), high: 1)
          _ = set.begin(at: now, key: other)
          now += Int64.random(in: 0...tokenTime / 2, using: &random)
        }
      }
      kept += underWay.map(\.begun)
      kept.sort()
      #expect(kept.count > 50)
      expectBound(kept, tokens: tokens, period: period, burst: burst)
    }
  }

  private func expectBound(_ times: [Int64], tokens: UInt64, period: Int64, burst: UInt64) {
    for first in times.indices {
      for last in first..<times.count {
        let window = Int128(times[last] - times[first])
        let bound = Int128(burst) * Int128(period) + window * Int128(tokens)
        if Int128(last - first + 1) * Int128(period) > bound {
          Issue.record("\(last - first + 1) kept in \(window) ns")
          return
        }
      }
    }
  }

  @Test func `successes cost nothing, one after the other or together`() throws {
    let set = try bucketSet(5, per: 60 * second, burst: 5)
    var random = Seeded(state: 4)
    var now: Int64 = 1 << 50
    for _ in 0..<500 {
      let request = try #require(set.begin(at: now))
      now += Int64.random(in: 0...20 * second, using: &random)
      set.giveBack(request, at: now)
    }
    for _ in 0..<100 {
      let together = try (0..<5).map { _ in try #require(set.begin(at: now)) }
      #expect(set.begin(at: now) == nil)
      now += 5 * second
      for request in together { set.giveBack(request, at: now) }
      // What is given back in parts is rounded by a 64th of a token each time.
      now += second
    }
    for _ in 0..<100 {
      let together = try (0..<5).map { _ in try #require(set.begin(at: now)) }
      now += 2 * second
      for request in together.shuffled(using: &random) { set.giveBack(request, at: now) }
      // In another order each pays for its two seconds at most.
      now += 9 * second
    }
  }

  @Test func `a change of rate in between gives back what is left of it`() throws {
    let set = try bucketSet(1, per: second, burst: 10)
    guard case .tokenBucket(let limiter) = set.limits[0].rule else { return }
    let request = try #require(set.begin(at: 0, cost: 8))
    limiter.setRate(
      try #require(TokenBucketRate(tokens: 2, per: second, burst: 10)), now: 4 * second)
    #expect(limiter.balance(key: key, now: 5 * second).remaining == 8)
    #expect(set.begin(at: 5 * second, cost: 5) != nil)
    #expect(limiter.balance(key: key, now: 5 * second).remaining == 3)
    set.giveBack(request, at: 5 * second)
    #expect(limiter.balance(key: key, now: 5 * second).remaining == 5)
  }

  @Test func `what was forgiven is not given back as well`() throws {
    let set = try bucketSet(1, per: second, burst: 10)
    let request = try #require(set.begin(at: 0, cost: 8))
    #expect(set.limits[0].forgive(key: key, now: 0))
    #expect(set.begin(at: 0, cost: 10) != nil)
    set.giveBack(request, at: 0)
    #expect(set.begin(at: 0) == nil)
  }
}

@Suite struct QuotaRefundTests {
  private static let start: Int64 = 1_699_999_200

  private func set(_ limit: UInt64, _ kind: QuotaWindow.Kind, maxKeys: Int = 1000) throws
    -> LimitSet
  {
    let quota = try #require(
      QuotaLimiter(limit: limit, window: QuotaWindow(kind), maxKeys: maxKeys))
    return LimitSet([Limit(name: "q", rule: .quota(quota))])
  }

  @Test func `what has aged out of a rolling quota is not taken off what others used`() throws {
    let set = try set(50, .rollingHour)
    guard case .quota(let quota) = set.limits[0].rule else { return }
    let slow = try #require(set.begin(at: Self.start * second, cost: 30))
    let later = Self.start + 4 * 1200
    #expect(set.begin(at: later * second, cost: 20) != nil)
    set.giveBack(slow, at: later * second)
    #expect(quota.used(key: key, time: later) == 20)
    // In its window it comes back, out of the part that it was taken in.
    let quick = try #require(set.begin(at: later * second, cost: 10))
    #expect(set.begin(at: (later + 1200) * second, cost: 15) != nil)
    set.giveBack(quick, at: (later + 1200) * second)
    #expect(quota.used(key: key, time: later + 1200) == 35)
    #expect(quota.used(key: key, time: later + 4 * 1200) == 15)
  }

  @Test(arguments: 0..<12 as Range<UInt64>)
  func `whatever is given back and whenever, no stretch keeps more than the quota`(seed: UInt64)
    throws
  {
    let set = try set(20, .rollingHour)
    var random = Seeded(state: seed)
    var time = Self.start
    var underWay: [Request] = []
    var kept: [Int64] = []
    for _ in 0..<1500 {
      switch Int.random(in: 0..<6, using: &random) {
      case 0...2:
        let isKept = Bool.random(using: &random)
        guard let request = set.begin(at: time * second, isKept: isKept) else { break }
        if isKept { kept.append(time) } else { underWay.append(request) }
      case 3:
        guard let index = underWay.indices.randomElement(using: &random) else { break }
        set.giveBack(underWay.remove(at: index), at: time * second)
      default: time += Int64.random(in: 0...400, using: &random)
      }
    }
    kept += underWay.map { $0.begun / second }
    kept.sort()
    #expect(kept.count > 200)
    for index in kept.indices.dropFirst(20) {
      #expect(kept[index] - kept[index - 20] >= 3600)
    }
  }

  @Test func `what is given back to those without a place comes back to them`() throws {
    let set = try set(50, .day, maxKeys: 1)
    guard case .quota(let quota) = set.limits[0].rule else { return }
    #expect(set.begin(at: Self.start * second, key: Hash128(low: 9, high: 9)) != nil)
    let request = try #require(set.begin(at: Self.start * second, cost: 40))
    #expect(quota.used(key: key, time: Self.start) == 40)
    set.giveBack(request, at: Self.start * second)
    #expect(quota.used(key: key, time: Self.start) == 0)
  }

  @Test func `those who had no place are restored as the fullest of their stripes was`() throws {
    let before = try #require(
      QuotaLimiter(limit: 1_000_000, window: QuotaWindow(.day), maxKeys: 256))
    for number in 0..<3000 as Range<UInt64> {
      _ = before.decide(key: Hash128(low: number, high: 9), time: Self.start)
    }
    let strangers = (0..<200 as Range<UInt64>).map { Hash128(low: $0, high: 77) }
    let fullest = strangers.map { before.used(key: $0, time: Self.start) }.max() ?? 0
    #expect(fullest > 0)
    var buffer = ByteBuffer()
    before.snapshot(into: &buffer, secret: secret)
    let after = try #require(
      QuotaLimiter(limit: 1_000_000, window: QuotaWindow(.day), maxKeys: 1024))
    #expect(after.restore(buffer.view, secret: secret, time: Self.start))
    for stranger in strangers { #expect(after.used(key: stranger, time: Self.start) == fullest) }
    // And who had a place pays nothing for them.
    for number in 0..<20 as Range<UInt64> {
      let one = Hash128(low: number, high: 9)
      #expect(
        after.used(key: one, time: Self.start) == before.used(key: one, time: Self.start))
    }
  }
}
