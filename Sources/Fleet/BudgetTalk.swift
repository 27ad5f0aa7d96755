// Limits that a region shares: what the fleet's thread says of them to the engine. A connection of its own,
// so that purges do not wait behind limits, nor limits behind purges; it may be to another engine.
//
// In each turn requests that wait for the engine's word go out at once; what was spent is told, and new leases
// are asked for, at most every ten milliseconds, up to 128 keys in one call, and no key more often than each
// 25 ms. Twice a second each PoP says how many tokens it was asked for at each limit, and learns what the
// others say: its share of a budget is one half of an equal part, and one half of its part in the load. As all
// reckon from the same words, shares sum up to 1.

internal import EventLoop
package import RateLimiting
internal import Redis

/// The limits of a node that its region shares, for the fleet's thread.
package struct FleetBudgets: Sendable {
  /// Those in force, by name.
  package var limits: @Sendable () -> [(name: String, limiter: RegionalLimiter)]
  /// Tells a worker that a request of its need wait no longer.
  package var tell: @Sendable ([DueDeparture]) -> Void

  /// Limits.
  package init(
    limits: @escaping @Sendable () -> [(name: String, limiter: RegionalLimiter)],
    tell: @escaping @Sendable ([DueDeparture]) -> Void
  ) {
    self.limits = limits
    self.tell = tell
  }
}

/// How the limits stand that the region shares, for figures.
package struct BudgetStatus: Sendable, Equatable {
  /// Whether there are any.
  package var isUsed = false
  /// Whether the engine is gone.
  package var isGone = false
  /// PoPs of the region that share limits, this one included; 0: not known yet.
  package var pops = 0
  /// Keys that the engine was told of, or asked for.
  package var told: UInt64 = 0
  /// Of those, how many it has not answered.
  package var unheard: UInt64 = 0
  /// What ended the last connection, or attempt.
  package var failure: String?
}

/// See the top of this file. The fleet's thread alone.
final class BudgetTalk {
  private static let lookInterval: Int64 = 200_000_000
  private static let standingInterval: Int64 = 500_000_000
  private static let roundInterval: Int64 = 10_000_000
  private static let portion = 128
  private static let mostUnderWay = 16
  /// After so long without an answer the engine is gone, ns; without a connection earlier.
  private static let patience: Int64 = 1_500_000_000
  private static let disconnectedPatience: Int64 = 250_000_000

  private struct Entry {
    var name: String
    var limiter: RegionalLimiter
    /// Tokens a second that requests want, lately.
    var pace = 0.0
  }

  private let settings: FleetSettings
  private let budgets: FleetBudgets
  private let ring: @Sendable () -> Void
  private let note: (String) -> Void
  private let pop: String
  private(set) var status = BudgetStatus()
  private var now: Int64
  private var entries: [Entry] = []
  private var lookAt: Int64 = .min
  private var standingAt: Int64 = .min
  /// When the next round may be, and when there will be something to tell.
  private var nextRound: Int64 = .min
  private var nextNews: Int64 = .max
  private var underWay = 0
  private var heardAt: Int64
  private var failureNoted: RedisFailure?
  private(set) lazy var link = RedisLink(
    settings.limitEngine ?? settings.engine, token: FleetLoop.Token.budgets, seed: seed
  ) { [unowned self] event in linkDid(event) }
  private let seed: UInt64

  init(
    _ settings: FleetSettings, _ budgets: FleetBudgets, pop: UInt64, now: Int64,
    ring: @escaping @Sendable () -> Void, note: @escaping (String) -> Void
  ) {
    self.settings = settings
    self.budgets = budgets
    self.ring = ring
    self.note = note
    self.pop = String(pop, radix: 16)
    self.now = now
    heardAt = now
    seed = pop &+ UInt64(truncatingIfNeeded: now) &+ 6
  }

  /// When the next turn is due at the latest.
  var deadline: Int64 {
    if entries.isEmpty { return lookAt }
    let next = min(link.deadline, lookAt)
    return link.isOpen ? min(next, standingAt, max(nextRound, nextNews)) : next
  }

  /// A limit has something to tell.
  func hasNews() { nextNews = .min }

  // MARK: Turns

  /// One turn. `salt`: what all PoPs of the fleet have in common.
  func turn(now: Int64, salt: UInt64, poller: borrowing Poller) {
    self.now = now
    if now >= lookAt { look() }
    guard !entries.isEmpty else { return }
    link.tick(now: now, poller: poller)
    stand(salt)
    if link.isOpen {
      if now >= standingAt { sayStanding() }
      ask()
      if now >= max(nextRound, nextNews) { report() }
    }
    link.settle(now: now, poller: poller)
    link.flush(now: now, poller: poller)
  }

  func ready(_ readiness: Readiness, now: Int64, poller: borrowing Poller) {
    self.now = now
    link.ready(readiness, now: now, poller: poller)
  }

  func stop(poller: borrowing Poller) {
    for entry in entries { entry.limiter.listen(nil) }
    link.stop(poller: poller)
  }

  /// Looks which limits there are: a reload may have changed them.
  private func look() {
    lookAt = now &+ Self.lookInterval
    let limits = budgets.limits()
    let former = entries
    entries = limits.map { limit in
      Entry(
        name: limit.name, limiter: limit.limiter,
        pace: former.first { $0.limiter === limit.limiter }?.pace ?? 0)
    }
    for entry in entries where !former.contains(where: { $0.limiter === entry.limiter }) {
      entry.limiter.listen(ring)
      hasNews()
    }
    if former.isEmpty, !entries.isEmpty { heardAt = now }
    status.isUsed = !entries.isEmpty
  }

  /// Says to the limits whether there is an engine. Who waits for one that is gone need not.
  private func stand(_ salt: UInt64) {
    let silence = now &- heardAt
    let isGone =
      silence > Self.patience || !link.isOpen && silence > Self.disconnectedPatience
    if isGone != status.isGone {
      status.isGone = isGone
      note(
        isGone
          ? "the engine of the region's limits does not answer: each goes on as its when_down says"
          : "the engine of the region's limits answers again")
    }
    for entry in entries {
      entry.limiter.salt = salt
      entry.limiter.isGone = isGone
      guard isGone else { continue }
      for report in entry.limiter.takeAsks(now: now) { hear(nil, to: report, entry.limiter) }
    }
  }

  private func linkDid(_ event: RedisLink.Event) {
    switch event {
    case .opened:
      standingAt = now
      hasNews()
    case .closed(let server, let failure):
      underWay = 0
      status.failure = "\(server.text): \(failure)"
      guard failureNoted != failure else { return }
      failureNoted = failure
      note("the engine of the region's limits at \(server.text): \(failure)")
    }
  }

  // MARK: Shares

  private func sayStanding() {
    let time = Double(Self.standingInterval) / 1e9
    standingAt = now &+ Self.standingInterval
    for index in entries.indices {
      let pace = Double(entries[index].limiter.takeWanted()) / time
      // Of the last ten seconds, about.
      entries[index].pace += (pace - entries[index].pace) * 0.05
    }
    let words = entries.map { "\($0.name)=\(($0.pace * 1_000).rounded() / 1_000)" }
    let command: RedisCommand = [
      "EVAL", BudgetScript.standing, "1", settings.sharesKey, pop, words.joined(separator: " "),
    ]
    link.send(command, now: now) { [unowned self] reply in
      guard let reply, isWelcome(reply) else { return }
      var paces: [String: [String: Double]] = [:]
      let elements = reply.elements
      for index in stride(from: 0, to: elements.count - 1, by: 2) {
        guard let name = elements[index].text, let text = elements[index + 1].text else { continue }
        paces[name] = Self.paces(text)
      }
      divide(paces)
    }
  }

  /// `1700000000000 search=12.5 login=0.1`
  private static func paces(_ text: String) -> [String: Double] {
    var paces: [String: Double] = [:]
    for word in text.split(separator: " ").dropFirst() {
      guard let equals = word.lastIndex(of: "="),
        let pace = Double(word[word.index(after: equals)...]), pace >= 0, pace < 1e12
      else { continue }
      paces[String(word[..<equals])] = pace
    }
    return paces
  }

  /// Takes this PoP's shares of what all say. A limit that only some have is theirs.
  private func divide(_ paces: [String: [String: Double]]) {
    status.pops = paces.count
    for entry in entries {
      let all = paces.values.compactMap { $0[entry.name] }
      guard let own = paces[pop]?[entry.name], !all.isEmpty else { continue }
      let sum = all.reduce(0, +)
      let equal = 1 / Double(all.count)
      entry.limiter.share = sum > 0 ? equal / 2 + own / sum / 2 : equal
    }
  }

  // MARK: Leases

  /// Asks for requests that wait.
  private func ask() {
    for entry in entries where entry.limiter.isExact {
      var reports = entry.limiter.takeAsks(now: now)[...]
      while !reports.isEmpty {
        send(Array(reports.prefix(Self.portion)), of: entry)
        reports = reports.dropFirst(Self.portion)
      }
    }
  }

  /// Tells what was spent, and asks for leases.
  private func report() {
    nextRound = now &+ Self.roundInterval
    nextNews = .max
    for entry in entries {
      while underWay < Self.mostUnderWay {
        let (reports, next) = entry.limiter.takeReports(Self.portion, now: now)
        if reports.count < Self.portion { nextNews = min(nextNews, next) }
        if !reports.isEmpty { send(reports, of: entry) }
        if reports.count < Self.portion { break }
      }
      if underWay >= Self.mostUnderWay { hasNews() }
    }
  }

  private func send(_ reports: [BudgetReport], of entry: Entry) {
    let limiter = entry.limiter
    let terms = limiter.terms(pops: max(status.pops, 1))
    var command: RedisCommand = ["EVAL", BudgetScript.lease, String(reports.count)]
    for report in reports { command.add(settings.budgetKey(entry.name, report.keyText)) }
    command.add(String(terms.price / 1_000))
    // What is given back may be under way for as long as an answer of the engine may.
    let span = limiter.lease &+ settings.engine.timeout
    for time in [terms.depth, terms.cap, span] { command.add(String(time / 1_000)) }
    for report in reports {
      for number in [
        report.charge, Int64(clamping: report.want), Int64(clamping: report.least),
        Int64(clamping: report.back), report.backEnd,
      ] {
        command.add(String(number))
      }
    }
    status.told &+= UInt64(reports.count)
    underWay += 1
    link.send(command, now: now) { [unowned self] reply in
      underWay = max(0, underWay - 1)
      // What was told has its place in the lists again.
      hasNews()
      let numbers = reply?.elements.compactMap(\.number) ?? []
      if let reply, !isWelcome(reply) || numbers.count != 3 * reports.count {
        link.giveUp(.givenUp("the limits' script answers something else"))
      }
      guard numbers.count == 3 * reports.count else {
        status.unheard &+= UInt64(reports.count)
        for report in reports { hear(nil, to: report, limiter) }
        return
      }
      for (index, report) in reports.enumerated() {
        let answer = BudgetAnswer(
          granted: UInt64(max(0, numbers[3 * index])),
          fullAfter: min(max(0, numbers[3 * index + 1]), 1 << 50) &* 1_000,
          end: max(0, numbers[3 * index + 2]))
        hear(answer, to: report, limiter)
      }
    }
  }

  private func hear(_ answer: BudgetAnswer?, to report: BudgetReport, _ limiter: RegionalLimiter) {
    if let due = limiter.hear(answer, to: report, now: now) { budgets.tell([due]) }
  }

  private func isWelcome(_ reply: RedisReply) -> Bool {
    heardAt = now
    guard let text = reply.refusal else {
      failureNoted = nil
      return true
    }
    link.giveUp(.refused(text))
    return false
  }
}
