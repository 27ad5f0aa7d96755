// What a worker has of a pool: its balancer, and what every request asks of the settings as plain values.

internal import Bytes
internal import Configuration
internal import EventLoop
internal import HTTP2
internal import HTTPCaching
internal import HTTPMessage
internal import Origins

/// A worker's side of a pool. Used by that worker's thread alone.
final class PoolSide {
  let pool: OriginPool
  var balancer: PoolBalancer
  let settings: OriginSettings
  /// What `Host` says; empty: what the client's says.
  let host: [UInt8]
  let balancing: Balancing
  /// How long a request may wait for a place; 0: not at all.
  let queueTimeout: Int64
  let hedges: Bool
  /// Whether its servers are PoPs of the same fleet.
  let isOfFleet: Bool
  /// The field in which servers say how busy they are; empty: none.
  let loadField: [UInt8]
  let longestRest: Int64
  /// Whether its servers may be spoken to by HTTP/2: over TLS if they choose it, or without.
  let mayShare: Bool
  /// Until when there is no turn for a validation that nobody waits for (monotonic; `waitsForTurn`).
  var turnsAreGoneUntil = Int64.min
  /// Whether they speak nothing else.
  let speaksCleartextHTTP2: Bool
  /// What shared connections take.
  let http2Options: HTTP2OriginOptions
  /// What `balance hash PART…` goes by; nil: the cache key.
  private let hashRecipe: KeyRecipe?

  init(_ pool: OriginPool, worker: Int, of workers: Int, seed: UInt64) {
    self.pool = pool
    balancer = PoolBalancer(pool: pool, worker: worker, of: workers, seed: seed)
    let configuration = pool.configuration
    settings = OriginSettings(configuration)
    host = Array((configuration.hostField ?? "").utf8)
    balancing = pool.settings.balancing
    queueTimeout = pool.settings.queueLimit > 0 ? pool.settings.queueTimeout : 0
    isOfFleet = configuration.isOfFleet
    speaksCleartextHTTP2 = configuration.speaksCleartextHTTP2
    mayShare = pool.tls?.mayShare ?? speaksCleartextHTTP2
    hedges = !speaksCleartextHTTP2 && pool.settings.retries?.hedges ?? false
    loadField = Array((pool.settings.loadField ?? "").utf8)
    var options = HTTP2OriginOptions()
    options.maxFieldSection = settings.maxHeader
    http2Options = options
    longestRest = pool.settings.longestRest
    if case .hash(let parts, _) = configuration.balancing, !parts.isEmpty {
      hashRecipe = KeyRecipe(parts.map { RoutePolicy.part($0) })
    } else {
      hashRecipe = nil
    }
  }

  /// The hash that a server is chosen by: of the configured parts, else of the cache key, which all nodes
  /// of a fleet make alike.
  func key(of head: RequestHead, cacheKey: [UInt8], scratch: inout ByteBuffer) -> UInt64 {
    scratch.removeAll()
    if let hashRecipe {
      hashRecipe.append(head, scheme: "http", to: &scratch)
    } else if cacheKey.isEmpty {
      RequestTarget.appendKey(
        scheme: "http", authority: head.bytes[head.authority], target: head.bytes[head.target],
        to: &scratch)
    } else {
      cacheKey.withView { scratch.append($0) }
    }
    return Rendezvous.hash(scratch.view)
  }

  /// The hash of a client: of an IPv6 address its /64, within which a client may change it.
  func key(of client: SocketAddress, scratch: inout ByteBuffer) -> UInt64 {
    scratch.removeAll()
    let network = client.isIPv4 ? client.low : client.high
    for shift in stride(from: UInt64(0), to: 64, by: 8) {
      scratch.append(UInt8(truncatingIfNeeded: network &>> shift))
    }
    return Rendezvous.hash(scratch.view)
  }

  /// Takes over what an answer says of its server's load, where the pool goes by that.
  func noteLoad(_ response: ResponseHead, of server: Int, now: Int64) {
    guard !loadField.isEmpty else { return }
    loadField.withView { name in
      response.fields.forEach(named: name, in: response.bytes) { value in
        guard let permille = ReportedLoad.permille(value) else { return }
        pool.loadReported(server, permille: permille, now: now)
      }
    }
  }
}

/// What a request goes by, of its pool.
struct OriginSettings {
  let connectTimeout: Int64
  let firstByteTimeout: Int64
  let betweenBytesTimeout: Int64
  let maxHeader: Int
  /// The most idle connections to a server, and for how long.
  let keepalive: Int
  let keepaliveTimeout: Int64

  init(_ configuration: OriginConfiguration) {
    connectTimeout = configuration.connectTimeout
    firstByteTimeout = configuration.firstByteTimeout
    betweenBytesTimeout = configuration.betweenBytesTimeout
    maxHeader = configuration.maxHeader
    keepalive = configuration.keepalive
    keepaliveTimeout = configuration.keepaliveTimeout
  }
}
