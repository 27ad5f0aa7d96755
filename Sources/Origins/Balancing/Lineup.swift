// The servers that a request may go to, and what a choice among them goes by: plain numbers, read once
// from what the workers share. So each way to choose is a rule on numbers. A worker has one lineup for
// each pool and fills it anew for each choice, which allocates nothing.

/// What a choice knows of one server.
struct Candidate: Sendable {
  /// What a weight of 1 counts as, so that a part of it can be told.
  static var one: Int64 { 4096 }
  /// Its share, in 4,096ths of a weight; less while it starts slowly. At least 1.
  var weight = Candidate.one
  /// Its share as configured, for hashing: a slow start moves no keys.
  var fullWeight = Candidate.one
  /// Requests under way, of all workers.
  var inFlight: Int64 = 0
  /// Peak EWMA of its latency, in microseconds.
  var latency: Int64 = 0
  /// A hash of its name.
  var identity: UInt64 = 0
}

/// The candidates of one choice.
struct Lineup: ~Copyable, Sendable {
  /// Who may be chosen.
  var members = ServerSet()
  /// All servers of the pool, members or not.
  private(set) var candidates: [Candidate]

  /// A lineup of a pool's servers, none of them a member yet; at most `ServerSet.capacity`.
  init(identities: [UInt64]) {
    candidates = identities.prefix(ServerSet.capacity).map { Candidate(identity: $0) }
  }

  var count: Int { candidates.count }

  @inline(__always)
  subscript(index: Int) -> Candidate {
    get { candidates[index] }
    set { candidates[index] = newValue }
  }

  /// The share of a server that returned at a time: from a tenth up to the whole.
  static func rampedWeight(
    _ weight: Int64, returned: Int64, now: Int64, slowStart: Int64
  ) -> Int64 {
    guard slowStart > 0, returned > 0, now < returned &+ slowStart else { return max(weight, 1) }
    let passed = max(0, now &- returned)
    // In thousandths: a slow start of years could overflow otherwise.
    let share = max(100, passed / max(1, slowStart / 1000))
    return max(1, weight &* min(share, 1000) / 1000)
  }
}
