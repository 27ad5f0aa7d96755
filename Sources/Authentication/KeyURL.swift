internal import EventLoop

/// The place of a document: an `https` or `http` URL (RFC 9110 §4.2), read strictly.
package struct KeyURL: Sendable, Equatable, CustomStringConvertible {
  /// Whether it is `https`.
  package let isSecure: Bool
  /// The name, or the address without brackets.
  package let host: String
  /// Whether the host is a numeric address.
  package let hostIsAddress: Bool
  /// The port.
  package let port: UInt16
  /// Path and query; begins with `/`.
  package let target: String

  /// Why a text is not such a URL.
  package enum Defect: Error, Equatable, Sendable {
    /// Neither `https://` nor `http://`.
    case scheme
    /// No host, or one that is neither a name nor an address; or with a user's name.
    case host
    /// A port that is none.
    case port
    /// A byte that no URL has, or a fragment.
    case target
  }

  /// Reads a URL.
  package init(_ text: String) throws(Defect) {
    var rest = text[...]
    if text.hasPrefix("https://") {
      isSecure = true
      rest = rest.dropFirst(8)
    } else if text.hasPrefix("http://") {
      isSecure = false
      rest = rest.dropFirst(7)
    } else {
      throw .scheme
    }
    let end = rest.firstIndex { $0 == "/" || $0 == "?" || $0 == "#" } ?? rest.endIndex
    let authority = try KeyURL.split(rest[..<end])
    host = authority.host
    hostIsAddress = SocketAddress(host: authority.host, port: 0) != nil
    port = try authority.port.map(KeyURL.number) ?? (isSecure ? 443 : 80)
    let path = rest[end...]
    guard path.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != 0x23 }) else { throw .target }
    target = path.hasPrefix("/") ? String(path) : "/" + path
  }

  private static func split(
    _ authority: Substring
  ) throws(Defect) -> (host: String, port: Substring?) {
    if authority.hasPrefix("[") {
      guard let close = authority.firstIndex(of: "]") else { throw .host }
      let host = String(authority[authority.index(after: authority.startIndex)..<close])
      guard host.contains(":"), SocketAddress(host: host, port: 0) != nil else { throw .host }
      let rest = authority[authority.index(after: close)...]
      if rest.isEmpty { return (host, nil) }
      guard rest.hasPrefix(":") else { throw .port }
      return (host, rest.dropFirst())
    }
    let colon = authority.firstIndex(of: ":") ?? authority.endIndex
    let host = authority[..<colon]
    guard !host.isEmpty, host.utf8.count <= 253, host.utf8.allSatisfy(isHostByte) else {
      throw .host
    }
    return (String(host), colon < authority.endIndex ? authority[colon...].dropFirst() : nil)
  }

  private static func isHostByte(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F: true
    default: false
    }
  }

  private static func number(_ text: Substring) throws(Defect) -> UInt16 {
    guard text.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }), let port = UInt16(text), port > 0
    else { throw .port }
    return port
  }

  /// What `Host` says (RFC 9112 §3.2).
  var authority: String {
    let name = host.contains(":") ? "[\(host)]" : host
    return port == (isSecure ? 443 : 80) ? name : "\(name):\(port)"
  }

  /// The URL.
  package var description: String { (isSecure ? "https://" : "http://") + authority + target }
}
