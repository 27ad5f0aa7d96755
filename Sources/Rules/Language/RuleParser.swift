// From tokens to the trees of expressions and rules.
//
//     rule       = "when" condition block *( "else" "when" condition block ) [ "else" block ] / action
//     condition  = and *( "||" and )            and = not *( "&&" not )        not = *"!" comparison
//     comparison = value [ ( "==" / "!=" / "<" / "<=" / ">" / ">=" / "in" / "matches" ) value ]
//     value      = literal / name / $variable / name "(" [ condition *( "," condition ) ] ")"
//                / "[" [ condition *( "," condition ) ] "]" / "(" condition ")" ; each: *( "[" number "]" )
//
// Recovery: a rule that is broken is passed up to its `;` or behind its block, whose rules are read all
// the same; so one mistake is one error, and everything around it is still checked.

internal import Bytes

/// Reads rules from a text.
struct RuleParser {
  private var lexer: RuleLexer
  /// The token that comes next, once somebody has asked for it: what follows a rule is not ours to read.
  private var peeked: RuleToken?
  /// Behind the last token taken.
  private(set) var consumed: Int
  private var depth = 0
  /// Which words, at the begin of a line, are not of a rule that has gone wrong before.
  var beginsOther: (String) -> Bool = { _ in false }

  /// The deepest that expressions, and blocks, may nest.
  static let deepest = 32

  init(_ bytes: [UInt8], from offset: Int, to end: Int, depth: Int = 0) {
    lexer = RuleLexer(bytes, from: offset, to: end)
    consumed = offset
    self.depth = depth
  }
}

// Tokens.
extension RuleParser {
  mutating func peek(_ findings: inout RuleFindings) -> RuleToken {
    if let peeked { return peeked }
    let token = lexer.next(&findings)
    peeked = token
    return token
  }

  @discardableResult
  mutating func take(_ findings: inout RuleFindings) -> RuleToken {
    let token = peek(&findings)
    peeked = nil
    consumed = token.range.upper
    return token
  }

  /// Takes a symbol if it is next.
  mutating func takes(_ symbol: String, _ findings: inout RuleFindings) -> Bool {
    guard peek(&findings).kind == .symbol(symbol) else { return false }
    take(&findings)
    return true
  }

  /// A bare word or a text; nil, reported, if there is neither.
  mutating func word(_ what: String, _ findings: inout RuleFindings) -> (String, RuleRange)? {
    if peeked == nil, let token = lexer.word(), case .name(let text) = token.kind {
      consumed = token.range.upper
      return (text, token.range)
    }
    let token = peek(&findings)
    if case .text(let pieces) = token.kind, case .literal(let bytes)? = pieces.first,
      pieces.count == 1
    {
      take(&findings)
      return (String(decoding: bytes, as: UTF8.self), token.range)
    }
    unexpected(token, what, &findings)
    return nil
  }

  /// Whether the word `else` comes next; nothing else is read, nor reported.
  mutating func isElseNext() -> Bool {
    guard peeked == nil else { return peeked?.kind == .name("else") }
    var ahead = lexer
    guard let token = ahead.word() else { return false }
    return token.kind == .name("else")
  }

  /// Reports a token that cannot stand where it does.
  mutating func unexpected(
    _ token: RuleToken, _ expected: String, _ findings: inout RuleFindings
  ) {
    switch token.kind {
    case .broken: return
    case .end:
      findings.error("the text ends where \(expected) was expected", at: token.range)
    default:
      let text = String(decoding: lexer.bytes[token.range.lower..<token.range.upper], as: UTF8.self)
      findings.error(
        "\(shown(text)) stands where \(expected) was expected", at: token.range,
        suggestion: RuleParser.otherWords[text])
    }
  }

  /// What other languages write.
  private static let otherWords = [
    "and": "&&", "or": "||", "not": "!", "is": "==", "eq": "==", "ne": "!=", "elif": "else when",
    "elsif": "else when", "if": "when", "contains": "contains(text, part)", "~": "matches",
  ]

  mutating func startsLine(_ token: RuleToken) -> Bool { lexer.startsLine(token.range.lower) }

  mutating func deeper(_ range: RuleRange, _ findings: inout RuleFindings) -> Bool {
    depth += 1
    if depth <= Self.deepest { return true }
    findings.error("this nests deeper than \(Self.deepest)", at: range)
    depth -= 1
    return false
  }

  mutating func shallower() { depth -= 1 }
}

// Expressions. Each gives nil where an error was reported and nothing can be made of it.
extension RuleParser {
  /// A condition or value.
  mutating func expression(_ findings: inout RuleFindings) -> Expression? {
    let start = peek(&findings).range
    guard deeper(start, &findings) else { return nil }
    defer { shallower() }
    guard let first = conjunction(&findings) else { return nil }
    var terms = [first]
    while takes("||", &findings) {
      guard let term = conjunction(&findings) else { return nil }
      terms.append(term)
    }
    guard terms.count > 1, let last = terms.last else { return first }
    return Expression(kind: .any(terms), range: first.range.through(last.range))
  }

  private mutating func conjunction(_ findings: inout RuleFindings) -> Expression? {
    guard let first = negation(&findings) else { return nil }
    var terms = [first]
    while takes("&&", &findings) {
      guard let term = negation(&findings) else { return nil }
      terms.append(term)
    }
    guard terms.count > 1, let last = terms.last else { return first }
    return Expression(kind: .all(terms), range: first.range.through(last.range))
  }

  private mutating func negation(_ findings: inout RuleFindings) -> Expression? {
    let start = peek(&findings).range
    guard takes("!", &findings) else { return comparison(&findings) }
    guard deeper(start, &findings) else { return nil }
    defer { shallower() }
    guard let inner = negation(&findings) else { return nil }
    return Expression(kind: .not(inner), range: start.through(inner.range))
  }

  private mutating func comparison(_ findings: inout RuleFindings) -> Expression? {
    guard let left = value(&findings) else { return nil }
    let token = peek(&findings)
    let found: Comparison? =
      switch token.kind {
      case .symbol(let text): Comparison(rawValue: text)
      case .name("in"): .isIn
      case .name("matches"): .matches
      default: nil
      }
    guard let found else { return left }
    take(&findings)
    guard let right = value(&findings) else { return nil }
    return Expression(
      kind: .compare(found, left, right), range: left.range.through(right.range))
  }

  private mutating func value(_ findings: inout RuleFindings) -> Expression? {
    guard var result = primary(&findings) else { return nil }
    while takes("[", &findings) {
      let isNegative = takes("-", &findings)
      let token = take(&findings)
      guard case .integer(let number) = token.kind, number < 1_000 else {
        unexpected(token, "the number of a part, up to 999", &findings)
        return nil
      }
      guard takes("]", &findings) else {
        unexpected(peek(&findings), "\"]\"", &findings)
        return nil
      }
      let range = RuleRange(lower: result.range.lower, upper: consumed)
      result = Expression(
        kind: .index(result, isNegative ? -Int(number) : Int(number)), range: range)
    }
    return result
  }

  private mutating func primary(_ findings: inout RuleFindings) -> Expression? {
    let token = peek(&findings)
    let kind: Expression.Kind
    switch token.kind {
    case .text(let pieces): return text(pieces, &findings)
    case .integer(let value): kind = .integer(value)
    case .duration(let value): kind = .duration(value)
    case .address(let value): kind = .address(value)
    case .network(let value): kind = .network(value)
    case .pattern(let bytes): kind = .pattern(bytes)
    case .variable(let name): kind = .variable(name)
    case .name("true"): kind = .boolean(true)
    case .name("false"): kind = .boolean(false)
    case .name(let name): return named(name, &findings)
    case .symbol("("): return grouped(&findings)
    case .symbol("["):
      take(&findings)
      guard let items = items(until: "]", &findings) else { return nil }
      return Expression(
        kind: .list(items), range: RuleRange(lower: token.range.lower, upper: consumed))
    case .symbol("-"):
      findings.error("there are no negative numbers here", at: token.range)
      return nil
    default:
      unexpected(token, "a value", &findings)
      return nil
    }
    take(&findings)
    return Expression(kind: kind, range: token.range)
  }

  private mutating func grouped(_ findings: inout RuleFindings) -> Expression? {
    take(&findings)
    guard let inner = expression(&findings) else { return nil }
    guard takes(")", &findings) else {
      unexpected(peek(&findings), "\")\"", &findings)
      return nil
    }
    return inner
  }

  private mutating func named(_ name: String, _ findings: inout RuleFindings) -> Expression? {
    let token = take(&findings)
    guard case .symbol("(") = peek(&findings).kind else {
      return Expression(kind: .name(name), range: token.range)
    }
    take(&findings)
    guard let arguments = items(until: ")", &findings) else { return nil }
    let range = RuleRange(lower: token.range.lower, upper: consumed)
    return Expression(kind: .call(name, token.range, arguments), range: range)
  }

  /// Expressions between commas, up to and with the closing symbol.
  private mutating func items(
    until close: String, _ findings: inout RuleFindings
  ) -> [Expression]? {
    var result: [Expression] = []
    while !takes(close, &findings) {
      if !result.isEmpty && !takes(",", &findings) {
        unexpected(peek(&findings), "\",\" or \"\(close)\"", &findings)
        return nil
      }
      if takes(close, &findings) { return result }
      guard let item = expression(&findings) else { return nil }
      result.append(item)
    }
    return result
  }

  private mutating func text(
    _ pieces: [RuleToken.Piece], _ findings: inout RuleFindings
  ) -> Expression? {
    let token = take(&findings)
    var parts: [TextPart] = []
    for piece in pieces {
      switch piece {
      case .literal(let bytes): parts.append(.literal(bytes))
      case .expression(let range):
        var inner = RuleParser(lexer.bytes, from: range.lower, to: range.upper, depth: depth)
        guard let value = inner.expression(&findings) else { return nil }
        let rest = inner.peek(&findings)
        guard case .end = rest.kind else {
          unexpected(rest, "\"}\"", &findings)
          return nil
        }
        parts.append(.value(value))
      }
    }
    return Expression(kind: .text(parts), range: token.range)
  }
}
