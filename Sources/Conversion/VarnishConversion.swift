// From VCL. Its subroutines are programs, and what reads as a setting or as a rule is carried over: backends with
// their probes and timeouts, what is done for every request, and conditions that refuse, pass by the store, or
// choose a backend. All else is named with its line, for the rules language to say (docs/rules.md). Varnish's own
// subroutines run behind those of the file; what they keep out of the store is kept out of it here.

/// See the top of this file.
struct VarnishConversion {
  var result = Converted()
  var origins: [(name: String, lines: [String])] = []
  /// The lines of the route, in the order of what they stand for.
  var route: [String] = []
  var defaultOrigin: String?
  var origin: String?
  /// Whether nothing is answered: a backend is chosen, or somebody refused, in a way that is not known here.
  var isClosed = false
  /// Whether the backend that all use is not known here.
  var isOriginUnknown = false
  /// Whether nothing is stored, since what is not stored is not known.
  var isUncached = false
  var conditions = VarnishConditions()
  /// Subroutines by their names.
  var subroutines: [String: [VarnishStatement]] = [:]
  /// Those of them that others call.
  var called: Set<String> = []
  /// Fields of the request that somebody might send in the place of what the VCL says.
  var withheld: [String] = []
  var dropsCookies = false
  var lifetime: String?
  /// Probes with names, and those of them that a backend has.
  var probes: [String: VarnishStatement] = [:]
  var usedProbes: Set<String> = []
  var grace: String?

  /// The subroutines that each request passes, or each response, unless it was answered before.
  static let passed = [
    "vcl_recv", "vcl_hash", "vcl_backend_fetch", "vcl_backend_response", "vcl_deliver",
  ]

  /// Carries a VCL over.
  static func convert(_ text: String) -> Converted {
    var conversion = VarnishConversion()
    let (statements, problem) = VarnishParser.parse(text)
    if let problem {
      conversion.isClosed = true
      conversion.result.remark(
        problem, "a brace, text or statement that begins here has no end: all is answered with 503")
    }
    for statement in statements {
      guard statement.words.count > 1 else { continue }
      let name = statement.words[1]
      switch statement.words[0] {
      case "probe": conversion.probes[name] = statement
      case "acl": conversion.conditions.readList(statement)
      case "sub": conversion.subroutines[name, default: []] += statement.block ?? []
      default: break
      }
    }
    for statement in statements { conversion.read(statement) }
    var changes: [String] = []
    for name in passed {
      let body = conversion.expanded(conversion.subroutines[name] ?? [])
      // Rules of the response see the request as the client sent it.
      if late.contains(name) { conversion.conditions.changed.formUnion(changes) }
      conversion.read(body, of: name)
      changes += body.flatMap(\.changes).filter { !$0.hasSuffix("req.url") }
    }
    conversion.nameUnused(statements)
    conversion.write()
    conversion.result.order()
    return conversion.result
  }

  private mutating func read(_ statement: VarnishStatement) {
    switch statement.words.first {
    case "vcl", "import", "probe", "acl", "sub": break
    case "backend": backend(statement)
    case "include":
      isClosed = true
      result.remark(
        statement.line, "\(statement.shown): all is answered with 503 until its text stands here")
    default: result.remark(statement.line, statement.shown)
    }
  }

  /// Names what nothing here goes by.
  private mutating func nameUnused(_ statements: [VarnishStatement]) {
    for statement in statements where statement.words.count > 1 {
      let name = statement.words[1]
      switch statement.words[0] {
      case "probe" where !usedProbes.contains(statement.words.last ?? ""):
        result.remark(statement.line, "\(statement.shown): no backend has it")
      case "acl" where !conditions.usedLists.contains(name):
        result.remark(
          statement.line, "\(statement.shown): allow, deny and purge_from take networks")
      case "sub" where !Self.passed.contains(name) && !called.contains(name):
        // What they do is only done where they are called, or on the way that they are for.
        let body = expanded(statement.block ?? [])
        for inner in body { result.remark(inner.line, "\(name): \(inner.shown)") }
        if ["vcl_hit", "vcl_miss", "vcl_pass", "vcl_pipe", "vcl_purge"].contains(name) {
          withhold(body, name)
        }
      default: break
      }
    }
  }

  mutating func write() {
    var out = ConfigurationWriter()
    out.line("# Carried over from a VCL; weir check says whether it can be used.")
    out.line("listen :6081;")
    out.line("admin 127.0.0.1:9090;")
    out.line("store store { size 1GiB; }")
    // Without a backend that is surely the right one nothing is asked.
    let way = isClosed || isOriginUnknown ? nil : origin ?? defaultOrigin ?? origins.first?.name
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
    out.open("route /")
    if way == nil {
      out.line("respond 503;")
    } else {
      for line in route where line != Self.stripping { out.line(line) }
      // Behind the conditions that look at them.
      for name in withheld { out.line("unset header.\(name);") }
      for line in caching() { out.line(line) }
    }
    out.close()
    out.close()
    result.text = out.text
  }

  static let stripping = "cache { set_cookie strip; }"

  /// What is stored. Varnish's own subroutines keep out what has cookies or credentials, sets cookies, or says
  /// that it is not for everybody.
  private func caching() -> [String] {
    if isUncached { return ["cache off;"] }
    var lines: [String] = []
    let cookies = dropsCookies ? "" : "exists(header.cookie) || "
    lines.append("when \(cookies)exists(header.authorization) { cache bypass; }")
    let strips = route.contains(Self.stripping)
    let control = #"response.header.cache-control matches r"(?i)private|no-cache|no-store""#
    let sets = strips ? "" : "exists(response.header.set-cookie) || "
    lines.append("on response { when \(sets)\(control) { cache bypass; } }")
    var cache: [String] = []
    if let lifetime { cache.append("ttl 2xx \(lifetime);") }
    if let grace { cache.append("stale_while_revalidate \(grace);") }
    if strips { cache.append("set_cookie strip;") }
    if !cache.isEmpty { lines.append("cache { \(cache.joined(separator: " ")) }") }
    return lines
  }
}
