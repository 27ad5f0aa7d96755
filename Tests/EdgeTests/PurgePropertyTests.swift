// purge(T) reaches exactly the objects that carry T: random traffic, purges in the midst of it, restarts
// and kills, against what the origin remembers of its own answers.
//
// The origin numbers its answers in the order in which it is asked, and says in each its number and its
// tags. A purge is known by the last number when it was sent, and when it was answered. Then
//
//   gone    no answer that was asked for before a purge of one of its tags was sent is served afterwards
//   kept    an answer that was asked for after every purge of its tags was answered is still there (one
//           that was under way beside such a purge may have begun before it)

import EdgeTesting
import ObjectStore
import Synchronization
import Testing

/// What the origin and the purges have been.
private final class PurgeModel: Sendable {
  private struct State {
    var answers: [Int: (target: String, tags: Set<String>)] = [:]
    var last = 0
    /// For each tag the numbers at which its last purge was sent and answered.
    var sent: [String: Int] = [:]
    var answered: [String: Int] = [:]
    /// The number of the answer that a URL's last request got.
    var stored: [String: Int] = [:]
    /// Tags that were purged while an answer was fetched: it may have begun before.
    var doubtful: [Int: Set<String>] = [:]
  }
  private let state = Mutex(State())

  func answer(_ target: String, tags: Set<String>) -> Int {
    state.withLock { state in
      state.last += 1
      state.answers[state.last] = (target, tags)
      return state.last
    }
  }

  func noteGot(_ target: String, _ number: Int, during purged: [String]) {
    state.withLock { state in
      state.stored[target] = number
      state.doubtful[number, default: []].formUnion(purged)
    }
  }

  func begin(_ tags: [String]) {
    state.withLock { state in for tag in tags { state.sent[tag] = state.last } }
  }

  func end(_ tags: [String]) {
    state.withLock { state in for tag in tags { state.answered[tag] = state.last } }
  }

  /// Whether an answer must be gone, and whether it must still be there.
  func verdict(_ number: Int) -> (mustBeGone: Bool, mustBeKept: Bool) {
    state.withLock { state in
      guard let answer = state.answers[number] else { return (true, false) }
      return (
        answer.tags.contains { number <= state.sent[$0] ?? 0 },
        answer.tags.isDisjoint(with: state.doubtful[number] ?? [])
          && answer.tags.allSatisfy { number > state.answered[$0] ?? 0 }
      )
    }
  }

  func number(of target: String) -> Int? { state.withLock { $0.stored[target] } }
}

@Suite struct PurgePropertyTests {
  @Test(arguments: [1, 2, 3] as [UInt64])
  func `a purge reaches exactly what carries the tag`(_ seed: UInt64) async throws {
    var random = SeededRandom(seed)
    let model = PurgeModel()
    let tags = (0..<8).map { "tag-\($0)" }
    let origin = try await ScriptedOrigin.answering { request in
      // The tags of an answer come with the request, so that the test alone draws.
      let chosen = Set((request.header("x-tags") ?? "").split(separator: " ").map { String($0) })
      let number = model.answer(request.target, tags: chosen)
      return Reply(
        200,
        ["Cache-Control: max-age=600", "Surrogate-Key: \(chosen.sorted().joined(separator: " "))"],
        "\(number)")
    }
    var node = try TestNode.start(origin: origin.port)
    for round in 0..<25 {
      let asked = (0..<12).map { _ in "/\(Int.random(in: 0..<40, using: &random))" }
      var requests: [(target: String, tags: String)] = []
      for target in Set(asked).sorted() {
        let chosen = tags.filter { _ in Int.random(in: 0..<4, using: &random) == 0 }
        requests.append((target, chosen.joined(separator: " ")))
      }
      let purged = tags.filter { _ in Int.random(in: 0..<6, using: &random) == 0 }
      let isSoftKill = Int.random(in: 0..<8, using: &random)
      let current = node
      try await withThrowingTaskGroup(of: Void.self) { group in
        for (target, tags) in requests {
          group.addTask {
            let text = try await current.get(target, "X-Tags: \(tags)").text
            if let number = Int(text) { model.noteGot(target, number, during: purged) }
          }
        }
        group.addTask {
          guard !purged.isEmpty else { return }
          model.begin(purged)
          let list = purged.map { "\"\($0)\"" }.joined(separator: ",")
          let answer = try await current.admin("POST", "/v1/purge", json: "{\"tags\": [\(list)]}")
          #expect(answer.status == 200)
          model.end(purged)
        }
        try await group.waitForAll()
      }
      try await node.settle()
      if isSoftKill == 0 {
        node = try node.restart(origin: origin.port)
      } else if isSoftKill == 1 {
        node = try TestNode.start(
          origin: origin.port, directory: try node.directory.copyStore(), clock: node.clock)
      }
      for number in 0..<40 {
        let target = "/\(number)"
        let response = try await node.stored(target)
        guard response.status == 200, let found = Int(response.text) else {
          if let last = model.number(of: target) {
            #expect(!model.verdict(last).mustBeKept, "round \(round): \(target) is gone")
          }
          continue
        }
        #expect(!model.verdict(found).mustBeGone, "round \(round): \(target) is still there")
      }
      try node.requireStore().check()
    }
  }
}
