// Limits of a region among a request's others.
//
// What the engine is to be told is rung for once the stripe is let go: who listens is another thread, which
// would come at once and wait.

internal import Bytes

extension LimitSet {
  /// Asks a limit of a region, and those behind it.
  func ask(
    _ limiter: RegionalLimiter, _ isShadow: Bool, _ checks: inout LimitChecks, _ index: Int,
    _ moment: Moment
  ) -> LimitOutcome {
    let key = checks[index].key
    let cost = checks[index].cost
    var standing = limiter.standing
    // What only counts makes nobody wait.
    if isShadow { standing.isExact = false }
    var isNews = false
    let outcome = limiter.withTable(of: key) { table in
      let place = table.place(of: key, now: moment.now)
      let source = table.source(place, cost, standing, now: moment.now)
      switch source {
      case .engine:
        table.countWanted(cost)
        return waits(at: limiter, &checks, index, moment)
      case .missing(let wait):
        isNews = table.want(place, cost, now: moment.now)
        checks.note(index, isShadow ? .shadowed : .refused, 0, wait)
        if isShadow {
          table.tally.shadowed &+= 1
          return ask(&checks, from: index + 1, moment)
        }
        table.tally.refused &+= 1
        return .refused(check: index, retryAfter: wait)
      case .older, .younger, .share, .nowhere:
        let balance = table.balance(place, standing, now: moment.now)
        let left = balance.remaining > cost ? balance.remaining - cost : 0
        checks.note(index, .allowed, left, balance.fullAfter)
        let outcome = ask(&checks, from: index + 1, moment)
        if case .refused = outcome { return outcome }
        isNews = table.want(place, cost, now: moment.now)
        table.take(place, cost, from: source, standing, now: moment.now)
        table.tally.allowed &+= 1
        if case .nowhere = source { return outcome }
        checks[index].isTaken = true
        return outcome
      }
    }
    switch outcome {
    case .waits: limiter.ring()
    case .allowed, .refused: if isNews { limiter.ring() }
    }
    return outcome
  }

  private func waits(
    at limiter: RegionalLimiter, _ checks: inout LimitChecks, _ index: Int, _ moment: Moment
  ) -> LimitOutcome {
    let place = limiter.ask(
      key: checks[index].key, cost: checks[index].cost, worker: moment.worker,
      request: moment.request, now: moment.now)
    checks.note(index, .waits, 0, limiter.timeout)
    checks[index].place = place
    checks.next = index
    // Nobody stands before it; its time is when it gives up.
    return .waits(place, isFirst: true, until: moment.now &+ limiter.timeout)
  }

  /// Goes on with a request that waited for the engine.
  func resume(
    _ checks: inout LimitChecks, at limiter: RegionalLimiter, _ moment: Moment
  ) -> LimitResumption {
    let index = checks.next
    switch limiter.depart(checks[index].place, now: moment.now) {
    case .waits(let until): return .waits(until: until)
    case .isGone: return .isBehind
    case .allowed:
      checks[index].verdict = .allowed
      checks[index].isTaken = true
      checks.next += 1
      let outcome = decide(
        &checks, now: moment.now, time: moment.time, worker: moment.worker, request: moment.request)
      return .goesOn(outcome, next: nil)
    case .refused(let wait):
      checks.note(index, .refused, 0, wait)
      undo(&checks, now: moment.now, time: moment.time)
      return .goesOn(.refused(check: index, retryAfter: wait), next: nil)
    }
  }
}
