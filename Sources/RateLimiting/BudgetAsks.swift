// Requests that wait for the engine's word, where each is to be decided on by it. A place in the slab is named
// (index, generation); who has left, or has waited too long, has given his back, and what the engine grants
// him nevertheless is at hand for the next.

internal import Bytes
internal import Synchronization

/// The requests that wait, and those of them of whom the engine has not been told.
struct BudgetAsks {
  /// What is known of a request.
  enum Word {
    case none
    case granted
    case refused(retryAfter: Int64)
    /// The engine has said nothing and will not.
    case lost
  }

  struct Ask {
    var worker: UInt32
    var request: UInt64
    var key: Hash128
    var cost: UInt64
    /// Until when it waits.
    var deadline: Int64
    var word = Word.none
    var isFree = false
    var generation: UInt32
  }

  private var asks: [Ask] = []
  private var free: [UInt32] = []
  private var pending: [UInt32] = []
  /// How many wait.
  var count: Int { asks.count - free.count }

  /// Gives a request a place.
  mutating func add(_ ask: Ask) -> WaitingPlace {
    var ask = ask
    let place: UInt32
    if let old = free.popLast() {
      place = old
      ask.generation = asks[Int(old)].generation &+ 1
      asks[Int(old)] = ask
    } else {
      place = UInt32(truncatingIfNeeded: asks.count)
      ask.generation = 1
      asks.append(ask)
    }
    pending.append(place)
    return WaitingPlace(stripe: .max, place: place, generation: ask.generation)
  }

  /// The request at a place; nil if the name is out of date.
  subscript(place: WaitingPlace) -> Ask? {
    guard Int(place.place) < asks.count, !asks[Int(place.place)].isFree,
      asks[Int(place.place)].generation == place.generation
    else { return nil }
    return asks[Int(place.place)]
  }

  /// Gives a place back.
  mutating func remove(_ place: WaitingPlace) {
    guard self[place] != nil else { return }
    asks[Int(place.place)].isFree = true
    free.append(place.place)
  }

  /// Notes the engine's word; false: nobody waits for it any more.
  mutating func note(_ word: Word, at place: WaitingPlace) -> Bool {
    guard self[place] != nil else { return false }
    asks[Int(place.place)].word = word
    return true
  }

  /// Those of whom the engine has not been told.
  mutating func takePending(now: Int64) -> [BudgetReport] {
    var reports: [BudgetReport] = []
    for place in pending where !asks[Int(place)].isFree {
      let ask = asks[Int(place)]
      reports.append(
        BudgetReport(
          key: ask.key, charge: 0, want: ask.cost, back: 0, backEnd: 0, least: ask.cost,
          time: now, place: place, stripe: .max, generation: ask.generation, isExact: true))
    }
    pending.removeAll(keepingCapacity: true)
    return reports
  }
}

extension RegionalLimiter {
  /// Whether a request waits for the engine.
  enum Departure {
    case allowed
    case refused(retryAfter: Int64)
    case waits(until: Int64)
    /// It is in no line any more.
    case isGone
  }

  /// Has the engine asked for a request. Until when the request waits at most is `now` and `timeout`.
  func ask(
    key: Hash128, cost: UInt64, worker: UInt32, request: UInt64, now: Int64
  ) -> WaitingPlace {
    asks.withLock {
      $0.add(
        BudgetAsks.Ask(
          worker: worker, request: request, key: key, cost: cost, deadline: now &+ timeout,
          generation: 0))
    }
  }

  /// What has become of a request that waits. Who has waited too long is decided on without the engine.
  func depart(_ place: WaitingPlace, now: Int64) -> Departure {
    guard let ask = asks.withLock({ $0[place] }) else { return .isGone }
    switch ask.word {
    case .none where now < ask.deadline: return .waits(until: ask.deadline)
    case .none, .lost:
      asks.withLock { $0.remove(place) }
      return decideAlone(ask, now: now)
    case .granted:
      asks.withLock { $0.remove(place) }
      withTable(of: ask.key) { $0.tally.allowed &+= 1 }
      return .allowed
    case .refused(let wait):
      asks.withLock { $0.remove(place) }
      withTable(of: ask.key) { $0.tally.refused &+= 1 }
      return .refused(retryAfter: wait)
    }
  }

  private func decideAlone(_ ask: BudgetAsks.Ask, now: Int64) -> Departure {
    var standing = standing
    standing.isGone = true
    let (departure, isNews): (Departure, Bool) = withTable(of: ask.key) { table in
      let place = table.place(of: ask.key, now: now)
      let source = table.source(place, ask.cost, standing, now: now)
      if case .missing(let wait) = source {
        table.tally.refused &+= 1
        return (.refused(retryAfter: wait), false)
      }
      table.take(place, ask.cost, from: source, standing, now: now)
      table.tally.allowed &+= 1
      return (.allowed, table.want(place, 0, now: now))
    }
    if isNews { ring() }
    return departure
  }

  /// Frees the place of a client that has left.
  func leave(_ place: WaitingPlace) { asks.withLock { $0.remove(place) } }

  /// How many requests wait for the engine.
  package var waiting: Int { asks.withLock { $0.count } }

  /// The requests of which the engine has not been told.
  package func takeAsks(now: Int64) -> [BudgetReport] {
    isHeard()
    return asks.withLock { $0.takePending(now: now) }
  }

  func hearExactly(_ answer: BudgetAnswer?, to report: BudgetReport, now: Int64) -> DueDeparture? {
    let place = WaitingPlace(stripe: .max, place: report.place, generation: report.generation)
    let depth = terms(pops: 1).depth
    let word: BudgetAsks.Word
    if let answer {
      let missing = answer.fullAfter &+ time(report.want) &- depth
      word =
        answer.granted >= report.want ? .granted : .refused(retryAfter: max(missing, 1_000_000))
    } else {
      word = .lost
    }
    let ask = asks.withLock { asks in
      asks.note(word, at: place) ? asks[place] : nil
    }
    guard let ask else {
      let granted = answer?.granted ?? 0
      if granted > 0 {
        withTable(of: report.key) { $0.keep(granted, of: report.key, since: report.time, now: now) }
      }
      return nil
    }
    return DueDeparture(worker: ask.worker, request: ask.request, place: place, time: now)
  }

  private func time(_ tokens: UInt64) -> Int64 {
    Int64(min(Double(tokens) * terms(pops: 1).price, 1e18))
  }
}
