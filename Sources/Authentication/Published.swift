internal import Synchronization

/// A value that one thread replaces and many read: keys, passwords. A reader keeps its own copy and
/// looks at the generation, which costs an atomic load, to know when to take a new one.
package final class Published<Value: Sendable>: Sendable {
  private let number = Atomic<UInt64>(1)
  private let value: Mutex<Value>

  /// Publishes a first value, as generation 1.
  package init(_ value: Value) { self.value = Mutex(value) }

  /// The generation of the value: grows each time that the value is replaced.
  package var generation: UInt64 { number.load(ordering: .acquiring) }

  /// The value with its generation.
  package var current: (value: Value, generation: UInt64) {
    // The number is raised under the lock, so that the two belong together.
    value.withLock { ($0, number.load(ordering: .relaxed)) }
  }

  /// Replaces the value.
  package func publish(_ new: Value) {
    value.withLock {
      $0 = new
      number.add(1, ordering: .releasing)
    }
  }
}
