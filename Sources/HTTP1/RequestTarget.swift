// The four forms of a request target (RFC 9112 §3.2), and the authority that a request is for.

internal import Bytes
internal import HTTPMessage

extension RequestParser {
  /// Sorts out the form of the target, which is in `whole`; `head.path` and `head.query` are where its
  /// question mark divides it.
  @inline(__always)
  static func setForm(
    _ bytes: ByteView, _ whole: Range<Int>, _ head: RequestHead
  ) throws(RequestDefect) {
    head.target = whole
    head.authority = 0..<0
    // By pattern, because `==` of another module's enum goes through its conformance.
    if case .connect = head.method {
      try setAuthorityForm(bytes, whole, head)
    } else if bytes[whole.lowerBound] != ASCII.slash {
      try setUnusualForm(bytes, whole, head)
    }
  }

  @inline(never)
  private static func setUnusualForm(
    _ bytes: ByteView, _ whole: Range<Int>, _ head: RequestHead
  ) throws(RequestDefect) {
    guard bytes[whole] == ByteView("*") else { return try setAbsoluteForm(bytes, whole, head) }
    guard head.method == .options else { throw .badTargetForm }
  }

  /// `authority:port`, for CONNECT alone, which has no other.
  @inline(never)
  private static func setAuthorityForm(
    _ bytes: ByteView, _ whole: Range<Int>, _ head: RequestHead
  ) throws(RequestDefect) {
    guard head.query == nil, Authority.isValidWithPort(bytes, whole) else { throw .badTargetForm }
    head.authority = whole
    head.path = whole.upperBound..<whole.upperBound
  }

  /// `http://authority/path?query`
  private static func setAbsoluteForm(
    _ bytes: ByteView, _ whole: Range<Int>, _ head: RequestHead
  ) throws(RequestDefect) {
    let beforeQuery = bytes[head.path]
    let scheme: Int
    if beforeQuery.prefix(7).equalsIgnoringCase(ByteView("http://")) {
      scheme = 7
    } else if beforeQuery.prefix(8).equalsIgnoringCase(ByteView("https://")) {
      scheme = 8
    } else {
      throw .badTargetForm
    }
    let start = whole.lowerBound + scheme
    let pathEnd = head.path.upperBound
    if let slash = bytes.firstIndex(of: ASCII.slash, from: start), slash < pathEnd {
      head.authority = start..<slash
      head.path = slash..<pathEnd
      head.target = slash..<whole.upperBound
    } else {
      // An empty path is the same as "/" (RFC 9110 §4.2.3): take the slash before the authority.
      head.authority = start..<pathEnd
      head.path = start - 1..<start
      head.target = head.query == nil ? head.path : pathEnd..<whole.upperBound
    }
    guard Authority.isValid(bytes, head.authority) else { throw .badHost }
  }

  /// Checks `Host` (RFC 9112 §3.2) and takes the authority from it if the target names none.
  @inline(__always)
  static func checkHost(_ bytes: ByteView, _ head: RequestHead) throws(RequestDefect) {
    guard let index = head.fields.first(.host) else {
      if head.minorVersion >= 1 { throw .missingHost }
      return
    }
    guard !head.fields.isRepeated(.host) else { throw .repeatedHost }
    let line = head.fields[index]
    let host = Int(line.valueOffset)..<Int(line.valueOffset) + Int(line.valueLength)
    if !head.authority.isEmpty {
      guard bytes[host].equalsIgnoringCase(bytes[head.authority]) else { throw .hostMismatch }
    } else if host.isEmpty {
      // Only a target URI without authority has an empty Host: `*`, or from the time before Host.
      guard head.minorVersion == 0 || bytes[head.path] == ByteView("*") else { throw .badHost }
    } else {
      guard Authority.isValid(bytes, host) else { throw .badHost }
      head.authority = host
    }
  }
}
