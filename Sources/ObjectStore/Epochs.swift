// When memory, or a body's chunks, can go that readers may still be looking at.
//
// Each reader has a slot. It writes the epoch there when a turn begins and 0 when the turn ends. Who
// takes something out of reach does so first, then advances the epoch: turns that begin later cannot
// see it, and once every slot is 0 or at least the new epoch, no turn that could is left.
//
// The slot's store and the advance are sequentially consistent: either the reader's slot is seen, or
// the reader sees what was taken away as gone.

import Synchronization

final class Epochs: Sendable {
  /// Words between slots, so that no two share a cache line (or a pair of them).
  private static let stride = 16

  private let words: Words
  private let slots: Int
  private let retired = Mutex<[(epoch: UInt64, block: Words)]>([])

  init(slots: Int) {
    self.slots = slots
    words = Words.allocate((slots + 1) * Self.stride)
    words.storeOrdered(0, 1)
  }

  deinit {
    for entry in retired.withLock({ $0 }) { entry.block.deallocate() }
    words.deallocate()
  }

  /// Begins a turn.
  @inline(__always)
  func enter(_ slot: Int) {
    words.storeOrdered((slot + 1) * Self.stride, words.load(0))
  }

  /// Ends a turn.
  @inline(__always)
  func leave(_ slot: Int) { words.storeReleasing((slot + 1) * Self.stride, 0) }

  /// What was taken out of reach before this call is out of use once `hasPassed` the result.
  func advance() -> UInt64 {
    while true {
      let epoch = words.loadOrdered(0)
      if words.exchange(0, epoch, epoch + 1) { return epoch + 1 }
    }
  }

  /// Whether every turn that began before `epoch` has ended.
  func hasPassed(_ epoch: UInt64) -> Bool {
    for slot in 1...slots {
      let entered = words.loadOrdered(slot * Self.stride)
      if entered != 0 && entered < epoch { return false }
    }
    return true
  }

  /// Frees a block, which is out of reach already, once no turn can be using it.
  func retire(_ block: Words) {
    let epoch = advance()
    retired.withLock { $0.append((epoch, block)) }
    collect()
  }

  /// Frees what can be freed.
  func collect() {
    retired.withLock { entries in
      entries.removeAll { entry in
        guard hasPassed(entry.epoch) else { return false }
        entry.block.deallocate()
        return true
      }
    }
  }
}
