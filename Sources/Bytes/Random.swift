internal import CLinux

/// Secrets from the kernel.
public enum Random {
  /// A fresh 128-bit secret. Blocks only before the kernel's pool is first filled, right after boot.
  public static func hash128() -> Hash128 {
    var words: (UInt64, UInt64) = (0, 0)
    let got = unsafe withUnsafeMutableBytes(of: &words) {
      unsafe getrandom($0.baseAddress, $0.count, 0)
    }
    precondition(got == 16, "getrandom failed")
    return Hash128(low: words.0, high: words.1)
  }
}
