// Limits and windows of an HTTP/2 connection. Each limit has a hostile client in the tests that goes over
// it, and none that a browser, curl or nghttp comes near.

/// How many frames of a kind a connection may send: at once, and in the long run.
package struct FrameRate: Equatable, Sendable {
  /// Frames that may come at once.
  package var burst: Int
  /// Frames a second that are allowed again.
  package var perSecond: Int

  /// A rate; neither may be negative.
  package init(burst: Int, perSecond: Int) {
    self.burst = max(0, burst)
    self.perSecond = max(0, perSecond)
  }
}

/// All there is to set about HTTP/2 towards clients.
package struct HTTP2Options: Sendable {
  /// Streams that may be open at once (SETTINGS_MAX_CONCURRENT_STREAMS), 1 to 1,024.
  package var maxStreams: UInt32 = 128
  /// The largest field section, counted as in RFC 9113 §6.5.2 (name, value and 32 for each field);
  /// larger ones are answered with 431.
  package var maxFieldSection = 32_768
  /// The most fields; more are answered with 431.
  package var maxFields = 100
  /// The longest `:path`; a longer one is answered with 414.
  package var maxTarget = 8_192
  /// Decoded bytes of one field section, counted likewise, at which the connection is ended: a small
  /// block that refers to one large entry again and again (HPACK bomb).
  package var maxDecodedSection = 262_144
  /// CONTINUATION frames behind one HEADERS.
  package var maxContinuations = 8
  /// Compressed bytes of one field section.
  package var maxCompressedSection = 65_536
  /// Streams that the client opens and resets, or has us reset by breaking rules (CVE-2023-44487 and its
  /// relatives). A browser that leaves a page resets all its streams at once.
  package var resets = FrameRate(burst: 300, perSecond: 50)
  /// SETTINGS frames.
  package var settings = FrameRate(burst: 10, perSecond: 1)
  /// PING frames.
  package var pings = FrameRate(burst: 60, perSecond: 10)
  /// PRIORITY and PRIORITY_UPDATE frames.
  package var priorities = FrameRate(burst: 1_000, perSecond: 100)
  /// DATA frames with fewer than 64 bytes that do not end their stream, and frames of unknown types.
  package var tiny = FrameRate(burst: 1_000, perSecond: 2_000)
  /// WINDOW_UPDATE frames.
  package var windowUpdates = FrameRate(burst: 20_000, perSecond: 20_000)
  /// How long content may wait for the client's window, in nanoseconds, unless at least
  /// `stallProgress` bytes of it went out in that time.
  package var stallTime: Int64 = 30_000_000_000
  /// See `stallTime`.
  package var stallProgress = 4_096
  /// A stream's receive window at first: so much content of a request is taken before anybody reads it.
  package var initialWindow: UInt32 = 65_535
  /// What the receive windows of a connection may grow to when the path is long and fat.
  package var maxWindow: UInt32 = 1 << 20
  /// Bytes of HPACK's table for what is sent, 0 to 65,536: memory of each connection that is used.
  package var encoderTable = 4_096
  /// Whether a stream that was answered before its request was complete stays open for the rest, until the
  /// client has said all or `HTTP2Session.reset` is called. Else it is reset at once (RFC 9113 §8.1), which
  /// some clients take for a failure of the whole.
  package var waitsForRequests = false
  /// Whether CONNECT with `:protocol` is taken (RFC 8441).
  package var allowsExtendedConnect = true

  /// The defaults.
  package init() {}
}

/// What is left of a rate; refilled when it is looked at.
struct FrameBudget {
  private var left: Int
  private var since: Int64
  private let rate: FrameRate

  init(_ rate: FrameRate, now: Int64) {
    self.rate = rate
    left = rate.burst
    since = now
  }

  /// Counts one frame; whether it is within the rate. `now` in nanoseconds.
  mutating func take(now: Int64) -> Bool {
    if left > 0 {
      left -= 1
      return true
    }
    guard rate.perSecond > 0 else { return false }
    let (passed, overflow) = now.subtractingReportingOverflow(since)
    // Beyond an hour any budget is full.
    let time = overflow ? 0 : min(max(passed, 0), 3_600_000_000_000)
    let (product, tooMany) = time.multipliedReportingOverflow(by: Int64(rate.perSecond))
    let earned = tooMany ? rate.burst : Int(product / 1_000_000_000)
    guard earned > 0 else { return false }
    since = now
    left = min(earned, max(rate.burst, 1)) - 1
    return true
  }
}
