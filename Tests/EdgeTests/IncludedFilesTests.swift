import Edge
import EdgeTesting
import FoundationEssentials
import Node
import Testing

/// What holds for the configuration's file holds for those that it includes, and for what they name.
@Suite struct IncludedFilesTests {
  private static func site(_ host: String, _ settings: String) -> String {
    "site \(host) { route / { origin app; \(settings) } }\n"
  }

  /// A configuration that includes what stands in `sites`.
  private static let configuration = """
    workers 2; listen 127.0.0.1:0; \(TestNode.adminBlock)
    origin app 127.0.0.1:1;
    include sites/*.conf;
    """

  private func node(_ files: [String: String]) throws -> TestNode {
    let directory = try TemporaryDirectory()
    try FileManager.default.createDirectory(
      atPath: directory.file("sites"), withIntermediateDirectories: true)
    for (name, text) in files { try directory.write(name, text) }
    return try TestNode.start(configuration: Self.configuration, directory: directory)
  }

  private func ask(_ node: TestNode, _ host: String, _ target: String = "/") async throws -> String
  {
    let client = try await node.connect()
    defer { client.close() }
    let answer = try await client.get(target, host: host)
    return answer.status == 200 ? answer.text : "\(answer.status)"
  }

  @Test func `a reload reads them anew, with those that have come and without those that are gone`()
    async throws
  {
    let node = try node([
      "sites/a.conf": Self.site("a.example", "respond 200 \"one\";"),
      "sites/b.conf": Self.site("b.example", "respond 200 \"old\";"),
    ])
    #expect(try await ask(node, "a.example") == "one")
    #expect(try await ask(node, "b.example") == "old")
    try node.directory.write("sites/a.conf", Self.site("a.example", "respond 200 \"two\";"))
    try node.directory.write("sites/c.conf", Self.site("c.example", "respond 200 \"new\";"))
    try FileManager.default.removeItem(atPath: node.directory.file("sites/b.conf"))
    // Until then nothing has changed.
    #expect(try await ask(node, "a.example") == "one")
    #expect(try await ask(node, "c.example") == "404")
    #expect(try await node.reload(Self.configuration).status == 200)
    #expect(try await ask(node, "a.example") == "two")
    #expect(try await ask(node, "c.example") == "new")
    #expect(try await ask(node, "b.example") == "404")
    // One that is wrong is named, and changes nothing, as the file itself would.
    try node.directory.write("sites/c.conf", "site c.example {\n  ruote / { }\n}\n")
    let refused = try await node.reload(Self.configuration)
    #expect(refused.status == 422)
    let diagnostic = try refused.json()["diagnostics"]?[0]
    #expect(diagnostic?["file"]?.string == node.directory.file("sites/c.conf"))
    #expect(diagnostic?["line"]?.int == 2)
    #expect(try await ask(node, "c.example") == "new")
    // What is gone back to is all of it, as it was read then.
    #expect(try await node.admin("POST", "/v1/config/rollback").status == 200)
    #expect(try await ask(node, "a.example") == "one")
    #expect(try await ask(node, "b.example") == "old")
    #expect(try await ask(node, "c.example") == "404")
  }

  @Test func `files that they name are watched, also when a reload has brought them`() async throws
  {
    func mapped(_ host: String, _ file: String) -> String {
      Self.site(
        host,
        """
        when exists(map("\(file)", path)) { respond 200 "${map("\(file)", path)}"; }
        respond 404;
        """)
    }
    let node = try node(["sites/a.conf": mapped("a.example", "a.txt"), "a.txt": "/ one\n"])
    let running = try #require(node.node)
    #expect(try await ask(node, "a.example") == "one")
    try node.directory.write("a.txt", "/ two\n/more x\n")
    #expect(running.reloadFiles().map(\.problem) == [nil])
    #expect(try await ask(node, "a.example") == "two")
    #expect(try await ask(node, "a.example", "/more") == "x")
    try node.directory.write("b.txt", "/ first\n")
    try node.directory.write("sites/b.conf", mapped("b.example", "b.txt"))
    try node.directory.write("a.txt", "/ three\n")
    // A reload takes them in as well, changed or new.
    #expect(try await node.reload(Self.configuration).status == 200)
    #expect(try await ask(node, "a.example") == "three")
    #expect(try await ask(node, "b.example") == "first")
    try node.directory.write("b.txt", "/ second, longer\n")
    let reloads = running.reloadFiles()
    #expect(reloads.map(\.path) == [node.directory.file("b.txt")], "\(reloads)")
    #expect(try await ask(node, "b.example") == "second, longer")
    // One that is wrong changes nothing, and is named.
    try node.directory.write("b.txt", "/a x\n/a y\n")
    #expect(running.reloadFiles().first?.problem?.contains("line 2") == true)
    #expect(try await ask(node, "b.example") == "second, longer")
  }

  @Test func `a certificate that one of them brings is renewed with the others`() async throws {
    let origin = try await TLSTests.origin()
    let secure = try await SecureNode.start(
      origin: origin.port, leaves: ["b": "DNS:a.example"], store: nil)
    try secure.directory.write("tls.conf", "certificate b.pem key b.key;\n")
    let answer = try await secure.node.reload(
      """
      workers 1; listen 127.0.0.1:0 tls; \(TestNode.adminBlock)
      include tls.conf;
      origin app 127.0.0.1:\(origin.port);
      site * { origin app; }
      """)
    #expect(answer.status == 200, "\(answer.text)")
    try await secure.certificates.leaf("b", "DNS:a.example", subject: "/CN=renewed")
    secure.node.node?.reloadCertificates()
    try await eventually("the renewed certificate to be shown") {
      secure.node.notes.value.contains { $0.hasPrefix("certificates: read anew") }
    }
    #expect(try await CertificateRenewalTests().shown(secure).contains("CN=renewed"))
  }
}
