import EdgeTesting
import Metrics
import ObjectStore
import Testing

/// RFC 9111 §4.4.
@Suite struct UnsafeMethodTests {
  /// A node with these targets stored, and an origin that answers other methods with `reply`.
  private func node(
    storing targets: [String], answering reply: Reply
  ) async throws -> (TestNode, ScriptedOrigin) {
    let origin = try await ScriptedOrigin.answering { request in
      request.method == "GET"
        ? Reply(
          200, ["Cache-Control: max-age=60", "Vary: Accept-Language", "ETag: \"1\""], "stored")
        : reply
    }
    let node = try TestNode.start(origin: origin.port)
    for target in targets {
      for language in ["de", "ja"] {
        _ = try await node.get(target, "Accept-Language: \(language)")
        try await node.settle()
      }
    }
    return (node, origin)
  }

  private func isStored(_ target: String, _ node: TestNode) async throws -> [Bool] {
    [
      try await node.stored(target, "Accept-Language: de").isHit,
      try await node.stored(target, "Accept-Language: ja").isHit,
    ]
  }

  @Test(arguments: ["POST", "PUT", "PATCH", "DELETE", "FROBNICATE"])
  func `an unsafe method that worked ends every variant of its target`(method: String) async throws
  {
    let (node, origin) = try await node(storing: ["/a", "/b"], answering: Reply(204))
    #expect(try await isStored("/a", node) == [true, true])
    #expect(try await node.connect().request(method, "/a", body: "x").status == 204)
    #expect(try await isStored("/a", node) == [false, false])
    #expect(try await isStored("/b", node) == [true, true])
    _ = try await node.get("/a", "Accept-Language: de")
    try await node.settle()
    #expect(try await isStored("/a", node) == [true, false])
    try node.requireStore().check()
    #expect(origin.requests.count == 6)
  }

  @Test(arguments: [
    ("POST", 400), ("PUT", 404), ("DELETE", 500), ("POST", 412), ("OPTIONS", 200),
  ])
  func `an error or a safe method ends nothing`(method: String, status: Int) async throws {
    let (node, origin) = try await node(storing: ["/a"], answering: Reply(status, [], "x"))
    let response = try await node.connect().request(method, "/a", body: "x")
    #expect(response.status == status)
    #expect(try await isStored("/a", node) == [true, true])
    #expect(origin.requests.count == 3)
  }

  @Test(arguments: [
    ("/b", true), ("http://example.com/b", true), ("//EXAMPLE.com:80/b", true), ("b", true),
    ("./x/../b", true), ("http://other.example/b", false), ("https://example.com/b", false),
    ("http://example.com:8080/b", false),
  ])
  func `Location and Content-Location of the same origin go too`(
    reference: String, isGone: Bool
  ) async throws {
    for field in ["Location", "Content-Location"] {
      let (node, origin) = try await node(
        storing: ["/a", "/b"], answering: Reply(303, ["\(field): \(reference)"]))
      #expect(try await node.connect().request("POST", "/a", body: "x").status == 303)
      #expect(try await isStored("/b", node) == [!isGone, !isGone], "\(field)")
      #expect(try await isStored("/a", node) == [false, false])
      #expect(origin.requests.count == 5)
    }
  }

  @Test func `a fill that began before the change is not reused after it`() async throws {
    let release = Signal("the old answer")
    let origin = try await ScriptedOrigin.answering { request in
      if request.method == "POST" { return Reply(204) }
      if request.header("x-first") != nil {
        try await release.wait()
        return Reply(200, ["Cache-Control: max-age=60"], "old")
      }
      return Reply(200, ["Cache-Control: max-age=60"], "new")
    }
    let node = try TestNode.start(origin: origin.port)
    let first = try await node.ask("/a", "X-First: 1")
    try await origin.waitForRequests(1)
    #expect(try await node.connect().request("POST", "/a", body: "x").status == 204)
    #expect(try await node.get("/a").text == "new")
    release.send()
    #expect(try await first.readResponse().text == "old")
    try await node.settle()
    #expect(try await node.get("/a").text == "new")
    try node.requireStore().check()
  }
}

/// RFC 9111 §4.1.
@Suite struct VaryTests {
  private static func origin(vary: String) async throws -> ScriptedOrigin {
    try await ScriptedOrigin.answering { request in
      let values = vary.split(separator: ",").map {
        request.header($0.trimmingPrefix(" ").description) ?? "none"
      }
      return Reply(
        200, ["Cache-Control: max-age=60", "Vary: \(vary)"], values.joined(separator: "|"))
    }
  }

  @Test(arguments: [
    ("Accept-Encoding", "gzip, br", "GZIP,br", true),
    ("Accept-Encoding", "gzip, br", "br, gzip", false),
    ("Accept-Language", "de, en;q=0.5", "de,en;q=0.5", true),
    ("Accept", "text/html, */*", "text/html,*/*", true),
    ("User-Agent", "one two", "one  two", false),
    ("User-Agent", "Agent", "agent", false),
    ("X-Own", "a, b", "a,b", true),
    ("X-Own", "a", "b", false),
  ])
  func `values are compared as their field defines`(
    name: String, one: String, other: String, isSame: Bool
  ) async throws {
    let origin = try await Self.origin(vary: name)
    let node = try TestNode.start(origin: origin.port)
    #expect(try await node.get("/a", "\(name): \(one)").text == one)
    try await node.settle()
    let second = try await node.get("/a", "\(name): \(other)")
    #expect(second.isHit == isSame && second.text == (isSame ? one : other))
    if !isSame { #expect(second.cacheStatus.contains("fwd=vary-miss")) }
    try await node.settle()
    #expect(try await node.get("/a").isHit == false)
  }

  @Test func `each combination of several fields is a variant`() async throws {
    let origin = try await Self.origin(vary: "X-One, X-Two")
    let node = try TestNode.start(origin: origin.port)
    for round in 0..<2 {
      for one in ["a", "b"] {
        for two in ["", "a", "ab"] {
          let response = try await node.get("/v", "X-One: \(one)", "X-Two: \(two)")
          #expect(response.text == "\(one)|\(two)")
          #expect(response.isHit == (round == 1))
          try await node.settle()
        }
      }
    }
    #expect(origin.requests.count == 6)
    try node.requireStore().check()
  }

  @Test func `a changed rule is used beside the older one`() async throws {
    let rule = Watched("X-One")
    let origin = try await ScriptedOrigin.answering { request in
      Reply(
        200, ["Cache-Control: max-age=60", "Vary: \(rule.value)"],
        "\(rule.value) \(request.header("x-one") ?? "") \(request.header("x-two") ?? "")")
    }
    let node = try TestNode.start(origin: origin.port)
    #expect(try await node.get("/v", "X-One: a", "X-Two: b").text == "X-One a b")
    try await node.settle()
    rule.update { $0 = "X-Two" }
    #expect(try await node.get("/v", "X-One: c", "X-Two: d").text == "X-Two c d")
    try await node.settle()
    // The newest rule is looked at first, the older one still holds.
    #expect(try await node.get("/v", "X-One: a", "X-Two: d").text == "X-Two c d")
    #expect(try await node.get("/v", "X-One: a", "X-Two: x").text == "X-One a b")
    #expect(try await !node.get("/v", "X-One: x", "X-Two: y").isHit)
    try await node.settle()
    try node.requireStore().check()
  }

  /// An origin with one content for all languages but `ja`, which says so to whoever has it.
  private static func translating(_ asked: Watched<[String]>) async throws -> ScriptedOrigin {
    try await ScriptedOrigin.answering { request in
      asked.update { $0.append(request.header("if-none-match") ?? "none") }
      let isJapanese = request.header("accept-language") == "ja"
      let tag = isJapanese ? "\"ja\"" : "\"en\""
      let fields = ["Cache-Control: max-age=60", "Vary: Accept-Language", "ETag: \(tag)"]
      let has = request.header("if-none-match").map { $0.contains(tag) } ?? false
      return has ? Reply(304, fields) : Reply(200, fields, isJapanese ? "konnichiwa" : "hello")
    }
  }

  @Test func `the tags of stored variants are offered where none fits`() async throws {
    let asked = Watched<[String]>([])
    let origin = try await Self.translating(asked)
    let node = try TestNode.start(origin: origin.port)
    #expect(try await node.get("/v", "Accept-Language: en").text == "hello")
    try await node.settle()
    #expect(try await node.get("/v", "Accept-Language: ja").text == "konnichiwa")
    try await node.settle()
    let german = try await node.get("/v", "Accept-Language: de")
    #expect(german.status == 200 && german.text == "hello" && german.header("etag") == "\"en\"")
    #expect(german.cacheStatus.contains("fwd=vary-miss; fwd-status=304"))
    try await node.settle()
    #expect(asked.value == ["none", "\"en\"", "\"ja\", \"en\""])
    // The client's own condition is evaluated against what the origin named.
    let known = try await node.get("/v", "Accept-Language: fr", "If-None-Match: \"en\"")
    #expect(known.status == 304)
    #expect(try await node.get("/v", "Accept-Language: en").isHit)
    try node.requireStore().check()
  }

  @Test func `a 304 that names no stored variant is asked again without conditions`() async throws {
    let origin = try await ScriptedOrigin.answering { request in
      let fields = ["Cache-Control: max-age=60", "Vary: Accept-Language"]
      guard request.header("if-none-match") == nil else {
        return Reply(304, fields + ["ETag: \"other\""])
      }
      let language = request.header("accept-language") ?? "none"
      return Reply(200, fields + ["ETag: \"\(language)\""], language)
    }
    let node = try TestNode.start(origin: origin.port)
    for language in ["en", "de", "ja"] {
      #expect(try await node.get("/v", "Accept-Language: \(language)").text == language)
      try await node.settle()
    }
    #expect(origin.requests.count == 5)
  }

  @Test func `a variant that was purged is not offered`() async throws {
    let asked = Watched<[String]>([])
    let origin = try await Self.translating(asked)
    let node = try TestNode.start(origin: origin.port)
    #expect(try await node.get("/v", "Accept-Language: en").text == "hello")
    try await node.settle()
    #expect(try await node.connect().request("DELETE", "/v").status == 200)
    #expect(try await node.get("/v", "Accept-Language: de").text == "hello")
    #expect(asked.value.last == "none")
  }

  @Test func `a response that varies no more replaces the variants`() async throws {
    let vary = Watched(["Vary: X-One"])
    let origin = try await ScriptedOrigin.answering { request in
      Reply(200, ["Cache-Control: max-age=60"] + vary.value, request.header("x-one") ?? "none")
    }
    let node = try TestNode.start(origin: origin.port)
    #expect(try await node.get("/v", "X-One: a").text == "a")
    try await node.settle()
    vary.update { $0 = [] }
    #expect(try await node.get("/v", "X-One: b").text == "b")
    try await node.settle()
    let hit = try await node.get("/v", "X-One: c")
    #expect(hit.isHit && hit.text == "b")
    try node.requireStore().check()
  }

  @Test func `waiters with other values ask for themselves`() async throws {
    let release = Signal("the answers")
    let origin = try await ScriptedOrigin.answering { request in
      let language = request.header("accept-language") ?? "none"
      if language == "de" { try await release.wait() }
      return Reply(200, ["Cache-Control: max-age=60", "Vary: Accept-Language"], "in \(language)")
    }
    let node = try TestNode.start(origin: origin.port)
    let leader = try await node.ask("/v", "Accept-Language: de")
    try await origin.waitForRequests(1)
    let languages = ["de", "ja", "fr", "de", "ja", "de"]
    let clients = try await atOnce(languages.count) { index in
      (languages[index], try await node.ask("/v", "Accept-Language: \(languages[index])"))
    }
    try await node.expect(.fillsCollapsed, reaches: 6)
    release.send()
    #expect(try await leader.readResponse().text == "in de")
    for (language, client) in clients {
      #expect(try await client.readResponse().text == "in \(language)")
    }
    try await node.settle()
    for language in ["de", "ja", "fr"] {
      let hit = try await node.stored("/v", "Accept-Language: \(language)")
      #expect(hit.text == "in \(language)")
    }
    #expect(origin.requests.filter { $0.header("accept-language") == "de" }.count == 1)
    try await node.settle()
    try node.requireStore().check()
  }

  @Test func `each variant is validated with its own validator`() async throws {
    let origin = try await ScriptedOrigin.answering { request in
      let tag = "\"\(request.header("x-one") ?? "")\""
      let fields = ["Cache-Control: max-age=60", "Vary: X-One", "ETag: \(tag)"]
      return request.header("if-none-match") == tag ? Reply(304, fields) : Reply(200, fields, tag)
    }
    let node = try TestNode.start(origin: origin.port)
    for round in 0..<2 {
      for value in ["a", "b"] {
        let response = try await node.get("/v", "X-One: \(value)")
        #expect(response.text == "\"\(value)\"")
        #expect(response.cacheStatus.contains("fwd-status=304") == (round == 1))
        try await node.settle()
      }
      node.advance(seconds: 61)
    }
    #expect(node.count(.revalidated304) == 2)
    try node.requireStore().check()
  }
}
