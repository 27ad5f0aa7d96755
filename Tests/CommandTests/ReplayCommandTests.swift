// `weir replay` as a process, against nodes and origins of the test: what the engine's own tests cannot see.

import CLinux
import EdgeTesting
import EventLoop
import FoundationEssentials
import Testing

/// A `weir replay` and the directory that it runs in.
private struct Replay {
  let directory: TemporaryDirectory
  let process: WeirProcess

  /// Starts one on a recording's text.
  init(_ recording: String, _ arguments: [String], _ files: [String: String] = [:]) throws {
    directory = try TemporaryDirectory()
    try directory.write("recording", recording)
    for (name, text) in files { try directory.write(name, text) }
    process = try WeirProcess(
      ["replay", "recording", "--pace", "max", "--json"] + arguments, in: directory)
  }

  /// The report, when it has ended with a status.
  func report(status: Int32 = 0) async throws -> JSONValue {
    #expect(try await process.exitStatus() == status, "\(process.said)")
    return try JSONValue(parsing: process.printed)
  }
}

/// A node of its own process, with what a test says in its configuration.
private struct Served {
  let directory: TemporaryDirectory
  let process: WeirProcess
  let port: UInt16

  init(_ configuration: String, in directory: TemporaryDirectory) async throws {
    self.directory = directory
    try directory.write("edge.conf", "workers 1;\n" + configuration)
    process = try WeirProcess(["run"], in: directory)
    port = try await process.port()
  }

  /// What its log has of each request, when there are so many.
  func logged(_ count: Int) async throws -> [JSONValue] {
    func lines() -> [Substring] {
      let data = FileManager.default.contents(atPath: directory.file("access.log")) ?? Data()
      return String(decoding: data, as: UTF8.self).split(separator: "\n")
    }
    try await eventually("\(count) lines in the log") { lines().count == count }
    return try lines().map { try JSONValue(parsing: String($0)) }
  }
}

@Suite("Replays by the command")
struct ReplayCommandTests {
  private static let site =
    "origin none 127.0.0.1:1; site * { origin none; route / { respond 200 \"hello\"; } }"

  @Test func `what comes on standard input is sent as it comes`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    let directory = try TemporaryDirectory()
    let pipe = directory.file("pipe")
    #expect(unsafe mkfifo(pipe, 0o600) == 0)
    let replay = try WeirProcess(
      [
        "-c", "exec \"$0\" replay - --json --to http://127.0.0.1:\(origin.port) < pipe",
        WeirProcess.executable,
      ], in: directory, executable: "/bin/sh")
    // Opening waits for the other end; whoever has both waits for nobody.
    let number = unsafe weir_open(pipe, O_RDWR | O_CLOEXEC, 0)
    #expect(number >= 0)
    func say(_ text: String) {
      let bytes = Array(text.utf8)
      #expect(unsafe write(number, bytes, bytes.count) == bytes.count)
    }
    say("/a\n/b\n/c")
    // The last line has no end yet.
    try await origin.waitForRequests(2)
    say("d\n")
    try await origin.waitForRequests(3)
    #expect(origin.requests.map(\.target).sorted() == ["/a", "/b", "/cd"])
    // Standard input stays open: it is ended by hand, and reports all the same.
    replay.send(SIGINT)
    #expect(try await replay.exitStatus() == 0, "\(replay.said)")
    #expect(try JSONValue(parsing: replay.printed)["answers"]?.int == 3)
    close(number)
    await origin.stop()
  }

  @Test func `over TLS the server must be who it says`() async throws {
    let directory = try TemporaryDirectory()
    let certificates = try await TestCertificates(in: directory)
    try await certificates.leaf("a", "DNS:a.example,IP:127.0.0.1")
    let node = try await Served(
      "listen 127.0.0.1:0 tls; certificate a.pem key a.key; \(Self.site)", in: directory)
    let to = ["--to", "https://127.0.0.1:\(node.port)"]
    let urls = "/a\n/b\n/c\n"
    let strange = try await Replay(urls, to).report()
    #expect(strange["answers"]?.int == 0 && strange["errors"]?["tls"]?.int == 3)
    for more in [
      ["--ca", certificates.authority], ["--insecure"],
      ["--ca", certificates.authority, "--http2"],
    ] {
      let report = try await Replay(urls, to + more).report()
      #expect(report["statuses"]?["200"]?.int == 3 && report["failed"]?.int == 0, "\(more)")
      if more.contains("--http2") { #expect(report["connectionsOpened"]?.int == 1) }
    }
  }

  @Test func `over HTTP/2, too, a client gets the place of one that is idle`() async throws {
    let directory = try TemporaryDirectory()
    try await TestCertificates(in: directory).leaf("a", "IP:127.0.0.1")
    let node = try await Served(
      "listen 127.0.0.1:0 tls; certificate a.pem key a.key; \(Self.site)", in: directory)
    let lines = (0..<12).map { #"{"client":"192.0.2.\#($0 % 6)","target":"/\#($0)"}"# + "\n" }
    for clients in ["1", "5"] {
      let report = try await Replay(
        lines.joined(),
        [
          "--to", "https://127.0.0.1:\(node.port)", "--insecure", "--http2", "--connections",
          "client",
          "--max-connections", "2", "--clients", clients,
        ]
      ).report()
      #expect(report["answers"]?.int == 12 && report["failed"]?.int == 0, "\(report)")
    }
  }

  private static let clients = """
    {"client":"192.0.2.1","target":"/1"}
    {"client":"192.0.2.2","target":"/2"}
    {"client":"2001:db8::7","target":"/3"}
    {"client":"192.0.2.1","target":"/4"}

    """

  @Test(arguments: [
    ("proxy", "listen 127.0.0.1:0 proxy_protocol;"), ("forwarded", "listen 127.0.0.1:0;"),
  ])
  func `the server learns who asked`(how: String, listen: String) async throws {
    let node = try await Served(
      "\(listen) trusted_proxies 127.0.0.1; access_log ./access.log; \(Self.site)",
      in: try TemporaryDirectory())
    let report = try await Replay(
      Self.clients, ["--to", "http://127.0.0.1:\(node.port)", "--client-address", how]
    ).report()
    #expect(report["statuses"]?["200"]?.int == 4 && report["failed"]?.int == 0)
    let seen = try await node.logged(4).map { line in
      "\(line["target"]?.string ?? "") \(line["client"]?.string ?? "")"
    }
    #expect(
      seen.sorted() == ["/1 192.0.2.1", "/2 192.0.2.2", "/3 2001:db8::7", "/4 192.0.2.1"])
  }

  /// Each kind of key, how openssl makes it, and its public part as a member of a JWK set.
  static let keys: [(algorithm: String, options: [String], members: @Sendable (Data) -> String)] = [
    (
      "ES256", ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
      { key in
        // The last 64 bytes of the DER are the point.
        "\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"\(encoded(key.suffix(64).prefix(32)))\","
          + "\"y\":\"\(encoded(key.suffix(32)))\""
      }
    ),
    (
      "EdDSA", ["-algorithm", "ed25519"],
      { "\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"\(encoded($0.suffix(32)))\"" }
    ),
    (
      "RS256", ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
      { key in
        // The modulus stands before its exponent, 65537: 02 03 01 00 01.
        "\"kty\":\"RSA\",\"n\":\"\(encoded(key.dropLast(5).suffix(256)))\",\"e\":\"AQAB\""
      }
    ),
  ]

  private static func encoded(_ data: Data) -> String {
    data.base64EncodedString().filter { $0 != "=" }
      .map { $0 == "+" ? "-" : $0 == "/" ? "_" : $0 }.map(String.init).joined()
  }

  @Test(arguments: keys.indices)
  func `each user has a token that the server takes`(index: Int) async throws {
    let (algorithm, options, members) = Self.keys[index]
    let directory = try TemporaryDirectory()
    let (key, point) = (directory.file("key.pem"), directory.file("key.der"))
    try await Program.run(["openssl", "genpkey", "-out", key] + options)
    try await Program.run(
      ["openssl", "pkey", "-in", key, "-pubout", "-outform", "DER", "-out", point])
    let der = try #require(FileManager.default.contents(atPath: point))
    try directory.write(
      "keys.json", "{\"keys\":[{\"kid\":\"k\",\"alg\":\"\(algorithm)\",\(members(der))}]}")
    let node = try await Served(
      """
      listen 127.0.0.1:0;
      jwt main { keys keys.json; algorithms \(algorithm); audience shop; }
      origin none 127.0.0.1:1;
      site * { origin none; auth jwt main; route / { respond 200; } }
      """, in: directory)
    let lines = #"{"user":"anna","target":"/1"}"# + "\n" + #"{"client":"::1","target":"/2"}"# + "\n"
    let to = ["--to", "http://127.0.0.1:\(node.port)"]
    let token = ["--token-key", key, "--token-id", "k", "--token-claims", "\"aud\":\"shop\""]
    #expect(try await Replay(lines, to).report()["statuses"]?["401"]?.int == 2)
    let report = try await Replay(lines, to + token).report()
    #expect(report["statuses"]?["200"]?.int == 2, "\(algorithm): \(node.process.said)")
    let other = try await Replay(lines, to + token.dropLast(2)).report()
    #expect(other["statuses"]?["401"]?.int == 2)
  }

  @Test func `a budget decides how it ends`() async throws {
    let origin = try await ScriptedOrigin.answering { request in
      Reply(request.target == "/b" ? 404 : 200, ["Cache-Status: n; hit"], "x")
    }
    let to = ["--to", "http://127.0.0.1:\(origin.port)", "--budget", "budget"]
    let holding = try Replay("/a\n/b\n", to, ["budget": "errors == 0\r\nhit_ratio > 0.9\r\n"])
    _ = try await holding.report()
    #expect(holding.process.said.isEmpty)
    let failing = try Replay(
      "/a\n/b\n", to, ["budget": "# a comment\r\nerrors == 0\r\nrequests > 2\r\nmiss.p99 < 1s\r\n"])
    _ = try await failing.report(status: 1)
    #expect(
      failing.process.lines == [
        "weir: budget: requests > 2 does not hold: it is 2.0",
        "weir: budget: miss.p99 < 1s does not hold: there is no such figure",
      ])
    for (text, problem) in [
      ("p99 < 20", "line 1: 20 is no duration, such as 20ms"), ("#", "there is no condition in it"),
    ] {
      let wrong = try Replay("/a\n", to, ["budget": text])
      #expect(try await wrong.process.exitStatus() == 64)
      #expect(wrong.process.said.contains(problem))
    }
    await origin.stop()
  }

  @Test func `what limits decided is told apart`() async throws {
    let origin = try await ScriptedOrigin.answering { request in
      switch request.target {
      case "/a": Reply(429, ["Retry-After: 1", "RateLimit: \"x\";r=0;t=1"])
      case "/b": Reply(429, ["X-RateLimit-Remaining: 0", "Cache-Status: n; fwd=request"])
      case "/c": Reply(429)
      case "/d": Reply(503, ["Retry-After: 1"])
      default: Reply(200, ["X-Cache: MISS"], "x")
      }
    }
    let report = try await Replay(
      "/a\n/b\n/c\n/d\n/e\n", ["--to", "http://127.0.0.1:\(origin.port)"]
    ).report()
    let limits = try #require(report["limits"])
    #expect(limits["limited"]?.int == 3)
    #expect(limits["withRetryAfter"]?.int == 1 && limits["withFields"]?.int == 2)
    let classes = report["classes"]?.array?.map {
      "\($0["name"]?.string ?? "") \($0["answers"]?.int ?? 0)"
    }
    #expect(classes == ["miss 1", "limited 3", "failed 1"])
    await origin.stop()
  }

  @Test func `two reports stand side by side`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    let to = ["--to", "http://127.0.0.1:\(origin.port)", "--report", "report"]
    let first = try Replay("/a\n/b\n", to + ["--name", "one"])
    let second = try Replay("/a\n/b\n/c\n", to + ["--name", "two"])
    _ = try await first.report()
    _ = try await second.report()
    let (one, two) = (first.directory.file("report"), second.directory.file("report"))
    let directory = try TemporaryDirectory()
    let compared = try WeirProcess(
      ["replay", "--compare", one, two, "--html", "both.html"], in: directory)
    #expect(try await compared.exitStatus() == 0, "\(compared.said)")
    #expect(compared.printed.contains("one") && compared.printed.contains("×1.50"))
    let page = FileManager.default.contents(atPath: directory.file("both.html")) ?? Data()
    #expect(String(decoding: page, as: UTF8.self).contains("<h1>one and two</h1>"))
    try directory.write("none", "{\"version\": 1}")
    let none = try WeirProcess(["replay", "--compare", one, "none"], in: directory)
    #expect(try await none.exitStatus() == 66)
    await origin.stop()
  }

  @Test func `a pipe that nobody writes to keeps nobody from ending it`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    let directory = try TemporaryDirectory()
    try directory.write("recording", "/a\n")
    #expect(unsafe mkfifo(directory.file("pipe"), 0o600) == 0)
    let replay = try WeirProcess(
      ["replay", "recording", "pipe", "--json", "--to", "http://127.0.0.1:\(origin.port)"],
      in: directory)
    // The recording before it is sent all the same.
    try await origin.waitForRequests(1)
    replay.send(SIGINT)
    #expect(try await replay.exitStatus() == 0, "\(replay.said)")
    #expect(try JSONValue(parsing: replay.printed)["sent"]?.int == 1)
  }

  @Test func `an origin that still reads its recording is ended by a signal`() async throws {
    let directory = try TemporaryDirectory()
    let pipe = directory.file("pipe")
    #expect(unsafe mkfifo(pipe, 0o600) == 0)
    let origin = try WeirProcess(
      ["replay", "pipe", "--origin", "--listen", "127.0.0.1:0"], in: directory)
    // This is had when the origin has opened its end, and waits for more.
    var number: Int32 = -1
    try await eventually("the origin to read; \(origin.said)") {
      number = unsafe weir_open(pipe, O_WRONLY | O_CLOEXEC | O_NONBLOCK, 0)
      return number >= 0
    }
    defer { close(number) }
    origin.send(SIGINT)
    #expect(try await origin.exitStatus() == 128 + SIGINT, "\(origin.said)")
  }

  @Test func `bad lines are shown with their numbers, and are never fatal`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    let bad = (0..<8).map { "no request \($0)\u{1b}[31m\n" }.joined()
    let replay = try Replay("/a\n\(bad)/b\n", ["--to", "http://127.0.0.1:\(origin.port)"])
    let report = try await replay.report()
    #expect(report["answers"]?.int == 2 && report["input"]?["badLines"]?.int == 8)
    #expect(
      replay.process.lines
        == (0..<5).map {
          "recording:\($0 + 2): the target is no path and no URL: no request \($0) [31m"
        })
    await origin.stop()
  }

  @Test func `what cannot be read, and who cannot be reached, have statuses of their own`()
    async throws
  {
    let directory = try TemporaryDirectory()
    let missing = try WeirProcess(
      ["replay", "missing", "--to", "http://127.0.0.1:1"], in: directory)
    #expect(try await missing.exitStatus() == 66)
    // Nobody listens there.
    let nobody = try Replay("/a\n", ["--to", "http://127.0.0.1:1"])
    #expect(try await nobody.process.exitStatus() == 69)
    #expect(nobody.process.said.contains("cannot connect to 127.0.0.1:1"))
  }
}
