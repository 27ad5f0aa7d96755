// A node: the store, the workers, the admin listener, the access log, put together and taken apart in
// the right order.

internal import AccessLog
internal import Admin
internal import Bytes
package import Configuration
internal import Edge
package import EventLoop
internal import GeoDatabase
package import Metrics
package import ObjectStore
internal import Origins
internal import RateLimiting
internal import StaticFiles
import Synchronization
internal import TLS

/// A running point of presence.
package final class Node: Sendable {
  /// What it was started with.
  package let configuration: NodeConfiguration
  /// Where clients connect, in the configuration's order, with the ports that the system picked.
  package let addresses: [SocketAddress]
  /// Where the operator connects.
  package let adminAddress: SocketAddress?
  /// The figures.
  package let metrics: MetricsRegistry
  /// The store, if it has one and it could be opened.
  package let store: ObjectStore?

  private let context: NodeContext
  private let resolver: Resolver
  private let checker: HealthChecker?
  private let admin: AdminServer?
  private let traces: TraceExporter?
  private let log: AccessLogWriter?
  private let keeper: LimitKeeper?
  private let clock: NodeClock
  private let threads = Mutex<[LoopThread]>([])
  private let workerCount: Int
  private let finished: Waker
  private let runningWorkers: Atomic<Int>
  private let note: @Sendable (String) -> Void

  /// How many workers a configuration asks for.
  package static func workers(of configuration: NodeConfiguration) -> Int {
    configuration.workers ?? Machine.processors
  }

  /// Starts a node on its listening sockets.
  ///
  /// - Parameter note: called with what an operator should know, a line at a time, on any thread.
  package static func start(
    _ configuration: NodeConfiguration, listeners: NodeListeners, clock: NodeClock = NodeClock(),
    note: @escaping @Sendable (String) -> Void
  ) throws(NodeError) -> Node {
    Machine.raiseDescriptorLimit()
    do {
      return try Node(configuration, listeners: listeners, clock: clock, note: note)
    } catch let error as NodeError {
      throw error
    } catch {
      throw NodeError("\(error)")
    }
  }

  private init(
    _ configuration: NodeConfiguration, listeners: NodeListeners, clock: NodeClock,
    note: @escaping @Sendable (String) -> Void
  ) throws {
    self.configuration = configuration
    self.clock = clock
    self.note = note
    workerCount = Self.workers(of: configuration)
    metrics = MetricsRegistry()
    store = Self.openStore(configuration, workers: workerCount, note: note)
    log = try Self.openLog(configuration)
    let pools = try Self.pools(of: configuration, now: clock.now().wall / 1000)
    resolver = try Resolver(pools: pools)
    let limits = try Self.limits(of: configuration, clock: clock, note: note)
    if let directory = configuration.store?.path, limits.overlayPath != nil, limits.hasQuotas {
      keeper = try LimitKeeper(limits, directory: directory, note: note)
    } else {
      keeper = nil
    }
    let isAnyChecked = pools.contains { $0.settings.health != nil }
    checker =
      isAnyChecked
      ? try HealthChecker(pools: pools, clock: clock, seed: Random.hash128().low) { change in
        note(Self.text(of: change))
      } : nil
    let sites = try Self.fileSites(of: configuration)
    let fileThreads = sites.contains { $0 != nil } ? try FileThreads() : nil
    traces = try configuration.trace.map { trace in
      try TraceExporter(
        trace, node: configuration.nodeName, version: Release.version, note: note)
    }
    let credentials = try NodeCredentials(configuration, clock: clock)
    context = NodeContext(
      configuration: configuration, clock: clock, store: store, pools: pools,
      limits: limits, metrics: metrics, log: log,
      fileSites: sites, fileThreads: fileThreads, credentials: credentials,
      geo: try Self.openGeo(configuration), traces: traces?.queue)
    addresses = listeners.data.compactMap {
      $0.first.flatMap { Socket.localAddress(of: $0.socket) }
    }
    adminAddress = listeners.admin.flatMap { Socket.localAddress(of: $0.socket) }
    if let listener = listeners.admin {
      admin = try AdminServer(
        listener: listener, token: configuration.admin?.token, context: context, note: note)
    } else {
      admin = nil
    }
    finished = try Waker()
    runningWorkers = Atomic(workerCount)
    addFigures()
    try startWorkers(listeners)
    context.startCredentials()
    traces?.start()
    resolver.start()
    keeper?.start()
    try checker?.start()
    admin?.start()
  }

  /// The pools of a configuration. Each goes on with what the one of its name in `former` knew.
  private static func pools(
    of configuration: NodeConfiguration, after former: [OriginPool] = [], now: Int64
  ) throws -> [OriginPool] {
    try configuration.origins.map { origin in
      OriginPool(
        origin, settings: PoolSettings(origin),
        successorOf: former.first { $0.settings.name == origin.name },
        tls: try tls(of: origin, now: now))
    }
  }

  private static func tls(of origin: OriginConfiguration, now: Int64) throws -> OriginTLS? {
    guard let configuration = origin.tls else { return nil }
    do throws(TLSLoadError) {
      return try OriginTLS(configuration, now: now)
    } catch {
      throw NodeError("origin \(origin.name): \(error)")
    }
  }

  /// The directories of those pools that are files.
  private static func fileSites(of configuration: NodeConfiguration) throws -> [FileSite?] {
    try configuration.origins.map { origin in
      guard let files = origin.files else { return nil }
      var settings = FileSettings(root: files.root)
      settings.indexes = files.indexes
      settings.lists = files.lists
      settings.followsLinks = files.followsLinks
      settings.precompressed = files.precompressed
      do throws(Errno) {
        return try FileSite(settings)
      } catch {
        throw NodeError("files \(files.root): \(error)")
      }
    }
  }

  private static func text(of change: HealthChange) -> String {
    let server = "origin \(change.pool): server \(change.server)"
    return change.isUp ? "\(server) is up again" : "\(server) is down: \(change.result.name)"
  }

  private static func limits(
    of configuration: NodeConfiguration, clock: NodeClock,
    note: @escaping @Sendable (String) -> Void
  ) throws -> NodeLimits {
    do throws(LimitDefect) {
      return try NodeLimits.open(
        configuration, directory: configuration.store?.path, now: clock.now(),
        note: { note("limits: \($0)") })
    } catch {
      throw NodeError(error.text)
    }
  }

  private static func openGeo(_ configuration: NodeConfiguration) throws -> GeoDatabase? {
    guard !configuration.geoDatabases.isEmpty else { return nil }
    switch GeoDatabase.open(paths: configuration.geoDatabases) {
    case .success(let database): return database
    case .failure(let problem):
      throw NodeError("cannot open the geo database \(problem.path): \(problem.message)")
    }
  }

  private static func openStore(
    _ configuration: NodeConfiguration, workers: Int, note: @escaping @Sendable (String) -> Void
  ) -> ObjectStore? {
    guard let settings = configuration.store else { return nil }
    do {
      let store = try ObjectStore.open(
        StoreOptions(
          path: settings.path, sizeLimit: settings.size, readers: workers,
          memory: settings.memory ?? 0, note: { note("store: \($0)") }))
      if let text = store.openingNote { note("store: \(text)") }
      return store
    } catch {
      note("store: \(error). The node goes on without a store: nothing is cached.")
      return nil
    }
  }

  private static func openLog(_ configuration: NodeConfiguration) throws -> AccessLogWriter? {
    let target: AccessLogDestination
    switch configuration.accessLog {
    case .off: return nil
    case .standardOutput: target = .standardOutput
    case .file(let path): target = .file(path)
    }
    do {
      return try AccessLogWriter(
        target: target, format: configuration.accessLogFormat == .json ? .json : .combined,
        labels: NodeContext.logLabels(of: configuration))
    } catch {
      throw NodeError("cannot open the access log \(configuration.accessLog): \(error)")
    }
  }

  private func startWorkers(_ listeners: NodeListeners) throws {
    var workers: [WorkerBox] = []
    for index in 0..<workerCount {
      let own = listeners.data.compactMap { index < $0.count ? $0[index] : nil }
      workers.append(WorkerBox(try Worker(context: context, listeners: own)))
    }
    for (index, worker) in workers.enumerated() {
      let thread = LoopThread(name: "weir-worker-\(index)") { [self] in
        worker.run()
        if runningWorkers.subtract(1, ordering: .acquiringAndReleasing).newValue == 0 {
          finished.wake()
        }
      }
      threads.withLock { $0.append(thread) }
    }
  }

  // MARK: Stopping

  /// Stops accepting, finishes what is in flight for as long as `drain_timeout` allows (or `time`, in
  /// nanoseconds), and ends every thread. Blocks until then. Call once.
  package func stop(within time: Int64? = nil) {
    let deadline = clock.now().monotonic + (time ?? configuration.drainTimeout)
    context.drain(deadline: deadline)
    while runningWorkers.load(ordering: .acquiring) > 0 { finished.wait(milliseconds: 1000) }
    for thread in threads.withLock({ $0 }) { thread.join() }
    admin?.stop()
    keeper?.stop()
    resolver.stop()
    checker?.stop()
    context.fileThreads?.stop()
    context.stopCredentials()
    traces?.stop()
    store?.close()
    log?.close()
  }

  /// Opens the access log's file again (SIGUSR1).
  package func reopenLogs() { log?.reopen() }

  /// Waits until what was logged is in the file. For tests.
  package func flushLogs() { log?.flush() }

  /// Fills under way now.
  package var fillsUnderWay: Int { context.fillsUnderWay }

  /// Requests that wait for a place at an origin's server.
  package var waitingForOrigins: Int {
    let now = clock.now().monotonic
    return context.pools.reduce(0) { $0 + $1.report(now: now).waiting }
  }

  // MARK: Figures

  private func addFigures() {
    let store = store
    let context = context
    let log = log
    let workers = UInt64(workerCount)
    let startedAt = UInt64(max(0, clock.now().wall / 1000))
    // Weakly: the figures may be read for longer than the store is open.
    metrics.addSource { [weak store, weak context] writer in
      writer.add(.info, 1, [Release.version])
      writer.add(.startTime, startedAt)
      writer.add(.workers, workers)
      context?.addLimits(to: &writer)
      context?.addOrigins(to: &writer)
      if let log {
        writer.add(.logLines, log.lines)
        writer.add(.logWriteErrors, log.writeErrors)
        writer.add(.logDropped, log.unwritten, ["write"])
      }
      if let counts = context?.traces?.counts {
        writer.add(.tracesExported, counts.sent)
        writer.add(.tracesDropped, counts.lost)
        writer.add(.traceExportErrors, counts.failures)
      }
      if let store { Self.add(store.statistics, to: &writer) }
    }
  }

  private static func add(_ statistics: StoreStatistics, to writer: inout MetricsWriter) {
    writer.add(.storeObjects, statistics.objects)
    writer.add(.storeBytes, statistics.bytesInUse)
    writer.add(.storeLimitBytes, statistics.sizeLimit)
    writer.add(.storeStored, statistics.insertions)
    writer.add(.storeEvictions, statistics.evictions)
    writer.add(.storeRefused, statistics.refusals)
    writer.add(.storeCommits, statistics.commits)
    writer.add(.storeErrors, statistics.damaged)
    writer.add(.purges, statistics.purges, ["tag"])
    writer.add(.purgedObjects, statistics.swept)
    writer.add(.purgesPending, statistics.pendingPurges)
  }
}

/// Carries a worker to the thread that runs it.
private final class WorkerBox: @unchecked Sendable {
  // Sendable because the worker is used by one thread only, from `run` on.
  private let worker: Worker
  init(_ worker: Worker) { self.worker = worker }
  func run() { worker.run() }
}
