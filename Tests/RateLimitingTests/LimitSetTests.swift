import Bytes
import Dispatch
import RateLimiting
import Synchronization
import Testing

private let second: Int64 = 1_000_000_000
private let secret = Hash128(low: 1, high: 2)
private let key = Hash128(low: 3, high: 5)

private func bucket(_ tokens: UInt64, burst: UInt64) throws -> RateLimiter {
  let rate = try #require(TokenBucketRate(tokens: tokens, per: second, burst: burst))
  return RateLimiter(rate: rate, maxKeys: 1000, secret: secret)
}

private func leaky(_ tokens: UInt64, queue: UInt32) throws -> RateLimiter {
  try #require(
    RateLimiter(leaking: tokens, per: second, queue: queue, maxKeys: 1000, secret: secret))
}

private func quota(_ limit: UInt64) throws -> QuotaLimiter {
  try #require(QuotaLimiter(limit: limit, window: QuotaWindow(.day), maxKeys: 1000))
}

/// Puts all limits of a set on a request, with one key.
private func all(_ set: LimitSet, cost: UInt64 = 1) -> LimitChecks {
  var checks = LimitChecks()
  for index in set.limits.indices.reversed() { set.add(index, key: key, cost: cost, to: &checks) }
  return checks
}

private func decide(_ set: LimitSet, _ checks: inout LimitChecks, at now: Int64) -> LimitOutcome {
  set.decide(&checks, now: now, time: now / second, worker: 1, request: 2)
}

@Suite struct LimitSetTests {
  /// Two configurations may have the same limits in different orders, and their requests meet.
  @Test func `sets that share limits in different orders do not wait for each other in a circle`()
    throws
  {
    let limits = [
      Limit(name: "a", rule: .tokenBucket(try bucket(1_000_000, burst: 1_000_000))),
      Limit(name: "b", rule: .tokenBucket(try bucket(1_000_000, burst: 1_000_000))),
    ]
    let sets = [LimitSet(limits), LimitSet(limits.reversed())]
    DispatchQueue.concurrentPerform(iterations: 4) { number in
      let set = sets[number % 2]
      for _ in 0..<20_000 {
        var checks = all(set)
        _ = decide(set, &checks, at: 1)
      }
    }
    #expect(limits.allSatisfy { $0.tally.allowed == 80_000 })
  }

  @Test func `a request that one limit refuses spends from none`() throws {
    let wide = try bucket(1, burst: 10)
    let narrow = try bucket(1, burst: 3)
    let inFlight = ConcurrencyLimiter(limit: 100, maxKeys: 100)
    let daily = try quota(100)
    // The one that refuses is asked in the middle, whatever order limits were put on in.
    let set = LimitSet([
      Limit(name: "wide", rule: .tokenBucket(wide)),
      Limit(name: "narrow", rule: .tokenBucket(narrow)),
      Limit(name: "flight", rule: .concurrency(inFlight)),
      Limit(name: "daily", rule: .quota(daily)),
    ])
    for _ in 0..<3 {
      var checks = all(set)
      #expect(decide(set, &checks, at: 0) == .allowed)
      set.finish(&checks)
    }
    for _ in 0..<5 {
      var checks = all(set)
      #expect(decide(set, &checks, at: 0) == .refused(check: 1, retryAfter: second))
      #expect(checks[1].verdict == .refused && checks[1].remaining == 0)
      #expect(checks[0].verdict == .allowed)
      set.finish(&checks)
    }
    #expect(wide.balance(key: key, now: 0).remaining == 7)
    #expect(inFlight.inFlight(key: key) == 0)
    #expect(daily.used(key: key, time: 0) == 3)
    #expect(set.limits[1].tally == tally(allowed: 3, refused: 5))
    #expect(set.limits[0].tally == tally(allowed: 3, refused: 0))
  }

  private func tally(allowed: UInt64, refused: UInt64) -> LimitTally {
    var tally = LimitTally()
    (tally.allowed, tally.refused) = (allowed, refused)
    return tally
  }

  @Test func `what is in flight is given back once, however often the end is told`() throws {
    let inFlight = ConcurrencyLimiter(limit: 2, maxKeys: 100)
    let set = LimitSet([Limit(name: "flight", rule: .concurrency(inFlight))])
    var first = all(set)
    var second = all(set)
    var third = all(set)
    #expect(decide(set, &first, at: 0) == .allowed)
    #expect(decide(set, &second, at: 0) == .allowed)
    #expect(decide(set, &third, at: 0) == .refused(check: 0, retryAfter: 0))
    set.finish(&third)
    set.finish(&first)
    set.finish(&first)
    #expect(inFlight.inFlight(key: key) == 1)
    set.finish(&second)
    #expect(inFlight.inFlight(key: key) == 0)
  }

  @Test func `a limit that only counts refuses nobody, and what it let through it spent`() throws {
    let limiter = try bucket(1, burst: 2)
    let limit = Limit(name: "shadow", rule: .tokenBucket(limiter), isShadow: true)
    let set = LimitSet([limit])
    for _ in 0..<5 {
      var checks = all(set)
      #expect(decide(set, &checks, at: 0) == .allowed)
    }
    #expect(limit.tally.allowed == 2 && limit.tally.shadowed == 3 && limit.tally.refused == 0)
    // From the next decision on it refuses, and what was spent is spent.
    limit.isShadow = false
    var checks = all(set)
    #expect(decide(set, &checks, at: 0) == .refused(check: 0, retryAfter: second))
  }

  @Test func `who is refused again and again is refused for a time`() throws {
    let box = PenaltyBox(offences: 3, window: 10 * second, duration: 60 * second, maxKeys: 100)
    let limit = Limit(name: "login", rule: .tokenBucket(try bucket(1, burst: 1)), penalty: box)
    let set = LimitSet([limit])
    var outcomes: [LimitOutcome] = []
    for _ in 0..<5 {
      var checks = all(set)
      outcomes.append(decide(set, &checks, at: 0))
    }
    #expect(outcomes[0] == .allowed)
    #expect(
      outcomes[1...3].allSatisfy { $0 == .refused(check: 0, retryAfter: second) })
    #expect(outcomes[4] == .refused(check: 0, retryAfter: 60 * second))
    var checks = all(set)
    #expect(decide(set, &checks, at: 59 * second) == .refused(check: 0, retryAfter: second))
    #expect(checks[0].verdict == .penalised)
    #expect(limit.tally.refused == 5)
    #expect(limit.forgive(key: key, now: 59 * second))
    checks = all(set)
    #expect(decide(set, &checks, at: 59 * second) == .allowed)
  }

  @Test func `cost by response: only errors count`() throws {
    let limiter = try bucket(1, burst: 2)
    let daily = try quota(2)
    let set = LimitSet([
      Limit(name: "login", rule: .tokenBucket(limiter)), Limit(name: "day", rule: .quota(daily)),
    ])
    func respond(costs: UInt64) -> LimitOutcome {
      var checks = all(set)
      let outcome = decide(set, &checks, at: 0)
      for index in 0..<checks.count {
        set.correct(&checks, check: index, cost: costs, now: 0, time: 0)
      }
      return outcome
    }
    for _ in 0..<10 { #expect(respond(costs: 0) == .allowed) }
    #expect(respond(costs: 1) == .allowed)
    // A dear one is found out after the fact, and owed.
    #expect(respond(costs: 5) == .allowed)
    #expect(respond(costs: 0) == .refused(check: 0, retryAfter: 5 * second))
    #expect(daily.used(key: key, time: 0) == 6)
  }

  @Test(arguments: [86_000, 86_500])
  func `what an answer gives back to a quota is of the window that it was taken from`(
    end: Int64
  ) throws {
    let daily = try quota(10)
    let set = LimitSet([Limit(name: "day", rule: .quota(daily))])
    var early = all(set)
    var late = all(set)
    var refused = all(set)
    #expect(decide(set, &early, at: 85_000 * second) == .allowed)
    #expect(decide(set, &refused, at: 85_000 * second) == .allowed)
    #expect(decide(set, &late, at: end * second) == .allowed)
    set.correct(&early, check: 0, cost: 0, now: end * second, time: end)
    set.undo(&refused, now: end * second, time: end)
    #expect(daily.used(key: key, time: end) == 1, "only the late one's is taken")
  }

  @Test func `a request that waits takes from the others, and gives back if its client leaves`()
    throws
  {
    let wide = try bucket(1, burst: 10)
    let slow = try leaky(1, queue: 5)
    // The leaky bucket is asked last, though it stands first.
    let set = LimitSet([
      Limit(name: "slow", rule: .leakyBucket(slow)), Limit(name: "wide", rule: .tokenBucket(wide)),
    ])
    var first = all(set)
    #expect(decide(set, &first, at: 0) == .allowed)
    var waiting = all(set)
    guard case .waits(_, isFirst: true, until: second) = decide(set, &waiting, at: 0) else {
      Issue.record("does not wait")
      return
    }
    var behind = all(set)
    guard case .waits(let place, isFirst: false, until: _) = decide(set, &behind, at: 0) else {
      Issue.record("does not wait")
      return
    }
    #expect(wide.balance(key: key, now: 0).remaining == 7)
    let next = set.leave(&waiting, now: 0, time: 0)
    #expect(next?.place == place && next?.time == second && next?.worker == 1 && next?.request == 2)
    #expect(wide.balance(key: key, now: 0).remaining == 8)
    #expect(set.leave(&waiting, now: 0, time: 0) == nil)
    #expect(wide.balance(key: key, now: 0).remaining == 8)
    #expect(
      set.resume(&behind, now: second, time: 1, worker: 1, request: 2)
        == .goesOn(.allowed, next: nil))
    #expect(set.resume(&behind, now: second, time: 1, worker: 1, request: 2) == .isBehind)
  }

  @Test func `a second line is asked after the first, and its refusal gives everything back`()
    throws
  {
    let wide = try bucket(1, burst: 10)
    let one = try leaky(10, queue: 5)
    let two = try leaky(1, queue: 0)
    let set = LimitSet([
      Limit(name: "one", rule: .leakyBucket(one)), Limit(name: "two", rule: .leakyBucket(two)),
      Limit(name: "wide", rule: .tokenBucket(wide)),
    ])
    var first = all(set)
    #expect(decide(set, &first, at: 0) == .allowed)
    var waiting = all(set)
    guard case .waits = decide(set, &waiting, at: 0) else {
      Issue.record("does not wait")
      return
    }
    #expect(wide.balance(key: key, now: 0).remaining == 8)
    guard
      case .goesOn(.refused(check: 2, retryAfter: _), next: nil) = set.resume(
        &waiting, now: second / 10, time: 0, worker: 1, request: 2)
    else {
      Issue.record("not refused")
      return
    }
    #expect(wide.balance(key: key, now: 0).remaining == 9)
  }

  @Test func `a limit stands on a request once, and eight are the most`() throws {
    let set = LimitSet(
      try (0..<10).map { Limit(name: "l\($0)", rule: .tokenBucket(try bucket(1, burst: 1))) })
    var checks = LimitChecks()
    #expect(set.add(0, key: key, to: &checks))
    #expect(!set.add(0, key: key, to: &checks))
    for index in 1..<8 { #expect(set.add(index, key: key, to: &checks)) }
    #expect(!set.add(8, key: key, to: &checks))
    #expect(!set.add(10, key: key, to: &checks))
    #expect(!set.add(-1, key: key, to: &checks))
    #expect(checks.count == 8)
  }

  @Test func `threads with limits in any order never block each other, and spend exactly`() throws {
    let limiters = try (0..<4).map { _ in try bucket(1, burst: 5003) }
    let inFlight = ConcurrencyLimiter(limit: 2, maxKeys: 100)
    let set = LimitSet(
      limiters.map { Limit(name: "l", rule: .tokenBucket($0)) }
        + [Limit(name: "flight", rule: .concurrency(inFlight))])
    let passed = Atomic<Int>(0)
    DispatchQueue.concurrentPerform(iterations: 4) { worker in
      var random = Seeded(state: UInt64(worker))
      for _ in 0..<20_000 {
        var checks = LimitChecks()
        for index in (0..<5).shuffled(using: &random) { set.add(index, key: key, to: &checks) }
        if decide(set, &checks, at: 0) == .allowed { passed.add(1, ordering: .relaxed) }
        set.finish(&checks)
      }
    }
    #expect(inFlight.inFlight(key: key) == 0)
    for limiter in limiters {
      #expect(
        Int(limiter.balance(key: key, now: 0).remaining) == 5003 - passed.load(ordering: .relaxed))
    }
    #expect(passed.load(ordering: .relaxed) <= 5003)
  }
}

@Suite struct LimitFieldTests {
  private func text(_ body: (inout ByteBuffer) -> Bool) -> String? {
    var buffer = ByteBuffer()
    return body(&buffer) ? buffer.view.string : nil
  }

  @Test func `policies and states are structured fields`() throws {
    let set = LimitSet([
      Limit(name: "per-ip", rule: .tokenBucket(try bucket(50, burst: 100))),
      Limit(name: "a\"b\\c\u{7}", rule: .leakyBucket(try leaky(10, queue: 20))),
      Limit(name: "flight", rule: .concurrency(ConcurrencyLimiter(limit: 7, maxKeys: 1))),
      Limit(name: "daily", rule: .quota(try quota(1000))),
      Limit(name: "unseen", rule: .quota(try quota(1)), isShadow: true),
    ])
    var checks = all(set)
    #expect(decide(set, &checks, at: 100 * second) == .allowed)
    #expect(
      text { set.appendPolicies(checks, to: &$0) }
        == #""per-ip";q=100;w=2, "flight";q=7;qu="concurrent-requests", "daily";q=1000;w=86400, "#
        + #""a\"b\\c";q=10;w=1"#)
    #expect(
      text { set.appendStates(checks, to: &$0) }
        == #""per-ip";r=99;t=1, "flight";r=6, "daily";r=999;t=86300, "unseen";r=0;t=86300, "#
        + #""a\"b\\c";r=20"#)
    checks = all(set, cost: 5)
    checks = LimitChecks()
    #expect(text { set.appendPolicies(checks, to: &$0) } == nil)
    #expect(text { set.appendStates(checks, to: &$0) } == nil)
  }

  @Test(
    arguments: [
      (1, "1"), (second, "1"), (second + 1, "2"), (3600 * second, "3600"), (0, nil), (.max, nil),
      (-1, nil), (.max - 1, "9223372037"),
    ] as [(Int64, String?)])
  func `Retry-After is in whole seconds, never too early`(wait: Int64, value: String?) {
    #expect(text { LimitSet.appendRetryAfter(wait, to: &$0) } == value)
  }
}

@Suite struct LimitKeyTests {
  private func hash(_ parts: [(LimitKeyPart, String)]) -> Hash128 {
    var key = LimitKey(SipHash(key: secret))
    for (part, text) in parts { text.withView { key.add(part, $0) } }
    return key.hash
  }

  @Test func `other parts, other orders and other kinds are other keys`() {
    let hashes = [
      hash([]), hash([(.host, "ab")]), hash([(.field, "ab")]),
      hash([(.host, "ab"), (.field, "c")]),
      hash([(.host, "a"), (.field, "bc")]), hash([(.field, "c"), (.host, "ab")]),
      hash([(.host, "abc")]), hash([(.host, "")]), hash([(.host, ""), (.host, "")]),
    ]
    #expect(Set(hashes).count == hashes.count)
    #expect(hash([(.host, "ab"), (.field, "c")]) == hashes[3])
    var other = LimitKey(SipHash(key: Hash128(low: 9, high: 9)))
    "ab".withView { other.add(.host, $0) }
    #expect(other.hash != hashes[1])
  }
}
