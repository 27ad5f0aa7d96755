// From nginx.conf. Servers of one name become one site: nginx chooses by listener and name, an edge.conf by
// name alone, and the usual pair (port 80 that only redirects, port 443) is a site with `redirect_to_https`.

/// See the top of this file.
struct NginxConversion {
  var result = Converted()
  var origins: [String: [String]] = [:]
  private var originOrder: [String] = []
  /// Upstreams by their names; those without a server that can be used have no lines.
  var upstreams: [String: [String]] = [:]
  /// What whole `http` blocks say for their servers.
  private var common = NginxScope()
  private var listeners: [String] = []
  var limits: [(name: String, rate: String, key: String, burst: String?)] = []
  private var store: String?
  private var storeSize: String?
  private var sites: [Site] = []
  private var redirects: [Site] = []
  private var maxBody: String?

  /// Where a route stands that only answers: nothing asks it.
  static let nowhere = "nowhere"

  /// A server, as a site.
  struct Site {
    var hosts: [String]
    var lines: [String] = []
    var routes: [(head: String, lines: [String])] = []
    var redirectsToHTTPS = false
    var httpsPort: Int?
    /// Whether one of its listeners is without TLS.
    var isPlain = false
    /// A `return` for all of it, as a route's lines.
    var answer: [String]?
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

  static func isNeedless(_ name: String) -> Bool { needless.contains(name) }

  mutating func drop(_ directive: NginxDirective, _ why: String? = nil) {
    result.remark(directive.line, "\(directive.shown)" + (why.map { ": \($0)" } ?? ""))
  }

  private mutating func readAll(_ directives: [NginxDirective], in place: String) {
    // Upstreams first: a proxy_pass names one or a server.
    for directive in directives where directive.name == "upstream" { upstream(directive) }
    for directive in directives where directive.name != "http" { _ = common.take(directive) }
    for directive in directives { readTop(directive) }
  }

  private mutating func readTop(_ directive: NginxDirective) {
    switch directive.name {
    case let name where NginxScope.names.contains(name): break
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
    var lines: [String] = []
    for entry in directive.block ?? [] {
      switch entry.name {
      case "server":
        guard let address = entry.arguments.first else { continue }
        if entry.arguments.contains("down") {
          drop(entry, "it is down")
          continue
        }
        var line = "server \(Self.address(address, secure: false))"
        for option in entry.arguments.dropFirst() {
          switch option {
          case "backup": line += " backup"
          case let text where Self.number(text, after: "weight=", to: 65_535):
            line += " \(text)"
          case let text where Self.number(text, after: "max_conns=", to: 1_000_000):
            line += " max_connections=\(text.dropFirst(10))"
          default:
            drop(entry, "\(option) has no counterpart here; see ejection and health in origin")
          }
        }
        lines.append(line + ";")
      case "least_conn": lines.append("balance least_connections;")
      case "ip_hash": lines.append("balance ip_hash;")
      case "random": lines.append("balance random_two;")
      case "keepalive" where Self.number(entry.arguments.first ?? "", after: "", to: 10_000):
        lines.append("keepalive \(entry.arguments[0]);")
      case "zone", "keepalive_requests", "keepalive_timeout": break
      default: drop(entry)
      }
    }
    if !lines.contains(where: { $0.hasPrefix("server ") }) {
      drop(directive, "none of its servers can be used; what is sent to it is answered with 503")
      lines = []
    }
    upstreams[first] = lines
  }

  /// Whether a text is a number from 1 behind a prefix.
  private static func number(_ text: String, after prefix: String, to most: Int) -> Bool {
    guard text.hasPrefix(prefix), let number = Int(text.dropFirst(prefix.count)) else {
      return false
    }
    return number >= 1 && number <= most
  }

  mutating func add(origin name: String, _ lines: [String]) {
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
    let names = entries.filter { $0.name == "server_name" }.flatMap(\.arguments)
    var hosts: [String] = []
    for name in names {
      if let known = Self.hosts(name) {
        hosts += known.filter { !hosts.contains($0) }
      } else {
        drop(directive, "server name \(name): only hosts, and hosts behind \"*.\"")
      }
    }
    let isDefault = entries.contains {
      $0.name == "listen"
        && ($0.arguments.contains("default_server") || $0.arguments.contains("default"))
    }
    if !names.isEmpty && hosts.isEmpty && !isDefault {
      return drop(directive, "none of its names can be used")
    }
    if hosts.isEmpty || isDefault && !hosts.contains("*") { hosts.append("*") }
    var site = Site(hosts: hosts)
    var scope = common.inner
    for entry in entries { _ = scope.take(entry) }
    if !entries.contains(where: { $0.name == "listen" }), !listeners.contains("listen :80;") {
      listeners.append("listen :80;")
    }
    site.isPlain =
      entries.allSatisfy { $0.name != "listen" }
      || entries.contains { $0.name == "listen" && !$0.arguments.contains("ssl") }
    for entry in entries where entry.name != "location" { read(entry, &site) }
    for entry in entries where entry.name == "location" && entry.arguments == ["/"] {
      let answer = entry.block?.first { $0.name == "return" }
      guard site.answer == nil, let port = answer.flatMap(Self.portOfHTTPS) else { continue }
      site.redirectsToHTTPS = true
      site.httpsPort = port == 443 ? nil : port
    }
    if site.redirectsToHTTPS {
      for entry in entries where entry.name == "location" && entry.arguments != ["/"] {
        drop(entry, "all is sent to https")
      }
    } else if let answer = site.answer {
      for entry in entries where entry.name == "location" {
        drop(entry, "the server's return stands before it")
      }
      site.routes = [("/", answer)]
    } else {
      for entry in entries where entry.name == "location" { location(entry, scope, &site) }
      addRoot(directive, scope, &site)
    }
    join(site, directive)
  }

  /// What no location says is a file below the server's root.
  private mutating func addRoot(
    _ directive: NginxDirective, _ scope: NginxScope, _ site: inout Site
  ) {
    guard !site.routes.contains(where: { $0.head == "/" }), !site.redirectsToHTTPS else { return }
    if scope.root == nil && !site.routes.isEmpty { return }
    var root = directive
    root.name = "location"
    root.arguments = ["/"]
    root.block = []
    location(root, scope, &site)
  }

  /// The hosts of a server name; nil if it has no counterpart.
  private static func hosts(_ name: String) -> [String]? {
    if name == "_" || name.isEmpty { return ["*"] }
    let lower = name.lowercased()
    let bare = lower.hasPrefix("*.") ? lower.dropFirst(2) : lower.drop { $0 == "." }
    let isHost = bare.utf8.allSatisfy { byte in
      (0x61...0x7A).contains(byte) || (0x30...0x39).contains(byte) || "-._".utf8.contains(byte)
    }
    guard isHost, !bare.isEmpty, !bare.contains(".."), bare.first != ".", bare.last != "." else {
      return nil
    }
    return lower.hasPrefix(".") ? [String(bare), "*." + bare] : [lower]
  }

  /// A name is of one site; servers that only send to TLS wait for those they send to.
  private mutating func join(_ site: Site, _ directive: NginxDirective) {
    if site.redirectsToHTTPS { return redirects.append(site) }
    var site = site
    let known = Set(sites.flatMap(\.hosts))
    if site.hosts.contains(where: known.contains) {
      drop(directive, "another server has one of its names: join the two by hand")
      site.hosts.removeAll(where: known.contains)
    }
    if !site.hosts.isEmpty { sites.append(site) }
  }

  /// Gives each site the server that sends its clients to TLS, and those that have none a site of their own.
  private mutating func joinRedirects() {
    for redirect in redirects {
      for index in sites.indices where sites[index].answer == nil || !sites[index].isPlain {
        let isNamed = sites[index].hosts.contains(where: redirect.hosts.contains)
        guard isNamed || redirect.hosts.contains("*") && !sites[index].isPlain else { continue }
        sites[index].redirectsToHTTPS = true
        sites[index].httpsPort = redirect.httpsPort
      }
    }
    for redirect in redirects {
      let known = Set(sites.flatMap(\.hosts))
      var site = redirect
      site.hosts.removeAll(where: known.contains)
      if !site.hosts.isEmpty { sites.append(site) }
    }
  }

  private mutating func read(_ entry: NginxDirective, _ site: inout Site) {
    switch entry.name {
    case let name where NginxScope.names.contains(name): break
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
    case "index": break
    case "return":
      if site.answer != nil || site.redirectsToHTTPS {
        drop(entry, "another return stands before it")
      } else if let port = Self.portOfHTTPS(entry) {
        site.redirectsToHTTPS = true
        site.httpsPort = port == 443 ? nil : port
      } else {
        site.answer = ["origin \(closed());"] + (answer(entry) ?? ["respond 503;"])
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
    if entry.arguments.contains("quic") { return drop(entry, "HTTP/3 is not spoken here") }
    if address.hasPrefix("unix:") { return drop(entry, "the node listens on addresses") }
    if Int(address) != nil { address = ":" + address }
    if address.hasPrefix("*:") { address = String(address.dropFirst()) }
    if address.hasPrefix("[::]:") { address = String(address.dropFirst(4)) }
    if address.hasSuffix("]") || !address.contains(":") { address += ":80" }
    if address.hasPrefix("localhost:") { address = "127.0.0.1" + address.dropFirst(9) }
    guard let colon = address.lastIndex(of: ":"),
      let port = Int(address[address.index(after: colon)...]), (1...65_535).contains(port),
      Self.isNumeric(address[..<colon])
    else { return drop(entry, "an address in numbers and one port") }
    var line = "listen \(address)"
    if entry.arguments.contains("ssl") { line += " tls" }
    if entry.arguments.contains("proxy_protocol") { line += " proxy_protocol" }
    if let other = listeners.first(where: { $0.dropLast().split(separator: " ")[1] == address }) {
      if other != line + ";" { drop(entry, "the address is listened on otherwise already") }
    } else {
      listeners.append(line + ";")
    }
  }

  private static func isNumeric(_ host: Substring) -> Bool {
    if host.isEmpty { return true }
    if host.hasPrefix("["), host.hasSuffix("]") {
      return host.dropFirst().dropLast().allSatisfy { $0.isHexDigit || $0 == ":" || $0 == "." }
    }
    let parts = host.split(separator: ".", omittingEmptySubsequences: false)
    return parts.count == 4 && parts.allSatisfy { UInt8($0) != nil }
  }

  /// The port of a `return` that sends to the same address over TLS, and nowhere else.
  private static func portOfHTTPS(_ entry: NginxDirective) -> Int? {
    guard let target = entry.arguments.last,
      entry.arguments.count == 1 || entry.arguments[0] != "200"
    else { return nil }
    for host in ["https://$host", "https://$server_name", "https://$http_host"]
    where target.hasPrefix(host) && target.hasSuffix("$request_uri") {
      let port = target.dropFirst(host.count).dropLast("$request_uri".count)
      if port.isEmpty { return 443 }
      if port.first == ":", let number = Int(port.dropFirst()), (1...65_535).contains(number) {
        return number
      }
    }
    return nil
  }

  private mutating func errorPage(_ entry: NginxDirective, _ site: inout Site) {
    let statuses = entry.arguments.dropLast().filter { Int($0) != nil }
    guard statuses.count == entry.arguments.count - 1, let page = entry.arguments.last else {
      return drop(entry)
    }
    drop(entry, "error_page \(statuses.joined(separator: " ")) FILE; with the file of \(page)")
  }

  /// A `return` as rules.
  mutating func answer(_ entry: NginxDirective) -> [String]? {
    var arguments = entry.arguments
    if arguments.count == 1, Int(arguments[0]) == nil { arguments.insert("302", at: 0) }
    guard let status = arguments.first.flatMap({ Int($0) }), arguments.count <= 2 else {
      drop(entry)
      return nil
    }
    let text = arguments.count > 1 ? arguments[1] : nil
    if [301, 302, 303, 307, 308].contains(status), let text {
      let unasked = "$request_uri"
      if text.hasSuffix(unasked), let head = Self.template(String(text.dropLast(unasked.count))) {
        let start = "redirect \(status) \(head.dropLast())${path}"
        return ["when query == \"\" { \(start)\"; }", "\(start)?${query}\";"]
      }
      guard let target = Self.template(text) else {
        drop(entry, "its variables have no counterpart that is surely the same; 503 instead")
        return nil
      }
      return ["redirect \(status) \(target);"]
    }
    guard (200...599).contains(status), status != 444, let target = text.map(Self.template) ?? ""
    else {
      drop(entry, "503 instead")
      return nil
    }
    return [target.isEmpty ? "respond \(status);" : "respond \(status) \(target);"]
  }
}

// Values.
extension NginxConversion {
  /// A text with nginx's variables as one with this language's; nil if one has no counterpart.
  static func template(_ text: String) -> String? {
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

  static func address(_ text: String, secure: Bool) -> String {
    if text.hasPrefix("unix:") { return ConfigurationWriter.word(text) }
    let hasPort = text.hasSuffix("]") ? false : text.split(separator: ":").count > 1
    return (secure ? "https://" : "") + text + (hasPort ? "" : secure ? ":443" : ":80")
  }

  /// A size such as 10m or 512k.
  static func size(_ text: String) -> String? {
    let units: [Character: String] = ["k": "KiB", "m": "MiB", "g": "GiB"]
    guard let last = text.lowercased().last else { return nil }
    if let unit = units[last], let number = Int(text.dropLast()), number > 0 {
      return "\(number)\(unit)"
    }
    return Int(text).flatMap { $0 > 0 ? "\($0)" : nil }
  }

  /// A time such as 10m, 1h or 30.
  static func time(_ text: String) -> String? {
    if let seconds = Int(text) { return "\(seconds)s" }
    guard let unit = text.last, "smhd".contains(unit), Int(text.dropLast()) != nil else {
      return nil
    }
    return text
  }

  private mutating func write() {
    var out = ConfigurationWriter()
    out.line("# Carried over from an nginx.conf; weir check says whether it can be used.")
    joinRedirects()
    for index in sites.indices where sites[index].routes.isEmpty {
      sites[index].routes = [("/", ["origin \(closed());", "respond 503;"])]
    }
    if sites.isEmpty {
      sites = [Site(hosts: ["*"], routes: [("/", ["origin \(closed());", "respond 503;"])])]
    }
    for line in listeners.isEmpty ? ["listen 127.0.0.1:80;"] : listeners { out.line(line) }
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
    if site.redirectsToHTTPS {
      out.line("redirect_to_https on\(site.httpsPort.map { " port=\($0)" } ?? "");")
    }
    for route in site.routes {
      out.open("route \(route.head)")
      for line in route.lines { out.line(line) }
      out.close()
    }
    out.close()
  }
}
