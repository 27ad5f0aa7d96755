// Conditions in a VCL's subroutines, as rules.

extension VarnishConversion {
  /// Subroutines that see the answer.
  static let late: Set<String> = ["vcl_backend_response", "vcl_deliver"]

  /// An `if` with what follows on it, as a rule; nil if a condition is not understood, or what they do cannot be
  /// done there. Whole is one of which nothing was left out.
  mutating func rule(
    _ chain: [VarnishStatement], of name: String
  ) -> (text: String, isWhole: Bool)? {
    let effects = VarnishEffects.of(chain)
    if Self.late.contains(name) || name == "vcl_backend_fetch", effects.contains(.refuses) {
      return nil
    }
    let changes = chain.flatMap(\.changes).contains { $0.hasPrefix("req.http.") }
    let isExact = chain.count > 1 || effects.contains(.routes) || changes
    var text = ""
    var isWhole = true
    for branch in chain {
      let isRest = branch.words == ["else"]
      let test = isRest ? nil : conditions.test(branch, isExact: isExact)
      guard isRest || test != nil else { return nil }
      let (lines, whole) = rules(branch.block ?? [], of: name)
      isWhole = isWhole && whole
      // A rule does something.
      let all = lines.isEmpty ? "set $passed true;" : lines.joined(separator: " ")
      text += (text.isEmpty ? "" : " else ") + (test.map { "when \($0)" } ?? "")
      text += (isRest ? "" : " ") + "{ \(all) }"
    }
    return (text, isWhole)
  }

  private mutating func rules(
    _ body: [VarnishStatement], of name: String
  ) -> (lines: [String], isWhole: Bool) {
    var lines: [String] = []
    var isWhole = true
    var rest = body[...]
    while let statement = rest.popFirst() {
      if statement.isCondition {
        var chain = [statement]
        while let next = rest.first, next.isElse { chain.append(rest.removeFirst()) }
        if let (text, whole) = rule(chain, of: name) {
          lines.append(text)
          isWhole = isWhole && whole
          continue
        }
        isWhole = false
        lines += instead(of: chain, name)
      } else if let line = rule(statement, of: name) {
        if lines.last != line { lines.append(line) }
      } else if statement.action == nil || name == "vcl_recv" && statement.action == "restart" {
        isWhole = false
        lines += instead(of: [statement], name)
      }
      if statement.action != nil || lines.last?.hasPrefix("respond ") == true { break }
    }
    return (lines, isWhole)
  }

  /// What stands in the place of statements that are not understood, so that nothing is open for them.
  private mutating func instead(of chain: [VarnishStatement], _ name: String) -> [String] {
    for statement in chain { result.remark(statement.line, "\(name): \(statement.shown)") }
    let effects = VarnishEffects.of(chain)
    if Self.late.contains(name) { return effects.contains(.passes) ? ["cache bypass;"] : [] }
    if effects.contains(.refuses) || effects.contains(.routes) { return ["respond 503;"] }
    return effects.contains(.passes) ? ["cache bypass;"] : []
  }

  /// A statement under a condition, as a rule.
  private mutating func rule(_ statement: VarnishStatement, of name: String) -> String? {
    switch statement.action {
    case "pass", "pipe", "hit_for_pass", "hit_for_miss", "abandon": return "cache bypass;"
    case "synth", "error": return answer(statement, name)
    case "fail", "vcl": return "respond 503;"
    case "purge":
      result.remark(
        statement.line, "\(name): \(statement.shown): purge on; and purge_from …; in the site")
      return "respond 405;"
    case nil: break
    default: return nil
    }
    if statement.keepsOut { return "cache bypass;" }
    if let change = statement.change, VarnishStatement.backends.contains(change) {
      let name = statement.words.count == 4 ? ConfigurationWriter.name(statement.words[3]) : ""
      return origins.contains { $0.name == name } ? "origin \(name);" : nil
    }
    return change(statement, of: name)?.text
  }

  /// What `synth(403, "No.")` answers. Other statuses are for vcl_synth, and what that makes of them is not known.
  private mutating func answer(_ statement: VarnishStatement, _ name: String) -> String {
    let text = statement.words.joined(separator: " ")
    let number = text.drop { !$0.isNumber }.prefix(while: \.isNumber)
    guard let status = Int(number), (200...299).contains(status) || (400...599).contains(status)
    else {
      result.remark(
        statement.line, "\(name): \(statement.shown): 503 until redirect or respond says it")
      return "respond 503;"
    }
    let reason = statement.texts.min().map { statement.words[$0] } ?? ""
    return reason.isEmpty
      ? "respond \(status);" : "respond \(status) \(ConfigurationWriter.text(reason));"
  }

  /// Fields that rules may not change.
  static let ownFields: Set<String> = [
    "host", "connection", "content-length", "transfer-encoding", "te", "trailer", "upgrade",
    "keep-alive", "proxy-connection", "expect", "http2-settings", "age", "date", "cache-status",
  ]

  /// What a set or removed field is called in rules, where the subroutine can change it.
  static func field(_ text: String, of name: String) -> (name: String, isResponse: Bool)? {
    let prefixes = [
      "vcl_recv": "req.http.", "vcl_backend_fetch": "bereq.http.", "vcl_deliver": "resp.http.",
      "vcl_backend_response": "beresp.http.",
    ]
    let lower = text.lowercased()
    guard let prefix = prefixes[name], lower.hasPrefix(prefix) else { return nil }
    let field = String(lower.dropFirst(prefix.utf8.count))
    let isName = field.utf8.allSatisfy { byte in
      (0x61...0x7A).contains(byte) || (0x30...0x39).contains(byte) || byte == 0x2D
    }
    guard !field.isEmpty, isName, !ownFields.contains(field) else { return nil }
    return (field, Self.late.contains(name))
  }

  /// What caches go by; that Varnish does not see it any more is something else than that clients do not.
  private static let forCaches: Set<String> = [
    "cache-control", "expires", "pragma", "vary", "set-cookie", "etag", "last-modified",
    "surrogate-control",
  ]

  /// A field that is set to a text or removed, as a rule.
  func change(
    _ statement: VarnishStatement, of name: String
  ) -> (text: String, isResponse: Bool)? {
    guard statement.words.count > 1,
      let (field, isResponse) = Self.field(statement.words[1], of: name)
    else { return nil }
    if name == "vcl_backend_response", Self.forCaches.contains(field) { return nil }
    let words = statement.words
    if words.count == 2, ["unset", "remove"].contains(words[0]) {
      return ("unset header.\(field);", isResponse)
    }
    guard words.count == 4, words[0] == "set", words[2] == "=", statement.texts == [3],
      words[3].unicodeScalars.allSatisfy({ $0.value >= 0x20 && $0.value != 0x7F })
    else { return nil }
    return ("set header.\(field) \(ConfigurationWriter.text(words[3]));", isResponse)
  }
}
