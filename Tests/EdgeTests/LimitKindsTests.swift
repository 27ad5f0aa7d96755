import EdgeTesting
import EventLoop
import Metrics
import Testing

/// What each kind of limit does to requests.
@Suite struct LimitKindsTests {
  static let slow = "limit slow { leaky_bucket 10/s queue=3; }"

  @Test(arguments: [1, 3])
  func `a leaky bucket spaces requests evenly`(workers: Int) async throws {
    let clock = NodeClock(manualFrom: TestNode.start)
    let began = clock.now().monotonic
    let times = Watched<[Int64]>([])
    let origin = try await ScriptedOrigin.answering { _ in
      times.update { $0.append((clock.now().monotonic - began) / 1_000_000) }
      return Reply(200, [], "x")
    }
    let node = try TestNode.limited(
      Self.slow, route: "limit slow;", origin: origin, workers: workers, clock: clock)
    #expect(try await node.get("/first").status == 200)
    var clients: [RawClient] = []
    for number in 1...3 {
      clients.append(try await node.ask("/\(number)"))
      try await node.expectWaiting("slow", number)
    }
    let refused = try await node.get("/fourth")
    #expect(refused.status == 429)
    #expect(refused.header("retry-after") == "1")
    for number in 1...3 {
      clock.advance(nanoseconds: 99_000_000)
      try await node.settle()
      #expect(node.waiting("slow") == 4 - number)
      clock.advance(nanoseconds: 1_000_000)
      #expect(try await clients[number - 1].readResponse().status == 200)
    }
    #expect(times.value == [0, 100, 200, 300])
    #expect(node.decisions("slow", "allowed") == 1)
    #expect(node.decisions("slow", "delayed") == 3)
    #expect(node.decisions("slow", "rejected") == 1)
  }

  @Test func `a client that leaves frees its place, and those behind move up`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    let node = try TestNode.limited(Self.slow, route: "limit slow;", origin: origin)
    #expect(try await node.get("/0").status == 200)
    let first = try await node.ask("/1")
    try await node.expectWaiting("slow", 1)
    let second = try await node.ask("/2")
    try await node.expectWaiting("slow", 2)
    let third = try await node.ask("/3")
    try await node.expectWaiting("slow", 3)
    first.reset()
    try await node.expectWaiting("slow", 2)
    second.close()
    try await node.expectWaiting("slow", 1)
    let fourth = try await node.ask("/4")
    try await node.expectWaiting("slow", 2)
    node.advance(seconds: 0.1)
    #expect(try await third.readResponse().status == 200)
    #expect(node.waiting("slow") == 1)
    node.advance(seconds: 0.1)
    #expect(try await fourth.readResponse().status == 200)
    #expect(origin.requests.map(\.target) == ["/0", "/3", "/4"])
  }

  @Test func `who ends its sending while it waits is told`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    let node = try TestNode.limited(Self.slow, route: "limit slow;", origin: origin)
    #expect(try await node.get("/0").status == 200)
    let client = try await node.ask("/1")
    try await node.expectWaiting("slow", 1)
    client.endSending()
    #expect(try await client.readResponse().status == 429)
    #expect(node.waiting("slow") == 0)
    #expect(origin.requests.count == 1)
  }

  @Test func `a node that stops ends those that wait`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    let node = try TestNode.limited(Self.slow, route: "limit slow;", origin: origin)
    #expect(try await node.get("/0").status == 200)
    let client = try await node.ask("/1")
    try await node.expectWaiting("slow", 1)
    node.stop(within: 0)
    try await client.expectClosed()
  }

  @Test func `a hit waits for its turn too, unless only misses count`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in
      Reply(200, ["Cache-Control: max-age=1000"], "x")
    }
    let node = try TestNode.start(
      origin: origin.port, route: "limit slow;",
      top: "limit slow { leaky_bucket 10/s queue=3; on miss; }")
    #expect(try await node.get("/a").status == 200)
    try await node.settle()
    for _ in 0..<5 { #expect(try await node.get("/a").isHit) }
    let client = try await node.ask("/b")
    try await node.expectWaiting("slow", 1)
    #expect(try await node.get("/a").isHit)
    node.advance(seconds: 0.1)
    #expect(try await client.readResponse().status == 200)
    #expect(origin.requests.count == 2)
  }

  @Test func `who only waits for another's answer does not go to the origin`() async throws {
    let release = Signal("the answers")
    let origin = try await ScriptedOrigin.answering { request in
      try await release.wait()
      let isShared = request.target == "/shared"
      return Reply(200, ["Cache-Control: \(isShared ? "max-age=60" : "no-store")"], "x")
    }
    let node = try TestNode.start(
      origin: origin.port, route: "limit far;",
      top: "limit far { token_bucket 2/d; key host; on miss; }")
    var clients: [RawClient] = []
    for target in ["/shared", "/own"] {
      clients.append(try await node.ask(target))
      try await origin.waitForRequests(clients.count)
    }
    let followers = [try await node.ask("/shared"), try await node.ask("/own")]
    try await node.expect(.fillsCollapsed, reaches: 2)
    release.send()
    for client in clients { #expect(try await client.readResponse().status == 200) }
    #expect(try await followers[0].readResponse().status == 200)
    // What it waited for is not for it: now it has to ask, and there is nothing left.
    #expect(try await followers[1].readResponse().status == 429)
    #expect(origin.requests.count == 2)
    for client in clients + followers { client.close() }
    try await node.expectAtRest()
  }

  @Test func `so many are in flight, and each end frees a place once`() async throws {
    let release = Signal("the answers")
    let origin = try await ScriptedOrigin.answering { request in
      if request.target == "/held" { try await release.wait() }
      return Reply(200, [], "x")
    }
    let node = try TestNode.limited(
      "limit two { concurrency 2; }", route: "limit two;", origin: origin)
    let first = try await node.ask("/held")
    let second = try await node.ask("/held")
    try await origin.waitForRequests(2)
    let refused = try await node.get("/x")
    #expect(refused.status == 429)
    #expect(refused.header("retry-after") == nil)
    #expect(refused.header("ratelimit-policy") == "\"two\";q=2;qu=\"concurrent-requests\"")
    second.reset()
    try await eventually("the place of the client that left") {
      node.count(.clientAborts) == 1
    }
    #expect(try await node.get("/x").status == 200)
    release.send()
    #expect(try await first.readResponse().status == 200)
    // On one connection too, one after the other, and two at a time again.
    for _ in 0..<5 { #expect(try await first.get("/x").status == 200) }
    #expect(node.decisions("two", "allowed") == 8)
  }

  @Test func `a tunnel is in flight until it closes`() async throws {
    let origin = try await ScriptedOrigin { connection in
      guard let request = try await connection.nextRequest() else { return }
      guard request.header("upgrade") != nil else {
        try await connection.respond(200, [], "x")
        return
      }
      try await connection.write(TunnelTests.switching)
      try await connection.waitUntilClosed()
    }
    let node = try TestNode.limited(
      "limit one { concurrency 1; }", route: "limit one; upgrade on;", origin: origin)
    let client = try await node.connect()
    try await client.write(TunnelTests.request)
    #expect(try await client.readResponseHead().status == 101)
    #expect(try await node.statuses(2) == [429, 429])
    client.close()
    try await node.expect(.tunnelsClosed, reaches: 1)
    #expect(try await node.get("/").status == 200)
  }

  @Test func `what one limit refuses after the wait at another is given back`() async throws {
    let release = Signal("the answer")
    let origin = try await ScriptedOrigin.answering { _ in
      try await release.wait()
      return Reply(200, [], "x")
    }
    let node = try TestNode.limited(
      "\(Self.slow) limit two { leaky_bucket 1/s queue=0; key header.strict; } "
        + "limit four { token_bucket 4/d; }",
      route: "limit slow; limit two; limit four;", origin: origin)
    let first = try await node.ask("/", "Strict: a")
    try await origin.waitForRequests(1)
    let second = try await node.ask("/", "Strict: a")
    try await node.expectWaiting("slow", 1)
    node.advance(seconds: 0.1)
    #expect(try await second.readResponse().status == 429)
    release.send()
    #expect(try await first.readResponse().status == 200)
    // The second took nothing from the last: three are left.
    for _ in 0..<3 {
      node.advance(seconds: 1)
      #expect(try await node.get("/").status == 200)
    }
    node.advance(seconds: 1)
    #expect(try await node.get("/").status == 429)
  }

  @Test func `only errors count for a login`() async throws {
    let origin = try await ScriptedOrigin.answering { request in
      Reply(request.target == "/right" ? 200 : 401, [], "x")
    }
    let node = try TestNode.limited(
      "limit login { token_bucket 3/d; counts errors; }", route: "limit login;", origin: origin)
    #expect(try await node.statuses(5, "/right") == [200, 200, 200, 200, 200])
    #expect(try await node.statuses(2, "/wrong") == [401, 401])
    #expect(try await node.statuses(3, "/right") == [200, 200, 200])
    #expect(try await node.statuses(2, "/wrong") == [401, 429])
    #expect(try await node.get("/right").status == 429)
  }

  @Test func `a quota is of the calendar's day`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    let node = try TestNode.limited(
      "limit daily { quota 3/day; headers on; }", route: "limit daily;", origin: origin)
    node.advance(seconds: 23 * 3600)
    let first = try await node.get("/")
    #expect(first.header("ratelimit") == "\"daily\";r=2;t=3600")
    #expect(first.header("ratelimit-policy") == "\"daily\";q=3;w=86400")
    #expect(try await node.statuses(3) == [200, 200, 429])
    let refused = try await node.get("/")
    #expect(refused.header("retry-after") == "3600")
    #expect(refused.header("ratelimit") == "\"daily\";r=0;t=3600")
    node.advance(seconds: 3600)
    #expect(try await node.get("/").status == 200)
  }

  @Test(arguments: [1, 4])
  func `workers that are hammered with one key let through exactly the bound`(
    workers: Int
  ) async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    let node = try TestNode.limited(
      "limit few { token_bucket 1/d burst=150; }", route: "limit few;", origin: origin,
      workers: workers)
    let passed = try await atOnce(16) { _ in
      let client = try await node.connect()
      var passed = 0
      for _ in 0..<25 where try await client.get("/").status == 200 { passed += 1 }
      return passed
    }
    #expect(passed.reduce(0, +) == 150)
    #expect(origin.requests.count == 150)
    #expect(node.decisions("few", "allowed") == 150)
    #expect(node.decisions("few", "rejected") == 250)
  }

  @Test(arguments: [true, false])
  func `a response comes at its pace`(isStored: Bool) async throws {
    let content = String(repeating: "0123456789abcdef", count: 16 << 10)
    let origin = try await ScriptedOrigin.answering { _ in
      Reply(200, ["Cache-Control: max-age=1000"], content)
    }
    let node = try TestNode.start(
      origin: origin.port, route: "limit pace;",
      top: "limit pace { response_bandwidth 64KiB/s; }", store: isStored ? "" : nil)
    if isStored {
      // The first comes from the fill, this one from the store.
      let client = try await node.ask("/x")
      for second in 0..<4 {
        if second > 0 { node.advance(seconds: 1) }
        if second == 0 { _ = try await client.readResponseHead() }
        _ = try await client.read(exactly: 64 << 10)
      }
      try await node.settle()
    }
    let before = node.count(.bytesSent)
    let client = try await node.ask("/x")
    let head = try await client.readResponseHead()
    #expect(head.isHit == isStored)
    for second in 0..<4 {
      if second > 0 { node.advance(seconds: 1) }
      let piece = try await client.read(exactly: 64 << 10)
      #expect(piece == Array(content.utf8.dropFirst(second << 16).prefix(1 << 16)))
      try await node.settleTurns()
      #expect(node.count(.bytesSent) - before <= UInt64(second + 1) << 16 + 16384)
    }
    try await client.write("GET /y HTTP/1.1\r\nHost: example.com\r\n\r\n")
    #expect(try await client.readResponseHead().status == 200)
  }

  @Test func `short responses of one client share its bandwidth`() async throws {
    let content = String(repeating: "a", count: 1000)
    let origin = try await ScriptedOrigin.answering { _ in
      Reply(200, ["Cache-Control: max-age=1000"], content)
    }
    let node = try TestNode.start(
      origin: origin.port, route: "limit pace;",
      top: "limit pace { bandwidth 1000B/s burst=2000; }")
    #expect(try await node.get("/x").text == content)
    try await node.settle()
    let client = try await node.connect()
    let hit = try await client.get("/x")
    #expect(hit.isHit && hit.text == content)
    let other = try await node.ask("/x")
    _ = try await other.readResponseHead()
    try await node.settleTurns()
    #expect(try other.readAvailable().isEmpty)
    node.advance(seconds: 1)
    #expect(try await other.read(exactly: 1000) == Array(content.utf8))
  }
}
