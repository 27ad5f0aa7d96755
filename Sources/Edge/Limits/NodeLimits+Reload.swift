// Limits over a reload. One of the same name goes on with all that it remembers, if it still counts the
// same things for the same keys; what it allows is changed, as an operator would change it. What an
// operator has changed stays, unless the file now says something else of that limit than before.
//
// A quota, which outlives a restart, outlives a reload all the more. One that has another `max_keys` gets
// tables of its own, into which what was used is copied when it comes into force (what requests that are
// under way at that moment still use, or give back, is not). One that is taken out is written to its file
// once more, and the file stays; one that is put in begins with what its file says, as far as that is of
// the same windows.

internal import Bytes
package import Configuration
package import EventLoop
package import RateLimiting

/// Limits that are ready to come into force.
package struct LimitSuccession: Sendable {
  /// The limits.
  package let limits: NodeLimits
  /// What the file changes of limits that go on, by number.
  let changes: [(number: Int, change: LimitChange)]
  /// Limits of which it says something new.
  let renewed: Set<String>
  /// Quotas that begin with what others have counted: those of the configuration before, or where there
  /// was none of the name, their files'.
  let inherited: [(number: Int, former: QuotaLimiter?)]
  /// Limits that there are no more.
  let removed: [Limit]
}

extension NodeLimits {
  /// The limits of another configuration, which go on with what these remember. Changes nothing yet.
  package func successor(
    _ configuration: NodeConfiguration
  ) throws(LimitDefect) -> LimitSuccession {
    var limits: [Limit] = []
    var changes: [(number: Int, change: LimitChange)] = []
    var renewed: Set<String> = []
    var inherited: [(number: Int, former: QuotaLimiter?)] = []
    for (number, wanted) in configuration.limits.enumerated() {
      guard let place = self.number(of: wanted.name) else {
        limits.append(try Self.limit(wanted, secret: hash.key, clock: clock))
        if case .quota = wanted.rule { inherited.append((number, nil)) }
        continue
      }
      let before = configurations[place]
      if before == wanted {
        limits.append(set.limits[place])
        continue
      }
      renewed.insert(wanted.name)
      let countsAlike = Self.countsAlike(before, wanted)
      guard countsAlike, before.maxKeys == wanted.maxKeys else {
        limits.append(try Self.limit(wanted, secret: hash.key, clock: clock))
        if countsAlike, case .quota(let former) = set.limits[place].rule {
          inherited.append((number, former))
        }
        continue
      }
      try Self.check(wanted)
      let former = set.limits[place]
      limits.append(
        before.penalty == wanted.penalty
          ? former
          : Limit(
            name: wanted.name, rule: former.rule, penalty: Self.penalty(wanted),
            isShadow: former.isShadow, successorOf: former))
      changes.append((number, LimitChange(wanted)))
    }
    return LimitSuccession(
      limits: NodeLimits(configuration, limits: limits, after: self), changes: changes,
      renewed: renewed, inherited: inherited,
      removed: set.limits.filter { limit in
        !configuration.limits.contains { $0.name == limit.name }
      })
  }

  /// What an operator has changed of limits: how they are, where that is not what the file says.
  package var changesInForce: [(name: String, change: String)] {
    zip(configurations, set.limits).compactMap { configuration, limit in
      let file = LimitChange(configuration)
      var change = LimitChange()
      if limit.isShadow != configuration.isShadow { change.isShadow = limit.isShadow }
      switch limit.rule {
      case .tokenBucket(let limiter), .leakyBucket(let limiter):
        let rate = LimitRate(count: limiter.rate.tokens, period: limiter.rate.period)
        if let said = file.rate, said != rate { change.rate = rate }
        if let said = file.burst, said != limiter.rate.burst { change.burst = limiter.rate.burst }
        if let said = file.queue, said != limiter.queue { change.queue = limiter.queue }
      case .regional(let limiter):
        let rate = LimitRate(count: limiter.rate.tokens, period: limiter.rate.period)
        if let said = file.rate, said != rate { change.rate = rate }
        if let said = file.burst, said != limiter.rate.burst { change.burst = limiter.rate.burst }
      case .concurrency(let limiter):
        if file.limit != limiter.limit { change.limit = limiter.limit }
      case .quota(let limiter): if file.limit != limiter.limit { change.limit = limiter.limit }
      }
      return change == LimitChange() ? nil : (configuration.name, change.text)
    }
  }

  /// Whether what one remembers means the same to the other.
  private static func countsAlike(_ one: LimitConfiguration, _ other: LimitConfiguration) -> Bool {
    let isSameRule =
      switch (one.rule, other.rule) {
      case (.tokenBucket, .tokenBucket), (.leakyBucket, .leakyBucket),
        (.concurrency, .concurrency), (.bandwidth, .bandwidth),
        (.responseBandwidth, .responseBandwidth), (.connections, .connections):
        true
      case (.quota(_, let window), .quota(_, let new)): window == new
      default: false
      }
    return isSameRule && one.keys == other.keys && one.isPerRoute == other.isPerRoute
      && one.ipv4Prefix == other.ipv4Prefix && one.ipv6Prefix == other.ipv6Prefix
      && one.scope == other.scope
  }

  /// Throws if no limit can be as configured.
  private static func check(_ configuration: LimitConfiguration) throws(LimitDefect) {
    var small = configuration
    small.maxKeys = 1
    _ = try limit(small, secret: Hash128(low: 0, high: 0), clock: nil)
  }
}

extension LimitSuccession {
  /// Puts in force what the file changes of limits that go on. What an operator has changed of those is
  /// forgotten. Who waits and has another time now is in the answer. Blocks on the disk where quotas come
  /// or go.
  package func commit(now: Instant, note: (String) -> Void) -> [DueDeparture] {
    limits.save(removed) { note("limits: \($0)") }
    limits.inherit(inherited, time: now.wall / 1000) { note("limits: \($0)") }
    var due: [DueDeparture] = []
    for (number, change) in changes {
      do throws(LimitDefect) {
        due += try limits.change(number, by: change, now: now.monotonic)
      } catch {
        // It was tried before; if it fails nevertheless, the limit stays as it was.
        note("limit \(limits.configurations[number].name): \(error.text)")
      }
    }
    if let problem = limits.forget(renewed) { note("limits: \(problem)") }
    return due
  }
}

extension LimitChange {
  /// All that the file says of what can be changed.
  init(_ configuration: LimitConfiguration) {
    self.init()
    isShadow = configuration.isShadow
    switch configuration.rule {
    case .tokenBucket(let rate, let burst), .bandwidth(let rate, let burst),
      .responseBandwidth(let rate, let burst), .connections(let rate, let burst):
      self.rate = rate
      self.burst = burst
    case .leakyBucket(let rate, let queue):
      self.rate = rate
      self.queue = queue
    case .concurrency(let count), .quota(let count, _): limit = count
    }
  }
}
