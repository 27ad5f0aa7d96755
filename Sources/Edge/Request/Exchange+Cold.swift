// Stored responses that memory has no room for. A worker that touched their pages would wait for the
// disk, and all its clients with it; so where the store is larger than memory a helper thread touches
// them first, and the request goes on when it has (`ObjectStore/Residency.swift`). In a store that fits
// into memory nothing here is asked.

internal import Bytes
internal import EventLoop
internal import Metrics
internal import ObjectStore

extension Exchange {
  /// Chunks brought at a time.
  private static let chunksAhead: UInt64 = 4

  /// Has the record of a hash brought into memory, and begins again when it is there. False if the
  /// helper has too much to do: it is then read as it is.
  func warm(
    _ hash: Hash128, _ store: ObjectStore, on connection: some ClientStream
  ) -> Bool {
    let worker = connection.worker
    let context = worker.context
    let (token, index) = (connection.token, worker.index)
    guard store.warm(hash, completion: { context.post(.warmed(token), to: index) }) else {
      return false
    }
    worker.counters.add(.coldReads)
    hasWarmed = true
    isWarming = true
    own(worker)
    state = .warming
    return true
  }

  /// Has the chunk at the client's position brought into memory, and some behind it. False if there is
  /// no need, or no room.
  func warmChunks(
    _ store: ObjectStore, _ reader: StoreReader, on connection: some ClientStream
  ) -> Bool {
    guard store.exceedsMemory, position >= warmedThrough else { return false }
    let size = UInt64(ObjectStore.chunkSize)
    let first = position / size
    let number = UInt32(truncatingIfNeeded: first)
    guard !reader.isResident(body: bodyID, number: number) else { return false }
    let last = min(first + Self.chunksAhead, (end + size - 1) / size)
    let chunks = number..<UInt32(truncatingIfNeeded: max(last, first + 1))
    let context = connection.worker.context
    let (token, index) = (connection.token, connection.worker.index)
    guard
      store.warm(
        body: bodyID, chunks: chunks, completion: { context.post(.warmed(token), to: index) })
    else { return false }
    connection.worker.counters.add(.coldReads)
    warmedThrough = UInt64(chunks.upperBound) * size
    isWarming = true
    return true
  }

  /// The helper has done what it could; `progress` goes on.
  func warmed() { isWarming = false }
}
