import Edge
import EdgeTesting
import EventLoop
import FoundationEssentials
import Testing

/// Reads lines as they come.
private final class LineReader {
  let client: RawClient
  private var unread: [UInt8] = []

  init(_ client: RawClient) { self.client = client }

  /// Begins to watch; the head of the answer is read.
  static func open(
    _ node: TestNode, filter: String? = nil, receiveBuffer: Int? = nil
  ) async throws -> (LineReader, PeerResponse) {
    let client = try await RawClient.connect(to: node.adminPort, receiveBuffer: receiveBuffer)
    try await client.send(
      "GET", "/v1/log" + (filter.map { "?filter=\($0)" } ?? ""), host: "localhost",
      ["Authorization: Bearer \(TestNode.token)"])
    return (LineReader(client), try await client.readResponseHead())
  }

  /// The next event's name and data.
  func next() async throws -> (name: String, data: JSONValue) {
    var name = "message"
    while true {
      let line = try await line()
      if line.hasPrefix("event: ") { name = String(line.dropFirst(7)) }
      if line.hasPrefix("data: ") {
        return (name, try JSONValue(parsing: String(line.dropFirst(6))))
      }
    }
  }

  private func line() async throws -> String {
    while true {
      if let end = unread.firstIndex(of: 10) {
        let line = String(decoding: unread[..<end], as: UTF8.self)
        unread.removeFirst(end + 1)
        return line
      }
      unread += try await client.read(exactly: 1)
      unread += try client.readAvailable()
    }
  }
}

private func node(_ settings: String, origin: ScriptedOrigin) throws -> TestNode {
  try TestNode.start(
    configuration: """
      workers 2;
      listen 127.0.0.1:0;
      \(TestNode.adminBlock)
      origin app { server 127.0.0.1:\(origin.port); }
      \(settings)
      """, directory: TemporaryDirectory())
}

/// Who watches what a node answers.
@Suite struct LiveLogTests {
  @Test func `a watcher sees what its filter lets through, whatever the log keeps`() async throws {
    let origin = try await ScriptedOrigin.answering { request in
      Reply(request.target.hasPrefix("/bad") ? 503 : 200, [], "x")
    }
    let node = try node(
      """
      access_log off;
      site * { origin app; route / { log plan header.x-plan; } }
      """, origin: origin)
    let filter =
      "status%20%3E%3D%20500%20%26%26%20host%20%3D%3D%20%22example.com%22%20%26%26%20query.a%20%3D%3D%20%221%22"
      + "%20%26%26%20client%20in%20127.0.0.0%2F8%20%26%26%20method%20%3D%3D%20%22GET%22"
      + "%20%26%26%20log.plan%20%3D%3D%20%22gold%22%20%26%26%20route%20%3D%3D%20%22%2A%2F%22"
      + "%20%26%26%20cache%20%3D%3D%20%22pass%22%20%26%26%20duration%20%3C%201m"
      + "%20%26%26%20protocol%20%3D%3D%20%22HTTP%2F1.1%22%20%26%26%20user_agent%20%3D%3D%20%22me%22"
    let (some, head) = try await LineReader.open(node, filter: filter)
    #expect(head.status == 200 && head.header("content-type") == "text/event-stream")
    let (all, _) = try await LineReader.open(node)
    #expect(try await node.get("/good?a=1", "X-Plan: gold", "User-Agent: me").status == 200)
    #expect(try await node.get("/bad?a=2", "X-Plan: gold", "User-Agent: me").status == 503)
    #expect(try await node.get("/bad?a=1", "X-Plan: tin", "User-Agent: me").status == 503)
    #expect(
      try await node.get("/bad?a=1&token=x", "X-Plan: gold", "User-Agent: me").status == 503)
    let line = try await some.next().data
    #expect(line["target"]?.string == "/bad?a=1&token=***")
    #expect(line["plan"]?.string == "gold")
    var seen: [Int] = []
    for _ in 0..<4 { seen.append(try await all.next().data["status"]?.int ?? 0) }
    #expect(seen.sorted() == [200, 503, 503, 503])
  }

  @Test func `a watcher goes on over a reload of the log`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    func settings(_ log: String) -> String { "access_log \(log); site * { origin app; }" }
    let node = try node(settings("off"), origin: origin)
    let (reader, _) = try await LineReader.open(node)
    #expect(try await node.get("/one").status == 200)
    #expect(try await reader.next().data["target"]?.string == "/one")
    let answer = try await node.reload(
      """
      workers 2;
      listen 127.0.0.1:0;
      \(TestNode.adminBlock)
      origin app { server 127.0.0.1:\(origin.port); }
      access_log ./a.log { client_addresses hashed; }
      site * { origin app; }
      """)
    #expect(answer.status == 200, "\(answer.text)")
    #expect(try await node.get("/two").status == 200)
    let line = try await reader.next().data
    #expect(line["target"]?.string == "/two")
    #expect(line["client"]?.string?.hasPrefix("fd") == true && line["client_port"] == nil)
  }

  @Test(arguments: ["docs/observability.md", "Sources/weir/LogCommand.swift"])
  func `the filters in the documentation are filters`(_ name: String) throws {
    let root = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3)
      .joined(separator: "/")
    let text = try String(contentsOf: URL(filePath: "\(root)/\(name)"), encoding: .utf8)
    let filters = text.matches(of: /weir log -f '([^']+)'/).map { String($0.1) }
    #expect(!filters.isEmpty)
    for filter in filters {
      #expect(throws: Never.self, "\(filter)") { try LineExpression.compile(Array(filter.utf8)) }
    }
  }

  @Test func `a filter that is wrong is refused, and says where`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    let node = try node("site * { origin app; }", origin: origin)
    for (filter, word) in [
      ("stauts%20%3D%3D%201", "status"), ("header(%22a%22)%20%3D%3D%20%22b%22", "no header"),
      ("status%20%3D%3D", "byte"), ("%22a%22%20in%20tags", "tags"),
    ] {
      let answer = try await node.admin("GET", "/v1/log?filter=\(filter)")
      #expect(answer.status == 400 && answer.text.contains(word), "\(answer.text)")
    }
    #expect(try await node.admin("GET", "/v1/log?other=1").status == 400)
  }

  @Test func `one that does not read loses lines, is told so, and holds nobody up`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    let node = try node("site * { origin app; }", origin: origin)
    let (slow, _) = try await LineReader.open(node, receiveBuffer: 4096)
    let client = try await node.connect()
    let target = "/" + String(repeating: "a", count: 1_900)
    for _ in 0..<3_000 { #expect(try await client.get(target).status == 200) }
    node.flushLogs()
    var lines = 0
    var lost = 0
    while lines + lost < 3_000 {
      let event = try await slow.next()
      if event.name == "lost" { lost += event.data["lost"]?.int ?? 0 } else { lines += 1 }
    }
    #expect(lost > 0 && lines > 0 && lines + lost == 3_000)
  }
}
