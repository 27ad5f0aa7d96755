internal import Bytes
internal import HTTPMessage

/// What is noted of an answer.
struct Answer {
  var status: UInt16 = 0
  var verdict = CacheVerdict.unknown
  var hasRetryAfter = false
  var hasRateLimitField = false
  var contentBytes: UInt64 = 0

  /// Notes what a head says.
  mutating func note(_ head: ResponseHead) {
    status = head.status
    verdict = CacheVerdict.of(status: status, head.fields, head.bytes)
    guard status == 429 else { return }
    hasRetryAfter = head.fields.contains(.retryAfter)
    hasRateLimitField = Self.hasRateLimitField(head)
  }

  /// Whether a limit explains itself: `RateLimit`, `RateLimit-Policy`, `X-RateLimit-…`.
  private static func hasRateLimitField(_ head: ResponseHead) -> Bool {
    let (field, older) = (ByteView("ratelimit"), ByteView("x-ratelimit"))
    for index in 0..<head.fields.count where head.fields[index].known == .other {
      let name = head.fields[index].name(in: head.bytes)
      if name.prefix(field.count).equalsIgnoringCase(field)
        || name.prefix(older.count).equalsIgnoringCase(older)
      {
        return true
      }
    }
    return false
  }
}
