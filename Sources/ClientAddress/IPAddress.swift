package import Bytes

/// An address of a client or a proxy: 128 bits, IPv4 as ::ffff:a.b.c.d (RFC 4291 §2.5.5.2), so that a
/// client counts as the same however it was written.
package struct IPAddress: Sendable, Hashable {
  /// The first eight bytes, big-endian.
  package let high: UInt64
  /// The last eight.
  package let low: UInt64

  /// An address of two words.
  package init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }

  /// An IPv4 address.
  package init(ipv4: UInt32) { self.init(high: 0, low: 0xFFFF &<< 32 | UInt64(ipv4)) }

  /// Whether it is an IPv4 address.
  package var isIPv4: Bool { high == 0 && low &>> 32 == 0xFFFF }

  /// Reads an address in text: dotted decimal without leading zeros, or IPv6 as RFC 4291 §2.2 has it,
  /// without a zone and without brackets.
  package init?(_ text: ByteView) {
    if let four = Self.ipv4(text) {
      self.init(ipv4: four)
    } else if let (high, low) = Self.ipv6(text) {
      self.init(high: high, low: low)
    } else {
      return nil
    }
  }

  /// The address without all but its first bits: whom a limit takes for one client. An IPv6 customer
  /// has at least a /64 (RFC 6177).
  package func prefix(ipv4: Int = 32, ipv6: Int = 64) -> IPAddress {
    let length = isIPv4 ? 96 + min(max(ipv4, 0), 32) : min(max(ipv6, 0), 128)
    return masked(length)
  }

  /// The first `length` bits, the rest 0.
  func masked(_ length: Int) -> IPAddress {
    IPAddress(high: high & Self.mask(length), low: low & Self.mask(length - 64))
  }

  private static func mask(_ length: Int) -> UInt64 {
    length <= 0 ? 0 : length >= 64 ? .max : ~(UInt64.max &>> UInt64(length))
  }

  /// Four decimal numbers.
  static func ipv4(_ text: ByteView) -> UInt32? {
    guard text.count >= 7, text.count <= 15 else { return nil }
    var (address, number, digits, dots) = (UInt32(0), UInt32(0), 0, 0)
    for index in 0..<text.count {
      let byte = text[index]
      if byte == 0x2E {
        guard digits > 0, dots < 3 else { return nil }
        address = address &<< 8 | number
        (number, digits, dots) = (0, 0, dots + 1)
      } else {
        guard ASCII.isDigit(byte), digits == 0 || number > 0 else { return nil }
        number = number * 10 + UInt32(byte &- 0x30)
        digits += 1
        guard number <= 255 else { return nil }
      }
    }
    return digits > 0 && dots == 3 ? address &<< 8 | number : nil
  }

  /// Eight groups, one run of zero groups left out, the last two perhaps as IPv4.
  private static func ipv6(_ text: ByteView) -> (UInt64, UInt64)? {
    guard text.count >= 2, text.count <= 45 else { return nil }
    var groups: InlineArray<8, UInt16> = .init(repeating: 0)
    var count = 0
    var gap: Int?
    var index = 0
    if text[0] == ASCII.colon {
      guard text[1] == ASCII.colon else { return nil }
      gap = 0
      index = 2
    }
    while index < text.count {
      guard count < 8 else { return nil }
      let end = text.firstIndex(of: ASCII.colon, from: index) ?? text.count
      let piece = text[index..<end]
      if end == text.count, count <= 6, let four = ipv4(piece) {
        groups[count] = UInt16(truncatingIfNeeded: four &>> 16)
        groups[count + 1] = UInt16(truncatingIfNeeded: four)
        count += 2
        break
      }
      guard let group = group(piece) else { return nil }
      groups[count] = group
      count += 1
      guard end < text.count else { break }
      index = end + 1
      guard index < text.count else { return nil }  // Ends in one colon.
      if text[index] == ASCII.colon {
        guard gap == nil else { return nil }
        gap = count
        index += 1
      }
    }
    guard gap != nil ? count <= 7 : count == 8 else { return nil }
    return joined(groups, count: count, gap: gap ?? 8)
  }

  /// One to four hexadecimal digits.
  private static func group(_ text: ByteView) -> UInt16? {
    guard text.count >= 1, text.count <= 4 else { return nil }
    var value: UInt16 = 0
    for index in 0..<text.count {
      guard let digit = ASCII.hexValue(text[index]) else { return nil }
      value = value &<< 4 | UInt16(digit)
    }
    return value
  }

  private static func joined(
    _ groups: InlineArray<8, UInt16>, count: Int, gap: Int
  ) -> (UInt64, UInt64) {
    var (high, low) = (UInt64(0), UInt64(0))
    for position in 0..<8 {
      let missing = 8 - count
      let group: UInt16 =
        position < gap
        ? groups[position] : position < gap + missing ? 0 : groups[position - missing]
      if position < 4 {
        high = high &<< 16 | UInt64(group)
      } else {
        low = low &<< 16 | UInt64(group)
      }
    }
    return (high, low)
  }

  /// Appends the address in text: IPv6 as RFC 5952 has it.
  package func append(to buffer: inout ByteBuffer) {
    if isIPv4 {
      for byte in 0..<4 as Range<UInt64> {
        if byte > 0 { buffer.append(0x2E as UInt8) }
        buffer.append(decimal: low &>> (24 - 8 * byte) & 0xFF)
      }
      return
    }
    let (start, length) = longestZeroRun
    var position = 0
    while position < 8 {
      if position == start, length > 1 {
        buffer.append("::")
        position += length
        continue
      }
      if position > 0, length < 2 || position != start + length { buffer.append(ASCII.colon) }
      buffer.append(hexadecimal: UInt64(group(position)))
      position += 1
    }
  }

  private func group(_ position: Int) -> UInt16 {
    let word = position < 4 ? high : low
    return UInt16(truncatingIfNeeded: word &>> UInt64(48 - 16 * (position & 3)))
  }

  /// The first of the longest runs of zero groups.
  private var longestZeroRun: (start: Int, length: Int) {
    var best = (start: 0, length: 0)
    var length = 0
    for position in 0..<8 {
      length = group(position) == 0 ? length + 1 : 0
      if length > best.length { best = (position + 1 - length, length) }
    }
    return best
  }
}
