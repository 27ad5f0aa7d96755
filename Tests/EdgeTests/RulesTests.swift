import Bytes
import EdgeTesting
import Metrics
import Testing

/// What rules do with a request before the store is asked.
@Suite struct RuleAnswerTests {
  /// An origin that says what it was asked, in a response that may be stored.
  static func echo(_ fields: [String] = []) async throws -> ScriptedOrigin {
    try await ScriptedOrigin.answering { request in
      Reply(200, ["Cache-Control: max-age=60"] + fields, "\(request.method) \(request.target)")
    }
  }

  @Test func `a request is answered by a rule, and the connection goes on`() async throws {
    let origin = try await Self.echo()
    let node = try TestNode.start(
      origin: origin.port,
      route: """
        when path == "/old" { redirect 301 "/new?a=b"; }
        when starts_with(path, "/internal/") { respond 403 "Not from there." { x-why "rules"; } }
        when path == "/empty" { respond 204; }
        """)
    let client = try await node.connect()
    let moved = try await client.get("/old")
    #expect(moved.status == 301 && moved.header("location") == "/new?a=b")
    #expect(moved.body.isEmpty && moved.header("cache-status") == "weir; detail=rules")
    let refused = try await client.get("/internal/x")
    #expect(refused.status == 403 && refused.text == "Not from there.")
    #expect(refused.header("x-why") == "rules")
    #expect(refused.header("content-type") == "text/plain; charset=utf-8")
    #expect(refused.header("date") != nil)
    let head = try await client.request("HEAD", "/internal/x")
    #expect(head.status == 403 && head.header("content-length") == "15")
    #expect(try await client.get("/empty").status == 204)
    #expect(try await client.get("/plain").text == "GET /plain")
    #expect(origin.requests.map(\.target) == ["/plain"])
    client.close()
    try await node.expectAtRest()
    let log = try node.log()
    // One connection is one worker's, whose lines keep their order.
    #expect(log.map { $0["status"]?.int } == [301, 403, 403, 204, 200])
    #expect(log.map { $0["cache"]?.string } == ["none", "none", "none", "none", "miss"])
  }

  @Test func `bad requests are refused before the origin`() async throws {
    let origin = try await Self.echo()
    let node = try TestNode.start(
      origin: origin.port,
      route: """
        when !(request.method in ["GET", "HEAD", "POST"]) {
          respond 405 { allow "GET, HEAD, POST"; }
        }
        when request.method == "POST" && !starts_with(header.content-type, "application/json") {
          respond 415;
        }
        when request.content_length > 10 { respond 413; }
        when starts_with(path, "/search") && !exists(query.q) { respond 400 "q is missing"; }
        """)
    let put = try await node.connect().request("PUT", "/x", body: "1")
    #expect(put.status == 405 && put.header("allow") == "GET, HEAD, POST")
    #expect(
      try await node.connect().request(
        "POST", "/x", ["Content-Type: text/plain"], body: "1"
      ).status == 415)
    let json = ["Content-Type: application/json"]
    #expect(
      try await node.connect().request("POST", "/x", json, body: "12345678901").status == 413)
    #expect(try await node.get("/search?p=1").status == 400)
    #expect(origin.requests.isEmpty)
    #expect(try await node.connect().request("POST", "/x", json, body: "12").text == "POST /x")
    #expect(try await node.get("/search?q=1").text == "GET /search?q=1")
    try await node.expectAtRest()
  }

  @Test func `a preflight is answered at the edge, and scripts may read what they asked for`()
    async throws
  {
    let origin = try await Self.echo()
    let node = try TestNode.start(
      origin: origin.port,
      route: """
        cors { origins "https://www.example.com"; methods GET PUT; expose ETag; }
        security_headers { frame DENY; }
        """)
    let site = "Origin: https://www.example.com"
    let preflight = try await node.connect().request(
      "OPTIONS", "/api", [site, "Access-Control-Request-Method: PUT"])
    #expect(preflight.status == 204)
    #expect(preflight.header("access-control-allow-origin") == "https://www.example.com")
    #expect(preflight.header("access-control-allow-methods") == "GET, PUT")
    #expect(preflight.header("vary") == "Origin")
    #expect(origin.requests.isEmpty)
    // On a fill and on hits, each client its own.
    for (field, expected) in [
      (site, "https://www.example.com"), (site, "https://www.example.com"),
      ("Origin: https://evil.example", nil),
    ] as [(String, String?)] {
      let response = try await node.get("/api", field)
      #expect(response.text == "GET /api")
      #expect(response.header("access-control-allow-origin") == expected)
      #expect(response.header("x-content-type-options") == "nosniff")
      #expect(response.header("x-frame-options") == "DENY")
      try await node.settle()
    }
    #expect(origin.requests.count == 1)
    try await node.expectAtRest()
  }

  @Test(arguments: [
    ("/x/..%2fsecret", 400), ("/x/a%0d%0ab", 200), ("/x/%2e%2e/b", 400), ("/x/?q", 200),
  ])
  func `a rewritten path leads nowhere else`(target: String, status: Int) async throws {
    let origin = try await Self.echo()
    let node = try TestNode.start(
      origin: origin.port,
      route: #"rewrite path "/y/${url_decode(strip_prefix(path, "/x/"))}";"#)
    let response = try await node.get(target)
    #expect(response.status == status)
    for request in origin.requests {
      #expect(request.target.hasPrefix("/y/") && !request.target.contains(".."))
      #expect(request.fields.allSatisfy { $0.name != "b" })
    }
  }
}

/// Routing, and what the origin is asked.
@Suite struct RuleRoutingTests {
  @Test func `a canary gets its share by a stable hash, and keeps who is there`() async throws {
    let stable = try await ScriptedOrigin.answering { _ in
      Reply(200, ["Cache-Control: max-age=60"], "stable")
    }
    let canary = try await ScriptedOrigin.answering { _ in
      Reply(200, ["Cache-Control: max-age=60"], "canary")
    }
    let node = try TestNode.start(
      origin: stable.port,
      route: """
        when percent(cookie.id, 30, "checkout-2") {
          origin canary;
          vary_by "canary";
          log group "canary";
        }
        """, top: "origin canary 127.0.0.1:\(canary.port);")
    var groups: [String: String] = [:]
    for id in 0..<40 {
      let field = "Cookie: id=user-\(id)"
      let first = try await node.get("/", field).text
      try await node.settle()
      #expect(try await node.get("/", field).text == first, "sticky")
      groups["user-\(id)"] = first
    }
    let share = groups.values.count { $0 == "canary" }
    #expect((4...24).contains(share), "of 40 clients \(share) saw the canary")
    #expect(stable.requests.count == 1 && canary.requests.count == 1)
    try await node.expectAtRest()
    let logged = try node.log().count { $0["group"]?.string == "canary" }
    #expect(logged == share * 2)
  }

  @Test func `the origin is chosen by geography`() async throws {
    guard let database = sharedDataFile("mmdb/GeoIP2-Country-Test.mmdb") else {
      print("skipped: no geo database in ../shared/data")
      return
    }
    let origin = try await ScriptedOrigin.answering { request in
      Reply(200, [], request.header("x-country") ?? "none")
    }
    let node = try TestNode.start(
      origin: origin.port,
      route: """
        set header.x-country geo.country;
        when geo.country == "" { set header.x-country "unknown"; }
        """, top: "geo_database \(database);")
    // Loopback is nowhere; what the database says of other addresses is tested with the rules.
    #expect(try await node.get("/").text == "unknown")
    try await node.expectAtRest()
  }

  @Test func `fields are edited on the way to the origin`() async throws {
    let origin = try await RuleAnswerTests.echo()
    let node = try TestNode.start(
      origin: origin.port,
      route: """
        unset header.x-secret;
        set header.X-Set "one";
        add header.x-many "2";
        add header.x-many "3";
        set header.user-agent "weir";
        """)
    _ = try await node.get(
      "/", "X-Secret: a", "X-Set: b", "x-sEt: c", "X-Many: 1", "User-Agent: me", "X-Other: d")
    let seen = try #require(origin.requests.first)
    #expect(seen.header("x-secret") == nil && seen.headers("x-set") == ["one"])
    #expect(seen.headers("x-many") == ["1", "2", "3"] && seen.header("user-agent") == "weir")
    #expect(seen.header("x-other") == "d" && seen.header("host") == "example.com")
    try await node.expectAtRest()
    // The log is about what the client sent.
    #expect(try node.log().first?["user_agent"]?.string == "me")
  }

  @Test func `a rewritten request is what the store and the origin see`() async throws {
    let origin = try await RuleAnswerTests.echo()
    let node = try TestNode.start(
      origin: origin.port,
      route: """
        when starts_with(path, "/v1/") { rewrite path replace_prefix(path, "/v1/", "/v2/"); }
        when exists(query.debug) { rewrite query "d=${query.debug}"; }
        """)
    #expect(try await node.get("/v1/a%7Eb?x=1").text == "GET /v2/a~b?x=1")
    try await node.settle()
    #expect(try await node.get("/v2/a~b?x=1").isHit)
    #expect(try await node.get("/keep%7Eme?debug=1").text == "GET /keep%7Eme?d=1")
    try await node.settle()
    #expect(try await node.stored("/keep%7Eme?d=1").isHit)
    #expect(!(try await node.stored("/keep%7Eme?debug=2").isHit))
    try await node.expectAtRest()
    #expect(try node.log().first?["target"]?.string == "/v1/a%7Eb?x=1")
  }

  @Test func `an unsafe request ends what is stored under either of its addresses`() async throws {
    let origin = try await RuleAnswerTests.echo()
    let node = try TestNode.start(
      origin: origin.port, route: #"when path == "/a" { rewrite path "/b"; }"#)
    for target in ["/a", "/b"] {
      _ = try await node.get("/b")
      try await node.settle()
      #expect(try await node.stored("/b").isHit)
      #expect(try await node.connect().request("POST", target, body: "x").status == 200)
      #expect(!(try await node.stored("/b").isHit))
    }
    try await node.expectAtRest()
  }
}

/// Limits that rules choose.
@Suite struct RuleLimitTests {
  @Test func `a request waits in the line of a limit that rules chose, with its rules`()
    async throws
  {
    let origin = try await ScriptedOrigin.answering { request in
      Reply(200, [], request.header("x-who") ?? "-")
    }
    let node = try TestNode.start(
      origin: origin.port,
      route: """
        set header.x-who query.who;
        when path == "/paced" { limit line; }
        on response { set header.x-done query.who; }
        """, top: "limit line { leaky_bucket 1/s queue=5; }", workers: 1)
    var clients: [RawClient] = []
    for who in 0..<3 { clients.append(try await node.ask("/paced?who=\(who)")) }
    #expect(try await node.get("/free?who=x").text == "x")
    for (who, client) in clients.enumerated() {
      if who > 0 { node.advance(seconds: 1) }
      let response = try await client.readResponse()
      #expect(response.text == "\(who)" && response.header("x-done") == "\(who)")
    }
  }

  @Test func `a limit counts only requests that rules choose it for`() async throws {
    let origin = try await RuleAnswerTests.echo()
    let node = try TestNode.start(
      origin: origin.port, route: #"when path == "/login" { limit logins; }"#,
      top: "limit logins { token_bucket 2/m; }")
    var statuses: [Int] = []
    for _ in 0..<4 { statuses.append(try await node.get("/login").status) }
    #expect(statuses == [200, 200, 429, 429])
    for _ in 0..<4 { #expect(try await node.get("/page").status == 200) }
    #expect(try await node.get("/login").header("retry-after") != nil)
    try await node.expectAtRest()
  }
}

/// Nothing that a client sends makes another get its response.
@Suite struct RuleKeyTests {
  @Test func `requests whose edited fields differ never share`() async throws {
    let origin = try await ScriptedOrigin.answering { request in
      Reply(200, ["Cache-Control: public, max-age=60"], request.header("x-user") ?? "nobody")
    }
    let node = try TestNode.start(
      origin: origin.port,
      route: #"when exists(cookie.user) { set header.x-user cookie.user; }"#)
    for _ in 0..<2 {
      #expect(try await node.get("/", "Cookie: user=anna").text == "anna")
      try await node.settle()
      #expect(try await node.get("/", "Cookie: user=bert").text == "bert")
      try await node.settle()
      #expect(try await node.get("/").text == "nobody")
      try await node.settle()
    }
    #expect(origin.requests.count == 3)
    try await node.expectAtRest()
  }

  @Test func `followers of a fill are only those with the same edits`() async throws {
    let release = Signal("the origin's answer")
    let origin = try await ScriptedOrigin.answering { request in
      if request.target == "/slow" { try await release.wait() }
      return Reply(200, ["Cache-Control: max-age=60"], request.header("x-user") ?? "nobody")
    }
    let node = try TestNode.start(origin: origin.port, route: "set header.x-user cookie.user;")
    async let others = atOnce(20) { index in
      let user = index % 2 == 0 ? "anna" : "bert"
      return (user, try await node.get("/slow", "Cookie: user=\(user)").text)
    }
    try await origin.waitForRequests(2)
    release.send()
    for (user, text) in try await others { #expect(user == text) }
    #expect(origin.requests.count == 2)
    try await node.expectAtRest()
  }

  @Test func `values that vary stay apart, however they are written`() async throws {
    let origin = try await ScriptedOrigin.answering { request in
      let values = ["x-a", "x-b"].map { request.header($0) ?? "-" }
      return Reply(200, ["Cache-Control: max-age=60"], values.joined(separator: "|"))
    }
    let node = try TestNode.start(origin: origin.port, route: "vary_by header.x-a, header.x-b;")
    let pairs = [("ab", "c"), ("a", "bc"), ("abc", ""), ("", "abc"), ("v\u{1}", "c"), ("a", "b")]
    for _ in 0..<2 {
      for (a, b) in pairs where !a.contains("\u{1}") {
        let text = try await node.get("/", "X-A: \(a)", "X-B: \(b)").text
        #expect(text == "\(a)|\(b)")
        try await node.settle()
      }
    }
    #expect(origin.requests.count == pairs.count - 1)
    // The same target without the fields is another response.
    #expect(try await node.get("/").text == "-|-")
    try await node.expectAtRest()
  }

  @Test func `a rule's own key replaces path and query, and nothing else`() async throws {
    let origin = try await ScriptedOrigin.answering { request in
      Reply(200, ["Cache-Control: max-age=60"], "\(request.header("host") ?? "") \(request.target)")
    }
    let node = try TestNode.start(
      origin: origin.port, route: #"cache key "item ${query.id}"; set header.x-id query.id;"#)
    let client = try await node.connect()
    #expect(
      try await client.get("/a?id=1&utm=x", host: "a.example").text == "a.example /a?id=1&utm=x")
    try await node.settle()
    #expect(try await client.get("/b?id=1", host: "a.example").isHit)
    #expect(!(try await client.get("/a?id=1&utm=x", host: "b.example").isHit))
    #expect(!(try await client.get("/a?id=2", host: "a.example").isHit))
    client.close()
    try await node.expectAtRest()
  }

  @Test func `bypass, lifetime and tags are the rules'`() async throws {
    let origin = try await ScriptedOrigin.answering { request in
      switch request.target {
      case "/error": Reply(503, [], "down")
      case "/gone": Reply(404, [], "gone")
      default: Reply(200, ["Cache-Control: max-age=5"], request.target)
      }
    }
    let node = try TestNode.start(
      origin: origin.port,
      route: """
        when path == "/live" { cache bypass; }
        cache ttl 1h;
        tag "all", "page:${path}";
        on response { when response.status == 404 { cache ttl 10s; tag "missing"; } }
        """)
    for target in ["/live", "/page", "/error", "/gone"] {
      _ = try await node.get(target)
      try await node.settle()
    }
    node.advance(seconds: 9)
    #expect(try await node.stored("/gone").isHit)
    node.advance(seconds: 100)
    #expect(!(try await node.stored("/gone").isHit))
    #expect(try await node.stored("/page").isHit)
    #expect(!(try await node.stored("/live").isHit))
    #expect(!(try await node.stored("/error").isHit))
    try await node.purgeTags("page:/page")
    #expect(!(try await node.stored("/page").isHit))
    try await node.expectAtRest()
  }
}

/// What the client gets.
@Suite struct ResponseRuleTests {
  @Test func `edits are made for each client, and what is stored stays as it was`() async throws {
    let origin = try await RuleAnswerTests.echo([
      "X-Powered-By: php", "ETag: \"1\"", "Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT",
    ])
    let node = try TestNode.start(
      origin: origin.port,
      route: """
        set $who header.x-who;
        on response {
          unset header.x-powered-by;
          set header.x-for $who;
          when response.stored { set header.x-from "store"; } else { set header.x-from "origin"; }
          add header.vary "X-Who";
          log from "${response.status}";
        }
        """)
    let fill = try await node.get("/", "X-Who: anna")
    #expect(fill.header("x-for") == "anna" && fill.header("x-from") == "origin")
    #expect(fill.header("x-powered-by") == nil && fill.header("vary") == "X-Who")
    try await node.settle()
    let hit = try await node.get("/", "X-Who: bert")
    #expect(hit.isHit && hit.header("x-for") == "bert" && hit.header("x-from") == "store")
    #expect(hit.headers("vary") == ["X-Who"] && hit.text == "GET /")
    let same = try await node.get("/", "X-Who: carl", "If-None-Match: \"1\"")
    #expect(same.status == 304 && same.header("x-for") == "carl")
    let part = try await node.get("/", "X-Who: dora", "Range: bytes=0-2")
    #expect(part.status == 206 && part.text == "GET" && part.header("x-for") == "dora")
    #expect(part.header("x-powered-by") == nil)
    #expect(origin.requests.count == 1)
    try await node.expectAtRest()
    let from = try node.log().compactMap { $0["from"]?.string }
    #expect(from.sorted() == ["200", "200", "206", "304"])
  }

  @Test func `followers get their own, and so do readers of a large body`() async throws {
    let release = Signal("the origin's answer")
    let body = (0..<100_000).map { "line \($0)" }.joined(separator: "\n")
    let origin = try await ScriptedOrigin.answering { _ in
      try await release.wait()
      return Reply(200, ["Cache-Control: max-age=60"], body)
    }
    let node = try TestNode.start(
      origin: origin.port,
      route: "set $who header.x-who; log who $who; on response { set header.x-for $who; }")
    async let answers = atOnce(8) { index in
      (index, try await node.get("/", "X-Who: client-\(index)"))
    }
    try await origin.waitForRequests(1)
    release.send()
    for (index, response) in try await answers {
      #expect(response.header("x-for") == "client-\(index)" && response.text == body)
    }
    try await node.settle()
    let stored = try await atOnce(8) { index in
      (index, try await node.get("/", "X-Who: later-\(index)"))
    }
    for (index, response) in stored {
      #expect(response.isHit && response.header("x-for") == "later-\(index)")
      #expect(response.text == body)
    }
    #expect(origin.requests.count == 1)
    try await node.expectAtRest()
    let names = try node.log().compactMap { $0["who"]?.string }
    #expect(
      Set(names) == Set((0..<8).flatMap { ["client-\($0)", "later-\($0)"] }) && names.count == 16)
  }

  @Test func `the node's own answers have the response's rules too`() async throws {
    let origin = try await ScriptedOrigin { connection in connection.reset() }
    let node = try TestNode.start(
      origin: origin.port,
      route: """
        when path == "/no" { respond 403 "no"; }
        on response { set header.x-frame-options "DENY"; unset header.server; }
        """)
    for (target, status) in [("/no", 403), ("/broken", 502)] {
      let response = try await node.get(target)
      #expect(response.status == status && response.header("x-frame-options") == "DENY")
      #expect(response.header("server") == nil && !response.body.isEmpty)
    }
  }

  @Test func `a response whose rules fail is not given out`() async throws {
    let origin = try await RuleAnswerTests.echo()
    let node = try TestNode.start(
      origin: origin.port,
      route: #"on response { set header.x-echo url_decode(query.x); }"#)
    #expect(try await node.get("/?x=fine").header("x-echo") == "fine")
    try await node.settle()
    for _ in 0..<2 {
      let failed = try await node.get("/?x=a%250d%250aset-cookie:%2520b")
      #expect(failed.status == 400 && failed.header("set-cookie") == nil)
      #expect(failed.header("x-echo") == nil)
      try await node.settle()
    }
    #expect(try await node.get("/?x=fine").isHit)
    try await node.expectAtRest()
  }
}

/// The page in the reader's language, from the store.
@Suite struct LocalizationTests {
  private static let rules = """
    when cookie.lang in ["en", "de", "ja"] { set $lang cookie.lang; }
    else { set $lang negotiate(header.accept-language, ["en", "de", "ja"], "en"); }
    when path == "/" { redirect 302 "/${$lang}/" { vary "Accept-Language, Cookie"; } }
    set header.accept-language $lang;
    vary_by $lang;
    on response {
      set header.content-language $lang;
      unset header.vary;
      add header.vary "Accept-Language, Cookie";
    }
    """

  private func localized() async throws -> (TestNode, ScriptedOrigin) {
    let origin = try await ScriptedOrigin.answering { request in
      Reply(
        200, ["Cache-Control: max-age=60", "Vary: Accept-Language"],
        "menu in \(request.header("accept-language") ?? "?")")
    }
    return (try TestNode.start(origin: origin.port, route: Self.rules), origin)
  }

  @Test(arguments: [
    (["Accept-Language: ja"], "/ja/"), (["Accept-Language: de-CH, en;q=0.5"], "/de/"),
    (["Accept-Language: fr"], "/en/"), ([], "/en/"),
    (["Accept-Language: ja", "Cookie: a=b; lang=de"], "/de/"),
    (["Accept-Language: ja", "Cookie: lang=/evil.example"], "/ja/"),
  ])
  func `the root leads to the reader's language`(fields: [String], place: String) async throws {
    let (node, origin) = try await localized()
    let client = try await node.connect()
    let response = try await client.get("/", fields)
    #expect(response.status == 302 && response.header("location") == place)
    #expect(response.header("vary")?.contains("Accept-Language") == true)
    #expect(origin.requests.isEmpty)
  }

  @Test func `each language is fetched once, and served without the origin`() async throws {
    let (node, origin) = try await localized()
    for language in ["ja", "de", "en"] {
      let response = try await node.get("/menu", "Accept-Language: \(language)")
      #expect(response.text == "menu in \(language)")
      try await node.settle()
    }
    await origin.stop()
    for (accepted, language) in [
      ("ja-JP, en;q=0.1", "ja"), ("de-AT;q=0.3, ja;q=0.2", "de"), ("en-GB", "en"), ("xx, *", "en"),
    ] {
      let response = try await node.get("/menu", "Accept-Language: \(accepted)")
      #expect(response.isHit && response.text == "menu in \(language)")
      #expect(response.header("content-language") == language)
      #expect(response.headers("vary") == ["Accept-Language, Cookie"])
    }
    #expect(origin.requests.count == 3)
    try await node.expectAtRest()
  }
}
