// The lines of requests that wait at leaky buckets: for each key a first-in, first-out list.
//
// A place in a line is (worker, request) in one slab for the whole stripe, linked both ways, so that a
// client that leaves frees its place at once and those behind have moved up by that alone: only the
// first of a line has a time, the others only know how many stand before them. Places are named (index,
// generation), so that a name that is out of date reaches nobody.

/// The slab and its lines; under the stripe's lock.
struct WaitingLines: ~Copyable {
  private struct Waiting {
    var worker: UInt32 = 0
    var line: UInt32 = 0
    var request: UInt64 = 0
    /// Tokens that it takes along.
    var cost: UInt64 = 0
    /// 0 is nobody: names count from 1.
    var ahead: UInt32 = 0
    var behind: UInt32 = 0
    var generation: UInt32 = 0
  }

  private struct Line {
    var key: BucketKey?
    var first: UInt32 = 0
    var last: UInt32 = 0
    var count: UInt32 = 0
    /// The next line that is free, or the price of all that wait here, in tokens.
    var tokens: UInt64 = 0
  }

  /// A request that waits, as its line knows it.
  struct Occupant {
    var worker: UInt32
    var request: UInt64
    var place: UInt32
    var generation: UInt32
    var cost: UInt64
  }

  private var waiting: [Waiting] = []
  private var lines: [Line] = []
  private var freePlaces: [UInt32] = []
  private var freeLines: [UInt32] = []
  /// How many requests wait, in all lines.
  private(set) var count = 0

  /// Lines that a bucket's state has room to name.
  static var lineLimit: Int { 1 << 23 - 1 }

  /// A line for a key (nil: for all that have none of their own); nil if there are too many.
  mutating func open(for key: BucketKey?) -> UInt32? {
    if let number = freeLines.popLast() {
      lines[Int(number) - 1] = Line(key: key)
      return number
    }
    guard lines.count < Self.lineLimit else { return nil }
    lines.append(Line(key: key))
    return UInt32(lines.count)
  }

  /// Gives an empty line back.
  mutating func close(_ number: UInt32) { freeLines.append(number) }

  /// How many wait in a line; none in line 0.
  func length(of number: UInt32) -> UInt32 { number == 0 ? 0 : lines[Int(number) - 1].count }

  /// What they take along, in tokens.
  func tokens(in number: UInt32) -> UInt64 { number == 0 ? 0 : lines[Int(number) - 1].tokens }

  /// Whose line it is; nil is the one that many share.
  func key(of number: UInt32) -> BucketKey? { lines[Int(number) - 1].key }

  /// Puts a request at the end of a line.
  mutating func append(to number: UInt32, worker: UInt32, request: UInt64, cost: UInt64) -> Occupant
  {
    let place: UInt32
    if let free = freePlaces.popLast() {
      place = free
    } else {
      waiting.append(Waiting())
      place = UInt32(truncatingIfNeeded: waiting.count)
    }
    let index = Int(place) - 1
    let last = lines[Int(number) - 1].last
    waiting[index].worker = worker
    waiting[index].line = number
    waiting[index].request = request
    waiting[index].cost = cost
    waiting[index].ahead = last
    waiting[index].behind = 0
    if last == 0 {
      lines[Int(number) - 1].first = place
    } else {
      waiting[Int(last) - 1].behind = place
    }
    lines[Int(number) - 1].last = place
    lines[Int(number) - 1].count += 1
    lines[Int(number) - 1].tokens &+= cost
    count += 1
    return occupant(at: place)
  }

  private func occupant(at place: UInt32) -> Occupant {
    let entry = waiting[Int(place) - 1]
    return Occupant(
      worker: entry.worker, request: entry.request, place: place, generation: entry.generation,
      cost: entry.cost)
  }

  /// The line that a place is in, and whether it is the first; nil if the name is out of date.
  func find(_ place: UInt32, _ generation: UInt32) -> (line: UInt32, isFirst: Bool)? {
    guard place > 0, place <= waiting.count else { return nil }
    let entry = waiting[Int(place) - 1]
    guard entry.generation == generation, entry.line > 0 else { return nil }
    return (entry.line, entry.ahead == 0)
  }

  /// The first of a line.
  func first(of number: UInt32) -> Occupant? {
    let place = number == 0 ? 0 : lines[Int(number) - 1].first
    return place == 0 ? nil : occupant(at: place)
  }

  /// Takes a request out of its line.
  mutating func remove(_ place: UInt32) {
    let index = Int(place) - 1
    let entry = waiting[index]
    let line = Int(entry.line) - 1
    if entry.ahead == 0 {
      lines[line].first = entry.behind
    } else {
      waiting[Int(entry.ahead) - 1].behind = entry.behind
    }
    if entry.behind == 0 {
      lines[line].last = entry.ahead
    } else {
      waiting[Int(entry.behind) - 1].ahead = entry.ahead
    }
    lines[line].count -= 1
    lines[line].tokens &-= entry.cost
    waiting[index].line = 0
    waiting[index].generation &+= 1
    freePlaces.append(place)
    count -= 1
  }

  /// Calls `body` with the number of each line in which somebody waits.
  func forEachLine(_ body: (UInt32) -> Void) {
    for index in lines.indices where lines[index].count > 0 { body(UInt32(index + 1)) }
  }
}
