internal import Bytes
internal import Configuration
internal import Edge

/// A line of the table of routes: all that is told apart between them, and what docs/admin.md says.
struct AdminRoute: Sendable, Equatable {
  /// Who may ask.
  enum Access: String, Sendable {
    /// Anybody: it says nothing.
    case anyone
    /// Whoever reaches a loopback listener; elsewhere whoever has the token.
    case reading
    /// Whoever has the token, wherever: it changes something, or shows what clients hold secret.
    case changing
  }

  /// What is done.
  enum Action: Sendable {
    case health, metrics, status, purge, purges, purgeRecord, events, dashboard
    case objects, misses, hits, warm, warming
    case limits, limit, changeLimit, limitKeys, forgive
    case origins, server
    case fleet
    case record, lines, accounting
    case configuration, compareConfiguration, reload, rollback, upgrade
    case ready, drain, switches
    case applyConfiguration, confirmConfiguration, configurationHistory, restoreConfiguration
  }

  /// `GET`, which HEAD comes with, or what changes something.
  let method: Method
  /// The path, exactly; a segment in braces stands for any that is not empty.
  let path: String
  /// Who may ask.
  let access: Access
  /// What a token must be allowed.
  var verb = AdminVerb.read
  /// Whether it keeps to the sites of a token that has some; else such a token is refused.
  var isOfSites = false
  /// What is done.
  let action: Action
  /// What it is for, in Markdown.
  let text: String
  /// Of a request's route: the segments that stand for those in braces, and the query.
  var arguments: [String] = []
  var query: String?
  /// Who asks, and each `Idempotency-Key`.
  var caller = Caller.nobody
  var idempotencyKeys: [String] = []
  /// `Accept`.
  var accept = ""

  /// The methods that the routes have.
  enum Method: String, Sendable {
    case get = "GET"
    case post = "POST"
    case patch = "PATCH"
    case delete = "DELETE"
  }

  /// Whether its requests carry JSON.
  var takesContent: Bool {
    switch action {
    case .reload, .rollback, .upgrade, .drain, .confirmConfiguration, .restoreConfiguration: false
    default: method == .post || method == .patch
    }
  }

  /// Every route, in the order of the documentation.
  static let all: [AdminRoute] = [
    AdminRoute(
      method: .get, path: "/healthz", access: .anyone, action: .health,
      text: "`ok`, as long as the admin server answers: for a supervisor or a load balancer."),
    AdminRoute(
      method: .get, path: "/readyz", access: .anyone, action: .ready,
      text: "`ready`, or 503 while the node is drained."),
    AdminRoute(
      method: .get, path: "/metrics", access: .reading, action: .metrics,
      text:
        "All figures in Prometheus' text format 0.0.4, or as OpenMetrics if `Accept` asks for it."),
    AdminRoute(
      method: .get, path: "/v1/status", access: .reading, action: .status,
      text: "What the node is and does, as JSON: see below."),
    AdminRoute(
      method: .get, path: "/v1/events", access: .reading, action: .events,
      text: "All that the dashboard shows, every second, as server-sent events: see below."),
    AdminRoute(
      method: .get, path: "/dashboard", access: .anyone, action: .dashboard,
      text: "A page for the browser that shows them. It asks for a token where one is needed."),
    AdminRoute(
      method: .post, path: "/v1/purge", access: .changing, verb: .purge, isOfSites: true,
      action: .purge,
      text: "Purges by tag, URL, host, prefix, wildcard or condition: see below."),
    AdminRoute(
      method: .get, path: "/v1/purges", access: .reading, isOfSites: true, action: .purges,
      text: "The last purges, newest first; `?limit=NUMBER` (else 100) and `&before=ID`."),
    AdminRoute(
      method: .get, path: "/v1/purges/{id}", access: .reading, isOfSites: true,
      action: .purgeRecord, text: "One purge, and how many objects it has reached."),
    AdminRoute(
      method: .get, path: "/v1/objects", access: .changing, isOfSites: true, action: .objects,
      text: "What is stored for a URL, for a tag or a host, or the heaviest: see below."),
    AdminRoute(
      method: .get, path: "/v1/misses", access: .changing, action: .misses,
      text: "What origins are asked for most, and why: see below."),
    AdminRoute(
      method: .get, path: "/v1/hits", access: .changing, action: .hits,
      text: "The URLs and tags that are hit most: see below."),
    AdminRoute(
      method: .post, path: "/v1/warm", access: .changing, verb: .warm, isOfSites: true,
      action: .warm, text: "Fetches URLs before clients ask for them: see below."),
    AdminRoute(
      method: .get, path: "/v1/warm", access: .changing, verb: .warm, isOfSites: true,
      action: .warming, text: "The last orders to warm, newest first."),
    AdminRoute(
      method: .get, path: "/v1/warm/{id}", access: .changing, verb: .warm, isOfSites: true,
      action: .warming, text: "How far an order is."),
    AdminRoute(
      method: .delete, path: "/v1/warm/{id}", access: .changing, verb: .warm, isOfSites: true,
      action: .warming, text: "Ends an order."),
    AdminRoute(
      method: .get, path: "/v1/limits", access: .reading, verb: .readLimits, action: .limits,
      text: "All limits, as they are in force, and what they have decided: see below."),
    AdminRoute(
      method: .get, path: "/v1/limits/{name}", access: .reading, verb: .readLimits,
      action: .limit,
      text: "One limit."),
    AdminRoute(
      method: .patch, path: "/v1/limits/{name}", access: .changing, verb: .changeLimits,
      action: .changeLimit,
      text: "Changes a limit, from the next request on, in every worker: see below."),
    AdminRoute(
      method: .get, path: "/v1/limits/{name}/keys", access: .changing, verb: .readLimits,
      action: .limitKeys,
      text: "The keys that have spent most lately, heaviest first; `?top=NUMBER`, else 50."),
    AdminRoute(
      method: .delete, path: "/v1/limits/{name}/keys/{key}", access: .changing,
      verb: .changeLimits, action: .forgive,
      text: "Gives a key all it may have, and ends its penalty."),
    AdminRoute(
      method: .get, path: "/v1/origins", access: .reading, action: .origins,
      text: "Pools and their servers, as JSON: see below."),
    AdminRoute(
      method: .post, path: "/v1/origins/{origin}/servers/{server}", access: .changing,
      verb: .origins, action: .server,
      text: "Drains, disables or enables a server, or sets its weight: see below."),
    AdminRoute(
      method: .get, path: "/v1/fleet", access: .reading, action: .fleet,
      text:
        "The PoPs of the fleet, how far each has applied its purges, and how this one stands: see below."
    ),
    AdminRoute(
      method: .get, path: "/v1/drain", access: .reading, action: .drain,
      text: "Whether the node is drained, as `{\"drained\": false}`."),
    AdminRoute(
      method: .post, path: "/v1/drain", access: .changing, verb: .switches, action: .drain,
      text: "Drains the node: it says that it is not ready, and serves on. No content."),
    AdminRoute(
      method: .delete, path: "/v1/drain", access: .changing, verb: .switches, action: .drain,
      text: "Has it ready again."),
    AdminRoute(
      method: .get, path: "/v1/switches", access: .reading, action: .switches,
      text: "What is switched over: see below."),
    AdminRoute(
      method: .post, path: "/v1/switches", access: .changing, verb: .switches, action: .switches,
      text: "Maintenance, or serving from the store alone: see below."),
    AdminRoute(
      method: .get, path: "/v1/record", access: .changing, verb: .read, action: .record,
      text: "What was served since the last such request, for `weir record`: see below."),
    AdminRoute(
      method: .get, path: "/v1/log", access: .changing, verb: .read, action: .lines,
      text: "Lines of the access log as they come, as server-sent events: see below."),
    AdminRoute(
      method: .get, path: "/v1/accounting", access: .reading, verb: .read, action: .accounting,
      text: "What each route was asked and sent, by hour or day, as JSON or CSV: see below."),
    AdminRoute(
      method: .get, path: "/v1/config", access: .changing, verb: .config, action: .configuration,
      text: "The configuration in force, without its secrets: see below."),
    AdminRoute(
      method: .get, path: "/v1/config/diff", access: .changing, verb: .config,
      action: .compareConfiguration,
      text: "How the file differs from what is in force: see below."),
    AdminRoute(
      method: .post, path: "/v1/config/reload", access: .changing, verb: .config, action: .reload,
      text: "Reads the file again and goes by it, if all of it is right: see below."),
    AdminRoute(
      method: .post, path: "/v1/config/rollback", access: .changing, verb: .config,
      action: .rollback,
      text: "Goes back to what was in force before: see below."),
    AdminRoute(
      method: .post, path: "/v1/config/apply", access: .changing, verb: .config,
      action: .applyConfiguration,
      text:
        "Goes by a text that is sent, perhaps on trial, or says what it would change: see below."),
    AdminRoute(
      method: .post, path: "/v1/config/confirm", access: .changing, verb: .config,
      action: .confirmConfiguration, text: "Stays with what was applied on trial."),
    AdminRoute(
      method: .get, path: "/v1/config/history", access: .changing, verb: .config,
      action: .configurationHistory, text: "The last 20 that were in force, the present one last."),
    AdminRoute(
      method: .post, path: "/v1/config/history/{generation}", access: .changing, verb: .config,
      action: .restoreConfiguration, text: "Goes back to one of them."),
    AdminRoute(
      method: .post, path: "/v1/upgrade", access: .changing, verb: .config, action: .upgrade,
      text: "Has the executable that is there now take this process's place: `docs/operations.md`."),
  ]
}

extension AdminRoute {
  /// The route with what a path has in the place of its braces; nil if the path is another.
  func matching(_ path: String) -> AdminRoute? {
    let own = self.path.split(separator: "/", omittingEmptySubsequences: false)
    let asked = path.split(separator: "/", omittingEmptySubsequences: false)
    guard own.count == asked.count else { return nil }
    var route = self
    for (pattern, segment) in zip(own, asked) {
      if pattern.first == "{" {
        guard let text = Self.decoded(segment), !text.isEmpty else { return nil }
        route.arguments.append(text)
      } else if pattern != segment {
        return nil
      }
    }
    return route
  }

  /// A segment without its percent-encoding (RFC 3986 §2.1); nil if that is damaged.
  static func decoded(_ segment: Substring) -> String? {
    var bytes: [UInt8] = []
    var rest = Array(segment.utf8)[...]
    while let byte = rest.popFirst() {
      guard byte == UInt8(ascii: "%") else {
        bytes.append(byte)
        continue
      }
      guard let high = rest.popFirst().flatMap(ASCII.hexValue),
        let low = rest.popFirst().flatMap(ASCII.hexValue)
      else { return nil }
      bytes.append(UInt8(high) << 4 | UInt8(low))
    }
    return String(validating: bytes, as: UTF8.self)
  }
}

/// The tables of docs/admin.md.
package enum AdminReference {
  /// A document in which what stands between `<!-- routes -->`, or `<!-- problems -->`, and
  /// `<!-- end -->` is replaced by the table.
  package static func updated(document: String) -> String {
    var lines: [Substring] = []
    var isSkipping = false
    for line in document.split(separator: "\n", omittingEmptySubsequences: false) {
      if line == "<!-- end -->" { isSkipping = false }
      if !isSkipping { lines.append(line) }
      if let table = tables[String(line)] {
        lines += table.map { $0[...] }
        isSkipping = true
      }
    }
    return lines.joined(separator: "\n")
  }

  private static var tables: [String: [String]] {
    [
      "<!-- routes -->": routes, "<!-- problems -->": problems, "<!-- conditions -->": conditions,
      "<!-- lines -->": lines,
    ]
  }

  private static var routes: [String] {
    ["| route | token | verb | what |", "|---|---|---|---|"]
      + AdminRoute.all.map { route in
        let verb = route.access == .anyone ? "" : "`\(route.verb.rawValue)`"
        return "| `\(route.method.rawValue) \(route.path)` | \(need(route.access)) | \(verb) "
          + "| \(route.text) |"
      }
  }

  private static func need(_ access: AdminRoute.Access) -> String {
    switch access {
    case .anyone: "never"
    case .reading: "unless on loopback"
    case .changing: "always"
    }
  }

  private static var lines: [String] {
    ["| name | type | what |", "|---|---|---|"]
      + LineExpression.names.map { "| `\($0.name)` | \($0.type) | \($0.text) |" }
  }

  private static var conditions: [String] {
    ["| name | type | what |", "|---|---|---|"]
      + ObjectExpression.names.map { "| `\($0.name)` | \($0.type) | \($0.text) |" }
  }

  private static var problems: [String] {
    ["| code | status | meaning |", "|---|---|---|"]
      + Problem.Code.allCases.map { "| `\($0.rawValue)` | \($0.status) | \($0.text) |" }
  }
}
