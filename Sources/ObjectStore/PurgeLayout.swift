// A value of the purges database: the newest hard purge's number, the newest soft one's, its time.

import Bytes

enum PurgeLayout {
  static let size = 24

  /// The purges that a value stands for.
  static func entries(of tag: UInt64, in value: ByteView) -> [PurgeEntry] {
    guard value.count >= size else { return [] }
    var entries: [PurgeEntry] = []
    let (hard, soft) = (value.uint64(at: 0), value.uint64(at: 8))
    if hard != 0 { entries.append(PurgeEntry(sequence: hard, tag: tag)) }
    if soft != 0 {
      let time = Int64(bitPattern: value.uint64(at: 16))
      entries.append(PurgeEntry(sequence: soft, tag: tag, isSoft: true, time: time))
    }
    return entries
  }

  /// The value that was there, with a purge added.
  static func encode(_ entry: PurgeEntry, after old: ByteView?, onto buffer: inout ByteBuffer) {
    var words: [UInt64] = [0, 0, 0]
    if let old, old.count >= size { words = (0..<3).map { old.uint64(at: 8 * $0) } }
    if !entry.isSoft {
      words[0] = max(words[0], entry.sequence)
    } else if entry.sequence > words[1] {
      words[1] = entry.sequence
      words[2] = UInt64(bitPattern: entry.time)
    }
    for word in words { buffer.append(littleEndian: word) }
  }

  /// The newest purge's number in a value.
  static func newest(_ value: ByteView) -> UInt64 {
    value.count >= size ? max(value.uint64(at: 0), value.uint64(at: 8)) : 0
  }
}
