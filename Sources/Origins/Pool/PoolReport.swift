// What an operator sees of pools, and may say to them. Read on any thread; figures read one after the
// other need not be of one moment.

internal import EventLoop

/// Why a server gets no requests, or that it does.
package enum ServerCondition: String, Sendable, CaseIterable {
  /// It gets requests.
  case up
  /// An operator drains it.
  case draining
  /// An operator took it out.
  case disabled
  /// Checks fail.
  case down
  /// Clients' requests failed.
  case ejected
  /// Its breaker is open.
  case open
  /// Its breaker lets a few requests try.
  case probing = "half_open"
  /// It asked for a pause (`Retry-After`): it gets requests only if no other server can take them.
  case resting
}

/// One server's figures.
package struct ServerReport: Sendable {
  /// `host:port` or `unix:path`.
  package let name: String
  /// As it was resolved.
  package let addresses: [String]
  /// Whether it gets requests, and if not why.
  package let condition: ServerCondition
  /// What an operator said.
  package let administrative: AdministrativeState
  /// Its weight now.
  package let weight: Int
  /// Its priority.
  package let priority: Int
  /// Whether it is a backup.
  package let isBackup: Bool
  /// Requests under way.
  package let inFlight: Int
  /// The most of them; nil: no limit.
  package let maxConnections: Int?
  /// Requests sent.
  package let requests: UInt64
  /// Of them failed (`PoolSettings.failureStatuses`, or no answer).
  package let failures: UInt64
  /// Of these: no connection.
  package let connectFailures: UInt64
  /// Of these: too slow.
  package let timeouts: UInt64
  /// Answers with 5xx, whether they count as failures or not.
  package let serverErrors: UInt64
  /// How long connections took to be made.
  package let connectTimes: ServerTimings
  /// How long tries took to a response's head, of those that were answered.
  package let firstByteTimes: ServerTimings
  /// The mean time to a response's head, in microseconds; 0 before the first.
  package let meanLatency: UInt64
  /// Its peak EWMA, in microseconds.
  package let peakLatency: Int64
  /// What it said of its load, in permille.
  package let load: Int64?
  /// How often it was ejected.
  package let ejections: UInt64
  /// Why, the last time.
  package let ejectionReason: EjectionReason
  /// Nanoseconds until its ejection ends; 0: it is not ejected.
  package let ejectedFor: Int64
  /// Its breaker's state.
  package let breaker: BreakerState
  /// How often that opened.
  package let breakerOpenings: UInt64
  /// Checks made.
  package let checks: UInt64
  /// Of them failed.
  package let failedChecks: UInt64
  /// The last check's result; nil before the first.
  package let lastCheck: CheckResult?
  /// How long it took, in microseconds.
  package let lastCheckLatency: UInt64
  /// Nanoseconds since checks took it out; 0: they did not.
  package let downFor: Int64
}

/// A pool's figures.
package struct PoolReport: Sendable {
  /// Its name.
  package let name: String
  /// Its servers, in the order of the configuration.
  package let servers: [ServerReport]
  /// Requests under way.
  package let inFlight: Int
  /// The most of them; nil: no limit.
  package let maxConnections: Int?
  /// Requests that wait for a connection.
  package let waiting: Int
  /// Requests that ever waited.
  package let queued: UInt64
  /// Of them in vain.
  package let queueTimeouts: UInt64
  /// Clients' requests.
  package let requests: UInt64
  /// Further tries.
  package let retries: UInt64
  /// Second tries beside the first.
  package let hedges: UInt64
  /// Tries that the budget forbade.
  package let budgetRefusals: UInt64
  /// Whole tries that the budget holds.
  package let budget: Int
  /// Requests refused: no server; an open breaker; too many under way.
  package let refusedNoServer: UInt64
  /// See `refusedNoServer`.
  package let refusedBreaker: UInt64
  /// See `refusedNoServer`.
  package let refusedFull: UInt64
  /// Choices made among all servers because too few were healthy.
  package let panics: UInt64
  /// The pool's breaker.
  package let breaker: BreakerState
  /// How often that opened.
  package let breakerOpenings: UInt64
}

extension OriginPool {
  /// The pool's figures at a time (monotonic).
  package func report(now: Int64) -> PoolReport {
    typealias Word = PoolState.Word
    let words = state.words
    return PoolReport(
      name: settings.name, servers: servers.indices.map { report(of: $0, now: now) },
      inFlight: state.inFlight, maxConnections: settings.maxConnections, waiting: state.waiting,
      queued: words.load(Word.queued), queueTimeouts: words.load(Word.queueTimeouts),
      requests: words.load(Word.requests), retries: words.load(Word.retries),
      hedges: words.load(Word.hedges), budgetRefusals: words.load(Word.budgetRefusals),
      budget: RetryBudget(word: words.load(Word.budget)).tries,
      refusedNoServer: words.load(Word.refusedNoServer),
      refusedBreaker: words.load(Word.refusedBreaker), refusedFull: words.load(Word.refusedFull),
      panics: words.load(Word.panics), breaker: state.breaker.state(now: now),
      breakerOpenings: words.load(Word.breakerOpenings))
  }

  private func report(of index: Int, now: Int64) -> ServerReport {
    typealias Word = ServerCells.Word
    let server = servers[index]
    let cells = cells[index]
    let words = cells.words
    let requests = words.load(Word.requests)
    let down = cells.time(Word.downSince)
    let check = words.load(Word.checkResult)
    return ServerReport(
      name: server.name, addresses: server.addresses.map(\.description),
      condition: condition(of: index, now: now), administrative: cells.administrative,
      weight: Int(words.load(Word.weight)), priority: settings.servers[index].priority,
      isBackup: settings.servers[index].isBackup, inFlight: cells.inFlight,
      maxConnections: limits[index], requests: requests, failures: words.load(Word.failures),
      connectFailures: words.load(Word.connectFailures), timeouts: words.load(Word.timeouts),
      serverErrors: words.load(Word.serverErrors),
      connectTimes: cells.timings(at: Word.connectTimes),
      firstByteTimes: cells.timings(at: Word.firstByteTimes),
      meanLatency: requests > 0 ? words.load(Word.latencySum) / requests : 0,
      peakLatency: cells.latency.value(now: now), load: cells.reportedLoad(now: now),
      ejections: words.load(Word.ejections), ejectionReason: cells.ejection.reason,
      ejectedFor: max(0, cells.time(Word.ejectedUntil) &- now),
      breaker: cells.breaker.state(now: now), breakerOpenings: words.load(Word.breakerOpenings),
      checks: words.load(Word.checks), failedChecks: words.load(Word.failedChecks),
      lastCheck: check > 0 ? CheckResult(rawValue: UInt8(truncatingIfNeeded: check - 1)) : nil,
      lastCheckLatency: words.load(Word.checkLatency),
      downFor: cells.isDown ? max(0, now &- down) : 0)
  }

  private func condition(of index: Int, now: Int64) -> ServerCondition {
    let cells = cells[index]
    switch cells.administrative {
    case .disabled: return .disabled
    case .draining: return .draining
    case .enabled: break
    }
    if cells.isDown { return .down }
    if cells.time(ServerCells.Word.ejectedUntil) > now { return .ejected }
    switch cells.breaker.state(now: now) {
    case .open: return .open
    case .halfOpen: return .probing
    case .closed: break
    }
    return cells.time(ServerCells.Word.restUntil) > now ? .resting : .up
  }
}

/// What an operator may say to a server.
package enum ServerCommand: Sendable, Equatable {
  /// Use it. Ends an ejection, closes its breaker and forgets what checks said too, and starts slowly.
  case enable
  /// Send it nothing new.
  case drain
  /// Send it nothing new, and do not check it.
  case disable
  /// Another weight, 1 to 65,535, until the file says another one.
  case weight(Int)
}

extension OriginPool {
  /// Does what an operator said; false if there is no server of that name, or the weight is out of
  /// range. In force for all workers when it returns.
  package func perform(_ command: ServerCommand, on name: String, now: Int64) -> Bool {
    typealias Word = ServerCells.Word
    guard let index = servers.firstIndex(where: { $0.name == name }) else { return false }
    let words = cells[index].words
    switch command {
    case .enable:
      servers[index].forgetChecks()
      words.store(Word.ejectedUntil, 0)
      words.store(Word.consecutiveFailures, 0)
      words.store(Word.restUntil, 0)
      words.update(Word.breaker) { Breaker(word: $0).closedByHand.word }
      cells[index].set(Word.returned, time: now)
      words.store(Word.administrative, UInt64(AdministrativeState.enabled.rawValue))
      serveWaiters(now: now)
    case .drain: words.store(Word.administrative, UInt64(AdministrativeState.draining.rawValue))
    case .disable: words.store(Word.administrative, UInt64(AdministrativeState.disabled.rawValue))
    case .weight(let weight):
      guard (1...65_535).contains(weight) else { return false }
      servers[index].setWeight(weight)
    }
    return true
  }
}

extension Breaker {
  /// Closed, in an era of its own, so that probes under way mean nothing to it.
  fileprivate var closedByHand: Breaker { Breaker(word: ((word &>> 54 &+ 1) & 0xFF) &<< 54) }
}
