import Cryptography
import EdgeTesting
import Metrics
import Testing

/// Answers to requests with credentials, between fills and the store (RFC 9111 §3.5).
@Suite struct PersonalAnswerTests {
  private static func node(
    _ issuer: Issuer, _ origin: ScriptedOrigin
  ) throws -> TestNode {
    let directory = try TemporaryDirectory()
    try directory.write("keys.json", Issuer.set(issuer))
    return try TestNode.start(
      origin: origin.port, route: "auth jwt main;",
      top: "jwt main { keys ./keys.json; algorithms ES256; from cookie session; }",
      directory: directory)
  }

  @Test func `requests whose answers are not shared do not wait for each other`() async throws {
    let issuer = try Issuer(.es256)
    let release = Signal("the answers")
    let isFirst = Watched(true)
    let origin = try await ScriptedOrigin.answering { _ in
      let first = isFirst.update { flag in
        defer { flag = false }
        return flag
      }
      if !first { try await release.wait() }
      return Reply(200, ["Cache-Control: max-age=60"], "personal")
    }
    let node = try Self.node(issuer, origin)
    let field = "Cookie: session=\(try issuer.token())"
    #expect(try await node.get("/a", field).status == 200)
    var clients: [RawClient] = []
    for _ in 0..<3 { clients.append(try await node.ask("/a", field)) }
    try await origin.waitForRequests(4)
    release.send()
    for client in clients { #expect(try await client.readResponse().status == 200) }
  }

  @Test func `what an origin says to one user of a shared response stays with that user`()
    async throws
  {
    let issuer = try Issuer(.es256)
    let origin = try await ScriptedOrigin.answering { request in
      let session = request.header("cookie") ?? ""
      if request.method == "GET", request.header("if-none-match") == nil {
        return Reply(
          200, ["Cache-Control: public, max-age=60", "ETag: \"1\"", "X-Owner: all"], "shared")
      }
      let fields = ["Cache-Control: max-age=60", "ETag: \"1\"", "X-Owner: \(session.count)"]
      let isHead = request.method == "HEAD"
      return Reply(isHead ? 200 : 304, fields, isHead ? "shared" : "")
    }
    let node = try Self.node(issuer, origin)
    let anna = "Cookie: session=\(try issuer.token(subject: "anna"))"
    let bert = "Cookie: session=\(try issuer.token(subject: "bert"))"
    #expect(try await node.get("/a", anna).header("x-owner") == "all")
    try await node.settle()
    let client = try await node.connect()
    _ = try await client.request("HEAD", "/a", [bert, "Cache-Control: no-cache"])
    client.close()
    try await node.settle()
    #expect(try await node.get("/a", anna).header("x-owner") == "all")
    node.advance(seconds: 61)
    #expect(try await node.get("/a", bert).header("x-owner") == "all")
    try await node.settle()
    let hit = try await node.get("/a", anna)
    #expect(hit.isHit && hit.header("x-owner") == "all" && hit.text == "shared")
    try await node.expectAtRest()
  }
}
