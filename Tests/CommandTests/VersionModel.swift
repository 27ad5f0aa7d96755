// What may be served, where versions tell: the origin's version of a key goes up before each purge of it.
//
//   bound    A PoP that has acknowledged a purge, or was named as one that has applied it, serves no earlier
//            version ever after: not behind, not restarted, not cut off.
//   settled  A purge that has stood in the log is in force in every PoP that says it is in step, 1.5 seconds
//            later at most. (Not while an engine is away that has lost its end: until the PoP that ordered has
//            appended it again, the log does not have it.)

import Synchronization

/// See the top of this file.
final class VersionModel: Sendable {
  private struct State {
    var current: [Int]
    /// The newest that any PoP has acknowledged.
    var acknowledged: [Int]
    var own: [String: [Int]] = [:]
    var bound: [String: [Int]] = [:]
    var settled: [(versions: [Int], at: ContinuousClock.Instant)] = []
    var isSettling = true
    var epoch = 0
    var orders = 0
    var checks: [String: Int] = [:]
    var defects: [String] = []
  }
  /// How long a PoP that is in step may not know of what the log has.
  static let lease = Duration.milliseconds(1_500)
  let keys: Int
  private let state: Mutex<State>

  init(keys: Int) {
    self.keys = keys
    let first = [Int](repeating: 1, count: keys)
    state = Mutex(State(current: first, acknowledged: first))
  }

  // MARK: Purges

  /// The origin's version of a key.
  func version(of key: Int) -> Int { state.withLock { $0.current[key] } }

  /// A key is about to be purged: the version that the origin has from now on.
  func raise(_ key: Int) -> Int {
    state.withLock { state in
      state.current[key] += 1
      return state.current[key]
    }
  }

  /// A PoP has acknowledged a purge, and named those who have applied it.
  func acknowledge(_ key: Int, _ version: Int, at pop: String, applied: [String]) {
    state.withLock { state in
      state.orders += 1
      state.acknowledged[key] = max(state.acknowledged[key], version)
      let own = state.own[pop]?[key] ?? 0
      state.own[pop, default: Self.none(keys)][key] = max(own, version)
      for name in applied + [pop] {
        let known = state.bound[name]?[key] ?? 0
        state.bound[name, default: Self.none(keys)][key] = max(known, version)
      }
    }
  }

  private static func none(_ keys: Int) -> [Int] { [Int](repeating: 0, count: keys) }

  /// How many purges were acknowledged.
  var orders: Int { state.withLock { $0.orders } }
  /// What no PoP may be behind once all are in step.
  var acknowledged: [Int] { state.withLock { $0.acknowledged } }

  // MARK: The log

  /// What a PoP has ordered until now, for `settle`.
  func ordered(at pop: String) -> (epoch: Int, versions: [Int]) {
    state.withLock { ($0.epoch, $0.own[pop] ?? Self.none(keys)) }
  }

  /// All of that stands in the log by now.
  func settle(_ ordered: (epoch: Int, versions: [Int])) {
    state.withLock { state in
      guard state.isSettling, ordered.epoch == state.epoch else { return }
      let last = state.settled.last?.versions ?? Self.none(keys)
      let versions = zip(last, ordered.versions).map { max($0, $1) }
      if versions != last { state.settled.append((versions, .now)) }
    }
  }

  /// The log may have lost its end, or all: what stood in it may not stand there now.
  func unsettle() {
    state.withLock { state in
      state.isSettling = false
      state.settled = []
      state.epoch += 1
    }
  }

  /// The log has all again.
  func resume() { state.withLock { $0.isSettling = true } }

  // MARK: Answers

  /// What a PoP may not be behind from now on, and what it may not be behind if it is in step.
  func bounds(_ key: Int, at pop: String) -> (ever: Int, inStep: Int, epoch: Int) {
    state.withLock { state in
      let end = ContinuousClock.now - Self.lease
      let settled = state.settled.last { $0.at <= end }?.versions[key] ?? 0
      return (state.bound[pop]?[key] ?? 0, settled, state.epoch)
    }
  }

  /// A PoP has served a version, and said before and afterwards whether it was in step.
  func check(
    _ key: Int, _ version: Int, at pop: String, _ bounds: (ever: Int, inStep: Int, epoch: Int),
    isInStep: Bool
  ) {
    state.withLock { state in
      if version < bounds.ever {
        state.defects.append(
          "\(pop) serves version \(version) of \(key), and has applied \(bounds.ever)")
      }
      guard isInStep, bounds.epoch == state.epoch else { return }
      if bounds.inStep > 1 { state.checks[pop, default: 0] += 1 }
      if version < bounds.inStep {
        state.defects.append(
          "\(pop) is in step and serves version \(version) of \(key): \(bounds.inStep) was settled")
      }
    }
  }

  /// Something else is wrong.
  func fail(_ text: String) { state.withLock { $0.defects.append(text) } }

  /// What was wrong, the first of it.
  var defects: [String] { state.withLock { Array($0.defects.prefix(10)) } }
  /// How often a PoP was found in step with something settled to compare with.
  func checks(at pop: String) -> Int { state.withLock { $0.checks[pop] ?? 0 } }
}
