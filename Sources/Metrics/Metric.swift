// The table of everything that /metrics shows. HELP and TYPE lines, the table in docs/metrics.md and
// `weir metrics` come from it; a test fails when the document and the table differ. A new figure is
// a new case here, with its line in the table below.

/// A family of figures on /metrics.
package enum Metric: Int, CaseIterable, Sendable {
  // The node.
  case info, startTime, workers, loopTurns, loopEvents, loopTurn
  case configGeneration, configGenerations, configReloads, ready
  // Clients.
  case connections, connectionsAccepted, connectionsRefused, connectionsLimited, acceptErrors,
    receivedBytes, sentBytes
  case clientTimeouts, clientAborts, tunnels, tunnelsOpened
  // TLS and HTTP/2.
  case handshakes, earlyData, earlyRequests, connectionsByVersion, connectionsByProtocol
  case http2Failures
  // Requests.
  case requests, requestsRejected, requestsLimited, requestsShed, responseBytes
  case requestsSwitchedOff, healthChecks
  case storedBytes, routeOriginBytes, requestDuration, routeDuration
  // Origins.
  case originConnections, originConnectionsOpened, originConnectionsReused, originRequests
  case originRetries, originErrors, originReceivedBytes, originSentBytes, originTLSHandshakes
  // Servers of origins, and origins as a whole.
  case originServerState, originServerInFlight, originServerRequests, originServerFailures
  case originServerLatency, originServerConnect, originServerFirstByte, originServerEjections,
    originServerBreakerOpenings, originServerChecks
  case originInFlight, originWaiting, originPoolRetries, originHedges, originRetriesRefused
  case originMisses, originMissesWaiting, missesDelayed, validationsDelayed
  case originRefused, originPanics, originBreakerOpen
  // The cache.
  case fills, fillsActive, fillsCollapsed, fillsOverdue, fillsFailed, revalidations, hitForMiss
  case coldReads
  // The store.
  case storeObjects, storeBytes, storeLimitBytes, storeEvictions, storeExpired, storeStored
  case storeRefused, storeCommits, storeCommitSeconds, storeErrors
  // Purges.
  case purges, purgedObjects, purgesPending
  // The fleet.
  case fleetInStep, fleetConnected, fleetConnections, fleetApplied, fleetAppended, fleetWaiting
  case fleetLimitsConnected, fleetLimitsPops, fleetLimitsTold, fleetLimitsUnheard
  case fleetBacklog, fleetLosses, fleetDelay
  // Limits.
  case limitDecisions, limitKeys, limitBytes, limitWaiting, limitShare, limitLeased, limitAdvanced
  // The access log.
  case logLines, logDropped, logWriteErrors
  // Traces.
  case tracesExported, tracesDropped, traceExportErrors
}

/// What kind of figure it is, in the words of the exposition format.
package enum MetricKind: String, Sendable {
  /// Only grows, from 0 at the node's start.
  case counter
  /// Goes up and down.
  case gauge
  /// Counts by upper bound, with sum and count.
  case histogram
}

/// A line of the table.
package struct MetricDescriptor: Sendable {
  /// The name, in Prometheus' conventions (unit last, `_total` for counters).
  package let name: String
  /// The kind.
  package let kind: MetricKind
  /// The base unit.
  package let unit: String
  /// The names of the labels, in order.
  package let labels: [String]
  /// What it says, in one line.
  package let help: String

  init(
    _ name: String, _ kind: MetricKind, _ unit: String, _ labels: [String] = [], _ help: String
  ) {
    self.name = name
    self.kind = kind
    self.unit = unit
    self.labels = labels
    self.help = help
  }
}

extension Metric {
  /// The family's line of the table.
  package var descriptor: MetricDescriptor { Self.table[rawValue] }

  private static let table: [MetricDescriptor] = allCases.map(\.line)

  private var line: MetricDescriptor {
    switch self {
    case .info, .startTime, .workers, .loopTurns, .loopEvents, .loopTurn, .configGeneration,
      .configGenerations, .configReloads, .ready:
      nodeLine
    case .connections, .connectionsAccepted, .connectionsRefused, .connectionsLimited,
      .acceptErrors, .receivedBytes, .sentBytes, .clientTimeouts, .clientAborts, .tunnels,
      .tunnelsOpened:
      clientLine
    case .handshakes, .earlyData, .earlyRequests, .connectionsByVersion, .connectionsByProtocol,
      .http2Failures:
      secureLine
    case .requests, .requestsRejected, .requestsLimited, .requestsShed, .responseBytes,
      .storedBytes, .routeOriginBytes, .requestDuration, .routeDuration, .requestsSwitchedOff,
      .healthChecks:
      requestLine
    case .originConnections, .originConnectionsOpened, .originConnectionsReused, .originRequests,
      .originRetries, .originErrors, .originReceivedBytes, .originSentBytes, .originTLSHandshakes:
      originLine
    case .originServerState, .originServerInFlight, .originServerRequests, .originServerFailures,
      .originServerLatency, .originServerConnect, .originServerFirstByte, .originServerEjections,
      .originServerBreakerOpenings, .originServerChecks:
      serverLine
    case .originInFlight, .originWaiting, .originPoolRetries, .originHedges, .originRetriesRefused,
      .originRefused, .originPanics, .originBreakerOpen, .originMisses, .originMissesWaiting:
      poolLine
    case .fills, .fillsActive, .fillsCollapsed, .fillsOverdue, .fillsFailed, .revalidations,
      .hitForMiss, .coldReads, .missesDelayed, .validationsDelayed:
      cacheLine
    case .storeObjects, .storeBytes, .storeLimitBytes, .storeEvictions, .storeExpired, .storeStored,
      .storeRefused, .storeCommits, .storeCommitSeconds, .storeErrors:
      storeLine
    case .fleetInStep, .fleetConnected, .fleetConnections, .fleetApplied, .fleetAppended,
      .fleetWaiting, .fleetBacklog, .fleetLosses, .fleetDelay, .fleetLimitsConnected,
      .fleetLimitsPops, .fleetLimitsTold, .fleetLimitsUnheard:
      fleetLine
    case .purges, .purgedObjects, .purgesPending, .limitDecisions, .limitKeys, .limitBytes,
      .limitWaiting, .limitShare, .limitLeased, .limitAdvanced,
      .logLines, .logDropped,
      .logWriteErrors, .tracesExported, .tracesDropped, .traceExportErrors:
      operationLine
    }
  }

  private typealias Line = MetricDescriptor

  private var nodeLine: MetricDescriptor {
    switch self {
    case .info:
      Line("weir_info", .gauge, "", ["version"], "Always 1; the label says which version runs.")
    case .startTime:
      Line("weir_start_time_seconds", .gauge, "seconds", [], "When the node started, Unix time.")
    case .workers: Line("weir_workers", .gauge, "threads", [], "Worker threads.")
    case .configGeneration:
      Line(
        "weir_config_generation", .gauge, "", [],
        "The configuration in force: 1 at the start, one more with each reload.")
    case .configGenerations:
      Line(
        "weir_config_generations", .gauge, "generations", [],
        "Configurations that requests are under: 1 when none is under an earlier one any more.")
    case .configReloads:
      Line(
        "weir_config_reloads_total", .counter, "reloads", ["result"],
        "Reloads and rollbacks: `done`, or `refused`, which changed nothing.")
    case .ready:
      Line(
        "weir_ready", .gauge, "", [],
        "1 while the node is to be sent clients, 0 while it is drained (`weir drain`).")
    case .loopTurns:
      Line("weir_loop_turns_total", .counter, "turns", [], "Turns of the workers' event loops.")
    case .loopTurn:
      Line(
        "weir_loop_turn_seconds", .histogram, "seconds", ["worker"],
        "How long a worker's turns took: so long whatever else was there had to wait.")
    default:
      Line(
        "weir_loop_events_total", .counter, "events", [],
        "Events that the kernel reported to the workers' event loops.")
    }
  }

  private var clientLine: MetricDescriptor {
    switch self {
    case .connections:
      Line("weir_connections", .gauge, "connections", [], "Client connections that are open.")
    case .connectionsAccepted:
      Line(
        "weir_connections_accepted_total", .counter, "connections", [],
        "Client connections accepted.")
    case .connectionsRefused:
      Line(
        "weir_connections_refused_total", .counter, "connections", [],
        "Client connections closed at once because max_connections were open.")
    case .connectionsLimited:
      Line(
        "weir_connections_limited_total", .counter, "connections", [],
        "Client connections closed at once by a limit on new connections.")
    case .acceptErrors:
      Line(
        "weir_accept_errors_total", .counter, "errors", [],
        "Failed accepts, such as for want of descriptors.")
    case .receivedBytes:
      Line("weir_received_bytes_total", .counter, "bytes", [], "Bytes received from clients.")
    case .sentBytes: Line("weir_sent_bytes_total", .counter, "bytes", [], "Bytes sent to clients.")
    case .clientTimeouts:
      Line(
        "weir_client_timeouts_total", .counter, "connections", ["phase"],
        "Client connections closed because a head, content or a write took too long.")
    case .clientAborts:
      Line(
        "weir_client_aborts_total", .counter, "requests", [],
        "Requests whose client left before its response was complete.")
    case .tunnels:
      Line("weir_tunnels", .gauge, "connections", [], "Upgraded connections that are open.")
    default:
      Line("weir_tunnels_opened_total", .counter, "connections", [], "Connections upgraded.")
    }
  }

  private var secureLine: MetricDescriptor {
    switch self {
    case .handshakes:
      Line(
        "weir_tls_handshakes_total", .counter, "handshakes", ["outcome"],
        "Handshakes of clients: full, resumed, or failed.")
    case .earlyData:
      Line(
        "weir_tls_early_data_total", .counter, "connections", ["outcome"],
        "Connections whose early data was taken, or refused: old, a replay, or another host's.")
    case .earlyRequests:
      Line(
        "weir_tls_early_requests_total", .counter, "requests", ["outcome"],
        "Requests before their handshake's end: answered from the store, or waited for it.")
    case .connectionsByVersion:
      Line(
        "weir_tls_connections_total", .counter, "connections", ["version"],
        "Client connections with TLS, by its version.")
    case .http2Failures:
      Line(
        "weir_http2_connections_failed_total", .counter, "connections", ["reason"],
        "HTTP/2 connections that the node ended, by what the client did.")
    default:
      Line(
        "weir_tls_protocols_total", .counter, "connections", ["protocol"],
        "Client connections with TLS, by the protocol that ALPN chose.")
    }
  }

  private var requestLine: MetricDescriptor {
    switch self {
    case .requests:
      Line(
        "weir_requests_total", .counter, "requests", ["route", "status", "cache"],
        "Requests answered, by route, status code and what the cache did.")
    case .requestsRejected:
      Line(
        "weir_requests_rejected_total", .counter, "requests", [],
        "Requests that are not valid HTTP, or over a limit of size; answered 4xx or 5xx and closed."
      )
    case .requestsLimited:
      Line(
        "weir_requests_limited_total", .counter, "requests", [],
        "Requests refused by a rate limit (429).")
    case .requestsShed:
      Line(
        "weir_requests_shed_total", .counter, "requests", [],
        "Requests refused because their worker was behind (503).")
    case .requestsSwitchedOff:
      Line(
        "weir_requests_switched_off_total", .counter, "requests", ["switch"],
        "Requests refused by what an operator has switched: `maintenance` (503), `store_only` (504)."
      )
    case .healthChecks:
      Line(
        "weir_health_checks_total", .counter, "requests", [],
        "Requests for the paths of `health_paths`, which are counted nowhere else.")
    case .responseBytes:
      Line(
        "weir_response_bytes_total", .counter, "bytes", ["route"],
        "Bytes of content sent to clients, by route.")
    case .storedBytes:
      Line(
        "weir_response_stored_bytes_total", .counter, "bytes", ["route"],
        "Of the bytes of responses, those of stored ones: their share is the hit ratio by bytes.")
    case .routeOriginBytes:
      Line(
        "weir_route_origin_bytes_total", .counter, "bytes", ["route"],
        "Bytes received from origins, by the route that asked.")
    case .routeDuration:
      Line(
        "weir_route_duration_seconds", .histogram, "seconds", ["route"],
        "From a request's first byte to its response's last, by route.")
    default:
      Line(
        "weir_request_duration_seconds", .histogram, "seconds", ["cache"],
        "From a request's first byte to its response's last, by what the cache did.")
    }
  }

  private var originLine: MetricDescriptor {
    switch self {
    case .originConnections:
      Line("weir_origin_connections", .gauge, "connections", [], "Open connections to origins.")
    case .originConnectionsOpened:
      Line(
        "weir_origin_connections_opened_total", .counter, "connections", [],
        "Connections to origins opened.")
    case .originConnectionsReused:
      Line(
        "weir_origin_connections_reused_total", .counter, "requests", [],
        "Requests sent over a connection kept from an earlier one.")
    case .originRequests:
      Line("weir_origin_requests_total", .counter, "requests", [], "Requests sent to origins.")
    case .originRetries:
      Line(
        "weir_origin_retries_total", .counter, "requests", [],
        "Requests sent again, to another server or on a fresh connection.")
    case .originErrors:
      Line(
        "weir_origin_errors_total", .counter, "requests", ["kind"],
        "Requests to origins that failed: no connection, too slow, cut off, not valid HTTP.")
    case .originTLSHandshakes:
      Line(
        "weir_origin_tls_handshakes_total", .counter, "handshakes", ["kind"],
        "TLS handshakes with servers of origins: begun, and of these resumed and failed.")
    case .originReceivedBytes:
      Line(
        "weir_origin_received_bytes_total", .counter, "bytes", [], "Bytes received from origins.")
    default: Line("weir_origin_sent_bytes_total", .counter, "bytes", [], "Bytes sent to origins.")
    }
  }

  private var serverLine: MetricDescriptor {
    let labels = ["origin", "server"]
    return switch self {
    case .originServerState:
      Line(
        "weir_origin_server_state", .gauge, "", labels + ["state"],
        "1 for the state that a server is in; it gets requests if that is up, half_open or resting."
      )
    case .originServerInFlight:
      Line(
        "weir_origin_server_in_flight", .gauge, "requests", labels,
        "Requests under way to a server, of all workers.")
    case .originServerRequests:
      Line(
        "weir_origin_server_requests_total", .counter, "requests", labels,
        "Requests that a server has answered or failed.")
    case .originServerFailures:
      Line(
        "weir_origin_server_failures_total", .counter, "requests", labels,
        "Of these, those that count against it: no answer, or a failure_status.")
    case .originServerLatency:
      Line(
        "weir_origin_server_latency_seconds", .gauge, "seconds", labels,
        "How long a server takes to the head of its response: a moving average that rises at once.")
    case .originServerConnect:
      Line(
        "weir_origin_server_connect_seconds", .histogram, "seconds", labels,
        "How long connections to a server took to be made, TLS included.")
    case .originServerFirstByte:
      Line(
        "weir_origin_server_first_byte_seconds", .histogram, "seconds", labels,
        "From a try's begin at a server to the head of its response, of those that were answered.")
    case .originServerEjections:
      Line(
        "weir_origin_server_ejections_total", .counter, "ejections", labels,
        "How often a server was taken out for what clients' requests met.")
    case .originServerBreakerOpenings:
      Line(
        "weir_origin_server_breaker_openings_total", .counter, "openings", labels,
        "How often a server's breaker opened.")
    default:
      Line(
        "weir_origin_server_checks_total", .counter, "checks", labels + ["result"],
        "Health checks of a server: passed or failed.")
    }
  }

  private var poolLine: MetricDescriptor {
    let labels = ["origin"]
    return switch self {
    case .originInFlight:
      Line(
        "weir_origin_in_flight", .gauge, "requests", labels,
        "Requests under way to an origin, of all workers.")
    case .originWaiting:
      Line(
        "weir_origin_waiting", .gauge, "requests", labels,
        "Requests that wait for a place at a server.")
    case .originMisses:
      Line(
        "weir_origin_misses_in_flight", .gauge, "requests", labels,
        "Requests under way whose answers are for the store, and that `max_misses` counts.")
    case .originMissesWaiting:
      Line(
        "weir_origin_misses_waiting", .gauge, "requests", labels,
        "Requests that wait because `max_misses` are under way.")
    case .originPoolRetries:
      Line(
        "weir_origin_further_tries_total", .counter, "requests", labels,
        "Tries after the first of an origin's requests.")
    case .originHedges:
      Line(
        "weir_origin_hedges_total", .counter, "requests", labels,
        "Second tries sent beside a slow first one.")
    case .originRetriesRefused:
      Line(
        "weir_origin_tries_refused_total", .counter, "requests", labels,
        "Further tries that were not made because the retry budget was spent.")
    case .originRefused:
      Line(
        "weir_origin_refused_total", .counter, "requests", labels + ["reason"],
        "Requests for which there was no server: no_server (all taken out by an operator), breaker, "
          + "full, or queue (waited in vain).")
    case .originPanics:
      Line(
        "weir_origin_panics_total", .counter, "requests", labels,
        "Requests sent to any server because too few were healthy.")
    default:
      Line(
        "weir_origin_breaker_open", .gauge, "", labels,
        "Whether an origin's breaker lets nothing pass (1), or a few (0.5).")
    }
  }

  private var cacheLine: MetricDescriptor {
    switch self {
    case .fills:
      Line("weir_fills_total", .counter, "fills", [], "Fetches from an origin for the cache begun.")
    case .fillsActive: Line("weir_fills_active", .gauge, "fills", [], "Fetches under way.")
    case .fillsCollapsed:
      Line(
        "weir_fills_collapsed_total", .counter, "requests", [],
        "Requests that joined another's fetch instead of starting one.")
    case .fillsOverdue:
      Line(
        "weir_fills_overdue_total", .counter, "requests", [],
        "Requests that waited `collapse_timeout` for another's fetch and began again.")
    case .fillsFailed:
      Line("weir_fills_failed_total", .counter, "fills", [], "Fetches that did not complete.")
    case .revalidations:
      Line(
        "weir_revalidations_total", .counter, "requests", ["outcome"],
        "Stored responses validated with their origin: not_modified or replaced.")
    case .missesDelayed:
      Line(
        "weir_misses_delayed_total", .counter, "requests", [],
        "Misses that had to wait for others (`max_misses`).")
    case .validationsDelayed:
      Line(
        "weir_validations_delayed_total", .counter, "requests", [],
        "Validations that took turns because all that was stored had become stale (`validation_rate`)."
      )
    case .coldReads:
      Line(
        "weir_cold_reads_total", .counter, "reads", [],
        "Reads of stored responses that a helper thread made because memory did not have them.")
    default:
      Line(
        "weir_hit_for_miss_total", .counter, "requests", [],
        "Requests forwarded alone because the response is known not to be storable.")
    }
  }

  private var storeLine: MetricDescriptor {
    switch self {
    case .storeObjects:
      Line("weir_store_objects", .gauge, "responses", [], "Stored responses.")
    case .storeBytes: Line("weir_store_bytes", .gauge, "bytes", [], "Bytes the store uses.")
    case .storeLimitBytes:
      Line("weir_store_limit_bytes", .gauge, "bytes", [], "Bytes the store may use.")
    case .storeEvictions:
      Line(
        "weir_store_evictions_total", .counter, "responses", [],
        "Stored responses removed to make room.")
    case .storeExpired:
      Line(
        "weir_store_expired_total", .counter, "responses", [],
        "Stored responses removed because nothing may use them any more.")
    case .storeStored:
      Line("weir_store_stored_total", .counter, "responses", [], "Responses stored.")
    case .storeRefused:
      Line(
        "weir_store_refused_total", .counter, "responses", [],
        "Responses not stored because the store had no room or was behind.")
    case .storeCommits:
      Line("weir_store_commits_total", .counter, "commits", [], "Groups of changes made durable.")
    case .storeCommitSeconds:
      Line(
        "weir_store_commit_seconds_total", .counter, "seconds", [],
        "Time spent making changes durable.")
    default:
      Line(
        "weir_store_errors_total", .counter, "errors", [],
        "Reads and writes of the store that failed, damaged records included.")
    }
  }

  private var fleetLine: MetricDescriptor {
    switch self {
    case .fleetInStep:
      Line(
        "weir_fleet_in_step", .gauge, "", [],
        "Whether all purges that the fleet's log has are in force here.")
    case .fleetConnected:
      Line("weir_fleet_connected", .gauge, "", [], "Whether there is a connection to the engine.")
    case .fleetConnections:
      Line(
        "weir_fleet_connections_total", .counter, "connections", [],
        "Connections to the engine that the log was read from.")
    case .fleetApplied:
      Line(
        "weir_fleet_purges_applied_total", .counter, "purges", [],
        "Purges of other PoPs that were applied here.")
    case .fleetAppended:
      Line(
        "weir_fleet_purges_appended_total", .counter, "purges", [],
        "Own purges that were appended to the fleet's log, repeats included.")
    case .fleetWaiting:
      Line(
        "weir_fleet_purges_waiting", .gauge, "purges", [],
        "Own purges that the fleet's log may lack.")
    case .fleetBacklog:
      Line(
        "weir_fleet_backlog", .gauge, "purges", [],
        "Purges that were read from the log and are not in force yet.")
    case .fleetLimitsConnected:
      Line(
        "weir_fleet_limits_connected", .gauge, "", [],
        "Whether the engine of the region's limits answers; without it each limit's `when_down` counts."
      )
    case .fleetLimitsPops:
      Line(
        "weir_fleet_limits_pops", .gauge, "PoPs", [],
        "PoPs that share the region's limits, this one included.")
    case .fleetLimitsTold:
      Line(
        "weir_fleet_limits_told_total", .counter, "keys", [],
        "Keys of the region's limits that the engine was told of, or asked for.")
    case .fleetLimitsUnheard:
      Line(
        "weir_fleet_limits_unheard_total", .counter, "keys", [],
        "Of those, the ones to which no answer came.")
    case .fleetLosses:
      Line(
        "weir_fleet_losses_total", .counter, "losses", ["reason"],
        "How often everything stored had to count as purged: `joined`, `replaced`, `trimmed`, `parted`."
      )
    default:
      Line(
        "weir_fleet_purge_delay_seconds", .histogram, "seconds", [],
        "From a purge's place in the log, by the engine's clock, until it was in force here.")
    }
  }

  private var operationLine: MetricDescriptor {
    switch self {
    case .purges:
      Line("weir_purges_total", .counter, "purges", ["kind"], "Purges taken, by what they name.")
    case .purgedObjects:
      Line(
        "weir_purged_objects_total", .counter, "responses", [],
        "Stored responses that purges made unusable.")
    case .purgesPending:
      Line(
        "weir_purges_pending", .gauge, "purges", [],
        "Purges in force whose objects are not all removed from the store yet.")
    case .limitDecisions:
      Line(
        "weir_limit_decisions_total", .counter, "requests", ["limit", "decision"],
        "What a limit has decided: allowed, delayed, rejected, or shadowed (it only counts).")
    case .limitWaiting:
      Line(
        "weir_limit_waiting", .gauge, "requests", ["limit"],
        "Requests that wait for their turn at a limit.")
    case .limitShare:
      Line(
        "weir_limit_share_percent", .gauge, "percent", ["limit"],
        "The part of a budget of the region that is this PoP's own, before and without leases.")
    case .limitLeased:
      Line(
        "weir_limit_leased_total", .counter, "requests", ["limit"],
        "What the region's engine has leased to this PoP, at a limit of the region.")
    case .limitAdvanced:
      Line(
        "weir_limit_advanced_total", .counter, "requests", ["limit"],
        "What this PoP has let pass of its own share, and told afterwards.")
    case .limitKeys:
      Line("weir_limit_keys", .gauge, "keys", ["limit"], "Keys that a limit remembers.")
    case .limitBytes:
      Line("weir_limit_bytes", .gauge, "bytes", ["limit"], "Memory of a limit's table.")
    case .logLines: Line("weir_log_lines_total", .counter, "lines", [], "Access log lines written.")
    case .logDropped:
      Line(
        "weir_log_dropped_total", .counter, "lines", ["reason"],
        "Access log lines lost: full (the writer was behind) or write (the file took no more).")
    case .logWriteErrors:
      Line(
        "weir_log_write_errors_total", .counter, "errors", [],
        "Writes of the access log that failed.")
    case .tracesExported:
      Line(
        "weir_traces_exported_total", .counter, "requests", [],
        "Traced requests that the collector has taken.")
    case .tracesDropped:
      Line(
        "weir_traces_dropped_total", .counter, "requests", [],
        "Traced requests lost: the collector did not take them, or too many were waiting.")
    default:
      Line(
        "weir_trace_export_errors_total", .counter, "exports", [],
        "Exports of traces that failed.")
    }
  }
}

extension Metric {
  /// The table as Markdown, as it stands in docs/metrics.md.
  package static var documentation: String {
    var text = "| name | type | unit | labels | meaning |\n|---|---|---|---|---|\n"
    for descriptor in allCases.map(\.descriptor) {
      let labels = descriptor.labels.map { "`\($0)`" }.joined(separator: ", ")
      text += "| `\(descriptor.name)` | \(descriptor.kind.rawValue) | \(descriptor.unit) "
      text += "| \(labels) | \(descriptor.help) |\n"
    }
    return text
  }
}
