// When everything that is stored has become stale at once, in all PoPs of a fleet, its validations take turns:
// one in each interval goes to a pool. A turn is a time, and the next one a word that all workers share: there
// is no line, and nobody has to be woken but by the clock.

extension OriginPool {
  /// Takes the next turn: when it is (monotonic, ns; not before `now`). Nil if that would be later than
  /// `latest`; then none is taken. `interval`: nanoseconds to the turn after it.
  package func takeTurn(now: Int64, interval: Int64, latest: Int64) -> Int64? {
    var turn: Int64 = now
    let isTaken = state.words.update(PoolState.Word.turn) { word in
      turn = max(Int64(bitPattern: word), now)
      guard turn <= latest else { return nil }
      let (next, isOver) = turn.addingReportingOverflow(max(interval, 0))
      return UInt64(bitPattern: isOver ? .max : next)
    }
    return isTaken ? turn : nil
  }
}
