// The bodies that one reader is sending: the writer must not delete their chunks.
//
// A chain of blocks of words, each word a body id or 0. A body may stand only in the 16 words that
// follow from its id, in any block; so the reader finds a free one and the writer looks one up with a
// few loads, without a lock. Blocks are added, never taken away, until the set goes.

final class PinSet: @unchecked Sendable {
  // Sendable because the words are atomic; only its reader changes them.
  private static let window = 16
  private static let capacity = 256
  private let first = Words.allocate(capacity + 1)

  deinit {
    var block: Words? = first
    while let current = block {
      block = Words(address: current.load(Self.capacity))
      current.deallocate()
    }
  }

  private static func home(_ body: UInt64) -> Int {
    Int(truncatingIfNeeded: (body &* 0x9E37_79B9_7F4A_7C15) &>> 56) & (capacity - window)
  }

  /// Pins a body; once more for each call. Reader only.
  func insert(_ body: UInt64) {
    let home = Self.home(body)
    var block = first
    while true {
      for index in home..<home + Self.window where block.load(index) == 0 {
        block.storeOrdered(index, body)
        return
      }
      if let next = Words(address: block.load(Self.capacity)) {
        block = next
      } else {
        let added = Words.allocate(Self.capacity + 1)
        block.storeReleasing(Self.capacity, added.address)
        block = added
      }
    }
  }

  /// Takes one pin back. Reader only.
  func remove(_ body: UInt64) {
    if let (block, index) = find(body) { block.storeReleasing(index, 0) }
  }

  /// Whether the body is pinned. Any thread.
  func contains(_ body: UInt64) -> Bool { find(body) != nil }

  private func find(_ body: UInt64) -> (Words, Int)? {
    let home = Self.home(body)
    var block: Words? = first
    while let current = block {
      for index in home..<home + Self.window where current.loadOrdered(index) == body {
        return (current, index)
      }
      block = Words(address: current.loadAcquiring(Self.capacity))
    }
    return nil
  }
}
