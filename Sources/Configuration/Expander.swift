// Puts a configuration together (see Expansion.swift): reads the files through and copies what stands
// there, but for what stands for other text.

internal import Rules

/// Reads a configuration through.
struct Expander {
  /// How deep files and snippets may be in each other.
  static let deepest = 16
  /// The most files that a configuration consists of.
  static let mostFiles = 1_000

  /// What a pass does.
  enum Mode {
    /// It finds snippets.
    case collect
    /// It only looks where a block ends.
    case skip
    /// It writes the text.
    case write
  }

  /// A snippet.
  struct Snippet {
    var name: SourceRange
    var parameters: [String]
    /// What stands between its braces.
    var body: SourceRange
  }

  var expansion: Expansion
  /// What is wrong, by the places in the files.
  var findings: Findings
  let directory: String
  let surroundings: Surroundings
  var numbers: [String: Int] = [:]
  var snippets: [String: Snippet] = [:]
  var mode = Mode.collect

  // What is being read.
  var source = 0
  var offset = 0
  var end = 0
  var copied = 0
  /// The paths of the files that are open, the outermost first; of the configuration itself, its name.
  var open: [String]
  /// The names of the snippets that are open.
  var openSnippets: [String] = []
  var arguments: [String: String]?
  var use: Int?
  /// Whether an argument of a directive is being taken, which is written to be taken back.
  var takesArgument = false

  init(_ text: SourceText, directory: String, _ surroundings: Surroundings) {
    expansion = Expansion(files: [text])
    findings = Findings(source: text)
    self.directory = directory
    self.surroundings = surroundings
    open = [Reader.resolve(text.name, from: directory)]
  }

  /// The text that a file stands for, and what is wrong with it.
  static func expand(
    _ text: SourceText, directory: String, _ surroundings: Surroundings
  ) -> (expansion: Expansion, findings: Findings) {
    var expander = Expander(text, directory: directory, surroundings)
    for mode in [Mode.collect, .write] {
      expander.mode = mode
      expander.begin(SourceRange(source: 0, lower: 0, upper: text.bytes.count))
      _ = expander.scan(inFile: false)
      expander.copy(to: expander.end)
    }
    return (expander.expansion, expander.findings)
  }

  mutating func begin(_ range: SourceRange) {
    source = range.source
    offset = range.lower
    copied = range.lower
    end = range.upper
  }

  var bytes: [UInt8] { expansion.files[source].bytes }

  func byte(_ place: Int) -> UInt8 { place < end ? bytes[place] : 0 }

  func range(_ lower: Int, _ upper: Int) -> SourceRange {
    SourceRange(source: source, lower: lower, upper: upper)
  }

  mutating func error(
    _ message: String, at range: SourceRange, help: String? = nil, suggestion: String? = nil,
    related: Finding.Note? = nil
  ) {
    guard mode == .write else { return }
    findings.error(message, at: range, help: help, suggestion: suggestion, related: related)
  }
}

// Writing.
extension Expander {
  /// Copies what has been read up to `place`.
  mutating func copy(to place: Int) {
    defer { copied = max(place, copied) }
    guard mode == .write || takesArgument, place > copied else { return }
    expansion.segments.append(
      Expansion.Segment(
        lower: expansion.text.count, origin: range(copied, place), isCopy: true, use: use))
    expansion.text += bytes[copied..<place]
  }

  /// Writes what stands for a range.
  mutating func put(_ text: [UInt8], for origin: SourceRange) {
    guard mode == .write || takesArgument, !text.isEmpty else { return }
    expansion.segments.append(
      Expansion.Segment(lower: expansion.text.count, origin: origin, isCopy: false, use: use))
    expansion.text += text
  }
}

// Reading through.
extension Expander {
  /// Reads up to the end, or behind the brace that closes the block in which it begins, or in an included
  /// file up to a brace that closes nothing; whether there was such a brace.
  mutating func scan(inFile isIncluded: Bool, inBlock: Bool = false) -> Bool {
    var beginsStatement = true
    var open: [Int] = []
    while offset < end {
      switch bytes[offset] {
      case UInt8(ascii: "\n"):
        beginsStatement = true
        offset += 1
      case 0...0x20, 0x7F: offset += 1
      case UInt8(ascii: "#"): while offset < end, bytes[offset] != 0x0A { offset += 1 }
      case UInt8(ascii: "\""):
        string(substitutes: !followsPatternMark, depth: 0)
        beginsStatement = false
      case UInt8(ascii: ";"):
        beginsStatement = true
        offset += 1
      case UInt8(ascii: "{"):
        open.append(offset)
        beginsStatement = true
        offset += 1
      case UInt8(ascii: "}"):
        beginsStatement = true
        offset += 1
        if open.popLast() != nil { continue }
        if inBlock { return true }
        guard isIncluded else { continue }
        error("\"}\" closes nothing in this file", at: range(offset - 1, offset))
        return true
      default:
        beginsStatement = beginsStatement && directive()
        if !beginsStatement { word() }
      }
    }
    if isIncluded, let brace = open.last {
      error(
        "this block is not closed in this file", at: range(brace, brace + 1),
        help: "what a file opens, it closes: end the block with \"}\"")
    }
    return false
  }

  /// Whether the quote that comes next begins a regular expression, `r"…"`, in which nothing is replaced.
  var followsPatternMark: Bool {
    guard offset > 0, bytes[offset - 1] == UInt8(ascii: "r") else { return false }
    return offset < 2 || !Self.isNameByte(bytes[offset - 2])
  }

  /// Passes a string. What rules have in it as `${…}` may hold strings again.
  mutating func string(substitutes: Bool, depth: Int) {
    offset += 1
    while offset < end {
      switch bytes[offset] {
      case 0x0A: return
      case UInt8(ascii: "\\"): offset += byte(offset + 1) == 0x0A ? 1 : 2
      case UInt8(ascii: "\""):
        offset += 1
        return
      case UInt8(ascii: "$") where substitutes && byte(offset + 1) == UInt8(ascii: "{"):
        if !substitution(.text) { embedded(depth: depth + 1) }
      default: offset += 1
      }
    }
    offset = min(offset, end)
  }

  /// Passes an expression of the rules within a string, if it ends on its line; else its `${`.
  mutating func embedded(depth: Int) {
    let start = offset
    offset += 2
    var open = 1
    while depth < Self.deepest, offset < end, bytes[offset] != 0x0A {
      switch bytes[offset] {
      case UInt8(ascii: "\""): string(substitutes: true, depth: depth)
      case UInt8(ascii: "{"):
        open += 1
        offset += 1
      case UInt8(ascii: "}"):
        open -= 1
        offset += 1
        if open == 0 { return }
      default: offset += 1
      }
    }
    if copied <= start { offset = start + 2 }
  }

  /// Passes a bare word.
  mutating func word() {
    let start = offset
    while offset < end, !Self.endsWord(bytes[offset]) {
      if bytes[offset] == UInt8(ascii: "$"), byte(offset + 1) == UInt8(ascii: "{") {
        let place = offset
        let isValue =
          bytes[start..<place].allSatisfy { Self.isNameByte($0) || $0 == 0x3D }
          && (place == start || bytes[place - 1] == 0x3D)
        guard !substitution(.word(mayBeQuoted: isValue)) else { continue }
        while offset < end, bytes[offset] != 0x0A, bytes[offset] != UInt8(ascii: "}") {
          offset += 1
        }
        offset = min(offset + 1, end)
        error(
          "\(quoted(String(decoding: bytes[place..<offset], as: UTF8.self))) stands for nothing here",
          at: range(place, offset),
          help: arguments == nil
            ? "a variable of the environment has capital letters: ${NAME}"
            : "it is neither a parameter of this snippet nor a variable such as ${NAME}")
      } else {
        offset += 1
      }
    }
  }
}

// Values.
extension Expander {
  /// Where a value is to stand.
  enum Place {
    /// In quotes.
    case text
    /// In a bare word, or as one.
    case word(mayBeQuoted: Bool)
  }

  /// Replaces the `${…}` that begins here; false, and nothing is passed, if it is none of ours.
  mutating func substitution(_ place: Place) -> Bool {
    let start = offset
    var index = start + 2
    while Self.isNameByte(byte(index)), byte(index) != UInt8(ascii: "-") { index += 1 }
    let name = String(decoding: bytes[(start + 2)..<min(index, end)], as: UTF8.self)
    var fallback: String?
    if byte(index) == UInt8(ascii: ":"), byte(index + 1) == UInt8(ascii: "-") {
      let from = index + 2
      index = from
      while index < end, bytes[index] != UInt8(ascii: "}"), bytes[index] != 0x0A { index += 1 }
      fallback = String(decoding: bytes[from..<index], as: UTF8.self)
    }
    guard byte(index) == UInt8(ascii: "}") else { return false }
    let argument = arguments?[name]
    guard argument != nil || Self.isVariable(name) else { return false }
    copy(to: start)
    offset = index + 1
    copied = offset
    expansion.isPlain = false
    if let text = argument ?? value(of: name, fallback, at: range(start, offset)) {
      write(text, place, at: start)
    }
    return true
  }

  /// The value of a variable; nil, with the reason reported, if it has none.
  mutating func value(
    of name: String, _ fallback: String?, at range: SourceRange
  ) -> String? {
    if let value = surroundings.variable(name), fallback == nil || !value.isEmpty { return value }
    if let fallback { return fallback }
    error(
      "the environment has no variable \(name)", at: range,
      help: "set it, or give a default: ${\(name):-…}")
    return nil
  }

  mutating func write(_ value: String, _ place: Place, at start: Int) {
    let origin = range(start, offset)
    guard
      !value.unicodeScalars.contains(where: { $0.value < 0x20 && !"\t\n\r".contains(Character($0)) }
      )
    else {
      return error(
        "the value has control characters", at: origin, help: "no setting can have such a value")
    }
    switch place {
    case .text: put(Self.escaped(value), for: origin)
    case .word(let mayBeQuoted):
      let isBare =
        !value.isEmpty && value.utf8.first != UInt8(ascii: "#")
        && !value.utf8.contains(where: { Self.endsWord($0) }) && !value.contains("${")
      if isBare { return put(Array(value.utf8), for: origin) }
      let endsHere = offset >= end || Self.endsWord(bytes[offset])
      guard mayBeQuoted && endsHere else {
        return error(
          "the value cannot be a part of a word", at: origin,
          help: "it is empty, or has white space, a quote or one of ; { }: put the word in quotes")
      }
      put([0x22] + Self.escaped(value) + [0x22], for: origin)
    }
  }

  /// As it is written in quotes.
  static func escaped(_ value: String) -> [UInt8] {
    var result: [UInt8] = []
    for byte in value.utf8 {
      switch byte {
      case 0x0A: result += "\\n".utf8
      case 0x0D: result += "\\r".utf8
      case 0x09: result += "\\t".utf8
      case 0x22, 0x5C, 0x24: result += [0x5C, byte]
      default: result.append(byte)
      }
    }
    return result
  }

  /// Whether a name is one of a variable of the environment.
  static func isVariable(_ name: String) -> Bool {
    guard let first = name.utf8.first, !(0x30...0x39 ~= first) else { return false }
    return name.utf8.allSatisfy { 0x41...0x5A ~= $0 || 0x30...0x39 ~= $0 || $0 == 0x5F }
  }
}

extension Expander {
  /// Whether a byte ends a bare word.
  static func endsWord(_ byte: UInt8) -> Bool {
    switch byte {
    case 0...0x20, 0x7F, UInt8(ascii: ";"), UInt8(ascii: "{"), UInt8(ascii: "}"),
      UInt8(ascii: "\""):
      true
    default: false
    }
  }

  /// Whether a byte may stand in a name.
  static func isNameByte(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x61...0x7A, 0x41...0x5A, 0x30...0x39, UInt8(ascii: "_"), UInt8(ascii: "-"): true
    default: false
    }
  }
}
