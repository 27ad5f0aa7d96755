package import Bytes
internal import HTTPMessage

/// `Retry-After` (RFC 9110 §10.2.3).
package enum RetryAfter {
  /// Nanoseconds from now that the origin asks for, at most `longest`; nil if the value is neither
  /// seconds nor a date. `wall`: milliseconds since the epoch.
  package static func delay(_ value: ByteView, wall: Int64, longest: Int64) -> Int64? {
    let value = value.trimmingWhitespace
    guard let seconds = seconds(value) ?? date(value, wall: wall) else { return nil }
    let limit = max(longest, 0)
    return seconds > limit / 1_000_000_000 ? limit : seconds * 1_000_000_000
  }

  private static func seconds(_ value: ByteView) -> Int64? {
    guard !value.isEmpty else { return nil }
    var seconds: Int64 = 0
    for index in 0..<value.count {
      guard ASCII.isDigit(value[index]) else { return nil }
      seconds = min(seconds * 10 + Int64(value[index] &- 0x30), 1 << 40)
    }
    return seconds
  }

  private static func date(_ value: ByteView, wall: Int64) -> Int64? {
    HTTPDate.parse(value, now: wall / 1000).map { max(0, $0 - wall / 1000) }
  }
}
