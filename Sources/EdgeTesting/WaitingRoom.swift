// Where every task of the kit waits.
//
// Scripts are async functions, and a system call that blocks would take a thread of Swift's small pool
// with it: a few waiting peers, and nothing runs any more. So all sockets are non-blocking, and one
// thread of its own polls those that tasks wait for and resumes the tasks. The same thread keeps the
// deadlines, for sockets and for what has none (descriptor -1, which poll(2) ignores).
//
// A wait is named by a ticket that is taken before it begins. So a wake-up or a cancellation that
// comes between the two is not lost, and one that comes after the end finds no ticket and does nothing.

internal import CLinux
internal import EventLoop
import Synchronization

final class WaitingRoom: Sendable {
  static let shared = WaitingRoom()

  /// How a wait ended.
  enum Outcome: Sendable { case ready, timedOut, cancelled }

  struct Ticket: Hashable, Sendable {
    fileprivate let number: UInt64
  }

  private struct Wait {
    var descriptor: Int32 = -1
    var events: Int16 = 0
    var deadline: Int64 = .max
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

  private init() {
    Machine.raiseDescriptorLimit()
    waker = try? Waker()
    // The room lives as long as the process, and so does its thread.
    _ = LoopThread(name: "kit-wait") { [self] in run() }
  }

  /// A deadline of the kit's patience from now.
  static func deadline(after nanoseconds: Int64 = Patience.nanoseconds) -> Int64 {
    NodeClock().now().monotonic + nanoseconds
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
    _ ticket: Ticket, descriptor: Int32 = -1, events: Int16 = 0, until deadline: Int64
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
  func wait(for descriptor: Int32, events: Int32, until deadline: Int64) async -> Outcome {
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
    while true {
      let watched = state.withLock { state in
        state.waits.filter { $0.value.continuation != nil }
          .map { ($0.key, $0.value.descriptor, $0.value.events, $0.value.deadline) }
      }
      var descriptors = [pollfd(fd: waker.descriptor.number, events: Int16(POLLIN), revents: 0)]
      descriptors += watched.map { pollfd(fd: $0.1, events: $0.2, revents: 0) }
      let earliest = watched.map(\.3).min() ?? .max
      _ = unsafe poll(&descriptors, nfds_t(descriptors.count), Self.milliseconds(until: earliest))
      if descriptors[0].revents != 0 { waker.clear() }
      let now = Self.deadline(after: 0)
      for (entry, polled) in zip(watched, descriptors.dropFirst()) {
        if polled.revents != 0 {
          end(entry.0, .ready)
        } else if entry.3 <= now {
          end(entry.0, .timedOut)
        }
      }
    }
  }

  private static func milliseconds(until deadline: Int64) -> Int32 {
    if deadline == .max { return -1 }
    return Int32(clamping: max(0, deadline - Self.deadline(after: 0)) / 1_000_000 + 1)
  }
}
