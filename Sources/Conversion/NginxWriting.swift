// The edge.conf that comes of an nginx.conf.

extension NginxConversion {
  mutating func write() {
    var out = ConfigurationWriter()
    out.line("# Carried over from an nginx.conf; weir check says whether it can be used.")
    joinRedirects()
    if sites.isEmpty { sites = [Site(hosts: ["*"])] }
    for index in sites.indices {
      var site = sites[index]
      closeIfUnsure(&site)
      keepToListeners(&site)
      sites[index] = site
    }
    for line in listeners.isEmpty ? ["listen 127.0.0.1:80;"] : listeners { out.line(line) }
    out.line("admin 127.0.0.1:9090;")
    if !trusted.isEmpty { out.line("trusted_proxies \(trusted.joined(separator: " "));") }
    if let store {
      out.line("store \(ConfigurationWriter.word(store)) { size \(storeSize ?? "1GiB"); }")
    }
    if let maxBody { out.line("client { max_body \(maxBody); }") }
    for limit in limits {
      let burst = limit.burst.map { " burst=\($0)" } ?? ""
      out.line("limit \(limit.name) { token_bucket \(limit.rate)\(burst); key \(limit.key); }")
    }
    let routes = sites.flatMap(\.routes).flatMap(\.lines)
    if routes.contains("use \(Self.snippet)();") { Self.writeSnippet(&out) }
    for name in originOrder {
      // What answers in a rule only needs none, nor does what is a route's own directory.
      let use = "origin \(name);"
      if name.hasPrefix(Self.nowhere) || origins[name]?.first?.hasPrefix("files ") == true,
        !routes.contains(where: { $0.contains(use) })
      {
        continue
      }
      out.gap()
      out.open("origin \(name)")
      for line in origins[name] ?? [] { out.line(line) }
      out.close()
    }
    for site in sites { write(site, &out) }
    result.text = out.text
  }

  /// A site that is not known as a whole answers nothing.
  private mutating func closeIfUnsure(_ site: inout Site) {
    guard site.isClosed || isDamaged || site.routes.isEmpty else { return }
    site.rules = []
    site.routes = [("/", answering(503))]
  }

  private func write(_ site: Site, _ out: inout ConfigurationWriter) {
    out.gap()
    out.open("site \(site.hosts.joined(separator: " "))")
    for line in site.lines where line.hasSuffix(";") { out.line(line) }
    if site.redirectsToHTTPS {
      out.line("redirect_to_https on\(site.httpsPort.map { " port=\($0)" } ?? "");")
    }
    if let check = site.check { out.line(check) }
    var ended: Set<Substring> = []
    for rule in Self.asked(site.rules, &ended) { out.line(rule) }
    for route in site.routes {
      var ended = ended
      out.open("route \(route.head)")
      for line in Self.asked(route.lines, &ended) { out.line(line) }
      out.close()
    }
    out.close()
  }

  /// Lines without the rules that nobody comes to, since others with their condition have ended all of it.
  static func asked(_ lines: [String], _ ended: inout Set<Substring>) -> [String] {
    var result: [String] = []
    for (place, line) in lines.enumerated() {
      let goesOn = place + 1 < lines.count && lines[place + 1].hasPrefix("else ")
      if line.hasPrefix("when "), !goesOn, let end = line.firstRange(of: " { respond ") {
        guard ended.insert(line[..<end.lowerBound]).inserted else { continue }
      }
      result.append(line)
    }
    return result
  }
}
