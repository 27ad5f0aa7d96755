// Whether, when and until when a request is tried again: one value for each request, that its owner asks
// after each failure. It holds no clock and starts nothing.

package import HTTPMessage

/// How a try failed.
package enum TryFailure: Sendable, Equatable {
  /// No connection: the server has seen nothing.
  case connect
  /// A connection took too long.
  case connectTimeout
  /// The answer's head took too long.
  case timeout
  /// The connection broke before the answer's head.
  case reset
  /// A kept connection had been ended by the server, without a byte: it may have done so before it saw
  /// the request (RFC 9112 §9.3.1).
  case staleConnection
  /// The server said that it has not looked at the request (REFUSED_STREAM, RFC 9113 §8.7).
  case refused
  /// What came is not HTTP.
  case malformed
  /// An answer with that status. `retryAfter`: what the origin asked for, in nanoseconds from now.
  case status(UInt16, retryAfter: Int64?)

  /// Whether the server has certainly not acted on the request.
  var isUnseen: Bool {
    switch self {
    case .connect, .connectTimeout, .refused: true
    case .timeout, .reset, .staleConnection, .malformed, .status: false
    }
  }

  /// Whether it says nothing of the server: the connection was at its end.
  var isNobodysFault: Bool {
    switch self {
    case .staleConnection, .refused: true
    case .connect, .connectTimeout, .timeout, .reset, .malformed, .status: false
    }
  }
}

/// Why there is no further try.
package enum TryRefusal: Sendable, Equatable {
  /// The pool does not retry.
  case off
  /// The method is not idempotent, and the server may have acted (RFC 9110 §9.2.2).
  case notIdempotent
  /// Content has gone out that cannot be sent again, or the client has had a part of the answer.
  case notReplayable
  /// So many tries were made.
  case limit
  /// The pool's budget is spent.
  case budget
  /// There is no time left.
  case deadline
  /// The answer is not one that another try could better.
  case final
}

/// What to do after a failure.
package enum TryDecision: Sendable, Equatable {
  /// Try again after so many nanoseconds, on another server if there is one.
  case again(pause: Int64)
  /// Answer with what there is.
  case stop(TryRefusal)
}

/// A request's tries; see the top of this file.
package struct TryPlan: Sendable {
  private let settings: RetrySettings?
  private let isIdempotent: Bool
  private let end: Int64
  /// Further tries so far, hedges with them.
  package private(set) var retries = 0
  private var triedStale = false

  /// The plan of a request that begins now (monotonic).
  package init(settings: RetrySettings?, method: Method, now: Int64) {
    self.init(settings: settings, isIdempotent: method.isIdempotent, now: now)
  }

  init(settings: RetrySettings?, isIdempotent: Bool, now: Int64) {
    self.settings = settings
    self.isIdempotent = isIdempotent
    end = settings.map { now &+ max($0.overall, 0) } ?? Int64.max
  }

  /// Whether a failure is held against nobody: once. A server that refuses a request twice, or loses it
  /// twice, is not the one for it.
  func excuses(_ failure: TryFailure) -> Bool { failure.isNobodysFault && !triedStale }

  /// Until when a try that begins now has to have the answer's head, given the pool's own timeout.
  package func deadline(now: Int64, timeout: Int64) -> Int64 {
    var length = max(timeout, 0)
    if let perTry = settings?.perTry { length = min(length, max(perTry, 0)) }
    let (time, overflow) = now.addingReportingOverflow(length)
    return min(overflow ? .max : time, end)
  }

  /// What to do after a failure. `isReplayable`: all content that went out can be sent again, and the
  /// client has seen nothing. `hasOther`: there is a server that was not tried; else a `Retry-After` is
  /// waited for. `withdraw` takes one try from the pool's budget, if there is one; it is asked last and
  /// only if everything else allows the try.
  mutating func after(
    _ failure: TryFailure, isReplayable: Bool, hasOther: Bool, now: Int64,
    random: inout SeededRandom, withdraw: () -> Bool
  ) -> TryDecision {
    guard isReplayable else { return .stop(.notReplayable) }
    guard isIdempotent || failure.isUnseen else { return .stop(.notIdempotent) }
    if failure.isNobodysFault, !triedStale {
      // Once, at once, and not from the budget: it costs the origin nothing that an idle connection
      // was closed, and there are never more of these than kept connections.
      triedStale = true
      return now < end ? .again(pause: 0) : .stop(.deadline)
    }
    guard let settings else { return .stop(.off) }
    var least: Int64 = 0
    if case .status(let status, let retryAfter) = failure {
      guard settings.statuses.contains(status) else { return .stop(.final) }
      if !hasOther { least = retryAfter ?? 0 }
    }
    guard retries < settings.limit else { return .stop(.limit) }
    // The first goes at once where another server is left: that one has not failed.
    let pause =
      hasOther && retries == 0
      ? 0
      : max(
        least,
        Backoff.pause(
          retry: retries + 1, first: settings.backoff, longest: settings.longestBackoff,
          random: &random))
    guard pause < end &- now else { return .stop(.deadline) }
    guard withdraw() else { return .stop(.budget) }
    retries += 1
    return .again(pause: pause)
  }

  /// Whether a second try may be sent while the first is still out.
  mutating func hedge(isReplayable: Bool, now: Int64, withdraw: () -> Bool) -> Bool {
    guard let settings, settings.hedges, isReplayable, isIdempotent, retries < settings.limit,
      now < end, withdraw()
    else { return false }
    retries += 1
    return true
  }
}
