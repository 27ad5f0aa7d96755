package import Bytes
internal import COpenSSL

/// Comparing secrets.
package enum ConstantTime {
  /// Whether both are the same, in a time that depends on their lengths only.
  package static func equal(_ left: ByteView, _ right: ByteView) -> Bool {
    guard left.count == right.count else { return false }
    // Safe: both views cover `count` readable bytes.
    return unsafe CRYPTO_memcmp(left.baseAddress, right.baseAddress, left.count) == 0
  }
}

/// Bytes that nobody can guess.
package enum SecureRandom {
  /// `count` fresh bytes.
  package static func bytes(_ count: Int) throws(OpenSSLError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    ErrorQueue.clear()
    // Safe: the array has `count` bytes.
    try unsafe check(RAND_bytes(&bytes, Int32(clamping: count)))
    return bytes
  }
}
