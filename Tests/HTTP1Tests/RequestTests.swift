import Bytes
import HTTP1
import HTTPMessage
import Testing

/// A browser's request.
let browserRequest =
  "GET /assets/app.css?v=31 HTTP/1.1\r\nHost: www.example.com\r\n"
  + "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0\r\n"
  + "Accept: text/css,*/*;q=0.1\r\nAccept-Language: en-GB,en;q=0.5\r\n"
  + "Accept-Encoding: gzip, deflate, br, zstd\r\nConnection: keep-alive\r\n"
  + "Referer: https://www.example.com/\r\nCookie: session=8f2a7c; theme=dark\r\n"
  + "Sec-Fetch-Dest: style\r\nPriority: u=2\r\n\r\n"

@Suite struct RequestTests {
  @Test func `a browser's request is read whole`() throws {
    let head = try #require(read(browserRequest + "GET /next"))
    #expect(head.method == "GET")
    #expect(head.target == "/assets/app.css?v=31")
    #expect(head.path == "/assets/app.css")
    #expect(head.query == "v=31")
    #expect(head.authority == "www.example.com")
    #expect(head.fields.count == 10)
    #expect(head.fields[3] == "Accept-Language: en-GB,en;q=0.5")
    #expect(head.framing == .none && head.keepAlive && !head.expectsContinue)
    #expect(head.length == browserRequest.utf8.count)
  }

  @Test func `every prefix of a head is incomplete`() {
    let heads = [
      browserRequest, "\r\n\r\nPOST /a HTTP/1.0\r\nX_y!: \t \r\nContent-Length:5\r\n\r\n",
      "OPTIONS * HTTP/1.1\r\nhost: [::1]:80\r\n\r\n",
      "GET http://a.b:80?q HTTP/1.1\r\nHost: a.b:80\r\nx: a\tb\tc\r\n\r\n",
    ]
    for head in heads {
      let bytes = latin1(head)
      for length in 0..<bytes.count {
        #expect(outcome(Array(bytes.prefix(length))) == .incomplete, "\(length) bytes of \(head)")
      }
      #expect(outcome(bytes) == .complete)
    }
  }

  @Test func `known fields are marked`() {
    let head = RequestHead()
    latin1(browserRequest).withView { bytes in
      #expect(RequestParser.parse(bytes, limits: roomy, into: head) == .complete)
      #expect(head.value(.cookie)?.string == "session=8f2a7c; theme=dark")
      #expect(head.fields[8].known == .other)
      #expect(head.method == .get)
    }
  }

  @Test func `a head is read over another one`() throws {
    let head = RequestHead()
    let old = "POST http://a/?q HTTP/1.0\r\nConnection: close\r\nContent-Length: 3\r\n\r\n"
    latin1(old).withView {
      #expect(RequestParser.parse($0, limits: roomy, into: head) == .complete)
    }
    latin1("GET / HTTP/1.1\r\nHost: b\r\n\r\n").withView {
      #expect(RequestParser.parse($0, limits: roomy, into: head) == .complete)
      #expect(ReadRequest(head) == read("GET / HTTP/1.1\r\nHost: b\r\n\r\n"))
    }
  }

  /// RFC 9110 §5.5: values.
  @Test(
    arguments: [
      ("a:b", "a: b"), ("a: b", "a: b"), ("a:\t b \t ", "a: b"), ("a:", "a: "), ("a: \t", "a: "),
      ("a: b\tc  d", "a: b\tc  d"), ("a: b:c", "a: b:c"), ("a: \u{80}\u{FF}", "a: "),
      ("!#$%&'*+-.^_`|~09azAZ: x", "!#$%&'*+-.^_`|~09azAZ: x"),
      (
        "a-name-longer-than-sixteen-bytes: a value longer than sixteen bytes too",
        "a-name-longer-than-sixteen-bytes: a value longer than sixteen bytes too"
      ),
    ])
  func `whitespace around a value is not part of it`(line: String, field: String) throws {
    let head = try #require(read("GET / HTTP/1.1\r\nHost: a\r\n\(line)\r\n\r\n"))
    if line.contains("\u{80}") {
      #expect(head.fields[1].unicodeScalars.count == 5)  // Passed on; as text not UTF-8.
    } else {
      #expect(head.fields[1] == field)
    }
  }

  /// RFC 9112 §3.2: forms of the target.
  @Test(
    arguments: [
      ("GET / HTTP/1.1", "/", "/", nil, "h"),
      ("GET /a?b?c/d HTTP/1.1", "/a?b?c/d", "/a", "b?c/d", "h"),
      ("GET /? HTTP/1.1", "/?", "/", "", "h"),
      ("GET //x/..;a HTTP/1.1", "//x/..;a", "//x/..;a", nil, "h"),
      ("GET http://h/a?b HTTP/1.1", "/a?b", "/a", "b", "h"),
      ("GET HTTPS://H/ HTTP/1.1", "/", "/", nil, "H"),
      ("GET http://h HTTP/1.1", "/", "/", nil, "h"),
      ("GET http://h?b/c HTTP/1.1", "?b/c", "/", "b/c", "h"),
      ("OPTIONS * HTTP/1.1", "*", "*", nil, "h"),
      ("OPTIONS /a HTTP/1.1", "/a", "/a", nil, "h"),
    ] as [(String, String, String, String?, String)])
  func `targets are taken apart`(
    line: String, target: String, path: String, query: String?, authority: String
  ) throws {
    let head = try #require(read("\(line)\r\nHost: h\r\n\r\n"))
    #expect(head.target == target && head.path == path)
    #expect(head.query == query && head.authority == authority)
  }

  @Test func `CONNECT takes the authority`() throws {
    let head = try #require(read("CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n"))
    #expect(head.target == "h:443" && head.authority == "h:443" && head.path == "")
  }

  /// RFC 9112 §2.2: empty lines before a request.
  @Test(
    arguments: 0...4)
  func `a few empty lines before the request line are skipped`(count: Int) throws {
    let lines = String(repeating: "\r\n", count: count)
    let head = try #require(read(lines + "GET /x HTTP/1.1\r\nHost: a\r\n\r\n"))
    #expect(head.length == 28 + 2 * count)
    #expect(head.path == "/x")
  }

  /// RFC 9112 §2.3 and RFC 9110 §2.5: versions.
  @Test(
    arguments: [
      ("HTTP/1.0", 0, false), ("HTTP/1.1", 1, true), ("HTTP/1.2", 1, true), ("HTTP/1.9", 1, true),
    ] as [(String, UInt8, Bool)])
  func `higher minor versions are taken as 1_1`(version: String, minor: UInt8, persists: Bool)
    throws
  {
    let head = try #require(read("GET / \(version)\r\nHost: a\r\n\r\n"))
    #expect(head.minorVersion == minor && head.keepAlive == persists)
  }

  /// RFC 9112 §9.3: persistence.
  @Test(
    arguments: [
      ("1.1", "close", false), ("1.1", "keep-alive", true), ("1.1", "Keep-Alive, CLOSE", false),
      ("1.1", "x", true), ("1.0", "keep-alive", true), ("1.0", "Keep-Alive , x", true),
      ("1.0", "keep-alive, close", false), ("1.0", "x", false), ("1.1", "closed", true),
    ])
  func `connections persist unless somebody says close`(version: String, value: String, want: Bool)
    throws
  {
    let head = try #require(
      read("GET / HTTP/\(version)\r\nHost: a\r\nConnection: \(value)\r\n\r\n"))
    #expect(head.keepAlive == want)
    let split = value.split(separator: ",").map { "Connection: \($0)\r\n" }.joined()
    #expect(
      try #require(read("GET / HTTP/\(version)\r\nHost: a\r\n\(split)\r\n")).keepAlive == want)
  }

  /// RFC 9112 §6.3: framing.
  @Test(
    arguments: [
      ("", .none), ("Content-Length: 0\r\n", .length(0)), ("content-length:5\r\n", .length(5)),
      ("Content-Length: 007\r\n", .length(7)),
      ("Content-Length: 9223372036854775807\r\n", .length(9_223_372_036_854_775_807)),
      ("Transfer-Encoding: chunked\r\n", .chunked), ("TRANSFER-ENCODING:CHUNKED\t\r\n", .chunked),
    ] as [(String, BodyFraming)])
  func `content is delimited in one of two ways`(lines: String, framing: BodyFraming) throws {
    #expect(try #require(read("POST / HTTP/1.1\r\nHost: a\r\n\(lines)\r\n")).framing == framing)
  }

  /// RFC 9110 §10.1.1: Expect.
  @Test(
    arguments: [
      ("1.1", "Content-Length: 5\r\n", true), ("1.1", "Transfer-Encoding: chunked\r\n", true),
      ("1.0", "Content-Length: 5\r\n", false), ("1.1", "Content-Length: 0\r\n", false),
      ("1.1", "", false),
    ])
  func `a client waits for 100 only before content`(version: String, lines: String, want: Bool)
    throws
  {
    let text = "POST / HTTP/\(version)\r\nHost: a\r\nExpect: 100-Continue\r\n\(lines)\r\n"
    #expect(try #require(read(text)).expectsContinue == want)
  }

  /// RFC 9110 §7.8: Upgrade.
  @Test(
    arguments: [
      ("1.1", "Connection: Upgrade\r\nUpgrade: websocket\r\n", true),
      ("1.1", "Upgrade: websocket\r\nConnection: keep-alive, upgrade\r\n", true),
      ("1.1", "Upgrade: websocket\r\n", false), ("1.1", "Connection: upgrade\r\n", false),
      ("1.0", "Connection: upgrade\r\nUpgrade: websocket\r\n", false),
    ])
  func `an upgrade needs both fields`(version: String, lines: String, want: Bool) throws {
    let head = try #require(read("GET / HTTP/\(version)\r\nHost: a\r\n\(lines)\r\n"))
    #expect(head.wantsUpgrade == want)
  }

  /// RFC 9112 §3.2: Host.
  @Test(
    arguments: [
      "a", "example.com", "EXAMPLE.com:8080", "a.b.", "a_b~c-d", "127.0.0.1:0", "h:65535", "[::1]",
      "[::]:80", "[2001:db8::1]:443", "[1:2:3:4:5:6:7:8]", "[::ffff:1.2.3.4]", "[1::]",
      "[1:2:3:4:5:6:1.2.3.4]", "xn--bcher-kva.example",
    ])
  func `hosts and their ports are accepted`(host: String) throws {
    #expect(try #require(read("GET / HTTP/1.1\r\nHost: \(host)\r\n\r\n")).authority == host)
    #expect(try #require(read("GET http://\(host)/ HTTP/1.1\r\nHost: \(host)\r\n\r\n")).path == "/")
  }

  @Test(arguments: [
    "GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.0\r\nHost:\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: \r\n\r\n",
  ])
  func `an authority may be missing where RFC 9112 3_2 allows it`(text: String) throws {
    #expect(try #require(read(text)).authority == "")
  }
}
