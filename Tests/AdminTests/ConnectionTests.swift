import EdgeTesting
import EventLoop
import Testing

@testable import Admin

@Suite("Connections")
struct ConnectionTests {
  static let health = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
  static let purgeHead =
    "POST /v1/purge HTTP/1.1\r\nHost: localhost\r\n\(AdminFixture.bearer)\r\n\(AdminFixture.json)\r\n"

  @Test func `a connection is kept, and pipelined requests are answered in order`() async throws {
    let admin = try AdminFixture()
    defer { admin.stop() }
    let client = try await admin.connect()
    try await client.write(Self.health + "GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n" + Self.health)
    #expect(try await client.readResponse().status == 200)
    #expect(try await client.readResponse().status == 404)
    #expect(try await client.readResponse().status == 200)
    try await client.write(Self.health, inPiecesOf: 1)
    #expect(try await client.readResponse().status == 200)
  }

  @Test func `a client that wants the connection closed is obeyed`() async throws {
    let admin = try AdminFixture()
    defer { admin.stop() }
    let client = try await admin.connect()
    let response = try await client.get("/healthz", host: "localhost", ["Connection: close"])
    #expect(response.header("connection") == "close")
    try await client.expectClosed()
  }

  @Test func `a client that has ended its side still gets its answers`() async throws {
    let admin = try AdminFixture()
    defer { admin.stop() }
    let client = try await admin.connect()
    try await client.write(Self.health + Self.health)
    client.endSending()
    for _ in 0..<2 { #expect(try await client.readResponse().status == 200) }
    try await client.expectClosed()
  }

  @Test func `HTTP/1.0 is served, and kept open on request`() async throws {
    let admin = try AdminFixture()
    defer { admin.stop() }
    let client = try await admin.connect()
    try await client.write("GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    #expect(try await client.readResponse().header("connection") == "keep-alive")
    try await client.write("GET /healthz HTTP/1.0\r\n\r\n")
    #expect(try await client.readResponse().header("connection") == "close")
    try await client.expectClosed()
  }

  @Test(arguments: [
    ("GET /healthz HTTP/1.1\r\n\r\n", 400), ("\u{16}\u{3}\u{1}\u{2}", 400),
    ("GET /healthz HTTP/1.1\nHost: localhost\n\n", 400),
    ("GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400),
    ("GET http://a/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ("GET /healthz HTTP/2.0\r\nHost: localhost\r\n\r\n", 505),
    (purgeHead + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    (purgeHead + "Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
    (purgeHead + "Transfer-Encoding: chunked\r\n\r\nx\r\n", 400),
    (purgeHead + "Content-Length: 2\r\nExpect: a miracle\r\n\r\n", 417),
    ("GET /\(String(repeating: "x", count: 8_192)) HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
    (
      "GET / HTTP/1.1\r\nHost: localhost\r\n" + String(repeating: "A: b\r\n", count: 100) + "\r\n",
      431
    ),
    ("GET / HTTP/1.1\r\nHost: localhost\r\nA: \(String(repeating: "x", count: 32_768))", 431),
  ])
  func `what is not a request is refused and ends the connection`(
    _ bytes: String, _ status: Int
  ) async throws {
    let admin = try AdminFixture()
    defer { admin.stop() }
    let client = try await admin.connect()
    try await client.write(bytes)
    let response = try await client.readResponse()
    #expect(response.status == status)
    #expect(response.problem == "malformed_request")
    #expect(response.header("connection") == "close")
    try await client.expectClosed()
  }

  // MARK: Content

  @Test func `content may come in chunks`() async throws {
    let admin = try AdminFixture(withStore: true)
    defer { admin.stop() }
    let client = try await admin.connect()
    try await client.write(
      Self.purgeHead + "Transfer-Encoding: chunked\r\n\r\n5;x=y\r\n{\"tag\r\n8\r\n\": \"a\"}\n\r\n"
        + "0\r\nTrailer: x\r\n\r\n" + Self.health, inPiecesOf: 7)
    #expect(try await client.readResponse().status == 200)
    #expect(try await client.readResponse().text == "ok\n")
  }

  @Test func `a client that waits for 100 is told to go on, or not`() async throws {
    let admin = try AdminFixture(withStore: true)
    defer { admin.stop() }
    let client = try await admin.connect()
    try await client.write(
      Self.purgeHead + "Content-Length: 12\r\nExpect: 100-continue\r\n\r\n")
    let interim = Array("HTTP/1.1 100 Continue\r\n\r\n".utf8)
    #expect(try await client.read(exactly: interim.count) == interim)
    try await client.write(#"{"tag": "a"}"#)
    #expect(try await client.readResponse().status == 200)
    try await client.write(
      Self.purgeHead + "Content-Length: 1048577\r\nExpect: 100-continue\r\n\r\n")
    let refused = try await client.readResponse()
    #expect(refused.status == 413)
    #expect(refused.interim.isEmpty)
    try await client.expectClosed()
  }

  @Test func `content up to 1 MiB is read`() async throws {
    let padding = String(repeating: " ", count: (1 << 20) - 12)
    let response = try await AdminFixture(withStore: true).purge(#"{"tag": "a"}"# + padding)
    #expect(response.status == 200)
  }

  @Test(arguments: [
    "Content-Length: 1048577\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n100001\r\n",
  ])
  func `more content than 1 MiB is refused`(_ framing: String) async throws {
    let admin = try AdminFixture(withStore: true)
    defer { admin.stop() }
    let client = try await admin.connect()
    try await client.write(Self.purgeHead + framing)
    try await client.write(String(repeating: "x", count: 1_048_577))
    let response = try await client.readResponse()
    #expect(response.status == 413)
    #expect(response.problem == "content_too_large")
    try await client.expectClosed()
  }

  @Test(arguments: [
    ([], "{}", 415, "not_json"), (["Content-Type: text/plain"], "{}", 415, "not_json"),
    (["Content-Type: application/x-www-form-urlencoded"], "{}", 415, "not_json"),
    (["Content-Type: application/json"], nil, 411, "length_required"),
    (["Content-Type: application/json"], "", 400, "invalid_json"),
    (["Content-Type: Application/JSON ; charset=utf-8"], "{}", 400, "invalid_purge"),
  ])
  func `content must be JSON and have a length`(
    _ fields: [String], _ body: String?, _ status: Int, _ problem: String
  ) async throws {
    let response = try await AdminFixture(withStore: true).ask(
      "POST", "/v1/purge", [AdminFixture.bearer] + fields, body: body)
    #expect(response.status == status)
    #expect(response.problem == problem)
  }

  @Test func `a purge takes no query`() async throws {
    let response = try await AdminFixture(withStore: true).ask(
      "POST", "/v1/purge?dry_run=1", [AdminFixture.bearer, AdminFixture.json],
      body: #"{"tag": "a"}"#)
    #expect(response.status == 400)
    #expect(response.problem == "unexpected_query")
  }

  @Test func `content that no route asked for ends the connection after the answer`() async throws {
    let admin = try AdminFixture()
    defer { admin.stop() }
    let client = try await admin.connect()
    let response = try await client.request(
      "GET", "/healthz", host: "localhost", body: "GET /x HTTP/1.1\r\n")
    #expect(response.status == 200)
    try await client.expectClosed()
  }

  // MARK: Time and number

  @Test func `a head that does not come to an end is given up`() async throws {
    let admin = try AdminFixture()
    defer { admin.stop() }
    let client = try await admin.connect()
    #expect(try await client.get("/healthz", host: "localhost").status == 200)
    try await client.write("GET /healthz HTTP/1.1\r\nHost: loc")
    let response = try await admin.whileTimePasses { try await client.readResponse() }
    #expect(response.status == 408)
    #expect(response.problem == "request_timeout")
    try await client.expectClosed()
  }

  @Test func `content that does not come to an end is given up`() async throws {
    let admin = try AdminFixture(withStore: true)
    defer { admin.stop() }
    let client = try await admin.connect()
    #expect(try await client.get("/healthz", host: "localhost").status == 200)
    try await client.write(Self.purgeHead + "Content-Length: 12\r\n\r\n{\"tag\"")
    let response = try await admin.whileTimePasses { try await client.readResponse() }
    #expect(response.status == 408)
    try await client.expectClosed()
    #expect(admin.notes.value.isEmpty)
  }

  @Test func `an idle connection, and one that never speaks, is closed`() async throws {
    let admin = try AdminFixture()
    defer { admin.stop() }
    let idle = try await admin.connect()
    #expect(try await idle.get("/healthz", host: "localhost").status == 200)
    let silent = try await admin.connect()
    try await admin.whileTimePasses {
      try await idle.expectClosed()
      try await silent.expectClosed()
    }
  }

  @Test func `a client that never ends its side after a refusal is closed all the same`()
    async throws
  {
    let admin = try AdminFixture()
    defer { admin.stop() }
    let client = try await admin.connect()
    try await client.write("x\r\n\r\n")
    #expect(try await client.readResponse().status == 400)
    try await client.expectClosed()
    try await admin.whileTimePasses {
      while (try? await client.write("x")) != nil { await Task.yield() }
    }
  }

  @Test func `beyond 64 connections the one that has been idle longest makes room`() async throws {
    let admin = try AdminFixture()
    defer { admin.stop() }
    var clients: [RawClient] = []
    for _ in 0...64 {
      let client = try await admin.connect()
      #expect(try await client.get("/healthz", host: "localhost").status == 200)
      clients.append(client)
      admin.clock.advance(nanoseconds: 1_000_000)
    }
    try await clients[0].expectClosed()
    #expect(try await clients[1].get("/healthz", host: "localhost").status == 200)
    #expect(try await clients[64].get("/healthz", host: "localhost").status == 200)
  }

  @Test func `stopping closes every connection`() async throws {
    let admin = try AdminFixture()
    defer { admin.stop() }
    let idle = try await admin.connect()
    let busy = try await admin.connect()
    for client in [idle, busy] {
      #expect(try await client.get("/healthz", host: "localhost").status == 200)
    }
    try await busy.write("GET /healthz HTTP")
    admin.stop()
    try await idle.expectClosed()
    #expect(try await busy.readToEnding().bytes.isEmpty)
  }
}
