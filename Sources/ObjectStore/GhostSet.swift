package import Bytes

/// The hashes of objects that were evicted before they were used again (S3-FIFO's ghost queue): if one
/// is stored again soon, it goes straight into the main queue.
///
/// Fingerprints of 32 bits in buckets of 8, first in, first out within each. A wrong match only admits
/// an object too early. Kept as large as the store has objects: 4 bytes each. The writer's alone.
package struct GhostSet {
  private static let ways = 8
  private var fingerprints: [UInt32]

  /// A set with room for about a thousand.
  package init() { fingerprints = [UInt32](repeating: 0, count: 128 * Self.ways) }

  private var buckets: Int { fingerprints.count / Self.ways }

  private static func fingerprint(_ hash: Hash128) -> UInt32 {
    // Bits that the object table does not use for its shards; 0 stands for nothing.
    max(UInt32(truncatingIfNeeded: hash.high &>> 32), 1)
  }

  private func bucket(_ fingerprint: UInt32) -> Int {
    Int(fingerprint.multipliedFullWidth(by: UInt32(truncatingIfNeeded: buckets)).high) * Self.ways
  }

  /// Remembers a hash; the oldest of its bucket is forgotten.
  package mutating func insert(_ hash: Hash128) { insert(Self.fingerprint(hash)) }

  private mutating func insert(_ fingerprint: UInt32) {
    let start = bucket(fingerprint)
    for way in stride(from: Self.ways - 1, to: 0, by: -1) {
      fingerprints[start + way] = fingerprints[start + way - 1]
    }
    fingerprints[start] = fingerprint
  }

  /// Whether the hash is remembered; if so, it is forgotten.
  package mutating func remove(_ hash: Hash128) -> Bool {
    let fingerprint = Self.fingerprint(hash)
    let start = bucket(fingerprint)
    for way in 0..<Self.ways where fingerprints[start + way] == fingerprint {
      for later in way..<Self.ways - 1 {
        fingerprints[start + later] = fingerprints[start + later + 1]
      }
      fingerprints[start + Self.ways - 1] = 0
      return true
    }
    return false
  }

  /// Grows when the store has many more objects than it can remember.
  package mutating func fit(objects: Int) {
    guard objects > fingerprints.count * 5 / 4 else { return }
    let old = fingerprints
    fingerprints = [UInt32](repeating: 0, count: (objects / Self.ways + 1) * Self.ways)
    // The oldest of each bucket first, so that the order is kept.
    for way in stride(from: Self.ways - 1, through: 0, by: -1) {
      for start in stride(from: 0, to: old.count, by: Self.ways) where old[start + way] != 0 {
        insert(old[start + way])
      }
    }
  }
}
