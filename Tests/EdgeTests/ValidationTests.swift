import EdgeTesting
import Metrics
import ObjectStore
import Testing

@Suite struct ValidationTests {
  static let fresh = "Cache-Control: max-age=60"

  /// An origin whose second and later answers a test chooses.
  private func origin(
    _ first: Reply, then later: @escaping @Sendable (PeerRequest) async throws -> Reply
  ) async throws -> ScriptedOrigin {
    let asked = Watched(0)
    return try await ScriptedOrigin.answering { request in
      let number = asked.update { count in
        count += 1
        return count
      }
      return number == 1 ? first : try await later(request)
    }
  }

  /// A node that has `/a` stored, and stale since a moment.
  private func nodeWithStale(
    _ origin: ScriptedOrigin, age: Double = 61, workers: Int = 2
  ) async throws -> TestNode {
    let node = try TestNode.start(origin: origin.port, workers: workers)
    #expect(try await node.get("/a").status == 200)
    try await node.settle()
    node.advance(seconds: age)
    return node
  }

  @Test(arguments: [["Surrogate-Key: a"], []])
  func `a 304 leaves the cache groups as they are`(fields: [String]) async throws {
    let all = ["Cache-Control: max-age=1", "Cache-Groups: \"g\"", "ETag: \"1\""]
    let origin = try await ScriptedOrigin.answering { request in
      if request.method == "POST" { return Reply(200, ["Cache-Group-Invalidation: \"g\""]) }
      return request.header("if-none-match") == nil
        ? Reply(200, all + fields, "stored") : Reply(304, ["Cache-Control: max-age=60"] + fields)
    }
    let node = try TestNode.start(origin: origin.port)
    #expect(try await node.get("/a").text == "stored")
    try await node.settle()
    node.advance(seconds: 2)
    #expect(try await node.get("/a").text == "stored")
    try await node.settle()
    #expect(try await node.get("/a").isHit)
    #expect(try await node.connect().request("POST", "/other").status == 200)
    #expect(try await !node.get("/a").isHit)
  }

  @Test(
    arguments: [
      (["ETag: \"1\""], "\"1\"", nil),
      (["ETag: W/\"1\""], "W/\"1\"", nil),
      (
        ["Last-Modified: Wed, 31 Dec 2025 00:00:00 GMT"], nil, "Wed, 31 Dec 2025 00:00:00 GMT"
      ),
      (
        ["ETag: \"1\"", "Last-Modified: Wed, 31 Dec 2025 00:00:00 GMT"], "\"1\"",
        "Wed, 31 Dec 2025 00:00:00 GMT"
      ),
    ] as [([String], String?, String?)])
  func `validators go to the origin as conditions`(
    validators: [String], tag: String?, date: String?
  ) async throws {
    let origin = try await origin(Reply(200, [Self.fresh] + validators, "stored")) { request in
      #expect(request.header("if-none-match") == tag)
      #expect(request.header("if-modified-since") == date)
      return Reply(304, [Self.fresh] + validators)
    }
    let node = try await nodeWithStale(origin)
    let response = try await node.get("/a", "If-None-Match: \"of the client\"")
    #expect(response.status == 200 && response.text == "stored")
    #expect(response.header("age") == "0")
    try await node.settle()
    #expect(try await node.get("/a").isHit)
    #expect(origin.requests.count == 2)
    try node.requireStore().check()
  }

  @Test func `a 304 updates the stored fields and the lifetime`() async throws {
    let first = Reply(
      200, [Self.fresh, "ETag: \"1\"", "X-A: old", "X-B: stays", "Content-Type: text/a"], "stored")
    let origin = try await origin(first) { _ in
      Reply(304, ["Cache-Control: max-age=600", "ETag: \"1\"", "X-A: new", "X-C: comes", "Age: 7"])
    }
    let node = try await nodeWithStale(origin)
    for isFirst in [true, false] {
      let response = try await node.get("/a")
      #expect(response.isHit == !isFirst && response.text == "stored")
      #expect(response.headers("x-a") == ["new"])
      #expect(response.headers("x-b") == ["stays"])
      #expect(response.headers("x-c") == ["comes"])
      #expect(response.header("content-type") == "text/a")
      #expect(response.headers("age") == ["7"])
      try await node.settle()
    }
    node.advance(seconds: 592)
    #expect(try await node.get("/a").isHit)
    node.advance(seconds: 1)
    #expect(try await !node.get("/a").isHit)
    try await node.settle()
    try node.requireStore().check()
  }

  @Test func `a large body stays where it is when a 304 comes`() async throws {
    let body = String(decoding: content(700_000).map { $0 & 0x7F }, as: UTF8.self)
    let origin = try await origin(Reply(200, [Self.fresh, "ETag: \"1\""], body)) { _ in
      Reply(304, [Self.fresh, "ETag: \"1\""])
    }
    let node = try await nodeWithStale(origin)
    let validated = try await node.get("/a")
    #expect(validated.cacheStatus.contains("fwd=stale; fwd-status=304"))
    #expect(validated.text == body)
    try await node.settle()
    let hit = try await node.get("/a")
    #expect(hit.isHit && hit.text == body)
    try node.requireStore().check()
  }

  @Test func `a 304 about something else has the origin asked again without conditions`()
    async throws
  {
    let origin = try await origin(Reply(200, [Self.fresh, "ETag: \"1\""], "old")) { request in
      request.header("if-none-match") == nil
        ? Reply(200, [Self.fresh, "ETag: \"2\""], "new") : Reply(304, [Self.fresh, "ETag: \"2\""])
    }
    let node = try await nodeWithStale(origin)
    #expect(try await node.get("/a").text == "new")
    try await node.settle()
    let hit = try await node.get("/a")
    #expect(hit.isHit && hit.text == "new" && hit.header("etag") == "\"2\"")
    #expect(origin.requests.map { $0.header("if-none-match") } == [nil, "\"1\"", nil])
  }

  @Test func `asking again after such a 304 is tried again on a fresh connection`() async throws {
    let origin = try await ScriptedOrigin(connections: [
      { connection in
        _ = try await connection.readRequest()
        try await connection.respond(200, ["Cache-Control: max-age=1", "ETag: \"1\""], "old")
        let validation = try await connection.readRequest()
        try await connection.respond(Reply(304, ["ETag: \"2\""]), to: validation)
        // Closed with the request for the whole in it.
        _ = try await connection.readRequest()
      },
      { connection in
        let request = try await connection.readRequest()
        try await connection.respond(200, [Self.fresh, "ETag: \"2\""], "new")
        #expect(request.header("if-none-match") == nil)
      },
    ])
    let node = try await nodeWithStale(origin, age: 2, workers: 1)
    #expect(try await node.get("/a").text == "new")
    try await origin.finish()
  }

  @Test func `a 304 that nobody asked for is no answer`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(304, [Self.fresh, "ETag: \"1\""]) }
    let node = try TestNode.start(origin: origin.port)
    #expect(try await node.get("/a").status == 502)
    #expect(try await node.get("/a", "If-None-Match: \"1\"").status == 502)
    #expect(try await node.stored("/a").status == 504)
    try await node.expectAtRest()
  }

  @Test func `a 200 replaces what is stored`() async throws {
    let origin = try await origin(Reply(200, [Self.fresh, "ETag: \"1\"", "X-A: old"], "old")) { _ in
      Reply(200, [Self.fresh, "ETag: \"2\""], "new")
    }
    let node = try await nodeWithStale(origin)
    #expect(try await node.get("/a").text == "new")
    try await node.settle()
    let hit = try await node.get("/a")
    #expect(hit.isHit && hit.text == "new" && hit.header("x-a") == nil)
    #expect(node.count(.revalidatedReplaced) == 1)
    try node.requireStore().check()
  }

  @Test(arguments: [
    Reply(200, ["Cache-Control: no-store"], "new"), Reply(404, ["Cache-Control: no-store"], "new"),
    Reply(200, ["Cache-Control: private"], "new"),
  ])
  func `an answer that may not be stored ends what was stored`(reply: Reply) async throws {
    let first = Reply(
      200, ["Cache-Control: max-age=60, stale-while-revalidate=600", "ETag: \"1\""], "old")
    let origin = try await origin(first) { _ in reply }
    let node = try await nodeWithStale(origin)
    #expect(try await node.get("/a").text == "old")
    try await origin.waitForRequests(2)
    try await node.settle()
    #expect(try await node.get("/a").text == "new")
    #expect(try await node.stored("/a").status == 504)
  }

  @Test(arguments: [
    "Cache-Control: private, max-age=60", "Cache-Control: no-store", "Vary: *", "Vary: X-One",
  ])
  func `a 304 after which a response may not be kept ends what was stored`(
    field: String
  ) async throws {
    let origin = try await origin(Reply(200, [Self.fresh, "ETag: \"1\""], "old")) { _ in
      Reply(304, [field, "ETag: \"1\""])
    }
    let node = try await nodeWithStale(origin)
    let own = try await node.get("/a")
    #expect(own.status == 200 && own.text == "old")
    try await node.settle()
    #expect(try await node.stored("/a").status == 504)
  }

  // MARK: Errors (RFC 5861 §4)

  @Test(arguments: [500, 502, 503, 504])
  func `stale-if-error serves what is stored instead of an error`(status: Int) async throws {
    let first = Reply(200, ["Cache-Control: max-age=60, stale-if-error=100", "ETag: \"1\""], "old")
    let origin = try await origin(first) { _ in Reply(status, ["Cache-Control: max-age=9"], "bad") }
    let node = try await nodeWithStale(origin)
    let response = try await node.get("/a")
    #expect(response.status == 200 && response.text == "old" && response.header("age") == "61")
    #expect(response.cacheStatus.contains("fwd=stale; fwd-status=\(status)"))
    node.advance(seconds: 99)
    #expect(try await node.get("/a").text == "old")
    node.advance(seconds: 1)
    #expect(try await node.get("/a").text == "bad")
    #expect(origin.requests.count == 4)
  }

  @Test(arguments: [
    ("Cache-Control: max-age=60", 500),
    ("Cache-Control: max-age=60, stale-if-error=100, must-revalidate", 500),
    ("Cache-Control: max-age=60, stale-if-error=100, no-cache", 503),
    ("Cache-Control: max-age=60, stale-if-error=100", 404),
  ])
  func `without leave, the error is what the client gets`(field: String, status: Int) async throws {
    let origin = try await origin(Reply(200, [field, "ETag: \"1\""], "old")) { _ in
      Reply(status, [], "bad")
    }
    let node = try await nodeWithStale(origin)
    let response = try await node.get("/a")
    #expect(response.status == status && response.text == "bad")
  }

  @Test(arguments: [true, false])
  func `an origin that is gone: stale, or 502`(isAllowed: Bool) async throws {
    let field = "Cache-Control: max-age=60" + (isAllowed ? ", stale-if-error=100" : "")
    let origin = try await origin(Reply(200, [field, "ETag: \"1\""], "old")) { _ in Reply() }
    let node = try await nodeWithStale(origin)
    await origin.stop()
    let response = try await node.get("/a")
    #expect(response.status == (isAllowed ? 200 : 502))
    if isAllowed { #expect(response.text == "old") }
    try await node.expectAtRest()
  }

  @Test(arguments: [true, false])
  func `an origin that says nothing: stale, or 504`(isAllowed: Bool) async throws {
    let field = "Cache-Control: max-age=60" + (isAllowed ? ", stale-if-error=100" : "")
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      try await connection.respond(200, [field, "ETag: \"1\"", "Connection: close"], "old")
      try await connection.waitUntilClosed()
    }
    let silent = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      try await connection.waitUntilClosed()
    }
    let node = try await nodeWithStale(origin)
    let directory = node.directory
    node.stop()
    let again = try TestNode.start(
      origin: silent.port, pool: "first_byte_timeout 5s;", directory: directory, clock: node.clock)
    let client = try await again.ask("/a")
    try await silent.waitForRequests(1)
    again.advance(seconds: 6)
    let response = try await client.readResponse()
    #expect(response.status == (isAllowed ? 200 : 504))
    if isAllowed { #expect(response.text == "old") }
  }

  @Test(arguments: ["", "HTTP/1.1 200 OK\r\nContent-Le", "HTTP/9 what\r\n\r\n"])
  func `an answer that is no head counts as an error`(bytes: String) async throws {
    let first = "Cache-Control: max-age=60, stale-if-error=100"
    let isFirst = Watched(true)
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      let isFirst = isFirst.update { value in
        defer { value = false }
        return value
      }
      if isFirst {
        try await connection.respond(200, [first, "ETag: \"1\"", "Connection: close"], "old")
      } else {
        try await connection.write(bytes)
      }
    }
    let node = try await nodeWithStale(origin)
    let response = try await node.get("/a")
    #expect(response.status == 200 && response.text == "old")
    node.advance(seconds: 100)
    #expect(try await node.get("/a").status == 502)
  }

  // MARK: While it is revalidated (RFC 5861 §3)

  @Test func `stale-while-revalidate serves at once and validates once`() async throws {
    let release = Signal("the validation's answer")
    let first = Reply(
      200, ["Cache-Control: max-age=60, stale-while-revalidate=100", "ETag: \"1\""], "old")
    let origin = try await origin(first) { _ in
      try await release.wait()
      return Reply(200, [Self.fresh, "ETag: \"2\""], "new")
    }
    let node = try await nodeWithStale(origin)
    let responses = try await atOnce(30) { _ in try await node.get("/a") }
    for response in responses {
      #expect(response.isHit && response.text == "old")
      #expect(response.cacheStatus == "weir; hit; ttl=-1" && response.header("age") == "61")
    }
    try await origin.waitForRequests(2)
    release.send()
    try await node.settle()
    let hit = try await node.get("/a")
    #expect(hit.isHit && hit.text == "new")
    #expect(origin.requests.count == 2)
    #expect(origin.requests[1].header("if-none-match") == "\"1\"")
    try await node.expectAtRest()
  }

  @Test func `past the window a request waits for the validation`() async throws {
    let first = Reply(
      200, ["Cache-Control: max-age=60, stale-while-revalidate=10", "ETag: \"1\""], "old")
    let origin = try await origin(first) { _ in Reply(200, [Self.fresh], "new") }
    let node = try await nodeWithStale(origin, age: 70)
    #expect(try await node.get("/a").text == "new")
  }

  @Test func `a failed background validation leaves what is stored`() async throws {
    let first = Reply(
      200, ["Cache-Control: max-age=60, stale-while-revalidate=100", "ETag: \"1\""], "old")
    let origin = try await origin(first) { _ in Reply(503, [], "bad") }
    let node = try await nodeWithStale(origin)
    for count in 2...4 {
      #expect(try await node.get("/a").text == "old")
      try await origin.waitForRequests(count)
      try await node.settle()
      // Then the origin is left alone: for a second, two, four.
      #expect(try await node.get("/a").text == "old")
      #expect(origin.requests.count == count)
      node.advance(seconds: Double(1 << (count - 2)) + 0.1)
    }
    try await node.expectAtRest()
  }

  // MARK: Clients with conditions

  @Test(arguments: [
    ("If-None-Match: \"1\"", 304), ("If-None-Match: W/\"1\"", 304), ("If-None-Match: *", 304),
    ("If-None-Match: \"0\", \"1\"", 304), ("If-None-Match: \"0\"", 200),
    ("If-Modified-Since: Wed, 31 Dec 2025 00:00:00 GMT", 304),
    ("If-Modified-Since: Tue, 30 Dec 2025 23:59:59 GMT", 200), ("If-Modified-Since: today", 200),
  ])
  func `a client's condition is answered for hits, misses and validations`(
    field: String, status: Int
  ) async throws {
    let fields = [Self.fresh, "ETag: \"1\"", "Last-Modified: Wed, 31 Dec 2025 00:00:00 GMT"]
    let origin = try await ScriptedOrigin.answering { request in
      request.header("if-none-match") == "\"1\"" ? Reply(304, fields) : Reply(200, fields, "stored")
    }
    let node = try TestNode.start(origin: origin.port)
    let client = try await node.connect()
    for step in ["miss", "hit", "validation", "hit"] {
      if step == "validation" { node.advance(seconds: 61) }
      let response = try await client.get("/a", [field])
      #expect(response.status == status, "\(step)")
      #expect(response.header("etag") == "\"1\"", "\(step)")
      #expect(response.isHit == (step == "hit"))
      if status == 200 { #expect(response.text == "stored", "\(step)") }
      try await node.settle()
    }
    #expect(origin.requests.count == 2)
    #expect(try await client.get("/a").text == "stored")
  }

  @Test(arguments: [
    "If-Match: \"1\"", "If-Unmodified-Since: Wed, 31 Dec 2025 00:00:00 GMT",
  ])
  func `conditions for the origin pass through`(field: String) async throws {
    let origin = try await ScriptedOrigin.answering { request in
      let isConditional =
        request.header("if-match") != nil || request.header("if-unmodified-since") != nil
      return isConditional
        ? Reply(412, [Self.fresh], "no") : Reply(200, [Self.fresh, "ETag: \"1\""], "stored")
    }
    let node = try TestNode.start(origin: origin.port)
    let client = try await node.connect()
    #expect(try await client.get("/a").text == "stored")
    try await node.settle()
    #expect(try await client.get("/a", [field]).status == 412)
    try await node.settle()
    let hit = try await client.get("/a")
    #expect(hit.isHit && hit.text == "stored")
  }

  @Test func `several requests wait for one validation`() async throws {
    let release = Signal("the 304")
    let origin = try await origin(Reply(200, [Self.fresh, "ETag: \"1\""], "stored")) { _ in
      try await release.wait()
      return Reply(304, [Self.fresh, "ETag: \"1\""])
    }
    let node = try await nodeWithStale(origin)
    let responses = try await withThrowingTaskGroup(of: PeerResponse.self) { group in
      for index in 0..<40 {
        group.addTask {
          // Every fourth has it already.
          try await index % 4 == 0 ? node.get("/a", "If-None-Match: \"1\"") : node.get("/a")
        }
      }
      try await node.expect(.fillsCollapsed, reaches: 39)
      release.send()
      return try await group.reduce(into: []) { $0.append($1) }
    }
    #expect(responses.filter { $0.status == 304 }.count == 10)
    #expect(responses.filter { $0.status == 200 && $0.text == "stored" }.count == 30)
    #expect(origin.requests.count == 2)
    try await node.expectAtRest()
  }
}
