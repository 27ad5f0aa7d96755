// Locations of an nginx.conf. What a location lets nobody see must not be seen here either: where something
// that keeps people out, or the way to an answer, has no counterpart, the route answers with an error.

/// A location while it is read.
struct NginxWay {
  /// The origin or the files.
  var line: String?
  /// Rules that end each request.
  var ending: [String]?
  /// What else it says.
  var lines: [String] = []
  /// What answers, and is not known here.
  var handler: NginxDirective?
  var isInternal = false
  /// What may keep people out, and is not known here.
  var closing: NginxDirective?
  /// A `proxy_pass` with a path to put in the place of the location's, and that path.
  var rewritten: NginxDirective?
  var replacement = ""
}

/// The expressions around a location, which count before its own way: those beside it, but for `^~`, and those
/// further out.
struct NginxSurroundings {
  var level: [NginxExpression]
  var outer: [NginxExpression] = []

  /// Those that count in a location beside them.
  func counting(for modifier: String) -> [NginxExpression] {
    modifier == "^~" ? outer : level + outer
  }
}

extension NginxConversion {
  private static let handlers: Set<String> = [
    "fastcgi_pass", "uwsgi_pass", "scgi_pass", "grpc_pass", "memcached_pass", "alias", "try_files",
    "stub_status", "autoindex",
    "js_content", "perl", "empty_gif", "dav_methods", "mp4", "flv", "hls", "proxy_pass",
  ]

  /// What nginx does before it looks who may ask, in its order.
  private static let rewriters: Set<String> = ["return", "if", "rewrite", "set", "break"]

  /// A location and those in it, as routes.
  mutating func location(
    _ entry: NginxDirective, _ outer: NginxScope, _ around: NginxSurroundings, _ site: inout Site
  ) {
    let modifier = entry.arguments.count > 1 ? entry.arguments[0] : ""
    // They stand in each route that they count in (`expressions`).
    if NginxExpression.modifiers.contains(modifier) { return }
    guard let path = entry.arguments.last, path.hasPrefix("/"), ["", "=", "^~"].contains(modifier)
    else { return drop(entry, "what leads to it has no counterpart") }
    guard let head = head(entry, path, modifier, &site) else { return }
    var scope = outer.inner
    var way = NginxWay()
    read(entry, &scope, &way)
    if let rewritten = way.rewritten {
      // nginx leaves the path of proxy_pass out then, but only where the rewrite has counted.
      if way.lines.contains(where: { $0.contains("{ rewrite path ") }) { way.closing = rewritten }
      way.replace(path, isExact: modifier == "=")
    }
    let around = NginxSurroundings(
      level: expressions(in: entry.block ?? [], scope), outer: around.counting(for: modifier))
    let place = site.routes.count
    site.routes.append((head, []))
    var ended: Set<Substring> = []
    _ = Self.asked(site.rules, &ended)
    let own = Self.asked(lines(of: entry, scope, way), &ended)
    if !Self.isPlain(path), !["respond 4", "respond 5"].contains(where: (own.last ?? "").hasPrefix)
    {
      drop(entry, "as it is written here; its path with escapes is answered with 503")
    }
    site.routes[place].lines =
      modifier == "=" ? own : NginxExpression.join(around.level + around.outer, to: own)
    for inner in entry.block ?? [] where inner.name == "location" {
      location(inner, scope, around, &site)
    }
  }

  /// The head of a location's route. nil: the path cannot be one's, and rules of the site refuse it. nginx takes
  /// all escapes of a path away and routes only those that nothing needs, so of a path with others only one way
  /// of writing leads to the route; rules refuse the rest.
  private mutating func head(
    _ entry: NginxDirective, _ path: String, _ modifier: String, _ site: inout Site
  ) -> String? {
    let head = modifier == "=" ? "= \(path)" : path
    let isPath = path.utf8.allSatisfy { byte in
      byte > 0x20 && byte < 0x7F && !"?#%\"'\\;{}$".utf8.contains(byte)
    }
    let reach = Self.reach(of: entry) ?? "path != \"\""
    guard isPath, !path.contains("//") else {
      site.rules.append("when \(reach) { respond 503; }")
      drop(entry, "the path cannot be a route's: what it counts for is answered with 503")
      return nil
    }
    if let other = site.routes.firstIndex(where: { $0.head == head }) {
      site.routes[other].lines = answering(503)
      drop(entry, "another location has its path: both answer 503")
      return nil
    }
    if !Self.isPlain(path) {
      let itself = modifier == "=" ? "path != \"\(path)\"" : "!starts_with(path, \"\(path)\")"
      site.rules.append("when \(reach) && \(itself) { respond 503; }")
    }
    return head
  }

  /// Whether a path has no characters but those that routes know in every spelling.
  private static func isPlain(_ path: String) -> Bool {
    path.utf8.allSatisfy { byte in
      (0x61...0x7A).contains(byte | 0x20) || (0x30...0x39).contains(byte)
        || "-._~/".utf8.contains(byte)
    }
  }

  /// Reads what stands in a location, but for other locations.
  mutating func read(
    _ entry: NginxDirective, _ scope: inout NginxScope, _ way: inout NginxWay
  ) {
    for inner in entry.block ?? [] { _ = scope.take(inner) }
    let host = scope.fields.last { $0.arguments.first?.lowercased() == "host" }
    for inner in entry.block ?? [] where inner.name != "location" { read(inner, host, &way) }
    for field in scope.fields { setHeader(field, &way.lines) }
    for field in scope.hidden { hide(field, &way.lines) }
  }

  /// The lines of a route; one that has no way to an answer, or lets nobody in, answers itself.
  mutating func lines(
    of entry: NginxDirective, _ scope: NginxScope, _ way: NginxWay
  ) -> [String] {
    let (access, isClosed) = access(scope.access)
    if let guardian = scope.guardian {
      drop(guardian, "say who may ask with auth or verify; until then \(entry.shown) answers 403")
      return answering(403)
    }
    if way.closing != nil { return answering(503) }
    if way.isInternal { return answering(404) }
    if isClosed || hidesClients && !access.isEmpty { return answering(403) }
    let settings =
      access
      + way.lines.filter { line in !["set ", "unset ", "rewrite "].contains(where: line.hasPrefix) }
    if let ending = way.ending { return ["origin \(closed());"] + settings + ending }
    if way.handler == nil || way.line != nil, let line = way.line ?? files(scope, way) {
      let lines = [line] + access + way.lines
      return lines + (line.hasPrefix("origin ") ? caching(scope, of: entry) : [])
    }
    if way.handler == nil { drop(entry, "it names no way to an answer: 503 until it does") }
    return ["origin \(closed());"] + access + ["respond 503;"]
  }

  private func files(_ scope: NginxScope, _ way: NginxWay) -> String? {
    guard way.handler == nil, let root = scope.root?.arguments.first, !root.contains("$") else {
      return nil
    }
    return "files \(ConfigurationWriter.word(root));"
  }

  /// Who may ask. nginx takes the first that fits; here who is denied is so even if allowed.
  mutating func access(_ rules: [NginxDirective]) -> (lines: [String], isClosed: Bool) {
    var allowed: [String] = []
    var denied: [String] = []
    for rule in rules {
      let network = rule.arguments.first ?? ""
      switch (rule.name, network) {
      case ("deny", "all"):
        return (denied + allowed, allowed.isEmpty)
      case ("allow", "all"):
        return (denied, false)
      case (let name, _)
      where network.isEmpty || !network.allSatisfy { $0.isHexDigit || ".:/".contains($0) }:
        drop(rule, "an address or network")
        // Nobody is let in for not being denied by name.
        if name == "deny" { return ([], true) }
      case ("allow", _): allowed.append("allow \(network);")
      default:
        if !allowed.isEmpty { drop(rule, "carried over, but here it counts before every allow") }
        denied.append("deny \(network);")
      }
    }
    return (denied, false)
  }

  private mutating func read(
    _ inner: NginxDirective, _ host: NginxDirective?, _ way: inout NginxWay
  ) {
    switch inner.name {
    case "proxy_pass" where way.line == nil:
      way.line = pass(inner, host, &way)
      if way.line == nil { way.handler = inner }
    // Nothing that rewrites comes behind what ends the request.
    case let name where way.ending != nil && Self.rewriters.contains(name): break
    case "return": way.ending = answer(inner) ?? ["respond 503;"]
    case "internal":
      drop(inner, "the route answers 404")
      way.isInternal = true
    case "client_max_body_size":
      guard let size = inner.arguments.first.flatMap(Self.bodySize) else { return drop(inner) }
      way.lines.append("max_body \(size);")
    case "limit_except": way.lines += gates(inner)
    case "if":
      if let rule = condition(inner) {
        way.lines.append(rule)
      } else if !leaves(out: inner, "the route") {
        way.closing = inner
      }
    case "rewrite":
      let rule = rewriting(inner, stays: true)
      way.lines += rule.map { [$0] } ?? []
      if rule == nil { way.closing = inner }
    case "include" where Self.isAboutFields(inner): includeFields(inner, &way.lines)
    case "include":
      drop(inner, "it may keep people out: the route answers 503 until its text stands here")
      way.closing = inner
    case let name where Self.reshaping.contains(name):
      drop(inner, "what servers would get instead is not known: the route answers 503")
      way.closing = inner
    case "limit_req": limit(inner, &way.lines)
    case "add_header": addHeader(inner, &way.lines)
    case let name where Self.handlers.contains(name) || name.hasSuffix("_pass"),
      let name where name.hasPrefix("echo") || name.hasPrefix("content_by_"):
      drop(inner, way.line == nil ? "the route answers 503 until it has a way" : nil)
      way.handler = inner
      if name == "try_files" { way.line = nil }
    case let name where Self.isNeedless(name) || NginxScope.inherits(name): break
    default: dropSetting(inner)
    }
  }

  /// The lines of a route that answers with an error.
  mutating func answering(_ status: Int) -> [String] {
    ["origin \(closed());", "respond \(status);"]
  }

  /// The origin where routes stand that answer by themselves.
  mutating func closed() -> String {
    var name = Self.nowhere
    while upstreams[name] != nil { name += "-" }
    if origins[name] == nil { add(origin: name, ["server 127.0.0.1:9;"]) }
    return name
  }
}
