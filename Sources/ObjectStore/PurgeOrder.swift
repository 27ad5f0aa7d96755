// Purges: what is asked for, what is kept of it, and why it may fail.

import Bytes

/// A purge that was asked for.
package struct PurgeOrder: Sendable {
  /// What is to be purged.
  package enum Target: Sendable, Equatable {
    /// What carries one of the tags (`ObjectStore.tagHash`); a site or a URL is a tag as well, if its
    /// objects carry it as an implicit one. 1 to 65,536.
    case tags([UInt64])
    /// What carries one of the tags and belongs to one of the hosts, each given by the tag that all of
    /// its objects carry as an implicit one. At most 65,536 pairs.
    case tagsWithin(hosts: [UInt64], [UInt64])
    /// All that is stored or being fetched.
    case everything
    /// Every object whose URL matches.
    case pattern(KeyPattern)
    /// Every object of which the condition is true.
    case condition(any ObjectCondition)

    package static func == (left: Target, right: Target) -> Bool {
      switch (left, right) {
      case (.tags(let one), .tags(let other)): one == other
      case (.tagsWithin(let one, let tags), .tagsWithin(let other, let others)):
        one == other && tags == others
      case (.everything, .everything): true
      case (.pattern(let one), .pattern(let other)): one == other
      case (.condition(let one), .condition(let other)): one.text == other.text
      default: false
      }
    }
  }

  /// What is to be purged.
  package var target: Target
  /// Whether what it reaches is stale from now on, instead of gone.
  package var isSoft: Bool
  /// The time of the order, ms since the epoch.
  package var time: Int64
  /// Who gave it, for the record; cut after 256 bytes.
  package var who: String
  /// What it says in the operator's words, for the record; cut after 2,048 bytes.
  package var what: String
  /// An order with the key of an earlier one, and the same otherwise, is answered with the earlier
  /// one's record and does nothing. At most 256 bytes; empty: none.
  package var idempotencyKey: String
  /// What it is to the fleet: `own` without a number, which it gets when it is carried out; `applied` or
  /// `rejoined`.
  package var fleet: FleetMark?
  /// Whether its tags are ones that objects carry as implicit ones: then how many it reaches is known when a
  /// pass over everything has ended.
  package var isOfImplicitTags: Bool

  /// An order.
  package init(
    _ target: Target, isSoft: Bool = false, time: Int64, who: String = "", what: String = "",
    idempotencyKey: String = "", fleet: FleetMark? = nil, isOfImplicitTags: Bool = false
  ) {
    self.fleet = fleet
    self.target = target
    self.isOfImplicitTags = isOfImplicitTags
    self.isSoft = isSoft
    self.time = time
    self.who = who
    self.what = what
    self.idempotencyKey = idempotencyKey
  }
}

extension PurgeOrder {
  private static let tagLimit = 65_536
  private static let keyLimit = 256
  private static let conditionLimit = 4_096
  private static let whoLimit = 256
  private static let whatLimit = 2_048

  /// Whether every part is within its limits.
  package var isInRange: Bool {
    switch target {
    case .tags(let tags):
      if tags.isEmpty || tags.count > Self.tagLimit || tags.contains(0) { return false }
    case .tagsWithin(let hosts, let tags):
      let (pairs, isTooMuch) = hosts.count.multipliedReportingOverflow(by: tags.count)
      if isTooMuch || pairs == 0 || pairs > Self.tagLimit { return false }
    case .condition(let condition):
      if condition.text.count > Self.conditionLimit { return false }
    case .everything, .pattern: break
    }
    if let fleet, fleet.order.count > FleetMark.orderLimit { return false }
    return idempotencyKey.utf8.count <= Self.keyLimit
  }

  static func cut(_ text: String, _ limit: Int) -> String {
    text.utf8.count <= limit ? text : String(decoding: text.utf8.prefix(limit), as: UTF8.self)
  }

  /// The record that the order leaves.
  func record(number: UInt64, counts: [UInt64]) -> PurgeRecord {
    var record = PurgeRecord(
      id: number, time: time, target: .everything, isSoft: isSoft, tags: 0,
      objects: counts.reduce(0, &+), who: Self.cut(who, Self.whoLimit),
      what: Self.cut(what, Self.whatLimit), idempotencyKey: idempotencyKey, pattern: [],
      fleet: fleet)
    switch target {
    case .everything: break
    case .tags(let tags):
      record.target = .tags
      record.tags = UInt32(clamping: tags.count)
      if isOfImplicitTags { record.objects = nil }
    case .tagsWithin(_, let tags):
      record.target = .tags
      record.tags = UInt32(clamping: tags.count)
      record.objects = nil
    case .pattern(let pattern):
      record.target = .pattern
      record.pattern = pattern.text
      record.objects = nil
    case .condition(let condition):
      record.target = .condition
      record.pattern = condition.text
      record.objects = nil
    }
    return record
  }
}

extension PurgeRecord {
  /// No purge: only a mark of the fleet's.
  init(carrying mark: FleetMark) {
    self.init(
      id: 0, time: 0, target: .nothing, isSoft: false, tags: 0, objects: nil, who: "", what: "",
      idempotencyKey: "", pattern: [], fleet: mark)
  }

  /// Whether an order is the one that left this record, given again.
  func repeats(_ order: PurgeOrder) -> Bool {
    let other = order.record(number: id, counts: [])
    return other.target == target && other.isSoft == isSoft && other.tags == tags
      && other.what == what && other.pattern == pattern
  }
}

/// What is remembered of a purge.
package struct PurgeRecord: Sendable, Equatable {
  /// What was purged.
  package enum Target: UInt8, Sendable { case tags = 0, everything, pattern, condition, nothing }

  /// The number of the purge (of the last of its tags), by which it is known.
  package var id: UInt64
  /// When it was asked for, ms since the epoch.
  package var time: Int64
  /// What was purged.
  package var target: Target
  /// Whether it made stale instead of gone.
  package var isSoft: Bool
  /// How many tags it had.
  package var tags: UInt32
  /// How many committed objects it reached, an object with two of the tags counting twice; nil where that
  /// is not known: of tags within hosts never, of a pattern or a condition until the sweeper has been
  /// everywhere.
  package var objects: UInt64?
  /// Who gave the order.
  package var who: String
  /// The order in the operator's words.
  package var what: String
  /// The order's idempotency key; empty if it had none.
  package var idempotencyKey: String
  /// The pattern, or the condition's text; empty if it was neither.
  package var pattern: [UInt8]
  /// What it is to the fleet, without the order but for the disk.
  package var fleet: FleetMark?

  /// A record.
  package init(
    id: UInt64, time: Int64, target: Target, isSoft: Bool, tags: UInt32, objects: UInt64?,
    who: String, what: String, idempotencyKey: String, pattern: [UInt8], fleet: FleetMark? = nil
  ) {
    self.fleet = fleet
    self.id = id
    self.time = time
    self.target = target
    self.isSoft = isSoft
    self.tags = tags
    self.objects = objects
    self.who = who
    self.what = what
    self.idempotencyKey = idempotencyKey
    self.pattern = pattern
  }
}

/// Why an order to purge was not carried out.
package enum PurgeFailure: Error, Sendable, Equatable {
  /// 256 purges by pattern wait for the sweeper: try again in a while.
  case tooManyPatterns
  /// Another order was given with the same idempotency key.
  case keyReused
  /// No tags or more than 65,536, an idempotency key of more than 256 bytes, a condition of more than
  /// 4,096.
  case outOfRange
  /// It is in force, but could not be made durable.
  case notDurable(StoreError)
}
