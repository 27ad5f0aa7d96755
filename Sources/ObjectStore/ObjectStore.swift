package import Bytes

/// Stored responses on disk, shared by all workers.
package final class ObjectStore: Sendable {
  /// How many bytes of a body go into each chunk but the last.
  package static let chunkSize = 262_120
  /// How many bytes of a body are kept within the record; longer ones go into chunks.
  package static let inlineLimit = 16_384

  private init() {}

  /// Opens the store in `options.path`, making it if need be. Blocks; for the start of a node.
  ///
  /// A store that cannot be read is set aside and a fresh one made (see `openingNote`). Throws if the
  /// directory cannot be used at all, or is in use by another process.
  package static func open(_ options: StoreOptions) throws(StoreError) -> ObjectStore {
    ObjectStore()
  }

  /// What was unusual about the opening, for the log; nil if nothing was.
  package var openingNote: String? { nil }

  /// A way to read, for one thread. At most `StoreOptions.readers` may exist at a time.
  package func makeReader() throws(StoreError) -> StoreReader { StoreReader() }

  /// The keyed hash of a full primary key.
  package func keyHash(_ key: ByteView) -> Hash128 { Hash128(low: 0, high: 0) }

  /// The hash that a variant is stored under.
  package func variantHash(primary: Hash128, rule: ByteView, values: ByteView) -> Hash128 {
    primary
  }

  /// The keyed hash of a tag; never 0.
  package func tagHash(_ tag: ByteView) -> UInt64 { 1 }

  /// The newest purge's number. Takes no lock.
  package var purgeSequence: UInt64 { 0 }

  /// Begins a fill (or a validation): end it with `endFill` after its last `store` has completed.
  package func beginFill() -> FillMark { FillMark(sequence: 0) }

  /// Ends a fill.
  package func endFill(_ mark: FillMark) {}

  /// Whether something newer than `sequence` purges an object with these tags. Takes no lock.
  package func isPurged(since sequence: UInt64, tags: [UInt64]) -> Bool { false }

  /// A new body's id.
  package func makeBodyID() -> UInt64 { 1 }

  /// Hands over a chunk of a body: exactly `chunkSize` bytes, or fewer for the last; `number` from 0,
  /// in order. The bytes are those that `bytes` holds at the call.
  ///
  /// The completion is called on the writer's thread: true once committed, false if refused. Returns
  /// false, takes nothing and never calls it if too much waits or writing has ended.
  package func storeChunk(
    body: UInt64, number: UInt32, _ bytes: SharedBytes,
    completion: @escaping @Sendable (Bool) -> Void
  ) -> Bool { false }

  /// Hands over an object. The completion is called on the writer's thread, after the commit and after
  /// every lookup can find it. Returns false, takes nothing and never calls it if too much waits, a
  /// length is out of range or writing has ended; then `dropBody` is the caller's to call.
  package func store(
    _ object: NewObject, completion: @escaping @Sendable (StoreOutcome) -> Void
  ) -> Bool { false }

  /// Gives a stored response a new head and metadata, as a 304 does (RFC 9111 §4.3.4); the content
  /// stays. Tags that are nil stay as well. As `store` otherwise.
  package func freshen(
    id: UInt64, keyHash: Hash128, head: [UInt8], metadata: Metadata, tags: [UInt64]? = nil,
    implicitTags: [UInt64]? = nil, sequence: UInt64,
    completion: @escaping @Sendable (StoreOutcome) -> Void
  ) -> Bool { false }

  /// Drops the chunks of a body that will get no record: its fill has failed.
  package func dropBody(_ body: UInt64) {}

  /// Removes a stored response, if it is still the one stored under that hash.
  package func remove(keyHash: Hash128, id: UInt64) {}

  /// Purges every object that carries one of the tags. In force for every lookup when it returns;
  /// once it is durable, the completion is called on the journal's thread with the counts.
  package func purge(
    tags: [UInt64], completion: @escaping @Sendable (Result<PurgeResult, StoreError>) -> Void
  ) { completion(.success(PurgeResult(sequence: 0, counts: tags.map { _ in 0 }))) }

  /// Purges by one tag without waiting for the disk (RFC 9111 §4.4): in force when it returns, written
  /// to the journal soon after.
  package func invalidate(tag: UInt64) {}

  /// The store's figures now.
  package var statistics: StoreStatistics { StoreStatistics() }

  /// Waits until everything handed over before is committed or refused.
  package func flush() {}

  /// Waits until a pass of the sweeper that began after the call has ended, and what it makes
  /// forgettable is forgotten. For tests.
  package func waitForSweep() {}

  /// Commits what waits and stops the store's threads. The files are closed when the last reader goes.
  package func close() {}

  /// Compares everything with everything (index, records, table, chunks, counts). Slow; for tests.
  package func check() throws(StoreError) {}
}
