import EdgeTesting
import Testing

/// What the admin's listener says of what is stored and what is not, at a node with traffic.
@Suite struct StoredObjectsTests {
  private func start(_ route: String = "") async throws -> (TestNode, ScriptedOrigin) {
    let origin = try await ScriptedOrigin.answering { request in
      if request.target.hasPrefix("/none") { return Reply(404, [], "nothing") }
      if request.target.hasPrefix("/pass") { return Reply(200, ["Cache-Control: no-store"], "p") }
      return Reply(
        200,
        [
          "Cache-Control: max-age=60, stale-while-revalidate=30", "ETag: \"e\"",
          "Cache-Tag: t,\(request.target.dropFirst())", "Vary: X-One",
        ], String(repeating: "x", count: 100))
    }
    return (try TestNode.start(origin: origin.port, route: route), origin)
  }

  private func objects(_ node: TestNode, _ query: String) async throws -> [JSONValue] {
    let answer = try await node.admin("GET", "/v1/objects?\(query)")
    #expect(answer.status == 200, "\(answer.text)")
    return try #require(try answer.json()["objects"]?.array)
  }

  @Test func `a URL is looked up with its variants, and each says how it stands`() async throws {
    let (node, origin) = try await start()
    defer { withExtendedLifetime(origin) {} }
    for value in ["a", "b"] {
      _ = try await node.get("/x?y=1", "X-One: \(value)")
      try await node.settle()
    }
    _ = try await node.get("/z", "X-One: a")
    try await node.settle()
    let query = "url=http%3A%2F%2Fexample.com%2Fx%3Fy%3D1"
    node.advance(seconds: 10)
    let found = try await objects(node, query)
    #expect(found.count == 2)
    #expect(Set(found.compactMap { $0["variant"]?.string }).count == 2)
    for object in found {
      #expect(object["url"]?.string == "http://example.com/x?y=1")
      #expect(object["vary"]?.string == "x-one")
      #expect(object["status"]?.int == 200)
      #expect(object["size"]?.int == 100)
      #expect(object["etag"]?.string == "\"e\"")
      #expect(object["age_seconds"]?.double == 10)
      #expect(object["ttl_seconds"]?.double == 50)
      #expect(object["use"]?.string == "fresh")
      #expect(object["tags"]?.int == 2)
    }
    node.advance(seconds: 60)
    #expect(try await objects(node, query).first?["use"]?.string == "stale_while_revalidate")
    node.advance(seconds: 60)
    #expect(try await objects(node, query).first?["use"]?.string == "must_validate")
    // Of two variants one is purged.
    let variant = try #require(found.first?["variant"]?.string)
    let url = "http://example.com/x?y=1"
    let order = "{\"url\": \"\(url)\", \"variant\": \"\(variant)\"}"
    #expect(try await node.admin("POST", "/v1/purge", json: order).status == 200)
    let left = try await objects(node, query).filter { $0["use"]?.string != "purged" }
    #expect(left.count == 1)
    #expect(left.first?["variant"]?.string != variant)
  }

  @Test func `objects are listed by tag and by host, page by page, and the heaviest first`()
    async throws
  {
    let (node, origin) = try await start()
    defer { withExtendedLifetime(origin) {} }
    for number in 0..<7 {
      _ = try await node.get("/\(number)")
      try await node.settle()
    }
    #expect(try await objects(node, "tag=t").count == 7)
    #expect(try await objects(node, "tag=3").count == 1)
    #expect(try await objects(node, "host=example.com").count == 7)
    #expect(try await objects(node, "host=other.example").isEmpty)
    let page = try await node.admin("GET", "/v1/objects?tag=t&limit=4").json()
    #expect(page["objects"]?.array?.count == 4)
    let next = try #require(page["next"]?.int)
    #expect(try await objects(node, "tag=t&limit=4&cursor=\(next)").count == 3)
    #expect(try await objects(node, "by=bytes&limit=3").count == 3)
    for _ in 0..<3 { #expect(try await node.get("/5").isHit) }
    let used = try await objects(node, "by=uses&limit=1")
    #expect(used.first?["url"]?.string?.hasSuffix("/5") == true)
  }

  @Test(arguments: ["", "url=x", "tag=a&host=b", "by=age", "tag=a&limit=0", "tag=a&x=1", "url=%2"])
  func `what is no query is refused`(_ query: String) async throws {
    let (node, origin) = try await start()
    defer { withExtendedLifetime(origin) {} }
    let answer = try await node.admin("GET", "/v1/objects?\(query)")
    #expect(answer.status == 400)
    #expect(try answer.json()["code"]?.string == "invalid_query")
  }

  @Test func `misses are listed with their reasons, and so are parameters`() async throws {
    let (node, origin) = try await start()
    for target in ["/a?utm=1&q=x", "/a?utm=2&q=x", "/none", "/none", "/pass"] {
      _ = try await node.get(target)
      try await node.settle()
    }
    _ = try await node.get("/a?utm=1&q=x")
    #expect(origin.requests.count == 5)
    let list = try await node.admin("GET", "/v1/misses").json()
    let first = try #require(list["misses"]?.array?.first)
    #expect(first["name"]?.string?.hasSuffix("/none") == true)
    #expect(first["misses"]?.int == 2)
    #expect(first["bytes"]?.int == 14)
    #expect(first["reasons"]?["uri-miss"]?.int == 2)
    let parameters = try await node.admin("GET", "/v1/misses?of=parameters&by=bytes").json()
    let names = parameters["misses"]?.array?.compactMap { $0["name"]?.string }
    #expect(names.map(Set.init) == ["utm", "q"])
    #expect(parameters["misses"]?.array?.first?["bytes"]?.int == 200)
    let hosts = try await node.admin("GET", "/v1/misses?of=hosts&top=1").json()
    #expect(hosts["misses"]?.array?.first?["misses"]?.int == 5)
    for _ in 0..<3 {
      node.advance(seconds: 300)
      _ = try await node.admin("GET", "/v1/misses")
    }
    let later = try await node.admin("GET", "/v1/misses").json()
    #expect(later["misses"]?.array?.isEmpty == true)
    #expect(try await node.admin("GET", "/v1/misses?of=cats").status == 400)
  }

  @Test func `one hit of 128 is noted for the list of what is hit`() async throws {
    let (node, origin) = try await start()
    defer { withExtendedLifetime(origin) {} }
    _ = try await node.get("/a")
    try await node.settle()
    let client = try await node.connect()
    for _ in 0..<260 { #expect(try await client.get("/a").isHit) }
    let list = try await node.admin("GET", "/v1/hits").json()
    #expect(list["hits"]?.array?.count == 1)
    #expect(list["hits"]?.array?.first?["hits"]?.int == 256)
    client.close()
  }

  @Test func `tags are counted by hits and by misses, and have names`() async throws {
    let (node, origin) = try await start()
    defer { withExtendedLifetime(origin) {} }
    // The tags of every eighth answer are noted: of /7 and /15, and what all have.
    let client = try await node.connect()
    for number in 0..<16 {
      _ = try await client.get("/\(number)")
      try await node.settle()
    }
    let missed = try await node.admin("GET", "/v1/misses?of=tags").json()
    #expect(missed["of"]?.string == "tags")
    let tags = try #require(missed["misses"]?.array)
    #expect(tags.compactMap { $0["name"]?.string } == ["t", "15", "7"])
    #expect(tags.compactMap { $0["misses"]?.int } == [16, 8, 8])
    #expect(tags.first?["bytes"]?.int == 1_600)
    #expect(tags.first?["reasons"]?["uri-miss"]?.int == 16)
    // Every 128th hit is: of /7, whose tag has a name, and of /3, whose tag has none.
    for target in ["/7", "/3"] {
      for _ in 0..<128 { #expect(try await client.get(target).isHit) }
    }
    let hit = try await node.admin("GET", "/v1/hits?of=tags").json()
    #expect(hit["of"]?.string == "tags")
    let entries = try #require(hit["hits"]?.array)
    #expect(entries.count == 3)
    #expect(entries.first?["tag"]?.string == "t")
    #expect(entries.first?["hits"]?.int == 256 && entries.first?["bytes"]?.int == 25_600)
    #expect(entries.dropFirst().allSatisfy { $0["hits"]?.int == 128 })
    #expect(entries.count { $0["tag"]?.string == "7" } == 1)
    #expect(entries.count { $0["tag"] == .null } == 1)
    // A name that comes later is the tag's from then on.
    #expect(try await node.admin("POST", "/v1/purge", json: #"{"tag": "t"}"#).status == 200)
    for number in [0, 1, 2, 4, 5, 6, 8, 3] {
      _ = try await client.get("/\(number)")
      try await node.settle()
    }
    client.close()
    let named = try await node.admin("GET", "/v1/hits?of=tags").json()
    #expect(named["hits"]?.array?.contains { $0["tag"]?.string == "3" } == true)
    for query in ["of=hosts", "of=", "top=0", "x=1"] {
      #expect(try await node.admin("GET", "/v1/hits?\(query)").status == 400)
    }
  }

  // MARK: Warming

  private func finished(_ node: TestNode, _ id: Int) async throws -> JSONValue {
    let report = Watched<JSONValue>(.null)
    for _ in 0..<10_000 {
      let answer = try await node.admin("GET", "/v1/warm/\(id)").json()
      report.update { $0 = answer }
      if answer["state"]?.string != "running" { break }
      node.advance(seconds: 0.1)
    }
    return report.value
  }

  @Test func `URLs are fetched ahead of clients, and are hits then`() async throws {
    let (node, origin) = try await start()
    _ = try await node.get("/1")
    try await node.settle()
    let base = "http://example.com"
    let order =
      "{\"urls\": [\"\(base)/1\", \"\(base)/2\", \"\(base)/3\", \"\(base)/none\"], \"rate\": 100}"
    let begun = try await node.admin("POST", "/v1/warm", json: order)
    #expect(begun.status == 202)
    let id = try #require(try begun.json()["id"]?.int)
    #expect(begun.header("location") == "/v1/warm/\(id)")
    let report = try await finished(node, id)
    #expect(report["state"]?.string == "done")
    #expect(report["urls"]?.int == 4 && report["done"]?.int == 4)
    #expect(report["hits"]?.int == 1 && report["fetched"]?.int == 2)
    #expect(report["failed"]?.int == 1)
    #expect(report["failure"]?.string?.hasSuffix("/none: status 404") == true)
    try await node.settle()
    #expect(origin.requests.count == 4)
    for target in ["/1", "/2", "/3"] { #expect(try await node.get(target).isHit) }
    let orders = try await node.admin("GET", "/v1/warm").json()["orders"]?.array
    #expect(orders?.count == 1)
  }

  @Test func `a sitemap's URLs are fetched, those of other sites not`() async throws {
    let origin = try await ScriptedOrigin.answering { request in
      let base = "http://example.com"
      switch request.target {
      case "/index.xml":
        return Reply(
          200, [],
          "<?xml version=\"1.0\"?><sitemapindex><!-- <loc>no</loc> --><sitemap>"
            + "<loc>\(base)/map.xml</loc></sitemap></sitemapindex>")
      case "/map.xml":
        return Reply(
          200, [],
          "<urlset><url><loc>\n \(base)/p?a=1&amp;b=2 </loc></url><url><loc>\(base)/q</loc></url>"
            + "<url><loc>ftp://no</loc></url></urlset>")
      default: return Reply(200, ["Cache-Control: max-age=60"], "x")
      }
    }
    let node = try TestNode.start(origin: origin.port)
    let order = "{\"sitemap\": \"http://example.com/index.xml\", \"rate\": 100}"
    let begun = try await node.admin("POST", "/v1/warm", json: order).json()
    let report = try await finished(node, try #require(begun["id"]?.int))
    #expect(report["urls"]?.int == 4 && report["failed"]?.int == 0)
    #expect(
      Set(origin.requests.map(\.target)) == ["/index.xml", "/map.xml", "/p?a=1&b=2", "/q"])
  }

  @Test func `an order that is cancelled asks for nothing more`() async throws {
    let (node, origin) = try await start()
    let urls = (0..<100).map { "\"//example.com/\($0)\"" }.joined(separator: ",")
    let begun = try await node.admin(
      "POST", "/v1/warm", json: "{\"urls\": [\(urls)], \"rate\": 1}"
    ).json()
    let id = try #require(begun["id"]?.int)
    let ended = try await node.admin("DELETE", "/v1/warm/\(id)").json()
    #expect(ended["state"]?.string == "cancelled")
    #expect(origin.requests.count <= 4)
    #expect(try await node.admin("GET", "/v1/warm/99").status == 404)
  }

  @Test(arguments: [
    "{}", #"{"urls": []}"#, #"{"urls": ["x"]}"#, #"{"urls": [1]}"#, #"{"sitemap": 1}"#,
    #"{"urls": ["http://a/"], "rate": 0}"#, #"{"urls": ["http://a/"], "sitemap": "http://a/"}"#,
    #"{"urls": ["http://a/"], "fast": true}"#, #"{"urls": ["http://a/"], "site": "b"}"#,
  ])
  func `what is no order to warm is refused`(_ order: String) async throws {
    let (node, origin) = try await start()
    defer { withExtendedLifetime(origin) {} }
    let answer = try await node.admin("POST", "/v1/warm", json: order)
    #expect(answer.status == 400)
    #expect(try answer.json()["code"]?.string == "invalid_warm")
  }
}
