// A server's latency as one word that all workers change: an exponentially weighted mean that jumps up to
// every peak and comes down slowly (Finagle's peak EWMA), so that a server that stalls is avoided after
// one answer and not after many.
//
//   bits 0 to 31    microseconds (0: unknown)
//   bits 32 to 63   the millisecond of the last sample, modulo 2³²
//
// Time passes over it too: without samples it halves every seven seconds, so that a server that was slow
// once is tried again.

/// See the top of this file.
struct PeakLatency: Sendable, Equatable {
  var word: UInt64

  /// Milliseconds in which a sample loses half of its weight: ten seconds to 1/e.
  private static var halfLife: UInt64 { 6931 }

  /// The estimate at a time (monotonic, ns), in microseconds.
  func value(now: Int64) -> Int64 {
    let then = UInt32(truncatingIfNeeded: word &>> 32)
    let passed = Self.milliseconds(now) &- then
    // Another thread's sample may be a little ahead of this one's clock.
    if passed > 1 << 31 { return Int64(word & 0xFFFF_FFFF) }
    return Int64(((word & 0xFFFF_FFFF) &* Self.decay(UInt64(passed))) &>> 16)
  }

  /// The estimate after a sample, in nanoseconds, at a time.
  func adding(_ nanoseconds: Int64, now: Int64) -> PeakLatency {
    let sample = min(max(nanoseconds / 1000, 1), Int64(UInt32.max))
    let then = UInt32(truncatingIfNeeded: word &>> 32)
    let difference = Self.milliseconds(now) &- then
    let passed = difference > 1 << 31 ? 0 : difference
    let current = Int64(word & 0xFFFF_FFFF)
    var mean = sample
    if sample < current {
      // At least one part in 256, or samples within one millisecond would count for nothing.
      let weight = min(Int64(Self.decay(UInt64(passed))), 65_280)
      mean = sample &+ ((current &- sample) &* weight) &>> 16
    }
    let stamp = difference > 1 << 31 && word != 0 ? then : Self.milliseconds(now)
    return PeakLatency(word: UInt64(stamp) &<< 32 | UInt64(mean))
  }

  private static func milliseconds(_ time: Int64) -> UInt32 {
    UInt32(truncatingIfNeeded: max(time, 0) / 1_000_000)
  }

  /// 2^(−passed / halfLife), times 65,536; straight lines between powers of two, at most 6 % above.
  private static func decay(_ passed: UInt64) -> UInt64 {
    let halvings = passed / halfLife
    guard halvings < 17 else { return 0 }
    return (65_536 &- 32_768 &* (passed % halfLife) / halfLife) &>> halvings
  }
}
