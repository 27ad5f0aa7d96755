internal import Bytes
package import HTTPMessage

/// The Cache-Control directives of a request, all lines merged (RFC 9111 §5.2.1), and Pragma (§5.4).
///
/// They are wishes. A malformed `max-age` asks for validation, as `max-age=0` does; a malformed
/// `min-fresh` or `max-stale` is ignored. Of several values the strictest counts.
package struct RequestDirectives: Sendable, Equatable {
  /// How stale a response the client accepts (§5.2.1.2).
  package enum MaxStale: Sendable, Equatable {
    /// Only a fresh one.
    case none
    /// One of any age.
    case any
    /// One that is at most so many milliseconds past its lifetime.
    case limit(Int64)
  }

  /// Whether neither Cache-Control nor Pragma is there.
  package private(set) var isEmpty = true
  /// A stored response is to be validated before it is used (§5.2.1.4).
  package private(set) var noCache = false
  /// The response is not to be stored (§5.2.1.5).
  package private(set) var noStore = false
  /// Only a stored response is wanted, or else 504 (§5.2.1.7).
  package private(set) var onlyIfCached = false
  /// The greatest age that is accepted (§5.2.1.1), milliseconds.
  package private(set) var maxAge: Int64?
  /// How stale a response is accepted (§5.2.1.2).
  package private(set) var maxStale = MaxStale.none
  /// How long the response must stay fresh (§5.2.1.3), milliseconds.
  package private(set) var minFresh: Int64?
  /// The content is not to be transformed (§5.2.1.6).
  package private(set) var noTransform = false

  /// No directives: what a route that ignores its clients' directives passes on.
  package init() {}

  /// The directives of a request's head. Allocates nothing.
  package init(_ request: RequestHead) {
    if request.fields.count(of: .cacheControl) > 0 {
      isEmpty = false
      request.fields.forEach(.cacheControl, in: request.bytes) { merge($0) }
    } else if request.fields.count(of: .pragma) > 0 {
      isEmpty = false
      request.fields.forEach(.pragma, in: request.bytes) { mergePragma($0) }
    }
  }

  /// The directives of a request's head, as far as a route listens to them.
  package init(_ request: RequestHead, policy: ReusePolicy) {
    if policy.ignoresClientDirectives { self.init() } else { self.init(request) }
  }

  private mutating func merge(_ line: ByteView) {
    var directives = CacheDirectives(line)
    while let directive = directives.next() { apply(directive) }
    if directives.isUnterminated { noStore = true }
  }

  private mutating func mergePragma(_ line: ByteView) {
    var directives = CacheDirectives(line)
    while let directive = directives.next() {
      if directive.is("no-cache") { noCache = true }
    }
  }

  private mutating func apply(_ directive: CacheDirective) {
    let argument = directive.argument
    switch directive.name.count {
    case 7 where directive.is("max-age"):
      maxAge = min(argument.deltaSeconds ?? 0, maxAge ?? .max)
    case 8 where directive.is("no-cache"): noCache = true
    case 8 where directive.is("no-store"): noStore = true
    case 9 where directive.is("max-stale"): applyMaxStale(argument)
    case 9 where directive.is("min-fresh"):
      if let value = argument.deltaSeconds { minFresh = max(value, minFresh ?? 0) }
    case 12 where directive.is("no-transform"): noTransform = true
    case 14 where directive.is("only-if-cached"): onlyIfCached = true
    default: break
    }
  }

  private mutating func applyMaxStale(_ argument: CacheDirective.Argument) {
    if argument.isNone {
      if maxStale == .none { maxStale = .any }
    } else if let value = argument.deltaSeconds {
      if case .limit(let previous) = maxStale {
        maxStale = .limit(min(previous, value))
      } else {
        maxStale = .limit(value)
      }
    }
  }
}
