internal import Bytes

/// Base64 (RFC 4648 §4) as structured fields have it: padding may be missing, bits behind the last
/// byte may be set (RFC 9651 §4.2.7).
enum Base64 {
  /// The bytes that a text encodes, or nil.
  static func decode(_ text: ByteView) -> [UInt8]? {
    var end = text.count
    while end > 0, text.count - end < 2, text[end - 1] == ASCII.equals { end -= 1 }
    // With padding the length is a multiple of four; a rest of one digit is no byte.
    guard end == text.count || text.count % 4 == 0, end % 4 != 1 else { return nil }
    var decoded: [UInt8] = []
    decoded.reserveCapacity(end / 4 * 3 + 2)
    var (bits, held): (UInt32, UInt32) = (0, 0)
    for index in 0..<end {
      guard let digit = value(text[index]) else { return nil }
      bits = bits &<< 6 | UInt32(digit)
      held += 6
      if held >= 8 {
        held -= 8
        decoded.append(UInt8(truncatingIfNeeded: bits &>> held))
      }
    }
    return decoded
  }

  private static func value(_ byte: UInt8) -> UInt8? {
    switch byte {
    case 0x41...0x5A: byte &- 0x41
    case 0x61...0x7A: byte &- 0x61 &+ 26
    case 0x30...0x39: byte &- 0x30 &+ 52
    case 0x2B: 62
    case 0x2F: 63
    default: nil
    }
  }
}
