// PoPs as whole processes, an engine, and an origin whose answers have versions; purges and requests go on
// while something fails. Nothing here says how long anything takes: what is waited for comes or hangs.

import CLinux
import EdgeTesting
import RedisTesting
import Synchronization
import Testing

/// Waits for a condition; two minutes and more are for what hangs.
func inTheEnd(_ what: @autoclosure () -> String, _ condition: () async throws -> Bool) async throws
{
  let end = ContinuousClock.now + .seconds(180)
  while try await !condition() {
    guard ContinuousClock.now < end else {
      throw PeerFailure(.timedOut, "waited until \(what())")
    }
    try await Task.sleep(for: .milliseconds(10))
  }
}

/// The configuration of a PoP of one worker.
func popConfiguration(
  _ index: Int, origin port: UInt16, fleet: String, site: String, top: String = ""
) -> String {
  """
  node_name pop-\(index);
  workers 1;
  listen 127.0.0.1:0;
  admin 127.0.0.1:0 { token "\(TestNode.token)"; }
  access_log off;
  store ./store { size 16MiB; }
  fleet shop { \(fleet) }
  \(top)
  origin app 127.0.0.1:\(port);
  site * { \(site) }
  """
}

/// A node of a fleet: `weir run` in a directory that outlives it.
final class ProcessPoP: Sendable {
  private struct Running {
    let process: WeirProcess
    let port: UInt16
    let adminPort: UInt16
  }

  let name: String
  private let directory: TemporaryDirectory
  private let environment: [String]
  private let running = Mutex<Running?>(nil)

  init(_ name: String, configuration: String, environment: [String] = []) throws {
    self.name = name
    self.environment = environment
    directory = try TemporaryDirectory()
    try directory.write("edge.conf", configuration)
  }

  /// Starts it, with what its disk has.
  func start() async throws {
    let process = try WeirProcess(["run"], in: directory, environment: environment)
    let start = "weir: listening on 127.0.0.1:"
    func line() -> Substring? {
      // The last one may be on its way.
      process.said.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
        .first { $0.hasPrefix(start) }
    }
    try await inTheEnd("\(name) is ready; it said:\n\(process.said)") { line() != nil }
    let ready = try #require(line())
    let port = try #require(UInt16(ready.dropFirst(start.count).prefix { $0 != " " }))
    let adminPort = try #require(ready.split(separator: ":").last.flatMap { UInt16($0) })
    running.withLock {
      $0 = Running(process: process, port: port, adminPort: adminPort)
    }
  }

  /// SIGKILL to all that it consists of.
  func kill() async throws {
    let killed = running.withLock { running in
      defer { running = nil }
      return running?.process
    }
    guard let killed else { return }
    // The supervisor first: it would start another node.
    let nodes = killed.nodes
    killed.send(SIGKILL)
    for node in nodes { _ = CLinux.kill(node, SIGKILL) }
    _ = try await killed.exitStatus()
    try await inTheEnd("the node of \(name) is gone") {
      nodes.allSatisfy { !WeirProcess.isRunning($0) }
    }
  }

  /// What it has said, for failures.
  var said: String { running.withLock { $0?.process.said ?? "(it does not run)" } }
  /// Where it is asked; nil while it does not run.
  var port: UInt16? { running.withLock { $0?.port } }
  private var adminPort: UInt16? { running.withLock { $0?.adminPort } }

  /// One request on a connection of its own; nil if it does not run, or dies meanwhile.
  func get(_ target: String) async -> PeerResponse? {
    guard let port, let client = try? await RawClient.connect(to: port) else { return nil }
    defer { client.close() }
    return try? await client.get(target)
  }

  /// Asks the admin; nil if it does not run, or dies meanwhile.
  func admin(_ method: String, _ path: String, json: String? = nil) async -> PeerResponse? {
    guard let adminPort, let client = try? await RawClient.connect(to: adminPort) else {
      return nil
    }
    defer { client.close() }
    return try? await client.request(
      method, path, host: "localhost",
      ["Authorization: Bearer \(TestNode.token)", "Content-Type: application/json"], body: json)
  }

  /// `GET /v1/fleet`; nil if it is not answered.
  func standing() async -> JSONValue? {
    guard let answer = await admin("GET", "/v1/fleet"), answer.status == 200 else { return nil }
    return try? answer.json()
  }

  /// Whether it says that it is in step.
  func isInStep() async -> Bool { await standing()?["in_step"]?.bool ?? false }

  /// Losses that it counts since its start.
  func losses() async -> [String: Int] {
    (await standing()?["losses"]?.object ?? [:]).compactMapValues { $0.int }
  }
}

/// PoPs that share purges, and what asks them.
final class FleetOfProcesses: Sendable {
  let model = VersionModel(keys: 6)
  let pops: [ProcessPoP]
  private let origin: ScriptedOrigin
  private let isOver = Atomic(false)

  /// Starts PoPs, each with what its fleet block has, and waits until all are in step and have all keys.
  init(_ blocks: [String], environments: [[String]] = []) async throws {
    let model = model
    origin = try await ScriptedOrigin.answering { request in
      guard let key = Int(request.target.dropFirst()), (0..<model.keys).contains(key) else {
        return Reply(404)
      }
      let version = model.version(of: key)
      let tag = "\"\(key)-\(version)\""
      let fields = ["Cache-Control: max-age=100000", "ETag: \(tag)", "Surrogate-Key: key-\(key)"]
      return request.header("if-none-match") == tag
        ? Reply(304, fields) : Reply(200, fields, "\(version)")
    }
    let port = origin.port
    pops = try blocks.enumerated().map { index, block in
      try ProcessPoP(
        "pop-\(index)",
        configuration: popConfiguration(index, origin: port, fleet: block, site: "origin app;"),
        environment: environments.isEmpty ? [] : environments[index])
    }
    for pop in pops { try await pop.start() }
    try await inTheEnd("all are in step") { await self.areAllInStep() }
    for pop in pops {
      for key in 0..<model.keys {
        try await inTheEnd("\(pop.name) has \(key)") {
          await pop.get("/\(key)")?.header("cache-status")?.contains("hit") ?? false
        }
      }
    }
  }

  /// Whether all are in step, have read the log to its end, and it has all that they have ordered.
  func areAllInStep() async -> Bool {
    var ends: Set<String> = []
    for pop in pops {
      guard let standing = await pop.standing(), standing["in_step"]?.bool == true,
        standing["waiting"]?.int == 0, let position = standing["position"]?.string,
        position == standing["last_position"]?.string
      else { return false }
      ends.insert(position)
    }
    return ends.count == 1
  }

  /// Waits until the log has what each PoP had ordered before.
  func appended() async throws {
    for pop in pops {
      try await inTheEnd("the log has what \(pop.name) ordered") {
        let standing = await pop.standing()
        return standing?["in_step"]?.bool == true && standing?["waiting"]?.int == 0
      }
    }
  }

  // MARK: While something fails

  /// Purges and asks while `fault` happens; then waits until all are in step, and looks at everything.
  func endure(_ fault: () async throws -> Void) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      defer { isOver.store(true, ordering: .relaxed) }
      for pop in pops { group.addTask { try await self.ask(pop) } }
      for seed in [1, 2] { group.addTask { try await self.purge(seed) } }
      group.addTask { try await self.settle() }
      try await checked()
      try await fault()
      isOver.store(true, ordering: .relaxed)
      try await group.waitForAll()
    }
    #expect(model.defects.isEmpty)
    try await inTheEnd("all are in step again: \(pops.map(\.said).joined(separator: "\n"))") {
      await areAllInStep()
    }
    let newest = model.acknowledged
    for pop in pops {
      for key in 0..<model.keys {
        let version = try #require(await pop.get("/\(key)").flatMap { Int($0.text) })
        #expect(version >= newest[key], "\(pop.name), key \(key)")
      }
    }
  }

  /// Waits until so many more purges are acknowledged.
  func purges(_ count: Int) async throws {
    let end = model.orders + count
    try await inTheEnd("\(count) more purges") { model.orders >= end }
  }

  /// Waits until each of these PoPs was found in step some times more, with something to compare with.
  func checked(_ some: [ProcessPoP]? = nil) async throws {
    for pop in some ?? pops {
      let end = model.checks(at: pop.name) + 3
      try await inTheEnd("\(pop.name) was looked at; it said:\n\(pop.said)") {
        model.checks(at: pop.name) >= end || !model.defects.isEmpty
      }
    }
  }

  private func pause() async throws { try await Task.sleep(for: .milliseconds(2)) }

  private func ask(_ pop: ProcessPoP) async throws {
    var count = 0
    while !isOver.load(ordering: .relaxed) {
      count += 1
      let key = count % model.keys
      let bounds = model.bounds(key, at: pop.name)
      // Most requests are compared with what holds always.
      let looks = count % 5 == 0
      let before = looks ? await pop.isInStep() : false
      guard let answer = await pop.get("/\(key)") else {
        try await pause()
        continue
      }
      guard answer.status == 200, let version = Int(answer.text) else {
        model.fail("\(pop.name) answers \(answer.status)")
        continue
      }
      let after = before ? await pop.isInStep() : false
      model.check(key, version, at: pop.name, bounds, isInStep: before && after)
      try await pause()
    }
  }

  private func purge(_ seed: Int) async throws {
    var count = 0
    while !isOver.load(ordering: .relaxed) {
      count += 1
      let (key, pop) = ((count * seed + seed) % model.keys, pops[count % pops.count])
      // Few by prefix: each waits until every object was looked at, and there is room for 256.
      let selection =
        count % 20 == 0
        ? "\"prefix\": \"//example.com/\(key)\""
        : count.isMultiple(of: 2)
          ? "\"tag\": \"key-\(key)\"" : "\"url\": \"http://example.com/\(key)\""
      let more = seed == 1 ? "" : ", \"wait\": \"all\", \"timeout_ms\": 1000"
      let isSoft = count % 4 == 0
      let version = model.raise(key)
      let answer = await pop.admin(
        "POST", "/v1/purge", json: "{\(selection), \"soft\": \(isSoft)\(more)}")
      if let answer, answer.status != 429 {
        guard answer.status == 200, let report = try? answer.json() else {
          model.fail("\(pop.name) answers a purge with \(answer.status): \(answer.text)")
          continue
        }
        let names = (report["fleet"]?["applied"]?.array ?? []).compactMap(\.string)
        model.acknowledge(key, version, at: pop.name, applied: names)
      }
      try await Task.sleep(for: .milliseconds(10))
    }
  }

  /// Looks which purges stand in the log: a PoP that is in step and has none waiting has read them there.
  private func settle() async throws {
    while !isOver.load(ordering: .relaxed) {
      for pop in pops {
        let ordered = model.ordered(at: pop.name)
        guard let standing = await pop.standing() else { continue }
        if standing["in_step"]?.bool == true, standing["waiting"]?.int == 0 {
          model.settle(ordered)
        }
      }
      try await pause()
    }
  }
}
