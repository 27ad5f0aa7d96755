package import Bytes
internal import CLinux

/// The stored object that a thread works on, in memory that outlives the process: its keyed hash, which tells
/// nobody what it is of.
///
/// Beginning and ending write two words. What a thread looked at last in a turn counts as what it works on
/// until the turn, or the request, ends; one that waits works on none. Used by that thread only.
@safe
package final class ObjectNote {
  static let size = 64
  private let place: UnsafeMutableRawPointer
  private let owns: Bool

  /// A note at `place`; `owns`: it was allocated for it.
  init(_ place: UnsafeMutableRawPointer, owns: Bool) {
    unsafe self.place = unsafe place
    self.owns = owns
  }

  /// A note that nobody reads.
  package convenience init() {
    let own = UnsafeMutableRawPointer.allocate(byteCount: Self.size, alignment: Self.size)
    unsafe own.initializeMemory(as: UInt8.self, repeating: 0, count: Self.size)
    unsafe self.init(own, owns: true)
  }

  deinit {
    if owns { unsafe place.deallocate() }
  }

  /// Notes that the thread works on the object of that hash.
  package func begin(_ hash: Hash128) {
    // Safe: two words at the beginning of the note's own 64 bytes.
    unsafe place.storeBytes(of: hash.low, as: UInt64.self)
    unsafe place.storeBytes(of: hash.high, toByteOffset: 8, as: UInt64.self)
  }

  /// Notes that it works on none.
  package func end() {
    unsafe place.storeBytes(of: 0, as: UInt64.self)
    unsafe place.storeBytes(of: 0, toByteOffset: 8, as: UInt64.self)
  }
}

/// Threads beside the workers that look at what is stored.
package enum StoreThread: Int, CaseIterable, Sendable {
  /// Its names are those of the threads, as reports say them.
  case writer
  case warmer

  var name: String {
    switch self {
    case .writer: "store-writer"
    case .warmer: "store-warmer"
    }
  }
}

/// An object that a process worked on as it died.
package struct CrashNaming: Sendable, Hashable {
  /// The object's keyed hash.
  package var object: Hash128
  /// Which crash: the process and the time, for in a container each process may have the number 1.
  package var crash: String

  /// That crash names that object; `time` as reports have it.
  package init(object: Hash128, process: Int32, time: String) {
    self.object = object
    crash = "\(process)@\(time)"
  }

  /// `0f…@1234@2026-11-22T01:02:03Z`: the hash in 32 hexadecimal digits, the process, the time.
  package var text: String { "\(Self.digits(object))@\(crash)" }

  /// Reads that.
  package init?(text: some StringProtocol) {
    let parts = text.split(separator: "@", omittingEmptySubsequences: false)
    guard parts.count == 3, let object = Self.hash(parts[0]), let process = Int32(parts[1]),
      !parts[2].isEmpty, parts[2].utf8.allSatisfy(Self.isOfTime)
    else { return nil }
    self.init(object: object, process: process, time: String(parts[2]))
  }

  private static func isOfTime(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: ":"), UInt8(ascii: "-"), UInt8(ascii: "T"),
      UInt8(ascii: "Z"):
      true
    default: false
    }
  }

  /// A hash in 32 hexadecimal digits.
  package static func digits(_ hash: Hash128) -> String {
    [hash.high, hash.low].map { word in
      let digits = String(word, radix: 16)
      return String(repeating: "0", count: 16 - digits.utf8.count) + digits
    }.joined()
  }

  /// Reads such digits; nil for anything else.
  package static func hash(_ digits: some StringProtocol) -> Hash128? {
    guard digits.utf8.count == 32, digits.utf8.allSatisfy({ $0 != UInt8(ascii: "+") }),
      let high = UInt64(digits.prefix(16), radix: 16),
      let low = UInt64(digits.suffix(16), radix: 16)
    else { return nil }
    return Hash128(low: low, high: high)
  }
}
