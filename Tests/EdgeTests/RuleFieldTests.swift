import Authentication
import EdgeTesting
import Testing

/// Fields that rules set, against clients that would have them otherwise.
@Suite struct RuleFieldTests {
  /// An origin that says what it got of some fields.
  private static func origin(_ names: String...) async throws -> ScriptedOrigin {
    try await ScriptedOrigin.answering { request in
      let values = names.map { request.headers($0).joined(separator: ",") }
      return Reply(200, ["Cache-Control: public, max-age=60"], values.joined(separator: "|"))
    }
  }

  @Test(arguments: [
    ["Connection: x-country"], ["Connection: close, X-Country"],
    ["Connection: a", "Connection: b", "Connection: c", "Connection: d", "Connection: e"],
  ])
  func `a client cannot nominate what rules have set`(fields: [String]) async throws {
    let origin = try await Self.origin("x-country", "x-own")
    let node = try TestNode.start(origin: origin.port, route: #"set header.x-country "JP";"#)
    let own = fields + ["Connection: x-own", "X-Own: 1"]
    let response = try await node.connect().get("/", own)
    #expect(response.text == "JP|")
    try await node.settle()
    #expect(try await node.get("/").text == "JP|")
    try await node.expectAtRest()
  }

  @Test func `an upgrade goes through rules`() async throws {
    let origin = try await ScriptedOrigin { connection in
      let request = try await connection.readRequest()
      #expect(request.header("upgrade") == "chat" && request.header("x-country") == "JP")
      #expect(request.header("connection") == "upgrade")
      try await connection.write(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n")
      try await connection.waitUntilClosed()
    }
    let node = try TestNode.start(
      origin: origin.port, route: #"upgrade on; set header.x-country "JP";"#)
    let client = try await node.connect()
    try await client.send("GET", "/", ["Connection: Upgrade, x-country", "Upgrade: chat"])
    #expect(try await client.readResponseHead().status == 101)
    client.close()
  }

  @Test func `what an origin may take for a field that rules set or remove is gone with it`()
    async throws
  {
    let origin = try await Self.origin(
      "x-user", "x_user", "X_Gone", "x-gone", "user_agent", "x_more")
    let node = try TestNode.start(
      origin: origin.port,
      route: """
        set header.x-user "anna"; unset header.x-gone; set header.user-agent "weir";
        add header.x-more "1";
        """)
    let text = try await node.get(
      "/", "X_User: root", "x_uSER: root", "X_Gone: 1", "User_Agent: me", "X_More: 2"
    ).text
    #expect(text == "anna|||||2")
    try await node.expectAtRest()
  }

  @Test func `what a gate takes out is taken out in every spelling`() async throws {
    let made = try #require(try APIKeyLine.make(name: "shop", attributes: ""))
    let directory = try TemporaryDirectory()
    try directory.write("keys", made.line + "\n")
    let origin = try await Self.origin("x-api-key", "x_api_key")
    let node = try TestNode.start(
      origin: origin.port, route: "auth api_keys ./keys shared;", directory: directory)
    let text = try await node.get("/", "X-API-Key: \(made.key)", "X_API_Key: other").text
    #expect(text == "|")
    try await node.expectAtRest()
  }

  @Test func `rules may speak for proxies, clients may not`() async throws {
    let origin = try await Self.origin("x-real-ip", "x-forwarded-prefix", "x-forwarded-port")
    let node = try TestNode.start(
      origin: origin.port,
      route: #"set header.x-real-ip "${client.ip}"; add header.x-forwarded-prefix "/shop";"#)
    let text = try await node.get(
      "/", "X-Real-IP: 192.0.2.1", "X-Forwarded-Prefix: /evil", "X-Forwarded-Port: 1"
    ).text
    #expect(text == "127.0.0.1|/shop|")
    try await node.expectAtRest()
  }
}
