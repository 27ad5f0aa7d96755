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
  let plan: ReplayPlan
  private let queue: BatchQueue
  let progress: Progress
  /// When the replay starts, monotonic.
  private let start: Int64
  private let inFlightLimit: Int
  let maxConnections: Int
  let clock = NodeClock()
  private let schedule: Schedule

  let poller: Poller
  var connections = Slab<Connection>()
  /// Connections of HTTP/2, those that take requests, and those that have something to send.
  var multiplexed = Slab<MultiplexedConnection>()
  var open: [MultiplexedConnection] = []
  var dirty: [MultiplexedConnection] = []
  /// Connections that have more to be read, by their names.
  var unread: [UInt64] = []
  private var idle: [Connection] = []
  /// Those whose places can be had.
  var resting = RestingConnections()
  private var byClient: [UInt64: [Connection]] = [:]
  /// Requests for which there is no connection.
  var backlog: [Request] = []
  var backlogStart = 0
  private var batch: Batch?
  private var position = 0
  private var isEnded = false
  var inFlight = 0

  var buffer = ByteBuffer(capacity: Transport.readSize)
  private let head = ResponseHead()
  let counters = Counters()
  var tally = Tally()
  private var second = SecondTally()
  private var secondIndex = 0
  private var secondReceived: UInt64 = 0
  private var nextTick: Int64
  private var starvedSince: Int64?
  /// What had been moved when the warm-up was over; nil: it is not.
  private var warm: (received: UInt64, sent: UInt64)?

  private static let tick: Int64 = 100_000_000
  private static let connectionsPerClient = 6
  static let idleTime: Int64 = 30_000_000_000
  private static let wakerToken = UInt64.max
  /// Names of connections leave the highest bits free.
  static let multiplexedBit: UInt64 = 1 << 63

  init(
    _ plan: ReplayPlan, queue: BatchQueue, progress: Progress, start: Int64,
    share: (index: Int, count: Int)
  ) throws(Errno) {
    self.plan = plan
    self.queue = queue
    self.progress = progress
    self.start = start
    func part(of limit: Int) -> Int {
      max(1, limit / share.count + (share.index < limit % share.count ? 1 : 0))
    }
    inFlightLimit = part(of: plan.inFlightLimit)
    maxConnections = part(of: plan.maxConnections)
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
      let count = poller.waitPrecisely(
        timeout: unread.isEmpty ? waitTime(clock.monotonic()) : 0)
      for index in 0..<count { handle(poller.token(index), poller.readiness(index)) }
      if !unread.isEmpty { readOn() }
    }
    abandon()
    publishSecond()
    tally.receivedBytes = counters.receivedBytes - (warm?.received ?? counters.receivedBytes)
    tally.sentBytes = counters.sentBytes - (warm?.sent ?? counters.sentBytes)
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
    let now = clock.monotonic()
    if token & Self.multiplexedBit != 0 { return handleMultiplexed(token, readiness, now) }
    guard let connection = connections.element(token) else { return }
    if readiness.mayWrite || connection.transport.isConnecting {
      perform(connection.writable(now: now), connection)
    }
    guard readiness.mayRead, connections.element(token) != nil else { return }
    read(connection, untilEnd: readiness.peerEnded || readiness.isOver, now)
  }

  private func read(_ connection: Connection, untilEnd: Bool, _ now: Int64) {
    perform(
      connection.readable(untilEnd: untilEnd, buffer: &buffer, head: head, now: now), connection)
  }

  /// Reads on where the turn before has not come to the end of what there was.
  private func readOn() {
    let names = unread
    unread.removeAll(keepingCapacity: true)
    let now = clock.monotonic()
    for name in names {
      if let connection = connections.element(name) {
        connection.isUnread = false
        read(connection, untilEnd: true, now)
      } else if let connection = multiplexed.element(name & ~Self.multiplexedBit) {
        connection.isUnread = false
        read(connection, untilEnd: true, now)
      }
    }
    takeUp(now)
  }

  // MARK: Taking requests up

  func takeUp(_ now: Int64) {
    if !isPastEnd(now) {
      while inFlight < inFlightLimit {
        guard let request = next(now) else { break }
        inFlight += 1
        dispatch(request, now)
      }
    } else {
      tally.cut(at: now - start)
    }
    // What had waited for a connection, or is sent again, goes out when nothing new may, too.
    flushDirty(now)
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
    if warm == nil { warm = (counters.receivedBytes, counters.sentBytes) }
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

  func dispatch(_ request: Request, _ now: Int64) {
    if plan.usesHTTP2 { return dispatchMultiplexed(request, now) }
    if isPerClient { return dispatchForClient(request, now) }
    if !request.entry.closes, !request.isRetry, let connection = idle.popLast() {
      tally.connectionsReused += 1
      return perform(connection.begin(request, now: now), connection)
    }
    open(request, now)
  }

  private func dispatchForClient(_ request: Request, _ now: Int64) {
    let own = byClient[request.entry.client] ?? []
    if !request.isRetry, let connection = own.first(where: { !$0.isBusy }) {
      tally.connectionsReused += 1
      return perform(connection.begin(request, now: now), connection)
    }
    if own.count < Self.connectionsPerClient || request.isRetry { return open(request, now) }
    let shortest = own.min { $0.waiting.count < $1.waiting.count }
    shortest?.waiting.append(request)
  }

  private func open(_ request: Request, _ now: Int64) {
    guard hasPlace(now) else {
      backlog.append(request)
      return
    }
    do throws(Errno) {
      let connection = Connection(
        try transport(for: request), client: request.entry.client, counters: counters)
      connection.name = connections.insert(connection)
      try poller.add(connection.transport.socket, token: connection.name)
      tally.connectionsOpened += 1
      if isPerClient {
        byClient[request.entry.client, default: []].append(connection)
      }
      perform(connection.begin(request, now: now), connection)
    } catch {
      fail(request, .connect, now)
    }
  }

  /// Whether connections have a client each.
  var isPerClient: Bool {
    plan.connections == .perClient || plan.faithfulness.addressing == .proxy
  }

  func transport(for request: Request) throws(Errno) -> Transport {
    Transport(
      socket: try Socket.connect(to: plan.address), context: plan.tls, host: plan.serverName,
      preface: preface(for: request))
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
    case .more:
      if !connection.isUnread { unread.append(connection.name) }
      connection.isUnread = true
    case .answered(let keepsAlive): answered(connection, keepsAlive)
    case .failed(let failure): failed(connection, failure)
    }
  }

  private func answered(_ connection: Connection, _ keepsAlive: Bool) {
    let now = clock.monotonic()
    guard let request = connection.takeRequest() else { return }
    inFlight -= 1
    record(request, connection.answer, now)
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
      return perform(connection.begin(request, now: now), connection)
    }
    if let request = takeBacklog() {
      if isPerClient || request.entry.closes {
        // It is of another client, or needs a new one: which needs this one's place.
        close(connection, now)
        return open(request, now)
      }
      return perform(connection.begin(request, now: now), connection)
    }
    resting.note()
    if !isPerClient {
      idle.append(connection)
    }
  }

  var hasBacklog: Bool { backlogStart < backlog.count }

  func takeBacklog() -> Request? {
    guard hasBacklog else { return nil }
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

  func fail(_ request: Request, _ failure: SendFailure, _ now: Int64) {
    inFlight -= 1
    second.failures += 1
    guard request.takenAt - start >= plan.warmUp else { return }
    tally.failures[failure.rawValue] += 1
    if let step = schedule.step(at: request.entry.due) {
      tally.step(step.index) { $0.failures += 1 }
    }
  }

  /// Closes a connection; its client's requests find others.
  func close(_ connection: Connection, _ now: Int64) {
    // It may have given up its place meanwhile.
    guard connections.element(connection.name) != nil else { return }
    connections.remove(connection.name)
    if let place = idle.lastIndex(where: { $0 === connection }) { idle.remove(at: place) }
    if var own = byClient[connection.client] {
      own.removeAll { $0 === connection }
      byClient[connection.client] = own.isEmpty ? nil : own
    }
    poller.remove(connection.transport.socket)
    connection.transport.socket.shutdownSending()
    let waiting = connection.waiting
    connection.waiting = []
    for request in waiting { dispatch(request, now) }
    if connections.count < maxConnections, let request = takeBacklog() { open(request, now) }
  }

  func record(_ request: Request, _ answer: Answer, _ now: Int64) {
    let due = request.entry.due < 0 ? request.takenAt : start + request.entry.due
    let latency = now - due
    let verdict = answer.verdict
    second.answers += 1
    second.record(latency)
    if let asked = verdict.askedOrigin, verdict != .limited {
      second.judged += 1
      if verdict != .collapsed, !asked || verdict == .revalidated { second.hits += 1 }
    }
    guard request.takenAt - start >= plan.warmUp else { return }
    tally.answers += 1
    tally.lastAnswer = now - start
    tally.contentBytes &+= answer.contentBytes
    tally.statuses[Int(min(answer.status, 599))] += 1
    tally.latencies.record(latency)
    tally.serviceTimes.record(now - request.takenAt)
    let index = verdict.rawValue
    if tally.classes[index] == nil { tally.classes[index] = ClassTally() }
    tally.classes[index]?.answers += 1
    tally.classes[index]?.contentBytes &+= answer.contentBytes
    tally.classes[index]?.latencies.record(latency)
    if answer.status == 429 {
      if answer.hasRetryAfter { tally.limitedWithRetryAfter += 1 }
      if answer.hasRateLimitField { tally.withRateLimitFields += 1 }
    }
    if let step = schedule.step(at: request.entry.due) {
      tally.step(step.index) { step in
        step.answers += 1
        if answer.status == 429 || answer.status >= 500 { step.refused += 1 }
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
        let isOpen = connection.transport.isReady
        _ = connection.takeRequest()
        close(connection, now)
        fail(request, isOpen ? .timeout : .connectTimeout, now)
      } else if now - connection.idleSince > Self.idleTime {
        close(connection, now)
      }
    }
    while hasBacklog, now - backlog[backlogStart].takenAt > plan.timeout,
      let waited = takeBacklog()
    {
      fail(waited, .connectTimeout, now)
    }
    tickMultiplexed(now)
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
    for connection in multiplexed.all {
      connection.fail(.unfinished)
      collect(connection, now)
    }
  }
}
