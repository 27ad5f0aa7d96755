/// Why a request is forwarded (RFC 9211 §2.2), from most specific to least.
package enum ForwardReason: UInt8, Sendable, CaseIterable {
  /// The cache was configured not to handle the request.
  case bypass
  /// The method must be forwarded.
  case method
  /// No stored response for the URI.
  case uriMiss
  /// Stored responses for the URI, but none for the request's fields (`Vary`).
  case varyMiss
  /// No stored response, and it is not known which of the two.
  case miss
  /// A fresh stored response that the request's directives did not allow to use.
  case request
  /// A stored response that must be validated: it is stale, or says `no-cache`.
  case stale
  /// A stored response without all of the requested ranges.
  case partial

  /// The token of `fwd`.
  package var name: StaticString {
    switch self {
    case .bypass: "bypass"
    case .method: "method"
    case .uriMiss: "uri-miss"
    case .varyMiss: "vary-miss"
    case .miss: "miss"
    case .request: "request"
    case .stale: "stale"
    case .partial: "partial"
    }
  }
}

/// What a stored response that matches a request may be used for.
package enum Reuse: Sendable, Equatable {
  /// Serve it.
  case fresh
  /// Serve it though it is stale, as the origin (`stale-while-revalidate`) or the client
  /// (`max-stale`) permits, and validate it behind.
  case staleWhileRevalidate
  /// Validate it first.
  case mustValidate(ForwardReason)
  /// Answer 504: the client wants nothing but a stored response (`only-if-cached`, RFC 9111
  /// §5.2.1.7), and this one must be validated. On a miss the caller asks
  /// `RequestDirectives.onlyIfCached` itself.
  case gatewayTimeout
}

/// Whether a stored response is reused (RFC 9111 §4, §4.2.4, §5.2.1). Nothing here allocates.
package enum ReuseRules {
  /// What a stored response may be used for at `now` (milliseconds).
  package static func decide(
    _ freshness: Freshness, request: RequestDirectives, now: Int64
  ) -> Reuse {
    let age = freshness.currentAge(now: now)
    let isFresh = freshness.lifetime > age
    if request.isEmpty, isFresh, !freshness.flags.contains(.noCache) { return .fresh }

    if mayUse(freshness, age: age, isFresh: isFresh, request: request) {
      return isFresh ? .fresh : .staleWhileRevalidate
    }
    if request.onlyIfCached { return .gatewayTimeout }
    let isUsable = isFresh && !freshness.flags.contains(.noCache)
    return .mustValidate(isUsable ? .request : .stale)
  }

  /// Whether a stored response may be served at `now` because its validation failed: the origin did
  /// not answer, or answered 500, 502, 503 or 504 (RFC 5861 §4). Never against `no-cache` or
  /// `must-revalidate`, also if the operator gave it a window.
  package static func mayServeOnError(_ freshness: Freshness, now: Int64) -> Bool {
    guard freshness.staleIfError >= 0,
      freshness.flags.isDisjoint(with: [.noCache, .mustRevalidate])
    else { return false }
    return staleness(freshness, age: freshness.currentAge(now: now)) <= freshness.staleIfError
  }

  /// Whether a status is an error in the sense of `stale-if-error` (RFC 5861 §4).
  package static func isError(_ status: UInt16) -> Bool {
    switch status {
    case 500, 502, 503, 504: true
    default: false
    }
  }

  /// How long it is past its lifetime; negative while it is fresh.
  private static func staleness(_ freshness: Freshness, age: Int64) -> Int64 {
    age.subtractingSaturating(freshness.lifetime)
  }

  private static func mayUse(
    _ freshness: Freshness, age: Int64, isFresh: Bool, request: RequestDirectives
  ) -> Bool {
    if freshness.flags.contains(.noCache) || request.noCache { return false }
    // RFC 8246 §2: a reload (max-age=0) does not validate what is immutable; no-cache does.
    let isImmutable = isFresh && freshness.flags.contains(.immutable)
    if let maxAge = request.maxAge, age > maxAge, !isImmutable { return false }
    let staleness = staleness(freshness, age: age)
    if let minFresh = request.minFresh, -staleness < minFresh { return false }
    if isFresh { return true }
    if freshness.flags.contains(.mustRevalidate) { return false }
    return isAllowedStale(freshness, staleness: staleness, request: request)
  }

  /// A client that names an age does not want a stale response unless it says so (§5.2.1.1).
  private static func isAllowedStale(
    _ freshness: Freshness, staleness: Int64, request: RequestDirectives
  ) -> Bool {
    switch request.maxStale {
    case .any: true
    case .limit(let limit) where staleness <= limit: true
    case .limit: false
    case .none: request.maxAge == nil && staleness < freshness.staleWhileRevalidate
    }
  }
}
