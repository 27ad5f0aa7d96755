// A worker's side of a pool: its turns, its random numbers, its idea of how long answers take. One for
// each worker and pool, used by that worker's thread alone. Choosing allocates nothing and takes no lock,
// unless the request has to wait. For whoever owns a request:
//
//     var plan = balancer.plan(isIdempotent: …, now: now)        once
//     switch balancer.choose(request, now: now)                  for each try
//     case .attempt(let attempt)    keep it; connect by attempt.server.connectPlan or its location
//     case .queued(let ticket)      a SlotGrant comes through the pool's grant handler: accept it, or
//                                   decline it if the request has gone; on the queue's timeout leave
//                                   with the ticket
//     case .refused(let refusal)    stale if there is something, else 503 with Retry-After
//     …
//     balancer.answered(&attempt, status: …, now: now)           the head is passed on
//     balancer.failed(&attempt, …)                               or there is none, or it is worth another
//                                                                try: .again(pause) or .stop
//     attempt.end(now: now)                                      the content has ended

internal import Synchronization

/// What a choice goes by.
package struct ChoiceRequest: Sendable {
  /// A hash of the request, the same on every node (`Rendezvous.hash`); for `keyHash`.
  package var key: UInt64 = 0
  /// A hash of the client's address; for `clientHash`.
  package var client: UInt64 = 0
  /// Servers that have failed for this request.
  package var tried = ServerSet()
  /// The worker's name for the request, if it may wait; nil: it may not.
  package var waiter: UInt64?
  /// Whether it is a second try beside the first: nobody is refused if there is no server for it.
  package var isExtra = false

  /// A request that may go anywhere and may not wait.
  package init() {}
}

/// What choosing came to.
package enum OriginChoice: ~Copyable, Sendable {
  /// Go on with this.
  case attempt(Attempt)
  /// Wait for a grant, at most `PoolSettings.queueTimeout`; then leave with the ticket.
  case queued(WaitTicket)
  /// There is none to be had.
  case refused(ChoiceRefusal)
}

/// See the top of this file.
package struct PoolBalancer: ~Copyable, Sendable {
  /// The pool.
  package let pool: OriginPool
  private let worker: Int
  private var lineup: Lineup
  private var roundRobin: SmoothRoundRobin
  private var random: SeededRandom
  /// How long answers' heads took.
  private var latencies = LatencyHistogram()

  /// A worker's side; `worker` is below `workers`. The seed differs for each worker and start.
  package init(pool: OriginPool, worker: Int, of workers: Int, seed: UInt64) {
    self.pool = pool
    self.worker = worker
    lineup = Lineup(identities: pool.servers.map(\.identity))
    roundRobin = SmoothRoundRobin(count: lineup.count)
    random = SeededRandom(seed: SeededRandom.mix(seed ^ SeededRandom.mix(UInt64(worker))))
    lineup.members = ServerSet(first: lineup.count)
    for index in 0..<lineup.count { lineup[index].weight = pool.weight(of: index, now: 0).full }
    roundRobin.advance(lineup, worker: worker, of: workers)
  }

  /// A client's request begins: its tries.
  package func plan(isIdempotent: Bool, now: Int64) -> TryPlan {
    pool.state.words.add(PoolState.Word.requests)
    if let retries = pool.settings.retries { pool.state.deposit(retries, now: now) }
    return TryPlan(settings: pool.settings.retries, isIdempotent: isIdempotent, now: now)
  }

  /// Chooses a server and counts the request in.
  package mutating func choose(_ request: ChoiceRequest, now: Int64) -> OriginChoice {
    let survey = pool.survey(now: now, tried: request.tried)
    if survey.isPanic { pool.state.words.add(PoolState.Word.panics) }
    if survey.members.isEmpty {
      if case .full = survey.refusal { return wait(request, now: now) }
      return refuse(survey.refusal, request)
    }
    // Where nobody gets a place for now, nobody waits for one.
    if let breaker = pool.settings.breaker, !pool.state.breaker.admits(breaker, now: now) {
      return refuse(.breakerOpen(retryAfter: pool.state.breaker.retryAfter(now: now)), request)
    }
    // Who comes does not overtake who waits.
    if pool.state.words.load(PoolState.Word.waiting) > 0 { return wait(request, now: now) }
    switch pool.enterPool(now: now) {
    case .failure(.full): return wait(request, now: now)
    case .failure(.breaker):
      pool.freed(now: now)
      return refuse(.breakerOpen(retryAfter: pool.state.breaker.retryAfter(now: now)), request)
    case .success(let poolPass):
      fill(survey.members, now: now)
      var missed = false
      while let index = pick(request) {
        if let serverPass = pool.enterServer(index, now: now) {
          if missed { pool.freed(now: now) }
          return .attempt(
            Attempt(
              pool: pool, index: index, started: now, serverPass: serverPass, poolPass: poolPass))
        }
        // Another worker took its last place.
        lineup.members.remove(index)
        missed = true
      }
      pool.tellPoolBreaker(.none, poolPass, now: now)
      pool.state.leave()
      pool.freed(now: now)
      return wait(request, now: now)
    }
  }

  private mutating func pick(_ request: ChoiceRequest) -> Int? {
    switch pool.settings.balancing {
    case .roundRobin, .leastLoad: roundRobin.pick(lineup)
    case .leastConnections: LeastConnections.pick(lineup, random: &random)
    case .leastTime: TwoChoices.pickFaster(lineup, random: &random)
    case .twoChoices: TwoChoices.pick(lineup, random: &random)
    case .clientHash: Rendezvous.pick(lineup, key: request.client, bound: nil)
    case .keyHash(let bound): Rendezvous.pick(lineup, key: request.key, bound: bound)
    }
  }

  /// Reads what a choice goes by.
  private mutating func fill(_ members: ServerSet, now: Int64) {
    lineup.members = members
    var next = members.next(from: 0)
    while let index = next, index < lineup.count {
      let cells = pool.cells[index]
      let weight = pool.weight(of: index, now: now)
      var candidate = lineup[index]
      candidate.weight = weight.now
      candidate.fullWeight = weight.full
      candidate.inFlight = Int64(cells.inFlight)
      switch pool.settings.balancing {
      case .leastTime: candidate.latency = cells.latency.value(now: now)
      case .leastLoad:
        // Who says nothing counts as half busy; who is full gets a twentieth, to notice when it is not.
        let spare = 1000 - (cells.reportedLoad(now: now) ?? 500)
        candidate.weight = max(1, weight.now &* max(spare, 50) / 1000)
      case .roundRobin, .leastConnections, .clientHash, .keyHash, .twoChoices: break
      }
      lineup[index] = candidate
      next = members.next(from: index + 1)
    }
  }

  private func wait(_ request: ChoiceRequest, now: Int64) -> OriginChoice {
    guard let id = request.waiter else { return refuse(.full, request) }
    var waiter = Waiter(worker: worker, id: id)
    waiter.tried = request.tried
    switch pool.settings.balancing {
    case .clientHash: waiter.key = request.client
    case .keyHash: waiter.key = request.key
    case .roundRobin, .leastConnections, .leastTime, .leastLoad, .twoChoices: break
    }
    guard let ticket = pool.enqueue(waiter, now: now)
    else { return refuse(.full, request) }
    return .queued(ticket)
  }

  private func refuse(_ refusal: ChoiceRefusal, _ request: ChoiceRequest) -> OriginChoice {
    if request.isExtra { return .refused(refusal) }
    switch refusal {
    case .noServer: pool.state.words.add(PoolState.Word.refusedNoServer)
    case .breakerOpen: pool.state.words.add(PoolState.Word.refusedBreaker)
    case .full: pool.state.words.add(PoolState.Word.refusedFull)
    }
    return .refused(refusal)
  }

  // MARK: What became of an attempt

  /// A final response's head has come that is passed on: whatever its status, there is no further try.
  package mutating func answered(_ attempt: inout Attempt, status: UInt16, now: Int64) {
    latencies.add(now &- attempt.started)
    tell(&attempt, .answered(status: status), isFinal: true, now: now)
  }

  /// An attempt has failed, or was answered with a status that is worth another try
  /// (`RetrySettings.statuses`). Says what to do; then end the attempt, unless its answer is passed on.
  ///
  /// - Parameters:
  ///   - tried: gets the server, for the next choice.
  ///   - isReplayable: all content that went out can be sent again, and the client has seen nothing of
  ///     an answer.
  package mutating func failed(
    _ attempt: inout Attempt, _ failure: TryFailure, plan: inout TryPlan, tried: inout ServerSet,
    isReplayable: Bool, now: Int64
  ) -> TryDecision {
    // A kept connection that had ended says nothing about the server, which is asked again.
    let isExcused = plan.excuses(failure)
    if !isExcused { tried.insert(attempt.index) }
    let decision = plan.after(
      failure, isReplayable: isReplayable, hasOther: hasOther(than: tried, now: now), now: now,
      random: &random
    ) { [pool] in
      guard let retries = pool.settings.retries else { return false }
      return pool.state.withdraw(retries, now: now)
    }
    var isFinal = true
    if case .again = decision {
      isFinal = false
      pool.state.words.add(PoolState.Word.retries)
    }
    if isExcused { return decision }
    if case .status(let status, let retryAfter) = failure {
      latencies.add(now &- attempt.started)
      tell(&attempt, .answered(status: status), isFinal: isFinal, now: now)
      if let retryAfter { pool.rest(attempt.index, for: retryAfter, now: now) }
    } else {
      tell(&attempt, .failed(failure), isFinal: isFinal, now: now)
    }
    return decision
  }

  /// An attempt has failed beside which another of the same request is under way, which may yet answer:
  /// its server is told, and the pool is not.
  package mutating func failedBesideAnother(
    _ attempt: inout Attempt, _ failure: TryFailure, tried: inout ServerSet, now: Int64
  ) {
    if failure.isNobodysFault { return }
    tried.insert(attempt.index)
    tell(&attempt, .failed(failure), isFinal: false, now: now)
  }

  private func hasOther(than tried: ServerSet, now: Int64) -> Bool {
    let left = pool.survey(now: now, tried: tried).members
    var next = left.next(from: 0)
    while let index = next {
      if !tried.contains(index) { return true }
      next = left.next(from: index + 1)
    }
    return false
  }

  /// When to send a second try beside the first (nanoseconds after its start); nil: never, or not yet.
  package func hedgeDelay() -> Int64? {
    guard let retries = pool.settings.retries, retries.hedges else { return nil }
    return latencies.hedgeDelay()
  }

  /// Whether a second try may be sent now; if so it is paid for.
  package func mayHedge(plan: inout TryPlan, isReplayable: Bool, now: Int64) -> Bool {
    let may = plan.hedge(isReplayable: isReplayable, now: now) { [pool] in
      guard let retries = pool.settings.retries else { return false }
      return pool.state.withdraw(retries, now: now)
    }
    if may { pool.state.words.add(PoolState.Word.hedges) }
    return may
  }

  /// Tells everybody who keeps count, once for each attempt; content that breaks off later counts as a
  /// failure in a row.
  private func tell(
    _ attempt: inout Attempt, _ result: AttemptResult, isFinal: Bool, now: Int64
  ) {
    let verdict = pool.record(
      attempt.index, result, started: attempt.started, isFirst: !attempt.isServerTold, now: now)
    if !attempt.isServerTold {
      attempt.isServerTold = true
      pool.tellServerBreaker(attempt.index, verdict, attempt.serverPass, now: now)
    }
    // The pool fails only if the request does: a dead server beside a good one is no reason to stop.
    if isFinal, !attempt.isPoolTold {
      attempt.isPoolTold = true
      pool.tellPoolBreaker(verdict, attempt.poolPass, now: now)
    }
  }
}
