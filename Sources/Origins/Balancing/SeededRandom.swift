/// Random numbers for choices and pauses, not for secrets: SplitMix64 (Steele, Lea and Flood, 2014). One
/// for each worker, so that nothing is shared; the same seed gives the same numbers.
package struct SeededRandom: RandomNumberGenerator, Sendable {
  private var state: UInt64

  /// Begins at a seed; workers need different ones.
  package init(seed: UInt64) { state = seed }

  /// The next 64 bits.
  @inline(__always)
  package mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    return Self.mix(state)
  }

  /// A number below a bound, which is at least 1. Off by less than 2⁻³² of evenness for bounds below 2³².
  @inline(__always)
  package mutating func below(_ bound: UInt64) -> UInt64 {
    next().multipliedFullWidth(by: bound).high
  }

  /// Spreads a word: each bit of it changes half of the result's.
  @inline(__always)
  static func mix(_ word: UInt64) -> UInt64 {
    var word = word
    word = (word ^ word &>> 30) &* 0xBF58_476D_1CE4_E5B9
    word = (word ^ word &>> 27) &* 0x94D0_49BB_1331_11EB
    return word ^ word &>> 31
  }
}
