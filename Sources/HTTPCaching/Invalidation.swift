// Invalidation by unsafe requests (RFC 9111 §4.4), and the URIs that Location and Content-Location
// name, resolved as RFC 3986 §5 says.

package import Bytes
package import HTTPMessage

/// Which stored responses a request that may have changed something invalidates.
package enum Invalidation {
  /// Whether the answer to a request invalidates its target URI, and with it what `appendTarget`
  /// gives for the answer's Location and Content-Location: an unsafe or unknown method, 2xx or 3xx.
  package static func applies(method: Method, status: UInt16) -> Bool {
    !method.isSafe && status >= 200 && status < 400
  }

  /// Appends the path and query that a reference names, if its origin is the request's; else appends
  /// nothing and returns false (RFC 9111 §4.4: other origins must not be invalidated).
  ///
  /// - Parameters:
  ///   - reference: the value of Location or Content-Location.
  ///   - scheme: the request's, `http` or `https`.
  ///   - authority: the request's host and port.
  ///   - path: the request's path.
  package static func appendTarget(
    of reference: ByteView, scheme: ByteView, authority: ByteView, path: ByteView,
    to buffer: inout ByteBuffer
  ) -> Bool {
    guard isPlain(reference) else { return false }
    var rest = reference[0..<(reference.firstIndex(of: 0x23) ?? reference.count)]
    if let colon = schemeEnd(of: rest) {
      guard rest[0..<colon].equalsIgnoringCase(scheme) else { return false }
      rest = rest.dropping(first: colon + 1)
      guard rest.starts(with: ByteView("//")) else { return false }
    }
    var isAbsolute = false
    if rest.starts(with: ByteView("//")) {
      rest = rest.dropping(first: 2)
      let end = firstIndex(in: rest) { $0 == ASCII.slash || $0 == ASCII.question } ?? rest.count
      guard isSame(rest[0..<end], authority, scheme: scheme) else { return false }
      rest = rest.dropping(first: end)
      isAbsolute = true
    }
    appendResolved(rest, isAbsolute: isAbsolute, base: path, to: &buffer)
    return true
  }

  /// Whether two authorities are the same host and port, in any case, default ports filled in.
  package static func isSame(_ left: ByteView, _ right: ByteView, scheme: ByteView) -> Bool {
    let port: StaticString = scheme.equalsIgnoringCase(ByteView("https")) ? "443" : "80"
    let (one, onePort) = split(left, defaultPort: ByteView(port))
    let (other, otherPort) = split(right, defaultPort: ByteView(port))
    return !one.isEmpty && one.equalsIgnoringCase(other) && onePort == otherPort
  }

  private static func split(
    _ authority: ByteView, defaultPort: ByteView
  ) -> (host: ByteView, port: ByteView) {
    var index = authority.count
    while index > 0, ASCII.isDigit(authority[index - 1]) { index -= 1 }
    guard index > 0, authority[index - 1] == ASCII.colon else { return (authority, defaultPort) }
    let port = authority[index..<authority.count]
    return (authority[0..<index - 1], port.isEmpty ? defaultPort : port)
  }

  /// Whether the reference holds only bytes that a URI may hold; spaces and controls would make a
  /// key that no request has.
  private static func isPlain(_ reference: ByteView) -> Bool {
    firstIndex(in: reference) { $0 <= 0x20 || $0 >= 0x7F } == nil
  }

  /// Where the colon behind a scheme is (RFC 3986 §3.1).
  private static func schemeEnd(of reference: ByteView) -> Int? {
    guard
      let end = firstIndex(
        in: reference, where: { !ASCII.isTokenByte($0) }),
      end > 0, reference[end] == ASCII.colon, ASCII.lowercase(reference[0]) &- 0x61 < 26
    else { return nil }
    return end
  }

  private static func firstIndex(
    in bytes: ByteView, where isWanted: (UInt8) -> Bool
  ) -> Int? {
    for index in 0..<bytes.count where isWanted(bytes[index]) { return index }
    return nil
  }

  /// RFC 3986 §5.2.2, from the path on.
  private static func appendResolved(
    _ reference: ByteView, isAbsolute: Bool, base: ByteView, to buffer: inout ByteBuffer
  ) {
    let pathEnd = reference.firstIndex(of: ASCII.question) ?? reference.count
    let path = reference[0..<pathEnd]
    let start = buffer.count
    if path.isEmpty {
      if isAbsolute { buffer.append(ASCII.slash) } else { buffer.append(base) }
    } else if path[0] == ASCII.slash {
      appendWithoutDotSegments(path, start: start, to: &buffer)
    } else {
      var end = base.count
      while end > 0, base[end - 1] != ASCII.slash { end -= 1 }
      var merged = ByteBuffer(capacity: end + path.count + 1)
      if end == 0 { merged.append(ASCII.slash) } else { merged.append(base[0..<end]) }
      merged.append(path)
      appendWithoutDotSegments(merged.view, start: start, to: &buffer)
    }
    buffer.append(reference.dropping(first: pathEnd))
  }

  /// RFC 3986 §5.2.4 for a path that begins with a slash.
  private static func appendWithoutDotSegments(
    _ path: ByteView, start: Int, to buffer: inout ByteBuffer
  ) {
    var position = 1
    while position <= path.count {
      let end = path.firstIndex(of: ASCII.slash, from: position) ?? path.count
      let segment = path[position..<end]
      let isLast = end == path.count
      if segment == ByteView("..") {
        removeSegment(from: &buffer, start: start)
        if isLast { buffer.append(ASCII.slash) }
      } else if segment == ByteView(".") {
        if isLast { buffer.append(ASCII.slash) }
      } else {
        buffer.append(ASCII.slash)
        buffer.append(segment)
      }
      position = end + 1
    }
  }

  private static func removeSegment(from buffer: inout ByteBuffer, start: Int) {
    var end = buffer.count
    while end > start {
      end -= 1
      if buffer.view[end] == ASCII.slash { break }
    }
    buffer.truncate(to: end)
  }
}
