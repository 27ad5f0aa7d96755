import EdgeTesting
import Metrics
import Testing

@Suite struct ForwardingTests {
  @Test func `a request is passed to the origin and its answer back`() async throws {
    let origin = try await ScriptedOrigin.answering { request in
      #expect(request.target == "/hello?x=1")
      #expect(request.header("host") == "example.com")
      #expect(request.header("via") == "1.1 weir")
      #expect(request.header("x-forwarded-for") == "127.0.0.1")
      return Reply(200, ["X-Origin: yes"], "hello")
    }
    let node = try TestNode.start(origin: origin.port, store: nil)
    let response = try await node.get("/hello?x=1")
    #expect(response.status == 200)
    #expect(response.text == "hello")
    #expect(response.header("x-origin") == "yes")
    #expect(response.header("via") == "1.1 weir")
    node.stop()
    try await origin.finish()
  }

  @Test func `a connection carries several requests, also pipelined`() async throws {
    let origin = try await ScriptedOrigin.answering { Reply(200, [], "at \($0.target)") }
    let node = try TestNode.start(origin: origin.port, store: nil)
    let client = try await node.connect()
    #expect(try await client.get("/1").text == "at /1")
    #expect(try await client.get("/2").text == "at /2")
    try await client.write(
      "GET /3 HTTP/1.1\r\nHost: a\r\n\r\nGET /4 HTTP/1.1\r\nHost: a\r\n\r\n")
    #expect(try await client.readResponse().text == "at /3")
    #expect(try await client.readResponse().text == "at /4")
    #expect(node.count(.originConnectionsOpened) == 1)
  }

  @Test func `a request's content reaches the origin, by length and chunked`() async throws {
    let origin = try await ScriptedOrigin.answering {
      Reply(200, [], "\($0.method) \($0.text) \($0.trailers)")
    }
    let node = try TestNode.start(origin: origin.port, store: nil)
    let client = try await node.connect()
    #expect(try await client.request("POST", "/a", body: "some text").text == "POST some text []")
    try await client.write(
      "PUT /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        + "5\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 11\r\n\r\n")
    #expect(try await client.readResponse().text == "PUT hello world [x-sum: 11]")
  }
}
