import Configuration
import EdgeTesting
import Metrics
import Testing

/// `Weir-Explain`: what a node says of one live request to who may ask.
@Suite struct ExplainTests {
  /// An origin that says which fields it saw.
  private static func origin(_ fields: [String] = []) async throws -> ScriptedOrigin {
    try await ScriptedOrigin.answering { request in
      Reply(
        200, ["Cache-Control: max-age=60", "Cache-Tag: article-17, front"] + fields,
        request.names.sorted().joined(separator: " "))
    }
  }

  private static func json(_ token: String = TestNode.token) -> String {
    "Weir-Explain: json \(token)"
  }

  private static func fields(_ token: String = TestNode.token) -> String {
    "Weir-Explain: fields \(token)"
  }

  @Test func `an answer says in fields what was decided, and is what it would have been`()
    async throws
  {
    let origin = try await Self.origin()
    let node = try TestNode.start(
      origin: origin.port, route: "when path == \"/x\" { set header.x-rule \"1\"; }")
    let plain = try await node.get("/plain")
    let miss = try await node.get("/x", Self.fields())
    #expect(miss.status == 200 && miss.text.contains("x-rule"))
    #expect(!miss.text.contains("weir-explain"), "the origin must not see it: \(miss.text)")
    #expect(!miss.text.contains("traceparent"))
    #expect(miss.header("weir-explain") == "fields")
    #expect(miss.header("weir-explain-site") == "*")
    #expect(miss.header("weir-explain-cache") == "miss; fetched from the origin, and stored")
    #expect(miss.header("weir-explain-reason") == "uri-miss")
    #expect(miss.header("weir-explain-tags") == "2; article-17 front")
    #expect(
      miss.header("weir-explain-freshness")
        == "age=0, lifetime=60, source=\"max-age of cache-control\"")
    #expect(
      miss.header("weir-explain-origin") == "app; 127.0.0.1:\(origin.port) kept 200"
        || miss.header("weir-explain-origin") == "app; 127.0.0.1:\(origin.port) fresh 200")
    #expect(miss.headers("weir-explain-rule").first?.hasSuffix("path == \"/x\" (true)") == true)
    #expect(miss.header("weir-explain-timings")?.contains("origin first byte=") == true)
    // Nobody between may keep what it says.
    #expect(miss.headers("cache-control") == ["max-age=60", "no-store"])
    try await node.settle()
    node.advance(seconds: 5)
    let hit = try await node.get("/x", Self.fields())
    #expect(hit.isHit && hit.text == miss.text)
    #expect(hit.header("weir-explain-cache") == "hit; served from the store")
    #expect(hit.header("weir-explain-freshness")?.hasPrefix("age=5, lifetime=60") == true)
    #expect(hit.header("weir-explain-origin") == nil)
    // What is stored is what others get.
    let other = try await node.get("/x")
    #expect(other.isHit && other.text == miss.text)
    #expect(!other.names.contains { $0.hasPrefix("weir-") })
    #expect(!plain.names.contains { $0.hasPrefix("weir-") })
    #expect(origin.requests.count == 2)
    try await node.expectAtRest()
    node.flushLogs()
    let log = try await Program.run(["cat", node.directory.file("access.log")])
    #expect(!log.output.contains(TestNode.token) && !log.output.lowercased().contains("explain"))
  }

  @Test func `an object stands in the place of the answer, and the request goes its way`()
    async throws
  {
    let origin = try await Self.origin(["Vary: Accept-Language, Weir-Explain"])
    let node = try TestNode.start(
      origin: origin.port,
      route: """
        limit calm;
        when header.accept-language == "ja" { cache key "${path}!ja"; }
        on response { set header.x-answer "${response.status}"; }
        """,
      top: "limit calm { token_bucket 10/m burst=4; key client.ip; }")
    let client = try await node.connect()
    let first = try await client.get("/x?a=1", ["Accept-Language: ja", Self.json()])
    #expect(first.status == 200 && first.header("content-type") == "application/json")
    #expect(first.header("cache-control") == "no-store" && first.header("weir-explain") == "json")
    #expect(first.header("x-answer") == nil)
    let said = try first.json()
    #expect(said["request"]?["target"]?.string == "/x?a=1")
    #expect(said["site"]?.string == "*" && said["generation"]?.int == 1)
    #expect(said["rules"]?[0]?["holds"]?.bool == true)
    #expect(said["rules"]?[0]?["operands"]?[0]?["value"]?.string == "\"ja\"")
    #expect(said["limits"]?[0]?["limit"]?.string == "calm")
    #expect(said["limits"]?[0]?["verdict"]?.string == "allowed")
    #expect(said["limits"]?[0]?["remaining"]?.int == 3)
    #expect(said["limits"]?[0]?["keyed_by"]?.string == "client.ip")
    #expect(said["key"]?.string?.hasSuffix("/x!ja") == true, "\(first.text)")
    #expect(said["vary"]?.string == "accept-language,weir-explain")
    #expect(said["cache"]?.string == "miss" && said["stored"]?.bool == true)
    #expect(said["found"]?.bool == false && said["shared"]?.bool == true)
    #expect(said["origin"]?["pool"]?.string == "app")
    #expect(said["origin"]?["tries"]?[0]?["outcome"]?.string == "200")
    #expect(said["tags"]?.array?.compactMap(\.string) == ["article-17", "front"])
    #expect(said["response"]?["status"]?.int == 200)
    let fields = said["response"]?["fields"]?.array?.compactMap(\.string) ?? []
    #expect(fields.contains("x-answer: 200") && fields.contains { $0.hasPrefix("cache-status: ") })
    #expect(said["response_rules"]?[0]?["value"]?.string == "\"200\"")
    #expect(said["timings"]?.array?.isEmpty == false)
    try await node.settle()
    // On the same connection: what it fetched is stored, for those without the field as well.
    let hit = try await client.get("/x?a=1", ["Accept-Language: ja"])
    #expect(hit.isHit && hit.header("x-answer") == "200" && !hit.text.contains("explain"))
    let again = try await client.get("/x?a=1", ["Accept-Language: ja", Self.json()]).json()
    #expect(again["cache"]?.string == "hit" && again["found"]?.bool == true)
    #expect(again["tag_count"]?.int == 2 && again["limits"]?[0]?["remaining"]?.int == 1)
    #expect(again["freshness"]?["ttl_seconds"]?.int == 60)
    #expect(origin.requests.count == 1)
    // What limits and routes refuse is explained, too.
    _ = try await client.get("/y")
    let refused = try await client.get("/y", [Self.json()]).json()
    #expect(refused["limits"]?[0]?["verdict"]?.string == "refused")
    #expect(refused["response"]?["status"]?.int == 429)
    client.close()
    try await node.expectAtRest()
  }

  @Test(arguments: [
    ["Weir-Explain: json no-such-token"], ["Weir-Explain: \(TestNode.token)"],
    ["Weir-Explain: xml \(TestNode.token)"],
    ["Weir-Explain: fields \(TestNode.token)", "Weir-Explain: fields \(TestNode.token)"],
    ["Weir-Explain:"],
    ["Weir-Explain: json \(TestNode.token)x"],
  ])
  func `without a good token it is as if the field had not been sent`(_ sent: [String]) async throws
  {
    let origin = try await Self.origin(["Vary: Weir-Explain"])
    let node = try TestNode.start(origin: origin.port)
    let client = try await node.connect()
    let answer = try await client.get("/x", sent)
    #expect(answer.status == 200 && !answer.names.contains { $0.hasPrefix("weir-") })
    #expect(!answer.text.contains("weir-explain"), "\(answer.text)")
    try await node.settle()
    #expect(try await client.get("/x").isHit)
    client.close()
    try await node.expectAtRest()
  }

  @Test func `a token is good for what it may do, on its own sites`() async throws {
    func line(_ name: String, _ verbs: String, _ sites: String) throws -> String {
      let digest = try #require(AdminTokenFile.digest(of: Array(name.utf8)))
      let hex = digest.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
      return "\(name) \(verbs) \(sites) sha256:\(hex)\n"
    }
    let origin = try await Self.origin()
    let directory = try TemporaryDirectory()
    try directory.write(
      "tokens",
      try line("reads-all", "read", "*") + line("reads-a", "read", "a.example")
        + line("purges-all", "purge", "*"))
    let node = try TestNode.start(
      configuration: """
        listen 127.0.0.1:0; admin 127.0.0.1:0 { tokens ./tokens; } store ./store;
        origin app 127.0.0.1:\(origin.port);
        site a.example { origin app; } site b.example { origin app; }
        """, directory: directory)
    for (token, host, isTold) in [
      ("reads-all", "a.example", true), ("reads-all", "nowhere.example", true),
      ("reads-a", "a.example", true), ("reads-a", "b.example", false),
      ("reads-a", "nowhere.example", false), ("purges-all", "a.example", false),
    ] {
      let client = try await node.connect()
      let answer = try await client.get("/", host: host, [Self.fields(token)])
      #expect((answer.header("weir-explain") != nil) == isTold, "\(token) at \(host)")
      client.close()
    }
  }

  @Test func `failures and further tries are named, and a stale answer in their place`()
    async throws
  {
    let origin = try await Self.origin()
    let node = try TestNode.start(
      origin: origin.port, route: "cache { stale_if_error 1h; }")
    _ = try await node.get("/x")
    try await node.settle()
    await origin.stop()
    node.advance(seconds: 90)
    let stale = try await node.connect().get("/x", [Self.json()]).json()
    #expect(stale["cache"]?.string == "stale" && stale["reason"]?.string == "stale")
    #expect(stale["freshness"]?["ttl_seconds"]?.int == -30)
    #expect(stale["origin"]?["tries"]?[0]?["server"]?.string == "127.0.0.1:\(origin.port)")
    let error = try await node.connect().get("/y", [Self.json()]).json()
    #expect(error["cache"]?.string == "error" && error["response"]?["status"]?.int == 502)
    #expect(error["origin"]?["tries"]?.array?.isEmpty == false)
    try await node.expectAtRest()
  }

  @Test func `over HTTP/2 it is the same`() async throws {
    let origin = try await ScriptedOrigin.answering { request in
      Reply(200, ["Cache-Control: max-age=60"], request.names.sorted().joined(separator: " "))
    }
    let secure = try await SecureNode.start(origin: origin.port)
    let outcome = try await secure.curl(
      "/x", ["--http2", "-H", "Weir-Explain: json \(TestNode.token)"])
    #expect(outcome.output.contains("\"version\": \"HTTP/2\""), "\(outcome.output)")
    #expect(outcome.output.contains("\"cache\": \"miss\""))
    try await secure.node.settle()
    let hit = try await secure.curl("/x", ["--http2"])
    #expect(hit.output.contains("weir; hit") && !hit.output.contains("weir-explain"))
  }
}
