import Configuration
import Synchronization
import Testing

@testable import Origins

@Suite struct PoolTests {
  @Test func `a backup is used only when nothing else is left, and priorities come in order`() {
    let pool = OriginPool.make(weights: [1, 1, 1]) {
      $0.servers[0].isBackup = true
      $0.servers[2].priority = 1
    }
    var balancer = pool.balancer()
    #expect(balancer.serve() == .server(1))
    #expect(pool.perform(.drain, on: "10.0.0.2:80", now: start))
    #expect(balancer.serve() == .server(2))
    #expect(pool.perform(.disable, on: "10.0.0.3:80", now: start))
    #expect(balancer.serve() == .server(0))
    #expect(pool.perform(.disable, on: "10.0.0.1:80", now: start))
    #expect(balancer.serve() == .refused(.noServer))
    #expect(pool.perform(.enable, on: "10.0.0.2:80", now: start))
    #expect(balancer.serve() == .server(1))
    #expect(!pool.perform(.enable, on: "10.0.0.9:80", now: start))
    #expect(!pool.perform(.weight(0), on: "10.0.0.2:80", now: start))
  }

  @Test func `another try goes to another server, and to the same only if there is none`() {
    let pool = OriginPool.make(weights: [1, 1])
    var balancer = pool.balancer()
    var request = ChoiceRequest()
    request.tried.insert(0)
    for _ in 0..<10 { #expect(balancer.serve(request) == .server(1)) }
    request.tried.insert(1)
    #expect(balancer.serve(request).server != nil)
  }

  @Test func `failures in a row eject, each time for longer, and it comes back by itself`() {
    let pool = OriginPool.make(weights: [1, 1]) { $0.breaker = nil }
    var balancer = pool.balancer()
    var only = ChoiceRequest()
    only.tried.insert(1)
    var now = start
    for seconds in [30, 60, 120, 240, 300, 300] as [Int64] {
      for _ in 0..<5 { #expect(balancer.fail(.reset, only, now: now) == .server(0)) }
      #expect(pool.report(now: now).servers[0].condition == .ejected)
      #expect(pool.report(now: now).servers[0].ejectionReason == .consecutiveFailures)
      #expect(balancer.serve(only, now: now) == .server(1))
      now += seconds * second - 1
      #expect(pool.report(now: now).servers[0].condition == .ejected)
      now += 1
      #expect(pool.report(now: now).servers[0].condition == .up)
    }
  }

  @Test func `a broken route does not take a server out`() {
    let pool = OriginPool.make(weights: [1, 1])
    var balancer = pool.balancer()
    for _ in 0..<200 { #expect(balancer.serve(status: 500).server != nil) }
    let report = pool.report(now: start)
    #expect(report.servers.allSatisfy { $0.condition == .up && $0.serverErrors == 100 })
    #expect(report.breaker == .closed)
  }

  @Test func `one success between makes the count begin again`() {
    let pool = OriginPool.make(weights: [1, 1]) { $0.breaker = nil }
    var balancer = pool.balancer()
    var only = ChoiceRequest()
    only.tried.insert(1)
    for _ in 0..<10 {
      for _ in 0..<4 { balancer.fail(.timeout, only) }
      balancer.serve(only)
    }
    #expect(pool.report(now: start).servers[0].condition == .up)
  }

  @Test func `only a share may be out, and if all fail all are used`() {
    let pool = OriginPool.make(weights: [1, 1, 1, 1]) { $0.breaker = nil }
    var balancer = pool.balancer()
    for _ in 0..<100 { #expect(balancer.fail().server != nil) }
    let conditions = pool.report(now: start).servers.map(\.condition)
    #expect(conditions.count { $0 == .ejected } == 2, "\(conditions)")
    // Checks may take out all: then all are used rather than none.
    let checked = OriginPool.make(weights: [1, 1]) { $0.health = HealthCheckSettings() }
    for index in 0..<2 { checked.checked(index, .timedOut, latency: 0, now: start) }
    #expect(checked.report(now: start).servers.allSatisfy { $0.condition == .down })
    var other = checked.balancer()
    #expect(Set((0..<4).map { _ in other.serve().server }) == [0, 1])
    #expect(checked.report(now: start).panics == 4)
  }

  @Test func `panic by a percentage`() {
    let pool = OriginPool.make(weights: [1, 1, 1, 1]) {
      $0.panicPercent = 50
      $0.health = HealthCheckSettings()
    }
    var balancer = pool.balancer()
    pool.checked(0, .reset, latency: 0, now: start)
    pool.checked(1, .reset, latency: 0, now: start)
    #expect(!(0..<20).contains { _ in (balancer.serve().server ?? 0) < 2 })
    pool.checked(2, .reset, latency: 0, now: start)
    #expect(Set((0..<20).map { _ in balancer.serve().server }).count == 4)
  }

  @Test func `a window's error rate and latency eject`() {
    let pool = OriginPool.make(weights: [1, 1, 1, 1]) {
      $0.breaker = nil
      $0.outliers?.consecutiveFailures = 0
      $0.outliers?.latencyFactor = 3
    }
    var balancer = pool.balancer()
    for number in 0..<400 {
      guard case .attempt(var attempt) = balancer.choose(ChoiceRequest(), now: start) else {
        return #expect(Bool(false))
      }
      // The first fails three times of four, the second is slow.
      let isBad = attempt.index == 0 && number / 4 % 4 != 0
      let time = start + (attempt.index == 1 ? 100 : 10) * millisecond
      balancer.answered(&attempt, status: isBad ? 503 : 200, now: time)
      attempt.end(now: time)
    }
    balancer.serve(now: start + 11 * second)
    let servers = pool.report(now: start + 11 * second).servers
    #expect(servers.map(\.condition) == [.ejected, .ejected, .up, .up])
    #expect(servers[0].ejectionReason == .failureRate && servers[1].ejectionReason == .latency)
  }

  @Test func `a server's breaker spares it, and the pool's opens when requests fail`() {
    let pool = OriginPool.make(weights: [1, 1]) { $0.outliers = nil }
    var balancer = pool.balancer()
    // Every request is saved by the second server: the pool stays closed.
    for _ in 0..<100 {
      var plan = balancer.plan(isIdempotent: true, now: start)
      var request = ChoiceRequest()
      while case .attempt(var attempt) = balancer.choose(request, now: start) {
        if attempt.index == 1 {
          balancer.answered(&attempt, status: 200, now: start)
          break
        }
        _ = balancer.failed(
          &attempt, .reset, plan: &plan, tried: &request.tried, isReplayable: true, now: start)
      }
    }
    let report = pool.report(now: start)
    #expect(report.servers[0].breaker == .open && report.servers[1].breaker == .closed)
    #expect(report.breaker == .closed && report.breakerOpenings == 0)
    #expect(report.servers[0].requests == 20 && report.servers[1].requests == 100)
    // Now the other fails too.
    for _ in 0..<200 { balancer.fail(.reset) }
    let after = pool.report(now: start)
    #expect(after.breaker == .open || after.servers.allSatisfy { $0.breaker == .open })
    guard case .refused(.breakerOpen(let retryAfter)) = balancer.serve() else {
      return #expect(Bool(false), "the breaker lets it pass")
    }
    #expect(retryAfter > 0)
    // And comes back.
    let later = start + 3 * second
    for _ in 0..<6 { #expect(balancer.serve(now: later).server != nil) }
    #expect(pool.report(now: later).servers.allSatisfy { $0.breaker == .closed })
  }

  @Test(arguments: [false, true])
  func `an origin that is down sees at most 1_2 times the requests`(hasBreaker: Bool) {
    let pool = OriginPool.make(weights: [1, 1, 1]) {
      if !hasBreaker { $0.breaker = nil }
    }
    let workers = 4
    var tries = 0
    var clients = 0
    for worker in 0..<workers {
      var balancer = pool.balancer(worker: worker, of: workers)
      for number in 0..<2500 {
        clients += 1
        var now = start + Int64(number) * millisecond
        var plan = balancer.plan(isIdempotent: true, now: now)
        var request = ChoiceRequest()
        request: while case .attempt(var attempt) = balancer.choose(request, now: now) {
          tries += 1
          let decision = balancer.failed(
            &attempt, .connect, plan: &plan, tried: &request.tried, isReplayable: true, now: now)
          attempt.end(now: now)
          switch decision {
          case .again(let pause): now += pause
          case .stop: break request
          }
        }
      }
    }
    #expect(clients == 10_000)
    #expect(tries <= 12_000, "\(tries) tries")
    // Without a breaker every client is tried for once.
    #expect(hasBreaker || tries >= 10_000)
    #expect(pool.state.inFlight == 0)
  }

  @Test func `a hedge is paid from the same budget`() {
    let pool = OriginPool.make(weights: [1, 1]) {
      $0.retries?.hedges = true
      $0.retries?.reserve = 3
    }
    var balancer = pool.balancer()
    #expect(balancer.hedgeDelay() == nil)
    for _ in 0..<200 { balancer.serve() }
    #expect(balancer.hedgeDelay() != nil)
    let hedges = (0..<100).count { _ in
      var plan = TryPlan(settings: pool.settings.retries, isIdempotent: true, now: start)
      // When what 200 requests have put in besides is gone.
      return balancer.mayHedge(plan: &plan, isReplayable: true, now: start + second)
    }
    #expect(hedges == 3)
    var plan = TryPlan(settings: pool.settings.retries, isIdempotent: false, now: start)
    #expect(!balancer.mayHedge(plan: &plan, isReplayable: true, now: start + 60 * second))
  }

  @Test func `a server that asks for a pause gets it while another can work`() {
    let pool = OriginPool.make(weights: [1, 1])
    var balancer = pool.balancer()
    balancer.fail(.status(503, retryAfter: 10 * second))
    #expect(pool.report(now: start).servers.map(\.condition) == [.resting, .up])
    for _ in 0..<5 { #expect(balancer.serve() == .server(1)) }
    #expect(pool.perform(.drain, on: "10.0.0.2:80", now: start))
    #expect(balancer.serve() == .server(0))
  }

  @Test func `state is kept over a reload, by name`() {
    let former = OriginPool.make(weights: [1, 1]) {
      $0.health = HealthCheckSettings()
      $0.breaker = nil
    }
    former.checked(1, .reset, latency: 0, now: start)
    #expect(former.perform(.weight(7), on: "10.0.0.1:80", now: start))
    var balancer = former.balancer()
    var attempt: Attempt?
    #expect(balancer.begin(into: &attempt) == .server(0))
    // The second comes first now, and there is a third; the first keeps the operator's weight.
    let pool = OriginPool.make(weights: [1, 1, 4], successorOf: former) {
      $0.health = HealthCheckSettings()
      $0.servers.swapAt(0, 1)
    }
    let report = pool.report(now: start)
    #expect(report.servers.map(\.name) == ["10.0.0.2:80", "10.0.0.1:80", "10.0.0.3:80"])
    #expect(report.servers.map(\.condition) == [.down, .up, .up])
    #expect(report.servers.map(\.weight) == [1, 7, 4])
    #expect(report.servers.map(\.inFlight) == [0, 1, 0] && report.inFlight == 1)
    attempt = nil
    #expect(pool.report(now: start).servers.map(\.inFlight) == [0, 0, 0])
    // The file's new weight wins.
    let third = OriginPool.make(weights: [1, 2, 4], successorOf: pool) {
      $0.servers.swapAt(0, 1)
    }
    #expect(third.report(now: start).servers.map(\.weight) == [2, 7, 4])
    var other = PoolSettings(name: "other")
    other.servers = pool.settings.servers
    let stranger = OriginPool(
      OriginConfiguration(name: "other"), settings: other, successorOf: pool)
    #expect(stranger.report(now: start).servers.allSatisfy { $0.condition == .up })
  }

  @Test func `a server that was down is up where nobody checks it any more`() {
    let former = OriginPool.make(weights: [1, 1]) { $0.health = HealthCheckSettings() }
    former.checked(1, .reset, latency: 0, now: start)
    #expect(former.report(now: start).servers.map(\.condition) == [.up, .down])
    let pool = OriginPool.make(weights: [1, 1], successorOf: former)
    #expect(pool.report(now: start).servers.map(\.condition) == [.up, .up])
    var balancer = pool.balancer()
    #expect(Set((0..<4).map { _ in balancer.serve().server }) == [0, 1])
    // Checked again, it is as one that was never checked.
    let third = OriginPool.make(weights: [1, 1], successorOf: pool) {
      $0.health = HealthCheckSettings()
    }
    #expect(third.report(now: start).servers.map(\.condition) == [.up, .up])
    #expect(third.checked(1, .reset, latency: 0, now: start))
  }

  @Test func `an operator's word brings back a server that its checks took out`() {
    let pool = OriginPool.make(weights: [1, 1]) { $0.health = HealthCheckSettings() }
    pool.checked(0, .reset, latency: 0, now: start)
    #expect(pool.report(now: start).servers[0].condition == .down)
    #expect(pool.perform(.enable, on: "10.0.0.1:80", now: start))
    #expect(pool.report(now: start).servers[0].condition == .up)
    // Until a check says otherwise.
    #expect(pool.checked(0, .reset, latency: 0, now: start))
    #expect(pool.report(now: start).servers[0].condition == .down)
  }

  @Test(arguments: [true, false])
  func `the last server that is well is never ejected, whatever took the others out`(
    byChecks: Bool
  ) {
    let pool = OriginPool.make(weights: [1, 1, 1]) {
      $0.breaker = nil
      $0.health = HealthCheckSettings()
    }
    func takeOut(_ index: Int) {
      if byChecks {
        pool.checked(index, .reset, latency: 0, now: start)
      } else {
        #expect(pool.perform(.disable, on: "10.0.0.\(index + 1):80", now: start))
      }
    }
    takeOut(0)
    takeOut(1)
    var balancer = pool.balancer()
    for _ in 0..<100 { balancer.fail() }
    #expect(pool.report(now: start).servers[2].condition == .up)
    // Beside another that is well it goes.
    let wider = OriginPool.make(weights: [1, 1, 1, 1], successorOf: pool) {
      $0.breaker = nil
      $0.health = HealthCheckSettings()
    }
    balancer = wider.balancer()
    for _ in 0..<100 { balancer.fail() }
    let left = wider.report(now: start).servers.dropFirst(2)
    #expect(left.count { $0.condition == .up } == 1 && left.count { $0.ejections == 1 } == 1)
  }

  @Test func `an attempt that is just dropped gives its place back`() {
    let pool = OriginPool.make(weights: [1]) { $0.servers[0].maxConnections = 1 }
    var balancer = pool.balancer()
    for _ in 0..<10 {
      var attempt: Attempt?
      #expect(balancer.begin(into: &attempt) == .server(0))
      var second: Attempt?
      #expect(balancer.begin(into: &second) == .refused(.full))
      let isEmpty = second == nil
      #expect(isEmpty)
    }
    #expect(pool.state.inFlight == 0 && pool.cells[0].inFlight == 0)
  }
}

@Suite struct WaitingTests {
  @Test func `the queue keeps its order, and who leaves from the middle is gone`() {
    var queue = WaitingQueue()
    var tickets: [WaitTicket] = []
    for id in 0..<5 {
      if let ticket = queue.append(Waiter(worker: 0, id: UInt64(id)), limit: 5) {
        tickets.append(ticket)
      }
    }
    #expect(queue.append(Waiter(worker: 0, id: 9), limit: 5) == nil)
    #expect(queue.remove(tickets[2]) && !queue.remove(tickets[2]))
    #expect(queue.remove(tickets[4]) && queue.remove(tickets[0]))
    #expect(queue.append(Waiter(worker: 1, id: 7), limit: 5) != nil)
    #expect(queue.remove(tickets[4]) == false)
    #expect(queue.popFirst()?.id == 1 && queue.popFirst()?.id == 3)
    #expect(queue.popFirst() == Waiter(worker: 1, id: 7) && queue.popFirst() == nil)
    #expect(queue.count == 0)
  }

  @Test func `the queue does as a plain list would`() {
    var random = SeededRandom(seed: 21)
    var queue = WaitingQueue()
    var model: [(id: UInt64, ticket: WaitTicket)] = []
    var gone: [WaitTicket] = []
    for id in 0..<20_000 as Range<UInt64> {
      switch random.below(3) {
      case 0:
        let ticket = queue.append(Waiter(worker: 0, id: id), limit: 20)
        #expect((ticket == nil) == (model.count == 20))
        if let ticket { model.append((id, ticket)) }
      case 1:
        let expected = model.isEmpty ? nil : model.removeFirst()
        let popped = queue.popFirst()
        #expect(popped?.id == expected?.id)
        if let expected { gone.append(expected.ticket) }
      default:
        if !model.isEmpty {
          let left = model.remove(at: Int(random.below(UInt64(model.count))))
          let isGone = queue.remove(left.ticket)
          #expect(isGone)
          gone.append(left.ticket)
        }
        if let old = gone.randomElement(using: &random) { #expect(queue.remove(old) == false) }
      }
      #expect(queue.count == model.count)
    }
  }

  @Test func `a place that is freed goes to who waits longest, and nobody overtakes`() {
    let pool = OriginPool.make(weights: [1, 1]) {
      $0.maxConnections = 2
      $0.queueLimit = 2
    }
    let granted = Mutex<[SlotGrant]>([])
    pool.setGrantHandler { grant in granted.withLock { $0.append(grant) } }
    var balancer = pool.balancer(worker: 3, of: 4)
    var first: Attempt?
    var second: Attempt?
    var third: Attempt?
    #expect(balancer.begin(into: &first).server != nil)
    #expect(balancer.begin(into: &second).server != nil)
    var request = ChoiceRequest()
    request.waiter = 70
    #expect(balancer.begin(request, into: &third) == .queued)
    request.waiter = 71
    #expect(balancer.begin(request, into: &third) == .queued)
    request.waiter = 72
    #expect(balancer.begin(request, into: &third) == .refused(.full))
    first = nil
    #expect(granted.withLock { $0.map(\.waiter) } == [Waiter(worker: 3, id: 70)])
    // The place is taken from the moment of the grant.
    #expect(pool.state.inFlight == 2 && pool.state.waiting == 1)
    // Who comes now queues behind.
    request.waiter = 73
    #expect(balancer.begin(request, into: &third) == .queued)
    let grant = granted.withLock { $0.removeFirst() }
    OriginPool.decline(grant, now: start)
    #expect(granted.withLock { $0.map(\.waiter.id) } == [71])
    let taken = OriginPool.accept(granted.withLock { $0.removeFirst() }, now: start)
    second = nil
    #expect(granted.withLock { $0.map(\.waiter.id) } == [73])
    taken.end(now: start)
    OriginPool.decline(granted.withLock { $0.removeFirst() }, now: start)
    #expect(pool.state.inFlight == 0 && pool.state.waiting == 0)
  }

  @Test func `who leaves the queue is not granted anything, and is told if it was`() throws {
    let pool = OriginPool.make(weights: [1]) {
      $0.servers[0].maxConnections = 1
      $0.queueLimit = 8
    }
    let granted = Mutex<[SlotGrant]>([])
    pool.setGrantHandler { grant in granted.withLock { $0.append(grant) } }
    var balancer = pool.balancer()
    var held: Attempt?
    #expect(balancer.begin(into: &held) == .server(0))
    var request = ChoiceRequest()
    request.waiter = 1
    guard case .queued(let ticket) = balancer.choose(request, now: start) else {
      return #expect(Bool(false))
    }
    #expect(pool.leaveQueue(ticket, timedOut: true))
    #expect(!pool.leaveQueue(ticket, timedOut: true))
    held = nil
    #expect(granted.withLock { $0.isEmpty })
    #expect(balancer.begin(into: &held) == .server(0))
    guard case .queued(let later) = balancer.choose(request, now: start) else {
      return #expect(Bool(false))
    }
    held = nil
    #expect(!pool.leaveQueue(later, timedOut: false))
    OriginPool.decline(try #require(granted.withLock { $0.popLast() }), now: start)
    #expect(pool.state.inFlight == 0)
    #expect(pool.report(now: start).queueTimeouts == 1)
  }

  /// A pool with one place, whose breaker opens at the first failure.
  private func guarded() -> (OriginPool, Granted) {
    let pool = OriginPool.make(weights: [1, 1]) {
      $0.maxConnections = 1
      $0.queueLimit = 1
      $0.outliers = nil
      $0.breaker = BreakerSettings()
      $0.breaker?.minimumRequests = 1
      $0.breaker?.probes = 1
    }
    let granted = Granted()
    pool.setGrantHandler { grant in granted.grants.withLock { $0.append(grant) } }
    return (pool, granted)
  }

  private final class Granted: Sendable {
    let grants = Mutex<[SlotGrant]>([])
    var waiters: [UInt64] { grants.withLock { $0.map(\.waiter.id) } }
  }

  @Test func `while the breaker is open nobody joins who waits, and when it may be probed they go`()
    throws
  {
    let (pool, granted) = guarded()
    var balancer = pool.balancer()
    guard case .attempt(var attempt) = balancer.choose(ChoiceRequest(), now: start) else {
      Issue.record("no attempt")
      return
    }
    var request = ChoiceRequest()
    request.waiter = 1
    var none: Attempt?
    #expect(balancer.begin(request, into: &none) == .queued)
    // It fails: the breaker opens before the place is free, and who waits goes on waiting.
    var plan = TryPlan(settings: nil, isIdempotent: true, now: start)
    var tried = ServerSet()
    _ = balancer.failed(
      &attempt, .reset, plan: &plan, tried: &tried, isReplayable: true, now: start)
    attempt.end(now: start)
    #expect(pool.report(now: start).breaker == .open)
    #expect(granted.waiters.isEmpty && pool.state.waiting == 1)
    request.waiter = 2
    guard case .refused(.breakerOpen(let retryAfter)) = balancer.begin(request, into: &none) else {
      Issue.record("it may wait for what nobody gets")
      return
    }
    #expect(retryAfter > 0)
    // The line is full. Who comes when the breaker may be probed lets the first go, and takes its place.
    let later = start + retryAfter + second
    request.waiter = 3
    #expect(balancer.begin(request, now: later, into: &none) == .queued)
    #expect(granted.waiters == [1] && pool.state.waiting == 1)
    let probe = try #require(granted.grants.withLock { $0.popLast() })
    var probing = OriginPool.accept(probe, now: later)
    balancer.answered(&probing, status: 200, now: later)
    probing.end(now: later)
    #expect(granted.waiters == [3])
    OriginPool.decline(try #require(granted.grants.withLock { $0.popLast() }), now: later)
    #expect(pool.state.inFlight == 0 && pool.state.waiting == 0)
  }

  @Test(arguments: [nil, 1, 2])
  func `threads that fight for few places never exceed them, and nobody is forgotten`(
    limit: Int?
  ) {
    let threads = 4
    let rounds = 3000
    let pool = OriginPool.make(weights: [1, 2]) {
      $0.servers[0].maxConnections = 1
      $0.servers[1].maxConnections = 2
      $0.maxConnections = limit
      $0.queueLimit = 1000
      $0.outliers = nil
    }
    let inboxes = (0..<threads).map { _ in Box() }
    pool.setGrantHandler { grant in inboxes[grant.waiter.worker].post(grant) }
    let isOver = Atomic<Bool>(false)
    @Sendable func note() {
      if pool.cells[0].inFlight > 1 || pool.cells[1].inFlight > 2
        || pool.state.inFlight > limit ?? .max
      {
        isOver.store(true, ordering: .relaxed)
      }
    }
    let refused = Atomic<Int>(0)
    runThreads(threads) { worker in
      var balancer = pool.balancer(worker: worker, of: threads, seed: 5)
      for round in 0..<rounds {
        var request = ChoiceRequest()
        // Some may not wait, and try to slip in.
        request.waiter = round % 8 == 0 ? nil : UInt64(round)
        switch balancer.choose(request, now: start) {
        case .attempt(let attempt):
          note()
          attempt.end(now: start)
        case .queued:
          let grant = inboxes[worker].take()
          let attempt = OriginPool.accept(grant, now: start)
          note()
          attempt.end(now: start)
        case .refused:
          if request.waiter != nil { refused.add(1, ordering: .relaxed) }
        }
      }
    }
    #expect(refused.load(ordering: .relaxed) == 0)
    let wasOver = isOver.load(ordering: .relaxed)
    #expect(!wasOver)
    #expect(pool.state.inFlight == 0 && pool.state.waiting == 0)
    #expect(pool.cells.allSatisfy { $0.inFlight == 0 })
  }
}

@Suite struct StaleConnectionTests {
  @Test func `a kept connection that had ended is tried again once, on the same server, for free`()
  {
    let pool = OriginPool.make(weights: [1, 1]) { $0.retries?.reserve = 0 }
    var balancer = pool.balancer()
    var plan = balancer.plan(isIdempotent: true, now: start)
    var tried = ServerSet()
    var attempt: Attempt?
    #expect(balancer.begin(into: &attempt) == .server(0))
    func fail() -> TryDecision? {
      guard var held = attempt.take() else { return nil }
      let decision = balancer.failed(
        &held, .staleConnection, plan: &plan, tried: &tried, isReplayable: true, now: start)
      attempt = consume held
      return decision
    }
    #expect(fail() == .again(pause: 0))
    #expect(tried.isEmpty && pool.report(now: start).servers[0].failures == 0)
    // One connection's end says nothing of the server; that of the next, which is fresh, does.
    #expect(fail() == .stop(.budget))
    #expect(tried.contains(0) && pool.report(now: start).servers[0].failures == 1)
  }
}
