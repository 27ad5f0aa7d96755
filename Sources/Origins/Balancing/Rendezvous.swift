// Consistent hashing: weighted rendezvous (Thaler and Ravishankar, 1998; weights as Schindelhauer and
// Schomaker, 2005) with bounded loads (Mirrokni, Thorup and Zadimoghaddam, 2016).
//
// Each server draws a number from its name and the key, and the best one wins. A server that goes moves
// its own keys and no others; one that comes takes its share from all. It needs no table, so that a pool
// that changes with every health check costs nothing, and for up to some dozens of servers it is as fast
// as a ring. Names and keys are hashed without a secret: every node of a fleet must choose alike.
//
// With a bound of b percent, a server that has b percent of its fair share of what is under way is
// passed over, and the key goes to its next best: the same one for everybody.

package import Bytes

/// Choice by hash.
package enum Rendezvous {
  /// The member for a key; nil if there are none. `bound` in percent, at least 100. O(members).
  static func pick(_ lineup: borrowing Lineup, key: UInt64, bound: Int?) -> Int? {
    var total: Int64 = 1
    var weights: Int64 = 0
    if bound != nil {
      var next = lineup.members.next(from: 0)
      while let index = next, index < lineup.count {
        total &+= lineup[index].inFlight
        weights &+= lineup[index].weight
        next = lineup.members.next(from: index + 1)
      }
    }
    var best: Int?
    var highest = -1.0
    var next = lineup.members.next(from: 0)
    while let index = next, index < lineup.count {
      let candidate = lineup[index]
      let score = score(key: key, of: candidate)
      if score > highest,
        hasRoom(candidate, total: total, weights: weights, bound: bound)
      {
        highest = score
        best = index
      }
      next = lineup.members.next(from: index + 1)
    }
    return best
  }

  /// Whether one more request leaves the server within its share. Among all at least one has room.
  @inline(__always)
  private static func hasRoom(
    _ candidate: Candidate, total: Int64, weights: Int64, bound: Int?
  ) -> Bool {
    guard let bound else { return true }
    let factor = Double(max(bound, 100)) / 100
    let share = factor * Double(total) * Double(candidate.weight) / Double(max(weights, 1))
    return Double(candidate.inFlight) < share.rounded(.up)
  }

  /// weight / −log₂(u), u in (0, 1) drawn from both names.
  @inline(__always)
  private static func score(key: UInt64, of candidate: Candidate) -> Double {
    score(key: key, identity: candidate.identity, weight: Double(candidate.fullWeight))
  }

  /// The same of a server by the hash of its name.
  @inline(__always)
  static func score(key: UInt64, identity: UInt64, weight: Double) -> Double {
    weight / negativeLogarithm(SeededRandom.mix(key ^ SeededRandom.mix(identity)))
  }

  /// −log₂((x + ½) / 2⁶⁴), to 10⁻⁶: the exponent, and ln(m) = 2 artanh((m − 1) / (m + 1)) as a series.
  /// Written out so that all machines get the same bits.
  static func negativeLogarithm(_ x: UInt64) -> Double {
    let value = (Double(x) + 0.5) / 18_446_744_073_709_551_616.0
    guard value < 1 else { return 1e-18 }
    let m = value.significand
    let s = (m - 1) / (m + 1)
    let square = s * s
    let series =
      1 + square
      * (1.0 / 3 + square * (1.0 / 5 + square * (1.0 / 7 + square * (1.0 / 9 + square / 11))))
    let result = -(Double(value.exponent) + 2 * s * series * 1.442_695_040_888_963_4)
    return max(result, 1e-18)
  }

  /// A hash of a key or a name, the same on every node.
  package static func hash(_ bytes: ByteView) -> UInt64 {
    SipHash(key: Hash128(low: 0x7765_6972, high: 0x706f_6f6c)).hash(bytes).low
  }
}
