import Bytes
import CLinux
import EventLoop
import TLS
import Testing

@Suite struct HandshakeTests {
  @Test func `two ends agree on the newest version and verify the server`() throws {
    var ends = try Ends(serverContext(), clientContext())
    #expect(ends.serverResult == .done)
    #expect(ends.clientResult == .done)
    #expect(ends.server.version == .tls13)
    #expect(ends.server.serverName == "a.example")
    #expect(ends.server.cipherName == "TLS_AES_128_GCM_SHA256")
    #expect(ends.client.peerCertificate?.isVerified == true)
    #expect(ends.server.peerCertificate == nil)
    #expect(ends.pass("hello") == "hello")
  }

  @Test(
    arguments: [
      ("a.example", "a.example"), ("A.Example", "a.example"), ("x.w.example", "*.w.example"),
      ("127.0.0.1", ""),
    ])
  func `the server name chooses the certificate`(host: String, expected: String) throws {
    let server = try serverContext(host == "127.0.0.1" ? ["address", "ec"] : ["rsa", "wild"])
    let ends = try Ends(server, clientContext(), host: host)
    #expect(ends.clientResult == .done)
    let names = ends.client.peerCertificate?.names.compactMap(\.hostName) ?? []
    #expect(expected.isEmpty || names.contains(expected))
  }

  @Test(arguments: ["w.example", "x.y.w.example", "other.example", "xw.example"])
  func `a name no certificate has is shown the first one, or refused`(host: String) throws {
    let shown = try Ends(serverContext(["rsa", "wild"]), clientContext(), host: host)
    // X509_V_ERR_HOSTNAME_MISMATCH
    #expect(shown.clientResult.failure == .certificateRefused(62))
    let refusing = try serverContext(["rsa", "wild"]) { $0.refusesUnknownNames = true }
    let refused = try Ends(refusing, clientContext(), host: host)
    #expect(refused.clientResult.failure == .alert(112))
  }

  @Test(arguments: [TLSVersion.tls12, .tls13])
  func `certificates of both kinds stand side by side`(version: TLSVersion) throws {
    let server = try serverContext(["rsa", "ec"])
    let client = try clientContext { $0.maximumVersion = version }
    let ends = try Ends(server, client)
    #expect(ends.client.version == version)
    // a.example has both and gets the cheaper one; b.example has RSA only.
    #expect(ends.client.peerCertificate?.names == [.host("a.example")])
    let other = try Ends(server, client, host: "b.example")
    #expect(other.client.peerCertificate?.names.count == 2)
  }

  @Test func `names given by hand replace those of the certificate`() throws {
    var configuration = ServerTLSConfiguration(certificates: [
      try files("ec"), try files("wild", names: ["Made.Example"]),
    ])
    configuration.refusesUnknownNames = true
    let server = try ServerTLSContext(
      configuration, tickets: try #require(TicketKeyRing()), now: now)
    let client = try clientContext { $0.verifies = false }
    #expect(try Ends(server, client, host: "made.example").clientResult == .done)
    #expect(try Ends(server, client, host: "x.w.example").clientResult.failure == .alert(112))
  }

  @Test func `the server's order decides among protocols`() throws {
    let server = try serverContext()
    let both = try clientContext { $0.applicationProtocols = [.http1, .http2] }
    let ends = try Ends(server, both)
    #expect(ends.server.applicationProtocol == .http2)
    #expect(ends.client.applicationProtocol == .http2)
    let none = try Ends(server, clientContext { $0.applicationProtocols = [] })
    #expect(none.server.applicationProtocol == nil)
    let old = try Ends(server, clientContext())
    #expect(old.server.applicationProtocol == .http1)
  }

  @Test func `without a common protocol the handshake fails`() throws {
    let server = try serverContext { $0.applicationProtocols = [.http2] }
    let ends = try Ends(server, clientContext())
    #expect(ends.serverResult.failure == .noCommonProtocol)
    #expect(ends.clientResult.failure == .alert(120))
  }

  @Test func `a client that knows only an older version is refused`() throws {
    let server = try serverContext { $0.minimumVersion = .tls13 }
    let ends = try Ends(server, clientContext { $0.maximumVersion = .tls12 })
    #expect(ends.serverResult.failure == .version)
    #expect(ends.clientResult.failure == .alert(70))
  }

  @Test(arguments: [TLSVersion.tls12, .tls13])
  func `a client without a certificate is refused where one is required`(version: TLSVersion) throws
  {
    let authority = try TestCertificates.shared.get().authority
    let server = try serverContext { $0.clientVerification = .required(authorities: authority) }
    let ends = try Ends(server, clientContext { $0.maximumVersion = version })
    #expect(ends.serverResult.failure == .certificateMissing)
    let stranger = try Ends(
      server,
      clientContext {
        $0.maximumVersion = version
        $0.certificate = try? files("other-leaf")
      })
    #expect(stranger.serverResult.failure == .certificateRefused(20))
  }

  @Test func `a client's certificate tells who it is`() throws {
    let authority = try TestCertificates.shared.get().authority
    let server = try serverContext { $0.clientVerification = .required(authorities: authority) }
    let ends = try Ends(server, clientContext { $0.certificate = try? files("client") })
    #expect(ends.serverResult == .done)
    let shown = ends.server.peerCertificate
    let certificate = try #require(shown)
    #expect(certificate.isVerified)
    #expect(certificate.subject == "CN=Ann,O=Shop")
    #expect(certificate.issuer == "CN=ca")
    #expect(certificate.names == [.email("a@a.example"), .host("client.example")])
    #expect(certificate.fingerprint.contains { $0 != 0 })
  }

  @Test func `an optional certificate may be missing or strange, and is told apart`() throws {
    let authority = try TestCertificates.shared.get().authority
    let server = try serverContext { $0.clientVerification = .optional(authorities: authority) }
    let without = try Ends(server, clientContext())
    #expect(without.serverResult == .done)
    #expect(without.server.peerCertificate == nil)
    let strange = try Ends(server, clientContext { $0.certificate = try? files("other-leaf") })
    #expect(strange.serverResult == .done)
    #expect(strange.server.peerCertificate?.isVerified == false)
    let known = try Ends(server, clientContext { $0.certificate = try? files("client") })
    #expect(known.server.peerCertificate?.isVerified == true)
  }

  @Test func `a staple is sent to those who ask, with its own certificate`() throws {
    var configuration = ServerTLSConfiguration(certificates: [
      try files("ec", staple: "ec.ocsp"), try files("wild"),
    ])
    configuration.ticketCount = 0
    let ring = try #require(TicketKeyRing())
    let server = try ServerTLSContext(configuration, tickets: ring, now: now)
    #expect(server.notices.isEmpty)
    let asking = try clientContext { $0.asksForStaple = true }
    #expect(try Ends(server, asking).client.staple != nil)
    #expect(try Ends(server, clientContext()).client.staple == nil)
    #expect(try Ends(server, asking, host: "x.w.example").client.staple == nil)
    // Eight days on it is past its time: left out, and said.
    let late = try ServerTLSContext(configuration, tickets: ring, now: now + 8 * 86_400)
    #expect(late.notices.count == 1)
    #expect(try Ends(late, asking).client.staple == nil)
  }

  @Test func `a hello is read from its record`() throws {
    let pair = try SocketPair()
    let context = try clientContext { $0.applicationProtocols = [.http2, .http1] }
    var client = try begin(context, pair.near)
    let result = client.handshake()
    #expect(result == .wantsRead)
    var bytes = ByteBuffer()
    _ = pair.far.receive(onto: &bytes, limit: 65_536)
    let hello = try #require(ClientHello(record: bytes.view))
    #expect(hello.legacyVersion == 0x0303)
    #expect(hello.cipherSuites.contains(0x1301))
    #expect(hello.extensions.contains(0))
    #expect(hello.supportedVersions == [0x0304, 0x0303])
    #expect(hello.signatureAlgorithms.contains(0x0403))
    #expect(hello.applicationProtocols == [Array("h2".utf8), Array("http/1.1".utf8)])
  }

  @Test func `an origin must be whom it says`() throws {
    let server = try serverContext(["other-leaf"])
    // X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY
    #expect(try Ends(server, clientContext()).clientResult.failure == .certificateRefused(20))
    #expect(try Ends(server, clientContext { $0.verifies = false }).clientResult == .done)
    let address = try Ends(serverContext(["address"]), clientContext(), host: "127.0.0.2")
    // X509_V_ERR_IP_ADDRESS_MISMATCH
    #expect(address.clientResult.failure == .certificateRefused(64))
  }
}
