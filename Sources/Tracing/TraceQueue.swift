internal import Synchronization

/// Where workers leave what they have traced, for the thread that exports it. Bounded: who finds it full
/// loses its record, which is counted. Only sampled requests come here, so that one lock will do.
package final class TraceQueue: Sendable {
  private struct State {
    var records: [TraceRecord] = []
    var isClosed = false
  }
  /// The most records that wait.
  package static let limit = 4096
  private let state = Mutex(State())
  private let lost = Atomic<UInt64>(0)
  private let sent = Atomic<UInt64>(0)
  private let failures = Atomic<UInt64>(0)
  private let wake: @Sendable () -> Void

  /// An empty queue. `wake` is called on the thread that leaves a first record, and must not wait.
  package init(wake: @escaping @Sendable () -> Void) { self.wake = wake }

  /// Leaves a record; false if it is lost. On any thread.
  @discardableResult
  package func append(_ record: TraceRecord) -> Bool {
    let count = state.withLock { state in
      guard state.records.count < Self.limit, !state.isClosed else { return -1 }
      state.records.append(record)
      return state.records.count
    }
    if count < 0 { lost.add(1, ordering: .relaxed) }
    if count == 1 { wake() }
    return count > 0
  }

  /// Takes what there is, oldest first, at most `most`.
  package func take(most: Int) -> [TraceRecord] {
    state.withLock { state in
      let taken = Array(state.records.prefix(most))
      state.records.removeFirst(taken.count)
      return taken
    }
  }

  /// Takes no more.
  package func close() { state.withLock { $0.isClosed = true } }

  /// Notes what has become of records that were taken.
  package func note(sent count: Int) { sent.add(UInt64(count), ordering: .relaxed) }
  /// They are lost: the collector did not take them.
  package func note(lost count: Int) {
    failures.add(1, ordering: .relaxed)
    lost.add(UInt64(count), ordering: .relaxed)
  }

  /// Requests exported, requests lost, and exports that failed.
  package var counts: (sent: UInt64, lost: UInt64, failures: UInt64) {
    (
      sent.load(ordering: .relaxed), lost.load(ordering: .relaxed),
      failures.load(ordering: .relaxed)
    )
  }
}
