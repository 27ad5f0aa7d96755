import EdgeTesting
import EventLoop
import FoundationEssentials
import Metrics
import Testing

/// A node with these settings at the top level and an origin.
private func node(_ top: String, origin: ScriptedOrigin) throws -> TestNode {
  try TestNode.start(
    configuration: configuration(top, origin: origin), directory: TemporaryDirectory())
}

private func configuration(_ top: String, origin: ScriptedOrigin) -> String {
  """
  workers 1;
  listen 127.0.0.1:0;
  \(TestNode.adminBlock)
  origin app { server 127.0.0.1:\(origin.port); }
  \(top)
  """
}

extension TestNode {
  /// The lines of a log's file, as they are.
  fileprivate func lines(_ name: String) throws -> [String] {
    flushLogs()
    let data = try Data(contentsOf: URL(filePath: directory.file(name)))
    return String(decoding: data, as: UTF8.self).split(separator: "\n").map(String.init)
  }

  /// Asks as a host.
  fileprivate func ask(_ host: String, _ target: String) async throws -> PeerResponse {
    let client = try await connect()
    defer { client.close() }
    return try await client.request("GET", target, host: host, [])
  }
}

/// Where lines go, and what stands in them.
@Suite struct LogTests {
  @Test func `each site has its own log, or the node's, or none`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    let node = try node(
      """
      access_log ./node.log "$status $host $target";
      site own.example { access_log ./own.log { fields method path status; } origin app; }
      site same.example { access_log { format "$route"; } origin app; }
      site none.example { access_log off; origin app; }
      site * { origin app; }
      """, origin: origin)
    for host in ["own.example", "same.example", "none.example", "other.example"] {
      #expect(try await node.ask(host, "/a?token=secret").status == 200)
    }
    #expect(
      try node.lines("node.log") == ["same.example/", "200 other.example /a?token=***"])
    #expect(
      try node.lines("own.log") == [#"{"method":"GET","path":"/a","status":200}"#])
  }

  @Test func `a sample has its share of requests, and every one that failed`() async throws {
    let origin = try await ScriptedOrigin.answering { request in
      Reply(request.target == "/bad" ? 500 : 200, [], "x")
    }
    let node = try node(
      """
      access_log ./node.log "$status" { sample 25%; }
      site * { origin app; route / { cache off; } }
      """, origin: origin)
    let client = try await node.connect()
    for _ in 0..<400 { #expect(try await client.get("/").status == 200) }
    for _ in 0..<20 { #expect(try await client.get("/bad").status == 500) }
    let lines = try node.lines("node.log")
    #expect(lines.filter { $0 == "500" }.count == 20)
    // Seven standard deviations to each side.
    #expect((40...160).contains(lines.filter { $0 == "200" }.count))
  }

  @Test func `a reload changes the log from the next request on`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    let site = "site * { origin app; }"
    let node = try node("access_log off; \(site)", origin: origin)
    #expect(try await node.get("/none").status == 200)
    func reload(_ log: String) async throws {
      let answer = try await node.reload(configuration("\(log) \(site)", origin: origin))
      #expect(answer.status == 200, "\(answer.text)")
    }
    try await reload("access_log ./a.log $target;")
    #expect(try await node.get("/one").status == 200)
    try await reload(
      "access_log ./a.log \"$status $target $client\" { client_addresses shortened; }")
    #expect(try await node.get("/two").status == 200)
    try await reload("access_log ./b.log { fields target; }")
    #expect(try await node.get("/three").status == 200)
    try await reload("access_log off;")
    #expect(try await node.get("/four").status == 200)
    try await eventually("the former logs to be closed") {
      try node.lines("a.log").count == 2 && node.lines("b.log").count == 1
    }
    #expect(try node.lines("a.log") == ["/one", "200 /two 127.0.0.0"])
    #expect(try node.lines("b.log") == [#"{"target":"/three"}"#])
    // One that cannot be opened changes nothing.
    let answer = try await node.reload(
      configuration("access_log /nonexistent/x.log; \(site)", origin: origin))
    #expect(answer.status != 200 && answer.text.contains("/nonexistent/x.log"))
  }

  @Test func `timings are told where that is wanted, and nowhere else`() async throws {
    let answer = Signal("the answer")
    let origin = try await ScriptedOrigin.answering { request in
      if request.target == "/told/slow" { try await answer.wait() }
      return Reply(
        200, ["Cache-Control: max-age=60", "Server-Timing: db;dur=1"], "x")
    }
    let node = try TestNode.start(
      configuration: configuration(
        """
        store ./store;
        site quiet.example { origin app; }
        site * {
          server_timing on;
          origin app;
          route / { server_timing off; }
          route /told/ { }
          route /ruled/ { on response { set header.x-seen response.header.server-timing; } }
        }
        """, origin: origin), directory: TemporaryDirectory())
    #expect(try await node.get("/").header("server-timing") == "db;dur=1")
    #expect(try await node.ask("quiet.example", "/told/x").header("server-timing") == "db;dur=1")
    let client = try await node.connect()
    try await client.send("GET", "/told/slow")
    try await origin.waitForRequests(3)
    node.advance(seconds: 1.2345)
    answer.send()
    let first = try await client.readResponse()
    let timings = first.fields.filter { $0.name.lowercased() == "server-timing" }.map(\.value)
    #expect(timings.contains("db;dur=1"))
    #expect(timings.contains("cache;desc=miss, origin;dur=1234.500, total;dur=1234.500"))
    try await node.settle()
    let second = try await client.get("/told/slow")
    let hit = second.fields.filter { $0.name.lowercased() == "server-timing" }.map(\.value)
    // What was stored is the origin's alone.
    #expect(hit.contains("cache;desc=hit, total;dur=0.000") && hit.count == 2)
    let ruled = try await client.get("/ruled/")
    #expect(ruled.header("x-seen")?.contains("cache;desc=miss") == true)
    // The log has the origin's time to its head.
    #expect(try await node.ask("other.example", "/a/../b").header("server-timing") == nil)
  }
}
