import Bytes
import HTTP1
import HTTPMessage
import Testing

/// A head that must be refused, and how.
struct Refusal: CustomTestStringConvertible, Sendable {
  var defect: RequestDefect
  var head: String

  init(_ defect: RequestDefect, _ head: String) {
    self.defect = defect
    self.head = head
  }

  /// A request with these field lines besides Host.
  init(_ defect: RequestDefect, lines: String) {
    self.init(defect, "POST / HTTP/1.1\r\nHost: a\r\n\(lines)\r\n\r\n")
  }

  var testDescription: String { "\(defect): \(head.debugDescription)" }
}

@Suite struct RequestDefectTests {
  func check(_ refusal: Refusal) {
    #expect(outcome(refusal.head) == .invalid(refusal.defect))
    // What follows cannot mend it.
    #expect(outcome(refusal.head + "GET / HTTP/1.1\r\nHost: a\r\n\r\n") == .invalid(refusal.defect))
    // What precedes it is incomplete or refused in the same way, but never complete.
    let bytes = latin1(refusal.head)
    for length in 0..<bytes.count {
      #expect(outcome(Array(bytes.prefix(length))) != .complete)
    }
  }

  /// RFC 9112 §3: request line.
  @Test(
    arguments: [
      Refusal(.badRequestLine, "GET\r\n"), Refusal(.badRequestLine, "GET \r\n"),
      Refusal(.badRequestLine, "GET /\r\n"), Refusal(.badRequestLine, " GET / HTTP/1.1\r\n"),
      Refusal(.badRequestLine, "GET  / HTTP/1.1\r\n"),
      Refusal(.badRequestLine, "GET /  HTTP/1.1\r\n"),
      Refusal(.badRequestLine, "GET / HTTP/1.1 \r\n"),
      Refusal(.badRequestLine, "GET /\tHTTP/1.1\r\n"),
      Refusal(.badRequestLine, "GET / HTTP/1.1\t\r\n"),
      Refusal(.badRequestLine, "POST  / HTTP/1.1\r\n"),
      Refusal(.badRequestLine, "GET / \r\n"), Refusal(.badMethod, "G@T / HTTP/1.1\r\n"),
      Refusal(.badMethod, "GET\t/ HTTP/1.1\r\n"), Refusal(.badMethod, "\u{16}\u{03}\u{01}"),
      Refusal(.badMethod, "G\u{0}T / HTTP/1.1\r\n"), Refusal(.badMethod, "G\u{C4}T / HTTP/1.1\r\n"),
      Refusal(.methodTooLong, String(repeating: "M", count: 33) + " / HTTP/1.1\r\n"),
      Refusal(.bareLineFeed, "GET\n/ HTTP/1.1\r\n"),
      Refusal(.bareLineFeed, "GET / HTTP/1.1\nHost: a\r\n"),
      Refusal(.bareLineFeed, "GET /\n HTTP/1.1\r\n"),
      Refusal(.bareLineFeed, "\nGET / HTTP/1.1\r\n"),
      Refusal(.bareCarriageReturn, "GET / HTTP/1.1\rHost: a\r\n"),
      Refusal(.bareCarriageReturn, "GET / HTTP/1.1\r\r\n"), Refusal(.bareCarriageReturn, "\rGET"),
      Refusal(.tooManyEmptyLines, "\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n"),
      Refusal(.tooManyEmptyLines, "\r\n\r\n\r\n\r\n\n"),
    ])
  func `a malformed request line is refused`(refusal: Refusal) { check(refusal) }

  /// RFC 9112 §2.3: version.
  @Test(
    arguments: [
      Refusal(.badVersion, "GET / http/1.1\r\n"), Refusal(.badVersion, "GET / HTTP/1.11\r\n"),
      Refusal(.badVersion, "GET / HTTP/1,1\r\n"), Refusal(.badVersion, "GET / HTTP/11\r\n\r\n"),
      Refusal(.badVersion, "GET / HTTP/x.1\r\n"), Refusal(.badVersion, "GET / HTTPS/1.1\r\n"),
      Refusal(.badVersion, "GET / ICY/1.1\r\n"), Refusal(.badVersion, "GET / HTTP/1.1\u{0}\r\n"),
      Refusal(.unsupportedVersion, "GET / HTTP/2.0\r\n"),
      Refusal(.unsupportedVersion, "GET / HTTP/0.9\r\n"),
      Refusal(.unsupportedVersion, "GET / HTTP/3.1\r\n"),
      Refusal(.unsupportedVersion, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ])
  func `another version is refused`(refusal: Refusal) { check(refusal) }

  /// RFC 9112 §3.2: target.
  @Test(
    arguments: [
      Refusal(.badTarget, "GET /a#b HTTP/1.1\r\n"), Refusal(.badTarget, "GET /a?b#c HTTP/1.1\r\n"),
      Refusal(.badTarget, "GET /\u{FC} HTTP/1.1\r\n"),
      Refusal(.badTarget, "GET /a?\u{80} HTTP/1.1\r\n"),
      Refusal(.badTarget, "GET /\u{0} HTTP/1.1\r\n"),
      Refusal(.badTarget, "GET /\u{7F} HTTP/1.1\r\n"),
      Refusal(.badTarget, "GET /abcdefghijklmnopqrstuvwxyz\u{1F} HTTP/1.1\r\n"),
      Refusal(.badTargetForm, "GET a HTTP/1.1\r\n"), Refusal(.badTargetForm, "GET * HTTP/1.1\r\n"),
      Refusal(.badTargetForm, "OPTIONS *? HTTP/1.1\r\n"),
      Refusal(.badTargetForm, "GET ?a HTTP/1.1\r\n"),
      Refusal(.badTargetForm, "GET a:80 HTTP/1.1\r\n"),
      Refusal(.badTargetForm, "GET ftp://a/ HTTP/1.1\r\n"),
      Refusal(.badTargetForm, "GET http:/a HTTP/1.1\r\n"),
      Refusal(.badTargetForm, "CONNECT / HTTP/1.1\r\n"),
      Refusal(.badTargetForm, "CONNECT a HTTP/1.1\r\n"),
      Refusal(.badTargetForm, "CONNECT a: HTTP/1.1\r\n"),
      Refusal(.badTargetForm, "CONNECT http://a:80/ HTTP/1.1\r\n"),
      Refusal(.badTargetForm, "CONNECT a:80?b HTTP/1.1\r\n"),
      Refusal(.badTargetForm, "CONNECT * HTTP/1.1\r\n"),
      Refusal(.badHost, "GET http:/// HTTP/1.1\r\n"),
      Refusal(.badHost, "GET http://?a HTTP/1.1\r\n"),
      Refusal(.badHost, "GET http://u@a/ HTTP/1.1\r\n"),
      Refusal(.badHost, "GET http://u:p@a/ HTTP/1.1\r\n"),
      Refusal(.badHost, "GET http://a:b/ HTTP/1.1\r\n"),
    ])
  func `a target that does not fit is refused`(refusal: Refusal) { check(refusal) }

  /// RFC 9112 §3.2: Host.
  @Test(
    arguments: [
      Refusal(.missingHost, "GET / HTTP/1.1\r\n\r\n"),
      Refusal(.missingHost, "GET / HTTP/1.1\r\nHos: a\r\n\r\n"),
      Refusal(.missingHost, "GET http://a/ HTTP/1.1\r\n\r\n"),
      Refusal(.repeatedHost, "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
      Refusal(.repeatedHost, "GET / HTTP/1.0\r\nhost: a\r\nHOST: b\r\n\r\n"),
      Refusal(.hostMismatch, "GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n"),
      Refusal(.hostMismatch, "GET http://a/ HTTP/1.1\r\nHost: a:80\r\n\r\n"),
      Refusal(.hostMismatch, "GET http://a/ HTTP/1.1\r\nHost:\r\n\r\n"),
      Refusal(.hostMismatch, "CONNECT a:443 HTTP/1.1\r\nHost: a:444\r\n\r\n"),
    ]
      + [
        "", "a b", "a,b", "u@a", "a:", "a:b", "a:80:80", "a:65536", "a:-1", "a:+1", "a:123456",
        "a/b",
        "a?b", "a%2eb", ":80", "[::1", "[::1]x", "[]", "[1]", "[::1%25eth0]", "[v1.a]", "[:::]",
        "[1:2]",
        "[1::2::3]", "[1:2:3:4:5:6:7:8:9]", "[::1.2.3]", "[::1.2.3.256]", "[::01.2.3.4]",
        "[12345::]",
        "[1:2:3:4:5:6:7:]", "[:1:2:3:4:5:6:7]", "[1:2:3:4:5:6:7::8]", "\u{FC}", "a\tb", "::1",
        "\"a\"",
        "a]", "\\",
      ].map { Refusal(.badHost, "GET / HTTP/1.1\r\nHost: \($0)\r\n\r\n") })
  func `a request without one good Host is refused`(refusal: Refusal) { check(refusal) }

  /// RFC 9112 §5: field lines.
  @Test(
    arguments: [
      Refusal(.bareLineFeed, "GET / HTTP/1.1\r\nHost: a\n\r\n"),
      Refusal(.bareLineFeed, lines: "a: b\nc: d"),
      Refusal(.bareLineFeed, "GET / HTTP/1.1\r\nHost: a\r\n\n"),
      Refusal(.bareLineFeed, lines: "a\n: b"),
      Refusal(.bareCarriageReturn, lines: "a: b\rc"), Refusal(.bareCarriageReturn, lines: "a: b\r"),
      Refusal(.bareCarriageReturn, lines: "a\r: b"), Refusal(.bareCarriageReturn, lines: "\ra: b"),
      Refusal(.foldedLine, lines: "a: b\r\n c"), Refusal(.foldedLine, lines: "a: b\r\n\tc: d"),
      Refusal(.foldedLine, "GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
      Refusal(.whitespaceBeforeColon, lines: "Transfer-Encoding : chunked"),
      Refusal(.whitespaceBeforeColon, lines: "a\t: b"),
      Refusal(.whitespaceBeforeColon, lines: "a b: c"),
      Refusal(.emptyFieldName, lines: ": b"), Refusal(.badFieldName, lines: "a"),
      Refusal(.badFieldName, lines: "a\u{0}: b"), Refusal(.badFieldName, lines: "a(b): c"),
      Refusal(.badFieldName, lines: "\u{E4}: b"), Refusal(.badFieldName, lines: "a/b: c"),
      Refusal(.badFieldName, lines: "\"a\": c"), Refusal(.badFieldName, lines: "a{}: c"),
      Refusal(.badFieldName, lines: "no-colon-in-a-line-longer-than-sixteen-bytes"),
      Refusal(.badFieldValue, lines: "a: b\u{0}c"), Refusal(.badFieldValue, lines: "a: \u{1F}"),
      Refusal(.badFieldValue, lines: "a: b\u{7F}"),
      Refusal(.badFieldValue, lines: "a: \t\u{B}chunked"),
      Refusal(.badFieldValue, lines: "a: a value longer than sixteen bytes \u{1B}[0m"),
    ])
  func `a malformed field line is refused`(refusal: Refusal) { check(refusal) }

  /// RFC 9112 §6: framing.
  @Test(
    arguments: [
      Refusal(
        .lengthWithTransferEncoding, lines: "Content-Length: 5\r\nTransfer-Encoding: chunked"),
      Refusal(.lengthWithTransferEncoding, lines: "transfer-encoding: x\r\ncontent-length: x"),
      Refusal(.repeatedContentLength, lines: "Content-Length: 5\r\nContent-Length: 6"),
      Refusal(.repeatedContentLength, lines: "Content-Length: 5\r\nx: y\r\nContent-Length: 5"),
      Refusal(
        .transferEncodingInOldVersion, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ]
      + [
        "", "+5", "-5", "5,5", "5, 5", "5 5", "0x5", "5.0", "5e1", "9223372036854775808",
        "18446744073709551616", "99999999999999999999999999", "\u{B2}", "five", "5;", "\"5\"",
      ].map { Refusal(.badContentLength, lines: "Content-Length: \($0)") }
      + [
        "", ",", "identity", "gzip", "chunked, gzip", "chunked, chunked", "chunked,", ",chunked",
        "gzip, chunked, gzip", "xchunked", "chunked;q=1", "\"chunked\"", "chunked chunked",
        "chunke",
      ].map { Refusal(.badTransferEncoding, lines: "Transfer-Encoding: \($0)") } + [
        Refusal(
          .badTransferEncoding, lines: "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
        Refusal(.badTransferEncoding, lines: "Transfer-Encoding: chunked\r\nTransfer-Encoding: x"),
        Refusal(.badTransferEncoding, lines: "Transfer-Encoding: chunked\r\nTransfer-Encoding:"),
        Refusal(
          .unsupportedTransferCoding, lines: "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked"
        ),
        Refusal(.unsupportedTransferCoding, lines: "Transfer-Encoding: gzip, chunked"),
        Refusal(.unsupportedTransferCoding, lines: "Transfer-Encoding: identity, chunked"),
        Refusal(.unknownExpectation, lines: "Expect: 100-continue\r\nExpect: 100-continue"),
        Refusal(.unknownExpectation, lines: "Expect: 200-ok"),
        Refusal(.unknownExpectation, lines: "Expect:"),
        Refusal(.unknownExpectation, lines: "Expect: 100-continue, x"),
      ])
  func `ambiguous framing is refused`(refusal: Refusal) { check(refusal) }

  @Test(arguments: RequestDefect.allCases)
  func `each defect has a status and a text of its own`(defect: RequestDefect) {
    #expect([400, 414, 417, 431, 501, 505].contains(defect.status))
    #expect(!ByteView(defect.text).isEmpty)
    let same = RequestDefect.allCases.filter { ByteView($0.text) == ByteView(defect.text) }
    #expect(same == [defect])
  }
}

@Suite struct RequestLimitTests {
  let tight = HeadLimits(maxRequestLine: 20, maxHead: 64, maxFields: 2)

  @Test func `a request line of exactly the limit fits and a longer one does not`() {
    #expect(outcome("GET /234567 HTTP/1.1\r\nHost: a\r\n\r\n", tight) == .complete)
    #expect(
      outcome("GET /2345678 HTTP/1.1\r\nHost: a\r\n\r\n", tight) == .invalid(.requestLineTooLong))
    #expect(outcome("\r\nGET /234567 HTTP/1.1\r\nHost: a\r\n\r\n", tight) == .complete)
  }

  @Test func `a request line over the limit is refused before its end is there`() {
    #expect(outcome("GET /" + String(repeating: "a", count: 16), tight) == .incomplete)
    #expect(
      outcome("GET /" + String(repeating: "a", count: 17), tight) == .invalid(.requestLineTooLong))
    #expect(
      outcome("GET /?" + String(repeating: "a", count: 16), tight) == .invalid(.requestLineTooLong))
  }

  @Test func `a head of exactly the limit fits and a longer one does not`() {
    let start = latin1("GET / HTTP/1.1\r\nHost: a\r\nb: ")
    let end = latin1("\r\n\r\n")
    func value(_ length: Int) -> [UInt8] { Array(repeating: 0x63, count: length) }
    let room = 64 - start.count - end.count
    #expect(outcome(start + value(room) + end, tight) == .complete)
    #expect(outcome(Array((start + value(room) + end).dropLast()), tight) == .incomplete)
    #expect(outcome(start + value(room + 1) + end, tight) == .invalid(.headTooLarge))
    #expect(outcome(start + value(room + 3), tight) == .incomplete)
    #expect(outcome(start + value(room + 4), tight) == .invalid(.headTooLarge))
  }

  @Test func `field lines beyond the limit are refused`() {
    #expect(outcome("GET / HTTP/1.1\r\nHost: a\r\nb: c\r\n\r\n", tight) == .complete)
    #expect(
      outcome("GET / HTTP/1.1\r\nHost: a\r\nb: c\r\nd: e\r\n", tight) == .invalid(.tooManyFields))
  }

  @Test func `a name longer than any is refused`() {
    let limits = HeadLimits(maxRequestLine: 100, maxHead: 200_000, maxFields: 10)
    let name = String(repeating: "n", count: 65_536)
    #expect(outcome("GET / HTTP/1.0\r\n\(name): v\r\n\r\n", limits) == .invalid(.headTooLarge))
    #expect(outcome("GET / HTTP/1.0\r\n\(name.dropLast()): v\r\n\r\n", limits) == .complete)
  }
}

@Suite struct HeadScanTests {
  func mayHoldEnd(_ text: String, _ from: Int) -> Bool {
    latin1(text).withView { HeadScan.mayHoldEnd($0, from: from) }
  }

  @Test func `an end is seen however the head was cut`() {
    let bytes = latin1("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    for from in 0..<bytes.count {
      #expect(bytes.withView { HeadScan.mayHoldEnd($0, from: from) })
      #expect(bytes.withView { !HeadScan.mayHoldEnd($0.prefix(bytes.count - 1), from: from) })
    }
  }

  @Test func `a lone LF counts, an old end does not`() {
    #expect(mayHoldEnd("a\n\n", 0) && mayHoldEnd("a\n\n", 2))
    #expect(!mayHoldEnd("", 0) && !mayHoldEnd("\n", 0) && !mayHoldEnd("\r\n\r", 0))
    #expect(!mayHoldEnd("a\r\n\r\nbcdef", 8) && !mayHoldEnd("a\r\nb\r\nc", 0))
  }
}
