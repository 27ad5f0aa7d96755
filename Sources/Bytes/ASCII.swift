/// Bytes with a meaning in HTTP, and the questions asked about them.
public enum ASCII {
  /// Horizontal tab.
  public static var tab: UInt8 { @inlinable get { 0x09 } }
  /// Line feed.
  public static var lf: UInt8 { @inlinable get { 0x0A } }
  /// Carriage return.
  public static var cr: UInt8 { @inlinable get { 0x0D } }
  /// Space.
  public static var space: UInt8 { @inlinable get { 0x20 } }
  /// `"`
  public static var quote: UInt8 { @inlinable get { 0x22 } }
  /// `,`
  public static var comma: UInt8 { @inlinable get { 0x2C } }
  /// `/`
  public static var slash: UInt8 { @inlinable get { 0x2F } }
  /// `:`
  public static var colon: UInt8 { @inlinable get { 0x3A } }
  /// `;`
  public static var semicolon: UInt8 { @inlinable get { 0x3B } }
  /// `=`
  public static var equals: UInt8 { @inlinable get { 0x3D } }
  /// `?`
  public static var question: UInt8 { @inlinable get { 0x3F } }
  /// `\`
  public static var backslash: UInt8 { @inlinable get { 0x5C } }

  /// The lower-case form of an ASCII letter; any other byte unchanged.
  @inlinable @inline(__always)
  public static func lowercase(_ byte: UInt8) -> UInt8 {
    byte &- 0x41 < 26 ? byte | 0x20 : byte
  }

  /// Whether the byte is `0` to `9`.
  @inlinable @inline(__always)
  public static func isDigit(_ byte: UInt8) -> Bool { byte &- 0x30 < 10 }

  /// Whether the byte may stand in a token (RFC 9110 §5.6.2).
  @inlinable @inline(__always)
  public static func isTokenByte(_ byte: UInt8) -> Bool {
    // Two 64-bit sets, so that no table has to be initialised or fetched.
    let low: UInt64 = 0x03FF_6CFA_0000_0000
    let high: UInt64 = 0x57FF_FFFF_C7FF_FFFE
    if byte < 64 { return low &>> UInt64(byte) & 1 == 1 }
    if byte < 128 { return high &>> UInt64(byte &- 64) & 1 == 1 }
    return false
  }

  /// The value of a hexadecimal digit, or nil.
  @inlinable @inline(__always)
  public static func hexValue(_ byte: UInt8) -> UInt8? {
    if isDigit(byte) { return byte &- 0x30 }
    let letter = byte | 0x20
    return letter &- 0x61 < 6 ? letter &- 0x61 &+ 10 : nil
  }
}
