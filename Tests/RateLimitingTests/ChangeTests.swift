import Bytes
import Dispatch
import RateLimiting
import Synchronization
import Testing

private let second: Int64 = 1_000_000_000
private let day: Int64 = 86_400 * second
private let key = Hash128(low: 3, high: 5)

private func rate(_ tokens: UInt64, per period: Int64 = second, burst: UInt64) throws
  -> TokenBucketRate
{
  try #require(TokenBucketRate(tokens: tokens, per: period, burst: burst))
}

private func limiter(_ rate: TokenBucketRate, maxKeys: Int = 1000) -> RateLimiter {
  RateLimiter(rate: rate, maxKeys: maxKeys, secret: Hash128(low: 1, high: 2))
}

extension LimitDecision {
  fileprivate var isAllowed: Bool { if case .allowed = self { true } else { false } }
}

@Suite struct RateChangeTests {
  @Test func `what was spent stays spent, and comes back at the new rate`() throws {
    let limit = limiter(try rate(10, burst: 100))
    #expect(limit.decide(key: key, now: 0, cost: 80) == .allowed(remaining: 20))
    // After 2 s, 60 are owed; of the larger bucket 140 are left.
    limit.setRate(try rate(1, burst: 200), now: 2 * second)
    #expect(limit.decide(key: key, now: 2 * second, cost: 0) == .allowed(remaining: 140))
    // Untouched since the change or not: from then on, one a second.
    #expect(limit.decide(key: key, now: 12 * second, cost: 0) == .allowed(remaining: 150))
  }

  @Test func `a debt larger than the new bucket is kept, and there and back changes nothing`()
    throws
  {
    let wide = try rate(7, burst: 1000)
    let narrow = try rate(3, per: 60 * second, burst: 10)
    let limit = limiter(wide)
    #expect(limit.decide(key: key, now: 0, cost: 510).isAllowed)
    limit.setRate(narrow, now: 0)
    #expect(limit.decide(key: key, now: 0) == .refused(retryAfter: 501 * 20 * second))
    #expect(!limit.decide(key: key, now: 0, cost: 0).isAllowed)
    limit.setRate(wide, now: 0)
    #expect(limit.decide(key: key, now: 0, cost: 0) == .allowed(remaining: 490))
  }

  @Test func `a hundred changes neither forgive nor forget`() throws {
    let rates = try [
      rate(7, burst: 1000), rate(999_983, burst: 1_000_000), rate(1, per: day, burst: 1000),
      rate(86_399_999_999, per: day, burst: 5000), rate(11, per: 3600 * second, burst: 700),
    ]
    let limit = limiter(rates[0])
    #expect(limit.decide(key: key, now: 0, cost: 600) == .allowed(remaining: 400))
    for round in 1...100 { limit.setRate(rates[round % rates.count], now: 0) }
    // A hundred roundings up by a part of a nanosecond each are not yet a token.
    #expect(limit.decide(key: key, now: 100, cost: 0) == .allowed(remaining: 400))
    #expect(limit.decide(key: key, now: 100, cost: 401) != .allowed(remaining: 0))
  }

  /// The bucket of the textbook as a level in real tokens, exact: a fraction with one denominator for
  /// all rates that are used.
  private struct ReferenceLevel {
    /// Divisible by the period of each rate, in nanoseconds.
    static let unit: Int128 = 86_400_000_000_000
    var owed: Int128 = 0
    var time: Int64 = 0

    mutating func advance(to now: Int64, _ rate: TokenBucketRate) {
      let back = Int128(now - time) * Int128(rate.tokens) * (Self.unit / Int128(rate.period))
      owed = max(0, owed - back)
      time = now
    }
  }

  @Test(arguments: 0..<12 as Range<UInt64>)
  func `whatever is changed and whenever, nobody gets more than was due, nor noticeably less`(
    seed: UInt64
  ) throws {
    var random = Seeded(state: seed)
    let periods: [Int64] = [second, 60 * second, 3600 * second, day]
    var current = try rate(10, burst: 100)
    let limit = limiter(current)
    var model = ReferenceLevel(time: 1 << 40)
    var now: Int64 = 1 << 40
    var changes: Int128 = 0
    for _ in 0..<3000 {
      now +=
        Int64.random(in: 0...second * 3, using: &random) >> Int64.random(in: 0...20, using: &random)
      model.advance(to: now, current)
      switch Int.random(in: 0..<10, using: &random) {
      case 0:
        current = try rate(
          UInt64.random(in: 1...5000, using: &random),
          per: periods.randomElement(using: &random) ?? day,
          burst: UInt64.random(in: 1...1000, using: &random))
        limit.setRate(current, now: now)
        changes += 1
      case 1:
        limit.charge(key: key, cost: 3, now: now)
        model.owed += 3 * ReferenceLevel.unit
      case 2 where model.owed >= 2 * ReferenceLevel.unit:
        limit.refund(key: key, cost: 2, now: now)
        model.owed -= 2 * ReferenceLevel.unit
      default:
        let cost = UInt64.random(in: 0...5, using: &random)
        let after = model.owed + Int128(cost) * ReferenceLevel.unit
        let room = Int128(current.burst) * ReferenceLevel.unit - after
        if limit.decide(key: key, now: now, cost: cost).isAllowed {
          #expect(room >= 0)
          model.owed = after
        } else {
          // Each change rounds the debt up by less than what two nanoseconds bring back.
          let slack = (changes + 1) * 2 * 5000 * (ReferenceLevel.unit / Int128(second))
          #expect(room < slack || Int128(cost) > Int128(current.burst))
        }
      }
    }
    #expect(changes > 100)
  }

  @Test func `the longest debt under the slowest rate does not leave 64 bits`() throws {
    let limit = limiter(try rate(1_000_000, burst: 1 << 40))
    #expect(limit.decide(key: key, now: 1 << 60, cost: 1 << 40).isAllowed)
    limit.setRate(try rate(1, per: day, burst: 20_000), now: 1 << 60)
    #expect(!limit.decide(key: key, now: 1 << 60).isAllowed)
    #expect(!limit.decide(key: key, now: 1 << 61, cost: 20_000).isAllowed)
  }

  @Test func `keys touched before, during and after a change agree`() throws {
    let limit = limiter(try rate(1, burst: 10), maxKeys: 50_000)
    for number in 0..<20_000 as Range<UInt64> {
      #expect(limit.decide(key: Hash128(low: number, high: 1), now: 0, cost: 4).isAllowed)
    }
    let wrong = Atomic<Int>(0)
    let faster = try rate(2, burst: 20)
    DispatchQueue.concurrentPerform(iterations: 2) { worker in
      if worker == 0 {
        limit.setRate(faster, now: 0)
        return
      }
      for number in 0..<20_000 as Range<UInt64> {
        let decision = limit.decide(key: Hash128(low: number, high: 1), now: 0)
        let expected: [LimitDecision] = [.allowed(remaining: 5), .allowed(remaining: 15)]
        if !expected.contains(decision) { wrong.add(1, ordering: .relaxed) }
      }
    }
    #expect(wrong.load(ordering: .relaxed) == 0)
    for number in 0..<20_000 as Range<UInt64> {
      let decision = limit.decide(key: Hash128(low: number, high: 1), now: second, cost: 0)
      #expect(decision == .allowed(remaining: 17))
    }
  }
}

/// A time that a test moves.
private final class SharedTime: Sendable {
  let now: Atomic<Int64>
  init(_ time: Int64) { now = Atomic(time) }
}

@Suite struct ClockTests {
  @Test func `a clock that goes back a little gives nothing away`() throws {
    let limit = limiter(try rate(1, burst: 5))
    #expect(limit.decide(key: key, now: 100 * second, cost: 5).isAllowed)
    #expect(limit.decide(key: key, now: 95 * second) == .refused(retryAfter: 6 * second))
    #expect(limit.decide(key: key, now: 101 * second) == .allowed(remaining: 0))
  }

  @Test func `a clock set back far is believed, and every debt stays as large`() throws {
    let limit = limiter(try rate(1, burst: 5))
    #expect(limit.decide(key: key, now: 1 << 50, cost: 4).isAllowed)
    #expect(limit.decide(key: key, now: second, cost: 3) == .refused(retryAfter: 2 * second))
    #expect(limit.decide(key: key, now: 3 * second, cost: 3) == .allowed(remaining: 0))
  }

  @Test func `the late time of a worker that has stalled is not believed`() throws {
    let time = SharedTime(1 << 50)
    let limit = RateLimiter(
      rate: try rate(1, burst: 5), maxKeys: 1000, secret: Hash128(low: 1, high: 2),
      clock: { time.now.load(ordering: .relaxed) })
    #expect(limit.decide(key: key, now: 1 << 50, cost: 5).isAllowed)
    // It began its turn 20 s ago. If that were believed, the debt would be moved 20 s back, and be gone.
    #expect(!limit.decide(key: key, now: (1 << 50) - 20 * second).isAllowed)
    #expect(!limit.decide(key: key, now: 1 << 50).isAllowed)
    // The clock says the same: it was set back.
    time.now.store(3 * second, ordering: .relaxed)
    #expect(limit.decide(key: key, now: 2 * second) == .refused(retryAfter: second))
    #expect(limit.decide(key: key, now: 4 * second) == .allowed(remaining: 0))
  }

  @Test func `a rate change survives a clock set back`() throws {
    let limit = limiter(try rate(1, burst: 5))
    #expect(limit.decide(key: key, now: 1 << 50, cost: 4).isAllowed)
    limit.setRate(try rate(2, burst: 5), now: 1 << 50)
    #expect(limit.decide(key: key, now: 0, cost: 0) == .allowed(remaining: 1))
    #expect(limit.decide(key: key, now: second, cost: 3) == .allowed(remaining: 0))
  }

  @Test(arguments: [Int64.min, -1, 0, 1, 1 << 61, 1 << 62, .max])
  func `no time traps`(now: Int64) throws {
    for tokens in [1, 86_399_999_999] as [UInt64] {
      let limit = limiter(try rate(tokens, per: day, burst: 20_000))
      #expect(limit.decide(key: key, now: now, cost: 20_000) == .allowed(remaining: 0))
      #expect(!limit.decide(key: key, now: now).isAllowed)
      #expect(!limit.decide(key: key, now: now, cost: 20_000).isAllowed)
      #expect(!limit.decide(key: key, now: .min).isAllowed)
      limit.setRate(try rate(5, per: day, burst: 30_000), now: .max)
      limit.setRate(try rate(1, per: second, burst: 1), now: .min)
      _ = limit.decide(key: key, now: .max)
      _ = limit.decide(key: key, now: 0)
    }
  }

  @Test func `a jump forward refills once and no more`() throws {
    let limit = limiter(try rate(1, burst: 5))
    #expect(limit.decide(key: key, now: 0, cost: 5).isAllowed)
    #expect(limit.decide(key: key, now: 1 << 60, cost: 5) == .allowed(remaining: 0))
    #expect(!limit.decide(key: key, now: 1 << 60).isAllowed)
  }
}
