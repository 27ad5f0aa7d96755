// The `weir` command before three real servers, two on ports and one on a unix socket, under load: one is
// killed and started again.

import EdgeTesting
import Foundation
import Testing

@Suite(.enabled(if: RealParts.areInstalled, "nginx, wget, curl and wrk are not all installed"))
struct RealOriginsTests {
  @Test func `no client notices that a server dies and comes back`() async throws {
    let origins = try await RealOrigins()
    defer { origins.stop() }
    try await eventually("all three to answer") { try await origins.names() == ["a", "b", "c"] }

    // It dies under load: every answer is a 200 all the same.
    let load = origins.startLoad()
    try await eventually("some load") { try await origins.requests() > 200 }
    origins.kill(0)
    try await eventually("the checks to see it") { try await origins.state(0) == "down" }
    #expect(await load.end().failures == [])
    #expect(try await !origins.names().contains("a"))

    try origins.start(0)
    try await eventually("it to be back") { try await origins.state(0) == "up" }
    try await eventually("all three to answer") { try await origins.names() == ["a", "b", "c"] }
  }
}

/// Three nginx and a node before them.
private final class RealOrigins {
  private let directory: TemporaryDirectory
  private let weir: Process
  private let port: UInt16
  private let admin: UInt16
  private let listeners: [String]
  private var servers: [Process?] = [nil, nil, nil]

  init() async throws {
    let directory = try TemporaryDirectory()
    self.directory = directory
    listeners = [
      "127.0.0.1:\(try FreePort.take())", "127.0.0.1:\(try FreePort.take())",
      "unix:\(directory.file("c.sock"))",
    ]
    admin = try FreePort.take()
    let conf = try directory.write(
      "edge.conf",
      """
      workers 2;
      listen 127.0.0.1:0;
      admin 127.0.0.1:\(admin);
      origin app {
        \(listeners.map { "server \($0);" }.joined(separator: " "))
        health GET /health every=500ms timeout=500ms fall=2 rise=2;
        ejection on time=1s longest=1s;
      }
      site * { origin app; }
      """)
    for (name, listener) in zip(["a", "b", "c"], listeners) {
      try directory.write(
        "\(name).conf",
        """
        daemon off; master_process off; pid \(directory.file("\(name).pid"));
        error_log \(directory.file("\(name).error"));
        events { }
        http {
          access_log off;
          client_body_temp_path \(directory.file("\(name)1"));
          proxy_temp_path \(directory.file("\(name)2"));
          fastcgi_temp_path \(directory.file("\(name)3"));
          uwsgi_temp_path \(directory.file("\(name)4"));
          scgi_temp_path \(directory.file("\(name)5"));
          server { listen \(listener); location / { return 200 "\(name)"; } }
        }
        """)
    }
    let folder = RealParts.buildDirectory ?? URL(fileURLWithPath: "/")
    for index in 0..<3 { servers[index] = try Self.nginx(index, directory) }
    try await eventually("nginx to listen") {
      FileManager.default.fileExists(atPath: directory.file("c.sock"))
    }
    let started = try await RealParts.startWeir(
      beside: folder, conf: conf, notes: directory.file("weir.err"))
    (weir, port) = (started.0, UInt16(clamping: started.1))
  }

  private static func nginx(_ index: Int, _ directory: TemporaryDirectory) throws -> Process {
    try RealParts.start("nginx", ["-c", directory.file("\(["a", "b", "c"][index]).conf")])
  }

  func start(_ index: Int) throws { servers[index] = try Self.nginx(index, directory) }

  func kill(_ index: Int) {
    guard let server = servers[index] else { return }
    Foundation.kill(server.processIdentifier, SIGKILL)
    server.waitUntilExit()
    servers[index] = nil
  }

  func stop() {
    for index in servers.indices { kill(index) }
    weir.terminate()
    weir.waitUntilExit()
  }

  /// Who answers a dozen requests.
  func names() async throws -> Set<String> {
    var names: Set<String> = []
    for _ in 0..<12 { names.insert(try await RealParts.get("/", of: port).text) }
    return names
  }

  func startLoad() -> Load { Load(port: port, "/", clients: 16) }

  private func report() async throws -> JSONValue {
    try await RealParts.get("/v1/origins", of: admin).json()
  }

  func requests() async throws -> Int { try await report()["origins"]?[0]?["requests"]?.int ?? 0 }

  func state(_ index: Int) async throws -> String? {
    try await report()["origins"]?[0]?["servers"]?[index]?["state"]?.string
  }
}
