// `weir replay` against a running node and against nginx, and before its own origin: whole commands, as an
// operator would run them.

import EdgeTesting
import Foundation
import Testing

@Suite(.enabled(if: RealParts.areInstalled, "nginx, wget, curl and wrk are not all installed"))
struct ReplaySystemTests {
  /// What the command prints.
  private static func output(_ path: String, _ arguments: [String]) throws -> String {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: path)
    process.arguments = arguments
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = FileHandle.nullDevice
    try process.run()
    let data = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return String(decoding: data, as: UTF8.self)
  }

  /// A trace whose second half asks for the same again.
  private static let trace = (0..<2_000)
    .map { "\($0 / 200),object-\($0 % 1_000),\(100 + $0 % 1_000 * 7)" }.joined(separator: "\n")

  @Test func `a trace goes through a node, whose hits are what the origin was spared`() async throws
  {
    let directory = try TemporaryDirectory()
    try directory.write("trace.csv", Self.trace)
    let folder = try #require(RealParts.buildDirectory)
    let weir = folder.appendingPathComponent("weir").path
    let port = Int(try FreePort.take())
    let origin = Process()
    origin.executableURL = URL(fileURLWithPath: weir)
    origin.arguments = [
      "replay", directory.file("trace.csv"), "--origin", "--listen", "127.0.0.1:\(port)",
    ]
    let said = Pipe()
    origin.standardOutput = said
    origin.standardError = FileHandle.nullDevice
    try origin.run()
    try await eventually("the origin to listen") { RealParts.canConnect(port) }

    let conf = try directory.write(
      "edge.conf",
      """
      workers 1;
      listen 127.0.0.1:0;
      store ./store { size 64MiB; }
      origin app 127.0.0.1:\(port);
      site * { origin app; }
      """)
    let (node, nodePort) = try await RealParts.startWeir(
      beside: folder, conf: conf, notes: directory.file("weir.err"))
    defer {
      node.terminate()
      node.waitUntilExit()
    }
    try directory.write("budget", "hit_ratio >= 0.49\nerrors == 0\nserver_errors == 0\n")
    let report = directory.file("report.json")
    let text = try Self.output(
      weir,
      [
        "replay", directory.file("trace.csv"), "--to", "http://127.0.0.1:\(nodePort)", "--pace",
        "max", "--clients", "8", "--budget", directory.file("budget"), "--report", report,
        "--html", directory.file("report.html"),
      ])
    #expect(text.contains("2000 answered, 0 failed"), "\(text)")
    let json = try JSONValue(parsing: String(contentsOfFile: report, encoding: .utf8))
    #expect(json["answers"]?.int == 2_000)
    let hits = json["classes"]?.array?.first { $0["name"]?.string == "hit" }?["answers"]?.int ?? 0
    kill(origin.processIdentifier, SIGINT)
    let figures = try JSONValue(
      parsing: String(decoding: said.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self))
    origin.waitUntilExit()
    let asked = try #require(figures["requests"]?.int)
    // Eight clients may ask for one key at a time: what joins a fill is no hit, and no request either.
    #expect(asked >= 1_000 && hits + asked <= 2_000 && hits >= 500, "\(hits) \(asked)")
    #expect(figures["unknown"]?.int == 0)
    let page = try String(contentsOfFile: directory.file("report.html"), encoding: .utf8)
    #expect(page.contains("</svg>"))
  }

  @Test func `nginx is replayed at in HTTP1 and HTTP2, with its own log`() async throws {
    let directory = try TemporaryDirectory()
    let (plain, multiplexed) = (try FreePort.take(), try FreePort.take())
    let conf = try directory.write(
      "nginx.conf",
      """
      daemon off; master_process off; pid \(directory.file("pid"));
      error_log \(directory.file("error"));
      events { worker_connections 512; }
      http {
        access_log \(directory.file("access.log"));
        client_body_temp_path \(directory.file("1")); proxy_temp_path \(directory.file("2"));
        fastcgi_temp_path \(directory.file("3")); uwsgi_temp_path \(directory.file("4"));
        scgi_temp_path \(directory.file("5"));
        server {
          listen 127.0.0.1:\(plain); listen 127.0.0.1:\(multiplexed) http2;
          location / { add_header X-Cache-Status HIT; return 200 "content"; }
          location /gone { return 410; }
        }
      }
      """)
    let nginx = try RealParts.start("nginx", ["-c", conf])
    defer {
      kill(nginx.processIdentifier, SIGKILL)
      nginx.waitUntilExit()
    }
    try await eventually("nginx to listen") { RealParts.canConnect(Int(plain)) }
    try directory.write(
      "urls", (0..<300).map { $0 % 3 == 0 ? "/gone/\($0)\n" : "/\($0)\n" }.joined())
    let weir = try #require(RealParts.buildDirectory).appendingPathComponent("weir").path

    func replay(_ arguments: String...) throws -> JSONValue {
      try JSONValue(
        parsing: Self.output(
          weir, ["replay"] + arguments + ["--json", "--pace", "max", "--clients", "8"]))
    }
    let first = try replay(directory.file("urls"), "--to", "http://127.0.0.1:\(plain)")
    #expect(first["statuses"]?["200"]?.int == 200 && first["statuses"]?["410"]?.int == 100)
    #expect(first["failed"]?.int == 0)
    // What nginx has logged of it is a recording of it. It does so when it has answered.
    let log = directory.file("access.log")
    func logged() throws -> [Substring] {
      try String(contentsOfFile: log, encoding: .utf8).split(separator: "\n")
    }
    try await eventually("the log to be whole") { try logged().count == 300 }
    let second = try replay(
      log, "--to", "http://127.0.0.1:\(multiplexed)", "--http2", "--streams", "4",
      "--requests", "300")
    #expect(second["statuses"]?["200"]?.int == 200 && second["statuses"]?["410"]?.int == 100)
    #expect(second["failed"]?.int == 0)
    #expect(second["connectionsOpened"]?.int == 2)
    try await eventually("the log to have these, too") {
      try logged().count { $0.contains("HTTP/2.0") } == 300
    }
  }

  @Test func `what a node serves is recorded, redacted, and can be replayed`() async throws {
    let directory = try TemporaryDirectory()
    let admin = Int(try FreePort.take())
    let conf = try directory.write(
      "edge.conf",
      """
      workers 1;
      listen 127.0.0.1:0;
      access_log ./access.log;
      access_log_format combined;
      admin 127.0.0.1:\(admin) { token "a-token-for-the-tests"; }
      origin none 127.0.0.1:1;
      site * { origin none; route / { respond 200 "hello"; } }
      """)
    let folder = try #require(RealParts.buildDirectory)
    let weir = folder.appendingPathComponent("weir").path
    let (node, port) = try await RealParts.startWeir(
      beside: folder, conf: conf, notes: directory.file("weir.err"))
    defer {
      node.terminate()
      node.waitUntilExit()
    }
    let recording = directory.file("recording")
    let recorder = Process()
    recorder.executableURL = URL(fileURLWithPath: weir)
    recorder.arguments = ["record", "--config", conf, "--out", recording]
    recorder.standardError = FileHandle.nullDevice
    try recorder.run()
    // Its file is there when the node knows of it.
    try await eventually("the recorder to begin") {
      FileManager.default.fileExists(atPath: recording)
    }
    for index in 0..<20 {
      _ = try RealParts.output("curl", ["-s", "http://127.0.0.1:\(port)/\(index % 5)?name=anna"])
    }
    try await eventually("all of it to be recorded") {
      try String(contentsOfFile: recording, encoding: .utf8).split(separator: "\n").count == 20
    }
    kill(recorder.processIdentifier, SIGINT)
    recorder.waitUntilExit()
    #expect(recorder.terminationStatus == 0)
    let text = try String(contentsOfFile: recording, encoding: .utf8)
    #expect(!text.contains("anna") && !text.contains("127.0.0.1\",\"client_port"))

    let report = try JSONValue(
      parsing: Self.output(
        weir,
        [
          "replay", recording, "--to", "http://127.0.0.1:\(port)", "--pace", "max", "--json",
        ]))
    #expect(report["answers"]?.int == 20 && report["statuses"]?["200"]?.int == 20)
    #expect(report["input"]?["badLines"]?.int == 0)
  }
}
