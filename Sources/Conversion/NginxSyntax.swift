// nginx's syntax: words, `;` and braces; strings in either quotes; `#` to the line's end.

/// A directive of an nginx.conf.
struct NginxDirective {
  var name: String
  var arguments: [String] = []
  var block: [NginxDirective]?
  var line: Int

  /// The directive as it stood, cut, for a remark.
  var shown: String {
    // In one line, whatever stood in quotes.
    let whole = ([name] + arguments).joined(separator: " ")
    let text = whole.split(whereSeparator: \.isWhitespace).joined(separator: " ")
    return text.count > 60 ? String(text.prefix(60)) + "…" : text
  }
}

extension NginxDirective {
  /// A location's modifier may stand right before its path: `location ~/x`, `location =/x`.
  fileprivate mutating func splitModifier() {
    guard name == "location", arguments.count == 1 else { return }
    for modifier in ["^~", "~*", "~", "="] where arguments[0].hasPrefix(modifier) {
      arguments = [modifier, String(arguments[0].dropFirst(modifier.count))]
      return
    }
  }
}

/// Reads an nginx.conf. What nginx would refuse as a whole is a problem: braces that do not fit, a quote
/// without an end.
struct NginxParser {
  private enum Token {
    case word(String)
    case semicolon, open, close, end
  }

  private let bytes: [UInt8]
  private var offset = 0
  private var line = 1
  /// Why nginx would not take the file, the first few reasons.
  private(set) var problems: [(line: Int, text: String)] = []
  /// The deepest that blocks may nest.
  private static let deepest = 32

  init(_ text: String) { bytes = Array(text.utf8) }

  /// All directives of the file.
  mutating func parse() -> [NginxDirective] { block(depth: 0) }

  private mutating func problem(_ line: Int, _ text: String) {
    if problems.count < 8 { problems.append((line, text)) }
  }

  private mutating func block(depth: Int) -> [NginxDirective] {
    let first = line
    var directives: [NginxDirective] = []
    while true {
      let start = skipBlanks()
      switch next() {
      case .end:
        if depth > 0 { problem(first, "a block that begins here has no end") }
        return directives
      case .close:
        if depth > 0 { return directives }
        problem(start, "a brace that closes nothing")
      case .semicolon: continue
      case .open:
        problem(start, "a block without a name")
        skipBlock()
      case .word(let name):
        directives.append(directive(name, line: start, depth: depth))
      }
    }
  }

  private mutating func directive(_ name: String, line: Int, depth: Int) -> NginxDirective {
    var directive = NginxDirective(name: name, line: line)
    // Lua stands in braces and is no nginx.
    let isCode = name.hasSuffix("_by_lua_block")
    while true {
      switch next() {
      case .word(let word): directive.arguments.append(word)
      case .semicolon:
        directive.splitModifier()
        return directive
      case .end:
        problem(line, "\(directive.shown): it has no end")
        return directive
      case .close:
        problem(line, "\(directive.shown): it has no end")
        offset -= 1
        return directive
      case .open:
        directive.splitModifier()
        if isCode {
          skipBlock()
        } else if depth >= Self.deepest {
          problem(line, "\(directive.shown): blocks nest too deep")
          skipBlock()
        } else {
          directive.block = block(depth: depth + 1)
        }
        return directive
      }
    }
  }

  /// Passes a block that is not read, with its end, however deep it nests.
  private mutating func skipBlock() {
    let first = line
    var open = 1
    while offset < bytes.count, open > 0 {
      if bytes[offset] == UInt8(ascii: "{") { open += 1 }
      if bytes[offset] == UInt8(ascii: "}") { open -= 1 }
      if bytes[offset] == 0x0A { line += 1 }
      offset += 1
    }
    if open > 0 { problem(first, "a block that begins here has no end") }
  }

  /// Passes white space and comments; the line that follows.
  private mutating func skipBlanks() -> Int {
    while offset < bytes.count {
      switch bytes[offset] {
      case 0x0A:
        line += 1
        offset += 1
      case 0...0x20: offset += 1
      case UInt8(ascii: "#"): while offset < bytes.count, bytes[offset] != 0x0A { offset += 1 }
      default: return line
      }
    }
    return line
  }

  private mutating func next() -> Token {
    _ = skipBlanks()
    guard offset < bytes.count else { return .end }
    switch bytes[offset] {
    case UInt8(ascii: ";"):
      offset += 1
      return .semicolon
    case UInt8(ascii: "{"):
      offset += 1
      return .open
    case UInt8(ascii: "}"):
      offset += 1
      return .close
    case UInt8(ascii: "\""), UInt8(ascii: "'"): return .word(quoted(bytes[offset]))
    default: return .word(bare())
    }
  }

  private mutating func quoted(_ quote: UInt8) -> String {
    let first = line
    offset += 1
    let start = offset
    while offset < bytes.count, bytes[offset] != quote { pass() }
    if offset == bytes.count { problem(first, "a quote that has no end") }
    let text = Self.text(bytes[start..<offset])
    offset = min(offset + 1, bytes.count)
    return text
  }

  /// A word without quotes ends with white space, `;` or `{`, but for one behind `$`; a brace that closes ends
  /// none.
  private mutating func bare() -> String {
    let start = offset
    var isVariable = false
    while offset < bytes.count {
      switch bytes[offset] {
      case 0...0x20, UInt8(ascii: ";"): return Self.text(bytes[start..<offset])
      case UInt8(ascii: "{") where !isVariable: return Self.text(bytes[start..<offset])
      case let byte:
        isVariable = byte == UInt8(ascii: "$")
        pass()
      }
    }
    return Self.text(bytes[start..<offset])
  }

  /// Passes a byte of a word, behind a backslash whichever it is.
  private mutating func pass() {
    if bytes[offset] == UInt8(ascii: "\\"), offset + 1 < bytes.count { offset += 1 }
    if bytes[offset] == 0x0A { line += 1 }
    offset += 1
  }

  /// A word without its escapes, as nginx reads them: quotes and backslashes, and three controls. Before all
  /// else a backslash stays.
  private static func text(_ bytes: ArraySlice<UInt8>) -> String {
    var text: [UInt8] = []
    var rest = bytes
    while let byte = rest.popFirst() {
      guard byte == UInt8(ascii: "\\"), let next = rest.first else {
        text.append(byte)
        continue
      }
      switch next {
      case UInt8(ascii: "\""), UInt8(ascii: "'"), UInt8(ascii: "\\"): text.append(next)
      case UInt8(ascii: "t"): text.append(0x09)
      case UInt8(ascii: "r"): text.append(0x0D)
      case UInt8(ascii: "n"): text.append(0x0A)
      default:
        text.append(byte)
        continue
      }
      rest.removeFirst()
    }
    return String(decoding: text, as: UTF8.self)
  }
}
