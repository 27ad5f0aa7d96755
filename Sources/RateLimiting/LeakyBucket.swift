// The leaky bucket: requests leave at a constant rate, the excess waits in a bounded line.
//
// It is the token bucket that holds one token, with a line at it. The time at which that bucket is full
// is the time at which the next request may leave; who comes later and finds nobody waiting leaves at
// once, everybody else joins the line or, if that is as long as it may be, is rejected.
//
// Only the first of a line has a time. Its worker sets a timer for it and asks, when that rings,
// `depart`; the answer names who is first then, and when, and whoever got the answer tells that one's
// worker (itself, mostly, or by its inbox). So nobody is ever told early, a client that leaves costs a
// constant, and those behind it move up without a word. No thread, and one timer for each line.
//
// The schedule is exact: departures are due evenly spaced, one price apart, never closer. A worker asks
// at its first turn at or after the time, so what really leaves is late by up to a turn, and the next
// is due one price after the former was due, not after it left: otherwise each turn's lateness would be
// lost, and 10,000 a second would come out as 5,000. After a longer stall the schedule moves:
// `forgivenLateness` is all that can be caught up.

internal import Bytes

/// A place in a leaky bucket's line. Good until its request departs or leaves; after that it names
/// nobody.
package struct WaitingPlace: Sendable, Equatable {
  let stripe: UInt32
  let place: UInt32
  let generation: UInt32
}

/// Who is first in a line, and when it may leave: to be told to its worker.
package struct DueDeparture: Sendable, Equatable {
  /// The worker, as it called itself when the request came.
  package let worker: UInt32
  /// The request, as the worker called it.
  package let request: UInt64
  /// Its place.
  package let place: WaitingPlace
  /// The time to ask `depart` at, in nanoseconds of the limiter's clock.
  package let time: Int64
}

/// What a leaky bucket says to a request that comes.
package enum LeakyDecision: Sendable, Equatable {
  /// It may leave at once.
  case departs
  /// It has a place in the line, and leaves about then if nobody ahead gives up. If it is the first,
  /// its worker must ask `depart` at that time; otherwise it will be told when it is.
  case waits(WaitingPlace, isFirst: Bool, until: Int64)
  /// The line is full; the next departure is so many nanoseconds away.
  case rejected(retryAfter: Int64)
}

/// What a leaky bucket says to a request that waits.
package enum LeakyDeparture: Sendable, Equatable {
  /// It leaves now. If somebody is first after it, that one's worker must be told.
  case departs(next: DueDeparture?)
  /// It is first, and must ask again then.
  case waits(until: Int64)
  /// Others are before it; it will be told when it is first.
  case isBehind
  /// It is in no line any more.
  case isGone
}

extension BucketTable {
  /// How much of a worker's lateness is caught up, in nanoseconds.
  static var forgivenLateness: Int64 { 10_000_000 }

  /// An arrival that has not been carried out.
  struct Arrival {
    var spot: Spot
    var full: ExactTime
    var cost: UInt64
    var now: Int64
    var outcome: Outcome

    enum Outcome {
      case departs
      case waits(until: Int64, isFirst: Bool)
      case rejected(retryAfter: Int64)
    }
  }

  /// What the bucket says to a request that comes.
  mutating func checkArrival(_ key: BucketKey, cost: UInt64, queue: UInt32, now: Int64) -> Arrival {
    let now = observe(now)
    let spot = find(key, now: now)
    let full = full(at: spot)
    let line = line(at: spot)
    let length = lines.length(of: line)
    let outcome: Arrival.Outcome
    if length == 0 && !(ExactTime(whole: now, part: 0) < full) {
      outcome = .departs
    } else if length < queue {
      let ahead = rate.sum(full, rate.debt(of: lines.tokens(in: line)))
      outcome = .waits(until: ahead.roundedUp, isFirst: length == 0)
    } else {
      outcome = .rejected(retryAfter: max(full.roundedUp &- now, 1))
    }
    return Arrival(spot: spot, full: full, cost: cost, now: now, outcome: outcome)
  }

  /// Carries an arrival that departs out.
  mutating func commitDeparture(_ arrival: Arrival, _ key: BucketKey) {
    let start = max(arrival.full, ExactTime(whole: arrival.now, part: 0))
    store(rate.sum(start, rate.debt(of: arrival.cost)), at: arrival.spot, key)
  }

  /// Gives an arrival that waits its place; nil if there is no line left for it.
  mutating func join(
    _ arrival: Arrival, _ key: BucketKey, worker: UInt32, request: UInt64
  ) -> WaitingLines.Occupant? {
    var spot = arrival.spot
    var line = line(at: spot)
    if line == 0 {
      let owner: BucketKey? = if case .overflow = spot { nil } else { key }
      guard let opened = lines.open(for: owner) else { return nil }
      line = opened
      if case .newcomer = spot {
        store(arrival.full, at: spot, key)
        guard let index = keys.find(key) else { return nil }
        spot = .place(index)
      }
      setLine(line, at: spot)
    }
    return lines.append(to: line, worker: worker, request: request, cost: arrival.cost)
  }

  /// Lets the request at a place leave, if it is the first and its time has come.
  mutating func depart(_ place: WaitingPlace, now: Int64) -> LeakyDeparture {
    guard let (line, isFirst) = lines.find(place.place, place.generation) else { return .isGone }
    guard isFirst, let first = lines.first(of: line) else { return .isBehind }
    let now = observe(now)
    guard let spot = spot(of: line) else { return .isGone }
    let full = full(at: spot)
    let present = ExactTime(whole: now, part: 0)
    if present < full { return .waits(until: full.roundedUp) }
    let start = max(full, ExactTime(whole: now &- Self.forgivenLateness, part: 0))
    let key = lines.key(of: line) ?? BucketKey(low: 0, high: 1)
    store(rate.sum(start, rate.debt(of: first.cost)), at: spot, key)
    lines.remove(place.place)
    return .departs(next: goOn(line, spot: spot, stripe: place.stripe))
  }

  /// Takes the request at a place out of its line; says who has become first by that.
  mutating func leave(_ place: WaitingPlace) -> DueDeparture? {
    guard let (line, isFirst) = lines.find(place.place, place.generation) else { return nil }
    lines.remove(place.place)
    guard let spot = spot(of: line) else { return nil }
    let next = goOn(line, spot: spot, stripe: place.stripe)
    return isFirst ? next : nil
  }

  /// All who are first in their lines, with their times.
  func dueDepartures(stripe: UInt32) -> [DueDeparture] {
    var due: [DueDeparture] = []
    var numbers: [UInt32] = []
    lines.forEachLine { numbers.append($0) }
    for number in numbers {
      guard let spot = spot(of: number), let first = lines.first(of: number) else { continue }
      due.append(departure(first, full(at: spot), stripe: stripe))
    }
    return due
  }

  /// The first of a line that somebody was taken out of; an empty line is given back.
  private mutating func goOn(_ line: UInt32, spot: Spot, stripe: UInt32) -> DueDeparture? {
    if let first = lines.first(of: line) { return departure(first, full(at: spot), stripe: stripe) }
    setLine(0, at: spot)
    lines.close(line)
    return nil
  }

  private func departure(
    _ occupant: WaitingLines.Occupant, _ full: ExactTime, stripe: UInt32
  ) -> DueDeparture {
    DueDeparture(
      worker: occupant.worker, request: occupant.request,
      place: WaitingPlace(
        stripe: stripe, place: occupant.place, generation: occupant.generation),
      time: full.roundedUp)
  }

  /// Where the bucket of a line is; its key cannot have left, since a line waits at it.
  private func spot(of line: UInt32) -> Spot? {
    guard let key = lines.key(of: line) else { return .overflow }
    return keys.find(key).map { .place($0) }
  }
}

extension ExactTime {
  /// The first whole nanosecond that is not before this time.
  @inline(__always)
  var roundedUp: Int64 { whole &+ (part > 0 ? 1 : 0) }
}
