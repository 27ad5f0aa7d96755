internal import EventLoop
internal import Synchronization

/// What a pool has besides its servers: shared by all workers and kept over a reload.
final class PoolState: Sendable {
  enum Word {
    static var inFlight: Int { 0 }
    static var waiting: Int { 1 }
    static var breaker: Int { 2 }
    static var budget: Int { 3 }
    static var windowEnd: Int { 4 }
    static var turn: Int { 5 }
    static var requests: Int { 16 }
    static var retries: Int { 17 }
    static var hedges: Int { 18 }
    static var budgetRefusals: Int { 19 }
    static var queued: Int { 20 }
    static var queueTimeouts: Int { 21 }
    static var refusedNoServer: Int { 22 }
    static var refusedBreaker: Int { 23 }
    static var refusedFull: Int { 24 }
    static var panics: Int { 25 }
    static var breakerOpenings: Int { 26 }
  }

  let words = AtomicWords.allocate(lines: 2)
  let queue = Mutex(WaitingQueue())
  /// How many misses go to the pool at once.
  let misses = MissGate()
  let onMissGrant = Hook<MissGrant>()
  let onGrant = Hook<SlotGrant>()

  deinit { words.deallocate() }

  var inFlight: Int { Int(truncatingIfNeeded: words.load(Word.inFlight)) }
  var waiting: Int { Int(truncatingIfNeeded: words.load(Word.waiting)) }
  var breaker: Breaker { Breaker(word: words.load(Word.breaker)) }

  /// Counts a request in unless there are `limit` already.
  func enter(limit: Int?) -> Bool {
    words.update(Word.inFlight) { count in
      if let limit, count >= UInt64(max(limit, 0)) { return nil }
      return count &+ 1
    }
  }

  /// Counts a request out.
  func leave() { words.update(Word.inFlight) { $0 > 0 ? $0 &- 1 : nil } }

  /// A client's request came: the budget gets its share.
  func deposit(_ settings: RetrySettings, now: Int64) {
    words.update(Word.budget) { word in
      let budget = word == 0 ? RetryBudget(settings, now: now) : RetryBudget(word: word)
      let next = budget.depositing(settings, now: now).word
      return next == word ? nil : next
    }
  }

  /// Takes one try from the budget; whether there was one.
  func withdraw(_ settings: RetrySettings, now: Int64) -> Bool {
    let done = words.update(Word.budget) { word in
      let budget = word == 0 ? RetryBudget(settings, now: now) : RetryBudget(word: word)
      return budget.withdrawing(settings, now: now)?.word
    }
    if !done { words.add(Word.budgetRefusals) }
    return done
  }
}
