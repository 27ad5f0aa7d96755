internal import Fleet

/// An order to warm, and how far it is.
struct WarmReport: Sendable {
  var id: UInt64
  var who: String
  /// When it was given, ms since the epoch.
  var time: Int64
  var total: Int
  var done = 0
  /// Answered from the store.
  var hits = 0
  /// Answered by the origin.
  var fetched = 0
  /// Refused, cut off, or answered with 400 or more.
  var failed = 0
  var bytes: UInt64 = 0
  var isCancelled = false
  /// Whether it cannot be carried out here: an order of the fleet, whose URLs are read later.
  var isRefused = false
  /// The first thing that went wrong.
  var firstFailure = ""
  /// What it is to the fleet, if it is for others, too.
  var order: FleetWarmOrder?
  /// When it began (monotonic).
  var began: Int64 = 0

  /// Whether nothing more comes of it.
  var isOver: Bool { isCancelled || isRefused || done >= total }

  private var state: FleetWarmState {
    isRefused ? .refused : isCancelled ? .cancelled : done >= total ? .done : .running
  }

  /// The report as JSON, with what the PoPs of the fleet have made of it.
  func text(_ reach: FleetWarmReach? = nil) -> JSONText {
    .object(members + (reach.map { [("fleet", Self.text($0))] } ?? []))
  }

  private var members: [(name: String, value: JSONText)] {
    [
      ("id", .number(id)), ("who", .string(who)), ("time", .string(Timestamp.text(time))),
      ("state", .string(state.rawValue)),
      ("urls", Self.number(total)), ("done", Self.number(done)), ("hits", Self.number(hits)),
      ("fetched", Self.number(fetched)), ("failed", Self.number(failed)),
      ("bytes", .number(bytes)),
      ("failure", firstFailure.isEmpty ? .null : .string(firstFailure)),
      ("order", order.map { .string($0.name) } ?? .null),
    ]
  }

  private static func text(_ reach: FleetWarmReach) -> JSONText {
    .object([
      ("complete", .bool(reach.isComplete)), ("told", .bool(reach.isTold)),
      ("heard", .bool(reach.isHeard)),
      (
        "pops",
        .array(
          reach.parts.map { part in
            let result = part.result
            return .object([
              ("name", .string(part.name)), ("region", .string(part.region)),
              ("state", .string(result.state.rawValue)), ("urls", number(result.urls)),
              ("done", number(result.done)), ("hits", number(result.hits)),
              ("fetched", number(result.fetched)), ("failed", number(result.failed)),
              ("bytes", .number(result.bytes)),
              ("failure", result.failure.isEmpty ? .null : .string(result.failure)),
            ])
          })
      ),
    ])
  }

  /// The report as the fleet is told it.
  var result: FleetWarmResult {
    var result = FleetWarmResult(state)
    (result.urls, result.done, result.hits) = (total, done, hits)
    (result.fetched, result.failed, result.bytes) = (fetched, failed, bytes)
    result.failure = String(firstFailure.prefix(500))
    return result
  }

  private static func number(_ value: Int) -> JSONText { .number(UInt64(clamping: value)) }
}

/// A URL to be asked for.
struct WarmTarget: Sendable {
  /// What `Host` says.
  let authority: String
  /// Path and query.
  let target: String
  /// How many levels of URLs its content names that are to be asked for: 1 for a sitemap, 2 where it may
  /// be a list of sitemaps; 0: none.
  var levels = 0
}
