// Reading what an `origin` block says of several servers, and `files DIR { … }`.

extension Reader {
  /// `server ADDRESS [backup] [weight=…]`
  mutating func readServer(_ arguments: inout Arguments) {
    guard let address = arguments.next(.server, &findings) else { return }
    noteScheme(of: address)
    var server = ServerConfiguration(resolved(address.value.address))
    while let word = arguments.upcoming, word.text == "backup", !word.isQuoted {
      server.isBackup = true
      arguments.skip()
    }
    if let weight = arguments.named("weight", .count(1...65_535, of: "shares"), &findings) {
      server.weight = weight.value
    }
    if let priority = arguments.named("priority", .count(0...254, of: "steps"), &findings) {
      server.priority = priority.value
    }
    server.maxConnections =
      arguments.named("max_connections", .count(1...1_000_000, of: "requests"), &findings)?.value
    addServer(Placed(value: server, range: address.range))
  }

  /// A unix socket's path may start from the configuration's directory.
  func resolved(_ address: ServerAddress) -> ServerAddress {
    switch address {
    case .host: address
    case .unix(let path): .unix(resolve(path))
    }
  }

  /// Adds a server to the open pool.
  mutating func addServer(_ server: Placed<ServerConfiguration>) {
    if let first = declared.servers[server.value.address] {
      findings.warning(
        "server: the pool has this server twice", at: server.range,
        related: Finding.Note(message: "the first is here", range: first))
    }
    declared.servers[server.value.address] = server.range
    if case .unix(let path) = server.value.address, path.utf8.count > 107 {
      findings.error(
        "server: a unix socket's path has at most 107 bytes", at: server.range,
        help: "here it is \(quoted(path))")
    }
    if draft.origin.servers.count == 256 {
      findings.error("server: a pool has at most 256 servers", at: server.range)
    }
    draft.origin.servers.append(server.value)
  }

  /// `files DIR { … }` in an origin.
  mutating func readFiles(_ arguments: inout Arguments) {
    let path = arguments.next(.path("DIR", of: "a directory"), &findings)
    draft.files = FilesConfiguration(root: path.map { resolve($0.value) } ?? "")
    _ = read(.files, arguments.body, of: arguments.directive)
    draft.origin.files = draft.files
  }

  /// `index NAME…;`
  mutating func readIndexes(_ arguments: inout Arguments) {
    draft.files.indexes = []
    repeat {
      guard let name = arguments.next(.indexName, &findings) else { continue }
      draft.files.indexes.append(name.value)
    } while arguments.upcoming != nil
  }

  /// `files DIR;` in a site.
  mutating func setSiteFiles(_ path: Placed<String>) {
    draft.siteOrigin = Placed(value: filesOrigin(path.value), range: path.range)
  }

  /// `files DIR;` in a route.
  mutating func setRouteFiles(_ path: Placed<String>) {
    draft.route.origin = filesOrigin(path.value)
  }

  /// The name of the origin that is that directory, which is made if there is none yet. No name in a
  /// file has a colon.
  private mutating func filesOrigin(_ path: String) -> String {
    let root = resolve(path)
    let name = "files:\(root)"
    if !draft.node.origins.contains(where: { $0.name == name }) {
      var origin = OriginConfiguration(name: name)
      origin.files = FilesConfiguration(root: root)
      draft.node.origins.append(origin)
    }
    return name
  }

  /// `balance METHOD [PART…] [bound=PERCENT];`
  mutating func readBalance(_ arguments: inout Arguments) {
    let range = arguments.upcoming?.range
    guard let method = arguments.next(.balancing, &findings) else { return }
    let bound = arguments.named("bound", .count(100...1_000, of: "percent"), &findings)
    draft.origin.balancing = method.value
    guard case .hash = method.value else {
      if let bound, let range {
        findings.error(
          "balance: only hash has a bound", at: bound.range,
          related: Finding.Note(message: "this is another method", range: range))
      }
      return
    }
    var parts: [CacheKeyPart] = []
    while arguments.upcoming != nil {
      if let part = arguments.next(.keyPart, &findings) { parts.append(part.value) }
    }
    draft.origin.balancing = .hash(parts, bound: bound?.value)
  }

  /// `queue NUMBER [timeout=DURATION];`
  mutating func readQueue(_ arguments: inout Arguments) {
    if let limit = arguments.next(.count(0...1_000_000, of: "requests"), &findings) {
      draft.origin.queueLimit = limit.value
    }
    take("timeout", .duration(Self.times), from: &arguments, to: \.origin.queueTimeout)
  }

  /// `max_misses NUMBER|off [timeout=DURATION];`
  mutating func readMaxMisses(_ arguments: inout Arguments) {
    let syntax = Syntax.count(1...1_000_000, of: "requests").optional(none: "off", word: "off")
    if let limit = arguments.next(syntax, &findings) { draft.origin.maxMisses = limit.value }
    take("timeout", .duration(Self.times), from: &arguments, to: \.origin.missTimeout)
  }

  /// `health GET PATH …;`, `health connect …;`
  mutating func readHealth(_ arguments: inout Arguments) {
    guard let kind = arguments.next(.choice([("GET", true), ("connect", false)]), &findings) else {
      return
    }
    var path: String?
    if kind.value {
      guard let given = arguments.next(.checkPath, &findings) else { return }
      path = given.value
    }
    draft.health = HealthConfiguration(path: path)
    take("every", .duration(Self.times), from: &arguments, to: \.health.interval)
    take("timeout", .duration(Self.times), from: &arguments, to: \.health.timeout)
    take("expect", .statusRanges, from: &arguments, to: \.health.statuses)
    take("content", Syntax<String>.text.optional(none: ""), from: &arguments, to: \.health.content)
    take("host", Syntax<String>.hostField.optional(none: ""), from: &arguments, to: \.health.host)
    take("fall", .count(1...100, of: "checks"), from: &arguments, to: \.health.fall)
    take("rise", .count(1...100, of: "checks"), from: &arguments, to: \.health.rise)
    draft.origin.health = draft.health
  }

  /// `ejection on|off …;`
  mutating func readEjection(_ arguments: inout Arguments) {
    guard let isOn = arguments.next(.flag, &findings) else { return }
    draft.ejection = EjectionConfiguration()
    let numbers: Syntax<Int> = .count(0...100_000, of: "requests")
    take("failures", numbers, from: &arguments, to: \.ejection.failures)
    take("rate", .count(0...100, of: "percent"), from: &arguments, to: \.ejection.rate)
    take("latency", .count(0...1_000, of: "times"), from: &arguments, to: \.ejection.latency)
    take("window", .duration(Self.times), from: &arguments, to: \.ejection.window)
    take("requests", numbers, from: &arguments, to: \.ejection.requests)
    take("time", .duration(Self.times), from: &arguments, to: \.ejection.time)
    take("longest", .duration(Self.times), from: &arguments, to: \.ejection.longest)
    take("most", .count(0...100, of: "percent"), from: &arguments, to: \.ejection.most)
    draft.origin.ejection = isOn.value ? draft.ejection : nil
  }

  /// `breaker on|off …;`
  mutating func readBreaker(_ arguments: inout Arguments) {
    guard let isOn = arguments.next(.flag, &findings) else { return }
    draft.breaker = BreakerConfiguration()
    let windows: ClosedRange<Int64> = 1_000_000_000...60_000_000_000
    take("rate", .count(1...100, of: "percent"), from: &arguments, to: \.breaker.rate)
    take("requests", .count(1...100_000, of: "requests"), from: &arguments, to: \.breaker.requests)
    take("window", .duration(windows), from: &arguments, to: \.breaker.window)
    take("open", .duration(Self.times), from: &arguments, to: \.breaker.open)
    take("longest", .duration(Self.times), from: &arguments, to: \.breaker.longest)
    take("probes", .count(1...255, of: "requests"), from: &arguments, to: \.breaker.probes)
    draft.origin.breaker = isOn.value ? draft.breaker : nil
  }

  /// `retries NUMBER …;`
  mutating func readRetries(_ arguments: inout Arguments) {
    if let limit = arguments.next(.count(0...10, of: "tries"), &findings) {
      draft.origin.retry.limit = limit.value
    }
    let pauses: ClosedRange<Int64> = 0...60_000_000_000
    take("on", .statusList, from: &arguments, to: \.origin.retry.statuses)
    take("pause", .duration(pauses), from: &arguments, to: \.origin.retry.pause)
    take("longest", .duration(pauses), from: &arguments, to: \.origin.retry.longestPause)
  }

  /// `retry_budget PERCENT [reserve=NUMBER];`
  mutating func readRetryBudget(_ arguments: inout Arguments) {
    if let budget = arguments.next(.count(0...100, of: "percent"), &findings) {
      draft.origin.retry.budget = budget.value
    }
    let reserves: Syntax<Int> = .count(0...100_000, of: "tries")
    take("reserve", reserves, from: &arguments, to: \.origin.retry.reserve)
  }

  /// `… STATUS…;`
  mutating func readStatuses(
    _ arguments: inout Arguments, to path: WritableKeyPath<Draft, [UInt16]>
  ) {
    var statuses: [UInt16] = []
    repeat {
      guard let status = arguments.next(.status, &findings) else { continue }
      statuses.append(status.value)
    } while arguments.upcoming != nil
    draft[keyPath: path] = statuses
  }

  private static var times: ClosedRange<Int64> { 1_000_000...86_400_000_000_000 }

  /// Takes `name=value`, if it is there.
  private mutating func take<Value>(
    _ name: String, _ syntax: Syntax<Value>, from arguments: inout Arguments,
    to path: WritableKeyPath<Draft, Value>
  ) {
    if let value = arguments.named(name, syntax, &findings) { draft[keyPath: path] = value.value }
  }

  /// What a pool must have: servers, or files, and not both.
  mutating func checkServers(of origin: Directive, _ seen: Seen) {
    if let files = seen.settings["files"], let server = seen.settings["server"] {
      findings.error(
        "an origin has servers or \"files\", not both", at: files,
        related: Finding.Note(message: "a server is here", range: server))
    }
    guard isComplete, origin.isWhole, !seen.has("server"), !seen.has("files"),
      !misplaced.contains("server")
    else { return }
    findings.error(
      "\(origin.described) has no \"server\"", at: origin.range,
      help: "add server 127.0.0.1:9000;")
  }

  /// Files are kept by the kernel already: a route stores them only if it says how.
  mutating func decideCachingOfFiles() {
    for (site, route) in draft.plainRoutes {
      let name = draft.node.sites[site].routes[route].origin
      guard let origin = draft.node.origins.first(where: { $0.name == name }),
        origin.files != nil
      else { continue }
      draft.node.sites[site].routes[route].caching.isOn = false
    }
  }
}

// MARK: - What arguments look like

extension Syntax where Value == BalancingConfiguration {
  /// The word for a method.
  fileprivate static var balancing: Syntax {
    choice([
      ("round_robin", .roundRobin), ("least_connections", .leastConnections),
      ("least_time", .leastTime), ("random_two", .randomTwo), ("resource", .resource),
      ("ip_hash", .ipHash), ("hash", .hash([], bound: nil)),
    ])
  }
}

extension Syntax where Value == UInt16 {
  /// A status.
  fileprivate static var status: Syntax {
    Syntax(
      "STATUS", expected: "a status such as 503",
      read: { text throws(Problem) in
        guard text.utf8.count == 3, let status = UInt16(text), (200...599).contains(status) else {
          throw Problem("\(quoted(text)) is not a status")
        }
        return status
      }, write: { "\($0)" })
  }
}

extension Syntax where Value == [UInt16] {
  /// Statuses with commas between them.
  fileprivate static var statusList: Syntax {
    Syntax(
      "STATUS,…", expected: "statuses such as 502,503",
      read: { text throws(Problem) in
        var statuses: [UInt16] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
          statuses.append(try Syntax<UInt16>.status.read(String(part)))
        }
        return statuses
      }, write: { $0.map { "\($0)" }.joined(separator: ",") })
  }
}

extension Syntax where Value == [ClosedRange<UInt16>] {
  /// Statuses and classes with commas between them.
  fileprivate static var statusRanges: Syntax {
    Syntax(
      "STATUS,…", expected: "statuses such as 200,204 or 2xx",
      read: { text throws(Problem) in
        var ranges: [ClosedRange<UInt16>] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
          if part.utf8.count == 3, part.hasSuffix("xx"), let digit = UInt16(part.prefix(1)),
            (2...5).contains(digit)
          {
            ranges.append(digit * 100...digit * 100 + 99)
          } else {
            let status = try Syntax<UInt16>.status.read(String(part))
            ranges.append(status...status)
          }
        }
        return ranges
      },
      write: { ranges in
        ranges.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound / 100)xx" }
          .joined(separator: ",")
      })
  }
}

extension Syntax where Value == String {
  /// What a check asks for: a path, perhaps with a query.
  fileprivate static var checkPath: Syntax {
    Syntax(
      "PATH", expected: "a path such as /health",
      read: { text throws(Problem) in
        guard text.first == "/" else {
          throw Problem("\(quoted(text)) does not begin with \"/\"", suggestion: "/" + text)
        }
        guard text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }), !text.contains("#") else {
          throw Problem(
            "\(quoted(text)) is not a path", help: "write such characters as in a request: %C3%A9")
        }
        return text
      }, write: { $0 })
  }

  /// Any text that is not empty.
  fileprivate static var text: Syntax {
    Syntax(
      "TEXT", expected: "a text",
      read: { text throws(Problem) in
        guard (1...1_000).contains(text.utf8.count) else { throw Problem("it has 1 to 1000 bytes") }
        return text
      }, write: { $0 })
  }

  /// The name of a file that stands for its directory.
  fileprivate static var indexName: Syntax {
    Syntax(
      "NAME", expected: "a file's name such as index.html",
      read: { text throws(Problem) in
        guard (1...255).contains(text.utf8.count), !text.contains("/"), text != ".", text != ".."
        else { throw Problem("\(quoted(text)) is not a file's name") }
        return text
      }, write: { $0 })
  }
}
