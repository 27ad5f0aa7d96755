// The admin server's loop, on the pattern of a worker's: wait → what the kernel says → what other
// threads say → timers → what is left over from the turn before.

internal import Edge
internal import EventLoop
internal import Fleet

/// What other threads tell the loop.
enum AdminMessage: Sendable {
  /// The journal has written a purge, or could not; and who of the fleet has applied it, if that was asked.
  case purged(Purge, PurgeOutcome, FleetReach?)
  /// A change of a limit is in the fleet's log, or could not be brought there; and who has it, if that was asked.
  case tuned(LimitTold, FleetReach?)
  /// What the PoPs of the fleet have made of an order to warm; whether that was just given.
  case warmed(UInt64, FleetWarmReach, isNew: Bool, connection: UInt64)
  /// Who there is in the fleet; nil: the engine does not say.
  case fleet(FleetList?, connection: UInt64)
  /// The node has carried out an order for its configuration, or not.
  case configured(ConfigurationAnswer, connection: UInt64)
  /// There are lines for who watches the access log.
  case lines
  /// Close everything and end.
  case stop
}

/// The loop. Made on one thread, then used by the one that calls `run`.
final class AdminLoop {
  /// Tokens of events; a connection's has zeros in its top four bits.
  private enum Token {
    static let listener: UInt64 = 1 << 60
    static let inbox: UInt64 = 2 << 60
    static let acceptPause: UInt64 = 3 << 60
    static let second: UInt64 = 4 << 60
  }
  /// The most connections at a time.
  static let maxConnections = 64
  /// How long accepting pauses when the process has no descriptor left.
  private static let acceptPause: Int64 = 100_000_000
  /// How long a stopping server waits for the journal.
  private static let stopPatience: Int64 = 5_000_000_000

  let service: AdminService
  private(set) var now: Instant
  private let clock: NodeClock
  private let poller: Poller
  private let inbox: Inbox<AdminMessage>
  private let listener: Listener
  private let isUnixSocket: Bool
  private var connections = Slab<AdminConnection>()
  private var timers = TimerQueue()
  private var leftOver: [UInt64] = []
  private var stopDeadline: Int64?
  /// Whether a stream has taken all it was sent, so that there is room for more.
  private var hasDrained = false

  init(
    listener: Listener, isUnixSocket: Bool, clock: NodeClock, service: AdminService,
    inbox: Inbox<AdminMessage>
  ) throws(Errno) {
    self.listener = listener
    self.isUnixSocket = isUnixSocket
    self.clock = clock
    self.service = service
    self.inbox = inbox
    now = clock.now()
    poller = try Poller.open(capacity: 128)
    try poller.addReader(inbox.waker.descriptor, token: Token.inbox)
    try poller.addReader(listener.socket, token: Token.listener)
    clock.follow(inbox.waker)
    timers.set(deadline: now.monotonic + EventStreams.period, token: Token.second)
  }

  /// Whether the server is being stopped: every answer is a connection's last.
  var isStopping: Bool { stopDeadline != nil }

  /// Runs until it is stopped.
  func run() {
    while !isFinished { turn() }
    for connection in connections.all { connection.close() }
    service.close()
  }

  private var isFinished: Bool {
    guard let stopDeadline else { return false }
    return service.purgesUnderWay + service.warmingsUnderWay == 0 || now.monotonic >= stopDeadline
  }

  private func turn() {
    let count = poller.wait(timeout: timeout())
    now = clock.now()
    for event in 0..<count { dispatch(poller.token(event), poller.readiness(event)) }
    ringTimers()
    let tokens = leftOver
    leftOver = []
    for token in tokens { connections.element(token)?.advance() }
    if !service.jobs.isEmpty { stepJobs() }
    if hasDrained {
      hasDrained = false
      sendLines()
    }
  }

  private func timeout() -> Int64 {
    if !leftOver.isEmpty || !service.jobs.isEmpty || hasDrained { return 0 }
    if clock.standsStill { return -1 }
    let next = min(timers.next ?? .max, stopDeadline ?? .max)
    return next == .max ? -1 : max(0, next - clock.now().monotonic)
  }

  private func stepJobs() {
    let answers = service.stepJobs { connections.element($0) != nil }
    for (connection, response) in answers { connections.element(connection)?.respond(response) }
  }

  private func dispatch(_ token: UInt64, _ readiness: Readiness) {
    switch token {
    case Token.listener: accept()
    case Token.inbox: takeMessages()
    default: connections.element(token)?.handle(readiness)
    }
  }

  private func takeMessages() {
    inbox.waker.clear()
    now = clock.now()
    for message in inbox.take() {
      switch message {
      case .fleet(let list, let connection):
        connections.element(connection)?.respond(service.fleetAnswer(list))
      case .warmed(let id, let reach, let isNew, let connection):
        let response = service.finishWarming(id, reach, isNew: isNew)
        connections.element(connection)?.respond(response)
      case .tuned(let told, let reach):
        connections.element(told.connection)?.respond(service.finish(told, reach))
      case .purged(let purge, let outcome, let reach):
        let answer = service.finish(purge, outcome, reach, at: now)
        connections.element(purge.connection)?.respond(answer)
      case .configured(let answer, let connection):
        let response = service.finish(answer)
        connections.element(connection)?.respond(response)
      case .lines: sendLines()
      case .stop: beginStop()
      }
    }
  }

  private func beginStop() {
    stopDeadline = now.monotonic + Self.stopPatience
    poller.remove(listener.socket)
    for connection in connections.all where !connection.isAnswering { connection.close() }
  }

  // MARK: What connections ask for

  /// Has `timerRang` called at a time (monotonic).
  func setTimer(_ deadline: Int64, for token: UInt64) {
    timers.set(deadline: deadline, token: token)
  }

  /// Gives a connection another turn without waiting for the kernel.
  func runAgain(_ token: UInt64) { leftOver.append(token) }

  /// Forgets a connection that is closing.
  func remove(_ connection: AdminConnection) {
    poller.remove(connection.link.socket)
    connections.remove(connection.token)
    service.streams.end(connection.token)
    service.lines.end(connection.token)
  }

  private func ringTimers() {
    while let token = timers.takeDue(now: now.monotonic) {
      switch token {
      case Token.acceptPause: resumeAccepting()
      case Token.second: secondPassed()
      default: connections.element(token)?.timerRang()
      }
    }
  }

  /// Notes the figures, and sends them to who watches.
  private func secondPassed() {
    timers.set(deadline: now.monotonic + EventStreams.period, token: Token.second)
    sendLines()
    if let comment = service.lines.comment() {
      for token in service.lines.watching { connections.element(token)?.push(comment) }
    }
    guard let message = service.secondPassed(at: now) else { return }
    for token in service.streams.watching { connections.element(token)?.push(message) }
  }

  /// Notes that a stream has taken all it was sent.
  func streamDrained() { hasDrained = true }

  /// Sends what has come to who watches the access log.
  private func sendLines() {
    for token in service.lines.watching {
      guard let connection = connections.element(token) else { continue }
      let message = service.lines.message(for: token, room: connection.streamRoom)
      if !message.isEmpty { connection.push(message) }
    }
  }

  // MARK: Accepting

  private func accept() {
    var address = SocketAddress(high: 0, low: 0, port: 0)
    for _ in 0..<Self.maxConnections {
      do {
        guard let socket = try Socket.accept(from: listener.socket, address: &address) else {
          return
        }
        // Whoever moved the clock by hand before it connected counts on that.
        if clock.standsStill { now = clock.now() }
        admit(socket, from: address)
      } catch {
        // Most likely no descriptor is left: connections wait in the kernel's queue meanwhile.
        poller.remove(listener.socket)
        setTimer(now.monotonic + Self.acceptPause, for: Token.acceptPause)
        return
      }
    }
  }

  private func resumeAccepting() {
    if isStopping { return }
    do {
      try poller.addReader(listener.socket, token: Token.listener)
    } catch {
      setTimer(now.monotonic + Self.acceptPause, for: Token.acceptPause)
    }
  }

  /// Takes a connection in. Where there are too many, the one that has been idle longest makes room;
  /// if none is idle, the new one is closed.
  private func admit(_ socket: consuming Descriptor, from address: SocketAddress) {
    if connections.count >= Self.maxConnections {
      let idle = connections.all.filter(\.isIdle).min { $0.deadline < $1.deadline }
      guard let idle else { return }
      idle.close()
    }
    let peer: AdminPeer
    if isUnixSocket {
      peer = .local(UnixSocket.peer(of: socket))
    } else {
      Socket.configureConnection(socket.number)
      peer = .network(address)
    }
    let connection = AdminConnection(
      loop: self, socket: socket, peer: peer,
      certificates: service.context.certificates?.admin)
    connection.token = connections.insert(connection)
    do {
      try poller.add(connection.link.socket, token: connection.token)
      connection.opened()
    } catch {
      connection.close()
    }
  }
}
