// What a request took from a bucket, for the case that it is given back later.
//
// Meanwhile part of it has come back by itself, and that part must not be given back once more: it would be
// taken off what others owe, and a key that lets requests run long before they turn out to cost nothing
// could have any number of others let through at once.
//
// A bucket's debts are paid off in the order in which they were made. So a request's own is paid off at the
// time at which the bucket would have been full when it had paid (`after`), and of it there is left at most
// what lies between now and then. What was given back of debts made before moves that time forward; each
// bucket therefore counts what is given back to it (its mark), and all that was counted since the request
// came is taken off, whether made before or after: never too little, so that no window ever has more than
// the bound in it (the difference that a debt makes to the bucket is never less than what is left of it so).
// Neither is that difference less than the debt without the time that has passed since it was made, however
// it lay among others: the larger of the two is given back. So who is alone, or ends in the order in which it
// began, gets all back that can be; of many that end in another order each pays for its time at most.
//
// The mark counts 64ths of tokens, so that a change of rate leaves it as it is, in 23 bits. Where 65,536
// tokens or more were given back to one key while a request was under way, it gets nothing; at twice that
// the mark has come round, and it may get up to its cost too much, if its own debt is not paid off by then.
// An operator's pardon counts as so many. A bucket that has a mark is kept in its table until no request
// from before can have a debt left.

/// A request's share in the debt of a bucket.
struct BucketShare: Sendable {
  /// When the bucket would have been full, as if the clock had never been set back.
  var after = ExactTime(whole: .min / 2, part: 0)
  /// When it was taken, in the same way.
  var began = Int64.min / 2
  /// The bucket's mark at that time.
  var mark: UInt32 = 0
  /// How often the rate had changed.
  var changes: UInt32 = 0

  /// The count from which on nothing is given back.
  static var most: UInt32 { 1 << 22 }

  /// A mark after more was given back. 0 says that nothing ever was.
  static func mark(_ mark: UInt32, after given: UInt32) -> UInt32 {
    let sum = (mark &+ given) & (1 << 23 - 1)
    return sum == 0 ? 1 : sum
  }
}

extension TokenBucketRate {
  /// A time as 64ths of tokens, rounded up.
  func marks(of time: ExactTime) -> UInt32 {
    let parts = UInt128(time.whole.magnitude) * UInt128(numerator) + UInt128(time.part)
    let marks = (parts * 64 + UInt128(denominator) - 1) / UInt128(denominator)
    return UInt32(min(marks, UInt128(BucketShare.most)))
  }

  /// So many 64ths of tokens as whole nanoseconds, rounded up.
  func time(ofMarks marks: UInt32) -> Int64 {
    let divisor = UInt128(numerator) * 64
    let time = (UInt128(marks) * UInt128(denominator) + divisor - 1) / divisor
    return Int64(min(time, UInt128(Self.longestDebt)))
  }
}

extension BucketTable {
  /// The share of a request whose check is about to be carried out.
  @inline(__always)
  func share(of check: Check, now: Int64) -> BucketShare {
    BucketShare(
      after: ExactTime(whole: check.after.whole &+ movedBack, part: check.after.part),
      began: now &+ movedBack,
      mark: mark(at: check.spot), changes: changes)
  }

  /// Gives `cost` tokens back, as far as they have not come back by themselves.
  mutating func refund(
    _ key: BucketKey, cost: UInt64, share: BucketShare, isOverflow: Bool, now: Int64
  ) {
    let now = ExactTime(whole: observe(now), part: 0)
    guard let spot = isOverflow ? .overflow : present(key) else { return }
    let full = full(at: spot)
    guard now < full else { return }
    let given = min(
      left(of: rate.debt(of: cost), share, at: spot, now), rate.difference(full, now))
    guard given > ExactTime(whole: 0, part: 0) else { return }
    store(rate.difference(full, given), at: spot, key)
    note(givenBack: given, at: spot)
  }

  /// How much of a debt has not come back by itself.
  private func left(
    of debt: ExactTime, _ share: BucketShare, at spot: Spot, _ now: ExactTime
  ) -> ExactTime {
    let nothing = ExactTime(whole: 0, part: 0)
    let marks = (mark(at: spot) &- share.mark) & (1 << 23 - 1)
    guard marks < BucketShare.most else { return nothing }
    var after = ExactTime(whole: share.after.whole &- movedBack, part: share.after.part)
    var left = nothing
    switch changes &- share.changes {
    case 0:
      let passed = ExactTime(whole: max(now.whole &+ movedBack &- share.began, 0), part: 0)
      if passed < debt { left = rate.difference(debt, passed) }
    case 1: after = converted(after)
    default: return nothing  // What it would be under this rate is not known any more.
    }
    after.whole &-= rate.time(ofMarks: marks)
    if now < after { left = max(left, min(rate.difference(after, now), debt)) }
    return left
  }
}
