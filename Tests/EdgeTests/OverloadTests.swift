import EdgeTesting
import EventLoop
import Metrics
import Testing

@Suite struct OverloadTests {
  @Test func `a worker that stands behind sheds what matters least, and hits last`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in
      Reply(200, ["Cache-Control: max-age=100000"], "x")
    }
    let node = try TestNode.start(
      configuration: """
        workers 1; listen 127.0.0.1:0; store ./store; overload_delay 50ms;
        origin app 127.0.0.1:\(origin.port);
        site * {
          origin app;
          route / { priority low; }
          route /shop { priority high; }
          route /health { priority critical; }
        }
        """, directory: TemporaryDirectory())
    let client = try await node.connect()
    #expect(try await client.get("/shop/stored").status == 200)
    try await node.settle()
    node.clock.slowDown(nanoseconds: 60_000_000)
    // Three of four are let off before a class is shed as a whole.
    func untilShed(_ path: String) async throws -> [Int] {
      var statuses: [Int] = []
      while statuses.count < 1000, statuses.suffix(4) != [503, 503, 503, 503] {
        let response = try await client.get("\(path)\(statuses.count)")
        statuses.append(response.status)
        if response.status == 503 { #expect(response.header("retry-after") == "1") }
      }
      return statuses
    }
    let low = try await untilShed("/")
    #expect(low.first == 200 && low.last == 503)
    #expect(try await client.get("/shop/one").status == 200)
    let high = try await untilShed("/shop/")
    #expect(high.first == 200 && high.last == 503)
    #expect(try await client.get("/shop/stored").isHit)
    #expect(try await client.get("/health/1").status == 200)
    #expect(node.count(.requestsShed) > 8)
    // It keeps up again.
    node.clock.slowDown(nanoseconds: 0)
    for _ in 0..<30 {
      node.advance(seconds: 1)
      _ = try await client.get("/stored")
    }
    #expect(try await client.get("/again").status == 200)
  }
}
