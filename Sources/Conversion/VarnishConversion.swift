// From VCL. Its subroutines are programs, and only what reads as a setting is carried over: backends with
// their probes and timeouts, lists of addresses, and in the subroutines statements outside of conditions. All
// else is named with its line, for the rules language to say (docs/rules.md).

/// See the top of this file.
struct VarnishConversion {
  private var result = Converted()
  private var origins: [(name: String, lines: [String])] = []
  private var route: [String] = []
  private var defaultOrigin: String?
  private var origin: String?
  /// Whether a backend is chosen in a way that is not known here.
  private var isOriginUnknown = false
  private var lifetime: String?
  /// Probes with names, and those of them that a backend has.
  private var probes: [String: VarnishStatement] = [:]
  private var usedProbes: Set<String> = []
  private var grace: String?

  /// The subroutines that each request passes, or each response, unless it was answered before.
  private static let subroutines = [
    "vcl_recv", "vcl_backend_fetch", "vcl_backend_response", "vcl_deliver",
  ]

  /// Carries a VCL over.
  static func convert(_ text: String) -> Converted {
    var conversion = VarnishConversion()
    let statements = VarnishParser.parse(text)
    for statement in statements where statement.words.first == "probe" {
      if statement.words.count == 2 { conversion.probes[statement.words[1]] = statement }
    }
    for statement in statements where statement.words.first != "probe" {
      conversion.read(statement)
    }
    for statement in statements where statement.words.first == "probe" {
      if conversion.usedProbes.contains(statement.words.last ?? "") { continue }
      conversion.result.remark(statement.line, "\(statement.shown): no backend has it")
    }
    for name in subroutines {
      let bodies = statements.filter { $0.words.starts(with: ["sub", name]) }.map { $0.block ?? [] }
      conversion.read(Array(bodies.joined()), of: name)
    }
    conversion.write()
    conversion.result.remarks.sort { $0.line < $1.line }
    return conversion.result
  }

  private mutating func read(_ statement: VarnishStatement) {
    let words = statement.words
    switch words.first {
    case "vcl", "import": break
    case "backend": backend(statement)
    case "acl":
      result.remark(statement.line, "\(statement.shown): allow, deny and purge_from take networks")
    case "sub":
      let name = words.count > 1 ? words[1] : ""
      if Self.subroutines.contains(name) { return }
      // What they do is only done where they are called, or when there is an error.
      for inner in statement.block ?? [] { result.remark(inner.line, "\(name): \(inner.shown)") }
    default: result.remark(statement.line, statement.shown)
    }
  }

  /// A subroutine, all of its parts. Only what is done for every request is carried over: nothing behind
  /// what may have ended it, and nothing that is also done otherwise under a condition.
  private mutating func read(_ body: [VarnishStatement], of name: String) {
    let conditional = Set(body.flatMap { Self.changes(in: $0.block ?? []) })
    var end: Int?
    for statement in body {
      let change = Self.change(of: statement)
      if name == "vcl_recv", Self.refusesAll(statement) {
        // Whom conditions before it let through, they let through here too; so nobody is, until rules say who.
        isOriginUnknown = true
        result.remark(
          statement.line,
          "\(name): \(statement.shown): all is answered with 503 until rules say who may")
        continue
      }
      let isLeftOut = end != nil || change.map(conditional.contains) == true
      if isLeftOut, change.map(Self.isBackend) == true { isOriginUnknown = true }
      if let end {
        result.remark(
          statement.line, "\(name): \(statement.shown): only if what line \(end) asks for is not so"
        )
      } else if isLeftOut {
        result.remark(statement.line, "\(name): \(statement.shown): it depends on a condition")
      } else {
        subroutine(statement, of: name)
      }
      if end == nil, Self.mayEnd(statement) { end = statement.line }
    }
  }

  /// What a statement sets or removes.
  private static func change(of statement: VarnishStatement) -> String? {
    guard statement.words.count > 1, ["set", "unset", "remove"].contains(statement.words[0]) else {
      return nil
    }
    return statement.words[1].lowercased()
  }

  private static func changes(in block: [VarnishStatement]) -> [String] {
    block.flatMap { (change(of: $0).map { [$0] } ?? []) + changes(in: $0.block ?? []) }
  }

  private static func isBackend(_ name: String) -> Bool {
    name == "req.backend_hint" || name == "bereq.backend"
  }

  /// Whether a request may go on elsewhere behind a statement. One that is answered at once, purged or
  /// refused is none that the rest would have been for.
  private static func mayEnd(_ statement: VarnishStatement) -> Bool {
    if statement.words.first == "call" { return true }
    let text = statement.words.joined()
    if text.hasPrefix("return") {
      let action = text.dropFirst(6).drop { $0 == "(" }.prefix { $0.isLetter }
      return !["purge", "synth", "fail", "abandon"].contains(action)
    }
    return text.hasPrefix("C{") || (statement.block ?? []).contains(where: mayEnd)
  }

  /// Whether a statement, outside of conditions, refuses every request that comes so far.
  private static func refusesAll(_ statement: VarnishStatement) -> Bool {
    if statement.words.first == "error" { return true }
    let text = statement.words.joined()
    guard text.hasPrefix("return"), statement.block == nil else { return false }
    return ["synth", "fail", "error"].contains {
      text.dropFirst(6).drop { $0 == "(" }.hasPrefix($0)
    }
  }

  private mutating func backend(_ statement: VarnishStatement) {
    guard statement.words.count > 1, statement.block != nil else {
      return result.remark(statement.line, statement.shown)
    }
    var path: String?
    var host = "127.0.0.1"
    var port = "80"
    var lines: [String] = []
    for entry in statement.block ?? [] {
      let name = entry.words.first ?? ""
      let value = entry.words.last ?? ""
      switch name {
      case ".host": host = value
      case ".path": path = value
      case ".port": port = value == "http" ? "80" : value
      case ".connect_timeout": add("connect_timeout", value, entry, &lines)
      case ".first_byte_timeout": add("first_byte_timeout", value, entry, &lines)
      case ".between_bytes_timeout": add("between_bytes_timeout", value, entry, &lines)
      case ".max_connections" where (1...1_000_000).contains(Int(value) ?? 0):
        lines.append("max_connections \(value);")
      case ".host_header": lines.append("host \(ConfigurationWriter.word(value));")
      case ".probe": probe(entry, &lines)
      default: result.remark(entry.line, entry.shown)
      }
    }
    if host.contains(":"), !host.hasPrefix("[") { host = "[\(host)]" }
    let server = path.map { "unix:\($0)" } ?? "\(host):\(port)"
    lines.insert("server \(ConfigurationWriter.word(server));", at: 0)
    let name = ConfigurationWriter.name(statement.words[1])
    if origins.contains(where: { $0.name == name }) {
      return result.remark(statement.line, "\(statement.shown): another has its name")
    }
    if statement.words[1] == "default" { defaultOrigin = name }
    origins.append((name, lines))
  }

  private mutating func add(
    _ name: String, _ value: String, _ entry: VarnishStatement, _ lines: inout [String]
  ) {
    guard let time = Self.time(value) else { return result.remark(entry.line, entry.shown) }
    lines.append("\(name) \(time);")
  }

  private mutating func probe(_ entry: VarnishStatement, _ lines: inout [String]) {
    let name = entry.words.count == 3 && entry.block == nil ? entry.words[2] : nil
    let isKnown = name.map { !usedProbes.insert($0).inserted } ?? false
    guard let block = entry.block ?? name.flatMap({ probes[$0]?.block }),
      let url = block.first(where: { $0.words.first == ".url" })
    else {
      return result.remark(entry.line, "\(entry.shown): health GET PATH; in origin")
    }
    var line = "health GET \(ConfigurationWriter.word(url.words.last ?? "/"))"
    for part in block {
      let value = part.words.last ?? ""
      switch part.words.first {
      case ".url": break
      case ".interval": if let time = Self.time(value) { line += " every=\(time)" }
      case ".timeout": if let time = Self.time(value) { line += " timeout=\(time)" }
      case ".expected_response": line += " expect=\(value)"
      default:
        if isKnown { continue }
        result.remark(part.line, "\(part.shown): fall= and rise= of health count in a row")
      }
    }
    lines.append(line + ";")
  }

  private mutating func subroutine(_ statement: VarnishStatement, of name: String) {
    let words = statement.words
    if words.count >= 4, words[0] == "set", words[2] == "=" {
      switch (words[1], words.count) {
      case ("beresp.ttl", 4):
        if let time = Self.time(words[3]) {
          lifetime = time
          return
        }
      case ("beresp.grace", 4):
        if let time = Self.time(words[3]) {
          grace = time
          return
        }
      case ("req.backend_hint", 4), ("bereq.backend", 4):
        let name = ConfigurationWriter.name(words[3])
        isOriginUnknown = !origins.contains { $0.name == name }
        if !isOriginUnknown {
          origin = name
          return
        }
      case ("req.backend_hint", _), ("bereq.backend", _): isOriginUnknown = true
      default:
        if let line = field(statement) {
          route.append(line)
          return
        }
      }
    }
    if words.count == 2, words[0] == "unset" || words[0] == "remove" {
      if words[1].lowercased() == "req.http.cookie" {
        route.append("cookies drop;")
        return
      }
      if words[1].lowercased() == "beresp.http.set-cookie" {
        route.append("cache { set_cookie strip; }")
        return
      }
      if let name = Self.fieldName(words[1]) {
        route.append(
          name.isResponse ? "on response { unset \(name.text); }" : "unset \(name.text);")
        return
      }
    }
    result.remark(statement.line, "\(name): \(statement.shown)")
  }

  /// `set resp.http.X = "text";`
  private func field(_ statement: VarnishStatement) -> String? {
    let words = statement.words
    guard words.count == 4, statement.texts == [3], let name = Self.fieldName(words[1]),
      words[3].utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7F })
    else { return nil }
    let line = "set \(name.text) \"\(words[3])\";"
    guard !words[3].contains(where: { "\"\\$".contains($0) }) else { return nil }
    return name.isResponse ? "on response { \(line) }" : line
  }

  /// Fields that rules may not change.
  private static let ownFields: Set<String> = [
    "host", "connection", "content-length", "transfer-encoding", "te", "trailer", "upgrade",
    "keep-alive", "proxy-connection", "expect", "http2-settings", "age", "date", "cache-status",
  ]

  private static func fieldName(_ text: String) -> (text: String, isResponse: Bool)? {
    for prefix in ["req.http.", "bereq.http.", "resp.http."] where text.hasPrefix(prefix) {
      let name = text.dropFirst(prefix.count).lowercased()
      let isName = name.utf8.allSatisfy { byte in
        (0x61...0x7A).contains(byte) || (0x30...0x39).contains(byte) || byte == 0x2D
      }
      guard !name.isEmpty, isName, !ownFields.contains(name) else { return nil }
      return ("header.\(name)", prefix == "resp.http.")
    }
    return nil
  }

  /// A duration such as 5s, 0.5s, 10m or 1w.
  private static func time(_ text: String) -> String? {
    let units = [
      "ms": 1.0, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000,
    ]
    let number = text.prefix { $0.isNumber || $0 == "." }
    guard let unit = units[String(text.dropFirst(number.count))], let value = Double(number),
      value > 0, value * unit < 1e12
    else { return nil }
    let milliseconds = Int((value * unit).rounded())
    return milliseconds % 1_000 == 0 ? "\(milliseconds / 1_000)s" : "\(milliseconds)ms"
  }

  private mutating func write() {
    var out = ConfigurationWriter()
    out.line("# Carried over from a VCL; weir check says whether it can be used.")
    out.line("listen :6081;")
    out.line("admin 127.0.0.1:9090;")
    out.line("store store { size 1GiB; }")
    // Without a backend that is surely the right one nothing is asked.
    let way = isOriginUnknown ? nil : origin ?? defaultOrigin ?? origins.first?.name
    if way == nil, !origins.contains(where: { $0.name == "nowhere" }) {
      origins.append(("nowhere", ["server 127.0.0.1:9;"]))
    }
    for origin in origins {
      out.gap()
      out.open("origin \(origin.name)")
      for line in origin.lines { out.line(line) }
      out.close()
    }
    out.gap()
    out.open("site *")
    out.line("origin \(way ?? "nowhere");")
    var cache: [String] = []
    if let lifetime { cache.append("ttl 2xx \(lifetime);") }
    if let grace { cache.append("stale_while_revalidate \(grace);") }
    let own = "cache { "
    for line in route where line.hasPrefix(own) && !cache.contains("set_cookie strip;") {
      cache.append(String(line.dropFirst(own.count).dropLast(2)))
    }
    out.open("route /")
    for line in route where !line.hasPrefix(own) { out.line(line) }
    if way == nil { out.line("respond 503;") }
    if !cache.isEmpty { out.line("cache { \(cache.joined(separator: " ")) }") }
    out.close()
    out.close()
    result.text = out.text
  }
}
