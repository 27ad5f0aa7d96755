// Snippets: text that has a name and parameters (see Expander.swift).

internal import Rules

extension Expander {
  /// A name and what follows it in parentheses; nil, with the reason reported, if that is not there.
  mutating func call(
    _ directive: String, from start: Int
  ) -> (name: Argument, list: [Argument])? {
    guard let name = argument(stops: "("), !name.text.isEmpty,
      name.text.utf8.allSatisfy({ Self.isNameByte($0) })
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

  mutating func snippet(from start: Int) {
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
    for parameter in list
    where !parameter.text.utf8.allSatisfy({ Self.isNameByte($0) && $0 != 0x2D }) {
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

  mutating func useSnippet(from start: Int) {
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

  mutating func put(
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
