// How many misses go to a pool at once. After a cold start, or a purge of everything, every request is one,
// and an origin that answers a few hundred requests a second when the cache is warm would get all of
// them at once: what is above the limit waits in one line for all workers, first come, first served. Hits
// do not come here, and neither does what is never stored, so that a checkout does not wait behind
// pictures.
//
// One small lock, taken twice for each miss, which costs some ten thousand times as much. A place that is
// left goes to the first in the line at once; it is the waiter's from that moment, also when its request has
// gone meanwhile, so its worker has to give it on.

internal import Configuration
internal import EventLoop
internal import Synchronization

/// A place that went to a request that waited.
package struct MissGrant: Sendable {
  /// Whom it is for.
  package let waiter: Waiter
  /// The pool whose gate it is.
  package let pool: OriginPool
}

/// What asking for a place came to.
package enum MissEntry: Sendable, Equatable {
  /// It goes on.
  case entered
  /// It waits for a grant; to leave the line it needs this.
  case waits(WaitTicket)
  /// Too many wait.
  case full
}

/// See the top of this file.
final class MissGate: Sendable {
  private struct State {
    var inside = 0
    var line = WaitingQueue()
  }

  /// The most that wait.
  static let longestLine = 1_000_000
  private let state = Mutex(State())

  /// Takes a place, or one in the line.
  func enter(_ waiter: Waiter, limit: Int) -> MissEntry {
    state.withLock { state in
      if state.inside < limit, state.line.count == 0 {
        state.inside += 1
        return .entered
      }
      guard let ticket = state.line.append(waiter, limit: Self.longestLine) else { return .full }
      return .waits(ticket)
    }
  }

  /// Takes a place beyond the limit if need be.
  func enterAtOnce() { state.withLock { $0.inside += 1 } }

  /// Leaves a place; who gets it, and others that a raised limit lets in.
  func leave(limit: Int) -> [Waiter] {
    state.withLock { state in
      state.inside = max(0, state.inside - 1)
      guard state.line.count > 0 else { return [] }
      var granted: [Waiter] = []
      while state.inside < limit, let waiter = state.line.popFirst() {
        state.inside += 1
        granted.append(waiter)
      }
      return granted
    }
  }

  /// Leaves the line; false if a place has been granted.
  func giveUp(_ ticket: WaitTicket) -> Bool { state.withLock { $0.line.remove(ticket) } }

  /// How many have a place, and how many wait.
  var counts: (inside: Int, waiting: Int) { state.withLock { ($0.inside, $0.line.count) } }
}

extension OriginPool {
  /// Asks for a miss's place; without a limit there is one for everybody, and nothing to leave.
  package func enterMiss(worker: Int, id: UInt64, limit: Int) -> MissEntry {
    state.misses.enter(Waiter(worker: worker, id: id), limit: limit)
  }

  /// Takes a miss's place without waiting: the client has the beginning of the answer.
  package func enterMissAtOnce() { state.misses.enterAtOnce() }

  /// A miss that had a place has ended: who waits longest gets it.
  package func leaveMiss() {
    // A limit that a reload took away lets all in.
    let granted = state.misses.leave(limit: configuration.maxMisses ?? .max)
    for waiter in granted { state.onMissGrant.call(MissGrant(waiter: waiter, pool: self)) }
  }

  /// Leaves the line; false: a place has been granted, and the grant is on its way.
  package func leaveMissLine(_ ticket: WaitTicket) -> Bool { state.misses.giveUp(ticket) }

  /// How many misses are under way and how many wait.
  package var missCounts: (inside: Int, waiting: Int) { state.misses.counts }

  /// Has misses told that a place is theirs, on any thread.
  package func setMissHandler(_ handler: @escaping @Sendable (MissGrant) -> Void) {
    state.onMissGrant.set(handler)
  }
}
