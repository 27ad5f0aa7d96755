// The limits of a node: as configured, as they decide, and what is kept of them.
//
// A limit's number is its place in the configuration, everywhere: in the set that decides, in each
// worker's table, in the figures. Limits of bandwidth stand in the set as well, so that all are named,
// tuned and shown alike, but no request is ever put under them; what they hold back are bytes.

package import Bytes
package import Configuration
package import EventLoop
package import RateLimiting
import Synchronization

/// Why a limit cannot be had.
package struct LimitDefect: Error, Sendable {
  /// What is wrong, for an operator.
  package let text: String
}

/// The limits of a node, shared by its workers.
package final class NodeLimits: Sendable {
  /// As configured.
  package let configurations: [LimitConfiguration]
  /// As they decide.
  package let set: LimitSet
  /// What keys are hashed with.
  package let hash: SipHash
  /// The names of routes, for keys of limits that tell them apart.
  package let routes: [String]
  /// The issuers of tokens that the configuration names, for keys by subject.
  let issuers: [String]
  /// The file that changes are kept in; nil if there is nowhere to keep them.
  package let overlayPath: String?
  /// What limits read the time with where a worker's is not to be believed.
  let clock: NodeClock?
  /// What is kept, the same for all generations.
  private let kept: KeptChanges

  private final class KeptChanges: Sendable {
    let changes = Mutex<[String: LimitChange]>([:])
  }

  /// Limits with nothing spent.
  ///
  /// - Parameters:
  ///   - secret: what keys are hashed with; what was kept of an earlier run needs that run's.
  ///   - overlayPath: where changes are kept.
  ///   - clock: the workers' clock.
  package init(
    _ configuration: NodeConfiguration, secret: Hash128, overlayPath: String? = nil,
    clock: NodeClock? = nil
  ) throws(LimitDefect) {
    configurations = configuration.limits
    hash = SipHash(key: secret)
    routes = configuration.sites.flatMap { $0.routes.map(\.name) }
    issuers = configuration.tokens.flatMap(\.issuers)
    self.overlayPath = overlayPath
    self.clock = clock
    kept = KeptChanges()
    var limits: [Limit] = []
    for limit in configuration.limits {
      limits.append(try Self.limit(limit, secret: secret, clock: clock))
    }
    set = LimitSet(limits)
  }

  /// Limits that go on with what others remember, which were made for the configuration before.
  init(_ configuration: NodeConfiguration, limits: [Limit], after former: NodeLimits) {
    configurations = configuration.limits
    hash = former.hash
    routes = configuration.routes.map(\.name)
    issuers = configuration.tokens.flatMap(\.issuers)
    overlayPath = former.overlayPath
    clock = former.clock
    kept = former.kept
    set = LimitSet(limits)
  }

  static func limit(
    _ configuration: LimitConfiguration, secret: Hash128, clock: NodeClock?
  ) throws(LimitDefect) -> Limit {
    var reading: LimitClock?
    if let clock { reading = { clock.now().monotonic } }
    guard let rule = rule(configuration, secret, reading) else {
      throw LimitDefect(
        text: "limit \(configuration.name): the rate must be from 1 a day to 1,000,000 a second "
          + "(bytes: 10¹²), and the bucket must fill within 73 years")
    }
    return Limit(
      name: configuration.name, rule: rule, penalty: penalty(configuration),
      isShadow: configuration.isShadow)
  }

  static func penalty(_ configuration: LimitConfiguration) -> PenaltyBox? {
    configuration.penalty.map {
      PenaltyBox(
        offences: $0.offences, window: $0.window, duration: $0.duration,
        maxKeys: configuration.maxKeys)
    }
  }

  private static func rule(
    _ limit: LimitConfiguration, _ secret: Hash128, _ clock: LimitClock?
  ) -> LimitRule? {
    let keys = limit.maxKeys
    switch limit.rule {
    case .tokenBucket(let rate, let burst):
      guard case .region(let sharing) = limit.scope else {
        return TokenBucketRate(tokens: rate.count, per: rate.period, burst: burst).map {
          .tokenBucket(RateLimiter(rate: $0, maxKeys: keys, secret: secret, clock: clock))
        }
      }
      return TokenBucketRate(tokens: rate.count, per: rate.period, burst: burst).map {
        .regional(
          RegionalLimiter(
            rate: $0, maxKeys: keys, isExact: sharing.isExact, timeout: sharing.timeout,
            fallback: fallback(sharing.whenDown)))
      }
    case .connections(let rate, let burst):
      return TokenBucketRate(tokens: rate.count, per: rate.period, burst: burst).map {
        .tokenBucket(RateLimiter(rate: $0, maxKeys: keys, secret: secret, clock: clock))
      }
    case .leakyBucket(let rate, let queue):
      return RateLimiter(
        leaking: rate.count, per: rate.period, queue: queue, maxKeys: keys, secret: secret,
        clock: clock
      ).map { .leakyBucket($0) }
    case .concurrency(let count):
      return .concurrency(ConcurrencyLimiter(limit: count, maxKeys: keys))
    case .quota(let count, let window):
      return QuotaLimiter(limit: count, window: QuotaWindow(kind(window)), maxKeys: keys).map {
        .quota($0)
      }
    case .bandwidth(let rate, let burst):
      return TokenBucketRate(bytes: rate.count, per: rate.period, burst: burst).map {
        .tokenBucket(RateLimiter(rate: $0, maxKeys: keys, secret: secret, clock: clock))
      }
    case .responseBandwidth(let rate, let burst):
      // Nothing is ever counted by key: it only carries the rate.
      return TokenBucketRate(bytes: rate.count, per: rate.period, burst: burst).map {
        .tokenBucket(RateLimiter(rate: $0, maxKeys: 1, secret: secret))
      }
    }
  }

  private static func fallback(_ whenDown: LimitSharing.WhenDown) -> BudgetFallback {
    switch whenDown {
    case .share: .share
    case .open: .open
    case .closed: .closed
    }
  }

  /// The limits that a region shares.
  package var regional: [(name: String, limiter: RegionalLimiter)] {
    self.set.limits.compactMap { limit in
      if case .regional(let limiter) = limit.rule { (limit.name, limiter) } else { nil }
    }
  }

  /// What the keys of a limit are hashed with.
  func hash(of number: Int) -> SipHash {
    if case .regional(let limiter) = set.limits[number].rule { limiter.hash } else { hash }
  }

  private static func kind(_ window: LimitWindow) -> QuotaWindow.Kind {
    switch window {
    case .hour: .hour
    case .day: .day
    case .month: .month
    case .rollingHour: .rollingHour
    case .rollingDay: .rollingDay
    case .rollingMonth: .rollingMonth
    }
  }

  /// The number of the limit of that name.
  package func number(of name: String) -> Int? {
    configurations.firstIndex { $0.name == name }
  }

  /// The changes that are kept, by limit.
  package var keptChanges: [String: LimitChange] { kept.changes.withLock { $0 } }

  /// Notes a change as kept, on top of what was kept before, and calls `write` with all of them.
  package func keep(
    _ change: LimitChange, of name: String, write: ([String: LimitChange]) -> Bool
  ) -> Bool {
    kept.changes.withLock { kept in
      var all = kept
      all[name] = (all[name] ?? LimitChange()).merged(with: change)
      guard write(all) else { return false }
      kept = all
      return true
    }
  }

  /// Forgets what is kept of limits, and calls `write` with the rest if there was any.
  func forget(_ names: Set<String>, write: ([String: LimitChange]) -> Void) {
    kept.changes.withLock { kept in
      let rest = kept.filter { !names.contains($0.key) }
      guard rest.count < kept.count else { return }
      kept = rest
      write(rest)
    }
  }

  /// Takes over what was kept by an earlier run, as far as it fits; what did not, for the log.
  package func apply(kept changes: [String: LimitChange], now: Int64) -> [String] {
    var notes: [String] = []
    for (name, change) in changes.sorted(by: { $0.key < $1.key }) {
      guard let number = number(of: name) else {
        notes.append("a change of limit \(name) is kept, but the configuration has no such limit")
        continue
      }
      do throws(LimitDefect) {
        _ = try self.change(number, by: change, now: now)
        kept.changes.withLock { $0[name] = change }
      } catch {
        notes.append("limit \(name): what was kept is not applied: \(error.text)")
      }
    }
    return notes
  }
}
