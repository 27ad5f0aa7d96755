// The text of a file, and places in it.
//
// Everything that reads a file works with byte offsets; lines and columns are only worked out for what
// is shown. A range names its source by number, so that one configuration may come from several files.

/// Bytes `lower ..< upper` of source number `source`.
struct SourceRange: Sendable, Equatable {
  var source: Int
  var lower: Int
  var upper: Int
}

extension SourceRange {
  /// From this range's begin to the other's end.
  func through(_ other: SourceRange) -> SourceRange {
    SourceRange(source: source, lower: lower, upper: max(upper, other.upper))
  }

  /// The place behind the range: where something is missing.
  var end: SourceRange { SourceRange(source: source, lower: upper, upper: upper) }
}

/// A value and where it stands.
struct Placed<Value: Sendable>: Sendable {
  var value: Value
  var range: SourceRange
}

/// A file's name and bytes, with an index of its lines.
struct SourceText: Sendable {
  /// As it is shown in diagnostics.
  let name: String
  /// The contents, without a byte order mark.
  let bytes: [UInt8]
  /// The offset at which each line begins.
  let lineStarts: [Int]

  init(name: String, bytes: [UInt8]) {
    let hasMark = bytes.starts(with: [0xEF, 0xBB, 0xBF])
    let text = hasMark ? Array(bytes.dropFirst(3)) : bytes
    var starts = [0]
    for offset in text.indices where text[offset] == 0x0A { starts.append(offset + 1) }
    self.name = name
    self.bytes = text
    self.lineStarts = starts
  }

  /// The line, from 1, in which `offset` stands.
  func line(at offset: Int) -> Int {
    var low = 0
    var high = lineStarts.count
    while high - low > 1 {
      let middle = (low + high) / 2
      if lineStarts[middle] <= offset { low = middle } else { high = middle }
    }
    return low + 1
  }

  /// The bytes of a line, from 1, without its line ending.
  func bounds(ofLine line: Int) -> Range<Int> {
    let start = lineStarts[line - 1]
    var end = line < lineStarts.count ? lineStarts[line] - 1 : bytes.count
    if end > start && bytes[end - 1] == 0x0D { end -= 1 }
    return start..<end
  }

  /// How many characters (Unicode scalars) the bytes in `range` hold.
  func characters(in range: Range<Int>) -> Int {
    var count = 0
    for offset in range where bytes[offset] & 0xC0 != 0x80 { count += 1 }
    return count
  }

  /// The text in `range`.
  func text(in range: Range<Int>) -> String { String(decoding: bytes[range], as: UTF8.self) }
}

extension SourceText {
  /// The most bytes that a file may have.
  static let largest = 16 << 20

  /// The first byte that cannot stand in any text: NUL, or what is not UTF-8; nil if there is none.
  func firstUnreadable() -> (offset: Int, isNUL: Bool)? {
    var offset = 0
    while offset < bytes.count {
      if bytes[offset] == 0 { return (offset, true) }
      let length = sequenceLength(at: offset)
      if length == 0 { return (offset, false) }
      offset += length
    }
    return nil
  }

  /// How many bytes the well-formed UTF-8 sequence at `offset` has (RFC 3629 §4); 0 if there is none.
  private func sequenceLength(at offset: Int) -> Int {
    let first = bytes[offset]
    if first < 0x80 { return 1 }
    let length = first < 0xC2 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF5 ? 4 : 0
    guard length > 0, bytes.count - offset >= length else { return 0 }
    var lowest: UInt8 = 0x80
    var highest: UInt8 = 0xBF
    switch first {
    case 0xE0: lowest = 0xA0
    case 0xED: highest = 0x9F
    case 0xF0: lowest = 0x90
    case 0xF4: highest = 0x8F
    default: break
    }
    guard lowest...highest ~= bytes[offset + 1] else { return 0 }
    for index in (offset + 2)..<(offset + max(length, 2)) where bytes[index] & 0xC0 != 0x80 {
      return 0
    }
    return length
  }
}

/// A word of the file between double quotes, cut and cleaned so that it can stand in a message.
func quoted(_ text: some StringProtocol) -> String {
  var shown = "\""
  var count = 0
  for scalar in text.unicodeScalars {
    count += 1
    if count > 60 { return shown + "…\"" }
    shown.unicodeScalars.append(isPrintable(scalar) ? scalar : "\u{FFFD}")
  }
  return shown + "\""
}

/// Whether a character may be sent to a terminal: not a control or formatting character.
func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
  switch scalar.properties.generalCategory {
  case .control, .format, .surrogate, .lineSeparator, .paragraphSeparator: false
  default: true
  }
}
