// multipart/byteranges (RFC 9110 §14.6) as pure composition: the parts' heads are made here, the
// content of each range is sent by the caller, straight from where it lies.
//
//     --BOUNDARY CRLF
//     content-type: text/plain CRLF
//     content-range: bytes 0-1/10 CRLF CRLF
//     (content) CRLF
//     --BOUNDARY CRLF … CRLF
//     --BOUNDARY-- CRLF
//
// The length of all that is known before any of it is made. The boundary is 128 bits that a client
// cannot foresee, so that no content can be written to hold it.

package import Bytes

/// The body of a 206 with several ranges. It owns what it needs, so that it may wait between turns.
package struct MultipartRanges: Sendable {
  /// What is sent next.
  package enum Piece: Sendable, Equatable {
    /// Bytes that were appended to the buffer: the head of a part, or the end.
    case framing
    /// A range of the representation.
    case content(ByteRange)
    /// Nothing: all is sent.
    case end
  }

  private let ranges: [ByteRange]
  private let completeLength: UInt64
  private let contentType: [UInt8]
  private let boundary: Hash128
  private var part = 0
  private var isHeadSent = false
  private var isEndSent = false

  /// A body of at least one range.
  ///
  /// - Parameters:
  ///   - ranges: as `RangeRules.ranges` gives them; each within `completeLength`.
  ///   - contentType: the representation's Content-Type, if it has one.
  ///   - boundary: what a client cannot foresee: a keyed hash, or random bits.
  package init(
    _ ranges: [ByteRange], completeLength: UInt64, contentType: ByteView?, boundary: Hash128
  ) {
    self.ranges = ranges
    self.completeLength = completeLength
    self.contentType = contentType?.array ?? []
    self.boundary = boundary
  }

  /// How many bytes the body has.
  package var contentLength: UInt64 {
    var total: UInt64 = Self.boundaryLength + 8  // CRLF -- BOUNDARY -- CRLF
    for (index, range) in ranges.enumerated() {
      total = Self.sum(total, Self.sum(headLength(range, isFirst: index == 0), range.count))
    }
    return total
  }

  /// Appends the value of Content-Type.
  package func appendContentType(to buffer: inout ByteBuffer) {
    buffer.append("multipart/byteranges; boundary=")
    appendBoundary(to: &buffer)
  }

  /// The next piece, in order; framing is appended to the buffer.
  package mutating func next(_ buffer: inout ByteBuffer) -> Piece {
    guard part < ranges.count else {
      if isEndSent { return .end }
      isEndSent = true
      buffer.append("\r\n--")
      appendBoundary(to: &buffer)
      buffer.append("--\r\n")
      return .framing
    }
    if isHeadSent {
      isHeadSent = false
      part += 1
      return .content(ranges[part - 1])
    }
    appendHead(ranges[part], isFirst: part == 0, to: &buffer)
    isHeadSent = true
    return .framing
  }

  private func appendHead(_ range: ByteRange, isFirst: Bool, to buffer: inout ByteBuffer) {
    buffer.append(isFirst ? "--" : "\r\n--")
    appendBoundary(to: &buffer)
    if !contentType.isEmpty {
      buffer.append("\r\ncontent-type: ")
      contentType.withView { buffer.append($0) }
    }
    buffer.append("\r\ncontent-range: ")
    ContentRange.range(range, completeLength: completeLength).append(to: &buffer)
    buffer.append("\r\n\r\n")
  }

  private func headLength(_ range: ByteRange, isFirst: Bool) -> UInt64 {
    var length: UInt64 = (isFirst ? 2 : 4) + Self.boundaryLength
    if !contentType.isEmpty { length += 16 + UInt64(contentType.count) }
    length += 17 + 6  // CRLF content-range: SP, bytes SP
    length += Digits.count(range.start) + 1 + Digits.count(range.end - 1)
    return length + 1 + Digits.count(completeLength) + 4
  }

  private static var boundaryLength: UInt64 { 32 }

  private func appendBoundary(to buffer: inout ByteBuffer) {
    for word in [boundary.high, boundary.low] {
      for shift in stride(from: UInt64(60), through: 0, by: -4) {
        let digit = UInt8(truncatingIfNeeded: word &>> shift & 0xF)
        buffer.append(digit < 10 ? 0x30 &+ digit : 0x57 &+ digit)
      }
    }
  }

  private static func sum(_ left: UInt64, _ right: UInt64) -> UInt64 {
    let (sum, overflow) = left.addingReportingOverflow(right)
    return overflow ? .max : sum
  }
}
