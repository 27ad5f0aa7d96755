import EdgeTesting
import Node
import Testing

/// What requests are called: to the origin, to the client, in the log.
@Suite struct RequestIDTests {
  private static func origin() async throws -> ScriptedOrigin {
    try await ScriptedOrigin.answering { request in
      Reply(
        200, ["Cache-Control: max-age=60", "X-Request-Id: the-origins"],
        request.header("x-request-id") ?? "-")
    }
  }

  private func node(_ origin: ScriptedOrigin, _ policy: String) throws -> TestNode {
    try TestNode.start(
      origin: origin.port, route: "error_page 502 text \"{request_id}\";",
      top: "request_id \(policy); trusted_proxies 127.0.0.2;")
  }

  private func ask(
    _ node: TestNode, _ target: String, from: String? = nil, id: String? = nil
  ) async throws -> PeerResponse {
    let client = try await RawClient.connect(to: node.port, from: from)
    defer { client.close() }
    return try await client.get(target, id.map { ["X-Request-Id: \($0)"] } ?? [])
  }

  @Test func `a name is made for each request, hits too, and the log has it`() async throws {
    let origin = try await Self.origin()
    let node = try node(origin, "make")
    let first = try await ask(node, "/", id: "mine")
    let id = try #require(first.header("X-Request-Id"))
    #expect(id.count == 32 && id != "mine" && first.text == id)
    #expect(first.headers("X-Request-Id").count == 1)
    try await node.settle()
    let hit = try await ask(node, "/")
    #expect(hit.isHit && hit.text == id)
    let other = try #require(hit.header("X-Request-Id"))
    #expect(other != id && hit.headers("X-Request-Id") == [other])
    let log = try node.log()
    #expect(log.map { $0["request_id"]?.string } == [id, other])
  }

  @Test(
    arguments: [
      ("off", "127.0.0.2", "given", "the-origins"), ("make", "127.0.0.2", "given", nil),
      ("trusted", "127.0.0.2", "given", "given"), ("trusted", "127.0.0.3", "given", nil),
      ("always", "127.0.0.3", "given", "given"), ("always", "127.0.0.3", "not plain", nil),
    ] as [(String, String, String, String?)])
  func `who is heard depends`(
    _ policy: String, _ from: String, _ id: String, _ expected: String?
  ) async throws {
    let origin = try await Self.origin()
    let node = try node(origin, policy)
    let answer = try await ask(node, "/", from: from, id: id)
    let said = try #require(answer.header("X-Request-Id"))
    if let expected { #expect(said == expected) } else { #expect(said.count == 32) }
    #expect(answer.text == (policy == "off" ? id : said))
  }

  @Test func `an error page says the same name as the field`() async throws {
    let origin = try await Self.origin()
    let node = try node(origin, "always")
    await origin.stop()
    let answer = try await ask(node, "/", id: "abc-1")
    #expect(answer.status == 502 && answer.text == "abc-1")
    #expect(answer.headers("X-Request-Id") == ["abc-1"])
    #expect(try node.log().first?["request_id"]?.string == "abc-1")
  }

  /// What a request has left behind is another client's.
  @Test(
    arguments: [
      "X-Forwarded-For: 192.0.2.1:99999x", "Forwarded: for=\"", "Host: b", "A b: c",
    ])
  func `a request that is refused as malformed has no name of another client's`(
    line: String
  ) async throws {
    let origin = try await Self.origin()
    let node = try node(origin, "always")
    #expect(try await ask(node, "/", id: "theirs").header("X-Request-Id") == "theirs")
    let client = try await RawClient.connect(to: node.port, from: "127.0.0.2")
    defer { client.close() }
    try await client.write("GET / HTTP/1.1\r\nHost: a\r\n\(line)\r\n\r\n")
    let answer = try await client.readResponse()
    #expect(answer.status == 400 || answer.status == 200)
    #expect(answer.header("X-Request-Id") != "theirs" && answer.text != "theirs")
    try await eventually("both are in the log") { try node.log().count == 2 }
    #expect(try node.log().last?["request_id"]?.string != "theirs")
  }
}
