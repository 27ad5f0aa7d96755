// A request's head (RFC 9112 §3 to §6), strictly.
//
// The parser is a function of the bytes: it keeps nothing between calls, allocates nothing (but for a
// head's table of fields, when it grows) and fills a head with offsets. What stands at the front may be
// the beginning of a head only; then the answer is `.incomplete`, and the codec asks again with more
// (`HeadScan` tells it when that is worth while). Wherever RFC 9112 allows a recipient to repair a
// message or to refuse it, it is refused: repairs are where two recipients come to differ.
//
// Up to four empty lines before the request line are skipped (RFC 9112 §2.2). They belong to the head:
// offsets and `head.length` count from the first byte of the view.

package import Bytes
package import HTTPMessage

/// What reading a request's head came to.
package enum RequestOutcome: Equatable, Sendable {
  /// Fine so far, but the end is missing.
  case incomplete
  /// The head is read; `head.length` bytes long.
  case complete
  /// To be answered with `RequestDefect.status`, and the connection closed.
  case invalid(RequestDefect)
}

/// Reads requests' heads.
package enum RequestParser {
  /// Parses the head at the front of `bytes`. On `.complete` the head is filled and `head.length` is
  /// its length; on any other outcome its content means nothing.
  package static func parse(
    _ bytes: ByteView, limits: HeadLimits, into head: RequestHead
  ) -> RequestOutcome {
    do throws(RequestDefect) {
      return try read(bytes, limits, head) ? .complete : .incomplete
    } catch {
      return .invalid(error)
    }
  }

  /// How many empty lines are skipped.
  private static var maxEmptyLines: Int { 4 }
  /// The longest method; the longest registered one, UPDATEREDIRECTREF, has 17 letters.
  private static var maxMethod: Int { 32 }

  /// Whether the head is complete.
  private static func read(
    _ bytes: ByteView, _ limits: HeadLimits, _ head: RequestHead
  ) throws(RequestDefect) -> Bool {
    let to = min(bytes.count, limits.maxHead)
    head.bytes = bytes
    head.fields.removeAll()
    if let start = try skipEmptyLines(bytes, to),
      let fields = try requestLine(bytes, start, to, limits, head),
      let end = try fieldLines(bytes, fields, to, limits, head)
    {
      head.length = end
      try checkHost(bytes, head)
      try setFraming(bytes, head)
      return true
    }
    if bytes.count >= limits.maxHead { throw .headTooLarge }
    return false
  }

  /// Where the request line begins; nil if nothing but empty lines is there.
  @inline(__always)
  private static func skipEmptyLines(_ bytes: ByteView, _ to: Int) throws(RequestDefect) -> Int? {
    guard to > 0 else { return nil }
    guard bytes[0] == ASCII.cr || bytes[0] == ASCII.lf else { return 0 }
    var at = 0
    for _ in 0..<maxEmptyLines {
      guard at < to else { return nil }
      guard bytes[at] != ASCII.lf else { throw .bareLineFeed }
      guard bytes[at] == ASCII.cr else { return at }
      guard at + 1 < to else { return nil }
      guard bytes[at + 1] == ASCII.lf else { throw .bareCarriageReturn }
      at += 2
    }
    guard at < to else { return nil }
    guard bytes[at] != ASCII.cr, bytes[at] != ASCII.lf else { throw .tooManyEmptyLines }
    return at
  }

  /// Reads the request line at `start`; returns where the fields begin, or nil.
  @inline(__always)
  private static func requestLine(
    _ bytes: ByteView, _ start: Int, _ to: Int, _ limits: HeadLimits, _ head: RequestHead
  ) throws(RequestDefect) -> Int? {
    let limit = start + limits.maxRequestLine + 2
    let to = min(to, limit)
    guard let targetStart = try method(bytes, start, to, head),
      let versionStart = try target(bytes, targetStart, to, head),
      let end = try version(bytes, versionStart, to, head)
    else {
      if to == limit { throw .requestLineTooLong }
      return nil
    }
    try setForm(bytes, targetStart..<versionStart - 1, head)
    return end
  }

  /// Reads the method; returns where the target begins.
  @inline(__always)
  private static func method(
    _ bytes: ByteView, _ start: Int, _ to: Int, _ head: RequestHead
  ) throws(RequestDefect) -> Int? {
    if to - start >= 4, bytes.uint32(at: start) == 0x2054_4547 {  // "GET ", its first byte lowest
      head.method = .get
      head.methodRange = start..<start + 3
      return start + 4
    }
    guard let end = try methodEnd(bytes, start, to) else { return nil }
    head.methodRange = start..<end
    head.method = Method.identify(bytes[start..<end])
    return end + 1
  }

  private static func methodEnd(
    _ bytes: ByteView, _ start: Int, _ to: Int
  ) throws(RequestDefect) -> Int? {
    let bound = min(to, start + maxMethod + 1)
    var end = start
    while end < bound, ASCII.isTokenByte(bytes[end]) { end += 1 }
    if end == bound {
      if end - start > maxMethod { throw .methodTooLong }
      return nil
    }
    switch bytes[end] {
    case ASCII.space where end > start: return end
    case ASCII.lf: throw .bareLineFeed
    case ASCII.cr, ASCII.space: throw .badRequestLine
    default: throw .badMethod
    }
  }

  /// Finds the end of the target and its query; returns where the version begins.
  @inline(__always)
  private static func target(
    _ bytes: ByteView, _ start: Int, _ to: Int, _ head: RequestHead
  ) throws(RequestDefect) -> Int? {
    var end = ByteScan.first(.notPath, in: bytes, from: start, to: to)
    head.path = start..<end
    head.query = nil
    if end < to, bytes[end] == ASCII.question {
      let query = end + 1
      // A question mark within the query is part of it.
      end = ByteScan.first(.notQuery, in: bytes, from: query, to: to)
      head.query = query..<end
    }
    guard end < to else { return nil }
    guard bytes[end] == ASCII.space, end > start else {
      throw targetDefect(bytes[end])
    }
    return end + 1
  }

  private static func targetDefect(_ byte: UInt8) -> RequestDefect {
    switch byte {
    case ASCII.lf: .bareLineFeed
    case ASCII.cr, ASCII.space, ASCII.tab: .badRequestLine
    default: .badTarget
    }
  }

  /// Reads the version and the line's end; returns where the fields begin.
  @inline(__always)
  private static func version(
    _ bytes: ByteView, _ start: Int, _ to: Int, _ head: RequestHead
  ) throws(RequestDefect) -> Int? {
    do throws(Version.Defect) {
      guard let minor = try Version.minor(bytes, at: start, to: to) else { return nil }
      head.minorVersion = minor
    } catch {
      throw versionDefect(error, bytes[start])
    }
    let end = start + Version.length
    guard end < to else { return nil }
    guard bytes[end] == ASCII.cr else {
      if bytes[end] == ASCII.lf { throw .bareLineFeed }
      throw bytes[end] == ASCII.space || bytes[end] == ASCII.tab ? .badRequestLine : .badVersion
    }
    guard end + 1 < to else { return nil }
    guard bytes[end + 1] == ASCII.lf else { throw .bareCarriageReturn }
    return end + 2
  }

  private static func versionDefect(_ defect: Version.Defect, _ first: UInt8) -> RequestDefect {
    switch defect {
    case .unsupported: .unsupportedVersion
    // A second space, or no version at all.
    case .malformed where first <= ASCII.space: .badRequestLine
    case .malformed: .badVersion
    }
  }

  @inline(__always)
  private static func fieldLines(
    _ bytes: ByteView, _ start: Int, _ to: Int, _ limits: HeadLimits, _ head: RequestHead
  ) throws(RequestDefect) -> Int? {
    do throws(HeadDefect) {
      return try FieldParser.parse(
        bytes, from: start, to: to, maxFields: limits.maxFields, into: &head.fields)
    } catch {
      throw RequestDefect(error)
    }
  }

  /// How the content is delimited, and what else the fields say about the connection.
  @inline(__always)
  private static func setFraming(_ bytes: ByteView, _ head: RequestHead) throws(RequestDefect) {
    head.framing = .none
    head.keepAlive = head.minorVersion >= 1
    head.expectsContinue = false
    head.wantsUpgrade = false
    // Most requests have none of these.
    let fields = head.fields.known
    if fields.contains(.contentLength) || fields.contains(.transferEncoding) {
      head.framing = try framing(bytes, head)
    }
    if fields.contains(.connection) {
      let options = ConnectionOptions(head.fields, bytes)
      head.keepAlive = options.persists(minorVersion: head.minorVersion)
      head.wantsUpgrade =
        options.upgrade && fields.contains(.upgrade) && head.minorVersion >= 1
    }
    if fields.contains(.expect) { try setExpectation(bytes, head) }
  }

  private static func framing(
    _ bytes: ByteView, _ head: RequestHead
  ) throws(RequestDefect) -> BodyFraming {
    do throws(HeadDefect) {
      switch try DeclaredLength(head.fields, bytes, minorVersion: head.minorVersion) {
      case .nothing: return .none
      case .length(let length): return .length(length)
      case .chunked: return .chunked
      }
    } catch {
      throw RequestDefect(error)
    }
  }

  /// `Expect` (RFC 9110 §10.1.1): without content, or in HTTP/1.0, there is nothing to wait for.
  private static func setExpectation(
    _ bytes: ByteView, _ head: RequestHead
  ) throws(RequestDefect) {
    guard !head.fields.isRepeated(.expect), let value = head.value(.expect),
      value.equalsIgnoringCase(ByteView("100-continue"))
    else { throw .unknownExpectation }
    let hasContent = head.framing != .none && head.framing != .length(0)
    head.expectsContinue = hasContent && head.minorVersion >= 1
  }
}
