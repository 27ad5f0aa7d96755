// Conditions and rewrites of an nginx.conf, as rules.

extension NginxConversion {
  /// What changes nothing about the return behind it.
  private static let besides: Set<String> = [
    "set", "access_log", "error_log", "add_header", "default_type", "charset", "log_not_found",
  ]

  /// `if (…) { return …; }` as a rule; nil if the condition, or what else stands there, has no counterpart.
  mutating func condition(_ entry: NginxDirective) -> String? {
    let block = entry.block ?? []
    guard let place = block.firstIndex(where: { $0.name == "return" }),
      block[..<place].allSatisfy({ Self.besides.contains($0.name) }),
      let test = Self.test(entry.arguments)
    else { return nil }
    let lines = answer(block[place]) ?? ["respond 503;"]
    return "when \(test) { \(lines.joined(separator: " ")) }"
  }

  /// Names a condition that is left out; whether what it stands in can be open without it.
  mutating func leaves(out entry: NginxDirective, _ place: String) -> Bool {
    let closes = (entry.block ?? []).contains { inner in
      inner.name == "return" || inner.name == "include"
        || NginxScope.inherits(inner.name)
          && inner.name != "root"
    }
    drop(entry, closes ? "\(place) answers 503 until rules say when" : nil)
    return !closes
  }

  /// A rewrite: what it would lead to another location is answered with 503, since rules run behind the choice of
  /// the route. nil if the expression cannot be one here.
  mutating func rewriting(_ entry: NginxDirective, stays: Bool) -> String? {
    let pattern = NginxExpression.pattern(entry.arguments.first ?? "", isCaseless: false)
    if let pattern, stays, entry.arguments.count == 3, entry.arguments[2] == "break",
      let path = Self.path(entry.arguments[1], capturing: pattern)
    {
      return "when path matches r\"\(pattern)\" { rewrite path \"\(path)\"; } "
        + "else when url_decode(path) matches r\"\(pattern)\" { respond 503; }"
    }
    drop(entry, "what it leads elsewhere is answered with 503: rewrite path …; or redirect 301 …;")
    guard entry.arguments.count > 1, let pattern else { return nil }
    return "when url_decode(path) matches r\"\(pattern)\" { respond 503; }"
  }

  /// A path with groups of an expression as the text of a rule; nil if it has anything else in it.
  private static func path(_ text: String, capturing pattern: String) -> String? {
    let isPath = text.utf8.allSatisfy { byte in
      byte > 0x20 && byte < 0x7F && !"?#%\"\\{}".utf8.contains(byte)
    }
    guard text.hasPrefix("/"), isPath else { return nil }
    let pieces = text.split(separator: "$", omittingEmptySubsequences: false)
    var path = String(pieces[0])
    for piece in pieces.dropFirst() {
      guard let group = piece.first, "123456789".contains(group) else { return nil }
      path += "${capture(path, r\"\(pattern)\", \(group))}" + piece.dropFirst()
    }
    return path
  }

  /// A comparison in brackets, as a condition.
  private static func test(_ arguments: [String]) -> String? {
    let text = arguments.joined(separator: " ")
    guard text.hasPrefix("("), text.hasSuffix(")") else { return nil }
    let inner = text.dropFirst().dropLast().drop { $0 == " " }
    let words = inner.split(separator: " ", maxSplits: 2).map { String($0) }
    if words.count == 1, words[0].hasPrefix("$http_") || words[0].hasPrefix("$cookie_") {
      return data(words[0]).map { "exists(\($0))" }
    }
    if words.count == 3, words[0] == "$request_uri", ["~", "~*"].contains(words[1]) {
      return NginxExpression.pattern(words[2].trimmed, isCaseless: words[1] == "~*")
        .flatMap(SentTarget.mayMatch)
    }
    guard words.count > 1, let data = data(words[0]) else { return nil }
    // A bracket may stand behind the quotes of a text.
    let value = words.count > 2 ? words[2].trimmed : ""
    switch words[1] {
    case "=", "!=":
      let text = ConfigurationWriter.text(value)
      return value.contains("$") ? nil : "\(data) \(words[1] == "=" ? "==" : "!=") \(text)"
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
  static func data(_ variable: String) -> String? {
    let known = [
      "$request_method": "request.method", "$host": "host", "$scheme": "scheme",
      "$uri": "url_decode(path)", "$document_uri": "url_decode(path)",
      "$args": "query", "$query_string": "query",
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

extension String {
  /// Without the spaces at its end.
  fileprivate var trimmed: String {
    var text = self
    while text.last == " " { text.removeLast() }
    return text
  }
}
