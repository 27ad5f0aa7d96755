internal import Synchronization

/// A request that a bucket of a histogram is shown by: one whose trace was recorded.
package struct Exemplar: Sendable, Equatable {
  /// The trace's identifier, 32 hexadecimal digits.
  package var trace: String
  /// How long the request took, in seconds.
  package var value: Double
  /// When it ended, in milliseconds since the epoch.
  package var wall: Int64

  /// A request.
  package init(trace: String, value: Double, wall: Int64) {
    self.trace = trace
    self.value = value
    self.wall = wall
  }
}

/// The latest request of each bucket of the durations by result. Only requests whose trace is recorded
/// come here, which are few: one lock will do.
final class ExemplarTable: Sendable {
  private let slots = Mutex(
    [Exemplar?](repeating: nil, count: CacheResult.allCases.count * RequestCounters.buckets))

  func note(_ exemplar: Exemplar, _ result: CacheResult, duration: Int64) {
    let place =
      Int(result.rawValue) * RequestCounters.buckets + RequestCounters.bucket(max(duration, 0))
    slots.withLock { $0[place] = exemplar }
  }

  /// Those of a result, by bucket.
  func all(_ result: CacheResult) -> [Exemplar?] {
    let start = Int(result.rawValue) * RequestCounters.buckets
    return slots.withLock { Array($0[start..<start + RequestCounters.buckets]) }
  }
}

extension MetricsRegistry {
  /// Notes that a request's trace is recorded, and how long it took, in nanoseconds.
  package func noteTraced(
    traceHigh: UInt64, traceLow: UInt64, result: CacheResult, duration: Int64, wall: Int64
  ) {
    let trace = [traceHigh, traceLow].map { word in
      let digits = String(word, radix: 16)
      return String(repeating: "0", count: 16 - digits.utf8.count) + digits
    }.joined()
    exemplars.note(
      Exemplar(trace: trace, value: Double(max(duration, 0)) / 1e9, wall: wall), result,
      duration: duration)
  }
}
