// How many PoPs a fleet has, as far as this one has heard: what a rate of the fleet is divided by. Asked for
// now and then, and not only when it is needed: what makes it needed, an engine that has come back empty, knows
// of nobody for a second.

internal import ObjectStore

/// The PoPs that were heard of lately.
struct FleetCompany {
  /// Nanoseconds for which one that says nothing still counts.
  static let memory: Int64 = 600_000_000_000
  /// So many are told apart.
  private static let most = 65_536

  /// When each was last heard of (monotonic).
  private var heard: [UInt64: Int64] = [:]

  /// Takes over what a list says.
  mutating func note(_ list: FleetList, now: Int64) {
    for member in list.members where !member.isOut(at: list.now) && heard.count < Self.most {
      heard[member.pop] = now
    }
    heard = heard.filter { now &- $0.value <= Self.memory }
  }

  /// How many there are, this PoP included.
  func count(own pop: UInt64) -> Int { heard.count + (heard[pop] == nil ? 1 : 0) }

  /// Nanoseconds from one turn of this PoP to its next, where all together take one in each `interval`.
  func interval(_ interval: Int64, own pop: UInt64) -> Int64 {
    let (product, isOver) = interval.multipliedReportingOverflow(by: Int64(count(own: pop)))
    return isOver ? .max : product
  }
}
