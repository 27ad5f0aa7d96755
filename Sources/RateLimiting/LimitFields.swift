// The fields that tell a client about its limits.
//
// RateLimit-Policy and RateLimit are lists of structured fields (RFC 9651) as in the IETF's draft
// "RateLimit header fields for HTTP" (draft-ietf-httpapi-ratelimit-headers, versions 08 and later): a
// policy has a name, a quota `q`, a window `w` in seconds, and a unit `qu` if it is not requests; the
// state of one has what remains, `r`, and in how many seconds that is renewed, `t`. Retry-After is RFC
// 9110 §10.2.3; in the draft it takes precedence over `t`.

package import Bytes

extension LimitSet {
  /// Appends the value of RateLimit-Policy for a request's limits, as they are now, without limits that
  /// only count; whether there was anything to append.
  package func appendPolicies(_ checks: borrowing LimitChecks, to buffer: inout ByteBuffer) -> Bool
  {
    var isFirst = true
    for index in 0..<checks.count {
      let limit = limits[Int(checks[index].limit)]
      if limit.isShadow { continue }
      if !isFirst { buffer.append(", ") }
      isFirst = false
      limit.quotedName.withView { buffer.append($0) }
      switch limit.rule {
      case .tokenBucket(let limiter):
        // The draft's window is one in which the quota is not exceeded: that of a whole bucket.
        let policy = limiter.bucketPolicy
        buffer.appendParameter(";q=", policy.quota)
        buffer.appendParameter(";w=", Self.seconds(policy.window))
      case .regional(let limiter):
        let policy = limiter.policy
        buffer.appendParameter(";q=", policy.quota)
        buffer.appendParameter(";w=", Self.seconds(policy.window))
      case .leakyBucket(let limiter):
        let policy = limiter.leakPolicy
        buffer.appendParameter(";q=", policy.quota)
        buffer.appendParameter(";w=", Self.seconds(policy.window))
      case .concurrency(let limiter):
        buffer.appendParameter(";q=", limiter.limit)
        buffer.append(";qu=\"concurrent-requests\"")
      case .quota(let limiter):
        buffer.appendParameter(";q=", limiter.limit)
        buffer.appendParameter(";w=", UInt64(limiter.window.seconds))
      }
    }
    return !isFirst
  }

  /// Appends the value of RateLimit for a request's limits, as they were decided on, without limits
  /// that only count; whether there was anything to append.
  package func appendStates(_ checks: borrowing LimitChecks, to buffer: inout ByteBuffer) -> Bool {
    var isFirst = true
    for index in 0..<checks.count {
      switch checks[index].verdict {
      case .none, .shadowed: continue
      case .allowed, .waits, .refused, .penalised: break
      }
      if !isFirst { buffer.append(", ") }
      isFirst = false
      limits[Int(checks[index].limit)].quotedName.withView { buffer.append($0) }
      buffer.appendParameter(";r=", checks[index].remaining)
      if checks[index].reset > 0, checks[index].reset < .max {
        buffer.appendParameter(";t=", Self.seconds(checks[index].reset))
      }
    }
    return !isFirst
  }

  /// Appends the value of Retry-After: whole seconds, rounded up, since earlier would be refused again,
  /// and at least one; false, and nothing appended, if the request would never pass or nobody knows.
  package static func appendRetryAfter(_ nanoseconds: Int64, to buffer: inout ByteBuffer) -> Bool {
    guard nanoseconds > 0, nanoseconds < .max else { return false }
    buffer.append(decimal: seconds(nanoseconds))
    return true
  }

  private static func seconds(_ nanoseconds: Int64) -> UInt64 {
    let (seconds, rest) = max(nanoseconds, 1).quotientAndRemainder(dividingBy: 1_000_000_000)
    return UInt64(seconds) + (rest > 0 ? 1 : 0)
  }
}

extension ByteBuffer {
  /// Appends a parameter that is an integer of a structured field: at most fifteen digits.
  fileprivate mutating func appendParameter(_ name: StaticString, _ value: UInt64) {
    append(name)
    append(decimal: min(value, 999_999_999_999_999))
  }
}
