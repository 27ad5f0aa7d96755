import Configuration
import Origins
import Synchronization
import Testing

/// How many are inside, were at most, and have been.
private final class Crowd: Sendable {
  private let counts = Mutex((inside: 0, most: 0, done: 0))

  var most: Int { counts.withLock { $0.most } }
  var done: Int { counts.withLock { $0.done } }

  func passThrough() {
    counts.withLock { counts in
      counts.inside += 1
      counts.most = max(counts.most, counts.inside)
    }
    counts.withLock { counts in
      counts.inside -= 1
      counts.done += 1
    }
  }
}

@Suite("Misses at a pool")
struct MissGateTests {
  private func pool(_ limit: Int) -> OriginPool {
    var configuration = OriginConfiguration(name: "app")
    configuration.servers = [ServerConfiguration(ServerAddress(host: "127.0.0.1", port: 1))]
    configuration.maxMisses = limit
    return OriginPool(configuration, settings: PoolSettings(configuration))
  }

  @Test func `so many are let in, and the rest in the order in which they came`() {
    let pool = pool(2)
    let granted = Mutex<[UInt64]>([])
    pool.setMissHandler { grant in granted.withLock { $0.append(grant.waiter.id) } }
    #expect(pool.enterMiss(worker: 0, id: 1, limit: 2) == .entered)
    #expect(pool.enterMiss(worker: 1, id: 2, limit: 2) == .entered)
    var tickets: [UInt64: WaitTicket] = [:]
    for id in UInt64(3)...6 {
      guard case .waits(let ticket) = pool.enterMiss(worker: 0, id: id, limit: 2) else {
        Issue.record("\(id) does not wait")
        return
      }
      tickets[id] = ticket
    }
    #expect(pool.missCounts == (2, 4))
    pool.leaveMiss()
    #expect(granted.withLock { $0 } == [3])
    #expect(tickets[3].map { pool.leaveMissLine($0) } == false)
    #expect(tickets[4].map { pool.leaveMissLine($0) } == true)
    #expect(tickets[4].map { pool.leaveMissLine($0) } == false)
    for _ in 0..<2 { pool.leaveMiss() }
    #expect(granted.withLock { $0 } == [3, 5, 6])
    for _ in 0..<2 { pool.leaveMiss() }
    #expect(pool.missCounts == (0, 0))
  }

  @Test func `from many threads never more than the limit are inside, and nobody is forgotten`()
    async
  {
    let pool = pool(8)
    let crowd = Crowd()
    let run: @Sendable () -> Void = {
      crowd.passThrough()
      pool.leaveMiss()
    }
    // A waiter's turn is taken on whatever thread gives it up.
    pool.setMissHandler { _ in Task { run() } }
    await withTaskGroup { group in
      for id in 0..<4_000 {
        group.addTask {
          if pool.enterMiss(worker: 0, id: UInt64(id), limit: 8) == .entered { run() }
        }
      }
    }
    while crowd.done < 4_000 { await Task.yield() }
    #expect(crowd.most <= 8)
    while pool.missCounts != (0, 0) { await Task.yield() }
  }
}
