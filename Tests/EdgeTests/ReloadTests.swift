import EdgeTesting
import EventLoop
import Metrics
import Node
import Testing

/// A configuration with what every test here needs.
private func configuration(_ settings: String, listen: [String] = ["127.0.0.1:0"]) -> String {
  """
  workers 2;
  \(listen.map { "listen \($0);" }.joined(separator: "\n"))
  \(TestNode.adminBlock)
  \(settings)
  """
}

private func node(_ settings: String, clock: NodeClock? = nil) throws -> TestNode {
  try TestNode.start(
    configuration: configuration(settings), directory: TemporaryDirectory(), clock: clock)
}

extension TestNode {
  /// How many configurations there are that requests are under.
  fileprivate var generations: Int { figure("weir_config_generations") }

  /// Has the node go over to a configuration.
  fileprivate func reloads(_ settings: String, listen: [String] = ["127.0.0.1:0"]) async throws {
    let answer = try await reload(configuration(settings, listen: listen))
    #expect(answer.status == 200, "\(answer.text)")
  }

  /// Waits until nothing is under an earlier configuration.
  fileprivate func expectOneGeneration() async throws {
    try await eventually("earlier configurations to go") { self.generations == 1 }
  }
}

/// A node that goes over to another configuration while it runs.
@Suite struct ReloadTests {
  @Test func `a request that is under way ends under the configuration that it began with`()
    async throws
  {
    let answer = Signal("the answer")
    let origin = try await ScriptedOrigin.answering { request in
      if request.target == "/slow" { try await answer.wait() }
      return Reply(200, [], request.header("x-from") ?? "")
    }
    func settings(_ name: String) -> String {
      """
      origin app 127.0.0.1:\(origin.port);
      site * {
        origin app;
        route / { set header.x-from "\(name)"; on response { set header.x-by "\(name)"; } }
      }
      """
    }
    let node = try node(settings("first"))
    let slow = try await node.connect()
    try await slow.send("GET", "/slow")
    try await origin.waitForRequests(1)
    let idle = try await node.connect()
    #expect(try await idle.get("/").header("x-by") == "first")

    try await node.reloads(settings("second"))
    #expect(node.generations == 2)
    let next = try await idle.get("/")
    #expect(next.text == "second" && next.header("x-by") == "second")
    answer.send()
    let last = try await slow.readResponse()
    #expect(last.text == "first" && last.header("x-by") == "first")
    try await node.expectOneGeneration()
    #expect(try await slow.get("/").header("x-by") == "second")
    #expect(node.figure("weir_config_generation") == 2)
  }

  @Test func `sites and routes come and go, and keep their names in figures and in the log`()
    async throws
  {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    let base = "access_log ./access.log; origin app 127.0.0.1:\(origin.port);"
    let node = try node("\(base) site a.example { origin app; route /one { } }")
    func status(_ host: String, _ target: String) async throws -> Int {
      try await node.connect().get(target, host: host).status
    }
    #expect(try await status("a.example", "/one") == 200)
    #expect(try await status("a.example", "/two") == 404)
    try await node.reloads(
      "\(base) site b.example { origin app; } site a.example { origin app; route /two { } }")
    #expect(try await status("a.example", "/one") == 404)
    #expect(try await status("a.example", "/two") == 200)
    #expect(try await status("b.example", "/") == 200)
    try await node.reloads("\(base) site a.example { origin app; route /one { } }")
    #expect(try await status("a.example", "/one") == 200)
    node.catchUp()
    #expect(node.metrics.requests(route: "a.example/one", status: 200) == 2)
    #expect(node.metrics.requests(route: "a.example/two", status: 200) == 1)
    // Each worker's lines are in order; theirs among each other are not.
    let routes = try node.log().compactMap { $0["route"]?.string }
    #expect(
      routes.sorted() == [
        "a.example/one", "a.example/one", "a.example/two", "b.example/", "none", "none",
      ])
  }

  @Test(arguments: [
    ("site * { route / { origin gone; } }", "gone"),
    (
      "origin app 127.0.0.1:1; site * { origin app; auth api_keys ./missing.keys; }", "missing.keys"
    ),
    ("geo_database ./missing.mmdb; origin app 127.0.0.1:1; site * { origin app; }", "missing.mmdb"),
    ("access_log ./no/such/directory.log; origin app 127.0.0.1:1; site * { origin app; }", "log"),
    ("origin app 127.0.0.1:1; site * { origin app;", "}"),
  ])
  func `what is wrong changes nothing, and is said`(wrong: String, reason: String) async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    let node = try node("origin app 127.0.0.1:\(origin.port); site * { origin app; }")
    let client = try await node.connect()
    #expect(try await client.get("/").status == 200)
    let refused = try await node.reload(configuration(wrong))
    #expect(refused.status == 422)
    #expect(refused.text.contains(reason), "\(refused.text)")
    #expect(try await client.get("/").status == 200)
    #expect(node.figure("weir_config_generation") == 1)
    #expect(node.generations == 1)
    #expect(node.figure("weir_config_reloads_total{result=\"refused\"}") == 1)
    #expect(node.notes.value.contains { $0.contains("stays as it was") })
  }

  @Test func `an address that is taken changes nothing`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    let base = "origin app 127.0.0.1:\(origin.port); site * { origin app; }"
    let node = try node(base)
    let refused = try await node.reload(
      configuration(
        "\(base) limit few { token_bucket 1/s; }",
        listen: ["127.0.0.1:0", "127.0.0.1:\(origin.port)"]))
    #expect(refused.status == 422)
    #expect(refused.text.contains("another process does"))
    #expect(try await node.get("/").status == 200)
    #expect(node.figure("weir_limit_keys{limit=\"few\"}") == -1)
  }

  @Test func `what only a restart can change is named`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    let base = "origin app 127.0.0.1:\(origin.port); site * { origin app; }"
    let node = try node(base)
    let answer = try await node.reload(
      "workers 3; listen 127.0.0.1:0; node_name other; \(TestNode.adminBlock) \(base)")
    #expect(answer.status == 200)
    let names = try #require(try answer.json()["needs_restart"]?.array?.compactMap(\.string))
    #expect(names == ["workers", "node_name"])
    #expect(node.notes.value.contains { $0.contains("workers, node_name") })
    #expect(try await node.get("/").status == 200)
    #expect(node.figure("weir_workers") == 2)
  }

  @Test func `a rollback goes back, and a second one forth`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    let base = "origin app 127.0.0.1:\(origin.port);"
    let node = try node("\(base) site a.example { origin app; }")
    #expect(try await node.admin("POST", "/v1/config/rollback").status == 422)
    try await node.reloads("\(base) site b.example { origin app; }")
    func status(_ host: String) async throws -> Int {
      try await node.connect().get("/", host: host).status
    }
    #expect(try await status("a.example") == 404)
    #expect(try await node.admin("POST", "/v1/config/rollback").status == 200)
    #expect(try await status("a.example") == 200)
    #expect(try await status("b.example") == 404)
    let difference = try await node.admin("GET", "/v1/config/diff").json()
    #expect(difference["changed"]?.bool == true)
    #expect(difference["diff"]?.string?.contains("\n-site a.example { origin app; }\n") == false)
    #expect(difference["diff"]?.string?.contains("b.example") == true)
    #expect(try await node.admin("POST", "/v1/config/rollback").status == 200)
    #expect(try await status("b.example") == 200)
    #expect(try await node.admin("GET", "/v1/config/diff").json()["changed"]?.bool == false)
  }

  @Test func `the configuration is shown without its secrets, and needs the token`() async throws {
    let node = try node("origin app 127.0.0.1:1; site * { origin app; }")
    let shown = try await node.admin("GET", "/v1/config").json()
    let text = try #require(shown["text"]?.string)
    #expect(text.contains("origin app 127.0.0.1:1; site * { origin app; }"))
    #expect(text.contains("token ***;"))
    #expect(!text.contains(TestNode.token))
    let client = try await RawClient.connect(to: node.adminPort)
    #expect(try await client.get("/v1/config", host: "localhost").status == 401)
  }
}

/// What lives on over a reload.
@Suite struct ReloadedStateTests {
  @Test func `a bucket keeps its debt, and takes a new rate`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    func settings(_ rate: String, _ more: String = "") -> String {
      """
      limit few { token_bucket \(rate) burst=3; key client.ip; }
      \(more)
      origin app 127.0.0.1:\(origin.port);
      site * { route / { origin app; limit few; } }
      """
    }
    let node = try node(settings("1/m"))
    #expect(try await node.statuses(4) == [200, 200, 200, 429])
    try await node.reloads(settings("1/m", "limit other { concurrency 5; }"))
    #expect(try await node.statuses(1) == [429])
    try await node.reloads(settings("1/s", "limit other { concurrency 5; }"))
    #expect(try await node.statuses(1) == [429])
    node.advance(seconds: 1)
    #expect(try await node.statuses(2) == [200, 429])
    #expect(node.decisions("few", "rejected") == 4)
  }

  @Test func `what an operator changed stays, unless the file says something new of that limit`()
    async throws
  {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    func settings(_ burst: Int, _ more: String = "") -> String {
      """
      store ./store { }
      limit few { token_bucket 1/h burst=\(burst); key client.ip; }
      \(more)
      origin app 127.0.0.1:\(origin.port);
      site * { route / { origin app; limit few; cache off; } }
      """
    }
    let node = try node(settings(9))
    let change = try await node.admin(
      "PATCH", "/v1/limits/few", json: "{\"burst\": 2, \"persist\": true}")
    #expect(change.status == 200)
    try await node.reloads(settings(9, "limit other { concurrency 5; }"))
    #expect(try await node.statuses(3) == [200, 200, 429])
    let difference = try await node.admin("GET", "/v1/config/diff").json()
    #expect(difference["limits"]?.array?.first?["in_force"]?.string == "burst=2")
    #expect(try await node.admin("GET", "/v1/limits/few").json()["kept"]?.string == "burst=2")
    try await node.reloads(settings(4, "limit other { concurrency 5; }"))
    // Two of four are spent.
    #expect(try await node.statuses(3) == [200, 200, 429])
    #expect(try await node.admin("GET", "/v1/limits/few").json()["kept"]?.string == "")
  }

  @Test func `a quota outlives another size of its table, and its absence`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    func settings(_ limit: String?) -> String {
      """
      store ./store { }
      \(limit.map { "limit daily { quota 5/day; \($0) }" } ?? "")
      origin app 127.0.0.1:\(origin.port);
      site * { route / { origin app; cache off; \(limit == nil ? "" : "limit daily;") } }
      """
    }
    let node = try node(settings(""))
    #expect(try await node.statuses(2) == [200, 200])
    try await node.reloads(settings("max_keys 5000;"))
    #expect(try await node.statuses(1) == [200])
    try await node.reloads(settings(nil))
    #expect(try await node.statuses(4) == [200, 200, 200, 200])
    try await node.reloads(settings(""))
    #expect(try await node.statuses(3) == [200, 200, 429])
    // Another key is another quota: what was counted by the one says nothing of the other.
    try await node.reloads(settings("key host;"))
    #expect(try await node.statuses(6) == [200, 200, 200, 200, 200, 429])
  }

  @Test func `requests in a line depart as before`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    let base = """
      limit slow { leaky_bucket 1/s queue=5; key client.ip; }
      origin app 127.0.0.1:\(origin.port);
      """
    let node = try node("\(base) site * { origin app; route / { limit slow; } }")
    #expect(try await node.get("/").status == 200)
    let waits = try await node.connect()
    try await waits.send("GET", "/")
    try await node.expectWaiting("slow", 1)
    try await node.reloads(
      "\(base) site * { origin app; route / { limit slow; } route /other { } }")
    #expect(node.waiting("slow") == 1)
    #expect(node.generations == 2)
    node.advance(seconds: 1)
    #expect(try await waits.readResponse().status == 200)
    try await node.expectOneGeneration()
  }

  @Test func `what is stored, and who fills it, is shared by both configurations`() async throws {
    let answer = Signal("the answer")
    let origin = try await ScriptedOrigin.answering { _ in
      try await answer.wait()
      return Reply(200, ["Cache-Control: max-age=60"], "x")
    }
    let base = "store ./store { } origin app 127.0.0.1:\(origin.port);"
    let node = try node("\(base) site * { origin app; }")
    let leader = try await node.connect()
    try await leader.send("GET", "/")
    try await origin.waitForRequests(1)
    try await node.reloads("\(base) site * { origin app; route / { } route /other { } }")
    let follower = try await node.connect()
    try await follower.send("GET", "/")
    try await node.expect(.fillsCollapsed, reaches: 1)
    answer.send()
    #expect(try await leader.readResponse().text == "x")
    #expect(try await follower.readResponse().text == "x")
    try await node.settle()
    #expect(try await node.get("/").header("cache-status")?.contains("hit") == true)
    #expect(origin.requests.count == 1)
    try await node.expectOneGeneration()
  }

  @Test func `a server keeps its connections and what is known of it`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    let server = "127.0.0.1:\(origin.port)"
    let node = try TestNode.start(
      configuration: configuration(
        "origin app { server \(server); } site * { origin app; }"
      ).replacing("workers 2", with: "workers 1"), directory: TemporaryDirectory())
    #expect(try await node.get("/").status == 200)
    let answer = try await node.reload(
      configuration(
        "origin app { server \(server); first_byte_timeout 5s; } site * { origin app; }"
      ).replacing("workers 2", with: "workers 1"))
    #expect(answer.status == 200)
    #expect(try await node.get("/").status == 200)
    #expect(origin.accepted == 1)
    #expect(
      node.figure(
        "weir_origin_server_requests_total{origin=\"app\",server=\"\(server)\"}") == 2)
    // Gone from the configuration, its idle connection is closed.
    let other = try await ScriptedOrigin.answering { _ in Reply(200, [], "y") }
    let away = try await node.reload(
      configuration("origin app 127.0.0.1:\(other.port); site * { origin app; }")
        .replacing("workers 2", with: "workers 1"))
    #expect(away.status == 200)
    #expect(try await node.get("/").text == "y")
    try await node.expect(.originConnectionsClosed, reaches: 1)
  }

  @Test func `a request that waits for a place at a server goes to one of its own configuration`()
    async throws
  {
    let answer = Signal("the answer")
    let old = try await ScriptedOrigin.answering { request in
      if request.target == "/first" { try await answer.wait() }
      return Reply(200, [], "old")
    }
    let new = try await ScriptedOrigin.answering { _ in Reply(200, [], "new") }
    func settings(_ servers: String) -> String {
      """
      origin app { \(servers) max_connections 1; queue 5 timeout=30s; }
      site * { origin app; }
      """
    }
    let node = try node(settings("server 127.0.0.1:\(old.port);"))
    let first = try await node.connect()
    try await first.send("GET", "/first")
    try await old.waitForRequests(1)
    let second = try await node.connect()
    try await second.send("GET", "/second")
    try await eventually("the second to wait") {
      node.figure("weir_origin_waiting{origin=\"app\"}") == 1
    }
    try await node.reloads(
      settings("server 127.0.0.1:\(new.port); server 127.0.0.1:\(old.port);"))
    answer.send()
    #expect(try await first.readResponse().text == "old")
    #expect(try await second.readResponse().text == "old")
    try await node.expectOneGeneration()
  }
}

/// Addresses that come and go.
@Suite struct ReloadedListenerTests {
  @Test func `an address is added, and removed without a connection lost`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    let base = "origin app 127.0.0.1:\(origin.port); site * { origin app; }"
    let node = try node(base)
    try await node.reloads(base, listen: ["127.0.0.1:0", "127.0.0.2:0"])
    let port = try #require(node.node?.addresses.last?.port)
    #expect(node.node?.addresses.count == 2)
    #expect(node.node?.addresses.first?.port == node.port)
    let client = try await RawClient.connect(to: port, host: "127.0.0.2")
    #expect(try await client.get("/").status == 200)
    // These have not been asked for anything yet.
    var fresh: [RawClient] = []
    for _ in 0..<20 { fresh.append(try await RawClient.connect(to: port, host: "127.0.0.2")) }
    try await node.reloads(base)
    #expect(node.node?.addresses.count == 1)
    await #expect(throws: PeerFailure.self) {
      try await RawClient.connect(to: port, host: "127.0.0.2")
    }
    for client in fresh { #expect(try await client.get("/").status == 200) }
    #expect(try await client.get("/").status == 200)
    #expect(try await node.get("/").status == 200)
  }
}

/// Requests without pause over many reloads.
@Suite struct ReloadUnderLoadTests {
  @Test func `no request fails and none is answered by a mixture`() async throws {
    let origin = try await ScriptedOrigin.answering { request in
      Reply(200, [], request.header("x-from") ?? "")
    }
    let other = try await ScriptedOrigin.answering { request in
      Reply(200, [], request.header("x-from") ?? "")
    }
    func settings(_ number: Int) -> String {
      let port = number.isMultiple(of: 2) ? origin.port : other.port
      let limits = ["limit a { concurrency 500; }", "limit b { token_bucket 100000/s; }"]
      return """
        \(number.isMultiple(of: 3) ? limits.joined() : limits.reversed().joined())
        origin app { server 127.0.0.1:\(port); connect_timeout \(number % 3 + 1)s; }
        \(number.isMultiple(of: 2) ? "site extra.example { origin app; }" : "")
        site * {
          origin app;
          \(number.isMultiple(of: 4) ? "route /sub/ { limit b; }" : "")
          route / { limit a; limit b; }
          set header.x-from "\(number)";
          on response { set header.x-by "\(number)"; }
        }
        """
    }
    let node = try node(settings(0), clock: NodeClock())
    let isOver = Watched(false)
    let counts = try await withThrowingTaskGroup(of: Int.self) { group in
      for number in 0..<6 {
        group.addTask {
          var count = 0
          var client = try await node.connect()
          while !isOver.value {
            let response = try await client.get(number.isMultiple(of: 2) ? "/" : "/sub/x")
            #expect(response.status == 200)
            #expect(response.text == response.header("x-by"))
            count += 1
            if count.isMultiple(of: 50) { client = try await node.connect() }
          }
          return count
        }
      }
      for number in 1...40 {
        let listen = ["127.0.0.1:0"] + (number.isMultiple(of: 3) ? ["127.0.0.2:0"] : [])
        try await node.reloads(settings(number), listen: listen)
        if number.isMultiple(of: 5) {
          #expect(try await node.reload("listen nonsense").status == 422)
        }
      }
      isOver.update { $0 = true }
      return try await group.reduce(0, +)
    }
    #expect(counts > 40)
    #expect(node.figure("weir_config_generation") == 41)
    try await node.expectOneGeneration()
  }
}
