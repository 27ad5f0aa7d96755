// A region of processes and an engine, in simulated time: what each spends, and when.

import Bytes
import RateLimiting

/// The engine: what its script does (Sources/Fleet/BudgetScript.swift), by a clock of its own.
struct SimulatedEngine {
  private var times: [Hash128: Double] = [:]
  /// What was given back, in this time of a lease and in the one before.
  private var back: [Hash128: (turn: Int64, before: Double, since: Double)] = [:]
  /// How far its clock is from the processes' clock, nanoseconds.
  var skew: Int64 = 0

  mutating func answer(
    _ report: BudgetReport, _ terms: (price: Double, depth: Int64, cap: Int64), lease: Int64,
    now: Int64
  ) -> BudgetAnswer {
    let turn = (now + skew) / lease
    let now = Double(now + skew)
    var time = max(times[report.key] ?? now, now)
    time = min(max(time + Double(report.charge) * terms.price, now), now + Double(terms.cap))
    if report.back > 0 {
      var known = back[report.key] ?? (turn, 0, 0)
      if known.turn != turn {
        known = (turn, known.turn == turn - 1 ? known.since : 0, 0)
      }
      let left = Double(report.backEnd) - known.before - known.since - now
      let taken = min(Double(report.back), (left / terms.price).rounded(.down))
      if taken > 0 {
        time = max(time - taken * terms.price, now)
        known.since += taken * terms.price
        back[report.key] = known
      }
    }
    let room = ((now + Double(terms.depth) - time) / terms.price + 1e-6).rounded(.down)
    var granted = UInt64(max(0, min(room, Double(report.want))))
    if granted < report.least { granted = 0 }
    time += Double(granted) * terms.price
    times[report.key] = time
    return BudgetAnswer(
      granted: granted, fullAfter: Int64((time - now).rounded(.up)), end: Int64(time))
  }

  mutating func forget() {
    times = [:]
    back = [:]
  }
}

/// Processes that share one limit.
struct SimulatedRegion {
  static let millisecond: Int64 = 1_000_000
  static let second: Int64 = 1_000_000_000
  let rate: TokenBucketRate
  let limiters: [RegionalLimiter]
  /// From a process to the engine, or back, nanoseconds.
  let way: Int64
  var engine = SimulatedEngine()
  /// Which processes the engine can be reached from.
  var isCut: [Bool]
  var now: Int64 = 1_000 * second
  /// When each token was spent, in order.
  private(set) var spent: [Int64] = []
  private var toEngine: [(due: Int64, process: Int, report: BudgetReport)] = []
  private var fromEngine: [(due: Int64, process: Int, report: BudgetReport, answer: BudgetAnswer)] =
    []
  private var nextRound: [Int64]

  init(_ rate: TokenBucketRate, processes: Int, way: Int64 = 40 * millisecond, maxKeys: Int = 1_000)
  {
    self.rate = rate
    self.way = way
    limiters = (0..<processes).map { _ in RegionalLimiter(rate: rate, maxKeys: maxKeys) }
    for limiter in limiters { limiter.share = 1 / Double(processes) }
    isCut = Array(repeating: false, count: processes)
    nextRound = (0..<processes).map { Int64($0) * 1_700_000 }
  }

  /// One token of a process; whether there was one.
  @discardableResult
  mutating func spend(_ process: Int, key: Hash128 = Hash128(low: 7, high: 7)) -> Bool {
    guard case .allowed = limiters[process].decide(key: key, now: now) else { return false }
    spent.append(now)
    return true
  }

  /// Lets time pass: messages arrive, and who has something to tell tells it.
  mutating func advance(_ duration: Int64) {
    now += duration
    while let first = toEngine.first, first.due <= now {
      toEngine.removeFirst()
      let terms = limiters[first.process].terms(pops: limiters.count)
      let answer = engine.answer(
        first.report, terms, lease: limiters[first.process].lease, now: first.due)
      fromEngine.append((first.due + way, first.process, first.report, answer))
    }
    while let first = fromEngine.first, first.due <= now {
      fromEngine.removeFirst()
      _ = limiters[first.process].hear(
        isCut[first.process] ? nil : first.answer, to: first.report, now: now)
    }
    for process in limiters.indices where now - nextRound[process] >= 10 * Self.millisecond {
      guard !isCut[process] else { continue }
      nextRound[process] = now
      for report in limiters[process].takeReports(128, now: now).reports {
        toEngine.append((now + way, process, report))
      }
    }
  }

  /// The most that was spent in any time, beyond the rate: to be held against the bound.
  var worstExcess: Double {
    // Of all windows [a, b]: (b's count − a's count) − rate × (b − a). The running minimum finds it.
    let perNanosecond = Double(rate.tokens) / Double(rate.period)
    var lowest = Double.infinity
    var worst = 0.0
    for (index, time) in spent.enumerated() {
      let line = Double(index) - perNanosecond * Double(time - (spent.first ?? 0))
      lowest = min(lowest, line)
      worst = max(worst, line + 1 - lowest)
    }
    return worst
  }

  /// The bound of BudgetShare.swift on that.
  var bound: Double {
    let perNanosecond = Double(rate.tokens) / Double(rate.period)
    let depth = max(Double(rate.burst), perNanosecond * 250_000_000)
    let lease = Double(limiters[0].lease)
    return depth + perNanosecond * lease + depth + Double(limiters.count)
  }
}
