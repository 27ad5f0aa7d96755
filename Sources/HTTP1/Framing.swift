// How long a message's content is (RFC 9112 §6). Whoever disagrees with the next recipient about this
// can be made to take one message for two, so there is one way only to say it: a single
// `Content-Length`, or a single `Transfer-Encoding: chunked`, never both. What RFC 9112 leaves a
// recipient to repair (equal lengths repeated, a length beside a transfer coding) is refused.

internal import Bytes
internal import HTTPMessage

/// What a head says about the length of its content.
enum DeclaredLength: Equatable {
  case nothing
  case length(UInt64)
  case chunked

  init(_ fields: borrowing FieldTable, _ bytes: ByteView, minorVersion: UInt8) throws(HeadDefect) {
    if fields.contains(.transferEncoding) {
      guard !fields.contains(.contentLength) else { throw .lengthWithTransferEncoding }
      guard minorVersion >= 1 else { throw .transferEncodingInOldVersion }
      try DeclaredLength.checkTransferEncoding(fields, bytes)
      self = .chunked
    } else if let value = fields.value(.contentLength, in: bytes) {
      guard !fields.isRepeated(.contentLength) else { throw .repeatedContentLength }
      guard let length = value.decimal else { throw .badContentLength }
      self = .length(length)
    } else {
      self = .nothing
    }
  }

  /// Throws unless the only transfer coding is `chunked`, said once.
  private static func checkTransferEncoding(
    _ fields: borrowing FieldTable, _ bytes: ByteView
  ) throws(HeadDefect) {
    guard let first = fields.first(.transferEncoding) else { return }
    let chunked = ByteView("chunked")
    let value = fields[first].value(in: bytes)
    if !fields.isRepeated(.transferEncoding), value.equalsIgnoringCase(chunked) { return }
    // Refused in any case; the rest finds out with which status.
    var isLast = false
    var others = 0
    var next: Int? = first
    while let index = next {
      for coding in ListElements(fields[index].value(in: bytes)) {
        if isLast { throw .badTransferEncoding }  // Something follows chunked.
        isLast = coding.equalsIgnoringCase(chunked)
        if !isLast { others += 1 }
      }
      next = fields.next(.transferEncoding, after: index)
    }
    throw isLast && others > 0 ? .unsupportedTransferCoding : .badTransferEncoding
  }
}

/// What the `Connection` fields say.
struct ConnectionOptions {
  var close = false
  var keepAlive = false
  var upgrade = false

  init(_ fields: borrowing FieldTable, _ bytes: ByteView) {
    var next = fields.first(.connection)
    while let index = next {
      for option in ListElements(fields[index].value(in: bytes)) {
        // The lengths differ, so that one comparison is enough.
        switch option.count {
        case 5: close = option.equalsIgnoringCase(ByteView("close")) || close
        case 7: upgrade = option.equalsIgnoringCase(ByteView("upgrade")) || upgrade
        case 10: keepAlive = option.equalsIgnoringCase(ByteView("keep-alive")) || keepAlive
        default: break
        }
      }
      next = fields.next(.connection, after: index)
    }
  }

  /// Whether the connection persists after the message (RFC 9112 §9.3).
  func persists(minorVersion: UInt8) -> Bool { !close && (minorVersion >= 1 || keepAlive) }
}

extension ByteView {
  /// The decimal number that the whole view is, below 2⁶³; nil if it is anything else.
  var decimal: UInt64? {
    guard !isEmpty else { return nil }
    var value: UInt64 = 0
    for index in 0..<count {
      let digit = self[index] &- 0x30
      guard digit < 10 else { return nil }
      let (tens, overflow) = value.multipliedReportingOverflow(by: 10)
      let (sum, carry) = tens.addingReportingOverflow(UInt64(digit))
      guard !overflow, !carry, sum <= UInt64(Int64.max) else { return nil }
      value = sum
    }
    return value
  }
}
