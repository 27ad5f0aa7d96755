// Latencies of a pool as a worker saw them, to know when a request is slow: 8 buckets for each doubling
// from 16 µs to 268 s, so that a quantile is right to 9 %. After every 1,024 samples all counts are
// halved, which lets the estimate follow a pool that changes.

/// See the top of this file. Of one worker; 1 KiB.
package struct LatencyHistogram: Sendable {
  private static let bucketCount = 192
  private var counts = InlineArray<192, UInt32>(repeating: 0)
  /// Samples in the buckets.
  private var total: UInt64 = 0
  private var sinceHalving = 0

  /// No samples.
  package init() {}

  /// Adds a latency in nanoseconds.
  package mutating func add(_ nanoseconds: Int64) {
    counts[Self.bucket(nanoseconds)] &+= 1
    total &+= 1
    sinceHalving += 1
    if sinceHalving >= 1024 { halve() }
  }

  private mutating func halve() {
    sinceHalving = 0
    total = 0
    for index in 0..<Self.bucketCount {
      counts[index] /= 2
      total += UInt64(counts[index])
    }
  }

  /// The latency that `permille` of the samples do not exceed; nil with fewer than 100 samples.
  package func quantile(permille: Int) -> Int64? {
    guard total >= 100 else { return nil }
    let wanted = (total * UInt64(min(max(permille, 0), 1000)) + 999) / 1000
    var seen: UInt64 = 0
    for index in 0..<Self.bucketCount {
      seen += UInt64(counts[index])
      if seen >= wanted { return Self.upperBound(index) }
    }
    return Self.upperBound(Self.bucketCount - 1)
  }

  /// When to send a second try for a request that began: after 95 % of answers would be there. Nil
  /// while too little is known.
  package func hedgeDelay() -> Int64? { quantile(permille: 950) }

  private static func bucket(_ nanoseconds: Int64) -> Int {
    let units = UInt64(max(nanoseconds, 0)) &>> 14
    guard units > 0 else { return 0 }
    let exponent = 63 - units.leadingZeroBitCount
    // The three bits behind the highest one.
    let fraction =
      exponent >= 3 ? units &>> UInt64(exponent - 3) & 7 : units &<< UInt64(3 - exponent) & 7
    return min(exponent * 8 + Int(fraction), bucketCount - 1)
  }

  private static func upperBound(_ bucket: Int) -> Int64 {
    let exponent = Int64(bucket / 8)
    return (Int64(8 + bucket % 8 + 1) &<< exponent) &<< 11
  }
}
