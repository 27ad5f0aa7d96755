/// Servers of a pool by their number: a bit for each.
package struct ServerSet: Sendable, Equatable {
  private var words = InlineArray<4, UInt64>(repeating: 0)

  /// The most servers of a pool.
  package static var capacity: Int { 256 }

  /// None.
  package init() {}

  /// The first `count`.
  package init(first count: Int) {
    for index in 0..<min(max(count, 0), Self.capacity) { insert(index) }
  }

  /// Whether both have the same servers.
  package static func == (left: ServerSet, right: ServerSet) -> Bool {
    for index in 0..<4 where left.words[index] != right.words[index] { return false }
    return true
  }

  /// Adds a server; a number out of range is none.
  @inline(__always)
  package mutating func insert(_ index: Int) {
    guard index >= 0, index < Self.capacity else { return }
    words[index &>> 6] |= 1 &<< UInt64(index & 63)
  }

  /// Takes a server out.
  @inline(__always)
  package mutating func remove(_ index: Int) {
    guard index >= 0, index < Self.capacity else { return }
    words[index &>> 6] &= ~(1 &<< UInt64(index & 63))
  }

  /// Whether a server is in.
  @inline(__always)
  package func contains(_ index: Int) -> Bool {
    guard index >= 0, index < Self.capacity else { return false }
    return words[index &>> 6] &>> UInt64(index & 63) & 1 == 1
  }

  /// How many are in.
  package var count: Int {
    words[0].nonzeroBitCount + words[1].nonzeroBitCount + words[2].nonzeroBitCount
      + words[3].nonzeroBitCount
  }

  /// Whether none is in.
  package var isEmpty: Bool { words[0] | words[1] | words[2] | words[3] == 0 }

  /// The first one at or behind a number; nil if there is none.
  @inline(__always)
  package func next(from index: Int) -> Int? {
    guard index < Self.capacity else { return nil }
    var at = max(index, 0) &>> 6
    var word = words[at] & (UInt64.max &<< UInt64(max(index, 0) & 63))
    while word == 0 {
      at += 1
      guard at < 4 else { return nil }
      word = words[at]
    }
    return at &<< 6 | word.trailingZeroBitCount
  }
}
