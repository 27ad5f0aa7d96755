// What a worker needs to run rules, made once: registers, room for the texts that rules make, and the
// lists of what they decide. A run allocates nothing. What it leaves here is good until the next run, or
// until the turn ends, whichever is first: the texts are views into the request, the program's constants
// and the room for texts.

package import Bytes
package import GeoDatabase
package import HTTPMessage
internal import RegularExpressions

/// What the rules of a request came to.
package enum RuleOutcome: Equatable, Sendable {
  /// Nothing ended the request: it goes on, changed as the scratch says.
  case proceed
  /// The node answers with `status`, `body` and `responseFields`.
  case respond
  /// The node answers with `status`, `Location: location` and `responseFields`.
  case redirect
  /// A rule could not be carried out; the request is answered with the failure's status.
  case failed(RuleFailure)
}

/// Why a rule could not be carried out.
package enum RuleFailure: Equatable, Sendable {
  /// The texts that the rules make of this request are too long, or too many.
  case tooLarge
  /// A text with control characters was to become a field.
  case badField
  /// A rewritten path does not begin with a slash, or has segments that lead up.
  case badPath
  /// A regular expression took more steps than it may.
  case patternExhausted

  /// The status that the request is answered with.
  package var status: UInt16 {
    switch self {
    case .tooLarge: 431
    case .badField, .badPath: 400
    case .patternExhausted: 500
    }
  }

  /// What happened, for the log.
  package var text: StaticString {
    switch self {
    case .tooLarge: "rules: the texts made of this request are too large"
    case .badField: "rules: a field would have control characters"
    case .badPath: "rules: a rewritten path is not a path"
    case .patternExhausted: "rules: a regular expression took too many steps"
    }
  }
}

/// A change of a field.
@usableFromInline package struct RuleEdit: Sendable {
  /// What happens to the field.
  @usableFromInline package enum Kind: UInt8, Sendable {
    /// All lines of the name are replaced by one.
    case set
    /// All lines of the name are removed.
    case unset
    /// A line is added.
    case add
  }
  /// What happens.
  package var kind: Kind
  /// Which known name it is.
  package var known: KnownField
  /// The name in lower case.
  package var name: ByteView
  /// The value, fit to be one; empty for `unset`.
  package var value: ByteView
}

/// A field of the log.
@usableFromInline package struct RuleLogField: Sendable {
  /// Its name: letters, digits and `_`.
  package var name: ByteView
  /// Its value, as rules made it: any bytes.
  package var value: ByteView
}

/// Values of a run, in order; at most as many as there is room for.
@safe
@usableFromInline package struct RuleList<Element>: ~Copyable {
  @usableFromInline let storage: UnsafeMutablePointer<Element>
  @usableFromInline let capacity: Int
  /// How many there are.
  @usableFromInline package internal(set) var count = 0

  @usableFromInline init(capacity: Int) {
    unsafe storage = .allocate(capacity: capacity)
    self.capacity = capacity
  }

  deinit { unsafe storage.deallocate() }

  /// The value at `index`, which must be below `count`.
  @inlinable package subscript(index: Int) -> Element {
    precondition(index >= 0 && index < count, "index out of the list")
    return unsafe storage[index]  // Below `count`, just checked.
  }

  /// Adds a value; false if there is no room.
  @inline(__always)
  mutating func append(_ element: Element) -> Bool {
    guard count < capacity else { return false }
    unsafe (storage + count).initialize(to: element)
    count &+= 1
    return true
  }

  mutating func removeAll() { count = 0 }

  /// Puts a value in place of the one at `index`, which must be below `count`. For trivial values.
  mutating func replace(_ element: Element, at index: Int) {
    precondition(index >= 0 && index < count, "index out of the list")
    unsafe storage[index] = element  // Below `count`, just checked.
  }
}

/// A register: a text's address and length, a number, or an address.
@safe
struct RuleValue {
  var low: UInt64
  var high: UInt64

  /// What no text has set: as a text not there, as a number 0, as a boolean false.
  static var nothing: RuleValue { RuleValue(low: 0, high: 0) }

  @inline(__always) init(low: UInt64, high: UInt64) {
    self.low = low
    self.high = high
  }

  @inline(__always) init(_ text: ByteView) {
    // An empty view has an address as well: it is there.
    unsafe low = UInt64(UInt(bitPattern: text.baseAddress))
    high = UInt64(truncatingIfNeeded: text.count)
  }

  @inline(__always) init(_ text: ByteView?) {
    if let text { self.init(text) } else { self.init(low: 0, high: 0) }
  }

  @inline(__always) init(_ value: Int64) {
    low = UInt64(bitPattern: value)
    high = 0
  }

  @inline(__always) init(_ value: Bool) {
    low = value ? 1 : 0
    high = 0
  }

  @inline(__always) init(_ address: IPAddress) {
    low = address.low
    high = address.high
  }

  @inline(__always) var isThere: Bool { low != 0 }
  @inline(__always) var isTrue: Bool { low != 0 }
  @inline(__always) var integer: Int64 { Int64(bitPattern: low) }
  @inline(__always) var address: IPAddress { IPAddress(high: high, low: low) }

  @inline(__always) var text: ByteView {
    // The checker gives a register one type, so that this was written by `init(_: ByteView)`, or is 0.
    guard let start = unsafe UnsafeRawPointer(bitPattern: UInt(low)) else { return ByteView() }
    return unsafe ByteView(unsafeStart: start, count: Int(truncatingIfNeeded: high))
  }
}

/// What edits have made of a field that rules also read.
struct Overlay {
  enum State: UInt8 { case asSent, replaced, removed }
  var state: State
  var value: RuleValue
}

/// A worker's room for running rules; see the top of this file.
@safe
package final class RuleScratch {
  static let overlayCount = 64

  let registers: UnsafeMutablePointer<RuleValue>
  let overlays: UnsafeMutablePointer<Overlay>
  let room: UnsafeMutablePointer<UInt8>
  let capacity: Int
  var used = 0
  var textStart = 0
  /// Which of the kept registers are filled.
  var filled: UInt64 = 0
  /// Whether an overlay is in use.
  var hasOverlays = false
  let matcher = RegularExpressionMatcher()
  var digits = ByteBuffer(capacity: 64)
  var place = GeoPlace()
  var hasPlace = false

  /// Where `geo.*` comes from; nil: nothing is known. Replaced by the worker between turns.
  package var geo: GeoDatabase?

  /// The status of `respond` and `redirect`.
  package internal(set) var status: UInt16 = 0
  /// The content of `respond`; empty if there is none.
  package internal(set) var body = ByteView()
  /// Where `redirect` leads: fit for `Location`.
  package internal(set) var location = ByteView()
  /// The path: the request's, or what `rewrite path` made of it.
  package internal(set) var path = ByteView()
  /// The query: the request's, or what `rewrite query` made of it; nil if there is none.
  package internal(set) var query: ByteView?
  /// Whether `path` or `query` differ from the request's.
  package internal(set) var isRewritten = false
  /// Whether `rewrite path` has run: `path` is then not the request's, though it may be equal.
  package internal(set) var hasNewPath = false
  /// The number of the chosen origin in `RuleCode.origins`; -1: the route's.
  package internal(set) var origin = -1
  /// Whether the cache is neither asked nor filled.
  package internal(set) var bypassesCache = false
  /// The freshness lifetime in nanoseconds that replaces what the response says; -1: none does.
  package internal(set) var lifetime: Int64 = -1
  /// What stands for path and query in the cache key; nil: they do.
  package internal(set) var cacheKey: ByteView?
  /// Changes of the request's fields, in order.
  package internal(set) var requestFields = RuleList<RuleEdit>(capacity: 128)
  /// Changes of the response's fields, in order; fields of an answer (kind `add`).
  package internal(set) var responseFields = RuleList<RuleEdit>(capacity: 128)
  /// The limits that were chosen, in order.
  package internal(set) var limits = RuleList<RuleLimit>(capacity: 32)
  /// What the response differs by besides the cache key, in order.
  package internal(set) var varyBy = RuleList<ByteView>(capacity: 16)
  /// Tags that the response gets.
  package internal(set) var tags = RuleList<ByteView>(capacity: 64)
  /// What the log is to have, in order; a later value of a name replaces an earlier.
  package internal(set) var logFields = RuleList<RuleLogField>(capacity: 32)

  /// Room for `capacity` bytes of texts in a run.
  package init(capacity: Int = 64 << 10) {
    precondition(capacity > 0, "there must be room")
    self.capacity = capacity
    unsafe registers = .allocate(capacity: Registers.count)
    unsafe registers.initialize(repeating: .nothing, count: Registers.count)
    unsafe overlays = .allocate(capacity: Self.overlayCount)
    unsafe overlays.initialize(
      repeating: Overlay(state: .asSent, value: .nothing), count: Self.overlayCount)
    unsafe room = .allocate(capacity: capacity)
  }

  deinit {
    unsafe registers.deallocate()
    unsafe overlays.deallocate()
    unsafe room.deallocate()
  }

  /// Makes it ready for a request.
  func begin(_ input: borrowing RuleInput, variables: Int) {
    used = 0
    status = 0
    origin = -1
    bypassesCache = false
    lifetime = -1
    cacheKey = nil
    isRewritten = false
    hasNewPath = false
    requestFields.removeAll()
    limits.removeAll()
    varyBy.removeAll()
    tags.removeAll()
    logFields.removeAll()
    for register in 0..<variables { unsafe registers[register] = .nothing }
    beginPhase(input)
  }

  /// Makes it ready for rules of either kind: they see the request as it came.
  func beginPhase(_ input: borrowing RuleInput) {
    body = ByteView()
    location = ByteView()
    responseFields.removeAll()
    path = input.path
    query = input.head.query.map { input.head.bytes[$0] }
    filled = 0
    hasPlace = false
    guard hasOverlays else { return }
    hasOverlays = false
    for index in 0..<Self.overlayCount { unsafe overlays[index].state = .asSent }
  }
}

/// A limit that rules have chosen.
package struct RuleLimit: Sendable, Equatable {
  /// Its number in `RuleCode.limits`.
  package let number: Int
  /// What the request costs there; nil: as the limit says. 0 asks and takes nothing.
  package let cost: UInt64?

  /// The most that a request costs; what is more counts as this, what is less than 0 as 0.
  static var greatestCost: Int64 { 1_000_000_000 }
}

extension RuleScratch {
  /// Chooses a limit: once, however many rules do, at the cost that the last one says. False if there is no
  /// room.
  func choose(limit number: Int, cost: UInt64?) -> Bool {
    for index in 0..<limits.count where limits[index].number == number {
      if let cost { limits.replace(RuleLimit(number: number, cost: cost), at: index) }
      return true
    }
    return limits.append(RuleLimit(number: number, cost: cost))
  }
}

// Texts that are made. Each gives false where there is no room.
extension RuleScratch {
  @inline(__always)
  func append(_ text: ByteView) -> Bool {
    guard text.count <= capacity &- used else { return false }
    // Safe: there is room, just checked; a text of this run lies before `used`.
    unsafe (room + used).update(
      from: text.baseAddress.assumingMemoryBound(to: UInt8.self), count: text.count)
    used &+= text.count
    return true
  }

  @inline(__always)
  func append(_ byte: UInt8) -> Bool {
    guard used < capacity else { return false }
    unsafe room[used] = byte
    used &+= 1
    return true
  }

  /// What was appended since `start`.
  @inline(__always)
  func made(since start: Int) -> ByteView {
    unsafe ByteView(unsafeStart: UnsafeRawPointer(room + start), count: used &- start)
  }
}
