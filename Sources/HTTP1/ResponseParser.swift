// A response's head (RFC 9112 §4 to §6), as strictly as a request's. An origin is trusted more than a
// client, but what it sends goes into the cache and to clients, so that a message that can be read in
// two ways does the same damage. One thing is let through that the grammar does not have: a status line
// without the space behind the code, which real servers send and nobody can read in another way.

package import Bytes
package import HTTPMessage

/// What reading a response's head came to.
package enum ResponseOutcome: Equatable, Sendable {
  /// Fine so far, but the end is missing.
  case incomplete
  /// The head is read; `head.length` bytes long.
  case complete
  /// Not a response; the connection cannot be used any more.
  case invalid(ResponseDefect)
}

/// Reads responses' heads.
package enum ResponseParser {
  /// Parses the head at the front of `bytes`, which answers a request with `requestMethod`. On
  /// `.complete` the head is filled and `head.length` is its length; on any other outcome its content
  /// means nothing. Interim responses (1xx) are heads of their own; the next head follows them.
  package static func parse(
    _ bytes: ByteView, limits: HeadLimits, requestMethod: Method, into head: ResponseHead
  ) -> ResponseOutcome {
    do throws(ResponseDefect) {
      return try read(bytes, limits, requestMethod, head) ? .complete : .incomplete
    } catch {
      return .invalid(error)
    }
  }

  /// Whether the head is complete.
  private static func read(
    _ bytes: ByteView, _ limits: HeadLimits, _ requestMethod: Method, _ head: ResponseHead
  ) throws(ResponseDefect) -> Bool {
    let to = min(bytes.count, limits.maxHead)
    head.bytes = bytes
    head.fields.removeAll()
    if let reason = try version(bytes, to, head), let lineEnd = try status(bytes, reason, to, head),
      let end = try fieldLines(bytes, lineEnd, to, limits, head)
    {
      head.length = end
      try setFraming(bytes, requestMethod, head)
      return true
    }
    if bytes.count >= limits.maxHead { throw .headTooLarge }
    return false
  }

  /// Reads the version and the space after it.
  private static func version(
    _ bytes: ByteView, _ to: Int, _ head: ResponseHead
  ) throws(ResponseDefect) -> Int? {
    guard to > 0 else { return nil }
    do throws(Version.Defect) {
      guard let minor = try Version.minor(bytes, at: 0, to: to) else { return nil }
      head.minorVersion = minor
    } catch {
      throw error == .unsupported ? .unsupportedVersion : .badStatusLine
    }
    guard to > Version.length else { return nil }
    guard bytes[Version.length] == ASCII.space else { throw .badStatusLine }
    return Version.length + 1
  }

  /// Reads the status code and goes past the reason phrase; returns where the fields begin.
  private static func status(
    _ bytes: ByteView, _ start: Int, _ to: Int, _ head: ResponseHead
  ) throws(ResponseDefect) -> Int? {
    var status: UInt16 = 0
    for at in start..<start + 3 {
      guard at < to else { return nil }
      guard ASCII.isDigit(bytes[at]) else { throw .badStatusLine }
      status = status * 10 + UInt16(bytes[at] &- 0x30)
    }
    guard status >= 100, status <= 599 else { throw .badStatus }
    head.status = status
    let reason = start + 3
    guard reason < to else { return nil }
    guard bytes[reason] == ASCII.space || bytes[reason] == ASCII.cr || bytes[reason] == ASCII.lf
    else { throw .badStatusLine }
    var end = ByteScan.first(.control, in: bytes, from: reason, to: to)
    while end < to, bytes[end] == ASCII.tab {
      end = ByteScan.first(.control, in: bytes, from: end + 1, to: to)
    }
    guard end < to else { return nil }
    do throws(HeadDefect) {
      return try FieldParser.lineEnd(bytes, at: end, to: to)
    } catch {
      throw ResponseDefect(error)
    }
  }

  private static func fieldLines(
    _ bytes: ByteView, _ start: Int, _ to: Int, _ limits: HeadLimits, _ head: ResponseHead
  ) throws(ResponseDefect) -> Int? {
    do throws(HeadDefect) {
      return try FieldParser.parse(
        bytes, from: start, to: to, maxFields: limits.maxFields, into: &head.fields)
    } catch {
      throw ResponseDefect(error)
    }
  }

  /// RFC 9112 §6.3, in its order, and §9.3.
  private static func setFraming(
    _ bytes: ByteView, _ requestMethod: Method, _ head: ResponseHead
  ) throws(ResponseDefect) {
    head.framing = .none
    head.keepAlive = ConnectionOptions(head.fields, bytes).persists(minorVersion: head.minorVersion)
    // After these the connection is a tunnel; the fields about content mean nothing (RFC 9110 §9.3.6).
    if head.status == 101 || requestMethod == .connect && head.status / 100 == 2 {
      head.keepAlive = false
      return
    }
    let declared = try declaredLength(bytes, head)
    if requestMethod == .head || head.status == 304 { return }
    if head.status < 200 || head.status == 204 {
      // These never have content. An origin that announces some may send it too: read nothing after.
      if declared != .nothing, declared != .length(0) { head.keepAlive = false }
      return
    }
    switch declared {
    case .chunked: head.framing = .chunked
    case .length(let length): head.framing = .length(length)
    case .nothing:
      head.framing = .untilClose
      head.keepAlive = false
    }
  }

  private static func declaredLength(
    _ bytes: ByteView, _ head: ResponseHead
  ) throws(ResponseDefect) -> DeclaredLength {
    do throws(HeadDefect) {
      return try DeclaredLength(head.fields, bytes, minorVersion: head.minorVersion)
    } catch {
      throw ResponseDefect(error)
    }
  }
}
