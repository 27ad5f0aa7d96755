// One stripe of a quota: what each key has used in its window.
//
//   state   calendar: the window's number · what was used in it
//           rolling: 32 bits the number of the last part used · four counts of 24 bits, the latest first
//
// A key whose windows are over says nothing and leaves when newcomers need its place. The rest is as
// with buckets: one for whom there is no place uses the stripe's overflow state, with all others in that
// position, and a newcomer that gets a place begins where that stands.
//
// Time is the wall clock's, since a quota survives a restart. When it goes back by one window, a count
// stays in its later window and goes on there; when it goes back further, the clock is believed and the
// count taken along. Either way nothing that was used is forgotten.

internal import Bytes

/// See the top of this file.
struct QuotaTable: ~Copyable {
  var keys: KeyTable
  var overflow = KeyState()
  var tally = LimitTally()
  let window: QuotaWindow

  init(capacity: Int, window: QuotaWindow) {
    keys = KeyTable(capacity: capacity)
    self.window = window
  }

  /// The most that a rolling window's counts hold.
  static var rollingLimit: UInt64 { 1 << 24 - 1 }

  /// Where a key's state is.
  enum Spot {
    case place(Int)
    case newcomer
    case overflow
  }

  /// What a key has used, brought up to a time.
  struct Usage {
    var spot: Spot
    var state: KeyState
    var used: UInt64

    /// The window, or part of one, that is charged.
    var number: UInt32 { UInt32(truncatingIfNeeded: state.first) }
  }

  /// What a key has used in the window that ends with, or contains, window number `number`.
  mutating func usage(of key: BucketKey, number: UInt32) -> Usage {
    if let index = keys.find(key) {
      let state = Self.moved(keys[index], to: number, window)
      return Usage(spot: .place(index), state: state, used: Self.used(state, window))
    }
    let window = window
    keys.sweep { Self.isIdle($0, at: number, window) }
    let state = Self.moved(overflow, to: number, window)
    return Usage(
      spot: keys.count < keys.capacity ? .newcomer : .overflow, state: state,
      used: Self.used(state, window))
  }

  /// Notes `cost` as used.
  mutating func spend(_ cost: UInt64, _ usage: Usage, _ key: BucketKey) {
    store(Self.adding(cost, to: usage.state, window), at: usage.spot, key)
  }

  /// Gives `cost` back that was used in a window, or part of one, if that still counts.
  mutating func refund(
    _ cost: UInt64, _ key: BucketKey, takenIn former: UInt32, isOverflow: Bool, number: UInt32
  ) {
    if isOverflow {
      overflow = Self.without(cost, former, Self.moved(overflow, to: number, window), window)
    } else if let index = keys.find(key) {
      keys[index] = Self.without(
        cost, former, Self.moved(keys[index], to: number, window), window)
    }
  }

  private static func without(
    _ cost: UInt64, _ former: UInt32, _ state: KeyState, _ window: QuotaWindow
  ) -> KeyState {
    if window.isRolling {
      var counts = RollingCounts(state)
      counts.subtract(cost, takenIn: former)
      return counts.state
    }
    guard UInt32(truncatingIfNeeded: state.first) == former else { return state }
    return KeyState(first: state.first, second: state.second > cost ? state.second - cost : 0)
  }

  private mutating func store(_ state: KeyState, at spot: Spot, _ key: BucketKey) {
    switch spot {
    case .place(let index): keys[index] = state
    case .newcomer: keys.insert(key, state)
    case .overflow: overflow = state
    }
  }

  /// Adds what a snapshot says about a key to what is known. For one that has no place any more the
  /// overflow state is at least as full.
  mutating func merge(_ key: BucketKey, _ state: KeyState, number: UInt32) {
    let saved = Self.moved(state, to: number, window)
    guard Self.used(saved, window) > 0 else { return }
    let present = usage(of: key, number: number)
    switch present.spot {
    case .place: store(Self.sum(present.state, saved, window), at: present.spot, key)
    case .newcomer: store(saved, at: .newcomer, key)
    case .overflow: overflow = Self.fuller(overflow, saved, number: number, window)
    }
  }

  /// Has the overflow state be at least as full as a snapshot says.
  mutating func merge(overflow state: KeyState, number: UInt32) {
    overflow = Self.fuller(overflow, state, number: number, window)
  }

  // MARK: States

  /// A state as it is in a window that may be later.
  static func moved(_ state: KeyState, to number: UInt32, _ window: QuotaWindow) -> KeyState {
    if window.isRolling {
      var counts = RollingCounts(state)
      counts.move(to: number)
      return counts.state
    }
    let last = UInt32(truncatingIfNeeded: state.first)
    if last < number { return KeyState(first: UInt64(number), second: 0) }
    // One ahead is a clock that was set; more than that is no clock to wait for.
    return last - number > 1 ? KeyState(first: UInt64(number), second: state.second) : state
  }

  static func used(_ state: KeyState, _ window: QuotaWindow) -> UInt64 {
    window.isRolling ? RollingCounts(state).total : state.second
  }

  static func adding(_ cost: UInt64, to state: KeyState, _ window: QuotaWindow) -> KeyState {
    if window.isRolling {
      var counts = RollingCounts(state)
      counts.add(cost)
      return counts.state
    }
    let (sum, overflow) = state.second.addingReportingOverflow(cost)
    return KeyState(first: state.first, second: overflow ? .max : sum)
  }

  private static func sum(_ left: KeyState, _ right: KeyState, _ window: QuotaWindow) -> KeyState {
    guard window.isRolling else { return adding(right.second, to: left, window) }
    var (counts, other) = (RollingCounts(left), RollingCounts(right))
    // Both as of the later part.
    counts.move(to: other.number)
    other.move(to: counts.number)
    for part in 0...QuotaWindow.parts { counts.add(other[part], to: part) }
    return counts.state
  }

  /// A state that is at least as full as each of two.
  static func fuller(
    _ left: KeyState, _ right: KeyState, number: UInt32, _ window: QuotaWindow
  ) -> KeyState {
    let (left, right) = (moved(left, to: number, window), moved(right, to: number, window))
    guard window.isRolling else { return used(left, window) < used(right, window) ? right : left }
    var (counts, other) = (RollingCounts(left), RollingCounts(right))
    counts.move(to: other.number)
    other.move(to: counts.number)
    for part in 0...QuotaWindow.parts { counts[part] = max(counts[part], other[part]) }
    return counts.state
  }

  private static func isIdle(_ state: KeyState, at number: UInt32, _ window: QuotaWindow) -> Bool {
    used(moved(state, to: number, window), window) == 0
  }
}

/// The counts of a rolling window's parts; part 0 is the latest.
struct RollingCounts {
  private(set) var number: UInt32
  private var bits: UInt128

  init(_ state: KeyState) {
    number = UInt32(truncatingIfNeeded: state.first)
    bits = UInt128(state.second) << 32 | UInt128(state.first >> 32)
  }

  var state: KeyState {
    KeyState(
      first: UInt64(number) | UInt64(truncatingIfNeeded: bits) << 32,
      second: UInt64(truncatingIfNeeded: bits >> 32))
  }

  private static var mask: UInt128 { 1 << 24 - 1 }

  /// What was used in a part.
  subscript(part: Int) -> UInt64 {
    get { UInt64(truncatingIfNeeded: bits >> UInt128(24 * part) & Self.mask) }
    set {
      let value = UInt128(min(newValue, QuotaTable.rollingLimit))
      let shift = UInt128(24 * part)
      bits = bits & ~(Self.mask << shift) | value << shift
    }
  }

  /// What was used in all.
  var total: UInt64 { self[0] + self[1] + self[2] + self[3] }

  /// Brings the counts up to a part; see the top of this file for one that lies before.
  mutating func move(to number: UInt32) {
    if number >= self.number {
      let steps = number - self.number
      bits = steps > 3 ? 0 : bits << UInt128(24 * steps) & (1 << 96 - 1)
      self.number = number
    } else if self.number - number > 1 {
      self.number = number
    }
  }

  mutating func add(_ cost: UInt64, to part: Int = 0) {
    let (sum, overflow) = self[part].addingReportingOverflow(cost)
    self[part] = overflow ? .max : sum
  }

  /// Takes from the part of a number, if that still counts.
  mutating func subtract(_ cost: UInt64, takenIn former: UInt32) {
    guard former <= number, number - former <= UInt32(QuotaWindow.parts) else { return }
    let part = Int(number - former)
    self[part] -= min(cost, self[part])
  }
}
