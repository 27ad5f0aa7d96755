// What weighs most of a stream of names, in a fixed room: Space-Saving (Metwally, Agrawal, El Abbadi:
// Efficient Computation of Frequent and Top-k Elements in Data Streams, 2005). A name without a counter
// takes over the lightest, weight included, and notes that weight as its possible error. A name with more
// than 1/`capacity` of the whole weight is always among the counters; weights are never too low.
//
// Weights are halved every five minutes, so that the list says what is heavy, not what was.

package import Bytes

/// See the top of this file. Not safe for several threads.
package struct HeavyHitters {
  /// What is counted beside the weight.
  package struct Tally {
    /// Requests.
    package fileprivate(set) var count: UInt64 = 0
    /// Bytes.
    package fileprivate(set) var bytes: UInt64 = 0
    /// Counts by a number below `kinds`.
    var byKind = InlineArray<8, UInt64>(repeating: 0)

    static let kinds = 8

    mutating func add(_ other: Tally) {
      count = Self.sum(count, other.count)
      bytes = Self.sum(bytes, other.bytes)
      for kind in 0..<Self.kinds { byKind[kind] = Self.sum(byKind[kind], other.byKind[kind]) }
    }

    mutating func halve() {
      count /= 2
      bytes /= 2
      for kind in 0..<Self.kinds { byKind[kind] /= 2 }
    }

    static func sum(_ one: UInt64, _ other: UInt64) -> UInt64 {
      let (sum, isOver) = one.addingReportingOverflow(other)
      return isOver ? .max : sum
    }
  }

  /// A name on the list.
  package struct Entry {
    /// At most 1,024 bytes of it; empty: not known yet.
    package internal(set) var name: [UInt8]
    /// Never too low.
    package internal(set) var weight: UInt64
    /// How much of the weight may be others'.
    package internal(set) var error: UInt64
    /// Since it is on the list.
    package internal(set) var tally: Tally

    /// Sets the name, in the room that the one before has.
    fileprivate mutating func call(_ name: ByteView) {
      self.name.removeAll(keepingCapacity: true)
      self.name.reserveCapacity(name.count)
      for index in 0..<name.count { self.name.append(name[index]) }
    }

    /// Becomes another name's.
    fileprivate mutating func take(over name: ByteView, error: UInt64) {
      call(name)
      self.error = error
      tally = Tally()
    }
  }

  /// How many names are counted at a time.
  package static let capacity = 512
  private static let halfLife: Int64 = 300_000_000_000
  private static let nameLimit = 1_024

  private var entries: [Entry] = []
  private var hashes: [UInt64] = []
  private var order = WeightOrder()
  /// Where the entry of a name's hash stands.
  private var places = PlaceTable()
  private var lastHalved: Int64?

  /// Empty.
  package init() {}

  /// Adds to a name's weight.
  ///
  /// - Parameters:
  ///   - hash: the name's, keyed with a secret.
  ///   - now: monotonic.
  package mutating func record(
    _ name: ByteView, hash: UInt64, weight: UInt64, kind: Int, count: UInt64, bytes: UInt64,
    now: Int64
  ) {
    age(now)
    let place: Int
    if let known = places.find(hash, in: hashes) {
      place = known
      if entries[place].name.isEmpty { entries[place].call(name.prefix(Self.nameLimit)) }
    } else if entries.count < Self.capacity {
      place = entries.count
      entries.append(
        Entry(name: name.prefix(Self.nameLimit).array, weight: 0, error: 0, tally: Tally()))
      hashes.append(hash)
      order.append(0)
      places.insert(place, of: hash, capacity: Self.capacity)
    } else {
      place = order.lightest
      places.remove(hashes[place], in: hashes)
      hashes[place] = hash
      places.insert(place, of: hash, capacity: Self.capacity)
      entries[place].take(over: name.prefix(Self.nameLimit), error: order.weight(of: place))
    }
    order.add(weight, to: place)
    add(kind, count, bytes, at: place)
  }

  private mutating func add(_ kind: Int, _ count: UInt64, _ bytes: UInt64, at place: Int) {
    entries[place].tally.count = Tally.sum(entries[place].tally.count, count)
    entries[place].tally.bytes = Tally.sum(entries[place].tally.bytes, bytes)
    if kind >= 0 && kind < Tally.kinds {
      entries[place].tally.byKind[kind] = Tally.sum(entries[place].tally.byKind[kind], count)
    }
  }

  /// Halves as often as has become due.
  mutating func age(_ now: Int64) {
    guard let last = lastHalved else {
      lastHalved = now
      return
    }
    var periods = (now - last) / Self.halfLife
    guard periods > 0 else { return }
    lastHalved = last + periods * Self.halfLife
    while periods > 0 && !entries.isEmpty {
      halve()
      periods -= 1
    }
  }

  /// Halves every weight; what has none left gives up its counter.
  private mutating func halve() {
    var kept: [Entry] = []
    var keptHashes: [UInt64] = []
    var keptOrder = WeightOrder()
    places = PlaceTable()
    for place in entries.indices where order.weight(of: place) > 1 {
      entries[place].tally.halve()
      entries[place].error /= 2
      places.insert(kept.count, of: hashes[place], capacity: Self.capacity)
      keptOrder.append(order.weight(of: place) / 2)
      kept.append(entries[place])
      keptHashes.append(hashes[place])
    }
    entries = kept
    hashes = keptHashes
    order = keptOrder
  }

  /// All entries, with their weights, by the names' hashes.
  package var all: [(hash: UInt64, entry: Entry)] {
    entries.indices.map { place in
      var entry = entries[place]
      entry.weight = order.weight(of: place)
      return (hashes[place], entry)
    }
  }
}
