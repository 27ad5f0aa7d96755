// purge(T) reaches exactly the objects that carry T, also where the node's process is killed in the midst of
// it: random traffic and purges on the command, whose node dies by SIGKILL again and again, against what the
// origin remembers of its own answers.
//
// The origin numbers its answers in the order in which it is asked. Then
//
//   gone    no answer from before an acknowledged purge of one of its tags was sent is served afterwards,
//           by this process or a later one
//   kept    an answer that a process has read from its store at its start stays, as long as no purge of its
//           tags was as much as sent: what was not yet written when the process died is lost, and may be

internal import CLinux
import EdgeTesting
import Synchronization
import Testing

/// A generator with a seed (SplitMix64).
private struct Seeded: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z &>> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z &>> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z &>> 31)
  }
}

/// What the origin and the purges have been.
private final class KilledModel: Sendable {
  private struct State {
    var tags: [Int: Set<String>] = [:]
    var last = 0
    /// For each tag the number at which its last acknowledged purge was sent.
    var purged: [String: Int] = [:]
    /// The number up to which its last purge, acknowledged or not, may have reached.
    var reach: [String: Int] = [:]
    /// Answers fetched while a purge of one of their tags was under way.
    var doubtful: Set<Int> = []
  }
  private let state = Mutex(State())

  func answer(_ tags: Set<String>) -> Int {
    state.withLock { state in
      state.last += 1
      state.tags[state.last] = tags
      return state.last
    }
  }

  var last: Int { state.withLock { $0.last } }

  func end(_ purged: [String], sentAt: Int, isAcknowledged: Bool) {
    state.withLock { state in
      for tag in purged {
        if isAcknowledged { state.purged[tag] = max(state.purged[tag] ?? 0, sentAt) }
        state.reach[tag] = state.last
      }
    }
  }

  func doubt(from first: Int, _ purged: [String]) {
    state.withLock { state in
      for number in first...max(first, state.last)
      where !(state.tags[number] ?? []).isDisjoint(with: purged) { state.doubtful.insert(number) }
    }
  }

  func mustBeGone(_ number: Int) -> Bool {
    state.withLock { state in
      (state.tags[number] ?? []).contains { number <= state.purged[$0] ?? 0 }
    }
  }

  func mustStay(_ number: Int) -> Bool {
    state.withLock { state in
      !state.doubtful.contains(number)
        && (state.tags[number] ?? []).allSatisfy { number > state.reach[$0] ?? 0 }
    }
  }
}

@Suite struct PurgeOverKillsTests {
  /// A store that has room for all, and one that evicts.
  @Test(arguments: [(1 as UInt64, "64MiB", 10), (2, "1MiB", 30_000)])
  func `no acknowledged purge is lost to SIGKILL, and nothing else is purged`(
    _ seed: UInt64, _ size: String, _ length: Int
  ) async throws {
    var random = Seeded(state: seed)
    let model = KilledModel()
    let padding = String(repeating: "x", count: length)
    let origin = try await ScriptedOrigin.answering { request in
      let tags = Set((request.header("x-tags") ?? "").split(separator: " ").map { String($0) })
      return Reply(
        200,
        ["Cache-Control: max-age=6000", "Surrogate-Key: \(tags.sorted().joined(separator: " "))"],
        "\(model.answer(tags)) \(padding)")
    }
    let running = try await StoringNode(origin: origin, store: "size \(size);")
    let tags = (0..<8).map { "tag-\($0)" }
    var durable: [String: Int] = [:]
    for round in 0..<10 {
      let first = model.last + 1
      let nodes = running.process.nodes.count
      var requests: [(target: String, tags: String)] = []
      for target in Set((0..<16).map { _ in "/\(Int.random(in: 0..<40, using: &random))" }).sorted()
      {
        let chosen = tags.filter { _ in Int.random(in: 0..<4, using: &random) == 0 }
        requests.append((target, chosen.joined(separator: " ")))
      }
      let purged = tags.filter { _ in Int.random(in: 0..<5, using: &random) == 0 }
      let isKilled = Int.random(in: 0..<2, using: &random) == 0
      await withTaskGroup(of: Void.self) { group in
        for (target, tags) in requests {
          group.addTask { _ = try? await Self.ask(running, target, ["X-Tags: \(tags)"]) }
        }
        group.addTask {
          if purged.isEmpty { return }
          let sentAt = model.last
          let isDone = (try? await Self.purge(running, purged)) ?? false
          model.end(purged, sentAt: sentAt, isAcknowledged: isDone)
          if isKilled { Self.killNode(running) }
        }
        if isKilled && purged.isEmpty { group.addTask { Self.killNode(running) } }
      }
      model.doubt(from: first, purged)
      if isKilled {
        try await eventually("another node; weir said:\n\(running.process.said)") {
          guard running.process.nodes.count > nodes else { return false }
          return (try? await Self.ask(running, "/healthy", ["X-Tags: "]))?.status == 200
        }
      }
      for number in 0..<40 {
        let target = "/\(number)"
        let answer = try await Self.ask(running, target, ["Cache-Control: only-if-cached"])
        let found = answer.status == 200 ? Int(answer.text.prefix { $0 != " " }) : nil
        if let found {
          #expect(!model.mustBeGone(found), "round \(round): \(target) is still there")
        }
        if size == "64MiB", let earlier = durable[target], found != earlier {
          #expect(!model.mustStay(earlier), "round \(round): \(target) is gone")
        }
        durable[target] = isKilled ? found : durable[target]
      }
    }
    running.process.send(SIGTERM)
    #expect(try await running.process.exitStatus() == 0)
  }

  private static func ask(
    _ running: StoringNode, _ target: String, _ fields: [String]
  ) async throws -> PeerResponse {
    let client = try await RawClient.connect(to: running.port)
    defer { client.close() }
    return try await client.get(target, fields)
  }

  /// Whether a purge was acknowledged.
  private static func purge(_ running: StoringNode, _ tags: [String]) async throws -> Bool {
    let client = try await RawClient.connect(to: running.adminPort)
    defer { client.close() }
    let list = tags.map { "\"\($0)\"" }.joined(separator: ",")
    let answer = try await client.request(
      "POST", "/v1/purge", host: "localhost",
      ["Authorization: Bearer \(TestNode.token)", "Content-Type: application/json"],
      body: "{\"tags\": [\(list)]}")
    return answer.status == 200
  }

  private static func killNode(_ running: StoringNode) {
    if let node = running.process.nodes.last { kill(node, SIGKILL) }
  }
}
