// A circuit breaker as one word, so that all workers can change it without a lock: every rule here makes
// a new word of an old one, and whoever keeps it stores it by compare and exchange.
//
//   closed ──(failures in a window)──▶ open ──(time passes)──▶ half-open ──(probes succeed)──▶ closed
//                                        ▲                         │
//                                        └──────(one fails)────────┘   each time for twice as long
//
//   bits 62 to 63   state
//   bits 54 to 61   era: counts openings, so that a probe's end is not taken for a later era's
//   closed          34 to 53 the window's first second, 17 to 33 requests, 0 to 16 failures
//   open            42 to 45 how often it opened in a row, 0 to 41 until when (ms)
//   half-open       42 to 45 as above, 8 to 15 probes under way, 0 to 7 probes that succeeded
//
// A request that began while it was closed says nothing once it has opened: it would find the origin in a
// state that is over. Windows tumble; each begins empty.

/// What a breaker does at a time.
package enum BreakerState: UInt8, Sendable, CaseIterable {
  /// Everything passes.
  case closed
  /// Nothing passes.
  case open
  /// A few requests pass, to see.
  case halfOpen

  /// The name in reports.
  package var name: String {
    switch self {
    case .closed: "closed"
    case .open: "open"
    case .halfOpen: "half_open"
    }
  }
}

/// How a request came through a breaker; its end is told with it.
enum BreakerPass: Sendable, Equatable {
  /// It was closed, or there is none.
  case normal
  /// One of the few, in that era.
  case probe(era: UInt8)
}

/// How a request ended, as far as a breaker cares.
enum BreakerVerdict: Sendable {
  case success
  case failure
  /// It says nothing: the client left, or another try was faster.
  case none
}

/// See the top of this file.
struct Breaker: Sendable, Equatable {
  var word: UInt64

  /// As it is at first.
  static var closed: Breaker { Breaker(word: 0) }

  private var rawState: UInt64 { word &>> 62 }
  private var era: UInt8 { UInt8(truncatingIfNeeded: word &>> 54) }
  private var openings: UInt64 { word &>> 42 & 15 }
  private var until: Int64 { Int64(word & (1 &<< 42 - 1)) }
  private var probes: UInt64 { word &>> 8 & 255 }
  private var successes: UInt64 { word & 255 }
  private var windowStart: UInt64 { word &>> 34 & 0xF_FFFF }
  private var requests: UInt64 { word &>> 17 & 0x1_FFFF }
  private var failures: UInt64 { word & 0x1_FFFF }

  /// What it does at a time (monotonic, ns).
  func state(now: Int64) -> BreakerState {
    switch rawState {
    case 0: .closed
    case 1: now / 1_000_000 >= until ? .halfOpen : .open
    default: .halfOpen
    }
  }

  /// Whether a request may pass now.
  func admits(_ settings: BreakerSettings, now: Int64) -> Bool {
    switch rawState {
    case 0: true
    case 1: now / 1_000_000 >= until
    default: probes < Self.probeLimit(settings)
    }
  }

  /// Nanoseconds until it lets a request pass again; 0 if it does or if a probe decides.
  func retryAfter(now: Int64) -> Int64 {
    rawState == 1 ? max(0, until &* 1_000_000 &- now) : 0
  }

  /// Lets a request pass: the breaker afterwards, and how the request came through; nil if it may not.
  func admitting(_ settings: BreakerSettings, now: Int64) -> (Breaker, BreakerPass)? {
    guard admits(settings, now: now) else { return nil }
    switch rawState {
    case 0: return (self, .normal)
    case 1: return (make(state: 2, era: era, rest: openings &<< 42 | 1 &<< 8), .probe(era: era))
    default: return (Breaker(word: word &+ 1 &<< 8), .probe(era: era))
    }
  }

  /// The breaker after a request that came through in a certain way.
  func recording(
    _ verdict: BreakerVerdict, pass: BreakerPass, _ settings: BreakerSettings, now: Int64
  ) -> Breaker {
    switch pass {
    case .normal: rawState == 0 ? counting(verdict, settings, now: now) : self
    case .probe(let passed):
      rawState == 2 && passed == era ? judging(verdict, settings, now: now) : self
    }
  }

  private func counting(_ verdict: BreakerVerdict, _ settings: BreakerSettings, now: Int64)
    -> Breaker
  {
    let isFailure: Bool
    switch verdict {
    case .none: return self
    case .success: isFailure = false
    case .failure: isFailure = true
    }
    let second = UInt64(max(now, 0) / 1_000_000_000) & 0xF_FFFF
    var (start, requests, failures) = (windowStart, self.requests, self.failures)
    let length = UInt64(min(max(settings.windowSeconds, 1), 3600))
    if (second &- start) & 0xF_FFFF >= length { (start, requests, failures) = (second, 0, 0) }
    // Full counters stand still; the share they show by then is good enough.
    if requests < 0x1_FFFF {
      requests += 1
      if isFailure { failures += 1 }
    }
    let enough = requests >= UInt64(max(settings.minimumRequests, 1))
    let share = UInt64(min(max(settings.failurePercent, 0), 100))
    if isFailure, share > 0, enough, failures * 100 >= requests * share {
      return opened(times: 1, settings, now: now)
    }
    return make(state: 0, era: era, rest: start &<< 34 | requests &<< 17 | failures)
  }

  private func judging(_ verdict: BreakerVerdict, _ settings: BreakerSettings, now: Int64)
    -> Breaker
  {
    switch verdict {
    case .failure: return opened(times: min(openings + 1, 15), settings, now: now)
    case .none: return probes > 0 ? Breaker(word: word &- 1 &<< 8) : self
    case .success:
      if successes + 1 >= Self.probeLimit(settings) {
        let second = UInt64(max(now, 0) / 1_000_000_000) & 0xF_FFFF
        return make(state: 0, era: era, rest: second &<< 34)
      }
      let left = probes > 0 ? probes - 1 : 0
      return make(
        state: 2, era: era, rest: openings &<< 42 | left &<< 8 | (successes + 1))
    }
  }

  private func opened(times: UInt64, _ settings: BreakerSettings, now: Int64) -> Breaker {
    let first = min(max(settings.open, 1_000_000), 3_600_000_000_000)
    let length = min(first &<< Int64(min(times, 16) - 1), max(settings.longestOpen, first))
    let until = UInt64(clamping: max(now, 0) &+ length) / 1_000_000
    return make(state: 1, era: era &+ 1, rest: times &<< 42 | min(until, 1 &<< 42 - 1))
  }

  private func make(state: UInt64, era: UInt8, rest: UInt64) -> Breaker {
    Breaker(word: state &<< 62 | UInt64(era) &<< 54 | rest)
  }

  private static func probeLimit(_ settings: BreakerSettings) -> UInt64 {
    UInt64(min(max(settings.probes, 1), 255))
  }
}
