// A bounded table of small states by key, laid out so that a look touches one cache line.
//
// Open addressing over places of 16 bytes of key and 16 of state. Two of them fill a cache line, and a
// key's home is a line, not a place: it is first looked for in both halves of its line, and only where
// both are taken by others in the next. At most three quarters full, it grows by two fifths at a time,
// so a key takes between 43 and 60 bytes.
//
// A place is free if the upper half of its key is 0. There are no markers for what was removed: the gap
// is closed by moving the keys behind it up.
//
// The memory is this table's own, aligned to lines, and every index is checked before it is used: that
// is what makes the pointer accesses here safe. Who leaves the table and when is its user's business.

internal import Bytes
internal import CLinux

/// A key, spread: SipHash's output is, but a caller's own number need not be.
struct BucketKey: Equatable {
  let low: UInt64
  /// Never 0, which marks a free place.
  let high: UInt64

  @inline(__always)
  init(_ hash: Hash128) {
    low = hash.low
    high = hash.high | 1
  }

  @inline(__always)
  init(low: UInt64, high: UInt64) {
    self.low = low
    self.high = high
  }

  /// Its top bits choose the line, bits 12 to 19 the stripe.
  @inline(__always)
  var spread: UInt64 { (low ^ (high &<< 32 | high &>> 32)) &* 0x9E37_79B9_7F4A_7C15 }
}

/// Two words, whose meaning is the table's user's.
struct KeyState: BitwiseCopyable {
  var first: UInt64 = 0
  var second: UInt64 = 0
}

/// See the top of this file.
@safe
struct KeyTable: ~Copyable, @unchecked Sendable {
  // Sendable because it has one owner, who alone writes through the pointer.
  private struct Place: BitwiseCopyable {
    var low: UInt64
    var high: UInt64
    var state: KeyState
  }

  private var places: UnsafeMutablePointer<Place>
  /// How many places there are; even.
  private(set) var size = 0
  /// How many keys there are.
  private(set) var count = 0
  /// The most keys.
  let capacity: Int
  private var hand = 0

  private static var alignment: Int { 64 }

  /// An empty table, without memory until the first key comes.
  init(capacity: Int) {
    self.capacity = capacity
    unsafe places = Self.allocate(0)
  }

  deinit { unsafe free(places) }

  private static func allocate(_ size: Int) -> UnsafeMutablePointer<Place> {
    let bytes = max(size, 2) * MemoryLayout<Place>.stride
    guard let memory = unsafe aligned_alloc(alignment, bytes) else {
      preconditionFailure("out of memory: \(bytes) bytes")
    }
    unsafe memset(memory, 0, bytes)
    return unsafe memory.bindMemory(to: Place.self, capacity: max(size, 2))
  }

  /// Bytes that the places take.
  var bytes: Int { size * MemoryLayout<Place>.stride }

  /// Where the places are, as a number, for prefetching without the lock.
  var address: UInt { unsafe UInt(bitPattern: places) }

  /// The place where a look for a key begins in a table of `size` places.
  @inline(__always)
  static func home(_ key: BucketKey, size: Int) -> Int {
    Int(truncatingIfNeeded: key.spread.multipliedFullWidth(by: UInt64(size) &>> 1).high) &<< 1
  }

  /// The place behind, going round at the end.
  @inline(__always)
  func next(_ index: Int) -> Int { index &+ 1 == size ? 0 : index &+ 1 }

  @inline(__always)
  private func check(_ index: Int) {
    precondition(index >= 0 && index < size, "no such place")
  }

  /// Whether nobody is there.
  @inline(__always)
  func isFree(_ index: Int) -> Bool {
    check(index)
    return unsafe places[index].high == 0
  }

  /// Who is there.
  func key(at index: Int) -> BucketKey {
    check(index)
    return unsafe BucketKey(low: places[index].low, high: places[index].high)
  }

  /// The state of the key that is there.
  subscript(index: Int) -> KeyState {
    @inline(__always) get {
      check(index)
      return unsafe places[index].state
    }
    @inline(__always) set {
      check(index)
      unsafe places[index].state = newValue
    }
  }

  /// Where a key is. Ends because a quarter of the places is free.
  @inline(__always)
  func find(_ key: BucketKey) -> Int? {
    guard size > 0 else { return nil }
    // Safe: a home is below the size, and so is what follows a place.
    var index = Self.home(key, size: size)
    while true {
      let high = unsafe places[index].high
      if high == key.high, unsafe places[index].low == key.low { return index }
      if high == 0 { return nil }
      index = next(index)
    }
  }

  /// Whether the next new key moves all places.
  var growsNext: Bool { (count + 1) * 4 > size * 3 }

  /// Whether so few keys are left that the table should be made smaller.
  var isSparse: Bool { size > 64 && count * 8 < size }

  /// Puts a key in that is not there; the caller has seen to it that there are fewer than `capacity`.
  mutating func insert(_ key: BucketKey, _ state: KeyState) {
    if growsNext { resize(to: max(8, size * 7 / 5 + 2)) }
    put(Place(low: key.low, high: key.high, state: state))
    count += 1
  }

  /// Makes the table as small as its keys allow.
  mutating func shrink() { resize(to: max(64, count * 2)) }

  private mutating func put(_ place: Place) {
    var index = Self.home(BucketKey(low: place.low, high: place.high), size: size)
    while !isFree(index) { index = next(index) }
    unsafe places[index] = place
  }

  private mutating func resize(to wanted: Int) {
    let (old, oldSize) = unsafe (places, size)
    size = wanted & ~1
    unsafe places = Self.allocate(size)
    // Safe: the old memory holds as many places as it was made for.
    for index in 0..<oldSize where unsafe old[index].high != 0 { put(unsafe old[index]) }
    unsafe free(old)
    hand = 0
  }

  /// Frees a place and closes the gap.
  mutating func remove(_ index: Int) {
    check(index)
    var gap = index
    var candidate = next(index)
    while !isFree(candidate) {
      let home = Self.home(key(at: candidate), size: size)
      if distance(from: home, to: candidate) >= distance(from: gap, to: candidate) {
        unsafe places[gap] = places[candidate]
        gap = candidate
      }
      candidate = next(candidate)
    }
    unsafe places[gap] = Place(low: 0, high: 0, state: KeyState())
    count -= 1
  }

  private func distance(from: Int, to: Int) -> Int { to >= from ? to - from : to - from + size }

  /// The place under the hand that goes round, or nil in an empty table.
  func underHand() -> Int? { size > 0 ? (hand < size ? hand : 0) : nil }

  /// Moves the hand on.
  mutating func moveHand() { hand = hand + 1 < size ? hand + 1 : 0 }

  /// Takes out what `isIdle` says of the next few places under the hand.
  mutating func sweep(_ isIdle: (KeyState) -> Bool) {
    guard count > 0 else { return }
    for _ in 0..<Self.sweepLength {
      guard let index = underHand() else { return }
      // What moves into a gap has its turn next.
      if !isFree(index), isIdle(self[index]) { remove(index) } else { moveHand() }
    }
    if isSparse { shrink() }
  }

  /// Places that a newcomer looks at for idle keys.
  static var sweepLength: Int { 8 }
}
