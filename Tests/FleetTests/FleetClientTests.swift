import CLinux
import EventLoop
import Fleet
import Redis
import RedisTesting
import Synchronization
import Testing

@testable import ObjectStore

@Suite(
  .enabled(if: RedisProcess.isInstalled, "redis-server is not installed"), .serialized)
struct FleetClientTests {
  private func settings(_ engine: RedisProcess) -> RedisSettings {
    var settings = RedisSettings(servers: [engine.server])
    settings.timeout = 1_000_000_000
    settings.longestWait = 200_000_000
    return settings
  }

  @Test func `a purge reaches every PoP once, and says so`() throws {
    let engine = try RedisProcess()
    let pops = try ["a", "b", "c"].map { try TestPoP($0, engine: settings(engine)) }
    for pop in pops { try pop.inStep() }
    let before = try pops.map { try $0.purges }
    let number = try pops[0].purge("shoes")
    let reach = try pops[0].reach(of: number)
    #expect(reach.isComplete)
    #expect(reach.applied.sorted() == ["a", "b", "c"])
    for (pop, count) in zip(pops, before) { #expect(try pop.purges == count + 1) }
  }

  @Test func `a user that may do what the documentation says, and nothing else, is enough`() throws
  {
    let engine = try RedisProcess()
    try engine.command(
      "ACL", "SETUSER", "weir", "on", ">secret", "~weir:{shop}:*", "resetchannels",
      "&weir:{shop}:*", "-@all", "+role", "+ping", "+time", "+set", "+exists", "+xinfo|stream",
      "+xrange", "+xread", "+xadd", "+eval", "+publish", "+subscribe", "+hset", "+hgetall", "+hdel",
      "+get")
    var named = settings(engine)
    named.user = "weir"
    named.password = "secret"
    let one = try TestPoP("one", engine: named, warmer: TestWarmer())
    let two = try TestPoP("two", engine: named, warmer: TestWarmer())
    try one.inStep()
    try two.inStep()
    #expect(try one.reach(of: one.purge("shoes")).isComplete)
    let order = FleetWarmOrder(
      number: 1, who: "one/a", region: "", isSitemap: false, count: 1, rate: 1, sites: [])
    one.warmer?.set(order.name, FleetWarmResult(.running))
    let isTaken = Mutex(false)
    #expect(
      try one.client.warm(order, Array("http://a/".utf8), timeout: 120_000_000_000) { reach in
        isTaken.withLock { $0 = reach.parts.allSatisfy { $0.result.state == .running } }
      })
    try until("it is taken") { isTaken.withLock { $0 } }
    try one.client.endWarming(order.name)
    try until("it ends") { two.warmer?.state(of: order.name) == .cancelled }
    #expect(try engine.command("ACL", "LOG") == .array([]))
  }

  @Test func `many purges over a long way are applied once each, in whatever way they come`() throws
  {
    let engine = try RedisProcess()
    let pops = try (0..<3).map { index in
      let relay = try Relay(to: engine.port, delay: 20_000_000)
      var own = settings(engine)
      own.servers = [RedisServer(host: "127.0.0.1", port: relay.port)]
      return (relay: relay, pop: try TestPoP("p\(index)", engine: own))
    }
    for (_, pop) in pops { try pop.inStep() }
    var last: UInt64 = 0
    for count in 0..<200 { last = try pops[0].pop.purge("t\(count)") }
    #expect(try pops[0].pop.reach(of: last).isComplete)
    for (_, pop) in pops.dropFirst() { #expect(try pop.client.status.applied == 200) }
  }

  @Test func `a region's answer does not wait for others`() throws {
    let engine = try RedisProcess()
    let here = try TestPoP("here", region: "eu", engine: settings(engine))
    let there = try TestPoP("there", region: "us", engine: settings(engine))
    try here.inStep()
    try there.inStep()
    let reach = try here.reach(of: here.purge("shoes"), .region)
    #expect(reach.applied == ["here"])
    #expect(reach.isComplete)
  }

  @Test func `what was ordered while the engine was away is appended when it is back`() throws {
    let engine = try RedisProcess()
    let one = try TestPoP("one", engine: settings(engine))
    let two = try TestPoP("two", engine: settings(engine))
    try one.inStep()
    try two.inStep()
    let before = try two.purges
    engine.kill()
    var numbers: [UInt64] = []
    for count in 0..<5 { numbers.append(try one.purge("t\(count)")) }
    try until("out of step") { try !one.client.status.isInStep }
    try engine.start()
    for number in numbers { #expect(try one.reach(of: number).isComplete) }
    #expect(try two.purges == before + 5)
    try two.inStep()
  }

  @Test func `an order that becomes durable after a later one is sent all the same`() throws {
    let engine = try RedisProcess()
    let one = try TestPoP("one", engine: settings(engine))
    let two = try TestPoP("two", engine: settings(engine))
    try one.inStep()
    try two.inStep()
    let before = try two.client.status.applied
    let (store, history) = try (one.store, one.store.core.history)
    let records = try ["first", "second"].map { tag in
      let made = history.note("", isOwn: true) {
        PurgeRecord(
          id: 1 << 40, time: NodeClock().now().wall, target: .tags, isSoft: false, tags: 1,
          objects: nil, who: "", what: tag, idempotencyKey: "", pattern: [],
          fleet: FleetMark(.own, pop: 0, order: Array(tag.utf8)))
      }
      return try #require(made).record
    }
    #expect(history.append([records[1]]) == nil)
    try until("the second stands in the log") {
      try engine.command("XLEN", "weir:{shop}:purges") == .integer(1)
        && store.fleetOrdersWaiting == 0
    }
    #expect(history.append([records[0]]) == nil)
    try until("the first, too") { try two.client.status.applied == before + 2 }
    #expect(try engine.command("XLEN", "weir:{shop}:purges") == .integer(2))
    #expect(!store.hasFleetOrders)
  }

  @Test func `a PoP that was off catches up from where it was, and purges nothing else`() throws {
    let engine = try RedisProcess()
    let one = try TestPoP("one", engine: settings(engine))
    let two = try TestPoP("two", engine: settings(engine))
    try one.inStep()
    try two.inStep()
    #expect(try one.reach(of: one.purge("before")).isComplete)
    try two.restart {
      for count in 0..<20 { try one.purge("t\(count)") }
      // It cannot be in step before it is looked at.
      engine.freeze()
    }
    #expect(try two.client.gate.mode == .revalidate)
    engine.thaw()
    try two.inStep()
    #expect(try two.client.gate.mode == .serve)
    // Counted since its start.
    try until("all are applied") { try two.client.status.applied == 20 }
    #expect(try two.purges == 20)
    #expect(try two.client.status.losses.isEmpty)
  }

  @Test func `an engine that comes back empty makes all stale, and loses no order`() throws {
    let engine = try RedisProcess()
    let one = try TestPoP("one", engine: settings(engine))
    let two = try TestPoP("two", engine: settings(engine))
    try one.inStep()
    try two.inStep()
    #expect(try one.reach(of: one.purge("a")).isComplete)
    engine.kill()
    engine.forget()
    let number = try one.purge("b")
    try engine.start()
    #expect(try one.reach(of: number).isComplete)
    for pop in [one, two] {
      try pop.inStep()
      #expect(try pop.client.status.losses["replaced"] == 1)
    }
    // Its own orders stand in the new log; what the other knew it did not apply again.
    #expect(try engine.command("XLEN", "weir:{shop}:purges") == .integer(2))
    #expect(try two.client.status.applied == 2)
  }

  @Test func `a PoP whose place was trimmed away makes all stale`() throws {
    let engine = try RedisProcess()
    let one = try TestPoP("one", engine: settings(engine))
    let two = try TestPoP("two", engine: settings(engine))
    try one.inStep()
    try two.inStep()
    #expect(try one.reach(of: one.purge("a")).isComplete)
    try two.restart {
      for count in 0..<5 { try one.purge("t\(count)") }
      try until("all are appended") {
        try engine.command("XLEN", "weir:{shop}:purges") == .integer(6)
      }
      try engine.command("XTRIM", "weir:{shop}:purges", "MAXLEN", "2")
    }
    try two.inStep()
    #expect(try two.client.status.losses == ["trimmed": 1])
    #expect(try one.client.status.losses == ["joined": 1])
  }

  @Test func `a failover that loses the end loses no purge, and purges nothing twice`() throws {
    let primary = try RedisProcess()
    let replica = try RedisProcess(["--replicaof", "127.0.0.1 \(primary.port)"])
    var both = settings(primary)
    both.servers = [primary.server, replica.server]
    let one = try TestPoP("one", engine: both)
    let two = try TestPoP("two", engine: both)
    try one.inStep()
    try two.inStep()
    #expect(try one.reach(of: one.purge("kept")).isComplete)
    try until("it is replicated") {
      try replica.command("XLEN", "weir:{shop}:purges") == .integer(1)
    }
    // What comes now the replica does not get.
    replica.freeze()
    let before = try (one.purges, two.purges)
    #expect(try one.reach(of: one.purge("lost")).isComplete)
    #expect(try two.reach(of: two.purge("lost too")).isComplete)
    primary.kill()
    replica.thaw()
    try replica.command("REPLICAOF", "NO", "ONE")
    try until("both are appended again") {
      try replica.command("XLEN", "weir:{shop}:purges") == .integer(3)
    }
    let number = try one.purge("after")
    #expect(try one.reach(of: number).isComplete)
    #expect(try one.purges == before.0 + 3)
    #expect(try two.purges == before.1 + 3)
    #expect(try one.client.status.losses == ["joined": 1])
    #expect(try two.client.status.losses == ["joined": 1])
  }

  @Test func `who is cut off is named, says so itself, and catches up`() throws {
    let engine = try RedisProcess()
    let relay = try Relay(to: engine.port)
    let one = try TestPoP("one", engine: settings(engine))
    var behind = settings(engine)
    behind.servers = [RedisServer(host: "127.0.0.1", port: relay.port)]
    let two = try TestPoP("two", engine: behind)
    try one.inStep()
    try two.inStep()
    relay.cut()
    try until("out of step") { try !two.client.status.isInStep }
    let number = try one.purge("shoes")
    let reach = try one.reach(of: number, seconds: 10)
    #expect(!reach.isComplete)
    #expect(reach.out == ["two"])
    relay.mend()
    try two.inStep()
    // Until it is heard again it is named as out, without a wait.
    try until("two is heard again") { try one.reach(of: number).isComplete }
    #expect(try two.client.status.losses == ["joined": 1])
  }

  @Test func `purges by pattern come through a log as well, in any number`() throws {
    let engine = try RedisProcess()
    let one = try TestPoP("one", engine: settings(engine))
    let two = try TestPoP("two", engine: settings(engine))
    try one.inStep()
    try two.inStep()
    var last: UInt64 = 0
    for count in 0..<50 { last = try one.purge("//h/\(count)*") }
    #expect(try one.reach(of: last).isComplete)
    #expect(try two.client.status.applied == 50)
  }

  /// A replica, and settings by which the log is read from it, `or` else from others.
  private func replica(
    of primary: RedisProcess, or others: [RedisServer] = []
  ) throws -> (RedisProcess, RedisSettings) {
    let replica = try RedisProcess(["--replicaof", "127.0.0.1 \(primary.port)"])
    var reading = settings(primary)
    reading.servers = [replica.server] + others
    reading.needsPrimary = false
    reading.prefersFirst = true
    try until("it is replicated") {
      try replica.command("ROLE").elements.dropFirst(3).first?.text == "connected"
    }
    return (replica, reading)
  }

  @Test func `the log may be read from a replica near by, which says nothing of being in step`()
    throws
  {
    let primary = try RedisProcess()
    let (replica, reading) = try replica(of: primary)
    let one = try TestPoP("one", engine: settings(primary))
    let two = try TestPoP("two", engine: settings(primary), readEngine: reading)
    for pop in [one, two] { try pop.inStep() }
    #expect(try two.client.status.server == replica.server.text)
    #expect(try one.reach(of: one.purge("a")).isComplete)
    #expect(try two.reach(of: two.purge("b")).isComplete)
    // It answers as before, of a log that goes on elsewhere.
    try replica.command("REPLICAOF", "127.0.0.1", "1")
    let before = try two.client.status.applied
    let number = try one.purge("c")
    try until("it stands in the log") {
      try primary.command("XLEN", "weir:{shop}:purges") == .integer(3)
    }
    try until("out of step, though connected") {
      let status = try two.client.status
      return !status.isInStep && status.server == replica.server.text
        && (status.phase == "catching_up" || status.phase == "following")
    }
    #expect(try two.client.status.applied == before)
    try replica.command("REPLICAOF", "127.0.0.1", "\(primary.port)")
    #expect(try one.reach(of: number).isComplete)
    try two.inStep()
    #expect(try two.client.status.losses == ["joined": 1])
  }

  @Test
  func `without its replica a PoP reads from the primary, and from the replica when it is back`()
    throws
  {
    let primary = try RedisProcess()
    let (replica, reading) = try replica(of: primary, or: [primary.server])
    let pop = try TestPoP("pop", engine: settings(primary), readEngine: reading)
    try pop.inStep()
    replica.kill()
    try until("it reads from the primary") {
      try pop.client.status.server == primary.server.text
    }
    try pop.inStep()
    #expect(try pop.reach(of: pop.purge("a")).isComplete)
    try replica.start()
    try until("it is replicated") {
      try replica.command("XLEN", "weir:{shop}:purges") == .integer(1)
    }
    try primary.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    try until("it reads from the replica") {
      try pop.client.status.server == replica.server.text
    }
    try pop.inStep()
    #expect(try pop.reach(of: pop.purge("b")).isComplete)
    #expect(try pop.client.status.losses == ["joined": 1])
  }

  @Test func `a primary that comes back empty is a loss, whatever the replica still has`() throws {
    let primary = try RedisProcess()
    let (replica, reading) = try replica(of: primary)
    let pop = try TestPoP("pop", engine: settings(primary), readEngine: reading)
    try pop.inStep()
    #expect(try pop.reach(of: pop.purge("a")).isComplete)
    try replica.command("REPLICAOF", "127.0.0.1", "1")
    primary.kill()
    primary.forget()
    try primary.start()
    try until("the loss is noticed") { try pop.client.status.losses["replaced"] == 1 }
    #expect(try !pop.client.status.isInStep)
    try replica.command("REPLICAOF", "127.0.0.1", "\(primary.port)")
    try pop.inStep()
    #expect(try pop.reach(of: pop.purge("b")).isComplete)
    #expect(try pop.client.status.losses == ["joined": 1, "replaced": 1])
  }

  @Test func `the rate of validations after a loss is divided by the PoPs`() throws {
    let engine = try RedisProcess()
    let pops = try ["a", "b", "c"].map { try TestPoP($0, engine: settings(engine)) }
    for pop in pops {
      try until("it knows of three") { try pop.client.validationInterval == 3_000_000 }
    }
    // An engine that comes back empty knows of nobody.
    engine.kill()
    engine.forget()
    try engine.start()
    for pop in pops {
      try until("the loss is noticed") { try pop.client.status.losses["replaced"] == 1 }
      #expect(try pop.client.validationInterval == 3_000_000)
    }
  }

  @Test func `what no PoP has written is applied as what nobody understands`() throws {
    let engine = try RedisProcess()
    let one = try TestPoP("one", engine: settings(engine))
    try one.inStep()
    try engine.command("XADD", "weir:{shop}:purges", "*", "x", "y")
    try until("it is applied") { try one.client.status.applied == 1 }
    try one.inStep()
  }
}
