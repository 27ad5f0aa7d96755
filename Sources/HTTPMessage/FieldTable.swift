// The fields of a message as offsets into the buffer they were read into: no strings, no copies.
//
// A table is made once and reused; reading a head into it allocates nothing once it has grown to the
// most fields seen (at most the limit), and an unused one owns no memory. What a known name's first
// line is stands in `firsts`, which is never cleared: an entry means something only if the name's bit
// is in `known`. So a table is emptied by three stores, and asking for a field that is not there (the
// usual answer on a hit) is one bit test.
//
// The lines lie in memory of the table's own instead of an array, whose append would check for a
// second owner and grow through a generic path: about 3 ns a line, a tenth of a head's parsing.

public import Bytes

/// One field line: where its name and its value are.
@usableFromInline package struct FieldLine: Sendable {
  /// Offset of the name.
  @usableFromInline package var nameOffset: UInt32
  /// Offset of the value, optional whitespace around it already taken off.
  @usableFromInline package var valueOffset: UInt32
  /// Length of the value.
  @usableFromInline package var valueLength: UInt32
  /// Length of the name.
  @usableFromInline package var nameLength: UInt16
  /// Which known name it is.
  @usableFromInline package var known: KnownField

  /// A field line at the given places.
  @inlinable
  package init(
    nameOffset: UInt32, nameLength: UInt16, valueOffset: UInt32, valueLength: UInt32,
    known: KnownField
  ) {
    self.nameOffset = nameOffset
    self.nameLength = nameLength
    self.valueOffset = valueOffset
    self.valueLength = valueLength
    self.known = known
  }

  /// The name as it was sent, in the buffer that the table refers to.
  @inlinable @inline(__always)
  package func name(in bytes: ByteView) -> ByteView {
    bytes[Int(nameOffset)..<Int(nameOffset) + Int(nameLength)]
  }

  /// The value.
  @inlinable @inline(__always)
  package func value(in bytes: ByteView) -> ByteView {
    bytes[Int(valueOffset)..<Int(valueOffset) + Int(valueLength)]
  }
}

/// The field lines of one message, in order, and where each known name first stands.
@safe
@usableFromInline package struct FieldTable: ~Copyable, @unchecked Sendable {
  // Sendable because it has one owner, as a ByteBuffer does.
  // Invariant: `lines` holds `capacity` lines, the first `count` of them written; with capacity 0 it
  // is an address that nobody reads.
  @usableFromInline var lines: UnsafeMutablePointer<FieldLine>
  @usableFromInline var capacity = 0
  @usableFromInline var written = 0
  @usableFromInline var firsts = InlineArray<64, Int16>(repeating: 0)
  @usableFromInline var repeated = KnownFieldSet()
  /// Which known names there are.
  @usableFromInline package private(set) var known = KnownFieldSet()

  /// An empty table.
  package init() { unsafe lines = FieldTable.nowhere }

  deinit {
    // The memory came from `grow`, and FieldLine has nothing to deinitialise.
    if capacity > 0 { unsafe lines.deallocate() }
  }

  /// How many field lines there are.
  @inlinable package var count: Int { written }

  /// The line at `index`, in the order of the message.
  @inlinable
  package subscript(index: Int) -> FieldLine {
    precondition(index >= 0 && index < written, "no such field line")
    return unsafe lines[index]  // Below `written`, just checked.
  }

  /// Forgets all lines and keeps the memory.
  @inlinable
  package mutating func removeAll() {
    written = 0
    known = KnownFieldSet()
    repeated = KnownFieldSet()
  }

  /// Adds a line; at most `Int16.max` of them.
  @inlinable
  package mutating func append(_ line: FieldLine) {
    if written == capacity { grow() }
    unsafe (lines + written).initialize(to: line)  // `written` is below `capacity`: grown if not.
    if line.known != .other {
      if known.contains(line.known) {
        repeated.insert(line.known)
      } else {
        known.insert(line.known)
        firsts[Int(line.known.rawValue)] = Int16(truncatingIfNeeded: written)
      }
    }
    written += 1
  }

  /// Takes out all lines with a known name, as if they had not been sent. Not for every request: the
  /// others move.
  package mutating func remove(_ field: KnownField) {
    guard known.contains(field) else { return }
    let count = written
    removeAll()
    for index in 0..<count {
      let line = unsafe lines[index]  // Written before, and what is written now stands before it.
      if line.known != field { append(line) }
    }
  }

  /// Whether there is a line with a known name.
  @inlinable
  package func contains(_ field: KnownField) -> Bool { known.contains(field) }

  /// The index of the first line with a known name, or nil.
  @inlinable
  package func first(_ field: KnownField) -> Int? {
    known.contains(field) ? Int(firsts[Int(field.rawValue)]) : nil
  }

  /// The index of the next line with a known name behind the line at `index`, or nil.
  @inlinable
  package func next(_ field: KnownField, after index: Int) -> Int? {
    guard repeated.contains(field) else { return nil }
    var index = index + 1
    while index < written {
      if self[index].known == field { return index }
      index += 1
    }
    return nil
  }

  /// Whether there is more than one line with a known name.
  @inlinable
  package func isRepeated(_ field: KnownField) -> Bool { repeated.contains(field) }

  /// How many lines have a known name (0 for `other`).
  @inlinable
  package func count(of field: KnownField) -> Int {
    guard known.contains(field) else { return 0 }
    guard repeated.contains(field) else { return 1 }
    var total = 0
    for index in 0..<written where self[index].known == field { total += 1 }
    return total
  }

  /// The value of the first line with a known name.
  @inlinable
  package func value(_ field: KnownField, in bytes: ByteView) -> ByteView? {
    guard let index = first(field) else { return nil }
    return self[index].value(in: bytes)
  }

  /// Calls `body` with the value of each line of a known name, in order.
  @inlinable
  package func forEach(_ field: KnownField, in bytes: ByteView, _ body: (ByteView) -> Void) {
    var next = first(field)
    while let index = next {
      body(self[index].value(in: bytes))
      next = self.next(field, after: index)
    }
  }

  /// Calls `body` with the value of each line of any name, given in lower case, in order.
  @inlinable
  package func forEach(named name: ByteView, in bytes: ByteView, _ body: (ByteView) -> Void) {
    for index in 0..<written where self[index].name(in: bytes).equalsIgnoringCase(name) {
      body(self[index].value(in: bytes))
    }
  }

  /// Doubles the room, from 16 lines on.
  @usableFromInline
  mutating func grow() {
    precondition(capacity <= Int(Int16.max) / 2, "too many field lines")
    let larger = max(16, capacity * 2)
    let memory = UnsafeMutablePointer<FieldLine>.allocate(capacity: larger)
    // The first `written` lines are initialised, and the new memory has room for more than those.
    unsafe memory.moveInitialize(from: lines, count: written)
    if capacity > 0 { unsafe lines.deallocate() }
    unsafe lines = memory
    capacity = larger
  }

  /// An aligned address for a table that owns no memory.
  private static var nowhere: UnsafeMutablePointer<FieldLine> {
    // Sixteen is not zero; nothing is read there, because `written` and `capacity` are 0.
    unsafe UnsafeMutablePointer(bitPattern: 16).unsafelyUnwrapped
  }
}
