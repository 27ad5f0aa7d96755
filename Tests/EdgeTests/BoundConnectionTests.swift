import EdgeTesting
import Metrics
import Node
import Testing

/// Connections to origins that may not be used for another request.
@Suite struct BoundConnectionTests {
  /// NTLM authenticates a connection: the next client's request on it would be taken for this one's.
  @Test(arguments: ["NTLM", "negotiate TlRMTVNTUAAC"])
  func `a connection that is being authenticated is not shared`(challenge: String) async throws {
    let origin = try await ScriptedOrigin.answering { _ in
      Reply(401, ["WWW-Authenticate: \(challenge)"], "who?")
    }
    let node = try TestNode.forwarding(to: origin, workers: 1)
    for _ in 0..<3 { #expect(try await node.get("/").status == 401) }
    #expect(node.count(.originConnectionsReused) == 0)
    #expect(node.count(.originConnectionsOpened) == 3)
  }

  @Test func `nor is one that was, by what the request shows`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "you") }
    let node = try TestNode.forwarding(to: origin, workers: 1)
    for _ in 0..<2 { _ = try await node.get("/", "Authorization: NTLM TlRMTVNTUAAD") }
    #expect(node.count(.originConnectionsReused) == 0)
    for _ in 0..<2 { _ = try await node.get("/", "Authorization: Basic YTpi") }
    #expect(node.count(.originConnectionsReused) == 1)
  }

  /// One server fails and the other has no place: what is stored stands for both.
  @Test func `a stale answer is given where there is no server for another try`() async throws {
    let isDown = Watched(false)
    let failing = try await ScriptedOrigin.answering { _ in
      isDown.value
        ? Reply(503, [], "down")
        : Reply(200, ["Cache-Control: max-age=1, stale-if-error=600"], "stored")
    }
    let hanging = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      try await connection.waitUntilClosed()
    }
    let node = try TestNode.start(
      origin: failing.port, pool: "server 127.0.0.1:\(hanging.port) max_connections=1;", workers: 1)
    #expect(try await node.get("/").text == "stored")
    try await node.settle()
    let waiting = try await node.connect()
    try await waiting.send("GET", "/hang")
    try await hanging.waitForRequests(1)
    isDown.update { $0 = true }
    node.advance(seconds: 10)
    async let answered = node.get("/")
    // The second try is made after a pause.
    try await node.expect(.originRetries, reaches: 1)
    node.advance(seconds: 5)
    let answer = try await answered
    #expect(answer.status == 200 && answer.text == "stored")
    #expect(failing.requests.count == 2)
    waiting.close()
  }
}
