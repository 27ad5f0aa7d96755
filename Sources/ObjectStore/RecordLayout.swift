// A record: everything about one stored response, or about the Vary rules of a key.
//
//     0  u64  XXH3-64 of all that follows
//     8  u8   layout version        9  u8  kind           10 u16  status
//    12  u32  the cache's flags
//    16  u64  key hash, low        24 u64  high           (of the variant, if it is one)
//    32  u32  key length           36 u32  rule length    40 u32  values length  44 u32 head length
//    48  u16  tags                 50 u16  implicit tags  52 u16  1: sliced   54 u16 URL length
//    56  u64  body id (0: inline)  64 u64  body length
//    72  u64  purge sequence at the fill's start
//    80  i64  response time        88 i64  corrected initial age    96 i64  freshness lifetime
//   104  i64  stale-while-revalidate      112 i64  stale-if-error  120 i64  last modified
//   128  u32  entity tag: offset in head  132 u32  length
//   136  u64  id that names the stored response (its first object id: moves keep it)
//   144  tags, then implicit tags (u64 each, each run ascending), key, rule, values, URL, head, inline body
//
// The URL stands there only if the key is not the URL that the client sent.
//
// All little-endian. A rules record has kind 1, a key, and as its head a count (u8) and for each rule
// its length (u16) and bytes, newest first.

import Bytes

/// Offsets into a record.
enum RecordLayout {
  static let version: UInt8 = 2
  static let response: UInt8 = 0
  static let rules: UInt8 = 1
  static let headerSize = 144
  static let slicedFlag: UInt16 = 1
  /// At most so many Vary rules of a key.
  static let ruleLimit = 8
}

/// A record's bytes with every length checked against their count.
struct RecordView {
  let bytes: ByteView
  /// Where the key begins.
  let keyStart: Int

  /// Nil if this is no record: shorter than its parts, or of another layout.
  @inline(__always)
  init?(_ bytes: ByteView) {
    guard bytes.count >= RecordLayout.headerSize,
      bytes[8] == RecordLayout.version, bytes[9] <= RecordLayout.rules
    else { return nil }
    self.bytes = bytes
    keyStart = RecordLayout.headerSize + 8 * (Int(bytes.uint16(at: 48)) + Int(bytes.uint16(at: 50)))
    // At most 2^20 + 5 * 2^32: no overflow.
    let parts = keyStart + keyLength + ruleLength + valuesLength + targetLength + headLength
    if bodyID == 0 {
      guard let inline = Int(exactly: bodyLength), inline <= bytes.count,
        parts + inline == bytes.count
      else { return nil }
    } else if parts != bytes.count {
      return nil
    }
  }

  var checksum: UInt64 { bytes.uint64(at: 0) }
  var isRules: Bool { bytes[9] == RecordLayout.rules }
  var status: UInt16 { bytes.uint16(at: 10) }
  var flags: UInt32 { bytes.uint32(at: 12) }
  var keyHash: Hash128 { Hash128(low: bytes.uint64(at: 16), high: bytes.uint64(at: 24)) }
  var keyLength: Int { Int(bytes.uint32(at: 32)) }
  var ruleLength: Int { Int(bytes.uint32(at: 36)) }
  var valuesLength: Int { Int(bytes.uint32(at: 40)) }
  var headLength: Int { Int(bytes.uint32(at: 44)) }
  var tagCount: Int { Int(bytes.uint16(at: 48)) }
  var implicitTagCount: Int { Int(bytes.uint16(at: 50)) }
  /// Whether chunks of the body may be missing.
  var isSliced: Bool { bytes.uint16(at: 52) & RecordLayout.slicedFlag != 0 }
  var targetLength: Int { Int(bytes.uint16(at: 54)) }
  var bodyID: UInt64 { bytes.uint64(at: 56) }
  var bodyLength: UInt64 { bytes.uint64(at: 64) }
  var sequence: UInt64 { bytes.uint64(at: 72) }
  var birth: UInt64 { bytes.uint64(at: 136) }

  var key: ByteView { bytes[keyStart..<keyStart + keyLength] }
  var rule: ByteView {
    let start = keyStart + keyLength
    return bytes[start..<start + ruleLength]
  }
  var values: ByteView {
    let start = keyStart + keyLength + ruleLength
    return bytes[start..<start + valuesLength]
  }
  var targetStart: Int { keyStart + keyLength + ruleLength + valuesLength }
  /// The URL that the client sent, if the key is another; else empty.
  var target: ByteView { bytes[targetStart..<targetStart + targetLength] }
  /// The URL that the client sent.
  var url: ByteView { targetLength == 0 ? key : target }
  var headStart: Int { targetStart + targetLength }
  var head: ByteView { bytes[headStart..<headStart + headLength] }
  var body: ByteView { bytes.dropping(first: headStart + headLength) }
  /// Tags and implicit tags, 8 bytes each.
  var tags: TagList {
    TagList(
      bytes: bytes[RecordLayout.headerSize..<keyStart], explicit: tagCount,
      implicit: implicitTagCount)
  }

  func integer(at offset: Int) -> Int64 { Int64(bitPattern: bytes.uint64(at: offset)) }

  var metadata: Metadata {
    Metadata(
      status: status, flags: flags, responseTime: integer(at: 80),
      correctedInitialAge: integer(at: 88), lifetime: integer(at: 96),
      staleWhileRevalidate: integer(at: 104), staleIfError: integer(at: 112),
      lastModified: integer(at: 120), etagOffset: bytes.uint32(at: 128),
      etagLength: bytes.uint32(at: 132))
  }
}

/// The tag hashes of an object where they stand: the origin's, then the implicit ones, each ascending.
struct TagList {
  let bytes: ByteView
  let explicit: Int
  let implicit: Int

  var count: Int { explicit + implicit }
  subscript(index: Int) -> UInt64 { bytes.uint64(at: 8 * index) }

  func contains(_ tag: UInt64) -> Bool {
    contains(tag, from: 0, to: explicit) || contains(tag, from: explicit, to: count)
  }

  private func contains(_ tag: UInt64, from: Int, to: Int) -> Bool {
    var low = from
    var high = to
    while low < high {
      let middle = (low + high) / 2
      let found = self[middle]
      if found == tag { return true }
      if found < tag { low = middle + 1 } else { high = middle }
    }
    return false
  }
}
