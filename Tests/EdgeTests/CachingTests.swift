import EdgeTesting
import Metrics
import Testing

@Suite struct CachingTests {
  @Test func `a second request is answered from the store`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in
      Reply(200, ["Cache-Control: max-age=60", "ETag: \"v1\""], "stored")
    }
    let node = try TestNode.start(origin: origin.port)
    let first = try await node.get("/a")
    #expect(first.header("cache-status") == "weir; fwd=uri-miss; fwd-status=200; stored; ttl=60")
    try await node.settle()
    node.advance(seconds: 10)
    let second = try await node.get("/a")
    #expect(second.text == "stored")
    #expect(second.header("age") == "10")
    #expect(second.header("cache-status") == "weir; hit; ttl=50")
    #expect(origin.requests.count == 1)
    let head = try await node.connect().request("HEAD", "/a")
    #expect(head.header("content-length") == "6")
    #expect(head.header("cache-status") == "weir; hit; ttl=50")
  }

  @Test func `a stale response is validated and the 304 makes it fresh`() async throws {
    let origin = try await ScriptedOrigin.answering { request in
      if request.header("if-none-match") == "\"v1\"" {
        return Reply(304, ["Cache-Control: max-age=60", "ETag: \"v1\""])
      }
      return Reply(200, ["Cache-Control: max-age=60", "ETag: \"v1\""], "stored")
    }
    let node = try TestNode.start(origin: origin.port)
    _ = try await node.get("/a")
    try await node.settle()
    node.advance(seconds: 61)
    let validated = try await node.get("/a")
    #expect(validated.text == "stored")
    #expect(validated.header("cache-status")?.contains("fwd=stale; fwd-status=304") == true)
    try await node.settle()
    node.advance(seconds: 30)
    let hit = try await node.get("/a")
    #expect(hit.header("cache-status") == "weir; hit; ttl=30")
    #expect(origin.requests.count == 2)
    #expect(node.count(.revalidated304) == 1)
  }

  @Test func `a client that has it already is told so`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in
      Reply(200, ["Cache-Control: max-age=60", "ETag: \"v1\""], "stored")
    }
    let node = try TestNode.start(origin: origin.port)
    _ = try await node.get("/a")
    try await node.settle()
    let response = try await node.get("/a", "If-None-Match: \"v0\", W/\"v1\"")
    #expect(response.status == 304)
    #expect(response.header("etag") == "\"v1\"")
    #expect(response.header("content-type") == nil)
  }

  @Test func `large bodies come whole from memory and from the store`() async throws {
    let body = String(repeating: "0123456789abcdef", count: 60_000)
    let origin = try await ScriptedOrigin.answering { _ in
      Reply(200, ["Cache-Control: max-age=60"], body)
    }
    let node = try TestNode.start(origin: origin.port)
    #expect(try await node.get("/big").text == body)
    try await node.settle()
    #expect(try await node.get("/big").text == body)
    #expect(origin.requests.count == 1)
    let again = try node.restart(origin: origin.port)
    let warm = try await again.get("/big")
    #expect(warm.text == body)
    #expect(warm.header("cache-status")?.hasPrefix("weir; hit") == true)
    #expect(origin.requests.count == 1)
  }

  @Test func `concurrent misses make one request to the origin`() async throws {
    let release = Signal("the answer")
    let origin = try await ScriptedOrigin.answering { _ in
      try await release.wait()
      return Reply(200, ["Cache-Control: max-age=60"], "one for all")
    }
    let node = try TestNode.start(origin: origin.port)
    try await withThrowingTaskGroup(of: String.self) { group in
      for _ in 0..<50 { group.addTask { try await node.get("/x").text } }
      try await node.expect(.fillsCollapsed, reaches: 49)
      release.send()
      for try await text in group { #expect(text == "one for all") }
    }
    #expect(origin.requests.count == 1)
  }

  @Test func `variants are kept apart`() async throws {
    let origin = try await ScriptedOrigin.answering { request in
      Reply(
        200, ["Cache-Control: max-age=60", "Vary: Accept-Language"],
        "in \(request.header("accept-language") ?? "none")")
    }
    let node = try TestNode.start(origin: origin.port)
    for _ in 0..<2 {
      for language in ["de", "ja"] {
        #expect(try await node.get("/v", "Accept-Language: \(language)").text == "in \(language)")
        try await node.settle()
      }
      #expect(try await node.get("/v").text == "in none")
      try await node.settle()
    }
    #expect(origin.requests.count == 3)
  }
}
