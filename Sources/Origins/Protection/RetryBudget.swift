// How many tries after the first a pool may make: a share of its requests, never a count for each request
// alone. With a count of two, an origin that is down sees three times its load just when it can bear
// least; with a share of 15 %, it sees 1.15 times, whatever the clients do. Hedges are paid from the same
// budget.
//
// Each request puts in its share, each further try takes out one. What is above `reserve` melts away within
// 300 ms or so, so that a quiet hour does not save up a storm, but a busy pool has in hand what it takes when
// one of its servers hangs with many requests on it: these fail all at once, and their clients put nothing in
// meanwhile. (Where tries take longer than that the reserve alone is left: it is to be as large as the
// number of requests that a server has at a time.) At 15 % the origin sees at most 1.195 times its requests
// over any second, besides the reserve. The balance grows by one a second up to a tenth of the reserve, so
// that a pool with few requests may retry at all. One word, for compare and exchange:
//
//   bits 0 to 31    balance, in thousandths of a try
//   bits 32 to 63   the millisecond up to which the trickle is paid, modulo 2³²

/// See the top of this file. Over any time a pool makes at most
/// `reserve + requests × budgetPercent / 100 + seconds` tries after the first, where requests are those of
/// that time and about 300 ms before; the last term only while the balance is below a tenth of the reserve.
struct RetryBudget: Sendable, Equatable {
  var word: UInt64

  /// A balance of the whole reserve.
  init(_ settings: RetrySettings, now: Int64) {
    word = Self.pack(Self.most(settings), Self.milliseconds(now))
  }

  init(word: UInt64) { self.word = word }

  /// Whole tries in hand.
  var tries: Int { Int(word & 0xFFFF_FFFF) / 1000 }

  /// After a client's request.
  func depositing(_ settings: RetrySettings, now: Int64) -> RetryBudget {
    let paid = trickled(settings, now: now)
    let share = UInt64(min(max(settings.budgetPercent, 0), 100)) * 10
    let balance = paid.word & 0xFFFF_FFFF
    return RetryBudget(word: Self.pack(min(balance + share, Self.largest), paid.stamp))
  }

  /// After a further try; nil if there is none left.
  func withdrawing(_ settings: RetrySettings, now: Int64) -> RetryBudget? {
    let paid = trickled(settings, now: now)
    let balance = paid.word & 0xFFFF_FFFF
    guard balance >= 1000 else { return nil }
    return RetryBudget(word: Self.pack(balance - 1000, paid.stamp))
  }

  private var stamp: UInt32 { UInt32(truncatingIfNeeded: word &>> 32) }

  private func trickled(_ settings: RetrySettings, now: Int64) -> RetryBudget {
    let time = Self.milliseconds(now)
    let passed = time &- stamp
    // Another thread's time may be a little ahead.
    guard passed <= 1 << 31, passed > 0 else { return self }
    let balance = word & 0xFFFF_FFFF
    let (most, floor) = (Self.most(settings), Self.most(settings) / 10)
    var next = balance
    if balance > most {
      let excess = balance - most
      let melted =
        (excess * UInt64(min(passed, Self.meltingTime))
          + UInt64(Self.meltingTime) - 1) / UInt64(Self.meltingTime)
      next = balance - min(melted, excess)
    } else if balance < floor {
      next = min(balance + UInt64(passed), floor)
    }
    return RetryBudget(word: Self.pack(next, time))
  }

  /// In which what is above the reserve is gone, in milliseconds; while more comes, the share of that time
  /// is what is kept.
  private static var meltingTime: UInt32 { 300 }

  /// The most that is counted: two million tries.
  private static var largest: UInt64 { 2_000_000_000 }

  private static func most(_ settings: RetrySettings) -> UInt64 {
    UInt64(min(max(settings.reserve, 0), 1_000_000)) * 1000
  }

  private static func milliseconds(_ time: Int64) -> UInt32 {
    UInt32(truncatingIfNeeded: max(time, 0) / 1_000_000)
  }

  private static func pack(_ balance: UInt64, _ stamp: UInt32) -> UInt64 {
    UInt64(stamp) &<< 32 | balance
  }
}

/// The pause before a further try: exponential, with full jitter (drawn evenly from zero to the bound), so
/// that clients that failed together do not come back together.
package enum Backoff {
  /// Nanoseconds before the `retry`th further try (from 1).
  package static func pause(
    retry: Int, first: Int64, longest: Int64, random: inout SeededRandom
  ) -> Int64 {
    let bound = bound(retry: retry, first: first, longest: longest)
    return bound > 0 ? Int64(random.below(UInt64(bound) + 1)) : 0
  }

  /// The most that pause can be.
  package static func bound(retry: Int, first: Int64, longest: Int64) -> Int64 {
    let limit = max(longest, 0)
    var bound = min(max(first, 0), limit)
    for _ in 1..<max(min(retry, 63), 1) {
      if bound >= limit / 2 + limit % 2 { return limit }
      bound *= 2
    }
    return bound
  }
}
