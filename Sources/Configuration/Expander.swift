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
  private enum Mode {
    /// It finds snippets.
    case collect
    /// It only looks where a block ends.
    case skip
    /// It writes the text.
    case write
  }

  /// A snippet.
  private struct Snippet {
    var name: SourceRange
    var parameters: [String]
    /// What stands between its braces.
    var body: SourceRange
  }

  private(set) var expansion: Expansion
  /// What is wrong, by the places in the files.
  private(set) var findings: Findings
  private let directory: String
  private let surroundings: Surroundings
  private var numbers: [String: Int] = [:]
  private var snippets: [String: Snippet] = [:]
  private var mode = Mode.collect

  // What is being read.
  private var source = 0
  private var offset = 0
  private var end = 0
  private var copied = 0
  /// The paths of the files that are open, the outermost first; of the configuration itself, its name.
  private var open: [String]
  /// The names of the snippets that are open.
  private var openSnippets: [String] = []
  private var arguments: [String: String]?
  private var use: Int?
  /// Whether an argument of a directive is being taken, which is written to be taken back.
  private var takesArgument = false

  private init(_ text: SourceText, directory: String, _ surroundings: Surroundings) {
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

  private mutating func begin(_ range: SourceRange) {
    source = range.source
    offset = range.lower
    copied = range.lower
    end = range.upper
  }

  private var bytes: [UInt8] { expansion.files[source].bytes }

  private func byte(_ place: Int) -> UInt8 { place < end ? bytes[place] : 0 }

  private func range(_ lower: Int, _ upper: Int) -> SourceRange {
    SourceRange(source: source, lower: lower, upper: upper)
  }

  private mutating func error(
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
  private mutating func copy(to place: Int) {
    defer { copied = max(place, copied) }
    guard mode == .write || takesArgument, place > copied else { return }
    expansion.segments.append(
      Expansion.Segment(
        lower: expansion.text.count, origin: range(copied, place), isCopy: true, use: use))
    expansion.text += bytes[copied..<place]
  }

  /// Writes what stands for a range.
  private mutating func put(_ text: [UInt8], for origin: SourceRange) {
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
  private mutating func scan(inFile isIncluded: Bool, inBlock: Bool = false) -> Bool {
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
  private var followsPatternMark: Bool {
    guard offset > 0, bytes[offset - 1] == UInt8(ascii: "r") else { return false }
    return offset < 2 || !isNameByte(bytes[offset - 2])
  }

  /// Passes a string. What rules have in it as `${…}` may hold strings again.
  private mutating func string(substitutes: Bool, depth: Int) {
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
  private mutating func embedded(depth: Int) {
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
  private mutating func word() {
    let start = offset
    while offset < end, !endsWord(bytes[offset]) {
      if bytes[offset] == UInt8(ascii: "$"), byte(offset + 1) == UInt8(ascii: "{") {
        let place = offset
        let isValue =
          bytes[start..<place].allSatisfy { isNameByte($0) || $0 == 0x3D }
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
  private enum Place {
    /// In quotes.
    case text
    /// In a bare word, or as one.
    case word(mayBeQuoted: Bool)
  }

  /// Replaces the `${…}` that begins here; false, and nothing is passed, if it is none of ours.
  private mutating func substitution(_ place: Place) -> Bool {
    let start = offset
    var index = start + 2
    while isNameByte(byte(index)), byte(index) != UInt8(ascii: "-") { index += 1 }
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
  private mutating func value(
    of name: String, _ fallback: String?, at range: SourceRange
  ) -> String? {
    if let value = surroundings.variable(name), fallback == nil || !value.isEmpty { return value }
    if let fallback { return fallback }
    error(
      "the environment has no variable \(name)", at: range,
      help: "set it, or give a default: ${\(name):-…}")
    return nil
  }

  private mutating func write(_ value: String, _ place: Place, at start: Int) {
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
        && !value.utf8.contains(where: { endsWord($0) }) && !value.contains("${")
      if isBare { return put(Array(value.utf8), for: origin) }
      let endsHere = offset >= end || endsWord(bytes[offset])
      guard mayBeQuoted && endsHere else {
        return error(
          "the value cannot be a part of a word", at: origin,
          help: "it is empty, or has white space, a quote or one of ; { }: put the word in quotes")
      }
      put([0x22] + Self.escaped(value) + [0x22], for: origin)
    }
  }

  /// As it is written in quotes.
  private static func escaped(_ value: String) -> [UInt8] {
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
  private static func isVariable(_ name: String) -> Bool {
    guard let first = name.utf8.first, !(0x30...0x39 ~= first) else { return false }
    return name.utf8.allSatisfy { 0x41...0x5A ~= $0 || 0x30...0x39 ~= $0 || $0 == 0x5F }
  }
}

// Directives.
extension Expander {
  /// An argument of a directive: its text without quotes, with values in it.
  private struct Argument {
    var text: String
    var range: SourceRange
  }

  /// Does what the directive that begins here says; false, and nothing is passed, if it is none of ours.
  private mutating func directive() -> Bool {
    var index = offset
    while index < end, 0x61...0x7A ~= bytes[index] { index += 1 }
    guard index < end, bytes[index] == 0x20 || bytes[index] == 0x09 else { return false }
    let start = offset
    switch bytes[offset..<index] {
    case [UInt8]("include".utf8)[...]:
      guard mode != .skip else { return false }
      copy(to: start)
      offset = index
      include(from: start)
    case [UInt8]("snippet".utf8)[...]:
      guard mode != .skip else { return false }
      copy(to: start)
      offset = index
      snippet(from: start)
    case [UInt8]("use".utf8)[...]:
      guard mode != .skip else { return false }
      copy(to: start)
      offset = index
      useSnippet(from: start)
    default: return false
    }
    copied = max(copied, offset)
    expansion.isPlain = false
    return true
  }

  private mutating func skipSpace() {
    while offset < end, bytes[offset] <= 0x20 { offset += 1 }
  }

  /// An argument up to white space, `;` or one of `stops`; nil if there is none.
  private mutating func argument(stops: String = "") -> Argument? {
    skipSpace()
    let start = offset
    let former = (expansion.text.count, expansion.segments.count)
    copied = offset
    takesArgument = true
    defer { takesArgument = false }
    if byte(offset) == 0x22 {
      string(substitutes: true, depth: 0)
    } else {
      while offset < end, !endsWord(bytes[offset]), !stops.utf8.contains(bytes[offset]) {
        if bytes[offset] == 0x24, byte(offset + 1) == 0x7B, substitution(.word(mayBeQuoted: false))
        {
          continue
        }
        offset += 1
      }
    }
    guard offset > start else { return nil }
    copy(to: offset)
    var text = Array(expansion.text[former.0...])
    expansion.text.removeSubrange(former.0...)
    expansion.segments.removeSubrange(former.1...)
    if text.first == 0x22 { text = Self.unquoted(text) }
    return Argument(text: String(decoding: text, as: UTF8.self), range: range(start, offset))
  }

  private static func unquoted(_ text: [UInt8]) -> [UInt8] {
    var result: [UInt8] = []
    var isEscaped = false
    for byte in text.dropFirst().dropLast() {
      if !isEscaped && byte == 0x5C {
        isEscaped = true
        continue
      }
      result.append(isEscaped ? [0x6E: 0x0A, 0x72: 0x0D, 0x74: 0x09][byte] ?? byte : byte)
      isEscaped = false
    }
    return result
  }

  /// Passes the `;` of a directive, and reports it if it is missing.
  private mutating func passEnd(of name: String) {
    let place = offset
    skipSpace()
    if byte(offset) == UInt8(ascii: ";") {
      offset += 1
      return
    }
    error(
      "\";\" is missing at the end of \"\(name)\"", at: range(place, place), help: "expected \";\"")
    offset = place
  }

  /// Reads something else and comes back.
  private mutating func within(
    _ range: SourceRange, _ body: (inout Expander) -> Void
  ) {
    let here = (source, offset, end)
    begin(range)
    body(&self)
    copy(to: offset)
    (source, offset, end) = here
    copied = offset
  }
}

// Files.
extension Expander {
  private mutating func include(from start: Int) {
    var patterns: [Argument] = []
    while let next = argument() { patterns.append(next) }
    if patterns.isEmpty {
      error(
        "\"include\" needs an argument", at: range(start, offset),
        help: "expected the path of a file, or a pattern such as sites/*.conf")
    }
    passEnd(of: "include")
    for pattern in patterns { include(pattern) }
  }

  private mutating func include(_ pattern: Argument) {
    let path = Reader.resolve(pattern.text, from: directory)
    switch surroundings.find(path) {
    case .failure(let problem):
      error(
        "include: \(quoted(pattern.text)) \(problem.described)", at: pattern.range,
        help: "the path starts from the configuration's directory")
    case .success(let paths):
      if !expansion.parts.found.contains(where: { $0.pattern == path }) {
        expansion.parts.found.append(.init(pattern: path, paths: paths))
      }
      for path in paths { include(path, at: pattern) }
    }
  }

  private mutating func include(_ path: String, at place: Argument) {
    if open.contains(path) {
      return error(
        "include: \(quoted(path)) is being read already", at: place.range,
        help: "a file cannot include itself, nor one that includes it")
    }
    guard open.count <= Self.deepest else {
      return error(
        "include: files are in each other more than \(Self.deepest) deep", at: place.range)
    }
    guard let number = number(of: path, at: place) else { return }
    open.append(path)
    within(SourceRange(source: number, lower: 0, upper: expansion.files[number].bytes.count)) {
      expander in
      let outer = (expander.arguments, expander.use)
      (expander.arguments, expander.use) = (nil, nil)
      _ = expander.scan(inFile: true)
      expander.copy(to: expander.offset)
      // A comment may end the file without a line's end.
      expander.put([0x0A], for: expander.range(expander.offset, expander.offset))
      (expander.arguments, expander.use) = outer
    }
    open.removeLast()
  }

  /// The number of a file, which is read if it was not; nil, with the reason reported, if it cannot be.
  private mutating func number(of path: String, at place: Argument) -> Int? {
    if let known = numbers[path] { return known }
    switch surroundings.read(path) {
    case .failure(let problem):
      error("include: \(quoted(path)) \(problem.described)", at: place.range)
      return nil
    case .success(let bytes):
      let total = expansion.files.reduce(bytes.count) { $0 + $1.bytes.count }
      guard expansion.files.count < Self.mostFiles, total <= SourceText.largest else {
        error(
          "include: a configuration has at most \(Self.mostFiles) files and 16 MiB", at: place.range
        )
        return nil
      }
      let text = SourceText(name: path, bytes: bytes)
      if let bad = text.firstUnreadable() {
        error(
          "include: \(quoted(path)), line \(text.line(at: bad.offset)): "
            + (bad.isNUL ? "a NUL byte stands there" : "it is not UTF-8"), at: place.range)
        return nil
      }
      expansion.files.append(text)
      expansion.parts.files.append(.init(path: path, bytes: bytes))
      findings.sources.append(text)
      numbers[path] = expansion.files.count - 1
      return expansion.files.count - 1
    }
  }
}

// Snippets.
extension Expander {
  /// A name and what follows it in parentheses; nil, with the reason reported, if that is not there.
  private mutating func call(
    _ directive: String, from start: Int
  ) -> (name: Argument, list: [Argument])? {
    guard let name = argument(stops: "("), !name.text.isEmpty,
      name.text.utf8.allSatisfy({ isNameByte($0) })
    else {
      error(
        "\"\(directive)\" needs a name", at: range(start, offset),
        help: "expected letters, digits, \"_\" and \"-\", as in \(directive) cdn(1h)")
      return nil
    }
    let place = offset
    skipSpace()
    guard byte(offset) == UInt8(ascii: "(") else {
      offset = place
      return (name, [])
    }
    offset += 1
    var list: [Argument] = []
    while true {
      if let next = argument(stops: "(),") { list.append(next) }
      skipSpace()
      switch byte(offset) {
      case UInt8(ascii: ","): offset += 1
      case UInt8(ascii: ")"):
        offset += 1
        return (name, list)
      default:
        error(
          "what stands in parentheses does not end", at: range(place, offset),
          help: "expected \",\" or \")\"; what has spaces or parentheses goes in quotes")
        return nil
      }
    }
  }

  private mutating func snippet(from start: Int) {
    guard let (name, list) = call("snippet", from: start) else { return }
    skipSpace()
    guard byte(offset) == UInt8(ascii: "{") else {
      return error(
        "\"snippet\" needs a block", at: name.range.end, help: "expected \"{\"")
    }
    let brace = offset
    offset += 1
    let former = mode
    mode = .skip
    let isClosed = scan(inFile: false, inBlock: true)
    mode = former
    if !isClosed {
      error("this block is not closed", at: range(brace, brace + 1), help: "close it with \"}\"")
    }
    for parameter in list where !parameter.text.utf8.allSatisfy({ isNameByte($0) && $0 != 0x2D }) {
      error(
        "\(quoted(parameter.text)) cannot be a parameter's name", at: parameter.range,
        help: "expected letters, digits and \"_\"")
    }
    if let first = snippets[name.text] {
      guard first.name != name.range else { return }
      return error(
        "there are two of snippet \(quoted(name.text))", at: name.range,
        related: Finding.Note(message: "the first is here", range: first.name))
    }
    snippets[name.text] = Snippet(
      name: name.range, parameters: list.map(\.text),
      body: range(brace + 1, isClosed ? offset - 1 : offset))
  }

  private mutating func useSnippet(from start: Int) {
    guard let (name, list) = call("use", from: start) else { return }
    passEnd(of: "use")
    guard mode == .write else { return }
    guard let snippet = snippets[name.text] else {
      let near = Spelling.nearest(to: name.text, among: snippets.keys.sorted())
      return error(
        "there is no snippet \(quoted(name.text))", at: name.range,
        help: near == nil ? "declare it: snippet \(name.text)(…) { … }" : nil, suggestion: near)
    }
    guard snippet.parameters.count == list.count else {
      let shape = "\(name.text)(\(snippet.parameters.joined(separator: ", ")))"
      return error(
        "snippet \(quoted(name.text)) takes \(snippet.parameters.count) arguments, not \(list.count)",
        at: name.range, help: "it is declared as \(shape)",
        related: Finding.Note(message: "which is here", range: snippet.name))
    }
    guard !openSnippets.contains(name.text), openSnippets.count < Self.deepest else {
      return error(
        "snippet \(quoted(name.text)) is in use already", at: name.range,
        help: "a snippet cannot use itself, nor one that uses it")
    }
    // Snippets that use others twice each grow as powers of two.
    guard expansion.text.count + snippet.body.upper - snippet.body.lower <= SourceText.largest
    else {
      return error("with its snippets the configuration has more than 16 MiB", at: name.range)
    }
    put(snippet, name.text, list, at: range(start, offset))
  }

  private mutating func put(
    _ snippet: Snippet, _ name: String, _ list: [Argument], at place: SourceRange
  ) {
    expansion.uses.append(place)
    openSnippets.append(name)
    let outer = (arguments, use)
    arguments = Dictionary(
      zip(snippet.parameters, list.map(\.text)), uniquingKeysWith: { first, _ in first })
    use = expansion.uses.count - 1
    within(snippet.body) { expander in _ = expander.scan(inFile: false) }
    (arguments, use) = outer
    openSnippets.removeLast()
  }
}

/// Whether a byte ends a bare word.
private func endsWord(_ byte: UInt8) -> Bool {
  switch byte {
  case 0...0x20, 0x7F, UInt8(ascii: ";"), UInt8(ascii: "{"), UInt8(ascii: "}"),
    UInt8(ascii: "\""):
    true
  default: false
  }
}

/// Whether a byte may stand in a name.
private func isNameByte(_ byte: UInt8) -> Bool {
  switch byte {
  case 0x61...0x7A, 0x41...0x5A, 0x30...0x39, UInt8(ascii: "_"), UInt8(ascii: "-"): true
  default: false
  }
}
