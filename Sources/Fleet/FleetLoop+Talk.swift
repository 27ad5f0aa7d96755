// The connection that talks: own orders into the log, a word of this PoP every second and whenever it has
// applied something, and what others say of themselves, as long as somebody waits for it.

internal import Bytes
internal import EventLoop
internal import ObjectStore
internal import Redis

/// Somebody who waits for a purge to be applied.
struct FleetWait {
  let number: UInt64
  let scope: FleetScope
  let deadline: Int64
  let done: @Sendable (FleetReach) -> Void
  var reach = FleetReach()
}

/// The wall clock, for what is written down.
enum NodeTime {
  /// Milliseconds since the epoch.
  static var wall: Int64 { NodeClock().now().wall }
}

extension FleetLoop {
  /// Own orders of one turn.
  private static let portion = 256
  private static let beatInterval: Int64 = 1_000_000_000
  private static let shortestInterval: Int64 = 5_000_000
  private static let pollInterval: Int64 = 15_000_000
  private static let mostUnderWay = 4
  /// Nanoseconds between questions of who there is.
  private static let companyInterval: Int64 = 10_000_000_000

  func talkerDid(_ event: RedisLink.Event) {
    switch event {
    case .opened:
      sendAgain()
      talkerOpened()
      board?.connected()
      lastBeat = .min / 2
      timeAsked = .min / 2
      // By then the others will have said that they are there.
      companyAsked = now &- Self.companyInterval &+ 2 * Self.beatInterval
    case .closed(let server, let failure):
      beatsUnderWay = 0
      polls = 0
      isAskingPrimary = false
      failed(server, failure)
    }
  }

  /// The engine's time, ms; nil: not known yet.
  var engineNow: Int64? { engineTime.map { $0.milliseconds + (now - $0.at) / 1_000_000 } }

  func talk() {
    listen()
    finishWaits()
    board?.turn()
    guard talker.isOpen else { return }
    append()
    askPrimary()
    beat()
    poll()
  }

  // MARK: Own orders

  /// What is not known to stand in the log is sent again.
  func sendAgain() {
    sentThrough = 0
    sent = []
    mayHaveOrders = true
  }

  /// Appends own orders that the log may lack, in order. Which they are is known once the log was looked at.
  private func append() {
    switch follower.phase {
    case .cut, .rejoining: return
    case .catchingUp, .following: break
    }
    while mayHaveOrders, talker.unanswered < 2 * Self.portion {
      let orders = store.fleetOrders(after: sentThrough, limit: Self.portion)
      mayHaveOrders = orders.count == Self.portion
      for order in orders {
        sentThrough = max(sentThrough, order.number)
        // One that became durable out of turn is sent, and those behind it were.
        if sent.insert(order.number).inserted { append(order) }
      }
    }
  }

  private func append(_ order: OutboxEntry) {
    var command: RedisCommand = [
      "EVAL", Self.script, "1", settings.logKey, "\(settings.logLength)",
      String(follower.book.pop, radix: 16), "\(order.number)",
      String(Random.hash128().low, radix: 16),
    ]
    command.add(order.order)
    command.add(settings.channel)
    status.appended &+= 1
    talker.send(command, now: now) { [unowned self] reply in
      // What it refuses is tried again from the first on, so that the order holds.
      if let text = reply?.refusal { talker.giveUp(.refused(text)) }
    }
  }

  /// Own orders were read back: they stand in the log.
  func stand(_ places: [LogPlace]) {
    store.noteAppended(places)
    for place in places {
      sent.remove(place.number)
      if ownPlaces.updateValue(place.position, forKey: place.number) == nil {
        ownOrder.append(place.number)
      }
    }
    if ownOrder.count > 16_384 {
      for number in ownOrder.prefix(8_192) { ownPlaces[number] = nil }
      ownOrder.removeFirst(8_192)
    }
  }

  // MARK: Words of this PoP

  private func beat() {
    let isInStep = follower.isInStep(now: now, lease: Self.lease)
    let isNews = position != beatenPosition || isInStep != beatenInStep
    let since = now &- lastBeat
    guard
      since >= Self.beatInterval
        || isNews && since >= Self.shortestInterval && beatsUnderWay < Self.mostUnderWay
    else { return }
    lastBeat = now
    askTime()
    guard let engineNow else { return }
    beatenPosition = position
    beatenInStep = isInStep
    beatsUnderWay += 1
    let member = FleetMember(
      pop: follower.book.pop, name: settings.pop, region: settings.region,
      version: settings.version, position: position, isInStep: isInStep,
      waiting: status.waiting, seen: engineNow, canWarm: board?.isWelcome ?? false)
    talker.send(
      ["HSET", settings.membersKey, String(member.pop, radix: 16), member.text], now: now
    ) { [unowned self] reply in
      beatsUnderWay = max(0, beatsUnderWay - 1)
      if let text = reply?.refusal { talker.giveUp(.refused(text)) }
    }
  }

  /// Asks for the engine's time, once a second.
  private func askTime() {
    let asked = now
    guard asked &- timeAsked >= Self.beatInterval else { return }
    timeAsked = asked
    talker.send(["TIME"], now: now) { [unowned self] reply in
      guard let seconds = reply?.elements.first?.number,
        let micros = reply?.elements.last?.number
      else { return }
      // Half of the way there and back later, or earlier: what it says is good to that.
      engineTime = (seconds &* 1_000 &+ micros / 1_000, asked + (now - asked) / 2)
    }
  }

  // MARK: Words of the others

  private func poll() {
    let isDue = now &- companyAsked >= Self.companyInterval
    guard isDue || !waits.isEmpty || !lists.isEmpty, polls < Self.mostUnderWay,
      now &- lastPoll >= Self.pollInterval
    else { return }
    lastPoll = now
    companyAsked = now
    polls += 1
    var list = FleetList(members: [], now: 0, last: .start)
    talker.send(["TIME"], now: now) { reply in
      list.now =
        (reply?.elements.first?.number ?? 0) &* 1_000
        &+ (reply?.elements.last?.number ?? 0) / 1_000
    }
    talker.send(["HGETALL", settings.membersKey], now: now) { reply in
      list.members = Self.members(reply)
    }
    talker.send(["XINFO", "STREAM", settings.logKey], now: now) { [unowned self] reply in
      polls = max(0, polls - 1)
      guard let reply else { return }
      list.last = reply["last-generated-id"]?.text.flatMap { LogPosition($0) } ?? .start
      list.members.sort { ($0.region, $0.name, $0.pop) < ($1.region, $1.name, $1.pop) }
      heard(list)
    }
  }

  /// The fleet's list as the engine answers it.
  static func members(_ reply: RedisReply?) -> [FleetMember] {
    let elements = reply?.elements ?? []
    return stride(from: 0, to: elements.count - 1, by: 2).compactMap { index in
      guard let pop = elements[index].text, let text = elements[index + 1].text else { return nil }
      return FleetMember(pop: pop, text: text)
    }
  }

  private func heard(_ list: FleetList) {
    let (kept, gone) = (
      list.members.filter { list.now &- $0.seen <= FleetMember.memory },
      list.members.filter { list.now &- $0.seen > FleetMember.memory }
    )
    for member in gone {
      talker.send(["HDEL", settings.membersKey, String(member.pop, radix: 16)], now: now) { _ in }
    }
    var list = list
    list.members = kept
    company.note(list, now: now)
    if !lists.isEmpty { answer(list) }
    for index in waits.indices { waits[index].reach = reach(of: waits[index], list) }
    finishWaits()
  }

  /// Answers those who ask who there is, when it is known how many purges each of them lacks.
  private func answer(_ list: FleetList) {
    let askers = lists.map(\.done)
    lists = []
    var list = list
    for member in list.members.filter({ $0.position < list.last }).prefix(64) {
      let command: RedisCommand = [
        "XRANGE", settings.logKey, "(\(member.position.text)", "+", "COUNT", "\(FleetList.most)",
      ]
      talker.send(command, now: now) { reply in
        if let reply, reply.refusal == nil {
          list.behind[member.pop] = UInt64(reply.elements.count)
        }
      }
    }
    for member in list.members where member.position >= list.last { list.behind[member.pop] = 0 }
    talker.send(["PING"], now: now) { _ in
      for asker in askers { asker(list) }
    }
  }

  /// Who has applied a purge: those who have read the log beyond its place.
  private func reach(of wait: FleetWait, _ list: FleetList) -> FleetReach {
    var reach = FleetReach()
    let place = ownPlaces[wait.number]
    reach.isLogged = place != nil
    reach.applied = [settings.pop]
    for member in list.members where member.pop != follower.book.pop {
      if case .region = wait.scope, member.region != settings.region { continue }
      if let place, member.position >= place {
        reach.applied.append(member.name)
      } else if member.isOut(at: list.now) {
        reach.out.append(member.name)
      } else {
        reach.pending.append(member.name)
      }
    }
    return reach
  }

  /// Answers those who need not wait longer.
  private func finishWaits() {
    waits.removeAll { wait in
      let isDone = wait.reach.isLogged && wait.reach.pending.isEmpty
      guard isDone || now >= wait.deadline else { return false }
      wait.done(wait.reach)
      return true
    }
    lists.removeAll { list in
      guard now >= list.deadline else { return false }
      list.done(nil)
      return true
    }
  }
}
