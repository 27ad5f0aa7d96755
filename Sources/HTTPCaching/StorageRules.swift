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
  /// Content that is a conversation, and ends when one of both does: `EndlessContent`.
  case endlessContent
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
  /// More or longer tags than are indexed (`CachePolicy.tagLimits`): a purge would not reach it.
  case tagLimit
  /// The content is longer than the route stores (`CachePolicy.greatestObject`).
  case objectTooLarge
  /// The key was not asked for often enough yet (`CachePolicy.minimumUses`).
  case tooFewUses

  /// The name in logs and in `detail` of Cache-Status.
  package var name: StaticString {
    switch self {
    case .methodNotCacheable: "method-not-cacheable"
    case .requestNoStore: "request-no-store"
    case .statusNotFinal: "status-not-final"
    case .notModified: "not-modified"
    case .partialContent: "partial-content"
    case .statusAnswersOneRequest: "status-answers-one-request"
    case .endlessContent: "endless-content"
    case .statusNotUnderstood: "status-not-understood"
    case .responseNoStore: "response-no-store"
    case .isPrivate: "private"
    case .authorization: "authorization"
    case .varyStar: "vary-star"
    case .setCookie: "set-cookie"
    case .noExplicitOrHeuristicFreshness: "no-freshness"
    case .neverReusable: "never-reusable"
    case .tagLimit: "tag-limit"
    case .objectTooLarge: "object-too-large"
    case .tooFewUses: "too-few-uses"
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
  ///
  /// - Parameters:
  ///   - policy: the operator's; `directives` are to be read by the same.
  ///   - uses: how often the key was asked for, this request counted.
  package static func decide(
    request: RequestHead, response: ResponseHead, directives: ResponseDirectives,
    requestDirectives: RequestDirectives, policy: CachePolicy = CachePolicy(), uses: UInt32 = .max
  ) -> StorageDecision {
    let refusal =
      refusal(request: request, requestDirectives: requestDirectives)
      ?? refusal(status: response, directives: directives, policy: policy)
      ?? refusal(sharing: response, with: request, directives: directives, policy: policy)
      ?? refusal(reuseOf: response, directives: directives, policy: policy)
      ?? refusal(worthOf: response, policy: policy, uses: uses)
    return refusal.map { .refuse($0) } ?? .store
  }

  private static func refusal(
    request: RequestHead, requestDirectives: RequestDirectives
  ) -> StorageRefusal? {
    if request.method != .get { return .methodNotCacheable }
    return requestDirectives.noStore ? .requestNoStore : nil
  }

  private static func refusal(
    status response: ResponseHead, directives: ResponseDirectives, policy: CachePolicy
  ) -> StorageRefusal? {
    let status = response.status
    if status < 200 { return .statusNotFinal }
    if status == 304 { return .notModified }
    if status == 206 {
      guard policy.storesPartial else { return .partialContent }
      if case .refuse = PartialResponses.storage(of: response) { return .partialContent }
    }
    if StatusRules.answersOneRequest(status) { return .statusAnswersOneRequest }
    if EndlessContent.isType(response.value(.contentType)) { return .endlessContent }
    if directives.mustUnderstand {
      let isUnderstood = StatusRules.isUnderstood(status) || status == 206
      return isUnderstood ? nil : .statusNotUnderstood
    }
    return directives.noStore ? .responseNoStore : nil
  }

  private static func refusal(
    sharing response: ResponseHead, with request: RequestHead, directives: ResponseDirectives,
    policy: CachePolicy
  ) -> StorageRefusal? {
    if directives.isPrivate { return .isPrivate }
    if request.fields.count(of: .authorization) > 0, !directives.permitsAuthorization {
      return .authorization
    }
    if !policy.ignored.contains(.vary), VaryRule.kind(of: response) == .star { return .varyStar }
    return mayShareCookies(response, directives, policy) ? nil : .setCookie
  }

  private static func mayShareCookies(
    _ response: ResponseHead, _ directives: ResponseDirectives, _ policy: CachePolicy
  ) -> Bool {
    guard response.fields.contains(.setCookie), !policy.ignored.contains(.setCookie) else {
      return true
    }
    switch policy.setCookie {
    case .store, .strip: return true
    case .refuse:
      return FieldRules.mayStoreSetCookie(directives)
        || FieldRules.isListed(ByteView("set-cookie"), by: response, directives: directives)
    }
  }

  private static func refusal(
    reuseOf response: ResponseHead, directives: ResponseDirectives, policy: CachePolicy
  ) -> StorageRefusal? {
    let hasExplicitLifetime =
      directives.sMaxAge != nil || directives.maxAge != nil
      || policy.lifetime(for: response.status) != nil
      || Freshness.hasExpires(
        response, directives, ignoresExpires: policy.ignored.contains(.expires))
    if !hasExplicitLifetime, !directives.isPublic,
      !StatusRules.isHeuristicallyCacheable(response.status)
    {
      return .noExplicitOrHeuristicFreshness
    }
    if !Validators.hasValidator(response),
      !mayBeFresh(response, directives: directives, policy: policy)
    {
      return .neverReusable
    }
    return Tags.exceed(policy.tagLimits, in: response) ? .tagLimit : nil
  }

  private static func refusal(
    worthOf response: ResponseHead, policy: CachePolicy, uses: UInt32
  ) -> StorageRefusal? {
    if case .length(let length) = response.framing, length > policy.greatestObject {
      return .objectTooLarge
    }
    return policy.mayStore(uses: uses) ? nil : .tooFewUses
  }

  /// Whether the response, which has no validator and thus no heuristic lifetime, could be reused at
  /// all once it is stored.
  private static func mayBeFresh(
    _ response: ResponseHead, directives: ResponseDirectives, policy: CachePolicy
  ) -> Bool {
    if directives.noCache { return false }
    // As if it were received when it was made: this function has no clock, and needs none.
    let made = response.value(.date).flatMap { HTTPDate.parse($0, now: 0) } ?? 0
    let freshness = Freshness.of(
      response: response, directives: directives, requestTime: made * 1000,
      responseTime: made * 1000, policy: policy)
    let lifetime = freshness.lifetime
    let age = freshness.correctedInitialAge
    return lifetime > age || lifetime + max(freshness.staleWhileRevalidate, 0) > age
      || lifetime + max(freshness.staleIfError, 0) > age
  }
}
