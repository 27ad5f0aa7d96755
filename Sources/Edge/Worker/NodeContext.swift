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
import Synchronization

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
  /// The longest content that is stored: as configured, and at most half of the store, since storing
  /// something longer would evict nearly all else for it.
  let largestObject: UInt64
  /// What credentials are checked against.
  let credentials: NodeCredentials
  /// Where addresses are, if rules ask for it.
  let geo: GeoDatabase?
  /// Fills under way.
  let fills = FillTable()
  /// Which parameters of queries count, as far as responses have said so.
  let searchRules = SearchRules()
  /// How many client connections there are, of all workers.
  let connections = Atomic<Int>(0)
  private let posts = Mutex<[Inbox<WorkerMessage>]>([])

  /// Puts together what the workers share.
  package init(
    configuration: NodeConfiguration, clock: NodeClock, store: ObjectStore?, pools: [OriginPool],
    limits: NodeLimits, metrics: MetricsRegistry, log: AccessLogWriter?,
    credentials: NodeCredentials = NodeCredentials(), geo: GeoDatabase? = nil
  ) {
    self.configuration = configuration
    largestObject = configuration.store.map { min($0.maxObject, $0.size / 2) } ?? 0
    self.clock = clock
    self.store = store
    self.pools = pools
    self.limits = limits
    self.metrics = metrics
    self.log = log
    self.credentials = credentials
    self.geo = geo
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
  /// Keys for tokens were fetched, or could not be.
  case keysCame
  /// A password was checked, for the request on a connection.
  case passwordChecked(PasswordVerdict, token: UInt64)
  /// What a client's request wanted from the disk is in memory.
  case warmed(UInt64)
  /// A request of this worker's is the first of its line now.
  case departure(DueDeparture)
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
