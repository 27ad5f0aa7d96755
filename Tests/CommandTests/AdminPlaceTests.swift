internal import CLinux
import EdgeTesting
import Testing

@testable import weir

/// The admin listener by TLS and by a unix socket, asked by commands.
@Suite("Where the admin is asked") struct AdminPlaceTests {
  @Test(arguments: [
    ("http://10.0.0.1:80", "10.0.0.1:80"), ("https://node.example", "https://node.example:9090"),
    ("https://[::1]:99/", "https://[::1]:99"), ("unix:/run/a.sock", "unix:/run/a.sock"),
    ("http://[::1]", "[::1]:9090"),
  ])
  func `a place is read`(_ text: String, _ shown: String) {
    #expect(AdminPlace(argument: text)?.description == shown)
  }

  @Test(arguments: [
    "", "unix:", "node.example:9090", "ftp://a", "http://", "http://a:b", "http://a:1:2",
    "http://a/b", "http://u@a", "http://[::1", "http://a:70000",
  ])
  func `what is no place is refused`(_ text: String) {
    #expect(AdminPlace(argument: text) == nil)
  }

  /// A node whose admin speaks TLS, and a directory from which commands ask it.
  private struct Secure {
    let origin: ScriptedOrigin
    let node: TestNode
    let certificates: TestCertificates

    init() async throws {
      certificates = try await TestCertificates()
      try await certificates.leaf("a", "DNS:localhost,IP:127.0.0.1")
      try await certificates.leaf("b", "DNS:localhost,IP:127.0.0.1", subject: "/CN=b")
      origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
      node = try TestNode.start(
        configuration: Self.configuration(origin.port, 0, "a"), directory: certificates.directory)
    }

    static func configuration(_ origin: UInt16, _ port: UInt16, _ certificate: String) -> String {
      """
      listen 127.0.0.1:0;
      admin 127.0.0.1:\(port) {
        token "\(TestNode.token)"; certificate \(certificate).pem key \(certificate).key;
      }
      origin app 127.0.0.1:\(origin);
      site * { origin app; }
      """
    }

    /// What a command says that is given a configuration with this certificate, or none.
    func weir(
      _ arguments: [String], naming certificate: String? = nil, token: Bool = true
    ) async throws -> (status: Int32, printed: String, said: String) {
      let directory = try TemporaryDirectory()
      if let certificate {
        try directory.write(
          "edge.conf",
          Self.configuration(1, node.adminPort, certificates.directory.file(certificate)))
      }
      let process = try WeirProcess(
        arguments, in: directory, environment: token ? ["WEIR_TOKEN=\(TestNode.token)"] : [])
      return (try await process.exitStatus(), process.printed, process.said)
    }

    var place: String { "https://localhost:\(node.adminPort)" }
  }

  @Test func `by TLS the node must be the one that is meant`() async throws {
    let secure = try await Secure()
    let authority = secure.certificates.authority
    // The certificate that the configuration names is the one to be believed.
    #expect(try await secure.weir(["status"], naming: "a").status == 0)
    let other = try await secure.weir(["status"], naming: "b")
    #expect(other.status == 69 && other.said.contains("another certificate"), "\(other.said)")
    let reload = try await secure.weir(["reload"], naming: "a")
    #expect(reload.status == 0, "\(reload.said)")
    // Of a place that is named, who has signed it.
    let known = try await secure.weir(["purges", "--admin", secure.place, "--ca", authority])
    #expect(known.status == 1 && known.said.contains("without a store"), "\(known.said)")
    let strange = try await secure.weir(["status", "--admin", secure.place])
    #expect(strange.status == 69 && strange.said.contains("not believed"), "\(strange.said)")
    let tokenless = try await secure.weir(
      ["misses", "--admin", secure.place, "--ca", authority], token: false)
    #expect(tokenless.status == 1 && tokenless.said.contains("token"), "\(tokenless.said)")
    // In the clear it says what is wrong.
    let clear = try await RawClient.connect(to: secure.node.adminPort)
    let answer = try await clear.request("GET", "/healthz", host: "localhost")
    #expect(answer.status == 400 && answer.text.contains("https"))
    try await clear.expectClosed()
  }

  @Test func `streams and long answers come through TLS, and by any host's name`() async throws {
    let secure = try await Secure()
    let ask = ["curl", "-s", "--cacert", secure.certificates.authority]
    let metrics = try await Program.run(ask + ["\(secure.place)/metrics", "-H", "Host: a.example"])
    #expect(metrics.output.contains("weir_requests_rejected_total"))
    #expect(metrics.output.utf8.count > 32_768 || metrics.output.hasSuffix("\n"))
    let page = try await Program.run(
      ask + ["\(secure.place)/dashboard", "\(secure.place)/healthz", "--http1.1"])
    #expect(page.output.hasSuffix("ok\n"))
    // A stream has no end: the first try is as long as a quick machine needs.
    var events = ""
    for seconds in ["1", "10", "60"] where !events.contains("event: figures") {
      events = try await Program.run(ask + ["-N", "-m", seconds, "\(secure.place)/v1/events"])
        .output
    }
    #expect(events.contains("event: figures"), "\(events)")
  }

  @Test func `a reload brings another certificate and token, and names what it cannot bring`()
    async throws
  {
    let secure = try await Secure()
    let directory = secure.certificates.directory
    var text = Secure.configuration(secure.origin.port, 0, "b")
    text.replace("127.0.0.1:0 {\n  token", with: "127.0.0.1:1 {\n  audit_log audit; token")
    text.replace(TestNode.token, with: "another-token-of-the-tests")
    try directory.write("edge.conf", text)
    let first = try await secure.weir(["reload"], naming: "a")
    #expect(first.status == 0, "\(first.said)")
    #expect(first.printed.contains("only at the next start: admin address"), "\(first.printed)")
    #expect(try await secure.weir(["status"], naming: "a").said.contains("another certificate"))
    let refused = try await secure.weir(["config", "show"], naming: "b")
    #expect(refused.said.contains("no such token"), "\(refused.said)")
    let directories = try TemporaryDirectory()
    let process = try WeirProcess(
      ["reload", "--admin", secure.place, "--ca", secure.certificates.authority],
      in: directories, environment: ["WEIR_TOKEN=another-token-of-the-tests"])
    #expect(try await process.exitStatus() == 0, "\(process.said)")
    let audit = try await Program.run(["cat", directory.file("audit")])
    #expect(audit.output.contains("\"order\": \"reload\""), "\(audit.output)")
  }

  @Test func `a unix socket is for whom its mode lets, and outlives its node's death`()
    async throws
  {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    let directory = try TemporaryDirectory()
    try directory.write(
      "edge.conf",
      """
      listen 127.0.0.1:0; workers 1;
      admin unix:admin.sock { token "\(TestNode.token)"; audit_log audit; mode 0660; }
      store ./store { size 64MiB; }
      origin app 127.0.0.1:\(origin.port);
      site * { origin app; }
      """)
    let asking = try TemporaryDirectory()
    func weir(_ arguments: String...) async throws -> String {
      let process = try WeirProcess(
        arguments + ["--config", directory.file("edge.conf")], in: asking)
      let status = try await process.exitStatus()
      #expect(status == 0, "\(process.said)")
      return process.printed
    }
    for round in 1...2 {
      // The second finds what the first has left behind.
      let run = try WeirProcess(["run"], in: directory)
      try await run.waitUntilSaid("admin on unix:\(directory.file("admin.sock"))")
      var status = stat()
      #expect(unsafe lstat(directory.file("admin.sock"), &status) == 0)
      #expect(status.st_mode & 0o777 == 0o660)
      #expect(try await weir("status").contains("1 workers"))
      #expect(try await weir("purge", "--all").hasPrefix("purge "))
      let second = try WeirProcess(["run"], in: rival(of: directory))
      #expect(try await second.exitStatus() == 69)
      #expect(second.said.contains("another process does"), "\(second.said)")
      if round == 1 {
        run.send(SIGKILL)
        _ = try await run.exitStatus()
        for node in run.nodes {
          try await eventually("the node to end") { !WeirProcess.isRunning(node) }
        }
        #expect(unsafe lstat(directory.file("admin.sock"), &status) == 0)
      } else {
        run.send(SIGTERM)
        #expect(try await run.exitStatus() == 0)
        #expect(unsafe lstat(directory.file("admin.sock"), &status) != 0)
      }
    }
    let audit = try await Program.run(["cat", directory.file("audit")])
    #expect(audit.output.contains("\"peer\": \"user \(getuid()), process "), "\(audit.output)")
  }

  /// A directory with the same configuration but for its store.
  private func rival(of directory: TemporaryDirectory) throws -> TemporaryDirectory {
    let other = try TemporaryDirectory()
    try other.write(
      "edge.conf",
      """
      listen 127.0.0.1:0;
      admin unix:\(directory.file("admin.sock")) { token "\(TestNode.token)"; }
      origin app 127.0.0.1:1;
      site * { origin app; }
      """)
    return other
  }
}
