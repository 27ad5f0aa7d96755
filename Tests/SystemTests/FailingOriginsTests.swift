// One pool of three kinds of servers, nginx, Python's http.server and the demo origin, under load: they
// die, hang, answer late, reset, and send what is not HTTP. Whatever one of them does, the others could
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
  @Test(arguments: ["slow", "reset", "garbage", "half", "error"])
  func `no client sees what one server of three does wrong`(mode: String) async throws {
    let pool = try await FailingPool()
    defer { pool.stop() }
    let load = pool.startLoad()
    try await eventually("python's share") { try await pool.report(.python, "requests") > 50 }
    try pool.misbehave(mode)
    try await eventually("requests to fail") {
      let (failed, errors) = try await (
        pool.report(.python, "failures"), pool.report(.python, "server_errors")
      )
      return failed + errors >= 5
    }
    try pool.misbehave("well")
    #expect(await load.end().failures == [], "\(mode)")
    let before = try await pool.report(.python, "requests")
    try await eventually("python to be asked again") {
      _ = try await pool.get("/page")
      return try await pool.report(.python, "requests") > before
    }
  }

  @Test(
    arguments: [
      (FailingPool.Kind.nginx, SIGSTOP), (.python, SIGKILL), (.demo, SIGSTOP),
    ])
  func `no client notices that a server dies or hangs, and comes back`(
    kind: FailingPool.Kind, signal: Int32
  ) async throws {
    let pool = try await FailingPool(checks: "every=400ms timeout=400ms")
    defer { pool.stop() }
    let load = pool.startLoad()
    try await eventually("some load") { try await pool.report(kind, "requests") > 50 }
    pool.send(signal, to: kind)
    try await eventually("the checks to see it") { try await pool.state(kind) == "down" }
    if signal == SIGKILL { try pool.start(kind) } else { pool.send(SIGCONT, to: kind) }
    try await eventually("it to be back") { try await pool.state(kind) == "up" }
    #expect(await load.end().failures == [], "\(kind)")
  }

  /// What a death costs is counted, not timed: requests that were on their way, each of them tried again.
  @Test func `a dead server fails what was on its way to it, and checks of a second take it out`()
    async throws
  {
    let pool = try await FailingPool()
    defer { pool.stop() }
    let load = pool.startLoad()
    try await eventually("some load") { try await pool.report(.nginx, "requests") > 200 }
    let failed = try await pool.report(.nginx, "failures")
    let retried = try await pool.retries()
    pool.send(SIGKILL, to: .nginx)
    try await eventually("the checks to see it") { try await pool.state(.nginx) == "down" }
    let report = await load.end()
    #expect(report.failures == [])
    let failures = try await pool.report(.nginx, "failures") - failed
    // One for each client when it died, as many that had been given to it until that was known, and a few each
    // time that it was tried again; and no part of what the load asked meanwhile.
    #expect(failures > 0 && failures <= 4 * FailingPool.clients, "\(failures) failures")
    #expect(try await pool.retries() - retried >= failures)
  }
}

/// The three servers and a node before them.
final class FailingPool {
  enum Kind: Int, CaseIterable, Sendable { case nginx, python, demo }

  /// Clients of the load, each with one request in flight.
  static let clients = 16

  private let directory: TemporaryDirectory
  private let ports: [UInt16]
  private let admin: UInt16
  private let weir: Process
  private let port: UInt16
  private var servers: [Process?] = [nil, nil, nil]

  init(checks: String = "every=1s timeout=1s") async throws {
    let directory = try TemporaryDirectory()
    self.directory = directory
    ports = try (0..<3).map { _ in try FreePort.take() }
    admin = try FreePort.take()
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
        try_timeout 2s;
      }
      site * { origin app; }
      """)
    let started = try await RealParts.startWeir(
      beside: RealParts.buildDirectory ?? URL(fileURLWithPath: "/"), conf: conf,
      notes: directory.file("weir.err"))
    (weir, port) = (started.0, UInt16(clamping: started.1))
    for kind in Kind.allCases { try start(kind) }
    // Before its first check a server counts as up, and one that has just come may be ejected still.
    for kind in Kind.allCases {
      try await eventually("\(kind) to have passed a check and to be up") {
        let server = try await self.server(kind)
        return server?["last_check"]?.string == "passed" && server?["state"]?.string == "up"
      }
    }
  }

  private static func write(into directory: TemporaryDirectory, _ ports: [UInt16]) throws {
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
            if mode == "slow":
                # Longer than a try may take.
                time.sleep(6)
            if mode == "reset":
                self.connection.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if mode == "garbage":
                self.wfile.write(b"\\x16\\x03\\x01 this is not HTTP\\r\\n\\r\\n")
            if mode == "half":
                self.wfile.write(b"HTTP/1.1 200 OK\\r\\nContent-Le")
            if mode in ("reset", "garbage", "half"):
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

  func get(_ path: String) async throws -> PeerResponse { try await RealParts.get(path, of: port) }

  func startLoad() -> Load { Load(port: port, "/page", clients: Self.clients) }

  private func origin() async throws -> JSONValue? {
    try await RealParts.get("/v1/origins", of: admin).json()["origins"]?[0]
  }

  private func server(_ kind: Kind) async throws -> JSONValue? {
    try await origin()?["servers"]?[kind.rawValue]
  }

  func report(_ kind: Kind, _ member: String) async throws -> Int {
    try await server(kind)?[member]?.int ?? 0
  }

  func retries() async throws -> Int { try await origin()?["retries"]?.int ?? 0 }

  func state(_ kind: Kind) async throws -> String? {
    try await server(kind)?["state"]?.string
  }
}
