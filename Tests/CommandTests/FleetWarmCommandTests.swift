import EdgeTesting
import EventLoop
import RedisTesting
import Testing

/// `weir warm --fleet` and its results for each PoP.
@Suite(
  .enabled(if: RedisProcess.isInstalled, "redis-server is not installed"), .serialized)
struct FleetWarmCommandTests {
  private let engine: RedisProcess
  private let origin: ScriptedOrigin
  private let one: TestNode
  private let two: TestNode
  private let directory: TemporaryDirectory

  init() async throws {
    engine = try RedisProcess()
    origin = try await ScriptedOrigin.answering { request in
      request.target == "/none"
        ? Reply(404, [], "none") : Reply(200, ["Cache-Control: max-age=600"], "x")
    }
    func start(_ pop: String, _ region: String, _ port: UInt16, _ engine: UInt16) throws -> TestNode
    {
      try TestNode.start(
        origin: port,
        top: "fleet shop { server 127.0.0.1:\(engine); pop \(pop); region \(region); }",
        workers: 1, clock: NodeClock())
    }
    one = try start("one", "eu", origin.port, engine.port)
    two = try start("two", "us", origin.port, engine.port)
    for node in [one, two] {
      try await eventually("in step") { node.figures.contains("\nweir_fleet_in_step 1\n") }
    }
    directory = try TemporaryDirectory()
    try directory.write(
      "edge.conf",
      """
      listen 127.0.0.1:0;
      admin 127.0.0.1:\(one.adminPort) { token "\(TestNode.token)"; }
      origin app 127.0.0.1:1;
      site * { origin app; }
      """)
  }

  private func weir(_ arguments: String...) async throws -> (
    status: Int32, printed: String, said: String
  ) {
    let process = try WeirProcess(arguments, in: directory)
    return (try await process.exitStatus(), process.printed, process.said)
  }

  /// The lines after the table's head.
  private func rows(_ printed: String) -> [[String]] {
    let lines = printed.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
    guard let head = lines.firstIndex(where: { $0.first == "POP" }) else { return [] }
    return Array(lines[(head + 1)...])
  }

  private static let urls = ["http://example.com/a", "http://example.com/b"]

  @Test func `every PoP's part is shown, and waited for`() async throws {
    let warm = try await weir(
      "warm", Self.urls[0], Self.urls[1], "http://example.com/none", "--fleet", "--wait",
      "--rate", "1000", "--timeout", "50000")
    #expect(warm.status == 0, "\(warm.printed) \(warm.said)")
    #expect(warm.printed.hasPrefix("order w"))
    #expect(warm.printed.contains("2 of 2 PoPs are done\n"), "\(warm.printed)")
    let rows = rows(warm.printed)
    #expect(rows.first == ["one", "eu", "done", "3", "3", "0", "2", "1"])
    #expect(rows.dropFirst().first == ["two", "us", "done", "3", "3", "0", "2", "1"])
    #expect(warm.printed.contains("two: //example.com/none: status 404\n"))
    for node in [one, two] {
      try await node.settle()
      #expect(try await node.get("/a").header("cache-status")?.contains("; hit") == true)
    }
    let name = try #require(warm.printed.split(separator: ":").first?.dropFirst("order ".count))
    let shown = try await weir("warm", "--progress", String(name), "--json")
    #expect(try JSONValue(parsing: shown.printed)["fleet"]?["complete"] == .bool(true))
  }

  @Test func `JSON is one report, the last`() async throws {
    let warm = try await weir(
      "warm", Self.urls[0], "--fleet", "--wait", "--json", "--timeout", "50000")
    #expect(warm.status == 0, "\(warm.printed) \(warm.said)")
    let report = try JSONValue(parsing: warm.printed)
    let pops = report["fleet"]?["pops"]?.array ?? []
    #expect(pops.map { $0["name"] } == [.string("one"), .string("two")])
    #expect(pops.allSatisfy { $0["state"] == .string("done") && $0["done"]?.int == 1 })
  }

  @Test func `a region's PoPs are warmed alone`() async throws {
    let warm = try await weir(
      "warm", Self.urls[0], "--fleet", "--region", "--wait", "--timeout", "50000")
    #expect(warm.status == 0, "\(warm.printed) \(warm.said)")
    #expect(rows(warm.printed).map { $0.first } == ["one"])
  }

  @Test func `a PoP that is missing fails the command, and is named`() async throws {
    two.stop()
    try await eventually("two is out") {
      let list = try await one.admin("GET", "/v1/fleet").json()["pops"]?.array ?? []
      return list.contains { $0["name"] == .string("two") && $0["state"] == .string("out") }
    }
    for arguments in [[], ["--wait"]] {
      let process = try WeirProcess(["warm", Self.urls[0], "--fleet"] + arguments, in: directory)
      #expect(try await process.exitStatus() == 1)
      #expect(rows(process.printed).last?.prefix(3) == ["two", "us", "out"], "\(process.printed)")
    }
  }

  @Test func `an order is ended everywhere`() async throws {
    let urls = (0..<500).map { "http://example.com/\($0)" }
    let process = try WeirProcess(
      ["warm"] + urls + ["--fleet", "--rate", "1", "--timeout", "50000"], in: directory)
    _ = try await process.exitStatus()
    let name = String(
      try #require(process.printed.split(separator: ":").first?.dropFirst("order ".count)))
    try await eventually("two has it") {
      try await two.admin("GET", "/v1/warm/\(name)").status == 200
    }
    let ended = try await weir("warm", "--cancel", name)
    #expect(ended.printed.hasPrefix("order \(name) is cancelled"), "\(ended.said)")
    try await eventually("it ends at two") {
      try await two.admin("GET", "/v1/warm/\(name)").json()["state"] == .string("cancelled")
    }
  }

  @Test func `what does not go together is said`() async throws {
    for arguments in [
      ["warm", "//a/", "--region"], ["warm", "//a/", "--timeout", "1"],
      ["warm", "--progress", "1", "--fleet"],
    ] {
      let process = try WeirProcess(arguments, in: directory)
      #expect(try await process.exitStatus() == 64, "\(process.said)")
    }
  }
}
