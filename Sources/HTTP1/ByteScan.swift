// The innermost loops of the codec: where a run of harmless bytes ends, sixteen bytes at a step.
//
// A step loads sixteen bytes, compares all of them at once, and looks at the result as two words whose
// lowest set bit is the first byte that stops the run (SSE2 and NEON have all that is needed; an
// eight-byte step in a general register takes as many instructions for half the bytes). A load may go
// past the run, never past the view. When fewer than sixteen bytes are left, the step is the last
// sixteen of the view, and what has been seen already is shifted out of the result; only views shorter
// than that are gathered byte by byte.

package import Bytes

/// What ends a run of bytes. Each is a constant where it is used, so that a loop has only its own test.
enum Stop {
  /// What is in few or no field names: anything but a letter, a digit or a hyphen.
  case unusualInName
  /// What is in few or no hosts: anything but a letter, a digit, a hyphen or a dot.
  case unusualInHost
  /// What cannot be in a field value, and the tab.
  case control
  /// What cannot be in a request target, and the question mark.
  case notPath
  /// What cannot be in a request target.
  case notQuery
}

enum ByteScan {
  /// The first offset from `from` on, and before `to`, at which a run ends; `to` if none does.
  @inline(__always)
  static func first(_ stop: Stop, in bytes: ByteView, from: Int, to: Int) -> Int {
    precondition(from >= 0 && to <= bytes.count, "a scan leaves the view")
    var at = from
    while at < to, bytes.count &- at >= 16 {
      // The sixteen bytes at `at` are within the view, as just checked.
      let block = unsafe bytes.baseAddress.loadUnaligned(fromByteOffset: at, as: Block.self)
      let found = stops(stop, in: block)
      if found.low | found.high != 0 { return min(at &+ found.index, to) }
      at &+= 16
    }
    guard at < to else { return to }
    guard bytes.count >= 16 else { return firstInShortView(stop, in: bytes, from: at, to: to) }
    // The last sixteen bytes; those before `at` are no news.
    let last = bytes.count &- 16
    let block = unsafe bytes.baseAddress.loadUnaligned(fromByteOffset: last, as: Block.self)
    let found = stops(stop, in: block).dropping(at &- last)
    return min(at &+ found.index, to)
  }

  private typealias Block = SIMD16<UInt8>

  /// Sixteen answers, a byte of ones for yes, as two words.
  private struct Answers {
    var low: UInt64
    var high: UInt64

    /// The place of the first yes, 16 if there is none.
    @inline(__always)
    var index: Int {
      low != 0 ? low.trailingZeroBitCount &>> 3 : 8 &+ high.trailingZeroBitCount &>> 3
    }

    /// The answers without the first `count`, which is 1 to 15; no takes the place of those missing.
    @inline(__always)
    func dropping(_ count: Int) -> Answers {
      let bits = UInt64(truncatingIfNeeded: count) &* 8
      if bits >= 64 { return Answers(low: high &>> (bits &- 64), high: 0) }
      return Answers(low: low &>> bits | high &<< (64 &- bits), high: high &>> bits)
    }
  }

  @inline(__always)
  private static func stops(_ stop: Stop, in block: Block) -> Answers {
    let mask: SIMDMask<SIMD16<Int8>>
    switch stop {
    case .unusualInName:
      mask = .!(letterOrDigit(block) .| (block .== all(0x2D)))
    case .unusualInHost:
      mask = .!(letterOrDigit(block) .| (block &- all(0x2D) .< all(2)))
    case .control:
      mask = block .< all(0x20) .| (block .== all(0x7F))
    case .notPath:
      mask = block &- all(0x21) .> all(0x5D) .| (block .== all(0x23)) .| (block .== all(0x3F))
    case .notQuery:
      mask = block &- all(0x21) .> all(0x5D) .| (block .== all(0x23))
    }
    // Both are sixteen bytes without structure.
    let words = unsafe unsafeBitCast(mask, to: SIMD2<UInt64>.self)
    return Answers(low: UInt64(littleEndian: words.x), high: UInt64(littleEndian: words.y))
  }

  @inline(__always)
  private static func letterOrDigit(_ block: Block) -> SIMDMask<SIMD16<Int8>> {
    ((block | all(0x20)) &- all(0x61) .< all(26)) .| (block &- all(0x30) .< all(10))
  }

  /// Sixteen times the same. (A comparison with a single byte is not one instruction but a loop.)
  @inline(__always)
  private static func all(_ byte: UInt8) -> Block { Block(repeating: byte) }

  /// The same for a view of fewer than sixteen bytes.
  @inline(never)
  private static func firstInShortView(_ stop: Stop, in bytes: ByteView, from: Int, to: Int) -> Int
  {
    var block = Block(repeating: 0)
    for index in from..<to { block[index &- from] = bytes[index] }
    return min(from &+ stops(stop, in: block).index, to)
  }
}

/// Whether it is worth parsing a head again.
package enum HeadScan {
  /// Whether a head's end may lie in `bytes` at or after `from`: an empty line, ended by CR LF or (to
  /// be refused at once) by LF alone. A codec that waits for the rest of a head asks this with what it
  /// had before, and so reads a head that trickles in once instead of once for each read. Empty lines
  /// before the head look like its end.
  package static func mayHoldEnd(_ bytes: ByteView, from: Int) -> Bool {
    var from = max(0, from - 2)  // LF CR may have been there already.
    while let lineFeed = bytes.firstIndex(of: ASCII.lf, from: from) {
      let rest = bytes.count - lineFeed - 1
      if rest >= 1, bytes[lineFeed + 1] == ASCII.lf { return true }
      if rest >= 2, bytes[lineFeed + 1] == ASCII.cr, bytes[lineFeed + 2] == ASCII.lf { return true }
      from = lineFeed + 1
    }
    return false
  }
}
