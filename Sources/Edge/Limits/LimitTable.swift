// What a worker needs to put limits on requests: compiled from the configuration once for each worker,
// so that nothing here is counted by reference across workers. What every request reads is in trivial
// structs; names and networks stand apart.

internal import Bytes
internal import ClientAddress
internal import Configuration

/// A limit as a route names it.
struct RouteLimit {
  /// Its number.
  var limit: Int
  var cost: UInt64
}

/// The limits of a route. Trivial: a route is copied.
struct RouteLimits: Sendable {
  /// Where those stand in the table's `uses` that are asked before anything has to be shown.
  var early = 0..<0
  /// Whether the checks of these are over at once, as below.
  var earlyEndsAtOnce = true
  /// Where those stand that are asked before the store.
  var request = 0..<0
  /// Where those stand that are asked on the way to the origin.
  var miss = 0..<0
  /// The number of the limit that paces the key's responses; -1: none.
  var bandwidth = -1
  /// The number of the limit that paces each response; -1: none.
  var responseBandwidth = -1
  /// Whether the checks of a request are over when it has been let through: nothing waits, nothing is
  /// to be given back at its end, nothing is told.
  var endsAtOnce = true
  /// Whether rules have chosen further ones for the request.
  var hasChosen = false
}

/// What of a limit's settings each request reads.
struct LimitTraits {
  /// Whether the client's address, or its prefix, is the whole key.
  var isByAddress: Bool
  /// Whether a region shares its budgets: keys are hashed in all PoPs alike.
  var isRegional: Bool
  var hasExemptions: Bool
  var isPerRoute: Bool
  var countsErrors: Bool
  var tellsAlways: Bool
  var ipv4Prefix: Int
  var ipv6Prefix: Int
  var status: UInt16
  var hasProblemBody: Bool
}

/// The rest of a limit's settings.
struct LimitDetails {
  let name: [UInt8]
  let exempt: TrustedNetworks
  /// The parts of each alternative for a key.
  let keys: [[KeyStep]]

  enum KeyStep {
    case address
    case field([UInt8])
    case cookie([UInt8])
    case route
    case host
    case subject
    case claim([UInt8])
    case apiKey
    case clientCertificate
    case fingerprint
  }
}

final class LimitTable {
  /// The limits of all routes.
  private(set) var uses: [RouteLimit] = []
  /// By the limit's number.
  let traits: [LimitTraits]
  let details: [LimitDetails]
  /// The numbers of those that new connections must pass.
  let connectionLimits: [Int]
  /// Whose word about a client's address is taken.
  let trusted: TrustedNetworks
  let readsForwarded: Bool
  /// Whose word about what they have purged is taken.
  let children: TrustedNetworks
  private let configuration: NodeConfiguration

  init(_ configuration: NodeConfiguration) {
    self.configuration = configuration
    traits = configuration.limits.map(Self.traits)
    details = configuration.limits.map(Self.details)
    connectionLimits = configuration.limits.indices.filter {
      if case .connections = configuration.limits[$0].rule { true } else { false }
    }
    trusted = Self.networks(configuration.trustedProxies.networks)
    children = configuration.fleet?.children.map(Self.networks) ?? trusted
    readsForwarded = configuration.trustedProxies.field == .forwarded
  }

  /// Adds the limits of a route; where they stand. With `hasGate` or rules it may answer requests before
  /// the store is asked: what counts by address, host or route alone then counts those, too.
  func add(_ limits: [LimitUse], hasGate: Bool = false, hasRules: Bool = false) -> RouteLimits {
    var result = RouteLimits()
    var early: [RouteLimit] = []
    var missed: [RouteLimit] = []
    var usual: [RouteLimit] = []
    for use in limits {
      guard let number = configuration.limits.firstIndex(where: { $0.name == use.name }) else {
        continue
      }
      let limit = configuration.limits[number]
      switch limit.rule {
      case .bandwidth: result.bandwidth = number
      case .responseBandwidth: result.responseBandwidth = number
      case .connections: break
      case .tokenBucket, .leakyBucket, .concurrency, .quota:
        let entry = RouteLimit(limit: number, cost: use.cost ?? limit.cost)
        switch use.stage ?? limit.stage {
        case .request where (hasGate || hasRules) && Self.isEarly(limit): early.append(entry)
        case .request: usual.append(entry)
        case .miss: missed.append(entry)
        }
      }
      if !Self.endsAtOnce(limit) { result.endsAtOnce = false }
    }
    result.early = append(early)
    result.request = append(usual)
    result.miss = append(missed)
    if !missed.isEmpty { result.endsAtOnce = false }
    // What refuses later gives back what was taken here, and a rule may name the same limit.
    result.earlyEndsAtOnce = result.endsAtOnce && usual.isEmpty && !hasRules
    return result
  }

  private func append(_ entries: [RouteLimit]) -> Range<Int> {
    let first = uses.count
    uses += entries
    return first..<uses.count
  }

  /// Whether a limit needs nothing of a request but its address, host and route. Not one in whose line
  /// a request waits: it would wait there to be told that it may not come in.
  private static func isEarly(_ limit: LimitConfiguration) -> Bool {
    if case .leakyBucket = limit.rule { return false }
    if case .region(let sharing) = limit.scope, sharing.isExact { return false }
    return limit.keys.allSatisfy { alternative in
      alternative.allSatisfy { part in
        switch part {
        case .clientAddress, .host, .route: true
        default: false
        }
      }
    }
  }

  private static func endsAtOnce(_ limit: LimitConfiguration) -> Bool {
    if limit.tellsAlways || limit.counts == .errors { return false }
    if case .region(let sharing) = limit.scope, sharing.isExact { return false }
    switch limit.rule {
    case .tokenBucket, .quota: return true
    case .leakyBucket, .concurrency: return false
    case .bandwidth, .responseBandwidth, .connections: return true
    }
  }

  private static func traits(_ limit: LimitConfiguration) -> LimitTraits {
    LimitTraits(
      isByAddress: limit.keys == [[.clientAddress]] && !limit.isPerRoute && limit.scope == .node,
      isRegional: limit.scope != .node,
      hasExemptions: !limit.exempt.isEmpty, isPerRoute: limit.isPerRoute,
      countsErrors: limit.counts == .errors, tellsAlways: limit.tellsAlways,
      ipv4Prefix: limit.ipv4Prefix, ipv6Prefix: limit.ipv6Prefix, status: limit.status,
      hasProblemBody: limit.body == .problem)
  }

  private static func details(_ limit: LimitConfiguration) -> LimitDetails {
    LimitDetails(
      name: Array(limit.name.utf8), exempt: networks(limit.exempt),
      keys: limit.keys.map { $0.map(step) })
  }

  private static func step(_ part: LimitKeyPart) -> LimitDetails.KeyStep {
    switch part {
    case .clientAddress: .address
    case .field(let name): .field(Array(name.utf8))
    case .cookie(let name): .cookie(Array(name.utf8))
    case .route: .route
    case .host: .host
    case .subject: .subject
    case .claim(let name): .claim(Array(name.utf8))
    case .apiKey: .apiKey
    case .clientCertificate: .clientCertificate
    case .fingerprint: .fingerprint
    }
  }

  private static func networks(_ texts: [String]) -> TrustedNetworks {
    TrustedNetworks(texts.compactMap { text in text.withView { AddressNetwork($0) } })
  }
}
