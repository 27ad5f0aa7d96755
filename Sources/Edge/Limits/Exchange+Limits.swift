// Limits on a request's way.
//
//   begin ──→ passesLimits ──allowed──→ the store ──miss──→ mayGoToOrigin ──allowed──→ origin
//                 │    │                    ↑                  │     │
//              refused └──waits──→ limited ─┴──────waits───────┘  refused
//                 ↓                  │                               ↓
//                429 ←───────────────┴── the client has left        429
//
// Most limits are over when they have been asked: their checks stand in a box of the worker's, and the
// request keeps nothing. The others (a place in a line, a permit, a cost that the response decides,
// fields that tell) are kept until the request's end, which settles them: `finish` is called once for
// each request, whatever became of it.
//
// Who waits is nobody's thread: the worker sets a timer for the first of a line, and whoever departs or
// leaves tells the worker of the next (`Worker.tell`). A request that departs goes on to the store, since
// what it wants may be there by now.

internal import Bytes
internal import ClientAddress
internal import Configuration
internal import EventLoop
internal import HTTPMessage
internal import Metrics
internal import RateLimiting
internal import Rules

extension Exchange {
  // MARK: The client

  /// Finds out whom the request is from. False if that was answered with an error.
  func findsClient(_ head: RequestHead, on connection: some ClientStream) -> Bool {
    client = connection.address
    guard generation.trustsProxies, connection.mayBeForwarded else { return true }
    var path = ForwardedPath(
      peer: IPAddress(high: client.high, low: client.low), trusted: generation.limitTable.trusted)
    var index = head.fields.count
    while index > 0, !path.isDone {
      index -= 1
      let line = head.fields[index]
      switch line.known {
      case .forwarded where generation.limitTable.readsForwarded:
        path.walkForwarded(line.value(in: head.bytes))
      case .xForwardedFor where !generation.limitTable.readsForwarded:
        path.walkForwardedFor(line.value(in: head.bytes))
      default: break
      }
    }
    if path.isMalformed {
      refuse(status: 400, text: "Forwarded is malformed.", on: connection)
      return false
    }
    let found = path.client
    if found.high != client.high || found.low != client.low {
      client = SocketAddress(high: found.high, low: found.low, port: 0)
    }
    return true
  }

  // MARK: Before the gate

  /// Asks those limits of the route that need to know neither who asks nor what rules make of the request:
  /// they count also what the gate or a rule answers. False: the request was refused.
  func passesEarlyLimits(on connection: some ClientStream) -> Bool {
    let limits = generation.routes.routes[route].limits
    return ask(limits.early, .request, endsAtOnce: limits.earlyEndsAtOnce, on: connection)
  }

  // MARK: Before the store

  /// Asks the limits of the route. False: the request was refused, or waits.
  @inline(__always)
  func passesLimits(on connection: some ClientStream) -> Bool {
    var limits = generation.routes.routes[route].limits
    if isRuled { addChosen(to: &limits, connection.worker) }
    if limits.bandwidth >= 0 || limits.responseBandwidth >= 0 {
      beginPacing(limits, connection.worker)
    }
    if limits.request.isEmpty && !limits.hasChosen { return true }
    return ask(limits.request, .request, endsAtOnce: limits.endsAtOnce, on: connection)
  }

  private func ask(
    _ range: Range<Int>, _ stage: LimitStage, endsAtOnce: Bool, on connection: some ClientStream
  ) -> Bool {
    let worker = connection.worker
    let box = endsAtOnce ? worker.passingChecks : worker.takeChecks()
    box.checks.removeAll()
    put(range, worker, on: &box.checks)
    if isRuled {
      forEachChosenLimit(worker) { chosen, cost in
        put(stage == .request ? chosen.request : chosen.miss, worker, cost: cost, on: &box.checks)
      }
    }
    let outcome = generation.limits.decide(
      &box.checks, now: worker.now.monotonic, time: worker.now.wall / 1000,
      worker: UInt32(truncatingIfNeeded: worker.index), request: connection.token)
    noteKeys(box.checks, worker)
    if trace != nil { explainLimits(box.checks, stage) }
    if endsAtOnce {
      guard case .refused(let check, let wait) = outcome else { return true }
      if held != nil { undoHeld(worker) }
      refuse(box.checks, check: check, retryAfter: wait, on: connection)
      return false
    }
    box.earlier = held
    held = box
    return goOn(with: outcome, on: connection)
  }

  /// What the limits that rules have chosen change of a route's.
  func addChosen(to limits: inout RouteLimits, _ worker: Worker) {
    var sum = limits
    forEachChosenLimit(worker) { chosen, _ in
      sum.hasChosen = true
      if !chosen.endsAtOnce { sum.endsAtOnce = false }
      if chosen.bandwidth >= 0 { sum.bandwidth = chosen.bandwidth }
      if chosen.responseBandwidth >= 0 { sum.responseBandwidth = chosen.responseBandwidth }
    }
    limits = sum
  }

  /// Puts the limits of a range of the table's on a request; `cost` counts in place of theirs.
  func put(
    _ range: Range<Int>, _ worker: Worker, cost: UInt64? = nil, on checks: inout LimitChecks
  ) {
    var index = range.lowerBound
    while index < range.upperBound {
      let use = generation.limitTable.uses[index]
      index += 1
      guard !isHeld(use.limit), !isExempt(from: use.limit, worker),
        let key = limitKey(use.limit, worker)
      else { continue }
      generation.limits.add(use.limit, key: key, cost: cost ?? use.cost, to: &checks)
      if generation.limitTable.traits[use.limit].tellsAlways { tellsLimits = true }
    }
  }

  /// Whether the request is under a limit already, which was asked at an earlier stage.
  @inline(__always)
  private func isHeld(_ limit: Int) -> Bool { held != nil && holds(limit) }

  @inline(never)
  private func holds(_ limit: Int) -> Bool {
    var box = held
    while let present = box {
      for index in 0..<present.checks.count where present.checks[index].limit == limit {
        return true
      }
      box = present.earlier
    }
    return false
  }

  /// What follows from what the limits have said to the newest of `held`.
  private func goOn(with outcome: LimitOutcome, on connection: some ClientStream) -> Bool {
    let worker = connection.worker
    switch outcome {
    case .allowed: return true
    case .waits(_, let isFirst, let until):
      own(worker)
      state = .limited
      limitedUntil = isFirst ? until : .max
      if isFirst { connection.wake(at: until) }
      return false
    case .refused(let check, let wait):
      guard let box = held else { return false }
      held = box.earlier
      box.earlier = nil
      // What refuses on the way to the origin leaves what was asked before as if it had not been.
      undoHeld(worker)
      refuse(box.checks, check: check, retryAfter: wait, on: connection)
      worker.giveChecks(box)
      return false
    }
  }

  // MARK: On the way to the origin

  /// Asks the limits that only what goes to the origin is under. False: refused, shed, or waits.
  func mayGoToOrigin(on connection: some ClientStream) -> Bool {
    let worker = connection.worker
    if isStoreOnly {
      answerWithoutOrigin(on: connection)
      return false
    }
    if isOnItsWay { return true }
    isOnItsWay = true
    if worker.isOverloaded, worker.sheds(generation.routes.routes[route].priority) {
      shed(on: connection)
      return false
    }
    var limits = generation.routes.routes[route].limits
    if isRuled { addChosen(to: &limits, worker) }
    if limits.miss.isEmpty && !limits.hasChosen { return true }
    return ask(limits.miss, .miss, endsAtOnce: false, on: connection)
  }

  /// Whether on its way to the origin the request is asked anything.
  func isAskedOnItsWay(_ worker: Worker) -> Bool {
    if isStoreOnly { return true }
    if isOnItsWay { return false }
    if worker.isOverloaded || !generation.routes.routes[route].limits.miss.isEmpty { return true }
    return isRuled && ruled.hasRun && !generation.routes.ruleLimits[route].isEmpty
  }

  /// Not now: the worker is behind.
  func shed(on connection: some ClientStream) {
    let worker = connection.worker
    worker.counters.add(.requestsShed)
    undoHeld(worker)
    worker.lines.removeAll()
    worker.lines.append("retry-after: 1\r\n")
    answer(status: 503, text: "Too busy.", on: connection)
  }

  // MARK: Waiting

  /// Goes on if its time has come. False: it still waits.
  func departs(on connection: some ClientStream) -> Bool {
    let worker = connection.worker
    guard state == .limited, let box = held else { return true }
    if connection.peerEnded {
      // Mostly the client has left. If it has only ended its sending, it is told why there is nothing.
      leaveLine(worker)
      // Where one waits is asked last.
      refuse(box.checks, check: box.checks.count - 1, retryAfter: 0, on: connection)
      return true
    }
    guard limitedUntil <= worker.now.monotonic else {
      // Its time may have moved back since the timer was set.
      if limitedUntil < .max { connection.wake(at: limitedUntil) }
      return false
    }
    switch generation.limits.resume(
      &box.checks, now: worker.now.monotonic, time: worker.now.wall / 1000,
      worker: UInt32(truncatingIfNeeded: worker.index), request: connection.token)
    {
    case .isBehind:
      limitedUntil = .max
      return false
    case .waits(let until):
      limitedUntil = until
      connection.wake(at: until)
      return false
    case .goesOn(let outcome, let next):
      worker.tell(next)
      state = .waiting
      if trace != nil { explainLimits(box.checks, nil) }
      if goOn(with: outcome, on: connection) { proceed(head(worker), on: connection) }
      return state != .limited
    }
  }

  /// Is told when it may ask again: it is the first of its line now.
  func isDue(at time: Int64, on connection: some ClientStream) {
    guard state == .limited else { return }
    limitedUntil = time
    connection.wake(at: time)
  }

  private func leaveLine(_ worker: Worker) {
    guard let box = held else { return }
    let next = generation.limits.leave(
      &box.checks, now: worker.now.monotonic, time: worker.now.wall / 1000)
    state = .waiting
    worker.tell(next)
  }

  // MARK: The end

  /// Settles what is held: the cost that only the response decides, and what is in flight no more.
  func settleLimits(_ worker: Worker) {
    if state == .limited { leaveLine(worker) }
    let isError = status >= 400
    while let box = held {
      held = box.earlier
      box.earlier = nil
      for index in 0..<box.checks.count {
        let limit = Int(box.checks[index].limit)
        guard !isError, generation.limitTable.traits[limit].countsErrors else { continue }
        generation.limits.correct(
          &box.checks, check: index, cost: 0, now: worker.now.monotonic,
          time: worker.now.wall / 1000)
      }
      generation.limits.finish(&box.checks)
      worker.giveChecks(box)
    }
  }

  /// Gives all back that was taken before.
  private func undoHeld(_ worker: Worker) {
    while let box = held {
      held = box.earlier
      box.earlier = nil
      generation.limits.undo(
        &box.checks, now: worker.now.monotonic, time: worker.now.wall / 1000)
      worker.giveChecks(box)
    }
  }

  // MARK: Telling

  /// Answers that a limit refuses the request.
  private func refuse(
    _ checks: borrowing LimitChecks, check: Int, retryAfter: Int64,
    on connection: some ClientStream
  ) {
    let worker = connection.worker
    worker.counters.add(.limited)
    tellsLimits = false
    let limit = Int(checks[check].limit)
    let traits = generation.limitTable.traits[limit]
    worker.lines.removeAll()
    let start = worker.lines.count
    worker.lines.append("retry-after: ")
    if LimitSet.appendRetryAfter(retryAfter, to: &worker.lines) {
      worker.lines.append("\r\n")
    } else {
      worker.lines.truncate(to: start)
    }
    appendLimitFields(checks, worker)
    guard traits.hasProblemBody else {
      answer(status: traits.status, text: Self.refusalText, on: connection)
      return
    }
    // RFC 9457; the name is a name of the configuration, so nothing in it has to be escaped.
    var content = ByteBuffer(capacity: 160)
    content.append("{\"type\": \"about:blank\", \"title\": \"")
    content.append(StatusCode.reason(traits.status))
    content.append("\", \"status\": ")
    content.append(decimal: UInt64(traits.status))
    content.append(", \"detail\": \"")
    content.append(Self.refusalText)
    content.append("\", \"limit\": \"")
    generation.limitTable.details[limit].name.withView { content.append($0) }
    content.append("\"}")
    answer(
      status: traits.status, content: content.view, type: "application/problem+json",
      on: connection)
  }

  private static var refusalText: StaticString { "Too many requests." }

  private func appendLimitFields(_ checks: borrowing LimitChecks, _ worker: Worker) {
    var start = worker.lines.count
    worker.lines.append("ratelimit-policy: ")
    if generation.limits.appendPolicies(checks, to: &worker.lines) {
      worker.lines.append("\r\n")
    } else {
      worker.lines.truncate(to: start)
    }
    start = worker.lines.count
    worker.lines.append("ratelimit: ")
    if generation.limits.appendStates(checks, to: &worker.lines) {
      worker.lines.append("\r\n")
    } else {
      worker.lines.truncate(to: start)
    }
  }

  /// Appends what limits say to a request that was let through, if they say it always.
  @inline(__always)
  func appendLimitFields(_ worker: Worker) {
    if tellsLimits { appendHeldFields(worker) }
  }

  private func appendHeldFields(_ worker: Worker) {
    var box = held
    while let present = box {
      appendLimitFields(present.checks, worker)
      box = present.earlier
    }
  }
}

// Bandwidth.
extension Exchange {
  private func beginPacing(_ limits: RouteLimits, _ worker: Worker) {
    var number = -1
    var key = Hash128(low: 0, high: 0)
    if limits.bandwidth >= 0, !isExempt(from: limits.bandwidth, worker),
      let found = limitKey(limits.bandwidth, worker)
    {
      (number, key) = (limits.bandwidth, found)
    }
    var rate: TokenBucketRate?
    if limits.responseBandwidth >= 0, !isExempt(from: limits.responseBandwidth, worker) {
      let limit = generation.limits.limits[limits.responseBandwidth]
      if !limit.isShadow, case .tokenBucket(let limiter) = limit.rule { rate = limiter.rate }
    }
    if number >= 0 || rate != nil {
      pacing = Pacing(generation.limits, limit: number, key: key, rate: rate)
    }
  }

  /// Sends content as fast as its pace allows; how much was sent, or nil: a timer says when to go on.
  @inline(__always)
  func sendPaced(_ content: ByteView, on connection: some ClientStream) -> Int? {
    guard let pacing else { return connection.sendContent(content) }
    return send(content, pacing, on: connection)
  }

  private func send(
    _ content: ByteView, _ pacing: Pacing, on connection: some ClientStream
  ) -> Int? {
    let worker = connection.worker
    switch pacing.allowance(UInt64(content.count), worker) {
    case .waits(let time):
      connection.wake(at: time)
      return nil
    case .send(let bytes):
      let sent = connection.sendContent(content.prefix(Int(clamping: bytes)))
      pacing.giveBack(bytes &- UInt64(sent), worker)
      return sent
    }
  }

  /// Keeps a short content, which would not outlive the turn, to be sent at its pace.
  func keepForPacing(_ content: ByteView, _ pacing: Pacing, _ worker: Worker) {
    own(worker)
    pacing.content.append(content)
    state = .paced
  }

  /// Sends what was kept, as far as it goes. Nil: go on.
  func sendKept(on connection: some ClientStream) -> Progress? {
    guard let pacing else {
      state = .finished
      return nil
    }
    let rest = pacing.content.view.dropping(first: pacing.sent)
    if rest.isEmpty {
      state = .finished
      return nil
    }
    guard connection.isReadyToSend() else { return .waiting }
    if connection.writeBudget <= 0 {
      connection.worker.runAgain(connection.token)
      return .waiting
    }
    guard let count = sendPaced(rest, on: connection) else { return .waiting }
    if connection.isClosed { return .waiting }
    pacing.sent += count
    contentSent += UInt64(count)
    return count > 0 ? nil : .waiting
  }
}
