// A pool, as all workers share it: an immutable list of servers and the words they change.
//
// A request's way through it, all in the worker's own thread (`PoolBalancer`):
//
//     plan    a client's request comes: its share goes into the retry budget
//     choose  a server is chosen and the request counted in: an `Attempt`. Or it waits for one, or there
//             is none
//     answered, failed   what became of the attempt is told to health, breakers and figures
//     end     the attempt is counted out, and who waits longest gets its place
//
// An attempt can be neither lost nor ended twice: it is not copyable, and its end is its deinit.
//
// Planning, choosing, telling and ending cost some 200 ns of CPU time with one server, 300 with sixteen,
// 500 with sixteen by hash; the fill around them costs 20 µs and more.

package import Configuration
import EventLoop
import Synchronization

/// A pool; see the top of this file.
package final class OriginPool: Sendable {
  /// As configured.
  package let configuration: OriginConfiguration
  /// What it goes by.
  package let settings: PoolSettings
  /// At least one, in the order of the settings.
  package let servers: [OriginServer]
  /// TLS to them; nil: none.
  package let tls: OriginTLS?
  let state: PoolState
  /// The servers' words, without a count of references for a look at each.
  let cells: [ServerCells]
  let tiers: [Int]
  let limits: [Int?]
  private let everyone: ServerSet
  private let hasOneTier: Bool

  /// A pool as configured; its names are not resolved yet.
  package convenience init(_ configuration: OriginConfiguration) {
    self.init(configuration, settings: PoolSettings(configuration))
  }

  /// A pool that goes on with what `former`, of the same name, knew: servers are matched by name and
  /// keep their state, their counts and what an operator said, except where the file now says another
  /// weight. Those that wait go on waiting.
  package init(
    _ configuration: OriginConfiguration, settings: PoolSettings,
    successorOf former: OriginPool? = nil, tls: OriginTLS? = nil
  ) {
    self.tls = tls
    self.configuration = configuration
    self.settings = settings
    let kept = former?.settings.name == settings.name ? former : nil
    state = kept?.state ?? PoolState()
    var servers: [OriginServer] = []
    for server in settings.servers.prefix(ServerSet.capacity) {
      let before = kept?.servers.firstIndex { $0.location == server.location }
      let known = before.flatMap { kept?.servers[$0] } ?? OriginServer(server.location)
      let formerWeight = before.flatMap { kept?.settings.servers[$0].weight }
      if formerWeight != server.weight { known.setWeight(server.weight) }
      // Nobody would ever say that it is back.
      if settings.health == nil { known.forgetChecks() }
      servers.append(known)
    }
    self.servers = servers
    cells = servers.map(\.cells)
    tiers = settings.servers.prefix(ServerSet.capacity).map(\.tier)
    limits = settings.servers.prefix(ServerSet.capacity).map(\.maxConnections)
    everyone = ServerSet(first: servers.count)
    hasOneTier = Set(tiers).count <= 1
  }

  /// Where places are announced that went to somebody who waited: called on any thread, and must only
  /// post to the waiter's worker.
  package func setGrantHandler(_ handler: @escaping @Sendable (SlotGrant) -> Void) {
    state.onGrant.set(handler)
  }
}

extension OriginServer {
  /// Sets the weight, 1 to 65,535.
  func setWeight(_ weight: Int) {
    cells.words.store(ServerCells.Word.weight, UInt64(min(max(weight, 1), 65_535)))
  }

  /// Up, and never checked.
  func forgetChecks() {
    health.withLock { $0 = HealthState() }
    cells.words.store(ServerCells.Word.isDown, 0)
  }
}

/// Why no server was chosen.
package enum ChoiceRefusal: Sendable, Equatable {
  /// None is enabled.
  case noServer
  /// The breakers of all, or the pool's, are open. Nanoseconds until one may be tried.
  case breakerOpen(retryAfter: Int64)
  /// All have as many requests as they may, and nobody may wait, or too many do.
  case full
}

/// Who may be chosen now.
struct Survey {
  var members = ServerSet()
  /// No server is healthy, or too few, and all are used.
  var isPanic = false
  /// Why there are no members.
  var refusal = ChoiceRefusal.noServer
}

extension OriginPool {
  /// Looks at all servers. Those in `tried` count only if no other is left. Allocates nothing.
  func survey(now: Int64, tried: ServerSet) -> Survey {
    var survey = Survey()
    if hasOneTier, tried.isEmpty, isCalm(now: now) {
      survey.members = everyone
      return survey
    }
    var enabled = ServerSet()
    var healthy = ServerSet()
    var retryAfter = Int64.max
    for index in cells.indices where cells[index].administrative == .enabled {
      enabled.insert(index)
      if cells[index].isHealthy(now: now) { healthy.insert(index) }
    }
    guard !enabled.isEmpty else { return survey }
    let share = settings.panicPercent
    survey.isPanic =
      healthy.isEmpty || share > 0 && healthy.count * 100 < enabled.count * share
    var usable = survey.isPanic ? enabled : healthy
    if let settings = settings.breaker {
      var next = usable.next(from: 0)
      while let index = next {
        let breaker = cells[index].breaker
        if !breaker.admits(settings, now: now) {
          usable.remove(index)
          retryAfter = min(retryAfter, breaker.retryAfter(now: now))
        }
        next = usable.next(from: index + 1)
      }
    }
    guard !usable.isEmpty else {
      survey.refusal = .breakerOpen(retryAfter: max(0, retryAfter))
      return survey
    }
    prefer(&usable) { !tried.contains($0) }
    if !survey.isPanic { keepLowestTier(&usable) }
    // What a server asked for with Retry-After counts while another can do its work.
    prefer(&usable) { cells[$0].time(ServerCells.Word.restUntil) <= now }
    survey.refusal = .full
    var next = usable.next(from: 0)
    while let index = next {
      if let limit = limits[index], cells[index].inFlight >= limit { usable.remove(index) }
      next = usable.next(from: index + 1)
    }
    survey.members = usable
    return survey
  }

  /// Whether there is nothing to be said against any server, as nearly always.
  private func isCalm(now: Int64) -> Bool {
    for index in cells.indices {
      let words = cells[index].words
      let isUsable =
        words.load(ServerCells.Word.administrative) | words.load(ServerCells.Word.isDown) == 0
        && cells[index].time(ServerCells.Word.ejectedUntil) <= now
        && cells[index].time(ServerCells.Word.restUntil) <= now
        && words.load(ServerCells.Word.breaker) &>> 62 == 0
      guard isUsable else { return false }
      if let limit = limits[index], cells[index].inFlight >= limit { return false }
    }
    return !cells.isEmpty
  }

  /// Keeps those that a rule likes, if there are any.
  @inline(__always)
  private func prefer(_ servers: inout ServerSet, _ likes: (Int) -> Bool) {
    var liked = servers
    var next = servers.next(from: 0)
    while let index = next {
      if !likes(index) { liked.remove(index) }
      next = servers.next(from: index + 1)
    }
    if !liked.isEmpty { servers = liked }
  }

  private func keepLowestTier(_ servers: inout ServerSet) {
    var lowest = Int.max
    var next = servers.next(from: 0)
    while let index = next {
      lowest = min(lowest, tiers[index])
      next = servers.next(from: index + 1)
    }
    prefer(&servers) { tiers[$0] == lowest }
  }

  /// A share of the servers' requests (`Candidate.weight`), less in a slow start.
  @inline(__always)
  func weight(of index: Int, now: Int64) -> (now: Int64, full: Int64) {
    let full = Int64(cells[index].words.load(ServerCells.Word.weight)) &* Candidate.one
    guard settings.slowStart > 0 else { return (full, full) }
    let returned = cells[index].returned(now: now)
    return (
      Lineup.rampedWeight(full, returned: returned, now: now, slowStart: settings.slowStart), full
    )
  }
}
