package import Bytes
internal import CLinux

/// The requests that a worker began last, in memory that outlives the process: host and path, never a query.
///
/// Noting one copies its first bytes, some nanoseconds. Whoever dies has noted what it works on: a crash
/// names it. Used by the worker's thread only; what is half written when the process dies is cut short, and
/// readers check all lengths.
///
///     0             how many were noted
///     256 × (n + 1) slot n of 8: length (16 bits), whether more was there (8), then the text
///     2,304         the stored object that it works on (`ObjectNote`): a request begins without one
@safe
package final class RequestNotes {
  static let slots = 8
  static let slotSize = 256
  /// The most bytes of a host and path that are noted.
  static let longest = slotSize - 4
  static let objectPlace = (slots + 1) * slotSize
  private let place: UnsafeMutableRawPointer
  private let owns: Bool
  /// The object that the worker works on.
  package let object: ObjectNote

  /// Notes in the page at `place`; `owns`: it was allocated for it.
  init(_ place: UnsafeMutableRawPointer, owns: Bool) {
    unsafe self.place = unsafe place
    self.owns = owns
    // Safe: within the page, which lives as long as this, or as the process.
    object = unsafe ObjectNote(place + Self.objectPlace, owns: false)
  }

  deinit {
    if owns { unsafe place.deallocate() }
  }

  /// Notes that a request begins.
  package func note(host: ByteView, path: ByteView) {
    object.end()
    let count = unsafe place.load(as: UInt64.self)
    let hostLength = min(host.count, Self.longest / 2)
    let pathLength = min(path.count, Self.longest - hostLength)
    let isCut = hostLength < host.count || pathLength < path.count
    let slot = unsafe place + (Int(truncatingIfNeeded: count & 7) + 1) * Self.slotSize
    // Safe: the lengths are within the slot, the slot within the page, and views are readable.
    unsafe memcpy(slot + 4, host.baseAddress, hostLength)
    unsafe memcpy(slot + 4 + hostLength, path.baseAddress, pathLength)
    unsafe slot.storeBytes(of: UInt16(truncatingIfNeeded: hostLength + pathLength), as: UInt16.self)
    unsafe slot.storeBytes(of: isCut ? 1 : 0, toByteOffset: 2, as: UInt8.self)
    unsafe place.storeBytes(of: count &+ 1, as: UInt64.self)
  }

  /// What the page that begins at `start` of an area's bytes has, the newest first.
  static func read(_ bytes: [UInt8], from start: Int) -> [String] {
    guard start >= 0, bytes.count - start >= CrashArea.page else { return [] }
    let count = Self.number(bytes, start, 8)
    let present = Int(min(count, UInt64(slots)))
    return (0..<present).map { age in
      let slot = Int((count &- 1 &- UInt64(age)) % UInt64(slots))
      let place = start + (slot + 1) * slotSize
      let length = min(Int(Self.number(bytes, place, 2)), longest)
      let text = CrashText.plain(bytes[place + 4..<place + 4 + length])
      return bytes[place + 2] != 0 ? text + "…" : text
    }
  }

  /// A little-endian number of so many bytes.
  static func number(_ bytes: [UInt8], _ start: Int, _ length: Int) -> UInt64 {
    (0..<length).reduce(0) { $0 | UInt64(bytes[start + $1]) << UInt64(8 * $1) }
  }
}

/// Texts of a process that may have died while it wrote them.
enum CrashText {
  /// Bytes as a text in which nothing acts on a terminal, and no query is left.
  static func plain(_ bytes: ArraySlice<UInt8>) -> String {
    var text = ""
    for byte in bytes.prefix(while: { $0 != UInt8(ascii: "?") }) {
      if byte > 0x20 && byte < 0x7F {
        text.unicodeScalars.append(UnicodeScalar(byte))
      } else {
        text += (byte < 16 ? "\\x0" : "\\x") + String(byte, radix: 16)
      }
    }
    return text
  }
}
