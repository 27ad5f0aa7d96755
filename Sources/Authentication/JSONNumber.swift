package import Bytes

/// Numbers as JSON writes them, read without a detour through floating point.
package enum JSONNumber {
  /// The whole number that a text is, if it is written as one and fits.
  package static func integer(_ text: ByteView) -> Int64? {
    let negative = text.count > 0 && text[0] == 0x2D
    var value: Int64 = 0
    var at = negative ? 1 : 0
    guard at < text.count else { return nil }
    while at < text.count {
      guard ASCII.isDigit(text[at]) else { return nil }
      let digit = Int64(text[at] &- 0x30)
      let (tens, overflow) = value.multipliedReportingOverflow(by: 10)
      let (sum, carry) =
        negative
        ? tens.subtractingReportingOverflow(digit) : tens.addingReportingOverflow(digit)
      guard !overflow, !carry else { return nil }
      value = sum
      at += 1
    }
    return value
  }

  /// The latest time that is taken for one: the end of the year 9999, in milliseconds.
  private static var latest: Int64 { 253_402_300_800_000 }

  /// A NumericDate (RFC 7519 §2) in milliseconds since the epoch; parts of one are dropped. Nil for a
  /// time before the epoch or after the year 9999, which is no time but a mistake or a trap.
  package static func milliseconds(_ text: ByteView) -> Int64? {
    var mantissa: Int64 = 0
    // By how many powers of ten the digits read must be multiplied, for milliseconds.
    var scale: Int64 = 3
    var at = 0
    var isFraction = false
    reading: while at < text.count {
      let byte = text[at]
      switch byte {
      case 0x2E: isFraction = true
      case 0x65, 0x45: break reading
      case _ where ASCII.isDigit(byte):
        // Seventeen digits are kept; more of them cannot matter for a time that is in range.
        if mantissa < 10_000_000_000_000_000 {
          mantissa = mantissa * 10 + Int64(byte &- 0x30)
          if isFraction { scale -= 1 }
        } else if !isFraction {
          scale += 1
        }
      default: return nil
      }
      at += 1
    }
    guard at > 0 else { return nil }
    if at < text.count {
      guard let exponent = exponent(text.dropping(first: at + 1)) else { return nil }
      scale += exponent
    }
    return scaled(mantissa, scale)
  }

  /// The exponent, held within what could matter.
  private static func exponent(_ text: ByteView) -> Int64? {
    guard !text.isEmpty else { return nil }
    let sign = text[0]
    let digits = sign == 0x2B || sign == 0x2D ? text.dropping(first: 1) : text
    guard !digits.isEmpty else { return nil }
    var value: Int64 = 0
    for index in 0..<digits.count {
      guard ASCII.isDigit(digits[index]) else { return nil }
      value = min(value * 10 + Int64(digits[index] &- 0x30), 100_000)
    }
    return sign == 0x2D ? -value : value
  }

  private static func scaled(_ mantissa: Int64, _ scale: Int64) -> Int64? {
    guard mantissa > 0 else { return 0 }
    var value = mantissa
    var scale = scale
    while scale > 0 {
      guard value <= latest else { return nil }
      value *= 10
      scale -= 1
    }
    while scale < 0, value > 0 {
      value /= 10
      scale += 1
    }
    return value <= latest ? value : nil
  }
}
