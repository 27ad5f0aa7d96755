// What identifies a response in the store: the target URI (RFC 9110 §7.1), normalised as far as it can
// be without changing its meaning: scheme and host in lower case, the default port left out
// (RFC 3986 §6.2.2.1, §6.2.3). Path and query are taken byte for byte.

internal import Bytes
internal import HTTPCaching
internal import HTTPMessage
internal import ObjectStore

enum RequestTarget {
  /// Splits an authority into host and port text. An IPv6 address keeps its brackets.
  static func split(_ authority: ByteView) -> (host: ByteView, port: ByteView) {
    var index = authority.count
    while index > 0 {
      index -= 1
      let byte = authority[index]
      if byte == ASCII.colon {
        return (authority.prefix(index), authority.dropping(first: index + 1))
      }
      if !ASCII.isDigit(byte) { break }
    }
    return (authority, ByteView())
  }

  /// Appends the host in lower case.
  static func appendHost(_ authority: ByteView, to buffer: inout ByteBuffer) {
    buffer.appendLowercased(split(authority).host)
  }

  /// Appends the primary cache key of a target: `http://host[:port]/path?query`.
  static func appendKey(
    scheme: StaticString, authority: ByteView, target: ByteView, to buffer: inout ByteBuffer
  ) {
    appendOrigin(scheme: scheme, authority: authority, to: &buffer)
    appendTarget(target, to: &buffer)
  }

  /// Appends the origin of a URI (RFC 6454 §6): `http://host[:port]`.
  static func appendOrigin(
    scheme: StaticString, authority: ByteView, to buffer: inout ByteBuffer
  ) {
    buffer.append(scheme)
    buffer.append("://")
    let (host, port) = split(authority)
    buffer.appendLowercased(host)
    let usual = ByteView(scheme).count == 5 ? ByteView("443") : ByteView("80")
    if !port.isEmpty && port != usual {
      buffer.append(ASCII.colon)
      buffer.append(port)
    }
  }

  /// Replaces a key's query by what a response has said that counts of it. The zero byte keeps such
  /// keys apart from all URIs.
  static func applySearchRule(
    _ context: NodeContext, query: ByteView, to key: inout ByteBuffer
  ) {
    guard let mark = key.view.firstIndex(of: ASCII.question),
      let path = context.store?.keyHash(key.view[0..<mark]),
      let rule = context.searchRules.find(path)
    else { return }
    apply(rule, query: query, to: &key)
  }

  /// Replaces a key's query by what a rule lets count of it.
  static func apply(_ rule: NoVarySearch, query: ByteView, to key: inout ByteBuffer) {
    guard let mark = key.view.firstIndex(of: ASCII.question) else { return }
    var counting = ByteBuffer(capacity: query.count + 64)
    guard rule.appendKey(query, to: &counting) else { return }
    key.truncate(to: mark)
    key.append(0 as UInt8)
    key.append(0x6E as UInt8)
    rule.appendIdentity(to: &key)
    key.append(counting.view)
  }

  /// Appends path and query. A target that began as `http://host?query` has no path; it is `/`
  /// (RFC 9112 §3.2.1).
  static func appendTarget(_ target: ByteView, to buffer: inout ByteBuffer) {
    if target.isEmpty || target[0] == ASCII.question { buffer.append(ASCII.slash) }
    buffer.append(target)
  }

  /// What a path looks like to a server that decodes it.
  enum Shape {
    /// What it says.
    case plain
    /// As another path: unreserved characters are encoded (RFC 3986 §6.2.2.2), or slashes doubled.
    /// Routes are then chosen by that other path; it is forwarded, and stored, as it is.
    case disguised
    /// It has segments that a server may take for "here" or "up" (`.`, `..`, also encoded as %2e).
    /// Refused: routes are chosen by what the path says.
    case dotted
  }

  static func shape(of path: ByteView) -> Shape {
    var shape = Shape.plain
    var start = 0
    while let slash = path.firstIndex(of: ASCII.slash, from: start) {
      start = slash + 1
      // Most segments begin with neither a dot, an escape nor another slash.
      guard start < path.count else { break }
      switch path[start] {
      case 0x2E, 0x25: if isDotSegment(path, from: start) { return .dotted }
      case ASCII.slash: shape = .disguised
      default: break
      }
    }
    if path.firstIndex(of: 0x25) != nil { shape = .disguised }
    return shape
  }

  /// Appends a path with unreserved characters decoded and runs of slashes made one.
  static func appendPlain(_ path: ByteView, to buffer: inout ByteBuffer) {
    var index = 0
    var previous: UInt8 = 0
    while index < path.count {
      var byte = path[index]
      var length = 1
      if byte == 0x25, path.count - index >= 3, let high = ASCII.hexValue(path[index + 1]),
        let low = ASCII.hexValue(path[index + 2]), isUnreserved(high << 4 | low)
      {
        byte = high << 4 | low
        length = 3
      }
      if byte != ASCII.slash || previous != ASCII.slash { buffer.append(byte) }
      previous = byte
      index += length
    }
  }

  /// RFC 3986 §2.3.
  private static func isUnreserved(_ byte: UInt8) -> Bool {
    let letter = byte | 0x20
    return letter &- 0x61 < 26 || ASCII.isDigit(byte) || byte == 0x2D || byte == 0x2E
      || byte == 0x5F || byte == 0x7E
  }

  private static func isDotSegment(_ path: ByteView, from start: Int) -> Bool {
    var index = start
    var dots = 0
    while index < path.count && path[index] != ASCII.slash {
      if path[index] == 0x2E {
        index += 1
      } else if path.count - index >= 3, path[index] == 0x25, path[index + 1] == 0x32,
        path[index + 2] | 0x20 == 0x65
      {
        index += 3
      } else {
        return false
      }
      dots += 1
      if dots > 2 { return false }
    }
    return dots > 0
  }

  /// The tags of a request's URI: as it was sent and, if that differs, with its query normalised.
  static func tags(
    of head: RequestHead, scheme: StaticString, normalization: QueryNormalization,
    store: ObjectStore
  ) -> [UInt64] {
    var key = ByteBuffer(capacity: 256)
    KeyRecipe.usual.append(head, scheme: scheme, to: &key)
    var tags = [store.tagHash(ofKey: key.view)]
    guard !normalization.isIdentity else { return tags }
    key.removeAll()
    KeyRecipe([.scheme, .host, .path, .query], query: normalization)
      .append(head, scheme: scheme, to: &key)
    let normalized = store.tagHash(ofKey: key.view)
    if normalized != tags[0] { tags.append(normalized) }
    return tags
  }
}
