import Authentication
import Cryptography
import EdgeTesting
import EventLoop
import Testing

/// Limits that count by who was let in.
@Suite struct LimitIdentityTests {
  private static func start(
    _ limits: String, route: String, jwt: String = "issuer https://a.example https://b.example;",
    issuer: Issuer, origin: ScriptedOrigin, files: [String: String] = [:]
  ) throws -> TestNode {
    let directory = try TemporaryDirectory()
    try directory.write("keys.json", Issuer.set(issuer))
    for (name, text) in files { try directory.write(name, text) }
    return try TestNode.start(
      origin: origin.port, route: route,
      top: "jwt main { keys ./keys.json; algorithms HS256; \(jwt) } \(limits)", store: nil,
      directory: directory)
  }

  private func bearer(
    _ issuer: Issuer, _ subject: String, _ others: String = "", from name: String = "a"
  ) throws -> String {
    let claims = "\"iss\":\"https://\(name).example\"" + (others.isEmpty ? "" : "," + others)
    return "Authorization: Bearer " + (try issuer.token(claims, subject: subject))
  }

  @Test func `by subject, and the anonymous by address`() async throws {
    let issuer = try Issuer(.hs256)
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    let node = try Self.start(
      "limit few { token_bucket 2/d; key jwt.sub else client.ip; }",
      route: "auth jwt main optional; limit few;", issuer: issuer, origin: origin)
    let anna = try bearer(issuer, "anna")
    #expect(try await node.statuses(2, "/", anna) == [200, 200])
    // From wherever she asks, and with whichever token.
    let elsewhere = try await RawClient.connect(to: node.port, from: "127.0.0.2")
    let other = try bearer(issuer, "anna", #""jti":"2""#)
    #expect(try await elsewhere.request("GET", "/", [other]).status == 429)
    #expect(try await elsewhere.request("GET", "/", [try bearer(issuer, "bert")]).status == 200)
    // A subject is its issuer's own.
    let namesake = try bearer(issuer, "anna", from: "b")
    #expect(try await node.statuses(3, "/", namesake) == [200, 200, 429])
    #expect(try await node.statuses(3) == [200, 200, 429])
    // Who shows something that is not accepted is not taken for anybody.
    #expect(try await node.statuses(1, "/", anna + "x") == [401])
    #expect(try await elsewhere.get("/").status == 200)
  }

  @Test func `tiers by a claim, each with its rate`() async throws {
    let issuer = try Issuer(.hs256)
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    let node = try Self.start(
      """
      limit gold { token_bucket 4/d; key jwt.sub; }
      limit plain { token_bucket 1/d; key jwt.sub; }
      limit tenant { token_bucket 5/d; key jwt.claim.tenant; headers on; }
      """,
      route: """
        auth jwt main;
        limit tenant;
        when jwt.claim.plan == "gold" { limit gold; } else { limit plain; }
        """, issuer: issuer, origin: origin)
    let gold = try bearer(issuer, "anna", #""plan":"gold","tenant":7"#)
    let plain = try bearer(issuer, "bert", #""plan":"plain","tenant":7"#)
    let stranger = try bearer(issuer, "carl", #""tenant":"8""#)
    #expect(try await node.statuses(2, "/", plain) == [200, 429])
    #expect(try await node.statuses(5, "/", gold) == [200, 200, 200, 200, 429])
    // Those two have had all five of their tenant's; what was refused was not taken.
    let third = try await node.get("/", try bearer(issuer, "erna", #""plan":"gold","tenant":7"#))
    #expect(third.status == 429 && third.header("ratelimit")?.contains("\"tenant\";r=0") == true)
    #expect(try await node.statuses(1, "/", stranger) == [200])
    // Without the claim, the tenant's limit does not apply.
    #expect(try await node.statuses(2, "/", try bearer(issuer, "dora")) == [200, 429])
  }

  @Test func `by the name of an API key, with cost, exemption and penalty`() async throws {
    let issuer = try Issuer(.hs256)
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    let made = try (0..<2).map { try #require(try APIKeyLine.make(name: "shop-\($0)")) }
    let node = try Self.start(
      """
      limit keys {
        token_bucket 4/s burst=4; key api_key; exempt 127.0.0.9; penalty 60s after=2 within=10s;
      }
      """,
      route: "auth api_keys ./api-keys; limit keys cost=2;", issuer: issuer, origin: origin,
      files: ["api-keys": made.map(\.line).joined(separator: "\n") + "\n"])
    let first = "X-API-Key: \(made[0].key)"
    #expect(try await node.statuses(4, "/", first) == [200, 200, 429, 429])
    node.advance(seconds: 30)
    let punished = try await node.get("/", first)
    #expect(punished.status == 429 && punished.header("retry-after") == "30")
    #expect(try await node.statuses(2, "/", "X-API-Key: \(made[1].key)") == [200, 200])
    let exempt = try await RawClient.connect(to: node.port, from: "127.0.0.9")
    for _ in 0..<4 { #expect(try await exempt.request("GET", "/", [first]).status == 200) }
  }

  @Test func `the heaviest go by their names, and are forgiven by them`() async throws {
    let issuer = try Issuer(.hs256)
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    let node = try Self.start(
      "limit few { token_bucket 20/d; key jwt.sub; }", route: "auth jwt main; limit few;",
      issuer: issuer, origin: origin)
    let anna = try bearer(issuer, "anna")
    let statuses = try await node.statuses(40, "/", anna)
    #expect(statuses.suffix(20).allSatisfy { $0 == 429 })
    let listed = try await node.admin("GET", "/v1/limits/few/keys?top=5").json()
    #expect(listed["keys"]?.array?.first?["key"]?.string == "anna")
    #expect(try await node.admin("DELETE", "/v1/limits/few/keys/anna").status / 100 == 2)
    #expect(try await node.statuses(1, "/", anna) == [200])
  }

  @Test func `responses of one subject share its bandwidth`() async throws {
    let issuer = try Issuer(.hs256)
    let body = String(repeating: "x", count: 3000)
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], body) }
    let node = try Self.start(
      "limit pace { bandwidth 1000B/s burst=3000B; key jwt.sub; }",
      route: "auth jwt main; limit pace;", issuer: issuer, origin: origin)
    #expect(try await node.get("/", try bearer(issuer, "anna")).text == body)
    #expect(try await node.get("/", try bearer(issuer, "bert")).text == body)
    let waiting = try await node.ask("/", try bearer(issuer, "anna"))
    // Others are answered while her second one waits.
    #expect(try await node.get("/", try bearer(issuer, "carl")).text == body)
    for _ in 0..<4 { node.advance(seconds: 1) }
    #expect(try await waiting.readResponse().text == body)
  }
}
