import Bytes
import HTTP1
import HTTPMessage
import Testing
import TrafficFormats

@testable import Replay

@Suite("The origin of a trace")
struct OriginTests {
  private static let trace = #"""
    {"target":"/minute","status":200,"bytes_sent":10,"ttl":60}
    {"target":"/never","status":200,"bytes_sent":20,"ttl":0}
    {"target":"/usual","status":200,"bytes_sent":30}
    {"target":"/gone","status":410,"bytes_sent":5,"ttl":9}
    {"target":"/part","status":206,"bytes_sent":3}
    {"target":"/part","status":304,"bytes_sent":0}
    {"target":"/part","status":200,"bytes_sent":40}
    {"target":"/none","status":204}
    """#

  private let table: OriginTable

  init() {
    var table = OriginTable()
    let reader = TrafficReader(format: .json)
    Array(Self.trace.utf8).withView { reader.feed($0) { table.note($0) } }
    reader.finish { table.note($0) }
    self.table = table
  }

  /// The answer's status line and fields but the date's, and how much content follows.
  private func answer(_ request: String) throws -> String {
    let head = RequestHead()
    let text = Array("\(request)\r\nHost: a\r\n\r\n".utf8)
    return try text.withView { view in
      let outcome = RequestParser.parse(view, limits: HeadLimits(), into: head)
      try #require(outcome == .complete)
      let answer = OriginAnswer(to: head, from: table)
      var buffer = ByteBuffer()
      answer.append(to: &buffer, date: ByteView("d"), lifetime: 7, keepsAlive: true)
      let lines = buffer.view.string.split(separator: "\r\n").filter { !$0.hasPrefix("Date") }
      return lines.joined(separator: "|") + "<\(answer.content)>"
    }
  }

  @Test(arguments: [
    (
      "GET /minute HTTP/1.1",
      "HTTP/1.1 200 OK|ETag: \"a\"|Cache-Control: max-age=60|Content-Type: application/octet-stream"
        + "|Content-Length: 10<10>"
    ),
    (
      "HEAD /minute HTTP/1.1",
      "HTTP/1.1 200 OK|ETag: \"a\"|Cache-Control: max-age=60|Content-Type: application/octet-stream"
        + "|Content-Length: 10<0>"
    ),
    (
      "GET /minute HTTP/1.1\r\nIf-None-Match: \"a\"",
      "HTTP/1.1 304 Not Modified|ETag: \"a\"|Cache-Control: max-age=60<0>"
    ),
    (
      "GET /minute HTTP/1.1\r\nRange: bytes=-4",
      "HTTP/1.1 206 Partial Content|ETag: \"a\"|Cache-Control: max-age=60|Content-Range: bytes 6-9/10"
        + "|Content-Type: application/octet-stream|Content-Length: 4<4>"
    ),
    (
      "GET /never HTTP/1.1",
      "HTTP/1.1 200 OK|ETag: \"14\"|Cache-Control: no-store|Content-Type: application/octet-stream"
        + "|Content-Length: 20<20>"
    ),
    (
      "GET /usual~2 HTTP/1.1",
      "HTTP/1.1 200 OK|ETag: \"1e\"|Cache-Control: max-age=7|Content-Type: application/octet-stream"
        + "|Content-Length: 30<30>"
    ),
    (
      "GET /gone HTTP/1.1",
      "HTTP/1.1 410 Gone|ETag: \"5\"|Cache-Control: max-age=9|Content-Type: application/octet-stream"
        + "|Content-Length: 5<5>"
    ),
    (
      "GET /part HTTP/1.1",
      "HTTP/1.1 200 OK|ETag: \"28\"|Cache-Control: max-age=7|Content-Type: application/octet-stream"
        + "|Content-Length: 40<40>"
    ),
    ("GET /none HTTP/1.1", "HTTP/1.1 204 No Content|ETag: \"0\"|Cache-Control: max-age=7<0>"),
    (
      "GET /other HTTP/1.1",
      "HTTP/1.1 404 Not Found|Content-Type: application/octet-stream|Content-Length: 0<0>"
    ),
  ])
  func `each key has the size, the status and the lifetime of the recording`(
    request: String, answer expected: String
  ) throws {
    #expect(try answer(request) == expected)
  }
}
