// What rules say of a response when it is stored: a lifetime, tags, not at all. What they change of its
// fields is not stored: that is done for each client anew (Exchange+Rules.swift).

internal import Bytes
internal import HTTPCaching
internal import HTTPMessage
internal import ObjectStore
internal import Rules

/// What rules have decided of a response.
struct ResponseVerdict {
  /// A lifetime that rules of the response gave, nanoseconds; -1: none.
  var lifetime: Int64 = -1
  /// Whether it is not to be stored.
  var bypassesCache = false
  /// Tags.
  var tags: [[UInt8]] = []
}

extension OriginRequest {
  /// Runs the rules of the response, as far as they count for the store. `lines` are its field lines.
  func runResponseRules(status: UInt16, lines: ByteView) {
    ruled = ResponseVerdict()
    ruledStatus = status
    guard let decision else { return }
    ruled.tags = decision.tags
    let program = generation.routes.programs[route]
    guard generation.routes.routes[route].hasResponseRules, let program else { return }
    let room = worker.rules
    var input = Exchange.ruleInput(
      decision.head, decision.client, decision.identity, room, worker)
    input.status = status
    input.responseFields = lines
    let outcome = decision.carried.withView {
      program.runResponse(input, room.scratch, carried: $0)
    }
    // Nobody gets what its rules could not be applied to; and nobody else is to find it.
    if case .failed = outcome { ruled.bypassesCache = true }
    let scratch = room.scratch
    if scratch.bypassesCache { ruled.bypassesCache = true }
    ruled.lifetime = scratch.lifetime
    for index in 0..<scratch.tags.count { ruled.tags.append(scratch.tags[index].array) }
  }

  /// The same for the origin's response.
  func runResponseRules() {
    guard decision != nil else { return }
    var lines = ByteBuffer(capacity: response.length)
    for index in 0..<response.fields.count {
      let line = response.fields[index]
      let start = lines.count
      lines.appendLowercased(line.name(in: response.bytes))
      if lines.count == start { continue }
      lines.append(": ")
      lines.append(line.value(in: response.bytes))
      lines.append("\r\n")
    }
    runResponseRules(status: response.status, lines: lines.view)
  }

  /// Whether rules keep the response out of the store.
  var isKeptOut: Bool {
    guard let decision else { return false }
    return decision.bypassesCache || ruled.bypassesCache
  }

  /// The route's caching, with the lifetime that rules have chosen. One that was chosen before there
  /// was a response is not for errors: an origin that fails is not to be remembered for an hour.
  var policy: RoutePolicy {
    var policy = generation.routes.policies[route]
    var lifetime = ruled.lifetime
    if lifetime < 0, let decision, Self.isUsual(ruledStatus) { lifetime = decision.lifetime }
    guard lifetime >= 0 else { return policy }
    policy.caching.lifetimes = [
      LifetimeRule(.any, milliseconds: lifetime / 1_000_000, overrides: true)
    ]
    return policy
  }

  private static func isUsual(_ status: UInt16) -> Bool {
    status < 400 || status < 500 && StatusRules.isHeuristicallyCacheable(status)
  }

  /// The pool: the rules', or the route's.
  static func pool(_ generation: WorkerGeneration, _ route: Int, _ decision: RuleDecision?) -> Int {
    guard let decision, decision.origin >= 0 else { return generation.routes.routes[route].origin }
    return decision.origin
  }
}
