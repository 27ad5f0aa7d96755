// From bytes to tokens of the rules language. It takes over from the configuration's own lexer at the
// first word of a rule and gives back behind its `;` or `}`.
//
//     name       letter or "_", then letters, digits, "_", "-"; names joined by dots are one token, and
//                what follows `header.`, `query.`, `cookie.` or a claim's prefix may begin with a digit
//     $name      a variable
//     "text"     with escapes and ${expressions}; ends on its line
//     r"text"    a regular expression: no escapes but \" for a quote
//     42  10KiB  whole numbers, as sizes in bytes
//     5m  1m30s  durations
//     10.0.0.0/8 ::1  addresses and networks
//     == != < <= > >= && || ! ( ) [ ] , ; { }

internal import Bytes

/// What a text is made of.
struct RuleToken {
  enum Kind: Equatable {
    case name(String)
    case variable(String)
    case text([Piece])
    case pattern([UInt8])
    case integer(Int64)
    case duration(Int64)
    case address(IPAddress)
    case network(IPNetwork)
    case symbol(String)
    /// An error that has been reported.
    case broken
    case end
  }

  /// A part of a text in quotes.
  enum Piece: Equatable {
    case literal([UInt8])
    /// Where an expression stands, without `${` and `}`.
    case expression(RuleRange)
  }

  var kind: Kind
  var range: RuleRange
}

struct RuleLexer {
  let bytes: [UInt8]
  private(set) var offset: Int
  private let end: Int

  init(_ bytes: [UInt8], from offset: Int, to end: Int) {
    self.bytes = bytes
    self.offset = min(offset, bytes.count)
    self.end = min(end, bytes.count)
  }

  private func byte(_ place: Int) -> UInt8 { place < end ? bytes[place] : 0 }

  private func token(_ kind: RuleToken.Kind, from start: Int) -> RuleToken {
    RuleToken(kind: kind, range: RuleRange(lower: start, upper: offset))
  }

  /// The next token; at the end again and again the end.
  mutating func next(_ findings: inout RuleFindings) -> RuleToken {
    skipBlanks()
    guard offset < end else { return token(.end, from: offset) }
    let start = offset
    let first = bytes[offset]
    if first == ASCII.quote { return text(&findings) }
    if first == UInt8(ascii: "r") && byte(offset + 1) == ASCII.quote { return pattern(&findings) }
    if let address = address() { return address }
    if ASCII.isDigit(first) { return number(&findings) }
    if first == UInt8(ascii: "$") {
      offset += 1
      let name = takeName()
      if !name.isEmpty { return token(.variable(name), from: start) }
      findings.error(
        "\"$\" begins the name of a variable", at: RuleRange(lower: start, upper: offset),
        help: "inside of quotes a value is written ${…}")
      return token(.broken, from: start)
    }
    if isNameStart(first) {
      let name = takeName()
      return token(.name(name), from: start)
    }
    return symbol(&findings)
  }

  /// A bare word up to white space, `;`, `{`, `}` or `"`: names of origins and the like.
  mutating func word() -> RuleToken? {
    skipBlanks()
    let start = offset
    while offset < end, bytes[offset] > ASCII.space, !isOneOf(bytes[offset], ";{}\"") {
      offset += 1
    }
    guard offset > start else { return nil }
    let text = String(decoding: bytes[start..<offset], as: UTF8.self)
    return token(.name(text), from: start)
  }

  private mutating func skipBlanks() {
    while offset < end {
      switch bytes[offset] {
      case 0x20, 0x09, 0x0A, 0x0D: offset += 1
      case UInt8(ascii: "#"):
        while offset < end && bytes[offset] != ASCII.lf { offset += 1 }
      default: return
      }
    }
  }

  /// Whether only white space stands between the line's begin and `place`.
  func startsLine(_ place: Int) -> Bool {
    var index = place
    while index > 0 {
      index -= 1
      switch bytes[index] {
      case ASCII.lf: return true
      case 0x20, 0x09, 0x0D: continue
      default: return false
      }
    }
    return true
  }
}

// Words and symbols.
extension RuleLexer {
  private mutating func takeName() -> String {
    let start = offset
    while offset < end {
      let byte = bytes[offset]
      let isDot = byte == UInt8(ascii: ".") && offset > start && isNameByte(self.byte(offset + 1))
      guard isNameByte(byte) || isDot else { break }
      offset += 1
    }
    return String(decoding: bytes[start..<offset], as: UTF8.self)
  }

  private mutating func symbol(_ findings: inout RuleFindings) -> RuleToken {
    let start = offset
    for two in ["==", "!=", "<=", ">=", "&&", "||"] {
      let pair = Array(two.utf8)
      if bytes[offset] == pair[0] && byte(offset + 1) == pair[1] {
        offset += 2
        return token(.symbol(two), from: start)
      }
    }
    let first = bytes[offset]
    offset += 1
    if isOneOf(first, "<>!()[],;{}-") {
      return token(.symbol(String(UnicodeScalar(first))), from: start)
    }
    while offset < end && bytes[offset] & 0xC0 == 0x80 { offset += 1 }
    let meant = ["=": "==", "&": "&&", "|": "||", "~": "matches"]
    let word = String(decoding: bytes[start..<offset], as: UTF8.self)
    let help = first == UInt8(ascii: "'") ? "texts stand in double quotes" : nil
    findings.error(
      "\(shown(word)) means nothing here", at: RuleRange(lower: start, upper: offset), help: help,
      suggestion: meant[word])
    return token(.broken, from: start)
  }
}

// Numbers and addresses.
extension RuleLexer {
  /// An address or network, if one begins here. An IPv6 address has two colons; nothing else has one.
  private mutating func address() -> RuleToken? {
    var place = offset
    var colons = 0
    var dots = 0
    while place < end, place - offset < 64 {
      let byte = bytes[place]
      if byte == ASCII.colon { colons += 1 }
      if byte == UInt8(ascii: ".") { dots += 1 }
      guard
        ASCII.hexValue(byte) != nil || byte == ASCII.colon || byte == UInt8(ascii: ".")
          || (byte == ASCII.slash && (colons >= 2 || dots >= 3))
      else { break }
      place += 1
    }
    guard colons >= 2 || (dots >= 3 && ASCII.isDigit(bytes[offset])) else { return nil }
    if isNameByte(byte(place)) { return nil }
    let start = offset
    let text = Array(bytes[start..<place])
    guard let network = text.withView({ IPNetwork.parse($0) }) else { return nil }
    offset = place
    if text.contains(ASCII.slash) { return token(.network(network), from: start) }
    return token(.address(network.address), from: start)
  }

  private static let units: [(name: String, size: Int64, isTime: Bool)] = [
    ("d", 86_400_000_000_000, true), ("h", 3_600_000_000_000, true), ("m", 60_000_000_000, true),
    ("s", 1_000_000_000, true), ("ms", 1_000_000, true), ("us", 1_000, true), ("ns", 1, true),
    ("B", 1, false), ("KiB", 1 << 10, false), ("MiB", 1 << 20, false), ("GiB", 1 << 30, false),
    ("KB", 1_000, false), ("MB", 1_000_000, false), ("GB", 1_000_000_000, false),
  ]

  private mutating func number(_ findings: inout RuleFindings) -> RuleToken {
    let start = offset
    while offset < end, isNameByte(bytes[offset]) || isOneOf(bytes[offset], ".:/") { offset += 1 }
    let text = String(decoding: bytes[start..<offset], as: UTF8.self)
    let range = RuleRange(lower: start, upper: offset)
    if let value = Int64(text) { return token(.integer(value), from: start) }
    if let kind = quantity(text) { return token(kind, from: start) }
    if text.utf8.allSatisfy({ ASCII.isDigit($0) }) {
      findings.error("\(shown(text)) is too large", at: range)
    } else if text.contains(".") || text.contains(":") || text.contains("/") {
      findings.error(
        "\(shown(text)) is neither a number nor an address", at: range,
        help: "addresses are written 192.0.2.1 or 2001:db8::1, networks 192.0.2.0/24")
    } else {
      findings.error(
        "\(shown(text)) is not a number", at: range,
        help: "units of time are d h m s ms us ns, of size B KB MB GB KiB MiB GiB")
    }
    return token(.broken, from: start)
  }

  /// A duration of parts with units, larger ones first, or one size.
  private func quantity(_ text: String) -> RuleToken.Kind? {
    var rest = text[...]
    var sum: Int64 = 0
    var smallest = Int64.max
    var isTime = false
    while !rest.isEmpty {
      let digits = rest.prefix { "0"..."9" ~= $0 }
      rest = rest.dropFirst(digits.count)
      let name = rest.prefix { !("0"..."9" ~= $0) }
      rest = rest.dropFirst(name.count)
      guard let number = Int64(digits), let unit = Self.units.first(where: { $0.name == name }),
        unit.size < smallest, smallest == .max || (isTime && unit.isTime)
      else { return nil }
      let (part, isLarge) = number.multipliedReportingOverflow(by: unit.size)
      let (total, isLarger) = sum.addingReportingOverflow(part)
      if isLarge || isLarger { return nil }
      sum = total
      smallest = unit.size
      isTime = unit.isTime
    }
    return isTime ? .duration(sum) : .integer(sum)
  }
}

// Texts.
extension RuleLexer {
  private mutating func text(_ findings: inout RuleFindings) -> RuleToken {
    let start = offset
    var pieces: [RuleToken.Piece] = []
    var literal: [UInt8] = []
    var isWhole = true
    offset += 1
    while offset < end && bytes[offset] != ASCII.lf {
      let byte = bytes[offset]
      if byte == ASCII.quote {
        offset += 1
        if !literal.isEmpty || pieces.isEmpty { pieces.append(.literal(literal)) }
        return token(isWhole ? .text(pieces) : .broken, from: start)
      }
      if byte == ASCII.backslash {
        if !escape(into: &literal, &findings) { isWhole = false }
      } else if byte == UInt8(ascii: "$") && self.byte(offset + 1) == UInt8(ascii: "{") {
        if !literal.isEmpty { pieces.append(.literal(literal)) }
        literal = []
        if let range = embedded(&findings) {
          pieces.append(.expression(range))
        } else {
          isWhole = false
        }
      } else if (byte < 0x20 && byte != ASCII.tab && byte != ASCII.cr) || byte == 0x7F {
        offset += 1
        isWhole = false
        findings.error(
          "a control character stands in a text", at: RuleRange(lower: offset - 1, upper: offset),
          help: "write it as an escape, such as \\u{1b}")
      } else {
        literal.append(byte)
        offset += 1
      }
    }
    // What ends the line was probably not meant to be text.
    while offset > start + 1, isOneOf(bytes[offset - 1], ";{} \r\t") { offset -= 1 }
    findings.error(
      "this text does not end on its line", at: RuleRange(lower: start, upper: offset),
      help: "close it with \"")
    return token(.broken, from: start)
  }

  /// Passes `${…}` and gives what stands between; texts in it may have braces.
  private mutating func embedded(_ findings: inout RuleFindings) -> RuleRange? {
    let start = offset
    offset += 2
    var depth = 1
    var isText = false
    while offset < end && bytes[offset] != ASCII.lf {
      let byte = bytes[offset]
      offset += 1
      if isText {
        if byte == ASCII.backslash { offset = min(offset + 1, end) }
        if byte == ASCII.quote { isText = false }
        continue
      }
      if byte == ASCII.quote { isText = true }
      if byte == UInt8(ascii: "{") { depth += 1 }
      if byte == UInt8(ascii: "}") { depth -= 1 }
      if depth == 0 { return RuleRange(lower: start + 2, upper: offset - 1) }
    }
    findings.error(
      "\"${\" is not closed", at: RuleRange(lower: start, upper: start + 2), help: "close it with }"
    )
    // Up to the next quote it is the text's still, so that what follows is read as it was meant.
    offset = start + 2
    while offset < end && bytes[offset] != ASCII.lf && bytes[offset] != ASCII.quote { offset += 1 }
    return nil
  }

  private mutating func escape(
    into literal: inout [UInt8], _ findings: inout RuleFindings
  ) -> Bool {
    let start = offset
    offset += 1
    guard offset < end, bytes[offset] != ASCII.lf else { return false }
    let byte = bytes[offset]
    offset += 1
    switch byte {
    case ASCII.quote, ASCII.backslash, UInt8(ascii: "$"): literal.append(byte)
    case UInt8(ascii: "n"): literal.append(ASCII.lf)
    case UInt8(ascii: "r"): literal.append(ASCII.cr)
    case UInt8(ascii: "t"): literal.append(ASCII.tab)
    case UInt8(ascii: "u"):
      if let scalar = scalarEscape() {
        literal.append(contentsOf: Array(String(Character(scalar)).utf8))
        return true
      }
      fallthrough
    default:
      while offset < end && bytes[offset] & 0xC0 == 0x80 { offset += 1 }
      findings.error(
        "there is no such escape", at: RuleRange(lower: start, upper: offset),
        help: "escapes are \\\" \\\\ \\$ \\n \\r \\t \\u{…}; a backslash is written \\\\")
      return false
    }
    return true
  }

  /// The character of `{1F600}`, after `\u`; not NUL.
  private mutating func scalarEscape() -> Unicode.Scalar? {
    guard byte(offset) == UInt8(ascii: "{") else { return nil }
    var index = offset + 1
    var value: UInt32 = 0
    while index < end, index - offset <= 6, let digit = ASCII.hexValue(bytes[index]) {
      value = value << 4 | UInt32(digit)
      index += 1
    }
    guard byte(index) == UInt8(ascii: "}"), value > 0 else { return nil }
    offset = index + 1
    return Unicode.Scalar(value)
  }

  private mutating func pattern(_ findings: inout RuleFindings) -> RuleToken {
    let start = offset
    offset += 2
    var result: [UInt8] = []
    while offset < end && bytes[offset] != ASCII.lf {
      let byte = bytes[offset]
      offset += 1
      if byte == ASCII.quote { return token(.pattern(result), from: start) }
      if byte == ASCII.backslash && self.byte(offset) != ASCII.lf && offset < end {
        if bytes[offset] != ASCII.quote { result.append(byte) }
        result.append(bytes[offset])
        offset += 1
      } else {
        result.append(byte)
      }
    }
    findings.error(
      "this expression does not end on its line", at: RuleRange(lower: start, upper: offset),
      help: "close it with \"")
    return token(.broken, from: start)
  }
}

private func isNameStart(_ byte: UInt8) -> Bool {
  (byte | 0x20) &- 0x61 < 26 || byte == UInt8(ascii: "_")
}

private func isNameByte(_ byte: UInt8) -> Bool {
  isNameStart(byte) || ASCII.isDigit(byte) || byte == UInt8(ascii: "-")
}

private func isOneOf(_ byte: UInt8, _ set: StaticString) -> Bool {
  ByteView(set).firstIndex(of: byte) != nil
}
