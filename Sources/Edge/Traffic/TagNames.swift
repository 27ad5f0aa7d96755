// What tags are called. Stored responses have hashes of their tags only (64 bits each, not up to 1,024
// bytes), which is all that purges need; who looks at the tags that are asked for most wants names. Those of
// answers that origins gave lately are kept here, in two halves: a full one becomes the older, and what was
// in the older one is forgotten. A tag on the list keeps its name there (`HeavyHitters`), so a flood of tags
// that are used once pushes out only names that nobody asks for.
//
// After a restart what is stored has tags whose names are not known before an origin says them again.

internal import Bytes
internal import Synchronization

/// Shared by all workers; asked for a few of their requests only (`TrafficSketch`).
final class TagNames: Sendable {
  /// So many names fill a half.
  static let capacity = 2_048

  private struct Halves {
    var newer: [UInt64: [UInt8]] = [:]
    var older: [UInt64: [UInt8]] = [:]
  }
  private let halves = Mutex(Halves())

  /// Nothing yet.
  init() {}

  /// A tag by its hash, as purges have it.
  func note(_ hash: UInt64, _ name: ByteView) {
    halves.withLock { halves in
      guard halves.newer[hash] == nil else { return }
      if halves.newer.count >= Self.capacity {
        halves.older = halves.newer
        halves.newer = [:]
      }
      halves.newer[hash] = name.array
    }
  }

  /// The tag's name; empty if it is not known.
  func name(of hash: UInt64) -> [UInt8] {
    halves.withLock { $0.newer[hash] ?? $0.older[hash] ?? [] }
  }
}
