internal import Histogram
internal import Synchronization

/// A second of a replay that is going on.
package struct LiveSecond: Sendable {
  /// Which one, from 0.
  package var index: Int
  /// Requests sent, answered and failed in it.
  package var sent: UInt64
  /// Requests answered.
  package var answers: UInt64
  /// Requests that failed.
  package var failures: UInt64
  /// Requests sent late.
  package var late: UInt64
  /// Bytes received.
  package var receivedBytes: UInt64
  /// Of the answers whose cache spoke, how many it had; nil if there are none.
  package var hitRatio: Double?
  /// Latencies in nanoseconds: median, 99th percentile, the longest.
  package var p50: UInt64
  /// The 99th percentile.
  package var p99: UInt64
  /// The longest.
  package var longest: UInt64
}

/// What a replay that is going on shows, and how it is stopped.
package final class Progress: Sendable {
  private struct State {
    /// Seconds that are over in every sender: only their figures are kept.
    var done: [LiveSecond] = []
    /// Those behind them.
    var open: [SecondTally] = []
  }
  private let state = Mutex(State())
  /// So many seconds a sender may be behind the others.
  private static let mostOpen = 10
  private let stopping = Atomic(false)
  private let aborted = Atomic(false)

  init() {}

  /// Ends the sending; answers that are under way are waited for.
  package func stop() { stopping.store(true, ordering: .relaxed) }
  /// Ends the replay at once.
  package func abort() {
    stop()
    aborted.store(true, ordering: .relaxed)
  }

  var isStopping: Bool { stopping.load(ordering: .relaxed) }
  var isAborted: Bool { aborted.load(ordering: .relaxed) }

  func add(_ tally: SecondTally, at index: Int) {
    state.withLock { state in
      // What comes too late counts in the earliest second that is open.
      let place = max(0, index - state.done.count)
      while state.open.count <= place { state.open.append(SecondTally()) }
      state.open[place].add(tally)
      while state.open.count > Self.mostOpen {
        state.done.append(LiveSecond(state.done.count, state.open.removeFirst()))
      }
    }
  }

  /// The seconds so far, the last of which may not be over.
  package var live: [LiveSecond] {
    state.withLock { state in
      state.done
        + state.open.enumerated().map { LiveSecond(state.done.count + $0.offset, $0.element) }
    }
  }

  /// The second before the last, which is over in every sender that is not behind; nil if there is none.
  package var latest: LiveSecond? {
    state.withLock { state in
      guard state.open.count >= 2 else { return nil }
      let place = state.open.count - 2
      return LiveSecond(state.done.count + place, state.open[place])
    }
  }
}

extension LiveSecond {
  init(_ index: Int, _ second: SecondTally) {
    self.init(
      index: index, sent: second.sent, answers: second.answers, failures: second.failures,
      late: second.late, receivedBytes: second.receivedBytes,
      hitRatio: second.judged > 0 ? Double(second.hits) / Double(second.judged) : nil,
      p50: second.latencies.valueAtPercentile(50), p99: second.latencies.valueAtPercentile(99),
      longest: second.latencies.max)
  }
}

extension LiveSecond {
  /// The second in one line of at most so many characters: what matters less is left out.
  package func text(width: Int) -> String {
    var parts = [
      "\(index + 1)s", "\(answers)/s", "p50 \(Figure.time(Double(p50) / 1_000))",
      "p99 \(Figure.time(Double(p99) / 1_000))",
    ]
    if failures > 0 { parts.append("\(failures) failed") }
    if let hitRatio { parts.append("hits \(Figure.fixed(hitRatio * 100, 1)) %") }
    if late > 0 { parts.append("\(late) late") }
    parts.append("\(Figure.bytes(Double(receivedBytes)))/s")
    while parts.count > 1, parts.joined(separator: "  ").count > width { parts.removeLast() }
    return String(parts.joined(separator: "  ").prefix(width))
  }
}
