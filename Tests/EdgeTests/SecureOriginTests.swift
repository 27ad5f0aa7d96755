import EdgeTesting
import EventLoop
import Metrics
import Node
import TLS
import Testing

/// HTTPS to origins: who is believed, what is shown, what is kept.
@Suite struct SecureOriginTests {
  @Test func `a server that proves its name is spoken to by TLS, and connections are kept`()
    async throws
  {
    let pair = try await SecurePair("local")
    let node = try pair.node(pool: "tls { trusted_ca \(try pair.authority); }")
    let client = try await node.connect()
    for number in 0..<5 {
      let response = try await client.get("/\(number)")
      #expect(response.status == 200 && response.text == "/\(number)")
    }
    client.close()
    let seen = pair.front.seen.value
    #expect(seen.connections == 1 && seen.handshakes == 1 && seen.failures == 0)
    // An address is no server name (RFC 6066 §3).
    #expect(seen.names == [nil])
    try await node.expectNothingLeft()
    #expect(node.count(.originTLSHandshakes) == 1 && node.count(.originTLSErrors) == 0)
  }

  @Test func `a name is asked for, and is what the certificate must have`() async throws {
    let pair = try await SecurePair("app")
    let good = try pair.node(pool: "tls { trusted_ca \(try pair.authority); name app.example; }")
    #expect(try await good.get("/").status == 200)
    #expect(pair.front.seen.value.names == ["app.example"])
    let bad = try pair.node(pool: "tls { trusted_ca \(try pair.authority); name shop.example; }")
    try await refuses(bad, "tls_certificate_error")
  }

  @Test func `a certificate of an authority that is not believed is refused`() async throws {
    let pair = try await SecurePair("stranger")
    try await refuses(
      try pair.node(pool: "tls { trusted_ca \(try pair.authority); }"), "tls_certificate_error")
    // Nor is it by the system's.
    try await refuses(try pair.node(pool: "tls { }"), "tls_certificate_error")
    #expect(pair.origin.requests.isEmpty)
    // Unless everybody is.
    let blind = try pair.node(pool: "tls { verify off; }")
    #expect(try await blind.get("/").status == 200)
  }

  @Test func `a server that speaks no TLS is a 502`() async throws {
    let origin = try await ScriptedOrigin { connection in
      try await connection.write("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
      try await connection.waitUntilClosed()
    }
    let node = try TestNode.forwarding(to: origin, pool: "tls { }", workers: 1)
    try await refuses(node, "tls_protocol_error")
  }

  @Test func `a server that wants a certificate gets the node's`() async throws {
    let certificates = try EdgeCertificates.shared.get()
    let pair = try await SecurePair(
      "local",
      configured: { $0.clientVerification = .required(authorities: certificates.authority) })
    let (chain, key) = certificates.files("client")
    // Certificates are of today.
    let node = try pair.node(
      pool: "tls { trusted_ca \(certificates.authority); certificate \(chain) key \(key); }",
      clock: NodeClock())
    #expect(try await node.get("/").status == 200)
    #expect(pair.front.seen.value.clients == ["CN=node"])
    // TLS 1.3 tells the client after its handshake that something was missing.
    let none = try pair.node(pool: "tls { trusted_ca \(certificates.authority); }")
    #expect(try await none.get("/").status == 502)
  }

  @Test func `a new connection resumes the session of the one before`() async throws {
    let pair = try await SecurePair("local")
    let node = try pair.node(pool: "keepalive 0; tls { trusted_ca \(try pair.authority); }")
    for number in 0..<3 {
      #expect(try await node.get("/").status == 200)
      #expect(node.count(.originTLSResumptions) == number)
    }
    try await pair.front.seen.wait(for: "three handshakes") { $0.handshakes == 3 }
    #expect(pair.front.seen.value.resumed == 2)
    #expect(node.count(.originTLSResumptions) == 2)
    // A connection that is not kept is ended in TLS as well.
    try await pair.front.seen.wait(for: "three ends") { $0.closed == 3 }
  }

  @Test func `a server whose certificate is wrong is passed over`() async throws {
    let good = try await SecurePair("local")
    let bad = try await SecurePair("stranger")
    let node = try good.node(
      pool: "server 127.0.0.1:\(bad.front.port); tls { trusted_ca \(try good.authority); }")
    for _ in 0..<10 { #expect(try await node.get("/").status == 200) }
    #expect(bad.origin.requests.isEmpty && good.origin.requests.count == 10)
  }

  @Test func `large content goes through whole, both ways`() async throws {
    let size = 3 << 20
    let content = String(repeating: "0123456789abcdef", count: size / 16)
    let pair = try await SecurePair("local") { request in
      Reply(200, [], request.method == "POST" ? "\(request.body.count)" : content)
    }
    let node = try pair.node(pool: "tls { trusted_ca \(try pair.authority); }")
    let client = try await node.connect()
    let down = try await client.get("/large")
    #expect(down.text == content)
    let up = try await client.request("POST", "/", body: content)
    #expect(up.text == "\(size)")
    client.close()
    try await node.expectNothingLeft()
  }

  @Test func `content without an end of TLS is cut off, and not the end`() async throws {
    let pair = try await SecurePair(
      "local",
      script: { connection in
        _ = try await connection.readRequest()
        try await connection.write("HTTP/1.1 200 OK\r\n\r\nhalf")
      })
    pair.front.endsAbruptly = true
    let node = try pair.node(pool: "tls { trusted_ca \(try pair.authority); }")
    let client = try await node.connect()
    await #expect(throws: (any Error).self) { try await client.get("/") }
    client.close()
  }

  @Test func `checks go by TLS`() async throws {
    let good = try await SecurePair("local")
    let bad = try await SecurePair("stranger")
    let node = try TestNode.start(
      origin: good.front.port,
      pool: """
        server 127.0.0.1:\(bad.front.port); tls { trusted_ca \(try good.authority); }
        health GET /health every=50ms timeout=5s fall=1 rise=1;
        """, store: nil, workers: 1, clock: NodeClock())
    try await eventually("the bad one to be out") {
      let report = try await node.admin("GET", "/v1/origins")
      let servers = try JSONValue(parsing: report.text)["origins"]?[0]?["servers"]
      return servers?[1]?["last_check"]?.string == "tls_failed"
        && servers?[0]?["last_check"]?.string == "passed"
    }
    #expect(good.origin.requests.contains { $0.target == "/health" })
    #expect(bad.origin.requests.isEmpty)
  }

  private func refuses(_ node: TestNode, _ error: String) async throws {
    let response = try await node.get("/")
    #expect(response.status == 502)
    #expect(response.header("Proxy-Status") == "weir; error=\(error)")
  }
}

/// An origin and TLS before it.
private struct SecurePair {
  let origin: ScriptedOrigin
  let front: SecureFront

  init(
    _ certificate: String,
    answering answer: @escaping @Sendable (PeerRequest) async throws -> Reply = {
      Reply(200, [], $0.target)
    },
    configured change: (inout ServerTLSConfiguration) -> Void = { _ in }
  ) async throws {
    try await self.init(certificate, origin: .answering(answer), change)
  }

  init(_ certificate: String, script: @escaping ScriptedOrigin.Script) async throws {
    try await self.init(certificate, origin: ScriptedOrigin(script)) { _ in }
  }

  private init(
    _ certificate: String, origin: ScriptedOrigin,
    _ change: (inout ServerTLSConfiguration) -> Void
  ) async throws {
    self.origin = origin
    let (chain, key) = try EdgeCertificates.shared.get().files(certificate)
    var configuration = ServerTLSConfiguration(
      certificates: [CertificateFiles(chain: chain, key: key)])
    change(&configuration)
    front = try SecureFront(before: origin.port, configuration)
  }

  var authority: String { get throws { try EdgeCertificates.shared.get().authority } }

  func node(pool: String, clock: NodeClock? = nil) throws -> TestNode {
    try TestNode.start(origin: front.port, pool: pool, store: nil, workers: 1, clock: clock)
  }
}
