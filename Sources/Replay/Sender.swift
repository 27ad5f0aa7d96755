// One sending thread: an epoll loop with the connections that it has opened.
//
// In open loop a request is taken up when it is due, whatever has become of those before; if no connection
// may take it, it waits, and its latency counts from when it was due. In closed loop as many are under way as
// there are clients, and each answer makes room for the next request. Both are the same loop: what is due is
// taken up while there is room.
//
// A turn: what is due goes out, wait for the kernel (exactly until the next is due), answers come in; each
// completed answer takes up the next request at once, on the connection that has become free: one read, one
// write and a share of a wait for each request.

internal import Bytes
internal import CLinux
internal import EventLoop
internal import HTTPMessage
internal import Synchronization

final class Sender {
  private let plan: ReplayPlan
  private let queue: BatchQueue
  private let progress: Progress
  /// When the replay starts, monotonic.
  private let start: Int64
  private let inFlightLimit: Int
  private let maxConnections: Int
  private let clock = NodeClock()
  private let schedule: Schedule

  private let poller: Poller
  private var connections = Slab<Connection>()
  private var idle: [Connection] = []
  private var byClient: [UInt64: [Connection]] = [:]
  /// Requests for which there is no connection.
  private var backlog: [Request] = []
  private var backlogStart = 0
  private var batch: Batch?
  private var position = 0
  private var isEnded = false
  private var inFlight = 0

  private var buffer = ByteBuffer(capacity: Connection.readSize)
  private let head = ResponseHead()
  private let counters = Counters()
  private(set) var tally = Tally()
  private var second = SecondTally()
  private var secondIndex = 0
  private var secondReceived: UInt64 = 0
  private var nextTick: Int64
  private var starvedSince: Int64?

  private static let tick: Int64 = 100_000_000
  private static let connectionsPerClient = 6
  private static let idleTime: Int64 = 30_000_000_000
  private static let wakerToken = UInt64.max

  init(
    _ plan: ReplayPlan, queue: BatchQueue, progress: Progress, start: Int64, share: Int
  ) throws(Errno) {
    self.plan = plan
    self.queue = queue
    self.progress = progress
    self.start = start
    inFlightLimit = max(1, plan.inFlightLimit / share)
    maxConnections = max(1, plan.maxConnections / share)
    schedule = Schedule(pace: plan.pace)
    poller = try Poller.open()
    nextTick = start + Self.tick
    try poller.addReader(queue.ready.descriptor, token: Self.wakerToken)
  }

  // MARK: Turns

  /// Sends until there is no more to send and every answer has come, or their time is over.
  func run() {
    Machine.waitExactly()
    while true {
      let now = clock.monotonic()
      if now >= nextTick { tick(now) }
      takeUp(now)
      if isOver(now) { break }
      let count = poller.waitPrecisely(timeout: waitTime(clock.monotonic()))
      for index in 0..<count { handle(poller.token(index), poller.readiness(index)) }
    }
    abandon()
    publishSecond()
    tally.receivedBytes = counters.receivedBytes
    tally.sentBytes = counters.sentBytes
  }

  private func isOver(_ now: Int64) -> Bool {
    guard inFlight == 0 else { return progress.isAborted }
    return isEnded && batch == nil || isPastEnd(now)
  }

  /// Whether nothing more is to be sent.
  private func isPastEnd(_ now: Int64) -> Bool {
    if progress.isStopping { return true }
    guard let duration = plan.duration else { return false }
    return now - start >= duration
  }

  private func waitTime(_ now: Int64) -> Int64 {
    var until = nextTick
    if inFlight < inFlightLimit, let batch, position < batch.entries.count {
      until = min(until, start + max(batch.entries[position].due, 0))
    }
    return max(0, until - now)
  }

  private func handle(_ token: UInt64, _ readiness: Readiness) {
    if token == Self.wakerToken {
      queue.ready.clear()
      return
    }
    guard let connection = connections.element(token) else { return }
    let now = clock.monotonic()
    if readiness.mayWrite || connection.phase == .connecting {
      perform(connection.writable(now: now, counters), connection)
    }
    guard readiness.mayRead, connections.element(token) != nil else { return }
    perform(
      connection.readable(
        untilEnd: readiness.peerEnded || readiness.isOver, buffer: &buffer, head: head, now: now,
        counters), connection)
  }

  // MARK: Taking requests up

  private func takeUp(_ now: Int64) {
    if inFlight >= inFlightLimit || isPastEnd(now) { return }
    while inFlight < inFlightLimit {
      guard let request = next(now) else { return }
      inFlight += 1
      dispatch(request, now)
    }
  }

  /// The next request that is due.
  private func next(_ now: Int64) -> Request? {
    if batch == nil { takeBatch(now) }
    guard let batch, position < batch.entries.count else { return nil }
    let entry = batch.entries[position]
    let due = start + max(entry.due, 0)
    if due > now { return nil }
    position += 1
    if position == batch.entries.count { self.batch = nil }
    count(sentAt: now, due: entry.due < 0 ? now : due)
    return Request(arena: batch.arena, entry: entry, takenAt: now)
  }

  private func takeBatch(_ now: Int64) {
    let taken = queue.take()
    batch = taken.batch
    position = 0
    isEnded = isEnded || taken.isEnded
    if batch == nil, !isEnded, now > start {
      if starvedSince == nil { starvedSince = now }
    } else if let since = starvedSince {
      tally.starved += now - since
      starvedSince = nil
    }
  }

  private func count(sentAt now: Int64, due: Int64) {
    second.sent += 1
    let lateness = now - due
    let isLate = lateness > plan.lateAfter
    if isLate { second.late += 1 }
    guard now - start >= plan.warmUp else { return }
    tally.sent += 1
    tally.worstLateness = max(tally.worstLateness, lateness)
    if isLate { tally.late += 1 }
    if let step = schedule.step(at: due - start) {
      tally.step(step.index) { step in
        step.sent += 1
        if isLate { step.late += 1 }
      }
    }
  }

  private func dispatch(_ request: Request, _ now: Int64) {
    if plan.connections == .perClient || plan.faithfulness.addressing == .proxy {
      return dispatchForClient(request, now)
    }
    if !request.entry.closes, !request.isRetry, let connection = idle.popLast() {
      tally.connectionsReused += 1
      return perform(connection.begin(request, now: now, counters), connection)
    }
    open(request, now)
  }

  private func dispatchForClient(_ request: Request, _ now: Int64) {
    let own = byClient[request.entry.client] ?? []
    if !request.isRetry, let connection = own.first(where: { !$0.isBusy }) {
      tally.connectionsReused += 1
      return perform(connection.begin(request, now: now, counters), connection)
    }
    if own.count < Self.connectionsPerClient || request.isRetry { return open(request, now) }
    let shortest = own.min { $0.waiting.count < $1.waiting.count }
    shortest?.waiting.append(request)
  }

  private func open(_ request: Request, _ now: Int64) {
    guard connections.count < maxConnections else {
      backlog.append(request)
      return
    }
    do throws(Errno) {
      let connection = Connection(
        socket: try Socket.connect(to: plan.address), client: request.entry.client,
        context: plan.tls, host: plan.host, preface: preface(for: request))
      connection.name = connections.insert(connection)
      try poller.add(connection.socket, token: connection.name)
      tally.connectionsOpened += 1
      if plan.connections == .perClient || plan.faithfulness.addressing == .proxy {
        byClient[request.entry.client, default: []].append(connection)
      }
      perform(connection.begin(request, now: now, counters), connection)
    } catch {
      fail(request, .connect, now)
    }
  }

  private func preface(for request: Request) -> [UInt8] {
    guard plan.faithfulness.addressing == .proxy else { return [] }
    let address = request.arena.view(request.entry.address, UInt32(request.entry.addressLength))
    return ProxyHeader.line(client: address, hash: request.entry.client, server: plan.address)
  }

  // MARK: What comes of them

  private func perform(_ step: ConnectionStep, _ connection: Connection) {
    switch step {
    case .waiting: break
    case .answered(let keepsAlive): answered(connection, keepsAlive)
    case .failed(let failure): failed(connection, failure)
    }
  }

  private func answered(_ connection: Connection, _ keepsAlive: Bool) {
    let now = clock.monotonic()
    guard let request = connection.takeRequest() else { return }
    inFlight -= 1
    record(request, connection, now)
    if keepsAlive && !request.entry.closes {
      release(connection, now)
    } else {
      close(connection, now)
    }
    takeUp(now)
  }

  /// A connection is free.
  private func release(_ connection: Connection, _ now: Int64) {
    connection.idleSince = now
    if !connection.waiting.isEmpty {
      let request = connection.waiting.removeFirst()
      return perform(connection.begin(request, now: now, counters), connection)
    }
    if let request = takeBacklog() {
      if plan.connections == .perClient || plan.faithfulness.addressing == .proxy {
        // It is of another client: that one needs its place.
        close(connection, now)
        return open(request, now)
      }
      return perform(connection.begin(request, now: now, counters), connection)
    }
    if plan.connections != .perClient && plan.faithfulness.addressing != .proxy {
      idle.append(connection)
    }
  }

  private func takeBacklog() -> Request? {
    guard backlogStart < backlog.count else { return nil }
    let request = backlog[backlogStart]
    backlogStart += 1
    if backlogStart == backlog.count || backlogStart > 4_096 {
      backlog.removeFirst(backlogStart)
      backlogStart = 0
    }
    return request
  }

  private func failed(_ connection: Connection, _ failure: SendFailure) {
    let now = clock.monotonic()
    let request = connection.takeRequest()
    let isKept = connection.answers > 0 && !connection.hasAnswerBytes
    close(connection, now)
    guard var request else { return }
    let wasClosed = failure == .reset || failure == .closed
    if wasClosed && isKept && !request.isRetry {
      // A server may close a kept connection at any time (RFC 9112 §9.3.1); that is no failure.
      tally.resent += 1
      request.isRetry = true
      return dispatch(request, now)
    }
    fail(request, failure, now)
  }

  private func fail(_ request: Request, _ failure: SendFailure, _ now: Int64) {
    inFlight -= 1
    second.failures += 1
    guard request.takenAt - start >= plan.warmUp else { return }
    tally.failures[failure.rawValue] += 1
    if let step = schedule.step(at: request.entry.due) {
      tally.step(step.index) { $0.failures += 1 }
    }
  }

  /// Closes a connection; its client's requests find others.
  private func close(_ connection: Connection, _ now: Int64) {
    connections.remove(connection.name)
    if let place = idle.lastIndex(where: { $0 === connection }) { idle.remove(at: place) }
    if var own = byClient[connection.client] {
      own.removeAll { $0 === connection }
      byClient[connection.client] = own.isEmpty ? nil : own
    }
    poller.remove(connection.socket)
    connection.socket.shutdownSending()
    let waiting = connection.waiting
    connection.waiting = []
    for request in waiting { dispatch(request, now) }
    if connections.count < maxConnections, let request = takeBacklog() { open(request, now) }
  }

  private func record(_ request: Request, _ connection: Connection, _ now: Int64) {
    let due = request.entry.due < 0 ? request.takenAt : start + request.entry.due
    let latency = now - due
    let verdict = connection.verdict
    second.answers += 1
    second.record(latency)
    if let asked = verdict.askedOrigin, verdict != .limited {
      second.judged += 1
      if !asked { second.hits += 1 }
    }
    guard request.takenAt - start >= plan.warmUp else { return }
    tally.answers += 1
    tally.lastAnswer = now - start
    tally.contentBytes &+= connection.contentBytes
    tally.statuses[Int(min(connection.status, 599))] += 1
    tally.latencies.record(latency)
    tally.serviceTimes.record(now - request.takenAt)
    let index = verdict.rawValue
    if tally.classes[index] == nil { tally.classes[index] = ClassTally() }
    tally.classes[index]?.answers += 1
    tally.classes[index]?.contentBytes &+= connection.contentBytes
    tally.classes[index]?.latencies.record(latency)
    if connection.status == 429 {
      if connection.hasRetryAfter { tally.limitedWithRetryAfter += 1 }
      if connection.hasRateLimitField { tally.withRateLimitFields += 1 }
    }
    if let step = schedule.step(at: request.entry.due) {
      tally.step(step.index) { step in
        step.answers += 1
        step.latencies.record(latency)
      }
    }
  }

  // MARK: Ten times a second

  private func tick(_ now: Int64) {
    nextTick = now + Self.tick
    let index = Int((now - start) / 1_000_000_000)
    if index != secondIndex {
      publishSecond()
      secondIndex = index
    }
    for connection in connections.all {
      if let request = connection.request {
        guard now - request.takenAt > plan.timeout else { continue }
        let isOpen = connection.phase == .ready
        _ = connection.takeRequest()
        close(connection, now)
        fail(request, isOpen ? .timeout : .connectTimeout, now)
      } else if now - connection.idleSince > Self.idleTime {
        close(connection, now)
      }
    }
    if let request = backlog.last, backlogStart < backlog.count,
      now - backlog[backlogStart].takenAt > plan.timeout
    {
      _ = request
      if let waited = takeBacklog() { fail(waited, .connectTimeout, now) }
    }
  }

  private func publishSecond() {
    second.receivedBytes = counters.receivedBytes - secondReceived
    secondReceived = counters.receivedBytes
    progress.add(second, at: secondIndex)
    second = SecondTally()
  }

  /// What is still under way when the replay is ended by hand.
  private func abandon() {
    let now = clock.monotonic()
    for connection in connections.all {
      if let request = connection.takeRequest() { fail(request, .unfinished, now) }
      connections.remove(connection.name)
    }
  }
}
