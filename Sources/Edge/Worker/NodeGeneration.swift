// A generation: one configuration with all that was made for it, as the workers share it.
//
//   reload ──→ parts: pools, limits, files, credentials, log …   anything that fails ends here
//          ──→ NodeGeneration, the context's `current`
//          ──→ each worker's inbox ──→ WorkerGeneration (routes, rules, limits compiled for it alone)
//                                          └── exchanges, requests to origins: until they have ended
//
// What lives on is handed from one generation to the next by name: servers with their health and
// connections, limits with their buckets, keys whose origin failed, sources of keys, the log. What has
// not changed is the very same object in both. A generation goes when the last request that began with
// it has ended; whatever has a thread or a file of its own is closed by `whenEnded`, never by a worker.

package import AccessLog
internal import Bytes
package import Configuration
package import GeoDatabase
internal import Metrics
package import Origins
package import StaticFiles
import Synchronization

/// What a generation is put together from, all of it opened and checked.
package struct GenerationParts: Sendable {
  /// The configuration that requests begin with.
  package var configuration: NodeConfiguration
  /// The pools, in the configuration's order.
  package var pools: [OriginPool]
  /// The limits.
  package var limits: NodeLimits
  /// The access log, if there is one.
  package var log: AccessLogWriter?
  /// The directories of those pools that are files, in the configuration's order.
  package var fileSites: [FileSite?]
  /// The threads that open and read them; nil if there are none.
  package var fileThreads: FileThreads?
  /// What credentials are checked against.
  package var credentials = NodeCredentials()
  /// Where addresses are, if rules ask for it.
  package var geo: GeoSource?
  /// The numbers of the listening sockets (`NumberedListener`), by address in the configuration's order.
  package var listenerNumbers: [Int]

  /// The parts that every node has.
  package init(configuration: NodeConfiguration, pools: [OriginPool], limits: NodeLimits) {
    self.configuration = configuration
    self.pools = pools
    self.limits = limits
    fileSites = pools.map { _ in nil }
    listenerNumbers = Array(configuration.listeners.indices)
  }
}

/// A configuration in force, or one that was; see the top of this file.
package final class NodeGeneration: Sendable {
  /// Grows by one with each reload, from 1.
  package let number: UInt64
  /// The configuration that requests begin with.
  package let configuration: NodeConfiguration
  /// The pools, in the configuration's order.
  package let pools: [OriginPool]
  /// The limits.
  package let limits: NodeLimits
  /// The access log, if there is one.
  package let log: AccessLogWriter?
  /// The directories of those pools that are files, in the configuration's order.
  package let fileSites: [FileSite?]
  /// The threads that open and read them; nil if there are none.
  package let fileThreads: FileThreads?
  /// What credentials are checked against.
  package let credentials: NodeCredentials
  /// Where addresses are, if rules ask for it.
  package let geo: GeoSource?
  /// The longest content that is stored: as configured, and at most half of the store, since storing
  /// something longer would evict nearly all else for it.
  let largestObject: UInt64
  /// Keys whose origin failed, for each route; nil where none is left alone for that.
  let keyFailures: [KeyFailures?]
  /// The numbers that the routes have in figures and in the log, whatever their place.
  let routeNumbers: [Int]
  /// The numbers of the listening sockets, by address in the configuration's order.
  package let listenerNumbers: [Int]
  private let live: LiveGenerations
  private let atEnd = Mutex<[@Sendable () -> Void]>([])

  init(
    _ parts: GenerationParts, number: UInt64, after former: NodeGeneration?, names: RouteNames,
    live: LiveGenerations
  ) {
    self.number = number
    configuration = parts.configuration
    pools = parts.pools
    limits = parts.limits
    log = parts.log
    fileSites = parts.fileSites
    fileThreads = parts.fileThreads
    credentials = parts.credentials
    geo = parts.geo
    listenerNumbers = parts.listenerNumbers
    largestObject = parts.configuration.store.map { min($0.maxObject, $0.size / 2) } ?? 0
    keyFailures = Self.keyFailures(of: parts.configuration, after: former)
    routeNumbers = parts.configuration.routes.map { names.number(of: $0.name) }
    self.live = live
    live.count.add(1, ordering: .relaxed)
  }

  deinit {
    live.count.subtract(1, ordering: .relaxed)
    for action in atEnd.withLock({ $0 }) { action() }
  }

  /// Has `action` called when nothing is under this generation any more, on any thread, a worker's
  /// most likely: it must not block.
  package func whenEnded(_ action: @escaping @Sendable () -> Void) {
    atEnd.withLock { $0.append(action) }
  }

  private static func keyFailures(
    of configuration: NodeConfiguration, after former: NodeGeneration?
  ) -> [KeyFailures?] {
    let before = former?.configuration.routes ?? []
    return configuration.routes.map { route in
      let first = route.caching.failureBackoff
      guard first > 0 else { return nil }
      let place = before.firstIndex {
        $0.name == route.name && $0.caching.failureBackoff == first
      }
      return place.flatMap { former?.keyFailures[$0] } ?? KeyFailures(first: first)
    }
  }
}

/// How many generations there are: the one in force, and those that requests are still under.
final class LiveGenerations: Sendable {
  let count = Atomic<Int>(0)
}

extension NodeConfiguration {
  /// All routes, in the order of their sites: what their indexes count.
  package var routes: [RouteConfiguration] { sites.flatMap(\.routes) }
}
