// The field names that the node itself acts on. A parser gives each field line one of these, so that
// nobody after it compares names again.

/// A field name known to the node, or `other`.
@usableFromInline package enum KnownField: UInt8, CaseIterable, Sendable {
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
  /// `weir-explain`
  case weirExplain
  /// `content-md5`
  case contentMd5
  /// `surrogate-control`
  case surrogateControl
  /// `cdn-cache-control`
  case cdnCacheControl
  /// `x-request-id`
  case xRequestId

  /// How many there are; the size of a table indexed by `rawValue`.
  @inlinable package static var tableSize: Int { 64 }

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
    case .weirExplain: "weir-explain"
    case .contentMd5: "content-md5"
    case .surrogateControl: "surrogate-control"
    case .cdnCacheControl: "cdn-cache-control"
    case .xRequestId: "x-request-id"
    }
  }

}
