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

/// Reads an nginx.conf; what cannot be read is passed over.
struct NginxParser {
  private enum Token {
    case word(String)
    case semicolon, open, close, end
  }

  private let bytes: [UInt8]
  private var offset = 0
  private var line = 1
  /// The deepest that blocks may nest.
  private static let deepest = 32

  init(_ text: String) { bytes = Array(text.utf8) }

  /// All directives of the file.
  mutating func parse() -> [NginxDirective] { block(depth: 0) }

  private mutating func block(depth: Int) -> [NginxDirective] {
    var directives: [NginxDirective] = []
    while true {
      let start = skipBlanks()
      switch next() {
      case .end: return directives
      case .close: if depth > 0 { return directives }
      case .semicolon: continue
      case .open: _ = block(depth: min(depth + 1, Self.deepest))
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
      case .semicolon, .end: return directive
      case .close:
        offset -= 1
        return directive
      case .open where isCode || depth >= Self.deepest:
        skipBlock()
        return directive
      case .open:
        directive.block = block(depth: depth + 1)
        return directive
      }
    }
  }

  private mutating func skipBlock() {
    var open = 1
    while offset < bytes.count, open > 0 {
      if bytes[offset] == UInt8(ascii: "{") { open += 1 }
      if bytes[offset] == UInt8(ascii: "}") { open -= 1 }
      if bytes[offset] == 0x0A { line += 1 }
      offset += 1
    }
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
    offset += 1
    var text: [UInt8] = []
    while offset < bytes.count, bytes[offset] != quote {
      if bytes[offset] == UInt8(ascii: "\\"), offset + 1 < bytes.count, bytes[offset + 1] == quote {
        offset += 1
      }
      if bytes[offset] == 0x0A { line += 1 }
      text.append(bytes[offset])
      offset += 1
    }
    offset = min(offset + 1, bytes.count)
    return String(decoding: text, as: UTF8.self)
  }

  /// Braces belong to a word behind `$`, and in expressions where they count.
  private mutating func bare() -> String {
    let start = offset
    while offset < bytes.count {
      switch bytes[offset] {
      case 0...0x20, UInt8(ascii: ";"): return text(from: start)
      case UInt8(ascii: "{"):
        guard offset > start, bytes[offset - 1] == UInt8(ascii: "$") else {
          return text(from: start)
        }
        while offset < bytes.count, bytes[offset] != UInt8(ascii: "}"), bytes[offset] > 0x20 {
          offset += 1
        }
        offset = min(offset + 1, bytes.count)
      case UInt8(ascii: "}"): return text(from: start)
      default: offset += 1
      }
    }
    return text(from: start)
  }

  private func text(from start: Int) -> String {
    String(decoding: bytes[start..<offset], as: UTF8.self)
  }
}
