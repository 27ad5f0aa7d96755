// The fields of a message as offsets into the buffer they were read into: no strings, no copies.
// A table is made once and reused; parsing a head into it allocates nothing once it has grown to the
// most fields seen (at most the limit).

package import Bytes

/// One field line: where its name and its value are.
package struct FieldLine: Sendable {
  /// Offset of the name.
  package var nameOffset: UInt32
  /// Offset of the value, optional whitespace around it already taken off.
  package var valueOffset: UInt32
  /// Length of the value.
  package var valueLength: UInt32
  /// Length of the name.
  package var nameLength: UInt16
  /// Which known name it is.
  package var known: KnownField

  /// A field line at the given places.
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
  @inline(__always)
  package func name(in bytes: ByteView) -> ByteView {
    bytes[Int(nameOffset)..<Int(nameOffset) + Int(nameLength)]
  }

  /// The value.
  @inline(__always)
  package func value(in bytes: ByteView) -> ByteView {
    bytes[Int(valueOffset)..<Int(valueOffset) + Int(valueLength)]
  }
}

/// The field lines of one message, in order, and where each known name first stands.
package struct FieldTable: ~Copyable {
  private var lines: [FieldLine] = []
  private var firsts = InlineArray<64, Int16>(repeating: -1)
  private var counts = InlineArray<64, UInt8>(repeating: 0)

  /// An empty table.
  package init() {
    precondition(KnownField.tableSize <= 64, "the table of firsts is too small")
    lines.reserveCapacity(32)
  }

  /// How many field lines there are.
  package var count: Int { lines.count }

  /// The line at `index`, in the order of the message.
  package subscript(index: Int) -> FieldLine { lines[index] }

  /// Forgets all lines and keeps the memory.
  package mutating func removeAll() {
    lines.removeAll(keepingCapacity: true)
    firsts = InlineArray(repeating: -1)
    counts = InlineArray(repeating: 0)
  }

  /// Adds a line; at most `Int16.max` of them.
  package mutating func append(_ line: FieldLine) {
    precondition(lines.count < Int(Int16.max), "too many field lines")
    let slot = Int(line.known.rawValue)
    if line.known != .other {
      if firsts[slot] < 0 { firsts[slot] = Int16(lines.count) }
      if counts[slot] < .max { counts[slot] += 1 }
    }
    lines.append(line)
  }

  /// The index of the first line with a known name, or nil.
  package func first(_ known: KnownField) -> Int? {
    let index = firsts[Int(known.rawValue)]
    return index < 0 ? nil : Int(index)
  }

  /// How many lines have a known name (255 stands for that many or more).
  package func count(of known: KnownField) -> Int { Int(counts[Int(known.rawValue)]) }

  /// The value of the first line with a known name.
  package func value(_ known: KnownField, in bytes: ByteView) -> ByteView? {
    guard let index = first(known) else { return nil }
    return lines[index].value(in: bytes)
  }

  /// Calls `body` with the value of each line of a known name, in order.
  package func forEach(_ known: KnownField, in bytes: ByteView, _ body: (ByteView) -> Void) {
    guard var index = first(known) else { return }
    while index < lines.count {
      let line = lines[index]
      if line.known == known { body(line.value(in: bytes)) }
      index += 1
    }
  }

  /// Calls `body` with the value of each line of any name, given in lower case, in order.
  package func forEach(named name: ByteView, in bytes: ByteView, _ body: (ByteView) -> Void) {
    for line in lines where line.name(in: bytes).equalsIgnoringCase(name) {
      body(line.value(in: bytes))
    }
  }
}
