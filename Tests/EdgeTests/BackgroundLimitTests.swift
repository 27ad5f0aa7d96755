import EdgeTesting
import EventLoop
import Metrics
import Testing

/// Validations behind the back of a client that limits on the way to the origin refuse.
@Suite struct BackgroundLimitTests {
  private func origin() async throws -> ScriptedOrigin {
    try await ScriptedOrigin.answering { request in
      let fields = ["Cache-Control: max-age=1, stale-while-revalidate=3600", "ETag: \"1\""]
      return request.header("if-none-match") == nil
        ? Reply(200, fields, "stored") : Reply(304, fields)
    }
  }

  @Test func `what may not be validated now is served stale, and validated when it may`()
    async throws
  {
    let origin = try await origin()
    let node = try TestNode.start(
      origin: origin.port, route: "limit few;",
      top: "limit few { token_bucket 1/m burst=1; key host; on miss; }")
    #expect(try await node.get("/").text == "stored")
    try await node.settle()
    node.advance(seconds: 5)
    for _ in 0..<20 {
      let answer = try await node.get("/")
      #expect(answer.status == 200 && answer.text == "stored")
    }
    #expect(origin.requests.count == 1)
    node.advance(seconds: 60)
    #expect(try await node.get("/").status == 200)
    try await eventually("the validation") { origin.requests.count == 2 }
    try await node.expectAtRest()
  }

  @Test func `who meets a validation that is refused just then is served all the same`()
    async throws
  {
    let origin = try await origin()
    let node = try TestNode.start(
      origin: origin.port, route: "limit few;",
      top: "limit few { token_bucket 1/d burst=1; key host; on miss; }", workers: 2)
    #expect(try await node.get("/").text == "stored")
    try await node.settle()
    node.advance(seconds: 5)
    try await withThrowingTaskGroup { group in
      for _ in 0..<16 {
        group.addTask {
          let client = try await node.connect()
          for _ in 0..<50 {
            let answer = try await client.request("GET", "/")
            #expect(answer.status == 200 && answer.text == "stored")
          }
          client.close()
        }
      }
      try await group.waitForAll()
    }
    #expect(origin.requests.count == 1)
    try await node.expectAtRest()
  }
}
