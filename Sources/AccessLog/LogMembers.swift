// Members that rules add to a line, as one text of a record: for each the length of its name (one byte)
// and of its value (two, little-endian), the name, the value.

package import Bytes

/// Members of a line beyond those that every line has.
package enum LogMembers {
  /// Adds a member, unless all of them would be longer than a text of a record may be; then it is left
  /// out, and so is nothing of another.
  package static func append(name: ByteView, value: ByteView, to members: inout ByteBuffer) {
    guard let length = UInt8(exactly: name.count), let size = UInt16(exactly: value.count),
      members.count + 3 + name.count + value.count <= AccessRecord.textLimit
    else { return }
    members.append(length)
    members.append(littleEndian: size)
    members.append(name)
    members.append(value)
  }

  /// Calls `body` with each member. Of several of one name only the last is given.
  static func forEach(_ members: ByteView, _ body: (ByteView, ByteView) -> Void) {
    var offset = 0
    while let (name, value, end) = member(members, at: offset) {
      offset = end
      if !isThere(name, in: members, from: end) { body(name, value) }
    }
  }

  private static func isThere(_ name: ByteView, in members: ByteView, from start: Int) -> Bool {
    var offset = start
    while let (other, _, end) = member(members, at: offset) {
      if other == name { return true }
      offset = end
    }
    return false
  }

  private static func member(
    _ members: ByteView, at offset: Int
  ) -> (name: ByteView, value: ByteView, end: Int)? {
    guard members.count - offset >= 3 else { return nil }
    let length = Int(members[offset])
    let size = Int(members.uint16(at: offset + 1))
    let start = offset + 3
    guard members.count - start >= length + size else { return nil }
    let middle = start + length
    return (members[start..<middle], members[middle..<middle + size], middle + size)
  }
}
