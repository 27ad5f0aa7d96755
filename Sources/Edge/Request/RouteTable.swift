// Which route a request takes: site by host, route by path. Compiled from the configuration once for
// each worker; finding allocates nothing and compares bytes.

internal import Bytes
internal import Configuration

/// A route as a worker uses it.
struct Route: Sendable {
  /// The index in the list of all routes: what counters and log records carry.
  var index: Int
  /// The index of its pool.
  var origin: Int
  /// The indices of its limits, in order.
  var limits: [Int]
  var cache: Bool
  var upgrade: Bool
  var exposeTags: Bool
  var maxBody: UInt64
}

struct RouteTable: Sendable {
  private struct Entry: Sendable {
    var path: [UInt8]
    var isExact: Bool
    var route: Int
  }
  private struct Site: Sendable {
    /// Exact paths first, then prefixes, longest first: the first that matches is the one.
    var entries: [Entry] = []
  }
  private struct Host: Sendable {
    var name: [UInt8]
    var site: Int
  }

  /// All routes, in the order of the configuration.
  let routes: [Route]
  /// Their names, for counters and the log; one more stands for requests that no route takes.
  let names: [String]
  private var sites: [Site] = []
  /// Open addressing by a hash of the name; empty names are free places.
  private var hosts: [Host] = []
  private var wildcards: [Host] = []
  private var anySite: Int?

  /// The index that stands for "no route" in counters and the log.
  var unrouted: Int { routes.count }

  init(_ configuration: NodeConfiguration) {
    var routes: [Route] = []
    var names: [String] = []
    var exact: [Host] = []
    for (siteIndex, site) in configuration.sites.enumerated() {
      var compiled = Site()
      for route in site.routes {
        let (path, isExact) =
          switch route.path {
          case .exact(let path): (path, true)
          case .prefix(let path): (path, false)
          }
        compiled.entries.append(
          Entry(path: Array(path.utf8), isExact: isExact, route: routes.count))
        routes.append(
          Route(
            index: routes.count,
            origin: configuration.origins.firstIndex { $0.name == route.origin } ?? 0,
            limits: route.limits.compactMap { name in
              configuration.limits.firstIndex { $0.name == name }
            },
            cache: route.cache && configuration.store != nil, upgrade: route.upgrade,
            exposeTags: route.exposeTags, maxBody: route.maxBody ?? configuration.client.maxBody))
        names.append(route.name)
      }
      compiled.entries.sort {
        $0.isExact != $1.isExact ? $0.isExact : $0.path.count > $1.path.count
      }
      sites.append(compiled)
      for host in site.hosts {
        if host == "*" {
          anySite = anySite ?? siteIndex
        } else if host.hasPrefix("*.") {
          wildcards.append(Host(name: Array(host.dropFirst().utf8), site: siteIndex))
        } else {
          exact.append(Host(name: Array(host.utf8), site: siteIndex))
        }
      }
    }
    wildcards.sort { $0.name.count > $1.name.count }
    self.routes = routes
    self.names = names + ["none"]
    hosts = Self.table(of: exact)
  }

  private static func table(of exact: [Host]) -> [Host] {
    guard !exact.isEmpty else { return [] }
    var size = 8
    while size < exact.count * 2 { size *= 2 }
    var table = [Host](repeating: Host(name: [], site: 0), count: size)
    for host in exact {
      var place = host.name.withView { Int(truncatingIfNeeded: hash($0)) } & (size - 1)
      while !table[place].name.isEmpty && table[place].name != host.name {
        place = (place + 1) & (size - 1)
      }
      if table[place].name.isEmpty { table[place] = host }
    }
    return table
  }

  /// FNV-1a; the names are the operator's, so that nobody outside chooses what collides.
  private static func hash(_ name: ByteView) -> UInt64 {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for index in 0..<name.count {
      hash = (hash ^ UInt64(name[index])) &* 0x100_0000_01b3
    }
    return hash ^ hash &>> 32
  }

  /// The index of a request's route. `host` is lower-case and without a port.
  func find(host: ByteView, path: ByteView) -> Int? {
    guard let site = site(host) else { return nil }
    for entry in sites[site].entries {
      let matches = entry.path.withView { candidate in
        entry.isExact ? candidate == path : path.starts(with: candidate)
      }
      if matches { return entry.route }
    }
    return nil
  }

  private func site(_ host: ByteView) -> Int? {
    if !hosts.isEmpty && !host.isEmpty {
      var place = Int(truncatingIfNeeded: Self.hash(host)) & (hosts.count - 1)
      while !hosts[place].name.isEmpty {
        if hosts[place].name.withView({ $0 == host }) { return hosts[place].site }
        place = (place + 1) & (hosts.count - 1)
      }
    }
    for wildcard in wildcards where wildcard.name.count < host.count {
      let tail = host.dropping(first: host.count - wildcard.name.count)
      if wildcard.name.withView({ $0 == tail }) { return wildcard.site }
    }
    return anySite
  }
}
