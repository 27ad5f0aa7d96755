// A stored head: `name: value\r\n` lines, names in lower case, without a status line or an empty line
// at the end. Written by `HeadComposer`, kept as bytes, sent as they are.

package import Bytes
package import HTTPMessage

/// Walks over the lines of a stored head. Damaged bytes give fewer lines, never a trap.
package struct StoredLines {
  /// Where one line is.
  package struct Line: Sendable {
    /// The name.
    package let name: Range<Int>
    /// The value.
    package let value: Range<Int>
  }

  private let lines: ByteView
  private var position = 0

  /// The lines of a stored head.
  package init(_ lines: ByteView) { self.lines = lines }

  /// The next line, or nil at the end.
  package mutating func next() -> Line? {
    while position < lines.count {
      let start = position
      let feed = lines.firstIndex(of: ASCII.lf, from: start) ?? lines.count
      position = min(feed + 1, lines.count)
      var end = feed
      if end > start, lines[end - 1] == ASCII.cr { end -= 1 }
      guard let colon = lines.firstIndex(of: ASCII.colon, from: start), colon > start, colon < end
      else { continue }
      let value = trimmed(colon + 1..<end)
      return Line(name: start..<colon, value: value)
    }
    return nil
  }

  /// Reads stored lines into a head, whose offsets then refer to `lines`. What is no field line, or
  /// more than a table of fields can hold, is left out.
  package static func read(_ lines: ByteView, status: UInt16, into head: ResponseHead) {
    head.bytes = lines
    head.status = status
    head.minorVersion = 1
    head.framing = .none
    head.length = lines.count
    head.fields.removeAll()
    var iterator = StoredLines(lines)
    while head.fields.count < Int(Int16.max), let line = iterator.next() {
      guard let nameLength = UInt16(exactly: line.name.count),
        let nameOffset = UInt32(exactly: line.name.lowerBound),
        let valueOffset = UInt32(exactly: line.value.lowerBound),
        let valueLength = UInt32(exactly: line.value.count)
      else { continue }
      head.fields.append(
        FieldLine(
          nameOffset: nameOffset, nameLength: nameLength, valueOffset: valueOffset,
          valueLength: valueLength, known: KnownField.identify(lines[line.name])))
    }
  }

  private func trimmed(_ range: Range<Int>) -> Range<Int> {
    var (start, end) = (range.lowerBound, range.upperBound)
    while start < end, lines[start] == ASCII.space || lines[start] == ASCII.tab { start += 1 }
    while end > start, lines[end - 1] == ASCII.space || lines[end - 1] == ASCII.tab { end -= 1 }
    return start..<end
  }
}
