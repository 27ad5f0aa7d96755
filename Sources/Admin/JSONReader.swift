// JSON as it is read (RFC 8259), strictly: no comma too many, no member twice (the two readers of such
// an object might take another one each), no lone surrogate, nesting up to a limit, nothing behind the
// value. JSONDecoder takes the first two of these in silence, and does not say where an error is.

internal import Bytes

/// A JSON value that was read.
enum JSON: Equatable {
  case null
  case bool(Bool)
  /// A number as it was written.
  case number(String)
  case string(String)
  case array([JSON])
  case object([Member])

  /// A member of an object.
  struct Member: Equatable {
    let name: String
    let value: JSON
  }
}

/// Where a text is not JSON.
struct JSONDefect: Error, Equatable {
  /// What is wrong, or was expected.
  let text: String
  /// From 1.
  let line: Int
  /// From 1, in characters of Unicode.
  let column: Int
}

/// Reads one JSON text.
struct JSONReader {
  private static let maxDepth = 32
  private let bytes: [UInt8]
  private var at = 0
  private var depth = 0

  /// The value of a text.
  static func read(_ bytes: [UInt8]) throws(JSONDefect) -> JSON {
    guard String(validating: bytes, as: UTF8.self) != nil else {
      throw JSONDefect(text: "the text is not UTF-8", line: 1, column: 1)
    }
    var reader = JSONReader(bytes: bytes)
    reader.skipSpace()
    let value = try reader.value()
    reader.skipSpace()
    guard reader.at == bytes.count else {
      throw reader.defect("there is something behind the value")
    }
    return value
  }

  private init(bytes: [UInt8]) { self.bytes = bytes }

  private var next: UInt8? { at < bytes.count ? bytes[at] : nil }

  private func defect(_ text: String) -> JSONDefect {
    let before = bytes[..<min(at, bytes.count)]
    let lineStart = before.lastIndex(of: ASCII.lf).map { $0 + 1 } ?? 0
    return JSONDefect(
      text: at < bytes.count ? text : text + ", but the text ends",
      line: before.count { $0 == ASCII.lf } + 1,
      column: before[lineStart...].count { $0 & 0xC0 != 0x80 } + 1)
  }

  private mutating func skipSpace() {
    while let byte = next, [ASCII.space, ASCII.tab, ASCII.cr, ASCII.lf].contains(byte) { at += 1 }
  }

  /// Takes a byte if it comes next, and the space behind it.
  private mutating func take(_ character: Unicode.Scalar) -> Bool {
    guard next == UInt8(ascii: character) else { return false }
    at += 1
    skipSpace()
    return true
  }

  private mutating func value() throws(JSONDefect) -> JSON {
    switch next {
    case UInt8(ascii: "{"):
      return .object(
        try nested { reader throws(JSONDefect) in
          try reader.members()
        })
    case UInt8(ascii: "["):
      return .array(
        try nested { reader throws(JSONDefect) in
          try reader.elements()
        })
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    default: return .number(try number())
    }
  }

  private mutating func nested<Result>(
    _ body: (inout JSONReader) throws(JSONDefect) -> Result
  ) throws(JSONDefect) -> Result {
    guard depth < Self.maxDepth else { throw defect("it is nested too deeply") }
    depth += 1
    at += 1
    skipSpace()
    let result = try body(&self)
    depth -= 1
    return result
  }

  private mutating func word(_ word: String, _ value: JSON) throws(JSONDefect) -> JSON {
    guard bytes[at...].starts(with: word.utf8) else { throw defect("expected a value") }
    at += word.utf8.count
    return value
  }

  private mutating func elements() throws(JSONDefect) -> [JSON] {
    var elements: [JSON] = []
    if next == UInt8(ascii: "]") {
      at += 1
      return elements
    }
    while true {
      elements.append(try value())
      skipSpace()
      if next == UInt8(ascii: "]") {
        at += 1
        return elements
      }
      guard take(",") else { throw defect("expected \",\" or \"]\"") }
    }
  }

  private mutating func members() throws(JSONDefect) -> [JSON.Member] {
    var members: [JSON.Member] = []
    var names: Set<[UInt8]> = []
    if next == UInt8(ascii: "}") {
      at += 1
      return members
    }
    while true {
      let start = at
      guard next == ASCII.quote else { throw defect("expected a name in double quotes") }
      let name = try string()
      guard names.insert(Array(name.utf8)).inserted else {
        at = start
        throw defect("a member is there twice")
      }
      skipSpace()
      guard take(":") else { throw defect("expected \":\"") }
      members.append(JSON.Member(name: name, value: try value()))
      skipSpace()
      if next == UInt8(ascii: "}") {
        at += 1
        return members
      }
      guard take(",") else { throw defect("expected \",\" or \"}\"") }
    }
  }
}

// Strings and numbers.
extension JSONReader {
  private mutating func string() throws(JSONDefect) -> String {
    at += 1
    var result: [UInt8] = []
    while let byte = next {
      if byte == ASCII.quote {
        at += 1
        // Exact: the text is UTF-8, and escapes gave whole scalars.
        return String(decoding: result, as: UTF8.self)
      }
      guard byte >= 0x20 else { throw defect("a control character must be escaped") }
      if byte == ASCII.backslash {
        result += Array(String(try escape()).utf8)
      } else {
        result.append(byte)
        at += 1
      }
    }
    throw defect("expected a double quote")
  }

  private mutating func escape() throws(JSONDefect) -> Unicode.Scalar {
    at += 1
    guard let letter = next else { throw defect("expected an escape") }
    let simple: [UInt8: Unicode.Scalar] = [
      ASCII.quote: "\"", ASCII.backslash: "\\", ASCII.slash: "/", 0x62: "\u{8}", 0x66: "\u{C}",
      0x6E: "\n", 0x72: "\r", 0x74: "\t",
    ]
    if let scalar = simple[letter] {
      at += 1
      return scalar
    }
    guard letter == 0x75 else { throw defect("no such escape") }
    at += 1
    let start = at
    let first = try unit()
    if let scalar = Unicode.Scalar(first) { return scalar }
    if first < 0xDC00, next == ASCII.backslash, at + 1 < bytes.count, bytes[at + 1] == 0x75 {
      at += 2
      let second = try unit()
      if second & 0xFC00 == 0xDC00,
        let scalar = Unicode.Scalar(
          0x10000 + (UInt32(first) & 0x3FF) << 10 + UInt32(second) & 0x3FF)
      {
        return scalar
      }
    }
    at = start
    throw defect("half of a surrogate pair")
  }

  /// Four hexadecimal digits.
  private mutating func unit() throws(JSONDefect) -> UInt16 {
    var value: UInt16 = 0
    for _ in 0..<4 {
      guard let digit = next.flatMap(ASCII.hexValue) else {
        throw defect("expected four hexadecimal digits")
      }
      value = value << 4 | UInt16(digit)
      at += 1
    }
    return value
  }

  private mutating func number() throws(JSONDefect) -> String {
    let start = at
    if next == UInt8(ascii: "-") { at += 1 }
    if next == UInt8(ascii: "0") {
      at += 1
    } else {
      try digits(at == start ? "expected a value" : "expected a digit")
    }
    if next == UInt8(ascii: ".") {
      at += 1
      try digits("expected a digit")
    }
    if let exponent = next, exponent | 0x20 == UInt8(ascii: "e") {
      at += 1
      if next == UInt8(ascii: "+") || next == UInt8(ascii: "-") { at += 1 }
      try digits("expected a digit")
    }
    return String(decoding: bytes[start..<at], as: UTF8.self)
  }

  private mutating func digits(_ expected: String) throws(JSONDefect) {
    guard let first = next, ASCII.isDigit(first) else { throw defect(expected) }
    while let byte = next, ASCII.isDigit(byte) { at += 1 }
  }
}
