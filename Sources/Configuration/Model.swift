// What a configuration says once it has been read: plain values, no defaults left to look up, nothing
// that still has to be checked. Durations are nanoseconds, sizes bytes.

package import Rules

/// A whole `edge.conf`.
public struct NodeConfiguration: Sendable, Equatable {
  /// How many workers; nil for `auto`, one for each processor.
  public var workers: Int?
  /// Where clients connect.
  public var listeners: [ListenAddress] = []
  /// The operator's listener.
  public var admin: AdminConfiguration?
  /// Where responses are kept; nil: nothing is stored.
  public var store: StoreConfiguration?
  /// The access log, of sites that have none of their own.
  public var accessLog = AccessLogConfiguration()
  /// How long a stopping node waits for what is in flight.
  public var drainTimeout: Int64 = 30_000_000_000
  /// Timeouts and limits of client connections.
  public var client = ClientConfiguration()
  /// Pools by name, in the order of the file.
  public var origins: [OriginConfiguration] = []
  /// Limits by name, in the order of the file.
  public var limits: [LimitConfiguration] = []
  /// `jwt` blocks by name, in the order of the file.
  public var tokens: [TokenConfiguration] = []
  /// `auth_service` blocks by name, in the order of the file.
  public var authenticationServices: [AuthenticationServiceConfiguration] = []
  /// Sites, in the order of the file.
  public var sites: [SiteConfiguration] = []
  /// Listeners, by their place in `listeners`, on which each connection begins with a PROXY header.
  public var proxyListeners: Set<Int> = []
  /// Those on which TLS is spoken.
  public var tlsListeners: Set<Int> = []
  /// Those on which HTTP/2 may be spoken without TLS.
  public var plainHTTP2Listeners: Set<Int> = []
  /// Certificates for all names that no site has one for; the first is for clients that name none.
  public var certificates: [CertificateConfiguration] = []
  /// TLS towards clients.
  public var tls = TLSConfiguration()
  /// HTTP/2 towards clients.
  public var http2 = HTTP2Configuration()
  /// Whose word about a client's address is taken.
  public var trustedProxies = TrustedProxies()
  /// How long requests may stand waiting for their worker before it sheds load, nanoseconds; nil:
  /// nothing is shed.
  public var overloadDelay: Int64? = 50_000_000
  /// Which requests are traced; nil: none.
  public var trace: TraceConfiguration?
  /// The PoPs that purges are shared with; nil: none.
  public var fleet: FleetConfiguration?
  /// The name that `Via`, `Cache-Status` and `Proxy-Status` carry.
  public var nodeName = "weir"
  /// Whom the node runs as; nil: who starts it.
  public var user: String?
  /// Databases of where addresses are, absolute paths; at most two, asked in this order.
  public var geoDatabases: [String] = []
  /// Whether each request is called something, and by whom.
  public var requestIDs = RequestIDPolicy.off
  /// The paths by which load balancers ask how the node is; nil: they are paths as all others.
  public var healthPaths: HealthPathsConfiguration?

  /// An empty configuration.
  public init() {}
}

/// `request_id`: what requests are called, in logs, by origins and to clients.
public enum RequestIDPolicy: Sendable, Equatable {
  /// Only in error pages that show it.
  case off
  /// As the node says.
  case make
  /// As trusted proxies say, else as the node says.
  case trusted
  /// As the client says, if it does.
  case always
}

/// `health_paths`: what is answered on every listener, whatever the host, before anything else.
public struct HealthPathsConfiguration: Sendable, Equatable {
  /// Says that the node is alive.
  public var live: String
  /// Says whether it is to be sent clients.
  public var ready: String
  /// Who may ask; nil: everybody. For others the paths are as all others.
  package var networks: AddressSet?
}

/// A numeric address to listen on.
public struct ListenAddress: Sendable, Hashable {
  /// An IPv4 or IPv6 address without brackets; empty for every address (IPv6 and IPv4).
  public var host: String
  /// 0 lets the system pick.
  public var port: UInt16

  /// An address.
  public init(host: String, port: UInt16) {
    self.host = host
    self.port = port
  }
}

/// Where the operator connects.
public enum AdminAddress: Sendable, Hashable {
  /// A numeric address.
  case network(ListenAddress)
  /// A socket at a path, absolute.
  case unix(String)
}

/// The `admin` block.
public struct AdminConfiguration: Sendable, Equatable {
  /// Where it listens.
  public var address: AdminAddress
  /// The mode of a unix socket's file.
  public var socketMode: UInt32 = 0o600
  /// What it shows where it speaks TLS; nil: it speaks HTTP in the clear.
  public var certificate: CertificateConfiguration?
  /// A bearer token that may do everything.
  public var token: String?
  /// The file of further tokens, absolute; read again when it changes.
  public var tokensFile: String?
  /// The tokens that it has. Without any, and without `token`, only loopback is listened on, and nothing
  /// can be changed.
  public var tokens: [AdminToken] = []
  /// Where changes are written down, absolute; nil: nowhere.
  public var auditLog: String?

  /// An admin listener.
  public init(address: AdminAddress, token: String?) {
    self.address = address
    self.token = token
  }
}

/// The `store` block.
public struct StoreConfiguration: Sendable, Equatable {
  /// The directory, absolute.
  public var path: String
  /// The most bytes that stored responses may use.
  public var size: UInt64 = 1 << 30
  /// How much memory its pages may take; nil: what the machine, or the control group, has.
  public var memory: UInt64?
  /// The largest body that is stored.
  public var maxObject: UInt64 = 5 << 30

  /// A store in a directory.
  public init(path: String) { self.path = path }
}

/// The `client` block: what a client may take, in time and size.
public struct ClientConfiguration: Sendable, Equatable {
  /// From the first byte of a head, or the connection's start, to the head's end.
  public var headerTimeout: Int64 = 10_000_000_000
  /// Between two reads of a request's content.
  public var bodyTimeout: Int64 = 30_000_000_000
  /// Between two requests.
  public var idleTimeout: Int64 = 75_000_000_000
  /// Between two writes that made progress.
  public var writeTimeout: Int64 = 30_000_000_000
  /// The longest request line.
  public var maxRequestLine = 8 << 10
  /// The most bytes of a head.
  public var maxHeader = 32 << 10
  /// The most field lines of a head.
  public var maxFields = 100
  /// The most content of a request.
  public var maxBody: UInt64 = 1 << 30
  /// The most connections of the node; the next are closed at once.
  public var maxConnections = 100_000

  /// The defaults.
  public init() {}
}

/// An `origin` block: a pool of servers.
public struct OriginConfiguration: Sendable, Equatable {
  /// Its name.
  public var name: String
  /// Its servers, at least one.
  public var servers: [ServerConfiguration] = []
  /// Whether they are PoPs of the same fleet, which hear through where this one has purged.
  public var isOfFleet = false
  /// A directory in their place.
  public var files: FilesConfiguration?
  /// TLS to the servers; nil: none.
  public var tls: OriginTLSConfiguration?
  /// Whether HTTP/2 is spoken without TLS.
  public var speaksCleartextHTTP2 = false
  /// How requests are signed; nil: not at all.
  public var signing: OriginSigningConfiguration?
  /// To an open connection.
  public var connectTimeout: Int64 = 2_000_000_000
  /// From the request's end to the response head's end.
  public var firstByteTimeout: Int64 = 30_000_000_000
  /// Between two reads of a response's content, and two writes of a request's.
  public var betweenBytesTimeout: Int64 = 30_000_000_000
  /// The most idle connections each worker keeps to each server.
  public var keepalive = 64
  /// How long one is kept.
  public var keepaliveTimeout: Int64 = 60_000_000_000
  /// What `Host` says; nil: what the client's says.
  public var hostField: String?
  /// The most bytes of a response's head.
  public var maxHeader = 64 << 10
  /// How a server is chosen.
  public var balancing = BalancingConfiguration.roundRobin
  /// The most requests under way; nil: no limit.
  public var maxConnections: Int?
  /// The most requests that wait for a place.
  public var queueLimit = 0
  /// The most requests under way whose answers are for the store; nil: no limit.
  public var maxMisses: Int? = 1_000
  /// How long further ones wait.
  public var missTimeout: Int64 = 10_000_000_000
  /// How long one waits.
  public var queueTimeout: Int64 = 1_000_000_000
  /// How long a server that comes back takes to its whole share.
  public var slowStart: Int64 = 0
  /// Below this percentage of healthy servers all are used.
  public var panicPercent = 0
  /// How often names are looked up again.
  public var resolveInterval: Int64 = 10_000_000_000
  /// The field in which servers say how busy they are; lower case.
  public var loadField: String?
  /// The statuses that count against a server.
  public var failureStatuses: [UInt16] = [502, 503, 504]
  /// Active checks; nil: none.
  public var health: HealthConfiguration?
  /// Passive ejection; nil: none.
  public var ejection: EjectionConfiguration? = EjectionConfiguration()
  /// The breakers; nil: none.
  public var breaker: BreakerConfiguration?
  /// When a request is tried again.
  public var retry = RetryConfiguration()

  /// A pool of a name.
  public init(name: String) { self.name = name }
}

/// A `site` block.
public struct SiteConfiguration: Sendable, Equatable {
  /// Host names in lower case; `*.example.com` for all below; `*` for any. IPv6 addresses stand in
  /// brackets and in their shortest form: `[::1]`.
  public var hosts: [String]
  /// Whether PURGE requests purge.
  public var purge = SitePurgeConfiguration()
  /// Routes, in the order of the file; the longest matching prefix wins.
  public var routes: [RouteConfiguration] = []
  /// Certificates for its names.
  public var certificates: [CertificateConfiguration] = []
  /// What is asked of its clients' certificates; nil: what `tls` says.
  public var clientCertificates: ClientCertificates?
  /// PEM: who may have signed them. Absolute; nil: what `tls` says.
  public var clientAuthorities: String?
  /// What browsers are told of TLS; nil: nothing.
  public var strictTransport: StrictTransport?
  /// The port that plain HTTP is redirected to; nil: it is answered.
  public var redirectPort: UInt16?
  /// The access log of its requests; nil: the node's.
  public var accessLog: AccessLogConfiguration?

  /// A site of those names.
  public init(hosts: [String]) { self.hosts = hosts }
}

/// What a site makes of PURGE requests.
public struct SitePurgeConfiguration: Sendable, Equatable {
  /// Whether they purge here; else they are passed on as any other method.
  public var isOn = false
  /// From where they need no token.
  package var networks: [AddressSet] = []

  /// They do not.
  public init() {}
}

/// A `route` block.
public struct RouteConfiguration: Sendable, Equatable {
  /// What matches.
  public var path: RoutePath
  /// The pool it forwards to.
  public var origin: String
  /// The limits that a request must pass, in order.
  public var limits: [LimitUse] = []
  /// How important its requests are, when not all can be served.
  public var priority = RoutePriority.normal
  /// How responses are stored and reused.
  public var caching = CacheConfiguration()
  /// Whether an upgrade (WebSocket) may pass.
  public var upgrade = false
  /// Whether `Surrogate-Key`, `Cache-Tag` and `xkey` are left in responses.
  public var exposeTags = false
  /// The most content of a request here; nil: the client block's.
  public var maxBody: UInt64?
  /// Who may ask; nil: everybody.
  public var authentication: AuthenticationConfiguration?
  /// From where may be asked.
  public var access = AccessConfiguration()
  /// The rules of the site and the route, compiled; nil if there are none.
  package var rules: RuleCode?
  /// Those for when no server can answer.
  package var failureRules: RuleCode?
  /// Whether responses say how long what took (`Server-Timing`).
  public var serverTiming = false
  /// Pages for errors of the node's own; the first that is for a status counts.
  public var errorPages: [ErrorPageConfiguration] = []
  /// The route's name in logs and metrics, unique in the configuration: its path behind the site's
  /// first name, as `example.com/images/`; an exact one behind `=`, as `example.com=/favicon.ico`.
  public var name: String

  /// A route.
  public init(path: RoutePath, origin: String, name: String) {
    self.path = path
    self.origin = origin
    self.name = name
  }
}

/// What a route matches.
public enum RoutePath: Sendable, Hashable {
  /// Every path that begins so. `/` matches all.
  case prefix(String)
  /// That path alone (`route = /favicon.ico`).
  case exact(String)
}

extension NodeConfiguration {
  /// The files of keys and values that rules look into, each once.
  package var ruleMaps: [RuleMap] {
    var maps: [RuleMap] = []
    for route in sites.flatMap(\.routes) {
      for map in (route.rules?.maps ?? []) + (route.failureRules?.maps ?? [])
      where !maps.contains(where: { $0 === map }) {
        maps.append(map)
      }
    }
    return maps
  }
}
