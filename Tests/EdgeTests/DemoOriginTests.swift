import DemoOrigin
import EdgeTesting
import Testing

/// The demo origin, asked directly.
@Suite struct DemoOriginTests {
  let origin: RunningOrigin
  let directory: TemporaryDirectory

  init() throws {
    directory = try TemporaryDirectory()
    try directory.write("site/index.html", "<p>hello")
    try directory.write("site/a/b.css", "p {}")
    try directory.write("secret.txt", "secret")
    origin = try DemoOrigin.start(directory: directory.file("site"))
  }

  private func client() async throws -> RawClient { try await RawClient.connect(to: origin.port) }

  // MARK: The API

  @Test func `an answer of the API carries what caches live on`() async throws {
    let client = try await client()
    let response = try await client.get("/api/products/7")
    #expect(response.status == 200)
    #expect(response.header("cache-control") == "max-age=60")
    #expect(response.header("surrogate-key") == "products products-7")
    #expect(response.header("x-origin-count") == "1")
    #expect(response.header("date") != nil)
    #expect(try response.json()["path"]?.string == "/api/products/7")
    let tag = try #require(response.header("etag"))
    let again = try await client.get("/api/products/7", ["If-None-Match: \"x\", W/\(tag)"])
    #expect(again.status == 304 && again.header("etag") == tag)
    #expect(again.header("x-origin-count") == "2")
    #expect(origin.requests(path: "/api/products/7") == 2)
  }

  @Test func `an unsafe method changes the resource`() async throws {
    let client = try await client()
    let before = try await client.get("/api/x")
    #expect(try await client.request("POST", "/api/x", body: "new").status == 200)
    let after = try await client.get("/api/x")
    #expect(try after.json()["revision"]?.int == 1)
    #expect(before.header("etag") != after.header("etag"))
  }

  @Test func `fields are as the knobs say`() async throws {
    let knobs =
      "cc=public,%20max-age=5&etag=W/%22v%22&tags=a,b&tagfield=Cache-Tag&age=9"
      + "&cookie=id=1&h=X-A:1&h=X-A:%202&h=Date:today&vary=Accept-Language&lm=100&expires=-1"
    let response = try await client().get("/api/x?\(knobs)", ["Accept-Language: de"])
    #expect(response.header("cache-control") == "public, max-age=5")
    #expect(response.header("etag") == "W/\"v\"")
    #expect(response.header("cache-tag") == "a, b")
    #expect(response.header("age") == "9")
    #expect(response.header("set-cookie") == "id=1")
    #expect(response.headers("x-a") == ["1", "2"])
    #expect(response.headers("date") == ["today"])
    #expect(response.header("vary") == "Accept-Language")
    #expect(response.header("last-modified")?.hasSuffix("GMT") == true)
    #expect(response.header("expires")?.hasSuffix("GMT") == true)
    #expect(response.text.contains("accept-language:de"))
  }

  @Test func `a field can be left out`() async throws {
    let response = try await client().get("/api/x?cc=none&etag=none&tags=none")
    #expect(response.header("cache-control") == nil)
    #expect(response.header("etag") == nil)
    #expect(response.header("surrogate-key") == nil)
  }

  @Test func `content of a size is the same every time`() async throws {
    let client = try await client()
    let content = DemoContent(of: "/api/large")
    for knobs in ["", "&chunked=1&piece=1000", "&nolength=1"] {
      let response = try await client.get(
        "/api/large?size=200000\(knobs)", content: .verify(content))
      #expect(response.bodyLength == 200_000)
    }
    try await client.expectClosed()
    let varied = try await self.client().get(
      "/api/large?size=10&vary=X-V", ["x-v: 1"],
      content: .verify(DemoContent(of: "/api/large\nx-v:1")))
    #expect(varied.bodyLength == 10)
  }

  @Test func `chunks with trailers and interim responses`() async throws {
    let response = try await client().get(
      "/api/x?body=hello%20world&piece=4&trailer=Sum:11&interim=103&interim=102&delay=1&pause=1")
    #expect(response.interim.map(\.status) == [103, 102])
    #expect(response.framing == .chunked)
    #expect(response.text == "hello world")
    #expect(response.trailers == [PeerField("Sum", "11")])
  }

  @Test(arguments: [
    ("status=503", 503), ("status=204", 204), ("delay=x", 400), ("interim=101", 400),
  ])
  func `statuses are as the knobs say`(knob: String, status: Int) async throws {
    #expect(try await client().get("/api/x?\(knob)").status == status)
  }

  @Test(
    arguments: [
      ("truncate=5", Ending.closed, "01234"), ("truncate=0", .closed, ""),
      ("truncate=5&chunked=1&piece=5", .closed, "5\r\n01234\r\n"), ("close=head", .closed, nil),
      ("reset=head", .reset, nil), ("reset=5", .reset, nil),
    ] as [(String, Ending, String?)])
  func `answers break off as the knobs say`(
    knob: String, ending: Ending, content: String?
  ) async throws {
    let client = try await client()
    try await client.send("GET", "/api/x?body=0123456789&\(knob)")
    let result = try await client.readToEnding()
    #expect(result.ending == ending)
    let text = String(decoding: result.bytes, as: UTF8.self)
    if let content {
      let head = try #require(text.firstRange(of: "\r\n\r\n"))
      #expect(text[head.upperBound...] == content)
    } else if ending == .closed {
      #expect(text.isEmpty)
    }
  }

  // MARK: Requests

  @Test func `the echo says what it was sent`() async throws {
    let client = try await client()
    try await client.write(
      "PUT /echo?a=1 HTTP/1.1\r\nHost: h\r\nX-A: \"1\\\"\r\nTransfer-Encoding: chunked\r\n\r\n"
        + "5\r\nhello\r\n0\r\nSum: 5\r\n\r\n")
    let echo = try await client.readResponse(to: "PUT").json()
    #expect(echo["method"]?.string == "PUT")
    #expect(echo["target"]?.string == "/echo?a=1")
    #expect(echo["fields"]?[1]?[1]?.string == "\"1\\\"")
    #expect(echo["trailers"]?[0]?[0]?.string == "Sum")
    #expect(echo["length"]?.int == 5)
    #expect(echo["hash"]?.string == DemoHash(of: Array("hello".utf8)).text)
  }

  @Test func `a request that expects it gets a 100 before it sends`() async throws {
    let client = try await client()
    try await client.write(
      "POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    #expect(try await client.read(exactly: 25) == Array("HTTP/1.1 100 Continue\r\n\r\n".utf8))
    try await client.write("ok")
    #expect(try await client.readResponse(to: "POST").json()["length"]?.int == 2)
  }

  @Test func `an early answer does not wait for the content`() async throws {
    let client = try await client()
    try await client.write(
      "POST /api/x?early=1&status=413 HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n")
    let response = try await client.readResponse(to: "POST")
    #expect(response.status == 413)
    try await client.expectClosed()
  }

  @Test func `pipelined requests are answered in order and counted`() async throws {
    let client = try await client()
    for number in 0..<20 { try await client.send("GET", "/api/p?body=\(number)") }
    for number in 0..<20 { #expect(try await client.readResponse().text == "\(number)") }
    let counts = try await client.get("/requests?path=/api/p").json()
    #expect(counts["requests"]?.int == 20)
    #expect(try await client.get("/requests").json()["/api/p"]?.int == 20)
    #expect(origin.requests == 20)
  }

  @Test func `a client of HTTP 1.0 gets a length or the end, never chunks`() async throws {
    let client = try await client()
    try await client.write("GET /api/x?chunked=1&body=abc HTTP/1.0\r\n\r\n")
    let response = try await client.readResponse()
    #expect(response.framing == .length(3))
    #expect(response.header("connection") == "close")
    try await client.expectClosed()
  }

  @Test func `the tunnel gives every byte back`() async throws {
    let client = try await client()
    let fields = ["Upgrade: echo", "Connection: Upgrade"]
    let response = try await client.request("GET", "/tunnel", fields)
    #expect(response.status == 101)
    #expect(response.header("upgrade") == "echo")
    try await client.write("\u{1}two\r\n\r\n")
    #expect(try await client.read(exactly: 8) == Array("\u{1}two\r\n\r\n".utf8))
    client.endSending()
    try await client.expectClosed()
    #expect(try await self.client().get("/tunnel").status == 426)
  }

  // MARK: Files

  @Test func `files come with their type and validators`() async throws {
    let client = try await client()
    let page = try await client.get("/")
    #expect(page.text == "<p>hello")
    #expect(page.header("content-type") == "text/html; charset=utf-8")
    #expect(try await client.get("/a/b.css").header("content-type") == "text/css")
    let head = try await client.request("HEAD", "/index.html")
    #expect(head.header("content-length") == "8")
    let modified = try #require(page.header("last-modified"))
    #expect(try await client.get("/", ["If-Modified-Since: \(modified)"]).status == 304)
    let early = "If-Modified-Since: Thu, 29 Feb 2024 23:59:59 GMT"
    #expect(try await client.get("/", [early]).status == 200)
    let tag = try #require(page.header("etag"))
    #expect(try await client.get("/", ["If-None-Match: \(tag)"]).status == 304)
  }

  @Test(
    arguments: [
      "/../secret.txt", "/a/../../secret.txt", "/%2e%2e/secret.txt", "/..%2Fsecret.txt",
      "/link.txt", "/up/secret.txt", "/a", "/none", "/a%00b", "/%zz", "/./index.html",
    ])
  func `nothing outside of the directory is served`(path: String) async throws {
    try directory.link("site/link.txt", to: directory.file("secret.txt"))
    try directory.link("site/up", to: directory.path)
    #expect(try await client().get(path).status == 404)
  }

  // MARK: Life

  @Test func `stopping does not wait for delays or idle connections`() async throws {
    let idle = try await client()
    _ = try await idle.get("/api/x")
    let waiting = try await client()
    try await waiting.send("GET", "/api/slow?delay=100000000")
    try await eventually("the request is seen") { origin.requests(path: "/api/slow") == 1 }
    origin.stop()
    try await idle.expectClosed()
    #expect(try await waiting.readToEnding().bytes.isEmpty)
  }

  @Test func `hundreds of connections are served at once`() async throws {
    try await withThrowingTaskGroup { group in
      for number in 0..<300 {
        group.addTask {
          let client = try await client()
          for _ in 0..<3 { #expect(try await client.get("/api/\(number)").status == 200) }
        }
      }
      try await group.waitForAll()
    }
    #expect(origin.requests == 900)
  }
}
