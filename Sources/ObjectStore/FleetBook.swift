// What a PoP knows of the fleet's log: how far it has read, what it has applied, and which of its own orders
// the others may still lack. Pure: the same value is built from the records of a file, and kept by the one
// who follows the log.
//
// A purge is known by its PoP and that PoP's number, never by where it stands: the engine may lose the end of
// its log, and a purge then comes again elsewhere. Of each PoP the newest numbers are kept one by one, for one
// may come late; whatever is older than all of them is known.

internal import Bytes

/// The numbers of one PoP's purges that are known: all through `floor`, and some above.
package struct SeenNumbers: Sendable, Equatable {
  /// So many are told apart.
  package static let window = 128

  /// All numbers up to this one count as known.
  package private(set) var floor: UInt64 = 0
  /// Those above, ascending.
  package private(set) var numbers: [UInt64] = []

  /// Nothing is known.
  package init() {}

  /// Whether a number is known.
  package func contains(_ number: UInt64) -> Bool {
    number <= floor || numbers.last.map { $0 >= number } == true && numbers.contains(number)
  }

  /// Notes one.
  package mutating func insert(_ number: UInt64) {
    guard !contains(number) else { return }
    let place = numbers.lastIndex { $0 < number }.map { $0 + 1 } ?? 0
    numbers.insert(number, at: place)
    if numbers.count > Self.window { floor = numbers.removeFirst() }
  }

  /// The newest.
  package var newest: UInt64 { numbers.last ?? floor }

  init(floor: UInt64, packed: [UInt8]) {
    self.floor = floor
    packed.withView { view in
      for start in stride(from: 0, through: view.count - 8, by: 8) {
        insert(view.uint64(at: start))
      }
    }
  }

  var packed: [UInt8] {
    var buffer = ByteBuffer()
    for number in numbers { buffer.append(littleEndian: number) }
    return buffer.view.array
  }
}

/// An own order that the others may lack.
package struct OutboxEntry: Sendable, Equatable {
  /// The PoP's number of it.
  package var number: UInt64
  /// Where it stood in the log when last seen; nil: it has not been seen there.
  package var position: LogPosition?
  /// The order in the fleet's words.
  package var order: [UInt8]
}

/// What a PoP knows of the log.
package struct FleetBook: Sendable, Equatable {
  /// So many of the newest entries are known by their place, to find where two histories part.
  package static let ladder = 256
  /// Own orders that stand in the log are kept as far as these: for an engine that loses them.
  static let keptOrders = 1_024
  static let keptBytes = 8 << 20
  private static let popLimit = 4_096

  /// This PoP: a random number that its store has; 0: none yet.
  package private(set) var pop: UInt64 = 0
  /// The newest own number.
  package private(set) var lastNumber: UInt64 = 0
  /// Which log was read last; 0: none yet.
  package var history: UInt64 = 0
  /// How many entries it had been trimmed of when it was joined: as long as none was read, that must not
  /// change.
  package private(set) var trimmed: UInt64 = 0
  /// How far; nil: never.
  package var position: LogPosition?
  /// Of each PoP, what is known.
  package private(set) var seen: [UInt64: SeenNumbers] = [:]
  /// The newest entries read, ascending as they were read.
  package private(set) var recent: [LogPlace] = []
  /// Own orders, ascending.
  package private(set) var outbox: [OutboxEntry] = []
  private var outboxBytes = 0
  /// How many of them are not known to stand in the log.
  package private(set) var waiting = 0

  /// Nothing is known.
  package init() {}

  /// Whether a purge is known.
  package func knows(_ place: LogPlace) -> Bool { seen[place.pop]?.contains(place.number) ?? false }

  /// Takes a name, unless there is one.
  package mutating func settle(pop: UInt64) { if self.pop == 0 { self.pop = pop } }

  /// The number of the next own order: above all before, and above those of a copy of the store that was
  /// put back, if the clock goes right.
  package mutating func nextNumber(time: Int64) -> UInt64 {
    lastNumber = max(lastNumber &+ 1, UInt64(clamping: time))
    return lastNumber
  }

  /// Notes an entry that was read and is applied, or need not be.
  package mutating func read(_ place: LogPlace) {
    position = place.position
    recent.append(place)
    if recent.count > 2 * Self.ladder { recent.removeFirst(recent.count - Self.ladder) }
    note(place)
    if place.pop == pop { appended(place.number, at: place.position) }
  }

  private mutating func note(_ place: LogPlace) {
    if seen[place.pop] == nil, seen.count >= Self.popLimit,
      let oldest = seen.min(by: { $0.value.newest < $1.value.newest })
    {
      seen[oldest.key] = nil
    }
    seen[place.pop, default: SeenNumbers()].insert(place.number)
  }

  /// Goes back in the log: entries after `position` are read again.
  package mutating func rewind(to position: LogPosition) {
    self.position = position
    forgetPlaces(after: position)
    // They may stand elsewhere now.
    if let place = recent.lastIndex(where: { $0.position == position }) {
      recent.removeSubrange((place + 1)...)
    } else {
      recent = []
    }
  }

  /// Of the log only what stands up to `position` is known to be as it was: own orders that stood after it may
  /// not stand there any more.
  package mutating func forgetPlaces(after position: LogPosition) {
    for place in outbox.indices {
      if let known = outbox[place].position, known > position {
        outbox[place].position = nil
        waiting += 1
      }
    }
  }

  /// Lets go of the own orders: for who only follows the log.
  package mutating func dropOutbox() {
    outbox = []
    outboxBytes = 0
    waiting = 0
  }

  /// Goes over to a log, as a mark of the kind `rejoined` says. Own orders may not stand there.
  package mutating func rejoin(_ mark: FleetMark) {
    for place in outbox.indices { outbox[place].position = nil }
    waiting = outbox.count
    history = mark.history
    position = mark.position
    trimmed = mark.stamp
    recent = Self.unpacked(mark.order)
    for place in recent { note(place) }
  }

  // MARK: Outbox

  /// The first place in the outbox whose number is at least this.
  private func place(of number: UInt64) -> Int {
    var low = 0
    var high = outbox.count
    while low < high {
      let middle = (low + high) / 2
      if outbox[middle].number < number { low = middle + 1 } else { high = middle }
    }
    return low
  }

  /// An own order.
  mutating func order(_ number: UInt64, _ order: [UInt8]) {
    lastNumber = max(lastNumber, number)
    let place = place(of: number)
    if place < outbox.count, outbox[place].number == number { return }
    outbox.insert(OutboxEntry(number: number, position: nil, order: order), at: place)
    outboxBytes += order.count
    waiting += 1
  }

  /// An own order stands in the log.
  package mutating func appended(_ number: UInt64, at position: LogPosition) {
    let place = place(of: number)
    guard place < outbox.count, outbox[place].number == number else { return }
    if outbox[place].position == nil { waiting -= 1 }
    outbox[place].position = position
    var drop = 0
    while drop < outbox.count, outbox[drop].position != nil,
      outbox.count - drop > Self.keptOrders || outboxBytes > Self.keptBytes
    {
      outboxBytes -= outbox[drop].order.count
      drop += 1
    }
    if drop > 0 { outbox.removeFirst(drop) }
  }

  /// Own orders above a number that are not known to stand in the log.
  func orders(after number: UInt64, limit: Int) -> [OutboxEntry] {
    let start = number == .max ? outbox.count : place(of: number + 1)
    return Array(outbox[start...].lazy.filter { $0.position == nil }.prefix(limit))
  }

  // MARK: As marks

  /// Takes over what a record says.
  package mutating func take(_ mark: FleetMark) {
    switch mark.kind {
    case .own:
      settle(pop: mark.pop)
      order(mark.number, mark.order)
    case .appended: appended(mark.number, at: mark.position)
    case .applied:
      history = mark.history
      read(
        LogPlace(
          position: mark.position, pop: mark.pop, number: mark.number, stamp: mark.stamp))
    case .rejoined:
      settle(pop: mark.pop)
      rejoin(mark)
    case .seen: seen[mark.pop] = SeenNumbers(floor: mark.number, packed: mark.order)
    case .standing:
      settle(pop: mark.pop)
      lastNumber = max(lastNumber, mark.number)
      history = mark.history
      position = mark.position
      trimmed = mark.stamp
      recent = Self.unpacked(mark.order)
      forgetPlaces(after: mark.position)
    }
  }

  /// All of it, as marks from which it can be built again.
  var marks: [FleetMark] {
    var marks = seen.map { pop, numbers in
      FleetMark(.seen, pop: pop, number: numbers.floor, order: numbers.packed)
    }
    for entry in outbox {
      marks.append(FleetMark(.own, pop: pop, number: entry.number, order: entry.order))
      if let position = entry.position {
        marks.append(FleetMark(.appended, pop: pop, number: entry.number, position: position))
      }
    }
    if let standing { marks.append(standing) }
    return marks
  }

  /// How far the log is read, as a mark.
  var standing: FleetMark? {
    guard let position, pop != 0 else { return nil }
    return FleetMark(
      .standing, pop: pop, number: lastNumber, position: position, history: history,
      stamp: trimmed, order: Self.packed(recent.suffix(Self.ladder)))
  }

  /// Entries' places as a mark's `order` has them.
  package static func packed(_ places: some Sequence<LogPlace>) -> [UInt8] {
    var buffer = ByteBuffer()
    for place in places {
      for word in [
        place.position.milliseconds, place.position.number, place.pop, place.number, place.stamp,
      ] {
        buffer.append(littleEndian: word)
      }
    }
    return buffer.view.array
  }

  private static func unpacked(_ bytes: [UInt8]) -> [LogPlace] {
    bytes.withView { view in
      stride(from: 0, through: view.count - 40, by: 40).map { start in
        LogPlace(
          position: LogPosition(
            milliseconds: view.uint64(at: start), number: view.uint64(at: start + 8)),
          pop: view.uint64(at: start + 16), number: view.uint64(at: start + 24),
          stamp: view.uint64(at: start + 32))
      }
    }
  }
}
