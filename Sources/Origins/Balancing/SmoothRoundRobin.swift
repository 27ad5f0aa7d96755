// Smooth weighted round robin (nginx, 2012): each member gains its weight, the one that has most is
// chosen and pays the sum. Weights 5, 1, 1 come out as a a b a c a a and not as a a a a a b c.
//
// Each worker has its own copy, so that choosing shares nothing. What a copy has given a server differs
// from its exact share by less than one request, so W workers together are off by less than W, and since
// each begins at another place of the cycle, by much less.

/// Turns of one worker.
struct SmoothRoundRobin: Sendable {
  private var credit: [Int64]

  /// Turns of a pool of that many servers.
  init(count: Int) { credit = [Int64](repeating: 0, count: count) }

  /// The next member; nil if there is none.
  mutating func pick(_ lineup: borrowing Lineup) -> Int? {
    var best: Int?
    var most = Int64.min
    var total: Int64 = 0
    var next = lineup.members.next(from: 0)
    while let index = next {
      guard index < credit.count else { break }
      let weight = lineup[index].weight
      total &+= weight
      credit[index] &+= weight
      if credit[index] > most {
        most = credit[index]
        best = index
      }
      next = lineup.members.next(from: index + 1)
    }
    if let best { credit[best] &-= total }
    return best
  }

  /// Goes on to where the `worker`th of `workers` begins.
  mutating func advance(_ lineup: borrowing Lineup, worker: Int, of workers: Int) {
    guard workers > 1, worker > 0 else { return }
    let cycle = min(Self.cycle(lineup), Self.longestCycle)
    for _ in 0..<min(cycle * worker / workers, Self.longestCycle) { _ = pick(lineup) }
  }

  private static var longestCycle: Int { 4096 }

  /// After how many turns it begins again.
  private static func cycle(_ lineup: borrowing Lineup) -> Int {
    var sum: Int64 = 0
    var divisor: Int64 = 0
    var next = lineup.members.next(from: 0)
    while let index = next, index < lineup.count {
      let weight = lineup[index].weight
      sum &+= weight
      var (larger, smaller) = (max(divisor, weight), min(divisor, weight))
      while smaller > 0 { (larger, smaller) = (smaller, larger % smaller) }
      divisor = larger
      next = lineup.members.next(from: index + 1)
    }
    return divisor > 0 ? Int(clamping: sum / divisor) : 1
  }
}
