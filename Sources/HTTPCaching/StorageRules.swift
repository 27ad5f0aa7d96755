// Whether a response is stored (RFC 9111 §3). The refusals are tested in the order of their cases, so
// that the log and Cache-Status name the first that holds.

internal import Bytes
package import HTTPMessage

/// Why a response was not stored.
package enum StorageRefusal: UInt8, Sendable, CaseIterable {
  /// Only responses to GET are stored.
  case methodNotCacheable
  /// The request says `no-store` (§5.2.1.5).
  case requestNoStore
  /// The status is not final (§3).
  case statusNotFinal
  /// 304 to a request that the cache did not make conditional.
  case notModified
  /// 206: incomplete (§3.3).
  case partialContent
  /// The status answers something that only this request said: `StatusRules.answersOneRequest`.
  case statusAnswersOneRequest
  /// `must-understand`, and the status is not understood (§5.2.2.3).
  case statusNotUnderstood
  /// The response says `no-store` (§5.2.2.5), or hides directives behind a quote without end.
  case responseNoStore
  /// The response says `private` (§5.2.2.7).
  case isPrivate
  /// The request has `Authorization`, and no directive permits to share the response (§3.5).
  case authorization
  /// `Vary: *`, or a `Vary` that is malformed or names too many fields, never matches (§4.1).
  case varyStar
  /// The response sets a cookie and is neither `public` nor has `s-maxage`.
  case setCookie
  /// No explicit lifetime, no `public`, and no heuristic for this status (§3).
  case noExplicitOrHeuristicFreshness
  /// Neither a lifetime nor a validator: it could not be reused once (§3).
  case neverReusable
  /// More or longer tags than are indexed (`Tags`): a purge would not reach it.
  case tagLimit

  /// The name in logs and in `detail` of Cache-Status.
  package var name: StaticString {
    switch self {
    case .methodNotCacheable: "method-not-cacheable"
    case .requestNoStore: "request-no-store"
    case .statusNotFinal: "status-not-final"
    case .notModified: "not-modified"
    case .partialContent: "partial-content"
    case .statusAnswersOneRequest: "status-answers-one-request"
    case .statusNotUnderstood: "status-not-understood"
    case .responseNoStore: "response-no-store"
    case .isPrivate: "private"
    case .authorization: "authorization"
    case .varyStar: "vary-star"
    case .setCookie: "set-cookie"
    case .noExplicitOrHeuristicFreshness: "no-freshness"
    case .neverReusable: "never-reusable"
    case .tagLimit: "tag-limit"
    }
  }
}

/// Whether a response is stored.
package enum StorageDecision: Sendable, Equatable {
  /// It is, if the store has room.
  case store
  /// It is not.
  case refuse(StorageRefusal)
}

/// The rules of a shared cache for storing (RFC 9111 §3).
package enum StorageRules {
  /// Whether the response to a request may be stored and is worth it. Looks at heads alone: that the
  /// content is complete (§3.3) is for the caller to see.
  package static func decide(
    request: RequestHead, response: ResponseHead, directives: ResponseDirectives,
    requestDirectives: RequestDirectives
  ) -> StorageDecision {
    let refusal =
      refusal(request: request, requestDirectives: requestDirectives)
      ?? refusal(status: response.status, directives: directives)
      ?? refusal(sharing: response, with: request, directives: directives)
      ?? refusal(reuseOf: response, directives: directives)
    return refusal.map { .refuse($0) } ?? .store
  }

  private static func refusal(
    request: RequestHead, requestDirectives: RequestDirectives
  ) -> StorageRefusal? {
    if request.method != .get { return .methodNotCacheable }
    return requestDirectives.noStore ? .requestNoStore : nil
  }

  private static func refusal(status: UInt16, directives: ResponseDirectives) -> StorageRefusal? {
    if status < 200 { return .statusNotFinal }
    if status == 304 { return .notModified }
    if status == 206 { return .partialContent }
    if StatusRules.answersOneRequest(status) { return .statusAnswersOneRequest }
    if directives.mustUnderstand {
      return StatusRules.isUnderstood(status) ? nil : .statusNotUnderstood
    }
    return directives.noStore ? .responseNoStore : nil
  }

  private static func refusal(
    sharing response: ResponseHead, with request: RequestHead, directives: ResponseDirectives
  ) -> StorageRefusal? {
    if directives.isPrivate { return .isPrivate }
    if request.fields.count(of: .authorization) > 0, !directives.permitsAuthorization {
      return .authorization
    }
    if VaryRule.kind(of: response) == .star { return .varyStar }
    if response.fields.count(of: .setCookie) > 0,
      !FieldRules.mayStoreSetCookie(directives),
      !FieldRules.isListed(ByteView("set-cookie"), by: response, directives: directives)
    {
      return .setCookie
    }
    return nil
  }

  private static func refusal(
    reuseOf response: ResponseHead, directives: ResponseDirectives
  ) -> StorageRefusal? {
    let hasExplicitLifetime =
      directives.sMaxAge != nil || directives.maxAge != nil
      || response.fields.count(of: .expires) > 0
    if !hasExplicitLifetime, !directives.isPublic,
      !StatusRules.isHeuristicallyCacheable(response.status)
    {
      return .noExplicitOrHeuristicFreshness
    }
    if !Validators.hasValidator(response), !mayBeFresh(response, directives: directives) {
      return .neverReusable
    }
    return Tags.exceedLimits(response) ? .tagLimit : nil
  }

  /// Whether the response, which has no validator and thus no heuristic lifetime, could be reused at
  /// all once it is stored.
  private static func mayBeFresh(
    _ response: ResponseHead, directives: ResponseDirectives
  ) -> Bool {
    if directives.noCache { return false }
    // As if it were received when it was made: this function has no clock, and needs none.
    let made = response.value(.date).flatMap { CachingDate.parse($0, now: 0) } ?? 0
    let freshness = Freshness.of(
      response: response, directives: directives, requestTime: made * 1000,
      responseTime: made * 1000)
    let lifetime = freshness.lifetime
    let age = Freshness.ageValue(of: response)
    return lifetime > age || lifetime + max(freshness.staleWhileRevalidate, 0) > age
      || lifetime + max(freshness.staleIfError, 0) > age
  }
}
