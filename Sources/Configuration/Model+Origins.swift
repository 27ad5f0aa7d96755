// What an `origin` block says of its servers: which, how one is chosen, and when one is left alone.
// Durations are nanoseconds.

/// Where a server listens.
public enum ServerAddress: Sendable, Hashable {
  /// An address, or a name to resolve, and a port.
  case host(String, port: UInt16)
  /// A unix socket's path, absolute.
  case unix(String)

  /// A name or address, and a port.
  public init(host: String, port: UInt16) { self = .host(host, port: port) }
}

/// One server of a pool.
public struct ServerConfiguration: Sendable, Hashable {
  /// Where it is.
  public var address: ServerAddress
  /// Its share of the requests.
  public var weight = 1
  /// Servers of the lowest number that has any left are used.
  public var priority = 0
  /// Used only when no other is left.
  public var isBackup = false
  /// The most requests under way to it; nil: no limit.
  public var maxConnections: Int?

  /// A server like any other.
  public init(_ address: ServerAddress) { self.address = address }
}

/// TLS towards the servers of a pool.
public struct OriginTLSConfiguration: Sendable, Equatable {
  /// Whether a server's certificate must be valid and name it.
  public var verifies = true
  /// The name to ask for, which the certificate must have; nil: the server's.
  public var serverName: String?
  /// A file of authorities, absolute; nil: the system's.
  public var authorities: String?
  /// Whether HTTP/2 is offered to servers.
  public var offersHTTP2 = true
  /// What is shown to servers; nil: nothing.
  public var certificate: ClientCertificate?
  /// The oldest version that is spoken.
  public var minimumVersion = OriginTLSVersion.tls12

  /// The defaults.
  public init() {}
}

/// A version of TLS.
public enum OriginTLSVersion: Sendable, Equatable {
  /// RFC 5246.
  case tls12
  /// RFC 8446.
  case tls13
}

/// A certificate that the node shows, as PEM files.
public struct ClientCertificate: Sendable, Equatable {
  /// The certificate, then its chain; absolute.
  public var chain: String
  /// The private key; absolute.
  public var key: String

  /// A certificate.
  public init(chain: String, key: String) {
    self.chain = chain
    self.key = key
  }
}

/// How a server is chosen.
public enum BalancingConfiguration: Sendable, Equatable {
  /// In turn, by weight.
  case roundRobin
  /// The fewest requests under way, for its weight.
  case leastConnections
  /// The faster of two drawn at random (peak EWMA).
  case leastTime
  /// The less busy of two drawn at random.
  case randomTwo
  /// In turn, by weight and what each says of its load.
  case resource
  /// By the client's address.
  case ipHash
  /// By parts of the request, none for the cache key; no server gets more than `bound` percent of its
  /// fair share (nil: as it comes).
  case hash([CacheKeyPart], bound: Int?)
}

/// Active checks.
public struct HealthConfiguration: Sendable, Equatable {
  /// What is asked for with GET; nil: an open connection is enough.
  public var path: String?
  /// What `Host` says; nil: the pool's, or the server's name.
  public var host: String?
  /// From one check to the next.
  public var interval: Int64 = 1_000_000_000
  /// How long a check may take.
  public var timeout: Int64 = 500_000_000
  /// The statuses of a server that is well.
  public var statuses: [ClosedRange<UInt16>] = [200...299]
  /// What the content must contain; nil: anything.
  public var content: String?
  /// So many failed checks in a row take a server out.
  public var fall = 2
  /// So many passed ones bring it back.
  public var rise = 2

  /// Checks of a path.
  public init(path: String?) { self.path = path }
}

/// When a server is taken out for what clients' requests met.
public struct EjectionConfiguration: Sendable, Equatable {
  /// So many failures in a row; 0: whatever their number.
  public var failures = 5
  /// The percentage of failures in a window; 0: whatever it is.
  public var rate = 50
  /// So many times the latency of the others; 0: however slow.
  public var latency = 0
  /// A window's length.
  public var window: Int64 = 10_000_000_000
  /// Requests of a window before it counts.
  public var requests = 20
  /// How long, the first time; twice as long each further time.
  public var time: Int64 = 30_000_000_000
  /// The longest.
  public var longest: Int64 = 300_000_000_000
  /// The percentage of servers that may be out at a time.
  public var most = 50

  /// The defaults.
  public init() {}
}

/// When a server or the pool is spared.
public struct BreakerConfiguration: Sendable, Equatable {
  /// The percentage of failures in a window.
  public var rate = 50
  /// Requests of a window before it counts.
  public var requests = 20
  /// A window's length, in whole seconds.
  public var window: Int64 = 10_000_000_000
  /// How long, the first time; twice as long each further time.
  public var open: Int64 = 2_000_000_000
  /// The longest.
  public var longest: Int64 = 60_000_000_000
  /// Requests that try it at a time, and must succeed.
  public var probes = 3

  /// The defaults.
  public init() {}
}

/// When a request is tried again.
public struct RetryConfiguration: Sendable, Equatable {
  /// The most tries after the first; nil: two where there is another server, else none.
  public var limit: Int?
  /// Tries after the first, as a percentage of requests.
  public var budget = 15
  /// Tries in hand.
  public var reserve = 100
  /// The longest first pause.
  public var pause: Int64 = 25_000_000
  /// The longest pause.
  public var longestPause: Int64 = 1_000_000_000
  /// For each try, up to the response's head; nil: the other timeouts alone.
  public var tryTimeout: Int64?
  /// For all tries together; nil: at least 30 s, and what one try may take.
  public var totalTimeout: Int64?
  /// The statuses that are worth another try.
  public var statuses: [UInt16] = [502, 503, 504]
  /// Whether a second try is sent beside a slow one.
  public var hedges = false

  /// The defaults.
  public init() {}
}

/// `files DIR { … }`: a directory in place of servers.
public struct FilesConfiguration: Sendable, Equatable {
  /// The directory, absolute.
  public var root: String
  /// Files that stand for their directory.
  public var indexes = ["index.html"]
  /// Whether a directory without one is listed.
  public var lists = false
  /// Whether symbolic links are followed, as far as they stay within.
  public var followsLinks = false
  /// Whether `name.br`, `name.zst` and `name.gz` are sent in place of `name`.
  public var precompressed = true

  /// A directory, with the defaults.
  public init(root: String) { self.root = root }
}
