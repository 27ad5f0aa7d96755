// Which route a request takes: site by host, route by path. Compiled from the configuration once for
// each worker; finding allocates nothing and compares bytes.

internal import Bytes
internal import Configuration
internal import RateLimiting
internal import Rules
internal import TLS

/// A route as a worker uses it.
struct Route: Sendable {
  /// What counters and log records carry: the same for all generations.
  var number: Int
  /// What it is in keys of limits: by its name, so that a key outlives a change of the file.
  var key: UInt64
  /// The index of its pool.
  var origin: Int
  /// Its limits. No array here: a route is copied on every request, and an array would be retained.
  var limits: RouteLimits
  /// How important its requests are.
  var priority: PriorityClass
  var cache: Bool
  var upgrade: Bool
  var exposeTags: Bool
  var maxBody: UInt64
  /// How long a request waits for the head of another's answer: nanoseconds.
  var collapseTimeout: Int64
  /// How many may wait for one answer.
  var maxWaiters: Int
  /// Bytes of a slice; 0: large objects are fetched whole.
  var slice: UInt64
  /// Whether the key is the target URI as it is.
  var hasUsualKey: Bool
  /// Whether directives of requests count for nothing.
  var ignoresClientDirectives: Bool
  /// Whether rules run for its requests, and for its responses.
  var hasRules: Bool
  var hasResponseRules: Bool
  /// Whether responses say how long what took.
  var tellsTiming: Bool
  /// Whether heads of responses are not just sent.
  var editsHeads: Bool { hasResponseRules || tellsTiming }
  /// Whether not everybody may ask.
  var hasAdmission: Bool
  /// What its clients are asked for in their handshake (`ClientVerification.identity`).
  var verification: Int
  /// Whether it is only for those who have shown a certificate.
  var demandsCertificate: Bool
}

final class RouteTable {
  /// A path of a site. Exact paths first, then prefixes, longest first: the first that matches is the
  /// one.
  private struct Entry {
    var start: Int
    var length: Int
    var isExact: Bool
    var route: Int
  }
  private struct Site {
    var entries: Range<Int>
  }
  private struct Host {
    var start: Int
    var length: Int
    var site: Int
  }

  /// All routes, in the order of the configuration.
  let routes: [Route]
  /// How each stores and reuses.
  let policies: [RoutePolicy]
  /// Their rules; nil where there are none.
  let programs: [RuleProgram?]
  /// The pools and the limits that their rules name, by the rules' own numbers.
  let ruleOrigins: [[Int]]
  let ruleLimits: [[RouteLimits]]
  /// Whether, and from where, PURGE purges.
  let purges: [SitePurgeConfiguration]
  /// Their rules for when no server can answer, and the pools that these name.
  let failurePrograms: [RuleProgram?]
  let failureOrigins: [[Int]]
  /// Their pages for errors.
  let errorPages: [[ErrorPage]]
  /// The port that plain HTTP is redirected to; 0: it is answered.
  let redirectPorts: [UInt16]
  /// What `Strict-Transport-Security` says; empty: nothing.
  let transportFields: [[UInt8]]
  /// What becomes of their requests' lines; one more is for requests that no route takes.
  let logs: [RouteLog]
  /// Their names; one more stands for requests that no route takes.
  let names: [String]
  private let siteOfRoute: [Int]
  /// The names of the pools, by their indices.
  let poolNames: [String]
  private var sites: [Site] = []
  private var entries: [Entry] = []
  /// Open addressing by a hash of the name; a length of 0 is a free place.
  private var hosts: [Host] = []
  private var wildcards: [Host] = []
  private var anySite = -1
  /// The bytes of all paths and names.
  private var text = ByteBuffer()

  /// The index that stands for "no route".
  var unrouted: Int { routes.count }

  /// What counters and the log call a route; 0: none.
  @inline(__always)
  func number(of route: Int) -> Int { route < routes.count ? routes[route].number : 0 }

  /// Whether each request is called something, and by whom.
  let requestIDs: RequestIDPolicy
  let namesRequests: Bool
  /// The paths by which load balancers ask; nil: there are none.
  let health: HealthPaths?

  /// - Parameter numbers: what counters and the log call the routes.
  init(_ configuration: NodeConfiguration, limits: LimitTable? = nil, numbers: [Int] = []) {
    var routes: [Route] = []
    var names: [String] = []
    var policies: [RoutePolicy] = []
    var programs: [RuleProgram?] = []
    var ruleOrigins: [[Int]] = []
    var ruleLimits: [[RouteLimits]] = []
    for site in configuration.sites {
      for route in site.routes {
        routes.append(
          Route(
            number: routes.count < numbers.count ? numbers[routes.count] : 0,
            key: Self.key(of: route.name),
            origin: configuration.origins.firstIndex { $0.name == route.origin } ?? 0,
            limits: limits?.add(
              route.limits, hasGate: route.authentication != nil || !route.access.isOpen,
              hasRules: route.rules != nil) ?? RouteLimits(),
            priority: Self.priority(route.priority),
            cache: route.caching.isOn && configuration.store != nil,
            upgrade: route.upgrade, exposeTags: route.exposeTags,
            maxBody: route.maxBody ?? configuration.client.maxBody,
            collapseTimeout: route.caching.collapseTimeout, maxWaiters: route.caching.maxWaiters,
            slice: route.caching.slice.map { SliceJob.size($0) } ?? 0,
            hasUsualKey: route.caching.key == CacheConfiguration().key
              && route.caching.query == QueryNormalization(),
            ignoresClientDirectives: !route.caching.honoursClients, hasRules: route.rules != nil,
            hasResponseRules: route.rules?.hasResponseRules ?? false,
            tellsTiming: route.serverTiming,
            hasAdmission: route.authentication != nil || !route.access.isOpen
              || site.redirectPort != nil,
            verification: configuration.clientVerification(of: site).identity,
            demandsCertificate: site.clientCertificates == .required))
        programs.append(route.rules.map { RuleProgram($0) })
        ruleOrigins.append(
          route.rules?.origins.map { used in
            configuration.origins.firstIndex { $0.name == used.name } ?? 0
          } ?? [])
        ruleLimits.append(
          route.rules?.limits.map { used in
            limits?.add([LimitUse(name: used.name)]) ?? RouteLimits()
          } ?? [])
        policies.append(RoutePolicy(route.caching))
        names.append(route.name)
      }
    }
    requestIDs = configuration.requestIDs
    namesRequests = configuration.requestIDs != .off
    health = configuration.healthPaths.map { HealthPaths($0) }
    self.routes = routes
    self.policies = policies
    self.programs = programs
    self.ruleOrigins = ruleOrigins
    self.ruleLimits = ruleLimits
    let all = configuration.sites.flatMap(\.routes)
    failurePrograms = all.map { $0.failureRules.map { RuleProgram($0) } }
    failureOrigins = all.map { route in
      route.failureRules?.origins.map { used in
        configuration.origins.firstIndex { $0.name == used.name } ?? 0
      } ?? []
    }
    errorPages = all.map { $0.errorPages.map { ErrorPage($0) } }
    purges = configuration.sites.flatMap { site in site.routes.map { _ in site.purge } }
    redirectPorts = configuration.sites.flatMap { site in
      site.routes.map { _ in site.redirectPort ?? 0 }
    }
    transportFields = configuration.sites.flatMap { site in
      site.routes.map { _ in site.strictTransport.map { Array($0.fieldValue.utf8) } ?? [] }
    }
    let plan = AccessLogPlan(configuration)
    logs =
      zip(configuration.sites, plan.ofSite).flatMap { site, log in
        site.routes.map { _ in RouteLog(log, of: plan.logs[Int(log)]) }
      } + [RouteLog(0, of: configuration.accessLog)]
    self.names = names + ["none"]
    siteOfRoute = configuration.sites.enumerated().flatMap { number, site in
      site.routes.map { _ in number }
    }
    poolNames = configuration.origins.map(\.name)
    addSites(configuration)
  }

  /// The place of a route's site in the configuration.
  func sites(ofRoute route: Int) -> Int { siteOfRoute[route] }

  private static func priority(_ priority: RoutePriority) -> PriorityClass {
    switch priority {
    case .critical: .critical
    case .high: .high
    case .normal: .normal
    case .low: .low
    }
  }

  private func addSites(_ configuration: NodeConfiguration) {
    var exact: [Host] = []
    var route = 0
    for (index, site) in configuration.sites.enumerated() {
      var own: [Entry] = []
      for configured in site.routes {
        let (path, isExact) =
          switch configured.path {
          case .exact(let path): (path, true)
          case .prefix(let path): (path, false)
          }
        let (start, length) = add(path)
        own.append(Entry(start: start, length: length, isExact: isExact, route: route))
        route += 1
      }
      own.sort { $0.isExact != $1.isExact ? $0.isExact : $0.length > $1.length }
      sites.append(Site(entries: entries.count..<entries.count + own.count))
      entries += own
      for host in site.hosts {
        let isWildcard = host.hasPrefix("*.")
        if host == "*" {
          if anySite < 0 { anySite = index }
          continue
        }
        let (start, length) = add(isWildcard ? String(host.dropFirst()) : host)
        let entry = Host(start: start, length: length, site: index)
        if isWildcard { wildcards.append(entry) } else { exact.append(entry) }
      }
    }
    wildcards.sort { $0.length > $1.length }
    hosts = table(of: exact)
  }

  private func add(_ string: String) -> (start: Int, length: Int) {
    let start = text.count
    text.append(text: string)
    return (start, text.count - start)
  }

  private func table(of exact: [Host]) -> [Host] {
    guard !exact.isEmpty else { return [] }
    var size = 8
    while size < exact.count * 2 { size *= 2 }
    var table = [Host](repeating: Host(start: 0, length: 0, site: 0), count: size)
    for host in exact {
      var place = Int(truncatingIfNeeded: Self.hash(name(of: host))) & (size - 1)
      while table[place].length > 0 && name(of: table[place]) != name(of: host) {
        place = (place + 1) & (size - 1)
      }
      if table[place].length == 0 { table[place] = host }
    }
    return table
  }

  private func name(of host: Host) -> ByteView {
    text.view[host.start..<host.start + host.length]
  }

  /// FNV-1a; the names are the operator's, so that nobody outside chooses what collides.
  private static func hash(_ name: ByteView) -> UInt64 {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for index in 0..<name.count {
      hash = (hash ^ UInt64(name[index])) &* 0x100_0000_01b3
    }
    return hash ^ hash &>> 32
  }

  /// What a route is in keys of limits.
  static func key(of name: String) -> UInt64 { name.withView { hash($0) } }

  /// The index of a request's route. `host` is lower-case and without a port.
  func find(host: ByteView, path: ByteView) -> Int? {
    let site = site(host)
    guard site >= 0 else { return nil }
    let range = sites[site].entries
    var index = range.lowerBound
    while index < range.upperBound {
      let entry = entries[index]
      let candidate = text.view[entry.start..<entry.start + entry.length]
      if entry.isExact ? candidate == path : path.starts(with: candidate) { return entry.route }
      index += 1
    }
    return nil
  }

  private func site(_ host: ByteView) -> Int {
    if !hosts.isEmpty && !host.isEmpty {
      var place = Int(truncatingIfNeeded: Self.hash(host)) & (hosts.count - 1)
      while hosts[place].length > 0 {
        if name(of: hosts[place]) == host { return hosts[place].site }
        place = (place + 1) & (hosts.count - 1)
      }
    }
    var index = 0
    while index < wildcards.count {
      let wildcard = wildcards[index]
      if wildcard.length < host.count,
        name(of: wildcard) == host.dropping(first: host.count - wildcard.length)
      {
        return wildcard.site
      }
      index += 1
    }
    return anySite
  }
}
