// The heaviest keys of a limit, with their names.
//
// The algorithm is Space-Saving (Metwally, Agrawal, El Abbadi: Efficient Computation of Frequent and
// Top-k Elements in Data Streams, 2005): a fixed number of counters; a key without one takes over the
// lightest, weight included, and notes that weight as its possible error. A key with more than 1/256 of
// the whole weight is always among the counters, and no weight is ever too low. Names live here alone,
// one for each counter, cut at `nameLimit`; a million other keys cost nothing.
//
// Weights are halved each minute, so that the list says who is heavy, not who was.

package import Bytes

/// See the top of this file. Not safe for several threads.
package struct HeaviestKeys: Sendable {
  /// A key on the list.
  package struct Entry: Sendable, Equatable {
    /// Its hash, by which it is forgiven.
    package let key: Hash128
    /// Its name, as it was noted, cut at 96 bytes.
    package let name: [UInt8]
    /// What it has spent or tried to spend lately, at most: halved each minute.
    package let weight: UInt64
    /// How much of the weight may be others'.
    package let error: UInt64
    /// How much of the weight was refused.
    package let refused: UInt64
  }

  private struct Counter {
    var key: Hash128
    var weight: UInt64
    var error: UInt64
    var refused: UInt64
    var nameLength: UInt8
  }

  private static var limit: Int { 256 }
  private static var nameLimit: Int { 96 }
  private static var halfLife: Int64 { 60_000_000_000 }

  private var counters: [Counter] = []
  private var names: [UInt8] = []
  private var lastHalved: Int64?

  /// Nobody. Memory (36 KiB in all) is taken when the first key comes.
  package init() {}

  /// Adds to a key's weight.
  package mutating func record(
    _ key: Hash128, name: ByteView, cost: UInt64, isRefused: Bool, now: Int64
  ) {
    age(now)
    var lightest = 0
    var least = UInt64.max
    for index in counters.indices {
      if counters[index].key.low == key.low, counters[index].key.high == key.high {
        counters[index].weight = Self.sum(counters[index].weight, cost)
        if isRefused { counters[index].refused = Self.sum(counters[index].refused, cost) }
        return
      }
      if counters[index].weight < least { (least, lightest) = (counters[index].weight, index) }
    }
    let isNew = counters.count < Self.limit
    let error = isNew ? 0 : least
    let counter = Counter(
      key: key, weight: Self.sum(error, cost), error: error, refused: isRefused ? cost : 0,
      nameLength: UInt8(min(name.count, Self.nameLimit)))
    if isNew {
      reserve()
      lightest = counters.count
      counters.append(counter)
    } else {
      counters[lightest] = counter
    }
    let start = lightest * Self.nameLimit
    for index in 0..<Int(counter.nameLength) { names[start + index] = name[index] }
  }

  /// The heaviest, heaviest first.
  package mutating func top(_ wanted: Int, now: Int64) -> [Entry] {
    age(now)
    let order = counters.indices.filter { counters[$0].weight > 0 }
      .sorted { counters[$0].weight > counters[$1].weight }
    return order.prefix(max(wanted, 0)).map { index in
      let counter = counters[index]
      let start = index * Self.nameLimit
      return Entry(
        key: counter.key, name: Array(names[start..<start + Int(counter.nameLength)]),
        weight: counter.weight, error: counter.error, refused: counter.refused)
    }
  }

  /// Takes a key off the list; whether it was on it.
  package mutating func remove(_ key: Hash128) -> Bool {
    guard let index = counters.firstIndex(where: { $0.key == key }) else { return false }
    let last = counters.count - 1
    for byte in 0..<Self.nameLimit {
      names[index * Self.nameLimit + byte] = names[last * Self.nameLimit + byte]
    }
    counters.swapAt(index, last)
    counters.removeLast()
    return true
  }

  private mutating func reserve() {
    guard names.isEmpty else { return }
    counters.reserveCapacity(Self.limit)
    names = Array(repeating: 0, count: Self.limit * Self.nameLimit)
  }

  /// Halves all weights for each minute that has passed.
  private mutating func age(_ now: Int64) {
    guard let last = lastHalved, now >= last else {
      lastHalved = now
      return
    }
    let passed = now.subtractingReportingOverflow(last)
    let minutes = passed.overflow ? 64 : passed.partialValue / Self.halfLife
    guard minutes > 0 else { return }
    lastHalved = now
    let shift = UInt64(min(minutes, 63))
    for index in counters.indices {
      counters[index].weight >>= shift
      counters[index].error >>= shift
      counters[index].refused >>= shift
    }
  }

  private static func sum(_ left: UInt64, _ right: UInt64) -> UInt64 {
    let (sum, overflow) = left.addingReportingOverflow(right)
    return overflow ? .max : sum
  }
}
