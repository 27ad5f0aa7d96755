// Addresses and networks as numbers. An IPv4 address is the IPv6 address that it is mapped to
// (::ffff:0:0/96, RFC 4291 §2.5.5.2), so that there is one kind of address and one kind of network.

package import Bytes

/// An address of 128 bits.
package struct IPAddress: Hashable, Sendable, Comparable {
  /// The first eight bytes.
  package var high: UInt64
  /// The last eight.
  package var low: UInt64

  /// An address of its bytes.
  package init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }

  /// An IPv4 address.
  package init(version4: UInt32) {
    high = 0
    low = 0xFFFF_0000_0000 | UInt64(version4)
  }

  /// What stands for "no address": `::`, which nobody can have.
  package static var none: IPAddress { IPAddress(high: 0, low: 0) }

  /// Whether it is an IPv4 address.
  package var isVersion4: Bool { high == 0 && low &>> 32 == 0xFFFF }

  package static func < (left: IPAddress, right: IPAddress) -> Bool {
    left.high != right.high ? left.high < right.high : left.low < right.low
  }

  /// The address of which only the first bits are kept: `version4` of an IPv4 address (at most 32),
  /// `version6` of an IPv6 address (at most 128).
  package func masked(version4: Int, version6: Int) -> IPAddress {
    IPNetwork(address: self, bits: isVersion4 ? 96 + min(max(version4, 0), 32) : version6).first
  }
}

// As text.
extension IPAddress {
  /// The most bytes of an address as text.
  package static let longest = 45

  /// Reads an address, without a zone or brackets; nil if the text is none.
  package static func parse(_ text: ByteView) -> IPAddress? {
    guard text.count >= 2, text.count <= longest else { return nil }
    if text.firstIndex(of: ASCII.colon) != nil { return version6(text) }
    return version4(text, from: 0).map { IPAddress(version4: $0) }
  }

  /// Four numbers up to the text's end, without leading zeros.
  private static func version4(_ text: ByteView, from start: Int) -> UInt32? {
    var value: UInt32 = 0
    var index = start
    for part in 0..<4 {
      if part > 0 {
        guard index < text.count, text[index] == 0x2E else { return nil }
        index += 1
      }
      let first = index
      var number: UInt32 = 0
      while index < text.count, ASCII.isDigit(text[index]), index - first < 3 {
        number = number * 10 + UInt32(text[index] & 0xF)
        index += 1
      }
      guard index > first, number < 256, index - first == 1 || text[first] != 0x30 else {
        return nil
      }
      value = value << 8 | number
    }
    return index == text.count ? value : nil
  }

  /// Eight groups (RFC 4291 §2.2).
  private static func version6(_ text: ByteView) -> IPAddress? {
    var groups = InlineArray<8, UInt16>(repeating: 0)
    var count = 0
    var gap = -1
    var index = 0
    if text[0] == ASCII.colon {
      guard text[1] == ASCII.colon else { return nil }
      gap = 0
      index = 2
    }
    while index < text.count {
      guard count < 8 else { return nil }
      let start = index
      var group: UInt16 = 0
      while index < text.count, index - start < 4, let digit = ASCII.hexValue(text[index]) {
        group = group << 4 | UInt16(digit)
        index += 1
      }
      if index < text.count && text[index] == 0x2E {
        guard count <= 6, let tail = version4(text, from: start) else { return nil }
        groups[count] = UInt16(truncatingIfNeeded: tail >> 16)
        groups[count + 1] = UInt16(truncatingIfNeeded: tail)
        count += 2
        break
      }
      guard index > start else { return nil }
      groups[count] = group
      count += 1
      if index == text.count { break }
      guard text[index] == ASCII.colon else { return nil }
      index += 1
      guard index < text.count else { return nil }
      if text[index] == ASCII.colon {
        guard gap < 0 else { return nil }
        gap = count
        index += 1
      }
    }
    guard gap < 0 ? count == 8 : count < 8 else { return nil }
    return address(groups, count: count, gap: gap)
  }

  private static func address(
    _ groups: InlineArray<8, UInt16>, count: Int, gap: Int
  ) -> IPAddress {
    var high: UInt64 = 0
    var low: UInt64 = 0
    for place in 0..<8 {
      var source = place
      if gap >= 0 && place >= gap { source = place >= gap + 8 - count ? place - (8 - count) : -1 }
      let group = source >= 0 ? UInt64(groups[source]) : 0
      if place < 4 { high = high << 16 | group } else { low = low << 16 | group }
    }
    return IPAddress(high: high, low: low)
  }

  /// Appends the address in its usual form (RFC 5952).
  package func append(to buffer: inout ByteBuffer) {
    if isVersion4 {
      for place in 0..<4 {
        if place > 0 { buffer.append(0x2E as UInt8) }
        buffer.append(decimal: low >> UInt64(24 - 8 * place) & 0xFF)
      }
      return
    }
    let (gap, length) = longestZeros
    var place = 0
    while place < 8 {
      if place == gap {
        buffer.append("::")
        place += length
        continue
      }
      if place > 0 && place != gap + length { buffer.append(ASCII.colon) }
      buffer.append(hexadecimal: group(place))
      place += 1
    }
  }

  private func group(_ place: Int) -> UInt64 {
    let word = place < 4 ? high : low
    return word >> UInt64(48 - 16 * (place & 3)) & 0xFFFF
  }

  /// The first longest run of at least two groups that are zero; (-1, 0) if there is none.
  private var longestZeros: (place: Int, length: Int) {
    var best = (place: -1, length: 1)
    var start = 0
    for place in 0...8 where place == 8 || group(place) != 0 {
      if place - start > best.length { best = (start, place - start) }
      start = place + 1
    }
    return best.place < 0 ? (-1, 0) : best
  }
}

/// All addresses that begin with the same bits.
package struct IPNetwork: Hashable, Sendable {
  /// An address of the network.
  package var address: IPAddress
  /// How many bits they share, of 128: 96 more than are written for IPv4.
  package var bits: Int

  /// A network; `bits` is taken to be within 0 and 128.
  package init(address: IPAddress, bits: Int) {
    self.address = address
    self.bits = min(max(bits, 0), 128)
  }

  private var mask: IPAddress {
    if bits == 0 { return IPAddress(high: 0, low: 0) }
    if bits <= 64 { return IPAddress(high: ~0 << UInt64(64 - bits), low: 0) }
    return IPAddress(high: ~0, low: ~0 << UInt64(128 - bits))
  }

  /// Its lowest address.
  package var first: IPAddress {
    let mask = mask
    return IPAddress(high: address.high & mask.high, low: address.low & mask.low)
  }

  /// Its highest address.
  package var last: IPAddress {
    let mask = mask
    return IPAddress(high: address.high | ~mask.high, low: address.low | ~mask.low)
  }

  /// Whether an address is of the network.
  package func contains(_ other: IPAddress) -> Bool { first <= other && other <= last }

  /// Reads an address, which is a network of one, or `ADDRESS/BITS`; nil if the text is neither.
  package static func parse(_ text: ByteView) -> IPNetwork? {
    guard let slash = text.firstIndex(of: ASCII.slash) else {
      return IPAddress.parse(text).map { IPNetwork(address: $0, bits: 128) }
    }
    let digits = text.dropping(first: slash + 1)
    guard let address = IPAddress.parse(text.prefix(slash)), (1...3).contains(digits.count) else {
      return nil
    }
    var bits = 0
    for index in 0..<digits.count {
      guard ASCII.isDigit(digits[index]) else { return nil }
      bits = bits * 10 + Int(digits[index] & 0xF)
    }
    // Of an address that is written as IPv4, the bits are counted so.
    let isVersion4 = text.prefix(slash).firstIndex(of: ASCII.colon) == nil
    guard bits <= (isVersion4 ? 32 : 128) else { return nil }
    return IPNetwork(address: address, bits: isVersion4 ? bits + 96 : bits)
  }
}
