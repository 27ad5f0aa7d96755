import Bytes
import Dispatch
import RateLimiting
import Synchronization
import Testing

private let key = Hash128(low: 3, high: 5)

@Suite struct ConcurrencyTests {
  @Test func `no more than the limit are in flight, and a place that is given back is free`() throws
  {
    let limit = ConcurrencyLimiter(limit: 2, maxKeys: 100)
    let first = limit.acquire(key: key)
    let second = limit.acquire(key: key)
    #expect(limit.inFlight(key: key) == 2)
    #expect((limit.acquire(key: key) == nil) as Bool)
    if let first { limit.release(first) }
    #expect(limit.inFlight(key: key) == 1)
    let third = limit.acquire(key: key)
    #expect((third != nil) as Bool)
    if let second { limit.release(second) }
    if let third { limit.release(third) }
    #expect(limit.inFlight(key: key) == 0)
    #expect(limit.tally.allowed == 3 && limit.tally.refused == 1)
  }

  @Test func `a lower limit counts at once, and takes nothing from who is in flight`() {
    let limit = ConcurrencyLimiter(limit: 3, maxKeys: 100)
    let first = limit.acquire(key: key)
    let second = limit.acquire(key: key)
    limit.limit = 1
    #expect((limit.acquire(key: key) == nil) as Bool)
    if let first { limit.release(first) }
    #expect((limit.acquire(key: key) == nil) as Bool)
    if let second { limit.release(second) }
    let third = limit.acquire(key: key)
    #expect((third != nil) as Bool)
    if let third { limit.release(third) }
  }

  @Test func `threads that take and give back never exceed the limit`() {
    let limit = ConcurrencyLimiter(limit: 3, maxKeys: 10_000)
    let inFlight = Atomic<Int>(0)
    let most = Mutex(0)
    DispatchQueue.concurrentPerform(iterations: 4) { _ in
      for _ in 0..<20_000 {
        guard let permit = limit.acquire(key: key) else { continue }
        let now = inFlight.add(1, ordering: .relaxed).newValue
        most.withLock { $0 = max($0, now) }
        inFlight.subtract(1, ordering: .relaxed)
        limit.release(permit)
      }
    }
    #expect(most.withLock { $0 } <= 3)
    #expect(limit.inFlight(key: key) == 0)
  }

  @Test func `in a full table strangers share one count, and bring it along`() {
    let limit = ConcurrencyLimiter(limit: 2, maxKeys: 1)
    let heavy = limit.acquire(key: key)
    let strangers = (10..<14).map { Hash128(low: $0, high: 1) }
    let one = limit.acquire(key: strangers[0])
    let two = limit.acquire(key: strangers[1])
    #expect((limit.acquire(key: strangers[2]) == nil) as Bool)
    // A place becomes free; who gets it may be one of those that are in flight already.
    if let heavy { limit.release(heavy) }
    #expect((limit.acquire(key: strangers[0]) == nil) as Bool)
    if let one { limit.release(one) }
    let three = limit.acquire(key: strangers[0])
    #expect((three != nil) as Bool)
    #expect((limit.acquire(key: strangers[0]) == nil) as Bool)
    // Once nobody is left of those, the key's own count is all.
    if let two { limit.release(two) }
    let four = limit.acquire(key: strangers[0])
    #expect((four != nil) as Bool)
    #expect((limit.acquire(key: strangers[0]) == nil) as Bool)
    #expect(limit.keys == 1)
    if let three { limit.release(three) }
    if let four { limit.release(four) }
  }
}

@Suite struct PenaltyTests {
  private let second: Int64 = 1_000_000_000

  @Test func `after so many refusals in a window all is refused for a time`() {
    let box = PenaltyBox(offences: 3, window: 10 * second, duration: 60 * second, maxKeys: 10)
    #expect(!box.offend(key: key, now: 0))
    #expect(!box.offend(key: key, now: second))
    #expect(box.remaining(key: key, now: second) == nil)
    #expect(box.offend(key: key, now: 2 * second))
    #expect(box.remaining(key: key, now: 2 * second) == 60 * second)
    // What comes meanwhile makes it no longer.
    #expect(!box.offend(key: key, now: 30 * second))
    #expect(box.remaining(key: key, now: 61 * second) == second)
    #expect(box.remaining(key: key, now: 62 * second) == nil)
    #expect(!box.offend(key: key, now: 62 * second))
  }

  @Test func `refusals that lie further apart are forgotten`() {
    let box = PenaltyBox(offences: 2, window: second, duration: second, maxKeys: 10)
    for time in 0..<20 as Range<Int64> { #expect(!box.offend(key: key, now: time * second)) }
    #expect(box.offend(key: key, now: 19 * second + 1))
    #expect(box.forgive(key: key))
    #expect(box.remaining(key: key, now: 19 * second + 2) == nil)
    #expect(!box.forgive(key: key))
  }

  @Test func `random keys do not grow it, and let nobody out`() {
    let box = PenaltyBox(offences: 1, window: second, duration: 60 * second, maxKeys: 200)
    #expect(box.offend(key: key, now: 0))
    for number in 0..<10_000 as Range<UInt64> {
      _ = box.offend(key: Hash128(low: number, high: 7), now: Int64(number))
    }
    #expect(box.keys <= 200)
    #expect(box.remaining(key: key, now: second) == 59 * second)
  }

  @Test func `a clock that is set back makes no penalty longer`() {
    let box = PenaltyBox(offences: 1, window: second, duration: 5 * second, maxKeys: 10)
    #expect(box.offend(key: key, now: 1000 * second))
    #expect(box.remaining(key: key, now: second) == 5 * second)
    #expect(box.remaining(key: key, now: 6 * second) == nil)
    for now in [.min, -1, .max] as [Int64] {
      _ = box.remaining(key: key, now: now)
      _ = box.offend(key: key, now: now)
    }
  }
}
