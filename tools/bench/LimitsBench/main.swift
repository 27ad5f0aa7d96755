// What a decision of a limit costs, on one thread.
//
//   swift run -c release LimitsBench [keys] [decisions]      1,000,000 keys, 4,000,000 decisions
//
// Prints nanoseconds a decision, the least of five rounds, with keys drawn from a Zipf law and evenly,
// hash of the address included: with nothing between, and as the node decides (the key is known, its
// line asked for, some hundred nanoseconds of other work done, then the decision). Then an attack of ten
// million random keys on a table of `keys`, and what is left of a heavy key's limit.

import Bytes
import CLinux
import RateLimiting

/// A repeatable source of chance (xorshift64*): cheap, so that the loop measures something else.
struct Chance {
  var state: UInt64
  mutating func next() -> UInt64 {
    state ^= state >> 12
    state ^= state << 25
    state ^= state >> 27
    return state &* 0x2545_F491_4F6C_DD1D
  }
}

/// Time on the processor of this thread, in nanoseconds.
func processorTime() -> Int64 {
  var time = timespec()
  unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
  return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}

/// Numbers of keys: half as often as one is drawn, the next in rank is drawn by its rank (Zipf, s = 1),
/// by the inverse of its continuous form.
func zipf(_ count: Int, keys: Int) -> [UInt32] {
  var chance = Chance(state: 88)
  var power = 1.0
  // keys^u for u in [0, 1), by squaring: no libm needed.
  var roots: [Double] = []
  var root = Double(keys)
  for _ in 0..<24 {
    root = root.squareRoot()
    roots.append(root)
  }
  return (0..<count).map { _ in
    let bits = chance.next()
    power = 1.0
    for bit in 0..<24 where bits >> UInt64(40 + bit) & 1 == 1 { power *= roots[23 - bit] }
    return UInt32(min(max(Int(power) - 1, 0), keys - 1))
  }
}

func even(_ count: Int, keys: Int) -> [UInt32] {
  var chance = Chance(state: 99)
  return (0..<count).map { _ in UInt32(truncatingIfNeeded: chance.next() % UInt64(keys)) }
}

func limiter(keys: Int, rate tokens: UInt64 = 50, burst: UInt64 = 100) -> RateLimiter {
  guard let rate = TokenBucketRate(tokens: tokens, per: 1_000_000_000, burst: burst) else {
    exit(1)
  }
  return RateLimiter(rate: rate, maxKeys: keys * 5 / 4, secret: Random.hash128())
}

/// The least of five rounds, in tenths of a nanosecond for each decision.
func measure(_ decisions: Int, _ round: (Int) -> UInt64) -> Int64 {
  var best = Int64.max
  var sink: UInt64 = 0
  for _ in 0..<5 {
    let start = processorTime()
    sink &+= round(decisions)
    best = min(best, processorTime() - start)
  }
  if sink == 1 { print("unlikely") }
  return best * 10 / Int64(decisions)
}

func nanoseconds(_ tenths: Int64) -> String { "\(tenths / 10).\(tenths % 10) ns" }

func key(_ number: UInt32, _ limiter: RateLimiter) -> Hash128 {
  limiter.key(addressHigh: 0x2001_0db8_0000_0000 | UInt64(number), addressLow: 0)
}

/// Decisions, each right after its key is known.
func plain(_ limit: RateLimiter, _ numbers: [UInt32]) -> (Int) -> UInt64 {
  var now: Int64 = 1 << 50
  return { decisions in
    var allowed: UInt64 = 0
    for index in 0..<decisions {
      now &+= 500
      if case .allowed = limit.decide(
        key: key(numbers[index & (numbers.count - 1)], limit), now: now)
      {
        allowed &+= 1
      }
    }
    return allowed
  }
}

/// Decisions as a node makes them: the key is known, other work follows, then the decision. Or the other
/// work alone, to be subtracted.
func amidWork(_ limit: RateLimiter, _ numbers: [UInt32], decides: Bool) -> (Int) -> UInt64 {
  var now: Int64 = 1 << 50
  return { decisions in
    var allowed: UInt64 = 0
    var work: UInt64 = 1
    for index in 0..<decisions {
      now &+= 500
      // A chain of multiplications that depends on the last request's, and nothing else on it: the
      // processor does not begin the decision before.
      let number = numbers[index & (numbers.count - 1)]
      if decides {
        let key = key(number, limit)
        limit.prefetch(key: key)
        for _ in 0..<100 { work = (work ^ key.low) &* 0x9E37_79B9_7F4A_7C15 }
        if case .allowed = limit.decide(key: key, now: now &+ Int64(work & 1)) { allowed &+= 1 }
      } else {
        for _ in 0..<100 { work = (work ^ UInt64(number)) &* 0x9E37_79B9_7F4A_7C15 }
        now &+= Int64(work & 1)
      }
    }
    return allowed &+ work
  }
}

/// Several limits on one request, of one key each, asked together and done with.
func together(_ set: LimitSet, _ hashed: RateLimiter, _ numbers: [UInt32]) -> (Int) -> UInt64 {
  var now: Int64 = 1 << 50
  return { decisions in
    var allowed: UInt64 = 0
    var checks = LimitChecks()
    for index in 0..<decisions {
      now &+= 500
      let key = key(numbers[index & (numbers.count - 1)], hashed)
      checks.removeAll()
      for limit in 0..<set.limits.count { set.add(limit, key: key, to: &checks) }
      if case .allowed = set.decide(
        &checks, now: now, time: now / 1_000_000_000, worker: 0, request: 0)
      {
        allowed &+= 1
        set.finish(&checks)
      }
    }
    return allowed
  }
}

func attack(keys: Int) {
  let limit = limiter(keys: keys)
  let heavy = key(.max, limit)
  var now: Int64 = 1 << 50
  let start = now
  var passed = 0
  var most = 0
  var chance = Chance(state: 7)
  for step in 0..<10_000_000 {
    now &+= 1000
    let stranger = limit.key(addressHigh: chance.next(), addressLow: 0)
    _ = limit.decide(key: stranger, now: now, cost: 100)
    if step % 100 == 0 {
      if case .allowed = limit.decide(key: heavy, now: now) { passed += 1 }
      if step % 100_000 == 0 { most = max(most, limit.bytes) }
    }
  }
  let bound = 100 + 50 * (now - start) / 1_000_000_000
  print("attack of 10,000,000 random keys on \(limit.keys) places: at most \(most / 1024) KiB,")
  print("  a heavy key passed \(passed) times of 100,000; its bound is \(bound)")
}

let arguments = CommandLine.arguments.dropFirst().compactMap { Int($0) }
let keys = max(arguments.first ?? 1_000_000, 1)
let decisions = max(arguments.dropFirst().first ?? 4_000_000, 1)
_ = weir_pin_to_cpu(0)

for (law, numbers) in [("Zipf", zipf(1 << 21, keys: keys)), ("even", even(1 << 21, keys: keys))] {
  let limit = limiter(keys: keys)
  for number in 0..<UInt32(keys) {
    _ = limit.decide(key: key(number, limit), now: 1 << 50, cost: 100)
  }
  print("\(law), \(limit.keys) keys, \(limit.bytes / max(limit.keys, 1)) bytes each:")
  let plainly = measure(decisions, plain(limit, numbers))
  let work = measure(decisions, amidWork(limit, numbers, decides: false))
  let amid = measure(decisions, amidWork(limit, numbers, decides: true))
  print("  right after the key is known \(nanoseconds(plainly))")
  print(
    "  with \(nanoseconds(work)) of other work between, that not counted \(nanoseconds(amid - work))"
  )
}
do {
  let numbers = zipf(1 << 21, keys: 1000)
  // So wide that all are asked each time.
  let one = limiter(keys: keys, rate: 1_000_000, burst: 1 << 40)
  guard
    let quota = QuotaLimiter(limit: 1 << 40, window: QuotaWindow(.day), maxKeys: keys)
  else { exit(1) }
  let limits = [
    Limit(name: "client", rule: .tokenBucket(one)),
    Limit(name: "route", rule: .tokenBucket(limiter(keys: keys, rate: 1_000_000, burst: 1 << 40))),
    Limit(name: "flight", rule: .concurrency(ConcurrencyLimiter(limit: 1000, maxKeys: keys))),
    Limit(name: "daily", rule: .quota(quota)),
  ]
  print("several limits, 1,000 keys:")
  for count in 1...4 {
    let cost = measure(decisions, together(LimitSet(Array(limits.prefix(count))), one, numbers))
    print("  \(count): \(nanoseconds(cost))")
  }
}
attack(keys: keys)
