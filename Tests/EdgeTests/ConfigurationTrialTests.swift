import EdgeTesting
import EventLoop
import Node
import Testing

/// Configurations that are sent to the node, and that it goes back from by itself.
@Suite struct ConfigurationTrialTests {
  private func text(_ body: String) -> String {
    "workers 2; listen 127.0.0.1:0; \(TestNode.adminBlock) origin app 127.0.0.1:1; "
      + "site * { origin app; respond 200 \"\(body)\"; }"
  }

  private func node(_ clock: NodeClock? = nil) throws -> TestNode {
    try TestNode.start(
      configuration: text("one"), directory: try TemporaryDirectory(), clock: clock)
  }

  private func order(_ node: TestNode, _ body: String, _ members: String = "") async throws
    -> PeerResponse
  {
    let quoted = text(body).split(separator: "\"", omittingEmptySubsequences: false)
      .joined(separator: "\\\"")
    return try await node.admin(
      "POST", "/v1/config/apply", json: "{\"text\": \"\(quoted)\"\(members)}")
  }

  @Test func `a text that is sent comes into force, and stays without a trial`() async throws {
    let node = try node()
    #expect(try await order(node, "two").status == 200)
    #expect(try await node.get("/").text == "two")
    node.advance(seconds: 100_000)
    #expect(try await node.get("/").text == "two")
    #expect(try await node.admin("POST", "/v1/config/confirm").status == 422)
    let history = try await node.admin("GET", "/v1/config/history").text
    #expect(history.contains("start") && history.contains("applied"))
    #expect(try await node.admin("POST", "/v1/config/history/1").status == 200)
    #expect(try await node.get("/").text == "one")
    #expect(try await node.admin("POST", "/v1/config/history/77").status == 422)
  }

  @Test func `what nobody confirms is gone back from`() async throws {
    let node = try node()
    #expect(try await order(node, "two", ", \"confirm_within\": 60").status == 200)
    #expect(try await node.admin("GET", "/v1/config").text.contains("confirm_by_seconds"))
    node.advance(seconds: 30)
    #expect(try await order(node, "three", ", \"confirm_within\": 60").status == 200)
    #expect(try await node.get("/").text == "three")
    node.advance(seconds: 61)
    try await eventually("the node to go back") {
      node.notes.value.contains { $0.contains("not confirmed in time") }
        && node.notes.value.last?.contains("generation 4") == true
    }
    #expect(try await node.get("/").text == "one")
    #expect(try await node.admin("GET", "/v1/config/history").text.contains("unconfirmed"))
  }

  @Test func `what is confirmed stays`() async throws {
    let node = try node()
    #expect(try await order(node, "two", ", \"confirm_within\": 60").status == 200)
    #expect(try await node.admin("POST", "/v1/config/confirm").status == 200)
    node.advance(seconds: 1_000)
    #expect(try await node.admin("GET", "/v1/config/history").status == 200)
    #expect(try await node.get("/").text == "two")
    #expect(!node.notes.value.contains { $0.contains("not confirmed") })
  }

  @Test func `an order that cannot be carried out changes nothing`() async throws {
    let node = try node()
    #expect(try await order(node, "two", ", \"if_generation\": 7").status == 422)
    #expect(try await order(node, "two\" oops").status == 422)
    #expect(try await order(node, "two", ", \"confirm_within\": 0").status == 400)
    #expect(try await order(node, "two", ", \"other\": 0").status == 400)
    let dry = try await order(node, "two", ", \"dry_run\": true")
    #expect(dry.status == 200 && dry.text.contains("changed"))
    #expect(try await node.get("/").text == "one")
  }
}
