// The settings of `limit { … }`, and what belongs to limits elsewhere.

extension Setting {
  private static let day: Int64 = 86_400_000_000_000
  private static let bursts = "burst 1 to 1000000000"

  static let limit: [Setting] = limitRules + limitKeys + limitAnswers

  private static let limitRules: [Setting] = [
    Setting(
      "token_bucket", in: .limit, shape: "RATE [burst=NUMBER]",
      range: "1/d to 1000000/s; \(bursts)", unit: "requests",
      presence: .one(of: "algorithm"), example: "token_bucket 50/s burst=100;",
      aliases: ["rate", "limit_req"], argumentNames: ["burst"],
      """
      Lets `burst` requests pass at once and RATE in the long run. Without `burst` it is the number \
      of the rate: 50 for `50/s`. Periods are `/s`, `/m`, `/h` and `/d`.
      """
    ) { arguments, reader in reader.readTokenBucket(&arguments) },
    Setting(
      "leaky_bucket", in: .limit, shape: "RATE [queue=NUMBER]",
      range: "1/d to 1000000/s; queue 0 to 1000000", unit: "requests",
      presence: .one(of: "algorithm"), aliases: ["queue"], argumentNames: ["queue"],
      """
      Lets requests pass at RATE, evenly spaced; `queue` of each key wait for their turn (default \
      0), further ones are refused. A client that leaves frees its place.
      """
    ) { arguments, reader in reader.readLeakyBucket(&arguments) },
    Setting(
      "concurrency", in: .limit, .count(1...1_000_000_000, of: "requests"),
      presence: .one(of: "algorithm"), aliases: ["limit_conn", "max_in_flight"],
      "Lets so many requests of a key be in flight at a time."
    ) { count, reader in reader.draft.limit.rule = .concurrency(count.value) },
    Setting(
      "quota", in: .limit, shape: "NUMBER/hour|day|month [window=calendar|rolling]",
      range: "1 to 1000000000000; rolling 1 to 16777215", unit: "requests",
      presence: .one(of: "algorithm"), argumentNames: ["window"],
      """
      Lets so many requests pass in each hour, day or month of the calendar (UTC) or, rolling, in any \
      hour, 24 hours or 30 days. With a store it survives a restart.
      """
    ) { arguments, reader in reader.readQuota(&arguments) },
    Setting(
      "bandwidth", in: .limit, shape: "SIZE/s [burst=SIZE]", range: "1B/d to 1000000000000B/s",
      unit: "bytes", presence: .one(of: "algorithm"), aliases: ["limit_rate"],
      argumentNames: ["burst"],
      """
      Sends the content of a key's responses at this pace, all of them together; `burst` at once \
      (default: a second's worth, at least 64KiB).
      """
    ) { arguments, reader in reader.readBandwidth(&arguments, isPerResponse: false) },
    Setting(
      "response_bandwidth", in: .limit, shape: "SIZE/s [burst=SIZE]",
      range: "1B/d to 1000000000000B/s", unit: "bytes", presence: .one(of: "algorithm"),
      argumentNames: ["burst"],
      "Sends the content of each response at this pace; `burst` at once."
    ) { arguments, reader in reader.readBandwidth(&arguments, isPerResponse: true) },
    Setting(
      "connections", in: .limit, shape: "RATE [burst=NUMBER]",
      range: "1/d to 1000000/s; \(bursts)", unit: "connections",
      presence: .one(of: "algorithm"), argumentNames: ["burst"],
      """
      Takes so many new connections of an address; further ones are closed at once. For the whole \
      node: no route names it. Connections of trusted proxies are not counted.
      """
    ) { arguments, reader in reader.readConnections(&arguments) },
  ]

  private static let limitKeys: [Setting] = [
    Setting(
      "key", in: .limit, shape: "PART… [else PART…]…", default: "client.ip",
      """
      What the requests are counted by: `client.ip`, `header.NAME`, `cookie.NAME`, `route`, `host`, \
      `tls.client.subject`, `tls.ja4`, who was let in (`jwt.sub`: a token's subject of its issuer, an \
      API key's or a user's name), `jwt.claim.NAME`, `api_key`, or several of them together. Behind `else` stands \
      what counts for a request that lacks one of them; a request that lacks all is not limited.
      """
    ) { arguments, reader in reader.readLimitKey(&arguments) },
    Setting(
      "per", in: .limit, .choice([("node", false), ("route", true)]), to: \.limit.isPerRoute,
      """
      Whether routes that name the limit share its budgets (`node`), or have copies of their own \
      (`route`).
      """),
    Setting(
      "ipv4_prefix", in: .limit, .count(1...32, of: "bits"), to: \.limit.ipv4Prefix,
      "How many bits of an IPv4 address tell clients apart."),
    Setting(
      "ipv6_prefix", in: .limit, .count(1...128, of: "bits"), to: \.limit.ipv6Prefix,
      "How many bits of an IPv6 address tell clients apart; one customer has at least a /64."),
    Setting(
      "exempt", in: .limit, shape: "NETWORK…", repeatable: true, aliases: ["allow", "whitelist"],
      "Clients of these networks, such as `10.0.0.0/8` or `2001:db8::/32`, are not limited."
    ) { arguments, reader in
      reader.draft.limit.exempt += reader.readNetworks(&arguments)
    },
    Setting(
      "max_keys", in: .limit, .count(1...100_000_000, of: "keys"), to: \.limit.maxKeys,
      "The most keys that are remembered at a time, at no more than 64 bytes each."),
  ]

  private static let limitAnswers: [Setting] = [
    Setting(
      "cost", in: .limit, .count(1...1_000_000_000, of: "requests"), to: \.limit.cost,
      "For how many a request counts."),
    Setting(
      "counts", in: .limit, .choice([("all", .all), ("errors", .errors)]), to: \.limit.counts,
      """
      Whether all requests count, or only those that are answered with 400 or above, as for logins. \
      Of the latter, those not answered yet count.
      """),
    Setting(
      "on", in: .limit, .choice([("request", .request), ("miss", .miss)]), to: \.limit.stage,
      "Whether each request counts, or only what the store cannot answer."),
    Setting(
      "status", in: .limit, .count(400...599, of: "a status code"), to: \.limit.status,
      aliases: ["limit_req_status"], "The status of a refusal."),
    Setting(
      "body", in: .limit, .choice([("text", .text), ("problem", .problem)]), to: \.limit.body,
      "Whether a refusal has a line of text, or problem details (RFC 9457)."),
    Setting(
      "headers", in: .limit, .flag, to: \.limit.tellsAlways,
      """
      Whether every answer has `RateLimit` and `RateLimit-Policy`. Refusals have them in any case.
      """),
    Setting(
      "scope", in: .limit,
      shape:
        "node|region [consistency=leased|exact] [when_down=share|open|closed] [timeout=DURATION]",
      range: "timeout 1ms to 10s (default 100ms)", default: "node", aliases: ["shared"],
      argumentNames: ["consistency", "when_down", "timeout"],
      """
      Whose budgets it counts: this node's, or those that all PoPs of the fleet's region share \
      (`token_bucket` only; docs/fleet.md says how exactly). `leased`: no request waits; `exact`: each asks \
      the engine, for `timeout` at most. Without the engine a PoP goes on with its share of the budget, lets \
      everything pass (`open`) or nothing (`closed`).
      """
    ) { arguments, reader in reader.readScope(&arguments) },
    Setting(
      "shadow", in: .limit, .flag, to: \.limit.isShadow, aliases: ["dry_run", "limit_req_dry_run"],
      "Whether the limit only counts what it would refuse."),
    Setting(
      "penalty", in: .limit, shape: "DURATION after=NUMBER [within=DURATION]",
      range: "1s to 30d; after 1 to 1000000", unit: "time", aliases: ["ban", "fail2ban"],
      argumentNames: ["after", "within"],
      """
      Refuses everything of a key for so long once it was refused `after` times `within` a time \
      (default 1m).
      """
    ) { arguments, reader in reader.readPenalty(&arguments) },
  ]

  static let limitTop: [Setting] = [
    Setting(
      "trusted_proxies", in: .top, shape: "NETWORK… [field=x-forwarded-for|forwarded]",
      aliases: ["set_real_ip_from", "real_ip_header"], argumentNames: ["field"],
      """
      Proxies whose word is taken about whom a request is from: by this field, read from the right \
      for as long as addresses are trusted, and by the PROXY protocol.
      """
    ) { arguments, reader in reader.readTrustedProxies(&arguments) },
    Setting(
      "overload_delay", in: .top, .duration(1_000_000...60_000_000_000), none: "off", isWord: true,
      to: \.node.overloadDelay, aliases: ["load_shedding"],
      """
      How long requests may stand waiting for their worker before it sheds load: 503, by the routes' \
      `priority`, and what the store answers last.
      """),
  ]

  static let limitRoute: [Setting] = [
    Setting(
      "limit", in: .route, shape: "NAME [cost=NUMBER] [on=request|miss]", repeatable: true,
      aliases: ["limit_req", "rate_limit"], argumentNames: ["cost", "on"],
      """
      A limit that each request must pass, at most eight. Routes that name the same limit share its \
      budgets, unless it says `per route`. A request that one refuses takes nothing from the others.
      """
    ) { arguments, reader in reader.readRouteLimit(&arguments) },
    Setting(
      "priority", in: .route,
      .choice([("critical", .critical), ("high", .high), ("normal", .normal), ("low", .low)]),
      to: \.route.priority,
      """
      What is shed first under overload: `low`, then `normal`, then `high`; `critical` never is. What \
      the store answers counts as one step more important.
      """),
  ]
}
