// The purge journal's file: 16,384 places of 32 bytes.
//
//     0 u64 XXH3-64 of the rest   8 u64 sequence   16 u64 tag hash (0 if everything is purged)
//    24 u8 kind: 1 soft, 2 everything   25 0   26 u48 time of a soft purge, ms since the epoch
//
// (Purges by pattern have numbers too, but stand in the log of purges.)
//
// A purge's place is its sequence number modulo the number of places, so nothing has to be remembered
// of where the journal begins: a start reads all places and takes what is whole and newer than what the
// purges database already has. A torn or stale place is simply not taken. A place may be written again
// once its purge is folded into the database.
//
// The file is written in full when it is made, so that later writes change no metadata and one
// fdatasync is one flush of the disk.

import Bytes
import CLinux
import Checksum
import EventLoop

/// The journal's file. Used by one thread at a time.
final class JournalFile: Sendable {
  static let places: UInt64 = 16_384
  static let entrySize = 32

  private let file: Descriptor
  /// The purges that were in it when it was opened, in order.
  let found: [PurgeEntry]

  /// Opens the journal, making or completing it.
  init(_ path: String) throws(Errno) {
    let number = unsafe weir_open(path, O_RDWR | O_CREAT, 0o640)
    guard number >= 0 else { throw .current }
    file = Descriptor(owning: number)
    var content = ByteBuffer()
    let whole = Int(Self.places) * Self.entrySize
    while content.count < whole {
      let result = file.read(onto: &content, limit: whole - content.count)
      if let error = result.error { throw error }
      if result.isEnd { break }
    }
    let missing = whole - content.count
    if missing > 0 {
      // Also what follows a torn end: the part of an entry that is there is no entry.
      var zeros = ByteBuffer(capacity: missing)
      for _ in 0..<missing { zeros.append(0 as UInt8) }
      try Self.write(zeros.view, to: file, at: content.count)
      guard fsync(file.number) == 0 else { throw .current }
    }
    found = Self.entries(in: content.view)
  }

  /// The whole entries in a journal's bytes, in order of their numbers.
  static func entries(in bytes: ByteView) -> [PurgeEntry] {
    var found: [PurgeEntry] = []
    for start in stride(from: 0, through: bytes.count - entrySize, by: entrySize) {
      let place = bytes[start..<start + entrySize]
      let sequence = place.uint64(at: 8)
      let tag = place.uint64(at: 16)
      let kind = place.uint64(at: 24)
      guard sequence != 0, kind & 0xFFFC == 0, (tag == PurgeEntry.everything) == (kind & 2 != 0),
        Int(sequence % places) * entrySize == start,
        Checksum.of(place.dropping(first: 8)) == place.uint64(at: 0)
      else { continue }
      found.append(
        PurgeEntry(
          sequence: sequence, tag: tag, isSoft: kind & 1 != 0, time: Int64(kind &>> 16)))
    }
    return found.sorted { $0.sequence < $1.sequence }
  }

  /// Writes entries, ascending, and makes them durable together.
  func append(_ entries: [PurgeEntry]) throws(Errno) {
    var run = ByteBuffer(capacity: entries.count * Self.entrySize)
    var first: UInt64 = 0
    var next: UInt64 = 0
    for entry in entries {
      if !run.isEmpty && (entry.sequence != next || entry.sequence % Self.places == 0) {
        try Self.write(run.view, to: file, at: Int(first % Self.places) * Self.entrySize)
        run.removeAll()
      }
      if run.isEmpty { first = entry.sequence }
      Self.encode(entry, onto: &run)
      next = entry.sequence + 1
    }
    try Self.write(run.view, to: file, at: Int(first % Self.places) * Self.entrySize)
    guard fdatasync(file.number) == 0 else { throw .current }
  }

  static func encode(_ entry: PurgeEntry, onto buffer: inout ByteBuffer) {
    let start = buffer.count
    buffer.append(littleEndian: 0 as UInt64)
    buffer.append(littleEndian: entry.sequence)
    buffer.append(littleEndian: entry.tag)
    let kind: UInt64 = (entry.isSoft ? 1 : 0) | (entry.tag == PurgeEntry.everything ? 2 : 0)
    buffer.append(littleEndian: kind | UInt64(clamping: entry.time) << 16)
    let sum = Checksum.of(buffer.view.dropping(first: start + 8))
    buffer.overwrite(at: start, littleEndian: sum)
  }

  private static func write(_ bytes: ByteView, to file: borrowing Descriptor, at offset: Int)
    throws(Errno)
  {
    var rest = bytes
    var position = offset
    while !rest.isEmpty {
      let written = unsafe pwrite(file.number, rest.baseAddress, rest.count, off_t(position))
      if written < 0 {
        if Errno.current.code == EINTR { continue }
        throw .current
      }
      rest = rest.dropping(first: written)
      position += written
    }
  }
}
