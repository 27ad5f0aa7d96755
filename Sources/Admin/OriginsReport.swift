// Pools and their servers: what `GET /v1/origins` shows, and what `POST /v1/origins/…` says to a server.

internal import Configuration
internal import Edge
internal import EventLoop
internal import Origins

/// What `GET /v1/origins` answers. Members are only ever added.
enum OriginsReport {
  /// All pools, in the order of the configuration.
  static func text(_ context: NodeContext, now: Instant) -> JSONText {
    .object([("origins", list(context.current, now: now))])
  }

  /// The same as an array.
  static func list(_ current: NodeGeneration, now: Instant) -> JSONText {
    .array(current.pools.map { pool($0, now: now.monotonic) })
  }

  private static func pool(_ pool: OriginPool, now: Int64) -> JSONText {
    let report = pool.report(now: now)
    return .object([
      ("name", .string(report.name)),
      ("files", pool.configuration.files.map { .string($0.root) } ?? .null),
      ("in_flight", number(report.inFlight)),
      ("max_connections", optional(report.maxConnections)),
      ("waiting", number(report.waiting)),
      ("queued", .number(report.queued)),
      ("queue_timeouts", .number(report.queueTimeouts)),
      ("requests", .number(report.requests)),
      ("retries", .number(report.retries)),
      ("hedges", .number(report.hedges)),
      ("retry_budget", number(report.budget)),
      ("retries_refused", .number(report.budgetRefusals)),
      (
        "refused",
        .object([
          ("no_server", .number(report.refusedNoServer)),
          ("breaker", .number(report.refusedBreaker)), ("full", .number(report.refusedFull)),
        ])
      ),
      ("panics", .number(report.panics)),
      ("breaker", .string(report.breaker.name)),
      ("breaker_openings", .number(report.breakerOpenings)),
      ("servers", .array(report.servers.map { server($0) })),
    ])
  }

  private static func server(_ report: ServerReport) -> JSONText {
    .object([
      ("name", .string(report.name)),
      ("addresses", .array(report.addresses.map { .string($0) })),
      ("state", .string(report.condition.rawValue)),
      ("administrative", .string(report.administrative.name)),
      ("weight", number(report.weight)),
      ("priority", number(report.priority)),
      ("backup", .bool(report.isBackup)),
      ("in_flight", number(report.inFlight)),
      ("max_connections", optional(report.maxConnections)),
      ("requests", .number(report.requests)),
      ("failures", .number(report.failures)),
      ("connect_failures", .number(report.connectFailures)),
      ("timeouts", .number(report.timeouts)),
      ("server_errors", .number(report.serverErrors)),
      ("mean_latency_ms", .thousandths(report.meanLatency)),
      ("peak_latency_ms", .thousandths(UInt64(clamping: report.peakLatency))),
      ("load", report.load.map { .thousandths(UInt64(clamping: $0)) } ?? .null),
      ("ejections", .number(report.ejections)),
      ("ejection_reason", .string(report.ejectionReason.name)),
      ("ejected_for_seconds", seconds(report.ejectedFor)),
      ("breaker", .string(report.breaker.name)),
      ("breaker_openings", .number(report.breakerOpenings)),
      ("checks", .number(report.checks)),
      ("failed_checks", .number(report.failedChecks)),
      ("last_check", report.lastCheck.map { .string($0.name) } ?? .null),
      ("last_check_latency_ms", .thousandths(report.lastCheckLatency)),
      ("down_for_seconds", seconds(report.downFor)),
    ])
  }

  private static func number(_ value: Int) -> JSONText { .number(UInt64(clamping: value)) }

  private static func optional(_ value: Int?) -> JSONText { value.map { number($0) } ?? .null }

  private static func seconds(_ nanoseconds: Int64) -> JSONText {
    .thousandths(UInt64(clamping: nanoseconds / 1_000_000))
  }
}

/// What `POST /v1/origins/{origin}/servers/{server}` takes: `{"action": "drain"}`, `"disable"`,
/// `"enable"`, or `{"action": "weight", "weight": 3}`.
enum ServerOrder {
  /// The command of an order. A member that is not known is refused.
  static func read(_ content: [UInt8]) throws(Problem) -> ServerCommand {
    guard case .object(let members) = try json(content),
      case .string(let action) = members.first(where: { $0.name == "action" })?.value
    else {
      throw Problem(
        .invalidOrder, "The content must be an object such as {\"action\": \"drain\"}.")
    }
    if action == "weight" { return .weight(try weight(members)) }
    guard members.count == 1 else {
      throw Problem(.invalidOrder, "Only the action \"weight\" has another member.")
    }
    switch action {
    case "drain": return .drain
    case "disable": return .disable
    case "enable": return .enable
    default:
      throw Problem(.invalidOrder, "The action must be drain, disable, enable or weight.")
    }
  }

  private static func weight(_ members: [JSON.Member]) throws(Problem) -> Int {
    guard members.count == 2,
      case .number(let text) = members.first(where: { $0.name == "weight" })?.value,
      let weight = Int(text), (1...65_535).contains(weight)
    else {
      throw Problem(.invalidOrder, "The action \"weight\" needs a \"weight\" from 1 to 65535.")
    }
    return weight
  }

  private static func json(_ content: [UInt8]) throws(Problem) -> JSON {
    do throws(JSONDefect) {
      return try JSONReader.read(content)
    } catch {
      throw Problem(
        .invalidJSON,
        "The content is not JSON: line \(error.line), column \(error.column): \(error.text).")
    }
  }
}

extension ServerCommand {
  /// As it stands in the audit line.
  var text: String {
    switch self {
    case .enable: "enabled"
    case .drain: "drained"
    case .disable: "disabled"
    case .weight(let weight): "given the weight \(weight)"
    }
  }
}
