// Rules: what they do, and whether anything can come after them.

internal import Bytes
internal import HTTPMessage

extension Compiler {
  /// Writes rules one after the other; whether the request always ends in them.
  mutating func emit(_ rules: [RuleStatement]) -> Bool {
    var ended: RuleRange?
    var isReported = false
    for rule in rules {
      if let ended, !isReported, !rule.isPreset {
        isReported = true
        findings.error(
          "this never runs", at: rule.range, help: "remove it, or put it before",
          related: RuleNote(message: "the request always ends here", range: ended))
      }
      if emit(rule) { ended = ended ?? rule.range }
    }
    return ended != nil
  }

  private mutating func emit(_ rule: RuleStatement) -> Bool {
    guard mayStand(rule) else { return false }
    switch rule.kind {
    case .when(let branches, let otherwise): return emitWhen(branches, otherwise)
    case .respond(let status, let body, let fields):
      return emitRespond(rule, status, body, fields)
    case .redirect(let status, let target, let fields):
      return emitRedirect(rule, status, target, fields)
    case .rewritePath(let value): emitRewrite(rule, value, .rewritePath, "path")
    case .rewriteQuery(let value): emitRewrite(rule, value, .rewriteQuery, "query")
    case .set(let target, let value): emitSet(rule, target, value)
    case .add(let target, let value): emitAdd(rule, target, value)
    case .unset(let target): emitUnset(rule, target)
    case .origin(let name, let range): emitOrigin(rule, name, range)
    case .limit(let name, let range, let cost): emitLimit(rule, name, range, cost)
    case .cacheBypass:
      note(.action(hasValue: false), rule.range)
      emit(.cacheBypass)
    case .cacheTTL(let value): emitTTL(rule, value)
    case .cacheKey(let value):
      guard isOfRequest(rule, "cache key") else { return false }
      emitTexts(rule, [value], .cacheKey)
    case .varyBy(let values):
      guard isOfRequest(rule, "vary_by") else { return false }
      emitTexts(rule, values, .varyBy)
    case .tag(let values): emitTexts(rule, values, .tag)
    case .log(let name, let value): emitTexts(rule, [value], .log, operand: text(Array(name.utf8)))
    case .onResponse:
      findings.error(
        "\"on response\" cannot stand in another block", at: rule.range,
        help: "put the condition into it: on response { when … { … } }")
    case .onFailure:
      findings.error(
        "\"degrade\" cannot stand in another block", at: rule.range,
        help: "put the condition into it: degrade { when … { … } }")
    case .preset:
      findings.error(
        "a preset cannot stand in a block of rules", at: rule.range,
        help: "it stands in a site or a route")
    case .broken: return false
    }
    return false
  }

  /// Whether a rule means something where no server can answer; reported if not.
  private mutating func mayStand(_ rule: RuleStatement) -> Bool {
    guard context.isFailure else { return true }
    switch rule.kind {
    case .when, .respond, .redirect, .origin, .broken, .onFailure, .onResponse, .preset: return true
    case .set(let target, _): if case .variable = target.kind { return true }
    default: break
    }
    findings.error(
      "this means nothing in \"degrade\"", at: rule.range,
      help: "there a request is answered, redirected, or sent to another origin")
    return false
  }

  /// Whether a rule can stand here; reported if it needs to come before the response.
  private mutating func isOfRequest(_ rule: RuleStatement, _ what: String) -> Bool {
    guard isResponse else { return true }
    findings.error(
      "\(shown(what)) cannot stand in \"on response\"", at: rule.range,
      help: "it decides before there is a response")
    return false
  }
}

// Conditions.
extension Compiler {
  private mutating func emitWhen(_ branches: [Branch], _ otherwise: [RuleStatement]?) -> Bool {
    let before = (refuted: refuted, guards: guards)
    let touchedBefore = touched.count
    var ends: [Int] = []
    var allEnd = true
    var known: [Refuted] = []
    for branch in branches {
      let register = UInt8(Registers.values)
      let isSound = emitCondition(branch.condition, register)
      note(.condition, branch.condition.range, register)
      let next = emitJump(.jumpUnless, register)
      let outer = (refuted: refuted, guards: guards)
      guards.append(branch.condition)
      let isEnded = emit(branch.body)
      (refuted, guards) = outer
      if !isEnded { ends.append(emitJump(.jump)) }
      land(next)
      if isSound { refuted.append(Refuted(condition: branch.condition, isSameChain: true)) }
      guards.append(Expression(kind: .not(branch.condition), range: branch.condition.range))
      forgetOldest()
      if allEnd && isEnded && isSound {
        known.append(Refuted(condition: branch.condition, isSameChain: false))
      }
      allEnd = allEnd && isEnded
    }
    if let otherwise { allEnd = emit(otherwise) && allEnd } else { allEnd = false }
    for place in ends { land(place) }
    refuted = before.refuted + known.flatMap(\.terms)
    guards = before.guards
    forgetOldest()
    forget(since: touchedBefore)
    return allEnd
  }

  /// Keeps what is known short, so that checking stays linear in the number of rules.
  private mutating func forgetOldest() {
    if refuted.count > Self.mostRefuted {
      refuted.removeFirst(refuted.count - Self.mostRefuted)
      isForgetful = true
    }
    if guards.count > Self.mostRefuted {
      guards.removeFirst(guards.count - Self.mostRefuted)
      isForgetful = true
    }
  }

  /// Writes a condition; whether it is one, and can be either.
  private mutating func emitCondition(_ condition: Expression, _ register: UInt8) -> Bool {
    guard let type = emit(condition, register) else { return false }
    guard type == .boolean else {
      findings.error(
        "a condition is true or false, and this is \(type.described)", at: condition.range,
        suggestion: type == .text ? conditionMeant(by: condition) : nil)
      return false
    }
    if let value = condition.constantCondition {
      findings.error(
        value ? "this is always true" : "this is never true", at: condition.range,
        help: value
          ? "what is in the block needs no condition" : "so what is in the block never runs")
      return false
    }
    if let reason = refuted.first(where: { condition.implies($0.condition) }) {
      findings.error(
        "this is never true, so what is in the block never runs", at: condition.range,
        related: RuleNote(
          message: reason.isSameChain
            ? "this comes first and takes all of it" : "all of it has ended here",
          range: reason.condition.range))
      return false
    }
    return true
  }

  private func conditionMeant(by condition: Expression) -> String? {
    guard case .name(let name) = condition.kind else { return nil }
    return "exists(\(name))"
  }

  private mutating func forget(since count: Int) {
    refuted = refuted.filter { !touches($0.condition, since: count) }
    guards = guards.filter { !touches($0, since: count) }
  }

  /// Whether rules since `count` changes have changed what a condition asks about.
  private func touches(_ condition: Expression, since count: Int) -> Bool {
    guard count < touched.count else { return false }
    let subjects = condition.subjects
    for name in touched[count...] {
      if subjects.contains(name) { return true }
      let isQuery = name == "query" && subjects.contains { $0.hasPrefix("query.") }
      let isCookie = name == "header.cookie" && subjects.contains { $0.hasPrefix("cookie.") }
      if isQuery || isCookie { return true }
    }
    return false
  }
}

// Answers.
extension Compiler {
  private mutating func emitRespond(
    _ rule: RuleStatement, _ status: Int, _ body: Expression?, _ fields: [AnswerField]
  ) -> Bool {
    guard isOfRequest(rule, "respond") else { return false }
    emitAnswer(fields)
    let register = UInt8(Registers.values)
    if let body {
      guard emitText(body, register) else { return true }
      if status == 204 || status == 205 {
        findings.error("a response with status \(status) has no content", at: body.range)
      }
    }
    note(.action(hasValue: body != nil), rule.range, register, .text)
    emit(.respond, left: register, operand: status, extra: body == nil ? 0 : 1)
    return true
  }

  private mutating func emitRedirect(
    _ rule: RuleStatement, _ status: Int, _ target: Expression, _ fields: [AnswerField]
  ) -> Bool {
    guard isOfRequest(rule, "redirect") else { return false }
    emitAnswer(fields)
    let register = UInt8(Registers.values)
    guard emitText(target, register) else { return true }
    let setsCookie = fields.contains { $0.name.lowercased() == "set-cookie" }
    if !setsCookie, !isForgetful,
      let reason = SelfRedirect.reason(target, guards, refuted.map(\.condition))
    {
      findings.error("this redirect leads to itself", at: target.range, help: reason)
    }
    note(.action(hasValue: true), rule.range, register, .text)
    emit(.redirect, left: register, operand: status)
    return true
  }

  private mutating func emitAnswer(_ fields: [AnswerField]) {
    let register = UInt8(Registers.values)
    for answer in fields {
      guard isField(answer.name, answer.nameRange, ofResponse: true) else { continue }
      guard emitText(answer.value, register) else { continue }
      emit(.answerField, left: register, operand: field(answer.name, ofResponse: true))
    }
  }

  private mutating func emitRewrite(
    _ rule: RuleStatement, _ value: Expression, _ opcode: Opcode, _ what: String
  ) {
    guard isOfRequest(rule, "rewrite \(what)") else { return }
    if what == "path", let text = value.constantText, text.first != ASCII.slash {
      findings.error("a path begins with \"/\"", at: value.range)
    }
    emitTexts(rule, [value], opcode)
    touched.append(what)
    if what == "query" { touched.append("query") }
    forget(what)
  }

  /// Takes back what is known about something that changes.
  private mutating func forget(_ name: String) {
    touched.append(name)
    forget(since: touched.count - 1)
  }
}

// Changes.
extension Compiler {
  private mutating func emitSet(_ rule: RuleStatement, _ target: Target, _ value: Expression) {
    switch target.kind {
    case .variable(let name): emitVariable(rule, name, target.range, value)
    case .field(let name): emitField(rule, name, target.range, value, .setField)
    }
  }

  private mutating func emitAdd(_ rule: RuleStatement, _ target: Target, _ value: Expression) {
    guard case .field(let name) = target.kind else {
      findings.error(
        "only fields can be added", at: target.range, help: "a variable is set: set $name …")
      return
    }
    emitField(rule, name, target.range, value, .addField)
  }

  private mutating func emitUnset(_ rule: RuleStatement, _ target: Target) {
    guard case .field(let name) = target.kind else {
      findings.error("only fields can be unset", at: target.range)
      return
    }
    guard isField(name, target.range, ofResponse: isResponse) else { return }
    note(.action(hasValue: false), rule.range)
    emit(.unsetField, operand: field(name, ofResponse: isResponse))
    forget((isResponse ? "response.header." : "header.") + name.lowercased())
  }

  private mutating func emitField(
    _ rule: RuleStatement, _ name: String, _ range: RuleRange, _ value: Expression, _ opcode: Opcode
  ) {
    guard isField(name, range, ofResponse: isResponse) else { return }
    emitTexts(rule, [value], opcode, operand: field(name, ofResponse: isResponse))
    forget((isResponse ? "response.header." : "header.") + name.lowercased())
  }

  private mutating func emitVariable(
    _ rule: RuleStatement, _ name: String, _ range: RuleRange, _ value: Expression
  ) {
    let register = UInt8(Registers.values)
    guard let type = emit(value, register) else {
      // So that its uses are not reported as well.
      if variables[name] == nil { variables[name] = Variable(register: 0, type: .network) }
      return
    }
    guard type.isScalar else {
      findings.error(
        "a variable cannot hold \(type.described)", at: value.range,
        help: "write it where it is used")
      return
    }
    if let variable = variables[name], variable.type != .network, variable.type != type {
      findings.error(
        "$\(name) is \(variable.type.described), and this is \(type.described)", at: value.range)
      return
    }
    if variables[name] == nil {
      guard variables.count < Registers.kept else {
        findings.error("there are too many variables", at: range, help: "at most \(Registers.kept)")
        return
      }
      variables[name] = Variable(
        register: UInt8(variables.count), type: type, isCarried: isResponse)
    }
    guard let variable = variables[name] else { return }
    note(.action(hasValue: true), rule.range, register, type)
    emit(.move, to: variable.register, left: register)
    forget("$\(name)")
  }

  /// Whether rules may change a field; reported if not.
  private mutating func isField(_ name: String, _ range: RuleRange, ofResponse: Bool) -> Bool {
    let lower = name.lowercased()
    guard !lower.isEmpty, lower.utf8.count <= 256, lower.utf8.allSatisfy({ ASCII.isTokenByte($0) })
    else {
      findings.error("\(shown(name)) is not the name of a field", at: range)
      return false
    }
    guard !Self.ownFields.contains(lower), ofResponse || lower != "host" else {
      findings.error(
        "\(shown(lower)) is the node's own, and rules cannot change it", at: range,
        help: lower == "host" ? "what servers see is set by host in the origin" : nil)
      return false
    }
    return true
  }

  /// What frames messages (RFC 9112 §6) or belongs to one connection (RFC 9110 §7.6.1).
  private static let ownFields: Set<String> = [
    "connection", "content-length", "transfer-encoding", "te", "trailer", "upgrade", "keep-alive",
    "proxy-connection", "expect", "http2-settings", "age", "date", "cache-status",
  ]
}

// Choices.
extension Compiler {
  private mutating func emitOrigin(_ rule: RuleStatement, _ name: String, _ range: RuleRange) {
    guard isOfRequest(rule, "origin") else { return }
    let number = Self.number(of: name, range, in: &code.origins)
    note(.action(hasValue: false), rule.range)
    emit(.origin, operand: number)
  }

  private mutating func emitLimit(
    _ rule: RuleStatement, _ name: String, _ range: RuleRange, _ cost: Expression?
  ) {
    guard isOfRequest(rule, "limit") else { return }
    let number = Self.number(of: name, range, in: &code.limits)
    guard let cost else {
      note(.action(hasValue: false), rule.range)
      emit(.limit, operand: number)
      return
    }
    let register = UInt8(Registers.values)
    guard let type = emit(cost, register) else { return }
    guard type == .integer else {
      findings.error(
        "cost takes a number, and this is \(type.described)", at: cost.range,
        help: type == .text ? "write to_int(…, 1)" : nil)
      return
    }
    note(.action(hasValue: true), rule.range, register, type)
    emit(.limitWithCost, left: register, operand: number)
  }

  private static func number(of name: String, _ range: RuleRange, in list: inout [RuleName]) -> Int
  {
    if let number = list.firstIndex(where: { $0.name == name }) { return number }
    list.append(RuleName(name: name, range: range))
    return list.count - 1
  }

  private mutating func emitTTL(_ rule: RuleStatement, _ value: Expression) {
    let register = UInt8(Registers.values)
    guard let type = emit(value, register) else { return }
    guard type == .duration else {
      findings.error(
        "cache ttl takes a duration, and this is \(type.described)", at: value.range,
        help: type == .integer ? "write a unit, such as 5m, or seconds(…)" : nil)
      return
    }
    note(.action(hasValue: true), rule.range, register, type)
    emit(.cacheTTL, left: register)
  }

  /// Writes an action for each of some texts.
  private mutating func emitTexts(
    _ rule: RuleStatement, _ values: [Expression], _ opcode: Opcode, operand: Int = 0
  ) {
    let register = UInt8(Registers.values)
    for value in values {
      guard emitText(value, register) else { continue }
      note(.action(hasValue: true), rule.range, register, .text)
      emit(opcode, left: register, operand: operand)
    }
  }

  /// Writes a value as the text that it is in texts; whether it can be one.
  private mutating func emitText(_ value: Expression, _ register: UInt8) -> Bool {
    guard let type = emit(value, register) else { return false }
    return toText(type, register, value.range)
  }
}

extension Compiler.Refuted {
  /// Each of the conditions of which none held.
  fileprivate var terms: [Compiler.Refuted] {
    guard case .any(let terms) = condition.kind else { return [self] }
    return terms.map { Compiler.Refuted(condition: $0, isSameChain: isSameChain) }
  }
}

/// Redirects whose target is what they redirect.
enum SelfRedirect {
  /// Why a redirect never ends; nil if it may.
  static func reason(
    _ target: Expression, _ guards: [Expression], _ refuted: [Expression]
  ) -> String? {
    if let constant = target.constantText { return reason(constant: constant, guards, refuted) }
    guard case .text(var parts) = target.kind else {
      return target.canonical == "path" ? "it is the path that was asked for" : nil
    }
    var asksScheme = true
    if case .literal(let scheme)? = parts.first, parts.count > 2,
      ["https://", "http://"].contains(String(decoding: scheme, as: UTF8.self)),
      case .value(let host) = parts[1], host.canonical == "host"
    {
      parts.removeFirst(2)
      let names = guards.reduce(into: Set<String>()) { $0.formUnion($1.subjects) }
      asksScheme = !names.contains { name in
        name == "scheme" || name == "listener.port" || name.hasPrefix("tls.")
          || name.hasPrefix("header.")
      }
    }
    guard asksScheme, case .value(let path)? = parts.first, path.canonical == "path" else {
      return nil
    }
    let rest = parts.dropFirst()
    let isQuery =
      rest.count == 2
      && {
        guard case .literal(let mark) = rest[rest.startIndex],
          case .value(let query) = rest[rest.startIndex + 1]
        else { return false }
        return mark == [ASCII.question] && query.canonical == "query"
      }()
    guard rest.isEmpty || isQuery else { return nil }
    return "it is the address that was asked for; ask for the scheme or the host before"
  }

  /// Whether the conditions that led here hold for the target's path as well.
  private static func reason(
    constant target: [UInt8], _ guards: [Expression], _ refuted: [Expression]
  ) -> String? {
    guard target.first == ASCII.slash, target.dropFirst().first != ASCII.slash else { return nil }
    let path = Array(target.prefix { $0 != ASCII.question && $0 != 0x23 })
    var asksPath = false
    for condition in guards where condition.subjects.contains("path") {
      asksPath = true
      for term in condition.conjuncts where term.subjects.contains("path") {
        guard term.holds(path: path) == true else { return nil }
      }
    }
    for condition in refuted where condition.subjects.contains("path") {
      guard condition.holds(path: path) == false else { return nil }
    }
    // The query may be what the condition is about, and the target has another one.
    let asksQuery = guards.contains { condition in
      condition.subjects.contains { $0 == "query" || $0.hasPrefix("query.") }
    }
    guard asksPath, !asksQuery else { return nil }
    return "the target's path meets the conditions that lead here"
  }
}

extension Expression {
  fileprivate var conjuncts: [Expression] {
    if case .all(let terms) = kind { return terms.flatMap(\.conjuncts) }
    return [self]
  }
}
