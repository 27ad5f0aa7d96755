// The settings of `origin { … }` that are about several servers, and those of `files DIR { … }`.

extension Setting {
  private static let second: Int64 = 1_000_000_000
  private static let times: ClosedRange<Int64> = 1_000_000...(24 * 3_600 * second)
  private static let percent: ClosedRange<Int> = 0...100

  static let originServers: [Setting] = [
    Setting(
      "server", in: .origin, shape: "[https://]HOST:PORT|unix:PATH [backup] [NAME=NUMBER…]",
      range: "weight 1 to 65535; priority 0 to 254; max_connections 1 to 1000000",
      repeatable: true, example: "server 127.0.0.1:9000;",
      aliases: ["address", "host_port", "backend", "to"],
      argumentNames: ["weight", "max_connections", "priority"],
      """
      A server of the pool: a name or address, and a port; or a unix socket. With `https://`, where the \
      port may be left out (443), TLS is spoken to all of the pool. `weight=3` is its share; \
      `backup` keeps it for when no other is left; of `priority=1` it is used when none of a lower \
      number is left; `max_connections=100` is the most requests under way to it. A pool has servers \
      or `files`.
      """
    ) { arguments, reader in reader.readServer(&arguments) },
    Setting(
      "files", in: .origin, shape: "DIR", body: .optional(.files),
      aliases: ["root", "file_server"],
      "A directory that answers in place of servers."
    ) { arguments, reader in reader.readFiles(&arguments) },
    Setting(
      "balance", in: .origin, shape: "METHOD [PART…] [bound=PERCENT]", range: "bound 100 to 1000",
      default: "round_robin", aliases: ["lb_policy", "lb_method", "director"],
      argumentNames: ["bound"],
      """
      How a server is chosen: `round_robin`, in turn by weight; `least_connections`; `least_time`, the \
      faster of two; `random_two`, the less busy of two; `resource`, by what servers say of their load \
      (`load_field`); `ip_hash`, by the client's address; `hash`, by the cache key, or by parts of the \
      request as in `key`. With `bound=125` no server gets more than 125 % of its fair share.
      """
    ) { arguments, reader in reader.readBalance(&arguments) },
    Setting(
      "max_connections", in: .origin, .count(1...1_000_000, of: "requests"), none: "no limit",
      to: \.origin.maxConnections, aliases: ["maxconn"],
      "The most requests under way to the whole pool, of all workers."),
    Setting(
      "max_misses", in: .origin, shape: "NUMBER|off [timeout=DURATION]",
      range: "1 to 1000000; timeout 1ms to 1d", default: "1000", unit: "requests",
      aliases: ["max_fills", "proxy_cache_lock"], argumentNames: ["timeout"],
      """
      The most requests of all workers that are at the pool at once to fill the cache; further ones wait in \
      turn, at most `timeout` (10s), then 503. So a cold start, or a purge of everything, cannot kill an \
      origin. Hits go on, and so does what is not stored.
      """
    ) { arguments, reader in reader.readMaxMisses(&arguments) },
    Setting(
      "queue", in: .origin, shape: "NUMBER [timeout=DURATION]",
      range: "0 to 1000000; timeout 1ms to 1d", default: "0", unit: "requests",
      argumentNames: ["timeout"],
      """
      How many requests may wait for a place at a server, and how long (1s). Further ones, and those \
      that waited in vain, are answered with 503.
      """
    ) { arguments, reader in reader.readQueue(&arguments) },
    Setting(
      "slow_start", in: .origin, .duration(0...(3_600 * second)), to: \.origin.slowStart,
      "How long a server that comes back takes to its whole share."),
    Setting(
      "panic", in: .origin, .count(percent, of: "percent"), to: \.origin.panicPercent,
      "Below this percentage of healthy servers all are used. When none is healthy, all are."),
    Setting(
      "resolve_every", in: .origin, .duration(second...(24 * 3_600 * second)),
      to: \.origin.resolveInterval, aliases: ["resolver", "dns_refresh_rate"],
      "How often names of servers are looked up again."),
    Setting(
      "fleet", in: .origin, .flag, to: \.origin.isOfFleet, aliases: ["parent", "shield"],
      """
      Whether the servers of the pool are PoPs of the same fleet (docs/fleet.md): then they hear through where \
      this one has purged, and answer with nothing older.
      """),
    Setting(
      "load_field", in: .origin, .fieldName, none: "no field", to: \.origin.loadField,
      """
      The field of responses, and of answers to checks, in which servers say how busy they are: `0.42`, \
      `42%`, `load=0.42`, or ORCA's text form.
      """),
    Setting(
      "failure_status", in: .origin, shape: "STATUS…", default: "502 503 504",
      "The statuses that count against a server, for ejection and breaker."
    ) { arguments, reader in
      reader.readStatuses(&arguments, to: \.origin.failureStatuses)
    },
  ]

  static let originHealth: [Setting] = [
    Setting(
      "health", in: .origin, shape: "GET PATH|connect [NAME=VALUE…]",
      range: "every, timeout 1ms to 1d; fall, rise 1 to 100",
      aliases: ["health_check", "health_uri", "probe", "option"],
      argumentNames: ["every", "timeout", "expect", "content", "host", "fall", "rise"],
      """
      Active checks: `health GET /health every=1s timeout=500ms expect=200 fall=2 rise=2;`. `expect` has \
      statuses, as `200,204` or `2xx`; `content` is a text that must be there; `connect` only opens a \
      connection. After `fall` failed checks a server gets no requests, after `rise` passed ones it \
      does again.
      """
    ) { arguments, reader in reader.readHealth(&arguments) },
    Setting(
      "ejection", in: .origin, shape: "on|off [NAME=VALUE…]",
      range: "failures, requests 0 to 100000; rate, most 0 to 100; latency 0 to 1000",
      default: "on",
      aliases: ["outlier_detection", "max_fails", "fail_timeout"],
      argumentNames: [
        "failures", "rate", "latency", "window", "requests", "time", "longest", "most",
      ],
      """
      Takes out servers that fail clients' requests: after `failures=5` in a row, at `rate=50` percent of \
      at least `requests=20` in a `window=10s`, or at `latency=3` times the others' (0: off). For \
      `time=30s`, twice as long each time up to `longest=5m`; at most `most=50` percent of the servers.
      """
    ) { arguments, reader in reader.readEjection(&arguments) },
    Setting(
      "breaker", in: .origin, shape: "on|off [NAME=VALUE…]",
      range: "rate 1 to 100; requests 1 to 100000; probes 1 to 255", default: "off",
      aliases: ["circuit_breaker"],
      argumentNames: ["rate", "requests", "window", "open", "longest", "probes"],
      """
      Spares a server, or the pool, that fails `rate=50` percent of at least `requests=20` in a \
      `window=10s`: for `open=2s`, twice as long each time up to `longest=1m`, nothing is sent; then \
      `probes=3` requests must succeed. What is stored is served stale meanwhile, where it may be; the \
      rest is answered with 503 and `Retry-After`.
      """
    ) { arguments, reader in reader.readBreaker(&arguments) },
    Setting(
      "retries", in: .origin, shape: "NUMBER [NAME=VALUE…]",
      range: "0 to 10; pause, longest 0 to 1m", default: "2, or 0 with one server", unit: "tries",
      aliases: ["proxy_next_upstream", "proxy_next_upstream_tries", "retry"],
      argumentNames: ["on", "pause", "longest"],
      """
      The most tries after the first. Only requests that may be repeated: their method is idempotent or \
      the server has not seen them, and none of their content has gone out. `on=502,503,504` are the \
      statuses worth it; `pause=25ms` bounds the first random pause, `longest=1s` all.
      """
    ) { arguments, reader in reader.readRetries(&arguments) },
    Setting(
      "retry_budget", in: .origin, shape: "PERCENT [reserve=NUMBER]",
      range: "0 to 100; reserve 0 to 100000", default: "15", unit: "percent",
      argumentNames: ["reserve"],
      """
      All further tries of the pool, hedges with them, as a percentage of its requests; besides, \
      `reserve=100` in hand, and what the requests of the last 300 ms would pay for. So an origin that is down \
      is not asked more often than that.
      """
    ) { arguments, reader in reader.readRetryBudget(&arguments) },
    Setting(
      "try_timeout", in: .origin, .duration(times), none: "no limit", to: \.origin.retry.tryTimeout,
      "How long one try may take, from the choice of the server to the head of its response."),
    Setting(
      "total_timeout", in: .origin, .duration(times), none: "30s, or longer if one try may be",
      to: \.origin.retry.totalTimeout, aliases: ["proxy_next_upstream_timeout"],
      "How long all tries may take together, up to the head of a response."),
    Setting(
      "hedge", in: .origin, .flag, to: \.origin.retry.hedges,
      """
      Whether a second try is sent when the first has not answered for longer than 95 % of answers take. \
      The first to answer counts. Needs `retries` and is paid from `retry_budget`.
      """),
  ]

  static let files: [Setting] = [
    Setting(
      "index", in: .files, shape: "NAME…", default: "index.html",
      "The files that stand for their directory, in order."
    ) { arguments, reader in reader.readIndexes(&arguments) },
    Setting(
      "listing", in: .files, .flag, to: \.files.lists, aliases: ["autoindex", "browse"],
      "Whether a directory without such a file is listed."),
    Setting(
      "follow_symlinks", in: .files, .flag, to: \.files.followsLinks,
      aliases: ["disable_symlinks"],
      "Whether symbolic links are followed, as far as they stay within the directory."),
    Setting(
      "precompressed", in: .files, .flag, to: \.files.precompressed,
      aliases: ["gzip_static", "brotli_static"],
      """
      Whether `name.br`, `name.zst` and `name.gz` are sent in place of `name` to clients that take them; \
      never one that is older.
      """),
  ]

  static let siteFiles = Setting(
    "files", in: .site, .path("DIR", of: "a directory"), presence: .atMostOne(of: "origin"),
    aliases: ["root", "file_server", "alias"],
    "A directory as the origin of those routes that name none; short for an origin with `files`."
  ) { path, reader in reader.setSiteFiles(path) }

  static let routeFiles = Setting(
    "files", in: .route, .path("DIR", of: "a directory"), presence: .atMostOne(of: "origin"),
    aliases: ["root", "file_server", "alias"],
    """
    A directory as the origin: what a path names there is sent. The whole path counts, with that of the \
    route. Nothing of it is stored unless the route has `cache`.
    """
  ) { path, reader in reader.setRouteFiles(path) }
}
