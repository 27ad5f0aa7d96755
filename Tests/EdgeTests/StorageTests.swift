import EdgeTesting
import EventLoop
import Metrics
import ObjectStore
import Testing

/// An answer of an origin, and what becomes of a second request for it.
struct ReuseCase: Sendable, CustomTestStringConvertible {
  var name: String
  var reply: Reply
  var request: [String] = []
  var second: [String] = []
  /// Seconds between the two.
  var after: Double = 1
  var isHit: Bool

  init(
    _ name: String, _ fields: [String], request: [String] = [], second: [String] = [],
    after: Double = 1, isHit: Bool
  ) {
    self.init(name, 200, fields, request: request, second: second, after: after, isHit: isHit)
  }

  init(
    _ name: String, _ status: Int, _ fields: [String], request: [String] = [],
    second: [String] = [], after: Double = 1, isHit: Bool
  ) {
    self.name = name
    self.reply = Reply(status, fields, status == 204 ? "" : "content")
    self.request = request
    self.second = second
    self.after = after
    self.isHit = isHit
  }

  var testDescription: String { name }
}

@Suite struct StorageTests {
  // The node's clock begins at this date.
  static let date = "Date: Thu, 01 Jan 2026 00:00:00 GMT"

  /// RFC 9111 §4.2: fresh is lifetime > age.
  static let lifetimes: [ReuseCase] = [
    ReuseCase("max-age", ["Cache-Control: max-age=60"], after: 59, isHit: true),
    ReuseCase("max-age is over", ["Cache-Control: max-age=60"], after: 60, isHit: false),
    ReuseCase(
      "s-maxage before max-age", ["Cache-Control: max-age=1, s-maxage=60"], after: 59, isHit: true),
    ReuseCase(
      "s-maxage is over", ["Cache-Control: max-age=600, s-maxage=60"], after: 60, isHit: false),
    ReuseCase(
      "Expires", [date, "Expires: Thu, 01 Jan 2026 00:01:00 GMT"], after: 59, isHit: true),
    ReuseCase(
      "Expires is over", [date, "Expires: Thu, 01 Jan 2026 00:01:00 GMT"], after: 60, isHit: false),
    ReuseCase(
      "max-age before Expires", [date, "Cache-Control: max-age=60", "Expires: 0"], after: 59,
      isHit: true),
    ReuseCase("Expires that is no date", [date, "Expires: 0", "ETag: \"1\""], isHit: false),
    ReuseCase(
      "heuristic", [date, "Last-Modified: Wed, 31 Dec 2025 14:00:00 GMT"], after: 3599,
      isHit: true),
    ReuseCase(
      "heuristic is over", [date, "Last-Modified: Wed, 31 Dec 2025 14:00:00 GMT"], after: 3600,
      isHit: false),
    ReuseCase("no lifetime and no validator", [date], isHit: false),
    ReuseCase(
      "Age of another cache", ["Cache-Control: max-age=60", "Age: 50"], after: 9, isHit: true),
    ReuseCase(
      "Age of another cache is over", ["Cache-Control: max-age=60", "Age: 50"], after: 10,
      isHit: false),
    ReuseCase(
      "apparent age",
      ["Date: Wed, 31 Dec 2025 23:59:30 GMT", "Cache-Control: max-age=60"], after: 29, isHit: true),
    ReuseCase(
      "apparent age is over",
      ["Date: Wed, 31 Dec 2025 23:59:30 GMT", "Cache-Control: max-age=60"], after: 30,
      isHit: false),
  ]

  /// RFC 9111 §3, §5.2.2.
  static let directives: [ReuseCase] = [
    ReuseCase("no-store", ["Cache-Control: no-store, max-age=60"], isHit: false),
    ReuseCase("private", ["Cache-Control: private, max-age=60"], isHit: false),
    ReuseCase("no-cache", ["Cache-Control: no-cache, max-age=60", "ETag: \"1\""], isHit: false),
    ReuseCase("must-revalidate", ["Cache-Control: must-revalidate, max-age=60"], isHit: true),
    ReuseCase("Set-Cookie", ["Cache-Control: max-age=60", "Set-Cookie: a=b"], isHit: false),
    ReuseCase(
      "Set-Cookie, public", ["Cache-Control: public, max-age=60", "Set-Cookie: a=b"], isHit: true),
    ReuseCase(
      "Pragma of the origin", ["Cache-Control: max-age=60", "Pragma: no-cache"], isHit: true),
    ReuseCase("Vary: *", ["Cache-Control: max-age=60", "Vary: *"], isHit: false),
    ReuseCase(
      "Authorization", ["Cache-Control: max-age=60"], request: ["Authorization: Basic eDp5"],
      isHit: false),
    ReuseCase(
      "Authorization, public", ["Cache-Control: public, max-age=60"],
      request: ["Authorization: Basic eDp5"], isHit: true),
    ReuseCase(
      "Authorization, s-maxage", ["Cache-Control: s-maxage=60"],
      request: ["Authorization: Basic eDp5"], isHit: true),
    ReuseCase(
      "Authorization, must-revalidate", ["Cache-Control: must-revalidate, max-age=60"],
      request: ["Authorization: Basic eDp5"], isHit: true),
    ReuseCase(
      "no-store of the client", ["Cache-Control: max-age=60"],
      request: ["Cache-Control: no-store"], isHit: false),
    ReuseCase(
      "no-cache of the client is stored", ["Cache-Control: max-age=60"],
      request: ["Cache-Control: no-cache"], isHit: true),
    ReuseCase("404", 404, ["Cache-Control: max-age=60"], isHit: true),
    ReuseCase("404 without a lifetime", 404, [], isHit: false),
    ReuseCase("301", 301, ["Cache-Control: max-age=60", "Location: /b"], isHit: true),
    ReuseCase(
      "302 with a lifetime", 302, ["Cache-Control: max-age=60", "Location: /b"], isHit: true),
    ReuseCase("302 without one", 302, ["Location: /b", "ETag: \"1\""], isHit: false),
    ReuseCase("204", 204, ["Cache-Control: max-age=60"], isHit: true),
    ReuseCase(
      "206 that nobody asked for", 206,
      ["Cache-Control: max-age=60", "Content-Range: bytes 0-6/100"], isHit: false),
    ReuseCase("416", 416, ["Cache-Control: max-age=60"], isHit: false),
    ReuseCase("429", 429, ["Cache-Control: max-age=60"], isHit: false),
    ReuseCase("500 with a lifetime", 500, ["Cache-Control: max-age=60"], isHit: true),
  ]

  /// RFC 9111 §5.2.1.
  static let wishes: [ReuseCase] = [
    ReuseCase(
      "no-cache", ["Cache-Control: max-age=60"], second: ["Cache-Control: no-cache"], isHit: false),
    ReuseCase("Pragma", ["Cache-Control: max-age=60"], second: ["Pragma: no-cache"], isHit: false),
    ReuseCase(
      "Pragma beside Cache-Control", ["Cache-Control: max-age=60"],
      second: ["Pragma: no-cache", "Cache-Control: max-age=30"], isHit: true),
    ReuseCase(
      "max-age=0", ["Cache-Control: max-age=60"], second: ["Cache-Control: max-age=0"],
      isHit: false),
    ReuseCase(
      "max-age", ["Cache-Control: max-age=60"], second: ["Cache-Control: max-age=10"], after: 10,
      isHit: true),
    ReuseCase(
      "max-age that is over", ["Cache-Control: max-age=60"], second: ["Cache-Control: max-age=10"],
      after: 11, isHit: false),
    ReuseCase(
      "min-fresh", ["Cache-Control: max-age=60"], second: ["Cache-Control: min-fresh=10"],
      after: 50, isHit: true),
    ReuseCase(
      "min-fresh that is not left", ["Cache-Control: max-age=60"],
      second: ["Cache-Control: min-fresh=10"], after: 51, isHit: false),
    ReuseCase(
      "max-stale", ["Cache-Control: max-age=60", "ETag: \"1\""],
      second: ["Cache-Control: max-stale=10"], after: 70, isHit: true),
    ReuseCase(
      "max-stale that is over", ["Cache-Control: max-age=60", "ETag: \"1\""],
      second: ["Cache-Control: max-stale=10"], after: 71, isHit: false),
    ReuseCase(
      "max-stale against must-revalidate",
      ["Cache-Control: max-age=60, must-revalidate", "ETag: \"1\""],
      second: ["Cache-Control: max-stale"], after: 61, isHit: false),
    ReuseCase(
      "no-store takes what is there", ["Cache-Control: max-age=60"],
      second: ["Cache-Control: no-store"], isHit: true),
    ReuseCase(
      "Authorization takes what is public", ["Cache-Control: public, max-age=60"],
      second: ["Authorization: Basic eDp5"], isHit: true),
  ]

  @Test(arguments: lifetimes + directives + wishes)
  func `a stored response is reused as RFC 9111 says`(example: ReuseCase) async throws {
    let origin = try await ScriptedOrigin.answering { _ in example.reply }
    let node = try TestNode.start(origin: origin.port)
    let first = try await node.connect().get("/a", example.request)
    #expect(first.status == example.reply.status)
    #expect(first.header("age") != nil)
    try await node.settle()
    node.advance(seconds: example.after)
    let second = try await node.connect().get("/a", example.second)
    #expect(second.isHit == example.isHit, "\(second.cacheStatus)")
    #expect(second.status == example.reply.status)
    #expect(second.text == example.reply.body)
    try await node.settle()
    try node.requireStore().check()
  }

  @Test func `Age is what the origin said, the time it took, and the time since`() async throws {
    let clock = NodeClock(manualFrom: TestNode.start)
    let origin = try await ScriptedOrigin.answering { _ in
      clock.advance(nanoseconds: 7_000_000_000)
      return Reply(200, ["Cache-Control: max-age=100", "Age: 20"], "old")
    }
    let node = try TestNode.start(origin: origin.port, clock: clock)
    let first = try await node.get("/a")
    #expect(first.headers("age") == ["27"])
    #expect(first.cacheStatus == "weir; fwd=uri-miss; fwd-status=200; stored; ttl=73")
    try await node.settle()
    node.advance(seconds: 3)
    let hit = try await node.get("/a")
    #expect(hit.headers("age") == ["30"])
    #expect(hit.cacheStatus == "weir; hit; ttl=70")
  }

  @Test func `only-if-cached is answered from the store or with 504`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in
      Reply(200, ["Cache-Control: max-age=60", "ETag: \"1\""], "x")
    }
    let node = try TestNode.start(origin: origin.port)
    #expect(try await node.stored("/a").status == 504)
    _ = try await node.get("/a")
    try await node.settle()
    let hit = try await node.stored("/a")
    #expect(hit.status == 200 && hit.isHit)
    node.advance(seconds: 61)
    #expect(try await node.stored("/a").status == 504)
    #expect(origin.requests.count == 1)
  }

  @Test func `HEAD is answered from a stored GET, and stores nothing itself`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in
      Reply(200, ["Cache-Control: max-age=60", "ETag: \"1\""], "seven b")
    }
    let node = try TestNode.start(origin: origin.port)
    let client = try await node.connect()
    let miss = try await client.request("HEAD", "/a")
    #expect(miss.status == 200 && miss.header("content-length") == "7")
    #expect(try await node.stored("/a").status == 504)
    #expect(try await client.get("/a").text == "seven b")
    try await node.settle()
    let hit = try await client.request("HEAD", "/a")
    #expect(hit.isHit && hit.header("content-length") == "7" && hit.header("etag") == "\"1\"")
    #expect(try await client.get("/a").isHit)
    #expect(origin.requests.map(\.method) == ["HEAD", "GET"])
  }

  @Test func `a range is asked for whole on a miss, and no part is stored`() async throws {
    let origin = try await ScriptedOrigin.answering { request in
      if request.header("range") != nil {
        return Reply(206, ["Cache-Control: max-age=60", "Content-Range: bytes 0-1/7"], "se")
      }
      return Reply(200, ["Cache-Control: max-age=60", "ETag: \"1\""], "seven b")
    }
    let node = try TestNode.start(origin: origin.port)
    let client = try await node.connect()
    // A range of a route that may not be stored goes through as it is.
    let miss = try await client.get("/a", ["Range: bytes=0-1"])
    #expect([200, 206].contains(miss.status))
    #expect(miss.text == (miss.status == 200 ? "seven b" : "se"))
    try await node.settle()
    let hit = try await client.get("/a", ["Range: bytes=0-1"])
    #expect([200, 206].contains(hit.status))
    #expect(hit.text == (hit.status == 200 ? "seven b" : "se"))
    #expect(try await client.get("/a").text == "seven b")
    // And one that the client forbids to store.
    let passed = try await client.get("/b", ["Range: bytes=0-1", "Cache-Control: no-store"])
    #expect(passed.status == 206 && passed.text == "se")
    try await node.settle()
    #expect(try await node.stored("/b").status == 504)
  }

  @Test func `the cache key is host without case, port, path and query`() async throws {
    let origin = try await ScriptedOrigin.answering { request in
      Reply(
        200, ["Cache-Control: max-age=60"], "\(request.header("host") ?? "") \(request.target)")
    }
    let node = try TestNode.start(origin: origin.port)
    let client = try await node.connect()
    let different = [
      ("one.example", "/a"), ("two.example", "/a"), ("one.example:8080", "/a"),
      ("one.example", "/A"), ("one.example", "/a?"), ("one.example", "/a?x=1"),
      ("one.example", "/a?x=2"), ("one.example", "/a%41"), ("one.example", "/a/"),
    ]
    for (host, target) in different {
      let response = try await client.get(target, host: host)
      #expect(!response.isHit && response.text == "\(host) \(target)")
      try await node.settle()
    }
    for (host, target) in different {
      let response = try await client.get(target, host: host)
      #expect(response.isHit && response.text == "\(host) \(target)")
    }
    let same = [("ONE.example", "/a"), ("one.example:80", "/a")]
    for (host, target) in same {
      let response = try await client.get(target, host: host)
      #expect(response.isHit && response.text == "one.example /a", "\(host)")
    }
    try await client.write("GET http://One.Example/a HTTP/1.1\r\nHost: one.example\r\n\r\n")
    #expect(try await client.readResponse().isHit)
    #expect(origin.requests.count == different.count)
  }

  @Test(arguments: ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])
  func `answers to other methods are not stored`(method: String) async throws {
    let origin = try await ScriptedOrigin.answering { request in
      Reply(200, ["Cache-Control: max-age=60"], "to \(request.method)")
    }
    let node = try TestNode.start(origin: origin.port)
    let client = try await node.connect()
    let first = try await client.request(method, "/a", body: "x")
    #expect(first.text == "to \(method)" && first.cacheStatus.contains("fwd=method"))
    try await node.settle()
    #expect(try await node.stored("/a").status == 504)
    #expect(try await client.request(method, "/a", body: "x").text == "to \(method)")
    #expect(origin.requests.count == 2)
  }

  @Test func `fields that one client may have are kept from the others`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in
      Reply(
        200,
        [
          "Cache-Control: max-age=60, private=\"x-secret\", no-cache=\"set-cookie\"",
          "X-Secret: of the first", "Set-Cookie: of=first", "X-Public: of all",
        ], "x")
    }
    let node = try TestNode.start(origin: origin.port)
    let first = try await node.get("/a")
    #expect(first.header("x-secret") == "of the first")
    #expect(first.header("set-cookie") == "of=first")
    try await node.settle()
    let hit = try await node.get("/a")
    #expect(hit.isHit && hit.header("x-public") == "of all")
    #expect(hit.header("x-secret") == nil && hit.header("set-cookie") == nil)
  }

  @Test func `hop-by-hop fields and the connection's framing are not stored`() async throws {
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      try await connection.write(
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nConnection: close, x-hop\r\n"
          + "X-Hop: 1\r\nKeep-Alive: 3\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n"
          + "3\r\none\r\n4;ext\r\n two\r\n0\r\nX-Sum: 7\r\n\r\n")
    }
    let node = try TestNode.start(origin: origin.port)
    #expect(try await node.get("/a").text == "one two")
    try await node.settle()
    let hit = try await node.get("/a")
    #expect(hit.isHit && hit.text == "one two" && hit.framing == .length(7))
    for name in ["x-hop", "keep-alive", "transfer-encoding", "connection"] {
      #expect(hit.header(name) == nil, "\(name)")
    }
  }
}
