import EdgeTesting
import Metrics
import Node
import Testing

/// Pools of several servers, as clients see them: whichever dies, hangs or says nonsense, a request that
/// another server can answer is answered.
@Suite struct BalancingTests {
  /// What a server does to a request instead of answering it.
  enum Misdeed: String, CaseIterable, Sendable {
    case closes, resets, garbage, error, badGateway, stops
  }

  @Test(arguments: Misdeed.allCases)
  func `no client sees an error that another server can spare it`(misdeed: Misdeed) async throws {
    let good = try await ScriptedOrigin.answering { _ in Reply(200, [], "good") }
    let bad = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      switch misdeed {
      case .closes: break
      case .resets: connection.reset()
      case .garbage: try await connection.write("garbage\r\n\r\n")
      case .error: try await connection.respond(503, ["Retry-After: 1"], "down")
      case .badGateway: try await connection.respond(502, [], "no")
      case .stops: try await connection.write("HTTP/1.1 200 OK\r\nContent-Le")
      }
    }
    let node = try TestNode.forwarding(
      to: bad, pool: "server 127.0.0.1:\(good.port);", workers: 1)
    let client = try await node.connect()
    for number in 0..<20 {
      let response = try await client.get("/\(number)")
      #expect(response.status == 200 && response.text == "good", "request \(number)")
    }
    // It was asked at first, and then left alone.
    #expect((1...10).contains(bad.requests.count), "\(bad.requests.count) requests")
    client.close()
    try await node.expectNothingLeft()
  }

  @Test func `a server that hangs costs a try and not the request`() async throws {
    let good = try await ScriptedOrigin.answering { _ in Reply(200, [], "good") }
    let hanging = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      try await connection.waitUntilClosed()
    }
    let node = try TestNode.forwarding(
      to: hanging, pool: "server 127.0.0.1:\(good.port); try_timeout 1s;", workers: 1)
    var asked = 0
    for _ in 0..<2 {
      let client = try await node.connect()
      try await client.send("GET", "/")
      try await eventually("a request") { hanging.requests.count + good.requests.count > asked }
      node.advance(seconds: 1.1)
      #expect(try await client.readResponse().text == "good")
      asked = hanging.requests.count + good.requests.count
      client.close()
    }
    #expect(hanging.requests.count == 1)
    try await node.expectNothingLeft()
  }

  @Test func `what may have been done is not done again`() async throws {
    let good = try await ScriptedOrigin.answering { _ in Reply(200, [], "good") }
    let bad = try await ScriptedOrigin { connection in _ = try await connection.readRequest() }
    let node = try TestNode.forwarding(
      to: bad, pool: "server 127.0.0.1:\(good.port);", workers: 1)
    var statuses: [Int] = []
    for _ in 0..<4 {
      let client = try await node.connect()
      statuses.append(try await client.request("POST", "/", body: "order").status)
      client.close()
    }
    #expect(statuses.sorted() == [200, 200, 502, 502])
    #expect(bad.requests.count == 2 && good.requests.count == 2)
    #expect(node.count(.originRetries) == 0)
  }

  @Test func `a request that no server has seen goes to another, whatever its method`() async throws
  {
    let good = try await ScriptedOrigin.answering { _ in Reply(200, [], "good") }
    let node = try TestNode.forwarding(to: good, pool: "server 127.0.0.1:1;", workers: 1)
    for _ in 0..<4 {
      let client = try await node.connect()
      #expect(try await client.request("POST", "/", body: "order").text == "good")
      client.close()
    }
    #expect(node.count(.originRetries) == 2)
  }

  @Test func `a name is tried at each of its addresses`() async throws {
    // Where the name has ::1 too, nobody listens there.
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "here") }
    let directory = try TemporaryDirectory()
    let node = try TestNode.start(
      configuration: """
        workers 1; listen 127.0.0.1:0;
        origin app { server localhost:\(origin.port); keepalive 0; }
        site * { origin app; }
        """, directory: directory)
    for _ in 0..<4 { #expect(try await node.get("/").text == "here") }
  }

  @Test func `requests are shared out by weight`() async throws {
    let counts = Watched([0, 0, 0])
    var origins: [ScriptedOrigin] = []
    for index in 0..<3 {
      origins.append(
        try await ScriptedOrigin.answering { _ in
          counts.update { $0[index] += 1 }
          return Reply()
        })
    }
    let directory = try TemporaryDirectory()
    let node = try TestNode.start(
      configuration: """
        workers 1; listen 127.0.0.1:0;
        origin app {
          server 127.0.0.1:\(origins[0].port) weight=5; server 127.0.0.1:\(origins[1].port) weight=3;
          server 127.0.0.1:\(origins[2].port) weight=2;
        }
        site * { origin app; }
        """, directory: directory)
    let client = try await node.connect()
    for _ in 0..<2_000 { #expect(try await client.get("/").status == 200) }
    let shares = counts.value
    for (share, expected) in zip(shares, [1_000, 600, 400]) {
      #expect(abs(share - expected) <= 20, "\(shares)")
    }
  }

  @Test(arguments: ["hash", "hash path", "hash bound=200"])
  func `a key has its server`(balance: String) async throws {
    let node = try await ThreeServers(pool: "balance \(balance);")
    var servers: [String: String] = [:]
    for _ in 0..<3 {
      for number in 0..<12 {
        let answer = try await node.client.get("/\(number)").text
        #expect(servers["/\(number)", default: answer] == answer)
        servers["/\(number)"] = answer
      }
    }
    #expect(Set(servers.values).count > 1)
  }

  @Test(arguments: ["ip_hash", "least_connections", "least_time", "random_two", "resource"])
  func `every way to choose answers`(balance: String) async throws {
    let node = try await ThreeServers(pool: "balance \(balance); load_field x-load;")
    var answers: Set<String> = []
    for _ in 0..<30 { answers.insert(try await node.client.get("/").text) }
    #expect(balance == "ip_hash" ? answers.count == 1 : answers.count > 1)
  }

  /// Whatever the clients do: the whole of the further tries is a share of the requests.
  @Test func `a dead origin is not asked more than a well one`() async throws {
    let dead = try await ScriptedOrigin.answering { _ in Reply(503, [], "down") }
    let other = try await ScriptedOrigin.answering { _ in Reply(503, [], "down") }
    let node = try TestNode.forwarding(
      to: dead,
      pool: "server 127.0.0.1:\(other.port); retries 5 pause=0; breaker off; ejection off;")
    let clients = 5_000
    let statuses = try await atOnce(20) { _ in
      let client = try await node.connect()
      defer { client.close() }
      var statuses: Set<Int> = []
      for _ in 0..<clients / 20 { statuses.insert(try await client.get("/").status) }
      return statuses
    }
    #expect(statuses.allSatisfy { $0 == [503] })
    let tries = dead.requests.count + other.requests.count
    #expect((clients...clients * 12 / 10).contains(tries), "\(tries) tries")
  }

  @Test func `an origin that keeps failing is left alone, and asked again later`() async throws {
    let isWell = Watched(false)
    let origin = try await ScriptedOrigin.answering { _ in
      isWell.value ? Reply(200, [], "well") : Reply(503, [], "down")
    }
    let node = try TestNode.forwarding(
      to: origin, pool: "breaker on requests=5 open=4s probes=1;", workers: 1)
    let client = try await node.connect()
    for _ in 0..<5 { #expect(try await client.get("/").text == "down") }
    let refused = try await client.get("/")
    #expect(refused.status == 503)
    #expect(refused.header("proxy-status") == "weir; error=destination_unavailable")
    #expect(refused.header("retry-after") == "4")
    #expect(origin.requests.count == 5)
    isWell.update { $0 = true }
    node.advance(seconds: 4.1)
    for _ in 0..<3 { #expect(try await client.get("/").text == "well") }
  }

  @Test func `requests over the limit wait, in order and for a while`() async throws {
    let release = Watched(0)
    let origin = try await ScriptedOrigin { connection in
      while let request = try await connection.nextRequest() {
        let number = Int(request.target.dropFirst()) ?? 0
        try await release.wait(for: "the release of \(number)") { $0 >= number }
        try await connection.respond(200, [], request.target)
      }
    }
    let node = try TestNode.forwarding(
      to: origin, pool: "max_connections 1; queue 2 timeout=5s;", workers: 2)
    let first = try await node.ask("/1")
    try await origin.waitForRequests(1)
    let second = try await node.ask("/2")
    try await eventually("one to wait") { node.waiting == 1 }
    let third = try await node.ask("/3")
    try await eventually("two to wait") { node.waiting == 2 }
    let fourth = try await node.get("/4")
    #expect(fourth.status == 503)
    #expect(fourth.header("proxy-status") == "weir; error=connection_limit_reached")
    #expect(fourth.header("retry-after") == "1")
    release.update { $0 = 1 }
    #expect(try await first.readResponse().text == "/1")
    try await origin.waitForRequests(2)
    #expect(origin.requests.count == 2)
    node.advance(seconds: 5.1)
    let overdue = try await third.readResponse()
    #expect(overdue.status == 503)
    #expect(overdue.header("proxy-status") == "weir; error=connection_limit_reached")
    release.update { $0 = 9 }
    #expect(try await second.readResponse().text == "/2")
    // A client that goes leaves the queue.
    release.update { $0 = 0 }
    let fifth = try await node.ask("/5")
    try await origin.waitForRequests(3)
    let sixth = try await node.ask("/6")
    try await eventually("one to wait") { node.waiting == 1 }
    sixth.reset()
    try await eventually("none to wait") { node.waiting == 0 }
    release.update { $0 = 9 }
    #expect(try await fifth.readResponse().text == "/5")
    fifth.close()
    for client in [first, second, third] { client.close() }
    try await node.expectNothingLeft()
    #expect(node.waiting == 0)
  }

  @Test func `a slow answer is raced by another server`() async throws {
    let slow = Watched(false)
    let origin = try await ScriptedOrigin { connection in
      while try await connection.nextRequest() != nil {
        if slow.value { try await connection.waitUntilClosed() }
        try await connection.respond(200, [], "a")
      }
    }
    let other = try await ScriptedOrigin.answering { _ in Reply(200, [], "b") }
    let node = try TestNode.forwarding(
      to: origin, pool: "server 127.0.0.1:\(other.port); hedge on;", workers: 1)
    let client = try await node.connect()
    for _ in 0..<120 { _ = try await client.get("/") }
    slow.update { $0 = true }
    for _ in 0..<2 {
      let asked = origin.requests.count + other.requests.count
      try await client.send("GET", "/slow")
      try await eventually("the request") {
        origin.requests.count + other.requests.count > asked
      }
      node.advance(seconds: 0.1)
      #expect(try await client.readResponse().text == "b")
    }
    client.close()
    try await node.expectNothingLeft()
  }

  @Test func `a second try that begins late has its own time`() async throws {
    let slow = Watched(0)
    let release = Signal("the second's answer")
    let script: ScriptedOrigin.Script = { connection in
      while try await connection.nextRequest() != nil {
        let number = slow.update { slow -> Int in
          if slow > 0 { slow += 1 }
          return slow
        }
        if number == 2 { try await connection.waitUntilClosed() }
        if number == 3 { try await release.wait() }
        try await connection.respond(200, [], "\(number)")
      }
    }
    let (one, two) = (try await ScriptedOrigin(script), try await ScriptedOrigin(script))
    let node = try TestNode.forwarding(
      to: one, pool: "server 127.0.0.1:\(two.port); hedge on; try_timeout 1s; retries 1;",
      workers: 1)
    let client = try await node.connect()
    for _ in 0..<120 { _ = try await client.get("/") }
    slow.update { $0 = 1 }
    try await client.send("GET", "/slow")
    _ = try await slow.wait(for: "the first try") { $0 == 2 }
    node.advance(seconds: 0.9)
    _ = try await slow.wait(for: "the second try") { $0 == 3 }
    // The first's time is over; the second has most of its own.
    node.advance(seconds: 0.2)
    try await eventually("the first to be given up") {
      node.count(.originConnectionsClosed) > 0
    }
    release.send()
    #expect(try await client.readResponse().text == "3")
    client.close()
    try await node.expectNothingLeft()
  }

  @Test func `what an operator says to a server counts at once`() async throws {
    let node = try await ThreeServers(pool: "")
    let name = "127.0.0.1:\(node.origins[0].port)"
    let path = "/v1/origins/app/servers/\(name)"
    let drained = try await node.node.admin("POST", path, json: "{\"action\": \"drain\"}")
    #expect(drained.status == 200)
    #expect(try drained.json()["state"]?.string == "draining")
    let before = node.origins[0].requests.count
    for _ in 0..<9 { #expect(try await node.client.get("/").status == 200) }
    #expect(node.origins[0].requests.count == before)
    for origin in node.origins.dropFirst() {
      let path = "/v1/origins/app/servers/127.0.0.1:\(origin.port)"
      _ = try await node.node.admin("POST", path, json: "{\"action\": \"disable\"}")
    }
    let refused = try await node.client.get("/")
    #expect(refused.status == 503)
    #expect(refused.header("proxy-status") == "weir; error=destination_unavailable")
    _ = try await node.node.admin("POST", path, json: "{\"action\": \"enable\"}")
    #expect(try await node.client.get("/").status == 200)
    let report = try await node.node.admin("GET", "/v1/origins").json()
    let states = (0..<3).map {
      report["origins"]?[0]?["servers"]?[$0]?["state"]?.string
    }
    #expect(states == ["up", "disabled", "disabled"])
    for (body, status) in [
      ("{\"action\": \"weight\", \"weight\": 7}", 200), ("{\"action\": \"weight\"}", 400),
      ("{\"action\": \"burn\"}", 400), ("[]", 400),
    ] {
      #expect(try await node.node.admin("POST", path, json: body).status == status, "\(body)")
    }
    let unknown = "/v1/origins/app/servers/127.0.0.1:2"
    #expect(
      try await node.node.admin("POST", unknown, json: "{\"action\": \"drain\"}").status == 404)
  }

  @Test func `a server whose checks fail gets nothing, and comes back`() async throws {
    let isWell = Watched(true)
    let good = try await ScriptedOrigin.answering { _ in Reply(200, [], "good") }
    let checked = try await ScriptedOrigin.answering { request in
      request.target == "/health" && !isWell.value ? Reply(500) : Reply(200, [], "checked")
    }
    let node = try TestNode.forwarding(
      to: checked,
      pool: "server 127.0.0.1:\(good.port); health GET /health every=1s timeout=1s fall=2 rise=1;",
      workers: 1)
    let name = "server 127.0.0.1:\(checked.port) is"
    // A check begins when its time has come and the one before is over, which the test cannot see:
    // so time goes on now and then until what is waited for has come.
    func timeGoesOn(until what: String, _ isThere: () -> Bool) async throws {
      var looks = 0
      try await eventually(what) {
        if looks % 50 == 0 { node.advance(seconds: 2) }
        looks += 1
        return isThere()
      }
    }
    func checks(until note: String) async throws {
      try await timeGoesOn(until: note) { node.notes.value.contains { $0.contains(note) } }
    }
    try await timeGoesOn(until: "the first check") { !checked.requests.isEmpty }
    isWell.update { $0 = false }
    try await checks(until: "\(name) down")
    for _ in 0..<6 { #expect(try await node.get("/").text == "good") }
    isWell.update { $0 = true }
    try await checks(until: "\(name) up again")
    var answers: Set<String> = []
    for _ in 0..<6 { answers.insert(try await node.get("/").text) }
    #expect(answers == ["good", "checked"])
  }
}

extension TestNode {
  /// Requests that wait for a place, of all pools.
  fileprivate var waiting: Int { node?.waitingForOrigins ?? 0 }
}

/// A node before three servers that say their number.
private struct ThreeServers {
  let origins: [ScriptedOrigin]
  let node: TestNode
  let client: RawClient

  init(pool: String) async throws {
    var origins: [ScriptedOrigin] = []
    for number in 0..<3 {
      origins.append(
        try await ScriptedOrigin.answering { _ in Reply(200, ["X-Load: 0.\(number)"], "\(number)") }
      )
    }
    self.origins = origins
    let others = origins.dropFirst().map { "server 127.0.0.1:\($0.port);" }.joined()
    node = try TestNode.forwarding(to: origins[0], pool: others + pool, workers: 1)
    client = try await node.connect()
  }
}
