// Ranges of bytes, and where they are named: Range (RFC 9110 §14.2) and Content-Range (§14.4).
//
//     bytes=0-499            the first 500 bytes
//     bytes=500-             from byte 500 on
//     bytes=-500             the last 500 bytes
//     bytes=0-0,-1           two ranges
//
// Numbers that are too large for 64 bits are read as the largest: they lie behind every end.

package import Bytes
internal import HTTPMessage

/// A run of bytes of a representation, at least one.
package struct ByteRange: Sendable, Equatable {
  /// The offset of its first byte.
  package let start: UInt64
  /// The offset behind its last byte; greater than `start`.
  package let end: UInt64

  /// The range from `start` to before `end`; nil if there is no byte in it.
  package init?(start: UInt64, end: UInt64) {
    guard start < end else { return nil }
    self.start = start
    self.end = end
  }

  /// How many bytes it has.
  package var count: UInt64 { end - start }

  /// Whether all of another range is in it.
  package func contains(_ other: ByteRange) -> Bool { start <= other.start && other.end <= end }

  /// Whether the two have a byte in common.
  package func overlaps(_ other: ByteRange) -> Bool { start < other.end && other.start < end }
}

/// One member of a ranges-specifier, before the length is known (RFC 9110 §14.1.1).
package enum RangeSpec: Sendable, Equatable {
  /// From the first position to the last, both in it; `last` is the greatest number if none is said.
  case positions(first: UInt64, last: UInt64)
  /// The last so many bytes.
  case suffix(UInt64)

  /// The bytes of a representation of that length that it means; nil if there are none (§14.1.2).
  package func resolved(length: UInt64) -> ByteRange? {
    switch self {
    case .positions(let first, let last):
      ByteRange(start: first, end: last < length ? last + 1 : length)
    case .suffix(let count): ByteRange(start: length - min(count, length), end: length)
    }
  }
}

/// The members of a Range field's value, in order. Reading allocates nothing.
package struct RangeSpecs {
  private var elements: ListElements

  /// The members of a value; nil if its unit is not `bytes`.
  package init?(_ value: ByteView) {
    guard let equals = value.firstIndex(of: ASCII.equals),
      value[0..<equals].equalsIgnoringCase(ByteView("bytes"))
    else { return nil }
    elements = ListElements(ofTokens: value.dropping(first: equals + 1))
  }

  /// What the next member is.
  package enum Next: Sendable, Equatable {
    /// A range.
    case spec(RangeSpec)
    /// No range as the grammar has it; the whole field is then ignored.
    case invalid
    /// There are no more.
    case end
  }

  /// Reads the next member.
  package mutating func next() -> Next {
    guard let element = elements.next() else { return .end }
    guard let dash = element.firstIndex(of: 0x2D) else { return .invalid }
    let (first, last) = (element[0..<dash], element.dropping(first: dash + 1))
    if first.isEmpty {
      guard let count = Digits.saturating(last) else { return .invalid }
      return .spec(.suffix(count))
    }
    guard let firstPosition = Digits.saturating(first) else { return .invalid }
    if last.isEmpty { return .spec(.positions(first: firstPosition, last: .max)) }
    guard let lastPosition = Digits.saturating(last), firstPosition <= lastPosition else {
      return .invalid
    }
    return .spec(.positions(first: firstPosition, last: lastPosition))
  }
}

/// The value of Content-Range for the unit `bytes` (RFC 9110 §14.4).
package enum ContentRange: Sendable, Equatable {
  /// The content is that range; the complete length is nil if it is not known (`*`).
  case range(ByteRange, completeLength: UInt64?)
  /// No range could be satisfied: `bytes */1234`.
  case unsatisfied(completeLength: UInt64)

  /// The content range that a value means; nil if it is of another unit or invalid: last before
  /// first, or a complete length that the range does not fit in.
  package static func parse(_ value: ByteView) -> ContentRange? {
    guard let space = value.firstIndex(of: ASCII.space),
      value[0..<space].equalsIgnoringCase(ByteView("bytes"))
    else { return nil }
    let rest = value.dropping(first: space + 1)
    guard let slash = rest.firstIndex(of: ASCII.slash) else { return nil }
    let (positions, complete) = (rest[0..<slash], rest.dropping(first: slash + 1))
    let isLengthUnknown = complete == ByteView("*")
    let length = Digits.exact(complete)
    if positions == ByteView("*") {
      return length.map { .unsatisfied(completeLength: $0) }
    }
    guard isLengthUnknown || length != nil, let dash = positions.firstIndex(of: 0x2D),
      let first = Digits.exact(positions[0..<dash]),
      let last = Digits.exact(positions.dropping(first: dash + 1)), last < (length ?? .max),
      let range = ByteRange(start: first, end: last + 1)
    else { return nil }
    return .range(range, completeLength: length)
  }

  /// Appends the value.
  package func append(to buffer: inout ByteBuffer) {
    buffer.append("bytes ")
    switch self {
    case .range(let range, let completeLength):
      buffer.append(decimal: range.start)
      buffer.append(0x2D as UInt8)
      buffer.append(decimal: range.end - 1)
      buffer.append(ASCII.slash)
      if let completeLength {
        buffer.append(decimal: completeLength)
      } else {
        buffer.append(0x2A as UInt8)
      }
    case .unsatisfied(let completeLength):
      buffer.append("*/")
      buffer.append(decimal: completeLength)
    }
  }
}

/// Numbers of decimal digits and nothing else.
enum Digits {
  /// The number, or the greatest if it is too large; nil unless all bytes are digits.
  static func saturating(_ text: ByteView) -> UInt64? {
    guard !text.isEmpty else { return nil }
    var value: UInt64 = 0
    var isTooLarge = false
    for index in 0..<text.count {
      guard ASCII.isDigit(text[index]) else { return nil }
      let (product, overflow) = value.multipliedReportingOverflow(by: 10)
      let (sum, carry) = product.addingReportingOverflow(UInt64(text[index] &- 0x30))
      isTooLarge = isTooLarge || overflow || carry
      value = sum
    }
    return isTooLarge ? .max : value
  }

  /// The number; nil if it does not fit.
  static func exact(_ text: ByteView) -> UInt64? {
    guard let value = saturating(text), value < .max else { return nil }
    return value
  }

  /// How many digits a number has.
  static func count(_ value: UInt64) -> UInt64 {
    var (count, rest): (UInt64, UInt64) = (1, value / 10)
    while rest > 0 {
      count += 1
      rest /= 10
    }
    return count
  }
}
