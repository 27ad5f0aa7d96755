import Bytes
import Cryptography
import Testing

/// Bytes of hexadecimal text.
func hex(_ text: String) -> [UInt8] {
  let digits = text.utf8.compactMap(ASCII.hexValue)
  return stride(from: 0, to: digits.count - 1, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
}

/// Bytes of base64url text.
func base64(_ text: String) throws -> [UInt8] {
  try #require(text.withView { Base64URL.decode($0) })
}

extension VerificationKey {
  func accepts(_ message: [UInt8], _ signature: [UInt8]) -> Bool {
    message.withView { message in
      signature.withView { verifies(message, signature: $0) }
    }
  }
}

/// The same numbers on every run (SplitMix64, Steele et al., 2014).
struct SeededNumbers: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var word = state
    word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
    word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
    return word ^ (word >> 31)
  }
}
