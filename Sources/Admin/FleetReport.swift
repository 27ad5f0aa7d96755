// The fleet as an operator sees it: who there is, and who has applied what.

internal import Edge
internal import EventLoop
internal import Fleet
internal import ObjectStore

/// Whom a purge's answer waits for.
struct PurgeWait: Sendable, Equatable {
  /// Whom.
  var scope = FleetScope.local
  /// How long, ms.
  var timeout: Int64 = 5_000
  /// What timeouts may be, ms.
  static let timeouts: ClosedRange<Int64> = 1...60_000
}

/// Reports of the fleet as JSON.
enum FleetReport {
  /// Who has applied a purge.
  static func text(_ reach: FleetReach) -> JSONText {
    func list(_ names: [String]) -> JSONText { .array(names.map { .string($0) }) }
    return .object([
      ("complete", .bool(reach.isComplete)), ("logged", .bool(reach.isLogged)),
      ("applied", list(reach.applied)), ("pending", list(reach.pending)),
      ("out", list(reach.out)),
    ])
  }

  /// `GET /v1/fleet`. Without a list the engine could not be asked.
  static func text(_ fleet: FleetClient, _ list: FleetList?) -> JSONText {
    let status = fleet.status
    return .object([
      ("fleet", .string(fleet.settings.fleet)), ("pop", .string(fleet.settings.pop)),
      ("region", .string(fleet.settings.region)), ("in_step", .bool(status.isInStep)),
      ("phase", .string(status.phase)), ("mode", .string("\(fleet.gate.mode)")),
      ("engine", status.server.map { .string($0) } ?? .null),
      ("failure", status.failure.map { .string($0) } ?? .null),
      ("position", .string(status.position.text)),
      ("silent_ms", status.silence.map { .number(UInt64(clamping: $0)) } ?? .null),
      ("waiting", .number(UInt64(clamping: status.waiting))),
      ("backlog", .number(UInt64(clamping: status.backlog))),
      ("applied", .number(status.applied)), ("appended", .number(status.appended)),
      (
        "losses",
        .object(status.losses.sorted { $0.key < $1.key }.map { ($0.key, .number($0.value)) })
      ), ("last_position", list.map { .string($0.last.text) } ?? .null),
      ("pops", list.map { list in .array(list.members.map { member($0, list) }) } ?? .null),
    ])
  }

  private static func member(_ member: FleetMember, _ list: FleetList) -> JSONText {
    let isOut = member.isOut(at: list.now)
    return .object([
      ("name", .string(member.name)), ("id", .string(String(member.pop, radix: 16))),
      ("region", .string(member.region)), ("version", .string(member.version)),
      ("state", .string(isOut ? "out" : member.isInStep ? "in_step" : "behind")),
      ("position", .string(member.position.text)),
      ("lag_ms", .number(UInt64(clamping: list.lag(of: member)))),
      ("lag_purges", list.behind[member.pop].map { .number($0) } ?? .null),
      ("waiting", .number(UInt64(clamping: member.waiting))),
      ("seen_ms_ago", .number(UInt64(clamping: list.now &- member.seen))),
    ])
  }
}

extension AdminService {
  /// `GET /v1/fleet`: comes later, by a message to the loop.
  func showFleet(_ asked: Asked) throws(Problem) -> AdminResponse? {
    guard let fleet = context.fleet else {
      throw Problem(.noFleet, "The node works alone: its configuration has no fleet.")
    }
    let inbox = inbox
    let connection = asked.connection
    fleet.list { inbox.post(.fleet($0, connection: connection)) }
    return nil
  }

  /// The answer to who asks for the fleet.
  func fleetAnswer(_ list: FleetList?) -> AdminResponse {
    guard let fleet = context.fleet else { return .json(.null) }
    return .json(FleetReport.text(fleet, list))
  }

  /// What an order is to the fleet; nil in a node that works alone.
  func mark(_ request: PurgeRequest, sites: [String], _ caller: Caller) throws(Problem)
    -> FleetMark?
  {
    guard let fleet = context.fleet else {
      guard request.wait.scope == .local else {
        throw Problem(
          .noFleet, "There is nobody to wait for: the node's configuration has no fleet.")
      }
      return nil
    }
    guard fleet.takesOrders else {
      throw Problem(
        .fleetFull, "65,536 purges wait for the fleet's engine, which cannot be reached.")
    }
    let text = request.text.text
    let order = FleetOrder(
      request.selection, sites: sites, isSoft: request.isSoft,
      who: "\(fleet.settings.pop)/\(caller.name)", what: text.utf8.count <= 2_000 ? text : "")
    return FleetMark(.own, pop: 0, order: order.text)
  }

  /// Tells the loop of a purge's end; where others are waited for, when they have applied it.
  static func finished(
    _ purge: Purge, _ outcome: PurgeOutcome, _ fleet: FleetClient?, _ inbox: Inbox<AdminMessage>
  ) {
    guard let fleet, purge.wait.scope != .local, case .success(let receipt) = outcome,
      let number = receipt.record.fleet?.number
    else { return inbox.post(.purged(purge, outcome, nil)) }
    fleet.wait(for: number, purge.wait.scope, timeout: purge.wait.timeout * 1_000_000) { reach in
      inbox.post(.purged(purge, outcome, reach))
    }
  }
}
