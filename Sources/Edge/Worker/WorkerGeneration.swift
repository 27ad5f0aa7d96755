// A generation as one worker has compiled it: its own copy of routes, rules and limits, so that nothing
// that a request reads is counted by reference across workers.
//
// An exchange is of one generation from its request's begin to its end, and everything on its way asks
// that one (`Exchange.generation`, `OriginRequest.generation`); indexes of routes, pools and limits mean
// something only together with it. Exchanges without a request go over to the worker's at once.

internal import AccessLog
internal import Bytes
internal import ClientAddress
internal import Configuration
internal import EventLoop
internal import Origins
internal import RateLimiting

final class WorkerGeneration {
  /// What the workers share of it.
  let shared: NodeGeneration
  let routes: RouteTable
  /// The limits that all workers share.
  let limits: LimitSet
  let limitTable: LimitTable
  let trustsProxies: Bool
  /// This worker's side of each pool.
  let sides: [PoolSide]
  /// What signs requests to each pool; nil where nothing does.
  let signers: [OriginSigner?]
  /// What routes want to be shown.
  let gates: Gates
  let logRing: AccessLogRing?

  /// The number of its configuration.
  var number: UInt64 { shared.number }

  /// Compiles a generation for a worker. What has not changed since `former` is taken from it.
  init(_ shared: NodeGeneration, worker: Int, seed: UInt64, after former: WorkerGeneration?) {
    self.shared = shared
    let configuration = shared.configuration
    limits = shared.limits.set
    limitTable = LimitTable(configuration)
    trustsProxies = !limitTable.trusted.isEmpty
    routes = RouteTable(configuration, limits: limitTable, numbers: shared.routeNumbers)
    let workers = configuration.workers ?? Machine.processors
    sides = shared.pools.map { pool in
      former?.sides.first { $0.pool === pool }
        ?? PoolSide(pool, worker: worker, of: workers, seed: seed)
    }
    signers = configuration.origins.map { origin in
      origin.signing.flatMap { OriginSigner($0, shared.credentials) }
    }
    gates = Gates(configuration, shared.credentials, after: former?.gates)
    logRing =
      if let former, former.shared.log === shared.log { former.logRing } else {
        shared.log?.makeRing()
      }
  }
}
