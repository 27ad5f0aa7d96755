import EdgeTesting
import EventLoop
import Metrics
import Testing

/// What rules choose for a request, where it shows only in the node.
@Suite struct RuleChoiceTests {
  @Test func `a request costs what a rule makes of it`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    let node = try TestNode.limited(
      "limit work { token_bucket 10/d; headers on; }",
      route: """
        when path == "/report" { limit work cost to_int(query.pages, 1); }
        else { limit work; }
        """, origin: origin)
    #expect(try await node.statuses(1, "/report?pages=6") == [200])
    let told = try await node.get("/report?pages=nonsense")
    #expect(told.status == 200 && told.header("ratelimit")?.contains("r=3") == true)
    #expect(try await node.statuses(1, "/report?pages=4") == [429])
    // Nothing, and less than nothing, takes nothing, and gives nothing back.
    #expect(try await node.statuses(3, "/report?pages=-5") == [200, 200, 200])
    #expect(try await node.statuses(4, "/x") == [200, 200, 200, 429])
    #expect(try await node.statuses(1, "/report?pages=99999999999999999999") == [429])
    // Who looks at the limit sees where it is chosen.
    let shown = try await node.admin("GET", "/v1/limits/work").json()
    #expect(shown["routes"]?.array?.map { $0.string } == ["*/"])
  }

  @Test func `who waits in a line of a limit that a rule chose at a cost pays it`() async throws {
    let origin = try await ScriptedOrigin.answering { request in Reply(200, [], request.target) }
    let node = try TestNode.limited(
      "limit line { leaky_bucket 1/s queue=5; }",
      route: "when exists(query.cost) { limit line cost to_int(query.cost, 1); }", origin: origin,
      workers: 1)
    let first = try await node.ask("/?cost=3")
    #expect(try await first.readResponse().status == 200)
    let second = try await node.ask("/?cost=1")
    try await node.expectWaiting("line", 1)
    node.advance(seconds: 2.9)
    try await node.settleTurns()
    #expect(node.waiting("line") == 1)
    node.advance(seconds: 0.2)
    #expect(try await second.readResponse().text == "/?cost=1")
  }

  @Test func `a locale is one line, and the variants are served without the origin`() async throws {
    let origin = try await ScriptedOrigin.answering { request in
      Reply(
        200, ["Cache-Control: max-age=60", "Vary: Accept-Language"],
        "\(request.target) in \(request.header("accept-language") ?? "?")")
    }
    let node = try TestNode.start(
      origin: origin.port,
      route: """
        locale { languages en de ja; cookie lang; query lang; path on; }
        when path == "/" { redirect 302 "/${$locale}/" { vary "Accept-Language, Cookie"; } }
        """)
    for language in ["en", "de", "ja"] {
      _ = try await node.get("/menu", "Accept-Language: \(language)")
      try await node.settle()
    }
    _ = try await node.get("/ja/menu", "Accept-Language: de")
    try await node.settle()
    await origin.stop()
    for (target, fields, text) in [
      ("/menu", ["Accept-Language: ja-JP, en;q=0.1"], "/menu in ja"),
      ("/menu", ["Accept-Language: fr"], "/menu in en"), ("/menu", [], "/menu in en"),
      ("/menu", ["Accept-Language: ja", "Cookie: a=b; lang=de"], "/menu in de"),
      ("/menu", ["Accept-Language: ja", "Cookie: lang=xx"], "/menu in ja"),
      ("/ja/menu", ["Accept-Language: en", "Cookie: lang=de"], "/ja/menu in ja"),
    ] {
      let client = try await node.connect()
      let response = try await client.request("GET", target, fields)
      #expect(response.isHit && response.text == text)
      #expect(response.header("content-language") == String(text.suffix(2)))
      #expect(response.headers("vary").contains("Accept-Language, Cookie"))
      client.close()
    }
    let root = try await node.get("/?lang=de", "Accept-Language: ja")
    #expect(root.status == 302 && root.header("location") == "/de/")
    #expect(origin.requests.count == 4)
    try await node.expectAtRest()
  }

  @Test func `what is validated behind a stale response counts on the way to the origin`()
    async throws
  {
    let origin = try await ScriptedOrigin.answering { request in
      Reply(
        200, ["Cache-Control: max-age=1, stale-while-revalidate=1000"],
        "\(request.target)")
    }
    let node = try TestNode.limited(
      "limit fetches { token_bucket 2/h; on miss; key host; }", route: "limit fetches;",
      origin: origin, store: "")
    #expect(try await node.get("/a").status == 200)
    try await node.settle()
    node.advance(seconds: 2)
    #expect(try await node.get("/a").text == "/a")
    try await origin.waitForRequests(2)
    try await node.settle()
    // The budget is spent: what is stale is served, and nothing behind it.
    node.advance(seconds: 2)
    for _ in 0..<3 {
      #expect(try await node.get("/a").text == "/a")
      try await node.settle()
    }
    #expect(origin.requests.count == 2 && node.decisions("fetches", "rejected") == 3)
    #expect(try await node.get("/b").status == 429)
    node.advance(seconds: 1800)
    #expect(try await node.get("/b").status == 200)
    try await node.expectAtRest()
  }

  @Test func `a line on the way to the origin is not for what nobody waits for`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in
      Reply(200, ["Cache-Control: max-age=1, stale-while-revalidate=1000"], "x")
    }
    let node = try TestNode.limited(
      """
      limit line { leaky_bucket 1/m queue=5; on miss; key host; }
      limit flight { concurrency 1; on miss; key host; }
      """, route: "limit line; limit flight;", origin: origin, store: "")
    #expect(try await node.get("/a").status == 200)
    try await node.settle()
    node.advance(seconds: 2)
    #expect(try await node.get("/a").status == 200)
    #expect(node.waiting("line") == 0 && origin.requests.count == 1)
    node.advance(seconds: 60)
    #expect(try await node.get("/a").status == 200)
    try await origin.waitForRequests(2)
    try await node.settle()
    // What was in flight behind the response is no more.
    node.advance(seconds: 60)
    #expect(try await node.get("/b").status == 200)
    try await node.expectAtRest()
  }
}
