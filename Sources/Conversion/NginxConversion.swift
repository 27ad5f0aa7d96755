// From nginx.conf. Servers of one name become one site: nginx chooses by listener and name, an edge.conf by
// name alone, and the usual pair (port 80 that only redirects, port 443) is a site with `redirect_to_https`.

/// See the top of this file.
struct NginxConversion {
  private var result = Converted()
  private var origins: [String: [String]] = [:]
  private var originOrder: [String] = []
  private var upstreams: Set<String> = []
  private var listeners: [String] = []
  private var limits: [(name: String, rate: String, key: String, burst: String?)] = []
  private var store: String?
  private var storeSize: String?
  private var sites: [Site] = []
  private var maxBody: String?

  private struct Site {
    var hosts: [String]
    var lines: [String] = []
    var routes: [(head: String, lines: [String])] = []
    var redirectsToHTTPS = false
  }

  /// Carries a configuration over.
  static func convert(_ text: String) -> Converted {
    var parser = NginxParser(text)
    var conversion = NginxConversion()
    let directives = parser.parse()
    conversion.readAll(directives, in: "main")
    conversion.write()
    conversion.result.remarks.sort { $0.line < $1.line }
    return conversion.result
  }

  /// What needs no counterpart: the node does it by itself, or it is about the process.
  private static let needless: Set<String> = [
    "worker_processes", "worker_connections", "events", "use", "multi_accept", "sendfile",
    "tcp_nopush", "tcp_nodelay", "pid", "types_hash_max_size", "server_tokens",
    "keepalive_requests",
    "worker_rlimit_nofile", "proxy_http_version", "proxy_buffering", "proxy_buffers",
    "proxy_buffer_size", "proxy_busy_buffers_size", "server_names_hash_bucket_size", "default_type",
    "ssl_session_cache", "ssl_prefer_server_ciphers", "proxy_cache_lock", "proxy_cache_revalidate",
    "worker_cpu_affinity", "accept_mutex", "zone", "proxy_temp_path", "charset", "etag",
    "proxy_cache_background_update", "http2", "server_name_in_redirect", "daemon",
    "open_file_cache",
  ]

  private mutating func drop(_ directive: NginxDirective, _ why: String? = nil) {
    result.remark(directive.line, "\(directive.shown)" + (why.map { ": \($0)" } ?? ""))
  }

  private mutating func readAll(_ directives: [NginxDirective], in place: String) {
    // Upstreams first: a proxy_pass names one or a server.
    for directive in directives where directive.name == "upstream" { upstream(directive) }
    for directive in directives { readTop(directive) }
  }

  private mutating func readTop(_ directive: NginxDirective) {
    switch directive.name {
    case "http": readAll(directive.block ?? [], in: "http")
    case "upstream": break
    case "server": server(directive)
    case "proxy_cache_path":
      store = directive.arguments.first
      for argument in directive.arguments where argument.hasPrefix("max_size=") {
        storeSize = Self.size(String(argument.dropFirst(9)))
      }
    case "limit_req_zone": limitZone(directive)
    case "client_max_body_size": maxBody = directive.arguments.first.flatMap(Self.size)
    case "user": drop(directive, "user NAME; at the top level, if the node is started as root")
    case "include" where directive.arguments.first?.hasSuffix("mime.types") == true: break
    case "include": drop(directive, "convert the file by itself, and include what comes of it")
    case "access_log":
      drop(directive, "access_log FILE; at the top level, with access_log_format combined;")
    case "gzip": drop(directive, "the node passes on what origins compress")
    case "map":
      drop(directive, "map(\"file\", key) in rules, with the pairs in a file of their own")
    case let name where Self.needless.contains(name): break
    default: drop(directive)
    }
  }

  private mutating func upstream(_ directive: NginxDirective) {
    guard let first = directive.arguments.first else { return drop(directive) }
    let name = ConfigurationWriter.name(first)
    upstreams.insert(first)
    var lines: [String] = []
    for entry in directive.block ?? [] {
      switch entry.name {
      case "server":
        guard let address = entry.arguments.first else { continue }
        var line = "server \(Self.address(address, secure: false))"
        for option in entry.arguments.dropFirst() {
          switch option {
          case "backup": line += " backup"
          case let text where text.hasPrefix("weight="): line += " \(text)"
          case let text where text.hasPrefix("max_conns="):
            line += " max_connections=\(text.dropFirst(10))"
          default:
            drop(entry, "\(option) has no counterpart here; see ejection and health in origin")
          }
        }
        lines.append(line + ";")
      case "least_conn": lines.append("balance least_connections;")
      case "ip_hash": lines.append("balance ip_hash;")
      case "random": lines.append("balance random_two;")
      case "keepalive":
        if let number = entry.arguments.first { lines.append("keepalive \(number);") }
      case "zone", "keepalive_requests", "keepalive_timeout": break
      default: drop(entry)
      }
    }
    add(origin: name, lines)
  }

  private mutating func add(origin name: String, _ lines: [String]) {
    if origins[name] == nil { originOrder.append(name) }
    origins[name] = lines
  }

  private mutating func limitZone(_ directive: NginxDirective) {
    let keys = ["$binary_remote_addr": "client.ip", "$remote_addr": "client.ip", "$host": "host"]
    let zone = directive.arguments.first { $0.hasPrefix("zone=") }?.dropFirst(5).prefix {
      $0 != ":"
    }
    let rate = directive.arguments.first { $0.hasPrefix("rate=") }?.dropFirst(5)
    guard let key = directive.arguments.first.flatMap({ keys[$0] }), let zone, let rate,
      rate.hasSuffix("r/s") || rate.hasSuffix("r/m"), let number = Int(rate.dropLast(3))
    else { return drop(directive, "its key or rate has no counterpart that is surely the same") }
    limits.append(
      (ConfigurationWriter.name(String(zone)), "\(number)/\(rate.suffix(1))", key, nil))
  }
}

// Servers.
extension NginxConversion {
  private mutating func server(_ directive: NginxDirective) {
    let entries = directive.block ?? []
    var hosts = entries.filter { $0.name == "server_name" }.flatMap(\.arguments)
    let expressions = hosts.filter { $0.hasPrefix("~") }
    if !expressions.isEmpty { drop(directive, "server names that are expressions: name the hosts") }
    hosts = hosts.filter { !$0.hasPrefix("~") }.map {
      $0 == "_" || $0.isEmpty ? "*" : $0.hasPrefix(".") ? String($0.dropFirst()) : $0.lowercased()
    }
    let isDefault = entries.contains {
      $0.name == "listen" && $0.arguments.contains("default_server")
    }
    if hosts.isEmpty || isDefault && !hosts.contains("*") { hosts.append("*") }
    var site = Site(hosts: hosts)
    var root: (name: String, lines: [String])?
    for entry in entries { read(entry, &site, &root) }
    if let root, !site.routes.contains(where: { $0.head == "/" }) {
      site.routes.append(("/", root.lines))
    }
    join(site, directive)
  }

  /// Servers of one name are one site.
  private mutating func join(_ site: Site, _ directive: NginxDirective) {
    guard let index = sites.firstIndex(where: { !Set($0.hosts).isDisjoint(with: site.hosts) })
    else {
      sites.append(site)
      return
    }
    if site.redirectsToHTTPS || sites[index].redirectsToHTTPS {
      let hosts = sites[index].hosts + site.hosts.filter { !sites[index].hosts.contains($0) }
      if sites[index].redirectsToHTTPS { sites[index] = site }
      sites[index].hosts = hosts
      sites[index].redirectsToHTTPS = true
    } else {
      drop(directive, "another server has one of its names: join the two by hand")
    }
  }

  private mutating func read(
    _ entry: NginxDirective, _ site: inout Site, _ root: inout (name: String, lines: [String])?
  ) {
    switch entry.name {
    case "server_name": break
    case "listen": listen(entry)
    case "ssl_certificate":
      site.lines.append("certificate \(ConfigurationWriter.word(entry.arguments.first ?? "")) key ")
    case "ssl_certificate_key":
      if let place = site.lines.firstIndex(where: { $0.hasSuffix(" key ") }) {
        site.lines[place] += ConfigurationWriter.word(entry.arguments.first ?? "") + ";"
      } else {
        drop(entry, "it stands before its certificate")
      }
    case "root": root = ("/", ["files \(ConfigurationWriter.word(entry.arguments.first ?? ""));"])
    case "index": break
    case "location": location(entry, &site)
    case "return":
      let target = entry.arguments.last ?? ""
      if target.hasPrefix("https://$host") || target.hasPrefix("https://$server_name") {
        site.redirectsToHTTPS = true
      } else if let line = answer(entry) {
        site.lines.append(line)
      }
    case "error_page": errorPage(entry, &site)
    case "client_max_body_size", "ssl_protocols", "ssl_ciphers":
      drop(entry, "max_body in route, or tls { … } at the top level")
    case let name where Self.needless.contains(name): break
    default: drop(entry)
    }
  }

  private mutating func listen(_ entry: NginxDirective) {
    guard var address = entry.arguments.first else { return }
    if address.hasPrefix("unix:") { return drop(entry, "the node listens on addresses") }
    if Int(address) != nil { address = ":" + address }
    if address.hasPrefix("*:") { address = String(address.dropFirst()) }
    if address.hasPrefix("[::]:") { address = String(address.dropFirst(4)) }
    if !address.contains(":") { address += ":80" }
    var line = "listen \(address)"
    if entry.arguments.contains("ssl") { line += " tls" }
    if entry.arguments.contains("proxy_protocol") { line += " proxy_protocol" }
    if !listeners.contains(line + ";") { listeners.append(line + ";") }
  }

  private mutating func errorPage(_ entry: NginxDirective, _ site: inout Site) {
    let statuses = entry.arguments.dropLast().filter { Int($0) != nil }
    guard statuses.count == entry.arguments.count - 1, let page = entry.arguments.last else {
      return drop(entry)
    }
    drop(entry, "error_page \(statuses.joined(separator: " ")) FILE; with the file of \(page)")
  }

  /// A `return` as a rule.
  private mutating func answer(_ entry: NginxDirective) -> String? {
    guard let status = entry.arguments.first.flatMap({ Int($0) }) else {
      drop(entry)
      return nil
    }
    let text = entry.arguments.count > 1 ? entry.arguments[1] : nil
    if [301, 302, 303, 307, 308].contains(status), let text {
      guard let target = Self.template(text) else {
        drop(entry, "its variables have no counterpart that is surely the same")
        return nil
      }
      return "redirect \(status) \(target);"
    }
    guard status >= 200, status != 444, let target = text.map(Self.template) ?? "" else {
      drop(entry)
      return nil
    }
    return target.isEmpty ? "respond \(status);" : "respond \(status) \(target);"
  }
}

// Locations.
extension NginxConversion {
  private mutating func location(_ entry: NginxDirective, _ site: inout Site) {
    let modifier = entry.arguments.count > 1 ? entry.arguments[0] : ""
    guard let path = entry.arguments.last, path.hasPrefix("/"), !modifier.hasPrefix("~") else {
      return drop(
        entry, "locations that are expressions: write rules, when path matches r\"…\" { … }")
    }
    var lines: [String] = []
    var cache: [String] = []
    var isCached = false
    for inner in entry.block ?? [] {
      switch inner.name {
      case "proxy_pass": if let line = pass(inner) { lines.append(line) }
      case "root": lines.append("files \(ConfigurationWriter.word(inner.arguments.first ?? ""));")
      case "proxy_cache": isCached = inner.arguments.first != "off"
      case "proxy_cache_valid":
        let statuses = inner.arguments.dropLast().filter { Int($0) != nil }
        guard let time = inner.arguments.last.flatMap(Self.time),
          statuses.count == inner.arguments.count - 1
        else {
          drop(inner, "default_ttl STATUS… DURATION; in cache")
          continue
        }
        let named = statuses.isEmpty ? ["200", "301", "302"] : statuses
        cache.append("default_ttl \(named.joined(separator: " ")) \(time);")
      case "return": if let line = answer(inner) { lines.append(line) }
      case "client_max_body_size":
        if let size = inner.arguments.first.flatMap(Self.size) { lines.append("max_body \(size);") }
      case "limit_req": limit(inner, &lines)
      case "allow", "deny":
        if let word = inner.arguments.first, word != "all" {
          lines.append("\(inner.name) \(word);")
        }
        if inner.name == "allow", inner.arguments.first == "all" { drop(inner) }
      case "proxy_set_header": setHeader(inner, &lines)
      case "add_header": addHeader(inner, &lines)
      case let name where Self.needless.contains(name): break
      default: drop(inner)
      }
    }
    if isCached || !cache.isEmpty {
      lines.append(cache.isEmpty ? "cache on;" : "cache { \(cache.joined(separator: " ")) }")
    } else if lines.contains(where: { $0.hasPrefix("origin ") }) {
      lines.append("cache off;")
    }
    site.routes.append((modifier == "=" ? "= \(path)" : path, lines))
  }

  private mutating func pass(_ entry: NginxDirective) -> String? {
    guard let target = entry.arguments.first, let scheme = target.split(separator: ":").first,
      scheme == "http" || scheme == "https", !target.contains("$")
    else {
      drop(entry, "an address with variables: name an origin")
      return nil
    }
    let rest = target.dropFirst(scheme.count + 3)
    let host = String(rest.prefix { $0 != "/" })
    if rest.contains("/"), rest.dropFirst(host.count) != "/" {
      drop(entry, "the path behind the server: rewrite path replace_prefix(path, …);")
    } else if rest.hasSuffix("/") {
      drop(
        entry, "nginx takes the location's path away here: rewrite path replace_prefix(path, …);")
    }
    if upstreams.contains(host) { return "origin \(ConfigurationWriter.name(host));" }
    let name = ConfigurationWriter.name(host.replacing(":"))
    add(origin: name, ["server \(Self.address(host, secure: scheme == "https"));"])
    return "origin \(name);"
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

  /// Fields that the node sets itself need nothing.
  private mutating func setHeader(_ entry: NginxDirective, _ lines: inout [String]) {
    guard entry.arguments.count == 2 else { return drop(entry) }
    let name = entry.arguments[0].lowercased()
    let own = ["host", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "connection"]
    if own.contains(name) { return }
    if name == "upgrade" { return lines.append("upgrade on;") }
    guard let value = Self.template(entry.arguments[1]) else {
      return drop(entry, "set header.\(name) …; with its variable")
    }
    lines.append("set header.\(name) \(value);")
  }

  private mutating func addHeader(_ entry: NginxDirective, _ lines: inout [String]) {
    guard entry.arguments.count >= 2, let value = Self.template(entry.arguments[1]) else {
      return drop(entry, "on response { set header.NAME …; } with its variable")
    }
    lines.append("on response { set header.\(entry.arguments[0].lowercased()) \(value); }")
  }
}

// Values.
extension NginxConversion {
  /// A text with nginx's variables as one with this language's; nil if one has no counterpart.
  private static func template(_ text: String) -> String? {
    let known = [
      "uri": "${path}", "host": "${host}", "http_host": "${host}",
      "scheme": "${scheme}", "remote_addr": "${client.ip}",
    ]
    var result = "\""
    var rest = text[...]
    while let character = rest.first {
      rest = rest.dropFirst()
      if character == "$" {
        let braced = rest.first == "{"
        let name = (braced ? rest.dropFirst() : rest).prefix {
          $0.isLetter || $0.isNumber || $0 == "_"
        }
        guard let value = known[String(name)] else { return nil }
        rest = rest.dropFirst(name.count + (braced ? 2 : 0))
        result += value
      } else if character == "\"" || character == "\\" {
        result += "\\\(character)"
      } else {
        result.append(character)
      }
    }
    return result + "\""
  }

  private static func address(_ text: String, secure: Bool) -> String {
    if text.hasPrefix("unix:") { return text }
    let hasPort = text.hasSuffix("]") ? false : text.split(separator: ":").count > 1
    return (secure ? "https://" : "") + text + (hasPort ? "" : secure ? ":443" : ":80")
  }

  /// A size such as 10m or 512k.
  private static func size(_ text: String) -> String? {
    let units: [Character: String] = ["k": "KiB", "m": "MiB", "g": "GiB"]
    guard let last = text.lowercased().last else { return nil }
    if let unit = units[last], let number = Int(text.dropLast()), number > 0 {
      return "\(number)\(unit)"
    }
    return Int(text).flatMap { $0 > 0 ? "\($0)" : nil }
  }

  /// A time such as 10m, 1h or 30.
  private static func time(_ text: String) -> String? {
    if let seconds = Int(text) { return "\(seconds)s" }
    guard let unit = text.last, "smhd".contains(unit), Int(text.dropLast()) != nil else {
      return nil
    }
    return text
  }

  private mutating func write() {
    var out = ConfigurationWriter()
    out.line("# Carried over from an nginx.conf; weir check says whether it can be used.")
    for line in listeners.isEmpty ? ["listen :80;"] : listeners { out.line(line) }
    out.line("admin 127.0.0.1:9090;")
    if let store {
      out.line("store \(ConfigurationWriter.word(store)) { size \(storeSize ?? "1GiB"); }")
    }
    if let maxBody { out.line("client { max_body \(maxBody); }") }
    for limit in limits {
      let burst = limit.burst.map { " burst=\($0)" } ?? ""
      out.line("limit \(limit.name) { token_bucket \(limit.rate)\(burst); key \(limit.key); }")
    }
    for name in originOrder {
      out.gap()
      out.open("origin \(name)")
      for line in origins[name] ?? [] { out.line(line) }
      out.close()
    }
    for site in sites { write(site, &out) }
    result.text = out.text
  }

  private func write(_ site: Site, _ out: inout ConfigurationWriter) {
    out.gap()
    out.open("site \(site.hosts.joined(separator: " "))")
    for line in site.lines where line.hasSuffix(";") { out.line(line) }
    if site.redirectsToHTTPS { out.line("redirect_to_https on;") }
    // A rule alone answers nothing without a way to an origin, which is there for what rules let through.
    let hasWay = site.routes.contains { route in
      route.lines.contains { $0.hasPrefix("origin ") || $0.hasPrefix("files ") }
    }
    if !hasWay || site.routes.contains(where: { !hasOrigin($0.lines) }) {
      out.line("origin \(originOrder.first ?? "none");")
    }
    for route in site.routes {
      out.open("route \(route.head)")
      for line in route.lines { out.line(line) }
      out.close()
    }
    out.close()
  }

  private func hasOrigin(_ lines: [String]) -> Bool {
    lines.contains { $0.hasPrefix("origin ") || $0.hasPrefix("files ") }
  }
}

extension String {
  /// The text with colons as dashes: a name of an address.
  fileprivate func replacing(_ character: Character) -> String {
    String(map { $0 == character ? "-" : $0 })
  }
}
