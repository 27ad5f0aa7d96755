internal import Accounting
internal import EventLoop

/// Has the accounts written each minute and in the end, on a thread of its own.
final class AccountKeeper: Sendable {
  private let book: AccountingBook
  private let clock: NodeClock
  private let thread: RepeatingThread

  init(_ book: AccountingBook, clock: NodeClock) throws(Errno) {
    self.book = book
    self.clock = clock
    thread = try RepeatingThread()
  }

  func start() {
    thread.follow(clock)
    thread.start("weir-accounts", pause: { [clock] in Self.pause(clock) }) { [book, clock] in
      book.update(now: clock.now().wall)
    }
  }

  /// Until the minute ends, so that hours do.
  private static func pause(_ clock: NodeClock) -> Int32 {
    clock.standsStill ? -1 : Int32(60_000 - max(clock.now().wall, 0) % 60_000)
  }

  /// Writes once more and ends. To be called when no worker counts any more.
  func stop() { thread.stop() }
}
