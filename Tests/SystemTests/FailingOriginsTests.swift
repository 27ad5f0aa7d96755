// One pool of three kinds of servers, nginx, Python's http.server and the demo origin, under load by wrk:
// they die, hang, answer late, reset, and send what is not HTTP. Whatever one of them does, the others could
// answer: so no client may see an error.

import EdgeTesting
import Foundation
import Testing

@Suite(
  .enabled(
    if: RealParts.areInstalled && RealParts.find("python3") != nil,
    "nginx, wget, curl, wrk and python3 are not all installed"))
struct FailingOriginsTests {
  /// The server's checks are answered all the while: only what became of requests speaks against it.
  @Test(arguments: ["slow", "reset", "garbage", "half", "error", "silent"])
  func `no client sees what one server of three does wrong`(mode: String) async throws {
    let pool = try await FailingPool()
    defer { pool.stop() }
    let load = try pool.startLoad()
    defer { load.stop() }
    try await eventually("python's share") { try pool.report(.python, "requests") > 50 }
    try pool.misbehave(mode)
    try await eventually("requests to fail") {
      try pool.report(.python, "failures") + pool.report(.python, "server_errors") >= 5
    }
    try pool.misbehave("well")
    let report = try load.end()
    #expect(report.contains("requests in"))
    #expect(!report.contains("Non-2xx") && !report.contains("Socket errors"), "\(mode): \(report)")
    let before = try pool.report(.python, "requests")
    try await eventually("python to be asked again") {
      _ = try pool.get("/page")
      return try pool.report(.python, "requests") > before
    }
  }

  @Test(arguments: FailingPool.Kind.allCases, [SIGKILL, SIGSTOP])
  func `no client notices that a server dies or hangs, and comes back`(
    kind: FailingPool.Kind, signal: Int32
  ) async throws {
    let pool = try await FailingPool(checks: "every=300ms timeout=200ms")
    defer { pool.stop() }
    let load = try pool.startLoad()
    defer { load.stop() }
    try await eventually("some load") { try pool.report(kind, "requests") > 50 }
    pool.send(signal, to: kind)
    try await eventually("the checks to see it") { try pool.state(kind) == "down" }
    if signal == SIGKILL { try pool.start(kind) } else { pool.send(SIGCONT, to: kind) }
    try await eventually("it to be back") { try pool.state(kind) == "up" }
    let report = try load.end()
    #expect(report.contains("requests in"))
    #expect(!report.contains("Non-2xx") && !report.contains("Socket errors"), "\(kind): \(report)")
  }

  /// What a death costs is counted, not timed: requests that were on their way, each of them tried again.
  @Test func `a dead server fails what was on its way to it, and checks of a second take it out`()
    async throws
  {
    let pool = try await FailingPool()
    defer { pool.stop() }
    let load = try pool.startLoad()
    defer { load.stop() }
    try await eventually("some load") { try pool.report(.nginx, "requests") > 200 }
    let (failed, retried) = (try pool.report(.nginx, "failures"), try pool.retries())
    pool.send(SIGKILL, to: .nginx)
    try await eventually("the checks to see it") { try pool.state(.nginx) == "down" }
    let report = try load.end()
    #expect(!report.contains("Non-2xx") && !report.contains("Socket errors"), "\(report)")
    let failures = try pool.report(.nginx, "failures") - failed
    // One for each client when it died, and as many that had been given to it until that was known.
    #expect(failures > 0 && failures <= 2 * FailingPool.clients, "\(failures) failures")
    #expect(try pool.retries() - retried >= failures)
  }
}

/// The three servers and a node before them.
final class FailingPool {
  enum Kind: Int, CaseIterable, Sendable { case nginx, python, demo }

  /// Clients of the load, each with one request in flight.
  static let clients = 16

  private let directory: TemporaryDirectory
  private let ports: [Int]
  private let admin: Int
  private let weir: Process
  private let port: Int
  private var servers: [Process?] = [nil, nil, nil]

  init(checks: String = "every=1s timeout=500ms") async throws {
    let directory = try TemporaryDirectory()
    self.directory = directory
    ports = [try RealParts.freePort(), try RealParts.freePort(), try RealParts.freePort()]
    admin = try RealParts.freePort()
    try Self.write(into: directory, ports)
    let conf = try directory.write(
      "edge.conf",
      """
      workers 2;
      listen 127.0.0.1:0;
      admin 127.0.0.1:\(admin);
      origin app {
        \(ports.map { "server 127.0.0.1:\($0);" }.joined(separator: " "))
        health GET /health \(checks) fall=2 rise=2;
        ejection on time=1s longest=1s;
        try_timeout 500ms;
      }
      site * { origin app; }
      """)
    (weir, port) = try await RealParts.startWeir(
      beside: RealParts.buildDirectory ?? URL(fileURLWithPath: "/"), conf: conf,
      notes: directory.file("weir.err"))
    for kind in Kind.allCases { try start(kind) }
    for kind in Kind.allCases {
      try await eventually("\(kind) to be up") { try self.state(kind) == "up" }
    }
  }

  private static func write(into directory: TemporaryDirectory, _ ports: [Int]) throws {
    try directory.write("mode", "well")
    try FileManager.default.createDirectory(
      atPath: directory.file("www"), withIntermediateDirectories: true)
    try directory.write("www/health", "well")
    try directory.write("www/page", "demo")
    try directory.write(
      "nginx.conf",
      """
      daemon off; master_process off; pid \(directory.file("nginx.pid"));
      error_log \(directory.file("nginx.error"));
      events { }
      http {
        access_log off;
        client_body_temp_path \(directory.file("1")); proxy_temp_path \(directory.file("2"));
        fastcgi_temp_path \(directory.file("3")); uwsgi_temp_path \(directory.file("4"));
        scgi_temp_path \(directory.file("5"));
        server { listen 127.0.0.1:\(ports[0]); location / { return 200 "nginx"; } }
      }
      """)
    try directory.write("server.py", python)
  }

  /// An `http.server` that does as a file says.
  private static let python = """
    import http.server, socket, struct, sys, time

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self):
            mode = "well" if self.path == "/health" else open(sys.argv[2]).read()
            if mode in ("slow", "silent"):
                time.sleep(1.5)
            if mode == "reset":
                self.connection.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if mode == "garbage":
                self.wfile.write(b"\\x16\\x03\\x01 this is not HTTP\\r\\n\\r\\n")
            if mode == "half":
                self.wfile.write(b"HTTP/1.1 200 OK\\r\\nContent-Le")
            if mode in ("reset", "garbage", "half", "silent"):
                self.close_connection = True
                return
            self.send_response(503 if mode == "error" else 200)
            self.send_header("Content-Length", "6")
            self.end_headers()
            self.wfile.write(b"python")

        def log_message(self, *_):
            pass

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

    Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
    """

  func start(_ kind: Kind) throws {
    let port = "\(ports[kind.rawValue])"
    switch kind {
    case .nginx:
      servers[0] = try RealParts.start("nginx", ["-c", directory.file("nginx.conf")])
    case .python:
      servers[1] = try RealParts.start(
        "python3", [directory.file("server.py"), port, directory.file("mode")])
    case .demo:
      let folder = RealParts.buildDirectory ?? URL(fileURLWithPath: "/")
      servers[2] = try RealParts.start(
        folder.appendingPathComponent("origin").path,
        ["--port", port, "--directory", directory.file("www")])
    }
  }

  func misbehave(_ mode: String) throws { try directory.write("mode", mode) }

  func send(_ signal: Int32, to kind: Kind) {
    guard let server = servers[kind.rawValue] else { return }
    kill(server.processIdentifier, signal)
    if signal == SIGKILL {
      server.waitUntilExit()
      servers[kind.rawValue] = nil
    }
  }

  func stop() {
    for kind in Kind.allCases { send(SIGKILL, to: kind) }
    weir.terminate()
    weir.waitUntilExit()
  }

  func get(_ path: String) throws -> String {
    try RealParts.output("curl", ["-s", "http://127.0.0.1:\(port)\(path)"])
  }

  func startLoad() throws -> RunningLoad {
    try RunningLoad(
      "http://127.0.0.1:\(port)/page", clients: Self.clients, report: directory.file("wrk"))
  }

  private func origin() throws -> JSONValue? {
    let text = try RealParts.output("curl", ["-s", "http://127.0.0.1:\(admin)/v1/origins"])
    return try JSONValue(parsing: text)["origins"]?[0]
  }

  func report(_ kind: Kind, _ member: String) throws -> Int {
    try origin()?["servers"]?[kind.rawValue]?[member]?.int ?? 0
  }

  func retries() throws -> Int { try origin()?["retries"]?.int ?? 0 }

  func state(_ kind: Kind) throws -> String? {
    try origin()?["servers"]?[kind.rawValue]?["state"]?.string
  }
}

/// wrk again and again, until the test has seen what it waits for: a load of so many seconds may be over
/// before. (One of wrk that is interrupted would do, but a child of this process has its signals blocked.)
final class RunningLoad {
  private let process = Process()
  private let report: String
  private let ending: String

  init(_ url: String, clients: Int, report: String) throws {
    self.report = report
    ending = report + ".ending"
    _ = FileManager.default.createFile(atPath: report, contents: nil)
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    process.arguments = [
      "-c", "until [ -e \"$1\" ]; do wrk -t1 -c\"$2\" -d1s \"$3\" || exit 1; done", "sh", ending,
      "\(clients)", url,
    ]
    process.standardOutput = FileHandle(forWritingAtPath: report)
    try process.run()
  }

  /// Ends it; what wrk has said.
  func end() throws -> String {
    stop()
    return try String(contentsOfFile: report, encoding: .utf8)
  }

  /// Ends it; again is harmless.
  func stop() {
    _ = FileManager.default.createFile(atPath: ending, contents: nil)
    process.waitUntilExit()
  }
}
