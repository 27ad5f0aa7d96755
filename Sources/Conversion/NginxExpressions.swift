// Locations of an nginx.conf that are expressions, and what `limit_except` says: as rules, since routes are
// beginnings of paths.

/// A location that is an expression: nginx takes the first of them that fits, before every location that is
/// the beginning of a path, unless that says `^~`.
struct NginxExpression {
  static let modifiers = ["~", "~*"]
  /// As it stands in `r"…"`.
  var pattern: String
  var rules: [String]

  /// An expression as it stands in `r"…"`, where a quote is all that means something else; nil if it cannot.
  static func pattern(_ text: String, isCaseless: Bool) -> String? {
    var pattern = isCaseless ? "(?i)" : ""
    var isEscaped = false
    for scalar in text.unicodeScalars {
      guard scalar.value >= 0x20, scalar.value != 0x7F else { return nil }
      switch scalar {
      case "\"" where isEscaped: pattern += "x22"
      case "\"": pattern += "\\x22"
      default: pattern.unicodeScalars.append(scalar)
      }
      isEscaped = scalar == "\\" && !isEscaped
    }
    if isEscaped || text.isEmpty { return nil }
    return pattern.hasSuffix("\\") ? pattern + "(?:)" : pattern
  }

  /// The lines of a route with expressions before its own. nginx looks at paths without escapes.
  static func join(_ expressions: [NginxExpression], to lines: [String]) -> [String] {
    var chain: [String] = []
    for expression in expressions {
      let start = chain.isEmpty ? "when" : "else when"
      let rules = expression.rules.joined(separator: " ")
      chain.append("\(start) url_decode(path) matches r\"\(expression.pattern)\" { \(rules) }")
    }
    // Behind the route's settings, of which the origin is the first.
    guard expressions.contains(where: { !$0.isAnswer }) else {
      return lines.prefix(1) + chain + lines.dropFirst()
    }
    // Who goes on is not to meet the route's own rules.
    let own = lines.filter(isRule)
    if !own.isEmpty { chain.append("else { \(own.joined(separator: " ")) }") }
    return lines.prefix(1) + chain + lines.dropFirst().filter { !isRule($0) }
  }

  /// Whether a request that it fits ends with it.
  private var isAnswer: Bool {
    rules.last.map { $0.hasPrefix("respond ") || $0.hasPrefix("redirect ") } ?? false
  }

  private static func isRule(_ line: String) -> Bool {
    ["respond ", "redirect ", "when ", "set ", "unset "].contains { line.hasPrefix($0) }
  }
}

extension NginxConversion {
  /// The locations of a block that are expressions, as rules.
  mutating func expressions(
    in entries: [NginxDirective], _ outer: NginxScope
  ) -> [NginxExpression] {
    entries.compactMap { entry in
      guard entry.name == "location", entry.arguments.count == 2,
        NginxExpression.modifiers.contains(entry.arguments[0])
      else { return nil }
      let isCaseless = entry.arguments[0] == "~*"
      guard let pattern = NginxExpression.pattern(entry.arguments[1], isCaseless: isCaseless) else {
        drop(entry, "the expression cannot be one here; what it denies is not denied")
        return nil
      }
      var scope = outer.inner
      var way = NginxWay()
      read(entry, &scope, &way)
      for inner in entry.block ?? [] where inner.name == "location" {
        drop(inner, "it stands in an expression's location: write rules")
      }
      let rules = rules(of: entry, lines(of: entry, scope, way))
      return rules.isEmpty ? nil : NginxExpression(pattern: pattern, rules: rules)
    }
  }

  /// What a route's lines say as rules; what rules cannot say is named.
  private mutating func rules(of entry: NginxDirective, _ lines: [String]) -> [String] {
    var rules: [String] = []
    var networks: [String: [String]] = [:]
    for line in lines {
      let words = line.dropLast().split(separator: " ", maxSplits: 1).map { String($0) }
      switch words[0] {
      case "origin" where words[1].hasPrefix(Self.nowhere): break
      case "allow", "deny": networks[words[0], default: []].append(words[1])
      case "cache" where line == "cache off;": rules.append("cache bypass;")
      case "on": drop(entry, "on response { when url_decode(path) matches r\"…\" { set … } }")
      case "files", "cache", "max_body", "upgrade":
        drop(entry, "rules cannot say \(line) it stays as the route has it")
      default: rules.append(line)
      }
    }
    var access: [String] = []
    if let denied = networks["deny"] {
      access.append("when client.ip in [\(denied.joined(separator: ", "))] { respond 403; }")
    }
    if let allowed = networks["allow"] {
      access.append("when !(client.ip in [\(allowed.joined(separator: ", "))]) { respond 403; }")
    }
    return access + rules
  }

  /// `limit_except METHOD… { … }`: who may ask with other methods than these.
  mutating func gates(_ entry: NginxDirective) -> [String] {
    var methods = entry.arguments.map { $0.uppercased() }
    if methods.contains("GET") { methods.append("HEAD") }
    guard !methods.isEmpty, methods.allSatisfy({ $0.allSatisfy(\.isLetter) && $0.utf8.count < 32 })
    else {
      drop(entry, "the route answers 403 until its methods are known")
      return ["respond 403;"]
    }
    var scope = NginxScope()
    for inner in entry.block ?? [] where !scope.take(inner) { drop(inner) }
    let (access, isClosed) = access(scope.access)
    let list = methods.map { "\"\($0)\"" }.joined(separator: ", ")
    let others = "!(request.method in [\(list)])"
    if let guardian = scope.guardian {
      drop(guardian, "say who may ask with auth; until then other methods get 403")
      return ["when \(others) { respond 403; }"]
    }
    if isClosed { return ["when \(others) { respond 403; }"] }
    func networks(_ name: String) -> String? {
      let lines = access.filter { $0.hasPrefix(name) }
      return lines.isEmpty
        ? nil : lines.map { $0.dropFirst(name.utf8.count).dropLast() }.joined(separator: ", ")
    }
    return [
      networks("deny ").map { "when \(others) && client.ip in [\($0)] { respond 403; }" },
      networks("allow ").map { "when \(others) && !(client.ip in [\($0)]) { respond 403; }" },
    ].compactMap { $0 }
  }

  /// `if (…) { return …; }` as a rule; nil if the condition, or what else stands there, has no counterpart.
  mutating func condition(_ entry: NginxDirective) -> String? {
    guard let block = entry.block, block.count == 1, block[0].name == "return",
      let test = Self.test(entry.arguments)
    else { return nil }
    let lines = answer(block[0]) ?? ["respond 503;"]
    return "when \(test) { \(lines.joined(separator: " ")) }"
  }

  /// A comparison in brackets, as a condition.
  private static func test(_ arguments: [String]) -> String? {
    let text = arguments.joined(separator: " ")
    guard text.hasPrefix("("), text.hasSuffix(")") else { return nil }
    let inner = text.dropFirst().dropLast().drop { $0 == " " }
    let words = inner.split(separator: " ", maxSplits: 2).map { String($0) }
    guard words.count > 1, let data = data(words[0]) else { return nil }
    var value = words.count > 2 ? words[2] : ""
    // A bracket may stand behind the quotes of a text.
    while value.last == " " { value.removeLast() }
    switch words[1] {
    case "=", "!=":
      let isPlain = value.utf8.allSatisfy { byte in
        byte >= 0x20 && byte < 0x7F && !"\"\\$".utf8.contains(byte)
      }
      return isPlain ? "\(data) \(words[1] == "=" ? "==" : "!=") \"\(value)\"" : nil
    case "~", "~*", "!~", "!~*":
      guard !value.contains("$http") && !value.contains("$arg"),
        let pattern = NginxExpression.pattern(value, isCaseless: words[1].hasSuffix("*"))
      else { return nil }
      let test = "\(data) matches r\"\(pattern)\""
      return words[1].hasPrefix("!") ? "!(\(test))" : test
    default: return nil
    }
  }

  /// A variable as data of the request; nil if none is surely the same.
  private static func data(_ variable: String) -> String? {
    let known = [
      "$request_method": "request.method", "$host": "host", "$scheme": "scheme",
      "$uri": "url_decode(path)", "$args": "query", "$query_string": "query",
    ]
    if let data = known[variable] { return data }
    let kinds = [("$http_", "header"), ("$cookie_", "cookie"), ("$arg_", "query")]
    for (prefix, kind) in kinds where variable.hasPrefix(prefix) {
      let name = variable.dropFirst(prefix.utf8.count)
      let isName = name.utf8.allSatisfy { byte in
        (0x61...0x7A).contains(byte | 0x20) || (0x30...0x39).contains(byte) || byte == 0x5F
      }
      // Whose value is decoded elsewhere, and not here, is not surely the same.
      guard isName, !name.isEmpty, kind != "query" else { return nil }
      let field = kind == "header" ? name.lowercased().map { $0 == "_" ? "-" : $0 } : Array(name)
      return "\(kind).\(String(field))"
    }
    return nil
  }
}
