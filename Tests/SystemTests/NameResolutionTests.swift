// Servers by name: the `weir` command asks a real name server, by the system's resolver. It sees a resolv.conf
// of its own in a mount namespace of its own, which only root can make.

import EdgeTesting
import Foundation
import Testing

@Suite(
  .serialized,
  .enabled(
    if: RealParts.areInstalled && NamedOrigin.mayHaveResolver,
    "only root can have a name server, and nginx, curl, unshare and IPv6 are needed"))
struct NameResolutionTests {
  private let name = NamedOrigin.name

  @Test func `all addresses of a name are used, and those that it leads to later`() async throws {
    let names = try #require(NameServer([name: .init(v4: ["127.0.0.2", "127.0.0.3"])]))
    defer { names.stop() }
    let node = try await NamedOrigin()
    defer { node.stop() }
    #expect(Set(try (0..<8).map { _ in try node.get() }) == ["two", "three"])

    // Another address, and IPv6, which comes first (RFC 6724) if it works.
    names.records.update { $0[name] = .init(v4: ["127.0.0.4"], v6: ["::1"]) }
    try await eventually("the addresses to be others") {
      Set(try node.addresses()) == ["127.0.0.4", "::1"]
    }
    for _ in 0..<4 { #expect(try node.get() == "six") }
  }

  @Test func `addresses that do not work are passed over, whichever family they are of`()
    async throws
  {
    // Nothing listens on the first two.
    let dead = NameServer.Records(v4: ["127.0.0.9", "127.0.0.3"], v6: ["2001:db8::1"])
    let names = try #require(NameServer([name: dead]))
    defer { names.stop() }
    let node = try await NamedOrigin()
    defer { node.stop() }
    #expect(try node.addresses().count == 3)
    for _ in 0..<6 { #expect(try node.get() == "three") }
    names.records.update { $0[name] = .init(v4: ["127.0.0.9"], v6: ["::1"]) }
    try await eventually("the addresses to be others") { try node.addresses().contains("::1") }
    for _ in 0..<4 { #expect(try node.get() == "six") }
  }

  @Test func `what was known is kept while the name server fails`() async throws {
    let names = try #require(NameServer([name: .init(v4: ["127.0.0.2"])]))
    defer { names.stop() }
    let node = try await NamedOrigin()
    defer { node.stop() }
    #expect(try node.get() == "two")
    names.records.update { $0[name] = .init(fails: true) }
    let asked = names.questions.value
    try await names.questions.wait(for: "further questions") { $0 >= asked + 4 }
    #expect(try node.get() == "two" && node.addresses() == ["127.0.0.2"])
    names.records.update { $0[name] = .init(v4: ["127.0.0.3"]) }
    try await eventually("the new address") { try node.get() == "three" }
  }
}

/// An nginx that says by which address it was asked, and a node that knows it by its name.
private final class NamedOrigin {
  static let name = "shop.weir.test"

  /// Whether it can see a resolv.conf of its own.
  static var mayHaveResolver: Bool {
    geteuid() == 0 && RealParts.find("unshare") != nil && NameServer.mayListen
      && (try? RealParts.output("cat", ["/proc/net/if_inet6"]))?.contains(" lo\n") == true
      && (try? RealParts.output("unshare", ["-m", "echo", "yes"])) == "yes\n"
  }

  private let directory: TemporaryDirectory
  private let server: Process
  private let weir: Process
  private let port: Int
  private let admin: Int

  init() async throws {
    let directory = try TemporaryDirectory()
    self.directory = directory
    let behind = Int(try FreePort.take())
    admin = Int(try FreePort.take())
    let listeners = [
      ("127.0.0.2", "two"), ("127.0.0.3", "three"), ("127.0.0.4", "four"), ("[::1]", "six"),
    ].map { "server { listen \($0.0):\(behind); location / { return 200 \($0.1); } }" }
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
        \(listeners.joined(separator: "\n"))
      }
      """)
    try directory.write(
      "resolv.conf", "nameserver \(NameServer.address)\noptions timeout:10 attempts:2\n")
    let conf = try directory.write(
      "edge.conf",
      """
      workers 1;
      listen 127.0.0.1:0;
      admin 127.0.0.1:\(admin);
      origin app { server \(Self.name):\(behind); resolve_every 1s; keepalive 0; }
      site * { origin app; }
      """)
    server = try RealParts.start("nginx", ["-c", directory.file("nginx.conf")])
    let folder = RealParts.buildDirectory ?? URL(fileURLWithPath: "/")
    (weir, port) = try await RealParts.startWeir(
      beside: folder, conf: conf, notes: directory.file("weir.err"),
      resolvers: directory.file("resolv.conf"))
    try await eventually("nginx to listen") { RealParts.canConnect(behind, on: "127.0.0.4") }
  }

  func stop() {
    kill(server.processIdentifier, SIGKILL)
    server.waitUntilExit()
    weir.terminate()
    weir.waitUntilExit()
  }

  func get() throws -> String { try RealParts.output("curl", ["-s", "http://127.0.0.1:\(port)/"]) }

  /// What the node knows, without the port.
  func addresses() throws -> [String] {
    let text = try RealParts.output("curl", ["-s", "http://127.0.0.1:\(admin)/v1/origins"])
    let list = try JSONValue(parsing: text)["origins"]?[0]?["servers"]?[0]?["addresses"]
    return (0..<16).compactMap { list?[$0]?.string }.map { address in
      let host = address.split(separator: ":").dropLast().joined(separator: ":")
      return address.hasPrefix("[") ? String(address.dropFirst().prefix { $0 != "]" }) : host
    }
  }
}
