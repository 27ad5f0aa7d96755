import Authentication
import EdgeTesting
import Metrics
import Testing

/// Limits of routes that want something to be shown, or have rules.
@Suite struct GateLimitTests {
  private static func node(
    limit: String, use: String = "limit few;", route: String, top: String = ""
  ) async throws -> (TestNode, ScriptedOrigin, key: String) {
    let made = try #require(try APIKeyLine.make(name: "shop", attributes: ""))
    let directory = try TemporaryDirectory()
    try directory.write("keys", made.line + "\n")
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "in") }
    let node = try TestNode.start(
      origin: origin.port, route: "\(use) \(route)", top: "limit few { \(limit) } \(top)",
      store: nil,
      directory: directory)
    return (node, origin, "X-API-Key: \(made.key)")
  }

  @Test func `what a gate answers counts for limits by address`() async throws {
    let (node, origin, key) = try await Self.node(
      limit: "token_bucket 3/d;", route: "auth api_keys ./keys;")
    #expect(try await node.statuses(2, "/") == [401, 401])
    #expect(try await node.statuses(2, "/", key) == [200, 429])
    #expect(try await node.statuses(1, "/") == [429])
    #expect(origin.requests.count == 1)
  }

  @Test func `errors of the gate's own are errors`() async throws {
    let (node, origin, key) = try await Self.node(
      limit: "token_bucket 2/d; counts errors;", route: "auth api_keys ./keys;")
    #expect(try await node.statuses(4, "/", key) == [200, 200, 200, 200])
    #expect(try await node.statuses(3, "/") == [401, 401, 429])
    #expect(try await node.statuses(1, "/", key) == [429])
    #expect(origin.requests.count == 4)
  }

  @Test func `what rules answer counts, and what a limit refuses later gives back`() async throws {
    let (node, origin, _) = try await Self.node(
      limit: "token_bucket 3/d;", use: "limit few; limit once;",
      route: #"when path == "/no" { respond 403; }"#,
      top: "limit once { token_bucket 1/d; key header.user; }")
    #expect(try await node.statuses(1, "/no") == [403])
    #expect(try await node.statuses(3, "/", "User: a") == [200, 429, 429])
    #expect(try await node.statuses(1, "/no") == [403])
    #expect(try await node.statuses(1, "/no") == [429])
    #expect(origin.requests.count == 1)
  }

  @Test func `a credential that is taken out still says whose budget it is`() async throws {
    let (node, origin, key) = try await Self.node(
      limit: "token_bucket 2/d; key header.x-api-key;", route: "auth api_keys ./keys shared;")
    #expect(try await node.statuses(3, "/", key) == [200, 200, 429])
    #expect(origin.requests.allSatisfy { $0.header("x-api-key") == nil })
  }

  @Test func `a limit that a route and a rule name takes once`() async throws {
    let (node, origin, _) = try await Self.node(
      limit: "token_bucket 2/d; headers on; on miss;", use: "limit few on=request;",
      route: #"when path == "/x" { limit few; }"#)
    #expect(try await node.statuses(3, "/x") == [200, 200, 429])
    #expect(origin.requests.count == 2)
  }
}
