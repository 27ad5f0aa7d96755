// One worker: a thread with a loop of its own. It owns its listening sockets, its clients'
// connections, its connections to origins and one reader of the store; nobody else touches them.
//
// A turn: wait → what the kernel says → what other threads say → timers → what is left over from the
// turn before → the clients of fills that moved → the end of the store's transaction. A view into the
// store is good within the turn only; what lasts longer is kept as (id, offset).

internal import AccessLog
internal import Bytes
internal import ClientAddress
internal import Configuration
internal import Crashes
package import EventLoop
internal import Fleet
internal import GeoDatabase
internal import HTTP1
internal import HTTP2
internal import HTTPMessage
internal import Metrics
internal import ObjectStore
internal import Origins
internal import RateLimiting
internal import Rules
import Synchronization
internal import TLS
internal import Tracing

/// What the top bits of an event's token say it belongs to.
enum TokenKind {
  static let client: UInt64 = 0
  static let origin: UInt64 = 1 << 60
  static let listener: UInt64 = 2 << 60
  static let inbox: UInt64 = 3 << 60
  static let acceptPause: UInt64 = 4 << 60
  static let wake: UInt64 = 5 << 60
  static let request: UInt64 = 6 << 60
  static let arrival: UInt64 = 7 << 60
  static let handshakes: UInt64 = 8 << 60
  static let session: UInt64 = 9 << 60
  static let stream: UInt64 = 10 << 60
  static let streamWake: UInt64 = 11 << 60
  static let mask: UInt64 = 15 << 60
}

@safe
package final class Worker {
  let context: NodeContext
  let clock: NodeClock
  /// Its number among the workers.
  let index: Int
  let poller: Poller
  let inbox: Inbox<WorkerMessage>
  var listeners: [NumberedListener]
  /// The numbers of those on which each connection begins with a PROXY header.
  var proxyListeners: Set<Int> = []
  /// The numbers of those with TLS, and of those that may speak HTTP/2 without.
  var tlsListeners: Set<Int> = []
  var plainHTTP2Listeners: Set<Int> = []
  var clients = Slab<ClientConnection>()
  var origins = Slab<OriginConnection>()
  /// Connections whose protocol is not known yet.
  var arrivals = Slab<ClientArrival>()
  /// What handshakes begin with; nil: no listener has TLS.
  var tls: ServerTLSContext?
  var handshakes: Handshakes
  /// HTTP/2 connections, and the requests on them.
  var sessions = Slab<HTTP2Connection>()
  var streams = Slab<HTTP2Stream>()
  var spareStreams: [HTTP2Stream] = []
  /// What HTTP/1 connections have for an exchange between two requests, all the same one.
  let restingExchange: Exchange
  var spareExchanges: [Exchange] = []
  var http2: HTTP2Options
  /// What the receive windows of its HTTP/2 connections may grow by.
  var windowBudget: WindowBudget
  /// Frames that are about to be sent.
  var frames = ByteBuffer()
  /// Where parts of a record are brought together.
  let records = RecordGatherer()
  /// Idle connections to servers, by the servers' ids.
  var idleOrigins: [Int: [UInt64]] = [:]
  /// Connections that carry several requests, by the servers' ids.
  var sharedOrigins: [Int: SharedOrigins] = [:]
  /// What servers have handed out for their next TLS handshake, by the servers' ids.
  var originSessions: [Int: KeptSession] = [:]
  /// Requests to origins that a timer, a granted place or a helper's thread may ask for.
  var requests = Slab<OriginRequest>()
  var timers = TimerQueue()
  var now: Instant
  let reader: StoreReader?
  /// The configuration that requests begin with. Those under an earlier one hold that themselves.
  var generation: WorkerGeneration
  /// Its number.
  var generationNumber: UInt64
  /// What may be served from the store, as the fleet says.
  var fleetMode = FleetGate.Mode.serve
  /// Whether there is a fleet. (The reference itself is every worker's: a hit does not touch it.)
  private(set) lazy var isInFleet = context.fleet != nil
  /// This PoP's name in `CDN-Loop`; empty in a node that works alone.
  private(set) lazy var popName = context.fleet.map { TierField.name(of: $0) } ?? []
  /// What a client may take of a connection, in time and size: always the newest configuration's.
  var clientSettings: ClientConfiguration
  let limitHash: SipHash
  /// The box for checks that are over when they have been made.
  let passingChecks = HeldChecks()
  var spareChecks: [HeldChecks] = []
  var limitSample: UInt64 = 0
  var overload: OverloadGuard
  var watchesLoad: Bool
  var isOverloaded = false
  let counters: CounterBlock
  let requestCounters: RequestCounters
  let traffic: TrafficSketch
  /// Hits since one was noted there.
  var unnotedHits: UInt64 = 0
  /// The requests that it began last, for the report of a crash.
  let notes: RequestNotes
  /// Answers of origins since the last whose tags were noted.
  var unnotedAnswers: UInt64 = 0
  let nodeName: ByteBuffer
  /// What a random number must be below for a request to be traced; 0: none is.
  let traceThreshold: UInt64
  var traceNumbers: TraceNumbers
  /// Whether clients say what is traced.
  let followsTraces: Bool

  /// Fills that this worker reads for everybody, by identity.
  var leading: [ObjectIdentifier: OriginRequest] = [:]
  /// This worker's clients of each fill.
  var readers: [ObjectIdentifier: [UInt64]] = [:]
  /// Fills that moved in this turn.
  var moved: [Fill] = []
  /// Connections with work left over for the next turn.
  var leftOver: [UInt64] = []

  /// Where clients' bytes are read to; good until the next read.
  let readBuffer: UnsafeMutableRawBufferPointer
  /// Where origins' bytes are read to; and whether those that are there are being taken by requests.
  let originBuffer: UnsafeMutableRawBufferPointer
  var isFeeding = false
  /// What an operator has switched over, on each route.
  var switches = SwitchTable()
  /// What is about to be sent to the client whose turn it is.
  var out = ByteBuffer(capacity: 64 << 10)
  /// Field lines of the response that is being made.
  var lines = ByteBuffer(capacity: 16 << 10)
  var keyBuffer = ByteBuffer(capacity: 1 << 10)
  var hostBuffer = ByteBuffer(capacity: 256)
  var varyBuffer = ByteBuffer(capacity: 1 << 10)
  var pathBuffer = ByteBuffer(capacity: 1 << 10)
  /// Values that limits' keys are made of.
  var nameBuffer = ByteBuffer(capacity: 256)
  /// A request to an origin that is being made.
  var wire = ByteBuffer(capacity: 4 << 10)
  /// The head that is being read.
  var head = RequestHead()
  let dates = DateText()
  /// What rules need.
  let rules = RuleRoom()
  /// The geo databases that rules look into, and which reading of them.
  private var geoSource: GeoSource?
  private var geoGeneration: UInt64 = 0
  /// First checks of tokens that this turn has left.
  var tokenChecksLeft = Gates.checksPerTurn
  /// Connections whose requests wait for a turn that has a check left.
  var admissionLine = AdmissionLine()
  /// Connections whose requests wait for keys.
  var waitingForKeys: [UInt64] = []
  /// Connections whose requests wait for a password to be checked.
  var waitingForPasswords: [UInt64] = []

  /// Bodies pinned until the clients that were told of them have pinned them too.
  var bridges: [(body: UInt64, until: Int64)] = []
  var headLimits: HeadLimits

  var isDraining = false
  /// Whether the store is another process's, and nothing is looked up in it any more.
  var hasLetGo = false
  /// Whether each response is its connection's last.
  var isEnding: Bool { isDraining || hasLetGo }
  var drainDeadline = Int64.max
  var acceptPaused = false

  /// A worker with its listening sockets. It runs on the thread that calls `run`.
  package init(context: NodeContext, listeners: [Listener]) throws(Errno) {
    self.context = context
    clock = context.clock
    self.listeners = listeners.enumerated().map {
      NumberedListener(number: $0.offset, listener: $0.element)
    }
    poller = try Poller.open()
    inbox = try Inbox()
    index = context.register(inbox)
    clock.follow(inbox.waker)
    now = clock.now()
    notes = CrashArea.notes(ofWorker: index)
    do {
      reader = try context.store?.makeReader(noting: notes.object)
    } catch {
      preconditionFailure("the store was opened for fewer workers: \(error)")
    }
    let present = context.current
    let configuration = present.configuration
    generation = WorkerGeneration(present, worker: index, seed: context.seed, after: nil)
    generationNumber = present.number
    restingExchange = Exchange(generation)
    limitHash = present.limits.hash
    watchesLoad = configuration.overloadDelay != nil
    overload = Self.guardAgainstOverload(configuration)
    tls = context.certificates?.current
    http2 = HTTP2Options(configuration)
    windowBudget = WindowBudget(bytes: Int(clamping: configuration.http2.windowMemory))
    handshakes = Handshakes(perSecond: configuration.tls.handshakeRate)
    counters = CounterBlock()
    requestCounters = RequestCounters(names: context.routeNames)
    context.metrics.register(counters: counters, requests: requestCounters)
    traffic = context.traffic.makeSketch()
    var name = ByteBuffer()
    name.append(text: configuration.nodeName)
    nodeName = name
    let trace = context.traces == nil ? nil : configuration.trace
    followsTraces = trace?.followsClients ?? false
    // With clients to follow each request is looked at, chosen or not.
    traceThreshold = max(trace?.threshold ?? 0, followsTraces ? 1 : 0)
    traceNumbers = TraceNumbers(seed: Random.hash128().low)
    clientSettings = configuration.client
    headLimits = HeadLimits(configuration.client)
    unsafe readBuffer = .allocate(byteCount: 64 << 10, alignment: 4096)
    unsafe originBuffer = .allocate(byteCount: 64 << 10, alignment: 4096)
    try poller.addReader(inbox.waker.descriptor, token: TokenKind.inbox)
    sortListeners(present)
    for listener in self.listeners { try watch(listener) }
  }

  deinit {
    unsafe readBuffer.deallocate()
    unsafe originBuffer.deallocate()
  }

  /// Runs until the worker has drained.
  package func run() {
    while !isFinished {
      turn()
    }
    for request in Array(leading.values) { request.end(with: .requestAborted) }
    // Places that were granted meanwhile go to other workers' requests.
    for message in inbox.take() {
      if case .granted(let grant) = message { OriginPool.decline(grant, now: now.monotonic) }
      if case .missGranted(let grant) = message { grant.pool.leaveMiss() }
    }
    tellReaders()
    for arrival in arrivals.all { arrival.close() }
    for client in clients.all { client.cutOff() }
    for session in sessions.all { session.cutOff() }
    for origin in origins.all { close(origin) }
    reader?.endTurn()
  }

  private var isFinished: Bool {
    isDraining
      && (now.monotonic >= drainDeadline
        || (hasNoClients && leading.isEmpty))
  }

  private var hasNoClients: Bool {
    clients.count == 0 && arrivals.count == 0 && sessions.count == 0
  }

  func turn() {
    let count = poller.wait(timeout: timeout())
    now = clock.now()
    let began = now.monotonic
    tokenChecksLeft = Gates.checksPerTurn
    lookAtGeo()
    handshakes.beginTurn()
    if let fleet = context.fleet { fleetMode = fleet.gate.mode }
    counters.add(.loopTurns)
    counters.add(.loopEvents, UInt64(count))
    hearIdleOrigins(count)
    if !admissionLine.isEmpty { admitWaiting() }
    for event in 0..<count { dispatch(poller.token(event), poller.readiness(event)) }
    ringTimers()
    if !bridges.isEmpty { unpinBridges() }
    goOnWithLeftOver()
    if !handshakes.isEmpty { goOnWithHandshakes() }
    tellReaders()
    reader?.endTurn()
    let length = clock.monotonic() &- began
    requestCounters.recordTurn(length)
    if watchesLoad { watchLoad(length, since: began) }
  }

  /// Hears first what idle connections to origins have to say: they are closed before anybody uses them.
  private func hearIdleOrigins(_ count: Int) {
    for event in 0..<count {
      let token = poller.token(event)
      guard token & TokenKind.mask == TokenKind.origin,
        let connection = origins.element(token & ~TokenKind.mask),
        connection.phase == .idle || connection.sharing?.requests.isEmpty ?? false
      else { continue }
      connection.handle(poller.readiness(event))
    }
  }

  /// Takes over geo databases that were read again, or that a new configuration names.
  private func lookAtGeo() {
    let source = generation.shared.geo
    guard source !== geoSource || source?.generation ?? 0 != geoGeneration else { return }
    geoSource = source
    guard let (database, number) = source?.current else {
      (rules.scratch.geo, geoGeneration) = (nil, 0)
      return
    }
    (rules.scratch.geo, geoGeneration) = (database, number)
  }

  private func timeout() -> Int64 {
    if !leftOver.isEmpty || !moved.isEmpty || !admissionLine.isEmpty || handshakesWantTurn {
      return 0
    }
    if clock.standsStill { return (timers.next ?? .max) <= now.monotonic ? 0 : -1 }
    let next = min(timers.next ?? .max, isDraining ? drainDeadline : .max)
    return next == .max ? -1 : max(0, next - clock.now().monotonic)
  }

  @inline(__always)
  private func dispatch(_ token: UInt64, _ readiness: Readiness) {
    switch token & TokenKind.mask {
    case TokenKind.client: clients.element(token)?.handle(readiness)
    case TokenKind.origin: origins.element(token & ~TokenKind.mask)?.handle(readiness)
    case TokenKind.session: sessions.element(token & ~TokenKind.mask)?.handle(readiness)
    case TokenKind.arrival: arrivals.element(token & ~TokenKind.mask)?.handle(readiness)
    case TokenKind.listener: accept(Int(truncatingIfNeeded: token & ~TokenKind.mask))
    default: takeMessages()
    }
  }

  private func takeMessages() {
    inbox.waker.clear()
    now = clock.now()
    for message in inbox.take() {
      switch message {
      case .fillProgressed(let fill): noteMoved(fill)
      case .fillMayReadOn(let fill): leading[ObjectIdentifier(fill)]?.goOn()
      case .committed(let fill, let position):
        if fill.committed(through: position) { context.fills.remove(fill) }
        leading[ObjectIdentifier(fill)]?.goOn()
      case .notStored(let fill):
        context.fills.remove(fill)
        if let request = leading[ObjectIdentifier(fill)] {
          request.stopStoring()
          request.goOn()
        }
      case .warmed(let token):
        guard let client = peer(token) else { continue }
        client.exchange.warmed()
        client.advance()
      case .departure(let due): isDue(due)
      case .granted(let grant):
        let request = requests.element(grant.waiter.id)
        if let request, request.stage == .queued {
          request.granted(grant)
        } else {
          OriginPool.decline(grant, now: now.monotonic)
        }
      case .missGranted(let grant):
        let request = requests.element(grant.waiter.id)
        if let request, request.stage == .gated {
          request.missGranted()
        } else {
          grant.pool.leaveMiss()
        }
      case .fileAnswered(let token, let answer): requests.element(token)?.opened(answer)
      case .fileRead(let token, let bytes): requests.element(token)?.fileWasRead(bytes)
      case .keysCame: keysCame()
      case .certificatesChanged: tls = context.certificates?.current
      case .passwordChecked(let verdict): passwordChecked(verdict)
      case .purged(let outcome, let token): purged(outcome, token: token)
      case .adopt(let generation, let listeners, let adoption):
        adopt(generation, listeners)
        adoption.workerIsDone()
      case .closeListeners(let numbers, let adoption):
        closeListeners(numbers)
        adoption.workerIsDone()
      case .listen(let added, let adoption):
        listen(on: added)
        adoption.workerIsDone()
      case .letGo(let adoption):
        hasLetGo = true
        closeListeners(listeners.map(\.number))
        adoption.workerIsDone()
      case .mark(let adoption): adoption.workerIsDone()
      case .drain(let deadline): drain(deadline)
      }
    }
  }

  private func ringTimers() {
    while let token = timers.takeDue(now: now.monotonic) {
      switch token & TokenKind.mask {
      case TokenKind.client: clients.element(token)?.timerRang()
      case TokenKind.origin: origins.element(token & ~TokenKind.mask)?.timerRang()
      case TokenKind.request: requests.element(token & ~TokenKind.mask)?.timerRang()
      case TokenKind.acceptPause: resumeAccepting()
      case TokenKind.wake: clients.element(token & ~TokenKind.mask)?.woken()
      case TokenKind.arrival: arrivals.element(token & ~TokenKind.mask)?.timerRang()
      case TokenKind.session: sessions.element(token & ~TokenKind.mask)?.timerRang()
      case TokenKind.stream: streams.element(token & ~TokenKind.mask)?.timerRang()
      case TokenKind.streamWake: streams.element(token & ~TokenKind.mask)?.woken()
      case TokenKind.handshakes: handshakes.hasTimer = false
      default: break
      }
    }
  }

  private func goOnWithLeftOver() {
    guard !leftOver.isEmpty else { return }
    let tokens = leftOver
    leftOver = []
    for token in tokens {
      let name = token & ~TokenKind.mask
      switch token & TokenKind.mask {
      case TokenKind.origin:
        let connection = origins.element(name)
        connection?.isLeftOver = false
        connection?.goOn()
      case TokenKind.session:
        let session = sessions.element(name)
        session?.isLeftOver = false
        session?.advance()
      case TokenKind.stream:
        let stream = streams.element(name)
        stream?.isLeftOver = false
        stream?.advance()
      default:
        let connection = clients.element(token)
        connection?.isLeftOver = false
        connection?.advance()
      }
    }
  }

  /// Lets the clients of fills that moved go on: this worker's directly, the others' by a message,
  /// one for each fill and turn.
  private func tellReaders() {
    guard !moved.isEmpty else { return }
    // Those that move meanwhile are for the next turn: fast peers would else keep this one going.
    let fills = moved
    moved = []
    for fill in fills {
      guard fill.key != nil else {
        if let token = fill.soleReader { advance(token) }
        continue
      }
      if fill.leader == index {
        for worker in fill.otherWorkers() { context.post(.fillProgressed(fill), to: worker) }
      }
      guard let tokens = readers[ObjectIdentifier(fill)] else { continue }
      for token in tokens { advance(token) }
    }
  }

  /// Pins a body for as long as a message to another worker may take.
  func pinForAWhile(_ body: UInt64) {
    reader?.pin(body)
    bridges.append((body, now.monotonic + 10_000_000_000))
  }

  private func unpinBridges() {
    let due = bridges.prefix { $0.until <= now.monotonic }
    guard !due.isEmpty else { return }
    for bridge in due { reader?.unpin(bridge.body) }
    bridges.removeFirst(due.count)
  }

  /// Notes that a fill has moved, for the end of the turn.
  func noteMoved(_ fill: Fill) {
    if !moved.contains(where: { $0 === fill }) { moved.append(fill) }
  }

  /// Gives a connection another turn without waiting for the kernel.
  func runAgain(_ token: UInt64) {
    let name = token & ~TokenKind.mask
    switch token & TokenKind.mask {
    case TokenKind.origin:
      guard let connection = origins.element(name), !connection.isLeftOver else { return }
      connection.isLeftOver = true
    case TokenKind.session:
      guard let session = sessions.element(name), !session.isLeftOver else { return }
      session.isLeftOver = true
    case TokenKind.stream:
      guard let stream = streams.element(name), !stream.isLeftOver else { return }
      stream.isLeftOver = true
    default:
      guard let connection = clients.element(token), !connection.isLeftOver else { return }
      connection.isLeftOver = true
    }
    leftOver.append(token)
  }
}

// MARK: - Another configuration
