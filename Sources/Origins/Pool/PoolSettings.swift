// What a pool goes by: plain values. The configuration's model is turned into these once; everything
// in this module reads them and nothing else, so that each part can be tested without a file.
//
// Durations are nanoseconds.

package import Configuration

/// Where a server listens.
package enum ServerLocation: Sendable, Hashable {
  /// A numeric address or a name to resolve, and a port.
  case host(String, port: UInt16)
  /// A unix socket's path.
  case unix(String)

  /// `host:port` or `unix:path`: the server's name in reports, and what a reload matches it by.
  package var name: String {
    switch self {
    case .host(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    case .unix(let path): "unix:\(path)"
    }
  }
}

/// One server of a pool.
package struct ServerSettings: Sendable, Equatable {
  /// Where it is.
  package var location: ServerLocation
  /// Its share of the requests; 1 to 65,535.
  package var weight = 1
  /// Servers of the lowest priority number that has any left are used; 0 to 254.
  package var priority = 0
  /// Used only when no server that is not a backup is left, whatever its priority.
  package var isBackup = false
  /// The most requests under way to it, of all workers; nil: no limit.
  package var maxConnections: Int?

  /// A server.
  package init(_ location: ServerLocation) { self.location = location }

  /// Backups come after every priority.
  var tier: Int { isBackup ? 256 + min(max(priority, 0), 254) : min(max(priority, 0), 254) }
}

/// How a pool chooses a server.
package enum Balancing: Sendable, Equatable {
  /// In turn, smoothly by weight.
  case roundRobin
  /// The fewest requests under way, for its weight.
  case leastConnections
  /// Two at random; of them the one with the lower expected time (peak EWMA).
  case leastTime
  /// In turn, by weight and by what each server says it has left.
  case leastLoad
  /// By the client's address; a server that comes or goes moves only its share.
  case clientHash
  /// By a hash of the request (its cache key, or an expression). No server gets more than
  /// `bound` percent of its fair share of what is under way (at least 100; nil: no bound).
  case keyHash(bound: Int?)
  /// Two at random; of them the one with fewer requests under way.
  case twoChoices
}

/// `health GET /health every=1s …`
package struct HealthCheckSettings: Sendable, Equatable {
  /// The path asked for with GET; nil: an open connection is enough.
  package var path: String? = "/"
  /// What `Host` says; nil: the pool's, or the server's name.
  package var host: String?
  /// From one check's start to the next one's.
  package var interval: Int64 = 1_000_000_000
  /// For the whole check.
  package var timeout: Int64 = 500_000_000
  /// Statuses that are healthy.
  package var statuses: [ClosedRange<UInt16>] = [200...299]
  /// What the content's first 64 KiB must contain; nil: anything.
  package var body: String?
  /// So many failed checks in a row take a server out; at least 1.
  package var fall = 2
  /// So many passed ones in a row bring it back; at least 1.
  package var rise = 2

  /// The defaults.
  package init() {}
}

/// Which servers are taken out for what clients' requests met.
package struct OutlierSettings: Sendable, Equatable {
  /// So many failures in a row eject; 0: never.
  package var consecutiveFailures = 5
  /// The share of failures in a window that ejects, in percent; 0: never.
  package var failurePercent = 50
  /// So many times the median of the servers' mean latencies ejects; 0: never.
  package var latencyFactor = 0
  /// A window's length.
  package var window: Int64 = 10_000_000_000
  /// Requests that a server must have had in a window to be judged by it.
  package var minimumRequests = 20
  /// The first ejection's length; each further one is twice as long.
  package var ejection: Int64 = 30_000_000_000
  /// The longest ejection.
  package var longestEjection: Int64 = 300_000_000_000
  /// The most servers that may be ejected at a time, in percent; one may always be if there are two.
  package var maxEjectedPercent = 50

  /// The defaults.
  package init() {}
}

/// When a server or a pool is spared.
package struct BreakerSettings: Sendable, Equatable {
  /// The share of failures in a window that opens it, in percent; 0: never.
  package var failurePercent = 50
  /// Requests in a window before it may open; at least 1.
  package var minimumRequests = 20
  /// A window's length, in whole seconds; at least 1.
  package var windowSeconds = 10
  /// How long it stays open the first time; twice as long each further time.
  package var open: Int64 = 2_000_000_000
  /// The longest it stays open.
  package var longestOpen: Int64 = 60_000_000_000
  /// Requests that try a half-open one at a time, and that must succeed to close it; 1 to 255.
  package var probes = 3

  /// The defaults.
  package init() {}
}

/// When a request is tried again.
package struct RetrySettings: Sendable, Equatable {
  /// The most tries after the first.
  package var limit = 2
  /// Tries after the first, as a share of requests, in percent. This and `reserve` are all the extra
  /// load that retries and hedges together can make.
  package var budgetPercent = 15
  /// Tries that a pool may have in hand: what it begins with, and the most it saves up.
  package var reserve = 20
  /// The longest first pause; doubled each time. The pause itself is drawn from zero to that.
  package var backoff: Int64 = 25_000_000
  /// The longest pause.
  package var longestBackoff: Int64 = 1_000_000_000
  /// For each try up to the response's head; nil: the pool's timeouts alone.
  package var perTry: Int64?
  /// For all tries together, up to the response's head.
  package var overall: Int64 = 30_000_000_000
  /// Response statuses that are worth another try.
  package var statuses: [UInt16] = [502, 503, 504]
  /// Whether a second try is sent while the first has not answered for longer than 95 % of answers take.
  package var hedges = false

  /// The defaults.
  package init() {}
}

/// A pool.
package struct PoolSettings: Sendable, Equatable {
  /// Its name, which a reload matches it by.
  package var name: String
  /// Its servers: at least 1, and at most `ServerSet.capacity` are used.
  package var servers: [ServerSettings] = []
  /// How one is chosen.
  package var balancing = Balancing.roundRobin
  /// The most requests under way to all servers, of all workers; nil: no limit.
  package var maxConnections: Int?
  /// The most requests that wait for a connection; 0: none may.
  package var queueLimit = 0
  /// How long one waits.
  package var queueTimeout: Int64 = 1_000_000_000
  /// How long a returning server takes to its whole share; 0: none.
  package var slowStart: Int64 = 0
  /// Below this percentage of healthy servers all are used (panic); 0: only when none is healthy.
  package var panicPercent = 0
  /// Active checks; nil: none.
  package var health: HealthCheckSettings?
  /// Passive ejection; nil: none.
  package var outliers: OutlierSettings? = OutlierSettings()
  /// Each server's and the pool's breaker; nil: none.
  package var breaker: BreakerSettings? = BreakerSettings()
  /// Retries; nil: none.
  package var retries: RetrySettings? = RetrySettings()
  /// The response field, in lower case, in which servers say how busy they are; nil: none.
  package var loadField: String?
  /// How often names are resolved again: the resolver does not tell a record's time to live.
  package var resolveInterval: Int64 = 10_000_000_000
  /// Response statuses that count against a server: those that say it cannot work. 500 is none of them: it
  /// says that one request did not work, and one broken route must not take a pool out of service.
  package var failureStatuses: [UInt16] = [502, 503, 504]
  /// The longest that a server's `Retry-After` is obeyed.
  package var longestRest: Int64 = 60_000_000_000

  /// A pool of a name.
  package init(name: String) { self.name = name }

  /// What an `origin` block says.
  package init(_ configuration: OriginConfiguration) {
    name = configuration.name
    servers = configuration.servers.map { ServerSettings($0) }
    balancing =
      switch configuration.balancing {
      case .roundRobin: .roundRobin
      case .leastConnections: .leastConnections
      case .leastTime: .leastTime
      case .randomTwo: .twoChoices
      case .resource: .leastLoad
      case .ipHash: .clientHash
      case .hash(_, let bound): .keyHash(bound: bound)
      }
    maxConnections = configuration.maxConnections
    queueLimit = configuration.queueLimit
    queueTimeout = configuration.queueTimeout
    slowStart = configuration.slowStart
    panicPercent = configuration.panicPercent
    loadField = configuration.loadField
    resolveInterval = configuration.resolveInterval
    failureStatuses = configuration.failureStatuses
    health = configuration.health.map { HealthCheckSettings($0) }
    outliers = configuration.ejection.map { OutlierSettings($0) }
    breaker = configuration.breaker.map { BreakerSettings($0) }
    retries = RetrySettings(configuration)
  }
}

extension ServerSettings {
  fileprivate init(_ configuration: ServerConfiguration) {
    switch configuration.address {
    case .host(let host, let port): self.init(.host(host, port: port))
    case .unix(let path): self.init(.unix(path))
    }
    weight = configuration.weight
    priority = configuration.priority
    isBackup = configuration.isBackup
    maxConnections = configuration.maxConnections
  }
}

extension HealthCheckSettings {
  fileprivate init(_ configuration: HealthConfiguration) {
    path = configuration.path
    host = configuration.host
    interval = configuration.interval
    timeout = configuration.timeout
    statuses = configuration.statuses
    body = configuration.content
    fall = configuration.fall
    rise = configuration.rise
  }
}

extension OutlierSettings {
  fileprivate init(_ configuration: EjectionConfiguration) {
    consecutiveFailures = configuration.failures
    failurePercent = configuration.rate
    latencyFactor = configuration.latency
    window = configuration.window
    minimumRequests = configuration.requests
    ejection = configuration.time
    longestEjection = configuration.longest
    maxEjectedPercent = configuration.most
  }
}

extension BreakerSettings {
  fileprivate init(_ configuration: BreakerConfiguration) {
    failurePercent = configuration.rate
    minimumRequests = configuration.requests
    windowSeconds = Int(configuration.window / 1_000_000_000)
    open = configuration.open
    longestOpen = configuration.longest
    probes = configuration.probes
  }
}

extension RetrySettings {
  /// Nil where nothing is ever tried again and no time is set.
  fileprivate init?(_ configuration: OriginConfiguration) {
    let retry = configuration.retry
    // One server that failed is not asked again for the same request unless that is said.
    limit = retry.limit ?? (configuration.servers.count > 1 ? 2 : 0)
    guard limit > 0 || retry.tryTimeout != nil || retry.totalTimeout != nil else { return nil }
    budgetPercent = retry.budget
    reserve = retry.reserve
    backoff = retry.pause
    longestBackoff = retry.longestPause
    perTry = retry.tryTimeout
    let one = configuration.connectTimeout &+ configuration.firstByteTimeout
    overall = retry.totalTimeout ?? max(30_000_000_000, one)
    statuses = retry.statuses
    hedges = retry.hedges
  }
}
