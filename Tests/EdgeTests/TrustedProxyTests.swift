import EdgeTesting
import EventLoop
import Metrics
import Testing

/// Whose word is taken about whom a request is from.
@Suite struct TrustedProxyTests {
  static let limit = "limit few { token_bucket 1/d; }"

  private func node(_ trusted: String) async throws -> (TestNode, ScriptedOrigin) {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    let node = try TestNode.limited(
      "\(Self.limit) trusted_proxies \(trusted);", route: "limit few;", origin: origin)
    return (node, origin)
  }

  @Test func `a trusted proxy says whom a request is from`() async throws {
    let (node, origin) = try await node("127.0.0.1 10.0.0.0/8")
    defer { withExtendedLifetime(origin) {} }
    #expect(try await node.statuses(2, "/", "X-Forwarded-For: 192.0.2.1") == [200, 429])
    let two = "X-Forwarded-For: 192.0.2.2, 10.1.1.1"
    #expect(try await node.statuses(2, "/", two) == [200, 429])
    // What stands left of the first stranger is the stranger's word.
    let spoofed = "X-Forwarded-For: 203.0.113.9, 192.0.2.2"
    #expect(try await node.statuses(1, "/", spoofed) == [429])
    #expect(try await node.statuses(1, "/", "X-Forwarded-For: 2001:db8::1") == [200])
    // The rest of its /64 is the same customer.
    #expect(try await node.statuses(1, "/", "X-Forwarded-For: 2001:db8::2") == [429])
    #expect(
      origin.requests.map { $0.header("x-forwarded-for") } == [
        "192.0.2.1", "192.0.2.2", "2001:db8::1",
      ])
    #expect(
      origin.requests.map { $0.header("forwarded")?.split(separator: ";").first } == [
        "for=192.0.2.1", "for=192.0.2.2", "for=\"[2001:db8::1]\"",
      ])
    let logged = try node.log().compactMap { $0["client"]?.string }
    #expect(
      logged.sorted() == [
        "192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.2", "192.0.2.2", "2001:db8::1",
        "2001:db8::2",
      ])
  }

  @Test(arguments: [
    "X-Forwarded-For: 192.0.2.1", "Forwarded: for=192.0.2.1", "X-Real-IP: 192.0.2.1",
    "X-Forwarded-For: 127.0.0.1, 192.0.2.1", "CF-Connecting-IP: 192.0.2.1",
  ])
  func `nobody else's word is taken`(_ field: String) async throws {
    let (node, origin) = try await node("10.0.0.0/8")
    defer { withExtendedLifetime(origin) {} }
    #expect(try await node.statuses(1, "/", field) == [200])
    #expect(try await node.statuses(1, "/", field + "7") == [429])
    #expect(origin.requests.first?.header("x-forwarded-for") == "127.0.0.1")
  }

  @Test func `one field counts, and the other is a stranger's`() async throws {
    let (node, origin) = try await node("127.0.0.1 field=forwarded")
    defer { withExtendedLifetime(origin) {} }
    #expect(try await node.statuses(1, "/", "Forwarded: for=192.0.2.1;proto=https") == [200])
    #expect(try await node.statuses(1, "/", "Forwarded: for=\"[2001:db8::1]:80\"") == [200])
    #expect(try await node.statuses(1, "/", "X-Forwarded-For: 192.0.2.9") == [200])
    #expect(try await node.statuses(1, "/", "X-Forwarded-For: 192.0.2.10") == [429])
    #expect(try await node.statuses(1, "/", "Forwarded: for=192.0.2.1;;=") == [400])
    #expect(origin.requests.last?.header("x-forwarded-for") == "127.0.0.1")
  }

  // MARK: The PROXY protocol

  private func behindProxy(_ trusted: String = "127.0.0.1") async throws -> (
    TestNode, ScriptedOrigin
  ) {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    let node = try TestNode.start(
      configuration: """
        workers 1; listen 127.0.0.1:0 proxy_protocol; \(Self.limit) trusted_proxies \(trusted);
        limit opens { connections 1/d burst=2; }
        origin app 127.0.0.1:\(origin.port); site * { origin app; route / { limit few; } }
        """, directory: TemporaryDirectory())
    return (node, origin)
  }

  private func version2(_ last: UInt8) -> [UInt8] {
    [0x0D, 0x0A, 0x0D, 0x0A, 0, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A, 0x21, 0x11, 0, 12]
      + [192, 0, 2, last, 127, 0, 0, 1, 0x30, 0x39, 0x1F, 0x90]
  }

  @Test func `the PROXY protocol says whom a connection is from`() async throws {
    let (node, origin) = try await behindProxy()
    defer { withExtendedLifetime(origin) {} }
    let first = try await node.connect()
    try await first.write("PROXY TCP4 192.0.2.1 127.0.0.1 4000 80\r\n")
    #expect(try await first.get("/").status == 200)
    #expect(try await first.get("/").status == 429)
    let second = try await node.connect()
    for byte in version2(2) { try await second.write([byte]) }
    #expect(try await second.get("/").status == 200)
    // Whatever it says itself.
    #expect(try await second.get("/", ["X-Forwarded-For: 192.0.2.77"]).status == 429)
    #expect(
      origin.requests.map { $0.header("x-forwarded-for") } == ["192.0.2.1", "192.0.2.2"])
  }

  @Test func `where a proxy does not know its client, no client says who it is`() async throws {
    let (node, origin) = try await behindProxy()
    defer { withExtendedLifetime(origin) {} }
    let client = try await node.connect()
    try await client.write("PROXY UNKNOWN\r\n")
    #expect(try await client.get("/", ["X-Forwarded-For: 192.0.2.1"]).status == 200)
    #expect(try await client.get("/", ["X-Forwarded-For: 192.0.2.2"]).status == 429)
    #expect(origin.requests.map { $0.header("x-forwarded-for") } == ["127.0.0.1"])
  }

  @Test func `connections are counted by whom they are from`() async throws {
    let (node, origin) = try await behindProxy()
    defer { withExtendedLifetime(origin) {} }
    for number in 0..<4 {
      let client = try await node.connect()
      try await client.write("PROXY TCP4 192.0.2.\(number / 3) 127.0.0.1 4000 80\r\n")
      if number == 2 {
        _ = try await client.readToEnding()
      } else {
        _ = try await client.get("/").status
      }
    }
    #expect(node.count(.connectionsLimited) == 1)
  }

  @Test(arguments: [
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "PROXY TCP4 192.0.2.1\r\n", "PROXY TCP9 a b 1 2\r\n",
  ])
  func `a connection without a PROXY header is closed`(_ text: String) async throws {
    let (node, origin) = try await behindProxy()
    defer { withExtendedLifetime(origin) {} }
    let client = try await node.connect()
    try await client.write(text)
    let (bytes, _) = try await client.readToEnding()
    #expect(bytes.isEmpty && origin.requests.isEmpty)
    #expect(node.count(.requestsRejected) == 1)
  }

  @Test func `a stranger does not speak the PROXY protocol`() async throws {
    let (node, origin) = try await behindProxy("10.0.0.0/8")
    defer { withExtendedLifetime(origin) {} }
    let client = try await node.connect()
    _ = try await client.readToEnding()
    #expect(node.count(.connectionsRefused) == 1)
  }

  @Test func `a PROXY header that does not come is not waited for for ever`() async throws {
    let (node, origin) = try await behindProxy()
    defer { withExtendedLifetime(origin) {} }
    let client = try await node.connect()
    try await client.write("PROXY TCP4")
    try await eventually("the connection") { node.count(.connectionsAccepted) == 1 }
    try await node.expect(.bytesReceived, reaches: 10)
    node.advance(seconds: 11)
    _ = try await client.readToEnding()
  }
}
