/// The `cache` block of a route: how responses are stored and reused there. The defaults are RFC 9111's.
public struct CacheConfiguration: Sendable, Equatable {
  /// Whether responses are stored and reused at all.
  public var isOn = true
  /// What responses are found by.
  public var key: [CacheKeyPart] = [.scheme, .host, .path, .query]
  /// How the query stands in the key.
  public var query = QueryNormalization()
  /// Freshness lifetimes by status: the most specific counts, of equal ones the first.
  public var lifetimes: [CacheLifetime] = []
  /// What of the origin's directives is ignored.
  public var ignored: Set<IgnoredDirective> = []
  /// How long a response that does not say so itself may be served stale while it is validated; nil:
  /// not at all.
  public var staleWhileRevalidate: Int64?
  /// How long a response that does not say so itself may be served stale when its origin fails; nil:
  /// not at all.
  public var staleIfError: Int64?
  /// Whether directives of requests (RFC 9111 §5.2.1) are honoured.
  public var honoursClients = true
  /// How often a response must have been asked for before it is stored.
  public var minUses = 1
  /// The longest content that is stored; nil: the store's.
  public var maxObject: UInt64?
  /// The most tags of a response that is stored.
  public var maxTags = 1_000
  /// The most bytes of each of its tags.
  public var maxTagLength = 1_024
  /// What becomes of responses with `Set-Cookie`.
  public var setCookie = SetCookiePolicy.refuse
  /// The fields that are obeyed instead of `Cache-Control`, most specific first (RFC 9213); lower
  /// case. `surrogate-control` goes before all others, wherever it stands.
  public var targets = ["surrogate-control", "cdn-cache-control"]
  /// Whether the content type must fit the path's extension for a response to be stored.
  public var checksContentType = false
  /// How long a request waits for the head of another's answer, nanoseconds.
  public var collapseTimeout: Int64 = 5_000_000_000
  /// How many requests may wait for one answer.
  public var maxWaiters = 10_000
  /// How long, at first, an origin that failed is not asked again for a key which can be served
  /// stale; twice as long with each further failure, up to a minute. Nanoseconds.
  public var failureBackoff: Int64 = 1_000_000_000
  /// Large objects are fetched in slices of so many bytes when ranges are asked for; nil: whole.
  public var slice: UInt64?

  /// RFC 9111's behaviour.
  public init() {}
}

/// A part of the cache key.
public enum CacheKeyPart: Sendable, Hashable {
  /// The target URI's scheme.
  case scheme
  /// Host and port.
  case host
  /// The path.
  case path
  /// The query, normalised as configured.
  case query
  /// A field of the request; lower case.
  case field(String)
  /// A cookie of the request.
  case cookie(String)
}

/// How a query stands in the key, and in requests whose answers are stored: what is not in the key must
/// not shape an answer that others get.
public struct QueryNormalization: Sendable, Equatable {
  /// Whether parameters are sorted by name.
  public var sorts = false
  /// Parameters that are left out: names, with `*` for any characters.
  public var drops: [String] = []
  /// If there are any, only these parameters count.
  public var keeps: [String] = []

  /// The query as it is.
  public init() {}
}

/// A freshness lifetime for some statuses.
public struct CacheLifetime: Sendable, Equatable {
  /// Which statuses: `first...last`.
  public var statuses: ClosedRange<UInt16>
  /// How long, nanoseconds; 0: validated each time.
  public var lifetime: Int64
  /// Whether it counts even if the origin gives a lifetime.
  public var overrides: Bool

  /// A lifetime.
  public init(statuses: ClosedRange<UInt16>, lifetime: Int64, overrides: Bool) {
    self.statuses = statuses
    self.lifetime = lifetime
    self.overrides = overrides
  }
}

/// What an origin says that can be ignored.
public enum IgnoredDirective: String, Sendable, Hashable, CaseIterable {
  /// All of `Cache-Control`.
  case cacheControl = "cache-control"
  /// `Expires`.
  case expires
  /// `no-store`.
  case noStore = "no-store"
  /// `no-cache`.
  case noCache = "no-cache"
  /// `private`.
  case `private`
  /// `max-age` and `s-maxage`.
  case maxAge = "max-age"
  /// `must-revalidate`, `proxy-revalidate`, and what `s-maxage` implies of them.
  case mustRevalidate = "must-revalidate"
  /// `stale-while-revalidate` and `stale-if-error`.
  case stale
  /// `Vary`.
  case vary
}

/// What becomes of responses with `Set-Cookie`.
public enum SetCookiePolicy: Sendable, Equatable {
  /// They are not stored, unless they say `public` or `s-maxage`, or a targeted field speaks.
  case refuse
  /// They are stored with the field, as any other.
  case store
  /// The field is removed, for everybody, and the response is stored.
  case strip
}
