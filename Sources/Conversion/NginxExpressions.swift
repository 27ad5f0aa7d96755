// Locations of an nginx.conf that are expressions, and what `limit_except` says: as rules, since routes are
// beginnings of paths.

/// A location that is an expression: nginx takes the first of them that fits, before every location that is
/// the beginning of a path, unless that says `^~`.
struct NginxExpression {
  static let modifiers = ["~", "~*"]
  /// As it stands in `r"…"`.
  var pattern: String
  var rules: [String]
  /// What it says of its store, if anything is stored.
  var cache: String?
  /// The directory that its files are from, as a route says it, and as an origin.
  var files: (line: String, origin: String)?

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
  static func join(_ all: [NginxExpression], to lines: [String]) -> [String] {
    var known: Set<String> = []
    let expressions = all.filter { known.insert($0.pattern).inserted }
    var chain: [String] = []
    let cache = lines.first { $0.hasPrefix("cache ") && $0 != "cache off;" }
    for expression in expressions {
      var rules = expression.rules.joined(separator: " ")
      if let files = expression.files, lines.first != files.line {
        rules += (rules.isEmpty ? "" : " ") + "origin \(files.origin); cache bypass;"
      }
      // Rules cannot say what is stored for how long; what the route says may be more than nginx stores.
      if let own = expression.cache, let cache, own != cache {
        rules += (rules.isEmpty ? "" : " ") + "cache bypass;"
      }
      if rules.isEmpty { continue }
      let start = chain.isEmpty ? "when" : "else when"
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
    ["respond ", "redirect ", "when ", "set ", "unset ", "rewrite "].contains { line.hasPrefix($0) }
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
        drop(entry, "the expression cannot be one here: 503 beside it")
        return NginxExpression(pattern: "^", rules: ["respond 503;"])
      }
      var scope = outer.inner
      var way = NginxWay()
      read(entry, &scope, &way)
      if let rewritten = way.rewritten {
        drop(rewritten, "an expression says no path to put another in the place of: 503")
        way.closing = rewritten
      }
      let nested = nested(in: entry, scope)
      let lines = lines(of: entry, scope, way)
      let rules = Self.untilEnd(nested + rules(of: entry, lines))
      let cache = lines.first { $0.hasPrefix("cache ") && $0 != "cache off;" }
      let files = lines.first { $0.hasPrefix("files ") }.map { ($0, origin(ofFiles: $0)) }
      return NginxExpression(pattern: pattern, rules: rules, cache: cache, files: files)
    }
  }

  /// Locations in an expression's location: what they refuse is refused, and what they answer otherwise is not
  /// answered.
  private mutating func nested(in entry: NginxDirective, _ outer: NginxScope) -> [String] {
    (entry.block ?? []).filter { $0.name == "location" }.map { inner in
      var scope = outer.inner
      var way = NginxWay()
      read(inner, &scope, &way)
      let last = lines(of: inner, scope, way).last ?? ""
      let isShut = ["respond 4", "respond 5"].contains(where: last.hasPrefix)
      let answer = isShut && !hasOpen(inner) ? last : "respond 503;"
      let why =
        "it stands in an expression's location: \(answer.dropFirst(8).dropLast()) until rules"
      if answer != last || hasOpen(inner) { drop(inner, why + " say more") }
      let test = Self.reach(of: inner)
      if test == nil { drop(inner, why + " say when") }
      return test.map { "when \($0) { \(answer) }" } ?? "respond 503;"
    }
  }

  /// An origin for `files DIR;`.
  private mutating func origin(ofFiles line: String) -> String {
    var name = ConfigurationWriter.name("files" + line.dropFirst("files ".utf8.count).dropLast())
    while let other = origins[name], other != [line] { name += "-" }
    add(origin: name, [line])
    return name
  }

  /// Rules up to one that ends every request.
  private static func untilEnd(_ rules: [String]) -> [String] {
    guard let end = rules.firstIndex(where: { $0.hasPrefix("respond ") }) else { return rules }
    return Array(rules[...end])
  }

  /// Whether a location has others in it.
  private func hasOpen(_ entry: NginxDirective) -> Bool {
    (entry.block ?? []).contains { $0.name == "location" }
  }

  /// Where a location counts, as a condition that knows every way of writing its path; nil if there is none.
  static func reach(of entry: NginxDirective) -> String? {
    guard let path = entry.arguments.last else { return nil }
    // Rules see a slash for a backslash, and one for several.
    var seen = ""
    for character in path {
      let character: Character = character == "\\" ? "/" : character
      if character != "/" || seen.last != "/" { seen.append(character) }
    }
    let text = ConfigurationWriter.text(seen)
    switch entry.arguments.count > 1 ? entry.arguments[0] : "" {
    case "", "^~": return "starts_with(url_decode(path), \(text))"
    case "=": return "url_decode(path) == \(text)"
    case let modifier where NginxExpression.modifiers.contains(modifier):
      return NginxExpression.pattern(path, isCaseless: modifier == "~*").map {
        "url_decode(path) matches r\"\($0)\""
      }
    default: return nil
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
      case "use": break
      case "on" where line.contains("cache bypass;"): break
      case "on": drop(entry, "on response { when url_decode(path) matches r\"…\" { set … } }")
      case "files": break
      case "cache", "max_body", "upgrade":
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
    let list = methods.map { "\"\($0)\"" }.joined(separator: ", ")
    let others = "!(request.method in [\(list)])"
    var scope = NginxScope()
    for inner in entry.block ?? [] where !scope.take(inner) {
      drop(inner)
      if inner.name == "include" { return ["when \(others) { respond 403; }"] }
    }
    let (access, isClosed) = access(scope.access)
    if let guardian = scope.guardian {
      drop(guardian, "say who may ask with auth; until then other methods get 403")
      return ["when \(others) { respond 403; }"]
    }
    if isClosed || hidesClients && !access.isEmpty {
      return ["when \(others) { respond 403; }"]
    }
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
}
