/// Certificates made by the openssl command, in a directory of their own.
///
///     let certificates = try await TestCertificates()
///     try await certificates.leaf("a", "DNS:a.example")
///     // certificate a.pem key a.key;
package final class TestCertificates: Sendable {
  /// Where they are.
  package let directory: TemporaryDirectory

  /// An authority, `ca.pem`, and nothing else yet.
  package init(in directory: TemporaryDirectory? = nil) async throws {
    self.directory = try directory ?? TemporaryDirectory()
    try await request(
      "ca", ["-subj", "/CN=ca", "-addext", "keyUsage=keyCertSign"])
  }

  /// The authority's certificate.
  package var authority: String { directory.file("ca.pem") }

  /// Makes `NAME.pem` and `NAME.key` for the given alternative names, such as `DNS:a.example`.
  package func leaf(
    _ name: String, _ names: String, subject: String = "/CN=leaf"
  ) async throws {
    try await request(
      name,
      [
        "-subj", subject, "-addext", "subjectAltName=\(names)", "-addext",
        "basicConstraints=critical,CA:FALSE", "-CA", authority, "-CAkey",
        directory.file("ca.key"),
      ])
  }

  private func request(_ name: String, _ words: [String]) async throws {
    let outcome = try await Program.run(
      [
        "openssl", "req", "-x509", "-nodes", "-days", "30", "-newkey", "ec", "-pkeyopt",
        "ec_paramgen_curve:P-256", "-keyout", directory.file("\(name).key"), "-out",
        directory.file("\(name).pem"),
      ] + words)
    guard outcome.status == 0 else {
      throw PeerFailure(.system, "openssl \(words): \(outcome.output)")
    }
  }
}
