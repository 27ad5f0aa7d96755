// The table of all settings, block by block, in the order of the reference.

extension Setting {
  /// Every setting.
  public static let all: [Setting] =
    topLevel + tlsTop + limitTop + admin + store + client + originServers + origin + originTransport
    + originHealth + originTLS + originSigning + files + limit + tls + http2 + tokens
    + authenticationService
    + trace + fleet + accessLog
    + site + tlsSite
    + admission(in: .site) + route + limitRoute + admission(in: .route)
    + cache + rules(in: .site) + rules(in: .route)

  private static let second: Int64 = 1_000_000_000
  /// What a timeout may be.
  private static let timeouts: ClosedRange<Int64> = 1_000_000...(24 * 3_600 * second)
  /// What a limit on content may be. Not 0: elsewhere that means no limit, and here it would let
  /// nothing pass.
  private static let contents: ClosedRange<UInt64> = 1...(1_024 << 40)

  private static let topLevel: [Setting] = [
    Setting(
      "listen", in: .top, shape: "ADDRESS [tls] [h2c] [proxy_protocol]", repeatable: true,
      presence: .required, example: "listen :8080;", aliases: ["bind", "port"],
      """
      Where clients connect: a port on every address (`:8080`), or on one (`127.0.0.1:8080`, \
      `[::1]:8080`). Port 0 lets the system pick. With `tls` they speak TLS; with `h2c` HTTP/2 is spoken \
      without it, too, by clients that begin with it. With `proxy_protocol` each connection begins with a \
      PROXY header (version 1 or 2) of a trusted proxy.
      """
    ) { arguments, reader in reader.readListen(&arguments) },
    Setting(
      "workers", in: .top, .count(1...1_024, of: "threads"), none: "auto", isWord: true,
      to: \.node.workers, aliases: ["worker_processes", "threads"],
      "How many threads serve clients; `auto` is one for each processor."),
    accessLogTop, accessLogFormat,
    Setting(
      "drain_timeout", in: .top, .duration(0...(24 * 3_600 * second)), to: \.node.drainTimeout,
      aliases: ["worker_shutdown_timeout", "grace_period"],
      "How long a node that stops waits for requests in flight."),
    Setting(
      "node_name", in: .top, .nodeName, to: \.node.nodeName,
      aliases: ["hostname"],
      "The name of this node in `Via`, `Cache-Status` and `Proxy-Status`."),
    Setting(
      "user", in: .top, .userName, none: "who starts it", to: \.node.user,
      """
      Whom the node runs as, and in which groups, once its listening sockets are open; it must be started \
      as root then. The supervisor stays who starts it.
      """),
    Setting(
      "request_id", in: .top,
      .choice([("off", .off), ("make", .make), ("trusted", .trusted), ("always", .always)]),
      to: \.node.requestIDs, aliases: ["x_request_id", "correlation_id"],
      """
      Calls each request something: `X-Request-Id` goes to the origin and to the client, and the log's line \
      and error pages say it, too. `make`: at random; `trusted`: as a trusted proxy says, else at random; \
      `always`: as the client says, if that is up to 64 letters, digits, `-` and `_`, else at random.
      """),
    Setting(
      "health_paths", in: .top, shape: "LIVE READY [from NETWORK…]",
      aliases: ["health_check", "healthcheck", "status_path", "ping"],
      """
      Two paths that are answered on every listener and for every host: the first with 200 while the node \
      runs, the second with 503 when it is drained or stops (`weir drain`). Behind `from` stand those who \
      may ask; for all others, and without this setting, they are paths as any. Such requests are neither \
      logged nor counted as traffic.
      """
    ) { arguments, reader in reader.readHealthPaths(&arguments) },
    Setting(
      "geo_database", in: .top, .path("FILE", of: "a file"), repeatable: true,
      aliases: ["geoip", "geoip2", "geoip_country", "geo"],
      """
      A database in MaxMind's format that `geo.country` and its like come from: of cities or \
      countries, and one more of networks (ASN).
      """
    ) { path, reader in reader.addGeoDatabase(path) },
    Setting(
      "admin", in: .top, shape: "[ADDRESS|unix:PATH]", body: .optional(.admin),
      """
      The operator's listener, on 127.0.0.1:9090 unless it says otherwise. Without a token it must be on \
      loopback or a unix socket, and only shows.
      """
    ) { arguments, reader in reader.readAdmin(&arguments) },
    Setting(
      "store", in: .top, shape: "DIR", body: .optional(.store),
      aliases: ["proxy_cache_path", "cache_path", "storage"],
      "The directory where responses are kept. Without it nothing is stored."
    ) { arguments, reader in reader.readStore(&arguments) },
    Setting(
      "client", in: .top, shape: "", body: .block(.client), aliases: ["events", "timeouts"],
      "What clients may take, in time and size."
    ) { arguments, reader in reader.readClient(&arguments) },
    Setting(
      "origin", in: .top, shape: "NAME", body: .optional(.origin), repeatable: true,
      aliases: ["upstream", "backend", "pool"],
      "A pool of servers. `origin app 127.0.0.1:9000;` is short for one of that server."
    ) { arguments, reader in reader.readOrigin(&arguments) },
    Setting(
      "limit", in: .top, shape: "NAME", body: .block(.limit), repeatable: true,
      aliases: ["limit_req_zone", "rate_limit", "ratelimit"],
      "A limit on requests. Routes that name the same limit share it."
    ) { arguments, reader in reader.readLimit(&arguments) },
    tokenBlock, authenticationServiceBlock, traceBlock, fleetBlock,
    Setting(
      "site", in: .top, shape: "HOST…", body: .block(.site), repeatable: true,
      aliases: ["server", "server_name", "virtualhost", "vhost", "host", "domain"],
      """
      What is served under one or more names: `example.com`, `*.example.com` for all below, `*` for \
      any. The most specific name wins.
      """
    ) { arguments, reader in reader.readSite(&arguments) },
  ]

  private static let admin: [Setting] = [
    Setting(
      "token", in: .admin, .token, presence: .atMostOne(of: "token"), aliases: ["password", "key"],
      secret: true,
      "The bearer token that purges and changes need; `file:PATH` for one in a file."
    ) { token, reader in reader.draft.admin.token = reader.checkedToken(token) },
    Setting(
      "token_file", in: .admin, .path("FILE", of: "a file"), presence: .atMostOne(of: "token"),
      "A file with the token; better than in a configuration that others can read."
    ) { path, reader in reader.draft.admin.token = reader.token(inFile: path) },
    Setting(
      "tokens", in: .admin, .path("FILE", of: "a file"), aliases: ["token_list", "users"],
      """
      A file of further tokens, each with a name, what it may do and on which sites; only hashes of them. \
      `weir token` adds one. It is read again when it changes.
      """
    ) { path, reader in reader.readAdminTokens(path) },
    Setting(
      "audit_log", in: .admin, .path("FILE", of: "a file"), aliases: ["audit"],
      "A file to which every change is written as a line of JSON: who, what, when, and what came of it."
    ) { path, reader in reader.draft.admin.auditLog = reader.resolve(path.value) },
    Setting(
      "certificate", in: .admin, shape: "FILE key FILE", aliases: ["tls", "ssl_certificate"],
      """
      The listener speaks TLS and shows this certificate, with its chain, of that private key (PEM, without a \
      password). Read again when it changes.
      """
    ) { arguments, reader in reader.readAdminCertificate(&arguments) },
    Setting(
      "mode", in: .admin, .fileMode, to: \.admin.socketMode, aliases: ["permissions", "chmod"],
      "Who of this machine may connect to a unix socket: the mode of its file."),
  ]

  private static let store: [Setting] = [
    Setting(
      "size", in: .store, .size(1 << 20...64 << 40), to: \.store.size, aliases: ["max_size"],
      "The most bytes that stored responses may use."),
    Setting(
      "max_object", in: .store, .size(1...64 << 40), to: \.store.maxObject,
      aliases: ["max_object_size"],
      "The largest content that is stored; never more than half of `size`."),
    Setting(
      "memory", in: .store, .size(1...64 << 40), none: "the machine's", to: \.store.memory,
      """
      How much memory the kernel may keep stored responses in. In a store larger than that, what is \
      not in memory is read by a helper thread.
      """),
  ]

  private static let client: [Setting] = [
    Setting(
      "header_timeout", in: .client, .duration(timeouts), to: \.node.client.headerTimeout,
      aliases: ["client_header_timeout", "read_header_timeout"],
      "How long the head of a request may take from its first byte, or from the connection's start."
    ),
    Setting(
      "body_timeout", in: .client, .duration(timeouts), to: \.node.client.bodyTimeout,
      aliases: ["client_body_timeout"],
      "The longest pause while a client sends content."),
    Setting(
      "idle_timeout", in: .client, .duration(timeouts), to: \.node.client.idleTimeout,
      aliases: ["keepalive_timeout"],
      "How long a connection may wait for its next request."),
    Setting(
      "write_timeout", in: .client, .duration(timeouts), to: \.node.client.writeTimeout,
      aliases: ["send_timeout"],
      "The longest pause while a client takes a response."),
    Setting(
      "max_request_line", in: .client, .size(64...1 << 20), to: \.node.client.maxRequestLine,
      "The longest request line; a longer one is answered with 414."),
    Setting(
      "max_header", in: .client, .size(256...1 << 20), to: \.node.client.maxHeader,
      aliases: ["large_client_header_buffers", "client_header_buffer_size", "max_header_size"],
      "The largest head of a request; a larger one is answered with 431."),
    Setting(
      "max_fields", in: .client, .count(1...10_000, of: "field lines"),
      to: \.node.client.maxFields, aliases: ["max_headers"],
      "The most field lines of a head; more are answered with 431."),
    Setting(
      "max_body", in: .client, .size(contents), to: \.node.client.maxBody,
      aliases: ["client_max_body_size", "max_size"],
      "The largest content of a request; a larger one is answered with 413."),
    Setting(
      "max_connections", in: .client, .count(1...10_000_000, of: "connections"),
      to: \.node.client.maxConnections, aliases: ["worker_connections", "maxconn"],
      "The most client connections of the node; further ones are closed at once."),
  ]

  private static let origin: [Setting] = [
    Setting(
      "connect_timeout", in: .origin, .duration(timeouts), to: \.origin.connectTimeout,
      aliases: ["proxy_connect_timeout", "dial_timeout"],
      "How long it may take until a connection is open."),
    Setting(
      "first_byte_timeout", in: .origin, .duration(timeouts), to: \.origin.firstByteTimeout,
      aliases: ["proxy_read_timeout", "response_header_timeout", "read_timeout"],
      "How long the head of a response may take from the end of the request."),
    Setting(
      "between_bytes_timeout", in: .origin, .duration(timeouts), to: \.origin.betweenBytesTimeout,
      aliases: ["proxy_send_timeout"],
      "The longest pause in the content of a response or, sending, of a request."),
    Setting(
      "keepalive", in: .origin, .count(0...100_000, of: "connections"), to: \.origin.keepalive,
      aliases: ["keepalive_connections", "max_idle"],
      "The most idle connections that each worker keeps to each server; 0 keeps none."),
    Setting(
      "keepalive_timeout", in: .origin, .duration(timeouts), to: \.origin.keepaliveTimeout,
      "How long an idle connection is kept. It should be shorter than the server's own."),
    Setting(
      "host", in: .origin, .hostField, none: "the client's", to: \.origin.hostField,
      aliases: ["proxy_set_header", "header_up", "host_header"],
      "What `Host` says to the servers."),
    Setting(
      "max_header", in: .origin, .size(256...1 << 20), to: \.origin.maxHeader,
      aliases: ["proxy_buffer_size"],
      "The largest head of a response; a larger one is a failure of the origin."),
  ]

  private static let site: [Setting] = [
    Setting(
      "origin", in: .site, .name, presence: .atMostOne(of: "origin"),
      aliases: ["proxy_pass", "reverse_proxy", "upstream"],
      "The origin of those routes that name none. A site without routes has one for `/`."
    ) { name, reader in reader.setSiteOrigin(name) },
    siteFiles,
    errorPage(in: .site), accessLogSite, serverTiming(in: .site),
    Setting(
      "purge", in: .site, .flag, to: \.sitePurges, aliases: ["purge_method", "proxy_cache_purge"],
      """
      Whether a `PURGE` request purges its URL, or the tags that it names, within this site: for who shows \
      a token that may (docs/admin.md). Else it is passed on.
      """),
    Setting(
      "purge_from", in: .site, shape: "FILE|NETWORK…", repeatable: true, aliases: ["purge_allow"],
      "Clients of these addresses and networks may `PURGE` without a token."
    ) { arguments, reader in reader.readAccess(&arguments, \.purgers, in: .site) },
    Setting(
      "route", in: .site, shape: "[=] PATH", body: .optional(.route), repeatable: true,
      aliases: ["location", "handle", "handle_path", "path"],
      """
      What happens to requests whose path begins with PATH or, with `=`, is PATH. An exact path wins \
      over all others, then the longest.
      """
    ) { arguments, reader in reader.readRoute(&arguments) },
  ]

  private static let route: [Setting] = [
    Setting(
      "origin", in: .route, .name, default: "the site's", presence: .atMostOne(of: "origin"),
      aliases: ["proxy_pass", "reverse_proxy", "upstream"],
      "The origin that answers what is not stored."
    ) { name, reader in reader.setRouteOrigin(name) },
    routeFiles,
    errorPage(in: .route), serverTiming(in: .route),
    Setting(
      "cache", in: .route, shape: "[on|off]", body: .optional(.cache), default: "on",
      aliases: ["proxy_cache"],
      "Whether responses are stored and reused, and how."
    ) { arguments, reader in reader.readCache(&arguments) },
    Setting(
      "upgrade", in: .route, .flag, to: \.route.upgrade, aliases: ["websocket", "websockets"],
      "Whether a connection may become another protocol's, such as WebSocket."),
    Setting(
      "expose_tags", in: .route, .flag, to: \.route.exposeTags,
      "Whether clients see `Surrogate-Key`, `Cache-Tag` and `xkey`."),
    Setting(
      "max_body", in: .route, .size(contents), none: "the client block's",
      to: \.route.maxBody, aliases: ["client_max_body_size", "max_size"],
      "The largest content of a request here; a larger one is answered with 413."),
  ]
}
