package import Bytes

/// What one limit has said to one request.
package enum LimitVerdict: UInt8, Sendable {
  /// Nothing yet.
  case none
  /// It may pass, as far as this limit goes.
  case allowed
  /// It has to wait, and is in the limit's line.
  case waits
  /// It may not pass.
  case refused
  /// It may not pass because it was refused too often before.
  case penalised
  /// It might not have passed, but the limit only counts.
  case shadowed
}

/// One limit that a request is subject to, with its key and cost; afterwards, what the limit said.
package struct LimitCheck: Sendable {
  /// The limit's number in its `LimitSet`.
  package fileprivate(set) var limit: UInt16 = 0
  /// What it said.
  package internal(set) var verdict = LimitVerdict.none
  /// Whether something was taken that can be given back.
  var isTaken = false
  /// Whether it was counted together with all that the table has no room for.
  var isOverflow = false
  /// In what order limits are asked: those at which one can wait come last.
  fileprivate var order: UInt32 = 0
  /// The window of a quota that it was taken from.
  var window: UInt32 = 0
  /// What of a token bucket's debt is the request's.
  var share = BucketShare()
  /// What it costs.
  package fileprivate(set) var cost: UInt64 = 1
  /// Whose budget it is taken from.
  package fileprivate(set) var key = Hash128(low: 0, high: 0)
  /// How much is left, once this request has been let through.
  package internal(set) var remaining: UInt64 = 0
  /// In how many nanoseconds that changes for the better: all is back (buckets), a new window begins
  /// (quotas), or, after a refusal, the same request would pass.
  package internal(set) var reset: Int64 = 0
  /// The place in a line, while it waits.
  var place = WaitingPlace(stripe: .max, place: 0, generation: 0)

  fileprivate init() {}
}

/// The limits that one request is subject to: at most eight, asked together.
///
/// It lives as long as the request, since it also says what has to be given back at its end. Not
/// copyable, so that nothing is given back twice.
package struct LimitChecks: ~Copyable, Sendable {
  private var checks: InlineArray<8, LimitCheck>
  /// How many there are.
  package private(set) var count = 0
  /// The first that has not been decided on.
  var next = 0

  /// No limits.
  package init() { checks = InlineArray(repeating: LimitCheck()) }

  /// The most limits for a request.
  package static var capacity: Int { 8 }

  /// A check, in the order in which limits are asked.
  package subscript(index: Int) -> LimitCheck {
    @inline(__always) _read { yield checks[index] }
    @inline(__always) _modify { yield &checks[index] }
  }

  /// Adds one in its order; false if there are too many already, or the limit is among them: a request
  /// takes from a budget once.
  mutating func insert(limit: Int, order: UInt32, key: Hash128, cost: UInt64) -> Bool {
    guard count < Self.capacity, limit <= Int(UInt16.max) else { return false }
    var at = count
    while at > 0, checks[at - 1].order >= order {
      if checks[at - 1].order == order { return false }
      at -= 1
    }
    var move = count
    while move > at {
      checks[move] = checks[move - 1]
      move -= 1
    }
    var check = LimitCheck()
    check.limit = UInt16(limit)
    check.order = order
    check.key = key
    check.cost = cost
    checks[at] = check
    count += 1
    return true
  }

  /// Notes what a limit has said.
  @inline(__always)
  mutating func note(_ index: Int, _ verdict: LimitVerdict, _ remaining: UInt64, _ reset: Int64) {
    checks[index].verdict = verdict
    checks[index].remaining = remaining
    checks[index].reset = reset
  }

  mutating func setCost(_ cost: UInt64, at index: Int) { checks[index].cost = cost }

  /// Forgets all, for the next request. What was taken must have been given back before.
  package mutating func removeAll() {
    count = 0
    next = 0
  }
}
