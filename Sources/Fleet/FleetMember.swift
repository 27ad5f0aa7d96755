package import ObjectStore

/// A PoP as the others see it: a line of the fleet's list, which each PoP keeps up to date itself.
package struct FleetMember: Sendable, Equatable {
  /// The random number that its store has.
  package var pop: UInt64
  /// Its name.
  package var name: String
  /// Its region.
  package var region: String
  /// Its software's version.
  package var version: String
  /// How far it has applied the log, durably.
  package var position: LogPosition
  /// Whether it says that it is in step.
  package var isInStep: Bool
  /// Own orders that the log may lack.
  package var waiting: Int
  /// When it last said so, ms by the engine's clock.
  package var seen: Int64
  /// Whether it carries out orders to warm: its version knows them, and it can ask itself.
  package var canWarm: Bool

  /// Milliseconds without a word after which a PoP counts as out.
  package static let patience: Int64 = 3_000
  /// Milliseconds without a word after which it is forgotten.
  package static let memory: Int64 = 86_400_000

  /// A member.
  package init(
    pop: UInt64, name: String, region: String, version: String, position: LogPosition,
    isInStep: Bool, waiting: Int, seen: Int64, canWarm: Bool = false
  ) {
    self.canWarm = canWarm
    self.pop = pop
    self.name = name
    self.region = region
    self.version = version
    self.position = position
    self.isInStep = isInStep
    self.waiting = waiting
    self.seen = seen
  }

  /// Whether it has said nothing for too long, at a time by the engine's clock.
  package func isOut(at now: Int64) -> Bool { now &- seen > Self.patience }

  /// As the list has it: lines. Earlier versions read the first eight, and pass over further ones.
  var text: String {
    [
      "1", name, region, version, position.text, isInStep ? "1" : "0", String(waiting),
      String(seen), canWarm ? "warm" : "",
    ].joined(separator: "\n")
  }

  /// Reads a line of the list; nil if it is of another kind.
  init?(pop: String, text: String) {
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    guard lines.count >= 8, lines[0] == "1", let pop = UInt64(pop, radix: 16),
      let position = LogPosition(lines[4]), let waiting = Int(lines[6]), let seen = Int64(lines[7])
    else { return nil }
    self.init(
      pop: pop, name: lines[1], region: lines[2], version: lines[3], position: position,
      isInStep: lines[5] == "1", waiting: waiting, seen: seen,
      canWarm: lines.count > 8 && lines[8] == "warm")
  }
}

/// The fleet at a moment.
package struct FleetList: Sendable, Equatable {
  /// Who there is, by region and name.
  package var members: [FleetMember]
  /// The engine's time, ms.
  package var now: Int64
  /// The newest place of the log.
  package var last: LogPosition
  /// Of members that are behind, how many entries; at most `FleetList.most` are counted.
  package var behind: [UInt64: UInt64] = [:]
  /// See `behind`.
  package static let most = 1_000

  /// How many milliseconds a member may be behind: since the newest that it has applied, unless that is
  /// the newest there is.
  package func lag(of member: FleetMember) -> Int64 {
    member.position >= last ? 0 : max(0, now - Int64(clamping: member.position.milliseconds))
  }
}

/// Whom an answer to a purge waits for.
package enum FleetScope: String, Sendable, CaseIterable {
  /// Nobody: it is in force and durable here.
  case local
  /// All PoPs of this one's region.
  case region
  /// All PoPs.
  case all
}

/// Who has applied a purge.
package struct FleetReach: Sendable, Equatable {
  /// The names of those who have.
  package var applied: [String] = []
  /// Of those who have not yet.
  package var pending: [String] = []
  /// Of those who have not and say nothing.
  package var out: [String] = []
  /// Whether the log has the purge; else nobody else can know of it.
  package var isLogged = false

  /// Whether all have.
  package var isComplete: Bool { isLogged && pending.isEmpty && out.isEmpty }
}
