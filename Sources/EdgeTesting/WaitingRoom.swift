// Where every task of the kit waits.
//
// Scripts are async functions, and a system call that blocks would take a thread of Swift's small pool
// with it: a few waiting peers, and nothing runs any more. So all sockets are non-blocking, and one
// thread of its own polls those that tasks wait for and resumes the tasks. The same thread keeps the
// deadlines, for sockets and for what has none (descriptor -1, which poll(2) ignores).
//
// A wait is named by a ticket that is taken before it begins. So a wake-up or a cancellation that
// comes between the two is not lost, and one that comes after the end finds no ticket and does nothing.
//
// Patience is not time. Hundreds of tests share a pool of as many threads as there are processors, and
// while a few of them compute, the others' scripts stand still and nothing hangs. So the room's thread
// lets a task of its own go round the pool again and again, and patience passes only as fast as that
// task comes back. What truly hangs leaves the pool idle, and there patience passes like time.

internal import CLinux
internal import EventLoop
import Synchronization

final class WaitingRoom: Sendable {
  static let shared = WaitingRoom()

  /// How a wait ended.
  enum Outcome: Sendable { case ready, timedOut, cancelled }

  /// When a wait ends by itself.
  enum Deadline: Sendable {
    case never
    /// At a time of the monotonic clock.
    case time(Int64)
    /// When so much patience has passed, and in any case at a time far beyond it: a pool that a test
    /// blocks for ever must not hide that.
    case patience(Int64, atLatest: Int64)
  }

  struct Ticket: Hashable, Sendable {
    fileprivate let number: UInt64
  }

  private struct Wait {
    var descriptor: Int32 = -1
    var events: Int16 = 0
    var deadline = Deadline.never
    var continuation: CheckedContinuation<Outcome, Never>?
    /// What happened before the wait began.
    var early: Outcome?
  }

  private struct State {
    var issued: UInt64 = 0
    var waits: [Ticket: Wait] = [:]
  }

  private let state = Mutex(State())
  private let waker: Waker?
  /// Nanoseconds of patience that have passed, and whether the task that measures it is back.
  private let passed = Atomic<Int64>(0)
  private let isBack = Atomic(true)

  private init() {
    Machine.raiseDescriptorLimit()
    waker = try? Waker()
    // The room lives as long as the process, and so does its thread.
    _ = LoopThread(name: "kit-wait") { [self] in run() }
  }

  /// The end of the kit's patience from now on.
  static func patience() -> Deadline {
    .patience(
      shared.passed.load(ordering: .relaxed) + Patience.nanoseconds,
      atLatest: now + 10 * Patience.nanoseconds)
  }

  /// So many nanoseconds from now.
  static func deadline(after nanoseconds: Int64) -> Deadline { .time(now + nanoseconds) }

  private static var now: Int64 { NodeClock().now().monotonic }

  /// Whether a deadline has come.
  func hasPassed(_ deadline: Deadline) -> Bool {
    switch deadline {
    case .never: false
    case .time(let time): time <= Self.now
    case .patience(let patience, let latest):
      patience <= passed.load(ordering: .relaxed) || latest <= Self.now
    }
  }

  func takeTicket() -> Ticket {
    state.withLock { state in
      state.issued += 1
      let ticket = Ticket(number: state.issued)
      state.waits[ticket] = Wait()
      return ticket
    }
  }

  /// Waits until the descriptor is ready, the ticket is woken, or the deadline has passed.
  func wait(
    _ ticket: Ticket, descriptor: Int32 = -1, events: Int16 = 0, until deadline: Deadline
  ) async -> Outcome {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let early: Outcome? = state.withLock { state in
          if let early = state.waits[ticket]?.early {
            state.waits[ticket] = nil
            return early
          }
          state.waits[ticket] = Wait(
            descriptor: descriptor, events: events, deadline: deadline, continuation: continuation)
          return nil
        }
        if let early { continuation.resume(returning: early) } else { waker?.wake() }
      }
    } onCancel: {
      end(ticket, .cancelled)
    }
  }

  /// Waits for a descriptor.
  func wait(for descriptor: Int32, events: Int32, until deadline: Deadline) async -> Outcome {
    await wait(
      takeTicket(), descriptor: descriptor, events: Int16(truncatingIfNeeded: events),
      until: deadline)
  }

  /// Ends a wait that nobody's descriptor ends.
  func wake(_ ticket: Ticket) { end(ticket, .ready) }

  /// Ends the waits for a descriptor that is about to be closed.
  func abandon(descriptor: Int32) {
    let tickets = state.withLock { state in
      state.waits.filter { $0.value.descriptor == descriptor }.map(\.key)
    }
    for ticket in tickets { end(ticket, .ready) }
  }

  private func end(_ ticket: Ticket, _ outcome: Outcome) {
    let continuation: CheckedContinuation<Outcome, Never>? = state.withLock { state in
      guard let wait = state.waits[ticket] else { return nil }
      if wait.continuation == nil {
        state.waits[ticket]?.early = outcome
      } else {
        state.waits[ticket] = nil
      }
      return wait.continuation
    }
    continuation?.resume(returning: outcome)
  }

  private func run() {
    guard let waker else { return }
    var lastTick: Int64 = 0
    while true {
      let watched = state.withLock { state in
        state.waits.filter { $0.value.continuation != nil }
          .map { (ticket: $0.key, wait: $0.value) }
      }
      var descriptors = [pollfd(fd: waker.descriptor.number, events: Int16(POLLIN), revents: 0)]
      descriptors += watched.map {
        pollfd(fd: $0.wait.descriptor, events: $0.wait.events, revents: 0)
      }
      let timeout = watched.map { Self.milliseconds(until: $0.wait.deadline) }.min() ?? .max
      _ = unsafe poll(&descriptors, nfds_t(descriptors.count), timeout == .max ? -1 : timeout)
      if descriptors[0].revents != 0 { waker.clear() }
      passPatience(since: &lastTick)
      for (entry, polled) in zip(watched, descriptors.dropFirst()) {
        if polled.revents != 0 {
          end(entry.ticket, .ready)
        } else if hasPassed(entry.wait.deadline) {
          end(entry.ticket, .timedOut)
        }
      }
    }
  }

  /// Adds to the patience what has passed since the last time, if the pool's task is back, but never
  /// more than a tick; and sends the task on its way again.
  private func passPatience(since lastTick: inout Int64) {
    let (now, tick) = (Self.now, Int64(100_000_000))
    guard now - lastTick >= tick / 2, isBack.load(ordering: .acquiring) else { return }
    passed.add(min(now - lastTick, tick), ordering: .relaxed)
    lastTick = now
    isBack.store(false, ordering: .relaxed)
    Task.detached { [self] in isBack.store(true, ordering: .releasing) }
  }

  private static func milliseconds(until deadline: Deadline) -> Int32 {
    switch deadline {
    case .never: .max
    case .time(let time): Int32(clamping: max(0, time - now) / 1_000_000 + 1)
    case .patience: 100
    }
  }
}
