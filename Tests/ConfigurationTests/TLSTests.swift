import Configuration
import TLS
import Testing

@Suite("TLS in the configuration")
struct TLSSettingsTests {
  func load(_ text: String, sites: String = "site * { origin app; }") throws -> LoadedConfiguration
  {
    let directory = try Certificates.shared.get().directory
    return ConfigurationFile.parse(
      "\(text)\norigin app 127.0.0.1:9000;\n\(sites)", name: "edge.conf", directory: directory)
  }

  @Test func `a listener with TLS shows the certificate`() throws {
    let loaded = try load("listen :443 tls;\ncertificate a.pem key a.key;")
    #expect(Diagnostic.text(loaded.diagnostics) == "")
    let configuration = try #require(loaded.configuration)
    let directory = try Certificates.shared.get().directory
    #expect(configuration.tlsListeners == [0])
    #expect(
      configuration.certificates == [
        CertificateConfiguration(chain: directory + "/a.pem", key: directory + "/a.key")
      ])
    let settings = try #require(configuration.serverTLS())
    #expect(settings.applicationProtocols == [.http2, .http1])
    #expect(settings.certificates.count == 1)
  }

  @Test(arguments: [
    ("none.pem key a.key", "2:13: error: certificate: No such file or directory"),
    ("a.pem key none.key", "2:23: error: certificate: No such file or directory"),
    ("a.key key a.key", "2:13: error: certificate: no certificate that can be read"),
    ("a.pem key a.pem", "2:23: error: certificate: no private key that can be read"),
    ("a.pem key b.key", "2:23: error: certificate: not the private key of "),
    (
      "a.pem key locked.key",
      "2:23: error: certificate: the private key is encrypted; store it without a password"
    ),
    ("old.pem key old.key", "2:13: error: certificate: the certificate expired ("),
    ("a.pem key a.key ocsp a.pem", "2:34: error: certificate: no OCSP response"),
    ("a.pem a.key", "2:19: error: certificate: \"key\" was expected"),
    ("a.pem key", "2:1: error: \"certificate\" needs an argument"),
  ])
  func `what is wrong with a certificate is said where it is named`(
    _ arguments: String, _ message: String
  ) throws {
    let loaded = try load("listen :443 tls;\ncertificate \(arguments);")
    #expect(loaded.configuration == nil)
    let text = Diagnostic.text(loaded.diagnostics)
    #expect(text.hasPrefix("edge.conf:" + message), "\(text)")
  }

  @Test(arguments: [
    ("ciphers RC4-MD5;", "3:15: error: ", "OpenSSL knows no such list: RC4-MD5"),
    ("groups X9;", "3:7: error: ", "OpenSSL knows no such list: X9"),
    ("verify required;", "3:7: error: ", "nobody's signature would be good"),
    ("client_ca none.pem; verify optional;", "error: ", "No such file or directory"),
    ("tickets 9;", "3:15: error: ", "out of range"),
    ("handshakes 5/m;", "error: ", "not a number for each second"),
    ("min_version 1.1;", "3:19: error: ", "is not possible here"),
  ])
  func `what is wrong with a setting is said where it stands`(
    _ setting: String, _ place: String, _ message: String
  ) throws {
    let loaded = try load(
      "listen :443 tls;\ncertificate a.pem key a.key;\ntls { \(setting) }")
    #expect(loaded.configuration == nil)
    let text = Diagnostic.text(loaded.diagnostics)
    #expect(text.contains(message) && text.contains("error: "), "\(text)")
    #expect(text.hasPrefix("edge.conf:3:"), "\(text)")
  }

  @Test func `TLS without a certificate is an error`() throws {
    let loaded = try load("listen :443 tls;")
    #expect(
      Diagnostic.text(loaded.diagnostics).hasPrefix(
        "edge.conf:1:13: error: listen: there is no certificate to show here"))
  }

  @Test func `a certificate that nobody sees is warned of`() throws {
    let loaded = try load("listen :80;\ncertificate a.pem key a.key;")
    #expect(loaded.configuration != nil)
    #expect(
      Diagnostic.text(loaded.diagnostics).contains("warning: certificate: no listener has TLS"))
  }

  @Test func `a site's certificate is for its names, and the node's for the others`() throws {
    let loaded = try load(
      "listen :443 tls;\ncertificate a.pem key a.key;",
      sites: """
        site a.example { origin app; certificate a.pem key a.key; }
        site b.example { origin app; certificate b.pem key b.key; }
        site * { origin app; }
        """)
    #expect(Diagnostic.text(loaded.diagnostics) == "")
    let settings = try #require(loaded.configuration?.serverTLS())
    #expect(settings.certificates.map(\.names) == [nil, ["a.example"], ["b.example"]])
    #expect(settings.certificates[0].yielded == ["a.example", "b.example"])
  }

  @Test func `a site that its certificate does not name is warned of`() throws {
    let loaded = try load(
      "listen :443 tls;",
      sites: "site shop.example a.example { origin app; certificate a.pem key a.key; }")
    let text = Diagnostic.text(loaded.diagnostics)
    #expect(text.contains("warning: certificate: none of this site's is for \"shop.example\""))
  }

  @Test func `the same files of several sites are one certificate`() throws {
    let loaded = try load(
      "listen :443 tls;",
      sites: """
        site a.example { origin app; certificate a.pem key a.key; }
        site x.a.example { origin app; certificate a.pem key a.key; }
        """)
    let settings = try #require(loaded.configuration?.serverTLS())
    #expect(settings.certificates.map(\.names) == [["a.example", "x.a.example"]])
  }

  @Test func `what sites say of TLS is read`() throws {
    let loaded = try load(
      "listen :443 tls; listen :80;\ncertificate a.pem key a.key;",
      sites: """
        site * { origin app; hsts 365d include_subdomains preload; redirect_to_https on port=8443; }
        """)
    #expect(Diagnostic.text(loaded.diagnostics) == "")
    let site = try #require(loaded.configuration?.sites.first)
    #expect(site.redirectPort == 8443)
    #expect(site.strictTransport?.fieldValue == "max-age=31536000; includeSubDomains; preload")
  }

  @Test func `limits of HTTP 2 are read`() throws {
    let loaded = try load(
      """
      listen :8080 h2c;
      http2 { streams 10; resets 5/s burst=7; pings 3/s; stall_timeout 4s; window 1MiB; }
      """)
    #expect(Diagnostic.text(loaded.diagnostics) == "")
    let http2 = try #require(loaded.configuration?.http2)
    #expect(loaded.configuration?.plainHTTP2Listeners == [0])
    #expect(http2.maxStreams == 10 && http2.isOn && http2.window == 1 << 20)
    #expect(http2.resets == FrameRateConfiguration(perSecond: 5, burst: 7))
    #expect(http2.pings == FrameRateConfiguration(perSecond: 3, burst: 3))
    #expect(http2.stallTimeout == 4_000_000_000)
  }

  @Test func `HTTP 2 can be left out`() throws {
    let loaded = try load("listen :443 tls;\ncertificate a.pem key a.key;\nhttp2 off;")
    let settings = try #require(loaded.configuration?.serverTLS())
    #expect(settings.applicationProtocols == [.http1])
  }
}
