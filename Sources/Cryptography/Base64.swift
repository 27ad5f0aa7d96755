// Base 64, read strictly: one text for each run of bytes and one only (RFC 4648 §3.5 and §12). Who lets
// two texts mean the same lets a token that was revoked, or remembered, come back in another form.

package import Bytes

/// Base 64 with the alphabet for URLs and without padding, as JOSE has it (RFC 7515 §2).
package enum Base64URL {
  /// Appends what `text` stands for, or returns false and leaves the buffer as it was: for a byte
  /// that is not in the alphabet (padding and whitespace are not), a length that no text has, or bits
  /// behind the last byte that are not zero.
  package static func decode(_ text: ByteView, onto buffer: inout ByteBuffer) -> Bool {
    Base64.decode(text, isURL: true, onto: &buffer)
  }

  /// What `text` stands for; nil as for `decode(_:onto:)`.
  package static func decode(_ text: ByteView) -> [UInt8]? {
    var buffer = ByteBuffer()
    return decode(text, onto: &buffer) ? buffer.view.array : nil
  }

  /// Appends the text for some bytes.
  package static func encode(_ bytes: ByteView, onto buffer: inout ByteBuffer) {
    var at = 0
    while at < bytes.count {
      let length = min(3, bytes.count - at)
      var group: UInt32 = 0
      for index in 0..<3 { group = group << 8 | (index < length ? UInt32(bytes[at + index]) : 0) }
      for index in 0...length { buffer.append(letter(group >> UInt32(18 - 6 * index) & 63)) }
      at += 3
    }
  }

  /// The text for some bytes.
  package static func encode(_ bytes: [UInt8]) -> String {
    var buffer = ByteBuffer()
    bytes.withView { encode($0, onto: &buffer) }
    return buffer.view.string
  }

  private static func letter(_ value: UInt32) -> UInt8 {
    let value = UInt8(truncatingIfNeeded: value)
    return switch value {
    case 0..<26: value &+ 0x41
    case 26..<52: value &- 26 &+ 0x61
    case 52..<62: value &- 52 &+ 0x30
    case 62: 0x2D
    default: 0x5F
    }
  }
}

/// Base 64 with the usual alphabet and its padding, as Basic credentials have it (RFC 7617 §2).
package enum Base64 {
  /// Appends what `text` stands for, or returns false and leaves the buffer as it was. The padding
  /// must be there in full.
  package static func decode(_ text: ByteView, onto buffer: inout ByteBuffer) -> Bool {
    guard text.count & 3 == 0 else { return false }
    var length = text.count
    for _ in 0..<2 where length > 0 && text[length - 1] == ASCII.equals { length -= 1 }
    return decode(text.prefix(length), isURL: false, onto: &buffer)
  }

  static func decode(_ text: ByteView, isURL: Bool, onto buffer: inout ByteBuffer) -> Bool {
    let rest = text.count & 3
    guard rest != 1 else { return false }
    // A value of 64 marks a byte that is not in the alphabet; it is looked at once, at the end.
    var seen: UInt8 = 0
    var tail: UInt32 = 0
    unsafe buffer.appendUninitialized(atLeast: text.count / 4 * 3 + 2) { output in
      var at = 0
      var written = 0
      func put(_ byte: UInt32) {
        unsafe output[written] = UInt8(truncatingIfNeeded: byte)
        written += 1
      }
      while at + 4 <= text.count {
        let group = next(text, &at, 4, isURL, &seen)
        put(group >> 16)
        put(group >> 8)
        put(group)
      }
      if rest == 2 {
        let group = next(text, &at, 2, isURL, &seen)
        put(group >> 4)
        tail = group & 0xF
      } else if rest == 3 {
        let group = next(text, &at, 3, isURL, &seen)
        put(group >> 10)
        put(group >> 2)
        tail = group & 0x3
      }
      // Nothing was written if it does not count.
      return seen & 64 == 0 && tail == 0 ? written : 0
    }
    return seen & 64 == 0 && tail == 0
  }

  @inline(__always)
  private static func next(
    _ text: ByteView, _ at: inout Int, _ count: Int, _ isURL: Bool, _ seen: inout UInt8
  ) -> UInt32 {
    var group: UInt32 = 0
    for _ in 0..<count {
      let value = sextet(text[at], isURL)
      seen |= value
      group = group << 6 | UInt32(value & 63)
      at += 1
    }
    return group
  }

  @inline(__always)
  private static func sextet(_ byte: UInt8, _ isURL: Bool) -> UInt8 {
    if byte &- 0x61 < 26 { return byte &- 0x61 &+ 26 }
    if byte &- 0x41 < 26 { return byte &- 0x41 }
    if byte &- 0x30 < 10 { return byte &- 0x30 &+ 52 }
    if byte == (isURL ? 0x2D : 0x2B) { return 62 }
    return byte == (isURL ? 0x5F : 0x2F) ? 63 : 64
  }
}
