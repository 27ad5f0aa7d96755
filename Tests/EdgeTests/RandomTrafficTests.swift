// Many clients, purges, failing origins and vanishing clients at once, drawn from a seed, against a
// simple model: each resource has a version, which only grows, and a purge raises the least version
// that may be served to whoever asks after it was answered.

import EdgeTesting
import Metrics
import Node
import ObjectStore
import Synchronization
import Testing

/// What the origin has, and what may still be served.
private final class Model: Sendable {
  struct Versions {
    var current = [Int](repeating: 1, count: Model.resources)
    var least = [Int](repeating: 1, count: Model.resources)
    var random: SeededRandom
  }

  static let resources = 24
  static let groups = 4
  private let versions: Mutex<Versions>

  init(seed: UInt64) { versions = Mutex(Versions(random: SeededRandom(seed))) }

  func current(_ resource: Int) -> Int { versions.withLock { $0.current[resource] } }
  func least(_ resource: Int) -> Int { versions.withLock { $0.least[resource] } }

  /// A draw of the origin's.
  func draw(_ range: Int) -> Int {
    versions.withLock { Int.random(in: 0..<range, using: &$0.random) }
  }

  /// Changes resources; what is returned is the least that may be served once they are purged.
  func change(_ changed: [Int]) -> [Int] {
    versions.withLock { state in
      for resource in changed { state.current[resource] += 1 }
      return changed.map { state.current[$0] }
    }
  }

  /// A purge was answered.
  func purged(_ changed: [Int], _ least: [Int]) {
    versions.withLock { state in
      for (resource, version) in zip(changed, least) {
        state.least[resource] = max(state.least[resource], version)
      }
    }
  }

  /// How large a resource is: within a record, of one chunk, of several.
  static func size(_ resource: Int) -> Int { [300, 9_000, 40_000, 600_000][resource % 4] }

  /// The content of a version, which says what it is in front and differs everywhere behind.
  static func body(_ resource: Int, _ version: Int) -> [UInt8] {
    Array("\(resource) \(version) ".utf8)
      + content(size(resource), seed: UInt64(resource * 100_000 + version))
  }
}

@Suite struct RandomTrafficTests {
  private static func origin(_ model: Model) async throws -> ScriptedOrigin {
    try await ScriptedOrigin { connection in
      while let request = try await connection.nextRequest() {
        guard try await answer(request, connection, model) else { return }
      }
    }
  }

  /// Answers somehow; false if that was the connection's last.
  private static func answer(
    _ request: PeerRequest, _ connection: ScriptedConnection, _ model: Model
  ) async throws -> Bool {
    let resource = Int(request.target.dropFirst(3)) ?? 0
    let fate = model.draw(100)
    if fate < 3 {
      connection.reset()
      return false
    }
    if fate < 8 {
      try await connection.respond(503, [], "down")
      return true
    }
    let version = model.current(resource)
    let fields = fields(of: resource, version)
    if request.header("if-none-match") == "\"\(version)\"" {
      try await connection.write("HTTP/1.1 304 Same\r\n\(fields)\r\n")
      return true
    }
    let body = Model.body(resource, version)
    do {
      if fate < 12 {
        let half = Array(body.prefix(body.count / 2))
        try await connection.write(
          "HTTP/1.1 200 OK\r\n\(fields)Content-Length: \(body.count)\r\n\r\n")
        try await connection.write(half)
        return false
      }
      try await write(body, fields: fields, isChunked: fate % 2 == 0, connection)
    } catch {
      // A node that has nobody left to read for closes.
      return false
    }
    return true
  }

  private static func fields(of resource: Int, _ version: Int) -> String {
    let directives: String
    switch resource % 6 {
    case 5: directives = "no-store"
    case 0, 3: directives = "max-age=2, stale-while-revalidate=2, stale-if-error=60"
    default: directives = "max-age=60"
    }
    let vary = resource % 7 == 0 ? "Vary: X-Half\r\n" : ""
    return "Cache-Control: \(directives)\r\nETag: \"\(version)\"\r\n\(vary)"
      + "Surrogate-Key: r\(resource)e g\(resource % Model.groups)e\r\n"
  }

  private static func write(
    _ body: [UInt8], fields: String, isChunked: Bool, _ connection: ScriptedConnection
  ) async throws {
    let framing = isChunked ? "Transfer-Encoding: chunked" : "Content-Length: \(body.count)"
    try await connection.write("HTTP/1.1 200 OK\r\n\(fields)\(framing)\r\n\r\n")
    guard isChunked else { return try await connection.write(body) }
    for start in stride(from: 0, to: body.count, by: 50_000) {
      let piece = Array(body[start..<min(start + 50_000, body.count)])
      let size = Array("\(String(piece.count, radix: 16))\r\n".utf8)
      try await connection.write(size + piece + [13, 10])
    }
    try await connection.writeChunk("")
  }

  /// One client's life: how many whole answers it got.
  private static func client(
    _ node: TestNode, _ model: Model, seed: UInt64, requests: Int
  ) async throws -> Int {
    var random = SeededRandom(seed)
    var served = 0
    var connection: RawClient?
    for _ in 0..<requests {
      let resource = Int.random(in: 0..<Model.resources, using: &random)
      let behaviour = Int.random(in: 0..<20, using: &random)
      let client: RawClient
      if let kept = connection { client = kept } else { client = try await node.connect() }
      let mayGoOn = try await step(client, model, resource, behaviour)
      if mayGoOn { served += 1 }
      connection = mayGoOn ? client : nil
    }
    return served
  }

  /// One request; whether the connection can carry another.
  private static func step(
    _ client: RawClient, _ model: Model, _ resource: Int, _ behaviour: Int
  ) async throws(PeerFailure) -> Bool {
    let target = "/r/\(resource)"
    let fields = ["X-Half: \(behaviour % 2)"]
    let least = model.least(resource)
    do throws(PeerFailure) {
      if behaviour > 1 {
        let response = try await client.get(target, fields)
        check(response, resource, least)
        return response.header("connection") != "close"
      }
      try await client.send("GET", target, fields)
      if behaviour == 1 { _ = try await client.readResponseHead() }
      client.reset()
    } catch {
      // A cut-off answer. Never a whole one that is wrong.
      if error.kind != .reset { throw error }
    }
    return false
  }

  private static func check(_ response: PeerResponse, _ resource: Int, _ least: Int) {
    guard response.status == 200 else {
      #expect([502, 503].contains(response.status), "status \(response.status)")
      return
    }
    let words = response.body.prefix(30).split(separator: 0x20, maxSplits: 2)
    let numbers = words.prefix(2).compactMap { Int(String(decoding: $0, as: UTF8.self)) }
    guard numbers.count == 2, numbers[0] == resource else {
      Issue.record("resource \(resource) is answered with \(numbers): \(response.cacheStatus)")
      return
    }
    #expect(
      numbers[1] >= least,
      "version \(numbers[1]) after \(least) was purged: \(response.cacheStatus)")
    #expect(
      response.body == Model.body(resource, numbers[1]), "not whole: \(response.cacheStatus)")
  }

  private static func purger(_ node: TestNode, _ model: Model, seed: UInt64, rounds: Int)
    async throws
  {
    var random = SeededRandom(seed)
    for _ in 0..<rounds {
      let number = Int.random(in: 0..<Model.resources, using: &random)
      let isGroup = Int.random(in: 0..<3, using: &random) == 0
      let changed =
        isGroup
        ? (0..<Model.resources).filter { $0 % Model.groups == number % Model.groups } : [number]
      let least = model.change(changed)
      try await node.purgeTags(isGroup ? "g\(number % Model.groups)e" : "r\(number)e")
      model.purged(changed, least)
      node.advance(seconds: 0.1)
      // Somebody asks at once.
      try await ask(node, model, number)
    }
  }

  /// Asks on a connection of its own; the answer may be cut off, but not wrong.
  private static func ask(_ node: TestNode, _ model: Model, _ resource: Int) async throws {
    let least = model.least(resource)
    do throws(PeerFailure) {
      let client = try await RawClient.connect(to: node.port)
      check(try await client.get("/r/\(resource)"), resource, least)
    } catch {
      if error.kind != .reset { throw error }
    }
  }

  @Test(arguments: 1...3 as ClosedRange<UInt64>)
  func `whatever happens, answers are whole, of what was asked, and not purged`(
    seed: UInt64
  ) async throws {
    let model = Model(seed: seed)
    let origin = try await Self.origin(model)
    let node = try TestNode.start(origin: origin.port, store: "size 16MiB; max_object 4MiB;")
    let served = try await withThrowingTaskGroup(of: Int.self) { group in
      for client in 0..<24 {
        group.addTask {
          try await Self.client(node, model, seed: seed * 1_000 + UInt64(client), requests: 40)
        }
      }
      group.addTask {
        try await Self.purger(node, model, seed: seed * 1_000 + 999, rounds: 60)
        return 0
      }
      return try await group.reduce(0, +)
    }
    #expect(served > 300)
    try await node.expectAtRest()
    #expect(node.node?.fillsUnderWay == 0)
    let again = try node.restart(origin: origin.port)
    for resource in 0..<Model.resources {
      let response = try await again.stored("/r/\(resource)", "X-Half: 0")
      if response.status == 200 { Self.check(response, resource, model.least(resource)) }
    }
    try again.requireStore().check()
  }
}
