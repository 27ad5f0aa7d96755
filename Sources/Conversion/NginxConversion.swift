// From nginx.conf. Servers of one name become one site: nginx chooses by listener and name, an edge.conf by
// name alone, and the usual pair (port 80 that only redirects, port 443) is a site with `redirect_to_https`.

/// See the top of this file.
struct NginxConversion {
  var result = Converted()
  var origins: [String: [String]] = [:]
  private(set) var originOrder: [String] = []
  /// Upstreams by their names; those without a server that can be used have no lines.
  var upstreams: [String: [String]] = [:]
  /// What whole `http` blocks say for their servers.
  var common = NginxScope()
  var listeners: [String] = []
  var limits: [(name: String, rate: String, key: String, burst: String?)] = []
  private(set) var store: String?
  private(set) var storeSize: String?
  /// For each address and port that is listened on, which server nginx takes where no name fits.
  var defaults: [String: Int] = [:]
  /// How many servers were read.
  var serverCount = 0
  /// Whose word counts about whom a request is from.
  var trusted: [String] = []
  /// Whether that comes in a way that is not known here: then nobody can be let in by address.
  var hidesClients = false
  /// Whether nginx would refuse the file as a whole.
  private(set) var isDamaged = false
  var sites: [Site] = []
  var redirects: [Site] = []
  private(set) var maxBody: String?

  /// Where a route stands that only answers: nothing asks it.
  static let nowhere = "nowhere"

  /// A server, as a site.
  struct Site {
    var hosts: [String]
    var lines: [String] = []
    /// What is looked at before its locations.
    var rules: [String] = []
    var routes: [(head: String, lines: [String])] = []
    var redirectsToHTTPS = false
    var httpsPort: Int?
    /// Whether one of its listeners is without TLS.
    var isPlain = false
    /// Where it is listened for.
    var places: [Place] = []
    /// A rule that keeps it to these.
    var check: String?
    /// Whether it answers nothing, since something that keeps people out is not known.
    var isClosed = false
    /// A `return` for all of it, as a route's lines.
    var answer: [String]?
  }

  /// Carries a configuration over.
  static func convert(_ text: String) -> Converted {
    var parser = NginxParser(text)
    var conversion = NginxConversion()
    let directives = parser.parse()
    for problem in parser.problems { conversion.damage(problem.line, problem.text) }
    conversion.findDefaults(directives)
    conversion.findProxies(directives)
    conversion.readAll(directives, in: "main")
    conversion.write()
    conversion.result.order()
    return conversion.result
  }

  /// nginx would not start with such a file, so nothing can be said of what it keeps closed.
  private mutating func damage(_ line: Int, _ text: String) {
    isDamaged = true
    result.remark(line, "\(text): nginx refuses the file; every site answers 503")
  }

  /// What needs no counterpart: the node does it by itself, or it is about the process.
  private static let needless: Set<String> = [
    "worker_processes", "worker_connections", "events", "use", "multi_accept", "sendfile",
    "tcp_nopush", "tcp_nodelay", "pid", "types_hash_max_size", "server_tokens",
    "keepalive_requests",
    "worker_rlimit_nofile", "proxy_http_version", "proxy_buffering", "proxy_buffers",
    "proxy_buffer_size", "proxy_busy_buffers_size", "server_names_hash_bucket_size",
    "ssl_session_cache", "ssl_prefer_server_ciphers", "proxy_cache_lock", "proxy_cache_revalidate",
    "worker_cpu_affinity", "accept_mutex", "zone", "proxy_temp_path",
    "proxy_cache_background_update", "http2", "server_name_in_redirect", "daemon",
  ]

  /// What makes another request of what is asked for.
  static let reshaping: Set<String> = [
    "proxy_method", "proxy_set_body", "proxy_pass_request_headers", "proxy_pass_request_body",
  ]

  static func isNeedless(_ name: String) -> Bool { needless.contains(name) }

  /// Names a setting that has no counterpart, with what there is instead.
  mutating func dropSetting(_ directive: NginxDirective) {
    switch directive.name {
    case "index" where directive.arguments == ["index.html"]: break
    case "index": drop(directive, "files DIR { index NAME…; } in an origin")
    case "etag" where directive.arguments == ["on"]: break
    case "etag": drop(directive, "files have validators always")
    case "default_type", "charset":
      drop(directive, "on response { set header.content-type …; }")
    case let name where name.hasPrefix("open_file_cache"):
      drop(directive, "the kernel keeps files in memory already")
    default: drop(directive)
    }
  }

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
    case let name where NginxScope.inherits(name): break
    case "location": damage(directive.line, "\(directive.shown): it stands in no server")
    case "set_real_ip_from", "real_ip_header", "real_ip_recursive": break
    case "http": readAll(directive.block ?? [], in: "http")
    case "upstream": break
    case "server": server(directive)
    case "proxy_cache_path" where store != nil: drop(directive, "a node has one store")
    case "proxy_cache_path":
      store = directive.arguments.first
      for argument in directive.arguments where argument.hasPrefix("max_size=") {
        storeSize = Self.size(String(argument.dropFirst(9)))
      }
    case "limit_req_zone": limitZone(directive)
    case "client_max_body_size":
      maxBody = directive.arguments.first.flatMap(Self.bodySize)
      if maxBody == nil { drop(directive) }
    case "user": drop(directive, "user NAME; at the top level, if the node is started as root")
    case "include" where directive.arguments.first?.hasSuffix("mime.types") == true: break
    case "include": drop(directive, "convert the file by itself, and include what comes of it")
    case "access_log":
      drop(directive, "access_log FILE; at the top level, with access_log_format combined;")
    case "gzip": drop(directive, "the node passes on what origins compress")
    case "map":
      drop(directive, "map(\"file\", key) in rules, with the pairs in a file of their own")
    case let name where Self.needless.contains(name): break
    default: dropSetting(directive)
    }
  }

  private mutating func upstream(_ directive: NginxDirective) {
    guard let first = directive.arguments.first else { return drop(directive) }
    var lines: [String] = []
    for entry in directive.block ?? [] {
      switch entry.name {
      case "server":
        if let line = upstreamServer(entry) { lines.append(line) }
      case "least_conn": lines.append("balance least_connections;")
      case "ip_hash": lines.append("balance ip_hash;")
      case "random": lines.append("balance random_two;")
      case "keepalive" where Self.number(entry.arguments.first ?? "", after: "", to: 10_000):
        lines.append("keepalive \(entry.arguments[0]);")
      case "keepalive_timeout":
        guard let time = entry.arguments.first.flatMap(Self.time), time.first != "0" else {
          drop(entry)
          continue
        }
        lines.append("keepalive_timeout \(time);")
      case "zone", "keepalive_requests": break
      default: drop(entry)
      }
    }
    if !lines.contains(where: { $0.hasPrefix("server ") }) {
      drop(directive, "none of its servers can be used; what is sent to it is answered with 503")
      lines = []
    }
    upstreams[first] = lines
  }

  /// A server of an upstream as a setting; nil, with a remark, if it is none that can be asked.
  private mutating func upstreamServer(_ entry: NginxDirective) -> String? {
    guard let address = entry.arguments.first, Self.isAddress(address) else {
      drop(entry, "a name or address, and a port")
      return nil
    }
    if entry.arguments.contains("down") {
      drop(entry, "it is down")
      return nil
    }
    var line = "server \(Self.address(address, secure: false))"
    for option in entry.arguments.dropFirst() {
      switch option {
      case "backup": line += " backup"
      case let text where Self.number(text, after: "weight=", to: 65_535): line += " \(text)"
      case let text where Self.number(text, after: "max_conns=", to: 1_000_000):
        line += " max_connections=\(text.dropFirst(10))"
      default: drop(entry, "\(option) has no counterpart here; see ejection and health in origin")
      }
    }
    return line + ";"
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
