import EdgeTesting
import Testing

/// What was served, as the operator is shown it.
@Suite struct AccountTests {
  private func rows(_ node: TestNode, _ query: String = "") async throws -> [JSONValue] {
    let answer = try await node.admin("GET", "/v1/accounting\(query)")
    #expect(answer.status == 200, "\(answer.text)")
    return try JSONValue(parsing: answer.text)["rows"]?.array ?? []
  }

  @Test func `accounts go on over a restart, by hour and day, route and site`() async throws {
    let body = String(repeating: "x", count: 1_000)
    let origin = try await ScriptedOrigin.answering { _ in
      Reply(200, ["Cache-Control: max-age=60"], body)
    }
    let directory = try TemporaryDirectory()
    // It begins on 2026-01-01.
    let first = try TestNode.start(origin: origin.port, directory: directory)
    #expect(try await first.get("/a").status == 200)
    try await first.settle()
    for _ in 0..<3 { #expect(try await first.get("/a").status == 200) }
    try await eventually("the requests to be counted") {
      try await self.rows(first).first?["requests"]?.int == 4
    }
    let row = try #require(try await rows(first, "?by=hour").first)
    #expect(row["start"]?.string == "2026-01-01T00")
    #expect(row["site"]?.string == "*" && row["route"]?.string == "*/")
    #expect(row["bytes_sent"]?.int == 4_000 && row["bytes_stored"]?.int == 3_000)
    #expect((row["bytes_received"]?.int ?? 0) > 1_000)
    first.advance(seconds: 3_600)
    #expect(try await first.get("/a").status == 200)
    first.stop()

    let second = try TestNode.start(origin: origin.port, directory: directory)
    #expect(try await second.get("/b").status == 200)
    try await eventually("the request to be counted") {
      try await self.rows(second, "?per=node").first?["requests"]?.int == 6
    }
    let days = try await rows(second, "?per=site")
    #expect(days.count == 1 && days.first?["start"]?.string == "2026-01-01")
    #expect(days.first?["route"]?.string == "")
    let answer = try await second.admin(
      "GET", "/v1/accounting?by=day&format=csv&from=2026-01-01&to=2026-01-01")
    #expect(answer.header("content-type") == "text/csv; charset=utf-8")
    let lines = answer.text.split(separator: "\r\n")
    #expect(lines.count == 2)
    #expect(
      lines.first
        == "start,site,route,requests,bytes_sent,bytes_stored,bytes_received,hit_ratio")
    #expect(lines.last?.hasPrefix("2026-01-01,*,*/,6,6000,") == true, "\(answer.text)")
  }

  @Test func `what cannot be asked is refused, and without a store there are none`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    let node = try TestNode.start(origin: origin.port)
    for query in ["by=week", "from=yesterday", "from=2026-02-01&to=2026-01-01", "limit=3"] {
      let answer = try await node.admin("GET", "/v1/accounting?\(query)")
      #expect(answer.status == 400, "\(query): \(answer.text)")
    }
    let bare = try TestNode.start(origin: origin.port, store: nil)
    #expect(try await bare.admin("GET", "/v1/accounting").status == 503)
  }
}
