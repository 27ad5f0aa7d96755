import EdgeTesting
import RedisTesting
import Testing

/// Orders to warm over the end of a PoP's process.
@Suite(
  .enabled(if: RedisProcess.isInstalled, "redis-server is not installed"), .serialized)
struct FleetWarmFaultTests {
  private static let count = 40

  @Test(arguments: ["kill", "upgrade"])
  func `a PoP whose process ends in the middle begins the order again`(_ end: String) async throws {
    let engine = try RedisProcess()
    let origin = try await ScriptedOrigin.answering { _ in
      Reply(200, ["Cache-Control: max-age=100000"], "x")
    }
    let pops = try (0..<2).map { index in
      try ProcessPoP(
        "pop-\(index)",
        configuration: popConfiguration(
          index, origin: origin.port, fleet: "server 127.0.0.1:\(engine.port);",
          site: "origin app;"))
    }
    for pop in pops { try await pop.start() }
    for pop in pops { try await inTheEnd("\(pop.name) is in step") { await pop.isInStep() } }
    let urls = (0..<Self.count).map { "\"//example.com/\($0)\"" }.joined(separator: ",")
    let answer = try #require(
      await pops[0].admin(
        "POST", "/v1/warm", json: "{\"urls\": [\(urls)], \"rate\": 10, \"fleet\": \"all\"}"))
    #expect(answer.status == 202, "\(answer.text)")
    let name = try #require(try answer.json()["order"]?.string)
    try await inTheEnd("pop-1 has begun") {
      let there = await pops[1].admin("GET", "/v1/warm/\(name)")
      return try there?.json()["done"]?.int ?? 0 > 2
    }
    if end == "kill" {
      try await pops[1].kill()
      try await pops[1].start()
    } else {
      #expect(await pops[1].admin("POST", "/v1/upgrade")?.status == 202)
    }
    let last = Watched("")
    try await inTheEnd("both are done: \(last.value) \(pops[1].said)") {
      guard let report = await pops[0].admin("GET", "/v1/warm/\(name)") else { return false }
      last.update { $0 = report.text }
      return try report.json()["fleet"]?["complete"] == .bool(true)
    }
    let parts = try JSONValue(parsing: last.value)["fleet"]?["pops"]?.array ?? []
    #expect(parts.map { $0["name"]?.string } == ["pop-0", "pop-1"])
    #expect(
      parts.allSatisfy { $0["done"]?.int == Self.count && $0["failed"]?.int == 0 }, "\(parts)")
    for pop in pops { try await pop.kill() }
  }
}
