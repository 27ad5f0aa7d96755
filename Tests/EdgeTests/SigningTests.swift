import Bytes
import Edge
import EdgeTesting
import EventLoop
import Node
import RequestSigning
import Testing

/// Signed requests to an origin, as it gets them.
@Suite struct SigningTests {
  @Test func `each try is signed`() async throws {
    let failing = try await ScriptedOrigin.answering { _ in Reply(503, [], "later") }
    let good = try await ScriptedOrigin.answering { _ in Reply(200, [], "ok") }
    let node = try node(
      failing.port, pool: "server 127.0.0.1:\(good.port); retries 1 pause=0ms; ejection off;",
      host: "host h.example;")
    for _ in 0..<4 { #expect(try await node.get("/").text == "ok") }
    #expect(!failing.requests.isEmpty && good.requests.count == 4)
    for request in failing.requests + good.requests {
      #expect(request.header("host") == "h.example")
      try expectSigned(request)
    }
  }

  @Test func `the day's key is another after midnight`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "ok") }
    let node = try node(origin.port)
    _ = try await node.get("/")
    node.advance(seconds: 86_400)
    _ = try await node.get("/")
    #expect(
      origin.requests.map { $0.header("x-amz-date") } == ["20260101T000000Z", "20260102T000000Z"])
    for request in origin.requests { try expectSigned(request) }
  }

  @Test func `credentials that another program renews are used at once`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "ok") }
    let directory = try TemporaryDirectory()
    let node = try node(origin.port, directory: directory)
    let running = try #require(node.node)
    _ = try await node.get("/")
    try directory.writeSecret("keys", Self.file(secret: "second", token: "renewed"))
    #expect(running.reloadFiles().map(\.problem) == [nil])
    _ = try await node.get("/")
    try directory.writeSecret("keys", "[default]\naws_access_key_id = half")
    #expect(
      running.reloadFiles().map(\.problem) == ["[default] has no aws_secret_access_key"])
    _ = try await node.get("/")
    let requests = origin.requests
    try expectSigned(requests[0])
    for request in requests[1...] {
      try expectSigned(request, secret: "second", token: "renewed")
    }
  }

  @Test func `over HTTP_2 requests are signed for the authority`() async throws {
    let origin = try SharedFront { _, _ in .response(200, [], "ok") }
    let authority = try EdgeCertificates.shared.get().authority
    let node = try node(
      origin.port, pool: "tls { trusted_ca \(authority); }", host: "host h.example;")
    #expect(try await node.get("/a+b", "Authorization: Bearer x").text == "ok")
    #expect(origin.seen.value.connections == 1)
    let fields = try #require(origin.seen.value.fields.first)
    #expect(origin.seen.value.requests == ["GET /a%2Bb"])
    try expectSigned("GET /a%2Bb", fields)
  }

  @Test func `checks of the servers are signed, with what credentials say at the time`()
    async throws
  {
    let origin = try await ScriptedOrigin.answering { request in
      request.header("authorization") == nil ? Reply(403) : Reply(200, [], "ok")
    }
    let directory = try TemporaryDirectory()
    let node = try node(
      origin.port, pool: "health GET /?list-type=2&max-keys=1 every=1s timeout=60s;",
      host: "host h.example;", directory: directory)
    let running = try #require(node.node)
    /// A check begins when its time has come and the one before is over, which the test cannot see: so time
    /// goes on now and then.
    func checks(reach count: Int) async throws {
      var looks = 0
      try await eventually("\(count) checks") {
        if looks % 50 == 0 { node.advance(seconds: 2) }
        looks += 1
        return origin.requests.count >= count
      }
    }
    try await checks(reach: 1)
    try directory.writeSecret("keys", Self.file(secret: "second", token: "renewed"))
    #expect(running.reloadFiles().map(\.problem) == [nil])
    let before = origin.requests.count
    // One may have been under way.
    try await checks(reach: before + 2)
    let requests = origin.requests
    for request in requests {
      #expect(request.target == "/?list-type=2&max-keys=1" && request.header("host") == "h.example")
    }
    try expectSigned(requests[0])
    for request in requests[(before + 1)...] {
      try expectSigned(request, secret: "second", token: "renewed")
    }
    #expect(!node.notes.value.contains { $0.contains("is down") })
  }

  @Test func `checks are signed from the reload on that says so`() async throws {
    let origin = try await ScriptedOrigin.answering { request in
      request.header("authorization") == nil ? Reply(403) : Reply(200, [], "ok")
    }
    let directory = try TemporaryDirectory()
    try directory.writeSecret("keys", Self.file(secret: "first"))
    let host = "host h.example; health GET /x every=50ms timeout=60s fall=1 rise=1;"
    func text(sign: String) -> String {
      """
      workers 1;
      listen 127.0.0.1:0;
      \(TestNode.adminBlock)
      origin app { server 127.0.0.1:\(origin.port); \(host) \(sign) }
      site * { origin app; }
      """
    }
    let node = try TestNode.start(
      configuration: text(sign: ""), directory: directory, clock: NodeClock())
    func isNoted(_ text: String) async throws {
      try await eventually(text) { node.notes.value.contains { $0.contains(text) } }
    }
    try await isNoted("is down: wrong_status")
    let signed = text(sign: "sign aws4 { region r-1; credentials keys; }")
    #expect(try await node.reload(signed).status == 200)
    try await isNoted("is up again")
  }

  @Test func `what is not to be signed is refused, and reaches nobody`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "ok") }
    let node = try node(origin.port)
    for method in ["POST", "DELETE", "OPTIONS", "BREW"] {
      // With content that nobody reads the connection ends.
      let client = try await node.connect()
      defer { client.close() }
      let answer = try await client.request(method, "/", body: method == "POST" ? "x" : nil)
      #expect(answer.status == 405 && answer.header("allow") == "GET, HEAD")
    }
    #expect(origin.requests.isEmpty)
    try await node.expectNothingLeft()
  }

  // MARK: Checking

  private static func file(secret: String, token: String? = nil) -> String {
    "[default]\naws_access_key_id = AKID\naws_secret_access_key = \(secret)\n"
      + (token.map { "aws_session_token = \($0)\n" } ?? "")
  }

  private func node(
    _ port: UInt16, pool: String = "", host: String = "", directory: TemporaryDirectory? = nil
  ) throws -> TestNode {
    let directory = try directory ?? TemporaryDirectory()
    try directory.writeSecret("keys", Self.file(secret: "first"))
    return try TestNode.start(
      origin: port, pool: "sign aws4 { region r-1; credentials keys; } \(host) \(pool)",
      store: nil, workers: 1, directory: directory)
  }

  /// Whether a request has the signature of its own head. (That signatures are right is for the module's
  /// own tests; here it is whether what was signed is what was sent.)
  private func expectSigned(
    _ request: PeerRequest, secret: String = "first", token: String? = nil
  ) throws {
    try expectSigned(
      "\(request.method) \(request.target)", request.fields, secret: secret, token: token)
  }

  private func expectSigned(
    _ line: String, _ fields: [PeerField], secret: String = "first", token: String? = nil
  ) throws {
    let credentials = try #require(
      SigningCredentials(accessKey: "AKID", secretKey: secret, sessionToken: token))
    var lines = "\(line) HTTP/1.1"
    for field in fields { lines += "\r\n\(field)" }
    var head = ByteBuffer()
    head.append(text: lines + "\r\n\r\n")
    var output = ByteBuffer()
    let date = try #require(fields.value(of: "x-amz-date"))
    try RequestSigner(region: "r-1", service: "s3").sign(
      head.view, content: .none, at: milliseconds(date), for: credentials, to: &output)
    let given = try #require(fields.value(of: "authorization"))
    #expect(output.view.string.contains("\r\nauthorization: \(given)\r\n"), "\(given)")
    #expect(fields.value(of: "x-amz-security-token") == token)
  }

  /// The time that a date of the year's first days stands for.
  private func milliseconds(_ date: String) -> Int64 {
    let digits = date.utf8.compactMap { 0x30...0x39 ~= $0 ? Int64($0 - 0x30) : nil }
    func two(_ index: Int) -> Int64 { digits[index] * 10 + digits[index + 1] }
    let seconds = ((two(6) - 1) * 24 + two(8)) * 3_600 + two(10) * 60 + two(12)
    return TestNode.start + seconds * 1_000
  }
}
