package import Bytes

/// What the store keeps of a response beside its bytes. Opaque to the store but for the expiry.
package struct Metadata: Sendable, Equatable {
  /// The status code.
  package var status: UInt16
  /// The cache's own flags.
  package var flags: UInt32
  /// When the response was received, in ms since the epoch (RFC 9111 §4.2.3).
  package var responseTime: Int64
  /// corrected_initial_age (RFC 9111 §4.2.3), ms.
  package var correctedInitialAge: Int64
  /// Freshness lifetime (RFC 9111 §4.2.1), ms.
  package var lifetime: Int64
  /// stale-while-revalidate (RFC 5861 §3), ms.
  package var staleWhileRevalidate: Int64
  /// stale-if-error (RFC 5861 §4), ms.
  package var staleIfError: Int64
  /// Last-Modified in seconds since the epoch; `.min` if there is none.
  package var lastModified: Int64
  /// Where the entity tag begins within the head.
  package var etagOffset: UInt32
  /// How long the entity tag is; 0 if there is none.
  package var etagLength: UInt32

  /// Metadata.
  package init(
    status: UInt16, flags: UInt32 = 0, responseTime: Int64, correctedInitialAge: Int64 = 0,
    lifetime: Int64, staleWhileRevalidate: Int64 = 0, staleIfError: Int64 = 0,
    lastModified: Int64 = .min, etagOffset: UInt32 = 0, etagLength: UInt32 = 0
  ) {
    self.status = status
    self.flags = flags
    self.responseTime = responseTime
    self.correctedInitialAge = correctedInitialAge
    self.lifetime = lifetime
    self.staleWhileRevalidate = staleWhileRevalidate
    self.staleIfError = staleIfError
    self.lastModified = lastModified
    self.etagOffset = etagOffset
    self.etagLength = etagLength
  }

  /// When it becomes stale, in ms since the epoch; saturating.
  var expiry: Int64 {
    let (end, over) = responseTime.addingReportingOverflow(lifetime)
    if over { return lifetime < 0 ? .min : .max }
    let (aged, under) = end.subtractingReportingOverflow(correctedInitialAge)
    return under ? (correctedInitialAge < 0 ? .max : .min) : aged
  }
}

/// The content of a new object.
package enum NewBody: Sendable {
  /// At most `ObjectStore.inlineLimit` bytes, kept within the record.
  case inline([UInt8])
  /// Chunks handed over before, numbered from 0 without a gap, `length` bytes in all.
  case chunks(id: UInt64, length: UInt64)
  /// A body of a known complete length, no part of which is there yet: its chunks come later, in any
  /// order (`ObjectStore.storeSlice`), and need never come all.
  case slices(id: UInt64, length: UInt64)
}

/// A response to be stored.
package struct NewObject: Sendable {
  /// The primary key's hash, `ObjectStore.keyHash(key)`.
  package var keyHash: Hash128
  /// The full primary key; at most 65,535 bytes.
  package var key: [UInt8]
  /// The URL that the client sent, if `key` is not it; else empty. At most 65,535 bytes.
  package var target: [UInt8] = []
  /// The normalised Vary rule; nil or empty if the response has no Vary. At most 4,096 bytes.
  package var varyRule: [UInt8]?
  /// The request's normalised values for the rule. At most 65,535 bytes.
  package var varyValues: [UInt8]
  /// See `Metadata`.
  package var metadata: Metadata
  /// The field lines as the cache keeps them; at most 1 MiB.
  package var head: [UInt8]
  /// Hashes of the tags that the origin gave; at most 4,096. Purgeable and counted.
  package var tags: [UInt64]
  /// Hashes of what every object can be purged by (URL, site); at most 64. Not counted.
  package var implicitTags: [UInt64]
  /// The content.
  package var body: NewBody
  /// The fill's `FillMark.sequence`.
  package var sequence: UInt64

  /// A response to be stored.
  package init(
    keyHash: Hash128, key: [UInt8], varyRule: [UInt8]? = nil, varyValues: [UInt8] = [],
    metadata: Metadata, head: [UInt8], tags: [UInt64] = [], implicitTags: [UInt64] = [],
    body: NewBody, sequence: UInt64
  ) {
    self.keyHash = keyHash
    self.key = key
    self.varyRule = varyRule
    self.varyValues = varyValues
    self.metadata = metadata
    self.head = head
    self.tags = tags
    self.implicitTags = implicitTags
    self.body = body
    self.sequence = sequence
  }
}
