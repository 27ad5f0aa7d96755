// Limits, and whose word about clients' addresses is taken.

extension Reader {
  /// `limit NAME { … }`
  mutating func readLimit(_ arguments: inout Arguments) {
    draft.limit = Draft().limit
    let name = arguments.next(.name, &findings)
    let seen = read(.limit, arguments.body, of: arguments.directive)
    guard let name, declare(name, "limit", in: \.limits) else { return }
    draft.limit.name = name.value
    checkLimit(seen)
    checkScope(seen)
    draft.node.limits.append(draft.limit)
  }

  /// Settings that the rule of a limit has no use for.
  private mutating func checkLimit(_ seen: Seen) {
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
    if let range = seen.settings["cost"] { checkCost(draft.limit.cost, at: range) }
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
  private mutating func checkCost(_ cost: UInt64, at range: SourceRange) {
    let most: UInt64
    let setting: String
    switch draft.limit.rule {
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

extension LimitRuleConfiguration {
  fileprivate enum Kind { case bandwidth, responseBandwidth, other }

  fileprivate var kind: Kind {
    switch self {
    case .bandwidth: .bandwidth
    case .responseBandwidth: .responseBandwidth
    case .tokenBucket, .leakyBucket, .concurrency, .quota, .connections: .other
    }
  }
}

/// So many in a window.
struct Quota: Sendable, Equatable {
  var count: UInt64
  var window: LimitWindow
}

extension Units {
  /// A rate of bytes such as `1MiB/s`.
  static func byteRate(_ text: String) throws(Problem) -> LimitRate {
    guard let slash = text.lastIndex(of: "/") else {
      throw Problem("\(quoted(text)) has no period", suggestion: "\(text)/s")
    }
    let name = text[text.index(after: slash)...]
    guard let unit = time.first(where: { $0.name == name }), unit.size >= 1_000_000_000 else {
      throw Problem("\(quoted(text)) is not a rate", help: "expected a rate such as 1MiB/s")
    }
    let count = try size(String(text[..<slash]))
    guard count > 0 else { throw Problem("\(quoted(text)) lets nothing pass") }
    guard count <= 1_000_000_000_000 * UInt64(unit.size / 1_000_000_000) else {
      throw Problem("\(quoted(text)) is out of range", help: "expected at most 1000000000000B/s")
    }
    return LimitRate(count: count, period: unit.size)
  }
}

extension Syntax where Value == LimitRate {
  /// So many bytes a second, minute, hour or day.
  static var byteRate: Syntax {
    Syntax(
      "SIZE/s", expected: "a rate such as 512KiB/s or 10MiB/s",
      read: { text throws(Problem) in try Units.byteRate(text) }, write: { $0.byteText })
  }
}

extension Syntax where Value == Quota {
  private static var windows: [(name: String, window: LimitWindow)] {
    [("hour", .hour), ("day", .day), ("month", .month)]
  }

  /// So many an hour, day or month.
  static var quota: Syntax {
    Syntax(
      "NUMBER/day", expected: "a quota such as 10000/day, 500/hour or 1000000/month",
      read: { text throws(Problem) in
        guard let slash = text.lastIndex(of: "/") else {
          throw Problem("\(quoted(text)) has no window", suggestion: "\(text)/day")
        }
        let name = text[text.index(after: slash)...]
        guard let window = windows.first(where: { $0.name == name })?.window else {
          let meant = ["h": "hour", "d": "day", "M": "month"][String(name)]
          throw Problem(
            "\(quoted(text)) is not a quota", help: "the windows are hour, day and month",
            suggestion: meant.map { "\(text[..<slash])/\($0)" })
        }
        let count = try Units.integer(String(text[..<slash]))
        guard (1...1_000_000_000_000).contains(count) else {
          throw Problem("\(quoted(text)) is out of range", help: "expected 1 to 1000000000000")
        }
        return Quota(count: count, window: window)
      },
      write: { quota in
        let name = windows.first { $0.window == quota.window }?.name ?? "day"
        return "\(quota.count)/\(name)"
      })
  }
}

extension Syntax where Value == LimitKeyPart {
  /// A part of a limit's key.
  static var limitKeyPart: Syntax {
    let known = [
      "client.ip", "header.NAME", "cookie.NAME", "route", "host", "tls.client.subject", "tls.ja4",
      "jwt.sub", "jwt.claim.NAME", "api_key",
    ]
    return Syntax(
      "PART", expected: known.dropLast().joined(separator: ", ") + " or api_key",
      read: { text throws(Problem) in
        switch text {
        case "client.ip": return .clientAddress
        case "route": return .route
        case "host": return .host
        case "jwt.sub": return .subject
        case "api_key": return .apiKey
        case "tls.client.subject": return .clientCertificate
        case "tls.ja4": return .fingerprint
        default: break
        }
        if text.hasPrefix("header."), let name = fieldName(text.dropFirst(7)) {
          return .field(name.lowercased())
        }
        if text.hasPrefix("cookie."), let name = fieldName(text.dropFirst(7)) {
          return .cookie(name)
        }
        if text.hasPrefix("jwt.claim."), let name = claimName(text.dropFirst(10)) {
          return .claim(name)
        }
        throw Problem(
          "\(quoted(text)) is not a part of a request",
          help: "there are \(known.joined(separator: ", "))",
          suggestion: [
            "ip": "client.ip", "client_ip": "client.ip", "remote_addr": "client.ip",
            "sub": "jwt.sub", "jwt": "jwt.sub", "user": "jwt.sub", "jwt.subject": "jwt.sub",
            "apikey": "api_key", "api_key.name": "api_key",
          ][text])
      }, write: { $0.text })
  }

  /// A claim's name, which may be a URL (RFC 7519 §4.2).
  private static func claimName(_ text: Substring) -> String? {
    guard (1...128).contains(text.utf8.count),
      text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F })
    else { return nil }
    return String(text)
  }

  /// A token (RFC 9110 §5.6.2), which names of fields and cookies are.
  private static func fieldName(_ text: Substring) -> String? {
    guard (1...128).contains(text.utf8.count) else { return nil }
    let others = Set("!#$%&'*+-.^_`|~".utf8)
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"):
        continue
      default: guard others.contains(byte) else { return nil }
      }
    }
    return String(text)
  }
}

extension Syntax where Value == String {
  /// A network: an address and how many of its bits count, or an address alone.
  static var network: Syntax {
    Syntax(
      "NETWORK", expected: "a network such as 10.0.0.0/8 or 2001:db8::/32, or an address",
      read: { text throws(Problem) in try Addresses.network(text) }, write: { $0 })
  }
}

extension Addresses {
  /// A network in its usual form: the shortest address, a slash and the length.
  static func network(_ text: String) throws(Problem) -> String {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count <= 2, let address = parts.first.flatMap({ canonical($0) }) else {
      throw Problem("\(quoted(text)) is not a network")
    }
    let bits: [Bool]
    if let numbers = version4(address) {
      bits = numbers.flatMap { byte in (0..<8).map { byte >> (7 - $0) & 1 == 1 } }
    } else {
      bits = (version6(address) ?? []).flatMap { group in
        (0..<16).map { group >> (15 - $0) & 1 == 1 }
      }
    }
    guard parts.count == 2 else { return address }
    var digits = parts[1]
    let text0 = digits
    guard text0 == "0" || text0.first != "0", let length = Units.digits(&digits), digits.isEmpty,
      length <= UInt64(bits.count)
    else {
      throw Problem(
        "\(quoted(text)) is not a network", help: "the length is a number from 0 to \(bits.count)")
    }
    guard !bits.dropFirst(Int(length)).contains(true) else {
      throw Problem(
        "\(quoted(text)) has bits behind its prefix",
        help: "write the network's first address, or the address alone")
    }
    return "\(address)/\(length)"
  }
}
