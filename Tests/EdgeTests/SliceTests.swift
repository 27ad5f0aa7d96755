import EdgeTesting
import Metrics
import Testing

/// Large objects in slices (`cache { slice SIZE; }`).
@Suite struct SliceTests {
  static let fresh = "Cache-Control: max-age=60"
  /// What a slice of 256 KiB comes to: one chunk of the store.
  static let slice = 262_120
  static let length = 1_000_000

  /// An origin that has one object, and answers ranges of it as RFC 9110 §14 says.
  static func origin(
    tag: Watched<String>, fields: [String] = [], before: (@Sendable () async throws -> Void)? = nil
  ) async throws -> ScriptedOrigin {
    try await ScriptedOrigin.answering { request in
      try await before?()
      let version = tag.value
      let content = RangeTests.content(length)
      let all = [fresh, "ETag: \(version)", "Content-Type: video/mp4"] + fields
      if request.header("if-none-match") == version { return Reply(304, all) }
      let isSame = request.header("if-range").map { $0 == version } ?? true
      guard isSame, let value = request.header("range"),
        let range = Self.range(value, length)
      else { return Reply(200, all, content) }
      guard !range.isEmpty else { return Reply(416, ["Content-Range: bytes */\(length)"], "") }
      return Reply(
        206,
        all + ["Content-Range: bytes \(range.lowerBound)-\(range.upperBound - 1)/\(length)"],
        RangeTests.part(content, range))
    }
  }

  static func range(_ value: String, _ length: Int) -> Range<Int>? {
    let parts = value.dropFirst("bytes=".count).split(
      separator: "-", omittingEmptySubsequences: false)
    guard parts.count == 2, let first = Int(parts[0]) else { return nil }
    let end = min((Int(parts[1]) ?? length) + 1, length)
    return first < end ? first..<end : 0..<0
  }

  static func part(_ range: Range<Int>) -> String {
    RangeTests.part(RangeTests.content(length), range)
  }

  static func start(_ origin: ScriptedOrigin) throws -> TestNode {
    try TestNode.start(origin: origin.port, route: "cache { slice 256KiB; }")
  }

  @Test func `who wants only what is stored gets no slice from the origin`() async throws {
    let origin = try await Self.origin(tag: Watched("\"v1\""))
    let node = try Self.start(origin)
    #expect(try await node.get("/x", "Range: bytes=10-19").status == 206)
    try await node.settle()
    let only = "Cache-Control: only-if-cached"
    let there = try await node.get("/x", "Range: bytes=100-199", only)
    #expect(there.status == 206 && there.text == Self.part(100..<200))
    #expect(try await node.get("/x", only).status == 504)
    #expect(
      try await node.get("/x", "Range: bytes=\(Self.slice - 1)-\(Self.slice)", only).status == 504)
    #expect(origin.requests.count == 1)
    #expect(try await node.get("/x").text == RangeTests.content(Self.length))
    try await node.settle()
    #expect(try await node.get("/x", only).text == RangeTests.content(Self.length))
  }

  @Test func `what cannot be stored is asked for by its range alone`() async throws {
    // 12 MB that nobody may store: the end of it must not cost the whole.
    let content = String(repeating: "0123456789ab", count: 1_000_000)
    let origin = try await ScriptedOrigin.answering { request in
      guard let value = request.header("range"), let range = Self.range(value, content.count) else {
        return Reply(200, ["Cache-Control: no-store"], content)
      }
      return Reply(
        206,
        [
          "Cache-Control: no-store",
          "Content-Range: bytes \(range.lowerBound)-\(range.upperBound - 1)/\(content.count)",
        ], RangeTests.part(content, range))
    }
    let node = try TestNode.start(origin: origin.port)
    let end = "\(content.count - 4)-\(content.count - 1)"
    let first = try await node.get("/x", "Range: bytes=\(end)")
    #expect(first.status == 206 && first.text == "89ab")
    #expect(origin.requests.last?.header("range") == "bytes=\(end)")
    // Marked now: no more than the range is asked for.
    let second = try await node.get("/x", "Range: bytes=\(end)")
    #expect(second.status == 206 && second.text == "89ab")
    #expect(origin.requests.count == 3)
    #expect(node.count(.originBytesReceived) < UInt64(content.count))
  }

  @Test func `what is not for slices is not asked for in slices again`() async throws {
    let origin = try await Self.origin(tag: Watched("W/\"weak\""))
    let node = try TestNode.start(
      origin: origin.port, route: "cache { slice 256KiB; }", store: "max_object 64KiB;")
    for _ in 0..<3 {
      let part = try await node.get("/x", "Range: bytes=10-19")
      #expect(part.status == 206 && part.text == Self.part(10..<20))
    }
    let ranges = origin.requests.map { $0.header("range") }
    #expect(ranges.filter { $0 == "bytes=0-\(Self.slice - 1)" }.count == 1)
  }

  @Test func `a range fetches its slices and no more, and each only once`() async throws {
    let origin = try await Self.origin(tag: Watched("\"v1\""))
    let node = try Self.start(origin)
    let first = try await node.get("/x", "Range: bytes=10-19")
    #expect(first.status == 206 && first.text == Self.part(10..<20))
    #expect(first.header("content-range") == "bytes 10-19/\(Self.length)")
    #expect(first.header("content-type") == "video/mp4")
    try await node.settle()
    let second = try await node.get("/x", "Range: bytes=100-\(Self.slice - 1)")
    #expect(second.isHit && second.text == Self.part(100..<Self.slice))
    #expect(origin.requests.map { $0.header("range") } == ["bytes=0-\(Self.slice - 1)"])
    #expect(origin.requests.first?.header("if-range") == nil)
    // Across the border of two slices: one more is fetched.
    let across = Self.slice - 5..<Self.slice + 5
    let third = try await node.get(
      "/x", "Range: bytes=\(across.lowerBound)-\(across.upperBound - 1)")
    #expect(third.status == 206 && third.text == Self.part(across))
    #expect(origin.requests.count == 2)
    #expect(origin.requests.last?.header("if-range") == "\"v1\"")
    try await node.settle()
    // The end, by a suffix.
    let last = try await node.get("/x", "Range: bytes=-7")
    #expect(last.text == Self.part(Self.length - 7..<Self.length))
    #expect(origin.requests.count == 3)
    try await node.settle()
    // The whole: what is missing is fetched, the rest is there.
    let whole = try await node.get("/x")
    #expect(whole.status == 200 && whole.text == RangeTests.content(Self.length))
    #expect(origin.requests.count == 4)
    try await node.settle()
    #expect(try await node.get("/x").text == RangeTests.content(Self.length))
    let parts = try await node.get("/x", "Range: bytes=0-1,600000-600001")
    #expect(parts.status == 206 && parts.text.contains(Self.part(600_000..<600_002)))
    #expect(origin.requests.count == 4)
    try await node.expectAtRest()
  }

  @Test(arguments: [1, 2])
  func `many clients' ranges share the fetch of a slice`(workers: Int) async throws {
    let release = Signal("the slice")
    let origin = try await Self.origin(tag: Watched("\"v1\"")) { try await release.wait() }
    let node = try TestNode.start(
      origin: origin.port, route: "cache { slice 256KiB; }", workers: workers)
    let answers = try await withThrowingTaskGroup(of: PeerResponse.self) { group in
      for index in 0..<50 {
        group.addTask { try await node.get("/x", "Range: bytes=\(index * 100)-\(index * 100 + 9)") }
      }
      try await node.expect(.fillsCollapsed, reaches: 49)
      release.send()
      return try await group.reduce(into: []) { $0.append($1) }
    }
    #expect(answers.count == 50 && answers.allSatisfy { $0.status == 206 && $0.bodyLength == 10 })
    #expect(origin.requests.count == 1)
    try await node.expectAtRest()
  }

  @Test func `ranges in different slices at once are all right`() async throws {
    let origin = try await Self.origin(tag: Watched("\"v1\""))
    let node = try Self.start(origin)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for index in 0..<40 {
        let range = index * 24_000..<index * 24_000 + 30_000
        group.addTask {
          let answer = try await node.get(
            "/x", "Range: bytes=\(range.lowerBound)-\(range.upperBound - 1)")
          #expect(answer.status == 206 && answer.text == Self.part(range))
        }
      }
      try await group.waitForAll()
    }
    try await node.settle()
    #expect(try await node.get("/x").text == RangeTests.content(Self.length))
    try await node.expectAtRest()
  }

  @Test func `parts of two representations are never put together`() async throws {
    let tag = Watched("\"v1\"")
    let origin = try await Self.origin(tag: tag)
    let node = try Self.start(origin)
    _ = try await node.get("/x", "Range: bytes=0-9")
    try await node.settle()
    tag.update { $0 = "\"v2\"" }
    let client = try await node.connect()
    try await client.send("GET", "/x", ["Range: bytes=0-\(Self.slice + 9)"])
    let head = try await client.readResponseHead()
    #expect(head.status == 206 && head.header("etag") == "\"v1\"")
    try await client.expectReset()
    try await node.settle()
    let again = try await node.get("/x", "Range: bytes=0-9")
    #expect(again.status == 206 && again.header("etag") == "\"v2\"")
  }

  @Test func `a stale object in slices is validated, and replaced if it changed`() async throws {
    let tag = Watched("\"v1\"")
    let origin = try await Self.origin(tag: tag)
    let node = try Self.start(origin)
    _ = try await node.get("/x", "Range: bytes=0-9")
    try await node.settle()
    node.advance(seconds: 61)
    tag.update { $0 = "\"v2\"" }
    let changed = try await node.get("/x", "Range: bytes=20-29")
    #expect(changed.status == 206 && changed.header("etag") == "\"v2\"")
    #expect(changed.text == Self.part(20..<30))
    let request = try #require(origin.requests.last)
    #expect(request.header("if-none-match") == "\"v1\"")
    #expect(request.header("range") == "bytes=0-\(Self.slice - 1)")
    try await node.settle()
    #expect(try await node.get("/x", "Range: bytes=0-9").isHit)
  }

  @Test(arguments: [
    ["Range: bytes=0-0"], [], ["Range: bytes=0-9", "Cache-Control: max-stale"],
    ["Cache-Control: max-stale"],
  ])
  func `a stale object in slices is served, and validated behind its client`(
    fields: [String]
  ) async throws {
    let origin = try await Self.origin(
      tag: Watched("\"v1\""), fields: ["Cache-Control: stale-while-revalidate=600"])
    let node = try TestNode.start(
      origin: origin.port, route: "cache { slice 256KiB; }", workers: 1)
    #expect(try await node.get("/x", "Range: bytes=0-9").status == 206)
    try await node.settle()
    node.advance(seconds: 70)
    let client = try await node.connect()
    let stale = try await client.get("/x", fields)
    #expect(stale.header("age") == "70")
    let whole = RangeTests.content(Self.length)
    #expect(stale.text == (stale.status == 206 ? Self.part(0..<stale.bodyLength) : whole))
    client.close()
    try await node.settle()
    #expect(origin.requests.contains { $0.header("if-none-match") == "\"v1\"" })
    try await eventually("it to be fresh again") {
      let again = try await node.get("/x", "Range: bytes=0-9")
      return again.isHit && again.header("age") == "0"
    }
    try await node.expectAtRest()
  }

  @Test func `what a node without an origin has not stored of an object is a break`() async throws {
    let origin = try await Self.origin(tag: Watched("\"v1\""))
    let node = try TestNode.start(
      origin: origin.port, route: "cache { slice 256KiB; }", workers: 1)
    #expect(try await node.get("/x", "Range: bytes=0-9").status == 206)
    try await node.settle()
    let order = #"{"switch": "store_only", "on": true}"#
    #expect(try await node.admin("POST", "/v1/switches", json: order).status == 200)
    #expect(try await node.get("/x", "Range: bytes=20-29").isHit)
    for fields in [[], ["Range: bytes=0-\(Self.slice + 9)"]] {
      let client = try await node.connect()
      try await client.send("GET", "/x", fields + ["Connection: close"])
      let ending = try await client.readToEnding()
      #expect(
        ending.ending == .reset || String(decoding: ending.bytes, as: UTF8.self).contains(" 504 "))
    }
    #expect(origin.requests.count == 1)
    try await node.expectAtRest()
  }

  @Test func `slices of an answer that has begun need no place at the gate`() async throws {
    let open = Signal("the others to be answered")
    let content = RangeTests.content(Self.length)
    let origin = try await ScriptedOrigin.answering { request in
      if request.target == "/hold" {
        try await open.wait()
        return Reply(200, [Self.fresh], "held")
      }
      guard let range = request.header("range").flatMap({ Self.range($0, Self.length) }) else {
        return Reply(200, [Self.fresh, "ETag: \"v1\""], content)
      }
      return Reply(
        206,
        [
          Self.fresh, "ETag: \"v1\"",
          "Content-Range: bytes \(range.lowerBound)-\(range.upperBound - 1)/\(Self.length)",
        ], RangeTests.part(content, range))
    }
    let node = try TestNode.start(
      origin: origin.port, route: "cache { slice 256KiB; }", pool: "max_misses 1 timeout=1h;",
      workers: 1)
    #expect(try await node.get("/x", "Range: bytes=0-9").status == 206)
    try await node.settle()
    let holder = try await node.ask("/hold")
    try await origin.waitForRequests(2)
    // The first of them is stored, the others are to be had while the gate is full.
    #expect(try await node.get("/x").text == content)
    #expect(node.count(.missesDelayed) == 0)
    open.send()
    #expect(try await holder.readResponse().text == "held")
    holder.close()
    try await node.expectAtRest()
  }

  @Test func `without a strong validator nothing is sliced`() async throws {
    let origin = try await Self.origin(tag: Watched("W/\"v1\""))
    let node = try Self.start(origin)
    let answer = try await node.get("/x", "Range: bytes=10-19")
    #expect(answer.status == 206 && answer.text == Self.part(10..<20))
    // The whole is fetched, once, and stored.
    #expect(origin.requests.last?.header("range") == nil)
    try await node.settle()
    #expect(try await node.get("/x", "Range: bytes=30-39").isHit)
    #expect(origin.requests.count == 2)
  }

  @Test func `an origin without ranges gives the whole, once`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in
      Reply(200, [Self.fresh, "ETag: \"v1\""], RangeTests.content(Self.length))
    }
    let node = try Self.start(origin)
    let answer = try await node.get("/x", "Range: bytes=500000-500009")
    #expect(answer.status == 206 && answer.text == Self.part(500_000..<500_010))
    try await node.settle()
    #expect(try await node.get("/x", "Range: bytes=-10").isHit)
    #expect(origin.requests.count == 1)
  }

  @Test func `a range beyond the end is the origin's to refuse, or the store's`() async throws {
    let origin = try await Self.origin(tag: Watched("\"v1\""))
    let node = try Self.start(origin)
    let beyond = "Range: bytes=\(Self.length * 2)-"
    #expect(try await node.get("/x", beyond).status == 416)
    _ = try await node.get("/x", "Range: bytes=0-9")
    try await node.settle()
    let count = origin.requests.count
    #expect(try await node.get("/x", beyond).status == 416)
    #expect(origin.requests.count == count)
  }

  @Test func `slices survive a restart`() async throws {
    let origin = try await Self.origin(tag: Watched("\"v1\""))
    let node = try Self.start(origin)
    _ = try await node.get("/x", "Range: bytes=0-9")
    try await node.settle()
    node.stop(within: 0)
    let next = try TestNode.start(
      origin: origin.port, route: "cache { slice 256KiB; }", directory: node.directory,
      clock: node.clock)
    #expect(try await next.get("/x", "Range: bytes=100-109").isHit)
    let more = try await next.get("/x", "Range: bytes=300000-300009")
    #expect(more.text == Self.part(300_000..<300_010))
    #expect(origin.requests.count == 2)
  }

  @Test func `a slice that breaks off without a length is a reset, and not the end of the worker`()
    async throws
  {
    let origin = try await ScriptedOrigin { connection in
      while true {
        let request = try await connection.readRequest()
        let first = request.header("if-range") == nil
        let range = first ? 0..<Self.slice : Self.slice..<Self.slice * 2
        let head =
          "HTTP/1.1 206 Partial\r\n\(Self.fresh)\r\nETag: \"v1\"\r\nContent-Range: bytes "
          + "\(range.lowerBound)-\(range.upperBound - 1)/\(Self.length)\r\n"
        if first {
          try await connection.write(head + "Content-Length: \(range.count)\r\n\r\n")
          try await connection.write(Self.part(range))
        } else {
          try await connection.write(head + "Connection: close\r\n\r\nshort")
          return
        }
      }
    }
    let node = try TestNode.start(
      origin: origin.port, route: "cache { slice 256KiB; }", workers: 1)
    _ = try await node.get("/x", "Range: bytes=0-9")
    try await node.settle()
    let client = try await node.connect()
    try await client.send("GET", "/x", ["Range: bytes=\(Self.slice)-\(Self.slice + 99)"])
    _ = try await client.readResponseHead()
    try await client.expectReset()
    // The only worker still answers.
    #expect(try await node.get("/other", "Range: bytes=0-9").status == 206)
  }

  @Test func `an origin that answers a slice with chunks of the whole is stored whole`()
    async throws
  {
    let content = RangeTests.content(Self.length)
    let origin = try await ScriptedOrigin { connection in
      while true {
        _ = try await connection.readRequest()
        try await connection.write(
          "HTTP/1.1 200 OK\r\n\(Self.fresh)\r\nETag: \"v1\"\r\nTransfer-Encoding: chunked\r\n\r\n")
        var start = 0
        while start < Self.length {
          let end = min(start + 50_000, Self.length)
          try await connection.writeChunk(RangeTests.part(content, start..<end))
          start = end
        }
        try await connection.writeChunk("")
      }
    }
    let node = try Self.start(origin)
    let answer = try await node.get("/x", "Range: bytes=5-9")
    #expect(answer.status == 200 && answer.text == content)
    try await node.settle()
    let part = try await node.get("/x", "Range: bytes=900000-900009")
    #expect(part.isHit && part.text == Self.part(900_000..<900_010))
  }

  @Test func `rules of the response say what becomes of slices`() async throws {
    let origin = try await Self.origin(tag: Watched("\"v1\""), fields: ["X-Private: 1"])
    let node = try TestNode.start(
      origin: origin.port,
      route: """
        cache { slice 256KiB; }
        on response {
          when response.status == 200 && response.header.x-private == "1" { cache bypass; }
        }
        """)
    for count in 1...2 {
      let response = try await node.get("/x", "Range: bytes=0-9")
      #expect(response.status == 206 && response.text == Self.part(0..<10))
      try await node.settle()
      #expect(origin.requests.count >= count)
    }
    #expect(!(try await node.stored("/x", "Range: bytes=0-9").isHit))
    let tagged = try TestNode.start(
      origin: origin.port, route: "cache { slice 256KiB; } on response { tag \"video\"; }")
    _ = try await tagged.get("/x", "Range: bytes=0-9")
    try await tagged.settle()
    #expect(try await tagged.stored("/x", "Range: bytes=0-9").isHit)
    try await tagged.purgeTags("video")
    #expect(!(try await tagged.stored("/x", "Range: bytes=0-9").isHit))
    try await tagged.expectAtRest()
  }

  @Test func `a slice that is missing is asked for under the limits on the way to the origin`()
    async throws
  {
    let origin = try await Self.origin(tag: Watched("\"v1\""))
    let node = try TestNode.start(
      origin: origin.port, route: "cache { slice 256KiB; } limit far;",
      top: "limit far { token_bucket 2/d; key host; on miss; }")
    #expect(try await node.get("/x", "Range: bytes=0-9").status == 206)
    try await node.settle()
    for _ in 0..<3 { #expect(try await node.get("/x", "Range: bytes=10-19").isHit) }
    let (second, third) = (Self.slice, 2 * Self.slice)
    #expect(try await node.get("/x", "Range: bytes=\(second)-\(second + 9)").status == 206)
    try await node.settle()
    let refused = try await node.get("/x", "Range: bytes=\(third)-\(third + 9)")
    #expect(refused.status == 429 && origin.requests.count == 2)
    #expect(try await node.get("/x").status == 429)
    #expect(try await node.get("/x", "Range: bytes=\(second)-\(second + 9)").isHit)
    try await node.expectAtRest()
  }
}
