import EdgeTesting

/// Clients that ask one after the other, each on its connection, until a test has seen what it waits for: a load
/// of so many seconds may be over before, and a program's own idea of what takes too long is not the test's.
final class Load: Sendable {
  private let isOver = Watched(false)
  private let counts = Watched((answers: 0, failures: [String]()))
  private let clients: Task<Void, Never>

  /// Begins.
  init(port: UInt16, _ path: String, clients: Int) {
    let isOver = isOver
    let counts = counts
    self.clients = Task {
      await withDiscardingTaskGroup { group in
        for _ in 0..<clients {
          group.addTask { await Self.ask(port, path, isOver, counts) }
        }
      }
    }
  }

  deinit { isOver.update { $0 = true } }

  /// Ends it; how many answers there were, and what was not a 200.
  func end() async -> (answers: Int, failures: [String]) {
    isOver.update { $0 = true }
    await clients.value
    return counts.value
  }

  private static func ask(
    _ port: UInt16, _ path: String, _ isOver: Watched<Bool>,
    _ counts: Watched<(answers: Int, failures: [String])>
  ) async {
    var kept: RawClient?
    while !isOver.value {
      do {
        let client: RawClient
        if let kept { client = kept } else { client = try await RawClient.connect(to: port) }
        let response = try await client.get(path)
        kept = response.header("connection") == "close" ? nil : client
        counts.update {
          $0.answers += 1
          if response.status != 200 { $0.failures.append("status \(response.status)") }
        }
      } catch {
        kept = nil
        counts.update { $0.failures.append("\(error)") }
      }
    }
  }
}
