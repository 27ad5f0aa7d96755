// Which server a request goes to, and what is done when that fails.
//
//   choose ── a place ──→ connect ──→ send ──→ an answer that is passed on
//      │                     │          │
//      ├── queued ──→ a grant, or its time is over
//      └── refused: 503      └──────────┴──→ failed ──→ choose, after a pause; or that was it
//
// Who decides is the balancer (`PoolBalancer`, module Origins). It counts the request in with an
// `Attempt`, which this request holds until the answer's content has ended; and it says after a failure
// whether another try may be made: only where nothing of the request's content has gone out, where the
// method is idempotent or the server cannot have seen it, and where the pool's budget allows it.
//
// How a connection is made is in `OriginRequest+Connecting.swift`, the second try beside the first in
// `OriginRequest+Hedges.swift`.

internal import Bytes
internal import EventLoop
internal import HTTPCaching
internal import HTTPMessage
internal import Metrics
internal import Origins

// MARK: - Choosing

extension OriginRequest {
  /// Looks for a server.
  func choose() {
    let now = worker.now.monotonic
    switch side.balancer.choose(choice(mayWait: side.queueTimeout > 0), now: now) {
    case .attempt(let chosen):
      attempt = consume chosen
      connect()
    case .queued(let ticket):
      self.ticket = ticket
      stage = .queued
      setTimer(plan.deadline(now: now, timeout: side.queueTimeout))
    case .refused(let refusal): refused(refusal)
    }
  }

  func choice(mayWait: Bool) -> ChoiceRequest {
    var request = ChoiceRequest()
    request.tried = tried
    switch side.balancing {
    case .keyHash: request.key = side.key(of: head, cacheKey: fill.fullKey, scratch: &worker.wire)
    case .clientHash: request.client = side.key(of: client, scratch: &worker.wire)
    case .roundRobin, .leastConnections, .leastTime, .leastLoad, .twoChoices: break
    }
    if mayWait { request.waiter = name() }
    return request
  }

  private func refused(_ refusal: ChoiceRefusal) {
    var retryAfter: Int64 = 0
    if case .breakerOpen(let time) = refusal { retryAfter = time }
    end(with: lastFailure ?? OriginFailure(refusal), retryAfter: retryAfter)
  }

  /// A place that it waited for.
  func granted(_ grant: SlotGrant) {
    ticket = nil
    setTimer(.max)
    guard let place = side.pool.accept(grant, now: worker.now.monotonic) else {
      // At a server that is not this configuration's.
      choose()
      return
    }
    attempt = consume place
    connect()
  }

  private func waitedInVain() {
    // If it has just been granted a place, that is on its way.
    guard let ticket, side.pool.leaveQueue(ticket, timedOut: true) else { return }
    self.ticket = nil
    end(with: lastFailure ?? .queueTimeout)
  }
}

// MARK: - What became of a try

extension OriginRequest {
  /// Something went wrong on a connection.
  func failed(_ failure: OriginFailure, on connection: OriginConnection) {
    guard stage != .done else { return }
    if let hedge, hedge.connection === connection {
      hedgeFailed(.reset)
      return
    }
    // It may have been closed before the server saw the request (RFC 9112 §9.3.1).
    let isStale =
      connection.isReused && !receivedAny && stage == .head && failure == .closedEarly
    self.connection = nil
    worker.close(connection)
    tryFailed(failure, isStale ? .staleConnection : TryFailure(failure))
  }

  func timedOut(on connection: OriginConnection) {
    guard stage != .done, connection === self.connection else { return }
    self.connection = nil
    worker.close(connection)
    if stage == .content {
      tryFailed(.contentTimeout, .timeout)
    } else {
      tryFailed(.firstByteTimeout, .timeout)
    }
  }

  /// A try has failed: once more, or that was it.
  func tryFailed(_ failure: OriginFailure, _ kind: TryFailure) {
    let now = worker.now.monotonic
    trace?.explanation?.failed(failure, at: serverOfAttempt)
    guard var held = attempt.take() else {
      end(with: failure)
      return
    }
    if hedge != nil, stage == .head {
      side.balancer.failedBesideAnother(&held, kind, tried: &tried, now: now)
      held.end(now: now)
      count(failure)
      _ = goesOnWithHedge()
      return
    }
    let isReplayable = stage != .content && !sentContent && hedge == nil
    let decision = side.balancer.failed(
      &held, kind, plan: &plan, tried: &tried, isReplayable: isReplayable, now: now)
    held.end(now: now)
    guard case .again(let pause) = decision else {
      count(failure)
      end(with: failure)
      return
    }
    if kind == .staleConnection { avoidsKept = true } else { count(failure) }
    lastFailure = failure
    tryAgain(after: pause)
  }

  private func tryAgain(after pause: Int64) {
    worker.counters.add(.originRetries)
    // The answer in whose place this is made has been dropped: what is stored may still stand for it.
    chooseAgain(after: pause)
  }

  /// Looks for a server after a pause; not while bytes of a shared connection are being taken, for other
  /// connections are read into the same buffer.
  func chooseAgain(after pause: Int64) {
    stage = .pausing
    if pause > 0 || worker.isFeeding {
      setTimer(worker.now.monotonic &+ pause)
    } else {
      choose()
    }
  }

  private func count(_ failure: OriginFailure) {
    switch failure {
    case .unresolved, .connectFailed, .tlsFailed, .tlsCertificate, .tlsAlert:
      worker.counters.add(.originConnectErrors)
    case .connectTimeout, .firstByteTimeout, .contentTimeout: worker.counters.add(.originTimeouts)
    case .malformed, .headTooLarge: worker.counters.add(.originFramingErrors)
    default: worker.counters.add(.originResets)
    }
  }

  /// A final head is there; `content` came with it. Whether another try is made in its place.
  func triesAgain(insteadOf content: ByteView) -> Bool {
    let now = worker.now.monotonic
    guard var held = attempt.take() else { return false }
    side.noteLoad(response, of: held.index, now: now)
    guard response.status >= 500 else {
      side.balancer.answered(&held, status: response.status, now: now)
      attempt = consume held
      return false
    }
    let retryAfter = response.value(.retryAfter).flatMap {
      RetryAfter.delay($0, wall: worker.now.wall, longest: side.longestRest)
    }
    let decision = side.balancer.failed(
      &held, .status(response.status, retryAfter: retryAfter), plan: &plan, tried: &tried,
      isReplayable: !sentContent, now: now)
    guard case .again(let pause) = decision else {
      attempt = consume held
      return false
    }
    held.end(now: now)
    if case .length(let length) = response.framing, length == UInt64(content.count) {
      releaseConnection()
    }
    dropConnections()
    lastFailure = nil
    tryAgain(after: pause)
    return true
  }

  /// Tells the balancer of an answer that is passed on.
  func answered(status: UInt16) {
    guard var held = attempt.take() else { return }
    side.balancer.answered(&held, status: status, now: worker.now.monotonic)
    attempt = consume held
  }

  /// Closes whatever is open, and leaves the queue.
  func dropConnections() {
    dropStream()
    if let connection {
      self.connection = nil
      worker.close(connection)
    }
    if let connecting {
      self.connecting = nil
      for racer in connecting.racers { worker.close(racer) }
      stopFollowing(connecting)
      tellFollowers(of: connecting, .notShared)
    }
    dropHedge()
    if let ticket {
      self.ticket = nil
      // If a place has been granted meanwhile, the worker gives it back: this request is not there.
      _ = side.pool.leaveQueue(ticket, timedOut: false)
    }
    setTimer(.max)
  }

  // MARK: Keys whose origin failed

  /// The origin has failed for what is stored.
  func noteFailure(retryAfter: Int64? = nil) {
    guard let stored, let failures = generation.shared.keyFailures[route] else { return }
    failures.failed(stored.hash, retryAfter: retryAfter, now: worker.now.monotonic)
  }

  /// The origin has answered.
  func noteAnswer() {
    guard let stored, let failures = generation.shared.keyFailures[route] else { return }
    guard ReuseRules.isError(response.status) else {
      failures.succeeded(stored.hash)
      return
    }
    let retryAfter = response.value(.retryAfter).flatMap {
      RetryAfter.delay($0, wall: worker.now.wall, longest: side.longestRest)
    }
    noteFailure(retryAfter: retryAfter)
  }
}

// MARK: - Time

extension OriginRequest {
  /// Its name among the worker's requests: what a timer and a granted place carry.
  func name() -> UInt64 {
    if token == 0 { token = worker.requests.insert(self) }
    return token
  }

  func setTimer(_ time: Int64) {
    timer = time
    guard time != .max, time < timerSet else { return }
    timerSet = time
    worker.timers.set(deadline: time, token: name() | TokenKind.request)
  }

  func timerRang() {
    let now = worker.now.monotonic
    guard timerSet <= now else { return }
    timerSet = .max
    guard timer != .max else { return }
    guard timer <= now else {
      setTimer(timer)
      return
    }
    timer = .max
    switch stage {
    case .gated: if awaitsTurn { turnCame() } else { missWaitedInVain() }
    case .queued: waitedInVain()
    case .pausing: choose()
    case .connecting:
      guard let connecting else { return end(with: .firstByteTimeout) }
      if connecting.deadline <= now { connectTimedOut(connecting) } else { goOnConnecting() }
    case .head:
      if streamTimedOut() { return }
      beginHedge()
      if stream != nil { setTimer(streamDeadline) }
    case .content:
      if file?.isReading == true { end(with: .contentTimeout) }
      if streamTimedOut() { return }
      if stream != nil { setTimer(streamDeadline) }
      guard fill.waitsForSlowest else { return }
      worker.noteMoved(fill)
      watchSlowest()
    case .done: break
    }
  }
}

extension TryFailure {
  /// What a failure means for another try.
  init(_ failure: OriginFailure) {
    switch failure {
    case .unresolved, .connectFailed, .tlsFailed, .tlsCertificate, .tlsAlert: self = .connect
    case .connectTimeout: self = .connectTimeout
    case .firstByteTimeout, .contentTimeout: self = .timeout
    case .malformed, .headTooLarge: self = .malformed
    case .closedEarly, .requestAborted, .tooManyWaiters, .notSliceable, .unsatisfiable, .changed,
      .noServer, .breakerOpen, .tooBusy, .queueTimeout, .notAsked:
      self = .reset
    }
  }
}

extension OriginFailure {
  /// What a client is told where no server was chosen.
  init(_ refusal: ChoiceRefusal) {
    switch refusal {
    case .noServer: self = .noServer
    case .breakerOpen: self = .breakerOpen
    case .full: self = .tooBusy
    }
  }
}
