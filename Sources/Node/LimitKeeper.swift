internal import Edge
internal import EventLoop

/// Writes what quotas have used beside the store, each minute and in the end, on a thread of its own.
final class LimitKeeper: Sendable {
  private static let period: Int32 = 60_000
  private let limits: @Sendable () -> NodeLimits
  private let directory: String
  private let note: @Sendable (String) -> Void
  private let thread: RepeatingThread

  init(
    _ limits: @escaping @Sendable () -> NodeLimits, directory: String,
    note: @escaping @Sendable (String) -> Void
  ) throws(Errno) {
    self.limits = limits
    self.directory = directory
    self.note = note
    thread = try RepeatingThread()
  }

  func start() {
    thread.start("weir-quotas", pause: { Self.period }) { [limits, directory, note] in
      limits().saveQuotas(to: directory) { note("limits: \($0)") }
    }
  }

  /// Writes once more and ends. To be called when no worker decides any more.
  func stop() { thread.stop() }
}
