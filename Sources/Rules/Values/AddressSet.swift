// A set of networks, for allow and deny lists of 100,000 entries and more.
//
// Networks become ranges; those that overlap or touch become one; what is left is sorted and disjoint,
// so that a binary search finds the only range that an address can be in. IPv4 and IPv6 are apart: an
// IPv4 range is two words of 32 bits. Of large IPv4 sets an index by the first 16 bits says where in
// the list to search, which leaves a few entries, mostly in one cache line: 65,537 places, 256 KiB.

internal import Bytes

/// An immutable set of addresses. Any number of threads may ask at once; all workers share one.
package final class AddressSet: Sendable, Equatable {
  private let lows4: [UInt32]
  private let highs4: [UInt32]
  private let index4: [UInt32]
  private let lows6: [IPAddress]
  private let highs6: [IPAddress]

  /// From how many ranges on there is an index.
  private static let indexed = 64

  /// A set of networks.
  package init(_ networks: [IPNetwork]) {
    var ranges = networks.map { (low: $0.first, high: $0.last) }
    ranges.sort { $0.low != $1.low ? $0.low < $1.low : $0.high < $1.high }
    var merged: [(low: IPAddress, high: IPAddress)] = []
    for range in ranges {
      if let last = merged.last, range.low <= last.high || range.low == last.high.next {
        merged[merged.count - 1].high = max(last.high, range.high)
      } else {
        merged.append(range)
      }
    }
    var version4: [(UInt32, UInt32)] = []
    var version6: [(low: IPAddress, high: IPAddress)] = []
    for range in merged {
      version6.append(range)
      // What of the range is IPv4, perhaps part of an IPv6 network such as ::/0.
      let low = max(range.low, Self.first4)
      let high = min(range.high, Self.last4)
      if low <= high {
        version4.append((UInt32(truncatingIfNeeded: low.low), UInt32(truncatingIfNeeded: high.low)))
        if range.low.isVersion4 && range.high.isVersion4 { version6.removeLast() }
      }
    }
    lows4 = version4.map(\.0)
    highs4 = version4.map(\.1)
    lows6 = version6.map(\.low)
    highs6 = version6.map(\.high)
    index4 = Self.index(lows4)
  }

  private static let first4 = IPAddress(version4: 0)
  private static let last4 = IPAddress(version4: .max)

  /// How many ranges there are before each value of the first 16 bits.
  private static func index(_ lows: [UInt32]) -> [UInt32] {
    guard lows.count >= indexed else { return [] }
    var index = [UInt32](repeating: 0, count: 65_537)
    for low in lows { index[Int(low >> 16) + 1] += 1 }
    for place in 1..<index.count { index[place] += index[place - 1] }
    return index
  }

  /// How many disjoint ranges it has.
  package var count: Int { lows4.count + lows6.count }

  /// Whether it has an address.
  package func contains(_ address: IPAddress) -> Bool {
    if address.isVersion4 { return contains4(UInt32(truncatingIfNeeded: address.low)) }
    // The last range that begins at or before the address is the only one it can be in.
    var low = 0
    var high = lows6.count
    while low < high {
      let middle = (low + high) / 2
      if lows6[middle] <= address { low = middle + 1 } else { high = middle }
    }
    return low > 0 && address <= highs6[low - 1]
  }

  private func contains4(_ address: UInt32) -> Bool {
    var low = 0
    var high = lows4.count
    if !index4.isEmpty {
      let place = Int(address >> 16)
      low = Int(index4[place])
      high = Int(index4[place + 1])
    }
    while low < high {
      let middle = (low + high) / 2
      if lows4[middle] <= address { low = middle + 1 } else { high = middle }
    }
    return low > 0 && address <= highs4[low - 1]
  }

  package static func == (left: AddressSet, right: AddressSet) -> Bool {
    left.lows4 == right.lows4 && left.highs4 == right.highs4 && left.lows6 == right.lows6
      && left.highs6 == right.highs6
  }
}

extension IPAddress {
  /// The address after this one; the last one is its own.
  fileprivate var next: IPAddress {
    if low < .max { return IPAddress(high: high, low: low + 1) }
    return high < .max ? IPAddress(high: high + 1, low: 0) : self
  }
}

/// Lists in files: one entry on a line; `#` begins a comment, empty lines mean nothing.
package enum ListFile {
  /// A line that is not what it should be.
  package struct Problem: Equatable, Sendable {
    /// From 1.
    package var line: Int
    /// What stands there.
    package var text: String
  }

  /// The entries of a file with their lines, from 1.
  static func entries(_ bytes: [UInt8]) -> [(line: Int, text: ArraySlice<UInt8>)] {
    var result: [(Int, ArraySlice<UInt8>)] = []
    var line = 0
    for raw in bytes.split(separator: ASCII.lf, omittingEmptySubsequences: false) {
      line += 1
      let text = raw.prefix { $0 != 0x23 }
      guard let first = text.firstIndex(where: { $0 > ASCII.space }),
        let last = text.lastIndex(where: { $0 > ASCII.space })
      else { continue }
      result.append((line, text[first...last]))
    }
    return result
  }

  /// A set of the addresses and networks in a file, or the lines that are neither (at most 20).
  package static func addresses(_ bytes: [UInt8]) -> (set: AddressSet, problems: [Problem]) {
    var networks: [IPNetwork] = []
    var problems: [Problem] = []
    for (line, text) in entries(bytes) {
      if let network = Array(text).withView({ IPNetwork.parse($0) }) {
        networks.append(network)
      } else if problems.count < 20 {
        problems.append(Problem(line: line, text: String(decoding: text.prefix(60), as: UTF8.self)))
      }
    }
    return (AddressSet(networks), problems)
  }
}
