// A PoP's part in orders to warm (FleetWarming.swift says where they stand): it tells own orders, takes those of
// others, tells how far it is, and asks how far the others are. On the fleet's thread, by the connection that
// talks. What the engine refuses here (a user who may not, no memory) ends nothing: purges matter more, and it
// is tried again a second later.

internal import EventLoop
internal import ObjectStore
internal import Redis
internal import Synchronization

final class WarmBoard {
  /// Bytes of own orders that may still be taken.
  static let ownBytes = 16 << 20
  /// What an order counts of these, however few URLs it has.
  static func cost(of urls: [UInt8]) -> Int { urls.count + 4_096 }
  /// The most orders that are looked at: the newest.
  private static let most = 256
  /// The most own orders of which it is asked whether they were ended.
  private static let mostAsked = 64
  private static let second: Int64 = 1_000_000_000
  private static let minute: Int64 = 60_000_000_000
  /// Between two looks at what has changed here, ns.
  private static let resultInterval: Int64 = 500_000_000
  /// Milliseconds for which it is kept that an order was ended: none lasts longer.
  private static let endMemory = "86400000"
  /// Milliseconds for which an order's URLs are kept: it may be taken in the last moment.
  private static let urlMemory = String(FleetWarmOrder.patience + 60_000)

  /// An order that was given here, as long as others may take it.
  private struct Own {
    var order: FleetWarmOrder
    let urls: [UInt8]
    /// When it was given (monotonic).
    let given: Int64
    /// Own purges up to this number come before it.
    let purges: UInt64
    /// When it was told; nil: it is not.
    var told: Int64?
  }

  unowned let loop: FleetLoop
  let warmer: any FleetWarmer
  /// Who waits for the others' words.
  var waits: [WarmWait] = []
  private var own: [Own] = []
  /// Orders that the engine has, by name.
  private var board: [String: FleetWarmOrder] = [:]
  /// Of these, what need not be looked at again.
  private var settled: Set<String> = []
  /// The last names that others have heard of.
  private(set) var told: [String] = []
  /// Orders that were ended here and the engine does not know it yet.
  private var endings: Set<String> = []
  /// What was told of each order, and when.
  private var written: [String: (result: FleetWarmResult, at: Int64)] = [:]
  private var isReading = false
  private var lastRead = Int64.min / 2
  private var lastResults = Int64.min / 2
  private var isTelling = false
  private var isTaking = false
  private var isEnding = false
  /// After a refusal nothing is tried for a second; who may not do such a thing says for a minute that it takes
  /// no orders.
  private var pausedUntil = Int64.min / 2
  private var barredUntil = Int64.min / 2
  private var notedUntil = Int64.min / 2

  init(_ loop: FleetLoop, _ warmer: any FleetWarmer) {
    self.loop = loop
    self.warmer = warmer
  }

  /// Whether orders of others are taken, as far as it goes by the engine.
  var isWelcome: Bool { now >= barredUntil }

  private var settings: FleetSettings { loop.settings }
  private var now: Int64 { loop.now }

  // MARK: What is asked of it

  /// Tells an own order, and says who has taken it.
  func tell(
    _ order: FleetWarmOrder, _ urls: [UInt8], timeout: Int64,
    _ done: @escaping @Sendable (FleetWarmReach) -> Void
  ) {
    var order = order
    order.pop = loop.follower.book.pop
    // What was answered before is durable, and so has a number.
    let purges = loop.store.fleetBook().lastNumber
    own.append(Own(order: order, urls: urls, given: now, purges: purges))
    waits.append(
      WarmWait(
        order: order, given: now, deadline: now &+ timeout,
        isForTaking: true, reach: alone(order), done: done))
  }

  /// Says how far all are with an order.
  func ask(
    _ order: FleetWarmOrder, age: Int64, _ done: @escaping @Sendable (FleetWarmReach) -> Void
  ) {
    guard loop.talker.isOpen else { return done(alone(order)) }
    let given = now &- max(0, min(age, 1 << 40)) &* 1_000_000
    waits.append(
      WarmWait(
        order: order, given: given, deadline: now &+ 2 * Self.second, isForTaking: false,
        reach: alone(order), done: done))
  }

  /// Ends an order everywhere.
  func end(_ name: String) {
    warmer.end(name)
    drop { $0.order.name == name }
    endings.insert(name)
  }

  /// The connection is there: what was told may be gone.
  func connected() {
    written = [:]
    pausedUntil = .min / 2
    lastRead = .min / 2
  }

  func turn() {
    finishWaits()
    drop { now &- $0.given > FleetWarmOrder.patience &* 1_000_000 }
    guard loop.talker.isOpen, now >= pausedUntil, loop.engineNow != nil else { return }
    tellOwn()
    tellEndings()
    tellResults()
    read()
    take()
    for wait in waits { ask(wait) }
  }

  func stop() {
    for wait in waits { wait.done(wait.reach) }
    waits = []
  }

  private func drop(where isOver: (Own) -> Bool) {
    own.removeAll { order in
      guard isOver(order) else { return false }
      loop.client.warmBytes.withLock { $0 -= Self.cost(of: order.urls) }
      return true
    }
  }

  /// Whether an answer is none; what is refused is tried again later. `nil`: the connection has ended.
  func isLost(_ reply: RedisReply?) -> Bool {
    guard let reply else { return true }
    guard let text = reply.refusal else { return false }
    pausedUntil = now &+ Self.second
    if text.hasPrefix("NOPERM") { barredUntil = now &+ Self.minute }
    if now >= notedUntil {
      notedUntil = now &+ Self.minute
      loop.note("warming: the engine answers: \(text)")
    }
    return true
  }

  private func note(told name: String) {
    guard !told.contains(name) else { return }
    told.append(name)
    // Of one that is still carried out it is asked.
    if told.count > Self.most, let old = told.firstIndex(where: { !warmer.knows($0) }) {
      told.remove(at: old)
    }
  }

  // MARK: Own orders

  private func tellOwn() {
    guard !isTelling, own.contains(where: { $0.told == nil }), loop.isVerified,
      let engineNow = loop.engineNow
    else { return }
    // The lowest of the own purges that the log may lack.
    let lacking = loop.store.fleetOrders(after: 0, limit: 1).first?.number
    // Whatever comes is told soon, however much was lost and is told again.
    guard
      let place = own.lastIndex(where: { own in
        own.told == nil && lacking.map { $0 > own.purges } ?? true
      })
    else { return }
    isTelling = true
    own[place].order.time = engineNow - (now - own[place].given) / 1_000_000
    own[place].order.after = loop.follower.book.position ?? .start
    own[place].order.history = loop.follower.book.history
    let order = own[place].order
    var urls: RedisCommand = ["SET", settings.warmKey(order.name)]
    urls.add(own[place].urls)
    urls.add("PX")
    urls.add(Self.urlMemory)
    var isKept = false
    loop.talker.send(urls, now: now) { [unowned self] reply in isKept = !isLost(reply) }
    loop.talker.send(["HSET", settings.warmKey, order.name, order.text], now: now) {
      [unowned self] reply in
      isTelling = false
      guard !isLost(reply), isKept else { return }
      note(told: order.name)
      if let place = own.firstIndex(where: { $0.order.name == order.name }) {
        own[place].told = now
      }
    }
  }

  private func tellEndings() {
    guard !isEnding, let name = endings.first else { return }
    isEnding = true
    let key = settings.warmEndKey(name)
    loop.talker.send(["SET", key, "1", "PX", Self.endMemory], now: now) { [unowned self] reply in
      isEnding = false
      if !isLost(reply) { endings.remove(name) }
    }
    loop.talker.send(["HDEL", settings.warmKey, name], now: now) { _ in }
  }

  // MARK: Orders of others

  private func read() {
    guard !isReading, now &- lastRead >= Self.second else { return }
    lastRead = now
    isReading = true
    let asked = now
    loop.talker.send(["HGETALL", settings.warmKey], now: now) { [unowned self] reply in
      isReading = false
      guard let reply, !isLost(reply) else { return }
      heard(reply, asked: asked)
    }
    var open = Set(warmer.results.filter { $0.result.state == .running }.map(\.order.name))
    // One that is ended elsewhere is not told again; of many the oldest run out by themselves.
    open.formUnion(own.suffix(Self.mostAsked).map(\.order.name))
    for name in open {
      loop.talker.send(["GET", settings.warmEndKey(name)], now: now) { [unowned self] reply in
        guard reply?.content != nil else { return }
        warmer.end(name)
        drop { $0.order.name == name }
      }
    }
  }

  private func heard(_ reply: RedisReply, asked: Int64) {
    guard let engineNow = loop.engineNow else { return }
    var found: [FleetWarmOrder] = []
    let elements = reply.elements
    for index in stride(from: 0, to: elements.count - 1, by: 2) {
      guard let name = elements[index].text else { continue }
      // Of a later version: its PoPs take it away.
      guard let order = elements[index + 1].text.flatMap({ FleetWarmOrder(name: name, text: $0) })
      else { continue }
      // Of the time to come there is something where the clock was put back.
      let (age, isTooMuch) = engineNow.subtractingReportingOverflow(order.time)
      if !isTooMuch, (-FleetWarmOrder.patience...FleetWarmOrder.patience).contains(age) {
        found.append(order)
      } else {
        loop.talker.send(["HDEL", settings.warmKey, name], now: now) { _ in }
      }
    }
    found.sort { ($0.time, $0.name) < ($1.time, $1.name) }
    board = [:]
    for order in found.suffix(Self.most) { board[order.name] = order }
    settled.formIntersection(board.keys)
    // An engine that has lost its last second, or all, is told again.
    let there = Set(found.map(\.name))
    for place in own.indices {
      if let told = own[place].told, told < asked, !there.contains(own[place].order.name) {
        own[place].told = nil
      }
    }
  }

  private func take() {
    guard !isTaking, warmer.takesOrders, loop.isVerified else { return }
    let open = board.values.filter { !settled.contains($0.name) }
    for order in open.sorted(by: { ($0.time, $0.name) < ($1.time, $1.name) }) {
      if !order.region.isEmpty && order.region != settings.region || endings.contains(order.name) {
        settled.insert(order.name)
      } else if warmer.knows(order.name) {
        note(told: order.name)
        settled.insert(order.name)
      } else if order.history != loop.follower.book.history || loop.position >= order.after {
        return take(order)
      }
    }
  }

  private func take(_ order: FleetWarmOrder) {
    isTaking = true
    let own = settings.warmKey(order.name, loop.follower.book.pop)
    var isOver = false
    // It was over before this PoP began again, or was ended since the hash was read.
    loop.talker.send(["GET", own], now: now) { [unowned self] reply in
      if !isLost(reply), let before = reply?.text.flatMap({ FleetWarmResult(text: $0) }) {
        isOver = before.state.isOver
      }
    }
    loop.talker.send(["GET", settings.warmEndKey(order.name)], now: now) { reply in
      if reply?.content != nil { isOver = true }
    }
    loop.talker.send(["GET", settings.warmKey(order.name)], now: now) { [unowned self] reply in
      isTaking = false
      guard let reply, !isLost(reply) else { return }
      settled.insert(order.name)
      guard !isOver, let urls = reply.content else { return }
      note(told: order.name)
      loop.note("warming \(order.name) by \(order.who): \(order.count) URLs")
      warmer.begin(order, urls)
    }
  }

  // MARK: Results

  private func tellResults() {
    guard now &- lastResults >= Self.resultInterval, let engineNow = loop.engineNow else { return }
    lastResults = now
    let results = warmer.results
    written = written.filter { name, _ in results.contains { $0.order.name == name } }
    for (order, result) in results {
      let name = order.name
      if let last = written[name], last.result == result,
        result.state.isOver || now &- last.at < FleetWarmResult.interval &* 1_000_000
      {
        continue
      }
      written[name] = (result, now)
      var said = result
      said.seen = engineNow
      let key = settings.warmKey(name, loop.follower.book.pop)
      let memory = String(order.memory(urls: result.urls))
      loop.talker.send(["SET", key, said.text, "PX", memory], now: now) {
        [unowned self] reply in
        if isLost(reply) { written[name] = nil }
      }
    }
  }
}
