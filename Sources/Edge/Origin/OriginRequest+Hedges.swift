// A hedge is a second try beside the first, after the time that 95 % of answers take. Whichever sends its
// first byte first is the answer, and the other is dropped.

internal import Bytes
internal import EventLoop
internal import HTTPCaching
internal import HTTPMessage
internal import Metrics
internal import Origins

/// The second try beside the first.
final class HedgedTry {
  var attempt: Attempt?
  let connection: OriginConnection
  /// Until when it has to have an answer's head, monotonic.
  let end: Int64

  init(_ attempt: consuming Attempt, _ connection: OriginConnection, end: Int64) {
    self.attempt = consume attempt
    self.connection = connection
    self.end = end
  }
}

extension OriginRequest {
  /// Sets the time of the second try, if the pool makes such.
  func armHedge() {
    guard side.hedges, hedge == nil, sentAll, !sentContent, head.method.isIdempotent,
      let delay = side.balancer.hedgeDelay()
    else { return }
    setTimer(min(worker.now.monotonic &+ delay, streamDeadline))
  }

  func beginHedge() {
    let now = worker.now.monotonic
    guard side.hedges, hedge == nil, !receivedAny, !sentContent, !isUpgrade else { return }
    var request = choice(mayWait: false)
    request.isExtra = true
    if let index = indexOfAttempt { request.tried.insert(index) }
    guard case .attempt(let second) = side.balancer.choose(request, now: now) else { return }
    guard side.balancer.mayHedge(plan: &plan, isReplayable: true, now: now) else {
      second.end(now: now)
      return
    }
    let server = second.server
    let kept = worker.takeIdleOrigin(server, tls: side.pool.tls, mayRepeat: true)
    guard let connection = kept ?? firstConnection(to: server) else {
      second.end(now: now)
      return
    }
    worker.counters.add(.originRequests)
    connection.request = self
    hedge = HedgedTry(second, connection, end: plan.deadline(now: now, timeout: .max))
    if kept != nil { connected(on: connection) }
  }

  var indexOfAttempt: Int? {
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
      return try worker.openOrigin(server, tls: side.pool.tls, address: address, number: 0)
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
    let result = connection.receiveInput(limit: 32 << 10)
    guard let count = result.count, count > 0 else {
      connection.isReadable = false
      if !result.wouldBlock { hedgeFailed(connection.isReused ? .staleConnection : .reset) }
      return
    }
    noteReceived(count)
    self.hedge = nil
    dropStream()
    if let first = self.connection { worker.close(first) }
    attempt.take()?.end(now: worker.now.monotonic)
    attempt = hedge.attempt.take()
    self.connection = connection
    tryEnd = hedge.end
    receivedAny = true
    waitForHead()
    parse(connection.input.view, isOwned: true)
    progress()
  }

  func hedgeFailed(_ failure: TryFailure) {
    guard let hedge else { return }
    self.hedge = nil
    worker.close(hedge.connection)
    guard var held = hedge.attempt.take() else { return }
    side.balancer.failedBesideAnother(&held, failure, tried: &tried, now: worker.now.monotonic)
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
  func goesOnWithHedge() -> Bool {
    guard let hedge, stage == .head else { return false }
    self.hedge = nil
    attempt = hedge.attempt.take()
    // The first's time is over.
    tryEnd = hedge.end
    if hedge.connection.phase == .connecting || hedge.connection.phase == .securing {
      stage = .connecting
      let deadline = plan.deadline(
        now: worker.now.monotonic, timeout: side.settings.connectTimeout)
      let connecting = Connecting(
        ConnectPlan(AddressList()), began: worker.now.monotonic, deadline: deadline)
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
