// Draining, maintenance, and serving from the store alone: `Edge/Worker/Switches.swift` has what they do.

internal import Configuration
internal import Edge
internal import EventLoop

extension AdminService {
  /// Drains the node, or takes clients again.
  func drain(_ route: AdminRoute, _ asked: Asked) throws(Problem) -> AdminResponse {
    if route.method == .post {
      try turnOn(
        NodeSwitch(kind: .drain, scope: .node, since: asked.at.wall, by: route.caller.name))
    } else if route.method == .delete {
      _ = try turnOff(.drain, .node)
    }
    if route.method != .get {
      let isDrained = context.switches.isDrained
      note("the node \(isDrained ? "is drained" : "takes clients again"), by \(route.caller.name)")
      write(isDrained ? "drain" : "undrain", route, asked, [])
    }
    return .json(SwitchReport.readiness(context))
  }

  /// Switches over or back what a request's content says, or shows what is switched.
  func changeSwitches(_ route: AdminRoute, _ asked: Asked) throws(Problem) -> AdminResponse {
    guard route.method == .post else { return .json(SwitchReport.text(context)) }
    var order = try SwitchOrder.read(asked.content)
    order.entry.since = asked.at.wall
    order.entry.by = route.caller.name
    try check(order.entry.scope)
    if order.isOn {
      try turnOn(order.entry)
    } else {
      _ = try turnOff(order.entry.kind, order.entry.scope)
    }
    let (kind, name) = SwitchReport.words(of: order.entry.scope)
    let place = name.map { "\(kind) \($0)" } ?? "the node"
    note(
      "\(order.entry.kind.rawValue) \(order.isOn ? "on" : "off") for \(place), by \(route.caller.name)"
    )
    write(
      "switch", route, asked,
      [
        ("switch", .string(order.entry.kind.rawValue)), ("on", .bool(order.isOn)),
        (kind, .string(name ?? "")),
      ])
    return .json(SwitchReport.text(context))
  }

  /// A switch on what there is not would do nothing, and look as if it did.
  private func check(_ scope: NodeSwitch.Scope) throws(Problem) {
    let sites = context.current.configuration.sites
    switch scope {
    case .node: return
    case .site(let host):
      if sites.contains(where: { $0.hosts.contains(host) }) { return }
      throw Problem(.invalidOrder, "There is no site with the host \(host) in the configuration.")
    case .route(let name):
      if sites.contains(where: { $0.routes.contains { $0.name == name } }) { return }
      throw Problem(
        .invalidOrder,
        "There is no route \(name): a route's name is its site's first host and its path, as in logs."
      )
    }
  }

  private func turnOn(_ entry: NodeSwitch) throws(Problem) {
    var isOn = true
    do throws(Errno) {
      isOn = try context.switches.turnOn(entry)
    } catch {
      note("switches: in force, but not kept over a restart: \(error)")
    }
    guard isOn else {
      throw Problem(.invalidOrder, "There are \(Switches.most) switches on already.")
    }
  }

  private func turnOff(
    _ kind: NodeSwitch.Kind, _ scope: NodeSwitch.Scope
  ) throws(Problem) -> Bool {
    do throws(Errno) {
      return try context.switches.turnOff(kind, scope)
    } catch {
      note("switches: in force, but not kept over a restart: \(error)")
      return true
    }
  }
}

/// `{"switch": "maintenance", "on": true, "site": "example.com", "retry_after": 600, "page": "…"}`
struct SwitchOrder {
  var isOn: Bool
  var entry: NodeSwitch

  /// The longest page.
  private static let longestPage = 64 << 10

  /// The order of a content. A member that is not known is refused.
  static func read(_ content: [UInt8]) throws(Problem) -> SwitchOrder {
    let members = try ApplyOrder.members(of: content)
    var isOn: Bool?
    var kind: NodeSwitch.Kind?
    var scopes: [NodeSwitch.Scope] = []
    var retryAfter: UInt32?
    var page: String?
    for member in members {
      switch (member.name, member.value) {
      case ("switch", .string(let name)):
        kind = [NodeSwitch.Kind.maintenance, .storeOnly].first { $0.rawValue == name }
      case ("on", .bool(let value)): isOn = value
      case ("site", .string(let host)): scopes.append(.site(host.lowercased()))
      case ("route", .string(let name)): scopes.append(.route(name))
      case ("retry_after", .number(let text)):
        guard let seconds = UInt32(text), seconds <= 31_536_000 else {
          throw Problem(.invalidOrder, "\"retry_after\" is a number of seconds, at most a year.")
        }
        retryAfter = seconds
      case ("page", .string(let text)):
        guard text.utf8.count <= longestPage else {
          throw Problem(.invalidOrder, "\"page\" has at most 64 KiB.")
        }
        page = text
      default:
        throw Problem(
          .invalidOrder, "\"\(member.name)\" is not a member of this order, or of a wrong type.")
      }
    }
    guard let kind, let isOn, scopes.count <= 1 else {
      throw Problem(
        .invalidOrder,
        "An order has \"switch\", which is maintenance or store_only, \"on\", and at most one of \"site\" and \"route\"."
      )
    }
    if kind == .storeOnly, retryAfter != nil || page != nil {
      throw Problem(.invalidOrder, "Only maintenance has \"retry_after\" and \"page\".")
    }
    return SwitchOrder(
      isOn: isOn,
      entry: NodeSwitch(
        kind: kind, scope: scopes.first ?? .node, retryAfter: retryAfter ?? 300, page: page,
        since: 0, by: ""))
  }
}

/// How the answers look. Members are only ever added.
enum SwitchReport {
  /// Whether the node takes clients.
  static func readiness(_ context: NodeContext) -> JSONText {
    let switches = context.switches
    return .object([
      ("drained", .bool(switches.isDrained)), ("kept_over_restarts", .bool(switches.isKept)),
    ])
  }

  /// All that is switched.
  static func text(_ context: NodeContext) -> JSONText {
    .object([
      ("switches", list(context)), ("kept_over_restarts", .bool(context.switches.isKept)),
    ])
  }

  /// What is switched, in the order in which it was.
  static func list(_ context: NodeContext) -> JSONText {
    .array(
      context.switches.list.map { entry in
        let (kind, name) = words(of: entry.scope)
        var members: [(String, JSONText)] = [("switch", .string(entry.kind.rawValue))]
        if let name { members.append((kind, .string(name))) }
        if entry.kind == .maintenance {
          members.append(("retry_after", .number(UInt64(entry.retryAfter))))
          members.append(("has_page", .bool(entry.page != nil)))
        }
        members.append(("since_seconds", .thousandths(UInt64(clamping: entry.since))))
        members.append(("by", .string(entry.by)))
        return .object(members.map { ($0.0, $0.1) })
      })
  }

  /// What kind of place it is, and its name.
  static func words(of scope: NodeSwitch.Scope) -> (kind: String, name: String?) {
    switch scope {
    case .node: ("node", nil)
    case .site(let host): ("site", host)
    case .route(let name): ("route", name)
    }
  }
}
