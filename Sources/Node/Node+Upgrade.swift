// One process takes another's place, with the store and the listening sockets, and no request is lost.
//
//     old                       supervisor                successor
//                      ←─ upgrade ─→ starts it ─→     reads the configuration
//                                          ←─ prepared ─┘
//     retire()              ←─ retire                                ends writing; still reads and accepts
//        └─ retired ──→         open ─→                 opens the store, builds its table
//                                          ←─── ready ──┘
//     release()            ←─ release                                accepts and looks up nothing more
//        └─ released ──→       begin ─→                 begin(): accepts; the admin listener answers
//     stop(): drains                                    …
//        └─ its end ──→        gone ─→                  predecessorIsGone(): bodies may be deleted
//
// At each moment at most one process writes the store, and the admin listener is closed from `retire` to
// `begin`: so no purge is acknowledged while a process looks things up that does not hear of it. What the
// old one has begun to send from the store it sends to the end; the successor deletes no body meanwhile.
// Fills that are under way in the old one go to their clients alone.

internal import Admin
internal import Configuration
internal import Edge
internal import EventLoop
internal import Fleet
internal import ObjectStore
import Synchronization

extension Node {
  /// Ends writing to the store, for another process; and the admin listener, and reloads. What has been
  /// stored is still looked up. Blocks. Call once.
  package func retire() {
    reloader.stop()
    let server = admin.withLock { $0 }
    server?.stop()
    warming?.stop()
    context.fleet?.stop()
    keeper?.stop()
    store?.handOver { [holder] tag in holder?.forward(invalidation: tag) }
  }

  /// Accepts nothing more, and answers nothing more from the store but what is being sent. Blocks until
  /// every worker has heard of it; `stop` must follow.
  package func release() { _ = context.letGo().wait { true } }

  /// Goes on with the connections that there are for a while, each response being its connection's last:
  /// who is idle is not closed in the moment in which it sends its next request. Blocks; at most five
  /// seconds, or half of `drain_timeout`.
  package func letClientsGo() {
    let end = clock.now().monotonic + min(5_000_000_000, configuration.drainTimeout / 2)
    while context.openConnections > 0, clock.now().monotonic < end {
      finished.wait(milliseconds: 50)
    }
  }

  /// Begins to accept, and to answer on the admin listener: the other process has let go.
  package func begin() {
    let sockets = waitingSockets.withLock { sockets in
      defer { sockets = [] }
      return sockets
    }
    var listeners = [[NumberedListener]](repeating: [], count: workerCount)
    for (number, sockets) in sockets.enumerated() {
      for (worker, socket) in sockets.enumerated() where worker < workerCount {
        listeners[worker].append(NumberedListener(number: number, listener: socket))
      }
    }
    _ = context.listen(listeners).wait { true }
    beginOrders()
  }

  /// Whether every worker has ended a turn within two seconds.
  package func isAlive() -> Bool {
    let adoption = context.closeListeners([])
    var looks = 0
    return adoption.wait {
      looks += 1
      return looks <= 20
    }
  }

  /// The process that had the store before has ended.
  package func predecessorIsGone() { store?.predecessorIsGone() }

  /// Purges by the hash of a tag, for the process that had the store before.
  package func invalidate(tag: UInt64) { store?.invalidate(tag: tag) }
}
