internal import Synchronization

/// The numbers that routes have in figures and in the log: one for each name, for the life of the process,
/// whatever configurations come and go, so that a route that is moved in the file goes on counting.
package final class RouteNames: Sendable {
  private struct State {
    var names: [String]
    var numbers: [String: Int] = [:]
  }
  private let state: Mutex<State>

  /// Names that have the numbers from 0 on.
  package init(_ names: [String]) {
    var state = State(names: names)
    for (number, name) in names.enumerated() { state.numbers[name] = number }
    self.state = Mutex(state)
  }

  /// The number of a name; the next one, if it has none yet.
  package func number(of name: String) -> Int {
    state.withLock { state in
      if let number = state.numbers[name] { return number }
      state.names.append(name)
      state.numbers[name] = state.names.count - 1
      return state.names.count - 1
    }
  }

  /// All names, by their numbers.
  package var all: [String] { state.withLock { $0.names } }
}
