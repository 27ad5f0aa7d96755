// Limits on requests to origins that no client waits for: a stale response is served, and validated behind
// it. What is counted on the way to the origin (`on=miss`) counts these too. One that a limit refuses, or
// would let wait, is not made: the stale response has been given, and the next request for it asks again.

internal import Bytes
internal import EventLoop
internal import RateLimiting

extension Exchange {
  /// Asks the limits on the way to the origin. The checks, which the request's end must settle; nil: it is
  /// not to be made now.
  func admitBackground(_ worker: Worker) -> HeldChecks? {
    let box = worker.takeChecks()
    box.checks.removeAll()
    put(generation.routes.routes[route].limits.miss, worker, on: &box.checks)
    if isRuled {
      forEachChosenLimit(worker) { chosen, cost in
        put(chosen.miss, worker, cost: cost, on: &box.checks)
      }
    }
    if box.checks.count == 0 { return box }
    let (now, time) = (worker.now.monotonic, worker.now.wall / 1000)
    switch generation.limits.decide(
      &box.checks, now: now, time: time, worker: UInt32(truncatingIfNeeded: worker.index),
      request: 0)
    {
    case .allowed: return box
    case .waits: worker.tell(generation.limits.leave(&box.checks, now: now, time: time))
    case .refused: break
    }
    worker.giveChecks(box)
    return nil
  }
}

extension OriginRequest {
  /// Settles the checks of a request that has ended with a status (0: without any).
  func settle(_ box: HeldChecks, status: UInt16) {
    let (limits, table, now) = (generation.limits, generation.limitTable, worker.now)
    for index in 0..<box.checks.count {
      let limit = Int(box.checks[index].limit)
      guard (200..<400).contains(status), table.traits[limit].countsErrors else { continue }
      limits.correct(
        &box.checks, check: index, cost: 0, now: now.monotonic, time: now.wall / 1000)
    }
    limits.finish(&box.checks)
    worker.giveChecks(box)
  }
}
