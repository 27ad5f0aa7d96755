import EdgeTesting
import Testing

/// A node with something stored, and the commands that ask it.
private struct AskedSetup {
  let origin: ScriptedOrigin
  let node: TestNode
  let directory: TemporaryDirectory

  init() async throws {
    origin = try await ScriptedOrigin.answering { request in
      Reply(200, ["Cache-Control: max-age=60", "Cache-Tag: t,\(request.target.dropFirst())"], "x")
    }
    node = try TestNode.start(origin: origin.port)
    for target in ["/a", "/b"] { _ = try await node.get(target) }
    try await node.settle()
    directory = try TemporaryDirectory()
    try directory.write(
      "edge.conf",
      """
      listen 127.0.0.1:0;
      admin 127.0.0.1:\(node.adminPort) { token "\(TestNode.token)"; }
      origin app 127.0.0.1:1;
      site * { origin app; }
      """)
  }

  func weir(_ arguments: String...) async throws -> (status: Int32, printed: String, said: String) {
    let process = try WeirProcess(arguments, in: directory)
    return (try await process.exitStatus(), process.printed, process.said)
  }

  func url(_ target: String) -> String { "http://example.com\(target)" }
}

@Suite("Commands that ask a node")
struct NodeCommandsTests {
  @Test func `requests are shown as they are answered`() async throws {
    let setup = try await AskedSetup()
    /// The line that a watcher shows, who ends after it.
    func line(_ arguments: String...) async throws -> String {
      let watcher = try WeirProcess(["log", "-f", "--lines", "1"] + arguments, in: setup.directory)
      // Who has begun to watch sees the next one; so it asks until then.
      try await eventually("the watcher to have its line") {
        for target in ["/b", "/a?token=secret"] { _ = try await setup.node.get(target) }
        return watcher.printed.hasSuffix("\n")
      }
      #expect(try await watcher.exitStatus() == 0, "\(watcher.said)")
      return watcher.printed
    }
    let people = try await line(#"path == "/a" && cache == "hit""#)
    #expect(people.contains(" 200 hit"))
    #expect(people.contains(" GET example.com/a?token=*** 127.0.0.1"))
    #expect(people.split(separator: "\n").count == 1)
    #expect(try JSONValue(parsing: await line("--json"))["status"]?.int == 200)
    let wrong = try await setup.weir("log", "-f", "stauts == 1")
    #expect(wrong.status == 1 && wrong.said.contains("did you mean status?"), "\(wrong.said)")
    #expect(try await setup.weir("log").status == 64)
  }

  @Test func `what was served is shown by day, and as values`() async throws {
    let setup = try await AskedSetup()
    try await eventually("the requests to be counted") {
      try await setup.weir("accounting").printed.contains("2026-01-01  */     2  ")
    }
    let table = try await setup.weir("accounting", "--per", "site")
    #expect(table.status == 0, "\(table.said)")
    #expect(table.printed.hasPrefix("START       SITE  REQUESTS  SENT  FROM THE STORE  RECEIVED\n"))
    let csv = try await setup.weir("accounting", "--csv", "--by", "hour")
    #expect(csv.printed.contains("\r\n2026-01-01T00,*,*/,2,2,0,"))
    let json = try await setup.weir("accounting", "--json", "--per", "node")
    #expect(try JSONValue(parsing: json.printed)["rows"]?[0]?["requests"]?.int == 2)
    #expect(try await setup.weir("accounting", "--from", "never").status == 1)
  }

  @Test func `what is stored is shown, counted and purged`() async throws {
    let setup = try await AskedSetup()
    let object = try await setup.weir("object", setup.url("/a"))
    #expect(object.status == 0, "\(object.said)")
    #expect(object.printed.contains("use         fresh: within its lifetime"))
    #expect(try await setup.weir("object", setup.url("/c")).printed.contains("nothing is stored"))
    let list = try await setup.weir("objects", "--tag", "t")
    #expect(list.printed.split(separator: "\n").count == 3)
    let dry = try await setup.weir(
      "purge", "--prefix", "//example.com/a", "--dry-run")
    #expect(dry.printed.contains("would reach 1 objects, 1 bytes"))
    let purge = try await setup.weir("purge", "--tag", "a", "--tag", "none")
    #expect(purge.status == 0, "\(purge.said)")
    #expect(purge.printed.hasPrefix("TAG   OBJECTS\na     1\nnone  0\npurge "))
    #expect(try await setup.node.get("/b").header("cache-status")?.contains("; hit") == true)
    #expect(try await setup.weir("purge", "--all", "--soft").printed.contains("objects"))
    let records = try await setup.weir("purges")
    #expect(records.printed.split(separator: "\n").count == 3)
    #expect(records.printed.contains("soft"))
    let json = try await setup.weir("purge", "--where", "status == 200", "--dry-run", "--json")
    #expect(try JSONValue(parsing: json.printed)["objects"]?.int == 1)
  }

  @Test func `status, misses, origins and warming`() async throws {
    let setup = try await AskedSetup()
    let status = try await setup.weir("status")
    #expect(status.printed.contains("requests     2, 0.0 % hits"), "\(status.printed)")
    let misses = try await setup.weir("misses")
    #expect(misses.printed.hasPrefix("MISSES  BYTES  WHY         URL\n1       1      uri-miss 1  "))
    let server = "127.0.0.1:\(setup.origin.port)"
    #expect(try await setup.weir("origins").printed.contains("app     \(server)"))
    #expect(
      try await setup.weir("origins", "drain", "app", server).printed
        == "app \(server): draining\n")
    #expect(try await setup.weir("origins", "weight", "app", server, "3").status == 0)
    #expect(try await setup.weir("origins", "enable", "app", server).printed.contains("up"))
    let warm = try await setup.weir("warm", setup.url("/a"), setup.url("/c"), "--rate", "1000")
    #expect(warm.printed == "order 1: 2 URLs\n")
    try await eventually("the URLs to be fetched") { setup.origin.requests.count == 3 }
    #expect(try await setup.weir("warm", "--progress", "1").printed.hasPrefix("order 1 is "))
  }

  @Test func `what is hit most is listed with its hits, and the largest`() async throws {
    let setup = try await AskedSetup()
    // One hit of 128 is noted by each worker; a connection stays with its own.
    let client = try await setup.node.connect()
    for _ in 0..<129 { #expect(try await client.get("/b").status == 200) }
    client.close()
    let hits = try await setup.weir("objects", "--by", "hits", "--top", "5")
    let lines = hits.printed.split(separator: "\n")
    #expect(lines.count == 2, "\(hits.printed) \(hits.said)")
    #expect(lines.last?.hasSuffix("128   3     http://example.com/b") == true, "\(hits.printed)")
    let bytes = try await setup.weir("objects", "--by", "bytes", "--top", "1")
    #expect(bytes.printed.split(separator: "\n").count == 2)
    let one = try await setup.weir("object", setup.url("/b"))
    #expect(one.printed.contains("hits        about 128 of late"), "\(one.printed)")
    #expect(try await setup.weir("object", setup.url("/a")).printed.contains("few of late"))
    let urls = try await setup.weir("hits")
    #expect(urls.printed == "HITS  BYTES  URL\n128   128    http://example.com/b\n", "\(urls.said)")
    // Of its tags no answer's were noted yet.
    let tags = try await setup.weir("hits", "--of", "tags")
    #expect(tags.printed.hasPrefix("HITS  BYTES  TAG\n128   128    -\n"), "\(tags.printed)")
  }

  @Test func `a token is made, and its line added to a file`() async throws {
    let setup = try await AskedSetup()
    let made = try await setup.weir(
      "token", "deploy", "--verbs", "purge,read", "--site", "a.example", "--file", "tokens")
    #expect(made.status == 0, "\(made.said)")
    #expect(made.printed.count == 44)
    let file = setup.directory.file("tokens")
    let again = try await setup.weir("token", "deploy", "--file", "tokens")
    #expect(again.status == 69 || again.status == 78 || again.status == 1, "\(again.status)")
    #expect(again.said.contains("already"))
    try setup.directory.write(
      "other.conf",
      """
      listen 127.0.0.1:0;
      admin { tokens tokens; }
      origin app 127.0.0.1:1;
      site a.example { origin app; }
      """)
    #expect(try await setup.weir("check", "other.conf").status == 0)
    #expect(!file.isEmpty)
    #expect(try await setup.weir("token", "x", "--verbs", "fly").said.contains("no verb fly"))
  }

  @Test(arguments: [
    (["purge"], 64 as Int32, "in one way"), (["purge", "--tag", "a", "--all"], 64, "in one way"),
    (["purge", "--where", "agee > 1h"], 1, "did you mean age"),
    (["purge", "--tag", "a", "--variant", "x"], 64, "beside one --url"),
    (["objects"], 64, "is needed"), (["warm"], 64, "is needed"),
    (["origins", "drain", "app", "nobody"], 1, "no such server"),
    (["warm", "http://"], 1, "has a host"),
  ])
  func `what cannot be done is said`(
    _ arguments: [String], _ status: Int32, _ text: String
  ) async throws {
    let setup = try await AskedSetup()
    let process = try WeirProcess(arguments, in: setup.directory)
    #expect(try await process.exitStatus() == status)
    #expect(process.said.contains(text), "\(process.said)")
  }
}
