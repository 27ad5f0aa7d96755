// The bodies that one reader is sending: the writer must not delete their chunks.
//
// A chain of blocks of words, each word a body id or 0. A body may stand only in the 16 words that
// follow from its id, in any block; so the reader finds a free one and the writer looks one up with a
// few loads, without a lock. Blocks are added, never taken away, until the set goes; but the writer looks
// only as far as there are pins. A body that many clients are sent stands there once.

final class PinSet: @unchecked Sendable {
  // Sendable because the words are atomic; only its reader changes them, and uses the rest.
  private static let window = 16
  private static let capacity = 256
  /// Where a block says which is next, and the first one how many are to be looked at.
  private static let next = capacity
  private static let depth = capacity + 1
  private let first = Words.allocate(capacity + 2)
  /// How often each body is pinned.
  private var counts: [UInt64: Int] = [:]
  /// How many words of each block are in use.
  private var uses = [0]

  deinit {
    var block: Words? = first
    while let current = block {
      block = Words(address: current.load(Self.next))
      current.deallocate()
    }
  }

  private static func home(_ body: UInt64) -> Int {
    Int(truncatingIfNeeded: (body &* 0x9E37_79B9_7F4A_7C15) &>> 56) & (capacity - window)
  }

  /// Pins a body; once more for each call. Reader only.
  func insert(_ body: UInt64) {
    let count = counts[body] ?? 0
    counts[body] = count + 1
    if count > 0 { return }
    let home = Self.home(body)
    var (block, number) = (first, 0)
    while true {
      for index in home..<home + Self.window where block.load(index) == 0 {
        // Before the word, and in the same order for all: who sees that word looks so far.
        uses[number] += 1
        if number >= first.load(Self.depth) { first.storeOrdered(Self.depth, UInt64(number + 1)) }
        block.storeOrdered(index, body)
        return
      }
      if let next = Words(address: block.load(Self.next)) {
        block = next
      } else {
        let added = Words.allocate(Self.capacity + 1)
        block.storeReleasing(Self.next, added.address)
        block = added
        uses.append(0)
      }
      number += 1
    }
  }

  /// Takes one pin back. Reader only.
  func remove(_ body: UInt64) {
    guard let count = counts[body] else { return }
    if count > 1 {
      counts[body] = count - 1
      return
    }
    counts[body] = nil
    guard let (block, index, number) = find(body) else { return }
    block.storeReleasing(index, 0)
    uses[number] -= 1
    guard let last = uses.lastIndex(where: { $0 > 0 }) else {
      return first.storeReleasing(Self.depth, 0)
    }
    if UInt64(last + 1) < first.load(Self.depth) {
      first.storeReleasing(Self.depth, UInt64(last + 1))
    }
  }

  /// Whether the body is pinned. Any thread.
  func contains(_ body: UInt64) -> Bool { find(body) != nil }

  private func find(_ body: UInt64) -> (Words, index: Int, number: Int)? {
    let home = Self.home(body)
    let depth = first.loadOrdered(Self.depth)
    var block: Words? = first
    var number = 0
    while number < depth, let current = block {
      for index in home..<home + Self.window where current.loadOrdered(index) == body {
        return (current, index, number)
      }
      block = Words(address: current.loadAcquiring(Self.next))
      number += 1
    }
    return nil
  }
}
