/// A set of known field names in one word: what a message carries, or what a rule is about. Asking
/// whether a message has any of several fields is one instruction.
@usableFromInline package struct KnownFieldSet: Equatable, Sendable {
  // One bit for each raw value, as KnownField.tableSize is 64.
  @usableFromInline var bits: UInt64

  /// An empty set.
  @inlinable package init() { bits = 0 }

  /// The set of one name.
  @inlinable package init(_ field: KnownField) { bits = 1 &<< UInt64(field.rawValue) }

  /// Whether a name is in the set.
  @inlinable @inline(__always)
  package func contains(_ field: KnownField) -> Bool {
    bits &>> UInt64(field.rawValue) & 1 == 1
  }

  /// Puts a name into the set.
  @inlinable @inline(__always)
  package mutating func insert(_ field: KnownField) { bits |= 1 &<< UInt64(field.rawValue) }

  /// Whether the two sets have a name in common.
  @inlinable @inline(__always)
  package func intersects(_ other: KnownFieldSet) -> Bool { bits & other.bits != 0 }

  /// The names of either set.
  @inlinable
  package static func | (left: KnownFieldSet, right: KnownFieldSet) -> KnownFieldSet {
    var union = left
    union.bits |= right.bits
    return union
  }
}
