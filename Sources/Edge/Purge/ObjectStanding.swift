internal import Bytes
internal import HTTPCaching
package import ObjectStore

/// How a stored response stands at a moment: how old it is, and what a plain request would get.
package struct ObjectStanding: Sendable, Equatable {
  /// What it may be used for.
  package enum Use: String, Sendable {
    /// It is served as it is.
    case fresh
    /// It is served, and validated behind.
    case staleWhileRevalidate = "stale_while_revalidate"
    /// It is validated first; served all the same if the origin fails.
    case staleIfError = "stale_if_error"
    /// It is validated first.
    case mustValidate = "must_validate"
    /// A purge has reached it: it is only waiting to be deleted.
    case purged
  }

  /// Its current age, in ms (RFC 9111 §4.2.3).
  package let age: Int64
  /// Its freshness lifetime, in ms.
  package let lifetime: Int64
  /// How long it stays fresh, in ms; negative: for how long it has been stale.
  package let timeToLive: Int64
  /// What it may be used for.
  package let use: Use
  /// Why, in a few words.
  package let reason: String

  /// How an object stands at a time (ms since the epoch).
  package init(_ object: ObjectSummary, now: Int64) {
    var freshness = Freshness(object.metadata)
    let age = freshness.currentAge(now: now)
    var isSoft = false
    if case .soft(let since) = object.purge {
      isSoft = true
      freshness.lifetime = min(freshness.lifetime, freshness.currentAge(now: since))
    }
    self.age = age
    lifetime = freshness.lifetime
    let (left, isOver) = freshness.lifetime.subtractingReportingOverflow(age)
    timeToLive = isOver ? .min : left
    if case .hard = object.purge {
      use = .purged
      reason = "purged"
      return
    }
    let isNoCache = freshness.flags.contains(.noCache)
    let why =
      isSoft
      ? "softly purged"
      : isNoCache ? "no-cache" : freshness.flags.contains(.heuristic) ? "heuristic lifetime" : ""
    switch ReuseRules.decide(freshness, request: RequestDirectives(), now: now) {
    case .fresh:
      use = .fresh
      reason = why.isEmpty ? "within its lifetime" : why
    case .staleWhileRevalidate:
      use = .staleWhileRevalidate
      reason = isSoft ? why : "past its lifetime, within stale-while-revalidate"
    case .mustValidate, .gatewayTimeout:
      use = ReuseRules.mayServeOnError(freshness, now: now) ? .staleIfError : .mustValidate
      reason =
        isSoft || isNoCache
        ? why
        : freshness.flags.contains(.mustRevalidate)
          ? "past its lifetime, must-revalidate" : "past its lifetime"
    }
  }
}
