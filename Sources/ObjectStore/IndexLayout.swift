// An index entry: what eviction, sweeping and the start need of an object, without its record.
//
//     0 u64 key hash, low   8 u64 high   16 i64 expiry, ms since the epoch   24 u64 purge sequence
//    32 u64 body id        40 u64 body length   48 u32 record size   52 u16 tags   54 u8 implicit tags
//    55 u8 flags: 1 a rules record, 2 the tags are in the record only, 4 sliced,
//       8 softly purged: then the expiry is the time of that purge
//    56 tags, then implicit tags, u64 each; at most 16 in all

import Bytes

enum IndexLayout {
  static let headerSize = 56
  static let tagLimit = 16
  static let rulesFlag: UInt8 = 1
  static let farTagsFlag: UInt8 = 2
  static let slicedFlag: UInt8 = 4
  static let softFlag: UInt8 = 8

  /// The index entry of a record.
  static func encode(
    _ record: borrowing RecordSource, recordSize: Int, onto buffer: inout ByteBuffer
  ) {
    let count = record.tags.count + record.implicitTags.count
    let isFar = count > tagLimit
    buffer.append(littleEndian: record.keyHash.low)
    buffer.append(littleEndian: record.keyHash.high)
    let isSoft = record.softTime != .max
    buffer.append(littleEndian: isSoft ? record.softTime : record.metadata.expiry)
    buffer.append(littleEndian: record.sequence)
    buffer.append(littleEndian: record.bodyID)
    buffer.append(littleEndian: record.bodyLength)
    buffer.append(littleEndian: UInt32(clamping: recordSize))
    buffer.append(littleEndian: UInt16(clamping: record.tags.count))
    buffer.append(UInt8(clamping: record.implicitTags.count))
    buffer.append(
      (record.isRules ? rulesFlag : 0) | (isFar ? farTagsFlag : 0)
        | (record.isSliced ? slicedFlag : 0) | (isSoft ? softFlag : 0))
    guard !isFar else { return }
    for tag in record.tags { buffer.append(littleEndian: tag) }
    for tag in record.implicitTags { buffer.append(littleEndian: tag) }
  }
}

extension IndexLayout {
  /// The entry of an object that a soft purge of that time has reached; an earlier one stands.
  static func encode(_ index: IndexView, softTime: Int64, onto buffer: inout ByteBuffer) {
    let start = buffer.count
    buffer.append(index.bytes)
    guard !index.isSoft && softTime != .max else { return }
    buffer.overwrite(at: start + 16, littleEndian: softTime)
    buffer.overwrite(at: start + 55, littleEndian: index.bytes[55] | softFlag)
  }
}

/// An index entry's bytes with their lengths checked.
struct IndexView {
  let bytes: ByteView

  init?(_ bytes: ByteView) {
    guard bytes.count >= IndexLayout.headerSize else { return nil }
    self.bytes = bytes
    let tagBytes = hasFarTags ? 0 : 8 * (tagCount + implicitTagCount)
    guard bytes.count == IndexLayout.headerSize + tagBytes else { return nil }
  }

  var keyHash: Hash128 { Hash128(low: bytes.uint64(at: 0), high: bytes.uint64(at: 8)) }
  /// When it becomes stale; or, if it is softly purged, became so by that.
  var expiry: Int64 { Int64(bitPattern: bytes.uint64(at: 16)) }
  var sequence: UInt64 { bytes.uint64(at: 24) }
  var bodyID: UInt64 { bytes.uint64(at: 32) }
  var bodyLength: UInt64 { bytes.uint64(at: 40) }
  var recordSize: Int { Int(bytes.uint32(at: 48)) }
  var tagCount: Int { Int(bytes.uint16(at: 52)) }
  var implicitTagCount: Int { Int(bytes[54]) }
  var isRules: Bool { bytes[55] & IndexLayout.rulesFlag != 0 }
  var isSliced: Bool { bytes[55] & IndexLayout.slicedFlag != 0 }
  /// Whether it is softly purged, by a purge that may be forgotten.
  var isSoft: Bool { bytes[55] & IndexLayout.softFlag != 0 }
  /// Since when it is stale by that; `.max` if it is not.
  var softTime: Int64 { isSoft ? expiry : .max }
  /// Whether the tags stand in the record only.
  var hasFarTags: Bool { bytes[55] & IndexLayout.farTagsFlag != 0 }
  /// The tags, unless they are far.
  var tags: TagList {
    TagList(
      bytes: bytes.dropping(first: IndexLayout.headerSize), explicit: hasFarTags ? 0 : tagCount,
      implicit: hasFarTags ? 0 : implicitTagCount)
  }
}
