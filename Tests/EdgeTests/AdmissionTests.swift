import Authentication
import Cryptography
import EdgeTesting
import Metrics
import Testing

/// Requests that wait to be let in.
@Suite struct AdmissionTests {
  /// An origin whose answers are for one user each.
  private static func personal() async throws -> ScriptedOrigin {
    try await ScriptedOrigin.answering { request in
      Reply(
        200, ["Cache-Control: max-age=60"],
        "\(request.target) \(request.header("x-user") ?? "-")")
    }
  }

  /// Sends tokens with a wrong signature as fast as they are answered: each costs a check. Counts itself
  /// once it is well under way.
  private static func flood(
    _ client: RawClient, _ token: String, _ underWay: Watched<Int>, count: Int = 4_000
  ) async throws {
    let one = "GET /flood HTTP/1.1\r\nHost: a\r\nCookie: session=\(token)\r\n\r\n"
    async let writing: Void = client.write(String(repeating: one, count: count))
    for index in 0..<count {
      if index == 32 { underWay.update { $0 += 1 } }
      _ = try await client.readResponse()
    }
    try await writing
  }

  @Test func `a request that waits more than once for its check is the same request`()
    async throws
  {
    let issuer = try Issuer(.hs256)
    let origin = try await Self.personal()
    let directory = try TemporaryDirectory()
    try directory.write("keys.json", Issuer.set(issuer))
    let node = try TestNode.start(
      origin: origin.port, route: "auth jwt main; set header.x-user jwt.sub;",
      top: "jwt main { keys ./keys.json; algorithms HS256; from cookie session; }", workers: 1,
      directory: directory)
    let wrong = try Issuer(.hs256).token().dropLast(4) + "AAAA"
    let rivals = [try await node.connect(), try await node.connect()]
    let underWay = Watched(0)
    let flood = Task {
      try await withThrowingTaskGroup(of: Void.self) { group in
        for rival in rivals {
          group.addTask { try await Self.flood(rival, String(wrong), underWay) }
        }
        try await group.waitForAll()
      }
    }
    _ = try await underWay.wait(for: "the flood") { $0 == 2 }
    for (number, subject) in ["anna", "bert", "carl", "dora"].enumerated() {
      // Sixteen before it in the same turn: its own comes behind the rivals' in the next.
      let ahead = String(repeating: "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", count: 16)
      let token = try issuer.token(subject: subject)
      let client = try await node.connect()
      try await client.write(
        ahead + "GET /a HTTP/1.1\r\nHost: a\r\nCookie: session=\(token)\r\n\r\n")
      for _ in 0..<16 { _ = try await client.readResponse(to: "OPTIONS") }
      let response = try await client.readResponse()
      #expect(response.status == 200 && response.text == "/a \(subject)")
      #expect(origin.requests.count == number + 1, "personal answers are not shared")
      client.close()
      // What was stored wrongly is to be found by the next.
      try await node.settle()
    }
    try await flood.value
    for rival in rivals { rival.close() }
    try await node.expectAtRest()
  }
}
