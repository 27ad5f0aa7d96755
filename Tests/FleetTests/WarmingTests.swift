import CLinux
import EventLoop
import ObjectStore
import Redis
import RedisTesting
import Synchronization
import Testing

@testable import Fleet

/// Something that is told to warm, and does what the test says.
final class TestWarmer: FleetWarmer {
  private struct State {
    var begun: [(order: FleetWarmOrder, urls: String)] = []
    var results: [String: FleetWarmResult] = [:]
    var orders: [String: FleetWarmOrder] = [:]
    var takesOrders = true
  }
  private let state = Mutex(State())

  /// Orders that the fleet has brought.
  var begun: [(order: FleetWarmOrder, urls: String)] { state.withLock { $0.begun } }

  /// One that was given here.
  private static func order(_ name: String) -> FleetWarmOrder {
    var order = FleetWarmOrder(
      number: 1, who: "", region: "", isSitemap: false, count: 1, rate: 10, sites: [])
    order.name = name
    return order
  }

  /// Says how far an order is.
  func set(_ name: String, _ result: FleetWarmResult) {
    state.withLock { $0.results[name] = result }
  }

  func state(of name: String) -> FleetWarmState? { state.withLock { $0.results[name]?.state } }
  func close() { state.withLock { $0.takesOrders = false } }
  func open() { state.withLock { $0.takesOrders = true } }

  var takesOrders: Bool { state.withLock { $0.takesOrders } }
  func knows(_ name: String) -> Bool { state.withLock { $0.results[name] != nil } }
  func begin(_ order: FleetWarmOrder, _ urls: [UInt8]) {
    state.withLock { state in
      state.begun.append((order, String(decoding: urls, as: UTF8.self)))
      var result = FleetWarmResult(.running)
      result.urls = order.count
      state.results[order.name] = result
      state.orders[order.name] = order
    }
  }
  var results: [(order: FleetWarmOrder, result: FleetWarmResult)] {
    state.withLock { state in
      state.results.map { name, result in (state.orders[name] ?? Self.order(name), result) }
    }
  }
  func end(_ name: String) { state.withLock { $0.results[name]?.state = .cancelled } }
}

@Suite("Orders to warm")
struct WarmOrderTests {
  private func order() -> FleetWarmOrder {
    var order = FleetWarmOrder(
      number: 0xABCD, who: "fra-1/deploy", region: "eu", isSitemap: true, count: 1, rate: 50,
      sites: ["a.example", "*.b.example"])
    order.pop = 0xF00
    order.time = 1_700_000_000_123
    order.after = LogPosition(milliseconds: 5, number: 6)
    order.history = 0xFEED
    return order
  }

  @Test func `an order is read as it was written`() {
    let order = order()
    #expect(FleetWarmOrder(name: order.name, text: order.text) == order)
    #expect(FleetWarmOrder(name: order.name, text: order.text + "\nmore") == order)
    var all = order
    (all.region, all.sites, all.isSitemap) = ("", [], false)
    #expect(FleetWarmOrder(name: all.name, text: all.text) == all)
  }

  @Test func `what is cut off, or of another kind, is no order`() {
    let order = order()
    let lines = order.text.split(separator: "\n", omittingEmptySubsequences: false)
    for count in 0..<lines.count {
      #expect(
        FleetWarmOrder(name: order.name, text: lines.prefix(count).joined(separator: "\n")) == nil)
    }
    #expect(FleetWarmOrder(name: order.name, text: "2" + order.text.dropFirst()) == nil)
    for name in ["", "w", "17", "wxyz", "w+1", "w00000000000000001", "w1:end"] {
      #expect(FleetWarmOrder(name: name, text: order.text) == nil, "\(name)")
    }
  }

  @Test func `a result is read as it was written`() {
    var result = FleetWarmResult(.running)
    (result.urls, result.done, result.hits, result.fetched, result.failed) = (9, 6, 1, 2, 3)
    (result.bytes, result.seen) = (1 << 40, 17)
    result.failure = "//a/b: status 404"
    #expect(FleetWarmResult(text: result.text) == result)
    var lines = result
    lines.failure = "two\nlines"
    #expect(FleetWarmResult(text: lines.text)?.failure == "two lines")
    #expect(FleetWarmResult(text: "1\nrunning\n1") == nil)
    #expect(FleetWarmResult(text: result.text.replacing("running", with: "asleep")) == nil)
  }

  /// How a PoP is shown: by when it was heard last, whether it can, what it said, the order's age.
  @Test(
    arguments: [
      (0, true, nil, 0, false, .waiting), (0, false, nil, 0, false, .unable),
      (5_000, true, nil, 0, false, .out), (5_000, false, nil, 0, false, .out),
      (0, true, nil, 700_000, false, .missed), (0, true, nil, 0, true, .cancelled),
      (0, true, (.running, 0), 700_000, false, .running), (0, true, (.done, 0), 0, true, .done),
      (5_000, true, (.running, 0), 0, false, .out), (5_000, true, (.done, 0), 0, false, .done),
      (0, true, (.running, 40_000), 0, false, .interrupted),
      (0, true, (.refused, 40_000), 0, false, .refused),
      (0, true, (.running, 0), 0, true, .running),
    ] as [(Int64, Bool, (FleetWarmState, Int64)?, Int64, Bool, FleetWarmState)])
  func `a PoP stands as it has said, and as it is heard`(
    silence: Int64, canWarm: Bool, said: (FleetWarmState, Int64)?, age: Int64, isEnded: Bool,
    state: FleetWarmState
  ) {
    let now: Int64 = 1_700_000_000_000
    let member = FleetMember(
      pop: 1, name: "a", region: "eu", version: "1", position: .start, isInStep: true, waiting: 0,
      seen: now - silence, canWarm: canWarm)
    let result = said.map { state, silence in
      var result = FleetWarmResult(state)
      result.seen = now - silence
      return result
    }
    #expect(
      FleetWarmResult.standing(of: member, result, age: age, isEnded: isEnded, now: now).state
        == state)
  }

  @Test func `who is of an earlier version says nothing of warming`() throws {
    let member = FleetMember(
      pop: 1, name: "a", region: "eu", version: "1", position: .start, isInStep: true, waiting: 0,
      seen: 5, canWarm: true)
    #expect(FleetMember(pop: "1", text: member.text)?.canWarm == true)
    let earlier = member.text.split(separator: "\n", omittingEmptySubsequences: false).prefix(8)
    let read = try #require(FleetMember(pop: "1", text: earlier.joined(separator: "\n")))
    #expect(!read.canWarm && read.name == "a")
  }
}

@Suite(
  .enabled(if: RedisProcess.isInstalled, "redis-server is not installed"), .serialized)
struct WarmBoardTests {
  private func settings(_ engine: RedisProcess) -> RedisSettings {
    var settings = RedisSettings(servers: [engine.server])
    settings.timeout = 1_000_000_000
    settings.longestWait = 200_000_000
    return settings
  }

  private func order(_ number: UInt64, region: String = "") -> FleetWarmOrder {
    FleetWarmOrder(
      number: number, who: "one/deploy", region: region, isSitemap: false, count: 2, rate: 10,
      sites: [])
  }

  private static let urls = "http://a/1\nhttp://a/2"

  /// Gives an order at a PoP, as its admin does; what is said of it comes later.
  private func give(_ order: FleetWarmOrder, at pop: TestPoP) throws {
    pop.warmer?.set(order.name, FleetWarmResult(.running))
    #expect(
      try pop.client.warm(order, Array(Self.urls.utf8), timeout: 1_000_000_000) { _ in })
  }

  /// How far the PoPs are, as one says.
  private func reach(of order: FleetWarmOrder, at pop: TestPoP) throws -> FleetWarmReach {
    let answer = Mutex<FleetWarmReach?>(nil)
    try pop.client.reach(of: order, age: 0) { reach in answer.withLock { $0 = reach } }
    try until("an answer") { answer.withLock { $0 } != nil }
    return try #require(answer.withLock { $0 })
  }

  private func states(of order: FleetWarmOrder, at pop: TestPoP) throws -> [String: FleetWarmState]
  {
    let parts = try reach(of: order, at: pop).parts
    return Dictionary(parts.map { ($0.name, $0.result.state) }) { first, _ in first }
  }

  /// The milliseconds that the engine has.
  private func time(_ engine: RedisProcess) throws -> Int64 {
    try #require(engine.command("TIME").elements.first?.number) * 1_000
  }

  @Test func `every PoP takes an order once, and says how far it is`() throws {
    let engine = try RedisProcess()
    let pops = try ["one", "two", "three"].map {
      try TestPoP($0, engine: settings(engine), warmer: TestWarmer())
    }
    let old = try TestPoP("old", engine: settings(engine))
    for pop in pops + [old] { try pop.inStep() }
    let before = try old.purges
    let order = order(1)
    try give(order, at: pops[0])
    for pop in pops.dropFirst() {
      try until("\(pop.name) takes it") { pop.warmer?.begun.count == 1 }
      #expect(pop.warmer?.begun.first?.urls == Self.urls)
      #expect(pop.warmer?.begun.first?.order.who == "one/deploy")
    }
    var done = FleetWarmResult(.done)
    (done.urls, done.done, done.fetched) = (2, 2, 2)
    for pop in pops { pop.warmer?.set(order.name, done) }
    try until("all are done") {
      try states(of: order, at: pops[0])
        == ["one": .done, "two": .done, "three": .done, "old": .unable]
    }
    let reach = try reach(of: order, at: pops[0])
    #expect(reach.isTold && reach.isHeard && reach.isTaken && !reach.isComplete)
    #expect(reach.parts.first?.name == "one")
    #expect(reach.parts.filter { $0.name == "two" }.map(\.result.fetched) == [2])
    // Another order is taken after it: what was to come twice would have come.
    try give(self.order(2), at: pops[0])
    for pop in pops.dropFirst() {
      try until("\(pop.name) takes the other") { pop.warmer?.begun.count == 2 }
      #expect(pop.warmer?.begun.map(\.order.name) == ["w1", "w2"])
    }
    #expect(try old.client.status.losses == ["joined": 1])
    #expect(try old.purges == before)
  }

  @Test func `an order for a region is taken there alone`() throws {
    let engine = try RedisProcess()
    let here = try TestPoP("here", engine: settings(engine), warmer: TestWarmer())
    let near = try TestPoP("near", engine: settings(engine), warmer: TestWarmer())
    let far = try TestPoP("far", region: "us", engine: settings(engine), warmer: TestWarmer())
    for pop in [here, near, far] { try pop.inStep() }
    try give(order(1, region: "eu"), at: here)
    try give(order(2), at: here)
    try until("far takes the second") { far.warmer?.begun.count == 1 }
    try until("near takes both") { near.warmer?.begun.count == 2 }
    #expect(far.warmer?.begun.map(\.order.name) == ["w2"])
    #expect(try Set(states(of: order(1, region: "eu"), at: here).keys) == ["here", "near"])
  }

  @Test func `nobody takes an order that is too old, or whose purges it lacks`() throws {
    let engine = try RedisProcess()
    let pop = try TestPoP("one", engine: settings(engine), warmer: TestWarmer())
    try pop.inStep()
    let history = try #require(
      engine.command("GET", "weir:{shop}:history").text.flatMap { UInt64($0, radix: 16) })
    func put(_ order: FleetWarmOrder) throws {
      try engine.command("SET", "weir:{shop}:warm:\(order.name)", Self.urls)
      try engine.command("HSET", "weir:{shop}:warm", order.name, order.text)
    }
    var old = order(1)
    old.time = try time(engine) - FleetWarmOrder.patience - 60_000
    try put(old)
    var future = order(2)
    future.time = try time(engine) + FleetWarmOrder.patience + 60_000
    try put(future)
    var early = order(3)
    early.time = try time(engine)
    early.history = history
    early.after = LogPosition(milliseconds: UInt64(try time(engine)) + 3_600_000, number: 0)
    try put(early)
    // Of a version to come.
    try engine.command("HSET", "weir:{shop}:warm", "w4", "2\nwhatever")
    try engine.command("HSET", "weir:{shop}:warm", "nothing", "1")
    try until("what is over is taken away") {
      try engine.command("HGETALL", "weir:{shop}:warm").elements.count == 6
    }
    var good = order(5)
    good.time = try time(engine)
    try put(good)
    try until("one is taken") { pop.warmer?.begun.isEmpty == false }
    #expect(pop.warmer?.begun.map(\.order.name) == ["w5"])
    // In another log that place means nothing.
    early.history = history &+ 1
    try put(early)
    try until("it is taken") { pop.warmer?.begun.count == 2 }
  }

  @Test func `what was purged before is purged at every PoP before it fetches`() throws {
    let engine = try RedisProcess()
    let relay = try Relay(to: engine.port, delay: 30_000_000)
    var slow = settings(engine)
    slow.servers = [RedisServer(host: "127.0.0.1", port: relay.port)]
    let one = try TestPoP("one", engine: slow, warmer: TestWarmer())
    let two = try TestPoP("two", engine: settings(engine), warmer: TestWarmer())
    for pop in [one, two] { try pop.inStep() }
    for round in 1...5 {
      // On their way, all of them, when the order is given.
      for count in 0..<20 { try one.purge("t\(round)-\(count)") }
      try give(order(UInt64(round)), at: one)
      try until("two takes it") { two.warmer?.begun.count == round }
      #expect(try two.client.status.applied == UInt64(20 * round))
      // Who is slower to read the log than two is told to read so far first.
      let after = try #require(two.warmer?.begun.last?.order.after)
      let before = try engine.command("XRANGE", "weir:{shop}:purges", "-", after.text)
      #expect(before.elements.count == 20 * round)
    }
  }

  @Test func `who begins again takes what it has not done, and only that`() throws {
    let engine = try RedisProcess()
    let one = try TestPoP("one", engine: settings(engine), warmer: TestWarmer())
    let two = try TestPoP("two", engine: settings(engine), warmer: TestWarmer())
    for pop in [one, two] { try pop.inStep() }
    let (first, second) = (order(1), order(2))
    try give(first, at: one)
    try give(second, at: one)
    try until("two takes them") { two.warmer?.begun.count == 2 }
    two.warmer?.set(first.name, FleetWarmResult(.done))
    try until("one hears of it") {
      try states(of: first, at: one)["two"] == .done
        && states(of: second, at: one)["two"] == .running
    }
    two.warmer = TestWarmer()
    two.warmer?.close()
    try two.restart()
    try two.inStep()
    #expect(two.warmer?.begun.isEmpty == true)
    two.warmer?.open()
    try until("two takes one") { two.warmer?.begun.isEmpty == false }
    try give(order(3), at: one)
    try until("two takes another") { two.warmer?.begun.count == 2 }
    #expect(two.warmer?.begun.map(\.order.name) == ["w2", "w3"])
    // The PoP that it was given at, too.
    one.warmer = TestWarmer()
    try one.restart()
    try until("one takes its own again") { one.warmer?.begun.count == 3 }
  }

  @Test func `however many orders there are, each is told once`() throws {
    let engine = try RedisProcess()
    let one = try TestPoP("one", engine: settings(engine), warmer: TestWarmer())
    try one.inStep()
    // It carries none of them out, and so says nothing of them.
    one.warmer?.close()
    for number in 1...300 {
      #expect(
        try one.client.warm(order(UInt64(number)), Array(Self.urls.utf8), timeout: 1) { _ in })
    }
    try until("all are told") {
      try engine.command("HGETALL", "weir:{shop}:warm").elements.count == 600
    }
    try engine.command("CONFIG", "RESETSTAT")
    func calls(_ command: String) throws -> Int {
      let text = try #require(engine.command("INFO", "commandstats").text)
      let line = text.split(separator: "\r\n").first { $0.hasPrefix("cmdstat_\(command):calls=") }
      return line.flatMap { Int($0.split(separator: "=")[1].prefix { $0.isNumber }) } ?? 0
    }
    try until("they are looked at twice") { try calls("hgetall") >= 3 }
    #expect(try calls("set") == 0)
  }

  @Test func `an engine that comes back empty, or late, is told`() throws {
    let engine = try RedisProcess()
    let one = try TestPoP("one", engine: settings(engine), warmer: TestWarmer())
    let two = try TestPoP("two", engine: settings(engine), warmer: TestWarmer())
    for pop in [one, two] { try pop.inStep() }
    two.warmer?.close()
    try give(order(1), at: one)
    try until("the engine has it") {
      try engine.command("HGETALL", "weir:{shop}:warm").elements.count == 2
    }
    engine.kill()
    engine.forget()
    try until("one is cut off") { try one.client.status.server == nil }
    try give(order(2), at: one)
    #expect(try reach(of: order(2), at: one).isTold == false)
    try engine.start()
    two.warmer?.open()
    try until("two takes both") { two.warmer?.begun.count == 2 }
    try until("and says so") {
      try states(of: order(1), at: one)["two"] == .running
        && states(of: order(2), at: one)["two"] == .running
    }
  }

  @Test func `an order that is ended ends everywhere, and is taken by nobody more`() throws {
    let engine = try RedisProcess()
    let pops = try ["one", "two", "late"].map {
      try TestPoP($0, engine: settings(engine), warmer: TestWarmer())
    }
    let (one, two, late) = (pops[0], pops[1], pops[2])
    for pop in pops { try pop.inStep() }
    late.warmer?.close()
    let order = order(1)
    try give(order, at: one)
    try until("two takes it") { two.warmer?.begun.count == 1 }
    // Whoever has it can end it.
    two.warmer?.end(order.name)
    try two.client.endWarming(order.name)
    try until("it ends at one") { one.warmer?.state(of: order.name) == .cancelled }
    try until("all say so") {
      try states(of: order, at: one) == ["one": .cancelled, "two": .cancelled, "late": .cancelled]
    }
    late.warmer?.open()
    try give(self.order(2), at: one)
    try until("late takes another") { late.warmer?.begun.isEmpty == false }
    #expect(late.warmer?.begun.map(\.order.name) == ["w2"])
  }

  @Test func `there is room for so many bytes of own orders`() throws {
    let engine = try RedisProcess()
    let one = try TestPoP("one", engine: settings(engine), warmer: TestWarmer())
    let urls = [UInt8](repeating: 0x61, count: (1 << 20) - 4_096)
    for number in 1...16 {
      #expect(try one.client.warm(order(UInt64(number)), urls, timeout: 1) { _ in })
    }
    #expect(try !one.client.warm(order(17), urls, timeout: 1) { _ in })
    try one.client.endWarming("w3")
    try until("there is room again") {
      try one.client.warm(order(18), urls, timeout: 1) { _ in }
    }
  }

  @Test func `a user who may not warm keeps its purges, and says that it takes no orders`() throws {
    let engine = try RedisProcess()
    try engine.command(
      "ACL", "SETUSER", "weir", "on", ">secret", "~weir:{shop}:*", "resetchannels",
      "&weir:{shop}:*", "+@all", "-get")
    var named = settings(engine)
    named.user = "weir"
    named.password = "secret"
    let one = try TestPoP("one", engine: settings(engine), warmer: TestWarmer())
    let two = try TestPoP("two", engine: named, warmer: TestWarmer())
    for pop in [one, two] { try pop.inStep() }
    let order = order(1)
    try give(order, at: one)
    try until("two says so") { try states(of: order, at: one)["two"] == .unable }
    #expect(two.warmer?.begun.isEmpty == true)
    #expect(two.notes.all.contains { $0.contains("warming: the engine answers: NOPERM") })
    #expect(try one.reach(of: one.purge("shoes")).applied.sorted() == ["one", "two"])
  }
}
