// Servers of an nginx.conf, as sites.

extension NginxConversion {
  mutating func server(_ directive: NginxDirective) {
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
    sendToHTTPS(directive, &site)
    for entry in entries where entry.name != "location" { read(entry, &site) }
    certificates(in: entries, &site)
    if site.hosts.isEmpty {
      for entry in entries where entry.name == "location" { drop(entry, "all is sent to https") }
      return
    }
    routes(of: directive, scope, &site)
    join(site, directive)
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
    } else if let answer = site.answer {
      for entry in entries where entry.name == "location" {
        drop(entry, "the server's return stands before it")
      }
      site.routes = [("/", answer)]
    } else {
      let expressions = expressions(in: entries, scope)
      for entry in entries where entry.name == "location" {
        location(entry, scope, expressions, &site)
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
    location(root, scope, expressions, &site)
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
    case "ssl_certificate", "ssl_certificate_key": break
    case "if" where Self.hostSentToHTTPS(entry) != nil: break
    case "if":
      guard site.answer == nil, let rule = condition(entry) else { return drop(entry) }
      site.rules.append(rule)
    // Nobody comes so far.
    case "return" where site.hosts.isEmpty: break
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
    case let name where Self.isNeedless(name): break
    default: dropSetting(entry)
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
