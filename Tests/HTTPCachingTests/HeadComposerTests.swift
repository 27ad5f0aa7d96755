import Bytes
import HTTPCaching
import HTTPMessage
import Testing

private func composed(_ lines: [String], _ options: ResponseFieldOptions = []) -> String {
  let response = response(200, lines)
  return written {
    HeadComposer.appendResponseFields(
      response, directives: ResponseDirectives(response), options: options, responseTime: t0,
      to: &$0)
  }
}

private func forwarded(_ lines: [String], _ omitting: RequestFieldOmissions = []) -> String {
  written {
    HeadComposer.appendRequestFields(request(.get, lines), omitting: omitting, to: &$0)
  }
}

private let date = "Date: \(t0Date)"
private let dateLine = "date: \(t0Date)\r\n"

@Suite struct `RFC 9111 section 3.1, stored and sent fields` {
  @Test func `are written in order, names in lower case`() {
    #expect(
      composed([date, "X-B: 1", "Content-Type: text/plain; charset=UTF-8", "X-A: 2", "x-b: 3"])
        == dateLine
        + "x-b: 1\r\ncontent-type: text/plain; charset=UTF-8\r\nx-a: 2\r\nx-b: 3\r\n")
  }

  @Test(arguments: [
    "Connection", "Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Transfer-Encoding", "Upgrade",
    "Proxy-Authenticate", "Proxy-Authentication-Info", "Proxy-Authorization", "HTTP2-Settings",
    "Content-Length", "Age", "Surrogate-Key", "Cache-Tag", "xkey",
  ]) func `without those that are not for others`(name: String) {
    #expect(composed([date, "\(name): 1"]) == dateLine)
    #expect(composed([date, "\(name.uppercased()): 1"]) == dateLine)
  }

  @Test(arguments: [
    "Cache-Status", "Via", "Cache-Control", "ETag", "Content-MD5", "Foo", "Warning",
  ])
  func `with all others`(name: String) {
    #expect(composed([date, "\(name): 1"]) == dateLine + "\(name.lowercased()): 1\r\n")
  }

  @Test func `without what Connection names`() {
    #expect(
      composed([date, "Connection: close, X-A", "Connection: x-b,,", "X-A: 1", "x-B: 2", "X-C: 3"])
        == dateLine + "x-c: 3\r\n")
    #expect(composed([date, "Connection: ETag", "ETag: \"a\""]) == dateLine)
    #expect(composed([date, "Connection: close", "Close: 1"]) == dateLine + "close: 1\r\n")
  }

  @Test func `tags and length stay where asked`() {
    #expect(composed([date, "Cache-Tag: a"], .exposeTags) == dateLine + "cache-tag: a\r\n")
    #expect(
      composed([date, "Content-Length: 5"], .contentLength) == dateLine + "content-length: 5\r\n")
  }

  @Test(arguments: [
    "no-cache=\"X-A\"", "private=\"x-a\"", "private=\"b, X-a\"", "NO-CACHE=x-a",
    "no-cache=\"b\", private=\"x-a\"",
  ]) func `listed fields are sent and not stored`(directive: String) {
    let lines = [date, "Cache-Control: \(directive)", "X-A: 1", "X-C: 2"]
    let control = "cache-control: \(directive)\r\n"
    #expect(composed(lines, .storing) == dateLine + control + "x-c: 2\r\n")
    #expect(composed(lines) == dateLine + control + "x-a: 1\r\nx-c: 2\r\n")
  }

  @Test func `cookies are stored only if they are for everyone`() {
    let cookie = "Set-Cookie: a=b"
    #expect(composed([date, cookie], .storing) == dateLine)
    #expect(composed([date, cookie]) == dateLine + "set-cookie: a=b\r\n")
    #expect(
      composed([date, "Cache-Control: public", cookie], .storing)
        == dateLine + "cache-control: public\r\nset-cookie: a=b\r\n")
    #expect(
      composed([date, "Cache-Control: public, private=\"set-cookie\"", cookie], .storing)
        == dateLine + "cache-control: public, private=\"set-cookie\"\r\n")
  }

  @Test(arguments: [
    ["X: 1"], ["Date: garbage", "X: 1"], ["Date: ", "X: 1"],
    ["Date: \(t0Date), \(t0Date)", "X: 1"],
    ["Connection: date", "Date: Sun, 31 Dec 2023 00:00:00 GMT", "X: 1"],
  ]) func `RFC 9110 section 6.6.1: a Date that is missing or invalid is the time of receipt`(
    lines: [String]
  ) {
    #expect(composed(lines) == "x: 1\r\n" + dateLine)
  }

  @Test func `of several dates the first stays`() {
    let other = "Date: Sun, 31 Dec 2023 00:00:00 GMT"
    #expect(composed([date, other]) == dateLine)
  }
}

@Suite struct `RFC 9110 section 7.6.1, forwarded fields of a request` {
  @Test func `without those for one hop, Host, Expect and Content-Length`() {
    #expect(
      forwarded([
        "Host: a", "Connection: keep-alive, X-Hop", "Keep-Alive: 5", "TE: trailers", "X-Hop: 1",
        "Upgrade: h2c", "Expect: 100-continue", "Content-Length: 3", "Proxy-Authorization: x",
        "Accept: */*", "X-End: 2",
      ]) == "accept: */*\r\nx-end: 2\r\n")
  }

  @Test(arguments: [
    "Cookie", "Authorization", "Accept-Encoding", "X-Forwarded-For", "Range", "If-None-Match",
  ])
  func `a client cannot nominate fields that are for all`(name: String) {
    #expect(
      forwarded(["Connection: \(name)", "\(name): 1"]) == "\(name.lowercased()): 1\r\n")
  }

  @Test func `what the caller omits`() {
    let lines = [
      "If-None-Match: *", "If-Modified-Since: x", "If-Match: *", "If-Unmodified-Since: x",
      "Range: bytes=0-1", "If-Range: x", "X-Forwarded-For: a", "X-Forwarded-Host: b",
      "X-Forwarded-Proto: c", "Forwarded: d", "Foo: 1",
    ]
    #expect(forwarded(lines, [.conditions, .ranges, .forwarding]) == "foo: 1\r\n")
    #expect(forwarded(lines, [.conditions]).hasPrefix("range: bytes=0-1\r\nif-range: x\r\n"))
    #expect(forwarded(lines).split(separator: "\r\n").count == lines.count)
  }

  @Test func `more options than anyone needs are noticed`() {
    let many = (0..<65).map { "x\($0)" }.joined(separator: ", ")
    let head = request(.get, "Connection: \(many)", "Accept: a", "Y: 1")
    #expect(ConnectionOptions(head).isExcessive)
    #expect(
      written { HeadComposer.appendRequestFields(head, omitting: [], to: &$0) } == "accept: a\r\n")
    let lines = (0..<5).map { "Connection: x\($0)" }
    #expect(ConnectionOptions(request(.get, lines)).isExcessive)
    #expect(!ConnectionOptions(request(.get, Array(lines.dropLast()))).isExcessive)
    #expect(
      !ConnectionOptions(request(.get, Array(repeating: "Connection: close", count: 9))).isExcessive
    )
  }
}

@Suite struct `RFC 9111 section 3.2, updating stored fields` {
  private func freshened(
    _ stored: String, _ lines: [String], _ options: ResponseFieldOptions = []
  ) -> String {
    written {
      HeadComposer.appendFreshened(
        stored: view(stored), by: response(304, lines), options: options, responseTime: t0, to: &$0)
    }
  }

  @Test func `the 304's fields replace all lines of their names`() {
    #expect(
      freshened(
        "date: Sun, 31 Dec 2023 00:00:00 GMT\r\nx: 1\r\ny: 2\r\nx: 3\r\netag: \"a\"\r\n",
        [date, "X: 9", "Z: 8", "X: 7"])
        == "y: 2\r\netag: \"a\"\r\n" + dateLine + "x: 9\r\nz: 8\r\nx: 7\r\n")
  }

  @Test(arguments: [
    "Content-Type", "Content-Foo", "Content-MD5", "Content-Location", "Cache-Control", "Expires",
    "Last-Modified", "ETag", "Content-Security-Policy",
  ]) func `Content- is no sign that a field is not updated`(name: String) {
    let lower = name.lowercased()
    #expect(
      freshened("\(lower): \"1\"\r\n\(dateLine)", [date, "\(name): \"2\""])
        == dateLine + "\(lower): \"2\"\r\n")
  }

  @Test(arguments: ["Content-Encoding", "Content-Range"])
  func `what the stored bytes depend on stays`(name: String) {
    let line = "\(name.lowercased()): 1\r\n"
    #expect(freshened(line + dateLine, [date, "\(name): 2"]) == line + dateLine)
    #expect(freshened(dateLine, [date, "\(name): 2"]) == dateLine)
  }

  @Test(arguments: [
    "Content-Length", "Age", "Connection", "Transfer-Encoding", "Keep-Alive", "Surrogate-Key",
    "Set-Cookie",
  ]) func `what is not stored is not added`(name: String) {
    #expect(freshened("x: 1\r\n", [date, "\(name): 2"]) == "x: 1\r\n" + dateLine)
  }

  @Test func `what Connection names is neither added nor replaced`() {
    #expect(
      freshened("x: 1\r\n", [date, "Connection: x, y", "X: 2", "Y: 3"]) == "x: 1\r\n" + dateLine)
  }

  @Test func `lists of the result decide what is kept`() {
    #expect(
      freshened("x: 1\r\ny: 2\r\n", [date, "Cache-Control: no-cache=\"x\""])
        == "y: 2\r\n" + dateLine + "cache-control: no-cache=\"x\"\r\n")
    #expect(
      freshened("cache-control: private=\"x\"\r\n", [date, "X: 1"])
        == "cache-control: private=\"x\"\r\n" + dateLine)
  }

  @Test func `a 304 without Date is dated when it was received`() {
    #expect(
      freshened("date: Sun, 31 Dec 2023 00:00:00 GMT\r\nx: 1\r\n", ["Y: 2"])
        == "x: 1\r\ny: 2\r\n" + dateLine)
  }

  @Test func `tags stay where they are exposed, and cookies where they are public`() {
    #expect(
      freshened("cache-tag: a\r\n", [date, "Cache-Tag: b"], .exposeTags)
        == dateLine + "cache-tag: b\r\n")
    #expect(
      freshened("cache-control: public\r\nset-cookie: a=b\r\n", [date, "Set-Cookie: a=c"])
        == "cache-control: public\r\n" + dateLine + "set-cookie: a=c\r\n")
  }

  @Test func `damaged lines are left out`() {
    #expect(freshened("\r\nx\r\n: 1\r\na: 1\nb: 2", [date]) == "a: 1\r\nb: 2\r\n" + dateLine)
  }
}

@Suite struct `Stored lines` {
  @Test func `are read into a head`() {
    let head = response(304, "X: 1", "X: 2")
    StoredLines.read(
      view("cache-control: max-age=5\r\netag: \"a\"\r\nx-y:\r\n"), status: 203, into: head)
    #expect(head.status == 203 && head.fields.count == 3)
    #expect(ResponseDirectives(head).maxAge == 5000)
    #expect(head.value(.etag)?.string == "\"a\"")
  }
}
