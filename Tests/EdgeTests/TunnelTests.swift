import EdgeTesting
import Metrics
import Testing

/// RFC 9110 §7.8: after a 101 both connections are one pipe.
@Suite struct TunnelTests {
  static let request =
    "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
    + "Sec-WebSocket-Key: x\r\n\r\n"
  static let switching =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    + "Sec-WebSocket-Accept: y\r\n\r\n"

  @Test func `bytes pass both ways, also those sent along with the heads`() async throws {
    let origin = try await ScriptedOrigin { connection in
      let request = try await connection.readRequest()
      #expect(request.header("connection") == "upgrade")
      #expect(request.header("upgrade") == "websocket")
      #expect(request.header("sec-websocket-key") == "x")
      try await connection.write(Self.switching + "first")
      #expect(try await connection.read(exactly: 5) == Array("early".utf8))
      for _ in 0..<3 {
        let bytes = try await connection.read(exactly: 4)
        try await connection.write(bytes + bytes)
      }
      try await connection.expectClosed()
    }
    let node = try TestNode.forwarding(to: origin, route: "upgrade on;")
    let client = try await node.connect()
    try await client.write(Self.request + "early")
    let response = try await client.readResponseHead()
    #expect(response.status == 101)
    #expect(response.header("connection")?.lowercased() == "upgrade")
    #expect(response.header("upgrade") == "websocket")
    #expect(response.header("sec-websocket-accept") == "y")
    #expect(try await client.read(exactly: 5) == Array("first".utf8))
    for word in ["ping", "pong", "done"] {
      try await client.write(word)
      #expect(try await client.read(exactly: 8) == Array((word + word).utf8))
    }
    client.close()
    try await node.expectNothingLeft()
    try await origin.finish()
    #expect(node.count(.tunnelsOpened) == 1)
    #expect(node.count(.tunnelsClosed) == 1)
    #expect(try node.log().first?["status"]?.int == 101)
  }

  @Test func `the client may end its side first and still be answered`() async throws {
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      try await connection.write(Self.switching)
      let (bytes, ending) = try await connection.readToEnding()
      #expect(ending == .closed)
      try await connection.write("got \(bytes.count)")
    }
    let node = try TestNode.forwarding(to: origin, route: "upgrade on;")
    let client = try await node.connect()
    #expect(try await client.ask(Self.request).status == 101)
    try await client.write([UInt8](repeating: 7, count: 1_000_000))
    client.endSending()
    #expect(try await client.readUntilClose() == Array("got 1000000".utf8))
    try await node.expectNothingLeft()
  }

  @Test func `the origin may end its side first and still get everything`() async throws {
    let count = 24_000_000
    let read = Signal("the origin to read")
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      try await connection.write(Self.switching + "over")
      connection.endSending()
      try await read.wait()
      for _ in 0..<24 { _ = try await connection.read(exactly: count / 24) }
      try await connection.expectClosed()
    }
    let node = try TestNode.forwarding(to: origin, route: "upgrade on;")
    let client = try await node.connect()
    #expect(try await client.ask(Self.request).status == 101)
    #expect(try await client.readUntilClose() == Array("over".utf8))
    let writing = Task {
      try await client.write([UInt8](repeating: 7, count: count))
      client.close()
    }
    // The end comes while much of what is before it is still to be read.
    try await node.standsStill(.bytesReceived)
    read.send()
    try await writing.value
    try await node.expectNothingLeft()
    try await origin.finish()
  }

  @Test func `a slow end holds the fast one back, and every byte arrives`() async throws {
    let read = Signal("the origin to read")
    let count = 24 << 20
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      try await connection.write(Self.switching)
      try await read.wait()
      var left = count
      while left > 0 {
        let bytes = try await connection.read(exactly: min(left, 1 << 20))
        #expect(bytes.allSatisfy { $0 == 7 })
        left -= bytes.count
      }
      try await connection.write("all")
      try await connection.waitUntilClosed()
    }
    let node = try TestNode.forwarding(to: origin, route: "upgrade on;")
    let client = try await node.connect()
    #expect(try await client.ask(Self.request).status == 101)
    let writing = Task { try await client.write([UInt8](repeating: 7, count: count)) }
    try await node.standsStill(.bytesReceived)
    let held = Int(node.count(.bytesReceived)) - Int(node.count(.originBytesSent))
    #expect(held < 1 << 20)
    read.send()
    try await writing.value
    #expect(try await client.read(exactly: 3) == Array("all".utf8))
    client.close()
    try await node.expectNothingLeft()
  }

  @Test func `a reset of one side reaches the other`() async throws {
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      try await connection.write(Self.switching)
      if connection.index == 0 { try await connection.waitUntilClosed() }
      if connection.index == 1 {
        _ = try await connection.read(exactly: 2)
        connection.reset()
      }
    }
    let node = try TestNode.forwarding(to: origin, route: "upgrade on;")
    let first = try await node.connect()
    #expect(try await first.ask(Self.request).status == 101)
    first.reset()
    try await node.expectNothingLeft()
    let second = try await node.connect()
    #expect(try await second.ask(Self.request).status == 101)
    try await second.write("go")
    _ = try await second.readToEnding()
    second.close()
    try await node.expectNothingLeft()
    #expect(node.count(.tunnelsClosed) == 2)
    try await origin.finish()
  }

  @Test func `an origin that does not upgrade answers as usual`() async throws {
    let origin = try await ScriptedOrigin.answering { Reply(426, [], $0.target) }
    let node = try TestNode.forwarding(to: origin, route: "upgrade on;")
    let client = try await node.connect()
    #expect(try await client.ask(Self.request).status == 426)
    #expect(try await client.get("/next").text == "/next")
    #expect(node.count(.tunnelsOpened) == 0)
  }

  @Test func `without upgrade on the wish is not passed on, and a 101 is an error`() async throws {
    let origin = try await ScriptedOrigin { connection in
      let request = try await connection.readRequest()
      #expect(request.header("upgrade") == nil)
      #expect(request.header("connection") == nil)
      if connection.index == 0 {
        try await connection.respond(200, [], "plain")
      } else {
        try await connection.write(Self.switching)
        try await connection.waitUntilClosed()
      }
    }
    let node = try TestNode.forwarding(to: origin)
    let first = try await node.connect()
    #expect(try await first.ask(Self.request).text == "plain")
    let second = try await node.connect()
    #expect(try await second.ask(Self.request).status == 502)
  }

  @Test func `an idle tunnel is closed in time`() async throws {
    let origin = try await ScriptedOrigin { connection in
      _ = try await connection.readRequest()
      try await connection.write(Self.switching)
      try await connection.write(try await connection.read(exactly: 1))
      try await connection.waitUntilClosed()
    }
    let node = try TestNode.forwarding(
      to: origin, route: "upgrade on;", top: "client { idle_timeout 60s; }")
    let client = try await node.connect()
    #expect(try await client.ask(Self.request).status == 101)
    node.advance(seconds: 40)
    try await client.write("x")
    #expect(try await client.read(exactly: 1) == Array("x".utf8))
    node.advance(seconds: 59)
    #expect(node.count(.tunnelsClosed) == 0)
    node.advance(seconds: 1.1)
    _ = try await client.readToEnding()
    try await node.expect(.tunnelsClosed, reaches: 1)
  }

  @Test func `many upgrades at once each get their own bytes`() async throws {
    let parties = 16
    let together = Barrier(parties)
    let origin = try await ScriptedOrigin { connection in
      let request = try await connection.readRequest()
      try await together.arrive()
      try await connection.write(Self.switching + request.target)
      try await connection.waitUntilClosed()
    }
    let node = try TestNode.forwarding(to: origin, route: "upgrade on;", workers: 1)
    for round in 0..<5 {
      try await withThrowingTaskGroup { group in
        for number in 0..<parties {
          group.addTask {
            let target = "/\(1000 + round * 100 + number)"
            let client = try await node.connect()
            try await client.write(
              "GET \(target) HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
            #expect(try await client.readResponseHead().status == 101)
            #expect(try await client.read(exactly: 5) == Array(target.utf8))
            client.close()
          }
        }
        try await group.waitForAll()
      }
    }
    try await node.expectNothingLeft()
  }
}
