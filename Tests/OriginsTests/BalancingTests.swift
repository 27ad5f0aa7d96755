import Bytes
import Testing

@testable import Origins

/// A lineup of members with those weights.
private func lineup(_ weights: [Int64]) -> Lineup {
  var lineup = Lineup(
    identities: weights.indices.map { SeededRandom.mix(UInt64($0) &+ 77) })
  lineup.members = ServerSet(first: weights.count)
  for (index, weight) in weights.enumerated() {
    lineup[index].weight = weight * Candidate.one
    lineup[index].fullWeight = weight * Candidate.one
  }
  return lineup
}

@Suite struct BalancingTests {
  @Test func `weights 5, 1 and 1 come out smoothly`() {
    let lineup = lineup([5, 1, 1])
    var turns = SmoothRoundRobin(count: 3)
    let picked = (0..<14).compactMap { _ in turns.pick(lineup) }
    #expect(picked == [0, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0, 2, 0, 0])
  }

  @Test(arguments: [1, 2, 7, 16, 64])
  func `the workers together keep to the weights within 1 percent`(workers: Int) {
    let weights = [5, 3, 1, 1]
    let pool = OriginPool.make(weights: weights)
    var counts = [Int](repeating: 0, count: 4)
    var random = SeededRandom(seed: 42)
    // Clients are spread over workers at random, as the kernel does.
    var loads = [Int](repeating: 0, count: workers)
    for _ in 0..<10_000 { loads[Int(random.below(UInt64(workers)))] += 1 }
    for (worker, load) in loads.enumerated() {
      var balancer = pool.balancer(worker: worker, of: workers)
      for _ in 0..<load { if let server = balancer.serve().server { counts[server] += 1 } }
    }
    for (count, weight) in zip(counts, weights) {
      #expect(abs(count - weight * 1000) <= weight * 10, "\(counts)")
    }
  }

  @Test func `a server that leaves and returns takes its share again`() {
    let pool = OriginPool.make(weights: [1, 1])
    var balancer = pool.balancer()
    for _ in 0..<10 { balancer.serve() }
    #expect(pool.perform(.drain, on: "10.0.0.1:80", now: start))
    for _ in 0..<100 { #expect(balancer.serve() == .server(1)) }
    #expect(pool.perform(.enable, on: "10.0.0.1:80", now: start))
    let first = (0..<100).count { _ in balancer.serve() == .server(0) }
    #expect((48...52).contains(first))
  }

  @Test func `least connections goes to who has fewest for its weight`() {
    var lineup = lineup([1, 4, 1])
    var random = SeededRandom(seed: 1)
    lineup[0].inFlight = 2
    lineup[1].inFlight = 4
    lineup[2].inFlight = 3
    #expect(LeastConnections.pick(lineup, random: &random) == 1)
    lineup[1].inFlight = 12
    #expect(LeastConnections.pick(lineup, random: &random) == 0)
    lineup.members.remove(0)
    #expect([1, 2].contains(LeastConnections.pick(lineup, random: &random)))
  }

  @Test func `an idle pool is spread by weight`() {
    let weights: [Int64] = [6, 3, 1]
    let lineup = lineup(weights)
    var random = SeededRandom(seed: 9)
    var least = [0, 0, 0]
    var two = [0, 0, 0]
    var fast = [0, 0, 0]
    for _ in 0..<30_000 {
      least[LeastConnections.pick(lineup, random: &random) ?? 0] += 1
      two[TwoChoices.pick(lineup, random: &random) ?? 0] += 1
      fast[TwoChoices.pickFaster(lineup, random: &random) ?? 0] += 1
    }
    for counts in [least, two, fast] {
      for (count, weight) in zip(counts, weights) {
        #expect(abs(count - Int(weight) * 3000) < 300, "\(counts)")
      }
    }
  }

  @Test func `two choices keep a herd even`() {
    var lineup = lineup([Int64](repeating: 1, count: 10))
    var random = SeededRandom(seed: 5)
    for _ in 0..<1000 {
      guard let index = TwoChoices.pick(lineup, random: &random) else { continue }
      lineup[index].inFlight += 1
    }
    let loads = (0..<10).map { lineup[$0].inFlight }
    // One random choice would spread them by about 30.
    #expect((loads.max() ?? 0) - (loads.min() ?? 0) <= 6, "\(loads)")
  }

  @Test func `least time avoids a slow server and tries an unknown one once`() {
    var lineup = lineup([1, 1])
    var random = SeededRandom(seed: 5)
    lineup[0].latency = 100_000
    lineup[1].latency = 1000
    for _ in 0..<100 { #expect(TwoChoices.pickFaster(lineup, random: &random) == 1) }
    lineup[1].inFlight = 200
    for _ in 0..<100 { #expect(TwoChoices.pickFaster(lineup, random: &random) == 0) }
    lineup[1].latency = 0
    lineup[1].inFlight = 0
    for _ in 0..<100 { #expect(TwoChoices.pickFaster(lineup, random: &random) == 1) }
    lineup[1].inFlight = 1
    for _ in 0..<100 { #expect(TwoChoices.pickFaster(lineup, random: &random) == 0) }
  }

  @Test func `hashing spreads keys by weight`() {
    let weights: [Int64] = [4, 3, 2, 1]
    let lineup = lineup(weights)
    var counts = [0, 0, 0, 0]
    var random = SeededRandom(seed: 3)
    for _ in 0..<100_000 {
      counts[Rendezvous.pick(lineup, key: random.next(), bound: nil) ?? 0] += 1
    }
    for (count, weight) in zip(counts, weights) {
      #expect(abs(count - Int(weight) * 10_000) < 500, "\(counts)")
    }
  }

  @Test func `a server that goes moves only its own keys, and one that comes only its share`() {
    let whole = lineup([Int64](repeating: 1, count: 10))
    var fewer = lineup([Int64](repeating: 1, count: 10))
    fewer.members.remove(3)
    var random = SeededRandom(seed: 8)
    var moved = 0
    for _ in 0..<20_000 {
      let key = random.next()
      let before = Rendezvous.pick(whole, key: key, bound: nil)
      let after = Rendezvous.pick(fewer, key: key, bound: nil)
      if before != after {
        moved += 1
        #expect(before == 3)
      }
    }
    #expect(abs(moved - 2000) < 200)
  }

  @Test func `a bound keeps the most wanted key's server within its share`() {
    var lineup = lineup([1, 1, 1, 1])
    var random = SeededRandom(seed: 4)
    // One key is all that is asked for.
    for number in 1...1000 {
      let index = Rendezvous.pick(lineup, key: 99, bound: 125)
      guard let index else { return #expect(Bool(false), "no server has room") }
      lineup[index].inFlight += 1
      let bound = (1.25 * Double(number) / 4).rounded(.up)
      for server in 0..<4 { #expect(Double(lineup[server].inFlight) <= bound) }
    }
    // The key's second choice takes what the first may not.
    let loads = (0..<4).map { lineup[$0].inFlight }.sorted()
    #expect(loads[3] == 313 && loads[2] == 313 && loads[1] >= 311, "\(loads)")
    #expect(Rendezvous.pick(lineup, key: random.next(), bound: 100) != nil)
  }

  @Test(
    arguments: [
      (UInt64.max, 0.0), (1 << 63, 1.0), (1 << 62, 2.0), (3 << 62, 0.415_037_499), (0, 65.0),
    ])
  func `the logarithm is right to a millionth`(value: UInt64, expected: Double) {
    #expect(abs(Rendezvous.negativeLogarithm(value) - expected) < 1e-6)
  }

  @Test func `least load gives by what servers say they have left`() {
    let pool = OriginPool.make(weights: [1, 1, 1]) { $0.balancing = .leastLoad }
    pool.loadReported(0, permille: 900, now: start)
    pool.loadReported(1, permille: 400, now: start)
    pool.loadReported(2, permille: 700, now: start)
    var balancer = pool.balancer()
    var counts = [0, 0, 0]
    for _ in 0..<10_000 { if let server = balancer.serve().server { counts[server] += 1 } }
    #expect(zip(counts, [1000, 6000, 3000]).allSatisfy { abs($0 - $1) <= 5 }, "\(counts)")
    // What was said too long ago counts no more.
    counts = [0, 0, 0]
    for _ in 0..<9000 {
      if let server = balancer.serve(now: start + 11 * second).server { counts[server] += 1 }
    }
    #expect(counts.allSatisfy { abs($0 - 3000) <= 3 }, "\(counts)")
  }

  @Test(
    arguments: [
      ("0.42", 420), ("42%", 420), ("1", 1000), ("0", 0), ("load=0.5", 500), ("1.7", 1000),
      ("TEXT cpu_utilization=0.3, mem_utilization=0.8", 300), (" 0.25 ", 250), ("12.5%", 125),
      ("TEXT cpu_utilization=0.3, application_utilization=0.6", 600), ("150%", 1000),
    ])
  func `a load is read`(text: String, permille: Int) {
    #expect(text.withView { ReportedLoad.permille($0) } == permille)
  }

  @Test(arguments: [
    "", "-1", "much", "%", ".", "0.5.5", "load=", "TEXT mem_utilization=0.8", "1e3",
  ])
  func `what is no load is none`(text: String) {
    #expect(text.withView { ReportedLoad.permille($0) } == nil)
  }

  @Test func `a peak counts at once and fades`() {
    var latency = PeakLatency(word: 0)
    for number in 0..<100 {
      latency = latency.adding(2 * millisecond, now: start + Int64(number) * millisecond)
    }
    #expect(latency.value(now: start + 100 * millisecond) <= 2000)
    #expect(latency.value(now: start + 100 * millisecond) >= 1900)
    latency = latency.adding(500 * millisecond, now: start + 100 * millisecond)
    #expect(latency.value(now: start + 100 * millisecond) == 500_000)
    let half = latency.value(now: start + 100 * millisecond + 6931 * millisecond)
    #expect(abs(half - 250_000) < 1000)
    #expect(latency.value(now: start + 3600 * second) == 0)
    // Good answers bring it down, also many within a millisecond.
    for _ in 0..<2000 { latency = latency.adding(millisecond, now: start + 101 * millisecond) }
    #expect(latency.value(now: start + 101 * millisecond) < 2000)
  }

  @Test func `a server that returns starts slowly`() {
    let pool = OriginPool.make(weights: [1, 1]) { $0.slowStart = 10 * second }
    var balancer = pool.balancer()
    #expect(pool.perform(.enable, on: "10.0.0.2:80", now: start))
    func share(at time: Int64) -> Int {
      (0..<1000).count { _ in balancer.serve(now: time) == .server(1) }
    }
    #expect((85...95).contains(share(at: start)))  // 0.1 of 1.1
    #expect((325...340).contains(share(at: start + 5 * second)))  // 0.5 of 1.5
    #expect((495...505).contains(share(at: start + 10 * second)))
  }

  @Test func `servers of a set are found in order`() {
    var set = ServerSet()
    for index in [0, 63, 64, 127, 200, 255] { set.insert(index) }
    set.insert(256)
    set.insert(-1)
    var found: [Int] = []
    var next = set.next(from: 0)
    while let index = next {
      found.append(index)
      next = set.next(from: index + 1)
    }
    #expect(found == [0, 63, 64, 127, 200, 255] && set.count == 6)
    set.remove(200)
    #expect(!set.contains(200) && set.contains(255) && !set.contains(999))
  }
}
