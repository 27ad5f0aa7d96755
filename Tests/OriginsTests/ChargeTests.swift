import Configuration
import EventLoop
import Synchronization
import Testing

@testable import Origins

/// What servers are charged with, and what they are not.
@Suite struct ChargeTests {
  @Test func `a kept connection that had ended is charged to nobody, tried again or not`() {
    let pool = OriginPool.make(weights: [1])
    var balancer = pool.balancer()
    var plan = balancer.plan(isIdempotent: false, now: start)
    var tried = ServerSet()
    guard case .attempt(var attempt) = balancer.choose(ChoiceRequest(), now: start) else {
      Issue.record("no attempt")
      return
    }
    let decision = balancer.failed(
      &attempt, .staleConnection, plan: &plan, tried: &tried, isReplayable: true, now: start)
    attempt.end(now: start)
    #expect(decision == .stop(.notIdempotent))
    #expect(pool.report(now: start).servers[0].failures == 0)
  }

  @Test
  func `what a server refuses unseen is tried again, whatever the method: once at nobody's cost`() {
    let pool = OriginPool.make(weights: [1, 1])
    var balancer = pool.balancer()
    var plan = balancer.plan(isIdempotent: false, now: start)
    var tried = ServerSet()
    for round in 0..<2 {
      guard case .attempt(var attempt) = balancer.choose(ChoiceRequest(), now: start) else {
        Issue.record("no attempt")
        return
      }
      let index = attempt.index
      let decision = balancer.failed(
        &attempt, .refused, plan: &plan, tried: &tried, isReplayable: true, now: start)
      attempt.end(now: start)
      guard case .again = decision else {
        Issue.record("not tried again: \(decision)")
        return
      }
      #expect(tried.contains(index) == (round == 1))
    }
    #expect(pool.report(now: start).servers.map(\.failures).reduce(0, +) == 1)
  }

  @Test func `a try that fails beside another is the server's, and not the pool's`() {
    let pool = OriginPool.make(weights: [1, 1]) {
      $0.breaker = BreakerSettings()
      $0.breaker?.minimumRequests = 1
    }
    var balancer = pool.balancer()
    var tried = ServerSet()
    for number in 0..<30 {
      let now = start + Int64(number)
      guard case .attempt(var attempt) = balancer.choose(ChoiceRequest(), now: now) else { break }
      balancer.failedBesideAnother(&attempt, .reset, tried: &tried, now: now)
      attempt.end(now: now)
    }
    let report = pool.report(now: start + 30)
    #expect(report.breaker == .closed)
    #expect(report.servers.contains { $0.failures > 0 })
  }

  @Test func `requests are counted whether there are retries or not`() {
    for hasRetries in [true, false] {
      let pool = OriginPool.make(weights: [1]) { if !hasRetries { $0.retries = nil } }
      let balancer = pool.balancer()
      for _ in 0..<3 { _ = balancer.plan(isIdempotent: true, now: start) }
      #expect(pool.report(now: start).requests == 3)
    }
  }

  @Test func `a shorter pause does not take back a longer one`() {
    let pool = OriginPool.make(weights: [1, 1])
    pool.rest(0, for: 30 * second, now: start)
    pool.rest(0, for: second, now: start)
    #expect(pool.report(now: start + 20 * second).servers[0].condition == .resting)
    #expect(pool.report(now: start + 31 * second).servers[0].condition == .up)
  }

  @Test func `who waits is given a place at a server that has not failed for it`() throws {
    let pool = OriginPool.make(weights: [1, 1]) {
      $0.queueLimit = 10
      $0.servers[0].maxConnections = 1
      $0.servers[1].maxConnections = 1
    }
    let granted = Mutex<[SlotGrant]>([])
    pool.setGrantHandler { grant in granted.withLock { $0.append(grant) } }
    var balancer = pool.balancer()
    var first: Attempt?
    var second: Attempt?
    let failed = try #require(balancer.begin(into: &first).server)
    let other = try #require(balancer.begin(into: &second).server)
    var request = ChoiceRequest()
    request.waiter = 7
    request.tried.insert(failed)
    guard case .queued = balancer.choose(request, now: start) else {
      Issue.record("not queued")
      return
    }
    first.take()?.end(now: start)
    #expect(granted.withLock { $0.isEmpty })
    second.take()?.end(now: start)
    let grants = granted.withLock { $0 }
    #expect(grants.map(\.index) == [other])
    for grant in grants { OriginPool.decline(grant, now: start) }
  }

  @Test func `a connection's address is asked about only when the name has led elsewhere`() {
    let pool = OriginPool.make(weights: [1]) {
      $0.servers[0] = ServerSettings(.host("app.example", port: 80))
    }
    let server = pool.servers[0]
    let one = SocketAddress(high: 0, low: 0xFFFF_0A00_0001, port: 80)
    let two = SocketAddress(high: 0, low: 0xFFFF_0A00_0002, port: 80)
    _ = server.resolve { _, _ in [one] }
    let generation = server.addressGeneration
    #expect(server.hasAddress(one) && !server.hasAddress(two))
    _ = server.resolve { _, _ in [one] }
    _ = server.resolve { _, _ in [] }
    #expect(server.addressGeneration == generation)
    _ = server.resolve { _, _ in [two] }
    #expect(server.addressGeneration != generation && !server.hasAddress(one))
  }
}
