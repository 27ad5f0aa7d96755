// Files that a configuration includes (see Expander.swift).

internal import Rules

extension Expander {
  mutating func include(from start: Int) {
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

  mutating func include(_ pattern: Argument) {
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

  mutating func include(_ path: String, at place: Argument) {
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
  mutating func number(of path: String, at place: Argument) -> Int? {
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
