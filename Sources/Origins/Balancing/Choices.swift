// The choices by what is under way. Ties and draws are decided by weight, so that an idle pool spreads
// its requests by weight too, instead of giving all of them to the first server.

/// The fewest requests under way for its weight.
enum LeastConnections {
  /// A member; nil if there is none. O(members).
  static func pick(_ lineup: borrowing Lineup, random: inout SeededRandom) -> Int? {
    var best: Int?
    var tied: Int64 = 0
    var next = lineup.members.next(from: 0)
    while let index = next, index < lineup.count {
      let candidate = lineup[index]
      switch best.map({ LeastConnections.compare(candidate, lineup[$0]) }) {
      case nil, .less:
        best = index
        tied = candidate.weight
      case .equal:
        // Of k that are equal each is kept with its weight's share of all.
        tied &+= candidate.weight
        if Int64(random.below(UInt64(max(tied, 1)))) < candidate.weight { best = index }
      case .more: break
      }
      next = lineup.members.next(from: index + 1)
    }
    return best
  }

  enum Order {
    case less, equal, more
  }

  /// Compares requests under way per weight, without a division.
  @inline(__always)
  static func compare(_ first: Candidate, _ second: Candidate) -> Order {
    let left = first.inFlight &* second.weight
    let right = second.inFlight &* first.weight
    return left < right ? .less : left > right ? .more : .equal
  }
}

/// Two members drawn by weight, and the better of them (Mitzenmacher, 2001): nearly as even as asking
/// all, and without everybody running to the same server at once.
enum TwoChoices {
  /// The one with fewer requests under way.
  static func pick(_ lineup: borrowing Lineup, random: inout SeededRandom) -> Int? {
    guard let first = draw(lineup, but: nil, random: &random) else { return nil }
    guard let second = draw(lineup, but: first, random: &random) else { return first }
    return lineup[second].inFlight < lineup[first].inFlight ? second : first
  }

  /// The one with the lower peak EWMA of latency times requests under way (Finagle).
  static func pickFaster(_ lineup: borrowing Lineup, random: inout SeededRandom) -> Int? {
    guard let first = draw(lineup, but: nil, random: &random) else { return nil }
    guard let second = draw(lineup, but: first, random: &random) else { return first }
    return cost(lineup[second]) < cost(lineup[first]) ? second : first
  }

  /// What a request may expect. A server that nobody knows is tried once, and not by many at a time.
  private static func cost(_ candidate: Candidate) -> Int64 {
    if candidate.latency == 0 { return candidate.inFlight &* unknownLatency }
    return candidate.latency &* (candidate.inFlight &+ 1)
  }

  /// One second, in microseconds.
  private static var unknownLatency: Int64 { 1_000_000 }

  /// A member by weight.
  private static func draw(
    _ lineup: borrowing Lineup, but other: Int?, random: inout SeededRandom
  ) -> Int? {
    var members = lineup.members
    if let other { members.remove(other) }
    var total: Int64 = 0
    var next = members.next(from: 0)
    while let index = next, index < lineup.count {
      total &+= lineup[index].weight
      next = members.next(from: index + 1)
    }
    guard total > 0 else { return nil }
    var left = Int64(random.below(UInt64(total)))
    next = members.next(from: 0)
    while let index = next, index < lineup.count {
      left &-= lineup[index].weight
      if left < 0 { return index }
      next = members.next(from: index + 1)
    }
    return nil
  }
}
