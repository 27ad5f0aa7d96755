// S3-FIFO (Yang et al., SOSP 2023) as the store has it: what the writer does with the object at the head
// of a queue. The decisions only; the queues are databases (`Writer+Space.swift`), and the simulator
// makes the same ones.
//
// A new object goes into the small queue, or into the main one if it was evicted a short while ago (the
// ghosts). The small queue is evicted from while it has more than its share of the space. At its head an
// object that was used at least twice moves to the end of the main queue; another goes, and is noted
// among the ghosts. At the head of the main queue an object that was used since it last stood there moves
// to the end again, with one use less; another goes. Uses are counted up to three.

/// The decisions of eviction.
package enum EvictionPolicy {
  /// Uses that are counted.
  package static let useLimit: UInt64 = 3
  /// The small queue's share of the space is one in so many parts.
  package static let smallShare = 10
  /// Uses that keep an object in the store at the small queue's head.
  package static let usesForMain: UInt64 = 2
  /// Uses that keep it at the main queue's head.
  package static let usesToStay: UInt64 = 1

  /// Whether the small queue is the one to evict from. The sizes are in whatever unit.
  package static func takesFromSmall(_ small: Int, of limit: Int) -> Bool {
    small > limit / smallShare
  }

  /// Whether an object at the head of a queue stays, at the end of the main one.
  package static func stays(uses: UInt64, inSmall: Bool) -> Bool {
    uses >= (inSmall ? usesForMain : usesToStay)
  }

  /// The uses that count for an object when it has moved.
  package static func uses(afterMove uses: UInt64, fromSmall: Bool) -> UInt64 {
    fromSmall || uses == 0 ? 0 : uses - 1
  }
}
