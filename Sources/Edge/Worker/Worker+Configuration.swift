// A worker goes over to another configuration.

internal import Bytes
internal import Configuration
internal import EventLoop
internal import GeoDatabase
internal import HTTP1
internal import HTTP2
internal import Metrics
internal import Origins
internal import RateLimiting
internal import Rules
internal import TLS

extension Worker {
  /// Goes over to a generation: all that begins from now on is under it.
  func adopt(_ shared: NodeGeneration, _ added: [NumberedListener]) {
    guard shared.number > generationNumber else { return }
    let configuration = shared.configuration
    requestCounters.addRoutes()
    generation = WorkerGeneration(
      shared, worker: index, seed: context.seed, after: generation)
    generationNumber = shared.number
    clientSettings = configuration.client
    headLimits = HeadLimits(configuration.client)
    watchesLoad = configuration.overloadDelay != nil
    overload = Self.guardAgainstOverload(configuration)
    isOverloaded = false
    sortListeners(shared)
    tls = context.certificates?.current
    http2 = HTTP2Options(configuration)
    windowBudget = WindowBudget(bytes: Int(clamping: configuration.http2.windowMemory))
    handshakes.changeRate(perSecond: configuration.tls.handshakeRate)
    for client in clients.all { client.exchange.joinNewest(self) }
    // What waits for reuse would keep the earlier one alive.
    spareStreams = []
    spareExchanges = []
    restingExchange.joinNewest(self)
    closeForeignOrigins()
    listen(on: added)
  }

  func listen(on added: [NumberedListener]) {
    guard !isDraining else { return }
    for listener in added {
      listeners.append(listener)
      if !acceptPaused { try? watch(listener) }
    }
  }

  /// Closes idle connections to servers that are in no pool any more.
  private func closeForeignOrigins() {
    let known = Set(generation.shared.pools.flatMap { $0.servers.map(\.id) })
    for (server, tokens) in idleOrigins where !known.contains(server) {
      for token in tokens { if let connection = origins.element(token) { close(connection) } }
      idleOrigins[server] = nil
    }
    originSessions = originSessions.filter { known.contains($0.key) }
    closeForeignShared(known)
  }

  /// Notes what is spoken where.
  func sortListeners(_ generation: NodeGeneration) {
    let numbers = generation.listenerNumbers
    func named(_ places: Set<Int>) -> Set<Int> {
      Set(places.compactMap { $0 < numbers.count ? numbers[$0] : nil })
    }
    let configuration = generation.configuration
    proxyListeners = named(configuration.proxyListeners)
    tlsListeners = named(configuration.tlsListeners)
    plainHTTP2Listeners = named(configuration.plainHTTP2Listeners)
  }

  static func guardAgainstOverload(_ configuration: NodeConfiguration) -> OverloadGuard {
    let delay = configuration.overloadDelay ?? 1
    // A delay that has stood for ten times its length is a queue and not a burst.
    return OverloadGuard(target: delay, interval: min(delay, 10_000_000_000) &* 10)
  }
}

extension HeadLimits {
  /// What the `client` block says of heads.
  init(_ client: ClientConfiguration) {
    self.init(
      maxRequestLine: client.maxRequestLine, maxHead: client.maxHeader, maxFields: client.maxFields)
  }
}
