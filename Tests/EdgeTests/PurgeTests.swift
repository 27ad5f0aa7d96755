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
