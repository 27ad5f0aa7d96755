import Fleet
import ObjectStore
import Testing

/// A fleet that is driven by a seed: orders, fills, and every fault at any time.
private struct Simulation {
  static let keys = 12
  var engine = SimulatedEngine()
  var pops: [SimulatedPoP]
  var origin = [Int](repeating: 0, count: keys)
  var random: Seeded
  var now: Int64 = 0
  var mayLose: Bool
  var isCut: Set<Int> = []

  init(seed: UInt64, pops count: Int, mayLose: Bool, readReplica: Bool) {
    random = Seeded(seed)
    // One of them reads where it writes.
    pops = (1...count).map {
      SimulatedPoP(pop: UInt64($0), readsReplica: readReplica && $0 > 1)
    }
    self.mayLose = mayLose
  }

  mutating func step() {
    now += 1
    engine.clock += UInt64(random.next(below: 3))
    let one = random.next(below: pops.count)
    if !engine.told.isEmpty, random.next(below: 2) == 0 {
      let message = engine.told[random.next(below: engine.told.count)]
      let listener = random.next(below: pops.count)
      if !isCut.contains(listener) { pops[listener].hear(message.entry, after: message.after) }
    }
    switch random.next(below: 100) {
    case 0..<20:
      let key = random.next(below: Self.keys)
      origin[key] += 1
      pops[one].order(KeyOrder(key: key, version: origin[key]), time: now)
    case 20..<40:
      let key = random.next(below: Self.keys)
      pops[one].stored[key] = SimulatedPoP.Stored(version: origin[key])
    case 40..<70: turn(one, limit: 1 + random.next(below: 6))
    case 70..<80: pops[one].settle(count: random.next(below: 4))
    case 80..<84: pops[one].crash()
    case 84..<88:
      pops[one].disconnect()
      isCut.insert(one)
    case 88..<92: isCut.remove(one)
    case 92..<95: engine.replicate()
    case 95..<97:
      // Of the replica the clock may be an hour off.
      let skew = UInt64(random.next(below: 7_200))
      engine.failOver(clock: max(1, engine.clock + skew) - min(engine.clock, 3_600))
      for index in pops.indices { pops[index].disconnect() }
    case 97..<99:
      if mayLose { engine.trim(to: random.next(below: 20)) }
    default:
      guard mayLose, random.next(below: 4) == 0 else { return }
      engine.empty(history: 2 + UInt64(now), isReplicated: random.next(below: 2) == 0)
      for index in pops.indices { pops[index].disconnect() }
    }
  }

  mutating func turn(_ index: Int, limit: Int) {
    guard !isCut.contains(index) else { return }
    if !pops[index].isConnected { pops[index].connect(engine, now: now) }
    pops[index].send(&engine, limit: limit)
    pops[index].read(engine, limit: limit, now: now)
  }

  /// A PoP that is in step serves nothing older than a purge that the log has.
  func staleInStep() -> String? {
    for pop in pops where pop.follower.isInStep(now: now, lease: 0) {
      for order in engine.standing {
        if let version = pop.served(order.key), version < order.version {
          return "PoP \(pop.name) serves \(order.key) as of \(version), purged at \(order.version)"
        }
      }
    }
    return nil
  }

  /// No PoP, in step or not, serves what a purge that it has made durable was about.
  func undone() -> String? {
    for pop in pops {
      for (key, version) in pop.floor {
        if let served = pop.served(key), served < version {
          return "PoP \(pop.name) serves \(key) as of \(served), after \(version)"
        }
      }
    }
    return nil
  }
}

@Suite struct LogFollowerTests {
  @Test(arguments: [true, false], [true, false])
  func `whatever fails, a PoP in step has all that the log has, and in the end all are`(
    mayLose: Bool, readReplica: Bool
  ) {
    for seed in 1...150 as ClosedRange<UInt64> {
      var fleet = Simulation(
        seed: seed, pops: 2 + Int(seed % 7), mayLose: mayLose, readReplica: readReplica)
      for _ in 0..<500 {
        fleet.step()
        let stale = fleet.staleInStep() ?? fleet.undone()
        #expect(stale == nil, "seed \(seed)")
        if stale != nil { return }
      }
      fleet.isCut = []
      for _ in 0..<6 {
        fleet.engine.replicate()
        for index in fleet.pops.indices {
          fleet.turn(index, limit: 10_000)
          fleet.pops[index].settle(count: 10_000)
        }
      }
      for pop in fleet.pops {
        #expect(pop.follower.isInStep(now: fleet.now, lease: 0), "seed \(seed)")
        for key in 0..<Simulation.keys {
          if let version = pop.served(key) {
            #expect(version == fleet.origin[key], "seed \(seed), PoP \(pop.name)")
          }
        }
        #expect(pop.appliedTwice == 0, "seed \(seed)")
        if !mayLose { #expect(!pop.losses.contains(.replaced), "seed \(seed)") }
      }
    }
  }

  /// A follower that has read the entries of a log.
  private func following(_ engine: SimulatedEngine) -> LogFollower {
    var follower = LogFollower(FleetBook())
    #expect(
      follower.connected(engine.report([]), isStoreEmpty: true, now: 0)?.loss == .joined)
    follower.rejoined()
    follower.read(engine.entries(after: follower.readThrough, limit: 1_000), isAll: true, now: 0)
    while follower.next() != nil {
      follower.applied()
      follower.durable()
    }
    return follower
  }

  @Test func `a newcomer with an empty store begins at the end`() {
    var engine = SimulatedEngine()
    for number in 1...5 as ClosedRange<UInt64> {
      engine.append(pop: 7, number: number, KeyOrder(key: 1, version: 1).bytes)
    }
    var follower = LogFollower(FleetBook())
    let rejoining = follower.connected(engine.report([]), isStoreEmpty: true, now: 0)
    #expect(rejoining?.loss == .joined)
    #expect(rejoining?.isSoft == false)
    follower.rejoined()
    #expect(follower.readThrough == engine.log.last)
    follower.read([], isAll: true, now: 0)
    #expect(follower.isInStep(now: 0, lease: 0))
    #expect(!follower.isInStep(now: 2, lease: 1))
  }

  @Test func `a newcomer with a store reads all that there is`() {
    var engine = SimulatedEngine()
    engine.append(pop: 7, number: 1, KeyOrder(key: 1, version: 1).bytes)
    var follower = LogFollower(FleetBook())
    let rejoining = follower.connected(engine.report([]), isStoreEmpty: false, now: 0)
    #expect(rejoining?.isSoft == true)
    follower.rejoined()
    #expect(follower.readThrough == .start)
  }

  @Test func `what a replica lacks keeps a PoP out of step, however often it is read`() {
    var engine = SimulatedEngine()
    engine.append(pop: 7, number: 1, KeyOrder(key: 1, version: 1).bytes)
    engine.replicate()
    var pop = SimulatedPoP(pop: 1, readsReplica: true)
    pop.connect(engine, now: 0)
    pop.read(engine, limit: 10, now: 1)
    #expect(pop.follower.isInStep(now: 1, lease: 0))
    engine.append(pop: 7, number: 2, KeyOrder(key: 1, version: 2).bytes)
    pop.read(engine, limit: 10, now: 2)
    #expect(!pop.follower.isInStep(now: 2, lease: 0) && pop.follower.isInStep(now: 2, lease: 1))
    for now in 3...40 as ClosedRange<Int64> { pop.read(engine, limit: 10, now: now) }
    #expect(!pop.follower.isInStep(now: 40, lease: 38))
    engine.replicate()
    // What was asked first is answered first.
    pop.read(engine, limit: 10, now: 41)
    pop.settle(count: 1)
    pop.read(engine, limit: 10, now: 42)
    #expect(pop.follower.isInStep(now: 42, lease: 0))
  }

  @Test func `a lost end is read again from where the histories part, and purges nothing`() {
    var engine = SimulatedEngine()
    for number in 1...40 as ClosedRange<UInt64> {
      engine.append(pop: 7, number: number, KeyOrder(key: 1, version: 1).bytes)
      if number == 30 { engine.replicate() }
    }
    var follower = LogFollower(FleetBook())
    _ = follower.connected(SimulatedEngine().report([]), isStoreEmpty: true, now: 0)
    follower.rejoined()
    follower.read(engine.entries(after: .start, limit: 100), isAll: true, now: 0)
    while follower.next() != nil {
      follower.applied()
      follower.durable()
    }
    follower.disconnected()
    engine.failOver(clock: 1)
    #expect(follower.connected(engine.report(follower.probes), isStoreEmpty: false, now: 0) == nil)
    // The probes are sparse: somewhere at or before the thirtieth.
    #expect(follower.readThrough <= engine.log.last)
    engine.append(pop: 7, number: 31, KeyOrder(key: 1, version: 1).bytes)
    engine.append(pop: 8, number: 1, KeyOrder(key: 2, version: 1).bytes)
    follower.read(engine.entries(after: follower.readThrough, limit: 100), isAll: true, now: 0)
    #expect(follower.next()?.place.pop == 8)
  }

  @Test func `a trimmed place, an emptied engine and another one are losses`() {
    var engine = SimulatedEngine()
    engine.append(pop: 7, number: 1, KeyOrder(key: 1, version: 1).bytes)
    var follower = following(engine)
    for number in 2...9 as ClosedRange<UInt64> {
      engine.append(pop: 7, number: number, KeyOrder(key: 1, version: 1).bytes)
    }
    engine.trim(to: 3)
    follower.disconnected()
    #expect(
      follower.connected(engine.report(follower.probes), isStoreEmpty: false, now: 0)?.loss
        == .trimmed)
    follower.rejoined()
    #expect(follower.readThrough == .start)
    engine.empty(history: 9)
    follower.disconnected()
    #expect(
      follower.connected(engine.report(follower.probes), isStoreEmpty: false, now: 0)?.loss
        == .replaced)
  }

  @Test func `numbers that come late are told from those that are known`() {
    var seen = SeenNumbers()
    for number in 1...300 as ClosedRange<UInt64> where number != 290 { seen.insert(number) }
    #expect(!seen.contains(290))
    #expect(seen.contains(1))
    #expect(seen.contains(299))
    #expect(!seen.contains(301))
    seen.insert(290)
    #expect(seen.contains(290))
  }
}
