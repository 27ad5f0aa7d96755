package import Bytes

/// What a lookup has found. Views within it are good until the reader's `endTurn`.
package enum Lookup {
  /// Nothing that may be used.
  case miss
  /// The stored response of a key without variants.
  case found(StoredResponse)
  /// The key has variants: try `lookupVariant` for each rule, newest first.
  case varies(VaryRules)
}

/// A stored response, read where it stands in the map. Good until the reader's `endTurn`.
package struct StoredResponse {
  let record: RecordView
  /// Since when it is stale by a soft purge, in ms since the epoch, however fresh it would be; `.max` if
  /// it is not. It may be served where a stale response may be (counted from here, if it was fresh), and
  /// be validated.
  package let softlyPurgedAt: Int64

  @inline(__always)
  init(_ record: RecordView, softlyPurgedAt: Int64) {
    self.record = record
    self.softlyPurgedAt = softlyPurgedAt
  }

  /// Whether a soft purge has made it stale.
  package var isSoftlyPurged: Bool { softlyPurgedAt != .max }
  /// Whether chunks of its body may be missing: ask `StoreReader.presence`.
  package var isSliced: Bool { record.isSliced }

  /// Names this stored response for `record`, `freshen` and `remove`, together with `keyHash`. Stays the
  /// same while eviction moves the record about.
  package var id: UInt64 { record.birth }
  /// The hash it is stored under: the key's, or the variant's.
  package var keyHash: Hash128 { record.keyHash }
  /// The full primary key.
  package var key: ByteView { record.key }
  /// The URL that the client sent.
  package var url: ByteView { record.url }
  /// The Vary rule it is a variant by; empty if none.
  package var varyRule: ByteView { record.rule }
  /// The request values it was selected by.
  package var varyValues: ByteView { record.values }
  /// The field lines as they were stored.
  package var head: ByteView { record.head }
  /// The content if it is inline; else empty.
  package var body: ByteView { record.body }
  /// The content's id for `chunk` and `pin`; 0 if it is inline.
  package var bodyID: UInt64 { record.bodyID }
  /// The content's length in bytes.
  package var bodyLength: UInt64 { record.bodyLength }
  /// The newest purge when its fill (or last validation) began.
  package var sequence: UInt64 { record.sequence }

  /// The status code.
  package var status: UInt16 { record.status }
  /// The cache's own flags.
  package var flags: UInt32 { record.flags }
  /// See `Metadata.responseTime`.
  package var responseTime: Int64 { record.integer(at: 80) }
  /// See `Metadata.correctedInitialAge`.
  package var correctedInitialAge: Int64 { record.integer(at: 88) }
  /// See `Metadata.lifetime`.
  package var lifetime: Int64 { record.integer(at: 96) }
  /// See `Metadata.staleWhileRevalidate`.
  package var staleWhileRevalidate: Int64 { record.integer(at: 104) }
  /// See `Metadata.staleIfError`.
  package var staleIfError: Int64 { record.integer(at: 112) }
  /// See `Metadata.lastModified`.
  package var lastModified: Int64 { record.integer(at: 120) }
  /// The entity tag as it stands in the head; empty if there is none.
  package var etag: ByteView {
    let start = Int(record.bytes.uint32(at: 128))
    return head.dropping(first: start).prefix(Int(record.bytes.uint32(at: 132)))
  }
  /// All of it at once.
  package var metadata: Metadata { record.metadata }

  /// Whether it is the variant of that key for those request values.
  @inline(__always)
  func isVariant(of key: ByteView, _ rule: ByteView, _ values: ByteView) -> Bool {
    !record.isRules && record.key == key && record.rule == rule && record.values == values
  }

  /// How many tags the origin gave.
  package var tagCount: Int { record.tagCount }
  /// How many implicit tags there are.
  package var implicitTagCount: Int { record.implicitTagCount }
  /// A tag's hash: first the origin's `tagCount`, then the implicit ones.
  package func tag(_ index: Int) -> UInt64 { record.tags[index] }
}

/// The Vary rules of a key, newest first. Good until the reader's `endTurn`.
package struct VaryRules {
  let list: ByteView

  /// How many there are; at most 8.
  package var count: Int { list.isEmpty ? 0 : min(Int(list[0]), RecordLayout.ruleLimit) }

  /// A rule; empty for responses that had no Vary. `index` is in `0 ..< count`.
  package func rule(_ index: Int) -> ByteView {
    var offset = 1
    for _ in 0..<index {
      guard list.count - offset >= 2 else { return ByteView() }
      offset += 2 + Int(list.uint16(at: offset))
    }
    guard list.count - offset >= 2 else { return ByteView() }
    return list.dropping(first: offset + 2).prefix(Int(list.uint16(at: offset)))
  }
}
