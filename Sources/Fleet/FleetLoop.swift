// The fleet's thread. In each turn: what the kernel says, what other threads say, the time; then what the
// follower of the log wants, and what is to be said to the engine.

internal import EventLoop
internal import ObjectStore
internal import Redis
import Synchronization

final class FleetLoop {
  enum Token {
    static let inbox: UInt64 = 1
    static let reader: UInt64 = 2
    static let talker: UInt64 = 3
    static let listener: UInt64 = 4
    static let budgets: UInt64 = 5
  }
  /// The longest that the loop sleeps, ns.
  static let pulse: Int64 = 50_000_000
  /// After so long without a word of the engine a PoP is not in step, ns.
  static let lease: Int64 = 1_500_000_000

  let settings: FleetSettings
  let store: ObjectStore
  unowned let client: FleetClient
  let translate: @Sendable ([UInt8]) -> PurgeOrder
  let note: @Sendable (String) -> Void
  private let clock = NodeClock()
  private let poller: Poller
  private var isStopping = false
  private let seed: UInt64
  var now: Int64
  var follower: LogFollower
  var status = FleetStatus()

  // The connection that reads.
  private(set) lazy var reader = RedisLink(
    settings.readEngine ?? settings.engine, token: Token.reader, seed: seed
  ) { [unowned self] event in readerDid(event) }
  var epoch = 0
  /// Raised when the follower begins again from what is durable.
  var generation = 0
  var report: LogReport?
  /// Whether the log may be read from a replica: then it counts only what the primary says that there is.
  var readsReplica: Bool { settings.readEngine != nil }
  /// Whether there was nobody to ask when the connection began.
  var isUnasked = false
  var isAskingPrimary = false
  /// Where the connection that reads went, and the one that listens.
  var readServer: RedisServer?
  var heardServer: RedisServer?
  var primaryAsked: Int64 = .min / 2
  var isReading = false
  /// When the last read was answered.
  var readAt: Int64 = .min / 2
  var standingNoted: LogPosition?
  var standingNotedAt: Int64 = 0

  // The connection that talks.
  private(set) lazy var talker = RedisLink(
    settings.engine, token: Token.talker, seed: seed &+ 2
  ) { [unowned self] event in talkerDid(event) }
  // The connection that listens to what is told ahead.
  private(set) lazy var listener = RedisLink(
    settings.readEngine ?? settings.engine, token: Token.listener, seed: seed &+ 4
  ) { [unowned self] event in listenerDid(event) }
  var lastPing: Int64 = 0
  /// Limits that the region shares.
  private let budgets: BudgetTalk?
  /// Orders to warm; nil: this PoP does no such thing.
  private(set) var board: WarmBoard?

  var sentThrough: UInt64 = 0
  /// Own orders that were sent and not read back yet.
  var sent: Set<UInt64> = []
  var mayHaveOrders = true
  var ownPlaces: [UInt64: LogPosition] = [:]
  var ownOrder: [UInt64] = []
  var lastBeat: Int64 = 0
  var timeAsked: Int64 = .min / 2
  var beatsUnderWay = 0
  var beatenPosition: LogPosition?
  var beatenInStep = false
  /// The engine's clock: ms, and when that was (monotonic).
  var engineTime: (milliseconds: Int64, at: Int64)?
  var waits: [FleetWait] = []
  var polls = 0
  var lastPoll: Int64 = 0
  /// Who there is, and when that was last asked for.
  var company = FleetCompany()
  var companyAsked: Int64 = .min / 2
  var lists: [(deadline: Int64, done: @Sendable (FleetList?) -> Void)] = []

  /// Since when it has been out of step.
  var outSince: Int64?
  var hasBeenInStep = false
  private var wasInStep = false
  private var failureNoted: RedisFailure?

  init(
    _ settings: FleetSettings, store: ObjectStore, client: FleetClient, budgets: FleetBudgets?,
    warmer: (any FleetWarmer)?, translate: @escaping @Sendable ([UInt8]) -> PurgeOrder,
    note: @escaping @Sendable (String) -> Void
  ) throws(Errno) {
    self.settings = settings
    self.store = store
    self.client = client
    self.translate = translate
    self.note = note
    now = clock.monotonic()
    follower = LogFollower(store.fleetBook())
    follower.needsWord = settings.readEngine != nil
    poller = try Poller.open(capacity: 16)
    try poller.addReader(client.inbox.waker.descriptor, token: Token.inbox)
    seed = follower.book.pop ^ UInt64(truncatingIfNeeded: now)
    let inbox = client.inbox
    let (pop, now) = (follower.book.pop, now)
    self.budgets = budgets.map { budgets in
      BudgetTalk(
        settings, budgets, pop: pop, now: now, ring: { inbox.post(.limited) }, note: note)
    }
    board = warmer.map { WarmBoard(self, $0) }
  }

  func run() {
    while !isStopping { turn() }
    for wait in waits { wait.done(wait.reach) }
    for list in lists { list.done(nil) }
    board?.stop()
    reader.stop(poller: poller)
    talker.stop(poller: poller)
    listener.stop(poller: poller)
    budgets?.stop(poller: poller)
    noteStanding(isLast: true)
  }

  private func turn() {
    let next = min(
      reader.deadline, talker.deadline, listener.deadline, budgets?.deadline ?? .max,
      now &+ Self.pulse)
    let start = clock.monotonic()
    let count = poller.wait(timeout: next > start ? next &- start : 0)
    now = clock.monotonic()
    for event in 0..<count {
      switch poller.token(event) {
      case Token.inbox: takeMessages()
      case Token.reader: reader.ready(poller.readiness(event), now: now, poller: poller)
      case Token.listener: listener.ready(poller.readiness(event), now: now, poller: poller)
      case Token.budgets: budgets?.ready(poller.readiness(event), now: now, poller: poller)
      default: talker.ready(poller.readiness(event), now: now, poller: poller)
      }
    }
    for link in [reader, talker, listener] { link.tick(now: now, poller: poller) }
    follow()
    talk()
    for link in [reader, talker, listener] {
      link.settle(now: now, poller: poller)
      link.flush(now: now, poller: poller)
    }
    budgets?.turn(now: now, salt: follower.book.history, poller: poller)
    publish()
  }

  private func takeMessages() {
    client.inbox.waker.clear()
    for message in client.inbox.take() {
      switch message {
      case .limited: budgets?.hasNews()
      case .ordered(let lowest):
        mayHaveOrders = true
        // Of two at once the later one may have become durable first, and have been sent.
        if lowest <= sentThrough { sentThrough = lowest - 1 }
      case .applied(let generation, let failure): applied(generation, failure)
      case .rejoined(let epoch, let failure): rejoined(epoch, failure)
      case .wait(let number, let scope, let timeout, let done):
        waits.append(
          FleetWait(number: number, scope: scope, deadline: now &+ timeout, done: done))
      case .list(let done): lists.append((now &+ 2_000_000_000, done))
      case .warm(let order, let urls, let timeout, let done):
        if let board { board.tell(order, urls, timeout: timeout, done) } else { done(.init()) }
      case .warmed(let order, let age, let done):
        if let board { board.ask(order, age: age, done) } else { done(.init()) }
      case .endWarming(let name): board?.end(name)
      case .stop: isStopping = true
      }
    }
  }

  /// Says once of a row of failures what is wrong.
  func failed(_ server: RedisServer, _ failure: RedisFailure) {
    status.failure = "\(server.text): \(failure)"
    guard failureNoted != failure else { return }
    failureNoted = failure
    note("the engine at \(server.text): \(failure)")
  }

  // MARK: What is told

  private func publish() {
    let isInStep = follower.isInStep(now: now, lease: Self.lease)
    if isInStep != wasInStep {
      wasInStep = isInStep
      if isInStep {
        failureNoted = nil
        note("in step with the fleet \(settings.fleet), through \(position.text)")
      } else {
        note("out of step with the fleet \(settings.fleet)")
      }
    }
    if isInStep {
      outSince = nil
      hasBeenInStep = true
    } else if outSince == nil {
      outSince = now
    }
    client.gate.set(mode(isInStep), isAfterLoss: follower.isAfterLoss)
    client.interval.store(
      company.interval(settings.validationInterval, own: follower.book.pop), ordering: .relaxed)
    status.isInStep = isInStep
    status.phase = phaseText
    status.position = position
    status.silence = follower.silence(now: now).map { $0 / 1_000_000 }
    status.backlog = follower.backlog
    status.waiting = store.fleetOrdersWaiting
    if let budgets { status.budgets = budgets.status }
    let status = status
    client.state.withLock { $0 = status }
  }

  /// What may be served. Who begins, or comes back, has all that the log has before it serves what is
  /// stored; but it waits no longer for an engine than it may lag.
  private func mode(_ isInStep: Bool) -> FleetGate.Mode {
    if isInStep { return .serve }
    let isOver = now &- (outSince ?? now) > settings.maxLag
    if isOver {
      switch settings.whenBehind {
      case .serve: return .serve
      case .revalidate: return .revalidate
      case .bypass: return .bypass
      }
    }
    let isCatchingUp: Bool
    switch follower.phase {
    case .cut: isCatchingUp = !hasBeenInStep
    case .rejoining, .catchingUp: isCatchingUp = true
    case .following: isCatchingUp = false
    }
    guard isCatchingUp else { return .serve }
    return settings.whenBehind == .bypass ? .bypass : .revalidate
  }

  private var phaseText: String {
    switch follower.phase {
    case .cut: "cut"
    case .rejoining: "rejoining"
    case .catchingUp: "catching_up"
    case .following: "following"
    }
  }

  /// How far the log is applied, durably.
  var position: LogPosition {
    follower.underWay == 0
      ? follower.book.position ?? .start : durablePosition
  }

  /// The position before what is on its way to the disk.
  var durablePosition: LogPosition { underWay.first ?? follower.book.position ?? .start }
  /// Of each purge on its way to the disk, the position before it.
  var underWay: [LogPosition] = []
}
