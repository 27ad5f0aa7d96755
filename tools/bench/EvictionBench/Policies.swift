// The policies. All have the same space in bytes, count an object as its content and what a record costs
// beside it, and cannot hold an object larger than half of the space.
//
// What a policy costs a store that only appends (records are evicted in the order of their ids, and a
// survivor is appended again) is counted as bytes copied: contents of up to 16 KiB stand in the record
// and move with it, larger ones do not.

import Bytes
import ObjectStore

/// What a run has come to.
struct Outcome {
  var requests = 0
  var misses = 0
  var bytes = 0
  var missedBytes = 0
  /// Bytes of objects stored, and of survivors copied.
  var storedBytes = 0
  var copiedBytes = 0
}

/// A policy at work on one trace.
class Policy {
  let capacity: Int
  let sizes: [Int32]
  var outcome = Outcome()

  init(capacity: Int, sizes: [Int32]) {
    self.capacity = capacity
    self.sizes = sizes
  }

  /// Bytes that an object takes in the store.
  static func cost(_ size: Int) -> Int { size + 600 }
  func cost(_ object: Int) -> Int { Self.cost(Int(sizes[object])) }
  func noteCopy(_ object: Int) {
    let size = Int(sizes[object])
    outcome.copiedBytes += 600 + (size <= ObjectStore.inlineLimit ? size : 0)
  }

  /// Whether an object is there; if so that counts as a use.
  func find(_ object: Int) -> Bool { false }
  /// Stores an object that was not there.
  func insert(_ object: Int) {}

  final func run(_ trace: Trace) -> Outcome {
    for request in trace.requests {
      let object = Int(request.object)
      outcome.requests += 1
      outcome.bytes += Int(request.size)
      if find(object) { continue }
      outcome.misses += 1
      outcome.missedBytes += Int(request.size)
      guard cost(object) <= capacity / 2 else { continue }
      outcome.storedBytes += cost(object)
      insert(object)
    }
    return outcome
  }
}

/// A list of objects, each in it at most once, with their bytes.
struct ObjectList {
  private var next: [Int32]
  private var previous: [Int32]
  private(set) var first: Int32 = -1
  private(set) var last: Int32 = -1
  private(set) var bytes = 0
  private(set) var count = 0

  init(objects: Int) {
    next = [Int32](repeating: -1, count: objects)
    previous = next
  }

  mutating func append(_ object: Int, _ cost: Int) {
    let place = Int32(object)
    previous[object] = last
    next[object] = -1
    if last >= 0 { next[Int(last)] = place } else { first = place }
    last = place
    bytes += cost
    count += 1
  }

  mutating func remove(_ object: Int, _ cost: Int) {
    let (before, after) = (previous[object], next[object])
    if before >= 0 { next[Int(before)] = after } else { first = after }
    if after >= 0 { previous[Int(after)] = before } else { last = before }
    bytes -= cost
    count -= 1
  }

  /// The one after it, or the first.
  func following(_ object: Int32) -> Int32 {
    let after = object >= 0 ? next[Int(object)] : -1
    return after >= 0 ? after : first
  }
  func successor(_ object: Int32) -> Int32 { next[Int(object)] }
}

/// Least recently used goes first. Every hit moves an object to the end, which an appending store would
/// have to write.
final class LRU: Policy {
  private var list: ObjectList
  private var isThere: [Bool]

  override init(capacity: Int, sizes: [Int32]) {
    list = ObjectList(objects: sizes.count)
    isThere = [Bool](repeating: false, count: sizes.count)
    super.init(capacity: capacity, sizes: sizes)
  }

  override func find(_ object: Int) -> Bool {
    guard isThere[object] else { return false }
    list.remove(object, cost(object))
    list.append(object, cost(object))
    noteCopy(object)
    return true
  }

  override func insert(_ object: Int) {
    while list.bytes + cost(object) > capacity, list.first >= 0 {
      let victim = Int(list.first)
      isThere[victim] = false
      list.remove(victim, cost(victim))
    }
    isThere[object] = true
    list.append(object, cost(object))
  }
}

/// SIEVE (Zhang et al., NSDI 2024): a hand goes from the oldest to the newest object, spares those that
/// were used since it last came by, and takes the first that was not. A store that evicts in order would
/// copy what is spared.
final class SIEVE: Policy {
  private var list: ObjectList
  private var isThere: [Bool]
  private var isUsed: [Bool]
  private var hand: Int32 = -1

  override init(capacity: Int, sizes: [Int32]) {
    list = ObjectList(objects: sizes.count)
    isThere = [Bool](repeating: false, count: sizes.count)
    isUsed = isThere
    super.init(capacity: capacity, sizes: sizes)
  }

  override func find(_ object: Int) -> Bool {
    guard isThere[object] else { return false }
    isUsed[object] = true
    return true
  }

  override func insert(_ object: Int) {
    while list.bytes + cost(object) > capacity, list.count > 0 { evict() }
    isThere[object] = true
    isUsed[object] = false
    list.append(object, cost(object))
  }

  private func evict() {
    var place = hand >= 0 ? hand : list.first
    while isUsed[Int(place)] {
      isUsed[Int(place)] = false
      noteCopy(Int(place))
      place = list.following(place)
    }
    hand = list.successor(place)
    isThere[Int(place)] = false
    list.remove(Int(place), cost(Int(place)))
  }
}

/// S3-FIFO as the server has it: its decisions (`EvictionPolicy`) and its ghosts.
final class S3FIFO: Policy {
  private var small: ObjectList
  private var main: ObjectList
  /// 0: not there, 1: small, 2: main.
  private var place: [UInt8]
  private var uses: [UInt8]
  private var ghosts = GhostSet()
  private let sip = SipHash(key: Hash128(low: 1, high: 2))

  override init(capacity: Int, sizes: [Int32]) {
    small = ObjectList(objects: sizes.count)
    main = small
    place = [UInt8](repeating: 0, count: sizes.count)
    uses = place
    super.init(capacity: capacity, sizes: sizes)
  }

  private func hash(_ object: Int) -> Hash128 { sip.hash(UInt64(object), 0) }

  override func find(_ object: Int) -> Bool {
    guard place[object] != 0 else { return false }
    uses[object] = min(uses[object] + 1, UInt8(EvictionPolicy.useLimit))
    return true
  }

  override func insert(_ object: Int) {
    while small.bytes + main.bytes + cost(object) > capacity, small.count + main.count > 0 {
      evict()
    }
    uses[object] = 0
    if ghosts.remove(hash(object)) {
      place[object] = 2
      main.append(object, cost(object))
    } else {
      place[object] = 1
      small.append(object, cost(object))
    }
    ghosts.fit(objects: small.count + main.count)
  }

  private func evict() {
    for moved in 0...64 {
      let isSmall =
        main.count == 0
        || small.count > 0 && EvictionPolicy.takesFromSmall(small.bytes, of: capacity)
      let object = Int(isSmall ? small.first : main.first)
      if isSmall {
        small.remove(object, cost(object))
      } else {
        main.remove(object, cost(object))
      }
      if moved < 64 && EvictionPolicy.stays(uses: UInt64(uses[object]), inSmall: isSmall) {
        uses[object] = UInt8(
          EvictionPolicy.uses(afterMove: UInt64(uses[object]), fromSmall: isSmall))
        place[object] = 2
        main.append(object, cost(object))
        noteCopy(object)
        continue
      }
      place[object] = 0
      if isSmall { ghosts.insert(hash(object)) }
      return
    }
  }
}

/// W-TinyLFU (Einziger et al., 2017) with admission by aggregated victims (Einziger et al., 2021): what
/// falls out of a small window comes in if it is asked for more often than all together that would have
/// to go for it. A window of 1 %, the rest in two segments, the protected one of 80 %.
final class WTinyLFU: Policy {
  private var window: ObjectList
  private var probation: ObjectList
  private var protected: ObjectList
  /// 0: not there, 1: window, 2: probation, 3: protected.
  private var place: [UInt8]
  private var sketch: Sketch
  private let windowLimit: Int
  private let protectedLimit: Int

  override init(capacity: Int, sizes: [Int32]) {
    windowLimit = capacity / 100
    protectedLimit = (capacity - capacity / 100) / 5 * 4
    let mean = max(sizes.reduce(0) { $0 + Policy.cost(Int($1)) } / max(sizes.count, 1), 1)
    sketch = Sketch(objects: capacity / mean)
    window = ObjectList(objects: sizes.count)
    probation = window
    protected = window
    place = [UInt8](repeating: 0, count: sizes.count)
    super.init(capacity: capacity, sizes: sizes)
  }

  override func find(_ object: Int) -> Bool {
    sketch.add(object)
    let cost = cost(object)
    switch place[object] {
    case 1:
      window.remove(object, cost)
      window.append(object, cost)
    case 2:
      probation.remove(object, cost)
      protected.append(object, cost)
      place[object] = 3
      while protected.bytes > protectedLimit {
        let other = Int(protected.first)
        protected.remove(other, self.cost(other))
        probation.append(other, self.cost(other))
        place[other] = 2
        noteCopy(other)
      }
    case 3:
      protected.remove(object, cost)
      protected.append(object, cost)
    default: return false
    }
    noteCopy(object)
    return true
  }

  override func insert(_ object: Int) {
    window.append(object, cost(object))
    place[object] = 1
    while window.bytes > windowLimit, window.first >= 0 {
      let candidate = Int(window.first)
      window.remove(candidate, cost(candidate))
      place[candidate] = 0
      admit(candidate)
    }
  }

  private func admit(_ candidate: Int) {
    let limit = capacity - windowLimit
    let needed = probation.bytes + protected.bytes + cost(candidate) - limit
    var victims: [Int] = []
    var freed = 0
    var frequency = 0
    var next = probation.first
    var fromProtected = false
    let own = sketch.count(candidate)
    while freed < needed {
      if next < 0 && !fromProtected {
        fromProtected = true
        next = protected.first
      }
      if next < 0 { return }
      victims.append(Int(next))
      freed += cost(Int(next))
      frequency += sketch.count(Int(next))
      if frequency >= own { return }
      next = fromProtected ? protected.successor(next) : probation.successor(next)
    }
    for victim in victims {
      if place[victim] == 3 {
        protected.remove(victim, cost(victim))
      } else {
        probation.remove(victim, cost(victim))
      }
      place[victim] = 0
    }
    place[candidate] = 2
    probation.append(candidate, cost(candidate))
    noteCopy(candidate)
  }

  /// A count-min sketch of counters up to 15, halved after ten times as many additions as objects.
  private struct Sketch {
    private var counters: [UInt8]
    private var additions = 0
    private let period: Int
    private let mask: Int

    init(objects: Int) {
      var size = 1_024
      while size < objects * 2 { size *= 2 }
      counters = [UInt8](repeating: 0, count: 4 * size)
      mask = size - 1
      period = max(objects, 512) * 10
    }

    private static let seeds: [UInt64] = [
      0x9E37_79B9_7F4A_7C15, 0xBF58_476D_1CE4_E5B9, 0x94D0_49BB_1331_11EB, 0xD6E8_FEB8_6659_FD93,
    ]

    private func place(_ object: Int, _ row: Int) -> Int {
      let word = (UInt64(object) &+ 1) &* Self.seeds[row]
      return row * (mask + 1) + (Int(truncatingIfNeeded: (word ^ word &>> 29) &>> 20) & mask)
    }

    mutating func add(_ object: Int) {
      for row in 0..<4 {
        let place = place(object, row)
        counters[place] = min(counters[place] + 1, 15)
      }
      additions += 1
      guard additions == period else { return }
      for place in counters.indices { counters[place] /= 2 }
      additions /= 2
    }

    func count(_ object: Int) -> Int {
      (0..<4).reduce(15) { min($0, Int(counters[place(object, $1)])) }
    }
  }
}
