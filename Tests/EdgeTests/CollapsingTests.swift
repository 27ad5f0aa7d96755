import EdgeTesting
import Metrics
import ObjectStore
import Testing

@Suite struct CollapsingTests {
  static let fresh = "Cache-Control: max-age=60"

  @Test(arguments: [1, 2])
  func `a hundred and more concurrent misses make one request`(workers: Int) async throws {
    let release = Signal("the answer")
    let origin = try await ScriptedOrigin.answering { _ in
      try await release.wait()
      return Reply(200, [Self.fresh], "one for all")
    }
    let node = try TestNode.start(origin: origin.port, workers: workers)
    let responses = try await withThrowingTaskGroup(of: PeerResponse.self) { group in
      for _ in 0..<150 { group.addTask { try await node.get("/x") } }
      try await node.expect(.fillsCollapsed, reaches: 149)
      release.send()
      return try await group.reduce(into: []) { $0.append($1) }
    }
    #expect(responses.count == 150 && responses.allSatisfy { $0.text == "one for all" })
    #expect(responses.filter { $0.cacheStatus.contains("; collapsed") }.count == 149)
    #expect(origin.requests.count == 1)
    try await node.settle()
    #expect(try await node.get("/x").isHit)
    try await node.expectAtRest()
  }

  @Test(arguments: [true, false])
  func `who joins late gets what is there while the rest comes`(isChunked: Bool) async throws {
    let rest = Signal("the rest")
    let half = String(repeating: "0123456789", count: 5_000)
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      let framing =
        isChunked ? "Transfer-Encoding: chunked" : "Content-Length: \(half.utf8.count * 2)"
      try await connection.write("HTTP/1.1 200 OK\r\n\(Self.fresh)\r\n\(framing)\r\n\r\n")
      for part in 0..<2 {
        if part == 1 { try await rest.wait() }
        if isChunked {
          try await connection.writeChunk(half)
        } else {
          try await connection.write(half)
        }
      }
      if isChunked { try await connection.writeChunk("") }
    }
    let node = try TestNode.start(origin: origin.port)
    let leader = try await node.ask("/x")
    _ = try await leader.readResponseHead()
    let waiters = try await atOnce(20) { _ in
      let client = try await node.ask("/x")
      let head = try await client.readResponseHead()
      #expect(head.cacheStatus.contains("; collapsed"))
      // The origin does not send the rest before this has arrived.
      let first = try await client.readHalf(half, isChunked: isChunked)
      #expect(first == half)
      return client
    }
    rest.send()
    for client in waiters {
      #expect(try await client.readHalf(half, isChunked: isChunked) == half)
      if isChunked { #expect(try await client.read(exactly: 5) == Array("0\r\n\r\n".utf8)) }
    }
    #expect(origin.requests.count == 1)
    try await node.settle()
    let hit = try await node.get("/x")
    #expect(hit.isHit && hit.text == half + half)
    try node.requireStore().check()
  }

  @Test(arguments: [true, false])
  func `the fill goes on when the client that began it leaves`(whileStreaming: Bool) async throws {
    let release = Signal("the rest")
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      if !whileStreaming { try await release.wait() }
      try await connection.write(
        "HTTP/1.1 200 OK\r\n\(Self.fresh)\r\nContent-Length: 8\r\n\r\nhalf")
      try await release.wait()
      try await connection.write("rest")
      try await connection.waitUntilClosed()
    }
    let node = try TestNode.start(origin: origin.port)
    let leader = try await node.ask("/x")
    try await origin.waitForRequests(1)
    if whileStreaming { #expect(try await leader.readResponseHead().status == 200) }
    let others = try await atOnce(10) { _ in try await node.ask("/x") }
    try await node.expect(.fillsCollapsed, reaches: 10)
    leader.reset()
    try await node.expect(.connectionsClosed, reaches: 1)
    release.send()
    for client in others { #expect(try await client.readResponse().text == "halfrest") }
    try await node.settle()
    #expect(try await node.get("/x").isHit)
    #expect(origin.requests.count == 1)
  }

  @Test func `who has waited long enough for another's answer asks again, once for all`()
    async throws
  {
    let release = Signal("the first answer")
    let second = Signal("the second answer")
    let origin = try await ScriptedOrigin { connection in
      let isFirst = try await connection.readRequest().connection == 0
      try await (isFirst ? release : second).wait()
      let text = isFirst ? "first" : "again"
      try await connection.write(
        "HTTP/1.1 200 OK\r\n\(Self.fresh)\r\nContent-Length: 5\r\n\r\n\(text)")
    }
    let node = try TestNode.start(
      origin: origin.port, route: "cache { collapse_timeout 3s; }",
      pool: "first_byte_timeout 60s;")
    let leader = try await node.ask("/x")
    try await origin.waitForRequests(1)
    let others = try await atOnce(20) { _ in try await node.ask("/x") }
    try await node.expect(.fillsCollapsed, reaches: 20)
    node.advance(seconds: 3)
    try await node.expect(.fillsOverdue, reaches: 20)
    try await origin.waitForRequests(2)
    second.send()
    for client in others {
      #expect(try await client.readResponse().text == "again")
      client.close()
    }
    #expect(origin.requests.count == 2)
    release.send()
    #expect(try await leader.readResponse().text == "first")
    leader.close()
    try await node.settle()
    #expect(try await node.get("/x").text == "again")
    try await node.expectAtRest()
  }

  @Test func `an answer that another request has overtaken is stored until that one's is there`()
    async throws
  {
    let (first, second) = (Signal("the first answer"), Signal("the second answer"))
    let origin = try await ScriptedOrigin { connection in
      let isFirst = try await connection.readRequest().connection == 0
      try await (isFirst ? first : second).wait()
      try await connection.respond(200, [Self.fresh], isFirst ? "first" : "second")
    }
    let node = try TestNode.start(
      origin: origin.port, route: "cache { collapse_timeout 3s; }",
      pool: "first_byte_timeout 60s;")
    let leader = try await node.ask("/x")
    try await origin.waitForRequests(1)
    node.advance(seconds: 4)
    let next = try await node.ask("/x")
    try await origin.waitForRequests(2)
    first.send()
    #expect(try await leader.readResponse().text == "first")
    try await eventually("the first to be stored") { try await node.stored("/x").text == "first" }
    second.send()
    #expect(try await next.readResponse().text == "second")
    try await node.settle()
    #expect(try await node.stored("/x").text == "second")
    #expect(origin.requests.count == 2)
    for client in [leader, next] { client.close() }
    try await node.expectAtRest()
  }

  @Test func `no more wait for one answer than may`() async throws {
    let release = Signal("the answer")
    let origin = try await ScriptedOrigin.answering { _ in
      try await release.wait()
      return Reply(200, [Self.fresh], "answer")
    }
    let node = try TestNode.start(origin: origin.port, route: "cache { max_waiters 2; }")
    let leader = try await node.ask("/x")
    try await origin.waitForRequests(1)
    let waiting = try await atOnce(2) { _ in try await node.ask("/x") }
    try await node.expect(.fillsCollapsed, reaches: 2)
    let refused = try await node.get("/x")
    #expect(refused.status == 503)
    #expect(refused.header("retry-after") != nil)
    release.send()
    for client in waiting + [leader] { #expect(try await client.readResponse().status == 200) }
  }

  @Test func `a fill that nobody waits for any more is stored all the same`() async throws {
    let release = Signal("the answer")
    let origin = try await ScriptedOrigin.answering { _ in
      try await release.wait()
      return Reply(200, [Self.fresh], "stored")
    }
    let node = try TestNode.start(origin: origin.port)
    let client = try await node.ask("/x")
    try await origin.waitForRequests(1)
    client.reset()
    try await node.expect(.connectionsClosed, reaches: 1)
    release.send()
    try await node.settle()
    #expect(try await node.get("/x").isHit)
  }

  @Test(arguments: ["100KiB", "1MiB"])
  func `a fill that is too large to store and that nobody waits for ends`(
    maximum: String
  ) async throws {
    let rest = Signal("the client is gone")
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      try await connection.write(
        "HTTP/1.1 200 OK\r\n\(Self.fresh)\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
      try await rest.wait()
      let piece = String(repeating: "x", count: 1 << 20)
      do {
        for _ in 0..<64 { try await connection.writeChunk(piece) }
        Issue.record("the node took 64 MiB for nobody")
      } catch { #expect((error as? PeerFailure)?.kind == .reset) }
    }
    let node = try TestNode.start(origin: origin.port, store: "max_object \(maximum);")
    let client = try await node.ask("/x")
    _ = try await client.readResponseHead()
    client.reset()
    try await node.expect(.connectionsClosed, reaches: 1)
    rest.send()
    try await origin.finish()
    try await node.expectAtRest()
    #expect(node.count(.originConnectionsClosed) == 1)
  }

  @Test(arguments: [true, false], [true, false])
  func `a cut-off answer resets everybody and is not stored`(
    isChunked: Bool, byReset: Bool
  ) async throws {
    let fail = Signal("everybody reads")
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      let framing = isChunked ? "Transfer-Encoding: chunked" : "Content-Length: 100"
      try await connection.write(
        "HTTP/1.1 200 OK\r\n\(Self.fresh)\r\n\(framing)\r\n\r\n"
          + (isChunked ? "4\r\nhalf\r\n" : "half"))
      try await fail.wait()
      if byReset { connection.reset() } else { connection.close() }
    }
    let node = try TestNode.start(origin: origin.port)
    let clients = try await atOnce(20) { index in
      let client = try await node.connect()
      // One of them speaks HTTP/1.0, where a clean end would be the end of the content.
      try await client.write(
        "GET /x HTTP/1.\(index == 7 ? 0 : 1)\r\nHost: example.com\r\n\r\n")
      #expect(try await client.readResponseHead().status == 200)
      return client
    }
    #expect(origin.requests.count == 1)
    fail.send()
    for client in clients {
      let (_, ending) = try await client.readToEnding()
      #expect(ending == .reset)
    }
    #expect(try await node.stored("/x").status == 504)
    #expect(node.count(.fillsFailed) == 1)
    try await node.expectAtRest()
  }

  @Test func `an origin that fails before the head fails everybody with 502`() async throws {
    let fail = Signal("everybody waits")
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      try await fail.wait()
    }
    let node = try TestNode.start(origin: origin.port)
    let responses = try await withThrowingTaskGroup(of: PeerResponse.self) { group in
      for _ in 0..<30 { group.addTask { try await node.get("/x") } }
      try await node.expect(.fillsCollapsed, reaches: 29)
      fail.send()
      return try await group.reduce(into: []) { $0.append($1) }
    }
    #expect(responses.count == 30 && responses.allSatisfy { $0.status == 502 })
    #expect(origin.requests.count == 1)
    try await node.expectAtRest()
  }

  // MARK: Hit for miss

  @Test func `waiters of an answer that is not shared ask for themselves, and so do the next`()
    async throws
  {
    let release = Signal("the first answer")
    let together = Barrier(4, "the next four requests")
    let origin = try await ScriptedOrigin.answering { request in
      if request.target == "/x", request.header("x-late") != nil { try await together.arrive() }
      if request.header("x-first") != nil { try await release.wait() }
      return Reply(200, ["Cache-Control: private"], "for \(request.header("x-who") ?? "?")")
    }
    let node = try TestNode.start(origin: origin.port)
    let first = try await node.ask("/x", "X-First: 1", "X-Who: first")
    try await origin.waitForRequests(1)
    let waiters = try await atOnce(10) { index in
      (index, try await node.ask("/x", "X-Who: \(index)"))
    }
    try await node.expect(.fillsCollapsed, reaches: 10)
    release.send()
    #expect(try await first.readResponse().text == "for first")
    for (index, client) in waiters {
      #expect(try await client.readResponse().text == "for \(index)")
      client.close()
    }
    first.close()
    #expect(origin.requests.count == 11)
    // None of these is answered before all of them are at the origin.
    let late = try await atOnce(4) { index in
      try await node.get("/x", "X-Late: 1", "X-Who: \(index)").text
    }
    #expect(Set(late) == ["for 0", "for 1", "for 2", "for 3"])
    #expect(node.count(.hitForMiss) >= 1)
    try await node.expectAtRest()
  }

  @Test func `an answer that waiters fetch for themselves is stored under its own key`()
    async throws
  {
    let release = Signal("the first answer")
    let origin = try await ScriptedOrigin.answering { request in
      if request.header("x-first") != nil {
        try await release.wait()
        return Reply(200, ["Cache-Control: no-store"], "passing")
      }
      return Reply(200, [Self.fresh], "at \(request.target)")
    }
    let node = try TestNode.start(origin: origin.port, workers: 1)
    let first = try await node.ask("/x", "X-First: 1")
    try await origin.waitForRequests(1)
    let waiter = try await node.ask("/x")
    try await node.expect(.fillsCollapsed, reaches: 1)
    // The last key that the worker looks up before the answer comes is another's.
    #expect(try await node.stored("/y").status == 504)
    release.send()
    #expect(try await first.readResponse().text == "passing")
    #expect(try await waiter.readResponse().text == "at /x")
    try await node.settle()
    try await eventually("the answer to be stored") { try await node.stored("/x").status == 200 }
    #expect(try await node.stored("/x").text == "at /x")
    #expect(try await node.get("/y").text == "at /y")
  }

  @Test func `a key whose answers become storable is cached again`() async throws {
    let field = Watched("Cache-Control: no-store")
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [field.value], "x") }
    let node = try TestNode.start(origin: origin.port)
    for _ in 0..<3 { #expect(try await !node.get("/x").isHit) }
    field.update { $0 = Self.fresh }
    #expect(try await !node.get("/x").isHit)
    try await eventually("the answer to be stored") { try await node.stored("/x").isHit }
  }

  @Test func `who insists on validation does not take a fill that began before`() async throws {
    let release = Signal("the first answer")
    let origin = try await ScriptedOrigin.answering { request in
      if request.header("cache-control") == nil { try await release.wait() }
      return Reply(200, [Self.fresh], request.header("cache-control") ?? "first")
    }
    let node = try TestNode.start(origin: origin.port)
    let first = try await node.ask("/x")
    try await origin.waitForRequests(1)
    #expect(try await node.get("/x", "Cache-Control: no-cache").text == "no-cache")
    release.send()
    #expect(try await first.readResponse().text == "first")
  }

  @Test(arguments: ["no-cache", "max-age=0", "max-age=10"])
  func `a response that must not be reused is not joined once it has begun`(
    directive: String
  ) async throws {
    let rest = Signal("the rest")
    let count = Watched(0)
    let origin = try await ScriptedOrigin { connection in
      while try await connection.nextRequest() != nil {
        let number = count.update { count in
          count += 1
          return count
        }
        try await connection.write(
          "HTTP/1.1 200 OK\r\nCache-Control: \(directive)\r\nETag: \"\(number)\"\r\n"
            + "Content-Length: 2\r\n\r\n\(number)")
        if number == 1 { try await rest.wait() }
        try await connection.write("!")
      }
    }
    let node = try TestNode.start(origin: origin.port)
    let first = try await node.ask("/x")
    #expect(try await first.readResponseHead().status == 200)
    node.advance(seconds: 11)
    #expect(try await node.get("/x").text == "2!")
    rest.send()
    #expect(try await first.read(exactly: 2) == Array("1!".utf8))
  }

  // MARK: Large bodies

  /// More than the window of memory that a fill has, so that slow clients go on from the store.
  private static let large = 12 << 20

  @Test(arguments: [true, false], [true, false])
  func `a slow client does not hold back the others and gets all of it`(
    slowLeads: Bool, isChunked: Bool
  ) async throws {
    let body = content(Self.large)
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      try await connection.writeLarge(body, isChunked: isChunked, Self.fresh)
    }
    let node = try TestNode.start(origin: origin.port)
    let slow = try await RawClient.connect(to: node.port, receiveBuffer: 4096)
    let fast = try await node.connect()
    if slowLeads {
      try await slow.send("GET", "/x")
      _ = try await slow.readResponseHead()
    } else {
      try await fast.send("GET", "/x")
      try await origin.waitForRequests(1)
      try await slow.send("GET", "/x")
      try await node.expect(.fillsCollapsed, reaches: 1)
    }
    // The slow one reads nothing until the fast one has everything.
    if slowLeads { try await fast.send("GET", "/x") }
    #expect(try await fast.readResponse().body == body)
    if slowLeads {
      try await node.settle()
      let rest = try await slow.readLarge(body.count, isChunked: isChunked)
      #expect(rest == body)
    } else {
      #expect(try await slow.readResponse().body == body)
    }
    #expect(origin.requests.count == 1)
    slow.close()
    fast.close()
    try await node.expectAtRest()
    let hit = try await node.get("/x")
    #expect(hit.isHit && hit.body == body)
  }

  @Test func `what is not stored goes at the pace of its slowest client`() async throws {
    let body = content(Self.large)
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      try await connection.writeLarge(body, isChunked: true, Self.fresh)
    }
    let node = try TestNode.start(origin: origin.port, store: "max_object 1MiB;")
    let slow = try await RawClient.connect(to: node.port, receiveBuffer: 4096)
    let fast = try await node.connect()
    try await fast.send("GET", "/x")
    try await slow.send("GET", "/x")
    async let slowly = slow.readResponse()
    async let quickly = fast.readResponse()
    let bodies = try await [slowly.body, quickly.body]
    #expect(bodies[0] == body && bodies[1] == body)
    slow.close()
    fast.close()
    try await node.expectAtRest()
    #expect(try await node.stored("/x").status == 504)
  }

  @Test func `one that reads next to nothing does not hold back the others for ever`() async throws
  {
    let body = content(Self.large)
    let both = Signal("both clients to wait")
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      try await both.wait()
      try await connection.writeLarge(body, isChunked: true, Self.fresh)
    }
    let node = try TestNode.start(origin: origin.port, store: "max_object 1MiB;")
    let slow = try await RawClient.connect(to: node.port, receiveBuffer: 4096)
    let fast = try await node.connect()
    try await fast.send("GET", "/x")
    try await origin.waitForRequests(1)
    try await slow.send("GET", "/x")
    try await node.expect(.fillsCollapsed, reaches: 1)
    both.send()
    async let quickly = fast.readResponse()
    try await node.standsStill(.originBytesReceived)
    #expect(node.count(.originBytesReceived) < UInt64(Self.large))
    // What it took of what was held, and takes now, is below the least pace.
    node.advance(seconds: 20)
    #expect(try await slow.readToEnding().ending == .reset)
    #expect(try await quickly.body == body)
    fast.close()
    try await node.expectAtRest()
  }

  @Test func `nor does a stream that asks for nothing at all`() async throws {
    let body = content(Self.large)
    let both = Signal("both clients to wait")
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      try await both.wait()
      try await connection.writeLarge(body, isChunked: true, Self.fresh)
    }
    let node = try TestNode.start(
      origin: origin.port, top: "listen 127.0.0.1:0 h2c;", store: "max_object 1MiB;")
    // Its window has no room, and never gets any.
    let shut = try await FrameClient.connect(toPort: node.lastPort, settings: [0, 4, 0, 0, 0, 0])
    let fast = try await node.connect()
    try await fast.send("GET", "/x", host: "a.example")
    try await origin.waitForRequests(1)
    try await shut.send(FrameClient.request(1, "/x"))
    try await node.expect(.fillsCollapsed, reaches: 1)
    both.send()
    async let quickly = fast.readResponse()
    try await node.standsStill(.originBytesReceived)
    #expect(node.count(.originBytesReceived) < UInt64(Self.large))
    node.advance(seconds: 6)
    _ = try await shut.next(Frame.reset, stream: 1)
    #expect(try await quickly.body == body)
    for client in [shut.client, fast] { client.close() }
    try await node.expectAtRest()
  }

  @Test func `a client that is still in the store's part when storing ends gets the rest`()
    async throws
  {
    let body = content(3 << 20, seed: 3)
    let rest = Signal("the first part is in the store")
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      try await connection.write(
        "HTTP/1.1 200 OK\r\n\(Self.fresh)\r\nTransfer-Encoding: chunked\r\n\r\n")
      let first = 600_000
      for part in [body[..<first], body[first...]] {
        if part.startIndex > 0 { try await rest.wait() }
        try await connection.write(
          Array("\(String(part.count, radix: 16))\r\n".utf8) + part + [13, 10])
      }
      try await connection.writeChunk("")
    }
    let node = try TestNode.start(
      origin: origin.port, store: "max_object 1MiB;", workers: 1)
    let slow = try await RawClient.connect(to: node.port, receiveBuffer: 4096)
    let fast = try await node.connect()
    try await slow.send("GET", "/x")
    let head = try await slow.readResponseHead()
    #expect(head.framing == .chunked)
    try await fast.send("GET", "/x")
    try await node.expect(.originBytesReceived, reaches: 600_000)
    try node.requireStore().flush()
    rest.send()
    // Larger than what is stored: the chunks that the slow one has not read are dropped.
    try await node.expect(.originBytesReceived, reaches: 1_048_900)
    try node.requireStore().flush()
    async let quickly = fast.readResponse()
    #expect(try await slow.readLarge(body.count, isChunked: true) == body)
    #expect(try await quickly.body == body)
    slow.close()
    fast.close()
    try await node.expectAtRest()
  }

  @Test func `many clients of both workers read one large body`() async throws {
    let body = content(Self.large, seed: 2)
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      try await connection.writeLarge(body, isChunked: false, Self.fresh)
    }
    let node = try TestNode.start(origin: origin.port)
    let whole = try await atOnce(12) { _ in try await node.get("/x").body == body }
    #expect(whole.allSatisfy { $0 })
    #expect(origin.requests.count == 1)
    try await node.expectAtRest()
  }
}

extension RawClient {
  /// Reads content of a known length as it was framed by one write of the origin's.
  fileprivate func readHalf(_ half: String, isChunked: Bool) async throws -> String {
    guard isChunked else {
      return String(decoding: try await read(exactly: half.utf8.count), as: UTF8.self)
    }
    var text = ""
    while text.utf8.count < half.utf8.count {
      var line: [UInt8] = []
      while line.suffix(2) != [13, 10] { line += try await read(exactly: 1) }
      let size = try #require(Int(String(decoding: line.dropLast(2), as: UTF8.self), radix: 16))
      text += String(decoding: try await read(exactly: size + 2).dropLast(2), as: UTF8.self)
    }
    return text
  }

  /// Reads content behind a head that was read before.
  fileprivate func readLarge(_ count: Int, isChunked: Bool) async throws -> [UInt8] {
    guard isChunked else { return try await read(exactly: count) }
    var body: [UInt8] = []
    while true {
      var line: [UInt8] = []
      while line.suffix(2) != [13, 10] { line += try await read(exactly: 1) }
      let size = try #require(Int(String(decoding: line.dropLast(2), as: UTF8.self), radix: 16))
      body += try await read(exactly: size + 2).dropLast(2)
      if size == 0 { return body }
    }
  }
}

extension ScriptedConnection {
  /// Writes a response with a large content.
  fileprivate func writeLarge(_ body: [UInt8], isChunked: Bool, _ field: String) async throws {
    let framing = isChunked ? "Transfer-Encoding: chunked" : "Content-Length: \(body.count)"
    try await write("HTTP/1.1 200 OK\r\n\(field)\r\n\(framing)\r\n\r\n")
    guard isChunked else {
      try await write(body)
      return
    }
    var rest = body[...]
    while !rest.isEmpty {
      let piece = rest.prefix(300_000)
      try await write(Array((String(piece.count, radix: 16) + "\r\n").utf8) + piece + [13, 10])
      rest = rest.dropFirst(piece.count)
    }
    try await writeChunk("")
  }
}
