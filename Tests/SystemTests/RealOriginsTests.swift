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
    let names = try (0..<12).map { _ in try origins.get("/") }
    #expect(Set(names) == ["a", "b", "c"])

    // It dies under load: every answer is a 200 all the same.
    let load = origins.startLoad(seconds: 4)
    try await eventually("some load") { try origins.requests() > 200 }
    origins.kill(0)
    let report = try await load.value
    #expect(report.contains("requests in"))
    #expect(!report.contains("Non-2xx") && !report.contains("Socket errors"), "\(report)")
    try await eventually("the checks to see it") { try origins.state(0) == "down" }
    for _ in 0..<6 { #expect(["b", "c"].contains(try origins.get("/"))) }

    try origins.start(0)
    try await eventually("it to be back") { try origins.state(0) == "up" }
    #expect(Set(try (0..<12).map { _ in try origins.get("/") }) == ["a", "b", "c"])
  }
}

/// Three nginx and a node before them.
private final class RealOrigins: @unchecked Sendable {
  // Sendable because the test uses it from one task; the load's own task only reads the port.
  private let directory: TemporaryDirectory
  private let weir: Process
  private let port: Int
  private let admin: Int
  private let listeners: [String]
  private var servers: [Process?] = [nil, nil, nil]

  init() async throws {
    let directory = try TemporaryDirectory()
    self.directory = directory
    listeners = [
      "127.0.0.1:\(try RealParts.freePort())", "127.0.0.1:\(try RealParts.freePort())",
      "unix:\(directory.file("c.sock"))",
    ]
    admin = try RealParts.freePort()
    let conf = try directory.write(
      "edge.conf",
      """
      workers 2;
      listen 127.0.0.1:0;
      admin 127.0.0.1:\(admin);
      origin app {
        \(listeners.map { "server \($0);" }.joined(separator: " "))
        health GET /health every=500ms timeout=400ms fall=2 rise=2;
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
    (weir, port) = try await RealParts.startWeir(
      beside: folder, conf: conf, notes: directory.file("weir.err"))
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

  func get(_ path: String) throws -> String {
    try RealParts.output("curl", ["-s", "http://127.0.0.1:\(port)\(path)"])
  }

  /// wrk in a task of its own; its report.
  func startLoad(seconds: Int) -> Task<String, any Error> {
    let url = "http://127.0.0.1:\(port)/"
    return Task.detached {
      try RealParts.output("wrk", ["-t1", "-c16", "-d\(seconds)s", url])
    }
  }

  private func report() throws -> JSONValue {
    let text = try RealParts.output("curl", ["-s", "http://127.0.0.1:\(admin)/v1/origins"])
    return try JSONValue(parsing: text)
  }

  func requests() throws -> Int { try report()["origins"]?[0]?["requests"]?.int ?? 0 }

  func state(_ index: Int) throws -> String? {
    try report()["origins"]?[0]?["servers"]?[index]?["state"]?.string
  }
}
