package import AccessLog
internal import Bytes
package import Configuration
package import EventLoop
package import GeoDatabase
internal import HTTPCaching
package import Metrics
package import ObjectStore
package import Origins
package import RateLimiting
package import StaticFiles
import Synchronization
package import Tracing

/// What all workers of a node share. Made once; nothing in it is locked on a hit.
package final class NodeContext: Sendable {
  /// The configuration that requests begin with.
  package let configuration: NodeConfiguration
  /// The time.
  package let clock: NodeClock
  /// The store, if there is one.
  package let store: ObjectStore?
  /// The pools, in the configuration's order.
  package let pools: [OriginPool]
  /// The limits.
  package let limits: NodeLimits
  /// The figures.
  package let metrics: MetricsRegistry
  /// The access log, if there is one.
  package let log: AccessLogWriter?
  /// Where traced requests are left; nil: none is traced.
  package let traces: TraceQueue?
  /// The longest content that is stored: as configured, and at most half of the store, since storing
  /// something longer would evict nearly all else for it.
  let largestObject: UInt64
  /// The directories of those pools that are files, in the configuration's order.
  package let fileSites: [FileSite?]
  /// The threads that open and read them; nil if there are none.
  package let fileThreads: FileThreads?
  /// Keys whose origin failed, for each route; nil where none is left alone for that.
  let keyFailures: [KeyFailures?]
  /// What the workers' random numbers begin with.
  let seed: UInt64
  /// What credentials are checked against.
  let credentials: NodeCredentials
  /// Where addresses are, if rules ask for it.
  let geo: GeoDatabase?
  /// Fills under way.
  let fills = FillTable()
  /// Which parameters of queries count, as far as responses have said so.
  let searchRules = SearchRules()
  /// Which variants of a key are stored.
  let variants = KnownVariants()
  /// How many client connections there are, of all workers.
  let connections = Atomic<Int>(0)
  private let posts = Mutex<[Inbox<WorkerMessage>]>([])

  /// Puts together what the workers share.
  package init(
    configuration: NodeConfiguration, clock: NodeClock, store: ObjectStore?, pools: [OriginPool],
    limits: NodeLimits, metrics: MetricsRegistry, log: AccessLogWriter?,
    fileSites: [FileSite?]? = nil, fileThreads: FileThreads? = nil,
    credentials: NodeCredentials = NodeCredentials(), geo: GeoDatabase? = nil,
    traces: TraceQueue? = nil
  ) {
    self.traces = traces
    self.configuration = configuration
    largestObject = configuration.store.map { min($0.maxObject, $0.size / 2) } ?? 0
    self.clock = clock
    self.store = store
    self.pools = pools
    self.limits = limits
    self.metrics = metrics
    self.log = log
    self.fileSites = fileSites ?? pools.map { _ in nil }
    self.fileThreads = fileThreads
    self.credentials = credentials
    self.geo = geo
    keyFailures = configuration.sites.flatMap(\.routes).map { route in
      let first = route.caching.failureBackoff
      return first > 0 ? KeyFailures(first: first) : nil
    }
    seed = Random.hash128().low
    for pool in pools {
      pool.setGrantHandler { [weak self] in self?.post(.granted($0), to: $0.waiter.worker) }
    }
  }

  /// How many fills are under way.
  package var fillsUnderWay: Int { fills.count }

  func register(_ inbox: Inbox<WorkerMessage>) -> Int {
    posts.withLock { posts in
      posts.append(inbox)
      return posts.count - 1
    }
  }

  /// Leaves a message for a worker.
  func post(_ message: WorkerMessage, to worker: Int) {
    let inbox = posts.withLock { worker < $0.count ? $0[worker] : nil }
    inbox?.post(message)
  }
}

/// What other threads tell a worker.
package enum WorkerMessage: Sendable {
  /// A fill that this worker's clients read has moved on.
  case fillProgressed(Fill)
  /// A fill that this worker leads may be read on.
  case fillMayReadOn(Fill)
  /// The store has committed a fill's content up to a position.
  case committed(Fill, through: UInt64)
  /// The store did not take a fill's content.
  case notStored(Fill)
  /// What a client's request wanted from the disk is in memory.
  case warmed(UInt64)
  /// A request of this worker's is the first of its line now.
  case departure(DueDeparture)
  /// A place at a server went to a request of this worker.
  case granted(SlotGrant)
  /// A helper's thread has looked for a file, for the request of that name.
  case fileAnswered(UInt64, FileAnswer)
  /// It has read a piece of one; nil: the file has become shorter.
  case fileRead(UInt64, [UInt8]?)
  /// Keys for tokens were fetched, or could not be.
  case keysCame
  /// A password was checked, for the request on a connection.
  case passwordChecked(PasswordVerdict, token: UInt64)
  /// Finish what is in flight, take nothing new, end by this time (monotonic).
  case drain(deadline: Int64)
}

extension NodeContext {
  /// Tells the workers of requests that are first in their lines when these may leave.
  package func tell(_ departures: [DueDeparture]) {
    for due in departures { post(.departure(due), to: Int(due.worker)) }
  }

  /// Tells every worker to finish what is in flight and end by a time (monotonic).
  package func drain(deadline: Int64) {
    for inbox in posts.withLock({ $0 }) { inbox.post(.drain(deadline: deadline)) }
  }

  /// Begins to fetch keys and to check passwords, and tells every worker what came of it.
  package func startCredentials() {
    credentials.start { [weak self] in self?.postToAll(.keysCame) }
  }

  /// Ends the threads of that.
  package func stopCredentials() { credentials.stop() }

  private func postToAll(_ message: WorkerMessage) {
    for inbox in posts.withLock({ $0 }) { inbox.post(message) }
  }

  /// What the numbers of a log record mean.
  package static func logLabels(of configuration: NodeConfiguration) -> AccessLogLabels {
    AccessLogLabels(
      routes: RouteTable(configuration).names,
      cache: CacheResult.allCases.map { "\($0.label)" },
      details: ForwardReason.allCases.map { "\($0.name)" })
  }
}

extension NodeContext {
  /// Adds the origins' figures to a scrape.
  package func addOrigins(to writer: inout MetricsWriter) {
    let now = clock.now().monotonic
    for pool in pools where pool.configuration.files == nil {
      let report = pool.report(now: now)
      let name = [report.name]
      writer.add(.originInFlight, UInt64(clamping: report.inFlight), name)
      writer.add(.originWaiting, UInt64(clamping: report.waiting), name)
      writer.add(.originPoolRetries, report.retries, name)
      writer.add(.originHedges, report.hedges, name)
      writer.add(.originRetriesRefused, report.budgetRefusals, name)
      writer.add(.originRefused, report.refusedNoServer, name + ["no_server"])
      writer.add(.originRefused, report.refusedBreaker, name + ["breaker"])
      writer.add(.originRefused, report.refusedFull, name + ["full"])
      writer.add(.originRefused, report.queueTimeouts, name + ["queue"])
      writer.add(.originPanics, report.panics, name)
      switch report.breaker {
      case .closed: writer.add(.originBreakerOpen, 0, name)
      case .open: writer.add(.originBreakerOpen, 1, name)
      case .halfOpen: writer.add(.originBreakerOpen, seconds: 0.5, name)
      }
      for server in report.servers { add(server, of: report.name, to: &writer) }
    }
  }

  private func add(_ server: ServerReport, of pool: String, to writer: inout MetricsWriter) {
    let names = [pool, server.name]
    writer.add(.originServerState, 1, names + [server.condition.rawValue])
    writer.add(.originServerInFlight, UInt64(clamping: server.inFlight), names)
    writer.add(.originServerRequests, server.requests, names)
    writer.add(.originServerFailures, server.failures, names)
    writer.add(.originServerLatency, seconds: Double(server.peakLatency) / 1_000_000, names)
    writer.add(.originServerEjections, server.ejections, names)
    writer.add(.originServerBreakerOpenings, server.breakerOpenings, names)
    let passed = server.checks >= server.failedChecks ? server.checks - server.failedChecks : 0
    writer.add(.originServerChecks, passed, names + ["passed"])
    writer.add(.originServerChecks, server.failedChecks, names + ["failed"])
  }
}

extension NodeContext {
  /// Adds the limits' figures to a scrape.
  package func addLimits(to writer: inout MetricsWriter) {
    for limit in limits.set.limits {
      let tally = limit.tally
      writer.add(.limitDecisions, tally.allowed, [limit.name, "allowed"])
      writer.add(.limitDecisions, tally.delayed, [limit.name, "delayed"])
      writer.add(.limitDecisions, tally.refused, [limit.name, "rejected"])
      writer.add(.limitDecisions, tally.shadowed, [limit.name, "shadowed"])
    }
    for limit in limits.set.limits { writer.add(.limitKeys, UInt64(limit.keys), [limit.name]) }
    for limit in limits.set.limits { writer.add(.limitBytes, UInt64(limit.bytes), [limit.name]) }
    for limit in limits.set.limits {
      writer.add(.limitWaiting, UInt64(limit.waiting), [limit.name])
    }
  }
}
