// How long a stored response is fresh, and how old it is (RFC 9111 §4.2).
//
//     lifetime   s-maxage, else max-age, else Expires − Date, else a heuristic      §4.2.1, §4.2.2
//     age        max(apparent age, Age + time to the head) + time since then        §4.2.3
//     fresh      lifetime > age
//
// All that is decided once, when the response is received, and kept as six integers with it; a hit
// adds and compares. Apparent age is computed in whole seconds, the resolution of Date: with
// milliseconds on one side a response would look up to a second older than it is.

internal import Bytes
package import HTTPMessage

/// What is kept with a stored response to know whether it may be reused. Times are milliseconds.
package struct Freshness: Sendable, Equatable {
  /// What else decides about reuse.
  package struct Flags: OptionSet, Sendable {
    /// The bits.
    package let rawValue: UInt32
    /// A set of these bits.
    package init(rawValue: UInt32) { self.rawValue = rawValue }

    /// Every reuse needs validation (`no-cache`).
    package static var noCache: Flags { Flags(rawValue: 1) }
    /// Stale, it is not reused without validation: `must-revalidate`, `proxy-revalidate`,
    /// `s-maxage` (RFC 9111 §5.2.2.10), or a lifetime that is malformed.
    package static var mustRevalidate: Flags { Flags(rawValue: 2) }
    /// Fresh, it does not change (RFC 8246).
    package static var immutable: Flags { Flags(rawValue: 4) }
    /// The lifetime is this cache's guess (RFC 9111 §4.2.2).
    package static var heuristic: Flags { Flags(rawValue: 8) }
    /// Surrogate-Control decided, which is not stored with the other fields (`HeadComposer`): a 304
    /// without one leaves the lifetime as it is.
    package static var surrogate: Flags { Flags(rawValue: 16) }
  }

  /// When the head was received, since the epoch.
  package var responseTime: Int64
  /// The age that it had then (RFC 9111 §4.2.3).
  package var correctedInitialAge: Int64
  /// The freshness lifetime (§4.2.1), never negative.
  package var lifetime: Int64
  /// How long after its lifetime it may be served while it is validated; 0: not at all.
  package var staleWhileRevalidate: Int64
  /// How long after its lifetime it may be served instead of an error; -1: not at all.
  package var staleIfError: Int64
  /// What else decides.
  package var flags: Flags

  /// The values as they were kept.
  package init(
    responseTime: Int64, correctedInitialAge: Int64, lifetime: Int64,
    staleWhileRevalidate: Int64 = 0, staleIfError: Int64 = -1, flags: Flags = []
  ) {
    self.responseTime = responseTime
    self.correctedInitialAge = correctedInitialAge
    self.lifetime = lifetime
    self.staleWhileRevalidate = staleWhileRevalidate
    self.staleIfError = staleIfError
    self.flags = flags
  }

  /// The longest lifetime that is guessed: a day.
  package static var greatestHeuristicLifetime: Int64 { 86_400_000 }

  /// The freshness of a response that was just received.
  ///
  /// - Parameters:
  ///   - directives: the response's.
  ///   - requestTime: when the request was sent, milliseconds.
  ///   - responseTime: when the head was received, milliseconds.
  ///   - ageSource: the head whose `Age` counts, if not `response`: the 304 that freshened it
  ///     (stored fields have no `Age`).
  ///   - policy: the operator's; `directives` are to be read by the same.
  package static func of(
    response: ResponseHead, directives: ResponseDirectives, requestTime: Int64,
    responseTime: Int64, ageSource: ResponseHead? = nil, policy: CachePolicy = CachePolicy()
  ) -> Freshness {
    let now = responseTime.wholeSeconds
    let date = response.value(.date).flatMap { HTTPDate.parse($0, now: now) } ?? now
    let apparentAge = max(now.subtractingSaturating(date), 0)
    let delay = max(responseTime.subtractingSaturating(requestTime), 0)
    let correctedAge = ageValue(of: ageSource ?? response).addingSaturating(delay)
    let initialAge = max(milliseconds(apparentAge), correctedAge)

    let rule = policy.lifetime(for: response.status)
    var lifetime: Int64
    var isHeuristic = false
    if let rule, rule.overrides {
      lifetime = rule.milliseconds.addingSaturating(initialAge)
    } else {
      (lifetime, isHeuristic) = self.lifetime(
        of: response, directives: directives, date: date, now, fallback: rule?.milliseconds,
        ignoresExpires: policy.ignored.contains(.expires))
    }
    let flags = flags(
      directives, isHeuristic: isHeuristic, isOverridden: rule?.overrides ?? false,
      ignored: policy.ignored)
    let mayBeStale = flags.isDisjoint(with: [.noCache, .mustRevalidate])
    return Freshness(
      responseTime: responseTime, correctedInitialAge: initialAge, lifetime: lifetime,
      staleWhileRevalidate: mayBeStale ? directives.staleWhileRevalidate ?? policy.grace : 0,
      staleIfError: mayBeStale ? directives.staleIfError ?? policy.keep : -1, flags: flags)
  }

  /// The freshness of a stored response that a 304 freshened (RFC 9111 §4.3.4): that of `merged`, the
  /// head that `HeadComposer.appendFreshened` composed, with the age of the 304. If Surrogate-Control
  /// decided before, the 304's decides, or what it decided before goes on.
  package static func freshened(
    _ stored: Freshness, merged: ResponseHead, notModified: ResponseHead, requestTime: Int64,
    responseTime: Int64, policy: CachePolicy = CachePolicy()
  ) -> Freshness {
    let directives = ResponseDirectives.freshened(
      merged: merged, notModified: notModified, policy: policy)
    var result = of(
      response: merged, directives: directives, requestTime: requestTime,
      responseTime: responseTime, ageSource: notModified, policy: policy)
    let isSaidAnew = directives.source == .surrogateControl
    let isOverridden = policy.lifetime(for: merged.status)?.overrides ?? false
    if stored.flags.contains(.surrogate) && policy.readsSurrogateControl && !isSaidAnew
      && !isOverridden
    {
      result.lifetime = stored.lifetime
      result.staleWhileRevalidate = stored.staleWhileRevalidate
      result.staleIfError = stored.staleIfError
      result.flags = stored.flags
    }
    return result
  }

  /// The current age (RFC 9111 §4.2.3), milliseconds; never negative, and never less than when the
  /// response was received, even if the clock went back.
  package func currentAge(now: Int64) -> Int64 {
    let resident = max(now.subtractingSaturating(responseTime), 0)
    return max(correctedInitialAge, 0).addingSaturating(resident)
  }

  /// What is left of the lifetime, milliseconds; negative once it is stale.
  package func remainingLifetime(now: Int64) -> Int64 {
    lifetime.subtractingSaturating(currentAge(now: now))
  }

  /// What is left of the lifetime in seconds, rounded down: `ttl` of Cache-Status.
  package func ttlSeconds(now: Int64) -> Int64 { remainingLifetime(now: now).wholeSeconds }

  /// The value of `Age`, milliseconds; 0 if there is none or it is no number. Of several the first
  /// counts (RFC 9111 §5.1).
  static func ageValue(of response: ResponseHead) -> Int64 {
    guard let value = response.value(.age) else { return 0 }
    var list = ListElements(ofTokens: value)
    return list.next().flatMap { DeltaSeconds.milliseconds($0) } ?? 0
  }

  private static func flags(
    _ directives: ResponseDirectives, isHeuristic: Bool, isOverridden: Bool,
    ignored: IgnoredDirectives
  ) -> Flags {
    var flags = Flags()
    if directives.noCache { flags.insert(.noCache) }
    if directives.mustRevalidate || directives.proxyRevalidate { flags.insert(.mustRevalidate) }
    if directives.sMaxAge != nil, !ignored.contains(.mustRevalidate) {
      flags.insert(.mustRevalidate)
    }
    if directives.hasInvalidLifetime, !isOverridden { flags.insert(.mustRevalidate) }
    if directives.immutable { flags.insert(.immutable) }
    if isHeuristic { flags.insert(.heuristic) }
    switch directives.source {
    case .surrogateControl: flags.insert(.surrogate)
    case .cacheControl, .targeted: break
    }
    return flags
  }

  /// The first rule that matches (§4.2.1). If `max-age` or `s-maxage` is invalid, the response is
  /// stale, whatever the other says.
  private static func lifetime(
    of response: ResponseHead, directives: ResponseDirectives, date: Int64, _ now: Int64,
    fallback: Int64?, ignoresExpires: Bool
  ) -> (Int64, isHeuristic: Bool) {
    if directives.hasInvalidLifetime { return (0, false) }
    if let explicit = directives.sMaxAge ?? directives.maxAge { return (explicit, false) }
    if hasExpires(response, directives, ignoresExpires: ignoresExpires) {
      let expires = expirationTime(of: response, now: now)
      return (expires.map { max(milliseconds($0 - date), 0) } ?? 0, false)
    }
    if let fallback { return (fallback, false) }
    let heuristic = heuristicLifetime(of: response, directives: directives, date: date, now)
    return (heuristic, heuristic > 0)
  }

  /// Whether there is an Expires that counts: not beside a targeted field (RFC 9213 §2.2).
  static func hasExpires(
    _ response: ResponseHead, _ directives: ResponseDirectives, ignoresExpires: Bool
  ) -> Bool {
    guard !ignoresExpires, response.fields.contains(.expires) else { return false }
    switch directives.source {
    case .cacheControl: return true
    case .targeted, .surrogateControl: return false
    }
  }

  /// `Expires` in seconds; nil, which means expired, if it is no date or the lines differ (§5.3).
  private static func expirationTime(of response: ResponseHead, now: Int64) -> Int64? {
    guard let first = response.value(.expires) else { return nil }
    if response.fields.count(of: .expires) > 1 {
      var differ = false
      response.fields.forEach(.expires, in: response.bytes) { if $0 != first { differ = true } }
      if differ { return nil }
    }
    return HTTPDate.parse(first, now: now)
  }

  /// A tenth of the time between `Last-Modified` and `Date`, at most a day (§4.2.2).
  private static func heuristicLifetime(
    of response: ResponseHead, directives: ResponseDirectives, date: Int64, _ now: Int64
  ) -> Int64 {
    guard directives.isPublic || StatusRules.isHeuristicallyCacheable(response.status),
      let modified = response.value(.lastModified).flatMap({ HTTPDate.parse($0, now: now) }),
      modified < date
    else { return 0 }
    return min(milliseconds(date - modified) / 10, greatestHeuristicLifetime)
  }

  /// Seconds between dates of at most four-digit years, and times of this machine, as milliseconds.
  private static func milliseconds(_ seconds: Int64) -> Int64 {
    let (product, overflow) = seconds.multipliedReportingOverflow(by: 1000)
    return overflow ? (seconds < 0 ? .min : .max) : product
  }
}
