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
  /// How often the body in each word is pinned, and how many words of each block are in use.
  private var counts = [UInt32](repeating: 0, count: capacity)
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
    let home = Self.home(body)
    let depth = first.load(Self.depth)
    var (block, number) = (first, 0)
    var free: (block: Words, index: Int, number: Int)?
    while true {
      for index in home..<home + Self.window {
        let word = block.load(index)
        if word == body {
          counts[number * Self.capacity + index] &+= 1
          return
        }
        if word == 0, free == nil { free = (block, index, number) }
      }
      if let free, number + 1 >= depth { return pin(body, at: free) }
      block = next(block)
      number += 1
    }
  }

  private func pin(_ body: UInt64, at place: (block: Words, index: Int, number: Int)) {
    counts[place.number * Self.capacity + place.index] = 1
    uses[place.number] += 1
    // Before the word, and in the same order for all: who sees that word looks so far.
    if place.number >= first.load(Self.depth) {
      first.storeOrdered(Self.depth, UInt64(place.number + 1))
    }
    place.block.storeOrdered(place.index, body)
  }

  /// The block behind one, which is made if there is none.
  private func next(_ block: Words) -> Words {
    if let next = Words(address: block.load(Self.next)) { return next }
    let added = Words.allocate(Self.capacity + 1)
    block.storeReleasing(Self.next, added.address)
    counts += [UInt32](repeating: 0, count: Self.capacity)
    uses.append(0)
    return added
  }

  /// Takes one pin back. Reader only.
  func remove(_ body: UInt64) {
    guard let (block, index, number) = find(body) else { return }
    counts[number * Self.capacity + index] &-= 1
    if counts[number * Self.capacity + index] > 0 { return }
    block.storeReleasing(index, 0)
    uses[number] -= 1
    guard uses[number] == 0, UInt64(number + 1) == first.load(Self.depth) else { return }
    let depth = uses.lastIndex { $0 > 0 }.map { UInt64($0 + 1) } ?? 0
    first.storeReleasing(Self.depth, depth)
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
