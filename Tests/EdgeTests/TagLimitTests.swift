// How many tags a response may have, and how long they may be.

import EdgeTesting
import ObjectStore
import Testing

@Suite struct `Limits of tags` {
  static let fresh = "Cache-Control: max-age=60"
  static let few = "cache { max_tags 2; max_tag_length 6; }"

  @Test(arguments: [
    ("Cache-Tag: one, second", true), ("Cache-Tag: one, two, three", false),
    ("xkey: seventh", false),
  ])
  func `a route stores what is within its own, and no more`(
    _ line: String, _ isStored: Bool
  ) async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [Self.fresh, line], "x") }
    let node = try TestNode.start(origin: origin.port, route: Self.few)
    let usual = try TestNode.start(origin: origin.port)
    for node in [node, usual] {
      _ = try await node.get("/a")
      try await node.settle()
    }
    #expect(try await node.stored("/a").isHit == isStored)
    #expect(try await usual.stored("/a").isHit)
  }

  @Test func `a 304 with too many tags ends what is stored`() async throws {
    let origin = try await ScriptedOrigin.answering { request in
      let fields = ["Cache-Control: max-age=60", "ETag: \"1\""]
      return request.header("if-none-match") == nil
        ? Reply(200, fields + ["xkey: one"], "x") : Reply(304, fields + ["xkey: one two three"])
    }
    let node = try TestNode.start(origin: origin.port, route: Self.few)
    _ = try await node.get("/a")
    try await node.settle()
    node.advance(seconds: 61)
    #expect(try await node.get("/a").text == "x")
    try await node.settle()
    #expect(try await node.stored("/a").status == 504)
  }

  @Test func `tags longer than usual are purged where a route takes them`() async throws {
    let tag = String(repeating: "t", count: 4_096)
    let origin = try await ScriptedOrigin.answering { _ in
      Reply(200, [Self.fresh, "Cache-Tag: \(tag)"], "x")
    }
    let node = try TestNode.start(
      origin: origin.port, route: "cache { max_tag_length 4096; }")
    _ = try await node.get("/a")
    try await node.settle()
    #expect(try await node.purgeTags(tag).objects == 1)
    #expect(try await node.stored("/a").status == 504)
  }

  @Test func `a PURGE of more than can be purged at once purges nothing`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [Self.fresh], "x") }
    let node = try TestNode.start(
      configuration: """
        workers 1;
        listen 127.0.0.1:0;
        store ./store { }
        origin app 127.0.0.1:\(origin.port);
        site * { origin app; purge_from 127.0.0.0/8; }
        """, directory: try TemporaryDirectory())
    _ = try await node.get("/a")
    try await node.settle()
    let client = try await node.connect()
    defer { client.close() }
    let many = (0..<1_001).map { "\($0)" }.joined(separator: " ")
    for line in ["xkey: \(many)", "Cache-Tag: " + String(repeating: "t", count: 4_097)] {
      let response = try await client.request("PURGE", "/a", [line])
      #expect(response.status == 400)
      #expect(response.text.contains("1000 tags of 4096 bytes"))
      #expect(try await node.stored("/a").isHit)
    }
  }
}
