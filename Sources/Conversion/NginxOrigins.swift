// Ways of an nginx.conf to servers, and fields.

extension NginxConversion {
  /// The origin of a `proxy_pass`; nil, with a remark, if it has none.
  mutating func pass(
    _ entry: NginxDirective, _ host: NginxDirective?, _ way: inout NginxWay
  ) -> String? {
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
    if !path.isEmpty {
      guard path.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && !"?#%$".utf8.contains($0) }) else {
        drop(entry, "the path behind the server: rewrite path …; 503 until then")
        return nil
      }
      way.rewritten = entry
      way.replacement = String(path)
    }
    let isSecure = scheme == "https"
    var lines = upstreams[server] ?? ["server \(Self.address(server, secure: isSecure));"]
    if upstreams[server] != nil, isSecure {
      lines = lines.map { $0.hasPrefix("server ") ? "server https://" + $0.dropFirst(7) : $0 }
    }
    guard !lines.isEmpty, !lines.contains(where: { $0.contains("https://unix:") }),
      !(isSocket && isSecure), server != "unix:", upstreams[server] != nil || Self.isAddress(server)
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

  mutating func limit(_ entry: NginxDirective, _ lines: inout [String]) {
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
  mutating func setHeader(_ entry: NginxDirective, _ lines: inout [String]) {
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
      // What the client says of itself in its place is not taken for what nginx says.
      let known = String(name.map { $0 == "_" ? "-" : $0 })
      if Self.isField(known) { lines.append("unset header.\(known);") }
      return drop(entry, "set header.\(known) …; with its variable")
    }
    lines.append(value.isEmpty ? "unset header.\(name);" : "set header.\(name) \(text);")
  }

  mutating func addHeader(_ entry: NginxDirective, _ lines: inout [String]) {
    guard entry.arguments.count >= 2, let value = Self.template(entry.arguments[1]),
      Self.isField(entry.arguments[0].lowercased())
    else { return drop(entry, "on response { set header.NAME …; } with its variable") }
    lines.append("on response { set header.\(entry.arguments[0].lowercased()) \(value); }")
  }

  mutating func hide(_ entry: NginxDirective, _ lines: inout [String]) {
    let name = entry.arguments.first?.lowercased() ?? ""
    guard Self.isField(name) else { return drop(entry, "on response { unset header.NAME; }") }
    lines.append("on response { unset header.\(name); }")
  }

  /// Whether an included file is one of those that packages of nginx bring, with fields for servers.
  static func isAboutFields(_ entry: NginxDirective) -> Bool {
    let name = (entry.arguments.first ?? "").split(separator: "/").last.map(String.init) ?? ""
    return [
      "proxy_params", "fastcgi_params", "fastcgi.conf", "uwsgi_params", "scgi_params", "mime.types",
    ].contains(name)
  }

  mutating func includeFields(_ entry: NginxDirective, _ lines: inout [String]) {
    if entry.arguments.first?.hasSuffix("mime.types") == true { return }
    guard entry.arguments.first?.hasSuffix("proxy_params") == true else { return drop(entry) }
    lines.append("set header.x-real-ip \"${client.ip}\";")
    drop(entry, "it is taken for that of Debian: fields that the node sets itself, and X-Real-IP")
  }
}

extension NginxWay {
  /// Puts the path of `proxy_pass` in the place of the location's, behind all other rules.
  mutating func replace(_ path: String, isExact: Bool) {
    if path == replacement { return }
    let target = ConfigurationWriter.inText(replacement)
    let rest = isExact ? "" : "${strip_prefix(path, \(ConfigurationWriter.text(path)))}"
    lines.append("rewrite path \"\(target)\(rest)\";")
  }
}
