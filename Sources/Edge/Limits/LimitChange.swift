// Changes of limits while the node runs, and the file that they are kept in.
//
//     # Changes of limits that were asked to be kept. Applied over the configuration at start.
//     login rate=10/m burst=5
//     search queue=50 shadow=on
//
// One line for each limit, names and values without spaces. A rate of bytes is written in bytes.

internal import Bytes
package import Configuration
package import RateLimiting

/// What is to be changed of a limit.
package struct LimitChange: Sendable, Equatable {
  /// The rate: requests, connections or bytes.
  package var rate: LimitRate?
  /// The most tokens that a bucket holds.
  package var burst: UInt64?
  /// How many may wait.
  package var queue: UInt32?
  /// The most in flight, or in a window.
  package var limit: UInt64?
  /// Whether it only counts.
  package var isShadow: Bool?

  /// Nothing.
  package init() {}

  /// This and, where both say something, the other.
  func merged(with other: LimitChange) -> LimitChange {
    var merged = self
    merged.rate = other.rate ?? rate
    merged.burst = other.burst ?? burst
    merged.queue = other.queue ?? queue
    merged.limit = other.limit ?? limit
    merged.isShadow = other.isShadow ?? isShadow
    return merged
  }

  /// As `name=value` words.
  package var text: String {
    var words: [String] = []
    if let rate { words.append("rate=\(rate.text)") }
    if let burst { words.append("burst=\(burst)") }
    if let queue { words.append("queue=\(queue)") }
    if let limit { words.append("limit=\(limit)") }
    if let isShadow { words.append("shadow=\(isShadow ? "on" : "off")") }
    return words.joined(separator: " ")
  }

  /// Seconds of the periods, by how they are written.
  private var periods: [Substring: Int64] { ["s": 1, "m": 60, "h": 3600, "d": 86_400] }

  /// Reads what `text` wrote; nil if it is damaged.
  package init?(text: String) { self.init(words: text.split(separator: " ")[...]) }

  fileprivate init?(words: ArraySlice<Substring>) {
    for word in words {
      guard let equals = word.firstIndex(of: "=") else { return nil }
      let value = word[word.index(after: equals)...]
      switch word[..<equals] {
      case "rate":
        let numbers = value.split(separator: "/")
        guard numbers.count == 2, let count = UInt64(numbers[0]), count > 0,
          let seconds = periods[numbers[1]]
        else { return nil }
        rate = LimitRate(count: count, period: seconds * 1_000_000_000)
      case "burst":
        guard let number = UInt64(value) else { return nil }
        burst = number
      case "queue":
        guard let number = UInt32(value) else { return nil }
        queue = number
      case "limit":
        guard let number = UInt64(value) else { return nil }
        limit = number
      case "shadow":
        guard value == "on" || value == "off" else { return nil }
        isShadow = value == "on"
      default: return nil
      }
    }
  }
}

/// The file of changes that are kept.
package enum LimitOverlay {
  /// The file's text.
  package static func text(_ changes: [String: LimitChange]) -> String {
    var text =
      "# Changes of limits that were asked to be kept. Applied over the configuration at start.\n"
    for (name, change) in changes.sorted(by: { $0.key < $1.key }) {
      text += "\(name) \(change.text)\n"
    }
    return text
  }

  /// What a text says; nil if a line is damaged.
  package static func read(_ text: String) -> [String: LimitChange]? {
    var changes: [String: LimitChange] = [:]
    for line in text.split(separator: "\n") where !line.hasPrefix("#") {
      let words = line.split(separator: " ")
      guard let name = words.first, let change = LimitChange(words: words.dropFirst()) else {
        return nil
      }
      changes[String(name)] = change
    }
    return changes
  }
}

extension NodeLimits {
  /// Changes a limit, for all workers from their next decision on. Nobody is forgiven and nothing
  /// forgotten. Who waits and has another time now is in the answer, to be told to their workers.
  ///
  /// Throws, and changes nothing, if the limit has no such setting or cannot have such a value.
  package func change(
    _ number: Int, by change: LimitChange, now: Int64
  ) throws(LimitDefect) -> [DueDeparture] {
    let limit = set.limits[number]
    let configuration = configurations[number].rule
    try Self.check(change, for: configuration)
    var due: [DueDeparture] = []
    switch (limit.rule, configuration) {
    case (.tokenBucket(let limiter), _), (.leakyBucket(let limiter), _):
      if change.rate != nil || change.burst != nil {
        due = limiter.setRate(try Self.rate(of: limiter.rate, change, configuration), now: now)
      }
      if let queue = change.queue { limiter.queue = queue }
    case (.regional(let limiter), _):
      if change.rate != nil || change.burst != nil {
        limiter.setRate(try Self.rate(of: limiter.rate, change, configuration))
      }
    case (.concurrency(let limiter), _):
      if let count = change.limit { limiter.limit = count }
    case (.quota(let limiter), _):
      if let count = change.limit, !limiter.setLimit(count) {
        throw LimitDefect(text: "a rolling window has at most 16777215")
      }
    }
    if let isShadow = change.isShadow { limit.isShadow = isShadow }
    return due
  }

  private static func rate(
    of present: TokenBucketRate, _ change: LimitChange, _ configuration: LimitRuleConfiguration
  ) throws(LimitDefect) -> TokenBucketRate {
    let tokens = change.rate?.count ?? present.tokens
    let period = change.rate?.period ?? present.period
    let burst = change.burst ?? present.burst
    let rate: TokenBucketRate?
    switch configuration {
    case .bandwidth, .responseBandwidth:
      rate = TokenBucketRate(bytes: tokens, per: period, burst: burst)
    default: rate = TokenBucketRate(tokens: tokens, per: period, burst: burst)
    }
    guard let rate else { throw LimitDefect(text: "no bucket can have such a rate or burst") }
    return rate
  }

  private static func check(
    _ change: LimitChange, for rule: LimitRuleConfiguration
  ) throws(LimitDefect) {
    let has: (rate: Bool, burst: Bool, queue: Bool, limit: Bool)
    switch rule {
    case .tokenBucket, .bandwidth, .responseBandwidth, .connections:
      has = (true, true, false, false)
    case .leakyBucket: has = (true, false, true, false)
    case .concurrency, .quota: has = (false, false, false, true)
    }
    let foreign = [
      (change.rate != nil && !has.rate, "rate"), (change.burst != nil && !has.burst, "burst"),
      (change.queue != nil && !has.queue, "queue"), (change.limit != nil && !has.limit, "limit"),
    ].first { $0.0 }
    if let foreign { throw LimitDefect(text: "a \(rule.name) has no \(foreign.1)") }
    if change.limit == 0 || change.burst == 0 {
      throw LimitDefect(text: "it would let nothing pass")
    }
  }
}
