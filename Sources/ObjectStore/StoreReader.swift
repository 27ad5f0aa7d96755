package import Bytes

/// One worker thread's way to read the store.
///
/// Used by one thread only. A turn begins with its first lookup and ends with `endTurn`; every view it
/// gave is good until then. Between turns keep ids and offsets, and a pin on a body being sent.
package final class StoreReader: @unchecked Sendable {
  // Sendable so that it can be handed to the thread that will use it, once, before its first use.

  init() {}

  /// What is stored under a primary key. A found response counts as used.
  package func lookup(_ hash: Hash128, key: ByteView) -> Lookup { .miss }

  /// The variant of a primary key selected by a rule and the request's values for it.
  package func lookupVariant(
    primary: Hash128, key: ByteView, rule: ByteView, values: ByteView
  ) -> StoredResponse? { nil }

  /// A stored response again, in a later turn: nil once it is replaced, removed, purged or evicted.
  package func record(id: UInt64, hash: Hash128) -> StoredResponse? { nil }

  /// The bytes of a body's chunk; nil if it is not there or damaged.
  package func chunk(body: UInt64, number: UInt32) -> ByteView? { nil }

  /// Where a chunk stands in the data file; nil if it is not there or damaged. Pin the body first.
  package func chunkLocation(body: UInt64, number: UInt32) -> ChunkLocation? { nil }

  /// Keeps a body's chunks after its record is gone, until `unpin`. Within the turn that found it.
  package func pin(_ body: UInt64) {}

  /// Takes one `pin` back.
  package func unpin(_ body: UInt64) {}

  /// Ends the turn: every view is void. Costs next to nothing if nothing was looked up.
  package func endTurn() {}
}
