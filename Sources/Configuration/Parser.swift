// From tokens to a tree of directives:
//
//     file      = *directive
//     directive = word *word ( ";" / "{" *directive "}" )
//
// The grammar knows nothing of what settings mean. Rules have a language of their own: where one
// begins, the module Rules reads up to its end, and reading goes on behind it.
//
// Recovery. A directive that is broken is kept, marked as not whole, and parsing goes on behind its `;`
// or `}`; so one mistake is one error, and everything around it is still checked. The usual mistake is a
// forgotten `;`: a bare word that begins a line and is the name of a setting begins a new directive.

internal import Rules

/// A setting as it stands in the file.
struct Directive: Sendable {
  /// Its name.
  var name: Word
  /// What follows the name.
  var arguments: [Word] = []
  /// What stands in its braces; nil if it has none.
  var block: [Directive]?
  /// The rule that it is; nil for a setting.
  var rule: RuleStatement?
  /// The opening brace.
  var brace: SourceRange?
  /// Whether its syntax is sound; if not, that has been reported.
  var isWhole = true

  /// From the name to the last argument.
  var range: SourceRange { name.range.through(arguments.last?.range ?? name.range) }
}

/// A parsed file.
struct SyntaxTree: Sendable {
  /// What stands at the top level.
  var directives: [Directive] = []
  /// Whether every brace has its partner and nothing was left out: only then can something be said to
  /// be missing or to stand in the wrong block.
  var isComplete = true
}

/// Reads one file.
struct Parser {
  /// The deepest that blocks may nest.
  static let deepest = 32

  private var lexer: Lexer
  private var token: Token
  private var tree = SyntaxTree()
  private let isSettingName: (String) -> Bool

  /// A parser of source number `source`; `isSettingName` says which words are names of settings.
  private init(
    _ source: Int, _ findings: inout Findings, isSettingName: @escaping (String) -> Bool
  ) {
    lexer = Lexer(findings.sources[source], source: source)
    token = lexer.next(&findings)
    self.isSettingName = isSettingName
  }

  /// The tree of a file; what is wrong with its syntax goes to `findings`.
  static func parse(
    source: Int, _ findings: inout Findings, isSettingName: @escaping (String) -> Bool
  ) -> SyntaxTree {
    var parser = Parser(source, &findings, isSettingName: isSettingName)
    parser.tree.directives = parser.directives(in: nil, depth: 0, &findings)
    return parser.tree
  }

  private mutating func advance(_ findings: inout Findings) { token = lexer.next(&findings) }
}

extension Parser {
  /// Directives up to the end or, in a block, its `}`, which is left to the caller.
  private mutating func directives(
    in parent: String?, depth: Int, _ findings: inout Findings
  ) -> [Directive] {
    var result: [Directive] = []
    while true {
      switch token {
      case .word(let name) where isRule(name, in: parent):
        result.append(rule(name, &findings))
      case .word(let name):
        advance(&findings)
        result.append(directive(name, depth: depth, &findings))
      case .semicolon(let range):
        findings.error("\";\" ends nothing here", at: range, help: "remove it")
        advance(&findings)
      case .open(let range):
        findings.error("\"{\" without a name before it", at: range, help: "name the block")
        _ = block(of: "", brace: range, depth: depth, &findings)
        tree.isComplete = false
      case .close(let range):
        if depth > 0 { return result }
        findings.error("\"}\" closes nothing", at: range, help: "remove it, or open the block")
        tree.isComplete = false
        advance(&findings)
      case .end:
        return result
      }
    }
  }

  /// What follows a name.
  private mutating func directive(
    _ name: Word, depth: Int, _ findings: inout Findings
  ) -> Directive {
    var directive = Directive(name: name, isWhole: !name.isBroken)
    while true {
      switch token {
      case .word(let word):
        if word.startsLine && endsBefore(word, directive, &findings) {
          directive.isWhole = false
          return directive
        }
        directive.arguments.append(word)
        directive.isWhole = directive.isWhole && !word.isBroken
        advance(&findings)
      case .semicolon:
        advance(&findings)
        return directive
      case .open(let range):
        directive.brace = range
        directive.block = block(of: name.text, brace: range, depth: depth, &findings)
        return directive
      case .close, .end:
        if directive.isWhole { reportMissingEnd(directive, &findings) }
        directive.isWhole = false
        return directive
      }
    }
  }

  /// Whether a word that begins a line begins a new directive, as the `;` before it was forgotten.
  private func endsBefore(
    _ word: Word, _ directive: Directive, _ findings: inout Findings
  ) -> Bool {
    if !directive.isWhole { return true }
    guard !word.isQuoted && isSettingName(word.text) else { return false }
    reportMissingEnd(directive, &findings)
    return true
  }

  private func reportMissingEnd(_ directive: Directive, _ findings: inout Findings) {
    let last = directive.arguments.last ?? directive.name
    findings.error(
      "\";\" is missing at the end of \(quoted(directive.name.text))", at: last.range.end,
      help: "expected \";\", or \"{\" if it has a block")
  }

  /// What stands in braces.
  private mutating func block(
    of owner: String, brace: SourceRange, depth: Int, _ findings: inout Findings
  ) -> [Directive] {
    if depth >= Self.deepest {
      findings.error(
        "blocks nest deeper than \(Self.deepest)", at: brace, help: "is a \"}\" missing before?")
      skipBlock(&findings)
      tree.isComplete = false
      return []
    }
    advance(&findings)
    let result = directives(in: owner, depth: depth + 1, &findings)
    if case .close = token {
      advance(&findings)
    } else {
      findings.error("this block is not closed", at: brace, help: "close it with \"}\"")
      tree.isComplete = false
    }
    return result
  }

  /// Passes a block and all in it; the opening brace is the current token.
  private mutating func skipBlock(_ findings: inout Findings) {
    var open = 0
    while true {
      switch token {
      case .open: open += 1
      case .close: open -= 1
      case .end: return
      default: break
      }
      advance(&findings)
      if open == 0 { return }
    }
  }
}

// Rules.
extension Parser {
  /// Whether a word begins a rule: in sites and routes, and where nothing else has that name.
  private func isRule(_ name: Word, in parent: String?) -> Bool {
    guard !name.isQuoted, let keyword = RuleKeyword(rawValue: name.text) else { return false }
    let isPlace = parent == "site" || parent == "route"
    switch keyword {
    case .cache: return isPlace && ["bypass", "ttl", "key"].contains(lexer.upcomingWord)
    case .origin, .limit: return false
    case .when, .respond, .redirect, .degrade, .cors, .securityHeaders, .varyBy: return true
    case .locale: return isPlace
    case .else, .rewrite, .set, .unset, .add, .tag, .log, .on: return isPlace
    }
  }

  /// The rule that begins with the current word.
  private mutating func rule(_ name: Word, _ findings: inout Findings) -> Directive {
    let source = name.range.source
    var found = RuleFindings()
    let (rule, end) = RuleLanguage.parse(
      findings.sources[source].bytes, at: name.range.lower, beginsOther: isSettingName, &found)
    findings.add(found, of: source)
    lexer.skip(to: end)
    advance(&findings)
    return Directive(name: name, rule: rule, isWhole: rule.isWhole)
  }
}
