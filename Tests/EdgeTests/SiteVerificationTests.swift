// Sites that demand a client's certificate beside sites that do not, on one listener: whatever a client says in
// its handshake and then in its requests, it gets to the former with a certificate only.

import EdgeTesting
import Metrics
import Testing

@Suite struct SiteVerificationTests {
  private static func start() async throws -> SecureNode {
    let origin = try await TLSTests.origin()
    let secure = try await SecureNode.start(
      origin: origin.port, listen: "listen 127.0.0.1:0 tls; listen 127.0.0.1:0;",
      sites: """
        site a.example {
          route / { origin app; respond 200 "open [${tls.client.subject}]"; }
        }
        site b.example *.deep.example {
          verify required;
          client_ca ca.pem;
          route / { origin app; respond 200 "closed [${tls.client.subject}]"; }
        }
        """,
      leaves: ["a": "DNS:a.example,DNS:b.example,DNS:*.deep.example,IP:127.0.0.1"])
    try await secure.certificates.leaf("client", "DNS:client", subject: "/O=Shop/CN=Ann")
    return secure
  }

  private static func certificate(_ secure: SecureNode) -> [String] {
    ["--cert", secure.directory.file("client.pem"), "--key", secure.directory.file("client.key")]
  }

  @Test(arguments: ["--http1.1", "--http2"])
  func `a site asks its own clients alone`(_ word: String) async throws {
    let secure = try await Self.start()
    let open = try await secure.curl("/x", [word])
    #expect(open.output.hasSuffix("open []"), "\(open.output)")
    let refused = try await secure.curl("/x", host: "b.example", [word])
    #expect(refused.status != 0, "\(refused.output)")
    let known = try await secure.curl("/x", host: "b.example", [word] + Self.certificate(secure))
    #expect(known.output.hasSuffix("closed [CN=Ann,O=Shop]"), "\(known.output)")
  }

  @Test(arguments: ["--http1.1", "--http2"])
  func `no other name leads to it`(_ word: String) async throws {
    let secure = try await Self.start()
    for host in ["b.example", "x.deep.example", "x.y.deep.example"] {
      for own in ["a.example", "127.0.0.1"] {
        let outcome = try await secure.curl(
          "/x", host: own, [word, "-H", "Host: \(host)"] + Self.certificate(secure))
        #expect(outcome.output.contains(" 421"), "\(own), then \(host): \(outcome.output)")
        #expect(!outcome.output.contains("closed"))
      }
    }
    // And none leads out of it.
    let outcome = try await secure.curl(
      "/x", host: "b.example", [word, "-H", "Host: a.example"] + Self.certificate(secure))
    #expect(outcome.output.contains(" 421"), "\(outcome.output)")
  }

  @Test func `names far below a wildcard of the site are asked, too`() async throws {
    let secure = try await Self.start()
    for host in ["x.deep.example", "x.y.deep.example"] {
      let refused = try await secure.curl("/x", host: host, ["-k"])
      #expect(refused.status != 0, "\(refused.output)")
      let known = try await secure.curl("/x", host: host, ["-k"] + Self.certificate(secure))
      #expect(known.output.hasSuffix("closed [CN=Ann,O=Shop]"), "\(known.output)")
    }
  }

  @Test func `it is not reached without TLS`() async throws {
    let secure = try await Self.start()
    let client = try await RawClient.connect(to: secure.node.lastPort)
    #expect(try await client.get("/x", host: "a.example").text.contains("open"))
    let refused = try await client.get("/x", host: "b.example")
    #expect(refused.status == 403)
  }

  @Test(arguments: ["-tls1_2", "-tls1_3"])
  func `a session of another site carries nobody in`(_ version: String) async throws {
    let secure = try await Self.start()
    func ask(_ host: String, _ words: String) async throws -> String {
      try await Program.run([
        "sh", "-c",
        """
        cd \(secure.directory.path)
        printf 'GET /x HTTP/1.1\\r\\nHost: \(host)\\r\\nConnection: close\\r\\n\\r\\n' | \
        openssl s_client -ign_eof -quiet \(version) -servername \(host) \(words) \
        -connect 127.0.0.1:\(secure.node.port) 2>&1
        """,
      ]).output
    }
    #expect(try await ask("a.example", "-sess_out s").contains("open"))
    #expect(try await ask("a.example", "-sess_in s").contains("open"))
    #expect(secure.node.count(.handshakesResumed) == 1, "a session is good for its own site")
    let stolen = try await ask("b.example", "-sess_in s")
    #expect(!stolen.contains("closed") && !stolen.contains("HTTP/1.1 200"), "\(stolen)")
    #expect(secure.node.count(.handshakesResumed) == 1)
    let own = "-cert client.pem -key client.key"
    #expect(try await ask("b.example", "\(own) -sess_out t").contains("closed [CN=Ann,O=Shop]"))
    #expect(try await ask("b.example", "\(own) -sess_in t").contains("closed [CN=Ann,O=Shop]"))
  }
}
