import Bytes
import EdgeTesting
import Metrics
import Testing

/// Many connections at once, and what is left of them.
@Suite struct ManyClientsTests {
  @Test func `five hundred clients at once each get their own answers`() async throws {
    let origin = try await ScriptedOrigin.answering { request in
      Reply(
        200, [],
        "\(request.target) " + String(repeating: "x", count: request.target.utf8.count * 900))
    }
    let node = try TestNode.forwarding(to: origin)
    try await withThrowingTaskGroup { group in
      for number in 0..<500 {
        group.addTask {
          let client = try await node.connect()
          for round in 0..<4 {
            let target = "/\(number)/\(round)"
            let response = try await client.get(target)
            #expect(response.text.hasPrefix(target + " "))
          }
          client.close()
        }
      }
      try await group.waitForAll()
    }
    try await node.expectNothingLeft()
    #expect(node.count(.connectionsAccepted) == 500)
    #expect(try node.log().count == 2000)
  }

  @Test func `clients that leave at any point leave nothing behind`() async throws {
    let origin = try await ScriptedOrigin { connection in
      var random = SplitMix(seed: UInt64(connection.index))
      do {
        while let request = try await connection.nextRequest() {
          switch random.below(8) {
          case 0: return
          case 1:
            connection.reset()
            return
          case 2:
            try await connection.write("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nabc")
            return
          case 3:
            try await connection.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in 0..<20 { try await connection.writeChunk(String(repeating: "a", count: 5000)) }
            try await connection.write("0\r\n\r\n")
          default:
            let size = random.below(300_000)
            let body = String(repeating: "a", count: size)
            try await connection.respond(Reply(200, [], body), to: request)
          }
        }
      } catch let failure as PeerFailure {
        // The node gives up what nobody waits for.
        #expect([.reset, .ended, .cancelled].contains(failure.kind), "\(failure)")
      }
    }
    let node = try TestNode.forwarding(to: origin)
    try await withThrowingTaskGroup { group in
      for number in 0..<300 {
        group.addTask { try await Self.visit(node, seed: UInt64(number)) }
      }
      try await group.waitForAll()
    }
    try await node.expectNothingLeft()
    try await eventually("connections to the origin to be idle") {
      node.count(.originConnectionsOpened) - node.count(.originConnectionsClosed) <= 128
    }
    // It still works.
    var answered = false
    for _ in 0..<50 where !answered { answered = (try? await node.get("/")) != nil }
    #expect(answered)
  }

  /// One client that breaks off at a byte, or after so many, and in one of two ways.
  private static func visit(_ node: TestNode, seed: UInt64) async throws {
    var random = SplitMix(seed: seed &+ 1000)
    let client = try await node.connect()
    let body = String(repeating: "b", count: random.below(200_000))
    let request =
      random.below(2) == 0
      ? "GET /\(seed) HTTP/1.1\r\nHost: a\r\n\r\n"
      : "POST /\(seed) HTTP/1.1\r\nHost: a\r\nContent-Length: \(body.utf8.count)\r\n\r\n" + body
    let bytes = Array(String(repeating: request, count: 1 + random.below(3)).utf8)
    let isCut = random.below(2) == 0
    do throws(PeerFailure) {
      try await client.write(Array(bytes.prefix(isCut ? random.below(bytes.count) : bytes.count)))
      if !isCut {
        _ = try await client.readResponseHead(to: "GET")
        if random.below(2) == 0 { _ = try client.readAvailable() }
      }
    } catch {
      #expect([.reset, .ended].contains(error.kind), "\(error)")
    }
    if random.below(2) == 0 { client.reset() } else { client.close() }
  }
}

/// SplitMix64, a published generator of well-mixed words.
struct SplitMix {
  private var state: UInt64

  init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 }

  /// A number below `bound`, which is at least 1.
  mutating func below(_ bound: Int) -> Int {
    state &+= 0x9E37_79B9_7F4A_7C15
    var word = (state ^ state &>> 30) &* 0xBF58_476D_1CE4_E5B9
    word = (word ^ word &>> 27) &* 0x94D0_49BB_1331_11EB
    word ^= word &>> 31
    return Int(word % UInt64(max(1, bound)))
  }
}
