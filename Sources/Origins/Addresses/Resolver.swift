package import EventLoop
import Synchronization

/// Keeps the addresses of servers that are configured by name: a thread of its own, since the
/// system's resolver blocks.
package final class Resolver: Sendable {
  private let pools: [OriginPool]
  private let waker: Waker
  private let stopping = Atomic<Bool>(false)
  private let thread = Mutex<LoopThread?>(nil)
  /// How long an answer is used: the resolver does not tell the record's own time to live.
  private static let interval: Int32 = 10_000

  /// Resolves every name once, before it returns; a name without an address now may get one later.
  package init(pools: [OriginPool]) throws(Errno) {
    self.pools = pools
    waker = try Waker()
    resolveAll()
  }

  /// Starts to look names up again from time to time, if there are any.
  package func start() {
    guard pools.contains(where: { $0.servers.contains(where: \.isNamed) }) else { return }
    thread.withLock { thread in
      thread = LoopThread(name: "weir-resolver") { [self] in
        while !stopping.load(ordering: .acquiring) {
          waker.wait(milliseconds: Self.interval)
          if !stopping.load(ordering: .acquiring) { resolveAll() }
        }
      }
    }
  }

  /// Ends the thread.
  package func stop() {
    stopping.store(true, ordering: .releasing)
    waker.wake()
    thread.withLock { thread in
      thread?.join()
      thread = nil
    }
  }

  private func resolveAll() {
    for pool in pools { for server in pool.servers where server.isNamed { server.resolve() } }
  }
}
