// Field lines (RFC 9112 §5), for heads of both kinds and for trailers: one pass, in which every byte is
// looked at once. A known name is not checked for being a token, because it equals one.

internal import Bytes
internal import HTTPMessage

enum FieldParser {
  /// Reads field lines from `from` on through the empty line after them, and not beyond `to`.
  ///
  /// Returns the offset behind the empty line, or nil if it is not there yet. Lines read so far are
  /// in the table even then.
  static func parse(
    _ bytes: ByteView, from: Int, to: Int, maxFields: Int, into table: inout FieldTable
  ) throws(HeadDefect) -> Int? {
    var at = from
    while true {
      var colon = ByteScan.first(.unusualInName, in: bytes, from: at, to: to)
      guard colon < to else { return nil }
      if bytes[colon] != ASCII.colon || colon == at {
        if bytes[at] == ASCII.cr { return try lineEnd(bytes, at: at, to: to) }
        guard let found = try unusualName(bytes, from: at, at: colon, to: to) else { return nil }
        colon = found
      }
      guard let (value, next) = try value(bytes, from: colon + 1, to: to) else { return nil }
      guard table.count < maxFields else { throw .tooManyFields }
      guard colon - at <= Int(UInt16.max) else { throw .headTooLarge }
      // A head ends before 2³⁰ (HeadLimits), so its offsets fit.
      table.append(
        FieldLine(
          nameOffset: UInt32(truncatingIfNeeded: at),
          nameLength: UInt16(truncatingIfNeeded: colon - at),
          valueOffset: UInt32(truncatingIfNeeded: value.lowerBound),
          valueLength: UInt32(truncatingIfNeeded: value.count),
          known: KnownField.identify(bytes[at..<colon])))
      at = next
    }
  }

  /// Where the value that follows a colon is, without the whitespace around it, and where the next
  /// line begins; nil if the line has no end yet.
  @inline(__always)
  private static func value(
    _ bytes: ByteView, from: Int, to: Int
  ) throws(HeadDefect) -> (Range<Int>, Int)? {
    var start = from
    while start < to, ASCII.isWhitespace(bytes[start]) { start += 1 }
    var end = ByteScan.first(.control, in: bytes, from: start, to: to)
    while end < to, bytes[end] == ASCII.tab {
      end = ByteScan.first(.control, in: bytes, from: end + 1, to: to)
    }
    guard end < to, let next = try lineEnd(bytes, at: end, to: to) else { return nil }
    while end > start, ASCII.isWhitespace(bytes[end - 1]) { end -= 1 }
    return (start..<end, next)
  }

  /// The offset behind the CR LF at `at`, nil if only the CR is there. `at` must be below `to`.
  @inline(__always)
  static func lineEnd(_ bytes: ByteView, at: Int, to: Int) throws(HeadDefect) -> Int? {
    guard bytes[at] == ASCII.cr else {
      throw bytes[at] == ASCII.lf ? .bareLineFeed : .badFieldValue
    }
    guard at + 1 < to else { return nil }
    guard bytes[at + 1] == ASCII.lf else { throw .bareCarriageReturn }
    return at + 2
  }

  /// Where a name ends that has a byte seldom seen in one at `at`; nil if there is no colon yet.
  @inline(never)
  private static func unusualName(
    _ bytes: ByteView, from: Int, at: Int, to: Int
  ) throws(HeadDefect) -> Int? {
    var at = at
    while at < to, ASCII.isTokenByte(bytes[at]) { at += 1 }
    guard at < to else { return nil }
    switch bytes[at] {
    case ASCII.colon where at > from: return at
    case ASCII.colon: throw .emptyFieldName
    case ASCII.lf: throw .bareLineFeed
    case ASCII.cr where at + 1 < to && bytes[at + 1] != ASCII.lf: throw .bareCarriageReturn
    case ASCII.space where at == from, ASCII.tab where at == from: throw .foldedLine
    case ASCII.space, ASCII.tab: throw .whitespaceBeforeColon
    default: throw .badFieldName
    }
  }
}
