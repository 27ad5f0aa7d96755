// Places at servers, and who waits for one.
//
// Entering and leaving are atomic counts. While somebody waits, nobody enters without queueing: what is
// freed goes to who waits longest. Nobody can be forgotten between the two: who queues is counted as
// waiting and then looks for a free place; who leaves frees the place and then looks whether anybody is
// waiting; a full fence stands between the two steps of both, so that at least one sees the other. Who
// held a place for an instant only (it is let into the pool and finds no server) frees it as well, and
// looks as well.
//
// The queue's lock is held for some nanoseconds and never while a message is posted. A granted place is
// the waiter's from that moment: its worker takes it with `accept` or gives it back with `decline`, also
// when the request has gone meanwhile.

internal import EventLoop
internal import Synchronization

/// A place that went to somebody who waited.
package struct SlotGrant: Sendable {
  /// Whom it is for.
  package let waiter: Waiter
  /// The pool.
  package let pool: OriginPool
  let index: Int
  let serverPass: BreakerPass
  let poolPass: BreakerPass
}

extension OriginPool {
  /// Counts a request in at the pool; nil if it may not be, and why not.
  func enterPool(now: Int64) -> Result<BreakerPass, EntryObstacle> {
    guard state.enter(limit: settings.maxConnections) else { return .failure(.full) }
    guard let pass = pass(state.words, PoolState.Word.breaker, now: now) else {
      state.leave()
      return .failure(.breaker)
    }
    return .success(pass)
  }

  enum EntryObstacle: Error {
    case full
    case breaker
  }

  /// Counts a request in at a server; nil if it may not be.
  func enterServer(_ index: Int, now: Int64) -> BreakerPass? {
    guard cells[index].enter(limit: limits[index]) else { return nil }
    guard let pass = pass(cells[index].words, ServerCells.Word.breaker, now: now) else {
      cells[index].leave()
      return nil
    }
    return pass
  }

  private func pass(_ words: AtomicWords, _ word: Int, now: Int64) -> BreakerPass? {
    guard let settings = settings.breaker else { return .normal }
    // Closed, as nearly always: nothing is written.
    if words.load(word) &>> 62 == 0 { return .normal }
    var passed: BreakerPass?
    words.update(word) { old in
      let admitted = Breaker(word: old).admitting(settings, now: now)
      passed = admitted?.1
      return admitted?.0.word
    }
    return passed
  }

  /// Counts a request out, and gives the place to who waits.
  func leave(_ index: Int, now: Int64) {
    cells[index].leave()
    state.leave()
    freed(now: now)
  }

  /// A place has become free: looks whether anybody waits for it.
  func freed(now: Int64) {
    AtomicWords.fence()
    if state.words.load(PoolState.Word.waiting) > 0 { serveWaiters(now: now) }
  }

  /// Puts a request into the queue; nil if too many wait.
  func enqueue(_ waiter: Waiter, now: Int64) -> WaitTicket? {
    var ticket = append(waiter)
    if ticket == nil {
      // A breaker that may be probed again tells nobody: who comes has to look.
      serveWaiters(now: now)
      ticket = append(waiter)
    }
    guard let ticket else { return nil }
    state.words.add(PoolState.Word.queued)
    AtomicWords.fence()
    // A place may have become free before this one could be seen waiting.
    serveWaiters(now: now)
    return ticket
  }

  private func append(_ waiter: Waiter) -> WaitTicket? {
    state.queue.withLock { queue in
      let ticket = queue.append(waiter, limit: settings.queueLimit)
      state.words.store(PoolState.Word.waiting, UInt64(queue.count))
      return ticket
    }
  }

  /// Takes a request out of the queue: its client has gone, or its time is over (`timedOut`). False: a
  /// place has been granted to it, and the grant is on its way or there.
  package func leaveQueue(_ ticket: WaitTicket, timedOut: Bool) -> Bool {
    let left = state.queue.withLock { queue in
      let left = queue.remove(ticket)
      state.words.store(PoolState.Word.waiting, UInt64(queue.count))
      return left
    }
    if left && timedOut { state.words.add(PoolState.Word.queueTimeouts) }
    return left
  }

  /// Gives free places to those that wait longest. Also called when a server returns.
  func serveWaiters(now: Int64) {
    while state.words.load(PoolState.Word.waiting) > 0 {
      // Whom the place will go to, unless another thread serves that one first: then it goes to the next,
      // as any place would.
      guard let first = state.queue.withLock({ $0.peekFirst }) else { return }
      let entry: Entry
      switch enterAny(for: first, now: now) {
      case .entered(let found): entry = found
      case .inVain:
        // The place that was held for an instant may be the one that somebody else looked for.
        AtomicWords.fence()
        continue
      case .nothingFree: return
      }
      let waiter = state.queue.withLock { queue in
        let waiter = queue.popFirst()
        state.words.store(PoolState.Word.waiting, UInt64(queue.count))
        return waiter
      }
      guard let waiter else {
        // Somebody else served the last one; who has queued since is seen by the next look.
        release(entry, now: now)
        continue
      }
      let grant = SlotGrant(
        waiter: waiter, pool: self, index: entry.index, serverPass: entry.serverPass,
        poolPass: entry.poolPass)
      guard state.onGrant.call(grant) else {
        release(entry, now: now)
        return
      }
    }
  }

  private struct Entry {
    let index: Int
    let serverPass: BreakerPass
    let poolPass: BreakerPass
  }

  private enum EntryOutcome {
    case entered(Entry)
    /// A place was free, and another thread took it.
    case inVain
    case nothingFree
  }

  /// Enters the usable server with the fewest requests for its weight, or the best one for the waiter's
  /// key; of those that have not failed for it, if there are any.
  private func enterAny(for waiter: Waiter, now: Int64) -> EntryOutcome {
    var members = survey(now: now, tried: waiter.tried).members
    guard !members.isEmpty, case .success(let poolPass) = enterPool(now: now) else {
      return .nothingFree
    }
    while let index = best(of: members, for: waiter, now: now) {
      if let pass = enterServer(index, now: now) {
        return .entered(Entry(index: index, serverPass: pass, poolPass: poolPass))
      }
      members.remove(index)
    }
    tellPoolBreaker(.none, poolPass, now: now)
    state.leave()
    return .inVain
  }

  private func best(of members: ServerSet, for waiter: Waiter, now: Int64) -> Int? {
    guard let key = waiter.key else { return leastLoaded(members, now: now) }
    var best: Int?
    var highest = -1.0
    var next = members.next(from: 0)
    while let index = next {
      let full = Double(weight(of: index, now: now).full)
      let score = Rendezvous.score(key: key, identity: servers[index].identity, weight: full)
      if score > highest {
        highest = score
        best = index
      }
      next = members.next(from: index + 1)
    }
    return best
  }

  private func leastLoaded(_ members: ServerSet, now: Int64) -> Int? {
    var best: Int?
    var least = Double.infinity
    var next = members.next(from: 0)
    while let index = next {
      let share = Double(cells[index].inFlight) / Double(weight(of: index, now: now).now)
      if share < least {
        least = share
        best = index
      }
      next = members.next(from: index + 1)
    }
    return best
  }

  /// Gives back what nobody used.
  private func release(_ entry: Entry, now: Int64) {
    tellServerBreaker(entry.index, .none, entry.serverPass, now: now)
    tellPoolBreaker(.none, entry.poolPass, now: now)
    cells[entry.index].leave()
    state.leave()
    AtomicWords.fence()
  }

  /// Makes a granted place an attempt, once.
  package static func accept(_ grant: SlotGrant, now: Int64) -> Attempt {
    Attempt(
      pool: grant.pool, index: grant.index, started: now, serverPass: grant.serverPass,
      poolPass: grant.poolPass)
  }

  /// Makes a granted place an attempt of this pool, which may be of an earlier or later configuration
  /// than the one that granted it. Nil, and the place is given back, if it has no such server.
  package func accept(_ grant: SlotGrant, now: Int64) -> Attempt? {
    if grant.pool === self { return Self.accept(grant, now: now) }
    let server = grant.pool.servers[grant.index]
    guard let index = servers.firstIndex(where: { $0 === server }) else {
      Self.decline(grant, now: now)
      return nil
    }
    return Attempt(
      pool: self, index: index, started: now, serverPass: grant.serverPass,
      poolPass: grant.poolPass)
  }

  /// Gives a granted place back: nobody needs it any more.
  package static func decline(_ grant: SlotGrant, now: Int64) {
    accept(grant, now: now).end(now: now)
  }
}
