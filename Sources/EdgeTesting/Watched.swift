import Synchronization

/// A value that tasks can wait on: everything that orders scripts is made of it.
///
///     let seen = Watched(0)
///     seen.update { $0 += 1 }
///     try await seen.wait(for: "two requests") { $0 == 2 }
package final class Watched<Value: Sendable>: Sendable {
  private struct State {
    var value: Value
    var tickets: [WaitingRoom.Ticket] = []
  }
  private let state: Mutex<State>

  /// A value.
  package init(_ value: Value) { state = Mutex(State(value: value)) }

  /// The value now.
  package var value: Value { state.withLock { $0.value } }

  /// Changes the value and lets those that wait look again.
  @discardableResult
  package func update<Result: Sendable>(_ body: @Sendable (inout Value) -> Result) -> Result {
    let (result, tickets) = state.withLock { state in
      let result = body(&state.value)
      let tickets = state.tickets
      state.tickets = []
      return (result, tickets)
    }
    for ticket in tickets { WaitingRoom.shared.wake(ticket) }
    return result
  }

  /// Waits until the value is as `condition` wants it, and returns it. `what` names it in the failure.
  @discardableResult
  package func wait(
    for what: String, until condition: @Sendable (Value) -> Bool
  ) async throws(PeerFailure) -> Value {
    let deadline = WaitingRoom.patience()
    while true {
      let (value, ticket) = look(condition)
      guard let ticket else { return value }
      let outcome = await WaitingRoom.shared.wait(ticket, until: deadline)
      switch outcome {
      case .ready: continue
      case .timedOut: throw PeerFailure(.timedOut, "waited for \(what); it is \(value)")
      case .cancelled: throw PeerFailure(.cancelled, "while waiting for \(what)")
      }
    }
  }

  /// The value, and, unless it is as `condition` wants it, a ticket that the next change wakes. Whoever
  /// takes the ticket must wait with it.
  func look(_ condition: @Sendable (Value) -> Bool) -> (Value, WaitingRoom.Ticket?) {
    state.withLock { state in
      if condition(state.value) { return (state.value, nil) }
      let ticket = WaitingRoom.shared.takeTicket()
      state.tickets.append(ticket)
      return (state.value, ticket)
    }
  }
}

/// Something that happens once: those that wait for it go on, then and ever after.
package struct Signal: Sendable {
  private let sent = Watched(false)
  private let name: String

  /// A signal; the name is what a failure calls it.
  package init(_ name: String = "a signal") { self.name = name }

  /// Whether it has been sent.
  package var isSent: Bool { sent.value }
  /// Lets everybody go on.
  package func send() { sent.update { $0 = true } }
  /// Waits for it.
  package func wait() async throws(PeerFailure) { try await sent.wait(for: name) { $0 } }
}

/// A place where so many scripts meet before any of them goes on. It can be used again.
package struct Barrier: Sendable {
  private let arrived = Watched(0)
  private let parties: Int
  private let name: String

  /// A meeting of `parties` scripts, at least 1.
  package init(_ parties: Int, _ name: String = "a barrier") {
    precondition(parties >= 1, "a barrier needs somebody to meet")
    self.parties = parties
    self.name = name
  }

  /// Waits for the others.
  package func arrive() async throws(PeerFailure) {
    let parties = parties
    let round = arrived.update { count in
      count += 1
      return (count - 1) / parties + 1
    }
    try await arrived.wait(for: "\(parties) at \(name)") { $0 >= round * parties }
  }
}

/// Looks again and again, every few milliseconds, until `condition` holds: for what changes without
/// telling anybody (a file, a counter). What tells is better waited for with a `Watched`.
package func eventually(
  _ what: String, _ condition: () async throws -> Bool
) async throws {
  let deadline = WaitingRoom.patience()
  while try await !condition() {
    let pause = WaitingRoom.deadline(after: 2_000_000)
    let outcome = await WaitingRoom.shared.wait(for: -1, events: 0, until: pause)
    if outcome == .cancelled { throw PeerFailure(.cancelled, "while waiting until \(what)") }
    if WaitingRoom.shared.hasPassed(deadline) {
      throw PeerFailure(.timedOut, "waited until \(what)")
    }
  }
}
