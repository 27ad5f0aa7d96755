// Cache poisoning: an answer is shaped by a field that is no part of the key, and stored for all. Most
// frameworks believe some field or other that says what the "real" URL, host, scheme or method is; a
// client may send any of them. The node is the one who would say such things to an origin, so what a
// client says of them goes no further. (What it says about itself, `X-Forwarded-For` and the like, the
// node writes anew.)

package import Bytes
internal import HTTPMessage

/// Fields by which a client speaks for a proxy.
package enum PoisoningDefence {
  /// Whether a request's field claims to know the URL, host, scheme or client that a proxy saw, the
  /// proxy to use (`Proxy`, which becomes `HTTP_PROXY` in CGI), or what a PoP has purged
  /// (`Weir-Purged`). Never forwarded.
  package static func speaksForProxies(_ name: ByteView) -> Bool { contains(proxies, name) }

  /// Whether a field asks for another method than the request's. Forwarded with requests that are
  /// passed on, and not with those whose answer others may get.
  package static func changesMethod(_ name: ByteView) -> Bool { contains(methods, name) }

  /// Whether an origin may take two names for the same field: CGI and its like make one variable of
  /// both, without regard to case and with `_` for `-`.
  package static func isSameVariable(_ left: ByteView, _ right: ByteView) -> Bool {
    guard left.count == right.count else { return false }
    for index in 0..<left.count where folded(left[index]) != folded(right[index]) { return false }
    return true
  }

  private static func folded(_ byte: UInt8) -> UInt8 {
    byte == 0x5F ? 0x2D : byte &- 0x41 < 26 ? byte | 0x20 : byte
  }

  private static func contains(_ names: [StaticString], _ name: ByteView) -> Bool {
    for index in names.indices where name.count == names[index].utf8CodeUnitCount {
      if isSame(name, ByteView(names[index])) { return true }
    }
    return false
  }

  /// See `isSameVariable`; `listed` is folded, and as long.
  private static func isSame(_ name: ByteView, _ listed: ByteView) -> Bool {
    for index in 0..<name.count where folded(name[index]) != listed[index] { return false }
    return true
  }

  private static let proxies: [StaticString] = [
    "x-original-url", "x-rewrite-url", "x-original-uri", "x-original-host", "x-host",
    "x-http-host-override", "x-forwarded", "x-forwarded-server", "x-forwarded-port",
    "x-forwarded-scheme", "x-forwarded-protocol", "x-forwarded-ssl", "x-forwarded-prefix",
    "x-forwarded-path", "x-forwarded-uri", "x-forwarded-method", "x-original-method",
    "x-forwarded-by", "x-original-forwarded-for",
    "x-url-scheme", "front-end-https", "x-real-ip", "x-client-ip", "true-client-ip",
    "x-cluster-client-ip", "cluster-client-ip", "x-remote-ip", "x-remote-addr",
    "x-originating-ip", "proxy", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto",
    "forwarded", "weir-purged",
  ]

  private static let methods: [StaticString] = [
    "x-http-method-override", "x-http-method", "x-method-override",
  ]
}
