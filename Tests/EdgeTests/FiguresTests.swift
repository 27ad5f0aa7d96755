import EdgeTesting
import Metrics
import Testing

/// What counters and the access log say about requests of several outcomes.
@Suite struct FiguresTests {
  @Test func `an answered request has its line`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(201, [], "hello") }
    let node = try TestNode.forwarding(to: origin, workers: 1)
    let client = try await RawClient.connect(to: node.port, from: "127.0.0.7")
    let fields = ["Referer: http://r/", "User-Agent: \"quoted\""]
    let response = try await client.request("POST", "/a?b=c", fields, body: "abc")
    #expect(response.status == 201)
    let lines = try node.log()
    #expect(lines.count == 1)
    let line = try #require(lines.first)
    #expect(line["time"]?.string == "2026-01-01T00:00:00.000Z")
    #expect(line["client"]?.string == "127.0.0.7")
    #expect(line["client_port"]?.int == Int(client.localPort))
    #expect(line["method"]?.string == "POST")
    #expect(line["host"]?.string == "example.com")
    #expect(line["target"]?.string == "/a?b=c")
    #expect(line["protocol"]?.string == "HTTP/1.1")
    #expect(line["status"]?.int == 201)
    #expect(line["bytes_sent"]?.int == 5)
    #expect(line["bytes_received"]?.int == 3)
    #expect(line["cache"]?.string == "pass")
    #expect(line["route"]?.string == "*/")
    #expect(line["referer"]?.string == "http://r/")
    #expect(line["user_agent"]?.string == "\"quoted\"")
  }

  @Test func `durations are counted by the node's clock`() async throws {
    let answer = Signal("the answer")
    let origin = try await ScriptedOrigin.answering { _ in
      try await answer.wait()
      return Reply(200, [], "x")
    }
    let node = try TestNode.forwarding(to: origin, workers: 1)
    let client = try await node.connect()
    try await client.send("GET", "/")
    try await origin.waitForRequests(1)
    node.advance(seconds: 1.5)
    answer.send()
    #expect(try await client.readResponse().status == 200)
    let line = try node.log().first
    #expect(line?["duration_us"]?.int == 1_500_000)
    #expect(line?["origin_us"]?.int == 1_500_000)
    #expect(line?["time"]?.string == "2026-01-01T00:00:00.000Z")
  }

  @Test func `refusals, errors and clients that leave are told apart`() async throws {
    let origin = try await ScriptedOrigin { connection in
      let request = try await connection.readRequest()
      if request.target == "/cut" {
        try await connection.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
      } else if request.target == "/leave" {
        try await connection.waitUntilClosed()
      }
    }
    let node = try TestNode.forwarding(to: origin, workers: 1)
    let bad = try await node.connect()
    #expect(try await bad.ask("nonsense\r\n\r\n").status == 400)
    bad.close()
    #expect(try await node.get("/a/../b").status == 400)
    #expect(try await node.get("/broken").status == 502)
    let cut = try await node.connect()
    try await cut.send("GET", "/cut")
    try await cut.expectReset()
    let leaving = try await node.connect()
    try await leaving.send("GET", "/leave")
    try await origin.waitForRequests(3)
    leaving.reset()
    try await node.expectNothingLeft()
    let lines = try node.log()
    #expect(lines.map { $0["status"]?.int } == [400, 400, 502, 200, 499])
    #expect(lines.map { $0["cache"]?.string } == ["none", "none", "error", "error", "pass"])
    #expect(lines.map { $0["bytes_sent"]?.int }[3] == 3)
    #expect(node.count(.requestsRejected) == 1)
    #expect(node.count(.clientAborts) == 1)
    #expect(node.count(.originResets) == 2)
    #expect(node.count(.fillsFailed) == 3)
  }

  @Test func `a client that leaves in the middle of its response is counted`() async throws {
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      try await connection.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
      try await connection.waitUntilClosed()
    }
    let node = try TestNode.forwarding(to: origin, workers: 1)
    let client = try await node.connect()
    try await client.send("GET", "/")
    #expect(try await client.readResponseHead().status == 200)
    client.reset()
    try await node.expectNothingLeft()
    #expect(node.count(.clientAborts) == 1)
    #expect(try node.log().first?["status"]?.int == 200)
  }

  @Test func `bytes are counted on both sides`() async throws {
    let reply = Reply(200, ["X: y"], String(repeating: "b", count: 100_000))
    let origin = try await ScriptedOrigin.answering { _ in reply }
    let node = try TestNode.forwarding(to: origin)
    let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\n"
    let client = try await node.connect()
    let response = try await client.ask(request + String(repeating: "a", count: 50_000))
    #expect(response.bodyLength == 100_000)
    // The client may have the bytes before the worker has counted them.
    try await node.expect(.bytesSent, reaches: 100_001)
    #expect(Int(node.count(.bytesReceived)) == request.utf8.count + 50_000)
    #expect(Int(node.count(.originBytesReceived)) == reply.bytes(for: "POST").count)
    // The client may have the last bytes before the worker has counted them.
    try await node.expect(.bytesSent, reaches: 100_001)
    #expect(node.count(.bytesSent) < 101_000)
    #expect(node.count(.originBytesSent) > 50_000 && node.count(.originBytesSent) < 51_000)
  }
}
