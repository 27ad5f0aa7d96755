package import Bytes

/// What a store is opened with.
package struct StoreOptions: Sendable {
  /// The directory that holds the store's files; made if it is missing.
  package var path: String
  /// How many bytes of pages may be in use. The file may be larger by the reserve that commits need
  /// (four groups, at most 64 MiB and a quarter of the limit). Less than 8 MiB counts as 8 MiB.
  package var sizeLimit: UInt64
  /// How many readers will be made: one for each worker thread.
  package var readers: Int
  /// Bytes of memory that the kernel may use to keep the store's pages: 0 for what the machine, or the
  /// control group, has.
  package var memory: UInt64 = 0

  /// Reads the conditions of purges that an earlier run has left; nil for one that is none.
  package var condition: @Sendable ([UInt8]) -> (any ObjectCondition)?

  /// Whether another process may still be sending bodies from the store: none is deleted before
  /// `ObjectStore.predecessorIsGone()`.
  package var hasPredecessor = false

  /// Objects, by their keyed hashes, that are deleted before anything is read of them: crashes name them.
  package var dropped: [Hash128] = []

  /// Called, on the writer's thread, with what an operator should know.
  package var note: @Sendable (String) -> Void

  /// Options for a store.
  package init(
    path: String, sizeLimit: UInt64, readers: Int, memory: UInt64 = 0,
    note: @escaping @Sendable (String) -> Void = { _ in },
    condition: @escaping @Sendable ([UInt8]) -> (any ObjectCondition)? = { _ in nil }
  ) {
    self.path = path
    self.sizeLimit = sizeLimit
    self.readers = readers
    self.memory = memory
    self.condition = condition
    self.note = note
  }
}

/// Why a store cannot be opened, or a purge not be made durable.
package struct StoreError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The file or directory concerned.
  package var path: String
  /// What went wrong, for an operator.
  package var reason: String

  /// An error at a path.
  package init(path: String, reason: String) {
    self.path = path
    self.reason = reason
  }

  package var description: String { "\(path): \(reason)" }
}

/// What became of an object that was to be stored.
package enum StoreOutcome: Sendable, Equatable {
  /// Committed, and found by every lookup from now on. The id names the stored response.
  case stored(id: UInt64)
  /// A purge newer than the fill's start matches it: nothing is stored, and nothing of the fill may
  /// be reused.
  case purged
  /// The stored response that was to be freshened is no longer the one stored.
  case replaced
  /// No space could be made, the disk refused, a chunk of the body is missing, or writing has ended.
  case refused
}

/// What a purge has reached.
package struct PurgeResult: Sendable, Equatable {
  /// The sequence number of the last of its tags.
  package var sequence: UInt64
  /// For each tag, in order, how many committed objects carried it and were not yet purged by it.
  package var counts: [UInt64]

  /// A result.
  package init(sequence: UInt64, counts: [UInt64]) {
    self.sequence = sequence
    self.counts = counts
  }

  /// The sum of the counts: an object that carries two of the tags counts twice.
  package var objects: UInt64 { counts.reduce(0, &+) }
}

/// What an order to purge has come to.
package struct PurgeReceipt: Sendable, Equatable {
  /// Its record.
  package var record: PurgeRecord
  /// For each tag, in order, how many committed objects carried it; for everything, how many there were;
  /// empty where only the sweeper learns it, and for a repeated order.
  package var counts: [UInt64]
  /// Whether an earlier order with the same idempotency key was carried out, and nothing now.
  package var isRepeat: Bool

  /// A receipt.
  package init(record: PurgeRecord, counts: [UInt64], isRepeat: Bool) {
    self.record = record
    self.counts = counts
    self.isRepeat = isRepeat
  }
}

/// A fill in progress, as purging sees it: no purge newer than its start is forgotten before it ends.
package struct FillMark: Sendable, Equatable {
  /// The newest purge when the fill began; goes into the object it makes.
  package let sequence: UInt64
}

/// The store's figures. Counts go from the store's opening, unless said otherwise.
package struct StoreStatistics: Sendable, Equatable {
  /// Objects stored now; variants and Vary rules count each.
  package var objects: UInt64 = 0
  /// Bytes of pages in use now.
  package var bytesInUse: UInt64 = 0
  /// Bytes of pages that may be in use.
  package var sizeLimit: UInt64 = 0
  /// Bytes of the data file now.
  package var fileBytes: UInt64 = 0
  /// Objects stored, freshened ones included.
  package var insertions: UInt64 = 0
  /// Objects evicted for space.
  package var evictions: UInt64 = 0
  /// Objects that eviction moved to the end of a queue instead.
  package var reinsertions: UInt64 = 0
  /// Groups committed.
  package var commits: UInt64 = 0
  /// Operations that wait for the writer now.
  package var queueLength: UInt64 = 0
  /// Bytes that wait for the writer now.
  package var queueBytes: UInt64 = 0
  /// Objects and chunks refused.
  package var refusals: UInt64 = 0
  /// Times that LMDB had no page left and a group was tried again.
  package var mapFull: UInt64 = 0
  /// Stored responses dropped because their checksum or layout was wrong.
  package var damaged: UInt64 = 0
  /// Whether a failed commit has ended writing for good.
  package var writingEnded = false
  /// Purged tags, invalidations included.
  package var purges: UInt64 = 0
  /// Purges in force and not yet forgotten, now.
  package var pendingPurges: UInt64 = 0
  /// Passes of the sweeper completed.
  package var sweeps: UInt64 = 0
  /// Objects deleted by the sweeper.
  package var swept: UInt64 = 0
  /// Bytes of the object table now.
  package var tableBytes: UInt64 = 0
}
