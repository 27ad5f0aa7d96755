internal import Bytes
internal import CLinux
import EdgeTesting
import LMDB
import Testing

/// Ten mistakes that everybody makes once. Each is answered by a message that names what is wrong and says
/// what to do.
@Suite("Ten typical mistakes") struct MistakeTests {
  /// What commands say in a directory.
  private struct Trial {
    let directory: TemporaryDirectory

    init(_ configuration: String) throws {
      directory = try TemporaryDirectory()
      try directory.write("edge.conf", configuration)
    }

    /// Runs a command to its end.
    func weir(
      _ arguments: String..., token: String? = nil
    ) async throws -> (status: Int32, text: String) {
      let process = try WeirProcess(
        arguments, in: directory, environment: token.map { ["WEIR_TOKEN=\($0)"] } ?? [])
      let status = try await process.exitStatus()
      return (status, process.printed + process.said)
    }

    /// What `weir doctor` says of a subject, with its advice.
    func doctor(_ subject: String) async throws -> String {
      let process = try WeirProcess(["doctor", "--json"], in: directory)
      _ = try await process.exitStatus()
      let findings = try JSONValue(parsing: process.printed).array ?? []
      return findings.filter { $0["subject"]?.string == subject }.map {
        "\($0["state"]?.string ?? ""): \($0["text"]?.string ?? "") -> \($0["advice"]?.string ?? "")"
      }.joined(separator: "\n")
    }
  }

  private static func configuration(
    _ settings: String = "", listen: String = "listen 127.0.0.1:0;", origin: UInt16 = 1
  ) -> String {
    """
    \(listen)
    workers 1;
    \(settings)
    origin app 127.0.0.1:\(origin);
    site * { route / { origin app; } }
    """
  }

  /// Expects all of these in a text.
  private func expect(_ text: String, _ words: String...) {
    for word in words { #expect(text.contains(word), "\"\(word)\" in: \(text)") }
  }

  @Test func `1. a typo in a directive`() async throws {
    let trial = try Trial(Self.configuration("wokers 2;"))
    let said = try await trial.weir("run")
    #expect(said.status == 78)
    expect(said.text, "edge.conf:3:1: error", "\"wokers\"", "did you mean \"workers\"?")
  }

  @Test func `2. a port that is taken`() async throws {
    // Somebody listens there.
    let other = try await ScriptedOrigin.answering { _ in Reply(200) }
    let trial = try Trial(Self.configuration(listen: "listen 127.0.0.1:\(other.port);"))
    let said = try await trial.weir("run")
    #expect(said.status == 69)
    expect(
      said.text, "127.0.0.1:\(other.port)", "another process", "Stop it, or choose another port")
    expect(try await trial.doctor("listener"), "error: ", "ss -ltnp 'sport = :\(other.port)'")
  }

  @Test func `3. an origin that is down`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200) }
    let port = origin.port
    await origin.stop()
    let node = try TestNode.start(origin: port)
    let answer = try await node.get("/")
    #expect(answer.status == 502)
    expect(answer.text, "The origin cannot be reached")
    expect(answer.header("proxy-status") ?? "", "connection_refused")
    let trial = try Trial(Self.configuration(origin: port))
    expect(
      try await trial.doctor("origin app"), "error: 127.0.0.1:\(port) cannot be reached",
      "is it running", "firewall")
  }

  @Test func `4. a certificate that is not the key's, or not valid`() async throws {
    let certificates = try await TestCertificates()
    try await certificates.leaf("a", "DNS:a.example")
    try await certificates.leaf("b", "DNS:b.example", subject: "/CN=b")
    let (a, b) = (certificates.directory.file("a"), certificates.directory.file("b"))
    let trial = try Trial(
      Self.configuration("certificate \(a).pem key \(b).key;", listen: "listen 127.0.0.1:0 tls;"))
    let said = try await trial.weir("check")
    #expect(said.status == 78)
    expect(said.text, "not the private key of \(a).pem", "made together")
    // The operator's own wears out like any other.
    let admin = try Trial(
      Self.configuration("admin 127.0.0.1:0 { certificate \(a).pem key \(a).key; token_file t; }"))
    try admin.directory.write("t", "a-token-that-is-long-enough\n")
    expect(try await admin.doctor("certificate"), "\(a).pem is good for ")
    let gone = try Trial(
      Self.configuration("certificate \(a).crt key \(a).key;", listen: "listen 127.0.0.1:0 tls;"))
    expect(try await gone.weir("check").text, "\(a).crt", "No such file")
  }

  @Test func `5. a disk that is full`() async throws {
    // Hardly a disk has room for that.
    let trial = try Trial(Self.configuration("store ./store { size 64TiB; }"))
    expect(
      try await trial.doctor("free space"), "error: ", "the store may still grow by",
      "a smaller size in store, or a larger disk")
    // A log that cannot be written.
    let full = try Trial(Self.configuration("access_log /no/such/directory/access.log;"))
    let said = try await full.weir("run")
    #expect(said.status == 69)
    expect(said.text, "/no/such/directory/access.log", "No such file or directory")
  }

  @Test func `6. a token that is wrong`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200) }
    let node = try TestNode.start(origin: origin.port)
    let trial = try Trial(
      Self.configuration("admin 127.0.0.1:\(node.adminPort) { token \"\(TestNode.token)\"; }"))
    let said = try await trial.weir("purge", "--all", token: "a-wrong-token-of-somebody")
    #expect(said.status == 1)
    expect(said.text, "no such token", "WEIR_TOKEN", "weir token")
    #expect(!said.text.contains("a-wrong-token-of-somebody"))
    let none = try Trial(Self.configuration())
    expect(try await none.weir("status").text, "no admin listener", "add admin 127.0.0.1:9090")
  }

  @Test func `7. an include that is missing`() async throws {
    let trial = try Trial(Self.configuration("include sites/shop.conf;"))
    let said = try await trial.weir("check")
    #expect(said.status == 78)
    expect(
      said.text, "edge.conf:3:9: error", "\"sites/shop.conf\" does not exist",
      "the path starts from the configuration's directory")
  }

  @Test func `8. a clock that is wrong`() async throws {
    // The origin's is a day ahead, as far as this machine can tell.
    let origin = try await ScriptedOrigin.answering { _ in
      Reply(200, ["Date: Fri, 01 Jan 2100 00:00:00 GMT"])
    }
    let trial = try Trial(Self.configuration(origin: origin.port))
    expect(
      try await trial.doctor("clock"), "error: ", "s behind 127.0.0.1:\(origin.port)'s",
      "certificates are judged wrongly", "timedatectl set-ntp true")
  }

  @Test func `9. a store of another version`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200) }
    let trial = try Trial(Self.configuration("store ./store { size 64MiB; }", origin: origin.port))
    let first = try WeirProcess(["run"], in: trial.directory)
    try await first.port()
    first.send(SIGTERM)
    #expect(try await first.exitStatus() == 0)
    do {
      let environment = try Environment.open(
        directory: trial.directory.file("store"), mapSize: 128 << 20, readers: 4, databases: 16)
      let transaction = try environment.beginWrite()
      var value = ByteBuffer()
      value.append(littleEndian: 99 as UInt64)
      // The number of the format stands under 1.
      try transaction.put(transaction.open("state"), 1, value.view)
      try transaction.commit()
    }
    let second = try WeirProcess(["run"], in: trial.directory)
    try await second.port()
    expect(
      second.said, "store: format 99, not ", "another version of Weir", "set aside as ",
      "goes on with an empty one", "delete")
    second.send(SIGTERM)
    #expect(try await second.exitStatus() == 0)
    expect(
      try await trial.doctor("store"), "warning: ", "set aside as data.mdb.bad-",
      "another version's", "delete it")
  }

  @Test func `10. a limit that is too low`() async throws {
    // Of the process: descriptors.
    let trial = try Trial(Self.configuration())
    let doctor = try await Program.run([
      "sh", "-c",
      "cd '\(trial.directory.path)' && ulimit -n 256 && exec '\(WeirProcess.executable)' doctor",
    ])
    expect(doctor.output, "ERROR    descriptors", "256, where", "LimitNOFILE=", "max_connections")
    // Of the configuration: no request could ever pass.
    let limit = try Trial(
      Self.configuration("limit login { token_bucket 1/m burst=2; cost 5; key client.ip; }"))
    let said = try await limit.weir("check")
    expect(
      said.text, "edge.conf:3:", "costs 5, and there are never more than 2: all are refused",
      "give it burst=5 or more, or a smaller cost")
  }
}
