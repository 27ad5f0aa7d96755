// Limits, and whose word about clients' addresses is taken.

extension Reader {
  /// `limit NAME { … }`
  mutating func readLimit(_ arguments: inout Arguments) {
    draft.limit = Draft().limit
    let name = arguments.next(.name, &findings)
    let errors = findings.errorCount
    let seen = read(.limit, arguments.body, of: arguments.directive)
    // Where the rule itself could not be read, another stands in its place, about which nobody asked.
    let isRead = findings.errorCount == errors
    guard let name, declare(name, "limit", in: \.limits) else { return }
    draft.limit.name = name.value
    checkLimit(seen, isRead: isRead)
    checkScope(seen)
    draft.node.limits.append(draft.limit)
  }

  /// Settings that the rule of a limit has no use for.
  private mutating func checkLimit(_ seen: Seen, isRead: Bool) {
    let useless: [String]
    switch draft.limit.rule {
    case .tokenBucket, .quota: useless = []
    case .leakyBucket: useless = ["counts"]
    case .concurrency: useless = ["counts", "cost"]
    case .bandwidth:
      useless = ["counts", "cost", "on", "status", "body", "headers", "penalty"]
    case .responseBandwidth:
      useless = [
        "counts", "cost", "on", "status", "body", "headers", "penalty", "key", "per", "ipv4_prefix",
        "ipv6_prefix", "max_keys",
      ]
    case .connections:
      useless = ["counts", "cost", "on", "status", "body", "headers", "key", "per"]
      declared.connectionLimits.insert(draft.limit.name)
    }
    if isRead, let range = seen.settings["cost"] {
      checkCost(draft.limit.cost, of: draft.limit.rule, at: range)
    }
    for setting in useless {
      guard let range = seen.settings[setting] else { continue }
      findings.error(
        "\"\(setting)\" has no meaning beside \"\(draft.limit.rule.name)\"", at: range,
        help: "remove it")
    }
    if let range = seen.settings[draft.limit.rule.name] { checkBucket(draft.limit.rule, range) }
  }

  /// What no bucket can be: a node would not start with it.
  private mutating func checkBucket(_ rule: LimitRuleConfiguration, _ range: SourceRange) {
    let (rate, burst, isInBytes): (LimitRate, UInt64, Bool)
    switch rule {
    case .tokenBucket(let given, let size), .connections(let given, let size):
      (rate, burst, isInBytes) = (given, size, false)
    case .bandwidth(let given, let size), .responseBandwidth(let given, let size):
      (rate, burst, isInBytes) = (given, size, true)
    case .leakyBucket, .concurrency, .quota: return
    }
    guard rate.isCounted else {
      findings.error(
        "\(rule.name): \(rate.byteText) is too fine a rate to be counted exactly", at: range,
        help: "give the rate by the second, such as "
          + LimitRate(
            count: max(rate.count / UInt64(rate.period / 1_000_000_000), 1),
            period: 1_000_000_000
          ).byteText)
      return
    }
    guard let years = rate.tooManyYears(toFill: burst) else { return }
    let size = isInBytes ? Units.text(size: burst) : "\(burst)"
    findings.error(
      "\(rule.name): at \(isInBytes ? rate.byteText : rate.text) a burst of \(size) takes \(years) "
        + "years to come back", at: range,
      help: "give a burst= that comes back within \(LimitRate.mostYears) years, or a higher rate")
  }

  /// What costs more than there ever is, is always refused.
  private mutating func checkCost(
    _ cost: UInt64, of rule: LimitRuleConfiguration, at range: SourceRange
  ) {
    let most: UInt64
    let setting: String
    switch rule {
    case .tokenBucket(_, let burst): (most, setting) = (burst, "burst=\(cost)")
    case .quota(let count, _): (most, setting) = (count, "a quota of \(cost)")
    case .leakyBucket, .concurrency, .bandwidth, .responseBandwidth, .connections: return
    }
    guard cost > most else { return }
    findings.warning(
      "limit: each request costs \(cost), and there are never more than \(most): all are refused",
      at: range, help: "give it \(setting) or more, or a smaller cost")
  }

  /// What is shared is a bucket of tokens, by a fleet.
  private mutating func checkScope(_ seen: Seen) {
    guard case .region = draft.limit.scope, let range = seen.settings["scope"] else { return }
    if case .tokenBucket = draft.limit.rule {
    } else {
      findings.error(
        "scope: a \(draft.limit.rule.name) is each node's own", at: range,
        help: "a region shares budgets of a token_bucket")
    }
    declared.regionalLimits.append(range)
  }

  /// `scope node|region [consistency=leased|exact] [when_down=share|open|closed] [timeout=DURATION];`
  mutating func readScope(_ arguments: inout Arguments) {
    let isRegional = arguments.next(.choice([("node", false), ("region", true)]), &findings)
    let isExact = arguments.named(
      "consistency", .choice([("leased", false), ("exact", true)]), &findings)
    let whenDown = arguments.named(
      "when_down", .choice(LimitSharing.WhenDown.allCases.map { ($0.rawValue, $0) }), &findings)
    let timeout = arguments.named(
      "timeout", .duration(1_000_000...10_000_000_000), &findings)
    guard let isRegional else { return }
    guard isRegional.value else {
      if let range = isExact?.range ?? whenDown?.range ?? timeout?.range {
        findings.error(
          "scope: only what a region shares has more to be said of it", at: range, help: "remove it"
        )
      }
      return
    }
    var sharing = LimitSharing()
    if let isExact { sharing.isExact = isExact.value }
    if let whenDown { sharing.whenDown = whenDown.value }
    if let timeout {
      sharing.timeout = timeout.value
      if !sharing.isExact {
        findings.error(
          "scope: no request waits for the engine where shares are leased", at: timeout.range,
          help: "remove timeout, or add consistency=exact")
      }
    }
    draft.limit.scope = .region(sharing)
  }

  /// `token_bucket RATE [burst=NUMBER];`
  mutating func readTokenBucket(_ arguments: inout Arguments) {
    guard let (rate, burst) = readRateAndBurst(&arguments) else { return }
    draft.limit.rule = .tokenBucket(rate, burst: burst)
  }

  /// `connections RATE [burst=NUMBER];`
  mutating func readConnections(_ arguments: inout Arguments) {
    guard let (rate, burst) = readRateAndBurst(&arguments) else { return }
    draft.limit.rule = .connections(rate, burst: burst)
  }

  private mutating func readRateAndBurst(_ arguments: inout Arguments) -> (LimitRate, UInt64)? {
    let rate = arguments.next(.rate, &findings)
    let burst: Placed<UInt64>? = arguments.named(
      "burst", .count(1...1_000_000_000, of: "requests"), &findings)
    return rate.map { rate in
      (
        LimitRate(count: rate.value.count, period: rate.value.period),
        burst?.value ?? min(rate.value.count, 1_000_000_000)
      )
    }
  }

  /// `leaky_bucket RATE [queue=NUMBER];`
  mutating func readLeakyBucket(_ arguments: inout Arguments) {
    let rate = arguments.next(.rate, &findings)
    let queue: Placed<UInt32>? = arguments.named(
      "queue", .count(0...1_000_000, of: "requests"), &findings)
    guard let rate else { return }
    draft.limit.rule = .leakyBucket(
      LimitRate(count: rate.value.count, period: rate.value.period), queue: queue?.value ?? 0)
  }

  /// `quota NUMBER/hour|day|month [window=calendar|rolling];`
  mutating func readQuota(_ arguments: inout Arguments) {
    let quota = arguments.next(.quota, &findings)
    let rolls = arguments.named(
      "window", .choice([("calendar", false), ("rolling", true)]), &findings)
    guard let quota else { return }
    var window = quota.value.window
    if rolls?.value ?? false {
      switch window {
      case .hour: window = .rollingHour
      case .day: window = .rollingDay
      case .month: window = .rollingMonth
      case .rollingHour, .rollingDay, .rollingMonth: break
      }
      if quota.value.count > 16_777_215 {
        findings.error(
          "quota: a rolling window has at most 16777215", at: quota.range,
          help: "use a calendar window")
      }
    }
    draft.limit.rule = .quota(quota.value.count, window)
  }

  /// `bandwidth SIZE/s [burst=SIZE];`
  mutating func readBandwidth(_ arguments: inout Arguments, isPerResponse: Bool) {
    let rate = arguments.next(.byteRate, &findings)
    let burst: Placed<UInt64>? = arguments.named("burst", .size(1...(1 << 40)), &findings)
    guard let rate else { return }
    let second = rate.value.count / max(UInt64(rate.value.period / 1_000_000_000), 1)
    let size = burst?.value ?? min(max(second, 64 << 10), 1 << 40)
    draft.limit.rule =
      isPerResponse
      ? .responseBandwidth(rate.value, burst: size) : .bandwidth(rate.value, burst: size)
  }

  /// `key PART… [else PART…]…;`
  mutating func readLimitKey(_ arguments: inout Arguments) {
    var keys: [[LimitKeyPart]] = [[]]
    var isEmpty = true
    repeat {
      let range = arguments.upcoming?.range
      if let word = arguments.upcoming, word.text == "else", !word.isQuoted {
        if isEmpty {
          findings.error(
            "key: nothing stands before \"else\"", at: word.range, help: "remove it, or add a part")
        }
        arguments.skip()
        keys.append([])
        isEmpty = true
        if arguments.upcoming == nil {
          findings.error(
            "key: nothing stands behind \"else\"", at: word.range, help: "remove it, or add a part")
        }
        continue
      }
      isEmpty = false
      guard let part = arguments.next(.limitKeyPart, &findings) else { continue }
      if case .fingerprint = part.value { draft.node.tls.needsFingerprints = true }
      if keys[keys.count - 1].contains(part.value), let range {
        findings.error("key: \(quoted(part.value.text)) is given twice", at: range)
      } else {
        keys[keys.count - 1].append(part.value)
      }
    } while arguments.upcoming != nil
    draft.limit.keys = keys.filter { !$0.isEmpty }
  }

  /// `penalty DURATION after=NUMBER [within=DURATION];`
  mutating func readPenalty(_ arguments: inout Arguments) {
    let second: Int64 = 1_000_000_000
    let times = second...(30 * 86_400 * second)
    let duration = arguments.next(.duration(times), &findings)
    let after: Placed<UInt64>? = arguments.named(
      "after", .count(1...1_000_000, of: "refusals"), &findings)
    let within = arguments.named("within", .duration(times), &findings)
    guard let duration else { return }
    guard let after else {
      if arguments.directive.isWhole
        && !arguments.directive.arguments.contains(where: { word in
          word.nameLength > 0
        })
      {
        findings.error(
          "\"penalty\" needs to know after how many refusals", at: arguments.directive.name.range,
          help: "add after=NUMBER, such as penalty 5m after=20;")
      }
      return
    }
    draft.limit.penalty = PenaltyConfiguration(
      duration: duration.value, offences: after.value, window: within?.value ?? 60 * second)
  }

  /// `limit NAME [cost=NUMBER] [on=request|miss];` in a route.
  mutating func readRouteLimit(_ arguments: inout Arguments) {
    let name = arguments.next(.name, &findings)
    let cost: Placed<UInt64>? = arguments.named(
      "cost", .count(1...1_000_000_000, of: "requests"), &findings)
    let stage = arguments.named(
      "on", .choice([("request", LimitStage.request), ("miss", .miss)]), &findings)
    guard let name else { return }
    if let cost { used.limitCosts.append((name.value, cost)) }
    addRouteLimit(name, cost: cost?.value, stage: stage?.value)
  }

  private mutating func addRouteLimit(
    _ name: Placed<String>, cost: UInt64?, stage: LimitStage?
  ) {
    if let first = declared.routeLimits[name.value] {
      findings.error(
        "limit: \(quoted(name.value)) is given twice in this route", at: name.range,
        help: "each request would pay twice",
        related: Finding.Note(message: "the first is here", range: first))
      return
    }
    if draft.route.limits.count == 8 {
      findings.error("limit: a route has at most 8", at: name.range)
      return
    }
    declared.routeLimits[name.value] = name.range
    draft.route.limits.append(LimitUse(name: name.value, cost: cost, stage: stage))
    used.limits.append(name)
  }

  /// `trusted_proxies NETWORK… [field=x-forwarded-for|forwarded];`
  mutating func readTrustedProxies(_ arguments: inout Arguments) {
    draft.node.trustedProxies.networks = readNetworks(&arguments)
    if let field = arguments.named(
      "field",
      .choice([
        ("x-forwarded-for", TrustedProxies.Field.xForwardedFor), ("forwarded", .forwarded),
      ]), &findings)
    {
      draft.node.trustedProxies.field = field.value
    }
  }

  /// One network or more.
  mutating func readNetworks(_ arguments: inout Arguments) -> [String] {
    var networks: [String] = []
    repeat {
      if let network = arguments.next(.network, &findings) { networks.append(network.value) }
    } while arguments.upcoming != nil
    return networks
  }

  /// `listen ADDRESS [proxy_protocol];`
  mutating func readListen(_ arguments: inout Arguments) {
    let address = arguments.next(.listenAddress, &findings)
    var options: [String: SourceRange] = [:]
    while let word = arguments.upcoming, ["tls", "h2c", "proxy_protocol"].contains(word.text),
      !word.isQuoted, options[word.text] == nil
    {
      arguments.skip()
      options[word.text] = word.range
    }
    if let range = options["h2c"], options["tls"] != nil {
      findings.error(
        "listen: \"h2c\" is HTTP/2 without TLS", at: range,
        help: "with tls, HTTP/2 is offered anyway")
    }
    if let range = options["proxy_protocol"] { declared.proxyListeners.append(range) }
    if let range = options["tls"] { declaredTLS.listeners.append(range) }
    guard let address else { return }
    let count = draft.node.listeners.count
    addListener(address)
    guard draft.node.listeners.count > count else { return }
    if options["proxy_protocol"] != nil { draft.node.proxyListeners.insert(count) }
    if options["tls"] != nil { draft.node.tlsListeners.insert(count) }
    if options["h2c"] != nil { draft.node.plainHTTP2Listeners.insert(count) }
  }

  /// What limits need the whole file for.
  mutating func checkLimits() {
    guard isComplete else { return }
    for use in used.limits where declared.connectionLimits.contains(use.value) {
      findings.error(
        "limit: \(quoted(use.value)) counts connections, which have no route", at: use.range,
        help: "remove it: it is in force for the whole node")
    }
    if draft.node.fleet == nil {
      for range in declared.regionalLimits {
        findings.error(
          "scope: the node works alone, in no region", at: range,
          help: "add a fleet block at the top level: see docs/fleet.md")
      }
    }
    checkBandwidths()
    checkLimitKeys()
    checkRouteCosts()
    if let range = declared.proxyListeners.first, draft.node.trustedProxies.networks.isEmpty,
      findings.errorCount == 0
    {
      findings.error(
        "listen: nobody may connect here: only trusted proxies may speak the PROXY protocol",
        at: range, help: "add trusted_proxies NETWORK…; at the top level")
    }
  }
}

// Bandwidth.
extension Reader {
  /// What routes have requests cost, where all else is right.
  private mutating func checkRouteCosts() {
    guard findings.errorCount == 0 else { return }
    for (name, cost) in used.limitCosts {
      guard let limit = draft.node.limits.first(where: { $0.name == name }) else { continue }
      checkCost(cost.value, of: limit.rule, at: cost.range)
    }
  }

  /// A response has one pace of its own, and one of its key.
  private mutating func checkBandwidths() {
    for site in draft.node.sites {
      for route in site.routes {
        var seen: Set<String> = []
        for use in route.limits {
          guard let limit = draft.node.limits.first(where: { $0.name == use.name }),
            [.bandwidth, .responseBandwidth].contains(limit.rule.kind),
            !seen.insert(limit.rule.name).inserted,
            let place = used.limits.last(where: { $0.value == use.name })
          else { continue }
          findings.error(
            "limit: the route \(quoted(route.name)) has another \(limit.rule.name)",
            at: place.range, help: "a response has one of each kind")
        }
      }
    }
  }
}
