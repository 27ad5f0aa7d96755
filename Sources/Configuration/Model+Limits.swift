// Limits, trusted proxies and the guard against overload, as the configuration says them.

internal import Rules

/// So many in a time, as `50/s` says.
public struct LimitRate: Sendable, Hashable {
  /// How many (requests, connections or bytes), at least 1.
  public var count: UInt64
  /// Nanoseconds: one second, minute, hour or day.
  public var period: Int64

  /// A rate.
  public init(count: UInt64, period: Int64) {
    self.count = count
    self.period = period
  }

  /// Reads a rate of requests such as `50/s`; nil if it is none, or more than a million a second.
  public init?(_ text: String) {
    guard let rate = try? Syntax<Rate>.rate.read(text) else { return nil }
    self.init(count: rate.count, period: rate.period)
  }

  /// Reads a rate of bytes such as `1MiB/s`; nil if it is none, or more than 10¹² a second.
  public init?(bytes text: String) {
    guard let rate = try? Units.byteRate(text) else { return nil }
    self = rate
  }

  /// As it is written: `50/s`.
  public var text: String { "\(count)/\(periodText)" }
  /// As it is written for bytes: `1MiB/s`.
  public var byteText: String { "\(Units.text(size: count))/\(periodText)" }

  /// The most years that a bucket may take to fill.
  static var mostYears: UInt64 { 73 }

  /// Whether the rate, in lowest terms, is of fewer than 2⁴⁰ in its period, as buckets can count.
  var isCounted: Bool {
    var (larger, smaller) = (count, period.magnitude)
    while smaller != 0 { (larger, smaller) = (smaller, larger % smaller) }
    return count / max(larger, 1) < 1 << 40
  }

  /// In how many years so many come back, if that is later than 2⁶¹ ns, which is as far as buckets count.
  func tooManyYears(toFill burst: UInt64) -> UInt64? {
    let time = UInt128(burst) * UInt128(period.magnitude) / UInt128(max(count, 1))
    guard time > 1 << 61 else { return nil }
    return UInt64(clamping: time / (365 * 86_400_000_000_000))
  }

  private var periodText: Substring { Units.text(duration: period).dropFirst() }
}

/// A `limit` block.
public struct LimitConfiguration: Sendable, Equatable {
  /// Its name.
  public var name: String
  /// How it decides.
  public var rule: LimitRuleConfiguration
  /// What budgets belong to: the first of these that a request has all parts of. A request that has
  /// none is not subject to the limit.
  public var keys: [[LimitKeyPart]] = [[.clientAddress]]
  /// Whether each route that names it has budgets of its own.
  public var isPerRoute = false
  /// The most keys that are remembered at a time.
  public var maxKeys = 1_000_000
  /// How many bits of an IPv4 address tell clients apart.
  public var ipv4Prefix = 32
  /// How many bits of an IPv6 address do.
  public var ipv6Prefix = 64
  /// Networks whose clients are not subject to it, as `10.0.0.0/8`.
  public var exempt: [String] = []
  /// What a request costs.
  public var cost: UInt64 = 1
  /// Which requests count.
  public var counts = LimitCounting.all
  /// When it is asked.
  public var stage = LimitStage.request
  /// The status of a refusal.
  public var status: UInt16 = 429
  /// What a refusal's content looks like.
  public var body = LimitBody.text
  /// Whether answers that are let through have `RateLimit` and `RateLimit-Policy` too.
  public var tellsAlways = false
  /// Whether it only counts.
  public var isShadow = false
  /// The time out for repeat offenders.
  public var penalty: PenaltyConfiguration?
  /// Whose budgets it counts.
  public var scope = LimitScope.node

  /// A limit of a rule.
  public init(name: String, rule: LimitRuleConfiguration) {
    self.name = name
    self.rule = rule
  }
}

/// How a limit decides.
public enum LimitRuleConfiguration: Sendable, Equatable {
  /// Bursts up to the bucket, then the rate.
  case tokenBucket(LimitRate, burst: UInt64)
  /// A constant rate; so many wait for it.
  case leakyBucket(LimitRate, queue: UInt32)
  /// So many requests in flight.
  case concurrency(UInt64)
  /// So many in a window.
  case quota(UInt64, LimitWindow)
  /// Bytes of responses to a key.
  case bandwidth(LimitRate, burst: UInt64)
  /// Bytes of each response.
  case responseBandwidth(LimitRate, burst: UInt64)
  /// New connections of an address.
  case connections(LimitRate, burst: UInt64)

  /// As the setting is called.
  public var name: String {
    switch self {
    case .tokenBucket: "token_bucket"
    case .leakyBucket: "leaky_bucket"
    case .concurrency: "concurrency"
    case .quota: "quota"
    case .bandwidth: "bandwidth"
    case .responseBandwidth: "response_bandwidth"
    case .connections: "connections"
    }
  }
}

/// Whose budgets a limit counts.
public enum LimitScope: Sendable, Equatable {
  /// The node's own.
  case node
  /// Those of all PoPs of the fleet in this one's region.
  case region(LimitSharing)
}

/// How a region shares budgets.
public struct LimitSharing: Sendable, Equatable {
  /// What a PoP does without the engine.
  public enum WhenDown: String, Sendable, CaseIterable {
    /// It goes on with its share.
    case share
    /// It lets everything pass.
    case open
    /// It lets nothing pass.
    case closed
  }

  /// Whether the engine is asked for each request.
  public var isExact = false
  /// What is done without it.
  public var whenDown = WhenDown.share
  /// How long a request waits for it, nanoseconds.
  public var timeout: Int64 = 100_000_000

  /// By leases.
  public init() {}
}

/// The windows of a quota.
public enum LimitWindow: Sendable, Equatable {
  /// Calendar hours, days and months, in UTC.
  case hour, day, month
  /// Any hour, 24 hours, 30 days.
  case rollingHour, rollingDay, rollingMonth
}

/// A part of what a limit counts by.
public enum LimitKeyPart: Sendable, Hashable {
  /// The client's address, or its prefix.
  case clientAddress
  /// A field's value; its name in lower case.
  case field(String)
  /// A cookie's value.
  case cookie(String)
  /// The route.
  case route
  /// The host.
  case host
  /// Who was let in: a token's subject together with its issuer, an API key's name, a user's.
  case subject
  /// A claim of the token, or an attribute of the API key.
  case claim(String)
  /// The API key's name.
  case apiKey
  /// The subject of the client's verified certificate.
  case clientCertificate
  /// The JA4 fingerprint of the client's hello.
  case fingerprint

  /// As it is written.
  public var text: String {
    switch self {
    case .clientAddress: "client.ip"
    case .field(let name): "header.\(name)"
    case .cookie(let name): "cookie.\(name)"
    case .route: "route"
    case .host: "host"
    case .subject: "jwt.sub"
    case .claim(let name): "jwt.claim.\(name)"
    case .apiKey: "api_key"
    case .clientCertificate: "tls.client.subject"
    case .fingerprint: "tls.ja4"
    }
  }
}

/// Which requests count for a limit.
public enum LimitCounting: Sendable, Equatable {
  /// All.
  case all
  /// Those that are answered with a status of 400 or above.
  case errors
}

/// When a limit is asked.
public enum LimitStage: Sendable, Equatable {
  /// Before the store is.
  case request
  /// On the way to the origin.
  case miss
}

/// What a refusal's content looks like.
public enum LimitBody: Sendable, Equatable {
  /// A line of text.
  case text
  /// Problem details (RFC 9457).
  case problem
}

/// The time out for repeat offenders.
public struct PenaltyConfiguration: Sendable, Equatable {
  /// How long it lasts, nanoseconds.
  public var duration: Int64
  /// After how many refusals …
  public var offences: UInt64
  /// … within this time, nanoseconds.
  public var window: Int64

  /// A penalty.
  public init(duration: Int64, offences: UInt64, window: Int64) {
    self.duration = duration
    self.offences = offences
    self.window = window
  }
}

/// A limit as a route names it.
public struct LimitUse: Sendable, Equatable {
  /// The limit's name.
  public var name: String
  /// What a request costs here; nil: as the limit says.
  public var cost: UInt64?
  /// When it is asked here; nil: as the limit says.
  public var stage: LimitStage?

  /// A use of a limit as it is.
  public init(name: String, cost: UInt64? = nil, stage: LimitStage? = nil) {
    self.name = name
    self.cost = cost
    self.stage = stage
  }
}

/// Whose word about a client's address is taken.
public struct TrustedProxies: Sendable, Equatable {
  /// The field in which they say it: each adds what it sees, and passes the other on unread.
  public enum Field: Sendable, Equatable {
    /// `X-Forwarded-For`.
    case xForwardedFor
    /// `Forwarded` (RFC 7239).
    case forwarded
  }

  /// Networks, as `10.0.0.0/8`.
  public var networks: [String] = []
  /// The field.
  public var field = Field.xForwardedFor

  /// Nobody's.
  public init() {}
}

/// How important requests are, when not all can be served.
public enum RoutePriority: Sendable, Equatable {
  /// Never shed.
  case critical
  /// Shed last.
  case high
  /// What is not said to be anything else.
  case normal
  /// Shed first.
  case low
}

extension RouteConfiguration {
  /// Whether requests of the route may come under a limit: it names it, or a rule of its may choose it.
  public func mayBeUnder(limit name: String) -> Bool {
    limits.contains { $0.name == name } || rules?.limits.contains { $0.name == name } ?? false
  }
}
