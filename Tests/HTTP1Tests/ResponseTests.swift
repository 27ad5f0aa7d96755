import Bytes
import HTTP1
import HTTPMessage
import Testing

@Suite struct ResponseTests {
  /// Reads a head that must be complete.
  func read(_ text: String, to method: HTTPMessage.Method = .get) -> ResponseHead {
    let head = ResponseHead()
    let bytes = latin1(text)
    #expect(outcome(response: bytes, to: method, into: head) == .complete, "\(text)")
    return head
  }

  @Test func `a response is read whole, and every prefix is incomplete`() {
    let text =
      "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nETag: \"a\"\r\n"
      + "Cache-Control: max-age=60\r\nCache-Control: public\r\nContent-Length: 10\r\n\r\n"
    let bytes = latin1(text)
    for length in 0..<bytes.count {
      #expect(outcome(response: Array(bytes.prefix(length))) == .incomplete)
    }
    bytes.withView { view in
      let head = ResponseHead()
      let outcome = ResponseParser.parse(view, limits: roomy, requestMethod: .get, into: head)
      #expect(outcome == .complete)
      #expect(head.status == 200 && head.minorVersion == 1 && head.keepAlive)
      #expect(head.framing == .length(10) && head.length == bytes.count)
      #expect(head.fields.count(of: .cacheControl) == 2)
      #expect(head.value(.etag)?.string == "\"a\"")
    }
  }

  /// RFC 9112 §4: status line.
  @Test(
    arguments: [
      ("HTTP/1.1 200 OK", 200), ("HTTP/1.0 404 Not Found", 404), ("HTTP/1.1 599 ", 599),
      ("HTTP/1.1 100", 100), ("HTTP/1.1 200 a\tb  \u{E4}", 200), ("HTTP/1.7 200 OK", 200),
      ("HTTP/1.1 200 a reason phrase that is longer than sixteen bytes", 200),
    ] as [(String, UInt16)])
  func `status lines are read`(line: String, status: UInt16) {
    #expect(read("\(line)\r\n\r\n").status == status)
  }

  /// RFC 9112 §6.3: framing.
  @Test(
    arguments: [
      (.get, "200 OK", "Content-Length: 5\r\n", .length(5), true),
      (.get, "200 OK", "Transfer-Encoding: chunked\r\n", .chunked, true),
      (.get, "200 OK", "", .untilClose, false),
      (.get, "200 OK", "Content-Length: 5\r\nConnection: close\r\n", .length(5), false),
      (.head, "200 OK", "Content-Length: 5\r\n", .none, true),
      (.head, "200 OK", "Transfer-Encoding: chunked\r\n", .none, true),
      (.head, "200 OK", "", .none, true),
      (.get, "304 Not Modified", "Content-Length: 5\r\n", .none, true),
      (.get, "304 Not Modified", "", .none, true), (.get, "204 No Content", "", .none, true),
      (.get, "204 No Content", "Content-Length: 0\r\n", .none, true),
      (.get, "204 No Content", "Content-Length: 5\r\n", .none, false),
      (.get, "204 No Content", "Transfer-Encoding: chunked\r\n", .none, false),
      (.get, "100 Continue", "", .none, true),
      (.post, "103 Early Hints", "Link: x\r\n", .none, true),
      (.get, "101 Switching Protocols", "Upgrade: x\r\nConnection: upgrade\r\n", .none, false),
      (.connect, "200 OK", "Content-Length: 5\r\nTransfer-Encoding: x\r\n", .none, false),
      (.connect, "407 No", "Content-Length: 5\r\n", .length(5), true),
    ] as [(HTTPMessage.Method, String, String, BodyFraming, Bool)])
  func `content is delimited by method, status and fields`(
    method: HTTPMessage.Method, status: String, lines: String, framing: BodyFraming, keepAlive: Bool
  ) {
    let head = read("HTTP/1.1 \(status)\r\n\(lines)\r\n", to: method)
    #expect(head.framing == framing && head.keepAlive == keepAlive)
  }

  @Test func `an HTTP_1_0 connection persists only if the response says so`() {
    #expect(!read("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n").keepAlive)
    let persistent = "HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n"
    #expect(read(persistent).keepAlive)
    #expect(!read("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n").keepAlive)
  }

  @Test(
    arguments: [
      (.badStatusLine, "HTTP/1.1\r\n"), (.badStatusLine, "HTTP/1.1  200 OK\r\n"),
      (.badStatusLine, "HTTP/1.1 20 OK\r\n"), (.badStatusLine, "HTTP/1.1 2000 OK\r\n"),
      (.badStatusLine, "HTTP/1.1 2x0 OK\r\n"), (.badStatusLine, "HTTP/1.1\t200 OK\r\n"),
      (.badStatusLine, "http/1.1 200 OK\r\n"), (.badStatusLine, "ICY 200 OK\r\n"),
      (.badStatusLine, "\r\nHTTP/1.1 200 OK\r\n"), (.badStatusLine, "<html>"),
      (.badStatusLine, "HTTP/1.1 200\tOK\r\n"), (.badStatusLine, "HTTP/1.1 -20 OK\r\n"),
      (.unsupportedVersion, "HTTP/2.0 200 OK\r\n"), (.unsupportedVersion, "HTTP/0.9 200 OK\r\n"),
      (.badStatus, "HTTP/1.1 099 OK\r\n"), (.badStatus, "HTTP/1.1 600 OK\r\n"),
      (.badStatus, "HTTP/1.1 000 OK\r\n"), (.badStatus, "HTTP/1.1 999 OK\r\n"),
      (.bareLineFeed, "HTTP/1.1 200 OK\n\r\n"), (.bareLineFeed, "HTTP/1.1 200\nA: b\r\n"),
      (.bareCarriageReturn, "HTTP/1.1 200 OK\r\r\n"), (.badFieldValue, "HTTP/1.1 200 O\u{0}K\r\n"),
      (.bareLineFeed, "HTTP/1.1 200 OK\r\na: b\nc: d\r\n\r\n"),
      (.bareLineFeed, "HTTP/1.1 200 OK\r\na: b\r\n\n"),
      (.bareCarriageReturn, "HTTP/1.1 200 OK\r\na: b\rc\r\n\r\n"),
      (.foldedLine, "HTTP/1.1 200 OK\r\na: b\r\n c\r\n\r\n"),
      (.whitespaceBeforeColon, "HTTP/1.1 200 OK\r\na : b\r\n\r\n"),
      (.emptyFieldName, "HTTP/1.1 200 OK\r\n: b\r\n\r\n"),
      (.badFieldName, "HTTP/1.1 200 OK\r\nab\r\n\r\n"),
      (.badFieldValue, "HTTP/1.1 200 OK\r\na: \u{8}\r\n\r\n"),
      (
        .lengthWithTransferEncoding,
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
      ),
      (.repeatedContentLength, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"),
      (.repeatedContentLength, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n"),
      (.badContentLength, "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"),
      (.badContentLength, "HTTP/1.1 304 OK\r\nContent-Length: 5, 5\r\n\r\n"),
      (.transferEncodingInOldVersion, "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
      (.badTransferEncoding, "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n"),
      (.badTransferEncoding, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n"),
      (.unsupportedTransferCoding, "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
    ] as [(ResponseDefect, String)])
  func `what is not a clear response is refused`(defect: ResponseDefect, text: String) {
    #expect(outcome(response: latin1(text)) == .invalid(defect))
    for length in 0..<text.utf8.count {
      #expect(outcome(response: Array(latin1(text).prefix(length))) != .complete)
    }
  }

  @Test func `endless heads are refused`() {
    let tight = HeadLimits(maxRequestLine: 20, maxHead: 100, maxFields: 2)
    let endless = latin1("HTTP/1.1 200 " + String(repeating: "x", count: 100))
    #expect(outcome(response: endless, tight) == .invalid(.headTooLarge))
    #expect(outcome(response: Array(endless.prefix(99)), tight) == .incomplete)
    let many = latin1("HTTP/1.1 200 OK\r\na: b\r\nc: d\r\ne: f\r\n")
    #expect(outcome(response: many, tight) == .invalid(.tooManyFields))
  }

  @Test(arguments: ResponseDefect.allCases)
  func `each defect has a text of its own`(defect: ResponseDefect) {
    let same = ResponseDefect.allCases.filter { ByteView($0.text) == ByteView(defect.text) }
    #expect(same == [defect] && !ByteView(defect.text).isEmpty)
  }
}
