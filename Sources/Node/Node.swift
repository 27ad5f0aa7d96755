// A node: the store, the workers, the admin listener, the access log, put together and taken apart in
// the right order.

internal import AccessLog
internal import Accounting
internal import Admin
internal import Bytes
package import Configuration
internal import Crashes
package import Edge
package import EventLoop
internal import Fleet
internal import GeoDatabase
package import Metrics
package import ObjectStore
internal import Origins
internal import RateLimiting
internal import StaticFiles
import Synchronization
internal import TLS
internal import Tracing

/// A running point of presence.
package final class Node: Sendable {
  /// What is in force.
  package var configuration: NodeConfiguration { context.current.configuration }
  /// Where clients connect, in the configuration's order, with the ports that the system picked.
  package var addresses: [SocketAddress] {
    addressBook.withLock { $0.entries.compactMap(\.bound) }
  }
  /// Where the operator connects.
  package let adminAddress: SocketAddress?
  /// The same as an operator would write it: an address, or `unix:` and a path; nil if there is none.
  package let adminPlace: String?
  /// The figures.
  package let metrics: MetricsRegistry
  /// The store, if it has one and it could be opened.
  package let store: ObjectStore?

  let context: NodeContext
  let resolver: Resolver
  let checker: Mutex<HealthChecker?>
  let reloader: Reloader
  let texts: Mutex<ConfigurationTexts>
  let addressBook: Mutex<OpenAddresses>
  let reloads = ReloadCounts()
  let holder: (any SocketHolder)?
  let audit: AuditLog
  let admin = Mutex<AdminServer?>(nil)
  /// What fetches ahead of clients; nil without a listener to ask by.
  let warming: Warming?
  /// What a successor will listen on.
  let waitingSockets = Mutex<[[Listener]]>([])
  let keeper: LimitKeeper?
  private let accounts: AccountKeeper?
  private let fileWatcher: FileWatcher
  private let traces: TraceExporter?
  let certificates: NodeCertificates
  let watcher: CertificateWatcher
  let clock: NodeClock
  private let threads = Mutex<[LoopThread]>([])
  let workerCount: Int
  let finished: Waker
  private let runningWorkers: Atomic<Int>
  let note: @Sendable (String) -> Void

  /// How many workers a configuration asks for.
  package static func workers(of configuration: NodeConfiguration) -> Int {
    configuration.workers ?? Machine.processors
  }

  /// Starts a node on its listening sockets.
  ///
  /// - Parameters:
  ///   - text: what the configuration says, for reloads; nil: it is never reloaded.
  ///   - listeners: its listening sockets, which it takes over.
  ///   - holder: who else holds them.
  ///   - asSuccessor: whether another process still answers in its place: the store is opened, but nothing is
  ///     accepted before `begin()`.
  ///   - note: called with what an operator should know, a line at a time, on any thread.
  package static func start(
    _ configuration: NodeConfiguration, text: ConfigurationText? = nil, listeners: NodeListeners,
    holder: (any SocketHolder)? = nil, asSuccessor: Bool = false,
    clock: NodeClock = NodeClock(),
    note: @escaping @Sendable (String) -> Void
  ) throws(NodeError) -> Node {
    Machine.raiseDescriptorLimit()
    do {
      return try Node(
        configuration, text, listeners: listeners, holder: holder, asSuccessor: asSuccessor,
        clock: clock, note: note)
    } catch let error as NodeError {
      throw error
    } catch {
      throw NodeError("\(error)")
    }
  }

  private init(
    _ configuration: NodeConfiguration, _ text: ConfigurationText?, listeners: NodeListeners,
    holder: (any SocketHolder)?, asSuccessor: Bool, clock: NodeClock,
    note: @escaping @Sendable (String) -> Void
  ) throws {
    self.clock = clock
    self.note = note
    self.holder = holder
    workerCount = Self.workers(of: configuration)
    metrics = MetricsRegistry()
    store = Self.openStore(
      configuration, workers: workerCount, hasPredecessor: asSuccessor, note: note)
    let routeNames = NodeContext.makeRouteNames()
    let live = try LiveLog(labels: NodeContext.logLabels(routes: routeNames))
    let log = try Self.openLog(configuration, routeNames, live: live, note: note)
    audit = AuditLog(note: note)
    audit.adopt(try Self.openAudit(configuration))
    let pools = Self.pools(
      of: configuration, tls: try Self.originTLS(of: configuration, now: clock.now().wall / 1000))
    resolver = try Resolver(pools: pools)
    let limits = try Self.limits(of: configuration, clock: clock, note: note)
    reloader = try Reloader(clock)
    let sites = try Self.fileSites(of: configuration)
    let fileThreads = sites.contains { $0 != nil } ? try FileThreads() : nil
    traces = try configuration.trace.map { trace in
      try TraceExporter(
        trace, node: configuration.nodeName, version: Release.version, note: note)
    }
    let credentials = try NodeCredentials(configuration, clock: clock)
    let isAnyChecked = pools.contains { $0.settings.health != nil }
    checker = Mutex(
      isAnyChecked ? try Self.checker(pools, credentials, clock: clock, note: note) : nil)
    var parts = GenerationParts(configuration: configuration, pools: pools, limits: limits)
    parts.log = log
    parts.fileSites = sites
    parts.fileThreads = fileThreads
    parts.credentials = credentials
    parts.geo = try Self.openGeo(configuration, watchedBy: credentials.files)
    credentials.files.watchMaps(of: configuration)
    certificates = try Self.certificates(of: configuration)
    context = NodeContext(
      parts, clock: clock, store: store, metrics: metrics, routeNames: routeNames,
      certificates: certificates, tokens: TokenTable(configuration.admin, note: note),
      purgeNote: { [audit] event in
        note(event.line)
        audit.write(event)
      }, traces: traces?.queue, liveLog: live,
      fleet: try Self.fleet(of: configuration, store: store, note: note),
      switches: Switches(path: configuration.store.map { $0.path + "/switches" }))
    watcher = try CertificateWatcher(context, certificates, configuration, note: note)
    fileWatcher = try FileWatcher(clock: clock, note: note) { [context] in
      context.reloadFiles(onlySettled: true)
    }
    if let directory = configuration.store?.path, limits.overlayPath != nil {
      keeper = try LimitKeeper(
        { [context] in context.current.limits }, directory: directory, note: note)
    } else {
      keeper = nil
    }
    let book = configuration.store.map { [metrics] store in
      AccountingBook(
        directory: store.path + "/accounting", now: clock.now().wall,
        figures: { metrics.accounts() }, note: note)
    }
    accounts = try book.map { try AccountKeeper($0, clock: clock) }
    let sockets = listeners.take()
    let began = clock.now().wall
    texts = Mutex(
      ConfigurationTexts(
        present: text, former: nil, since: began,
        history: [(FormerConfiguration(generation: 1, since: began, source: .start), text)]))
    addressBook = Mutex(OpenAddresses(configuration.listeners, sockets.data))
    adminAddress = sockets.admin.flatMap { Socket.localAddress(of: $0.socket) }
    adminPlace = sockets.admin.flatMap { listener in
      UnixSocket.path(of: listener.socket).map { "unix:\($0)" }
        ?? Socket.localAddress(of: listener.socket)?.description
    }
    finished = try Waker()
    runningWorkers = Atomic(workerCount)
    warming = Self.ownAddress(configuration, sockets.data).map { [context] address in
      Warming(address, clock: clock) { [weak context] in context?.current.configuration }
    }
    if let listener = sockets.admin {
      let server = try AdminServer(
        listener: listener, context: context, audit: audit,
        warming: warming, note: note,
        configuration: WeakControl(self), accounting: book)
      admin.withLock { $0 = server }
    }
    addFigures()
    try startFleet()
    try startWorkers(asSuccessor ? [] : sockets.data)
    if asSuccessor { waitingSockets.withLock { $0 = sockets.data } }
    context.start(credentials)
    traces?.start()
    resolver.start()
    keeper?.start()
    accounts?.start()
    watcher.start()
    fileWatcher.start()
    try checker.withLock { try $0?.start() }
    if !asSuccessor { beginOrders() }
  }

  /// Takes orders, of operators and of the fleet: the node answers.
  func beginOrders() {
    admin.withLock { $0?.start() }
    warming?.open()
  }

  /// The pools of a configuration. Each goes on with what the one of its name in `former` knew; one of
  /// which the configuration says nothing new is the very same.
  static func pools(
    of configuration: NodeConfiguration, after former: [OriginPool] = [], tls: [OriginTLS?]
  ) -> [OriginPool] {
    zip(configuration.origins, tls).map { origin, tls in
      // Files of certificates may have changed though the configuration has not.
      if tls == nil, let same = former.first(where: { $0.configuration == origin }) { return same }
      return OriginPool(
        origin, settings: PoolSettings(origin),
        successorOf: former.first { $0.settings.name == origin.name }, tls: tls)
    }
  }

  /// What connections to the servers of each pool are secured by; nil for those that are not.
  static func originTLS(of configuration: NodeConfiguration, now: Int64) throws -> [OriginTLS?] {
    try configuration.origins.map { origin in
      guard let settings = origin.tls else { return nil }
      do throws(TLSLoadError) {
        return try OriginTLS(settings, now: now)
      } catch {
        throw NodeError("origin \(origin.name): \(error)")
      }
    }
  }

  static func checker(
    _ pools: [OriginPool], _ credentials: NodeCredentials, clock: NodeClock,
    note: @escaping @Sendable (String) -> Void
  ) throws -> HealthChecker {
    let pools = pools.map { CheckedPool($0, credentials) }
    return try HealthChecker(pools: pools, clock: clock, seed: Random.hash128().low) { change in
      note(text(of: change))
    }
  }

  /// The directories of those pools that are files.
  static func fileSites(of configuration: NodeConfiguration) throws -> [FileSite?] {
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
        configuration, directory: configuration.store?.path, clock: clock,
        note: { note("limits: \($0)") })
    } catch {
      throw NodeError(error.text)
    }
  }

  static func openGeo(
    _ configuration: NodeConfiguration, watchedBy files: WatchedFiles
  ) throws -> GeoSource? {
    guard !configuration.geoDatabases.isEmpty else { return nil }
    switch files.openGeo(configuration.geoDatabases) {
    case .success(let database): return database
    case .failure(let problem):
      throw NodeError("cannot open the geo database \(problem.path): \(problem.message)")
    }
  }

  private static func certificates(of configuration: NodeConfiguration) throws -> NodeCertificates {
    do throws(TLSLoadError) {
      return try NodeCertificates(configuration)
    } catch {
      throw NodeError("certificate \(error)")
    }
  }

  private static func openStore(
    _ configuration: NodeConfiguration, workers: Int, hasPredecessor: Bool,
    note: @escaping @Sendable (String) -> Void
  ) -> ObjectStore? {
    guard let settings = configuration.store else { return nil }
    do {
      var options = StoreOptions(
        // One reader more for the admin.
        path: settings.path, sizeLimit: settings.size, readers: workers + 1,
        memory: settings.memory ?? 0, note: { note("store: \($0)") },
        condition: { text in
          do throws(ObjectExpression.Defect) {
            return try ObjectExpression.compile(text)
          } catch {
            note("store: a purge by a condition that cannot be read any more reaches everything")
            return nil
          }
        })
      options.hasPredecessor = hasPredecessor
      let suspects = CrashFolder(store: settings.path).suspects(told: CrashArea.namings)
      options.dropped = suspects.compactMap(\.first?.object)
      let store = try ObjectStore.open(options)
      if let text = store.openingNote { note("store: \(text)") }
      noteDropped(suspects, of: settings.path, note)
      return store
    } catch {
      note(
        "store: \(error). The node goes on without a store: nothing is cached. weir doctor looks for the "
          + "cause; restart the node when it is gone.")
      return nil
    }
  }

  /// Says which objects were dropped, and has later starts know.
  private static func noteDropped(
    _ suspects: [[CrashNaming]], of store: String, _ note: @Sendable (String) -> Void
  ) {
    guard !suspects.isEmpty else { return }
    for object in suspects.compactMap(\.first?.object) {
      note(
        "store: object \(CrashNaming.digits(object)), which two crashes name, is dropped: it is fetched "
          + "anew when it is asked for (weir doctor shows the reports)")
    }
    do throws(Errno) {
      try CrashFolder(store: store).noteDropped(suspects, now: NodeClock().now().wall / 1_000)
    } catch {
      note("store: what was dropped cannot be noted, the next start drops it again: \(error)")
    }
  }

  /// Where the node can ask itself as a client would: a listener without TLS and PROXY header.
  private static func ownAddress(
    _ configuration: NodeConfiguration, _ listeners: [[Listener]]
  ) -> SocketAddress? {
    let addresses = listeners.map { $0.first.flatMap { Socket.localAddress(of: $0.socket) } }
    for (place, address) in addresses.enumerated() {
      guard let address, !configuration.proxyListeners.contains(place),
        !configuration.tlsListeners.contains(place)
      else { continue }
      if address.high == 0 && address.low == 0 {
        return SocketAddress(host: "::1", port: address.port)
      }
      if address.isIPv4 && UInt32(truncatingIfNeeded: address.low) == 0 {
        return SocketAddress(host: "127.0.0.1", port: address.port)
      }
      return address
    }
    return nil
  }

  static func openAudit(_ configuration: NodeConfiguration) throws -> AuditLog.File? {
    guard let path = configuration.admin?.auditLog else { return nil }
    do throws(Errno) {
      return try AuditLog.File(path)
    } catch {
      throw NodeError("cannot open the audit log \(path): \(error)")
    }
  }

  private func startWorkers(_ listeners: [[Listener]]) throws {
    var workers: [WorkerBox] = []
    for index in 0..<workerCount {
      let own = listeners.compactMap { index < $0.count ? $0[index] : nil }
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
    // A reload that is under way comes to its end, and none begins after it.
    reloader.stop()
    let deadline = clock.now().monotonic + (time ?? configuration.drainTimeout)
    context.drain(deadline: deadline)
    while runningWorkers.load(ordering: .acquiring) > 0 { finished.wait(milliseconds: 1000) }
    for thread in threads.withLock({ $0 }) { thread.join() }
    admin.withLock { $0?.stop() }
    context.fleet?.stop()
    warming?.stop()
    keeper?.stop()
    accounts?.stop()
    watcher.stop()
    fileWatcher.stop()
    resolver.stop()
    checker.withLock { $0?.stop() }
    reloader.finish()
    context.current.fileThreads?.stop()
    context.current.credentials.stop()
    traces?.stop()
    store?.close()
    context.current.log?.close()
    context.liveLog?.stop()
  }

  /// Reads the files again that have changed: keys, users, lists of addresses, geo databases. A file that
  /// is wrong changes nothing; what came of each is told to `note` and returned. Blocks.
  @discardableResult
  package func reloadFiles() -> [FileReload] {
    let reloads = context.reloadFiles()
    for reload in reloads { note("files: \(reload.text)") }
    return reloads
  }

  /// Opens the access log's file again (SIGUSR1).
  package func reopenLogs() {
    context.current.log?.reopen()
    audit.reopen()
  }

  /// Reads the files of certificates anew, on a thread of its own; what cannot be used is said, and
  /// changes nothing.
  package func reloadCertificates() { watcher.reload() }

  /// Waits until workers have counted, logged and begun all that belongs to what they have sent. For tests: a
  /// client may have an answer before its worker comes to that.
  package func catchUp() {
    let mark = context.mark()
    _ = mark.wait { runningWorkers.load(ordering: .acquiring) == workerCount }
  }

  /// Waits until what was logged is in the file. For tests.
  package func flushLogs() { context.current.log?.flush() }

  /// Fills under way now.
  package var fillsUnderWay: Int { context.fillsUnderWay }

  /// Requests that wait for a place at an origin's server.
  package var waitingForOrigins: Int {
    let now = clock.now().monotonic
    return context.current.pools.reduce(0) { $0 + $1.report(now: now).waiting }
  }

  // MARK: Figures

  private func addFigures() {
    let store = store
    let context = context
    let reloads = reloads
    let workers = UInt64(workerCount)
    let startedAt = UInt64(max(0, clock.now().wall / 1000))
    // Weakly: the figures may be read for longer than the store is open.
    metrics.addSource { [weak store, weak context] writer in
      writer.add(.info, 1, [Release.version])
      writer.add(.startTime, startedAt)
      writer.add(.workers, workers)
      writer.add(.configReloads, reloads.done.load(ordering: .relaxed), ["done"])
      writer.add(.configReloads, reloads.refused.load(ordering: .relaxed), ["refused"])
      if let context {
        writer.add(.ready, context.switches.isDrained ? 0 : 1)
        writer.add(.configGeneration, context.current.number)
        writer.add(.configGenerations, UInt64(clamping: context.liveGenerations))
      }
      context?.addLimits(to: &writer)
      context?.addOrigins(to: &writer)
      if let log = context?.current.log {
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
      if let fleet = context?.fleet { Self.add(fleet, to: &writer) }
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

/// How often a configuration came into force, or did not.
final class ReloadCounts: Sendable {
  let done = Atomic<UInt64>(0)
  let refused = Atomic<UInt64>(0)
}

/// The node for its admin server, which it holds and which must not hold it.
private final class WeakControl: ConfigurationControl {
  private weak let node: Node?

  init(_ node: Node) { self.node = node }

  var inForce: ConfigurationInForce? { node?.inForce }

  func upgrade() -> Bool { node?.upgrade() ?? false }

  func perform(
    _ order: ConfigurationOrder, done: @escaping @Sendable (ConfigurationAnswer) -> Void
  ) {
    guard let node else { return done(.refused(ReloadRefusal("the node stops"))) }
    node.perform(order, done: done)
  }
}
