// What a purge says of an object, and the purges that go by pattern.
//
// A hard purge makes an object as if it had never been stored. A soft one makes it stale as of that
// moment: it may still be served where a stale response may be, and be validated. Where both apply, the
// hard one wins, whichever came first; of several soft ones the first known counts.

import Bytes

/// What the purges that are newer than an object say of it.
package enum PurgeState: Sendable, Equatable {
  /// Nothing.
  case none
  /// It is stale since that time (ms since the epoch), however fresh it would be.
  case soft(since: Int64)
  /// It is gone: neither served nor validated.
  case hard

  /// What both say together.
  func joined(_ other: PurgeState) -> PurgeState {
    switch (self, other) {
    case (.hard, _), (_, .hard): .hard
    case (.soft(let first), .soft(let second)): .soft(since: min(first, second))
    case (.soft, .none): self
    case (.none, _): other
    }
  }

  /// What a purge of that kind says.
  init(isSoft: Bool, time: Int64) { self = isSoft ? .soft(since: time) : .hard }

  /// Since when an object is stale by a purge; `.max` if it is not.
  var softTime: Int64 { if case .soft(let time) = self { time } else { .max } }
}

/// A purge of all URLs that match a pattern, or of all objects of which a condition is true.
struct PatternPurge: Sendable {
  var sequence: UInt64
  var isSoft: Bool
  var time: Int64
  var matcher: PurgeMatcher
}

/// The pattern purges in force, as one thread knows them. The ledger has the list; its version, which
/// everybody reads without a lock, tells when to ask again.
struct PatternList {
  static let limit = 256

  private(set) var version: UInt64 = 0
  private(set) var purges: [PatternPurge] = []
  /// This thread's test for each that goes by a condition.
  private var tests: [(any ObjectTest)?] = []

  /// Whether a key has to be tested at all for an object of that number.
  func isAnyNewer(than sequence: UInt64) -> Bool {
    guard let last = purges.last else { return false }
    return last.sequence > sequence
  }

  /// What those newer than `since` say of an object; `body` is called with each that reaches it, in order,
  /// up to the first hard one.
  func state(
    of object: ObjectFacts, since: UInt64, _ body: (PatternPurge) -> Void = { _ in }
  ) -> PurgeState {
    var state = PurgeState.none
    for index in purges.indices where purges[index].sequence > since {
      guard reaches(object, index) else { continue }
      let purge = purges[index]
      body(purge)
      state = state.joined(PurgeState(isSoft: purge.isSoft, time: purge.time))
      if state == .hard { break }
    }
    return state
  }

  private func reaches(_ object: ObjectFacts, _ index: Int) -> Bool {
    switch purges[index].matcher {
    case .pattern(let pattern): return pattern.matches(object.url)
    case .unreadable: return true
    case .condition:
      var object = object
      object.now = purges[index].time
      return tests[index]?.isTrue(of: object) ?? true
    }
  }

  /// Takes over what the ledger has, if it has changed. After the current number was read: then no
  /// purge up to that number is missed.
  @inline(__always)
  mutating func update(from ledger: PurgeLedger) {
    if ledger.index.patternVersion != version { replace(from: ledger) }
  }

  @inline(never)
  private mutating func replace(from ledger: PurgeLedger) {
    let known = Dictionary(
      zip(purges.map(\.sequence), tests), uniquingKeysWith: { first, _ in first })
    (version, purges) = ledger.patternPurges
    tests = purges.map { purge in
      guard case .condition(let condition) = purge.matcher else { return nil }
      return (known[purge.sequence] ?? nil) ?? ledger.makeTest(condition)
    }
  }
}
