// A node with TLS, and curl as its client.

import EdgeTesting
import Testing

/// A node that speaks TLS on its first listener and plain HTTP on its second.
struct SecureNode {
  let node: TestNode
  let certificates: TestCertificates
  let directory: TemporaryDirectory

  /// Starts one with certificates for `a.example` (its own) and, of the sites that say so, others.
  static func start(
    origin: UInt16, route: String = "", top: String = "", site: String = "",
    listen: String = "listen 127.0.0.1:0 tls;", sites: String? = nil,
    leaves: [String: String] = [:],
    store: String? = "", workers: Int = 1
  ) async throws -> SecureNode {
    let directory = try TemporaryDirectory()
    let certificates = try await TestCertificates(in: directory)
    try await certificates.leaf("a", "DNS:a.example,IP:127.0.0.1")
    for (name, names) in leaves { try await certificates.leaf(name, names) }
    let storeBlock = store.map { "store ./store { \($0) }" } ?? ""
    let node = try TestNode.start(
      configuration: """
        workers \(workers);
        \(listen)
        admin 127.0.0.1:0 { token "a-token-for-the-tests"; }
        access_log ./access.log;
        certificate a.pem key a.key;
        \(storeBlock)
        \(top)
        origin app { server 127.0.0.1:\(origin); }
        \(sites ?? "site * { \(site) route / { origin app; \(route) } }")
        """, directory: directory)
    return SecureNode(node: node, certificates: certificates, directory: directory)
  }

  /// The URL of a target.
  func url(_ target: String, host: String = "a.example") -> String {
    "https://\(host):\(node.port)\(target)"
  }

  /// Runs curl on a target; the output has the heads in front of the content.
  func curl(
    _ target: String, host: String = "a.example", _ words: [String] = []
  ) async throws -> Program.Outcome {
    try await Program.run(
      [
        "curl", "-sS", "-i", "--max-time", "30", "--cacert", certificates.authority, "--resolve",
        "\(host):\(node.port):127.0.0.1",
      ] + words + [url(target, host: host)])
  }
}
