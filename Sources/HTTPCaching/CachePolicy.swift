// What an operator says about a route's caching, as one value. The empty policy is RFC 9111 and no
// more; everything here only departs from it where it says so. It is compiled once per route, and read
// at fills; of it a hit looks at `reuse` alone, which is a word.
//
//     setting                      takes effect in
//     targets, surrogateControl    ResponseDirectives
//     ignored                      ResponseDirectives, Freshness, StorageRules, VaryRule
//     lifetimes, grace, keep       Freshness, StorageRules
//     setCookie                    StorageRules, HeadComposer (by `fieldOptions`)
//     minimumUses, greatestObject  StorageRules
//     tagLimits                    StorageRules, and who reads tags
//     storesPartial                StorageRules
//     reuse                        RequestDirectives, ReuseRules

internal import Bytes

/// Which statuses a setting is for.
package enum StatusMatch: Sendable, Equatable {
  /// One status.
  case code(UInt16)
  /// All of a class: 4 for 400 to 499.
  case ofClass(UInt8)
  /// Every final status.
  case any

  /// How special a match it is: the most special counts. 0: it does not match.
  func rank(_ status: UInt16) -> Int {
    switch self {
    case .code(let code): code == status ? 3 : 0
    case .ofClass(let hundreds): UInt16(hundreds) == status / 100 ? 2 : 0
    case .any: 1
    }
  }
}

/// A lifetime that the operator gives to responses of some statuses.
package struct LifetimeRule: Sendable, Equatable {
  /// Which statuses.
  package var match: StatusMatch
  /// The lifetime, milliseconds.
  package var milliseconds: Int64
  /// Whether it counts also where the origin gives an explicit lifetime; then it counts from when the
  /// response was received, whatever its age.
  package var overrides: Bool

  /// A rule.
  package init(_ match: StatusMatch, milliseconds: Int64, overrides: Bool = false) {
    self.match = match
    self.milliseconds = max(milliseconds, 0)
    self.overrides = overrides
  }
}

/// What of an origin's caching directives is not listened to.
package struct IgnoredDirectives: OptionSet, Sendable {
  /// The bits.
  package let rawValue: UInt32
  /// A set of these bits.
  package init(rawValue: UInt32) { self.rawValue = rawValue }

  /// The whole of Cache-Control.
  package static var cacheControl: Self { Self(rawValue: 1) }
  /// Expires.
  package static var expires: Self { Self(rawValue: 2) }
  /// Set-Cookie does not keep a response out of the store; the cookies stay out of it.
  package static var setCookie: Self { Self(rawValue: 4) }
  /// Vary: one response for all. Only right where the route's key holds what matters.
  package static var vary: Self { Self(rawValue: 8) }
  /// `no-store`.
  package static var noStore: Self { Self(rawValue: 16) }
  /// `private`, with and without field names.
  package static var isPrivate: Self { Self(rawValue: 32) }
  /// `no-cache`, with and without field names.
  package static var noCache: Self { Self(rawValue: 64) }
  /// `max-age` and `s-maxage`.
  package static var maxAge: Self { Self(rawValue: 128) }
  /// `must-revalidate`, `proxy-revalidate`, and what `s-maxage` implies of them.
  package static var mustRevalidate: Self { Self(rawValue: 256) }
  /// `stale-while-revalidate` and `stale-if-error`.
  package static var stale: Self { Self(rawValue: 512) }
  /// Surrogate-Control, also where the policy reads it.
  package static var surrogateControl: Self { Self(rawValue: 1024) }
  /// Targeted fields (RFC 9213), also those that the policy reads.
  package static var targeted: Self { Self(rawValue: 2048) }
}

/// What is done with responses that set cookies.
package enum SetCookiePolicy: UInt8, Sendable, Equatable {
  /// They are shared only if the origin says that they are for all: `public`, `s-maxage`, or a lifetime
  /// in a targeted field.
  case refuse
  /// They are stored, and every client gets the same cookies.
  case store
  /// They are stored without the cookies, and nobody gets them.
  case strip
}

/// What of a policy a hit looks at.
package struct ReusePolicy: Sendable, Equatable {
  /// Whether the directives of requests count for nothing (`client_directives ignore`).
  package var ignoresClientDirectives: Bool

  /// A policy for reuse.
  package init(ignoresClientDirectives: Bool = false) {
    self.ignoresClientDirectives = ignoresClientDirectives
  }
}

/// An operator's settings for the caching of a route.
package struct CachePolicy: Sendable, Equatable {
  /// The names in lower case of the targeted fields that count (RFC 9213), the first that is there and
  /// valid deciding; for example `weir-cache-control`, `cdn-cache-control`.
  package var targets: [[UInt8]] = []
  /// Whether Surrogate-Control counts, before any targeted field.
  package var surrogateControl = false
  /// What of the origin's directives does not count.
  package var ignored = IgnoredDirectives()
  /// Lifetimes by status.
  package var lifetimes: [LifetimeRule] = []
  /// How long past its lifetime a response may be served while it is validated, where the origin says
  /// nothing of it; milliseconds.
  package var grace: Int64 = 0
  /// How long past its lifetime a response may be served instead of an error, where the origin says
  /// nothing of it; milliseconds, -1 for not at all.
  package var keep: Int64 = -1
  /// What is done with responses that set cookies.
  package var setCookie = SetCookiePolicy.refuse
  /// How many requests for a key there must have been before its response is stored.
  package var minimumUses: UInt32 = 0
  /// The longest content that is stored, bytes.
  package var greatestObject = UInt64.max
  /// How many tags a response may have that is stored, and how long they may be.
  package var tagLimits = TagLimits()
  /// Whether 206 responses are stored.
  package var storesPartial = false
  /// What a hit looks at.
  package var reuse = ReusePolicy()

  /// RFC 9111 and no more.
  package init() {}

  /// What a CDN's node does without being told: CDN-Cache-Control and Surrogate-Control count.
  package static var cdn: CachePolicy {
    var policy = CachePolicy()
    policy.targets = [ByteView("cdn-cache-control").array]
    policy.surrogateControl = true
    return policy
  }

  /// The most special rule for a status; of equal ones the first.
  package func lifetime(for status: UInt16) -> LifetimeRule? {
    var best: LifetimeRule?
    var bestRank = 0
    for rule in lifetimes {
      let rank = rule.match.rank(status)
      if rank > bestRank { (best, bestRank) = (rule, rank) }
    }
    return best
  }

  /// Whether Surrogate-Control counts, and is not ignored.
  var readsSurrogateControl: Bool {
    surrogateControl && !ignored.contains(.surrogateControl)
  }

  /// Whether a key that was asked for so often, this request counted, may be stored.
  package func mayStore(uses: UInt32) -> Bool { uses >= minimumUses }

  /// What the policy means for the fields of stored responses.
  package var fieldOptions: ResponseFieldOptions {
    switch setCookie {
    case .refuse: ResponseFieldOptions(rawValue: 0)
    case .store: .storeCookies
    case .strip: .stripCookies
    }
  }
}
