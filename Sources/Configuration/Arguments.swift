internal import Rules

/// The arguments of a directive, taken one after the other by its setting.
struct Arguments {
  /// The directive they belong to.
  let directive: Directive
  private let names: [String]
  private var positional: [Word] = []
  private var named: [Word] = []
  private var used = 0

  /// The arguments of a directive; words `name=value` are set apart only if the setting has such.
  init(_ directive: Directive, names: [String]) {
    self.directive = directive
    self.names = names
    for word in directive.arguments {
      if word.nameLength > 0 && !names.isEmpty {
        named.append(word)
      } else {
        positional.append(word)
      }
    }
  }

  /// What stands in the directive's braces.
  var body: [Directive] { directive.block ?? [] }

  /// Whether the argument that was taken last is what a file has.
  var isFromFile: Bool { used > 0 && used <= positional.count && positional[used - 1].isFromFile }

  /// The next argument as it stands in the file; nil if there is none.
  var upcoming: Word? { used < positional.count ? positional[used] : nil }

  /// Passes the next argument.
  mutating func skip() { used += 1 }

  /// The next argument; nil, with the reason reported, if there is none or it is wrong.
  mutating func next<Value>(
    _ syntax: Syntax<Value>, _ findings: inout Findings
  ) -> Placed<Value>? {
    guard let word = upcoming else {
      if directive.isWhole {
        findings.error(
          "\(quoted(directive.name.text)) needs an argument", at: directive.name.range,
          help: "expected \(syntax.expected)")
      }
      return nil
    }
    used += 1
    if word.isBroken { return nil }
    return read(word.text, at: word.range, syntax, of: directive.name.text, &findings)
  }

  /// The value of `name=value`; nil if it is not there or, with the reason reported, wrong.
  mutating func named<Value>(
    _ name: String, _ syntax: Syntax<Value>, _ findings: inout Findings
  ) -> Placed<Value>? {
    guard let word = named.first(where: { $0.name == name }), !word.isBroken else { return nil }
    var range = word.range
    range.lower += word.nameLength + 1
    let value = String(word.text.utf8.dropFirst(word.nameLength + 1)) ?? ""
    return read(value, at: range, syntax, of: name, &findings)
  }

  private func read<Value>(
    _ text: String, at range: SourceRange, _ syntax: Syntax<Value>, of name: String,
    _ findings: inout Findings
  ) -> Placed<Value>? {
    do throws(Problem) {
      return Placed(value: try syntax.read(text), range: range)
    } catch {
      findings.error(
        "\(name): \(error.message)", at: range,
        help: error.help ?? (error.suggestion == nil ? "expected \(syntax.expected)" : nil),
        suggestion: error.suggestion)
      return nil
    }
  }

  /// Reports arguments that nobody took.
  func finish(_ findings: inout Findings) {
    guard directive.isWhole else { return }
    reportExcess(&findings)
    var seen: [String: SourceRange] = [:]
    for word in named {
      let name = word.name
      if !names.contains(name) {
        findings.error(
          "\(quoted(directive.name.text)) has no argument \(quoted(name))", at: word.range,
          help: "it has \(names.joined(separator: ", "))",
          suggestion: Spelling.nearest(to: name, among: names).map { "\($0)=…" })
      } else if let first = seen[name] {
        findings.error(
          "\(quoted(name)) is given twice", at: word.range,
          related: Finding.Note(message: "the first is here", range: first))
      } else {
        seen[name] = word.range
      }
    }
  }

  private func reportExcess(_ findings: inout Findings) {
    guard let word = upcoming, let last = positional.last else { return }
    var help = "expected \(directive.block == nil ? "\";\"" : "\"{\"") before it"
    if word.startsLine { help = "is a \";\" missing on the line before?" }
    findings.error(
      "\(quoted(directive.name.text)) takes no further argument",
      at: word.range.through(last.range),
      help: help)
  }
}

extension Word {
  /// The name of `name=value`.
  fileprivate var name: String { String(text.utf8.prefix(nameLength)) ?? "" }
}
