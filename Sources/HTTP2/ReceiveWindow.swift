// How large the receive windows should be. What a client can send in a round trip is bandwidth × delay; a
// smaller window slows it down, a larger one only fills memory. As gRPC does it: while content comes in, a
// PING goes out, and what arrives before its answer is what the path holds. If that is most of the window,
// the window is the limit, and is doubled.
//
// What a window grows by is memory that the client may fill when the origin stands still. So there is a limit
// for a connection, and one budget for all connections of a worker, out of which each growth is taken and
// into which it goes back with the connection.

/// What the windows of many connections may grow by in all. Belongs to one thread.
package final class WindowBudget {
  /// Bytes that are left.
  package private(set) var left: Int

  /// A budget of so many bytes.
  package init(bytes: Int) { left = max(0, bytes) }

  fileprivate func take(_ count: Int) -> Bool {
    guard count <= left else { return false }
    left -= count
    return true
  }

  fileprivate func give(_ count: Int) { left += count }
}

/// Estimates the bandwidth-delay product of a connection.
struct ReceiveWindow: ~Copyable {
  /// The window as it is now.
  private(set) var size: UInt32
  private let initial: UInt32
  private let limit: UInt32
  private let budget: WindowBudget?
  private var isMeasuring = false
  private var received = 0

  init(initial: UInt32, limit: UInt32, budget: WindowBudget? = nil) {
    size = initial
    self.initial = initial
    self.budget = budget
    self.limit = max(initial, min(limit, 0x7FFF_FFFF))
  }

  deinit { budget?.give(Int(size - initial)) }

  /// Whether it is larger than a stream's is at first.
  var hasGrown: Bool { size > initial }

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
    let wanted = UInt32(min(UInt64(limit), UInt64(size) * 2))
    guard budget?.take(Int(wanted - size)) ?? true else { return nil }
    size = wanted
    return size
  }
}
