package import Redis

/// What a PoP serves that is cut off from the fleet's log for longer than it may be.
package enum WhenBehind: String, Sendable, CaseIterable {
  /// What is stored, as ever.
  case serve
  /// What is stored, once the origin has said that it is still good.
  case revalidate
  /// Nothing that is stored.
  case bypass
}

/// How a PoP takes part in a fleet.
package struct FleetSettings: Sendable, Equatable {
  /// The fleet's name: PoPs of one name share purges.
  package var fleet: String
  /// This PoP's name, for people.
  package var pop: String
  /// Its region.
  package var region: String
  /// The software's version.
  package var version: String
  /// Where the log is.
  package var engine: RedisSettings
  /// Where the log is read, replicas near by among them; nil: where it is written.
  package var readEngine: RedisSettings?
  /// Where the region's limits are; nil: there, too.
  package var limitEngine: RedisSettings?
  /// Nanoseconds that it may be out of step before `whenBehind` says what is served.
  package var maxLag: Int64
  /// What is served then.
  package var whenBehind: WhenBehind
  /// Entries that the log keeps, about.
  package var logLength: Int
  /// Nanoseconds between validations that all PoPs together ask of an origin, once all that is stored has
  /// become stale.
  package var validationInterval: Int64 = 1_000_000

  /// A PoP of a fleet.
  package init(
    fleet: String, pop: String, region: String, version: String, engine: RedisSettings,
    maxLag: Int64 = 10_000_000_000, whenBehind: WhenBehind = .serve, logLength: Int = 100_000,
    limitEngine: RedisSettings? = nil
  ) {
    self.limitEngine = limitEngine
    self.fleet = fleet
    self.pop = pop
    self.region = region
    self.version = version
    self.engine = engine
    self.maxLag = maxLag
    self.whenBehind = whenBehind
    self.logLength = logLength
  }

  /// The stream of purges.
  package var logKey: String { "weir:{\(fleet)}:purges" }
  /// The log's name, given when it began.
  package var historyKey: String { "weir:{\(fleet)}:history" }
  /// Where entries are told ahead.
  package var channel: String { "weir:{\(fleet)}:told" }
  /// Who there is.
  package var membersKey: String { "weir:{\(fleet)}:pops" }
}
