// Conditions of a VCL, as conditions of rules, where they surely ask the same.

/// What conditions are read with.
struct VarnishConditions {
  /// Lists of addresses by their names; nil those that a node does not know.
  var lists: [String: [String]?] = [:]
  /// Lists that a condition has asked.
  private(set) var usedLists: Set<String> = []
  /// What is not as the client sent it, and not known here: `req.url`, `req.http.x-a`.
  var changed: Set<String> = []
  /// Whether a condition looks at cookies.
  private(set) var asksCookies = false
  /// Whether something of the query was taken away, or moved.
  var isQueryCut = false
  private var tokens: [Token] = []
  private var place = 0

  private enum Token: Equatable {
    case word(String), text(String), sign(String)
  }

  /// A condition of rules for that of an `if`; nil if it has none.
  /// - Parameter isExact: whether it may hold only where the original does; else elsewhere too.
  mutating func test(_ statement: VarnishStatement, isExact: Bool) -> String? {
    tokens = Self.tokens(statement)
    place = 0
    let lists = usedLists
    let cookies = asksCookies
    if let test = either(isExact, 0), place == tokens.count { return Self.bare(test) }
    usedLists = lists
    asksCookies = cookies
    return nil
  }

  /// Without the brackets around all of it.
  private static func bare(_ test: String) -> String {
    guard test.hasPrefix("("), test.hasSuffix(")") else { return test }
    var open = 0
    for (place, character) in test.enumerated() {
      if character == "(" { open += 1 }
      if character == ")" { open -= 1 }
      if open == 0, place < test.count - 1 || test.contains("\"") { return test }
    }
    return String(test.dropFirst().dropLast())
  }

  private static func tokens(_ statement: VarnishStatement) -> [Token] {
    var tokens: [Token] = []
    let signs = ["&&", "||", "!~", "!=", "==", "<=", ">=", "!", "~", "(", ")", "<", ">", "="]
    for (number, word) in statement.words.enumerated() {
      if statement.texts.contains(number) {
        tokens.append(.text(word))
        continue
      }
      var rest = word[...]
      while let first = rest.first {
        if let sign = signs.first(where: rest.hasPrefix) {
          tokens.append(.sign(sign))
          rest = rest.dropFirst(sign.count)
        } else if first.isASCII, first.isLetter || first.isNumber || "._:-".contains(first) {
          let name = rest.prefix {
            $0.isASCII && ($0.isLetter || $0.isNumber || "._:-".contains($0))
          }
          tokens.append(.word(String(name)))
          rest = rest.dropFirst(name.count)
        } else {
          return []
        }
      }
    }
    return joined(tokens)
  }

  /// Without the `if` before a condition; `!=` may have come in two.
  private static func joined(_ all: [Token]) -> [Token] {
    var tokens = all
    while case .word(let word)? = tokens.first,
      ["if", "else", "elsif", "elseif", "elif"].contains(word)
    {
      tokens.removeFirst()
    }
    var joined: [Token] = []
    for token in tokens {
      if token == .sign("="), let last = joined.last, case .sign(let sign) = last,
        ["!", "<", ">"].contains(sign)
      {
        joined[joined.count - 1] = .sign(sign + "=")
      } else {
        joined.append(token)
      }
    }
    return joined
  }

  private mutating func takes(_ sign: String) -> Bool {
    guard place < tokens.count, tokens[place] == .sign(sign) else { return false }
    place += 1
    return true
  }

  private mutating func either(_ isExact: Bool, _ depth: Int) -> String? {
    guard depth < 32, var test = both(isExact, depth) else { return nil }
    var isOne = true
    while takes("||") {
      guard let other = both(isExact, depth) else { return nil }
      test += " || " + other
      isOne = false
    }
    return isOne ? test : "(\(test))"
  }

  private mutating func both(_ isExact: Bool, _ depth: Int) -> String? {
    guard var test = one(isExact, depth) else { return nil }
    while takes("&&") {
      guard let other = one(isExact, depth) else { return nil }
      test += " && " + other
    }
    return test
  }

  private mutating func one(_ isExact: Bool, _ depth: Int) -> String? {
    guard depth < 32 else { return nil }
    if takes("!") { return one(true, depth + 1).map { "!(\($0))" } }
    if takes("(") {
      guard let test = either(isExact, depth + 1), takes(")") else { return nil }
      return test
    }
    guard place < tokens.count, case .word(let name) = tokens[place] else { return nil }
    place += 1
    for sign in ["==", "!=", "~", "!~", "<=", ">=", "<", ">"] where takes(sign) {
      guard place < tokens.count else { return nil }
      place += 1
      return comparison(name.lowercased(), sign, tokens[place - 1], isExact)
    }
    return name.lowercased().hasPrefix("req.http.") || name.contains("resp.http.")
      ? data(name.lowercased()).map { "exists(\($0))" } : nil
  }

  /// A name as data of rules; nil if none is surely the same.
  private mutating func data(_ name: String) -> String? {
    let known = name.hasPrefix("bereq.") ? "req." + name.dropFirst(6) : name
    if changed.contains(known) { return nil }
    switch known {
    case "req.method", "req.request": return "request.method"
    case "req.http.host": return "host"
    case "beresp.status", "resp.status", "obj.status": return "response.status"
    default: break
    }
    guard let end = known.firstRange(of: ".http.") else { return nil }
    let field = known[end.upperBound...]
    let isField = field.utf8.allSatisfy { byte in
      (0x61...0x7A).contains(byte) || (0x30...0x39).contains(byte) || byte == 0x2D
    }
    guard isField, !field.isEmpty else { return nil }
    switch known[..<end.lowerBound] {
    case "req":
      if field == "cookie" { asksCookies = true }
      return "header.\(field)"
    case "beresp", "resp": return "response.header.\(field)"
    default: return nil
    }
  }

  private mutating func comparison(
    _ name: String, _ sign: String, _ operand: Token, _ isExact: Bool
  ) -> String? {
    let isNegated = sign.hasPrefix("!")
    func negated(_ test: String) -> String { isNegated ? "!(\(test))" : test }
    switch (name, operand) {
    case ("client.ip", .word(let list)) where sign.hasSuffix("~"):
      guard let networks = lists[list] ?? nil, !networks.isEmpty else { return nil }
      usedLists.insert(list)
      return negated("client.ip in [\(networks.joined(separator: ", "))]")
    case ("req.url", .text(let text)), ("bereq.url", .text(let text)):
      if changed.contains("req.url") { return nil }
      if isQueryCut, sign != "~", sign != "!~" { return nil }
      if sign == "==" || sign == "!=" { return Self.target(text).map(negated) }
      guard sign.hasSuffix("~"),
        let pattern = NginxExpression.pattern(text, isCaseless: false)
      else { return nil }
      let mustFit = isExact || isNegated
      // Of a query that was longer, only what is neither about it nor about the end is surely there.
      if isQueryCut, !SentTarget.isOfPath(pattern),
        mustFit || pattern.contains(where: { "$?&=".contains($0) })
      {
        return nil
      }
      let test = mustFit ? SentTarget.matches(pattern) : SentTarget.mayMatch(pattern)
      return test.map(negated)
    case (_, .word(let number)):
      guard let data = data(name), data == "response.status", Int(number) != nil,
        !sign.hasSuffix("~")
      else { return nil }
      return "\(data) \(sign) \(number)"
    case (_, .text(let text)):
      guard let data = data(name), data != "response.status" else { return nil }
      if sign == "==" || sign == "!=" {
        return
          "\(data) \(sign) \(ConfigurationWriter.text(data == "host" ? text.lowercased() : text))"
      }
      // Rules have the host in lower case.
      if data == "host", text.contains(where: \.isUppercase) { return nil }
      guard sign.hasSuffix("~"), let pattern = NginxExpression.pattern(text, isCaseless: false)
      else { return nil }
      return negated("\(data) matches r\"\(pattern)\"")
    default: return nil
    }
  }

  /// Whether a target is a text, as a condition; nil if rules see another spelling of it.
  private static func target(_ text: String) -> String? {
    let parts = text.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
    guard let path = parts.first, path.hasPrefix("/"), !path.contains("//"),
      path.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && !"%\\".utf8.contains($0) })
    else { return nil }
    let query = parts.count > 1 ? String(parts[1]) : ""
    return "(path == \(ConfigurationWriter.text(String(path)))"
      + " && query == \(ConfigurationWriter.text(query)))"
  }

  /// Reads a list of addresses; a name or an exception in it makes it one that is not known.
  mutating func readList(_ statement: VarnishStatement) {
    guard statement.words.count > 1 else { return }
    var networks: [String]? = []
    for entry in statement.block ?? [] {
      let text = entry.words.joined()
      let isNetwork =
        text.contains(where: { $0 == "." || $0 == ":" })
        && text.allSatisfy { $0.isASCII && ($0.isHexDigit || ".:/".contains($0)) }
      if text == "localhost" {
        networks?.append(contentsOf: ["127.0.0.1", "::1"])
      } else if isNetwork {
        networks?.append(text)
      } else {
        networks = nil
      }
    }
    lists[statement.words[1]] = .some(networks)
  }
}
