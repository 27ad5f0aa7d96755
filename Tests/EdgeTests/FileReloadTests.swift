import Authentication
import Cryptography
import Edge
import EdgeTesting
import EventLoop
import Node
import Testing

/// Files that change while the node runs.
@Suite struct FileReloadTests {
  private static func origin() async throws -> ScriptedOrigin {
    try await ScriptedOrigin.answering { request in
      Reply(200, ["Cache-Control: no-store"], request.header("x-who") ?? "-")
    }
  }

  private func status(_ node: TestNode, _ fields: String...) async throws -> Int {
    let client = try await node.connect()
    defer { client.close() }
    return try await client.request("GET", "/", fields).status
  }

  @Test func `other API keys are in force with the next request, and a wrong file changes nothing`()
    async throws
  {
    let old = try #require(try APIKeyLine.make(name: "old"))
    let new = try #require(try APIKeyLine.make(name: "new", attributes: "plan=gold"))
    let directory = try TemporaryDirectory()
    try directory.write("keys", old.line + "\n")
    let origin = try await Self.origin()
    let node = try TestNode.start(
      origin: origin.port, route: "auth api_keys ./keys;", workers: 3, directory: directory)
    let running = try #require(node.node)
    #expect(running.reloadFiles().isEmpty)
    #expect(try await status(node, "X-API-Key: \(old.key)") == 200)
    #expect(try await status(node, "X-API-Key: \(new.key)") == 401)
    try directory.write("keys", "# another\n" + new.line + "\n")
    #expect(running.reloadFiles().map(\.problem) == [nil])
    for _ in 0..<6 {
      #expect(try await status(node, "X-API-Key: \(old.key)") == 401)
      #expect(try await status(node, "X-API-Key: \(new.key)") == 200)
    }
    try directory.write("keys", new.line + "\n" + "this is no key\n")
    let reloads = running.reloadFiles()
    #expect(reloads.first?.problem?.hasPrefix("line 2: ") == true)
    #expect(node.notes.value.contains { $0.hasPrefix("files: ") && $0.contains("changes nothing") })
    #expect(!node.notes.value.contains { $0.contains("this is no key") })
    #expect(try await status(node, "X-API-Key: \(new.key)") == 200)
    // It is said once, and not at each look.
    #expect(running.reloadFiles().isEmpty)
  }

  @Test func `users, keys of tokens, signed URLs and lists of addresses change alike`()
    async throws
  {
    let directory = try TemporaryDirectory()
    let (first, second) = (try Issuer(.es256, id: "first"), try Issuer(.es256, id: "second"))
    let urls = try (0..<2).map { try #require(try URLKey.makeLine(id: "k\($0)")) }
    try directory.write("users", "anna:\(PasswordSample.hash)\n")
    try directory.write("keys.json", Issuer.set(first))
    try directory.write("urls", urls[0] + "\n")
    try directory.write("blocked", "127.0.0.9\n")
    let origin = try await Self.origin()
    let node = try TestNode.start(
      configuration: """
        workers 2; listen 127.0.0.1:0;
        jwt main { keys ./keys.json; algorithms ES256; }
        origin app 127.0.0.1:\(origin.port);
        site * {
          origin app; deny ./blocked;
          route /basic { auth basic ./users; }
          route /jwt { auth jwt main; }
          route /url { auth signed_url ./urls; }
          route / { }
        }
        """, directory: directory)
    let running = try #require(node.node)
    let basic = "Authorization: Basic YW5uYTpzZXNhbWU="
    let token = "Authorization: Bearer " + (try second.token())
    let signed = try URLSigner(try URLKey.load(try directory.write("later", urls[1] + "\n")))
      .sign("/url", URLGrant(expires: TestNode.start / 1000 + 60))
    func outcomes() async throws -> [Int] {
      let blocked = try await RawClient.connect(to: node.port, from: "127.0.0.9")
      defer { blocked.close() }
      return [
        try await node.get("/basic", basic).status, try await node.get("/jwt", token).status,
        try await node.get(signed).status, try await blocked.get("/").status,
        try await node.get("/").status,
      ]
    }
    #expect(try await outcomes() == [200, 401, 403, 403, 200])
    try directory.write("users", "# nobody any more\n")
    try directory.write("keys.json", Issuer.set(first, second))
    try directory.write("urls", urls.joined(separator: "\n") + "\n")
    try directory.write("blocked", "127.0.0.1/32 # a mistake\n")
    #expect(running.reloadFiles().map(\.problem) == [nil, nil, nil, nil])
    let changed = try await RawClient.connect(to: node.port, from: "127.0.0.9")
    #expect(try await changed.get("/").status == 200)
    #expect(try await changed.request("GET", "/basic", [basic]).status == 401)
    #expect(try await changed.request("GET", "/jwt", [token]).status == 200)
    #expect(try await changed.get(signed).status == 200)
    #expect(try await node.get("/").status == 403)
    for name in ["users", "keys.json", "urls", "blocked"] {
      try directory.write(name, "\u{1}not this, nor that")
    }
    let problems = running.reloadFiles()
    #expect(problems.count == 4 && problems.allSatisfy { $0.problem != nil })
    #expect(try await changed.get(signed).status == 200)
    #expect(try await changed.request("GET", "/jwt", [token]).status == 200)
    #expect(try await node.get("/").status == 403)
  }

  @Test func `who looks by itself waits until a file has settled`() async throws {
    let directory = try TemporaryDirectory()
    try directory.write("blocked", "127.0.0.9\n")
    let origin = try await Self.origin()
    let node = try TestNode.start(
      origin: origin.port, route: "deny ./blocked;", directory: directory)
    try directory.write("blocked", "127.0.0.0/8\n")
    #expect(try await node.get("/").status == 200)
    // The first look sees that it has changed, the second that it has stayed so.
    try await eventually("the list to be read") {
      node.advance(seconds: 2)
      return try await node.get("/").status == 403
    }
    #expect(node.notes.value.contains { $0.hasSuffix("blocked was read again") })
    // A file that is gone changes nothing.
    try directory.remove("blocked")
    try await eventually("the loss to be noticed") {
      node.advance(seconds: 2)
      return node.notes.value.contains { $0.contains("changes nothing") }
    }
    #expect(try await node.get("/").status == 403)
    node.stop(within: 0)
  }

  @Test func `another geo database is asked from the next request on`() async throws {
    guard let city = sharedDataFile("mmdb/GeoIP2-City-Test.mmdb"),
      let network = sharedDataFile("mmdb/GeoLite2-ASN-Test.mmdb")
    else {
      print("skipped: no geo database in ../shared/data")
      return
    }
    let directory = try TemporaryDirectory()
    try directory.copy(city, to: "geo.mmdb")
    let origin = try await Self.origin()
    let node = try TestNode.start(
      origin: origin.port, route: "set header.x-who \"${geo.country} ${geo.asn}\";",
      top: "geo_database ./geo.mmdb; trusted_proxies 127.0.0.1;", directory: directory)
    let running = try #require(node.node)
    #expect(try await node.get("/", "X-Forwarded-For: 81.2.69.142").text == "GB 0")
    try directory.write("geo.mmdb", "no database")
    #expect(running.reloadFiles().first?.problem?.hasPrefix("is not a database") == true)
    #expect(try await node.get("/", "X-Forwarded-For: 81.2.69.142").text == "GB 0")
    try directory.copy(network, to: "geo.mmdb")
    #expect(running.reloadFiles().map(\.problem) == [nil])
    for _ in 0..<4 {
      #expect(try await node.get("/", "X-Forwarded-For: 1.128.0.0").text == "1221")
    }
  }
}
