// From bytes to words, `;`, `{` and `}`.
//
// A word is bare or in double quotes. A bare word is any run of characters but white space, `;`, `{`,
// `}` and `"`; so addresses, paths, names and rates need no quotes. `#` begins a comment only where a
// word could begin. `name=value` is one word, also when the value is in quotes. A string ends on its
// line: a quote that was forgotten spoils one line and not the rest of the file.
//
// What is wrong is reported, and lexing goes on with what was probably meant.

/// A word of the file.
struct Word: Sendable {
  /// Without quotes, escapes replaced.
  var text: String
  /// With quotes.
  var range: SourceRange
  /// Whether the whole word stands in quotes.
  var isQuoted = false
  /// For `name=value`: how many bytes of `text` the name has; else 0.
  var nameLength = 0
  /// Whether it is the first of its line.
  var startsLine = false
  /// Whether an error in it has been reported.
  var isBroken = false
  /// Whether the text is a file's, which the word named.
  var isFromFile = false
}

/// What a file consists of.
enum Token {
  /// A word.
  case word(Word)
  /// `;`
  case semicolon(SourceRange)
  /// `{`
  case open(SourceRange)
  /// `}`
  case close(SourceRange)
  /// The file's end.
  case end(SourceRange)
}

/// Gives a file's tokens one by one.
struct Lexer {
  private let bytes: [UInt8]
  private let source: Int
  private var offset = 0

  init(_ text: SourceText, source: Int) {
    bytes = text.bytes
    self.source = source
  }

  /// The next token; at the end again and again the end.
  mutating func next(_ findings: inout Findings) -> Token {
    let startsLine = skipBlanks(&findings)
    guard offset < bytes.count else { return .end(range(from: offset)) }
    let start = offset
    switch bytes[offset] {
    case UInt8(ascii: ";"):
      offset += 1
      return .semicolon(range(from: start))
    case UInt8(ascii: "{"):
      offset += 1
      return .open(range(from: start))
    case UInt8(ascii: "}"):
      offset += 1
      return .close(range(from: start))
    default:
      var word = word(&findings)
      word.startsLine = startsLine
      return .word(word)
    }
  }

  /// Goes on at `offset`, where somebody else has stopped reading.
  mutating func skip(to offset: Int) { self.offset = min(max(offset, self.offset), bytes.count) }

  /// The bare word that comes next in the same line; empty if there is none.
  var upcomingWord: String {
    var start = offset
    while start < bytes.count, bytes[start] == 0x20 || bytes[start] == 0x09 { start += 1 }
    var end = start
    while end < bytes.count, !isDelimiter(bytes[end]), bytes[end] != UInt8(ascii: "\"") { end += 1 }
    return String(decoding: bytes[start..<end], as: UTF8.self)
  }

  private func range(from start: Int) -> SourceRange {
    SourceRange(source: source, lower: start, upper: offset)
  }

  /// Passes white space and comments; whether what follows is the first of its line.
  private mutating func skipBlanks(_ findings: inout Findings) -> Bool {
    var startsLine = offset == 0
    while offset < bytes.count {
      switch bytes[offset] {
      case UInt8(ascii: "\n"):
        startsLine = true
        offset += 1
      case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\r"):
        offset += 1
      case UInt8(ascii: "#"):
        while offset < bytes.count && bytes[offset] != UInt8(ascii: "\n") { offset += 1 }
      case let byte where isControl(byte):
        let start = offset
        while offset < bytes.count && isControl(bytes[offset]) { offset += 1 }
        findings.error("a control character stands here", at: range(from: start), help: "remove it")
      default:
        return startsLine
      }
    }
    return startsLine
  }
}

// Words.
extension Lexer {
  private mutating func word(_ findings: inout Findings) -> Word {
    let start = offset
    var word = Word(text: "", range: range(from: start))
    var text: [UInt8] = []
    if bytes[offset] == UInt8(ascii: "\"") {
      word.isQuoted = true
      word.isBroken = !string(into: &text, &findings)
    } else {
      word.nameLength = bare(into: &text)
      if atQuote && bytes[offset - 1] == UInt8(ascii: "=") && word.nameLength == text.count - 1 {
        word.isBroken = !string(into: &text, &findings)
      }
    }
    if offset < bytes.count && !isDelimiter(bytes[offset]) {
      if !word.isBroken { reportJoin(&findings) }
      word.isBroken = true
      skipJoined()
    }
    word.text = String(decoding: text, as: UTF8.self)
    word.range = range(from: start)
    return word
  }

  private var atQuote: Bool { offset < bytes.count && bytes[offset] == UInt8(ascii: "\"") }

  /// Takes bare characters; the length of the name if they begin `name=`, else 0.
  private mutating func bare(into text: inout [UInt8]) -> Int {
    let start = offset
    var nameLength = 0
    var isName = true
    while offset < bytes.count && !isDelimiter(bytes[offset]) && !atQuote {
      let byte = bytes[offset]
      if byte == UInt8(ascii: "$"), let end = endOfVariable() {
        offset = end
        isName = false
        continue
      }
      if isName && byte == UInt8(ascii: "=") { nameLength = offset - start }
      isName = isName && isNameByte(byte)
      offset += 1
    }
    text.append(contentsOf: bytes[start..<offset])
    return nameLength
  }

  /// Where a `${…}` ends that begins here; nil if none does. A file that is only looked through, for what
  /// of it is secret, still has these.
  private func endOfVariable() -> Int? {
    guard offset + 1 < bytes.count, bytes[offset + 1] == UInt8(ascii: "{") else { return nil }
    var index = offset + 2
    while index < bytes.count, !isDelimiter(bytes[index]) { index += 1 }
    return index < bytes.count && bytes[index] == UInt8(ascii: "}") ? index + 1 : nil
  }

  private func reportJoin(_ findings: inout Findings) {
    let place = SourceRange(source: source, lower: offset, upper: offset + 1)
    findings.error(
      "a string and a word are not separated", at: place,
      help: "put a space between them, or the whole in quotes")
  }

  /// Passes what is glued to a word, up to where the next token can begin.
  private mutating func skipJoined() {
    while offset < bytes.count && !isDelimiter(bytes[offset]) { offset += 1 }
  }
}

// Strings.
extension Lexer {
  /// Takes a string, its quotes included; whether it was well-formed.
  private mutating func string(into text: inout [UInt8], _ findings: inout Findings) -> Bool {
    let start = offset
    var isWhole = true
    offset += 1
    while offset < bytes.count && bytes[offset] != UInt8(ascii: "\n") {
      switch bytes[offset] {
      case UInt8(ascii: "\""):
        offset += 1
        return isWhole
      case UInt8(ascii: "\\"):
        if !escape(into: &text, &findings) { isWhole = false }
      case let byte where isControl(byte) && byte != UInt8(ascii: "\r"):
        offset += 1
        findings.error(
          "a control character stands in a string", at: range(from: offset - 1),
          help: "write it as an escape, such as \\u{1b}")
        isWhole = false
      default:
        text.append(bytes[offset])
        offset += 1
      }
    }
    giveBackLineEnd(after: start)
    findings.error(
      "this string does not end on its line", at: range(from: start), help: "close it with \"")
    return false
  }

  /// Steps back over a `;`, `{` or `}` that an open string took from the line's end.
  private mutating func giveBackLineEnd(after start: Int) {
    while offset > start + 1 && isDelimiter(bytes[offset - 1]) { offset -= 1 }
  }

  /// Takes an escape and adds what it stands for; whether there is such an escape.
  private mutating func escape(into text: inout [UInt8], _ findings: inout Findings) -> Bool {
    let start = offset
    offset += 1
    guard offset < bytes.count else { return false }
    let byte = bytes[offset]
    if byte == UInt8(ascii: "\n") { return false }
    offset += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "$"): text.append(byte)
    case UInt8(ascii: "n"): text.append(0x0A)
    case UInt8(ascii: "r"): text.append(0x0D)
    case UInt8(ascii: "t"): text.append(0x09)
    case UInt8(ascii: "u"):
      if let scalar = scalarEscape() {
        text.append(contentsOf: Array(String(Character(scalar)).utf8))
      } else {
        return reportEscape(from: start, &findings)
      }
    default:
      while offset < bytes.count && bytes[offset] & 0xC0 == 0x80 { offset += 1 }
      return reportEscape(from: start, &findings)
    }
    return true
  }

  private func reportEscape(from start: Int, _ findings: inout Findings) -> Bool {
    findings.error(
      "there is no such escape", at: range(from: start),
      help: "escapes are \\\" \\\\ \\n \\r \\t \\u{…}; a backslash is written \\\\")
    return false
  }

  /// The character of `{1F600}`, after `\u`; not NUL.
  private mutating func scalarEscape() -> Unicode.Scalar? {
    guard offset < bytes.count, bytes[offset] == UInt8(ascii: "{") else { return nil }
    var index = offset + 1
    var value: UInt32 = 0
    while index < bytes.count, index - offset <= 6, let digit = hexDigit(bytes[index]) {
      value = value << 4 | UInt32(digit)
      index += 1
    }
    guard index < bytes.count, bytes[index] == UInt8(ascii: "}"), value > 0 else { return nil }
    offset = index + 1
    return Unicode.Scalar(value)
  }
}

/// Whether a byte ends a bare word.
private func isDelimiter(_ byte: UInt8) -> Bool {
  switch byte {
  case 0...0x20, 0x7F, UInt8(ascii: ";"), UInt8(ascii: "{"), UInt8(ascii: "}"): true
  default: false
  }
}

/// Whether a byte has no place in a text: all control characters but white space.
private func isControl(_ byte: UInt8) -> Bool {
  (byte < 0x20 && byte != 0x09 && byte != 0x0A && byte != 0x0D) || byte == 0x7F
}

/// Whether a byte may stand in the name of an argument.
private func isNameByte(_ byte: UInt8) -> Bool {
  switch byte {
  case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
    true
  default: false
  }
}

/// The value of a hexadecimal digit.
func hexDigit(_ byte: UInt8) -> UInt8? {
  switch byte {
  case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
  case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
  case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
  default: nil
  }
}
