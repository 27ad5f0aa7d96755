// W3C Trace Context (Recommendation of 2021-11-23): `traceparent` as it comes and as it goes.
//
//     traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
//                  │  trace (16 bytes)                  parent (8 bytes)  flags
//                  version
//
// Hexadecimal digits in lower case, nothing all zero. A later version may have more behind the flags,
// after another hyphen; the version ff is none.

package import Bytes

/// Where a request stands in a trace.
package struct TraceContext: Sendable, Equatable {
  /// The trace's identifier: 16 bytes, big-endian in the text, not all zero.
  package var traceHigh: UInt64
  package var traceLow: UInt64
  /// The span that asked; not zero.
  package var parent: UInt64
  /// Whether it is recorded there (the flag `sampled`).
  package var isSampled: Bool

  /// The length of a `traceparent` of version 00.
  package static let length = 55

  /// A context.
  package init(traceHigh: UInt64, traceLow: UInt64, parent: UInt64, isSampled: Bool) {
    self.traceHigh = traceHigh
    self.traceLow = traceLow
    self.parent = parent
    self.isSampled = isSampled
  }

  /// Reads the value of a `traceparent` field; nil if it is none (§3.2.2).
  package init?(_ text: ByteView) {
    guard text.count >= Self.length, text[2] == Self.hyphen, text[35] == Self.hyphen,
      text[52] == Self.hyphen, let version = Self.number(text[0..<2]), version != 0xFF,
      let high = Self.number(text[3..<19]), let low = Self.number(text[19..<35]),
      let parent = Self.number(text[36..<52]), let flags = Self.number(text[53..<55]),
      high | low != 0, parent != 0
    else { return nil }
    if text.count > Self.length {
      guard version > 0, text[Self.length] == Self.hyphen else { return nil }
    }
    self.init(traceHigh: high, traceLow: low, parent: parent, isSampled: flags & 1 == 1)
  }

  private static let hyphen = UInt8(ascii: "-")

  /// A number of up to 16 digits.
  private static func number(_ digits: ByteView) -> UInt64? {
    var value: UInt64 = 0
    for index in 0..<digits.count {
      switch digits[index] {
      case 0x30...0x39: value = value << 4 | UInt64(digits[index] &- 0x30)
      case 0x61...0x66: value = value << 4 | UInt64(digits[index] &- 0x57)
      default: return nil
      }
    }
    return value
  }

  /// Appends the value of a `traceparent` of version 00, with `parent` as the one who asks.
  package func append(to buffer: inout ByteBuffer) {
    buffer.append("00-")
    Self.append(traceHigh, to: &buffer)
    Self.append(traceLow, to: &buffer)
    buffer.append(Self.hyphen)
    Self.append(parent, to: &buffer)
    buffer.append(isSampled ? "-01" : "-00")
  }

  private static func append(_ value: UInt64, to buffer: inout ByteBuffer) {
    for shift in stride(from: UInt64(60), through: 0, by: -4) {
      let digit = UInt8(truncatingIfNeeded: value &>> shift & 0xF)
      buffer.append(digit < 10 ? digit &+ 0x30 : digit &+ 0x57)
    }
  }
}

/// Numbers that nobody needs to guess: SplitMix64 (Steele, Lea, Flood 2014).
package struct TraceNumbers: Sendable {
  private var state: UInt64

  /// Numbers that begin with a seed.
  package init(seed: UInt64) { state = seed }

  /// The next one; any value.
  @inline(__always)
  package mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = (state ^ (state &>> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed &>> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed &>> 31)
  }

  /// The next one that is not zero: an identifier.
  package mutating func identifier() -> UInt64 {
    let number = next()
    return number == 0 ? 1 : number
  }
}
