import EdgeTesting
import Metrics
import Node
import Testing

/// HTTP/1.1 over TLS, with curl and openssl as clients.
@Suite struct TLSTests {
  static func origin() async throws -> ScriptedOrigin {
    try await ScriptedOrigin.answering { request in
      let proto = request.header("x-forwarded-proto") ?? "none"
      let forwarded = request.header("forwarded") ?? ""
      return Reply(
        200, ["Cache-Control: max-age=60", "Proto: \(proto)"],
        "\(request.target) \(forwarded.hasSuffix("proto=https")) \(request.header("via") ?? "")\n")
    }
  }

  @Test(arguments: ["--tlsv1.3", "--tls-max"])
  func `a request by TLS is answered, forwarded as https, and stored`(
    _ version: String
  ) async throws {
    let origin = try await Self.origin()
    let secure = try await SecureNode.start(origin: origin.port)
    let choice = version == "--tls-max" ? [version, "1.2"] : [version]
    let first = try await secure.curl("/x", ["--http1.1"] + choice)
    #expect(first.status == 0, "\(first.output)")
    #expect(first.output.contains("HTTP/1.1 200"))
    #expect(first.output.lowercased().contains("proto: https"))
    #expect(first.output.hasSuffix("/x true 1.1 weir\n"))
    try await secure.node.settle()
    let second = try await secure.curl("/x", ["--http1.1"] + choice)
    #expect(second.output.contains("weir; hit"), "\(second.output)")
    #expect(secure.node.count(version == "--tlsv1.3" ? .connectionsTLS13 : .connectionsTLS12) == 2)
    #expect(secure.node.count(.handshakesFull) == 2)
    #expect(secure.node.count(.connectionsOverHTTP1) == 2)
    let node = secure.node
    try await eventually("the connections to end") {
      node.count(.connectionsAccepted) == node.count(.connectionsClosed)
    }
  }

  @Test func `http and https are two URIs`() async throws {
    let origin = try await Self.origin()
    let secure = try await SecureNode.start(
      origin: origin.port, listen: "listen 127.0.0.1:0 tls; listen 127.0.0.1:0;")
    let port = secure.node.lastPort
    let plain = try await RawClient.connect(to: port)
    let first = try await plain.get("/x", host: "a.example:\(secure.node.port)")
    #expect(first.header("proto") == "http")
    try await secure.node.settle()
    let other = try await secure.curl("/x", ["--http1.1"])
    #expect(other.output.lowercased().contains("proto: https"))
    #expect(!other.output.contains("weir; hit"))
  }

  @Test(arguments: [0, 1, 1_400, 16_384, 100_000, 3_000_000])
  func `contents of all sizes come whole, stored or not`(_ size: Int) async throws {
    let origin = try await ScriptedOrigin.answering { request in
      let fields =
        request.target.hasPrefix("/stored") ? ["Cache-Control: max-age=60"] : []
      return Reply(
        200, fields,
        String(repeating: "0123456789abcdef", count: size / 16 + 1).prefix(size).description)
    }
    let secure = try await SecureNode.start(origin: origin.port)
    for target in ["/passed", "/stored", "/stored"] {
      let file = secure.directory.file("down")
      let outcome = try await Program.run([
        "curl", "-sS", "--http1.1", "--max-time", "30", "--cacert", secure.certificates.authority,
        "--resolve", "a.example:\(secure.node.port):127.0.0.1", "-o", file, "-w",
        "%{http_code} %{size_download}", secure.url(target),
      ])
      #expect(outcome.output == "200 \(size)", "\(target)")
      try await secure.node.settle()
    }
  }

  @Test func `requests with content are passed on`() async throws {
    let origin = try await ScriptedOrigin.answering { request in
      Reply(200, [], "\(request.body.count)")
    }
    let secure = try await SecureNode.start(origin: origin.port)
    let file = try secure.directory.write("up", [UInt8](repeating: 7, count: 500_000))
    let outcome = try await secure.curl("/up", ["--http1.1", "--data-binary", "@\(file)"])
    #expect(outcome.output.hasSuffix("\r\n500000"), "\(outcome.output)")
  }

  @Test func `a content that breaks off ends without a close_notify`() async throws {
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      try await connection.write("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nonly this")
      connection.reset()
    }
    let secure = try await SecureNode.start(origin: origin.port)
    let outcome = try await secure.curl("/x", ["--http1.1"])
    #expect(outcome.status == 56 || outcome.status == 18, "\(outcome.status) \(outcome.output)")
  }

  @Test func `a connection that ends with its response says so`() async throws {
    let origin = try await Self.origin()
    let secure = try await SecureNode.start(origin: origin.port)
    // Of a response that ends with the connection curl accepts only an end with a close_notify.
    let outcome = try await secure.curl("/x", ["--http1.0"])
    #expect(outcome.status == 0, "\(outcome.output)")
  }

  @Test func `a name that another certificate is for is shown that, and is misdirected else`()
    async throws
  {
    let origin = try await Self.origin()
    let secure = try await SecureNode.start(
      origin: origin.port,
      sites: """
        site a.example { origin app; }
        site b.example { origin app; certificate b.pem key b.key; }
        """, leaves: ["b": "DNS:b.example"])
    let right = try await secure.curl("/x", host: "b.example", ["--http1.1"])
    #expect(right.status == 0 && right.output.contains("HTTP/1.1 200"), "\(right.output)")
    let wrong = try await secure.curl("/x", ["--http1.1", "-H", "Host: b.example"])
    #expect(wrong.output.contains("HTTP/1.1 421"), "\(wrong.output)")
  }

  @Test func `plain HTTP is redirected, but for what proves a name`() async throws {
    let origin = try await Self.origin()
    let secure = try await SecureNode.start(
      origin: origin.port, site: "redirect_to_https; hsts 1d include_subdomains;",
      listen: "listen 127.0.0.1:0 tls; listen 127.0.0.1:0;")
    let port = secure.node.lastPort
    let plain = try await RawClient.connect(to: port)
    let response = try await plain.get("/x?y=z", host: "A.example:80")
    #expect(response.status == 308)
    #expect(response.header("location") == "https://a.example/x?y=z")
    #expect(response.header("strict-transport-security") == nil)
    let proof = try await plain.get("/.well-known/acme-challenge/token", host: "a.example")
    #expect(proof.status == 200)
    let encrypted = try await secure.curl("/x", ["--http1.1"])
    #expect(
      encrypted.output.contains("strict-transport-security: max-age=86400; includeSubDomains"))
  }

  @Test func `rules see the handshake`() async throws {
    let origin = try await Self.origin()
    let secure = try await SecureNode.start(
      origin: origin.port,
      route: """
        respond 200 "${scheme} ${tls.version} ${tls.sni} ${tls.cipher} ${tls.alpn}";
        """)
    let outcome = try await secure.curl("/x", ["--http1.1", "--tlsv1.3"])
    #expect(
      outcome.output.hasSuffix("https TLSv1.3 a.example TLS_AES_128_GCM_SHA256 http/1.1"),
      "\(outcome.output)")
  }

  @Test func `rules and limits know a client by its hello`() async throws {
    let origin = try await Self.origin()
    let secure = try await SecureNode.start(
      origin: origin.port, top: "limit programs { token_bucket 1/s burst=2; key tls.ja4; }",
      listen: "listen 127.0.0.1:0 tls; listen 127.0.0.1:0;",
      sites: """
        site * {
          route /x { origin app; log program tls.ja4; respond 200 "[${tls.ja4}]"; }
          route / { origin app; limit programs; }
        }
        """)
    let first = try await secure.curl("/x", ["--http1.1"])
    let form = /\[t13d[0-9]{4}h1_[0-9a-f]{12}_[0-9a-f]{12}\]/
    let shown = try #require(first.output.firstMatch(of: form), "\(first.output)")
    let second = try await secure.curl("/x", ["--http1.1"])
    #expect(second.output.contains(shown.0), "\(second.output)")
    let line = try #require(try secure.node.log().first)
    #expect(line["tls"]?.string == "TLSv1.3")
    #expect(line["cipher"]?.string == "TLS_AES_128_GCM_SHA256")
    #expect(line["program"]?.string.map { "[\($0)]" } == String(shown.0), "\(line)")
    // Another program, as far as its hello goes.
    let other = ["--http2", "--tls-max", "1.2"]
    #expect(try await secure.curl("/x", other).output.contains("[t12d"))
    for status in ["200", "200", "429"] {
      let outcome = try await secure.curl("/limited", ["--http1.1"])
      #expect(outcome.output.hasPrefix("HTTP/1.1 \(status)"), "\(outcome.output)")
    }
    #expect(try await secure.curl("/limited", other).output.hasPrefix("HTTP/2 200"))
    // Without a hello there is none, and nothing to count by.
    let plain = try await RawClient.connect(to: secure.node.lastPort)
    #expect(try await plain.get("/x").text == "[]")
    for _ in 0..<4 { #expect(try await plain.get("/limited").status == 200) }
  }

  @Test func `a client's certificate is known to rules`() async throws {
    let origin = try await Self.origin()
    let secure = try await SecureNode.start(
      origin: origin.port,
      route: "respond 200 \"[${tls.client.subject}]\";",
      top: "tls { verify optional; client_ca ca.pem; }")
    try await secure.certificates.leaf("client", "DNS:client", subject: "/O=Shop/CN=Ann")
    let without = try await secure.curl("/x", ["--http1.1"])
    #expect(without.output.hasSuffix("[]"), "\(without.output)")
    let with = try await secure.curl(
      "/x",
      [
        "--http1.1", "--cert", secure.directory.file("client.pem"), "--key",
        secure.directory.file("client.key"),
      ])
    #expect(with.output.hasSuffix("[CN=Ann,O=Shop]"), "\(with.output)")
  }

  @Test func `a client must have a certificate where one is required`() async throws {
    let origin = try await Self.origin()
    let secure = try await SecureNode.start(
      origin: origin.port, top: "tls { verify required; client_ca ca.pem; }")
    let without = try await secure.curl("/x", ["--http1.1"])
    #expect(without.status != 0)
    try await secure.node.expect(.handshakesFailed, reaches: 1)
  }

  @Test func `plain HTTP on a port with TLS is told so`() async throws {
    let origin = try await Self.origin()
    let secure = try await SecureNode.start(origin: origin.port)
    let client = try await secure.node.connect()
    let response = try await client.get("/x")
    #expect(response.status == 400)
  }

  @Test func `who says nothing, or half a hello, is closed in time`() async throws {
    let origin = try await Self.origin()
    let secure = try await SecureNode.start(
      origin: origin.port, top: "tls { handshake_timeout 5s; }")
    let silent = try await secure.node.connect()
    let halting = try await secure.node.connect()
    try await halting.write([22, 3, 1, 1, 0, 1])
    try await secure.node.expect(.connectionsAccepted, reaches: 2)
    secure.node.advance(seconds: 6)
    _ = try await silent.readToEnding()
    _ = try await halting.readToEnding()
    #expect(secure.node.count(.handshakeTimeouts) == 2)
  }

  @Test func `handshakes beyond their rate wait, and are not refused`() async throws {
    let origin = try await Self.origin()
    let secure = try await SecureNode.start(origin: origin.port, top: "tls { handshakes 5/s; }")
    let node = secure.node
    async let answers = withThrowingTaskGroup(of: Int32.self) { group in
      for number in 0..<6 {
        group.addTask { try await secure.curl("/\(number)", ["--http1.1"]).status }
      }
      return try await group.reduce(into: [Int32]()) { $0.append($1) }
    }
    try await node.expect(.connectionsAccepted, reaches: 6)
    #expect(node.count(.handshakesFull) < 6)
    try await eventually("all to have had their turn") {
      node.advance(seconds: 0.2)
      return node.count(.handshakesFull) >= 6
    }
    #expect(try await answers == [0, 0, 0, 0, 0, 0])
  }

  @Test func `a PROXY header comes before the handshake`() async throws {
    let origin = try await Self.origin()
    let secure = try await SecureNode.start(
      origin: origin.port, top: "trusted_proxies 127.0.0.0/8;",
      listen: "listen 127.0.0.1:0 tls proxy_protocol;")
    let outcome = try await secure.curl("/x", ["--http1.1", "--haproxy-protocol"])
    #expect(outcome.status == 0, "\(outcome.output)")
  }

  @Test func `a WebSocket passes through TLS`() async throws {
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      try await connection.write(TunnelTests.switching + "hello from below")
    }
    let secure = try await SecureNode.start(origin: origin.port, route: "upgrade on;")
    let outcome = try await Program.run([
      "sh", "-c",
      """
      printf 'GET /chat HTTP/1.1\\r\\nHost: a.example\\r\\nConnection: Upgrade\\r\\nUpgrade: websocket\\r\\n\
      Sec-WebSocket-Key: x\\r\\n\\r\\n' | openssl s_client -quiet -servername a.example \
      -connect 127.0.0.1:\(secure.node.port) 2>/dev/null
      """,
    ])
    #expect(outcome.output.contains("101 Switching"), "\(outcome.output)")
    #expect(outcome.output.contains("hello from below"), "\(outcome.output)")
  }

  @Test func `a session is resumed`() async throws {
    let origin = try await Self.origin()
    let secure = try await SecureNode.start(origin: origin.port)
    let outcome = try await Program.run([
      "sh", "-c",
      """
      cd \(secure.directory.path); for i in 1 2; do
      printf 'GET /x HTTP/1.1\\r\\nHost: a.example\\r\\nConnection: close\\r\\n\\r\\n' | \
      openssl s_client -ign_eof -sess_out s -servername a.example -tls1_3 \
      $([ -f s ] && echo -sess_in s) -connect 127.0.0.1:\(secure.node.port) >/dev/null 2>&1; done
      """,
    ])
    #expect(outcome.status == 0, "\(outcome.output)")
    #expect(secure.node.count(.handshakesResumed) == 1)
  }
}

/// Certificates that change under a running node.
@Suite struct CertificateRenewalTests {
  /// The subject of the certificate that is shown.
  func shown(_ secure: SecureNode) async throws -> String {
    try await Program.run([
      "sh", "-c",
      "openssl s_client -servername a.example -connect 127.0.0.1:\(secure.node.port) 2>/dev/null"
        + " | openssl x509 -noout -subject | tr -d ' '",
    ]).output
  }

  @Test func `a certificate that was renewed is shown, and a bad one is not`() async throws {
    let origin = try await TLSTests.origin()
    let secure = try await SecureNode.start(origin: origin.port, top: "tls { watch off; }")
    let node = secure.node
    #expect(try await shown(secure).contains("CN=leaf"))
    let kept = try await node.connect()
    // The key of another: half of a renewal.
    try await secure.certificates.leaf("b", "DNS:a.example", subject: "/CN=renewed")
    try await Program.run([
      "cp", secure.directory.file("b.key"), secure.directory.file("a.key"),
    ])
    node.node?.reloadCertificates()
    try await eventually("what is wrong to be said") {
      node.notes.value.contains { $0.contains("not the private key of") }
    }
    #expect(try await shown(secure).contains("CN=leaf"))
    try await Program.run([
      "cp", secure.directory.file("b.pem"), secure.directory.file("a.pem"),
    ])
    node.node?.reloadCertificates()
    try await eventually("the new one to be read") {
      node.notes.value.contains("certificates: read anew")
    }
    #expect(try await shown(secure).contains("CN=renewed"))
    kept.close()
  }

  @Test func `files that change are noticed`() async throws {
    let origin = try await TLSTests.origin()
    let secure = try await SecureNode.start(origin: origin.port, top: "tls { watch 1s; }")
    let node = secure.node
    try await secure.certificates.leaf("a", "DNS:a.example", subject: "/CN=renewed")
    try await eventually("the new one to be read") {
      node.notes.value.last == "certificates: read anew"
    }
    #expect(try await shown(secure).contains("CN=renewed"))
  }

  @Test func `what proves a name is served from a directory, without TLS`() async throws {
    let origin = try await TLSTests.origin()
    let directory = try TemporaryDirectory()
    try directory.write("acme/.well-known/acme-challenge/token", "token.thumbprint")
    let secure = try await SecureNode.start(
      origin: origin.port, listen: "listen 127.0.0.1:0 tls; listen 127.0.0.1:0;",
      sites: """
        site * {
          redirect_to_https;
          route /.well-known/acme-challenge/ { files \(directory.file("acme")); }
          route / { origin app; }
        }
        """)
    let client = try await RawClient.connect(to: secure.node.lastPort)
    let proof = try await client.get("/.well-known/acme-challenge/token")
    #expect(proof.status == 200 && proof.text == "token.thumbprint")
    #expect(try await client.get("/other").status == 308)
  }
}
