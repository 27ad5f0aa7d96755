// Locations of an nginx.conf. What a location lets nobody see must not be seen here either: where something
// that keeps people out, or the way to an answer, has no counterpart, the route answers with an error.

/// What a block says for the blocks in it, where they say nothing of the kind themselves.
struct NginxScope {
  /// `allow` and `deny`, in their order.
  var access: [NginxDirective] = []
  /// `proxy_set_header`.
  var fields: [NginxDirective] = []
  /// The directory of files.
  var root: NginxDirective?
  /// What asks who it is, by the name of the directive.
  var guards: [String: NginxDirective] = [:]
  private var hasAccess = false
  private var hasFields = false

  /// The directives that blocks inherit.
  static let names: Set<String> = [
    "allow", "deny", "proxy_set_header", "root", "auth_basic", "auth_request", "auth_jwt",
    "ssl_verify_client",
  ]

  /// The scope of a block in this one.
  var inner: NginxScope {
    var inner = self
    inner.hasAccess = false
    inner.hasFields = false
    return inner
  }

  /// Takes a directive of the block; whether it was one that blocks inherit.
  mutating func take(_ directive: NginxDirective) -> Bool {
    switch directive.name {
    case "allow", "deny":
      access = hasAccess ? access + [directive] : [directive]
      hasAccess = true
    case "proxy_set_header":
      fields = hasFields ? fields + [directive] : [directive]
      hasFields = true
    case "root": root = directive
    case let name where Self.names.contains(name): guards[name] = directive
    default: return false
    }
    return true
  }

  /// The first directive that lets only known clients in.
  var guardian: NginxDirective? {
    guards.values.filter { $0.arguments.first != "off" }.min { $0.line < $1.line }
  }
}

/// A location while it is read.
struct NginxWay {
  /// The origin or the files.
  var line: String?
  /// Rules that end each request.
  var ending: [String]?
  /// What else it says.
  var lines: [String] = []
  var cache: [String] = []
  var isCached = false
  /// What answers, and is not known here.
  var handler: NginxDirective?
  var isInternal = false
}

extension NginxConversion {
  private static let handlers: Set<String> = [
    "fastcgi_pass", "uwsgi_pass", "scgi_pass", "grpc_pass", "memcached_pass", "alias", "try_files",
    "stub_status", "autoindex", "content_by_lua_block", "content_by_lua_file", "content_by_lua",
    "js_content", "perl", "empty_gif", "dav_methods", "mp4", "flv", "hls", "proxy_pass",
  ]

  /// A location and those in it, as routes; `outer` has the expressions around it, which count before its own
  /// way.
  mutating func location(
    _ entry: NginxDirective, _ outer: NginxScope, _ around: [NginxExpression], _ site: inout Site
  ) {
    let modifier = entry.arguments.count > 1 ? entry.arguments[0] : ""
    // They stand in each route that they count in (`expressions`).
    if NginxExpression.modifiers.contains(modifier) { return }
    guard let path = entry.arguments.last, path.hasPrefix("/"), ["", "=", "^~"].contains(modifier)
    else { return drop(entry, "what leads to it has no counterpart") }
    let isPath = path.utf8.allSatisfy { byte in
      byte > 0x20 && byte < 0x7F && !"?#%\"'\\;{}$".utf8.contains(byte)
    }
    let head = modifier == "=" ? "= \(path)" : path
    guard isPath, !path.contains("//"), !site.routes.contains(where: { $0.head == head }) else {
      return drop(entry, "the path cannot be a route's, or is another's already")
    }
    var scope = outer.inner
    var way = NginxWay()
    read(entry, &scope, &way)
    let inside = expressions(in: entry.block ?? [], scope) + (modifier.isEmpty ? around : [])
    let place = site.routes.count
    site.routes.append((head, []))
    let own = lines(of: entry, scope, way)
    site.routes[place].lines = modifier == "=" ? own : NginxExpression.join(inside, to: own)
    for inner in entry.block ?? [] where inner.name == "location" {
      location(inner, scope, inside, &site)
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
  }

  /// The lines of a route; one that has no way to an answer, or lets nobody in, answers itself.
  mutating func lines(
    of entry: NginxDirective, _ scope: NginxScope, _ way: NginxWay
  ) -> [String] {
    let (access, isClosed) = access(scope.access)
    if let guardian = scope.guardian {
      drop(guardian, "say who may ask with auth or verify; until then \(entry.shown) answers 403")
      return ["origin \(closed());", "respond 403;"]
    }
    if way.isInternal { return ["origin \(closed());", "respond 404;"] }
    if isClosed { return ["origin \(closed());", "respond 403;"] }
    let settings = access + way.lines.filter { !$0.hasPrefix("set ") && !$0.hasPrefix("unset ") }
    if let ending = way.ending { return ["origin \(closed());"] + settings + ending }
    if way.handler == nil || way.line != nil, let line = way.line ?? files(scope, way) {
      var lines = [line] + access + way.lines
      if way.isCached || !way.cache.isEmpty {
        lines.append(
          way.cache.isEmpty ? "cache on;" : "cache { \(way.cache.joined(separator: " ")) }")
      } else if line.hasPrefix("origin ") {
        lines.append("cache off;")
      }
      return lines
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
      way.line = pass(inner, host)
      if way.line == nil { way.handler = inner }
    case "proxy_cache": way.isCached = inner.arguments.first != "off"
    case "proxy_cache_valid":
      let statuses = inner.arguments.dropLast().filter { Int($0) != nil }
      guard let time = inner.arguments.last.flatMap(Self.time),
        statuses.count == inner.arguments.count - 1
      else { return drop(inner, "default_ttl STATUS… DURATION; in cache") }
      let named = statuses.isEmpty ? ["200", "301", "302"] : statuses
      way.cache.append("default_ttl \(named.joined(separator: " ")) \(time);")
    case "return" where way.ending == nil: way.ending = answer(inner) ?? ["respond 503;"]
    case "internal":
      drop(inner, "the route answers 404")
      way.isInternal = true
    case "client_max_body_size":
      guard let size = inner.arguments.first.flatMap(Self.bodySize) else { return drop(inner) }
      way.lines.append("max_body \(size);")
    case "limit_except": way.lines += gates(inner)
    case "if":
      guard let rule = condition(inner) else { return drop(inner) }
      way.lines.append(rule)
    case "limit_req": limit(inner, &way.lines)
    case "add_header": addHeader(inner, &way.lines)
    case let name where Self.handlers.contains(name):
      drop(inner, way.line == nil ? "the route answers 503 until it has a way" : nil)
      way.handler = inner
      if name == "try_files" { way.line = nil }
    case let name where Self.isNeedless(name) || NginxScope.names.contains(name): break
    default: dropSetting(inner)
    }
  }

  /// The origin where routes stand that answer by themselves.
  mutating func closed() -> String {
    var name = Self.nowhere
    while upstreams[name] != nil { name += "-" }
    if origins[name] == nil { add(origin: name, ["server 127.0.0.1:9;"]) }
    return name
  }
}

// Ways to servers, and fields.
extension NginxConversion {
  /// The origin of a `proxy_pass`; nil, with a remark, if it has none.
  private mutating func pass(_ entry: NginxDirective, _ host: NginxDirective?) -> String? {
    guard let target = entry.arguments.first, let scheme = target.split(separator: ":").first,
      target.hasPrefix(scheme + "://"), scheme == "http" || scheme == "https",
      !target.contains("$")
    else {
      drop(entry, "an address with variables: name an origin; 503 until then")
      return nil
    }
    let rest = target.dropFirst(scheme.count + 3)
    let isSocket = rest.hasPrefix("unix:")
    // Behind a socket's path a colon begins the path that is asked for.
    let server = String(
      isSocket ? "unix:" + rest.dropFirst(5).prefix { $0 != ":" } : rest.prefix { $0 != "/" })
    let path = rest.dropFirst(server.count + (isSocket ? 1 : 0))
    if path == "/" {
      drop(
        entry, "nginx takes the location's path away here: rewrite path replace_prefix(path, …);")
    } else if !path.isEmpty {
      drop(entry, "the path behind the server: rewrite path replace_prefix(path, …);")
    }
    let isSecure = scheme == "https"
    var lines = upstreams[server] ?? ["server \(Self.address(server, secure: isSecure));"]
    if upstreams[server] != nil, isSecure {
      lines = lines.map { $0.hasPrefix("server ") ? "server https://" + $0.dropFirst(7) : $0 }
    }
    guard !lines.isEmpty, !lines.contains(where: { $0.contains("https://unix:") }),
      !(isSocket && isSecure), server != "unix:"
    else {
      drop(entry, "none of its servers can be asked: 503 instead")
      return nil
    }
    var name = ConfigurationWriter.name(String(server.map { $0 == ":" ? "-" : $0 }))
    if upstreams[server] != nil, isSecure { name += "-tls" }
    if let value = host?.arguments.last, let host, host.arguments.count == 2, Self.isHost(value) {
      lines.append("host \(value);")
      name += "-as-" + ConfigurationWriter.name(value)
    }
    while let other = origins[name], other != lines { name += "-" }
    add(origin: name, lines)
    return "origin \(name);"
  }

  private static func isHost(_ text: String) -> Bool {
    !text.isEmpty
      && text.utf8.allSatisfy { byte in
        (0x61...0x7A).contains(byte | 0x20) || (0x30...0x39).contains(byte)
          || "-._:".utf8.contains(byte)
      }
  }

  private mutating func limit(_ entry: NginxDirective, _ lines: inout [String]) {
    let zone = entry.arguments.first { $0.hasPrefix("zone=") }.map {
      ConfigurationWriter.name(String($0.dropFirst(5)))
    }
    guard let zone, let index = limits.firstIndex(where: { $0.name == zone }) else {
      return drop(entry)
    }
    let burst = entry.arguments.first { $0.hasPrefix("burst=") }.map { String($0.dropFirst(6)) }
    limits[index].burst = limits[index].burst ?? burst
    lines.append("limit \(zone);")
  }

  /// Fields that rules may not change: they frame messages, or belong to one connection.
  private static let ownFields: Set<String> = [
    "content-length", "transfer-encoding", "te", "trailer", "keep-alive", "proxy-connection",
    "expect", "http2-settings", "age", "date", "cache-status",
  ]

  private static func isField(_ name: String) -> Bool {
    !name.isEmpty && !ownFields.contains(name)
      && name.utf8.allSatisfy { byte in
        (0x61...0x7A).contains(byte) || (0x30...0x39).contains(byte) || byte == 0x2D
      }
  }

  /// Fields that the node sets itself need nothing, if they say what it says.
  private mutating func setHeader(_ entry: NginxDirective, _ lines: inout [String]) {
    guard entry.arguments.count == 2 else { return drop(entry) }
    let name = entry.arguments[0].lowercased()
    let value = entry.arguments[1]
    if name == "host" {
      let same = ["$host", "$http_host", "$host:$server_port"].contains(value)
      return same || Self.isHost(value) ? () : drop(entry, "host NAME; in the origin")
    }
    if name == "connection" { return }
    if ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"].contains(name),
      value.contains("$")
    {
      return
    }
    if name == "upgrade" {
      return value.isEmpty ? () : lines.append("upgrade on;")
    }
    guard Self.isField(name), let text = Self.template(value) else {
      return drop(entry, "set header.\(name) …; with its variable")
    }
    lines.append(value.isEmpty ? "unset header.\(name);" : "set header.\(name) \(text);")
  }

  private mutating func addHeader(_ entry: NginxDirective, _ lines: inout [String]) {
    guard entry.arguments.count >= 2, let value = Self.template(entry.arguments[1]),
      Self.isField(entry.arguments[0].lowercased())
    else { return drop(entry, "on response { set header.NAME …; } with its variable") }
    lines.append("on response { set header.\(entry.arguments[0].lowercased()) \(value); }")
  }
}
