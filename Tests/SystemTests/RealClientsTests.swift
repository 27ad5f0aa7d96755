// The `weir` command with TLS between a real origin and the clients that people use: each loads a page with
// what belongs to it, or does what it is made for.

import EdgeTesting
import Foundation
import Testing

@Suite(
  .enabled(if: RealClients.areInstalled, "nginx, curl, h2load and nghttp are not all installed"))
struct RealClientsTests {
  /// How curl says a protocol, and what it reports.
  @Test(arguments: [
    ("https", "--http1.1", "1.1"), ("https", "--http2", "2"), ("http", "--http1.1", "1.1"),
    ("http", "--http2-prior-knowledge", "2"),
  ])
  func `curl loads files, parts of them, and heads`(
    _ scheme: String, _ word: String, _ version: String
  ) async throws {
    let clients = try await RealClients()
    defer { clients.stop() }
    for (index, name) in RealClients.files.enumerated() {
      for round in ["miss", "hit"] {
        let out = try clients.curl(
          [
            word, "-o", clients.file("down"), "-w", "%{http_code} %{http_version} %{size_download}",
          ],
          scheme, name)
        #expect(out == "200 \(version) \(RealClients.sizes[index])", "\(name), \(round)")
        #expect(clients.isSame("down", as: name), "\(name), \(round)")
      }
    }
    let part = try clients.curl([word, "-r", "5-14", "-w", " %{http_code}"], scheme, "page.html")
    #expect(part.hasSuffix(" 206") && part.utf8.count == 14, "\(part)")
    #expect(
      try clients.curl([word, "-I"], scheme, "large.bin").contains("content-length: 3000000"))
    let missing = try clients.curl([word, "-o", "/dev/null", "-w", "%{http_code}"], scheme, "no")
    #expect(missing == "404")
  }

  /// Not with prior knowledge: curl 7.88 breaks off all but one then, whoever the server is.
  @Test func `a hundred transfers of curl's share a connection`() async throws {
    let clients = try await RealClients()
    defer { clients.stop() }
    let out = try clients.curl(
      [
        "--http2", "-Z", "--parallel-max", "100", "-o", "/dev/null", "-w",
        "%{http_code} %{num_connects}\n",
      ], "https", "style.css?[1-100]")
    let lines = out.split(separator: "\n")
    #expect(lines.count == 100)
    #expect(lines.allSatisfy { $0.hasPrefix("200 ") }, "\(out)")
    #expect(lines.filter { $0.hasSuffix(" 1") }.count <= 2, "\(out)")
  }

  @Test(arguments: [["https"], ["http"], ["https", "--h1"]])
  func `h2load has every request answered`(_ words: [String]) async throws {
    let clients = try await RealClients()
    defer { clients.stop() }
    for name in ["style.css", "large.bin"] {
      let count = name == "style.css" ? 4_000 : 40
      let out = try RealParts.output(
        "h2load",
        Array(words.dropFirst())
          + ["-n\(count)", "-c8", "-m16", "-t1", clients.url(words[0], name, host: "127.0.0.1")])
      #expect(out.contains("\(count) succeeded, 0 failed, 0 errored, 0 timeout"), "\(out)")
      #expect(out.contains("status codes: \(count) 2xx"), "\(out)")
    }
  }

  @Test(arguments: ["https", "http"])
  func `nghttp loads a page with what it names`(_ scheme: String) async throws {
    let clients = try await RealClients()
    defer { clients.stop() }
    let out = try RealParts.output(
      "nghttp", ["-nas", clients.url(scheme, "page.html", host: "127.0.0.1")])
    // A line of its statistics for the page and for each thing on it, with the status.
    for name in ["page.html", "style.css", "script.js", "dot.svg?0", "dot.svg?19"] {
      let line = out.split(separator: "\n").first { $0.hasSuffix(" /\(name)") }
      #expect(line?.contains(" 200 ") == true, "\(name): \(out)")
    }
  }

  @Test(.enabled(if: RealClients.pythonWithH2 != nil, "tools/setup-h2 has not been run"))
  func `Python's h2 finds no breach of the protocol`() async throws {
    let clients = try await RealClients()
    defer { clients.stop() }
    let script = RealClients.repository.appending(path: "Tests/Scripts/h2_client.py").path
    let out = try RealParts.output(
      "env",
      [
        RealClients.pythonWithH2 ?? "", script, "\(clients.port("https"))", clients.authority,
        "GET:/page.html", "GET:/large.bin",
        "HEAD:/large.bin", "GET:/style.css", "GET:/missing", "POST:/page.html:300000",
      ])
    let answers = try out.split(separator: "\n").map { try JSONValue(parsing: String($0)) }
    #expect(answers.map { $0["status"]?.int } == [200, 200, 200, 200, 404, 405], "\(out)")
    #expect(
      answers.dropLast(2).map { $0["length"]?.int } == [
        RealClients.sizes[0], 3_000_000, 0, RealClients.sizes[1],
      ])
  }

  @Test(.enabled(if: Browser.isInstalled, "there is no \(Browser.path)"))
  func `Chromium loads a page with what it names over one connection`() async throws {
    let clients = try await RealClients()
    defer { clients.stop() }
    let profile = try TemporaryDirectory()
    let browser = try Browser(
      profile: profile.path,
      words: [
        "--ignore-certificate-errors-spki-list=\(try clients.keyHash())",
        "--host-resolver-rules='MAP a.example 127.0.0.1'",
      ])
    defer { browser.stop() }
    let page = try await BrowserPage.open(clients.url("https", "page.html"), in: browser)
    try await eventually("the page to be whole") {
      try await page.value("document.title").string == "20 pictures, script ran"
    }
    let loaded = try await page.value(
      "performance.getEntriesByType('navigation').concat(performance.getEntriesByType('resource'))"
        + ".map(e => e.nextHopProtocol + ' ' + e.responseStatus).join()")
    let expected = Array(repeating: "h2 200", count: 23).joined(separator: ",")
    #expect(loaded.string == expected)
    #expect(
      try await page.value("getComputedStyle(document.body).color").string == "rgb(1, 2, 3)")
    #expect(browser.complaints == [])
    let connections = try clients.figure("weir_tls_protocols_total{protocol=\"h2\"}")
    #expect(connections >= 1)
  }
}

/// What looks for weaknesses.
@Suite struct ScannerTests {
  /// What testssl.sh says of the test's own certificate, page and openssl, and not of the node.
  /// (For a session to resume it needs the ticket before its client, which says nothing, has left: it may not.)
  private static let others: Set<String> = [
    "cert_revocation", "cert_expirationStatus", "cert_notAfter", "engine_problem",
    "security_headers", "sessionresumption_ticket",
  ]

  @Test(
    .enabled(
      if: RealClients.areInstalled && RealParts.find("testssl") != nil,
      "testssl.sh is not installed, or nginx is not"))
  func `testssl has nothing to complain about`() async throws {
    let clients = try await RealClients()
    defer { clients.stop() }
    let report = clients.file("report.json")
    let out = try RealParts.output(
      "testssl",
      [
        "--quiet", "--color", "0", "--warnings", "off", "--nodns", "none", "--add-ca",
        clients.authority, "--jsonfile", report, "--ip", "127.0.0.1", "--protocols", "--std",
        "--fs", "--server-preference", "--server-defaults", "--header", "--vulnerable",
        clients.url("https", ""),
      ])
    let findings = try JSONValue(parsing: String(contentsOfFile: report, encoding: .utf8))
    let all = findings.array ?? []
    #expect(all.count > 60, "\(out)")
    let bad = all.filter { finding in
      let severity = finding["severity"]?.string ?? ""
      return !["OK", "INFO"].contains(severity)
        && !Self.others.contains(finding["id"]?.string ?? "")
    }
    #expect(bad.isEmpty, "\(bad)")
    func finding(_ id: String) -> String? {
      all.first { $0["id"]?.string == id }?["finding"]?.string
    }
    #expect(finding("TLS1_3")?.hasPrefix("offered") == true)
    #expect(finding("ALPN_HTTP2")?.hasPrefix("h2") == true)
    let secrecy = finding("FS") ?? finding("PFS")
    #expect(secrecy?.hasPrefix("offered") == true)
  }

  @Test(
    .enabled(
      if: RealClients.areInstalled && RealParts.find("sslscan") != nil,
      "sslscan is not installed, or nginx is not"))
  func `sslscan finds two versions and no weak cipher`() async throws {
    let clients = try await RealClients()
    defer { clients.stop() }
    let out = try RealParts.output(
      "sslscan", ["--no-colour", "--sni-name=a.example", "127.0.0.1:\(clients.port("https"))"])
    for (version, state) in [
      ("SSLv2", "disabled"), ("SSLv3", "disabled"), ("TLSv1.0", "disabled"),
      ("TLSv1.1", "disabled"), ("TLSv1.2", "enabled"), ("TLSv1.3", "enabled"),
    ] {
      let line = out.split(separator: "\n").first { $0.hasPrefix("\(version) ") }
      #expect(line?.hasSuffix(" \(state)") == true, "\(version): \(out)")
    }
    #expect(out.contains("Session renegotiation not supported"), "\(out)")
    #expect(!out.contains("Compression enabled"), "\(out)")
    #expect(out.matches(of: /not vulnerable to heartbleed/).count == 2, "\(out)")
    let ciphers = out.split(separator: "\n").filter {
      $0.hasPrefix("Preferred") || $0.hasPrefix("Accepted")
    }
    #expect(ciphers.count >= 6, "\(out)")
    let strong = /(TLS_|ECDHE-).*(GCM|POLY1305)/
    #expect(ciphers.allSatisfy { $0.contains(strong) }, "\(out)")
  }
}

/// A node with TLS, with HTTP/2 on both listeners, and nginx with a page behind it.
private final class RealClients: @unchecked Sendable {
  // Sendable because its test uses it from one task.
  static let needed = ["nginx", "curl", "h2load", "nghttp", "openssl"]
  static var areInstalled: Bool { needed.allSatisfy { RealParts.find($0) != nil } }
  static let repository = URL(filePath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
  static var pythonWithH2: String? {
    let path = repository.appending(path: ".build/h2/bin/python").path
    return FileManager.default.isExecutableFile(atPath: path) ? path : nil
  }

  private static let page =
    "<!doctype html><title>loading</title><link rel=stylesheet href=style.css>"
    + (0..<20).map { "<img src='dot.svg?\($0)'>" }.joined() + "<script src=script.js></script>"
  private static let texts: [(name: String, text: String)] = [
    ("page.html", page),
    ("style.css", "body { color: rgb(1, 2, 3) }"),
    (
      "script.js",
      "onload = () => { document.title = [...document.images].filter(i => i.naturalWidth == 7).length + ' pictures, script ran' }"
    ),
    ("dot.svg", "<svg xmlns='http://www.w3.org/2000/svg' width='7' height='7'/>"),
  ]
  static let files = texts.map(\.name) + ["large.bin"]
  static let sizes = texts.map(\.text.utf8.count) + [3_000_000]

  private let directory: TemporaryDirectory
  private let certificates: TestCertificates
  private let nginx: Process
  private let weir: Process
  private let ports: [String: Int]
  private let admin: Int

  init() async throws {
    directory = try TemporaryDirectory()
    certificates = try await TestCertificates(in: directory)
    try await certificates.leaf("a", "DNS:a.example,IP:127.0.0.1")
    for (name, text) in Self.texts { try directory.write("www/\(name)", text) }
    try directory.write("www/large.bin", (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 / 7) })
    let origin = directory.file("origin.sock")
    try directory.write("nginx.conf", Self.nginx(directory, origin))
    nginx = try RealParts.start("nginx", ["-c", directory.file("nginx.conf")])
    try await eventually("nginx to listen") { FileManager.default.fileExists(atPath: origin) }
    let secure = Int(try FreePort.take())
    admin = Int(try FreePort.take())
    let conf = try directory.write(
      "edge.conf",
      """
      workers 2;
      listen 127.0.0.1:0 h2c;
      listen 127.0.0.1:\(secure) tls;
      admin 127.0.0.1:\(admin);
      certificate a.pem key a.key;
      store ./store { size 64MiB; }
      origin app unix:\(origin);
      site * { hsts 365d include_subdomains; origin app; }
      """)
    let folder = RealParts.buildDirectory ?? URL(fileURLWithPath: "/")
    let plain: Int
    (weir, plain) = try await RealParts.startWeir(
      beside: folder, conf: conf, notes: directory.file("weir.err"))
    ports = ["http": plain, "https": secure]
  }

  private static func nginx(_ directory: TemporaryDirectory, _ socket: String) -> String {
    let folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map {
      "\($0)_temp_path \(directory.file($0));"
    }
    return """
      daemon off; master_process off; pid \(directory.file("nginx.pid"));
      error_log \(directory.file("nginx.error"));
      events { }
      http {
        access_log off; \(folders.joined(separator: " "))
        types { text/html html; text/css css; text/javascript js; image/svg+xml svg; }
        server {
          listen unix:\(socket);
          root \(directory.file("www"));
          location / { add_header Cache-Control max-age=3600; }
        }
      }
      """
  }

  func stop() {
    weir.terminate()
    weir.waitUntilExit()
    kill(nginx.processIdentifier, SIGKILL)
    nginx.waitUntilExit()
  }

  var authority: String { certificates.authority }
  func file(_ name: String) -> String { directory.file(name) }
  func port(_ scheme: String) -> Int { ports[scheme] ?? 0 }

  /// A URL of the host that the certificate is for; for clients that cannot be told where it is, of its
  /// address.
  func url(_ scheme: String, _ name: String, host: String? = nil) -> String {
    let host = host ?? (scheme == "https" ? "a.example" : "127.0.0.1")
    return "\(scheme)://\(host):\(port(scheme))/\(name)"
  }

  func isSame(_ name: String, as other: String) -> Bool {
    FileManager.default.contentsEqual(atPath: file(name), andPath: file("www/\(other)"))
  }

  func curl(_ words: [String], _ scheme: String, _ name: String) throws -> String {
    try RealParts.output(
      "curl",
      [
        "-s", "--max-time", "60", "--cacert", authority, "--resolve",
        "a.example:\(port("https")):127.0.0.1",
      ] + words + [url(scheme, name)])
  }

  /// The hash of the public key, as Chromium takes it for known.
  func keyHash() throws -> String {
    let command =
      "openssl x509 -in \(file("a.pem")) -noout -pubkey | openssl pkey -pubin -outform der"
      + " | openssl dgst -sha256 -binary | openssl base64"
    return try RealParts.output("sh", ["-c", command]).trimmingCharacters(in: .newlines)
  }

  /// A figure of /metrics.
  func figure(_ name: String) throws -> Int {
    let text = try RealParts.output("curl", ["-s", "http://127.0.0.1:\(admin)/metrics"])
    let line = text.split(separator: "\n").first { $0.hasPrefix(name) }
    return line?.split(separator: " ").last.flatMap { Int($0) } ?? 0
  }
}
