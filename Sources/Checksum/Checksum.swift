package import Bytes
internal import CXXHash

/// XXH3-64: finds damage, not forgery. About 0.1 ns a byte.
package enum Checksum {
  /// The checksum of the bytes.
  package static func of(_ bytes: ByteView) -> UInt64 {
    // Safe: the view covers `count` readable bytes.
    unsafe XXH3_64bits(bytes.baseAddress, bytes.count)
  }
}
