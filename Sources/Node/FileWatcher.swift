internal import Edge
internal import EventLoop

/// Looks at the files that may change while the node runs, every two seconds, on a thread of its own.
final class FileWatcher: Sendable {
  private static let period: Int32 = 2_000
  private let clock: NodeClock
  private let look: @Sendable () -> [FileReload]
  private let note: @Sendable (String) -> Void
  private let thread: RepeatingThread

  /// `look` reads again what has changed.
  init(
    clock: NodeClock, note: @escaping @Sendable (String) -> Void,
    look: @escaping @Sendable () -> [FileReload]
  ) throws(Errno) {
    self.clock = clock
    self.note = note
    self.look = look
    thread = try RepeatingThread()
  }

  func start() {
    thread.follow(clock)
    thread.start("weir-watch", pause: { [clock] in clock.standsStill ? -1 : Self.period }) {
      [look, note] in
      for reload in look() { note("files: \(reload.text)") }
    }
  }

  func stop() { thread.stop() }
}
