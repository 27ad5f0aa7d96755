// One try of a request at a server: it counts as under way from the choice until this value goes.

/// What became of a try, as far as its server is to blame.
package enum AttemptResult: Sendable, Equatable {
  /// The head of a final response came.
  case answered(status: UInt16)
  /// None came, or its content broke off.
  case failed(TryFailure)
}

/// A place at a server. It cannot be copied, and gives the place back when it goes, whatever way that is:
/// so exactly once. Keep it until the response's content has ended or the connection is closed.
package struct Attempt: ~Copyable, Sendable {
  /// The pool.
  package let pool: OriginPool
  /// The server.
  package let server: OriginServer
  /// The server's number in the pool.
  package let index: Int
  /// When it began (monotonic), or when its server had all of the request: how long a client takes to
  /// send it is not the server's time.
  package private(set) var started: Int64
  let serverPass: BreakerPass
  let poolPass: BreakerPass
  var isServerTold = false
  var isPoolTold = false
  private var isOpen = true

  init(
    pool: OriginPool, index: Int, started: Int64, serverPass: BreakerPass, poolPass: BreakerPass
  ) {
    self.pool = pool
    server = pool.servers[index]
    self.index = index
    self.started = started
    self.serverPass = serverPass
    self.poolPass = poolPass
  }

  /// All of the request is with the server (monotonic).
  package mutating func sentAll(now: Int64) { started = now }

  deinit { if isOpen { giveBack(now: nil) } }

  /// Ends it now (monotonic), so that who waits gets the place at once. What was not told by
  /// `PoolBalancer.answered` or `failed` is held against nobody.
  package consuming func end(now: Int64) {
    giveBack(now: now)
    isOpen = false
  }

  private borrowing func giveBack(now: Int64?) {
    let now = now ?? started
    if !isServerTold { pool.tellServerBreaker(index, .none, serverPass, now: now) }
    if !isPoolTold { pool.tellPoolBreaker(.none, poolPass, now: now) }
    pool.leave(index, now: now)
  }
}

extension OriginPool {
  func tellServerBreaker(_ index: Int, _ verdict: BreakerVerdict, _ pass: BreakerPass, now: Int64) {
    guard let breaker = settings.breaker else { return }
    if tell(cells[index].words, ServerCells.Word.breaker, verdict, pass, breaker, now: now) {
      cells[index].words.add(ServerCells.Word.breakerOpenings)
    }
  }

  func tellPoolBreaker(_ verdict: BreakerVerdict, _ pass: BreakerPass, now: Int64) {
    guard let breaker = settings.breaker else { return }
    if tell(state.words, PoolState.Word.breaker, verdict, pass, breaker, now: now) {
      state.words.add(PoolState.Word.breakerOpenings)
    }
  }

  /// Whether it has opened by that.
  private func tell(
    _ words: AtomicWords, _ word: Int, _ verdict: BreakerVerdict, _ pass: BreakerPass,
    _ settings: BreakerSettings, now: Int64
  ) -> Bool {
    var hasOpened = false
    words.update(word) { old in
      let before = Breaker(word: old)
      let after = before.recording(verdict, pass: pass, settings, now: now)
      hasOpened = after.hasOpened(since: before)
      return after == before ? nil : after.word
    }
    return hasOpened
  }
}

extension Breaker {
  /// Whether it is open by an opening that `former` had not seen.
  func hasOpened(since former: Breaker) -> Bool {
    word &>> 62 == 1 && former.word &>> 54 != word &>> 54
  }
}
