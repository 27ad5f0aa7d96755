// Limits as an operator sees and tunes them while the node runs.
//
// A limit's number means something in one generation only, and a reload may put another in force while a
// request is answered: so each request takes the generation in force once, and passes it on.

internal import Bytes
internal import Configuration
internal import Edge
internal import EventLoop
internal import Fleet
internal import RateLimiting

extension AdminService {
  /// The number of the limit that a path names.
  private func limit(_ route: AdminRoute, _ limits: NodeLimits) throws(Problem) -> Int {
    guard let name = route.arguments.first, let number = limits.number(of: name) else {
      let names = limits.configurations.map(\.name).joined(separator: ", ")
      throw Problem(
        .unknownLimit, names.isEmpty ? "There are no limits." : "No such limit. There are \(names)."
      )
    }
    return number
  }

  /// `GET /v1/limits`
  func showLimits() -> AdminResponse {
    .json(.object([("limits", .array(LimitReport.all(context.current)))]))
  }

  /// `GET /v1/limits/{name}`
  func showLimit(_ route: AdminRoute) throws(Problem) -> AdminResponse {
    let current = context.current
    return .json(LimitReport.text(try limit(route, current.limits), current))
  }

  /// `PATCH /v1/limits/{name}`: nil if the answer comes later.
  func changeLimit(_ route: AdminRoute, _ asked: Asked) throws(Problem) -> AdminResponse? {
    let current = context.current
    let limits = current.limits
    let number = try limit(route, limits)
    let name = limits.configurations[number].name
    let order = try LimitOrder.read(asked.content, for: limits.configurations[number].rule)
    if order.isKept && limits.overlayPath == nil {
      throw Problem(.noStore, "The node runs without a store, beside which a change could be kept.")
    }
    if order.isForFleet { try checkFleet() }
    do throws(LimitDefect) {
      context.tell(try limits.change(number, by: order.change, now: asked.at.monotonic))
    } catch {
      throw Problem(.invalidLimitChange, "Limit \(name): \(error.text).")
    }
    note(
      "limit \(name) changed by \(route.caller.name) (\(asked.peer)): \(order.change.text)"
        + (order.isKept ? ", kept" : ""))
    write(
      "limit", route, asked,
      [
        ("limit", .string(name)), ("change", .string(order.change.text)),
        ("persist", .bool(order.isKept)), ("fleet", .bool(order.isForFleet)),
      ])
    if order.isKept, let problem = limits.keep(order.change, of: number) {
      throw Problem(.limitNotKept, "The change is in force, but \(problem).")
    }
    if order.isForFleet {
      tell(order, of: name, route, asked)
      return nil
    }
    return .json(LimitReport.text(number, current))
  }

  /// `GET /v1/limits/{name}/keys?top=50`
  func showKeys(_ route: AdminRoute, _ asked: Asked) throws(Problem) -> AdminResponse {
    let limits = context.current.limits
    let limit = limits.set.limits[try limit(route, limits)]
    let entries = limit.heaviestKeys(top: try Self.top(route.query), now: asked.at.monotonic)
    let keys = entries.map { entry in
      JSONText.object([
        ("id", .string(NodeLimits.text(of: entry.key))),
        ("key", .string(String(decoding: entry.name, as: UTF8.self))),
        ("weight", .number(entry.weight)), ("error", .number(entry.error)),
        ("rejected", .number(entry.refused)),
      ])
    }
    return .json(.object([("limit", .string(limit.name)), ("keys", .array(keys))]))
  }

  private static func top(_ query: String?) throws(Problem) -> Int {
    guard let query else { return 50 }
    guard query.hasPrefix("top="), let top = Int(query.dropFirst(4)), (1...256).contains(top) else {
      throw Problem(.invalidQuery, "The query must be top=NUMBER, from 1 to 256.")
    }
    return top
  }

  /// `DELETE /v1/limits/{name}/keys/{key}`
  func forgive(_ route: AdminRoute, _ asked: Asked) throws(Problem) -> AdminResponse {
    let limits = context.current.limits
    let number = try limit(route, limits)
    let text = route.arguments.last ?? ""
    let limit = limits.set.limits[number]
    var wasKnown = false
    for key in limits.keys(of: number, meaning: text)
    where limit.forgive(key: key, now: asked.at.monotonic) {
      wasKnown = true
    }
    guard wasKnown else {
      throw Problem(
        .unknownKey,
        "The limit remembers nothing of this key. A key is an id of the list of keys or, where one "
          + "part makes a key, its value.")
    }
    note(
      "limit \(limit.name): \(JSONText.string(text).text) forgiven by \(route.caller.name) "
        + "(\(asked.peer))")
    write("forgive", route, asked, [("limit", .string(limit.name)), ("key", .string(text))])
    return .json(.object([("forgiven", .bool(true))]))
  }
}

/// What `PATCH /v1/limits/{name}` takes.
struct LimitOrder {
  private(set) var change = LimitChange()
  /// Whether it is to outlive the node.
  private(set) var isKept = false
  /// Whether all PoPs of the region are to have it, and how long the answer waits for them.
  private(set) var isForFleet = false
  private(set) var wait = PurgeWait(scope: .region)

  /// Reads an order. A member that is not known is refused, not passed over.
  static func read(_ content: [UInt8], for rule: LimitRuleConfiguration) throws(Problem)
    -> LimitOrder
  {
    guard case .object(let members) = try PurgeRequest.json(content) else {
      throw Problem(
        .invalidLimitChange, "The content must be an object, such as {\"rate\": \"50/s\"}.")
    }
    var order = LimitOrder()
    for member in members { try order.take(member, rule) }
    guard order.change != LimitChange() else {
      throw Problem(
        .invalidLimitChange, "There is nothing to change: give rate, burst, queue, limit or shadow."
      )
    }
    return order
  }

  private mutating func take(
    _ member: JSON.Member, _ rule: LimitRuleConfiguration
  ) throws(Problem) {
    let isInBytes: Bool
    switch rule {
    case .bandwidth, .responseBandwidth: isInBytes = true
    default: isInBytes = false
    }
    switch (member.name, member.value) {
    case ("rate", .string(let text)):
      change.rate = isInBytes ? LimitRate(bytes: text) : LimitRate(text)
      if change.rate != nil { return }
      throw Problem(
        .invalidLimitChange,
        "\"rate\" must be a rate such as \(isInBytes ? "1MiB/s" : "50/s").")
    case ("burst", .number(let text)): change.burst = UInt64(text)
    case ("queue", .number(let text)): change.queue = UInt32(text)
    case ("limit", .number(let text)): change.limit = UInt64(text)
    case ("shadow", .bool(let value)): change.isShadow = value
    case ("persist", .bool(let value)): isKept = value
    case ("fleet", .bool(let value)): isForFleet = value
    case ("timeout_ms", .number(let text)):
      guard let time = Int64(text), PurgeWait.timeouts.contains(time) else {
        throw Problem(
          .invalidLimitChange, "\"timeout_ms\" is a whole number from 1 to 60000.")
      }
      wait.timeout = time
    case ("fleet", _), ("timeout_ms", _):
      throw Problem(
        .invalidLimitChange, "\"fleet\" is true or false, \"timeout_ms\" is a number.")
    case ("rate", _), ("burst", _), ("queue", _), ("limit", _), ("shadow", _), ("persist", _):
      throw Problem(
        .invalidLimitChange,
        "\"rate\" is a string, \"burst\", \"queue\" and \"limit\" are numbers, \"shadow\" and "
          + "\"persist\" are true or false.")
    default:
      throw Problem(
        .invalidLimitChange,
        "There is no \(JSONText.string(member.name).text): there are rate, burst, queue, limit, "
          + "shadow, persist, fleet and timeout_ms.")
    }
    try checkNumber(member)
  }

  /// Whole numbers without sign and exponent, and not larger than a limit can have.
  private func checkNumber(_ member: JSON.Member) throws(Problem) {
    let isRead: Bool
    switch member.name {
    case "burst": isRead = change.burst.map { $0 <= 1 << 40 } ?? false
    case "queue": isRead = change.queue.map { $0 <= 1_000_000 } ?? false
    case "limit": isRead = change.limit.map { $0 <= 1_000_000_000_000 } ?? false
    default: isRead = true
    }
    if !isRead {
      throw Problem(.invalidLimitChange, "\"\(member.name)\" is not a number that it can have.")
    }
  }
}

/// A limit as JSON.
enum LimitReport {
  /// All limits, in the order of the configuration.
  static func all(_ current: NodeGeneration) -> [JSONText] {
    current.limits.configurations.indices.map { text($0, current) }
  }

  /// The limit that has the number in a generation.
  static func text(_ number: Int, _ current: NodeGeneration) -> JSONText {
    .object(members(number, current))
  }

  static func members(
    _ number: Int, _ current: NodeGeneration
  ) -> [(name: String, value: JSONText)] {
    let limit = current.limits.set.limits[number]
    let configuration = current.limits.configurations[number]
    var members: [(name: String, value: JSONText)] = [
      ("name", .string(limit.name)), ("rule", .string(configuration.rule.name)),
    ]
    members += inForce(limit, configuration.rule)
    members += [
      ("shadow", .bool(limit.isShadow)),
      ("key", .string(key(configuration))),
      ("per", .string(configuration.isPerRoute ? "route" : "node")),
      ("routes", .array(routes(limit.name, current).map { .string($0) })),
      ("scope", .string(configuration.scope == .node ? "node" : "region")),
      ("kept", .string(current.limits.keptChanges[limit.name]?.text ?? "")),
    ]
    if case .regional(let limiter) = limit.rule { members.append(("region", region(limiter))) }
    let tally = limit.tally
    members += [
      ("keys", .number(UInt64(clamping: limit.keys))),
      ("bytes", .number(UInt64(clamping: limit.bytes))),
      ("waiting", .number(UInt64(clamping: limit.waiting))),
      ("allowed", .number(tally.allowed)), ("delayed", .number(tally.delayed)),
      ("rejected", .number(tally.refused)), ("shadowed", .number(tally.shadowed)),
    ]
    return members
  }

  /// How this PoP shares a region's budgets.
  private static func region(_ limiter: RegionalLimiter) -> JSONText {
    .object([
      ("consistency", .string(limiter.isExact ? "exact" : "leased")),
      ("when_down", .string("\(limiter.fallback)")), ("engine_gone", .bool(limiter.isGone)),
      ("share_percent", .number(UInt64((limiter.share * 100).rounded()))),
      ("leased", .number(limiter.leased)), ("advanced", .number(limiter.advanced)),
    ])
  }

  /// What is in force now, whatever the configuration says.
  private static func inForce(
    _ limit: Limit, _ configuration: LimitRuleConfiguration
  ) -> [(name: String, value: JSONText)] {
    switch limit.rule {
    case .tokenBucket(let limiter):
      let rate = LimitRate(count: limiter.rate.tokens, period: limiter.rate.period)
      switch configuration {
      case .bandwidth, .responseBandwidth:
        return [("rate", .string(rate.byteText)), ("burst", .number(limiter.rate.burst))]
      default: return [("rate", .string(rate.text)), ("burst", .number(limiter.rate.burst))]
      }
    case .regional(let limiter):
      let rate = LimitRate(count: limiter.rate.tokens, period: limiter.rate.period)
      return [("rate", .string(rate.text)), ("burst", .number(limiter.rate.burst))]
    case .leakyBucket(let limiter):
      let rate = LimitRate(count: limiter.rate.tokens, period: limiter.rate.period)
      return [("rate", .string(rate.text)), ("queue", .number(UInt64(limiter.queue)))]
    case .concurrency(let limiter): return [("limit", .number(limiter.limit))]
    case .quota(let limiter):
      return [
        ("limit", .number(limiter.limit)),
        ("window_seconds", .number(UInt64(clamping: limiter.window.seconds))),
      ]
    }
  }

  private static func key(_ configuration: LimitConfiguration) -> String {
    configuration.keys.map { $0.map(\.text).joined(separator: " ") }.joined(separator: " else ")
  }

  private static func routes(_ name: String, _ current: NodeGeneration) -> [String] {
    current.configuration.sites.flatMap(\.routes).filter { $0.mayBeUnder(limit: name) }
      .map(\.name)
  }
}
