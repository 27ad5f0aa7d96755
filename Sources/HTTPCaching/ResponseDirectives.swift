// What a response's Cache-Control says.
//
// Where the field contradicts itself, RFC 9111 §4.2.1 lets a cache take the first value or consider the
// response stale; here it is stale, and is not served stale either. The table:
//
//     max-age=60, max-age=60            60 seconds
//     max-age=60, max-age=30            0, must be validated
//     max-age=abc, max-age=, max-age    0, must be validated
//     max-age="60"                      60 seconds (both forms are read, §5.2)
//     max-age=99999999999999999999      2³¹ seconds (§1.2.2)
//     no-store=x, private=(            honoured: an argument does not loosen what restricts
//     public=x, immutable=x             ignored: they only loosen, and no argument is defined
//     private="a, b", no-cache=a        the listed fields are not stored
//     private="", no-cache="a\"b"       as without an argument
//     anything="no end                  no-store: what is hidden behind the quote is not known

package import Bytes
package import HTTPMessage

/// The Cache-Control directives of a response, all lines merged (RFC 9111 §5.2.2, RFC 5861, RFC 8246).
package struct ResponseDirectives: Sendable, Equatable {
  /// The response must not be stored (§5.2.2.5); see also `mustUnderstand`.
  package internal(set) var noStore = false
  /// The response must not be reused without validation (§5.2.2.4, without field names).
  package internal(set) var noCache = false
  /// `no-cache` lists fields, which must not be reused without validation.
  package internal(set) var noCacheFields = false
  /// A shared cache must not store the response (§5.2.2.7, without field names).
  package internal(set) var isPrivate = false
  /// `private` lists fields, which a shared cache must not store.
  package internal(set) var privateFields = false
  /// The response may be stored where it otherwise might not (§5.2.2.9).
  package internal(set) var isPublic = false
  /// `max-age` (§5.2.2.1) in milliseconds; 0 if it is malformed or contradicts itself.
  package internal(set) var maxAge: Int64?
  /// `s-maxage` (§5.2.2.10) in milliseconds; 0 if it is malformed or contradicts itself.
  package internal(set) var sMaxAge: Int64?
  /// A stale response must not be reused without validation (§5.2.2.2).
  package internal(set) var mustRevalidate = false
  /// The same for shared caches (§5.2.2.8).
  package internal(set) var proxyRevalidate = false
  /// Stored only if the status is understood, and then in spite of `no-store` (§5.2.2.3).
  package internal(set) var mustUnderstand = false
  /// The content must not be transformed (§5.2.2.6).
  package internal(set) var noTransform = false
  /// While it is fresh the response does not change (RFC 8246).
  package internal(set) var immutable = false
  /// How long past its lifetime it may be served while it is validated (RFC 5861 §3), milliseconds.
  package internal(set) var staleWhileRevalidate: Int64?
  /// How long past its lifetime it may be served instead of an error (RFC 5861 §4), milliseconds.
  package internal(set) var staleIfError: Int64?
  /// Whether `max-age` or `s-maxage` is malformed or contradicts itself.
  package internal(set) var hasInvalidLifetime = false
  /// Whether a well-formed directive lets a shared cache reuse the response to a request with
  /// `Authorization` (§3.5): `public`, `must-revalidate` or `s-maxage`.
  package internal(set) var permitsAuthorization = false

  /// The field that these come from, if not Cache-Control; Expires then counts for nothing.
  package internal(set) var source = DirectiveSource.cacheControl

  /// No directives.
  package init() {}

  /// The directives of a response's head.
  package init(_ response: ResponseHead) {
    guard response.fields.count(of: .cacheControl) > 0 else { return }
    response.fields.forEach(.cacheControl, in: response.bytes) { merge($0) }
  }

  /// Adds the directives of one more field line.
  package mutating func merge(_ line: ByteView) {
    var directives = CacheDirectives(line)
    while let directive = directives.next() { apply(directive) }
    if directives.isUnterminated { noStore = true }
  }

  mutating func apply(_ directive: CacheDirective) {
    let argument = directive.argument
    switch directive.name.count {
    case 6 where directive.is("public"):
      if argument.isNone {
        isPublic = true
        permitsAuthorization = true
      }
    case 7 where directive.is("max-age"):
      maxAge = lifetime(argument, after: maxAge)
    case 7 where directive.is("private"):
      if argument.fieldNames != nil { privateFields = true } else { isPrivate = true }
    case 8 where directive.is("s-maxage"):
      sMaxAge = lifetime(argument, after: sMaxAge)
      if argument.deltaSeconds != nil { permitsAuthorization = true }
    case 8 where directive.is("no-store"): noStore = true
    case 8 where directive.is("no-cache"):
      if argument.fieldNames != nil { noCacheFields = true } else { noCache = true }
    case 9 where directive.is("immutable"): if argument.isNone { immutable = true }
    case 12 where directive.is("no-transform"): noTransform = true
    default: applyLong(directive)
    }
  }

  private mutating func applyLong(_ directive: CacheDirective) {
    let argument = directive.argument
    switch directive.name.count {
    case 14 where directive.is("stale-if-error"):
      staleIfError = window(argument, after: staleIfError)
    case 15 where directive.is("must-revalidate"):
      mustRevalidate = true
      if argument.isNone { permitsAuthorization = true }
    case 15 where directive.is("must-understand"): if argument.isNone { mustUnderstand = true }
    case 16 where directive.is("proxy-revalidate"): proxyRevalidate = true
    case 22 where directive.is("stale-while-revalidate"):
      staleWhileRevalidate = window(argument, after: staleWhileRevalidate)
    default: break
    }
  }

  private mutating func lifetime(
    _ argument: CacheDirective.Argument, after previous: Int64?
  ) -> Int64 {
    guard let value = argument.deltaSeconds, previous == nil || previous == value else {
      hasInvalidLifetime = true
      return 0
    }
    return value
  }

  /// The smaller of the values; a malformed one permits nothing.
  private func window(_ argument: CacheDirective.Argument, after previous: Int64?) -> Int64 {
    min(argument.deltaSeconds ?? 0, previous ?? .max)
  }
}
