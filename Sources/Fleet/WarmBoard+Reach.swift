// How far the PoPs are with an order to warm: asked as long as somebody waits for it.

internal import ObjectStore
internal import Redis

/// Somebody who waits for the others' words of an order to warm.
final class WarmWait {
  let order: FleetWarmOrder
  /// When it was given (monotonic).
  let given: Int64
  /// When the answer is due, whatever it is.
  let deadline: Int64
  /// Whether it waits until all have taken it; else for one answer of the engine.
  let isForTaking: Bool
  /// What is known.
  var reach: FleetWarmReach
  let done: @Sendable (FleetWarmReach) -> Void
  var isAsking = false
  var lastAsked = Int64.min / 2

  init(
    order: FleetWarmOrder, given: Int64, deadline: Int64, isForTaking: Bool, reach: FleetWarmReach,
    done: @escaping @Sendable (FleetWarmReach) -> Void
  ) {
    self.order = order
    self.given = given
    self.deadline = deadline
    self.isForTaking = isForTaking
    self.reach = reach
    self.done = done
  }

  /// Whether nothing better is to come.
  var isOver: Bool { isForTaking ? reach.isTaken : reach.isHeard }
}

extension WarmBoard {
  /// Between two questions of one who waits, ns.
  private static let interval: Int64 = 100_000_000

  /// What this PoP knows by itself.
  func alone(_ order: FleetWarmOrder) -> FleetWarmReach {
    FleetWarmReach(isTold: told.contains(order.name), isHeard: false, parts: [ownPart(order)])
  }

  private func ownPart(_ order: FleetWarmOrder) -> FleetWarmReach.Part {
    let result = warmer.results.first { $0.order.name == order.name }?.result
    return FleetWarmReach.Part(
      name: loop.settings.pop, region: loop.settings.region,
      result: result ?? FleetWarmResult(.interrupted))
  }

  /// Answers those who need not wait longer.
  func finishWaits() {
    waits.removeAll { wait in
      guard wait.isOver || loop.now >= wait.deadline else { return false }
      wait.done(wait.reach.isHeard ? wait.reach : alone(wait.order))
      return true
    }
  }

  /// Asks who there is, then each of them.
  func ask(_ wait: WarmWait) {
    guard !wait.isAsking, loop.now &- wait.lastAsked >= Self.interval else { return }
    wait.isAsking = true
    wait.lastAsked = loop.now
    var time: Int64?
    var isEnded = false
    loop.talker.send(["TIME"], now: loop.now) { reply in
      guard let seconds = reply?.elements.first?.number,
        let micros = reply?.elements.last?.number
      else { return }
      time = seconds &* 1_000 &+ micros / 1_000
    }
    let ended = loop.settings.warmEndKey(wait.order.name)
    loop.talker.send(["GET", ended], now: loop.now) { reply in isEnded = reply?.content != nil }
    loop.talker.send(["HGETALL", loop.settings.membersKey], now: loop.now) {
      [unowned self] reply in
      guard let time, let reply, !isLost(reply) else {
        wait.isAsking = false
        return
      }
      ask(wait, FleetLoop.members(reply), isEnded: isEnded, at: time)
    }
  }

  private func ask(
    _ wait: WarmWait, _ members: [FleetMember], isEnded: Bool, at time: Int64
  ) {
    let meant = members.filter { member in
      member.pop != loop.follower.book.pop && time &- member.seen <= FleetMember.memory
        && (wait.order.region.isEmpty || member.region == wait.order.region)
    }
    let age = (loop.now &- wait.given) / 1_000_000
    var parts: [FleetWarmReach.Part] = []
    for member in meant.sorted(by: { ($0.region, $0.name, $0.pop) < ($1.region, $1.name, $1.pop) })
    {
      let key = loop.settings.warmKey(wait.order.name, member.pop)
      loop.talker.send(["GET", key], now: loop.now) { [unowned self] reply in
        guard !isLost(reply) else { return }
        let said = reply?.text.flatMap { FleetWarmResult(text: $0) }
        parts.append(
          FleetWarmReach.Part(
            name: member.name, region: member.region,
            result: .standing(of: member, said, age: age, isEnded: isEnded, now: time)))
      }
    }
    loop.talker.send(["PING"], now: loop.now) { [unowned self] reply in
      wait.isAsking = false
      guard reply?.refusal == nil, reply != nil, parts.count == meant.count else { return }
      wait.reach = FleetWarmReach(
        isTold: told.contains(wait.order.name), isHeard: true, parts: [ownPart(wait.order)] + parts)
    }
  }
}
