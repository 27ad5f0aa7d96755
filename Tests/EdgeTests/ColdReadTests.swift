import EdgeTesting
import Metrics
import Testing

/// Stored responses that memory has no room for (`store { memory SIZE; }`).
@Suite struct ColdReadTests {
  @Test(arguments: [1_000, 700_000])
  func `what is not in memory is brought by a helper`(length: Int) async throws {
    let content = RangeTests.content(length)
    let origin = try await ScriptedOrigin.answering { request in
      Reply(200, ["Cache-Control: max-age=60", "X-Path: \(request.target)"], content)
    }
    let node = try TestNode.start(origin: origin.port, store: "memory 1;")
    for index in 0..<5 { _ = try await node.get("/\(index)") }
    try await node.settle()
    for index in 0..<5 {
      let answer = try await node.get("/\(index)")
      #expect(answer.isHit && answer.text == content && answer.header("x-path") == "/\(index)")
    }
    // Nothing of them had been used before.
    #expect(node.count(.coldReads) >= 5)
    let part = try await node.get("/0", "Range: bytes=-10")
    #expect(part.isHit && part.text == RangeTests.part(content, length - 10..<length))
    // Behind each other on one connection.
    let client = try await node.connect()
    for _ in 0..<3 { try await client.send("GET", "/3") }
    for _ in 0..<3 { #expect(try await client.readResponse().text == content) }
    client.close()
    #expect(origin.requests.count == 5)
    try await node.expectAtRest()
  }
}
