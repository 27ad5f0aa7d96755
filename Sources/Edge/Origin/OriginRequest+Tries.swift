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
// A fresh connection goes to all addresses of its server in turn, 250 ms apart (`ConnectPlan`); the first
// that is there is used.
//
// A hedge is a second try beside the first, after the time that 95 % of answers take. Whichever sends its
// first byte first is the answer, and the other is dropped.

internal import Bytes
internal import EventLoop
internal import HTTPCaching
internal import HTTPMessage
internal import Metrics
internal import Origins

/// Connections to one server that are being made, and until when.
final class Connecting {
  var plan: ConnectPlan
  var racers: [OriginConnection] = []
  let deadline: Int64
  /// Whether there was any address.
  var hasBegun = false

  init(_ plan: ConnectPlan, deadline: Int64) {
    self.plan = plan
    self.deadline = deadline
  }
}

/// The second try beside the first.
final class HedgedTry {
  var attempt: Attempt?
  let connection: OriginConnection

  init(_ attempt: consuming Attempt, _ connection: OriginConnection) {
    self.attempt = consume attempt
    self.connection = connection
  }
}

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

  private func choice(mayWait: Bool) -> ChoiceRequest {
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

// MARK: - Connecting

extension OriginRequest {
  private func connect() {
    guard let server = serverOfAttempt else { return }
    let now = worker.now.monotonic
    worker.counters.add(.originRequests)
    stage = .connecting
    receivedAny = false
    // How long a client takes to send its content is not the server's time.
    tryEnd = head.framing == .none || isFill ? plan.deadline(now: now, timeout: .max) : .max
    if !avoidsKept, let kept = worker.takeIdleOrigin(server, mayRepeat: mayRepeat) {
      send(on: kept)
      return
    }
    avoidsKept = false
    var addresses = ConnectPlan(AddressList())
    if case .host = server.location { addresses = server.connectPlan(now: now) }
    let connecting = Connecting(
      addresses, deadline: plan.deadline(now: now, timeout: settings.connectTimeout))
    self.connecting = connecting
    if case .unix = server.location {
      guard begin(nil, number: 0, to: server) else {
        self.connecting = nil
        tryFailed(.connectFailed, .connect)
        return
      }
      setTimer(connecting.deadline)
    } else {
      goOnConnecting()
    }
  }

  /// Whether it costs nothing but a try if a kept connection turns out to be closed.
  private var mayRepeat: Bool { head.method.isIdempotent && sentAll }

  private var serverOfAttempt: OriginServer? {
    switch attempt {
    case .some(let attempt): attempt.server
    case .none: nil
    }
  }

  /// Begins a connection; false if that failed at once.
  private func begin(_ address: SocketAddress?, number: Int, to server: OriginServer) -> Bool {
    connecting?.hasBegun = true
    do throws(Errno) {
      let racer = try worker.openOrigin(server, address: address, number: number)
      racer.request = self
      connecting?.racers.append(racer)
      return true
    } catch {
      return false
    }
  }

  /// Begins what the plan says is next.
  private func goOnConnecting() {
    let now = worker.now.monotonic
    guard let server = serverOfAttempt else { return }
    while let connecting {
      switch connecting.plan.next(now: now) {
      case .connect(let address, let number):
        if !begin(address, number: number, to: server) {
          connecting.plan.failed(number, now: now)
          server.addressFailed(address, now: now)
        }
      case .wait(let time):
        setTimer(min(time, connecting.deadline))
        return
      case .exhausted:
        self.connecting = nil
        setTimer(.max)
        tryFailed(connecting.hasBegun ? .connectFailed : .unresolved, .connect)
        return
      }
    }
  }

  /// A connection is there: the others are not needed.
  func connected(on connection: OriginConnection) {
    if let hedge, hedge.connection === connection {
      compose()
      connection.send(worker.wire.view)
      return
    }
    guard stage == .connecting, let connecting else { return }
    self.connecting = nil
    setTimer(.max)
    for racer in connecting.racers where racer !== connection { worker.close(racer) }
    send(on: connection)
  }

  /// A connection could not be made: the server's next address, if there is one.
  func connectFailed(on connection: OriginConnection) {
    let now = worker.now.monotonic
    if let address = connection.address { connection.server.addressFailed(address, now: now) }
    if let hedge, hedge.connection === connection {
      hedgeFailed(.connect)
      return
    }
    guard let connecting else { return }
    connecting.racers.removeAll { $0 === connection }
    connecting.plan.failed(connection.number, now: now)
    worker.close(connection)
    goOnConnecting()
  }

  private func connectTimedOut(_ connecting: Connecting) {
    self.connecting = nil
    for racer in connecting.racers {
      if let address = racer.address {
        racer.server.addressFailed(address, now: worker.now.monotonic)
      }
      worker.close(racer)
    }
    tryFailed(.connectTimeout, .connectTimeout)
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
  private func tryFailed(_ failure: OriginFailure, _ kind: TryFailure) {
    let now = worker.now.monotonic
    guard var held = attempt.take() else {
      end(with: failure)
      return
    }
    let isReplayable = stage != .content && !sentContent && hedge == nil
    let decision = side.balancer.failed(
      &held, kind, plan: &plan, tried: &tried, isReplayable: isReplayable, now: now)
    held.end(now: now)
    guard case .again(let pause) = decision else {
      count(failure)
      if !goesOnWithHedge() { end(with: failure) }
      return
    }
    if kind == .staleConnection { avoidsKept = true } else { count(failure) }
    lastFailure = failure
    tryAgain(after: pause)
  }

  private func tryAgain(after pause: Int64) {
    worker.counters.add(.originRetries)
    guard pause > 0 else {
      choose()
      return
    }
    stage = .pausing
    setTimer(worker.now.monotonic &+ pause)
  }

  private func count(_ failure: OriginFailure) {
    switch failure {
    case .unresolved, .connectFailed: worker.counters.add(.originConnectErrors)
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
    if let connection {
      self.connection = nil
      worker.close(connection)
    }
    if let connecting {
      self.connecting = nil
      for racer in connecting.racers { worker.close(racer) }
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

// MARK: - Hedges

extension OriginRequest {
  /// Sets the time of the second try, if the pool makes such.
  func armHedge() {
    guard side.hedges, hedge == nil, sentAll, !sentContent, head.method.isIdempotent,
      let delay = side.balancer.hedgeDelay()
    else { return }
    setTimer(worker.now.monotonic &+ delay)
  }

  private func beginHedge() {
    let now = worker.now.monotonic
    guard side.hedges, hedge == nil, !receivedAny, !sentContent, !isUpgrade,
      side.balancer.mayHedge(plan: &plan, isReplayable: true, now: now)
    else { return }
    var request = choice(mayWait: false)
    if let index = indexOfAttempt { request.tried.insert(index) }
    guard case .attempt(let second) = side.balancer.choose(request, now: now) else { return }
    let server = second.server
    let kept = worker.takeIdleOrigin(server, mayRepeat: true)
    guard let connection = kept ?? firstConnection(to: server) else {
      second.end(now: now)
      return
    }
    worker.counters.add(.originRequests)
    connection.request = self
    hedge = HedgedTry(second, connection)
    if kept != nil { connected(on: connection) }
  }

  private var indexOfAttempt: Int? {
    switch attempt {
    case .some(let attempt): attempt.index
    case .none: nil
    }
  }

  private func firstConnection(to server: OriginServer) -> OriginConnection? {
    var address: SocketAddress?
    if case .host = server.location {
      var addresses = server.connectPlan(now: worker.now.monotonic)
      guard case .connect(let first, _) = addresses.next(now: worker.now.monotonic) else {
        return nil
      }
      address = first
    }
    do throws(Errno) {
      return try worker.openOrigin(server, address: address, number: 0)
    } catch {
      return nil
    }
  }

  /// A connection may be read or written on.
  func goOn(on connection: OriginConnection) {
    if let hedge, hedge.connection === connection { readHedge(hedge) } else { progress() }
  }

  /// The first byte makes the second try the only one.
  private func readHedge(_ hedge: HedgedTry) {
    let connection = hedge.connection
    _ = connection.flush()
    guard connection.isReadable, stage == .head else { return }
    let result = connection.socket.receive(onto: &connection.input, limit: 32 << 10)
    guard let count = result.count, count > 0 else {
      connection.isReadable = false
      if !result.wouldBlock { hedgeFailed(.reset) }
      return
    }
    worker.counters.add(.originBytesReceived, UInt64(count))
    self.hedge = nil
    if let first = self.connection { worker.close(first) }
    attempt.take()?.end(now: worker.now.monotonic)
    attempt = hedge.attempt.take()
    self.connection = connection
    receivedAny = true
    waitForHead()
    parse(connection.input.view, isOwned: true)
    progress()
  }

  private func hedgeFailed(_ failure: TryFailure) {
    guard let hedge else { return }
    self.hedge = nil
    worker.close(hedge.connection)
    guard var held = hedge.attempt.take() else { return }
    _ = side.balancer.failed(
      &held, failure, plan: &plan, tried: &tried, isReplayable: false, now: worker.now.monotonic)
    held.end(now: worker.now.monotonic)
  }

  /// The first try has an answer: the second is dropped, and held against nobody.
  func dropHedge() {
    guard let hedge else { return }
    self.hedge = nil
    worker.close(hedge.connection)
    hedge.attempt.take()?.end(now: worker.now.monotonic)
  }

  /// The first try has failed: the second is the only one now, if there is one.
  private func goesOnWithHedge() -> Bool {
    guard let hedge, stage == .head else { return false }
    self.hedge = nil
    attempt = hedge.attempt.take()
    if hedge.connection.phase == .connecting {
      stage = .connecting
      let deadline = plan.deadline(
        now: worker.now.monotonic, timeout: side.settings.connectTimeout)
      let connecting = Connecting(ConnectPlan(AddressList()), deadline: deadline)
      connecting.hasBegun = true
      connecting.racers = [hedge.connection]
      self.connecting = connecting
      setTimer(deadline)
    } else {
      connection = hedge.connection
      waitForHead()
      progress()
    }
    return true
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
    case .queued: waitedInVain()
    case .pausing: choose()
    case .connecting:
      guard let connecting else { return }
      if connecting.deadline <= now { connectTimedOut(connecting) } else { goOnConnecting() }
    case .head: beginHedge()
    case .content, .done: break
    }
  }
}

extension TryFailure {
  /// What a failure means for another try.
  init(_ failure: OriginFailure) {
    switch failure {
    case .unresolved, .connectFailed: self = .connect
    case .connectTimeout: self = .connectTimeout
    case .firstByteTimeout, .contentTimeout: self = .timeout
    case .malformed, .headTooLarge: self = .malformed
    case .closedEarly, .requestAborted, .tooManyWaiters, .notSliceable, .unsatisfiable, .changed,
      .noServer,
      .breakerOpen, .tooBusy, .queueTimeout:
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
