import Bytes
import HTTPMessage
import Testing

@testable import Origins

@Suite struct BreakerTests {
  let settings = BreakerSettings()

  private func breaker(failures: Int, successes: Int, now: Int64 = start) -> Breaker {
    var breaker = Breaker.closed
    for _ in 0..<successes {
      breaker = breaker.recording(.success, pass: .normal, settings, now: now)
    }
    for _ in 0..<failures {
      breaker = breaker.recording(.failure, pass: .normal, settings, now: now)
    }
    return breaker
  }

  @Test func `it opens at the share of failures, and not before there are enough requests`() {
    #expect(breaker(failures: 19, successes: 0).state(now: start) == .closed)
    #expect(breaker(failures: 20, successes: 0).state(now: start) == .open)
    #expect(breaker(failures: 20, successes: 21).state(now: start) == .closed)
    #expect(breaker(failures: 21, successes: 21).state(now: start) == .open)
  }

  @Test func `a window that is over counts no more`() {
    var breaker = breaker(failures: 19, successes: 0)
    breaker = breaker.recording(.failure, pass: .normal, settings, now: start + 10 * second)
    #expect(breaker.state(now: start + 10 * second) == .closed)
  }

  @Test func `open, half open, closed`() throws {
    var breaker = breaker(failures: 20, successes: 0)
    #expect(!breaker.admits(settings, now: start + 2 * second - 2 * millisecond))
    #expect(breaker.retryAfter(now: start) > second)
    let later = start + 2 * second + millisecond
    #expect(breaker.state(now: later) == .halfOpen)
    var passes: [BreakerPass] = []
    for _ in 0..<3 {
      let (next, pass) = try #require(breaker.admitting(settings, now: later))
      breaker = next
      passes.append(pass)
    }
    #expect(breaker.admitting(settings, now: later) == nil)
    for pass in passes { breaker = breaker.recording(.success, pass: pass, settings, now: later) }
    #expect(breaker.state(now: later) == .closed)
    #expect(breaker.admits(settings, now: later))
  }

  @Test func `a failed probe opens it for twice as long, and an abandoned one makes room`() throws {
    var breaker = breaker(failures: 20, successes: 0)
    var now = start + 2 * second + millisecond
    for length in [4, 8, 16, 32, 60, 60] as [Int64] {
      let (half, first) = try #require(breaker.admitting(settings, now: now))
      let again = half.recording(.none, pass: first, settings, now: now)
      let (probing, second) = try #require(again.admitting(settings, now: now))
      breaker = probing.recording(.failure, pass: second, settings, now: now)
      #expect(!breaker.admits(settings, now: now + length * 1_000_000_000 - 2 * millisecond))
      now += length * 1_000_000_000 + millisecond
      #expect(breaker.admits(settings, now: now))
    }
  }

  @Test func `no word and no time makes it trap`() {
    var random = SeededRandom(seed: 12)
    for _ in 0..<20_000 {
      let breaker = Breaker(word: random.next())
      let now = Int64(bitPattern: random.next())
      var settings = BreakerSettings()
      settings.probes = Int(truncatingIfNeeded: random.next())
      settings.windowSeconds = Int(truncatingIfNeeded: random.next())
      settings.open = Int64(bitPattern: random.next())
      settings.longestOpen = Int64(bitPattern: random.next())
      _ = breaker.retryAfter(now: now)
      let pass = BreakerPass.probe(era: UInt8(truncatingIfNeeded: breaker.word >> 54))
      for verdict in [BreakerVerdict.success, .failure, .none] {
        _ = breaker.recording(verdict, pass: .normal, settings, now: now)
        _ = breaker.recording(verdict, pass: pass, settings, now: now)
      }
      if let (next, _) = breaker.admitting(settings, now: now) {
        #expect(next.state(now: now) != .open)
      }
    }
  }

  @Test func `who began before it opened says nothing afterwards`() throws {
    let open = breaker(failures: 20, successes: 0)
    #expect(open.recording(.success, pass: .normal, settings, now: start) == open)
    let later = start + 3 * second
    let (half, pass) = try #require(open.admitting(settings, now: later))
    #expect(half.recording(.failure, pass: .normal, settings, now: later) == half)
    let again = half.recording(.failure, pass: pass, settings, now: later)
    // A probe of the era before.
    #expect(again.recording(.failure, pass: pass, settings, now: later) == again)
    let (next, _) = try #require(again.admitting(settings, now: later + 10 * second))
    #expect(next.recording(.success, pass: pass, settings, now: later + 10 * second) == next)
  }
}

@Suite struct RetryTests {
  @Test func `the budget is a share of the requests, a reserve, and a trickle`() {
    let settings = RetrySettings()
    var budget = RetryBudget(settings, now: start)
    var retries = 0
    for _ in 0..<10_000 {
      budget = budget.depositing(settings, now: start)
      for _ in 0..<2 {
        if let next = budget.withdrawing(settings, now: start) {
          budget = next
          retries += 1
        }
      }
    }
    #expect((1500...1520).contains(retries))
    #expect(budget.withdrawing(settings, now: start) == nil)
    // One a second, up to a tenth of the reserve.
    var later = 0
    while let next = budget.withdrawing(settings, now: start + 3600 * second) {
      budget = next
      later += 1
    }
    #expect(later == 2)
  }

  @Test func `a quiet hour saves up no storm`() {
    let settings = RetrySettings()
    var budget = RetryBudget(settings, now: start)
    for _ in 0..<1_000_000 { budget = budget.depositing(settings, now: start) }
    budget = budget.depositing(settings, now: start + second)
    #expect(budget.tries == settings.reserve)
  }

  /// One of several servers hangs with many requests on it: they fail together, and nothing is put in.
  @Test func `a busy pool has in hand what fails at once, and no more than a fifth of a second's`()
  {
    let settings = RetrySettings()
    var budget = RetryBudget(settings, now: start)
    // 10,000 a second, for ten seconds.
    for number in 0..<100_000 {
      budget = budget.depositing(settings, now: start + Int64(number) * second / 10_000)
    }
    let saved = budget.tries
    #expect((400...470).contains(saved), "\(saved)")
    // And then all of a second's fail.
    var tries = 0
    for number in 0..<10_000 {
      let now = start + 10 * second + Int64(number) * second / 10_000
      budget = budget.depositing(settings, now: now)
      if let next = budget.withdrawing(settings, now: now) {
        budget = next
        tries += 1
      }
    }
    #expect(tries <= 2_000, "\(tries)")
  }

  @Test func `a pause is drawn from zero to a bound that doubles`() {
    var random = SeededRandom(seed: 2)
    for (retry, bound) in [(1, 100), (2, 200), (3, 400), (4, 800), (5, 1000), (60, 1000)] {
      let pauses = (0..<2000).map { _ in
        Backoff.pause(retry: retry, first: 100, longest: 1000, random: &random)
      }
      #expect(pauses.allSatisfy { $0 >= 0 && $0 <= Int64(bound) })
      let mean = pauses.reduce(0, +) / 2000
      #expect(abs(mean - Int64(bound / 2)) < Int64(bound) / 20)
    }
    #expect(Backoff.pause(retry: 3, first: 0, longest: 0, random: &random) == 0)
    #expect(Backoff.bound(retry: .max, first: .max, longest: .max) == .max)
  }

  @Test(
    arguments: [
      (TryFailure.connect, true, true, TryRefusal?.none), (.connect, false, true, nil),
      (.timeout, true, true, nil), (.timeout, false, true, .notIdempotent),
      (.reset, false, true, .notIdempotent), (.staleConnection, false, true, .notIdempotent),
      (.staleConnection, true, true, nil), (.malformed, true, true, nil),
      (.connect, true, false, .notReplayable), (.status(503, retryAfter: nil), true, true, nil),
      (.status(500, retryAfter: nil), true, true, .final),
      (.status(503, retryAfter: 60 * 1_000_000_000), true, true, .deadline),
    ])
  func `tried again only where that is safe and may help`(
    failure: TryFailure, isIdempotent: Bool, isReplayable: Bool, refusal: TryRefusal?
  ) {
    var random = SeededRandom(seed: 2)
    var plan = TryPlan(settings: RetrySettings(), isIdempotent: isIdempotent, now: start)
    let decision = plan.after(
      failure, isReplayable: isReplayable, hasOther: false, now: start, random: &random
    ) { true }
    switch decision {
    case .again: #expect(refusal == nil)
    case .stop(let why): #expect(why == refusal)
    }
  }

  @Test func `a limit, a budget and a deadline end it`() {
    var random = SeededRandom(seed: 2)
    var plan = TryPlan(settings: RetrySettings(), isIdempotent: true, now: start)
    func next(budget: Bool = true, now: Int64 = start) -> TryDecision {
      plan.after(.connect, isReplayable: true, hasOther: true, now: now, random: &random) { budget }
    }
    #expect(next(budget: false) == .stop(.budget))
    #expect(next(now: start + 30 * second) == .stop(.deadline))
    if case .stop = next() { #expect(Bool(false)) }
    if case .stop = next() { #expect(Bool(false)) }
    #expect(next() == .stop(.limit))
    #expect(plan.retries == 2)
  }

  @Test func `another server need not wait for a Retry-After`() {
    var random = SeededRandom(seed: 2)
    var plan = TryPlan(settings: RetrySettings(), isIdempotent: true, now: start)
    let failure = TryFailure.status(503, retryAfter: 5 * second)
    let elsewhere = plan.after(
      failure, isReplayable: true, hasOther: true, now: start, random: &random
    ) { true }
    guard case .again(let pause) = elsewhere else { return #expect(Bool(false)) }
    #expect(pause < second)
    let here = plan.after(
      failure, isReplayable: true, hasOther: false, now: start, random: &random
    ) { true }
    #expect(here == .again(pause: 5 * second))
  }

  @Test func `a try's deadline is the least of its own, the pool's and the whole's`() {
    var settings = RetrySettings()
    settings.perTry = 2 * second
    settings.overall = 5 * second
    let plan = TryPlan(settings: settings, isIdempotent: true, now: start)
    #expect(plan.deadline(now: start, timeout: 30 * second) == start + 2 * second)
    #expect(plan.deadline(now: start, timeout: second) == start + second)
    #expect(plan.deadline(now: start + 4 * second, timeout: .max) == start + 5 * second)
  }

  @Test(
    arguments: [
      ("120", Int64(60)), ("3", 3), (" 7 ", 7), ("0", 0),
      ("Sun, 06 Nov 1994 08:49:47 GMT", 10), ("Sun, 06 Nov 1994 08:00:00 GMT", 0),
      ("99999999999999999999999", 60),
    ])
  func `Retry-After is read, up to a limit`(text: String, seconds: Int64) {
    let wall: Int64 = 784_111_777_000
    #expect(
      text.withView { RetryAfter.delay($0, wall: wall, longest: 60 * second) } == seconds * second)
  }

  @Test(arguments: ["", "-1", "soon", "1.5", "10 s"])
  func `what is no Retry-After is none`(text: String) {
    #expect(text.withView { RetryAfter.delay($0, wall: 0, longest: second) } == nil)
  }

  @Test(arguments: [10, 500, 950, 990])
  func `a quantile is right to a tenth`(permille: Int) throws {
    var histogram = LatencyHistogram()
    #expect(histogram.hedgeDelay() == nil)
    var random = SeededRandom(seed: 6)
    var samples: [Int64] = []
    for _ in 0..<1000 {
      let sample = millisecond + Int64(random.below(UInt64(200 * millisecond)))
      samples.append(sample)
      histogram.add(sample)
    }
    samples.sort()
    let exact = Double(samples[permille * 1000 / 1000 - 1])
    let found = Double(try #require(histogram.quantile(permille: permille)))
    #expect(found >= exact * 0.999 && found <= exact * 1.13)
  }

  @Test func `the estimate follows a pool that becomes slower`() throws {
    var histogram = LatencyHistogram()
    for _ in 0..<100_000 { histogram.add(millisecond) }
    for _ in 0..<4096 { histogram.add(100 * millisecond) }
    #expect(try #require(histogram.quantile(permille: 500)) > 90 * millisecond)
  }

  @Test func `any latency has a bucket`() {
    var histogram = LatencyHistogram()
    for value in [Int64.min, -1, 0, 1, 16_383, 16_384, 1 << 40, .max] { histogram.add(value) }
    #expect(histogram.quantile(permille: 950) == nil)
  }
}

@Suite struct KeyFailureTests {
  private let key = Hash128(low: 7, high: 9)

  @Test func `a key that fails is asked for ever less often`() {
    let failures = KeyFailures(first: second, longest: 8 * second)
    #expect(failures.wait(for: key, now: start) == nil)
    var now = start
    for pause in [1, 2, 4, 8, 8] as [Int64] {
      failures.failed(key, now: now)
      #expect(failures.wait(for: key, now: now) == pause * second)
      #expect(failures.wait(for: key, now: now + pause * second - 1) == 1)
      now += pause * second
      // One may ask, the others wait as long again.
      #expect(failures.wait(for: key, now: now) == nil)
      #expect(failures.wait(for: key, now: now) == pause * second)
    }
    #expect(failures.wait(for: Hash128(low: 8, high: 9), now: now) == nil)
    failures.succeeded(key)
    #expect(failures.wait(for: key, now: now) == nil && failures.count == 0)
  }

  @Test func `a Retry-After is obeyed up to the limit`() {
    let failures = KeyFailures(first: second, longest: 60 * second)
    failures.failed(key, retryAfter: 20 * second, now: start)
    #expect(failures.wait(for: key, now: start) == 20 * second)
    failures.failed(key, retryAfter: 4000 * second, now: start)
    #expect(failures.wait(for: key, now: start) == 60 * second)
  }

  @Test func `a flood of failing keys stays within the table`() {
    let failures = KeyFailures(capacity: 1000)
    var random = SeededRandom(seed: 11)
    for _ in 0..<100_000 {
      failures.failed(Hash128(low: random.next(), high: random.next()), now: start)
    }
    #expect(failures.count <= 1024)
    #expect(failures.count > 1000)
  }
}
