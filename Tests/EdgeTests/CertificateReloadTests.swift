import EdgeTesting
import Metrics
import Testing

/// Certificates in a configuration that is reloaded.
@Suite struct CertificateReloadTests {
  func configuration(_ origin: UInt16, _ certificate: String) -> String {
    """
    workers 1;
    listen 127.0.0.1:0 tls;
    admin 127.0.0.1:0 { token "a-token-for-the-tests"; }
    \(certificate)
    origin app { server 127.0.0.1:\(origin); }
    site * { route / { origin app; } }
    """
  }

  @Test func `another certificate comes with another configuration, and a bad one with none`()
    async throws
  {
    let origin = try await TLSTests.origin()
    let secure = try await SecureNode.start(
      origin: origin.port, leaves: ["b": "DNS:a.example"], store: nil)
    try await secure.certificates.leaf("b", "DNS:a.example", subject: "/CN=other")
    let answer = try await secure.node.reload(
      configuration(origin.port, "certificate b.pem key b.key;"))
    #expect(answer.status == 200, "\(answer.text)")
    let shown = try await CertificateRenewalTests().shown(secure)
    #expect(shown.contains("CN=other"))
    let refused = try await secure.node.reload(
      configuration(origin.port, "certificate b.pem key a.key;"))
    #expect(refused.status == 422, "\(refused.text)")
    #expect(try await CertificateRenewalTests().shown(secure).contains("CN=other"))
    let outcome = try await secure.curl("/x", ["--http2"])
    #expect(outcome.status == 0 && outcome.output.contains("HTTP/2 200"), "\(outcome.output)")
  }
}
