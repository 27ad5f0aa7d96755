package import EventLoop
import Synchronization

/// Keeps the addresses of servers that are configured by name: a thread of its own, since the
/// system's resolver blocks.
package final class Resolver: Sendable {
  /// Looks a name up, blocking; all addresses in the order of RFC 6724, none if that failed.
  package typealias Lookup = @Sendable (_ host: String, _ port: UInt16) -> [SocketAddress]

  private struct Name {
    let server: OriginServer
    var schedule: ResolutionSchedule
  }

  private let names: Mutex<[Name]>
  private let lookup: Lookup
  private let clock = NodeClock()
  private let waker: Waker
  private let stopping = Atomic<Bool>(false)
  private let thread = Mutex<LoopThread?>(nil)

  /// Resolves every name once, before it returns; a name without an address now may get one later.
  package init(
    pools: [OriginPool], lookup: @escaping Lookup = { Socket.resolve(host: $0, port: $1) }
  ) throws(Errno) {
    names = Mutex(Self.names(of: pools))
    self.lookup = lookup
    waker = try Waker()
    resolveDue(now: clock.monotonic())
  }

  private static func names(of pools: [OriginPool]) -> [Name] {
    pools.flatMap { pool in
      pool.servers.filter(\.isNamed).map {
        Name(server: $0, schedule: ResolutionSchedule(interval: pool.settings.resolveInterval))
      }
    }
  }

  /// Goes on with other pools, after a reload. Names that are new are resolved once before it returns;
  /// the others are looked up again when they would have been.
  package func replace(_ pools: [OriginPool]) {
    var fresh = Self.names(of: pools)
    let known = names.withLock { $0 }
    for index in fresh.indices {
      let before = known.first {
        $0.server === fresh[index].server
          && $0.schedule.interval == fresh[index].schedule.interval
      }
      if let before {
        fresh[index].schedule = before.schedule
      } else {
        let found = fresh[index].server.resolve(lookup)
        fresh[index].schedule.ended(foundAny: found, now: clock.monotonic())
      }
    }
    names.withLock { $0 = fresh }
    start()
    waker.wake()
  }

  /// Starts to look names up again from time to time, if there are any.
  package func start() {
    guard names.withLock({ !$0.isEmpty }) else { return }
    thread.withLock { thread in
      guard thread == nil else { return }
      thread = LoopThread(name: "weir-resolver") { [self] in
        while !stopping.load(ordering: .acquiring) {
          let next = names.withLock { $0.map(\.schedule.next).min() ?? .max }
          let pause = max(0, next &- clock.monotonic()) / 1_000_000 + 1
          waker.wait(milliseconds: Int32(clamping: pause))
          if !stopping.load(ordering: .acquiring) { resolveDue(now: clock.monotonic()) }
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

  /// Looks up what is due, one after the other. The lock is not held meanwhile: there is one thread, and
  /// it is only for the hand-over from the thread that made this.
  func resolveDue(now: Int64) {
    let due = names.withLock { $0.filter { $0.schedule.isDue(now: now) } }
    for name in due {
      let found = name.server.resolve(lookup)
      names.withLock { names in
        // They may be others by now.
        for index in names.indices where names[index].server === name.server {
          names[index].schedule.ended(foundAny: found, now: now)
        }
      }
    }
  }
}
