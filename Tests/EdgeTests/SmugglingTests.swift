import EdgeTesting
import Metrics
import Testing

/// What a client might send to make the node and the origin take one message for two.
struct Attempt: CustomTestStringConvertible, Sendable {
  var status: Int
  var head: String

  init(_ status: Int, _ head: String) {
    self.status = status
    self.head = head
  }

  /// A request with these field lines besides Host.
  init(_ status: Int, lines: String) {
    self.init(status, "POST /victim HTTP/1.1\r\nHost: a\r\n\(lines)\r\n\r\n")
  }

  var testDescription: String { "\(status): \(head.prefix(150).debugDescription)" }
}

/// RFC 9112 §11.2: each is refused with its status, the connection ends, and nothing is forwarded,
/// neither of it nor of what follows.
@Suite struct SmugglingTests {
  static let behind = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"

  @Test(
    arguments: [
      // Two lengths, or one that is none.
      Attempt(400, lines: "Content-Length: 5\r\nTransfer-Encoding: chunked"),
      Attempt(400, lines: "Transfer-Encoding: chunked\r\nContent-Length: 5"),
      Attempt(400, lines: "Content-Length: 5\r\nContent-Length: 6"),
      Attempt(400, lines: "Content-Length: 5\r\nContent-Length: 5"),
      Attempt(400, lines: "Content-Length: 5, 6"), Attempt(400, lines: "Content-Length: +5"),
      Attempt(400, lines: "Content-Length: 0x5"), Attempt(400, lines: "Content-Length: -1"),
      Attempt(400, lines: "Content-Length: 5 " + "5"), Attempt(400, lines: "Content-Length:"),
      Attempt(400, lines: "Content-Length: 18446744073709551617"),
      // Transfer-Encoding other than one final chunked.
      Attempt(400, lines: "Transfer-Encoding: gzip"),
      Attempt(400, lines: "Transfer-Encoding: chunked, gzip"),
      Attempt(400, lines: "Transfer-Encoding: chunked, chunked"),
      Attempt(400, lines: "Transfer-Encoding: xchunked"),
      Attempt(400, lines: "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"),
      Attempt(400, lines: "Transfer-Encoding:\u{B}chunked"),
      Attempt(501, lines: "Transfer-Encoding: gzip, chunked"),
      Attempt(400, "POST /victim HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"),
      // Line ends and white space.
      Attempt(400, "POST /victim HTTP/1.1\r\nHost: a\nTransfer-Encoding: chunked\r\n\r\n"),
      Attempt(400, "POST /victim HTTP/1.1\nHost: a\n\n"),
      Attempt(400, lines: "X: a\rTransfer-Encoding: chunked"),
      Attempt(400, lines: "X: a\n\nGET /smuggled HTTP/1.1"),
      Attempt(400, lines: "Transfer-Encoding : chunked"),
      Attempt(400, lines: "Transfer-Encoding\t: chunked"),
      Attempt(400, lines: " Transfer-Encoding: chunked"),
      Attempt(400, lines: "X: a\r\n Transfer-Encoding: chunked"),
      Attempt(400, lines: "X: a\r\n\tb"), Attempt(400, lines: "no colon here"),
      Attempt(400, lines: ": empty"),
      // NUL and control bytes.
      Attempt(400, lines: "X: a\u{0}b"), Attempt(400, lines: "X\u{0}: b"),
      Attempt(400, lines: "X: \u{1}"), Attempt(400, lines: "X: \u{7F}"),
      Attempt(400, "GET /\u{0} HTTP/1.1\r\nHost: a\r\n\r\n"),
      Attempt(400, "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"),
      Attempt(400, "GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n"),
      // Host.
      Attempt(400, "GET / HTTP/1.1\r\n\r\n"),
      Attempt(400, "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
      Attempt(400, "GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n"),
      Attempt(400, "GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n"),
      Attempt(400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
      Attempt(400, "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n"),
      Attempt(400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
      // Request lines and versions.
      Attempt(505, "GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
      Attempt(505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
      Attempt(400, "GET / HTTP/1.1 x\r\nHost: a\r\n\r\n"), Attempt(400, "GET /\r\n\r\n"),
      Attempt(400, "\u{16}\u{3}\u{1}\u{2}\r\n\r\n"),
      Attempt(417, lines: "Expect: 200-maybe\r\nContent-Length: 5"),
      // Sizes.
      Attempt(414, "GET /\(String(repeating: "a", count: 9000)) HTTP/1.1\r\nHost: a\r\n\r\n"),
      Attempt(431, lines: "X: \(String(repeating: "a", count: 40_000))"),
      Attempt(431, lines: (0..<101).map { "X\($0): y" }.joined(separator: "\r\n")),
    ])
  func `an ambiguous request is refused and nothing forwarded`(attempt: Attempt) async throws {
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "forwarded") }
    let node = try TestNode.forwarding(to: origin, workers: 1)
    let client = try await node.connect()
    try await client.write(attempt.head + Self.behind)
    let response = try await client.readResponse()
    #expect(response.status == attempt.status)
    #expect(response.header("connection") == "close")
    try await client.expectClosed()
    #expect(origin.accepted == 0)
    #expect(node.count(.requestsRejected) == 1)
    client.close()
    try await node.expectNothingLeft()
  }

  /// Here the head is fine, so the origin may have seen it; but never the end of a request.
  @Test(
    arguments: [
      "x\r\n", "-1\r\n", "0x5\r\nhello\r\n", " 5\r\nhello\r\n", "5 \r\nhello\r\n", "5\nhello\r\n",
      "5\rhello\r\n", "5\r\nhelloX\r\n", "5\r\nhello\n", "5\r\nhell\r\n0\r\n\r\n",
      "ffffffffffffffffff\r\n", "8000000000000000\r\n", "5;\u{0}\r\nhello\r\n",
      "5;\(String(repeating: "x", count: 20_000))\r\nhello\r\n", "\r\n5\r\nhello\r\n",
      "0\r\nbad trailer\r\n\r\n", "0\r\nA: b\nC: d\r\n\r\n", "0\r\n X: y\r\n\r\n",
    ])
  func `a malformed chunk ends both connections`(chunk: String) async throws {
    let whole = Watched(0)
    let origin = try await ScriptedOrigin { connection in
      let request = try await connection.readRequestHead()
      #expect(request.target == "/victim")
      _ = try? await connection.readContent(of: request)
      try await connection.expectClosed()
      whole.update { $0 += 1 }
    }
    let node = try TestNode.forwarding(to: origin, workers: 1)
    let client = try await node.connect()
    try await client.write(
      "POST /victim HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    try await origin.waitForRequests(1)
    try await client.write(chunk + "\r\n" + Self.behind)
    let response = try await client.readResponse()
    #expect(response.status == 400)
    #expect(response.header("connection") == "close")
    try await client.expectClosed()
    try await whole.wait(for: "the origin's connection to end") { $0 == 1 }
    #expect(origin.requests.count == 1)
    #expect(node.count(.requestsRejected) == 1)
  }
}
