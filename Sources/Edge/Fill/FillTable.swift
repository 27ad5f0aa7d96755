// Which fills are under way, by cache key, so that many requests for one key make one request to the
// origin. Striped: a miss takes one stripe's lock for a moment, a hit none.
//
// A key whose answer turned out not to be for sharing is marked for a while ("hit-for-miss"): requests
// for it then go to the origin side by side, without waiting for each other. Marks are bounded; the
// oldest of a stripe goes first.

internal import Bytes
import Synchronization

final class FillTable: Sendable {
  /// What a request that missed is to do.
  enum Role {
    /// Lead this fill.
    case lead(Fill)
    /// Wait for this one.
    case follow(Fill)
    /// Go alone: the key's answers are not shared.
    case alone
  }

  private struct Mark {
    var key: Hash128
    var until: Int64
  }

  private struct Stripe {
    var fills: [Hash128: Fill] = [:]
    var marks: [Mark] = []
    var nextMark = 0
    /// How often keys were asked for that are not stored yet.
    var uses: [Hash128: UInt32] = [:]
  }

  /// How long a mark holds: nanoseconds.
  static let markLifetime: Int64 = 120_000_000_000
  private static let stripeCount = 64
  private static let marksPerStripe = 256
  /// Keys whose uses are counted, for each stripe; beyond, counting begins anew.
  private static let usesPerStripe = 2_048
  private let stripes: [Lock]

  private final class Lock: Sendable {
    let stripe = Mutex(Stripe())
  }

  init() { stripes = (0..<Self.stripeCount).map { _ in Lock() } }

  private func stripe(_ key: Hash128) -> Lock {
    stripes[Int(truncatingIfNeeded: key.high >> 32) & (Self.stripeCount - 1)]
  }

  /// Finds the fill of a key or makes one. `mayJoin` says whether the one that is there may be used
  /// (its full key is the same, and no purge came since it began).
  func join(
    _ key: Hash128, now: Int64, ignoresMarks: Bool = false, mayJoin: (Fill) -> Bool,
    make: () -> Fill
  ) -> Role {
    stripe(key).stripe.withLock { stripe in
      if !ignoresMarks, stripe.marks.contains(where: { $0.key == key && $0.until > now }) {
        return .alone
      }
      if let fill = stripe.fills[key], mayJoin(fill) { return .follow(fill) }
      let fill = make()
      stripe.fills[key] = fill
      return .lead(fill)
    }
  }

  /// The fill of a key that may be joined; nil if there is none, or the key is marked.
  func find(_ key: Hash128, now: Int64, mayJoin: (Fill) -> Bool) -> Fill? {
    stripe(key).stripe.withLock { stripe in
      if stripe.marks.contains(where: { $0.key == key && $0.until > now }) { return nil }
      guard let fill = stripe.fills[key], mayJoin(fill) else { return nil }
      return fill
    }
  }

  /// Takes a fill out, if it is still the one of its key.
  func remove(_ fill: Fill) {
    guard let key = fill.key else { return }
    stripe(key).stripe.withLock { stripe in
      if stripe.fills[key] === fill { stripe.fills[key] = nil }
    }
  }

  /// Whether a fill's answer may be stored: it is the one of its key, or a newer one has taken its place
  /// that is not whole yet, and will be stored over it. A newer answer must not be overwritten; but to drop
  /// each answer that a newer request overtakes would be never to store what takes long.
  func mayStore(_ fill: Fill) -> Bool {
    guard let key = fill.key else { return true }
    return stripe(key).stripe.withLock { stripe in
      guard let held = stripe.fills[key] else { return false }
      return held === fill || !held.isComplete
    }
  }

  /// Marks a key as one whose answers are not shared.
  func mark(_ key: Hash128, now: Int64) {
    stripe(key).stripe.withLock { stripe in
      let mark = Mark(key: key, until: now + Self.markLifetime)
      if let index = stripe.marks.firstIndex(where: { $0.key == key || $0.until <= now }) {
        stripe.marks[index] = mark
      } else if stripe.marks.count < Self.marksPerStripe {
        stripe.marks.append(mark)
      } else {
        stripe.marks[stripe.nextMark] = mark
        stripe.nextMark = (stripe.nextMark + 1) % Self.marksPerStripe
      }
    }
  }

  /// Whether a key is marked.
  func isMarked(_ key: Hash128, now: Int64) -> Bool {
    stripe(key).stripe.withLock { stripe in
      stripe.marks.contains { $0.key == key && $0.until > now }
    }
  }

  /// Counts a use of a key that is not stored; how many there were, this one included.
  func use(_ key: Hash128) -> UInt32 {
    stripe(key).stripe.withLock { stripe in
      if stripe.uses.count >= Self.usesPerStripe && stripe.uses[key] == nil {
        stripe.uses.removeAll(keepingCapacity: true)
      }
      let uses = (stripe.uses[key] ?? 0) &+ 1
      stripe.uses[key] = uses
      return uses
    }
  }

  /// How many fills are under way.
  var count: Int { stripes.reduce(0) { $0 + $1.stripe.withLock { $0.fills.count } } }
}
