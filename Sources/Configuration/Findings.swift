// Where lexer, parser and reader put what they find, in any order, as byte ranges. At the end it is
// sorted and turned into diagnostics in one pass over the text, so that many findings in one long line
// cost no more than as many lines.

internal import Rules

/// Something that is wrong, still as a byte range.
struct Finding {
  var severity: Diagnostic.Severity
  var range: SourceRange
  var message: String
  var help: String?
  var suggestion: String?
  var related: Note?
  /// Whether it is about the file as a whole, and no line is shown.
  var isGeneral = false

  /// Another place, and what is there.
  struct Note {
    var message: String
    var range: SourceRange
  }
}

/// What has been found so far.
struct Findings {
  /// The files, by the numbers that ranges carry.
  var sources: [SourceText]
  /// Where the first of them was written, if it was put together from others.
  var expansion: Expansion?
  private var list: [Finding] = []
  /// How many errors there were, those that are not kept included.
  private(set) var errorCount = 0
  private var omitted = 0
  /// What must not be shown, though it stands in a line that is.
  private var secrets: [SourceRange] = []

  /// The most that are kept; of the rest only the number.
  static let most = 1_000

  init(source: SourceText) { sources = [source] }

  /// Whether nothing more will be kept, so that no work need go into it.
  var isFull: Bool { list.count >= Self.most }

  /// Adds an error.
  mutating func error(
    _ message: String, at range: SourceRange, help: String? = nil, suggestion: String? = nil,
    related: Finding.Note? = nil
  ) {
    errorCount += 1
    add(
      Finding(
        severity: .error, range: range, message: message, help: help, suggestion: suggestion,
        related: related))
  }

  /// Adds a warning.
  mutating func warning(
    _ message: String, at range: SourceRange, help: String? = nil, related: Finding.Note? = nil
  ) {
    add(
      Finding(severity: .warning, range: range, message: message, help: help, related: related))
  }

  /// Adds what is about the file as a whole.
  mutating func general(_ severity: Diagnostic.Severity, _ message: String, help: String) {
    if severity == .error { errorCount += 1 }
    let range = SourceRange(source: 0, lower: 0, upper: 0)
    add(Finding(severity: severity, range: range, message: message, help: help, isGeneral: true))
  }

  /// Has ranges shown as asterisks.
  mutating func hide(_ ranges: [SourceRange]) { secrets.append(contentsOf: ranges) }

  /// Adds what was found in the rules of a source.
  mutating func add(_ rules: RuleFindings, of source: Int) {
    errorCount += rules.errorCount - rules.list.count
    for finding in rules.list {
      let related = finding.related.map { note in
        Finding.Note(message: note.message, range: SourceRange(note.range, of: source))
      }
      let range = SourceRange(finding.range, of: source)
      errorCount += 1
      add(
        Finding(
          severity: .error, range: range, message: finding.message, help: finding.help,
          suggestion: finding.suggestion, related: related))
    }
  }

  private mutating func add(_ finding: Finding) {
    if isFull { omitted += 1 } else { list.append(finding) }
  }
}

extension Findings {
  /// The line, from 1, of its file in which an offset of the first source was written.
  func line(at offset: Int) -> Int {
    expansion?.line(at: offset) ?? sources[0].line(at: offset)
  }

  /// All of it in the order of the text.
  func diagnostics() -> [Diagnostic] {
    let order = list.indices.sorted { left, right in
      let (a, b) = (list[left].range, list[right].range)
      return (a.source, a.lower, left) < (b.source, b.lower, right)
    }
    let files = expansion?.files ?? sources
    let placed = expansion.map { expansion in list.map { $0.placed(by: expansion) } } ?? list
    let hidden = expansion.map { expansion in secrets.map { expansion.origin(of: $0).range } }
    let positions = Positions(of: placed, in: files)
    var result = order.map { diagnostic(placed[$0], positions, files, hidden ?? secrets) }
    if omitted > 0, let last = result.last {
      result.append(
        Diagnostic(
          severity: errorCount > 0 ? .error : .warning, file: last.file, line: last.line,
          column: last.column, length: 0,
          message: "\(omitted) more errors and warnings are not shown"))
    }
    return result
  }

  private func diagnostic(
    _ finding: Finding, _ positions: Positions, _ files: [SourceText], _ secrets: [SourceRange]
  ) -> Diagnostic {
    let source = files[finding.range.source]
    let position = positions[finding.range]
    var diagnostic = Diagnostic(
      severity: finding.severity, file: source.name, line: position.line,
      column: position.column, length: 0, message: finding.message, help: finding.help,
      suggestion: finding.suggestion)
    if !finding.isGeneral {
      let excerpt = source.excerpt(
        of: finding.range, line: position.line, hiding: secrets)
      diagnostic.length = excerpt.length
      diagnostic.excerpt = excerpt
    }
    if let related = finding.related {
      let position = positions[related.range]
      diagnostic.related = Diagnostic.Related(
        file: files[related.range.source].name, line: position.line, column: position.column,
        message: related.message)
    }
    return diagnostic
  }
}

extension Finding {
  /// The same by the places in the files that a text was put together from; in a snippet with where that
  /// is used, unless there is another place to name.
  fileprivate func placed(by expansion: Expansion) -> Finding {
    if isGeneral { return self }
    var finding = self
    let origin = expansion.origin(of: range)
    finding.range = origin.range
    if let related {
      finding.related?.range = expansion.origin(of: related.range).range
    } else if let use = origin.use {
      finding.related = Note(message: "the snippet is used here", range: use)
    }
    return finding
  }
}

/// Lines and columns of the begins of ranges, found in one pass over the text.
private struct Positions {
  private struct Place: Hashable, Comparable {
    var source: Int
    var offset: Int

    static func < (left: Place, right: Place) -> Bool {
      (left.source, left.offset) < (right.source, right.offset)
    }
  }

  private var found: [Place: (line: Int, column: Int)] = [:]

  init(of findings: [Finding], in sources: [SourceText]) {
    let ranges = findings.map(\.range) + findings.compactMap(\.related?.range)
    var line = 0
    var column = 1
    var last = Place(source: -1, offset: 0)
    for place in ranges.map({ Place(source: $0.source, offset: $0.lower) }).sorted() {
      let text = sources[place.source]
      let target = text.line(at: place.offset)
      if place.source != last.source || target != line {
        last = Place(source: place.source, offset: text.lineStarts[target - 1])
        line = target
        column = 1
      }
      column += text.characters(in: last.offset..<place.offset)
      last = place
      found[place] = (line, column)
    }
  }

  subscript(range: SourceRange) -> (line: Int, column: Int) {
    found[Place(source: range.source, offset: range.lower)] ?? (0, 0)
  }
}

extension SourceText {
  /// The part of a line around a range.
  fileprivate func excerpt(
    of range: SourceRange, line: Int, hiding secrets: [SourceRange]
  ) -> Diagnostic.Excerpt {
    let bounds = bounds(ofLine: line)
    let lower = min(range.lower, bounds.upperBound)
    let upper = max(lower, min(range.upper, bounds.upperBound))
    let before = clip(from: lower, to: bounds.lowerBound, by: -1, characters: 100)
    let after = clip(from: lower, to: bounds.upperBound, by: 1, characters: 100)
    let leading = before > bounds.lowerBound ? "… " : ""
    let trailing = after < bounds.upperBound ? " …" : ""
    let hidden = secrets.filter { secret in
      secret.source == range.source && secret.lower < after && secret.upper > before
    }
    let shown = shown(before..<after, hiding: hidden)
    let marked = characters(in: lower..<min(upper, after))
    return Diagnostic.Excerpt(
      text: leading + shown + trailing,
      offset: leading.unicodeScalars.count + characters(in: before..<lower),
      length: max(marked, 1))
  }

  /// The text in `range` as it may be shown, character for character.
  private func shown(_ range: Range<Int>, hiding secrets: [SourceRange]) -> String {
    var result = ""
    var offset = range.lowerBound
    for scalar in text(in: range).unicodeScalars {
      let isHidden = secrets.contains { $0.lower <= offset && offset < $0.upper }
      let isShown = scalar == "\t" || isPrintable(scalar)
      result.unicodeScalars.append(isHidden ? "*" : isShown ? scalar : "\u{FFFD}")
      offset += UTF8.width(scalar)
    }
    return result
  }

  /// The offset of at most so many characters from `start` towards `limit`.
  private func clip(from start: Int, to limit: Int, by step: Int, characters: Int) -> Int {
    var offset = start
    var count = 0
    while offset != limit && count < characters {
      offset += step
      while offset != limit && offset < bytes.count && bytes[offset] & 0xC0 == 0x80 {
        offset += step
      }
      count += 1
    }
    return offset
  }
}

extension SourceRange {
  /// A range of rules in a source.
  init(_ range: RuleRange, of source: Int) {
    self.init(source: source, lower: range.lower, upper: range.upper)
  }
}
