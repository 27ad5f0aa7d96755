// Sites and their routes, and what needs the whole file.

internal import Rules

/// A route whose site is still open, so that its origin may come yet.
struct OpenRoute {
  var route: RouteConfiguration
  /// Where and what it is, for messages.
  var directive: Directive
  /// Whether it names an origin, rightly or wrongly.
  var namesOrigin: Bool
  /// Its rules.
  var rules: [RuleStatement] = []
  /// Whether it says how it caches.
  var hasCache: Bool
  /// Who may ask; nil: as the site says.
  var authentication: AuthenticationChoice?
  /// Where it names its limits.
  var limits: [String: SourceRange] = [:]
  /// Whether it shows timings; nil: as the site says.
  var serverTiming: Bool?
}

extension Reader {
  /// `site HOST… { … }`
  mutating func readSite(_ arguments: inout Arguments) {
    draft.siteOrigin = nil
    draft.openRoutes = []
    draft.siteRules = []
    draft.siteErrorPages = []
    draft.siteLog = nil
    draft.siteServerTiming = false
    draft.siteAuthentication = .off
    draft.siteAccess = AccessConfiguration()
    draft.sitePurges = false
    declared.routes = [:]
    beginSiteTLS()
    let hosts = readHosts(&arguments)
    let seen = read(.site, arguments.body, of: arguments.directive)
    checkOrigins(of: arguments.directive, seen)
    var site = SiteConfiguration(hosts: hosts)
    site.purge.isOn = draft.sitePurges || !draft.siteAccess.purgers.isEmpty
    site.purge.networks = draft.siteAccess.purgers.map(\.addresses)
    let number = draft.node.sites.count
    if draft.openRoutes.isEmpty {
      site.routes.append(Draft().route)
      draft.plainRoutes.append((number, 0))
    }
    for open in draft.openRoutes {
      if !open.hasCache { draft.plainRoutes.append((number, site.routes.count)) }
      site.routes.append(open.route)
    }
    for index in site.routes.indices {
      if site.routes[index].origin.isEmpty {
        site.routes[index].origin = draft.siteOrigin?.value ?? ""
      }
      site.routes[index].name = (hosts.first ?? "") + site.routes[index].path.text
      admit(&site.routes[index], draft.openRoutes.isEmpty ? nil : draft.openRoutes[index])
      let own = draft.openRoutes.isEmpty ? [] : draft.openRoutes[index].rules
      if !draft.openRoutes.isEmpty {
        used.routeLimits[site.routes[index].name] = draft.openRoutes[index].limits
      }
      site.routes[index].rules = compile(draft.siteRules + own, of: site.routes[index].name)
      // A route's rules for failures count in place of the site's, which could not be reached after them.
      let failure =
        RuleLanguage.failureRules(of: own) ?? RuleLanguage.failureRules(of: draft.siteRules)
      site.routes[index].failureRules = compile(
        failure ?? [], of: site.routes[index].name, isFailure: true)
      site.routes[index].errorPages += draft.siteErrorPages
      site.routes[index].serverTiming =
        (draft.openRoutes.isEmpty ? nil : draft.openRoutes[index].serverTiming)
        ?? draft.siteServerTiming
      checkLimitCount(of: site.routes[index])
    }
    endSiteTLS(&site)
    if let options = draft.siteLog { draft.siteLogs.append((number, options)) }
    draft.node.sites.append(site)
  }

  /// Gives a route what its site says of who may ask, where it says nothing itself.
  private func admit(_ route: inout RouteConfiguration, _ open: OpenRoute?) {
    route.authentication = (open?.authentication ?? draft.siteAuthentication).configuration
    route.access.allowed = draft.siteAccess.allowed + route.access.allowed
    route.access.denied = draft.siteAccess.denied + route.access.denied
  }

  private mutating func readHosts(_ arguments: inout Arguments) -> [String] {
    var hosts: [String] = []
    repeat {
      guard let host = arguments.next(.siteHost, &findings) else { continue }
      if let first = declared.hosts[host.value] {
        findings.error(
          "site: \(quoted(host.value)) is given twice", at: host.range,
          help: "the second would never be reached",
          related: Finding.Note(message: "the first is here", range: first))
      } else {
        declared.hosts[host.value] = host.range
        hosts.append(host.value)
      }
    } while arguments.upcoming != nil
    return hosts
  }

  /// Each route needs an origin, its own or the site's.
  private mutating func checkOrigins(of site: Directive, _ seen: Seen) {
    guard isComplete, site.isWhole, !seen.has("origin"), !seen.has("files") else { return }
    if draft.openRoutes.isEmpty && !seen.has("route") {
      findings.error(
        "\(site.described) has neither a route nor an origin", at: site.range,
        help: "add origin NAME; or route / { origin NAME; }")
    }
    for open in draft.openRoutes where !open.namesOrigin {
      findings.error(
        "\(open.directive.name.text) \(quoted(open.route.path.text)) has no origin",
        at: open.directive.range, help: "add origin NAME; here or in the site")
    }
  }

  /// `route [=] PATH { … }`
  mutating func readRoute(_ arguments: inout Arguments) {
    draft.route = Draft().route
    draft.routeRules = []
    draft.routeAuthentication = nil
    draft.routeServerTiming = nil
    declared.routeLimits = [:]
    let path = readRoutePath(&arguments)
    let seen = read(.route, arguments.body, of: arguments.directive)
    guard let path else { return }
    if let first = declared.routes[path.value] {
      findings.error(
        "route: \(quoted(path.value.text)) is given twice in this site", at: path.range,
        help: "the second would never be reached",
        related: Finding.Note(message: "the first is here", range: first))
      return
    }
    declared.routes[path.value] = path.range
    draft.route.path = path.value
    let open = OpenRoute(
      route: draft.route, directive: arguments.directive,
      namesOrigin: seen.has("origin") || seen.has("files") || !arguments.directive.isWhole,
      rules: draft.routeRules, hasCache: seen.has("cache"),
      authentication: draft.routeAuthentication, limits: declared.routeLimits,
      serverTiming: draft.routeServerTiming)
    draft.openRoutes.append(open)
  }

  private mutating func readRoutePath(_ arguments: inout Arguments) -> Placed<RoutePath>? {
    guard let word = arguments.upcoming, !word.isQuoted else {
      return arguments.next(.routePath, &findings).map { $0.map(RoutePath.prefix) }
    }
    if ["~", "~*", "^~"].contains(word.text) {
      reportModifier(word)
      while arguments.upcoming != nil { arguments.skip() }
      return nil
    }
    if word.text == "=" {
      arguments.skip()
      return arguments.next(.routePath, &findings).map { $0.map(RoutePath.exact) }
    }
    if word.text.hasPrefix("=") {
      return arguments.next(.exactPath, &findings).map { $0.map(RoutePath.exact) }
    }
    return arguments.next(.routePath, &findings).map { $0.map(RoutePath.prefix) }
  }

  private mutating func reportModifier(_ word: Word) {
    let isPrefix = word.text == "^~"
    findings.error(
      "route: there is no \(quoted(word.text))", at: word.range,
      help: isPrefix
        ? "write the path alone: the longest prefix wins"
        : "a route is a prefix, or with \"=\" an exact path; there are no expressions")
  }

  /// `origin NAME;` in a site.
  mutating func setSiteOrigin(_ name: Placed<String>) {
    draft.siteOrigin = name
    used.origins.append(name)
  }

  /// `origin NAME;` in a route.
  mutating func setRouteOrigin(_ name: Placed<String>) {
    draft.route.origin = name.value
    used.origins.append(name)
  }
}

// Names and their uses.
extension Reader {
  /// Reports what is used and not declared and, in a file without errors, what is not used.
  mutating func checkReferences() {
    check(used.origins, "origin", declared.origins)
    check(used.limits, "limit", declared.limits)
    check(used.tokens, "jwt", declared.tokens)
    check(used.services, "auth_service", declared.services)
    if let place = ruleNeeds.geo, draft.node.geoDatabases.isEmpty, isComplete {
      findings.error(
        "there is no database that this could come from", at: place,
        help: "add geo_database FILE; at the top level")
    }
    checkLimits()
    guard findings.errorCount == 0 else { return }
    warnUnused("origin", declared.origins, used.origins)
    let inUse = declared.limits.filter { !declared.connectionLimits.contains($0.key) }
    warnUnused("limit", inUse, used.limits)
    warnUnused("jwt", declared.tokens, used.tokens)
    warnUnused("auth_service", declared.services, used.services)
    if draft.node.sites.isEmpty {
      findings.general(
        .warning, "there is no site, so every request is refused",
        help: "add site * { origin NAME; }")
    }
  }

  private mutating func check(
    _ uses: [Placed<String>], _ kind: String, _ names: [String: SourceRange]
  ) {
    guard isComplete else { return }
    let known = names.keys.sorted()
    for use in uses where names[use.value] == nil && !declared.perhaps.contains(use.value) {
      let meant = findings.isFull ? nil : Spelling.nearest(to: use.value, among: known)
      findings.error(
        "there is no \(kind) \(quoted(use.value))", at: use.range,
        help: meant == nil ? "declare it at the top level: \(kind) \(use.value) …" : nil,
        suggestion: meant)
    }
  }

  private mutating func warnUnused(
    _ kind: String, _ names: [String: SourceRange], _ uses: [Placed<String>]
  ) {
    let used = Set(uses.map(\.value))
    for (name, range) in names where !used.contains(name) {
      findings.warning(
        "\(kind) \(quoted(name)) is not used", at: range, help: "use it in a site, or remove it")
    }
  }
}

extension Placed {
  /// The same place with another value.
  fileprivate func map<Other>(_ transform: (Value) -> Other) -> Placed<Other> {
    Placed<Other>(value: transform(value), range: range)
  }
}

extension RoutePath {
  /// As it is written in logs: an exact path behind `=`.
  var text: String {
    switch self {
    case .prefix(let path): path
    case .exact(let path): "=" + path
    }
  }
}

extension Syntax where Value == String {
  /// `=/path` in one word.
  fileprivate static var exactPath: Syntax {
    var syntax = Syntax.routePath
    let read = syntax.read
    syntax.read = { text throws(Problem) in try read(String(text.dropFirst())) }
    return syntax
  }
}
