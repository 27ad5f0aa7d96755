// Following the fleet's log: what to read, what to apply, and whether this PoP is in step. Pure: the client
// (`FleetClient`) does what it says, and tests drive it through faults that no engine shows on demand.
//
//     cut ──connected──→ rejoining ──rejoined──→ catching up ──read and applied all──→ following
//      ↑                     (only where something may be missed)         │                  │
//      └──────────────────────────── disconnected ───────────────────────┴──────────────────┘
//
// The log is a stream of an engine that may lose its end (a failover to a replica that lacks the last second),
// its begin (it is trimmed) or all of it. A replica has a prefix of its primary's history. So if the last
// entry that was read stands where it stood, nothing before it has changed. If not, the newest of those
// read before that still does is where the histories part: from there on all is read again, and what is
// known already is known by its PoP and number. If none does, entries may have come and gone unseen: then
// what is stored counts as purged.
//
// The other half, that no purge is missing in the log, is each PoP's own: an order counts as appended only
// when its PoP has read it back, and is appended again when the histories part before it.

package import ObjectStore

/// An entry of the log.
package struct LogEntry: Sendable, Equatable {
  /// Whose it is, and where it stands.
  package var place: LogPlace
  /// The order in the fleet's words.
  package var order: [UInt8]

  /// An entry.
  package init(place: LogPlace, order: [UInt8]) {
    self.place = place
    self.order = order
  }
}

/// What an engine says of its log when a connection begins.
package struct LogReport: Sendable, Equatable {
  /// The name that the log was given when it began; never 0.
  package var history: UInt64
  /// How many entries it has.
  package var length: UInt64 = 0
  /// How many it ever had.
  package var added: UInt64 = 0
  /// The oldest; nil: it is empty.
  package var first: LogPosition?
  /// How many it was trimmed of.
  package var trimmed: UInt64 { added >= length ? added - length : 0 }
  /// The newest it ever had.
  package var last = LogPosition.start
  /// The newest it has.
  package var lastEntry: LogPlace?
  /// What stands now where the follower has asked (`LogFollower.probes`).
  package var found: Set<LogPlace> = []

  /// An empty log.
  package init(history: UInt64) { self.history = history }
}

/// Why what is stored counts as purged.
package enum Loss: String, Sendable {
  /// The PoP has never followed this fleet's log.
  case joined
  /// The engine has another log than before: it came back empty, or is another one.
  case replaced
  /// The log was trimmed past what was read.
  case trimmed
  /// The log has lost its end, from before the entries whose places are remembered.
  case parted
}

/// What a PoP does that may have missed purges.
package struct Rejoining: Sendable, Equatable {
  /// Why.
  package var loss: Loss
  /// What the purge of everything is to the fleet.
  package var mark: FleetMark
  /// Whether what is stored becomes stale instead of going.
  package var isSoft: Bool
}

/// Follows the log.
package struct LogFollower: Sendable {
  /// Where it stands.
  package enum Phase: Sendable, Equatable {
    /// There is no connection.
    case cut
    /// What is stored is made to count as purged.
    case rejoining(Loss)
    /// Entries that were there when the connection began are read and applied.
    case catchingUp(through: LogPosition)
    /// What comes is applied as it comes.
    case following
  }

  /// What is read and applied, durably or on the way there.
  package private(set) var book: FleetBook
  /// Where it stands.
  package private(set) var phase = Phase.cut
  /// Told ahead, and behind something that is not read yet.
  private var early: [(after: LogPosition, entry: LogEntry)] = []
  private static let earlyLimit = 1_024
  /// Read and neither applied nor known.
  private var queue: [LogEntry] = []
  private var taken = 0
  /// Through where entries are read, applied or not.
  package private(set) var readThrough = LogPosition.start
  /// Applied, and not yet durable.
  package private(set) var underWay = 0
  /// When the engine was asked what there is, of the last time that it has said so (monotonic).
  private var heardAt: Int64 = .min
  private var rejoining: FleetMark?
  /// Whether reading from the log says nothing of what it has, since it may be a replica's: only the
  /// primary's word does (`heard`).
  package var needsWord = false
  /// What the primary has said that it has, and when it was asked; oldest first, none of it read yet.
  private var words: [(last: LogPosition, at: Int64)] = []
  private static let mostWords = 16

  /// A follower that knows what a book says.
  package init(_ book: FleetBook) {
    self.book = book
    self.book.dropOutbox()
  }

  /// Whether entries may have come and gone unseen, and it is not following again.
  package private(set) var isAfterLoss = false

  /// Entries that wait to be applied.
  package var backlog: Int { queue.count - taken }

  /// The entries whose places are to be looked at when a connection begins: the newest, and ever sparser
  /// ones before it.
  package var probes: [LogPlace] {
    var list: [LogPlace] = []
    var step = 1
    var index = book.recent.count - 1
    while index >= 0 {
      list.append(book.recent[index])
      index -= step
      if list.count > 1 { step *= 2 }
    }
    if let first = book.recent.first, list.last != first { list.append(first) }
    return list
  }

  // MARK: Connections

  /// A connection has begun, and this is what the engine had when it was asked. If the result is a
  /// rejoining, everything that is stored is to be purged with its mark, and then `rejoined` be called; else
  /// the log is read from `readThrough` on, and own orders behind that are to be appended again
  /// (`FleetBook.forgetPlaces`).
  package mutating func connected(
    _ report: LogReport, isStoreEmpty: Bool, now: Int64
  ) -> Rejoining? {
    dropQueue()
    words = []
    guard let position = book.position, book.history != 0 else {
      return rejoin(.joined, report, isStoreEmpty)
    }
    guard book.history == report.history else { return rejoin(.replaced, report) }
    guard let newest = book.recent.last else {
      // Nothing was ever read: nothing may have gone.
      guard position == .start, report.trimmed == book.trimmed else {
        return rejoin(report.last < position ? .parted : .trimmed, report)
      }
      return follow(report, now)
    }
    if newest.position == position, report.found.contains(newest) { return follow(report, now) }
    guard let common = probes.first(where: { report.found.contains($0) }) else {
      let isTrimmed = report.first.map { $0 > position } ?? (report.last >= position)
      return rejoin(isTrimmed ? .trimmed : .parted, report)
    }
    book.rewind(to: common.position)
    return follow(report, now)
  }

  private mutating func follow(_ report: LogReport, _ now: Int64) -> Rejoining? {
    readThrough = book.position ?? .start
    phase = .catchingUp(through: report.last)
    if needsWord {
      heard(through: report.last, now: now)
    } else if readThrough >= report.last {
      heardAt = now
    }
    settle()
    return nil
  }

  /// A newcomer with nothing stored begins at the end. Others read all that there still is: among it may be
  /// hard purges, and what is stored is purged softly only.
  private mutating func rejoin(
    _ loss: Loss, _ report: LogReport, _ isStoreEmpty: Bool = false
  ) -> Rejoining {
    let beginsAtEnd = loss == .joined && isStoreEmpty
    var mark = FleetMark(
      .rejoined, pop: book.pop, history: report.history, stamp: report.trimmed)
    // The newest entry's place says later that nothing was trimmed or lost meanwhile.
    if beginsAtEnd, let last = report.lastEntry, last.position == report.last {
      mark.position = last.position
      mark.order = FleetBook.packed([last])
    }
    rejoining = mark
    target = report.last
    phase = .rejoining(loss)
    isAfterLoss = !beginsAtEnd
    return Rejoining(loss: loss, mark: mark, isSoft: !beginsAtEnd)
  }

  private var target = LogPosition.start

  /// What is stored counts as purged now, durably.
  package mutating func rejoined() {
    guard case .rejoining = phase, let mark = rejoining else { return }
    book.rejoin(mark)
    rejoining = nil
    readThrough = mark.position
    phase = .catchingUp(through: target)
  }

  /// The connection has ended.
  package mutating func disconnected() {
    dropQueue()
    words = []
    rejoining = nil
    phase = .cut
  }

  private mutating func dropQueue() {
    queue = []
    taken = 0
    early = []
    readThrough = book.position ?? .start
  }

  // MARK: Entries

  /// The entry that was read last: as long as it stands in the log, nothing after it was trimmed. Nil: none
  /// was read, and as long as the log was not trimmed of more than `book.trimmed` nothing was.
  package var lastRead: LogPlace? { queue.last?.place ?? book.recent.last }

  /// Entries have come, in the log's order; `isAll`: it had no more then. `now`: when it was asked.
  package mutating func read(_ entries: [LogEntry], isAll: Bool, now: Int64) {
    if isAll && !needsWord { heardAt = now }
    // What was told ahead comes again.
    let known = entries.firstIndex { $0.place.position > readThrough } ?? entries.count
    queue += entries[known...]
    if known < entries.count, let last = entries.last { readThrough = last.place.position }
    takeEarly()
    settle()
  }

  /// The primary has said how far its log goes, of which the entry that was read last (`lastRead`) is one. `now`:
  /// when it was asked.
  package mutating func heard(through last: LogPosition, now: Int64) {
    guard words.count < Self.mostWords else { return }
    words.append((last, now))
    settle()
  }

  /// An entry is told ahead by who has appended it, and after which position it stands. It counts as read if
  /// that is where the log is read through; else it is kept until then.
  package mutating func told(_ entry: LogEntry, after position: LogPosition) {
    switch phase {
    case .cut, .rejoining: return
    case .catchingUp, .following: break
    }
    guard entry.place.position > readThrough, early.count < Self.earlyLimit else { return }
    early.append((position, entry))
    takeEarly()
  }

  private mutating func takeEarly() {
    guard !early.isEmpty else { return }
    early.removeAll { $0.entry.place.position <= readThrough }
    while let index = early.firstIndex(where: { $0.after == readThrough }) {
      let entry = early.remove(at: index).entry
      queue.append(entry)
      readThrough = entry.place.position
    }
  }

  /// The next entry that is to be applied. Those that are known, and own ones, are passed over.
  package mutating func next() -> LogEntry? {
    while taken < queue.count {
      let entry = queue[taken]
      if book.knows(entry.place) || entry.place.pop == book.pop {
        pass()
        continue
      }
      return entry
    }
    return nil
  }

  /// The mark for the purge of an entry.
  package func mark(of entry: LogEntry) -> FleetMark {
    FleetMark(
      .applied, pop: entry.place.pop, number: entry.place.number, position: entry.place.position,
      history: book.history, stamp: entry.place.stamp)
  }

  /// The entry that `next` gave is in force, and on its way to the disk.
  package mutating func applied() {
    guard taken < queue.count else { return }
    underWay += 1
    pass()
  }

  /// The oldest one on its way to the disk is there.
  package mutating func durable() {
    underWay = max(0, underWay - 1)
    settle()
  }

  private mutating func pass() {
    let place = queue[taken].place
    book.read(place)
    if place.pop == book.pop { readBack.append(place) }
    taken += 1
    if taken == queue.count {
      queue.removeAll(keepingCapacity: true)
      taken = 0
    } else if taken >= 1_024 {
      queue.removeFirst(taken)
      taken = 0
    }
    settle()
  }

  private var readBack: [LogPlace] = []

  /// Own orders that were read back since the last call: they stand in the log.
  package mutating func takeReadBack() -> [LogPlace] {
    defer { readBack = [] }
    return readBack
  }

  private mutating func settle() {
    while let word = words.first, word.last <= readThrough {
      heardAt = word.at
      words.removeFirst()
    }
    guard case .catchingUp(let target) = phase, backlog == 0, underWay == 0,
      readThrough >= target, heardAt != .min
    else { return }
    phase = .following
    isAfterLoss = false
  }

  // MARK: In step

  /// Whether all that the log had at most `lease` nanoseconds ago is in force and durable.
  package func isInStep(now: Int64, lease: Int64) -> Bool {
    guard case .following = phase, backlog == 0, underWay == 0, heardAt != .min else {
      return false
    }
    return now &- heardAt <= lease
  }

  /// Nanoseconds since the engine was asked what there is, of the last time that it has said so; nil: it
  /// never has.
  package func silence(now: Int64) -> Int64? { heardAt == .min ? nil : now &- heardAt }
}
