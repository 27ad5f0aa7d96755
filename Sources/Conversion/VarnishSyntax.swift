// VCL's syntax: words, `;` and braces; texts in quotes, long ones in `{"` and `"}`.

/// A statement of a VCL: words up to `;`, or a block behind them.
struct VarnishStatement {
  var words: [String]
  var block: [VarnishStatement]?
  var line: Int
  /// The places of those words that stood in quotes.
  var texts: Set<Int> = []

  /// The statement as it stood, cut, for a remark.
  var shown: String {
    // In one line, whatever stood in quotes.
    let whole = words.joined(separator: " ")
    let text = whole.split(whereSeparator: \.isWhitespace).joined(separator: " ")
    return text.count > 60 ? String(text.prefix(60)) + "…" : text
  }
}

/// Reads a VCL into statements; C in it is passed over.
enum VarnishParser {
  /// The statements of a file, and the line of the first thing in it for which Varnish would refuse it: braces
  /// that do not fit, what has no end.
  static func parse(_ text: String) -> (statements: [VarnishStatement], problem: Int?) {
    var reader = Reader(bytes: Array(text.utf8))
    let statements = reader.statements(depth: 0)
    return (statements, reader.problem)
  }

  private struct Reader {
    private let bytes: [UInt8]
    private var offset = 0
    private var line = 1
    private(set) var problem: Int?

    init(bytes: [UInt8]) { self.bytes = bytes }

    private mutating func fail(_ line: Int) { problem = problem ?? line }

    mutating func statements(depth: Int) -> [VarnishStatement] {
      let first = line
      var list: [VarnishStatement] = []
      var words: [String] = []
      var texts: Set<Int> = []
      var start = line
      func statement(_ block: [VarnishStatement]? = nil) -> VarnishStatement {
        VarnishStatement(words: words, block: block, line: start, texts: texts)
      }
      while let byte = peek() {
        if words.isEmpty { texts = [] }
        if words.isEmpty { start = line }
        switch byte {
        case UInt8(ascii: ";"):
          offset += 1
          if !words.isEmpty { list.append(statement()) }
          words = []
        case UInt8(ascii: "{") where text(at: 1) == "\"":
          texts.insert(words.count)
          words.append(long(from: "{\"", to: "\"}"))
        case UInt8(ascii: "C") where text(at: 1) == "{":
          _ = long(from: "C{", to: "}C")
          words.append("C{ … }C")
          list.append(statement())
          words = []
        case UInt8(ascii: "{"):
          offset += 1
          list.append(statement(depth < 64 ? statements(depth: depth + 1) : skipped()))
          words = []
        case UInt8(ascii: "}"):
          offset += 1
          if !words.isEmpty || depth == 0 { fail(line) }
          if depth > 0 {
            if !words.isEmpty { list.append(statement()) }
            return list
          }
        case UInt8(ascii: "\""):
          texts.insert(words.count)
          let isLong = text(at: 1) == "\"" && text(at: 2) == "\""
          words.append(isLong ? long(from: "\"\"\"", to: "\"\"\"") : quoted())
        default: words.append(bare())
        }
      }
      if depth > 0 || !words.isEmpty { fail(words.isEmpty ? first : start) }
      return list
    }

    /// The next byte that is neither white space nor in a comment.
    private mutating func peek() -> UInt8? {
      while offset < bytes.count {
        let byte = bytes[offset]
        let next = offset + 1 < bytes.count ? bytes[offset + 1] : 0
        if byte == 0x0A { line += 1 }
        if byte <= 0x20 {
          offset += 1
        } else if byte == UInt8(ascii: "#") || byte == UInt8(ascii: "/") && next == byte {
          while offset < bytes.count, bytes[offset] != 0x0A { offset += 1 }
        } else if byte == UInt8(ascii: "/") && next == UInt8(ascii: "*") {
          offset += 2
          while offset + 1 < bytes.count, bytes[offset] != 0x2A || bytes[offset + 1] != 0x2F {
            if bytes[offset] == 0x0A { line += 1 }
            offset += 1
          }
          offset = min(offset + 2, bytes.count)
        } else {
          return byte
        }
      }
      return nil
    }

    /// The character so many bytes on, if it is ASCII.
    private func text(at distance: Int) -> Character? {
      offset + distance < bytes.count
        ? Character(Unicode.Scalar(bytes[offset + distance])) : nil
    }

    /// A text over several lines, or C: braces and quotes in it are none of the VCL's.
    private mutating func long(from opening: String, to closing: String) -> String {
      let first = line
      offset = min(offset + opening.utf8.count, bytes.count)
      let start = offset
      let end = Array(closing.utf8)
      while offset < bytes.count, !bytes[offset...].starts(with: end) {
        if bytes[offset] == 0x0A { line += 1 }
        offset += 1
      }
      if offset == bytes.count { fail(first) }
      let text = String(decoding: bytes[start..<offset], as: UTF8.self)
      offset = min(offset + end.count, bytes.count)
      return text
    }

    /// Passes a block that is nested too deep, with its end.
    private mutating func skipped() -> [VarnishStatement] {
      fail(line)
      var open = 1
      while offset < bytes.count, open > 0 {
        if bytes[offset] == UInt8(ascii: "{") { open += 1 }
        if bytes[offset] == UInt8(ascii: "}") { open -= 1 }
        if bytes[offset] == 0x0A { line += 1 }
        offset += 1
      }
      return []
    }

    private mutating func quoted() -> String {
      offset += 1
      let start = offset
      while offset < bytes.count, bytes[offset] != UInt8(ascii: "\""), bytes[offset] != 0x0A {
        offset += 1
      }
      if offset == bytes.count || bytes[offset] == 0x0A { fail(line) }
      let text = String(decoding: bytes[start..<offset], as: UTF8.self)
      offset = min(offset + 1, bytes.count)
      return text
    }

    /// A word; `=` is one of its own.
    private mutating func bare() -> String {
      let start = offset
      if bytes[offset] == UInt8(ascii: "=") {
        while offset < bytes.count, bytes[offset] == UInt8(ascii: "=") { offset += 1 }
      } else {
        while offset < bytes.count, bytes[offset] > 0x20, !";{}\"=#".utf8.contains(bytes[offset]) {
          offset += 1
        }
        if offset == start { offset += 1 }
      }
      return String(decoding: bytes[start..<min(offset, bytes.count)], as: UTF8.self)
    }
  }
}
