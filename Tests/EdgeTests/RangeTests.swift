import EdgeTesting
import Metrics
import Testing

/// RFC 9110 §14, from the store and from fills.
@Suite struct RangeTests {
  static let fresh = "Cache-Control: max-age=60"
  static let tag = "ETag: \"v1\""

  /// A content whose every byte can be told from its neighbours.
  static func content(_ length: Int) -> String {
    String(String((0...length / 8).map { String(10_000_000 + $0) }.joined()).prefix(length))
  }

  static func part(_ content: String, _ range: Range<Int>) -> String {
    String(decoding: Array(content.utf8)[range], as: UTF8.self)
  }

  struct RangeCase: Sendable, CustomTestStringConvertible {
    var range: String
    var expected: Range<Int>?
    var fields: [String] = []
    var testDescription: String { "\(range) \(fields)" }
  }

  static func cases(_ length: Int) -> [RangeCase] {
    [
      RangeCase(range: "bytes=0-0", expected: 0..<1),
      RangeCase(range: "bytes=1-1", expected: 1..<2),
      RangeCase(range: "bytes=0-", expected: 0..<length),
      RangeCase(range: "bytes=10-19", expected: 10..<20),
      RangeCase(range: "bytes=\(length - 1)-", expected: length - 1..<length),
      RangeCase(range: "bytes=\(length / 2)-99999999999", expected: length / 2..<length),
      RangeCase(range: "bytes=-7", expected: length - 7..<length),
      RangeCase(range: "bytes=-99999999999", expected: 0..<length),
      RangeCase(range: "BYTES=3-5", expected: 3..<6),
      RangeCase(range: "bytes=3-5", expected: 3..<6, fields: ["If-Range: \"v1\""]),
      RangeCase(range: "bytes=3-5", expected: nil, fields: ["If-Range: \"v2\""]),
      RangeCase(range: "bytes=3-5", expected: nil, fields: ["If-Range: W/\"v1\""]),
      RangeCase(range: "bytes=5-3", expected: nil),
      RangeCase(range: "items=0-1", expected: nil),
      RangeCase(range: "bytes=a-b", expected: nil),
    ]
  }

  @Test(arguments: [1_000, 16_384, 16_385, 262_120, 262_121, 700_000])
  func `a stored response is served in parts`(length: Int) async throws {
    let content = Self.content(length)
    let origin = try await ScriptedOrigin.answering { request in
      #expect(request.header("range") == nil)
      return Reply(200, [Self.fresh, Self.tag, "Content-Type: text/plain"], content)
    }
    let node = try TestNode.start(origin: origin.port)
    #expect(try await node.get("/x").text == content)
    try await node.settle()
    for item in Self.cases(length) {
      let client = try await node.connect()
      let answer = try await client.request(
        "GET", "/x", ["Range: \(item.range)"] + item.fields)
      client.close()
      guard let expected = item.expected else {
        #expect(answer.status == 200, "\(item)")
        #expect(answer.text == content, "\(item)")
        continue
      }
      #expect(answer.status == 206, "\(item)")
      #expect(answer.text == Self.part(content, expected), "\(item)")
      #expect(
        answer.header("content-range")
          == "bytes \(expected.lowerBound)-\(expected.upperBound - 1)/\(length)")
      #expect(answer.header("content-length") == "\(expected.count)")
      #expect(answer.isHit)
    }
    #expect(origin.requests.count == 1)
  }

  @Test(arguments: [1_000, 700_000])
  func `several ranges come as parts`(length: Int) async throws {
    let content = Self.content(length)
    let origin = try await ScriptedOrigin.answering { _ in
      Reply(200, [Self.fresh, Self.tag, "Content-Type: image/png"], content)
    }
    let node = try TestNode.start(origin: origin.port)
    _ = try await node.get("/x")
    try await node.settle()
    let answer = try await node.get("/x", "Range: bytes=0-9, \(length - 5)-, 500-509")
    #expect(answer.status == 206 && answer.isHit)
    let type = try #require(answer.header("content-type"))
    #expect(answer.headers("content-type").count == 1)
    let boundary = try #require(type.split(separator: "boundary=").last)
    var expected: [UInt8] = []
    for range in [0..<10, length - 5..<length, 500..<510] {
      if !expected.isEmpty { expected += Array("\r\n".utf8) }
      expected += Array("--\(boundary)\r\ncontent-type: image/png\r\n".utf8)
      expected += Array(
        "content-range: bytes \(range.lowerBound)-\(range.upperBound - 1)/\(length)\r\n\r\n".utf8)
      expected += Self.part(content, range).utf8
    }
    expected += Array("\r\n--\(boundary)--\r\n".utf8)
    #expect(answer.body == expected)
    #expect(answer.header("content-length") == "\(expected.count)")
    // Many small or overlapping ranges are not worth it (§14.2).
    let greedy = (0..<40).map { "\($0)-\($0 + 100)" }.joined(separator: ",")
    #expect(try await node.get("/x", "Range: bytes=\(greedy)").status == 200)
    try await node.expectAtRest()
  }

  @Test(arguments: [1_000, 700_000])
  func `what is not there is a 416`(length: Int) async throws {
    let origin = try await ScriptedOrigin.answering { _ in
      Reply(200, [Self.fresh, Self.tag], Self.content(length))
    }
    let node = try TestNode.start(origin: origin.port)
    let first = try await node.get("/x", "Range: bytes=\(length)-")
    try await node.settle()
    let second = try await node.get("/x", "Range: bytes=\(length)-")
    for answer in [first, second] {
      #expect(answer.status == 416)
      #expect(answer.header("content-range") == "bytes */\(length)")
      #expect(answer.headers("cache-status").count == 1)
    }
    #expect(try await node.get("/x").isHit)
    #expect(origin.requests.count == 1)
  }

  @Test func `a range of what is not stored yet is sent as soon as it is there`() async throws {
    let content = Self.content(700_000)
    let rest = Signal("the rest")
    let origin = try await ScriptedOrigin { connection in
      let request = try await connection.readRequest()
      #expect(request.header("range") == nil)
      try await connection.write(
        "HTTP/1.1 200 OK\r\n\(Self.fresh)\r\nContent-Length: 700000\r\n\r\n")
      try await connection.write(Self.part(content, 0..<350_000))
      try await rest.wait()
      try await connection.write(Self.part(content, 350_000..<700_000))
    }
    let node = try TestNode.start(origin: origin.port)
    let leader = try await node.get("/x", "Range: bytes=300000-300009")
    #expect(leader.status == 206 && leader.text == Self.part(content, 300_000..<300_010))
    let follower = try await node.get("/x", "Range: bytes=100-199")
    #expect(follower.status == 206 && follower.text == Self.part(content, 100..<200))
    let late = try await node.connect()
    try await late.send("GET", "/x", ["Range: bytes=-100"])
    let whole = try await node.ask("/x")
    #expect(
      try await late.readResponseHead().header("content-range") == "bytes 699900-699999/700000")
    rest.send()
    #expect(try await late.read(exactly: 100) == Array(Self.part(content, 699_900..<700_000).utf8))
    #expect(try await whole.readResponse().text == content)
    try await node.settle()
    #expect(try await node.get("/x").isHit)
    #expect(origin.requests.count == 1)
  }

  @Test func `conditions go before ranges`() async throws {
    let origin = try await ScriptedOrigin.answering { _ in
      Reply(200, [Self.fresh, Self.tag], Self.content(1_000))
    }
    let node = try TestNode.start(origin: origin.port)
    _ = try await node.get("/x")
    try await node.settle()
    #expect(try await node.get("/x", "Range: bytes=0-1", "If-None-Match: \"v1\"").status == 304)
    #expect(try await node.get("/x", "Range: bytes=0-1", "If-None-Match: \"v2\"").status == 206)
  }

  @Test func `a range on a route that does not cache goes to the origin`() async throws {
    let origin = try await ScriptedOrigin.answering { request in
      #expect(request.header("range") == "bytes=0-1")
      return Reply(206, [Self.fresh, "Content-Range: bytes 0-1/10"], "ab")
    }
    let node = try TestNode.start(origin: origin.port, route: "cache off;")
    let answer = try await node.get("/x", "Range: bytes=0-1")
    #expect(answer.status == 206 && answer.text == "ab")
  }
}
