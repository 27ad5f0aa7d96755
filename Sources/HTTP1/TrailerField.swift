internal import Bytes
internal import HTTPMessage

/// Which fields may come after the content (RFC 9110 §6.5.1).
///
/// A trailer must not change what was decided when the head was read: framing, routing, request
/// modifiers, authentication, response control, how content is read. So a name that the node itself
/// acts on is left out unless its definition allows it in trailers; others are passed on, except the
/// families that browsers and origins act on.
enum TrailerField {
  /// Whether a trailer line of that name must be left out.
  static func isForbidden(_ known: KnownField, _ name: ByteView) -> Bool {
    switch known {
    // Digests and validators of what was generated on the way (RFC 9110 §6.5), how the exchange with
    // the origin went (RFC 9209 §2), and what only logs read.
    case .etag, .contentMd5, .proxyStatus, .proxyAuthenticationInfo, .xRequestId: false
    case .other: hasForbiddenName(name)
    default: true
    }
  }

  private static func hasForbiddenName(_ name: ByteView) -> Bool {
    if name.equalsIgnoringCase(ByteView("content-digest")) { return false }  // RFC 9530 §2
    return begins(name, "content-") || begins(name, "access-control-") || begins(name, "sec-")
      || begins(name, "x-forwarded-") || begins(name, "www-authenticate")
      || begins(name, "strict-transport-security") || begins(name, "clear-site-data")
      || begins(name, "proxy-") || begins(name, "if-")
  }

  private static func begins(_ name: ByteView, _ prefix: StaticString) -> Bool {
    let prefix = ByteView(prefix)
    return name.prefix(prefix.count).equalsIgnoringCase(prefix)
  }
}
