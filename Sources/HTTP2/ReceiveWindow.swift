// How large the receive windows should be. What a client can send in a round trip is bandwidth × delay; a
// smaller window slows it down, a larger one only fills memory. As gRPC does it: while content comes in, a
// PING goes out, and what arrives before its answer is what the path holds. If that is most of the window,
// the window is the limit, and is doubled.

/// Estimates the bandwidth-delay product of a connection.
struct ReceiveWindow {
  /// The window as it is now.
  private(set) var size: UInt32
  private let limit: UInt32
  private var isMeasuring = false
  private var received = 0

  init(initial: UInt32, limit: UInt32) {
    size = initial
    self.limit = max(initial, min(limit, 0x7FFF_FFFF))
  }

  /// Counts content that came in; whether a PING is to be sent now.
  mutating func receive(_ count: Int) -> Bool {
    received = received.addingReportingOverflow(count).partialValue
    // A quarter of the window says that more than a form is being sent.
    guard !isMeasuring, size < limit, received >= Int(size) / 4 else { return false }
    isMeasuring = true
    received = 0
    return true
  }

  /// The PING's answer has come; the new window if there is one.
  mutating func answered() -> UInt32? {
    guard isMeasuring else { return nil }
    isMeasuring = false
    guard received >= Int(size) / 3 * 2 else { return nil }
    size = UInt32(min(UInt64(limit), UInt64(size) * 2))
    return size
  }
}
