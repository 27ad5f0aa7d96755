// Where servers of an nginx.conf are listened for. nginx chooses among those of a listener, by name; an edge.conf
// has every site on every listener. So a site whose server is not on all of them says so, by the port.

extension NginxConversion {
  /// An address and port that a server is listened for on.
  struct Place: Equatable {
    /// As an edge.conf writes it; as it stands there if that has no counterpart.
    var address: String
    /// nil if it has no counterpart.
    var port: Int?
    var isDefault = false
    var line: Int
  }

  /// Where a server is listened for.
  static func places(of server: NginxDirective) -> [Place] {
    let listens = (server.block ?? []).filter { $0.name == "listen" }
    if listens.isEmpty { return [Place(address: ":80", port: 80, line: server.line)] }
    return listens.map { entry in
      let isDefault = ["default_server", "default"].contains(where: entry.arguments.contains)
      let (address, port) = place(entry.arguments.first ?? "")
      return Place(address: address, port: port, isDefault: isDefault, line: entry.line)
    }
  }

  /// An address as an edge.conf writes it, and its port if it has a counterpart.
  private static func place(_ text: String) -> (address: String, port: Int?) {
    var address = text
    if address.hasPrefix("unix:") { return (text, nil) }
    if Int(address) != nil { address = ":" + address }
    for any in ["*:", "[::]:", "0.0.0.0:"] where address.hasPrefix(any) {
      address = String(address.dropFirst(any.utf8.count - 1))
    }
    if address == "[::]" || address == "*" || address == "0.0.0.0" { address = "" }
    if address.isEmpty || address.hasSuffix("]") || !address.contains(":") { address += ":80" }
    if address.hasPrefix("localhost:") { address = "127.0.0.1" + address.dropFirst(9) }
    guard let colon = address.lastIndex(of: ":"),
      let port = Int(address[address.index(after: colon)...]), (1...65_535).contains(port),
      isNumeric(address[..<colon])
    else { return (text, nil) }
    return (address, port)
  }

  private static func isNumeric(_ host: Substring) -> Bool {
    if host.isEmpty { return true }
    if host.hasPrefix("["), host.hasSuffix("]") {
      return host.dropFirst().dropLast().allSatisfy { $0.isHexDigit || $0 == ":" || $0 == "." }
    }
    let parts = host.split(separator: ".", omittingEmptySubsequences: false)
    return parts.count == 4 && parts.allSatisfy { UInt8($0) != nil }
  }

  /// The servers of a file, as they are read.
  private static func servers(in directives: [NginxDirective]) -> [NginxDirective] {
    directives.flatMap { directive in
      switch directive.name {
      case "http": return servers(in: directive.block ?? [])
      case "server": return [directive]
      default: return []
      }
    }
  }

  /// Which server nginx takes on each address where no name fits: the one that says so, else the first.
  mutating func findDefaults(_ directives: [NginxDirective]) {
    var named: Set<String> = []
    for (number, server) in Self.servers(in: directives).enumerated() {
      for place in Self.places(of: server) {
        if place.isDefault, named.insert(place.address).inserted {
          defaults[place.address] = number
        } else if defaults[place.address] == nil {
          defaults[place.address] = number
        }
      }
    }
  }

  /// Listens where a server says; what several say of one address counts together, as in nginx.
  mutating func listen(_ server: NginxDirective) {
    let entries = server.block ?? []
    let listens = entries.filter { $0.name == "listen" }
    if listens.isEmpty, !listeners.contains("listen :80;") { listeners.append("listen :80;") }
    let isSecure = entries.contains { $0.name == "ssl" && $0.arguments == ["on"] }
    for entry in listens {
      guard let text = entry.arguments.first else { continue }
      if entry.arguments.contains("quic") {
        drop(entry, "HTTP/3 is not spoken here")
        continue
      }
      let (address, port) = Self.place(text)
      guard port != nil else {
        drop(entry, "an address in numbers and one port; a node listens on nothing else")
        continue
      }
      var options = isSecure || entry.arguments.contains("ssl") ? ["tls"] : []
      if entry.arguments.contains("proxy_protocol") { options.append("proxy_protocol") }
      listen(on: address, options, entry)
    }
  }

  private mutating func listen(
    on address: String, _ options: [String], _ entry: NginxDirective
  ) {
    guard let place = listeners.firstIndex(where: { Self.address(of: $0) == address }) else {
      listeners.append((["listen \(address)"] + options).joined(separator: " ") + ";")
      return
    }
    let known = listeners[place].dropLast().split(separator: " ").dropFirst(2).map(String.init)
    if known == options { return }
    drop(entry, "the address is listened on otherwise already; both count")
    let all = ["tls", "proxy_protocol"].filter { known.contains($0) || options.contains($0) }
    listeners[place] = (["listen \(address)"] + all).joined(separator: " ") + ";"
  }

  private static func address(of listener: String) -> String {
    String(listener.dropLast().split(separator: " ").dropFirst().first ?? "")
  }

  /// Sees to it that a site is not to be had where its server was not listened for.
  mutating func keepToListeners(_ site: inout Site) {
    if site.places.isEmpty || Self.isShut(site) { return }
    var ports: [Int] = []
    var kept: [Int] = []
    for address in listeners.map(Self.address(of:)) {
      guard let port = Self.place(address).port, !ports.contains(port) else { continue }
      ports.append(port)
      let others = listeners.map(Self.address(of:)).filter { Self.place($0).port == port }
      let own = site.places.filter { $0.port == port }
      // Who is listened for on any address is open to all; else by the port nobody knows the address.
      let isAny = own.contains { $0.address.hasPrefix(":") }
      if isAny || others.allSatisfy({ other in own.contains { $0.address == other } }) {
        kept.append(port)
      } else if let first = own.first {
        result.remark(
          first.line,
          "listen \(first.address): rules see the port only; \(site.hosts[0]) is not served there")
      }
    }
    if kept.count == ports.count { return }
    if kept.isEmpty {
      if let first = site.places.first {
        result.remark(first.line, "nothing is listened on for \(site.hosts[0]) alone: 503")
      }
      site.rules = []
      site.routes = [("/", answering(503))]
    } else if let port = kept.first, kept.count == 1 {
      site.check = "when listener.port != \(port) { respond 421; }"
    } else {
      let list = kept.map(String.init).joined(separator: ", ")
      site.check = "when !(listener.port in [\(list)]) { respond 421; }"
    }
  }

  /// Whether a site answers with errors only.
  private static func isShut(_ site: Site) -> Bool {
    site.rules.isEmpty
      && site.routes.allSatisfy { route in
        route.lines.count == 2 && route.lines[0].hasPrefix("origin \(nowhere)")
          && ["respond 4", "respond 5"].contains(where: route.lines[1].hasPrefix)
      }
  }
}

// Whom a request is from.
extension NginxConversion {
  /// Finds whose word counts about it. Here it counts for the whole node.
  mutating func findProxies(_ directives: [NginxDirective]) {
    let all = Self.everywhere(directives)
    let from = all.filter { $0.name == "set_real_ip_from" }
    if from.isEmpty { return }
    let headers = all.filter { $0.name == "real_ip_header" }
    let fields = Set(headers.compactMap { $0.arguments.first?.lowercased() })
    for entry in from {
      let network = entry.arguments.first ?? ""
      if network.contains(where: { $0 == "." || $0 == ":" }),
        network.allSatisfy({ $0.isHexDigit || ".:/".contains($0) })
      {
        if !trusted.contains(network) { trusted.append(network) }
      } else {
        drop(entry, "an address or network")
      }
    }
    if !trusted.isEmpty, fields == ["x-forwarded-for"] || fields == ["proxy_protocol"] { return }
    trusted = []
    hidesClients = true
    for entry in headers + from {
      drop(
        entry,
        "whom a request is from comes in no field known here: what lets in by address is closed")
    }
  }

  private static func everywhere(_ directives: [NginxDirective]) -> [NginxDirective] {
    directives.flatMap { [$0] + everywhere($0.block ?? []) }
  }
}
