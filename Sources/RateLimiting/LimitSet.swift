// Several limits on one request: all are asked before any is spent from.
//
// Each limit's stripe is locked while the next is asked, so nothing can come between the asking and the
// spending: two requests that meet are decided on one after the other, and what a request that is
// refused would have taken was never taken, not even for a moment. Locks are taken in the order of the
// limits' ranks, the same for all requests, also for those under an earlier configuration that had the
// limits in another order, so nobody waits in a circle; a limit stands in a request
// at most once. The penalties' locks are held for a look only, inside of these.
//
// Leaky buckets come last. At the first at which the request has to wait, the limits before it are
// spent from, the request takes its place in the line, and the limits behind it are asked once it has
// departed there (`resume`). If one of those refuses it then, what was taken is given back.

package import Bytes

/// What the limits together say to a request.
package enum LimitOutcome: Sendable, Equatable {
  /// It may pass.
  case allowed
  /// It waits in a line. If it is first there, its worker must call `resume` at that time, otherwise
  /// when it is told.
  case waits(WaitingPlace, isFirst: Bool, until: Int64)
  /// The check of that index has refused it: see its verdict. It would pass after so many nanoseconds,
  /// as far as that limit goes; `Int64.max` if never, 0 if that cannot be said.
  case refused(check: Int, retryAfter: Int64)
}

/// What has become of a request that waits.
package enum LimitResumption: Sendable, Equatable {
  /// It goes on: the outcome. If somebody is first in the line after it, that one must be told.
  case goesOn(LimitOutcome, next: DueDeparture?)
  /// It is first, and must ask again then.
  case waits(until: Int64)
  /// It is not its turn.
  case isBehind
}

/// The limits of a node, shared by all workers.
package final class LimitSet: Sendable {
  /// The limits; what stands where in `add` and `LimitCheck.limit`.
  package let limits: [Limit]
  private let entries: [Entry]

  /// A limit as decisions use it: without counting references, which all workers would write to the
  /// same words at each request. Safe because `limits` holds what these name as long as the set lives.
  @safe
  private struct Entry: @unchecked Sendable {
    let limit: Unmanaged<Limit>
    let penalty: Unmanaged<PenaltyBox>?
    let rule: Rule
    /// In what order limits are asked: those at which one can wait come last.
    let order: UInt32

    init(_ limit: Limit) {
      unsafe self.limit = Unmanaged.passUnretained(limit)
      unsafe penalty = limit.penalty.map { unsafe Unmanaged.passUnretained($0) }
      rule = Rule(limit.rule)
      let waits =
        switch limit.rule {
        case .leakyBucket: true
        case .regional(let limiter): limiter.isExact
        case .tokenBucket, .concurrency, .quota: false
        }
      order = limit.rank & ~(1 << 31) | (waits ? 1 << 31 : 0)
    }
  }

  /// As `LimitRule`.
  @safe
  private enum Rule {
    case tokenBucket(Unmanaged<RateLimiter>)
    case leakyBucket(Unmanaged<RateLimiter>)
    case concurrency(Unmanaged<ConcurrencyLimiter>)
    case quota(Unmanaged<QuotaLimiter>)
    case regional(Unmanaged<RegionalLimiter>)

    init(_ rule: LimitRule) {
      switch rule {
      case .tokenBucket(let limiter): self = unsafe .tokenBucket(.passUnretained(limiter))
      case .leakyBucket(let limiter): self = unsafe .leakyBucket(.passUnretained(limiter))
      case .concurrency(let limiter): self = unsafe .concurrency(.passUnretained(limiter))
      case .quota(let limiter): self = unsafe .quota(.passUnretained(limiter))
      case .regional(let limiter): self = unsafe .regional(.passUnretained(limiter))
      }
    }
  }

  /// Limits in the configuration's order.
  package init(_ limits: [Limit]) {
    self.limits = limits
    entries = limits.map { Entry($0) }
  }

  /// The times at which a decision is made.
  struct Moment {
    /// Nanoseconds of a monotonic clock.
    let now: Int64
    /// Seconds since 1970.
    let time: Int64
    let worker: UInt32
    let request: UInt64
  }

  /// Puts a limit on a request; false if it is there already, or there are eight. A request that is
  /// exempt from a limit has it not put on.
  @discardableResult
  package func add(_ limit: Int, key: Hash128, cost: UInt64 = 1, to checks: inout LimitChecks)
    -> Bool
  {
    guard limit >= 0, limit < entries.count else { return false }
    switch entries[limit].rule {
    case .tokenBucket(let limiter), .leakyBucket(let limiter):
      unsafe limiter._withUnsafeGuaranteedRef { $0.prefetch(key: key) }
    case .concurrency, .quota, .regional: break
    }
    return checks.insert(limit: limit, order: entries[limit].order, key: key, cost: cost)
  }

  /// Asks all limits of a request, and takes from all of them or from none.
  ///
  /// `now` is a monotonic clock in nanoseconds, `time` the wall clock in seconds since 1970; `worker`
  /// and `request` are the caller's own names for who waits. Allocates nothing unless the request has
  /// to wait.
  package func decide(
    _ checks: inout LimitChecks, now: Int64, time: Int64, worker: UInt32, request: UInt64
  ) -> LimitOutcome {
    let moment = Moment(now: now, time: time, worker: worker, request: request)
    let outcome = ask(&checks, from: checks.next, moment)
    if case .refused = outcome { giveBack(&checks, now: now, time: time) }
    return outcome
  }

  /// To be called for a request that waits, when its time has come or it has been told.
  package func resume(
    _ checks: inout LimitChecks, now: Int64, time: Int64, worker: UInt32, request: UInt64
  ) -> LimitResumption {
    guard checks.next < checks.count, case .waits = checks[checks.next].verdict else {
      return .isBehind
    }
    let rule = limits[Int(checks[checks.next].limit)].rule
    if case .regional(let limiter) = rule {
      let moment = Moment(now: now, time: time, worker: worker, request: request)
      return resume(&checks, at: limiter, moment)
    }
    guard case .leakyBucket(let limiter) = rule else { return .isBehind }
    switch limiter.depart(checks[checks.next].place, now: now) {
    case .waits(let until): return .waits(until: until)
    case .isBehind, .isGone: return .isBehind
    case .departs(let next):
      checks[checks.next].verdict = .allowed
      checks.next += 1
      let outcome = decide(&checks, now: now, time: time, worker: worker, request: request)
      return .goesOn(outcome, next: next)
    }
  }

  /// To be called when the client of a request that waits has left: its place is free, and what it took
  /// from other limits given back. Who has become first by that must be told.
  package func leave(_ checks: inout LimitChecks, now: Int64, time: Int64) -> DueDeparture? {
    defer { giveBack(&checks, now: now, time: time) }
    guard checks.next < checks.count, case .waits = checks[checks.next].verdict else { return nil }
    checks[checks.next].verdict = .none
    switch limits[Int(checks[checks.next].limit)].rule {
    case .leakyBucket(let limiter): return limiter.leave(checks[checks.next].place)
    case .regional(let limiter): limiter.leave(checks[checks.next].place)
    case .tokenBucket, .concurrency, .quota: break
    }
    return nil
  }

  /// Corrects what a request that was let through has cost at one limit, when that is known only by
  /// its response: less gives back, more takes, be it more than is left.
  package func correct(
    _ checks: inout LimitChecks, check index: Int, cost: UInt64, now: Int64, time: Int64
  ) {
    guard index >= 0, index < checks.count, case .allowed = checks[index].verdict else { return }
    let (key, former) = (checks[index].key, checks[index].cost)
    guard cost != former else { return }
    let difference = cost > former ? cost - former : former - cost
    let isOverflow = checks[index].isOverflow
    switch limits[Int(checks[index].limit)].rule {
    case .tokenBucket(let limiter):
      if cost < former {
        limiter.refund(
          key: key, cost: difference, share: checks[index].share, isOverflow: isOverflow, now: now)
      } else {
        limiter.charge(key: key, cost: difference, now: now)
      }
    case .quota(let limiter):
      if cost < former {
        limiter.refund(
          key: key, cost: difference, time: time, takenIn: checks[index].window,
          isOverflow: isOverflow)
      } else {
        limiter.charge(key: key, cost: difference, time: time)
      }
    case .regional(let limiter):
      if cost < former {
        limiter.refund(key: key, cost: difference, now: now)
      } else {
        limiter.charge(key: key, cost: difference, now: now)
      }
    case .leakyBucket, .concurrency: return  // What has left has left, what is in flight is.
    }
    checks.setCost(cost, at: index)
  }

  /// To be called at the end of every request that was let through: it is in flight no more. Calling
  /// it again does nothing.
  package func finish(_ checks: inout LimitChecks) {
    for index in 0..<checks.count where checks[index].isTaken {
      guard case .concurrency(let limiter) = entries[Int(checks[index].limit)].rule else {
        continue
      }
      checks[index].isTaken = false
      let (key, isOverflow) = (checks[index].key, checks[index].isOverflow)
      unsafe limiter._withUnsafeGuaranteedRef { $0.release(key: key, isOverflow: isOverflow) }
    }
  }

  /// Gives back what a request took that was let through here and refused elsewhere. To be called
  /// instead of `finish`.
  package func undo(_ checks: inout LimitChecks, now: Int64, time: Int64) {
    giveBack(&checks, now: now, time: time)
  }

  /// Gives all back that was taken. A departure from a leaky bucket has been made and stays so.
  private func giveBack(_ checks: inout LimitChecks, now: Int64, time: Int64) {
    for index in 0..<checks.count where checks[index].isTaken {
      checks[index].isTaken = false
      let (key, cost) = (checks[index].key, checks[index].cost)
      switch limits[Int(checks[index].limit)].rule {
      case .tokenBucket(let limiter):
        limiter.refund(
          key: key, cost: cost, share: checks[index].share, isOverflow: checks[index].isOverflow,
          now: now)
      case .concurrency(let limiter):
        limiter.release(key: key, isOverflow: checks[index].isOverflow)
      case .quota(let limiter):
        limiter.refund(
          key: key, cost: cost, time: time, takenIn: checks[index].window,
          isOverflow: checks[index].isOverflow)
      case .regional(let limiter): limiter.refund(key: key, cost: cost, now: now)
      case .leakyBucket: break
      }
    }
  }

  // MARK: Asking

  func ask(_ checks: inout LimitChecks, from index: Int, _ moment: Moment) -> LimitOutcome {
    guard index < checks.count else {
      checks.next = index
      return .allowed
    }
    let entry = entries[Int(checks[index].limit)]
    let isShadow = unsafe entry.limit._withUnsafeGuaranteedRef { $0.isShadow }
    let key = checks[index].key
    if let penalty = unsafe entry.penalty,
      let rest = unsafe penalty._withUnsafeGuaranteedRef({ $0.remaining(key: key, now: moment.now) }
      )
    {
      checks.note(index, isShadow ? .shadowed : .penalised, 0, rest)
      unsafe entry.limit._withUnsafeGuaranteedRef { $0.countPenalised(isShadow: isShadow) }
      if !isShadow { return .refused(check: index, retryAfter: rest) }
      return ask(&checks, from: index + 1, moment)
    }
    let outcome: LimitOutcome
    switch entry.rule {
    case .tokenBucket(let limiter):
      outcome = unsafe limiter._withUnsafeGuaranteedRef {
        ask($0, isShadow, &checks, index, moment)
      }
    case .leakyBucket(let limiter):
      outcome = unsafe limiter._withUnsafeGuaranteedRef {
        askLeaky($0, isShadow, &checks, index, moment)
      }
    case .concurrency(let limiter):
      outcome = unsafe limiter._withUnsafeGuaranteedRef {
        ask($0, isShadow, &checks, index, moment)
      }
    case .quota(let limiter):
      outcome = unsafe limiter._withUnsafeGuaranteedRef {
        ask($0, isShadow, &checks, index, moment)
      }
    case .regional(let limiter):
      outcome = unsafe limiter._withUnsafeGuaranteedRef {
        ask($0, isShadow, &checks, index, moment)
      }
    }
    if let penalty = unsafe entry.penalty {
      switch checks[index].verdict {
      case .refused, .shadowed:
        _ = unsafe penalty._withUnsafeGuaranteedRef { $0.offend(key: key, now: moment.now) }
      case .none, .allowed, .waits, .penalised: break
      }
    }
    return outcome
  }

  private func ask(
    _ limiter: RateLimiter, _ isShadow: Bool, _ checks: inout LimitChecks, _ index: Int,
    _ moment: Moment
  ) -> LimitOutcome {
    let key = BucketKey(checks[index].key)
    let cost = checks[index].cost
    return limiter.withTable(of: key) { table, _ in
      let price = table.rate.price(of: cost)
      let check = price.map { table.check(key, price: $0, now: moment.now) }
      if let check, case .allowed(let remaining) = check.decision {
        checks.note(index, .allowed, remaining, check.after.roundedUp &- moment.now)
        let outcome = ask(&checks, from: index + 1, moment)
        if case .refused = outcome { return outcome }
        table.tally.allowed &+= 1
        if cost > 0 {
          checks[index].share = table.share(of: check, now: moment.now)
          checks[index].isOverflow = if case .overflow = check.spot { true } else { false }
          table.commit(check, key)
          checks[index].isTaken = true
        }
        return outcome
      }
      var retryAfter = Int64.max
      if let check, case .refused(let wait) = check.decision { retryAfter = wait }
      let level = table.balance(key, now: moment.now).remaining
      checks.note(index, isShadow ? .shadowed : .refused, level, retryAfter)
      if isShadow {
        table.tally.shadowed &+= 1
        return ask(&checks, from: index + 1, moment)
      }
      table.tally.refused &+= 1
      return .refused(check: index, retryAfter: retryAfter)
    }
  }

  private func askLeaky(
    _ limiter: RateLimiter, _ isShadow: Bool, _ checks: inout LimitChecks, _ index: Int,
    _ moment: Moment
  ) -> LimitOutcome {
    let key = BucketKey(checks[index].key)
    let cost = checks[index].cost
    let queue = limiter.queue
    return limiter.withTable(of: key) { table, stripe in
      let arrival = table.checkArrival(key, cost: cost, queue: queue, now: moment.now)
      if case .departs = arrival.outcome {
        checks.note(index, .allowed, UInt64(queue), 0)
        let outcome = ask(&checks, from: index + 1, moment)
        if case .refused = outcome { return outcome }
        table.tally.allowed &+= 1
        table.commitDeparture(arrival, key)
        return outcome
      }
      if isShadow {
        checks.note(index, .shadowed, 0, 0)
        table.tally.shadowed &+= 1
        return ask(&checks, from: index + 1, moment)
      }
      let decision = table.carryOut(
        arrival, key, stripe: stripe, worker: moment.worker, request: moment.request)
      switch decision {
      case .departs: return .allowed  // Cannot be: that is what was asked first.
      case .waits(let place, let isFirst, let until):
        checks.note(index, .waits, 0, until &- moment.now)
        checks[index].place = place
        checks.next = index
        return .waits(place, isFirst: isFirst, until: until)
      case .rejected(let retryAfter):
        checks.note(index, .refused, 0, retryAfter)
        return .refused(check: index, retryAfter: retryAfter)
      }
    }
  }

  private func ask(
    _ limiter: ConcurrencyLimiter, _ isShadow: Bool, _ checks: inout LimitChecks, _ index: Int,
    _ moment: Moment
  ) -> LimitOutcome {
    let key = BucketKey(checks[index].key)
    let limit = limiter.limit
    return limiter.withTable(of: key) { table in
      let (spot, inFlight) = table.check(key)
      if inFlight < limit {
        checks.note(index, .allowed, limit - inFlight - 1, 0)
        let outcome = ask(&checks, from: index + 1, moment)
        if case .refused = outcome { return outcome }
        table.commit(spot, key)
        checks[index].isTaken = true
        checks[index].isOverflow = if case .overflow = spot { true } else { false }
        return outcome
      }
      checks.note(index, isShadow ? .shadowed : .refused, 0, 0)
      if isShadow {
        table.tally.shadowed &+= 1
        return ask(&checks, from: index + 1, moment)
      }
      table.tally.refused &+= 1
      return .refused(check: index, retryAfter: 0)
    }
  }

  private func ask(
    _ limiter: QuotaLimiter, _ isShadow: Bool, _ checks: inout LimitChecks, _ index: Int,
    _ moment: Moment
  ) -> LimitOutcome {
    let key = BucketKey(checks[index].key)
    let cost = checks[index].cost
    return limiter.withTable(of: key) { table in
      let (decision, usage) = limiter.check(&table, key, time: moment.time, cost: cost)
      switch decision {
      case .allowed(let remaining, let reset):
        checks.note(index, .allowed, remaining, reset &* 1_000_000_000)
        let outcome = ask(&checks, from: index + 1, moment)
        if case .refused = outcome { return outcome }
        table.tally.allowed &+= 1
        if cost > 0 {
          table.spend(cost, usage, key)
          checks[index].isTaken = true
          checks[index].isOverflow = if case .overflow = usage.spot { true } else { false }
          checks[index].window = usage.number
        }
        return outcome
      case .refused(let retryAfter):
        let wait = retryAfter &* 1_000_000_000
        let left = limiter.limit > usage.used ? limiter.limit - usage.used : 0
        checks.note(index, isShadow ? .shadowed : .refused, left, wait)
        if isShadow {
          table.tally.shadowed &+= 1
          return ask(&checks, from: index + 1, moment)
        }
        table.tally.refused &+= 1
        return .refused(check: index, retryAfter: wait)
      }
    }
  }
}
