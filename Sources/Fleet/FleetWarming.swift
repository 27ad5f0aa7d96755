// Orders to warm, as PoPs tell them each other. They do not go through the log of purges: that is kept for long
// and read by whoever comes back, and what was to be fetched a week ago nobody wants any more. They are keys of
// the engine that expire:
//
//     weir:{FLEET}:warm               a hash: an order's name → what it is (`FleetWarmOrder.text`)
//     weir:{FLEET}:warm:NAME          its URLs, a line each
//     weir:{FLEET}:warm:NAME:POP      how far a PoP is with it (`FleetWarmResult.text`)
//     weir:{FLEET}:warm:NAME:end      it was ended
//
// Each PoP looks into the hash every second, and takes what it has not taken yet. An order may be taken for ten
// minutes (`FleetWarmOrder.patience`); a PoP of an earlier version never looks. A PoP that begins again finds
// the order still there, and begins it again unless its own result says that it is over: what it has stored
// before is then answered from the store.
//
// What was purged before it is purged at every PoP before anything is fetched there: an order is told when the
// log has all that its PoP had ordered before, and is taken by who has applied the log that far.

package import ObjectStore

/// An order to warm, for all PoPs or those of a region.
package struct FleetWarmOrder: Sendable, Equatable {
  /// What it is called in the fleet: a letter and a random number.
  package var name: String
  /// The PoP at which it was given, by the random number that its store has.
  package var pop: UInt64 = 0
  /// Who gave it: the PoP's name and the token's.
  package var who: String
  /// The region whose PoPs are meant; empty: all.
  package var region: String
  /// When it was given, ms by the engine's clock.
  package var time: Int64 = 0
  /// Whether its one URL is a sitemap's.
  package var isSitemap: Bool
  /// How many URLs it has.
  package var count: Int
  /// The most URLs a second, of each PoP.
  package var rate: Int
  /// Hosts of the sites that it keeps to; empty: all.
  package var sites: [String]
  /// How far who takes it must have applied the log.
  package var after = LogPosition.start
  /// Which log that is.
  package var history: UInt64 = 0

  /// Milliseconds for which an order may be taken.
  package static let patience: Int64 = 600_000

  /// Milliseconds for which a PoP's last word of it is kept, if it has so many URLs: an hour longer than a PoP that
  /// is four times slower than this one's rate has to do with it, and a day at most.
  func memory(urls: Int) -> Int64 {
    let seconds = 4 * Int64(min(max(urls, count, 1), 1_000_000)) / Int64(max(rate, 1))
    return min(Self.patience + 3_600_000 + seconds * 1_000, 86_400_000)
  }

  /// An order that was not told yet. `number`: a random one.
  package init(
    number: UInt64, who: String, region: String, isSitemap: Bool, count: Int, rate: Int,
    sites: [String]
  ) {
    // Begins with a letter: no PoP's own number of an order is called so.
    name = "w" + String(number, radix: 16)
    self.who = who
    self.region = region
    self.isSitemap = isSitemap
    self.count = count
    self.rate = rate
    self.sites = sites
  }

  /// Whether a text can be an order's name.
  package static func isName(_ text: String) -> Bool {
    (2...17).contains(text.utf8.count) && text.hasPrefix("w")
      && text.dropFirst().allSatisfy { $0.isASCII && $0.isHexDigit }
  }

  /// As the hash has it: lines. Further ones are passed over.
  var text: String {
    [
      "1", String(pop, radix: 16), who, region, String(time), isSitemap ? "sitemap" : "urls",
      String(count), String(rate), sites.joined(separator: " "), after.text,
      String(history, radix: 16),
    ].map { $0.replacing("\n", with: " ") }.joined(separator: "\n")
  }

  /// Reads an order of the hash; nil if it is none, or of another kind.
  init?(name: String, text: String) {
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    guard Self.isName(name), lines.count >= 11, lines[0] == "1",
      let pop = UInt64(lines[1], radix: 16), let time = Int64(lines[4]),
      ["urls", "sitemap"].contains(lines[5]), let count = Int(lines[6]), count > 0,
      let rate = Int(lines[7]), let after = LogPosition(lines[9]),
      let history = UInt64(lines[10], radix: 16)
    else { return nil }
    self.name = name
    self.pop = pop
    who = lines[2]
    region = lines[3]
    self.time = time
    isSitemap = lines[5] == "sitemap"
    self.count = count
    self.rate = rate
    sites = lines[8].split(separator: " ").map(String.init)
    self.after = after
    self.history = history
  }
}

/// How a PoP stands to an order to warm.
package enum FleetWarmState: String, Sendable, CaseIterable {
  /// It has not taken it yet.
  case waiting
  /// It fetches.
  case running
  /// It has asked for every URL.
  case done
  /// It was ended.
  case cancelled
  /// It cannot carry it out: the failure says why.
  case refused
  /// It has taken it and says nothing of it any more: it was begun again, too late to take it again.
  case interrupted
  /// It has not taken it in time, or has ended it so long ago that it is forgotten.
  case missed
  /// It does no such thing: it is of an earlier version, or has no listener to ask itself by.
  case unable
  /// It says nothing at all.
  case out

  /// Whether nothing more comes of it.
  package var isOver: Bool { self != .waiting && self != .running }
}

/// What a PoP has made of an order to warm.
package struct FleetWarmResult: Sendable, Equatable {
  /// How it stands.
  package var state: FleetWarmState
  /// URLs that it knows of; a sitemap's come with the sitemap.
  package var urls = 0
  /// URLs that it has asked for: answered from the store, by the origin, or not well.
  package var done = 0
  /// Answered from the store.
  package var hits = 0
  /// Answered by the origin.
  package var fetched = 0
  /// Refused, cut off, or answered with 400 or more.
  package var failed = 0
  /// Bytes of content.
  package var bytes: UInt64 = 0
  /// The first thing that went wrong; empty: nothing.
  package var failure = ""
  /// When it said so, ms by the engine's clock.
  package var seen: Int64 = 0

  /// A result without figures.
  package init(_ state: FleetWarmState) { self.state = state }

  /// How often who fetches says so, ms, even if nothing has changed; and after how long without it nobody does.
  static let interval: Int64 = 5_000
  static let silence: Int64 = 30_000

  /// As the engine has it: lines.
  var text: String {
    [
      "1", state.rawValue, String(urls), String(done), String(hits), String(fetched),
      String(failed), String(bytes), String(seen), failure.replacing("\n", with: " "),
    ].joined(separator: "\n")
  }

  /// Reads a PoP's word; nil if it is of another kind.
  init?(text: String) {
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    guard lines.count >= 10, lines[0] == "1", let state = FleetWarmState(rawValue: lines[1]),
      let bytes = UInt64(lines[7]), let seen = Int64(lines[8])
    else { return nil }
    let numbers = lines[2...6].compactMap { Int($0) }
    guard numbers.count == 5 else { return nil }
    self.state = state
    (urls, done, hits, fetched, failed) =
      (numbers[0], numbers[1], numbers[2], numbers[3], numbers[4])
    self.bytes = bytes
    self.seen = seen
    failure = lines[9]
  }
}

/// What became of an order to warm, over the fleet.
package struct FleetWarmReach: Sendable, Equatable {
  /// One PoP's part.
  package struct Part: Sendable, Equatable {
    /// Its name.
    package var name: String
    /// Its region.
    package var region: String
    /// What it has made of it.
    package var result: FleetWarmResult
  }

  /// Whether others could hear of it.
  package var isTold = false
  /// Whether the engine has said who there is; else there is this PoP alone.
  package var isHeard = false
  /// Every PoP that is meant, this one first.
  package var parts: [Part] = []

  /// Whether nobody is left who may still take it.
  var isTaken: Bool {
    isTold && isHeard && parts.allSatisfy { $0.result.state != .waiting }
  }

  /// Whether all have asked for every URL.
  package var isComplete: Bool {
    isTold && isHeard && parts.allSatisfy { $0.result.state == .done }
  }
}

extension FleetWarmResult {
  /// How another PoP stands to an order, by what it has said of it, if anything, and of itself. `age`: of the
  /// order, ms; `now`: by the engine's clock.
  static func standing(
    of member: FleetMember, _ said: FleetWarmResult?, age: Int64, isEnded: Bool, now: Int64
  ) -> FleetWarmResult {
    if var said {
      guard !said.state.isOver else { return said }
      if member.isOut(at: now) {
        said.state = .out
      } else if now &- said.seen > silence {
        said.state = .interrupted
      }
      return said
    }
    if isEnded { return FleetWarmResult(.cancelled) }
    if member.isOut(at: now) { return FleetWarmResult(.out) }
    if !member.canWarm { return FleetWarmResult(.unable) }
    // A little later than it may be taken: what was taken last is told first.
    return FleetWarmResult(age > FleetWarmOrder.patience + interval ? .missed : .waiting)
  }
}

/// What carries out the fleet's orders to warm. Any thread; nothing of it blocks.
package protocol FleetWarmer: Sendable {
  /// Whether orders are taken now.
  var takesOrders: Bool { get }
  /// Whether an order is being carried out, or was of late.
  func knows(_ name: String) -> Bool
  /// Begins an order. `urls`: a line each. What is wrong with them is told as its result.
  func begin(_ order: FleetWarmOrder, _ urls: [UInt8])
  /// How far the fleet's orders are.
  var results: [(order: FleetWarmOrder, result: FleetWarmResult)] { get }
  /// Ends an order.
  func end(_ name: String)
}

extension FleetSettings {
  /// The orders to warm.
  var warmKey: String { "weir:{\(fleet)}:warm" }
  /// The URLs of one.
  func warmKey(_ name: String) -> String { "\(warmKey):\(name)" }
  /// How far a PoP is with it.
  func warmKey(_ name: String, _ pop: UInt64) -> String {
    "\(warmKey):\(name):\(String(pop, radix: 16))"
  }
  /// That it was ended.
  func warmEndKey(_ name: String) -> String { "\(warmKey):\(name):end" }
}
