// A fleet in memory: an engine that loses what engines lose, PoPs that crash, and an origin whose versions tell
// what is stale.

import Fleet
import ObjectStore

/// A seeded sequence of numbers.
struct Seeded {
  private var state: UInt64

  init(_ seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 | 1 }

  mutating func next(below limit: Int) -> Int {
    state ^= state &<< 13
    state ^= state &>> 7
    state ^= state &<< 17
    return Int(state % UInt64(limit))
  }
}

/// A purge of one key: what the origin has since is `version`.
struct KeyOrder: Hashable {
  var key: Int
  var version: Int

  init(key: Int, version: Int) {
    self.key = key
    self.version = version
  }

  init(_ bytes: [UInt8]) {
    let parts = String(decoding: bytes, as: UTF8.self).split(separator: " ").compactMap { Int($0) }
    self.init(key: parts[0], version: parts[1])
  }

  var bytes: [UInt8] { Array("\(key) \(version)".utf8) }
}

/// An engine: a primary, and a replica that is some entries behind.
struct SimulatedEngine {
  struct Log {
    var history: UInt64 = 1
    var entries: [LogEntry] = []
    var last = LogPosition.start
    var added: UInt64 = 0
  }

  private(set) var log = Log()
  private(set) var replica = Log()
  var clock: UInt64 = 1_000_000
  /// What the log has, or had before it was trimmed.
  private(set) var standing: Set<KeyOrder> = []
  private var replicaStanding: Set<KeyOrder> = []

  private var stamps: UInt64 = 0
  /// What was told of the newest entries, also of those that are lost since.
  private(set) var told: [(entry: LogEntry, after: LogPosition)] = []

  mutating func append(pop: UInt64, number: UInt64, _ order: [UInt8]) {
    stamps += 1
    var position = LogPosition(milliseconds: clock, number: 0)
    if position <= log.last {
      position = LogPosition(milliseconds: log.last.milliseconds, number: log.last.number + 1)
    }
    let place = LogPlace(position: position, pop: pop, number: number, stamp: stamps)
    log.entries.append(LogEntry(place: place, order: order))
    told.append((LogEntry(place: place, order: order), log.last))
    if told.count > 12 { told.removeFirst() }
    log.last = position
    log.added += 1
    standing.insert(KeyOrder(order))
  }

  mutating func replicate() {
    replica = log
    replicaStanding = standing
  }

  mutating func failOver(clock: UInt64) {
    log = replica
    standing = replicaStanding
    self.clock = clock
  }

  mutating func trim(to count: Int) {
    if log.entries.count > count { log.entries.removeFirst(log.entries.count - count) }
  }

  mutating func empty(history: UInt64, isReplicated: Bool = true) {
    log = Log()
    log.history = history
    standing = []
    if isReplicated { replicate() }
  }

  func report(_ probes: [LogPlace]) -> LogReport {
    var report = LogReport(history: log.history)
    report.length = UInt64(log.entries.count)
    report.added = log.added
    report.first = log.entries.first?.place.position
    report.last = log.last
    report.lastEntry = log.entries.last?.place
    let places = Set(log.entries.map(\.place))
    report.found = Set(probes.filter { places.contains($0) })
    return report
  }

  func entries(after position: LogPosition, limit: Int, ofReplica: Bool = false) -> [LogEntry] {
    let entries = ofReplica ? replica.entries : log.entries
    return Array(entries.lazy.filter { $0.place.position > position }.prefix(limit))
  }
}

/// A PoP: what its disk has, and what is only in memory.
struct SimulatedPoP {
  struct Stored {
    var version: Int
    /// Whether a purge has made it stale; a hard one removes it.
    var isStale = false
    /// Purged, but not durably: a crash brings it back.
    var isHidden = false
  }

  /// Whether it reads the log from the replica.
  let readsReplica: Bool
  private(set) var disk: FleetBook
  private(set) var follower: LogFollower
  var stored: [Int: Stored] = [:]
  private var undurable: [(mark: FleetMark, order: KeyOrder?)] = []
  /// Own orders through this number were sent on the connection at hand.
  private var sent: UInt64 = 0
  private(set) var isConnected = false
  private(set) var losses: [Loss] = []
  /// Purges applied since the last crash.
  private(set) var applied: Set<LogPlace> = []
  private(set) var appliedTwice = 0
  /// Of each key, the newest version whose purge is durable here.
  private(set) var floor: [Int: Int] = [:]

  init(pop: UInt64, readsReplica: Bool) {
    self.readsReplica = readsReplica
    disk = FleetBook()
    disk.settle(pop: pop)
    follower = LogFollower(disk)
    follower.needsWord = readsReplica
  }

  var name: UInt64 { disk.pop }

  mutating func crash() {
    for key in stored.keys { stored[key]?.isHidden = false }
    undurable = []
    applied = []
    follower = LogFollower(disk)
    follower.needsWord = readsReplica
    isConnected = false
    sent = 0
  }

  /// An order is accepted here: durable before it is answered.
  mutating func order(_ order: KeyOrder, time: Int64) {
    disk.take(
      FleetMark(.own, pop: name, number: disk.nextNumber(time: time), order: order.bytes))
    purge(order)
    floor[order.key] = max(floor[order.key] ?? 0, order.version)
  }

  private mutating func purge(_ order: KeyOrder) {
    if let object = stored[order.key], object.version < order.version { stored[order.key] = nil }
  }

  mutating func disconnect() {
    follower.disconnected()
    isConnected = false
    sent = 0
  }

  mutating func connect(_ engine: SimulatedEngine, now: Int64) {
    let rejoining = follower.connected(
      engine.report(follower.probes), isStoreEmpty: stored.isEmpty, now: now)
    isConnected = true
    if let rejoining {
      losses.append(rejoining.loss)
      for key in stored.keys { stored[key]?.isStale = true }
      if !rejoining.isSoft { stored = [:] }
      // In order behind what is on its way to the disk.
      settle(count: undurable.count)
      disk.take(rejoining.mark)
      follower.rejoined()
    } else {
      disk.forgetPlaces(after: follower.readThrough)
    }
  }

  /// The oldest purges on their way to the disk get there.
  mutating func settle(count: Int) {
    for (mark, order) in undurable.prefix(count) {
      disk.take(mark)
      follower.durable()
      guard let order else { continue }
      floor[order.key] = max(floor[order.key] ?? 0, order.version)
      if stored[order.key]?.isHidden == true { stored[order.key] = nil }
    }
    undurable.removeFirst(min(count, undurable.count))
  }

  /// Sends own orders that are not known to stand in the log.
  mutating func send(_ engine: inout SimulatedEngine, limit: Int) {
    for entry in disk.outbox.filter({ $0.position == nil && $0.number > sent }).prefix(limit) {
      engine.append(pop: name, number: entry.number, entry.order)
      sent = entry.number
    }
  }

  mutating func read(_ engine: SimulatedEngine, limit: Int, now: Int64) {
    if readsReplica {
      guard isWhole(engine.log), follower.book.history == engine.log.history else {
        return disconnect()
      }
      follower.heard(through: engine.log.last, now: now)
    }
    guard isWhole(readsReplica ? engine.replica : engine.log) else { return disconnect() }
    let entries = engine.entries(
      after: follower.readThrough, limit: limit, ofReplica: readsReplica)
    follower.read(entries, isAll: entries.count < limit, now: now)
    apply()
  }

  /// Whether what was read last stands in a log; if nothing was read, whether it is trimmed as it was.
  private func isWhole(_ log: SimulatedEngine.Log) -> Bool {
    follower.lastRead.map { last in log.entries.contains { $0.place == last } }
      ?? (log.added - UInt64(log.entries.count) == follower.book.trimmed)
  }

  /// An entry is told ahead, in time or late.
  mutating func hear(_ entry: LogEntry, after position: LogPosition) {
    follower.told(entry, after: position)
    apply()
  }

  private mutating func apply() {
    while let entry = follower.next() {
      let order = KeyOrder(entry.order)
      if !applied.insert(
        LogPlace(position: .start, pop: entry.place.pop, number: entry.place.number, stamp: 0)
      ).inserted {
        appliedTwice += 1
      }
      undurable.append((follower.mark(of: entry), order))
      if let object = stored[order.key], object.version < order.version {
        stored[order.key]?.isHidden = true
      }
      follower.applied()
    }
    for place in follower.takeReadBack() {
      disk.take(
        FleetMark(.appended, pop: place.pop, number: place.number, position: place.position))
    }
  }

  /// The version that a plain request gets from the store; nil: the origin is asked.
  func served(_ key: Int) -> Int? {
    guard let object = stored[key], !object.isStale, !object.isHidden else { return nil }
    return object.version
  }
}
