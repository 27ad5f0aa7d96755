import EdgeTesting
import Testing

/// A node with limits, and the command that asks it.
private struct LimitedSetup {
  let origin: ScriptedOrigin
  let node: TestNode
  let directory: TemporaryDirectory

  init() async throws {
    origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    node = try TestNode.start(
      origin: origin.port, route: "limit few;",
      top: "limit few { token_bucket 2/d; } limit slow { leaky_bucket 10/s queue=5; }")
    directory = try TemporaryDirectory()
    // The same admin listener, as the node's own file would name it.
    try directory.write(
      "edge.conf",
      """
      listen 127.0.0.1:0;
      admin 127.0.0.1:\(node.adminPort) { token "\(TestNode.token)"; }
      origin app 127.0.0.1:1;
      site * { origin app; }
      """)
  }

  func limit(_ arguments: String...) async throws -> (
    status: Int32, printed: String, said: String
  ) {
    let process = try WeirProcess(["limit"] + arguments, in: directory)
    return (try await process.exitStatus(), process.printed, process.said)
  }
}

@Suite("Limits by command")
struct LimitCommandTests {
  @Test func `limits are listed and shown`() async throws {
    let setup = try await LimitedSetup()
    #expect(try await setup.node.get("/").status == 200)
    let list = try await setup.limit("list")
    #expect(list.status == 0 && list.said == "")
    let lines = list.printed.split(separator: "\n")
    #expect(lines.count == 3)
    #expect(lines[0].hasPrefix("LIMIT  RULE"))
    #expect(lines[1].hasPrefix("few    token_bucket  2/d burst=2"))
    #expect(lines[2].contains("10/s queue=5"))
    let shown = try await setup.limit("show", "few")
    #expect(shown.printed.contains("allowed   1\n"))
    #expect(shown.printed.contains("routes    */\n"))
    let json = try await setup.limit("show", "few", "--json")
    #expect(try JSONValue(parsing: json.printed)["burst"]?.int == 2)
  }

  @Test func `a limit is changed and a key forgiven`() async throws {
    let setup = try await LimitedSetup()
    for status in [200, 200, 429] { #expect(try await setup.node.get("/").status == status) }
    let set = try await setup.limit("set", "few", "burst=3", "shadow=off", "--persist")
    #expect(set.printed == "few: 2/d burst=3, kept\n")
    #expect(try await setup.node.admin("GET", "/v1/limits/few").json()["burst"]?.int == 3)
    setup.node.advance(seconds: 1)
    #expect(try await setup.node.get("/").status == 200)
    #expect(try await setup.node.get("/").status == 429)
    #expect(
      try await setup.limit("forgive", "few", "127.0.0.1").printed == "127.0.0.1 is forgiven\n")
    setup.node.advance(seconds: 1)
    #expect(try await setup.node.get("/").status == 200)
    #expect(try await setup.limit("keys", "few", "--top", "5").status == 0)
  }

  @Test(arguments: [
    (["set", "few", "burst=x"], 64 as Int32, "is not a number"),
    (["set", "few", "speed=3"], 64, "there is no speed"),
    (["set", "few", "burst"], 64, "NAME=VALUE"),
    (["set", "few", "queue=3"], 1, "a token_bucket has no queue"),
    (["show", "nope"], 1, "few, slow"),
    (["forgive", "few", "192.0.2.1"], 1, "remembers nothing"),
    (["list", "--config", "other.conf"], 78, "does not exist"),
  ])
  func `what cannot be done is said`(
    _ arguments: [String], _ status: Int32, _ text: String
  ) async throws {
    let setup = try await LimitedSetup()
    let process = try WeirProcess(["limit"] + arguments, in: setup.directory)
    #expect(try await process.exitStatus() == status)
    #expect(process.said.contains(text))
  }

  @Test func `a node that does not run is said to`() async throws {
    let setup = try await LimitedSetup()
    setup.node.stop()
    let list = try await setup.limit("list")
    #expect(list.status == 69)
    #expect(list.said.hasPrefix("weir: cannot"))
  }
}
