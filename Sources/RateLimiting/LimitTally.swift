/// How often a limit has said what; counted under the stripe's lock and summed when read.
package struct LimitTally: Sendable, Equatable {
  /// Let through at once.
  package var allowed: UInt64 = 0
  /// Made to wait.
  package var delayed: UInt64 = 0
  /// Refused.
  package var refused: UInt64 = 0
  /// Would have been refused, but the limit only counts.
  package var shadowed: UInt64 = 0

  /// Nothing counted.
  package init() {}

  /// Adds another's counts.
  package mutating func add(_ other: LimitTally) {
    allowed &+= other.allowed
    delayed &+= other.delayed
    refused &+= other.refused
    shadowed &+= other.shadowed
  }
}
