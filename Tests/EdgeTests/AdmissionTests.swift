import Authentication
import Cryptography
import EdgeTesting
import Metrics
import Testing

/// Requests that wait to be let in.
@Suite struct AdmissionTests {
  /// An origin whose answers are for one user each.
  private static func personal() async throws -> ScriptedOrigin {
    try await ScriptedOrigin.answering { request in
      Reply(
        200, ["Cache-Control: max-age=60"],
        "\(request.target) \(request.header("x-user") ?? "-")")
    }
  }

  /// Sends tokens with a wrong signature as fast as they are answered: each costs a check. Counts itself
  /// once it is well under way.
  private static func flood(
    _ client: RawClient, _ token: String, _ underWay: Watched<Int>, count: Int = 4_000
  ) async throws {
    let one = "GET /flood HTTP/1.1\r\nHost: a\r\nCookie: session=\(token)\r\n\r\n"
    async let writing: Void = client.write(String(repeating: one, count: count))
    for index in 0..<count {
      if index == 32 { underWay.update { $0 += 1 } }
      _ = try await client.readResponse()
    }
    try await writing
  }

  @Test func `a request that waits more than once for its check is the same request`()
    async throws
  {
    let issuer = try Issuer(.hs256)
    let origin = try await Self.personal()
    let directory = try TemporaryDirectory()
    try directory.write("keys.json", Issuer.set(issuer))
    let node = try TestNode.start(
      origin: origin.port, route: "auth jwt main; set header.x-user jwt.sub;",
      top: "jwt main { keys ./keys.json; algorithms HS256; from cookie session; }", workers: 1,
      directory: directory)
    let wrong = try Issuer(.hs256).token().dropLast(4) + "AAAA"
    let rivals = [try await node.connect(), try await node.connect()]
    let underWay = Watched(0)
    let flood = Task {
      try await withThrowingTaskGroup(of: Void.self) { group in
        for rival in rivals {
          group.addTask { try await Self.flood(rival, String(wrong), underWay) }
        }
        try await group.waitForAll()
      }
    }
    _ = try await underWay.wait(for: "the flood") { $0 == 2 }
    for (number, subject) in ["anna", "bert", "carl", "dora"].enumerated() {
      // Sixteen before it in the same turn: its own comes behind the rivals' in the next.
      let ahead = String(repeating: "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", count: 16)
      let token = try issuer.token(subject: subject)
      let client = try await node.connect()
      try await client.write(
        ahead + "GET /a HTTP/1.1\r\nHost: a\r\nCookie: session=\(token)\r\n\r\n")
      for _ in 0..<16 { _ = try await client.readResponse(to: "OPTIONS") }
      let response = try await client.readResponse()
      #expect(response.status == 200 && response.text == "/a \(subject)")
      #expect(origin.requests.count == number + 1, "personal answers are not shared")
      client.close()
      // What was stored wrongly is to be found by the next.
      try await node.settle()
    }
    try await flood.value
    for rival in rivals { rival.close() }
    try await node.expectAtRest()
  }

  @Test func `nobody waits longer than those who come before`() async throws {
    let issuer = try Issuer(.hs256)
    let origin = try await Self.personal()
    let directory = try TemporaryDirectory()
    try directory.write("keys.json", Issuer.set(issuer))
    let node = try TestNode.start(
      origin: origin.port, route: "auth jwt main; set header.x-user jwt.sub;",
      top: "jwt main { keys ./keys.json; algorithms HS256; from cookie session; }", workers: 1,
      directory: directory)
    let wrong = String(try Issuer(.hs256).token().dropLast(4) + "AAAA")
    let (underWay, isOver) = (Watched(0), Watched(false))
    let flood = Task {
      try await withThrowingTaskGroup(of: Void.self) { group in
        for _ in 0..<4 {
          group.addTask {
            let rival = try await node.connect()
            // Never less than what a turn takes: the next are sent before these are answered.
            while !isOver.value { try await Self.flood(rival, wrong, underWay, count: 400) }
            rival.close()
          }
        }
        try await group.waitForAll()
      }
    }
    _ = try await underWay.wait(for: "the flood") { $0 >= 4 }
    for number in 0..<20 {
      let token = try issuer.token(subject: "user-\(number)")
      let response = try await node.get("/\(number)", "Cookie: session=\(token)")
      #expect(response.text == "/\(number) user-\(number)")
    }
    isOver.update { $0 = true }
    try await flood.value
    try await node.expectAtRest()
  }

  @Test func `tokens that cost no check are not rationed`() async throws {
    let issuer = try Issuer(.hs256)
    let origin = try await Self.personal()
    let directory = try TemporaryDirectory()
    try directory.write("keys.json", Issuer.set(issuer))
    let node = try TestNode.start(
      origin: origin.port, route: "auth jwt main;",
      top: "jwt main { keys ./keys.json; algorithms HS256; }", workers: 1, directory: directory)
    let client = try await node.connect()
    let one = "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer x.y.z\r\n\r\n"
    try await client.write(String(repeating: one, count: 100))
    for _ in 0..<100 { #expect(try await client.readResponse().status == 401) }
    #expect(origin.requests.isEmpty)
  }

  /// A source of keys that answers at first, and later when it is told to.
  private static func slowKeys(
    _ sets: Watched<String>, _ release: Signal
  ) async throws -> ScriptedOrigin {
    let isFirst = Watched(true)
    return try await ScriptedOrigin.answering { _ in
      let first = isFirst.update { flag in
        defer { flag = false }
        return flag
      }
      if !first { try await release.wait() }
      return Reply(200, [], sets.value)
    }
  }

  @Test func `however many wait for keys, all are let in when they come`() async throws {
    let (first, second) = (try Issuer(.es256, id: "1"), try Issuer(.es256, id: "2"))
    let (sets, release) = (Watched(Issuer.set(first)), Signal("the new keys"))
    let keys = try await Self.slowKeys(sets, release)
    let origin = try await Self.personal()
    let node = try TestNode.start(
      origin: origin.port, route: "auth jwt main; set header.x-user jwt.sub;",
      top: "jwt main { keys http://127.0.0.1:\(keys.port)/keys; algorithms ES256; cooldown 30s; }",
      workers: 1)
    let old = try first.token()
    try await eventually("the first keys") {
      try await node.get("/", "Authorization: Bearer \(old)").status == 200
    }
    sets.update { $0 = Issuer.set(first, second) }
    node.advance(seconds: 31)
    var waiting: [(Int, RawClient)] = []
    for number in 0..<80 {
      let token = try second.token(subject: "user-\(number)")
      waiting.append((number, try await node.ask("/x", "Authorization: Bearer \(token)")))
    }
    try await keys.waitForRequests(2)
    try await node.settleTurns()
    release.send()
    for (number, client) in waiting {
      let response = try await client.readResponse()
      #expect(response.status == 200 && response.text == "/x user-\(number)")
    }
    node.stop()
  }

  @Test func `another source's keys end nobody's wait`() async throws {
    let (first, second) = (try Issuer(.es256, id: "1"), try Issuer(.es256, id: "2"))
    let (sets, release) = (Watched(Issuer.set(first)), Signal("the new keys"))
    let slow = try await Self.slowKeys(sets, release)
    let fast = try await ScriptedOrigin.answering { _ in Reply(200, [], Issuer.set(first)) }
    let origin = try await Self.personal()
    let node = try TestNode.start(
      configuration: """
        workers 1; listen 127.0.0.1:0;
        origin app 127.0.0.1:\(origin.port);
        jwt slow { keys http://127.0.0.1:\(slow.port)/keys; algorithms ES256; cooldown 30s; }
        jwt fast { keys http://127.0.0.1:\(fast.port)/keys; algorithms ES256; cooldown 30s; }
        site * { origin app; route / { auth jwt slow; } route /fast { auth jwt fast; } }
        """, directory: try TemporaryDirectory())
    let old = "Authorization: Bearer \(try first.token())"
    for target in ["/", "/fast"] {
      try await eventually("the first keys") { try await node.get(target, old).status == 200 }
    }
    sets.update { $0 = Issuer.set(first, second) }
    node.advance(seconds: 31)
    let new = "Authorization: Bearer \(try second.token())"
    let waiting = try await node.ask("/", new)
    try await slow.waitForRequests(2)
    // This one's keys come at once, and are not the right ones.
    #expect(try await node.get("/fast", new).status == 401)
    try await node.settleTurns()
    #expect(try waiting.readAvailable().isEmpty)
    release.send()
    #expect(try await waiting.readResponse().status == 200)
    node.stop()
  }

  @Test func `one password is checked once for all routes with its file`() async throws {
    let directory = try TemporaryDirectory()
    try directory.write("users", "anna:\(PasswordSample.hash)\n")
    let origin = try await Self.personal()
    let routes = (0..<40).map { "route /\($0)/ { auth basic ./users; }" }.joined(separator: " ")
    let node = try TestNode.start(
      configuration: """
        workers 1; listen 127.0.0.1:0;
        origin app 127.0.0.1:\(origin.port);
        site * { origin app; \(routes) }
        """, directory: directory)
    // anna:sesame
    let field = "Authorization: Basic YW5uYTpzZXNhbWU="
    // All at once: one check for all of them.
    let first = try await atOnce(30) { _ in try await node.get("/0/x", field).status }
    #expect(first == Array(repeating: 200, count: 30))
    for number in 0..<40 { #expect(try await node.get("/\(number)/x", field).status == 200) }
  }
}
