// The thread that makes purges durable. It takes all that wait, writes them with one call, syncs once,
// and answers each. A purge is never behind a commit of large fills. Then their records go into the log
// of purges, which is synced only if a purge by pattern is among them: that stands nowhere else.

import EventLoop
import Synchronization

final class Journal: Sendable {
  private struct Batch {
    var entries: [PurgeEntry]
    var record: PurgeRecord?
    var completion: (@Sendable (StoreError?) -> Void)?
  }
  private struct State {
    var waiting: [Batch] = []
    var waitingEntries = 0
    var isStopping = false
  }
  /// Invalidations beyond this many waiting entries are not written: nobody waits for them.
  private static let limit = 1 << 16

  private let path: String
  private let state = Mutex(State())
  private let folded: Atomic<UInt64>
  private let writingEnded = Atomic<Bool>(false)
  private let history: PurgeHistory
  private let waker: Waker
  private let spaceWaker: Waker
  private let thread = Mutex<LoopThread?>(nil)

  /// `folded`: the number through which purges are in the database.
  init(path: String, folded: UInt64, history: PurgeHistory) throws(Errno) {
    self.path = path
    self.history = history
    self.folded = Atomic(folded)
    waker = try Waker()
    spaceWaker = try Waker()
  }

  /// Starts the thread. `requestFolding` asks the writer to make room.
  func start(_ file: JournalFile, requestFolding: @escaping @Sendable () -> Void) {
    thread.withLock {
      $0 = LoopThread(name: "journal", isPrompt: true) { self.run(file, requestFolding) }
    }
  }

  /// Hands over purges that are in force; the completion is called on this thread once they are durable.
  func append(
    _ entries: [PurgeEntry], record: PurgeRecord? = nil,
    completion: (@Sendable (StoreError?) -> Void)?
  ) {
    let taken = state.withLock { state in
      if state.isStopping { return false }
      if completion == nil && state.waitingEntries > Self.limit { return true }
      state.waiting.append(Batch(entries: entries, record: record, completion: completion))
      state.waitingEntries += entries.count
      return true
    }
    if taken {
      waker.wake()
    } else {
      completion?(StoreError(path: path, reason: "the store is closing"))
    }
  }

  /// The writer has folded all purges through `sequence`.
  func didFold(through sequence: UInt64) {
    folded.store(sequence, ordering: .releasing)
    spaceWaker.wake()
  }

  /// The writer can fold no more: when the journal is full, purges fail.
  func writingDidEnd() {
    writingEnded.store(true, ordering: .releasing)
    spaceWaker.wake()
  }

  /// Writes what waits and ends the thread.
  func stop() {
    state.withLock { $0.isStopping = true }
    waker.wake()
    thread.withLock { thread in
      thread?.join()
      thread = nil
    }
  }

  private func run(_ file: JournalFile, _ requestFolding: @Sendable () -> Void) {
    while true {
      let (batches, stopping) = state.withLock { state in
        let batches = state.waiting
        state.waiting = []
        state.waitingEntries = 0
        return (batches, state.isStopping)
      }
      if batches.isEmpty {
        if stopping { return }
        waker.wait(milliseconds: -1)
        continue
      }
      let error =
        write(batches.flatMap(\.entries), file, requestFolding)
        ?? history.append(batches.compactMap(\.record))
      for batch in batches { batch.completion?(error) }
    }
  }

  private func write(
    _ entries: [PurgeEntry], _ file: JournalFile, _ requestFolding: @Sendable () -> Void
  ) -> StoreError? {
    if entries.isEmpty { return nil }
    var rest = entries.sorted { $0.sequence < $1.sequence }[...]
    while let first = rest.first {
      let end = folded.load(ordering: .acquiring) + JournalFile.places
      guard first.sequence <= end else {
        if writingEnded.load(ordering: .acquiring) {
          return StoreError(path: path, reason: "the purge journal is full and writing has ended")
        }
        requestFolding()
        spaceWaker.wait(milliseconds: 100)
        continue
      }
      let fitting = rest.prefix { $0.sequence <= end }
      do throws(Errno) {
        try file.append(Array(fitting))
      } catch {
        return StoreError(path: path, reason: "cannot write the purge journal: \(error)")
      }
      rest = rest.dropFirst(fitting.count)
    }
    return nil
  }
}
