// How a route stores and reuses, compiled from its `cache` block. What a hit asks is in `Route` as plain
// values; this is for fills, and for keys that are not the usual ones.

internal import Bytes
internal import Configuration
internal import HTTPCaching
internal import HTTPMessage

/// A route's caching. A class, for it has many parts that are counted references, and is asked for several
/// times on the way of each request that goes to an origin.
final class RoutePolicy {
  /// What is listened to and what is not.
  let caching: CachePolicy
  /// What responses are found by.
  let key: KeyRecipe
  /// The same where rules say what stands for path and query.
  let namedKey: KeyRecipe
  /// The target URI, with its query normalised as in the key.
  let queryRecipe: KeyRecipe
  /// Whether the query is part of the key.
  let keepsQuery: Bool
  /// Whether the content type must fit the path's extension.
  let checksContentType: Bool
  /// How long an origin that failed is left alone, nanoseconds.
  let failureBackoff: Int64

  init(_ configuration: CacheConfiguration) {
    var policy = CachePolicy()
    policy.targets = configuration.targets.filter { $0 != "surrogate-control" }.map {
      Array($0.utf8)
    }
    policy.surrogateControl = configuration.targets.contains("surrogate-control")
    for directive in configuration.ignored { policy.ignored.insert(Self.ignored(directive)) }
    policy.lifetimes = configuration.lifetimes.map { rule in
      LifetimeRule(
        Self.match(rule.statuses), milliseconds: rule.lifetime / 1_000_000,
        overrides: rule.overrides)
    }
    policy.grace = (configuration.staleWhileRevalidate ?? 0) / 1_000_000
    policy.keep = configuration.staleIfError.map { $0 / 1_000_000 } ?? -1
    policy.setCookie =
      switch configuration.setCookie {
      case .refuse: .refuse
      case .store: .store
      case .strip: .strip
      }
    policy.minimumUses = UInt32(clamping: configuration.minUses)
    policy.greatestObject = configuration.maxObject ?? .max
    policy.tagLimits = TagLimits(count: configuration.maxTags, length: configuration.maxTagLength)
    policy.reuse = ReusePolicy(ignoresClientDirectives: !configuration.honoursClients)
    caching = policy
    key = KeyRecipe(
      configuration.key.map(Self.part), query: Self.normalization(configuration.query))
    let others = configuration.key.filter { $0 != .path && $0 != .query }
    queryRecipe = KeyRecipe([.scheme, .host, .path, .query], query: key.query)
    namedKey = KeyRecipe(others.map(Self.part) + [.variable(0)])
    keepsQuery = configuration.key.contains(.query)
    checksContentType = configuration.checksContentType
    failureBackoff = configuration.failureBackoff
  }

  /// The same, with a lifetime for all responses.
  init(_ other: RoutePolicy, lifetime: LifetimeRule) {
    var caching = other.caching
    caching.lifetimes = [lifetime]
    self.caching = caching
    key = other.key
    namedKey = other.namedKey
    queryRecipe = other.queryRecipe
    keepsQuery = other.keepsQuery
    checksContentType = other.checksContentType
    failureBackoff = other.failureBackoff
  }

  /// Appends the path and query that a fill asks for, if they are not the client's: without what is
  /// not in the key. An answer shaped by what the key does not say would be given to others.
  func appendTarget(_ head: RequestHead, to buffer: inout ByteBuffer) {
    guard let query = head.query, !keepsQuery || !key.query.isIdentity else { return }
    let path = head.bytes[head.path]
    if path.isEmpty { buffer.append(ASCII.slash) } else { buffer.append(path) }
    guard keepsQuery else { return }
    let start = buffer.count
    buffer.append(ASCII.question)
    key.query.append(head.bytes[query], to: &buffer)
    if buffer.count == start + 1 { buffer.truncate(to: start) }
  }

  private static func match(_ statuses: ClosedRange<UInt16>) -> StatusMatch {
    if statuses.count == 1 { return .code(statuses.lowerBound) }
    return statuses.count == 100 ? .ofClass(UInt8(clamping: statuses.lowerBound / 100)) : .any
  }

  /// A part of a key, compiled.
  static func part(_ part: CacheKeyPart) -> KeyPart {
    switch part {
    case .scheme: .scheme
    case .host: .host
    case .path: .path
    case .query: .query
    case .field(let name): .field(Array(name.utf8))
    case .cookie(let name): .cookie(Array(name.utf8))
    }
  }

  private static func normalization(
    _ query: Configuration.QueryNormalization
  ) -> HTTPCaching.QueryNormalization {
    HTTPCaching.QueryNormalization(
      sorts: query.sorts, drop: query.drops.map { NamePattern(Array($0.utf8)) },
      keep: query.keeps.isEmpty ? nil : query.keeps.map { NamePattern(Array($0.utf8)) })
  }

  private static func ignored(_ directive: IgnoredDirective) -> IgnoredDirectives {
    switch directive {
    case .cacheControl: .cacheControl
    case .expires: .expires
    case .noStore: .noStore
    case .noCache: .noCache
    case .private: .isPrivate
    case .maxAge: .maxAge
    case .mustRevalidate: .mustRevalidate
    case .stale: .stale
    case .vary: .vary
    }
  }
}
