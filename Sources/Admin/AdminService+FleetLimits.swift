// Changes of limits for all PoPs of a region: by the fleet's log, as purges go.

internal import Edge
internal import EventLoop
internal import Fleet
internal import ObjectStore

/// A change of a limit that the region's PoPs are told of.
struct LimitTold: Sendable {
  /// The limit.
  let name: String
  /// The connection that waits for the answer, by its name in the loop.
  let connection: UInt64
  /// Why the others are not told; nil: they are.
  var failure: String?
}

extension AdminService {
  /// Throws if there is no fleet to tell.
  func checkFleet() throws(Problem) {
    guard let fleet = context.fleet, context.store != nil else {
      throw Problem(.noFleet, "There is nobody to tell: the node's configuration has no fleet.")
    }
    guard fleet.takesOrders else {
      throw Problem(
        .fleetFull, "65,536 orders wait for the fleet's engine, which cannot be reached.")
    }
  }

  /// Brings a change into the fleet's log: as a purge of nothing, so that it is as durable as one.
  func tell(_ order: LimitOrder, of name: String, _ route: AdminRoute, _ asked: Asked) {
    guard let fleet = context.fleet, let store = context.store else { return }
    let words = FleetOrder(
      .limit(name, region: fleet.settings.region, order.change, isKept: order.isKept), sites: [],
      isSoft: false, who: "\(fleet.settings.pop)/\(route.caller.name)",
      what: JSONText.string("limit \(name): \(order.change.text)").text)
    let purge = PurgeOrder(
      PurgeOrder.nothing(in: store), time: asked.at.wall, who: route.caller.name, what: words.what,
      fleet: FleetMark(.own, pop: 0, order: words.text))
    purgesUnderWay += 1
    let (inbox, wait) = (inbox, order.wait)
    let told = LimitTold(name: name, connection: asked.connection)
    store.purge(purge) { outcome in
      guard case .success(let receipt) = outcome, let number = receipt.record.fleet?.number else {
        var failed = told
        failed.failure = "the journal could not be written"
        return inbox.post(.tuned(failed, nil))
      }
      fleet.wait(for: number, wait.scope, timeout: wait.timeout * 1_000_000) { reach in
        inbox.post(.tuned(told, reach))
      }
    }
  }

  /// The answer to who has changed a limit everywhere.
  func finish(_ told: LimitTold, _ reach: FleetReach?) -> AdminResponse {
    purgesUnderWay -= 1
    let current = context.current
    guard let number = current.limits.number(of: told.name) else {
      return Problem(.unknownLimit, "A reload has removed it meanwhile.").response
    }
    if let failure = told.failure {
      return Problem(.limitNotKept, "The change is in force, here alone: \(failure).").response
    }
    var members = LimitReport.members(number, current)
    if let reach { members.append(("fleet", FleetReport.text(reach))) }
    return .json(.object(members))
  }
}
