// After everything was purged softly, in all PoPs of a fleet at the same time (the log was lost, or somebody has
// ordered it), what is stored is validated at a bounded rate: the fleet's, divided by its PoPs. Each
// validation waits here for its turn (`ValidationTurns`), which is at a random moment of its interval, so
// that PoPs that have lost the same log do not knock together. Whoever would have to wait too long gets
// what the failure of an origin leaves: a stale response where it permits that (RFC 5861 §4), else 503.
//
// Not counted: misses, which `max_misses` bounds, and what is asked of another PoP of the fleet, which does
// the same with what it asks.

internal import Bytes
internal import Configuration
internal import EventLoop
internal import Fleet
internal import Metrics
internal import ObjectStore
internal import Origins

extension Worker {
  /// Whether validations of a stored response take turns.
  func takesTurns(isSoftlyPurged: Bool, responseTime: Int64) -> Bool {
    guard let fleet = context.fleet, let store = context.store else { return false }
    return fleet.gate.isAfterLoss
      || isSoftlyPurged && responseTime <= store.everythingStaledAt
  }
}

extension OriginRequest {
  /// How long a validation behind the back of a client waits at most, ns: others go first, and the next
  /// hit tries again.
  private static let backgroundPatience: Int64 = 1_000_000_000

  /// For how long nobody tries again, ns: a hit is not to pay for a validation that is not made.
  private static let pause: Int64 = 100_000_000

  /// Whether it has to wait for its turn, or has ended because that would take too long.
  func waitsForTurn() -> Bool {
    guard !hasTurn, !goesOn, !side.isOfFleet, let stored, let fleet = worker.context.fleet,
      worker.takesTurns(
        isSoftlyPurged: stored.isSoftlyPurged, responseTime: stored.responseTime)
    else { return false }
    hasTurn = true
    let (now, interval) = (worker.now.monotonic, fleet.validationInterval)
    let patience = side.pool.configuration.missTimeout
    let longest = isBackground ? min(Self.backgroundPatience, patience) : patience
    guard let turn = side.pool.takeTurn(now: now, interval: interval, latest: now &+ longest)
    else {
      if isBackground { side.turnsAreGoneUntil = now &+ Self.pause }
      isTurnless = true
      end(with: .tooBusy, retryAfter: longest)
      return true
    }
    let range = min(max(interval, 0), now &+ longest &- turn)
    let moment = Int64(Random.hash128().low % UInt64(range + 1))
    awaitsTurn = true
    stage = .gated
    fill.noteInLine()
    worker.counters.add(.validationsDelayed)
    setTimer(turn &+ moment)
    return true
  }

  /// It is its turn.
  func turnCame() {
    awaitsTurn = false
    fill.noteAsked(now: worker.now.monotonic)
    passGate()
  }
}
