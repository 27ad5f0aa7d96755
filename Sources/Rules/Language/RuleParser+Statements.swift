// Rules: conditions with blocks, and actions.

/// The words that begin a rule, and how the reference shows them.
package enum RuleKeyword: String, CaseIterable, Sendable {
  case when, `else`, respond, redirect, rewrite, set, unset, add, origin, limit, cache
  case varyBy = "vary_by"
  case tag, log, on, degrade, cors
  case securityHeaders = "security_headers"
  case locale

  /// Whether a word begins a rule anywhere.
  package static func isKeyword(_ word: String) -> Bool { RuleKeyword(rawValue: word) != nil }

  /// Whether the word is also a setting of sites and routes, where only some of its forms are rules.
  package var isAlsoSetting: Bool {
    switch self {
    case .origin, .limit, .cache: true
    default: false
    }
  }
}

extension RuleParser {
  /// The rule that begins here.
  mutating func statement(_ findings: inout RuleFindings) -> RuleStatement {
    let first = take(&findings)
    let start = first.range
    guard case .name(let name) = first.kind, let keyword = RuleKeyword(rawValue: name) else {
      reportUnknown(first, &findings)
      return recover(from: start, &findings)
    }
    let kind = statement(keyword, start, &findings)
    guard let kind else { return recover(from: start, &findings) }
    return RuleStatement(
      kind: kind, range: RuleRange(lower: start.lower, upper: kind.end ?? consumed))
  }

  private mutating func reportUnknown(_ token: RuleToken, _ findings: inout RuleFindings) {
    guard case .name(let name) = token.kind else {
      unexpected(token, "a rule", &findings)
      return
    }
    let others = ["if": "when", "elif": "else when", "return": "respond", "header": "set header.…"]
    let meant =
      others[name] ?? Spelling.nearest(to: name, among: RuleKeyword.allCases.map(\.rawValue))
    findings.error(
      "there is no rule \(shown(name))", at: token.range,
      help: meant == nil
        ? "rules are \(RuleKeyword.allCases.map(\.rawValue).joined(separator: " "))" : nil,
      suggestion: meant)
  }

  private mutating func statement(
    _ keyword: RuleKeyword, _ start: RuleRange, _ findings: inout RuleFindings
  ) -> RuleStatement.Kind? {
    switch keyword {
    case .when: return when(&findings)
    case .else:
      findings.error(
        "\"else\" without \"when\"", at: start, help: "it stands right behind the block of a when")
      return nil
    case .respond: return respond(&findings)
    case .redirect: return redirect(&findings)
    case .rewrite: return rewrite(&findings)
    case .set: return changed(&findings) { .set($0, $1) }
    case .add: return changed(&findings) { .add($0, $1) }
    case .unset:
      guard let target = target(&findings) else { return nil }
      return ended(.unset(target), &findings)
    case .origin:
      guard let (name, range) = word("the name of an origin", &findings) else { return nil }
      return ended(.origin(name, range), &findings)
    case .limit:
      guard let (name, range) = word("the name of a limit", &findings) else { return nil }
      var cost: Expression?
      if case .name("cost") = peek(&findings).kind {
        take(&findings)
        cost = expression(&findings)
        if cost == nil { return nil }
      }
      return ended(.limit(name, range, cost: cost), &findings)
    case .cache: return cache(&findings)
    case .varyBy: return values(&findings).flatMap { ended(.varyBy($0), &findings) }
    case .tag: return values(&findings).flatMap { ended(.tag($0), &findings) }
    case .log:
      guard let (name, range) = word("the name of a log field", &findings) else { return nil }
      guard name.utf8.allSatisfy(isLogNameByte), name.utf8.count <= 64 else {
        findings.error(
          "\(shown(name)) cannot be the name of a log field", at: range,
          help: "expected letters, digits and \"_\", at most 64")
        return nil
      }
      return expression(&findings).flatMap { ended(.log(name, $0), &findings) }
    case .on:
      let token = take(&findings)
      guard case .name("response") = token.kind else {
        unexpected(token, "\"response\"", &findings)
        return nil
      }
      return block(&findings).map { .onResponse($0) }
    case .degrade: return block(&findings).map { .onFailure($0) }
    case .cors: return cors(start, &findings)
    case .securityHeaders: return securityHeaders(start, &findings)
    case .locale: return locale(start, &findings)
    }
  }

  private func isLogNameByte(_ byte: UInt8) -> Bool {
    (byte | 0x20) &- 0x61 < 26 || byte &- 0x30 < 10 || byte == UInt8(ascii: "_")
  }

  /// The kind, if `;` ends the rule here.
  mutating func ended(
    _ kind: RuleStatement.Kind, _ findings: inout RuleFindings
  ) -> RuleStatement.Kind? {
    if takes(";", &findings) { return kind }
    let token = peek(&findings)
    let isForgotten: Bool =
      switch token.kind {
      case .end, .symbol("}"): true
      default: startsLine(token)
      }
    if isForgotten {
      findings.error(
        "\";\" is missing at the end of the rule", at: RuleRange(lower: consumed, upper: consumed))
    } else {
      unexpected(token, "\";\"", &findings)
    }
    return nil
  }

  /// Passes what is left of a broken rule.
  mutating func recover(from start: RuleRange, _ findings: inout RuleFindings) -> RuleStatement {
    let broken = RuleStatement(kind: .broken, range: start)
    var quiet = RuleFindings()
    while true {
      let token = peek(&quiet)
      switch token.kind {
      case .symbol(";"):
        take(&quiet)
        return broken
      case .symbol("{"):
        _ = block(&findings)
        return broken
      case .symbol("}"), .end: return broken
      case .name(let name)
      where (RuleKeyword.isKeyword(name) || beginsOther(name))
        && startsLine(token) && token.range.lower > start.lower:
        return broken
      default: take(&quiet)
      }
    }
  }

  /// Rules in braces; nil if there is no brace.
  mutating func block(_ findings: inout RuleFindings) -> [RuleStatement]? {
    let brace = peek(&findings)
    guard takes("{", &findings) else {
      unexpected(brace, "\"{\"", &findings)
      return nil
    }
    let isShallow = deeper(brace.range, &findings)
    defer { if isShallow { shallower() } }
    var result: [RuleStatement] = []
    var quiet = RuleFindings()
    var open = 0
    while true {
      let token = isShallow ? peek(&findings) : peek(&quiet)
      switch token.kind {
      case .end:
        findings.error("this block is not closed", at: brace.range, help: "close it with \"}\"")
        return result
      case .symbol("}"):
        take(&findings)
        if open == 0 { return result }
        open -= 1
      case .symbol("{") where !isShallow:
        take(&quiet)
        open += 1
      case .symbol(";") where isShallow:
        findings.error("\";\" ends nothing here", at: token.range, help: "remove it")
        take(&findings)
      default:
        if isShallow { result.append(statement(&findings)) } else { take(&quiet) }
      }
    }
  }

  private mutating func when(_ findings: inout RuleFindings) -> RuleStatement.Kind? {
    var branches: [Branch] = []
    while true {
      guard let condition = expression(&findings) else { return nil }
      guard let body = block(&findings) else { return nil }
      branches.append(Branch(condition: condition, body: body))
      guard isElseNext() else { return .when(branches, otherwise: nil) }
      take(&findings)
      if case .name("when") = peek(&findings).kind {
        take(&findings)
        continue
      }
      guard let otherwise = block(&findings) else { return nil }
      return .when(branches, otherwise: otherwise)
    }
  }
}

// Actions.
extension RuleParser {
  private mutating func status(
    _ allowed: String, _ findings: inout RuleFindings, _ isAllowed: (Int64) -> Bool
  ) -> Int? {
    let token = take(&findings)
    guard case .integer(let number) = token.kind else {
      unexpected(token, "a status", &findings)
      return nil
    }
    guard isAllowed(number) else {
      findings.error(
        "\(number) is not a status for this", at: token.range, help: "expected \(allowed)")
      return nil
    }
    return Int(number)
  }

  private mutating func respond(_ findings: inout RuleFindings) -> RuleStatement.Kind? {
    guard
      let status = status(
        "200 to 599, but not 304", &findings, { (200...599).contains($0) && $0 != 304 })
    else { return nil }
    var body: Expression?
    switch peek(&findings).kind {
    case .symbol(";"), .symbol("{"): break
    default:
      body = expression(&findings)
      if body == nil { return nil }
    }
    guard let fields = fields(&findings) else { return nil }
    return .respond(status: status, body: body, fields: fields)
  }

  private mutating func redirect(_ findings: inout RuleFindings) -> RuleStatement.Kind? {
    let allowed: [Int64] = [301, 302, 303, 307, 308]
    guard
      let status = status("301, 302, 303, 307 or 308", &findings, { allowed.contains($0) }),
      let target = expression(&findings), let fields = fields(&findings)
    else { return nil }
    return .redirect(status: status, target: target, fields: fields)
  }

  /// `;` or the fields of an answer in braces.
  private mutating func fields(_ findings: inout RuleFindings) -> [AnswerField]? {
    let brace = peek(&findings).range
    guard takes("{", &findings) else { return ended(.broken, &findings).map { _ in [] } }
    var result: [AnswerField] = []
    while !takes("}", &findings) {
      let token = peek(&findings)
      if case .end = token.kind {
        findings.error("this block is not closed", at: brace, help: "close it with \"}\"")
        return nil
      }
      guard case .name(let name) = token.kind else {
        unexpected(token, "the name of a field", &findings)
        return nil
      }
      take(&findings)
      guard let value = expression(&findings), ended(.broken, &findings) != nil else { return nil }
      result.append(AnswerField(name: name, nameRange: token.range, value: value))
    }
    return result
  }

  private mutating func rewrite(_ findings: inout RuleFindings) -> RuleStatement.Kind? {
    let token = take(&findings)
    switch token.kind {
    case .name("path"):
      return expression(&findings).flatMap { ended(.rewritePath($0), &findings) }
    case .name("query"):
      return expression(&findings).flatMap { ended(.rewriteQuery($0), &findings) }
    default:
      unexpected(token, "\"path\" or \"query\"", &findings)
      return nil
    }
  }

  private mutating func target(_ findings: inout RuleFindings) -> Target? {
    let token = take(&findings)
    switch token.kind {
    case .variable(let name): return Target(kind: .variable(name), range: token.range)
    case .name(let name):
      for (prefix, isVariable) in [
        ("var.", true), ("header.", false), ("response.header.", false), ("request.header.", false),
      ] where name.hasPrefix(prefix) {
        let rest = String(name.dropFirst(prefix.count))
        return Target(kind: isVariable ? .variable(rest) : .field(rest), range: token.range)
      }
      let isVariable = !name.contains(".")
      findings.error(
        "\(shown(name)) is nothing that a rule can change", at: token.range,
        help: "expected a variable such as $name, or a field such as header.x-name",
        suggestion: isVariable && !DataName.isKnown(name) ? "$\(name)" : nil)
      return nil
    default:
      unexpected(token, "a variable such as $name, or a field such as header.x-name", &findings)
      return nil
    }
  }

  private mutating func changed(
    _ findings: inout RuleFindings, _ make: (Target, Expression) -> RuleStatement.Kind
  ) -> RuleStatement.Kind? {
    guard let target = target(&findings) else { return nil }
    guard let value = expression(&findings) else { return nil }
    return ended(make(target, value), &findings)
  }

  private mutating func cache(_ findings: inout RuleFindings) -> RuleStatement.Kind? {
    let token = take(&findings)
    switch token.kind {
    case .name("bypass"): return ended(.cacheBypass, &findings)
    case .name("ttl"): return expression(&findings).flatMap { ended(.cacheTTL($0), &findings) }
    case .name("key"): return expression(&findings).flatMap { ended(.cacheKey($0), &findings) }
    case .name("off"):
      findings.error("\"off\" cannot stand in a rule", at: token.range, suggestion: "bypass")
      return nil
    default:
      unexpected(token, "bypass, ttl or key", &findings)
      return nil
    }
  }

  /// One or more values between commas.
  private mutating func values(_ findings: inout RuleFindings) -> [Expression]? {
    var result: [Expression] = []
    repeat {
      guard let value = expression(&findings) else { return nil }
      result.append(value)
    } while takes(",", &findings)
    return result
  }
}

extension RuleStatement.Kind {
  /// Where the range of a rule with a block ends, for messages.
  fileprivate var end: Int? {
    guard case .when(let branches, _) = self else { return nil }
    return branches.first?.condition.range.upper
  }
}
