// The node's part in a fleet: from the configuration to a client, and its figures.

internal import Admin
internal import Configuration
internal import Edge
internal import EventLoop
internal import Fleet
internal import Metrics
internal import ObjectStore
internal import Redis

extension Node {
  /// The client of a configuration's fleet; nil without one, or without a store to purge.
  static func fleet(
    of configuration: NodeConfiguration, store: ObjectStore?,
    note: @escaping @Sendable (String) -> Void
  ) throws -> FleetClient? {
    guard let fleet = configuration.fleet else { return nil }
    guard let store else {
      note("fleet: the node has no store, so there is nothing to purge, and it takes no part")
      return nil
    }
    let servers = fleet.servers.compactMap(server)
    guard !servers.isEmpty else { throw NodeError("fleet \(fleet.name): no server") }
    var engine = RedisSettings(servers: servers)
    engine.primary = fleet.primary
    engine.user = fleet.user
    engine.password = fleet.password?.text
    engine.isSecure = fleet.isSecure
    engine.trustFile = fleet.trustFile
    var readEngine: RedisSettings?
    let replicas = fleet.replicas.compactMap(server)
    if !replicas.isEmpty {
      readEngine = engine
      readEngine?.servers = replicas + (fleet.primary == nil ? servers : [])
      readEngine?.primary = nil
      readEngine?.needsPrimary = false
      readEngine?.prefersFirst = true
    }
    var limitEngine: RedisSettings?
    let limitServers = fleet.limitServers.compactMap(server)
    if !limitServers.isEmpty {
      limitEngine = engine
      limitEngine?.servers = limitServers
      limitEngine?.primary = nil
    }
    var settings = FleetSettings(
      fleet: fleet.name, pop: fleet.pop ?? configuration.nodeName, region: fleet.region,
      version: Release.version, engine: engine, maxLag: fleet.maxLag,
      whenBehind: WhenBehind(rawValue: fleet.whenBehind.rawValue) ?? .serve,
      logLength: fleet.logLength, limitEngine: limitEngine)
    settings.readEngine = readEngine
    settings.validationInterval = fleet.validationRate.period / Int64(fleet.validationRate.count)
    return try FleetClient(settings, store: store) { note("fleet: \($0)") }
  }

  private static func server(_ address: ServerAddress) -> RedisServer? {
    if case .host(let host, let port) = address { RedisServer(host: host, port: port) } else { nil }
  }

  /// Begins to take part.
  func startFleet() throws {
    guard let fleet = context.fleet else { return }
    let note = note
    let orders = FleetOrders(context) { note("fleet: \($0)") }
    let context = context
    let budgets = FleetBudgets(
      limits: { [weak context] in context?.current.limits.regional ?? [] },
      tell: { [weak context] in context?.tell($0) })
    try fleet.start(budgets: budgets, warmer: warming) { orders.order($0) }
  }

  /// The fleet's figures.
  static func add(_ fleet: FleetClient, to writer: inout MetricsWriter) {
    let status = fleet.status
    writer.add(.fleetInStep, status.isInStep ? 1 : 0)
    writer.add(.fleetConnected, status.server == nil ? 0 : 1)
    writer.add(.fleetConnections, status.connections)
    writer.add(.fleetApplied, status.applied)
    writer.add(.fleetAppended, status.appended)
    writer.add(.fleetWaiting, UInt64(clamping: status.waiting))
    writer.add(.fleetBacklog, UInt64(clamping: status.backlog))
    if status.budgets.isUsed {
      writer.add(.fleetLimitsConnected, status.budgets.isGone ? 0 : 1)
      writer.add(.fleetLimitsPops, UInt64(status.budgets.pops))
      writer.add(.fleetLimitsTold, status.budgets.told)
      writer.add(.fleetLimitsUnheard, status.budgets.unheard)
    }
    for (reason, count) in status.losses { writer.add(.fleetLosses, count, [reason]) }
    writer.add(
      .fleetDelay, histogram: status.delays,
      bounds: FleetStatus.bounds.map { Double($0) / 1_000 }, sum: Double(status.delaySum) / 1_000)
  }
}
