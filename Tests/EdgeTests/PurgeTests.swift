import EdgeTesting
import Metrics
import ObjectStore
import Testing

@Suite struct PurgeTests {
  static let fresh = "Cache-Control: max-age=600"

  /// An origin whose answers say which of its answers they are.
  private func countingOrigin(_ fields: [String]) async throws -> ScriptedOrigin {
    let count = Watched(0)
    return try await ScriptedOrigin.answering { _ in
      let number = count.update { count in
        count += 1
        return count
      }
      return Reply(200, [Self.fresh] + fields, "answer \(number)")
    }
  }

  @Test(arguments: [
    ("Surrogate-Key: one two", "two"), ("Cache-Tag: one,two of it", "two of it"),
    ("xkey: one, two three", "three"), ("surrogate-key: a\r\nSurrogate-Key: b", "b"),
  ])
  func `a purge by tag ends what carries it, in every worker, at once`(
    field: String, tag: String
  ) async throws {
    let origin = try await countingOrigin([field])
    let node = try TestNode.start(origin: origin.port)
    let first = try await node.get("/a")
    for name in ["surrogate-key", "cache-tag", "xkey"] { #expect(first.header(name) == nil) }
    try await node.settle()
    let hit = try await node.get("/a")
    #expect(hit.isHit)
    for name in ["surrogate-key", "cache-tag", "xkey"] { #expect(hit.header(name) == nil) }
    #expect(try await node.purgeTags("unknown").objects == 0)
    #expect(try await node.stored("/a").isHit)
    #expect(try await node.purgeTags(tag).objects == 1)
    let after = try await atOnce(20) { _ in try await node.stored("/a").status }
    #expect(after.allSatisfy { $0 == 504 })
    #expect(try await node.purgeTags(tag).objects == 0)
    #expect(try await node.get("/a").text == "answer 2")
    try await node.settle()
    #expect(try await node.get("/a").isHit)
    try node.requireStore().check()
  }

  @Test func `tags are shown where the route exposes them, also after a validation`() async throws {
    let origin = try await ScriptedOrigin.answering { request in
      let fields = ["Cache-Control: max-age=60", "ETag: \"1\"", "Surrogate-Key: one two"]
      return request.header("if-none-match") == nil
        ? Reply(200, fields, "x") : Reply(304, Array(fields.prefix(2)))
    }
    let node = try TestNode.start(origin: origin.port, route: "expose_tags on;")
    for step in ["miss", "hit", "validation", "hit"] {
      if step == "validation" { node.advance(seconds: 61) }
      #expect(try await node.get("/a").header("surrogate-key") == "one two", "\(step)")
      try await node.settle()
    }
    // The 304 had no tags: those that were there hold.
    #expect(try await node.purgeTags("two").objects == 1)
    #expect(try await node.stored("/a").status == 504)
  }

  @Test func `a 304 with tags changes what a purge reaches`() async throws {
    let origin = try await ScriptedOrigin.answering { request in
      let fields = ["Cache-Control: max-age=60", "ETag: \"1\""]
      return request.header("if-none-match") == nil
        ? Reply(200, fields + ["Surrogate-Key: old both"], "x")
        : Reply(304, fields + ["Surrogate-Key: new both"])
    }
    let node = try TestNode.start(origin: origin.port)
    _ = try await node.get("/a")
    try await node.settle()
    node.advance(seconds: 61)
    _ = try await node.get("/a")
    try await node.settle()
    #expect(try await node.purgeTags("old").objects == 0)
    #expect(try await node.stored("/a").isHit)
    #expect(try await node.purgeTags("new").objects == 1)
    #expect(try await node.stored("/a").status == 504)
    try node.requireStore().check()
  }

  @Test func `16 KiB of tags are taken whole, and each of them counts`() async throws {
    let tags = (0..<680).map { "tag-\(1_000 + $0)-abcdefghijklmno" }
    let line = "Surrogate-Key: " + tags.joined(separator: " ")
    #expect(line.utf8.count > 16 << 10)
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [Self.fresh, line], "x") }
    let node = try TestNode.start(origin: origin.port)
    for tag in [tags[0], tags[340], tags[679]] {
      _ = try await node.get("/a")
      try await node.settle()
      #expect(try await node.stored("/a").isHit)
      #expect(try await node.purgeTags(tag).objects == 1)
      #expect(try await node.stored("/a").status == 504)
    }
    #expect(try await node.purgeTags("tag-1000").objects == 0)
  }

  @Test func `the count is of the objects that carry the tags`() async throws {
    let origin = try await ScriptedOrigin.answering { request in
      Reply(
        200, [Self.fresh, "Vary: X-One", "Surrogate-Key: all \(request.target.dropFirst())"], "x")
    }
    let node = try TestNode.start(origin: origin.port)
    for target in ["/a", "/b", "/c"] {
      for value in ["1", "2"] {
        _ = try await node.get(target, "X-One: \(value)")
        try await node.settle()
      }
    }
    #expect(try await node.purgeTags("a").counts == [2])
    #expect(try await node.purgeTags("b", "unknown", "b").counts == [2, 0, 0])
    // What other purges reached counts until it is swept.
    try node.requireStore().waitForSweep()
    #expect(try await node.purgeTags("all").counts == [2])
    #expect(try await node.purgeTags("all").counts == [0])
    try node.requireStore().check()
  }

  @Test func `the admin's listener purges, and says how many objects it reached`() async throws {
    let origin = try await countingOrigin(["Surrogate-Key: one two"])
    let node = try TestNode.start(origin: origin.port)
    for target in ["/a", "/b"] { _ = try await node.get(target) }
    try await node.settle()
    let answer = try await node.purge("unknown", "two")
    #expect(answer.status == 200)
    #expect(try answer.json()["objects"]?.int == 2)
    #expect(try answer.json()["tags"]?["unknown"]?.int == 0)
    for target in ["/a", "/b"] { #expect(try await node.stored(target).status == 504) }
    let after = try node.restart(origin: origin.port)
    for target in ["/a", "/b"] { #expect(try await after.stored(target).status == 504) }
  }

  // MARK: During a fill

  @Test(arguments: [false, true])
  func `what was fetched before a purge is not reused after it`(hasHead: Bool) async throws {
    let release = Signal("the old answer")
    let isFirst = Watched(true)
    let origin = try await ScriptedOrigin { connection in
      while try await connection.nextRequest() != nil {
        let isFirst = isFirst.update { value in
          defer { value = false }
          return value
        }
        if isFirst && !hasHead { try await release.wait() }
        try await connection.write(
          "HTTP/1.1 200 OK\r\n\(Self.fresh)\r\nCache-Tag: t\r\nContent-Length: 8\r\n\r\n")
        if isFirst && hasHead { try await release.wait() }
        try await connection.write(isFirst ? "answer 1" : "answer 2")
      }
    }
    let node = try TestNode.start(origin: origin.port)
    let before = try await node.ask("/a")
    try await origin.waitForRequests(1)
    if hasHead { #expect(try await before.readResponseHead().status == 200) }
    try await node.purgeTags("t")
    let after = try await atOnce(10) { _ in try await node.ask("/a") }
    if hasHead {
      try await origin.waitForRequests(2)
    } else {
      // No tag is known yet: they wait, and see when the head comes that it is not for them.
      try await node.expect(.fillsCollapsed, reaches: 10)
    }
    release.send()
    if hasHead {
      #expect(try await before.read(exactly: 8) == Array("answer 1".utf8))
    } else {
      #expect(try await before.readResponse().text == "answer 1")
    }
    for client in after { #expect(try await client.readResponse().text == "answer 2") }
    try await node.settle()
    let hit = try await node.get("/a")
    #expect(hit.isHit && hit.text == "answer 2")
    // Those that came after it shared one request.
    #expect(origin.requests.count == 2)
    try await node.settle()
    try node.requireStore().check()
  }

  @Test func `a validation that began before a purge does not bring the response back`()
    async throws
  {
    let release = Signal("the 304")
    let origin = try await ScriptedOrigin.answering { request in
      let fields = ["Cache-Control: max-age=60", "ETag: \"1\"", "Cache-Tag: t"]
      guard request.header("if-none-match") != nil else { return Reply(200, fields, "x") }
      try await release.wait()
      return Reply(304, fields)
    }
    let node = try TestNode.start(origin: origin.port)
    _ = try await node.get("/a")
    try await node.settle()
    node.advance(seconds: 61)
    let waiting = try await node.ask("/a")
    try await origin.waitForRequests(2)
    try await node.purgeTags("t")
    release.send()
    #expect(try await waiting.readResponse().status == 200)
    try await node.settle()
    #expect(try await node.stored("/a").status == 504)
    try node.requireStore().check()
  }

  @Test func `what is purged is neither validated nor served stale`() async throws {
    let isDown = Watched(false)
    let origin = try await ScriptedOrigin.answering { request in
      #expect(request.header("if-none-match") == nil)
      if isDown.value { return Reply(503, [], "down") }
      return Reply(
        200,
        [
          "Cache-Control: max-age=60, stale-while-revalidate=600, stale-if-error=600",
          "ETag: \"1\"",
          "Cache-Tag: t",
        ], "x")
    }
    let node = try TestNode.start(origin: origin.port)
    _ = try await node.get("/a")
    try await node.settle()
    try await node.purgeTags("t")
    isDown.update { $0 = true }
    node.advance(seconds: 61)
    let response = try await node.get("/a")
    #expect(response.status == 503 && response.text == "down")
  }

  // MARK: Durability

  @Test func `a purge holds after a restart`() async throws {
    let origin = try await ScriptedOrigin.answering { request in
      Reply(200, [Self.fresh, "Cache-Tag: \(request.target.dropFirst())"], "x")
    }
    var node = try TestNode.start(origin: origin.port)
    for target in ["/a", "/b"] { _ = try await node.get(target) }
    try await node.settle()
    try await node.purgeTags("a")
    for _ in 0..<2 {
      node = try node.restart(origin: origin.port)
      #expect(try await node.stored("/a").status == 504)
      #expect(try await node.stored("/b").isHit)
      try node.requireStore().check()
    }
    // What is fetched after it stays.
    _ = try await node.get("/a")
    try await node.settle()
    node = try node.restart(origin: origin.port)
    #expect(try await node.stored("/a").isHit)
  }

  @Test func `a purge that was answered holds after a kill`() async throws {
    let origin = try await ScriptedOrigin.answering { request in
      Reply(200, [Self.fresh, "Cache-Tag: \(request.target.dropFirst())"], "x")
    }
    let node = try TestNode.start(origin: origin.port)
    for target in ["/a", "/b"] { _ = try await node.get(target) }
    try await node.settle()
    try await node.purgeTags("a")
    let after = try TestNode.start(
      origin: origin.port, directory: try node.directory.copyStore(), clock: node.clock)
    #expect(try await after.stored("/a").status == 504)
    #expect(try await after.stored("/b").isHit)
    try after.requireStore().check()
  }
}

/// What operators order beyond tags, and what comes of it at the node.
@Suite struct PurgeOrderTests {
  private func origin() async throws -> ScriptedOrigin {
    try await ScriptedOrigin.answering { request in
      let type = request.target.contains(".png") ? "image/PNG; q=1" : "text/plain"
      return Reply(
        200,
        [
          "Cache-Control: max-age=60, stale-while-revalidate=600", "Content-Type: \(type)",
          "Cache-Tag: all,\(request.header("host") ?? "")", "Vary: X-One",
        ], "content")
    }
  }

  private func get(_ node: TestNode, _ target: String, host: String, one: String = "") async throws
  {
    let client = try await node.connect()
    defer { client.close() }
    _ = try await client.request("GET", target, host: host, ["X-One: \(one)"])
  }

  /// Whether something fresh is stored.
  private func isStored(
    _ node: TestNode, _ target: String, host: String, one: String = ""
  ) async throws -> Bool {
    let client = try await node.connect()
    defer { client.close() }
    return try await client.request(
      "GET", target, host: host, ["X-One: \(one)", "Cache-Control: only-if-cached"]
    ).status == 200
  }

  static let stored: [(host: String, target: String)] = [
    ("a.example", "/"), ("a.example", "/x.png"), ("a.example", "/x/1?q=1"), ("a.example", "/x/2"),
    ("b.example", "/x.png"), ("b.example", "/x/1"),
  ]

  @Test(arguments: [
    (#"{"url": "http://a.example/x.png"}"#, [1]), (#"{"url": "https://A.example:443/"}"#, [0]),
    (#"{"urls": ["//a.example/x/1?q=1", "//b.example/x/1"]}"#, [2, 5]),
    (#"{"url": "//a.example/x/1"}"#, []), (#"{"host": "b.example"}"#, [4, 5]),
    (#"{"prefix": "//a.example/x/"}"#, [2, 3]),
    (#"{"host": "a.example", "prefix": "/x"}"#, [1, 2, 3]),
    (#"{"wildcard": "http://?.example/*.png"}"#, [1, 4]), (#"{"wildcard": "*/x/1*"}"#, [2, 5]),
    (#"{"where": "content_type == \"image/png\""}"#, [1, 4]),
    (#"{"where": "host == \"b.example\" && !(path matches \"*.png\")"}"#, [5]),
    (#"{"where": "query.q == \"1\" || path == \"/\""}"#, [0, 2]),
    (#"{"where": "age > 1m"}"#, []), (#"{"where": "age <= 1m && size == 7"}"#, [0, 1, 2, 3, 4, 5]),
    (#"{"where": "\"b.example\" in tags"}"#, [4, 5]),
    (#"{"where": "header.cache-control == \"x\""}"#, []),
    (#"{"where": "header(\"content-type\") == \"image/PNG; q=1\""}"#, [1, 4]),
    (#"{"where": "url == \"http://a.example/x/2\""}"#, [3]),
    (#"{"everything": true}"#, [0, 1, 2, 3, 4, 5]),
  ])
  func `a purge reaches what it names and nothing else`(
    _ order: String, _ reached: [Int]
  ) async throws {
    let origin = try await origin()
    let node = try TestNode.start(origin: origin.port)
    for (host, target) in Self.stored { try await get(node, target, host: host, one: "1") }
    try await get(node, "/x.png", host: "a.example", one: "2")
    try await node.settle()
    let dry = try await node.admin(
      "POST", "/v1/purge", json: order.dropLast() + #", "dry_run": true}"#)
    let variants = reached.contains(1) ? 1 : 0
    #expect(try dry.json()["objects"]?.int == reached.count + variants)
    #expect(try await node.admin("POST", "/v1/purge", json: order).status == 200)
    for (index, (host, target)) in Self.stored.enumerated() {
      let isThere = try await isStored(node, target, host: host, one: "1")
      #expect(isThere == !reached.contains(index), "\(host)\(target)")
    }
    #expect(
      try await isStored(node, "/x.png", host: "a.example", one: "2") == !reached.contains(1))
    try node.requireStore().check()
  }

  @Test func `a soft purge is served stale and validated behind`() async throws {
    let origin = try await origin()
    let node = try TestNode.start(origin: origin.port)
    try await get(node, "/x", host: "a.example")
    try await node.settle()
    let order = #"{"prefix": "//a.example/", "soft": true}"#
    #expect(try await node.admin("POST", "/v1/purge", json: order).status == 200)
    let client = try await node.connect()
    let stale = try await client.request("GET", "/x", host: "a.example", ["X-One: "])
    #expect(stale.isHit)
    try await origin.waitForRequests(2)
    try await node.settle()
    #expect(try await client.request("GET", "/x", host: "a.example", ["X-One: "]).isHit)
    #expect(origin.requests.count == 2)
    client.close()
  }

  @Test func `a purge by URL reaches what a normalised query and a key of its own have stored`()
    async throws
  {
    let origin = try await origin()
    let node = try TestNode.start(
      origin: origin.port, route: "cache { key host path query; query_sort on; }")
    for order in [
      #"{"url": "http://a.example/x?b=2&a=1"}"#, #"{"prefix": "//a.example/x?b"}"#,
      #"{"wildcard": "//a.example/x?b=2*"}"#,
    ] {
      try await get(node, "/x?b=2&a=1", host: "a.example")
      try await node.settle()
      #expect(try await isStored(node, "/x?a=1&b=2", host: "a.example"))
      #expect(try await node.admin("POST", "/v1/purge", json: order).status == 200)
      #expect(try await !isStored(node, "/x?a=1&b=2", host: "a.example"), "\(order)")
    }
    try await get(node, "/x?b=2&a=1", host: "a.example")
    try await node.settle()
    let other = #"{"url": "http://a.example/x?a=1&b=2"}"#
    #expect(try await node.admin("POST", "/v1/purge", json: other).status == 200)
    #expect(try await !isStored(node, "/x?b=2&a=1", host: "a.example"))
  }
}

@Suite struct PurgeMethodTests {
  private func start(_ settings: String) async throws -> (TestNode, ScriptedOrigin) {
    let origin = try await ScriptedOrigin.answering { request in
      Reply(
        200, ["Cache-Control: max-age=60", "Cache-Tag: all,\(request.target.dropFirst())"],
        request.method)
    }
    let node = try TestNode.start(
      configuration: """
        workers 1;
        listen 127.0.0.1:0;
        admin 127.0.0.1:0 { token "a-token-for-the-tests"; }
        store ./store { }
        origin app 127.0.0.1:\(origin.port);
        site a.example { origin app; \(settings) }
        site b.example { origin app; }
        """, directory: try TemporaryDirectory())
    for host in ["a.example", "b.example"] {
      for target in ["/1", "/2"] { _ = try await ask(node, "GET", target, host) }
    }
    try await node.settle()
    return (node, origin)
  }

  @discardableResult
  private func ask(
    _ node: TestNode, _ method: String, _ target: String, _ host: String, _ fields: [String] = []
  ) async throws -> PeerResponse {
    let client = try await node.connect()
    defer { client.close() }
    return try await client.request(method, target, host: host, fields)
  }

  private func stored(_ node: TestNode) async throws -> [String] {
    var found: [String] = []
    for host in ["a.example", "b.example"] {
      for target in ["/1", "/2"] {
        let response = try await ask(node, "GET", target, host, ["Cache-Control: only-if-cached"])
        if response.status == 200 { found.append(host.prefix(1) + target) }
      }
    }
    return found
  }

  static let token = "Authorization: Bearer a-token-for-the-tests"

  @Test(arguments: [
    ("/1", [token], ["a/2", "b/1", "b/2"]), ("/", [token, "Cache-Tag: all"], ["b/1", "b/2"]),
    ("/", [token, "Surrogate-Key: 1 3"], ["a/2", "b/1", "b/2"]),
    ("/", [token, "xkey-purge: 1, 2"], ["b/1", "b/2"]),
    ("/", [token, "xkey: 2"], ["a/1", "b/1", "b/2"]),
    ("/.*", [token, "X-Purge-Method: regex"], ["b/1", "b/2"]),
    ("/2", [token, "X-Purge-Method: exact"], ["a/1", "b/1", "b/2"]),
  ])
  func `PURGE with a token purges within its site`(
    _ target: String, _ fields: [String], _ left: [String]
  ) async throws {
    let (node, origin) = try await start("purge on;")
    let response = try await ask(node, "PURGE", target, "a.example", fields)
    #expect(response.status == 200, "\(response.text)")
    #expect(try response.json()["id"]?.int != nil)
    #expect(try await stored(node) == left)
    #expect(origin.requests.count == 4)
    let records = try await node.admin("GET", "/v1/purges").json()
    #expect(records["purges"]?.array?.first?["who"]?.string == "token")
  }

  @Test func `a site for every host takes more tags than conditions may be pending`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in
      Reply(200, ["Cache-Control: max-age=60", "Cache-Tag: last"], "x")
    }
    let node = try TestNode.start(
      configuration: """
        workers 1;
        listen 127.0.0.1:0;
        admin 127.0.0.1:0 { token "a-token-for-the-tests"; }
        store ./store { }
        origin app 127.0.0.1:\(origin.port);
        site * { origin app; purge on; }
        """, directory: try TemporaryDirectory())
    _ = try await ask(node, "GET", "/", "a.example")
    try await node.settle()
    let client = try await node.connect()
    defer { client.close() }
    for number in (0..<300).reversed() {
      let tag = number == 0 ? "last" : "tag-\(number)"
      let fields = [Self.token, "xkey-purge: \(tag)"]
      #expect(
        try await client.request("PURGE", "/", host: "a.example", fields).status == 200, "\(tag)")
    }
    #expect(
      try await ask(node, "GET", "/", "a.example", ["Cache-Control: only-if-cached"]).status == 504)
  }

  @Test func `PURGE without a token is refused, unless the address may`() async throws {
    let (node, _) = try await start("purge on;")
    for fields in [[], ["Authorization: Bearer nobody's-token"]] {
      let response = try await ask(node, "PURGE", "/1", "a.example", fields)
      #expect(response.status == 401)
      #expect(response.header("www-authenticate") == "Bearer realm=\"weir\"")
    }
    #expect(try await stored(node).count == 4)
    let (open, _) = try await start("purge_from 10.0.0.0/8 127.0.0.0/8;")
    #expect(try await ask(open, "PURGE", "/1", "a.example").status == 200)
    #expect(try await stored(open) == ["a/2", "b/1", "b/2"])
    let (closed, _) = try await start("purge_from 10.0.0.0/8;")
    #expect(try await ask(closed, "PURGE", "/1", "a.example").status == 401)
  }

  @Test func `a soft PURGE makes stale, and one of a site that takes none goes to the origin`()
    async throws
  {
    let (node, origin) = try await start("purge on;")
    let fields = [Self.token, "xkey-softpurge: 1"]
    #expect(try await ask(node, "PURGE", "/", "a.example", fields).status == 200)
    let record = try await node.admin("GET", "/v1/purges").json()["purges"]?.array?.first
    #expect(record?["soft"]?.bool == true)
    #expect(try await ask(node, "PURGE", "/1", "b.example").text == "PURGE")
    #expect(origin.requests.last?.method == "PURGE")
  }

  @Test func `a PURGE is followed by other requests on its connection`() async throws {
    let (node, _) = try await start("purge on;")
    let client = try await node.connect()
    for _ in 0..<3 {
      #expect(
        try await client.request("PURGE", "/1", host: "a.example", [Self.token]).status == 200)
      #expect(try await client.request("GET", "/2", host: "a.example").isHit)
    }
    client.close()
  }
}
