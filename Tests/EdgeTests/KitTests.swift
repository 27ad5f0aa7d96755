import DemoOrigin
import EdgeTesting
import Testing

/// The kit against itself: peers that talk to each other without a node between them.
@Suite struct KitTests {
  @Test func `a script sees the request and the client its response`() async throws {
    let origin = try await ScriptedOrigin { connection in
      let request = try await connection.readRequest()
      #expect(request.method == "POST")
      #expect(request.target == "/x?y")
      #expect(request.header("x-a") == "1, 2")
      #expect(request.text == "hello")
      try await connection.respond(201, ["Age: 7", "Vary: a", "vary:  b "], "done")
    }
    let client = try await RawClient.connect(to: origin.port)
    let response = try await client.request("POST", "/x?y", ["X-A: 1", "x-a: 2"], body: "hello")
    #expect(response.status == 201)
    #expect(response.header("age") == "7")
    #expect(response.headers("vary") == ["a", "b"])
    #expect(response.framing == .length(4))
    #expect(response.text == "done")
    try await client.expectClosed()
    try await origin.finish()
    #expect(origin.accepted == 1)
    #expect(origin.requests.map(\.target) == ["/x?y"])
  }

  @Test func `chunks, trailers and interim responses are read in order`() async throws {
    let origin = try await ScriptedOrigin { connection in
      let request = try await connection.readRequest()
      #expect(request.text == "abc")
      #expect(request.framing == .chunked)
      #expect(request.trailers == [PeerField("Sum", "6")])
      try await connection.write("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
      try await connection.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
      try await connection.writeChunk("hello ")
      try await connection.writeChunk("world")
      try await connection.write("0\r\nX-T: t\r\n\r\n")
      try await connection.waitUntilClosed()
    }
    let client = try await RawClient.connect(to: origin.port)
    let head = "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    try await client.write(head + "1\r\na\r\n2\r\nbc\r\n0\r\nSum: 6\r\n\r\n", inPiecesOf: 3)
    let response = try await client.readResponse(to: "PUT")
    #expect(response.text == "hello world")
    #expect(response.trailers == [PeerField("X-T", "t")])
    #expect(response.interim.map(\.status) == [103])
    #expect(response.interim.first?.header("link") == "</a>")
    client.close()
    try await origin.finish()
  }

  @Test func `pipelined requests are answered on one connection`() async throws {
    let origin = try await ScriptedOrigin.answering { Reply(200, ["X-Of: \($0.target)"], "abc") }
    let client = try await RawClient.connect(to: origin.port)
    try await client.send("GET", "/1")
    try await client.send("HEAD", "/2")
    try await client.send("GET", "/3")
    #expect(try await client.readResponse().header("x-of") == "/1")
    let head = try await client.readResponse(to: "HEAD")
    #expect(head.header("content-length") == "3" && head.framing == .none && head.body.isEmpty)
    #expect(try await client.readResponse().text == "abc")
    try await origin.waitForRequests(3)
    try await origin.finish()
    #expect(origin.accepted == 1)
    try await client.expectClosed()
  }

  @Test(
    arguments: [
      Doubtful(
        "both", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"),
      Doubtful(
        "two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc"),
      Doubtful("sign", "HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc"),
      Doubtful("coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
      Doubtful(
        "extension", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\n\r\n"),
      Doubtful(
        "overlong", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n"),
      Doubtful("204 with a length", "HTTP/1.1 204 None\r\nContent-Length: 0\r\n\r\n"),
      Doubtful("bare LF", "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n"),
      Doubtful("bare CR", "HTTP/1.1 200 OK\r\nA: b\rc\r\nContent-Length: 0\r\n\r\n"),
      Doubtful("space before the colon", "HTTP/1.1 200 OK\r\nA : b\r\nContent-Length: 0\r\n\r\n"),
      Doubtful("obs-fold", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n"),
      Doubtful("NUL", "HTTP/1.1 200 OK\r\nA: \u{0}\r\nContent-Length: 0\r\n\r\n"),
      Doubtful("no space behind the status", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"),
      Doubtful("version", "HTTP/2 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ])
  func `the client refuses what a node must never send`(response: Doubtful) async throws {
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      try await connection.write(response.bytes)
    }
    let client = try await RawClient.connect(to: origin.port)
    let failure = await #expect(throws: PeerFailure.self) { try await client.get("/") }
    #expect(failure?.kind == .malformed)
    try await origin.finish()
  }

  @Test func `a response cut short is a failure, however it is framed`() async throws {
    let origin = try await ScriptedOrigin(connections: [
      { connection in
        _ = try await connection.readRequest()
        try await connection.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
      },
      { connection in
        _ = try await connection.readRequest()
        try await connection.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try await connection.writeChunk("hello")
      },
    ])
    for _ in 0..<2 {
      let client = try await RawClient.connect(to: origin.port)
      let failure = await #expect(throws: PeerFailure.self) { try await client.get("/") }
      #expect(failure?.kind == .ended)
    }
    try await origin.finish()
  }

  @Test func `a close is told from a reset on both sides`() async throws {
    let origin = try await ScriptedOrigin(connections: [
      { connection in
        _ = try await connection.readRequest()
        connection.reset()
      },
      { connection in
        try await connection.write("bye")
        connection.endSending()
        try await connection.expectReset()
      },
      { connection in try await connection.expectClosed() },
    ])
    let first = try await RawClient.connect(to: origin.port)
    try await first.send("GET", "/")
    try await first.expectReset()

    let second = try await RawClient.connect(to: origin.port)
    #expect(try await second.readUntilClose() == Array("bye".utf8))
    second.reset()

    let third = try await RawClient.connect(to: origin.port)
    third.endSending()
    #expect(try await third.readToEnding().ending == .closed)
    try await origin.finish()
  }

  @Test func `what a script throws comes out of finish`() async throws {
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      throw PeerFailure(.unexpected, "on purpose")
    }
    let client = try await RawClient.connect(to: origin.port)
    try await client.send("GET", "/")
    try await client.expectClosed()
    let failure = await #expect(throws: PeerFailure.self) { try await origin.finish() }
    #expect(failure?.message == "on purpose")
  }

  @Test func `one connection more than is scripted is a failure`() async throws {
    let origin = try await ScriptedOrigin(connections: [
      { connection in try await connection.waitUntilClosed() }
    ])
    let first = try await RawClient.connect(to: origin.port)
    try await origin.waitForConnections(1)
    let second = try await RawClient.connect(to: origin.port)
    try await second.expectReset()
    let failure = await #expect(throws: PeerFailure.self) { try await origin.finish() }
    #expect(failure?.kind == .unexpected)
    first.close()
  }

  @Test func `an origin that has stopped refuses, and can come back on its port`() async throws {
    let port = try FreePort.take()
    let origin = try await ScriptedOrigin(port: port) { try await $0.waitUntilClosed() }
    let client = try await RawClient.connect(to: origin.port)
    try await origin.waitForConnections(1)
    await origin.stop()
    try await client.expectClosed()
    let failure = await #expect(throws: PeerFailure.self) {
      try await RawClient.connect(to: origin.port)
    }
    #expect(failure?.kind == .system)
    let again = try await ScriptedOrigin.answering(port: origin.port) { _ in Reply() }
    let fresh = try await RawClient.connect(to: again.port)
    #expect(try await fresh.get("/").status == 200)
    try await again.finish()
  }

  @Test func `large content is checked without being kept, by a slow reader too`() async throws {
    let content = DemoContent(of: "/large")
    let size = 3_000_000
    let origin = try await ScriptedOrigin { connection in
      while try await connection.nextRequest() != nil {
        try await connection.write("HTTP/1.1 200 OK\r\nContent-Length: \(size)\r\n\r\n")
        try await connection.write(content.bytes(at: 0, count: size))
      }
    }
    let client = try await RawClient.connect(to: origin.port, receiveBuffer: 4_096)
    let response = try await client.get("/large", content: .verify(content))
    #expect(response.bodyLength == size && response.body.isEmpty)
    let failure = await #expect(throws: PeerFailure.self) {
      try await client.get("/large", content: .verify(DemoContent(of: "/other")))
    }
    #expect(failure?.kind == .unexpected)
    await origin.stop()
  }

  @Test func `a client chooses its own address`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply() }
    let client = try await RawClient.connect(to: origin.port, from: "127.0.0.9")
    #expect(try await client.get("/").status == 200)
    #expect(client.localPort != 0)
    try await origin.finish()
  }

  @Test func `signals and barriers order scripts`() async throws {
    let order = Watched<[String]>([])
    let signal = Signal("go")
    let barrier = Barrier(3, "the start")
    try await withThrowingTaskGroup { group in
      for _ in 0..<2 {
        group.addTask {
          try await signal.wait()
          order.update { $0.append("after") }
          try await barrier.arrive()
          order.update { $0.append("met") }
        }
      }
      order.update { $0.append("before") }
      signal.send()
      try await barrier.arrive()
      try await group.waitForAll()
    }
    #expect(signal.isSent)
    #expect(order.value == ["before", "after", "after", "met", "met"])
  }

  @Test func `a barrier can be used again`() async throws {
    let barrier = Barrier(2)
    let rounds = Watched(0)
    try await withThrowingTaskGroup { group in
      for _ in 0..<2 {
        group.addTask {
          for _ in 0..<50 {
            try await barrier.arrive()
            rounds.update { $0 += 1 }
          }
        }
      }
      try await group.waitForAll()
    }
    #expect(rounds.value == 100)
  }

  @Test func `a wait that is cancelled ends`() async throws {
    let signal = Signal("never")
    let waiting = Task { try await signal.wait() }
    waiting.cancel()
    let failure = await #expect(throws: PeerFailure.self) { try await waiting.value }
    #expect(failure?.kind == .cancelled)
  }

  @Test func `hundreds of peers talk at once`() async throws {
    let origin = try await ScriptedOrigin.answering { Reply(200, [], $0.target) }
    let port = origin.port
    try await withThrowingTaskGroup { group in
      for number in 0..<300 {
        group.addTask {
          let client = try await RawClient.connect(to: port)
          for round in 0..<3 {
            #expect(try await client.get("/\(number)/\(round)").text == "/\(number)/\(round)")
          }
        }
      }
      try await group.waitForAll()
    }
    #expect(origin.accepted == 300)
    #expect(origin.requests.count == 900)
    try await origin.finish()
  }

  @Test func `ports for others are free, another one each time, and none of connections'`()
    async throws
  {
    let ports = try (0..<20).map { _ in try FreePort.take() }
    #expect(Set(ports).count == 20)
    for port in ports {
      let origin = try await ScriptedOrigin.answering(port: port) { _ in Reply() }
      let client = try await RawClient.connect(to: port)
      #expect(try await client.get("/").status == 200)
      #expect(!ports.contains(client.localPort))
      client.close()
      try await origin.finish()
    }
  }

  @Test func `an access log is read back line by line`() async throws {
    let directory = try TemporaryDirectory()
    let log = AccessLogFile(directory.file("access.log"))
    #expect(try log.lines().isEmpty)
    try directory.write(
      "access.log", "{\"status\":200,\"tags\":[\"a\",null]}\n{\"status\":404}\n{\"st")
    let lines = try await log.lines(2)
    #expect(lines.map { $0["status"]?.int } == [200, 404])
    #expect(lines[0]["tags"]?[0]?.string == "a")
    #expect(lines[0]["tags"]?[1] == .null)
    try directory.write("access.log", "status=200\n")
    #expect(throws: PeerFailure.self) { try log.lines() }
  }
}

/// A response that a node must never send.
struct Doubtful: Sendable, CustomTestStringConvertible {
  let testDescription: String
  let bytes: String

  init(_ what: String, _ bytes: String) {
    testDescription = what
    self.bytes = bytes
  }
}
