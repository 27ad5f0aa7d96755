// A connection for a try: a kept one, or a fresh one. A fresh connection goes to all addresses of its
// server in turn, 250 ms apart (`ConnectPlan`); the first that is there is used.

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
  /// When it was begun, monotonic.
  let began: Int64
  /// Whether there was any address.
  var hasBegun = false
  /// Whether the node itself has no descriptor or port left.
  var isExhausted = false
  /// What others wait for it to make, or it for another (`SharedOrigins`).
  var makesFor: SharedOrigins?
  var follows: SharedOrigins?
  /// What the last of them failed with.
  var failure = OriginFailure.connectFailed

  init(_ plan: ConnectPlan, began: Int64, deadline: Int64) {
    self.plan = plan
    self.began = began
    self.deadline = deadline
  }
}

extension OriginRequest {
  func connect() {
    let now = worker.now.monotonic
    worker.counters.add(.originRequests)
    stage = .connecting
    receivedAny = false
    // How long a client takes to send its content is not the server's time.
    tryEnd = head.framing == .none || isFill ? plan.deadline(now: now, timeout: .max) : .max
    seekConnection()
  }

  /// Takes a connection that is there, or makes one.
  func seekConnection() {
    guard let server = serverOfAttempt else { return }
    let now = worker.now.monotonic
    stage = .connecting
    if side.mayShare, beginShared(at: server) { return }
    if !avoidsKept,
      let kept = worker.takeIdleOrigin(server, tls: side.pool.tls, mayRepeat: mayRepeat)
    {
      send(on: kept)
      return
    }
    avoidsKept = false
    var addresses = ConnectPlan(AddressList())
    if case .host = server.location { addresses = server.connectPlan(now: now) }
    let connecting = Connecting(
      addresses, began: now, deadline: plan.deadline(now: now, timeout: settings.connectTimeout))
    self.connecting = connecting
    if side.mayShare, follows(to: server, connecting) { return }
    if case .unix = server.location {
      guard begin(nil, number: 0, to: server) else {
        if connecting.isExhausted { return exhausted(connecting) }
        self.connecting = nil
        makingFailed(connecting, .connectFailed, .connect)
        return
      }
      setTimer(connecting.deadline)
    } else {
      goOnConnecting()
    }
  }

  /// Whether it costs nothing but a try if a kept connection turns out to be closed.
  var mayRepeat: Bool { head.method.isIdempotent && sentAll }

  var serverOfAttempt: OriginServer? {
    switch attempt {
    case .some(let attempt): attempt.server
    case .none: nil
    }
  }

  private var placeOfAttempt: Int? {
    switch attempt {
    case .some(let attempt): attempt.index
    case .none: nil
    }
  }

  /// Begins a connection; false if that failed at once.
  private func begin(_ address: SocketAddress?, number: Int, to server: OriginServer) -> Bool {
    connecting?.hasBegun = true
    do throws(Errno) {
      let racer = try worker.openOrigin(
        server, tls: side.pool.tls, address: address, number: number)
      racer.request = self
      racer.mayShare = mayShare
      connecting?.racers.append(racer)
      return true
    } catch {
      connecting?.isExhausted = error.isExhaustion
      return false
    }
  }

  /// The node has nothing left to connect with: no server is to blame, and none is asked.
  private func exhausted(_ connecting: Connecting) {
    self.connecting = nil
    setTimer(.max)
    for racer in connecting.racers { worker.close(racer) }
    attempt.take()?.end(now: worker.now.monotonic)
    end(with: .tooBusy)
    tellFollowers(of: connecting, .notShared)
  }

  /// Begins what the plan says is next.
  func goOnConnecting() {
    let now = worker.now.monotonic
    guard let server = serverOfAttempt else { return }
    while let connecting {
      switch connecting.plan.next(now: now) {
      case .connect(let address, let number):
        if !begin(address, number: number, to: server) {
          if connecting.isExhausted {
            // Others may still come.
            guard connecting.racers.isEmpty else { return setTimer(connecting.deadline) }
            return exhausted(connecting)
          }
          connecting.plan.failed(number, now: now)
          server.addressFailed(address, now: now)
        }
      case .wait(let time):
        setTimer(min(time, connecting.deadline))
        return
      case .exhausted:
        self.connecting = nil
        setTimer(.max)
        makingFailed(
          connecting, connecting.hasBegun ? connecting.failure : .unresolved, .connect)
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
    if let index = placeOfAttempt {
      side.pool.connected(index, after: worker.now.monotonic &- connecting.began)
    }
    for racer in connecting.racers where racer !== connection {
      // Begun before, and not there yet: next time it comes last.
      if racer.number < connection.number, let address = racer.address {
        racer.server.addressFailed(address, now: worker.now.monotonic)
      }
      worker.close(racer)
    }
    guard connection.phase == .shared else {
      if connection.mayShare { worker.sharedOrigins(of: connection.server).choosesHTTP1 = true }
      send(on: connection)
      tellFollowers(of: connecting, .notShared)
      return
    }
    worker.sharedOrigins(of: connection.server).choosesHTTP1 = false
    if !begin(on: connection) { tryFailed(.connectFailed, .connect) }
    tellFollowers(of: connecting, .made(connection))
  }

  /// No connection could be made: neither for it nor for those that wait for it.
  private func makingFailed(_ connecting: Connecting, _ failure: OriginFailure, _ kind: TryFailure)
  {
    let followers = connecting.makesFor?.takeFollowers() ?? []
    tryFailed(failure, kind)
    for follower in followers { follower.makerIsThrough(.failed(failure, kind)) }
  }

  /// Tells those that wait for its connection what became of it.
  func tellFollowers(of connecting: Connecting, _ outcome: MakingOutcome) {
    guard let shared = connecting.makesFor else { return }
    connecting.makesFor = nil
    for follower in shared.takeFollowers() { follower.makerIsThrough(outcome) }
  }

  /// A connection could not be made: the server's next address, if there is one.
  func connectFailed(on connection: OriginConnection, _ failure: OriginFailure) {
    let now = worker.now.monotonic
    if let address = connection.address { connection.server.addressFailed(address, now: now) }
    if let hedge, hedge.connection === connection {
      hedgeFailed(.connect)
      return
    }
    guard let connecting else { return }
    connecting.failure = failure
    connecting.racers.removeAll { $0 === connection }
    connecting.plan.failed(connection.number, now: now)
    worker.close(connection)
    goOnConnecting()
  }

  func connectTimedOut(_ connecting: Connecting) {
    self.connecting = nil
    for racer in connecting.racers {
      if let address = racer.address {
        racer.server.addressFailed(address, now: worker.now.monotonic)
      }
      worker.close(racer)
    }
    stopFollowing(connecting)
    makingFailed(connecting, .connectTimeout, .connectTimeout)
  }
}
