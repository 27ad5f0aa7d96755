// Presets: a word for rules that everybody needs. They are written here as the rules that they stand
// for, so that there is nothing about them that the checker or the evaluator has to know.

extension RuleParser {
  /// The settings of a preset: name, values.
  mutating func options(
    _ names: [String], _ findings: inout RuleFindings
  ) -> [String: [(text: String, range: RuleRange)]]? {
    if takes(";", &findings) { return [:] }
    guard takes("{", &findings) else {
      unexpected(peek(&findings), "\";\" or \"{\"", &findings)
      return nil
    }
    var result: [String: [(text: String, range: RuleRange)]] = [:]
    while true {
      if takesQuietly("}") { return result }
      guard let (name, range) = word("a setting, or \"}\"", &findings) else { return nil }
      guard names.contains(name) else {
        let meant = Spelling.nearest(to: name, among: names)
        findings.error(
          "there is no setting \(shown(name)) here", at: range,
          help: meant == nil ? "there are \(names.joined(separator: ", "))" : nil,
          suggestion: meant)
        passBlock()
        return nil
      }
      if result[name] != nil { findings.error("\(shown(name)) is given twice", at: range) }
      var values: [(text: String, range: RuleRange)] = []
      while !takesQuietly(";") {
        guard let value = word("a value, or \";\"", &findings) else { return nil }
        let text = value.0.last == "," ? String(value.0.dropLast()) : value.0
        if !text.isEmpty { values.append((text, value.1)) }
      }
      if values.isEmpty { findings.error("\(shown(name)) needs a value", at: range) }
      result[name] = values
    }
  }

  /// Passes what is left of a block without blocks.
  private mutating func passBlock() {
    var quiet = RuleFindings()
    while true {
      let token = peek(&quiet)
      if case .end = token.kind { return }
      take(&quiet)
      if token.kind == .symbol("}") { return }
    }
  }

  /// Takes a symbol if it is next; nothing else is read, nor reported.
  private mutating func takesQuietly(_ symbol: String) -> Bool {
    var quiet = RuleFindings()
    var ahead = self
    guard ahead.takes(symbol, &quiet) else { return false }
    self = ahead
    return true
  }

  /// `cors { origins …; methods …; headers …; expose …; credentials on; max_age 10m; }`
  mutating func cors(
    _ range: RuleRange, _ findings: inout RuleFindings
  ) -> RuleStatement.Kind? {
    let names = ["origins", "methods", "headers", "expose", "credentials", "max_age"]
    guard let options = options(names, &findings) else { return nil }
    let origins = options["origins"]?.map(\.text) ?? ["*"]
    let hasCredentials = options["credentials"]?.first?.text == "on"
    if let value = options["credentials"]?.first, !["on", "off"].contains(value.text) {
      findings.error("credentials is on or off", at: value.range)
      return nil
    }
    if hasCredentials && origins.contains("*") {
      findings.error(
        "any origin with credentials would give every site the user's rights", at: range,
        help: "name the origins: origins \"https://www.example.com\";")
      return nil
    }
    for origin in options["origins"] ?? [] where origin.text != "*" && !isOrigin(origin.text) {
      findings.error(
        "\(shown(origin.text)) is not an origin", at: origin.range,
        help:
          "expected a scheme and host, such as \"https://www.example.com\" or \"https://*.example.com\""
      )
      return nil
    }
    let age = options["max_age"]?.first
    guard let seconds = seconds(age?.text ?? "10m") else {
      findings.error("\(shown(age?.text ?? "")) is not a duration", at: age?.range ?? range)
      return nil
    }
    let preset = Preset(range: range)
    func list(_ name: String, _ plain: String) -> String {
      options[name].map { $0.map(\.text).joined(separator: ", ") } ?? plain
    }
    var answer: [AnswerField] = [
      preset.field("access-control-allow-methods", list("methods", "GET, HEAD, POST")),
      preset.field("access-control-max-age", "\(seconds)"),
    ]
    if let headers = options["headers"] {
      answer.append(
        preset.field(
          "access-control-allow-headers", headers.map(\.text).joined(separator: ", ")))
    }
    var permission = [preset.permission(isAny: origins.contains("*"))]
    if hasCredentials {
      permission.append(preset.field("access-control-allow-credentials", "true"))
    }
    let vary = origins.contains("*") ? [] : [preset.field("vary", "Origin")]
    let allowed = preset.allowed(origins)
    let preflight = Expression(
      kind: .all([
        preset.isMethod("OPTIONS"), preset.exists("header.origin"),
        preset.exists("header.access-control-request-method"),
      ]), range: range)
    let request = preset.when(
      preflight,
      [
        preset.when(allowed, [preset.respond(204, permission + answer + vary)]),
        preset.respond(403, vary),
      ])
    if let expose = options["expose"] {
      permission.append(
        preset.field(
          "access-control-expose-headers", expose.map(\.text).joined(separator: ", ")))
    }
    let response =
      vary.map { preset.change($0, isAdded: true) } + [
        preset.when(allowed, permission.map { preset.change($0, isAdded: false) })
      ]
    return .preset(request: [request], response: response)
  }

  private func isOrigin(_ text: String) -> Bool {
    guard let colon = text.range(of: "://") else { return false }
    let host = text[colon.upperBound...]
    return !host.isEmpty && !host.contains("/") && !host.contains(" ")
  }

  /// `security_headers { hsts 365d; frame DENY; referrer …; content_security_policy …; }`
  mutating func securityHeaders(
    _ range: RuleRange, _ findings: inout RuleFindings
  ) -> RuleStatement.Kind? {
    let names = ["hsts", "frame", "referrer", "content_security_policy", "permissions"]
    guard let options = options(names, &findings) else { return nil }
    let preset = Preset(range: range)
    let age = options["hsts"]?.first
    guard let seconds = seconds(age?.text ?? "365d") else {
      findings.error("\(shown(age?.text ?? "")) is not a duration", at: age?.range ?? range)
      return nil
    }
    let extra = (options["hsts"] ?? []).dropFirst().map { "; \($0.text)" }.joined()
    // Not over plain HTTP (RFC 6797 §7.2).
    let isSecure = Expression(
      kind: .compare(.equal, preset.name("scheme"), preset.text("https")), range: range)
    var response = [
      preset.when(
        isSecure, [preset.default("strict-transport-security", "max-age=\(seconds)\(extra)")]),
      preset.default("x-content-type-options", "nosniff"),
      preset.default("x-frame-options", options["frame"]?.first?.text ?? "SAMEORIGIN"),
      preset.default(
        "referrer-policy", options["referrer"]?.first?.text ?? "strict-origin-when-cross-origin"),
    ]
    if let policy = options["content_security_policy"]?.first {
      response.append(preset.default("content-security-policy", policy.text))
    }
    if let permissions = options["permissions"]?.first {
      response.append(preset.default("permissions-policy", permissions.text))
    }
    return .preset(request: [], response: response)
  }

  private func seconds(_ text: String) -> Int64? {
    var quiet = RuleFindings()
    var lexer = RuleLexer(Array(text.utf8), from: 0, to: text.utf8.count)
    guard case .duration(let value) = lexer.next(&quiet).kind,
      case .end = lexer.next(&quiet).kind
    else { return text == "0" ? 0 : nil }
    return value / 1_000_000_000
  }
}

/// Makes the rules of a preset; all of them stand where the preset does.
struct Preset {
  let range: RuleRange

  func text(_ text: String) -> Expression {
    Expression(kind: .text([.literal(Array(text.utf8))]), range: range)
  }

  func name(_ name: String) -> Expression { Expression(kind: .name(name), range: range) }

  func exists(_ name: String) -> Expression {
    Expression(kind: .call("exists", range, [self.name(name)]), range: range)
  }

  func isMethod(_ method: String) -> Expression {
    Expression(kind: .compare(.equal, name("request.method"), text(method)), range: range)
  }

  func field(_ name: String, _ value: String) -> AnswerField {
    AnswerField(name: name, nameRange: range, value: text(value))
  }

  func permission(isAny: Bool) -> AnswerField {
    AnswerField(
      name: "access-control-allow-origin", nameRange: range,
      value: isAny ? text("*") : name("header.origin"))
  }

  /// Whether the request's `Origin` is one of those.
  func allowed(_ origins: [String]) -> Expression {
    if origins.contains("*") { return exists("header.origin") }
    let terms = origins.map { origin in
      Expression(
        kind: .compare(
          origin.contains("*") ? .matches : .equal, name("header.origin"), text(origin)),
        range: range)
    }
    return terms.count == 1 ? terms[0] : Expression(kind: .any(terms), range: range)
  }

  func statement(_ kind: RuleStatement.Kind) -> RuleStatement {
    RuleStatement(kind: kind, range: range, isPreset: true)
  }

  func when(_ condition: Expression, _ body: [RuleStatement]) -> RuleStatement {
    statement(.when([Branch(condition: condition, body: body)], otherwise: nil))
  }

  func respond(_ status: Int, _ fields: [AnswerField]) -> RuleStatement {
    statement(.respond(status: status, body: nil, fields: fields))
  }

  func change(_ field: AnswerField, isAdded: Bool) -> RuleStatement {
    let target = Target(kind: .field(field.name), range: range)
    return statement(isAdded ? .add(target, field.value) : .set(target, field.value))
  }

  /// Sets a field of the response that the origin has not set.
  func `default`(_ name: String, _ value: String) -> RuleStatement {
    let isMissing = Expression(kind: .not(exists("response.header.\(name)")), range: range)
    return when(isMissing, [change(field(name, value), isAdded: false)])
  }
}

extension String {
  /// Where a text first stands in this one.
  fileprivate func range(of part: String) -> Range<Index>? {
    var start = startIndex
    while start < endIndex {
      if self[start...].hasPrefix(part) {
        return start..<index(start, offsetBy: part.count)
      }
      start = index(after: start)
    }
    return nil
  }
}
