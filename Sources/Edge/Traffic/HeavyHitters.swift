// What weighs most of a stream of names, in a fixed room: Space-Saving (Metwally, Agrawal, El Abbadi:
// Efficient Computation of Frequent and Top-k Elements in Data Streams, 2005). A name without a counter
// takes over the lightest, weight included, and notes that weight as its possible error. A name with more
// than 1/`capacity` of the whole weight is always among the counters; weights are never too low.
//
// Weights are halved every five minutes, so that the list says what is heavy, not what was.

internal import Bytes

/// Not safe for several threads.
struct HeavyHitters {
  /// What is counted beside the weight.
  struct Tally {
    var count: UInt64 = 0
    var bytes: UInt64 = 0
    /// Counts by a number below `kinds`.
    var byKind = [UInt64](repeating: 0, count: Self.kinds)

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
  struct Entry {
    var name: [UInt8]
    var weight: UInt64
    /// How much of the weight may be others'.
    var error: UInt64
    var tally: Tally
  }

  static let capacity = 512
  private static let halfLife: Int64 = 300_000_000_000
  private static let nameLimit = 1_024

  private var entries: [Entry] = []
  /// Where the entry of a name's hash stands.
  private var places: [UInt64: Int] = [:]
  private var hashes: [UInt64] = []
  private var weights: [UInt64] = []
  private var lastHalved: Int64?

  /// Adds to a name's weight.
  ///
  /// - Parameters:
  ///   - name: may be empty, until it is known.
  ///   - hash: the name's, keyed with a secret.
  ///   - now: monotonic.
  mutating func record(
    _ name: ByteView, hash: UInt64, weight: UInt64, kind: Int, count: UInt64, bytes: UInt64,
    now: Int64
  ) {
    age(now)
    if let place = places[hash] {
      weights[place] = Tally.sum(weights[place], weight)
      if entries[place].name.isEmpty, !name.isEmpty {
        entries[place].name = name.prefix(Self.nameLimit).array
      }
      add(kind, count, bytes, at: place)
      return
    }
    let kept = name.prefix(Self.nameLimit).array
    guard entries.count == Self.capacity else {
      places[hash] = entries.count
      hashes.append(hash)
      weights.append(weight)
      entries.append(Entry(name: kept, weight: 0, error: 0, tally: Tally()))
      add(kind, count, bytes, at: entries.count - 1)
      return
    }
    var lightest = 0
    for place in weights.indices where weights[place] < weights[lightest] { lightest = place }
    places[hashes[lightest]] = nil
    places[hash] = lightest
    hashes[lightest] = hash
    entries[lightest] = Entry(
      name: kept, weight: 0, error: weights[lightest], tally: Tally())
    weights[lightest] = Tally.sum(weights[lightest], weight)
    add(kind, count, bytes, at: lightest)
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
    var keptWeights: [UInt64] = []
    for place in entries.indices where weights[place] > 1 {
      entries[place].tally.halve()
      entries[place].error /= 2
      kept.append(entries[place])
      keptHashes.append(hashes[place])
      keptWeights.append(weights[place] / 2)
    }
    entries = kept
    hashes = keptHashes
    weights = keptWeights
    places = [:]
    for (place, hash) in hashes.enumerated() { places[hash] = place }
  }

  /// All entries, with their weights, by the names' hashes.
  var all: [(hash: UInt64, entry: Entry)] {
    entries.indices.map { place in
      var entry = entries[place]
      entry.weight = weights[place]
      return (hashes[place], entry)
    }
  }
}
