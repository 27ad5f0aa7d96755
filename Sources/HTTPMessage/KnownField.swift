// The field names that the node itself acts on. A parser gives each field line one of these, so that
// nobody after it compares names again.

package import Bytes

/// A field name known to the node, or `other`.
package enum KnownField: UInt8, CaseIterable, Sendable {
  /// Any name not listed here.
  case other
  /// `host`
  case host
  /// `connection`
  case connection
  /// `content-length`
  case contentLength
  /// `transfer-encoding`
  case transferEncoding
  /// `expect`
  case expect
  /// `upgrade`
  case upgrade
  /// `te`
  case te
  /// `trailer`
  case trailer
  /// `keep-alive`
  case keepAlive
  /// `proxy-connection`
  case proxyConnection
  /// `accept`
  case accept
  /// `accept-encoding`
  case acceptEncoding
  /// `accept-language`
  case acceptLanguage
  /// `authorization`
  case authorization
  /// `cache-control`
  case cacheControl
  /// `cookie`
  case cookie
  /// `forwarded`
  case forwarded
  /// `if-match`
  case ifMatch
  /// `if-modified-since`
  case ifModifiedSince
  /// `if-none-match`
  case ifNoneMatch
  /// `if-range`
  case ifRange
  /// `if-unmodified-since`
  case ifUnmodifiedSince
  /// `pragma`
  case pragma
  /// `range`
  case range
  /// `referer`
  case referer
  /// `user-agent`
  case userAgent
  /// `via`
  case via
  /// `x-forwarded-for`
  case xForwardedFor
  /// `x-forwarded-host`
  case xForwardedHost
  /// `x-forwarded-proto`
  case xForwardedProto
  /// `max-forwards`
  case maxForwards
  /// `proxy-authorization`
  case proxyAuthorization
  /// `proxy-authenticate`
  case proxyAuthenticate
  /// `age`
  case age
  /// `cache-status`
  case cacheStatus
  /// `content-encoding`
  case contentEncoding
  /// `content-language`
  case contentLanguage
  /// `content-location`
  case contentLocation
  /// `content-range`
  case contentRange
  /// `content-type`
  case contentType
  /// `date`
  case date
  /// `etag`
  case etag
  /// `expires`
  case expires
  /// `last-modified`
  case lastModified
  /// `location`
  case location
  /// `proxy-status`
  case proxyStatus
  /// `retry-after`
  case retryAfter
  /// `server`
  case server
  /// `set-cookie`
  case setCookie
  /// `surrogate-key`
  case surrogateKey
  /// `cache-tag`
  case cacheTag
  /// `xkey`
  case xkey
  /// `vary`
  case vary
  /// `warning`
  case warning
  /// `accept-ranges`
  case acceptRanges
  /// `origin`
  case origin
  /// `http2-settings`
  case http2Settings
  /// `proxy-authentication-info`
  case proxyAuthenticationInfo
  /// `allow`
  case allow
  /// `content-md5`
  case contentMd5
  /// `surrogate-control`
  case surrogateControl
  /// `cdn-cache-control`
  case cdnCacheControl
  /// `x-request-id`
  case xRequestId

  /// How many there are; the size of a table indexed by `rawValue`.
  package static var tableSize: Int { @inlinable get { 64 } }

  /// The name in lower case; empty for `other`.
  package var name: StaticString {
    switch self {
    case .other: ""
    case .host: "host"
    case .connection: "connection"
    case .contentLength: "content-length"
    case .transferEncoding: "transfer-encoding"
    case .expect: "expect"
    case .upgrade: "upgrade"
    case .te: "te"
    case .trailer: "trailer"
    case .keepAlive: "keep-alive"
    case .proxyConnection: "proxy-connection"
    case .accept: "accept"
    case .acceptEncoding: "accept-encoding"
    case .acceptLanguage: "accept-language"
    case .authorization: "authorization"
    case .cacheControl: "cache-control"
    case .cookie: "cookie"
    case .forwarded: "forwarded"
    case .ifMatch: "if-match"
    case .ifModifiedSince: "if-modified-since"
    case .ifNoneMatch: "if-none-match"
    case .ifRange: "if-range"
    case .ifUnmodifiedSince: "if-unmodified-since"
    case .pragma: "pragma"
    case .range: "range"
    case .referer: "referer"
    case .userAgent: "user-agent"
    case .via: "via"
    case .xForwardedFor: "x-forwarded-for"
    case .xForwardedHost: "x-forwarded-host"
    case .xForwardedProto: "x-forwarded-proto"
    case .maxForwards: "max-forwards"
    case .proxyAuthorization: "proxy-authorization"
    case .proxyAuthenticate: "proxy-authenticate"
    case .age: "age"
    case .cacheStatus: "cache-status"
    case .contentEncoding: "content-encoding"
    case .contentLanguage: "content-language"
    case .contentLocation: "content-location"
    case .contentRange: "content-range"
    case .contentType: "content-type"
    case .date: "date"
    case .etag: "etag"
    case .expires: "expires"
    case .lastModified: "last-modified"
    case .location: "location"
    case .proxyStatus: "proxy-status"
    case .retryAfter: "retry-after"
    case .server: "server"
    case .setCookie: "set-cookie"
    case .surrogateKey: "surrogate-key"
    case .cacheTag: "cache-tag"
    case .xkey: "xkey"
    case .vary: "vary"
    case .warning: "warning"
    case .acceptRanges: "accept-ranges"
    case .origin: "origin"
    case .http2Settings: "http2-settings"
    case .proxyAuthenticationInfo: "proxy-authentication-info"
    case .allow: "allow"
    case .contentMd5: "content-md5"
    case .surrogateControl: "surrogate-control"
    case .cdnCacheControl: "cdn-cache-control"
    case .xRequestId: "x-request-id"
    }
  }

  /// Which known name `bytes` is, in any case (RFC 9110 §5.1: names are case-insensitive).
  package static func identify(_ bytes: ByteView) -> KnownField {
    guard bytes.count > 0 else { return .other }
    // Length and first letter leave at most a handful of names to compare.
    switch (bytes.count, ASCII.lowercase(bytes[0])) {
    case (2, 0x74): return .te.matching(bytes)
    case (3, 0x61): return .age.matching(bytes)
    case (3, 0x76): return .via.matching(bytes)
    case (4, 0x64): return .date.matching(bytes)
    case (4, 0x65): return .etag.matching(bytes)
    case (4, 0x68): return .host.matching(bytes)
    case (4, 0x76): return .vary.matching(bytes)
    case (4, 0x78): return .xkey.matching(bytes)
    case (5, 0x61): return .allow.matching(bytes)
    case (5, 0x72): return .range.matching(bytes)
    case (6, 0x61): return .accept.matching(bytes)
    case (6, 0x63): return .cookie.matching(bytes)
    case (6, 0x65): return .expect.matching(bytes)
    case (6, 0x6f): return .origin.matching(bytes)
    case (6, 0x70): return .pragma.matching(bytes)
    case (6, 0x73): return .server.matching(bytes)
    case (7, 0x65): return .expires.matching(bytes)
    case (7, 0x72): return .referer.matching(bytes)
    case (7, 0x74): return .trailer.matching(bytes)
    case (7, 0x75): return .upgrade.matching(bytes)
    case (7, 0x77): return .warning.matching(bytes)
    case (8, 0x69):
      return KnownField.ifMatch.match(bytes) ?? KnownField.ifRange.match(bytes) ?? .other
    case (8, 0x6c): return .location.matching(bytes)
    case (9, 0x63): return .cacheTag.matching(bytes)
    case (9, 0x66): return .forwarded.matching(bytes)
    case (10, 0x63): return .connection.matching(bytes)
    case (10, 0x6b): return .keepAlive.matching(bytes)
    case (10, 0x73): return .setCookie.matching(bytes)
    case (10, 0x75): return .userAgent.matching(bytes)
    case (11, 0x63): return .contentMd5.matching(bytes)
    case (11, 0x72): return .retryAfter.matching(bytes)
    case (12, 0x63):
      return KnownField.cacheStatus.match(bytes) ?? KnownField.contentType.match(bytes) ?? .other
    case (12, 0x6d): return .maxForwards.matching(bytes)
    case (12, 0x70): return .proxyStatus.matching(bytes)
    case (12, 0x78): return .xRequestId.matching(bytes)
    case (13, 0x61):
      return KnownField.authorization.match(bytes) ?? KnownField.acceptRanges.match(bytes) ?? .other
    case (13, 0x63):
      return KnownField.cacheControl.match(bytes) ?? KnownField.contentRange.match(bytes) ?? .other
    case (13, 0x69): return .ifNoneMatch.matching(bytes)
    case (13, 0x6c): return .lastModified.matching(bytes)
    case (13, 0x73): return .surrogateKey.matching(bytes)
    case (14, 0x63): return .contentLength.matching(bytes)
    case (14, 0x68): return .http2Settings.matching(bytes)
    case (15, 0x61):
      return KnownField.acceptEncoding.match(bytes) ?? KnownField.acceptLanguage.match(bytes) ?? .other
    case (15, 0x78): return .xForwardedFor.matching(bytes)
    case (16, 0x63):
      return KnownField.contentEncoding.match(bytes) ?? KnownField.contentLanguage.match(bytes) ?? KnownField.contentLocation.match(bytes) ?? .other
    case (16, 0x70): return .proxyConnection.matching(bytes)
    case (16, 0x78): return .xForwardedHost.matching(bytes)
    case (17, 0x63): return .cdnCacheControl.matching(bytes)
    case (17, 0x69): return .ifModifiedSince.matching(bytes)
    case (17, 0x73): return .surrogateControl.matching(bytes)
    case (17, 0x74): return .transferEncoding.matching(bytes)
    case (17, 0x78): return .xForwardedProto.matching(bytes)
    case (18, 0x70): return .proxyAuthenticate.matching(bytes)
    case (19, 0x69): return .ifUnmodifiedSince.matching(bytes)
    case (19, 0x70): return .proxyAuthorization.matching(bytes)
    case (25, 0x70): return .proxyAuthenticationInfo.matching(bytes)
    default: return .other
    }
  }

  @inline(__always)
  private func match(_ bytes: ByteView) -> KnownField? {
    bytes.equalsIgnoringCase(ByteView(name)) ? self : nil
  }

  @inline(__always)
  private func matching(_ bytes: ByteView) -> KnownField { match(bytes) ?? .other }
}
