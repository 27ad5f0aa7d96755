// Servers of an nginx.conf, as sites.

extension NginxConversion {
  mutating func server(_ directive: NginxDirective) {
    let number = serverCount
    serverCount += 1
    let entries = directive.block ?? []
    guard let hosts = hosts(of: directive, number) else { return }
    var site = Site(hosts: hosts, places: Self.places(of: directive))
    var scope = common.inner
    for entry in entries { _ = scope.take(entry) }
    listen(directive)
    site.isPlain =
      entries.allSatisfy { $0.name != "listen" }
      || entries.contains { $0.name == "listen" && !$0.arguments.contains("ssl") }
    sendToHTTPS(directive, &site)
    for entry in entries where entry.name != "location" { read(entry, scope, &site) }
    certificates(in: entries, &site)
    if site.hosts.isEmpty {
      for entry in entries where entry.name == "location" { drop(entry, "all is sent to https") }
      return
    }
    routes(of: directive, scope, &site)
    join(site, directive)
  }

  /// The hosts of a server; nil, with a remark, if nothing leads to it. Where no name fits nginx takes one server
  /// of each listener, and no other is one for all.
  private mutating func hosts(of directive: NginxDirective, _ number: Int) -> [String]? {
    let names = (directive.block ?? []).filter { $0.name == "server_name" }.flatMap(\.arguments)
    var hosts: [String] = names.isEmpty ? ["*"] : []
    for name in names {
      if let known = Self.hosts(name) {
        hosts += known.filter { !hosts.contains($0) }
      } else {
        drop(directive, "server name \(name): only hosts, and hosts behind \"*.\"")
      }
    }
    let places = Self.places(of: directive).filter { defaults[$0.address] == number }
    if places.contains(where: \.isDefault), !hosts.contains("*") { hosts.append("*") }
    if places.isEmpty, hosts.contains("*") {
      hosts.removeAll { $0 == "*" }
      drop(directive, "nginx takes another server where no name fits")
      if hosts.isEmpty { return nil }
    }
    if hosts.isEmpty { drop(directive, "none of its names can be used") }
    return hosts.isEmpty ? nil : hosts
  }

  /// Certbot's way to send clients to TLS: `if ($host = NAME) { return 301 https://$host$request_uri; }` for
  /// each name, before whatever else the server says. Those names become sites that redirect.
  private mutating func sendToHTTPS(_ directive: NginxDirective, _ site: inout Site) {
    for entry in directive.block ?? [] {
      guard let (host, port) = Self.hostSentToHTTPS(entry) else { continue }
      guard let place = site.hosts.firstIndex(of: host) else {
        drop(entry, "the server has no such name")
        continue
      }
      site.hosts.remove(at: place)
      var redirect = Site(hosts: [host])
      redirect.redirectsToHTTPS = true
      redirect.httpsPort = port == 443 ? nil : port
      redirect.isPlain = site.isPlain
      redirect.places = site.places
      redirects.append(redirect)
    }
  }

  private static func hostSentToHTTPS(_ entry: NginxDirective) -> (host: String, port: Int)? {
    guard entry.name == "if", let block = entry.block, block.count == 1, block[0].name == "return",
      let port = portOfHTTPS(block[0])
    else { return nil }
    let words = entry.arguments.joined(separator: " ")
      .split { $0 == " " || $0 == "(" || $0 == ")" }
    guard words.count == 3, words[0] == "$host", words[1] == "=" else { return nil }
    return (words[2].lowercased(), port)
  }

  /// Certificates and keys belong together in their order.
  private mutating func certificates(in entries: [NginxDirective], _ site: inout Site) {
    let chains = entries.filter { $0.name == "ssl_certificate" }
    let keys = entries.filter { $0.name == "ssl_certificate_key" }
    for (chain, key) in zip(chains, keys) {
      guard let chain = chain.arguments.first, let key = key.arguments.first else { continue }
      let names = [chain, key].map(ConfigurationWriter.word)
      site.lines.append("certificate \(names[0]) key \(names[1]);")
    }
    for chain in chains.dropFirst(keys.count) { drop(chain, "it has no ssl_certificate_key here") }
    for key in keys.dropFirst(chains.count) { drop(key, "it has no ssl_certificate here") }
  }

  /// Reads what a server's paths are answered with.
  private mutating func routes(
    of directive: NginxDirective, _ scope: NginxScope, _ site: inout Site
  ) {
    let entries = directive.block ?? []
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
    } else if let verification = scope.verification {
      drop(verification, "say who may ask with verify; until then all is answered with 403")
      site.rules = []
      site.routes = [("/", answering(403))]
    } else if let answer = site.answer {
      for entry in entries where entry.name == "location" {
        drop(entry, "the server's return stands before it")
      }
      site.routes = [("/", answer)]
    } else {
      let expressions = expressions(in: entries, scope)
      for entry in entries where entry.name == "location" {
        location(entry, scope, NginxSurroundings(level: expressions), &site)
      }
      addRoot(directive, scope, expressions, &site)
    }
  }

  /// What no location says is a file below the server's root.
  private mutating func addRoot(
    _ directive: NginxDirective, _ scope: NginxScope, _ expressions: [NginxExpression],
    _ site: inout Site
  ) {
    guard !site.routes.contains(where: { $0.head == "/" }), !site.redirectsToHTTPS else { return }
    if scope.root == nil && !site.routes.isEmpty && expressions.isEmpty { return }
    var root = directive
    root.name = "location"
    root.arguments = ["/"]
    root.block = []
    location(root, scope, NginxSurroundings(level: expressions), &site)
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
  mutating func joinRedirects() {
    for redirect in redirects {
      for index in sites.indices where sites[index].answer == nil || !sites[index].isPlain {
        let isNamed = sites[index].hosts.contains(where: redirect.hosts.contains)
        guard isNamed || redirect.hosts.contains("*") && !sites[index].isPlain else { continue }
        sites[index].redirectsToHTTPS = true
        sites[index].httpsPort = redirect.httpsPort
        sites[index].places += redirect.places
      }
    }
    for redirect in redirects {
      let known = Set(sites.flatMap(\.hosts))
      var site = redirect
      site.hosts.removeAll(where: known.contains)
      if !site.hosts.isEmpty { sites.append(site) }
    }
  }

  private mutating func read(
    _ entry: NginxDirective, _ scope: NginxScope, _ site: inout Site
  ) {
    switch entry.name {
    case let name where NginxScope.inherits(name): break
    case "server_name", "listen", "ssl", "set_real_ip_from", "real_ip_header", "real_ip_recursive":
      break
    case "ssl_certificate", "ssl_certificate_key": break
    case "if" where Self.hostSentToHTTPS(entry) != nil: break
    // Nobody comes so far.
    case "if" where site.answer != nil: drop(entry)
    case "return" where site.hosts.isEmpty, "if" where site.hosts.isEmpty,
      "rewrite" where site.hosts.isEmpty:
      break
    case "if":
      guard let rule = condition(entry) else {
        if !leaves(out: entry, "the site") { site.isClosed = true }
        return
      }
      site.rules.append(rule)
    case "rewrite":
      let rule = rewriting(entry, stays: false)
      site.rules += rule.map { [$0] } ?? []
      if rule == nil { site.isClosed = true }
    case "return":
      if site.answer != nil || site.redirectsToHTTPS {
        drop(entry, "another return stands before it")
      } else if let port = Self.portOfHTTPS(entry) {
        site.redirectsToHTTPS = true
        site.httpsPort = port == 443 ? nil : port
      } else {
        site.answer = ["origin \(closed());"] + (answer(entry) ?? ["respond 503;"])
      }
    case "include" where !Self.isAboutTLS(entry):
      drop(entry, "it may keep people out: the site answers 503 until its text stands here")
      site.isClosed = true
    case let name where Self.reshaping.contains(name):
      drop(entry, "what servers would get instead is not known: the site answers 503")
      site.isClosed = true
    case "error_page": errorPage(entry)
    case "client_max_body_size", "ssl_protocols", "ssl_ciphers":
      drop(entry, "max_body in route, or tls { … } at the top level")
    case let name where Self.isNeedless(name): break
    default: dropSetting(entry)
    }
  }

  /// Whether an included file is one of those that say how TLS is spoken, or what there always is.
  private static func isAboutTLS(_ entry: NginxDirective) -> Bool {
    let name = (entry.arguments.first ?? "").split(separator: "/").last?.lowercased() ?? ""
    return name == "mime.types" || ["ssl", "tls"].contains(where: name.contains)
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

  private mutating func errorPage(_ entry: NginxDirective) {
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
