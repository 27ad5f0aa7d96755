import CLinux
import EdgeTesting
import ObjectStore
import Redis
import RedisTesting
import Testing

/// Whole PoPs over faults of theirs, of the engine and of the network between, while purges and requests go
/// on. See VersionModel.swift for what is compared, and FleetOfProcesses.swift for what goes on.
@Suite(
  .enabled(if: RedisProcess.isInstalled, "redis-server is not installed"), .serialized)
struct FleetFaultTests {
  private typealias Relay = RedisTesting.Relay

  private func server(_ port: UInt16) -> String { "server 127.0.0.1:\(port);" }

  /// PoPs that all have the same engine, with a relay of its own before each.
  private func related(_ engine: RedisProcess, _ count: Int) async throws -> (
    relays: [Relay], fleet: FleetOfProcesses
  ) {
    let relays = try (0..<count).map { _ in try Relay(to: engine.port, delay: 2_000_000) }
    return (relays, try await FleetOfProcesses(relays.map { server($0.port) }))
  }

  @Test func `a PoP is killed and started again during purges`() async throws {
    let engine = try RedisProcess()
    let fleet = try await FleetOfProcesses([String](repeating: server(engine.port), count: 3))
    try await fleet.endure {
      for pop in fleet.pops.dropFirst() {
        try await pop.kill()
        try await fleet.purges(5)
        try await pop.start()
        try await fleet.checked()
      }
    }
    for pop in fleet.pops.dropFirst() { #expect(await pop.losses() == [:]) }
  }

  @Test func `the engine is killed and started again with its data`() async throws {
    let engine = try RedisProcess()
    let fleet = try await FleetOfProcesses([String](repeating: server(engine.port), count: 3))
    try await fleet.endure {
      engine.kill()
      try await fleet.purges(5)
      try engine.start()
      try await fleet.checked()
    }
    for pop in fleet.pops { #expect(await pop.losses() == ["joined": 1]) }
  }

  @Test func `the engine is killed and comes back empty`() async throws {
    let engine = try RedisProcess()
    let fleet = try await FleetOfProcesses([String](repeating: server(engine.port), count: 3))
    try await fleet.endure {
      fleet.model.unsettle()
      engine.kill()
      engine.forget()
      try await fleet.purges(5)
      try engine.start()
      for pop in fleet.pops {
        try await inTheEnd("\(pop.name) has noticed") { await pop.losses()["replaced"] == 1 }
      }
      try await fleet.appended()
      fleet.model.resume()
      try await fleet.checked()
    }
    for pop in fleet.pops { #expect(await pop.losses() == ["joined": 1, "replaced": 1]) }
  }

  @Test func `a replica takes over that lacks the end of the log`() async throws {
    let primary = try RedisProcess()
    let replica = try RedisProcess(["--replicaof", "127.0.0.1 \(primary.port)"])
    let both = server(primary.port) + server(replica.port)
    let fleet = try await FleetOfProcesses([both, both, both])
    try await fleet.endure {
      try await inTheEnd("it is replicated") {
        try replica.command("XLEN", "weir:{shop}:purges") != .integer(0)
      }
      replica.freeze()
      try await fleet.purges(10)
      fleet.model.unsettle()
      primary.kill()
      replica.thaw()
      try replica.command("REPLICAOF", "NO", "ONE")
      let engine = "127.0.0.1:\(replica.port)"
      for pop in fleet.pops {
        try await inTheEnd("\(pop.name) has the other engine") {
          await pop.standing()?["engine"]?.string == engine
        }
      }
      try await fleet.appended()
      fleet.model.resume()
      try await fleet.checked()
    }
    for pop in fleet.pops { #expect(await pop.losses() == ["joined": 1]) }
  }

  @Test(arguments: [false, true])
  func `PoPs are cut off from the log during purges`(isTrimmed: Bool) async throws {
    let engine = try RedisProcess()
    let (relays, fleet) = try await related(engine, 4)
    let away = fleet.pops[2...]
    try await fleet.endure {
      for relay in relays[2...] { relay.cut() }
      for pop in away {
        try await inTheEnd("\(pop.name) knows that it is cut off") { await !pop.isInStep() }
      }
      try await fleet.checked(Array(fleet.pops[..<2]))
      if isTrimmed { try await trim(engine, fleet) }
      for relay in relays[2...] { relay.mend() }
      try await fleet.checked()
    }
    for pop in fleet.pops[..<2] { #expect(await pop.losses() == ["joined": 1]) }
    for pop in away {
      #expect(await pop.losses() == (isTrimmed ? ["joined": 1, "trimmed": 1] : ["joined": 1]))
    }
  }

  /// Trims the log of entries that the first two PoPs have read, and the others have not.
  private func trim(_ engine: RedisProcess, _ fleet: FleetOfProcesses) async throws {
    let log = "weir:{shop}:purges"
    func positions(_ pops: ArraySlice<ProcessPoP>) async -> [LogPosition] {
      var found: [LogPosition] = []
      for pop in pops {
        let text = await pop.standing()?["position"]?.string
        if let position = text.flatMap({ LogPosition($0) }) { found.append(position) }
      }
      return found
    }
    let behind = try #require(await positions(fleet.pops[2...]).max())
    var end: LogPosition?
    try await inTheEnd("the log has three more") {
      let entries = try engine.command("XRANGE", log, "(\(behind.text)", "+", "COUNT", "3").elements
      end = entries.count == 3 ? entries[2].elements.first?.text.flatMap { LogPosition($0) } : nil
      return end != nil
    }
    let kept = try #require(end)
    try await inTheEnd("those that are not cut off have read them") {
      await positions(fleet.pops[..<2]).filter { $0 > kept }.count == 2
    }
    try engine.command("XTRIM", log, "MINID", kept.text)
  }

  /// Where libfaketime is (Debian's `faketime`).
  private static let clocks = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"

  @Test(
    .enabled(if: unsafe access(clocks, R_OK) == 0, "libfaketime is not installed"))
  func `clocks are an hour apart`() async throws {
    let engine = try RedisProcess()
    // The library sets up its own memory in the first program that has it, and `weir` is to be the second.
    let environments = ["+0", "+3600", "-3600"].map {
      ["LD_PRELOAD=\(Self.clocks)", "FAKETIME=\($0)", "FAKETIME_DONT_FAKE_MONOTONIC=1", "env"]
    }
    let fleet = try await FleetOfProcesses(
      [String](repeating: server(engine.port), count: 3), environments: environments)
    try await fleet.endure {
      try await fleet.pops[1].kill()
      try await fleet.purges(5)
      try await fleet.pops[1].start()
      try await fleet.checked()
    }
    #expect(await fleet.pops[1].losses() == [:])
  }
}
