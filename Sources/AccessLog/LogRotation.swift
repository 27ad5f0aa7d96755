/// When a log's file is put aside: `access.log` becomes `access.log.1`, that `access.log.2`, and so on; the
/// oldest goes. Looked at before each batch is written, so that lines are whole and a file may be larger
/// by one batch (64 KiB), and once a minute while nothing is, if age counts.
package struct LogRotation: Sendable, Equatable {
  /// From how many bytes on; nil: whatever its size.
  package var size: UInt64?
  /// From what age on, in seconds; nil: whatever its age. The age of a file that was there already is
  /// counted from its last change.
  package var age: Int64?
  /// How many are kept beside the one that is written, at least 1.
  package var keep: Int
  /// For how many seconds after its last line a file that was put aside is kept; nil: however long.
  package var keepFor: Int64?
  /// Whether those that were put aside are compressed (gzip): `access.log.1.gz`.
  package var compresses: Bool

  /// A rule; at least one of `size` and `age` should be given.
  package init(
    size: UInt64? = nil, age: Int64? = nil, keep: Int = Self.usualKeep, keepFor: Int64? = nil,
    compresses: Bool = false
  ) {
    self.size = size
    self.age = age
    self.keep = min(max(keep, 1), 10_000)
    self.keepFor = keepFor
    self.compresses = compresses
  }

  /// How many are kept if nobody says how many.
  package static var usualKeep: Int { 14 }

  /// Whether a file of that size and age is to be put aside.
  func isDue(size: UInt64, age: Int64) -> Bool {
    if let limit = self.size, size >= limit { return true }
    if let limit = self.age, age >= limit { return true }
    return false
  }
}
