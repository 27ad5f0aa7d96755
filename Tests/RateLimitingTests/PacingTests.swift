import Bytes
import RateLimiting
import Testing

private let second: Int64 = 1_000_000_000
private let key = Hash128(low: 3, high: 5)

private func rate(_ bytes: UInt64, burst: UInt64) throws -> TokenBucketRate {
  try #require(TokenBucketRate(bytes: bytes, per: second, burst: burst))
}

@Suite struct PacingTests {
  private func allowance(
    _ wanted: UInt64, of limit: RateLimiter, now: Int64
  ) -> PacingDecision {
    limit.allowance(wanted, key: key, now: now).decision
  }

  @Test func `rates of bytes go up to a terabyte a second`() {
    #expect(TokenBucketRate(bytes: 1_000_000_000_000, per: second, burst: 1) != nil)
    #expect(TokenBucketRate(bytes: 1_000_000_000_001, per: second, burst: 1) == nil)
    #expect(TokenBucketRate(bytes: 999_999_999_989, per: second, burst: 1 << 40) != nil)
    #expect(TokenBucketRate(bytes: 1, per: 86_400 * second, burst: 1) != nil)
  }

  @Test(
    arguments: [
      (1_000_000, 65_536), (999_983, 10), (10_000_000_000, 1 << 20), (7, 3), (125_000, 16_384),
    ] as [(UInt64, UInt64)])
  func `a response is sent at its rate, as fast as that and no faster`(
    bytes: UInt64, burst: UInt64
  ) throws {
    var pacer = BandwidthPacer(rate: try rate(bytes, burst: burst))
    var random = Seeded(state: bytes)
    let start: Int64 = 1 << 40
    var now = start
    var sent: Int128 = 0
    for _ in 0..<3000 {
      let wanted = UInt64.random(in: 1...100_000, using: &random)
      switch pacer.allowance(wanted, now: now) {
      case .send(let allowed):
        #expect(allowed > 0)
        // The kernel takes some of it.
        let taken = UInt64.random(in: 0...allowed, using: &random)
        pacer.giveBack(allowed - taken)
        sent += Int128(taken)
        #expect(sent <= Int128(burst) + Int128(now - start) * Int128(bytes) / Int128(second))
      case .waits(let until):
        #expect(until > now)
        if until - 1 > now {
          #expect(pacer.allowance(wanted, now: until - 1) == .waits(until: until))
        }
        now = until
      }
    }
    // It never waits longer than it must: all but a burst and a quantum has been used.
    let possible = Int128(now - start) * Int128(bytes) / Int128(second)
    #expect(sent + Int128(burst) + 16_384 >= possible)
  }

  @Test func `a key's responses share its rate`() throws {
    let limit = RateLimiter(
      rate: try rate(1_000_000, burst: 100_000), maxKeys: 10, secret: Hash128(low: 1, high: 2))
    #expect(allowance(60_000, of: limit, now: 0) == .send(60_000))
    #expect(allowance(60_000, of: limit, now: 0) == .send(40_000))
    #expect(allowance(60_000, of: limit, now: 0) == .waits(until: 16_384_000))
    limit.refund(key: key, cost: 20_000, now: 0)
    #expect(allowance(60_000, of: limit, now: 0) == .send(20_000))
    #expect(allowance(100, of: limit, now: 100_000) == .send(100))
    #expect(allowance(0, of: limit, now: 0) == .send(0))
  }

  @Test func `who has no place is given back what was not sent, too`() throws {
    let limit = RateLimiter(
      rate: try rate(1_000_000, burst: 100_000), maxKeys: 1, secret: Hash128(low: 1, high: 2))
    #expect(limit.allowance(1, key: Hash128(low: 9, high: 9), now: 0).isOverflow == false)
    for _ in 0..<10 {
      let (decision, isOverflow) = limit.allowance(60_000, key: key, now: 0)
      #expect(decision == .send(60_000))
      limit.refund(key: key, cost: 60_000, isOverflow: isOverflow, now: 0)
    }
    #expect(limit.keys == 1)
  }

  @Test func `a pace that changes forgives nothing`() throws {
    var pacer = BandwidthPacer(rate: try rate(1000, burst: 10_000))
    #expect(pacer.allowance(10_000, now: 0) == .send(10_000))
    pacer.setRate(try rate(100, burst: 10_000), now: 0)
    #expect(pacer.allowance(1000, now: 0) == .waits(until: 10 * second))
    pacer.setRate(try rate(1000, burst: 10_000), now: 0)
    #expect(pacer.allowance(1000, now: 0) == .waits(until: second))
  }

  @Test(arguments: [Int64.min, -1, 0, 1 << 61, .max])
  func `no time and no length trap`(now: Int64) throws {
    for bytes in [1, 1_000_000_000_000] as [UInt64] {
      var pacer = BandwidthPacer(rate: try rate(bytes, burst: 1 << 30))
      _ = pacer.allowance(.max, now: now)
      _ = pacer.allowance(.max, now: now)
      pacer.giveBack(.max)
      _ = pacer.allowance(.max, now: now)
      pacer.setRate(try rate(3, burst: 5), now: now)
      _ = pacer.allowance(.max, now: .max)
    }
  }
}

@Suite struct HeaviestKeyTests {
  private func name(_ number: UInt64) -> [UInt8] { Array("key \(number)".utf8) }

  @Test func `the heaviest are found among a hundred thousand, with their names`() {
    var list = HeaviestKeys()
    var random = Seeded(state: 8)
    for _ in 0..<100_000 {
      let number =
        Int.random(in: 0..<10, using: &random) < 3
        ? UInt64.random(in: 0..<5, using: &random) : UInt64.random(in: 5..<100_000, using: &random)
      name(number).withView {
        list.record(
          Hash128(low: number, high: 1), name: $0, cost: 5 - min(number, 4), isRefused: number == 1,
          now: 0)
      }
    }
    let top = list.top(5, now: 0)
    #expect(top.map(\.key.low) == [0, 1, 2, 3, 4])
    #expect(top.map { String(decoding: $0.name, as: UTF8.self) } == (0..<5).map { "key \($0)" })
    // What is said is never too little, and the error says how much too much it may be.
    for entry in top { #expect(entry.weight - entry.error <= 6500 * (5 - entry.key.low)) }
    #expect(top[1].refused > 0 && top[0].refused == 0)
    #expect(list.top(1000, now: 0).count == 256)
    #expect(list.top(-1, now: 0).isEmpty)
  }

  @Test func `weights are halved each minute`() {
    var list = HeaviestKeys()
    name(1).withView {
      list.record(Hash128(low: 1, high: 1), name: $0, cost: 1000, isRefused: false, now: 0)
    }
    #expect(list.top(1, now: 59_000_000_000).first?.weight == 1000)
    #expect(list.top(1, now: 61_000_000_000).first?.weight == 500)
    #expect(list.top(1, now: .max).isEmpty)
    #expect(list.top(1, now: .min).isEmpty)
  }

  @Test func `a key that is taken off takes no other's name along`() {
    var list = HeaviestKeys()
    for number in 0..<300 as Range<UInt64> {
      name(number).withView {
        list.record(
          Hash128(low: number, high: 1), name: $0, cost: 1000 - number, isRefused: false, now: 0)
      }
    }
    let removals = (0..<2).map { _ in list.remove(Hash128(low: 3, high: 1)) }
    #expect(removals == [true, false])
    for entry in list.top(255, now: 0) { #expect(entry.name == name(entry.key.low)) }
  }

  @Test func `a long name is cut, and an empty one is empty`() {
    var list = HeaviestKeys()
    let long = [UInt8](repeating: 65, count: 5000)
    long.withView {
      list.record(Hash128(low: 1, high: 1), name: $0, cost: .max, isRefused: true, now: 0)
    }
    list.record(Hash128(low: 1, high: 1), name: ByteView(), cost: .max, isRefused: true, now: 0)
    list.record(Hash128(low: 2, high: 1), name: ByteView(), cost: 1, isRefused: true, now: 0)
    let top = list.top(2, now: 0)
    #expect(top[0].name.count == 96 && top[0].weight == .max && top[1].name.isEmpty)
  }

  @Test func `a limit lists whom it was told of`() throws {
    let limit = Limit(
      name: "l", rule: .concurrency(ConcurrencyLimiter(limit: 1, maxKeys: 1)))
    name(7).withView { limit.note(key: key, name: $0, cost: 2, isRefused: true, now: 0) }
    #expect(limit.heaviestKeys(top: 5, now: 0).map(\.weight) == [2 * Limit.sampling])
    #expect(limit.forgive(key: key, now: 0))
    #expect(limit.heaviestKeys(top: 5, now: 0).isEmpty)
  }
}
