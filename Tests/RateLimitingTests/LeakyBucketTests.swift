import Bytes
import Dispatch
import RateLimiting
import Synchronization
import Testing

private let second: Int64 = 1_000_000_000
private let day: Int64 = 86_400 * second
private let secret = Hash128(low: 1, high: 2)
private let key = Hash128(low: 3, high: 5)

private func leaky(
  _ tokens: UInt64, per period: Int64 = second, queue: UInt32, maxKeys: Int = 1000
) throws -> RateLimiter {
  try #require(
    RateLimiter(leaking: tokens, per: period, queue: queue, maxKeys: maxKeys, secret: secret))
}

extension LeakyDecision {
  fileprivate var place: WaitingPlace? {
    if case .waits(let place, _, _) = self { place } else { nil }
  }
}

/// The model: one key, a list of those who wait, and the next time as a fraction (of `tokens`).
private struct ReferenceLeak {
  let tokens: Int128
  let period: Int128
  let queue: Int
  /// When the next may leave, times `tokens`.
  var next: Int128 = 0
  var waiting: [UInt64] = []

  func roundedUp(_ time: Int128) -> Int64 { Int64((time + tokens - 1) / tokens) }

  mutating func arrive(_ request: UInt64, now: Int64) -> String {
    if waiting.isEmpty && next <= Int128(now) * tokens {
      next = Int128(now) * tokens + period
      return "departs"
    }
    guard waiting.count < queue else { return "rejected" }
    waiting.append(request)
    return "waits \(roundedUp(next + Int128(waiting.count - 1) * period))"
  }

  /// Who is first, and when it may leave.
  var due: (UInt64, Int64)? { waiting.first.map { ($0, roundedUp(next)) } }

  mutating func departFirst(now: Int64) {
    waiting.removeFirst()
    next = max(next, (Int128(now) - 10_000_000) * tokens) + period
  }
}

@Suite struct LeakyBucketTests {
  @Test func `requests leave one price apart, and the excess waits or is rejected`() throws {
    let limit = try leaky(10, queue: 3)
    func come(_ request: UInt64, at now: Int64) -> LeakyDecision {
      limit.arrive(key: key, worker: 0, request: request, now: now)
    }
    #expect(come(1, at: 0) == .departs)
    let places = try (0..<3).map { index in
      guard case .waits(let place, let isFirst, let until) = come(UInt64(index) + 2, at: 0) else {
        throw NotWaiting()
      }
      #expect(isFirst == (index == 0))
      #expect(until == Int64(index + 1) * second / 10)
      return place
    }
    #expect(come(5, at: 0) == .rejected(retryAfter: second / 10))
    #expect(limit.depart(places[0], now: second / 10 - 1) == .waits(until: second / 10))
    #expect(limit.depart(places[1], now: second / 10) == .isBehind)
    guard case .departs(let next?) = limit.depart(places[0], now: second / 10) else {
      throw NotWaiting()
    }
    #expect(next.request == 3 && next.time == second / 5 && next.place == places[1])
    #expect(limit.depart(places[0], now: second) == .isGone)
    // The client of the second leaves: the third has moved up.
    let moved = try #require(limit.leave(places[1]))
    #expect(moved.request == 4 && moved.time == second / 5)
    #expect(limit.leave(places[1]) == nil)
    #expect(limit.depart(places[2], now: second / 5) == .departs(next: nil))
    #expect(limit.waiting == 0)
    #expect(come(6, at: second / 5).place != nil)
    #expect(limit.tally.delayed == 4 && limit.tally.refused == 1 && limit.tally.allowed == 1)
  }

  private struct NotWaiting: Error {}

  static let rates: [(UInt64, Int64, UInt32)] = [
    (10, second, 20), (3, second, 5), (7, 60 * second, 2), (1, day, 3), (1_000_000, second, 50),
    (999_983, second, 9), (86_399_999_999, day, 4), (1, second, 0), (17, 3600 * second, 40),
  ]

  @Test(arguments: rates)
  func `a line is as the model's, whoever comes, leaves and departs`(
    tokens: UInt64, period: Int64, queue: UInt32
  ) throws {
    let price = max(period / Int64(tokens), 1)
    for seed in 0..<6 as Range<UInt64> {
      let limit = try leaky(tokens, per: period, queue: queue)
      var model = ReferenceLeak(
        tokens: Int128(tokens), period: Int128(period), queue: Int(queue))
      var random = Seeded(state: seed &* 31 &+ tokens)
      var now = Int64.random(in: 1 << 40..<1 << 50, using: &random)
      var places: [UInt64: WaitingPlace] = [:]
      for request in 0..<1500 as Range<UInt64> {
        switch Int.random(in: 0..<6, using: &random) {
        case 0, 1, 2:
          let expected = model.arrive(request, now: now)
          switch limit.arrive(key: key, worker: 7, request: request, now: now) {
          case .departs: #expect(expected == "departs")
          case .waits(let place, let isFirst, let until):
            #expect(expected == "waits \(until)")
            #expect(isFirst == (model.waiting.count == 1))
            places[request] = place
          case .rejected: #expect(expected == "rejected")
          }
        case 3:
          guard let leaver = model.waiting.randomElement(using: &random),
            let place = places.removeValue(forKey: leaver)
          else { break }
          let wasFirst = model.waiting.first == leaver
          model.waiting.removeAll { $0 == leaver }
          let next = limit.leave(place)
          if wasFirst, let (request, time) = model.due {
            #expect(next?.request == request && next?.time == time && next?.worker == 7)
          } else {
            #expect(next == nil)
          }
        case 4:
          guard let (first, time) = model.due, let place = places[first] else { break }
          if time > now { #expect(limit.depart(place, now: time - 1) == .waits(until: time)) }
          now = max(now, time + Int64.random(in: 0...price, using: &random))
          model.departFirst(now: now)
          places[first] = nil
          guard case .departs(let next) = limit.depart(place, now: now) else {
            Issue.record("did not depart")
            return
          }
          #expect(next?.request == model.due?.0 && next?.time == model.due?.1)
        default: now += Int64.random(in: 0...price * 2, using: &random)
        }
        #expect(limit.waiting == model.waiting.count)
      }
    }
  }

  @Test(
    arguments: [(10, second), (997, second), (50_000, second), (1_000_000, second)]
      as [(UInt64, Int64)])
  func `ten minutes at twice the rate leave at the rate, never early`(
    tokens: UInt64, period: Int64
  ) throws {
    let limit = try leaky(tokens, per: period, queue: max(20, UInt32(tokens / 1000)))
    // A worker whose turns come every 300 µs, for as many departures as ten minutes have, or 20,000.
    let wanted = min(Int(tokens) * 600, 20_000)
    var due: [(time: Int64, place: WaitingPlace)] = []
    var departures: [Int64] = []
    var now = second
    var arrivals: Int64 = 0
    let start = now
    while departures.count < wanted {
      while let first = due.first, first.time <= now {
        due.removeFirst()
        switch limit.depart(first.place, now: now) {
        case .departs(let next):
          departures.append(now)
          if let next { due.insert((next.time, next.place), at: 0) }
        case .waits(let until): due.insert((until, first.place), at: 0)
        case .isBehind, .isGone: Issue.record("told wrongly")
        }
      }
      while arrivals * period <= (now - start) * 2 * Int64(tokens) {
        arrivals += 1
        switch limit.arrive(key: key, worker: 0, request: 0, now: now) {
        case .departs: departures.append(now)
        case .waits(let place, true, let until): due.append((until, place))
        case .waits, .rejected: break
        }
      }
      now += 300_000
    }
    let elapsed = Int128(departures[departures.count - 1] - start)
    let bound = elapsed * Int128(tokens) / Int128(period) + 1
    #expect(departures.count <= bound)
    // Late by a turn at most, and nothing lost by it.
    let inTurn = Int128(tokens) * 300_000 / Int128(period) + 1
    #expect((Int128(departures.count) + inTurn) * 1000 >= bound * 999)
    for index in departures.indices {
      let earliest = Int128(start) + Int128(index) * Int128(period) / Int128(tokens)
      #expect(Int128(departures[index]) >= earliest)
    }
  }

  @Test func `after a stall no burst leaves`() throws {
    let limit = try leaky(1000, queue: 1000)
    var place = try #require(
      {
        _ = limit.arrive(key: key, worker: 0, request: 0, now: second)
        return limit.arrive(key: key, worker: 0, request: 1, now: second).place
      }())
    for request in 2..<500 as Range<UInt64> {
      _ = limit.arrive(key: key, worker: 0, request: request, now: second)
    }
    // The worker comes back after a second: what it can catch up is ten milliseconds.
    var left = 0
    while case .departs(let next?) = limit.depart(place, now: 2 * second) {
      left += 1
      place = next.place
    }
    #expect(left == 11)
  }

  @Test func `threads that hammer one key are let through and given places exactly`() throws {
    let limit = try leaky(1, per: day, queue: 1009, maxKeys: 100_000)
    let departed = Atomic<Int>(0)
    let places = Mutex<[WaitingPlace]>([])
    DispatchQueue.concurrentPerform(iterations: 4) { worker in
      for request in 0..<5000 as Range<UInt64> {
        let decision = limit.arrive(key: key, worker: UInt32(worker), request: request, now: second)
        if case .departs = decision { departed.add(1, ordering: .relaxed) }
        if let place = decision.place { places.withLock { $0.append(place) } }
      }
    }
    #expect(departed.load(ordering: .relaxed) == 1)
    #expect(places.withLock { $0.count } == 1009)
    #expect(limit.waiting == 1009)
    let all = places.withLock { $0 }
    DispatchQueue.concurrentPerform(iterations: 4) { worker in
      for index in stride(from: worker, to: all.count, by: 4) { _ = limit.leave(all[index]) }
    }
    #expect(limit.waiting == 0)
    #expect(limit.arrive(key: key, worker: 0, request: 0, now: second).place != nil)
  }

  @Test func `a change of rate moves those who wait, and says to whom`() throws {
    let limit = try leaky(1, per: day, queue: 5)
    #expect(limit.arrive(key: key, worker: 1, request: 1, now: second) == .departs)
    let place = try #require(
      limit.arrive(key: key, worker: 3, request: 9, now: second).place)
    _ = limit.arrive(key: key, worker: 4, request: 10, now: second)
    let faster = try #require(TokenBucketRate(tokens: 10, per: second, burst: 1))
    let due = limit.setRate(faster, now: second)
    #expect(due.count == 1)
    #expect(due.first?.worker == 3 && due.first?.request == 9 && due.first?.place == place)
    // A whole token was owed, and is owed still.
    #expect(due.first?.time == second + second / 10)
    guard case .departs(let next?) = limit.depart(place, now: second + second / 10) else {
      Issue.record("did not depart")
      return
    }
    #expect(next.worker == 4 && next.time == second + second / 5)
    limit.queue = 1
    #expect(limit.arrive(key: key, worker: 0, request: 0, now: second).place == nil)
  }

  @Test func `in a full table strangers share one line`() throws {
    let limit = try leaky(1, queue: 2, maxKeys: 1)
    #expect(limit.arrive(key: key, worker: 0, request: 0, now: second) == .departs)
    let strangers = (10..<14).map { Hash128(low: $0, high: 1) }
    #expect(limit.arrive(key: strangers[0], worker: 0, request: 1, now: second) == .departs)
    let first = try #require(
      limit.arrive(key: strangers[1], worker: 0, request: 2, now: second).place)
    let other = limit.arrive(key: strangers[2], worker: 0, request: 3, now: second)
    #expect(other.place != nil)
    #expect(limit.arrive(key: strangers[3], worker: 0, request: 4, now: second).place == nil)
    guard case .departs(let next?) = limit.depart(first, now: 2 * second) else {
      Issue.record("did not depart")
      return
    }
    #expect(next.request == 3 && next.time == 3 * second)
    #expect(limit.keys == 1)
  }

  @Test func `a key at which somebody waits stays, whatever comes`() throws {
    let limit = try leaky(1000, queue: 2, maxKeys: 50)
    #expect(limit.arrive(key: key, worker: 0, request: 0, now: 0) == .departs)
    let place = try #require(limit.arrive(key: key, worker: 0, request: 1, now: 0).place)
    for number in 0..<5000 as Range<UInt64> {
      _ = limit.arrive(
        key: Hash128(low: number, high: 9), worker: 0, request: 2, now: Int64(number) * 2_000_000)
    }
    #expect(limit.depart(place, now: 10 * second) == .departs(next: nil))
  }
}
