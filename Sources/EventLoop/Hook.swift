import Synchronization

/// A function that one part of the node gives another to call: set and called by any thread.
///
/// Not a `Mutex` of a function: whoever looks into that is given the function in the form that calls of a
/// known type take, and what is put back when the lock ends is a function around it in the form that generic
/// code takes. Each look would leave two more functions around the one that was set, and each call go through all of
/// them: after a million it would take milliseconds. In a field of a structure a function stays as it is.
package final class Hook<Argument>: Sendable {
  private struct Content {
    var body: (@Sendable (Argument) -> Void)?
  }
  private let content = Mutex(Content())

  /// A hook on which nothing hangs.
  package init() {}

  /// Hangs a function on it in place of the one before; nil: none.
  package func set(_ body: (@Sendable (Argument) -> Void)?) {
    content.withLock { $0.body = body }
  }

  /// Calls the function, on this thread and under no lock; false if there is none.
  @discardableResult
  package func call(_ argument: Argument) -> Bool {
    guard let body = content.withLock({ $0.body }) else { return false }
    body(argument)
    return true
  }
}
