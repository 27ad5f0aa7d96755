package import AccessLog
internal import Bytes
internal import Configuration
package import EventLoop
package import Fleet
internal import HTTPCaching
package import Metrics
package import ObjectStore
package import Origins
package import RateLimiting
package import StaticFiles
import Synchronization
package import Tracing

/// What all workers of a node share, whatever its configuration. Made once; nothing in it is locked on a
/// hit.
package final class NodeContext: Sendable {
  /// The time.
  package let clock: NodeClock
  /// The store, if there is one.
  package let store: ObjectStore?
  /// The figures.
  package let metrics: MetricsRegistry
  /// The names of routes, of all generations.
  package let routeNames: RouteNames
  /// Where traced requests are left; nil: none is traced.
  package let traces: TraceQueue?
  /// What the workers' random numbers begin with.
  let seed: UInt64
  /// Who may purge and change things.
  package let tokens: TokenTable
  /// Told of each PURGE request that was carried out, on any thread.
  let purgeNote: @Sendable (SitePurgeEvent) -> Void
  /// What origins are asked for, and what is hit.
  package let traffic = NodeTraffic()
  /// The certificates that are shown; nil: nobody speaks TLS.
  package let certificates: NodeCertificates?
  /// The node's part in a fleet; nil: it works alone.
  package let fleet: FleetClient?
  /// What an operator has switched over.
  package let switches: Switches
  /// Fills under way.
  let fills = FillTable()
  /// Which parameters of queries count, as far as responses have said so.
  let searchRules = SearchRules()
  /// Which variants of a key are stored.
  let variants = KnownVariants()
  /// How many client connections there are, of all workers.
  let connections = Atomic<Int>(0)
  private let live = LiveGenerations()
  private let generation: Mutex<NodeGeneration>
  private let posts = Mutex<[Inbox<WorkerMessage>]>([])

  /// Lines for who watches; it outlives the log of a configuration.
  package let liveLog: LiveLog?

  /// Puts together what the workers share.
  package init(
    _ parts: GenerationParts, clock: NodeClock, store: ObjectStore?, metrics: MetricsRegistry,
    routeNames: RouteNames = NodeContext.makeRouteNames(), certificates: NodeCertificates? = nil,
    tokens: TokenTable = TokenTable(),
    purgeNote: @escaping @Sendable (SitePurgeEvent) -> Void = { _ in }, traces: TraceQueue? = nil,
    liveLog: LiveLog? = nil, fleet: FleetClient? = nil, switches: Switches = Switches()
  ) {
    self.liveLog = liveLog
    self.fleet = fleet
    self.switches = switches
    self.traces = traces
    self.clock = clock
    self.store = store
    self.metrics = metrics
    self.routeNames = routeNames
    self.tokens = tokens
    self.purgeNote = purgeNote
    self.certificates = certificates
    seed = Random.hash128().low
    generation = Mutex(
      NodeGeneration(parts, number: 1, after: nil, names: routeNames, live: live))
    hearGrants(of: parts.pools)
  }

  /// The names of routes, of which there are none yet but the one that stands for "no route".
  package static func makeRouteNames() -> RouteNames { RouteNames([MetricsRegistry.noRoute]) }

  /// The generation that is in force. Not for a request's way: that has one of its own.
  package var current: NodeGeneration { generation.withLock { $0 } }

  /// How many generations there are: 1 when no request is under an earlier one any more.
  package var liveGenerations: Int { live.count.load(ordering: .relaxed) }

  /// Makes the next generation and puts it in force for all that begins from now on; workers are told,
  /// and each goes over to it between two turns.
  ///
  /// - Parameter listeners: what is new to listen on, for each worker.
  /// - Returns: the generation, and what counts the workers that have gone over to it.
  package func adopt(
    _ parts: GenerationParts, listeners: [[NumberedListener]] = []
  ) -> (generation: NodeGeneration, adoption: Adoption) {
    hearGrants(of: parts.pools)
    tokens.adopt(parts.configuration.admin)
    let next = generation.withLock { current in
      let next = NodeGeneration(
        parts, number: current.number + 1, after: current, names: routeNames, live: live)
      current = next
      return next
    }
    let inboxes = posts.withLock { $0 }
    let adoption = Adoption(workers: inboxes.count)
    for (index, inbox) in inboxes.enumerated() {
      let own = index < listeners.count ? listeners[index] : []
      inbox.post(.adopt(next, listeners: own, adoption))
    }
    return (next, adoption)
  }

  /// Has every worker take what waits at listening sockets, and close them.
  package func closeListeners(_ numbers: [Int]) -> Adoption {
    let inboxes = posts.withLock { $0 }
    let adoption = Adoption(workers: inboxes.count)
    for inbox in inboxes { inbox.post(.closeListeners(numbers, adoption)) }
    return adoption
  }

  /// Has every worker listen.
  package func listen(_ listeners: [[NumberedListener]]) -> Adoption {
    let inboxes = posts.withLock { $0 }
    let adoption = Adoption(workers: inboxes.count)
    for (index, inbox) in inboxes.enumerated() {
      inbox.post(.listen(index < listeners.count ? listeners[index] : [], adoption))
    }
    return adoption
  }

  /// Has every worker accept nothing more, and answer nothing more from the store but what it has begun
  /// to send: another process takes over, and its purges are not heard of here.
  package func letGo() -> Adoption {
    let inboxes = posts.withLock { $0 }
    let adoption = Adoption(workers: inboxes.count)
    for inbox in inboxes { inbox.post(.letGo(adoption)) }
    return adoption
  }

  /// Says when every worker has come to where it has done all that it was at when this was called.
  package func mark() -> Adoption {
    let inboxes = posts.withLock { $0 }
    let adoption = Adoption(workers: inboxes.count)
    for inbox in inboxes { inbox.post(.mark(adoption)) }
    return adoption
  }

  private func hearGrants(of pools: [OriginPool]) {
    for pool in pools {
      pool.setMissHandler { [weak self] in self?.post(.missGranted($0), to: $0.waiter.worker) }
      pool.setGrantHandler { [weak self] in self?.post(.granted($0), to: $0.waiter.worker) }
    }
  }

  /// How many connections of clients there are.
  package var openConnections: Int { connections.load(ordering: .relaxed) }

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

/// A listening socket of one worker. Its number is the same for all workers, and never used again.
package struct NumberedListener: Sendable {
  /// Which address it is of.
  package let number: Int
  /// The socket.
  package let listener: Listener

  /// A socket by its number.
  package init(number: Int, listener: Listener) {
    self.number = number
    self.listener = listener
  }
}

/// Counts the workers that have done what all were told to.
package final class Adoption: Sendable {
  private let left: Atomic<Int>
  private let waker: Waker?

  init(workers: Int) {
    left = Atomic(workers)
    waker = try? Waker()
  }

  /// Whether all have.
  package var isDone: Bool { left.load(ordering: .acquiring) <= 0 }

  func workerIsDone() {
    if left.subtract(1, ordering: .acquiringAndReleasing).newValue <= 0 { waker?.wake() }
  }

  /// Blocks until all have, or `goesOn`, asked from time to time, says no; whether all have.
  package func wait(while goesOn: () -> Bool) -> Bool {
    while !isDone && goesOn() { waker?.wait(milliseconds: 100) }
    return isDone
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
  /// A place among a pool's misses went to a request of this worker.
  case missGranted(MissGrant)
  /// A helper's thread has looked for a file, for the request of that name.
  case fileAnswered(UInt64, FileAnswer)
  /// It has read a piece of one; nil: the file has become shorter.
  case fileRead(UInt64, [UInt8]?)
  /// Keys for tokens were fetched, or could not be.
  case keysCame
  /// A purge that a client's request asked for is done with, for the request on a connection.
  case purged(Result<PurgeReceipt, PurgeFailure>, token: UInt64)
  /// Other certificates are to be shown from now on.
  case certificatesChanged
  /// A password was checked.
  case passwordChecked(PasswordVerdict)
  /// Requests begin with another configuration from now on; and accept on these, too.
  case adopt(NodeGeneration, listeners: [NumberedListener], Adoption)
  /// Listen on these no more.
  case closeListeners([Int], Adoption)
  /// Listen on these.
  case listen([NumberedListener], Adoption)
  /// Another process takes over: accept nothing, look nothing up.
  case letGo(Adoption)
  /// Nothing, but to say that it was read.
  case mark(Adoption)
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

  /// Begins to fetch keys and to check passwords, and tells every worker what came of it. Sources that
  /// are at work already go on.
  package func start(_ credentials: NodeCredentials) {
    credentials.start { [weak self] in self?.postToAll(.keysCame) }
  }

  /// Reads the files again that have changed: keys, users, lists of addresses, geo databases. What came of
  /// it; a file that is wrong changes nothing. Blocks.
  ///
  /// - Parameter onlySettled: leaves what somebody may still be writing for the next time.
  package func reloadFiles(onlySettled: Bool = false) -> [FileReload] {
    current.credentials.files.reload(onlySettled: onlySettled)
  }

  /// Has every worker show the certificates that were published last.
  package func showCertificates() { postToAll(.certificatesChanged) }

  private func postToAll(_ message: WorkerMessage) {
    for inbox in posts.withLock({ $0 }) { inbox.post(message) }
  }

  /// What the numbers of a log record mean.
  package static func logLabels(routes: RouteNames) -> AccessLogLabels {
    AccessLogLabels(
      routes: routes.all, cache: CacheResult.allCases.map { "\($0.label)" },
      details: ForwardReason.allCases.map { "\($0.name)" }, laterRoutes: { routes.all })
  }
}
