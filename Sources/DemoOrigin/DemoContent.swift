// Content that can be checked without being kept.
//
// It is a block of pseudo-random bytes, drawn from the resource's name, over and over. The block's
// length is a prime near 64 KiB: no buffer, chunk or page size divides it, so bytes that are lost,
// doubled or moved never line up again, while making and checking content are copies and comparisons
// of runs.

import Bytes

/// The bytes that the demo origin serves for a resource when it is asked for a size.
package struct DemoContent: Sendable {
  private static let period = 65_521
  private let block: [UInt8]

  /// The content of a resource: its path, and behind it what else the origin's `--help` says chooses.
  package init(of resource: String) {
    var state = resource.withView { view in
      let hash = SipHash(key: Hash128(low: 0, high: 0)).hash(view)
      return hash.low ^ hash.high
    }
    var block: [UInt8] = []
    block.reserveCapacity(Self.period + 8)
    while block.count < Self.period {
      // SplitMix64, a published generator of well-mixed words.
      state &+= 0x9E37_79B9_7F4A_7C15
      var word = (state ^ state &>> 30) &* 0xBF58_476D_1CE4_E5B9
      word = (word ^ word &>> 27) &* 0x94D0_49BB_1331_11EB
      word ^= word &>> 31
      for shift in stride(from: 0, to: 64, by: 8) {
        block.append(UInt8(truncatingIfNeeded: word &>> UInt64(shift)))
      }
    }
    self.block = Array(block.prefix(Self.period))
  }

  /// `count` bytes of it from `offset`.
  package func bytes(at offset: Int, count: Int) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count)
    while bytes.count < count {
      let start = (offset + bytes.count) % Self.period
      let run = min(Self.period - start, count - bytes.count)
      bytes += block[start..<(start + run)]
    }
    return bytes
  }

  /// Whether `bytes` are what stands at `offset`.
  package func matches(_ bytes: [UInt8], at offset: Int) -> Bool {
    self.bytes(at: offset, count: bytes.count).withView { expected in
      bytes.withView { $0 == expected }
    }
  }
}

/// A hash of content, FNV-1a of 64 bits: what the origin's echo says about a body.
package struct DemoHash: Sendable {
  /// The hash of what has been added.
  package private(set) var value: UInt64 = 0xCBF2_9CE4_8422_2325

  /// The hash of nothing.
  package init() {}

  /// The hash of some bytes.
  package init(of bytes: [UInt8]) { add(bytes) }

  /// Adds bytes.
  package mutating func add(_ bytes: [UInt8]) {
    var hash = value
    for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
    value = hash
  }

  /// Sixteen hexadecimal digits.
  package var text: String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}
