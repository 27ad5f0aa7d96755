/// Durations of a server, as a histogram that all workers add to.
package struct ServerTimings: Sendable, Equatable {
  /// Upper bounds in nanoseconds.
  package static let bounds: [Int64] = [
    500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000, 25_000_000, 50_000_000, 100_000_000,
    250_000_000, 500_000_000, 1_000_000_000, 2_500_000_000, 5_000_000_000, 10_000_000_000,
    30_000_000_000,
  ]
  /// How many, by bound; the last above all.
  package var counts = [UInt64](repeating: 0, count: bounds.count + 1)
  /// Their sum, nanoseconds.
  package var sum: UInt64 = 0
}

extension ServerCells {
  /// Words of a histogram: a count for each bound, one above all, and the sum.
  static var timingLength: Int { ServerTimings.bounds.count + 2 }

  /// Adds a duration to the histogram that begins at a word.
  func add(_ duration: Int64, to start: Int) {
    let duration = max(duration, 0)
    var bucket = 0
    while bucket < ServerTimings.bounds.count, duration > ServerTimings.bounds[bucket] {
      bucket += 1
    }
    words.add(start + bucket)
    words.add(start + ServerTimings.bounds.count + 1, UInt64(duration))
  }

  /// The histogram that begins at a word.
  func timings(at start: Int) -> ServerTimings {
    var timings = ServerTimings()
    for bucket in timings.counts.indices { timings.counts[bucket] = words.load(start + bucket) }
    timings.sum = words.load(start + ServerTimings.bounds.count + 1)
    return timings
  }
}

extension OriginPool {
  /// Notes how long a connection to a server took to be made.
  package func connected(_ index: Int, after duration: Int64) {
    guard index >= 0, index < cells.count else { return }
    cells[index].add(duration, to: ServerCells.Word.connectTimes)
  }
}
