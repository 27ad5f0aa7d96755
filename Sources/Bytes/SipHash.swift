/// A 128-bit keyed hash.
public struct Hash128: Hashable, Sendable {
  /// The first eight bytes of the digest, little-endian.
  public var low: UInt64
  /// The last eight.
  public var high: UInt64

  /// A hash of two words.
  @inlinable
  public init(low: UInt64, high: UInt64) {
    self.low = low
    self.high = high
  }
}

/// SipHash with a secret key, so that nobody outside can choose colliding keys (Aumasson and
/// Bernstein, 2012). The tables use SipHash-1-3, as Rust's and Python's do; 2-4 is there for its
/// published vectors.
public struct SipHash: Sendable {
  /// The secret, 128 bits.
  public let key: Hash128
  @usableFromInline let compressionRounds: Int
  @usableFromInline let finalizationRounds: Int

  /// A hash function with the given secret.
  public init(key: Hash128, compressionRounds: Int = 1, finalizationRounds: Int = 3) {
    self.key = key
    self.compressionRounds = compressionRounds
    self.finalizationRounds = finalizationRounds
  }

  /// The 128-bit hash of the bytes.
  @inlinable
  public func hash(_ bytes: ByteView) -> Hash128 {
    var state = State(key: key)
    var offset = 0
    while bytes.count - offset >= 8 {
      state.absorb(bytes.uint64(at: offset), rounds: compressionRounds)
      offset += 8
    }
    var last = UInt64(truncatingIfNeeded: bytes.count) &<< 56
    var shift: UInt64 = 0
    while offset < bytes.count {
      last |= UInt64(bytes[offset]) &<< shift
      shift &+= 8
      offset += 1
    }
    state.absorb(last, rounds: compressionRounds)
    return state.finish(rounds: finalizationRounds)
  }

  /// The 128-bit hash of two words, for keys that are numbers (an address).
  @inlinable
  public func hash(_ first: UInt64, _ second: UInt64) -> Hash128 {
    var state = State(key: key)
    state.absorb(first, rounds: compressionRounds)
    state.absorb(second, rounds: compressionRounds)
    state.absorb(16 &<< 56, rounds: compressionRounds)
    return state.finish(rounds: finalizationRounds)
  }

  @usableFromInline
  struct State {
    @usableFromInline var v0: UInt64
    @usableFromInline var v1: UInt64
    @usableFromInline var v2: UInt64
    @usableFromInline var v3: UInt64

    @inlinable @inline(__always)
    init(key: Hash128) {
      v0 = key.low ^ 0x736f_6d65_7073_6575
      v1 = key.high ^ 0x646f_7261_6e64_6f6d ^ 0xee
      v2 = key.low ^ 0x6c79_6765_6e65_7261
      v3 = key.high ^ 0x7465_6462_7974_6573
    }

    @inlinable @inline(__always)
    mutating func round() {
      v0 &+= v1
      v1 = v1 &<< 13 | v1 &>> 51
      v1 ^= v0
      v0 = v0 &<< 32 | v0 &>> 32
      v2 &+= v3
      v3 = v3 &<< 16 | v3 &>> 48
      v3 ^= v2
      v0 &+= v3
      v3 = v3 &<< 21 | v3 &>> 43
      v3 ^= v0
      v2 &+= v1
      v1 = v1 &<< 17 | v1 &>> 47
      v1 ^= v2
      v2 = v2 &<< 32 | v2 &>> 32
    }

    @inlinable @inline(__always)
    mutating func absorb(_ word: UInt64, rounds: Int) {
      v3 ^= word
      for _ in 0..<rounds { round() }
      v0 ^= word
    }

    @inlinable @inline(__always)
    mutating func finish(rounds: Int) -> Hash128 {
      v2 ^= 0xee
      for _ in 0..<rounds { round() }
      let low = v0 ^ v1 ^ v2 ^ v3
      v1 ^= 0xdd
      for _ in 0..<rounds { round() }
      return Hash128(low: low, high: v0 ^ v1 ^ v2 ^ v3)
    }
  }
}
