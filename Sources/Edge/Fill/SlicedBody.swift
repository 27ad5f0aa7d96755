// Large objects of which only ranges are asked for are fetched, and stored, in slices: one body whose
// chunks come in any order and need never come all (`ObjectStore.storeSlice`).
//
//   request for a range, nothing stored ─→ fill of the slice it begins in ─→ a record and its first chunks
//   client at a position ─→ chunk there? from the store
//                       └─→ else lead or join the fill of that slice, stream it, go on with the next
//
// Fetches of slices are fills like others: many clients' ranges share them. Each but the first carries
// If-Range with the strong validator of what is stored; an answer that is not that slice of that
// representation ends in a reset for its clients and takes the object out of the store (RFC 9110
// §15.3.7.3: parts are put together only if their strong validators are the same). Without a strong
// validator nothing is sliced.

internal import Bytes
internal import HTTPCaching
internal import ObjectStore

/// A representation that is stored in slices: all that is needed to go on fetching it, in later turns.
struct SlicedBody: Sendable {
  /// The id of its chunks.
  let id: UInt64
  /// How many bytes the whole has.
  let length: UInt64
  /// The hash that its record is stored under.
  let keyHash: Hash128
  /// Its strong validator, as it stands in `If-Range`.
  let validator: [UInt8]
  /// Its tag; empty if it has none.
  let entityTag: [UInt8]
  /// Its Last-Modified, seconds; `.min` if it has none.
  let lastModified: Int64
  /// When it was made, seconds.
  let date: Int64

  /// What a stored response says of itself; nil if it is not sliced.
  init?(_ response: StoredResponse) {
    guard response.isSliced else { return nil }
    id = response.bodyID
    length = response.bodyLength
    keyHash = response.keyHash
    entityTag = response.etag.array
    lastModified = response.lastModified
    date = Validators.date(of: response.head, received: response.responseTime)
    validator = Self.validator(of: response.head, tag: response.etag)
  }

  /// A representation whose record is about to be stored.
  init(id: UInt64, length: UInt64, keyHash: Hash128, lines: ByteView, metadata: Metadata) {
    self.id = id
    self.length = length
    self.keyHash = keyHash
    let tag = lines.dropping(first: Int(metadata.etagOffset)).prefix(Int(metadata.etagLength))
    entityTag = tag.array
    lastModified = metadata.lastModified
    date = Validators.date(of: lines, received: metadata.responseTime)
    validator = Self.validator(of: lines, tag: tag)
  }

  private static func validator(of lines: ByteView, tag: ByteView) -> [UInt8] {
    if !tag.isEmpty { return tag.array }
    return Validators.lastModified(of: lines).map { lines[$0].array } ?? []
  }
}

/// What a fill of a slice is about.
struct SliceJob: Sendable {
  /// The bytes that are asked for; they begin where a slice begins.
  let range: ByteRange
  /// What is stored already, for all but the first.
  let body: SlicedBody?
  /// Bytes of a slice: a multiple of the store's chunks.
  let size: UInt64
}

extension SliceJob {
  /// The size of a route's slices, in whole chunks of the store.
  static func size(_ configured: UInt64) -> UInt64 {
    let chunk = UInt64(ObjectStore.chunkSize)
    return max(configured / chunk, 1) * chunk
  }
}
