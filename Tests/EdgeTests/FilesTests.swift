import EdgeTesting
import Metrics
import Testing

/// A directory as the origin.
@Suite struct FilesTests {
  private func node(
    _ route: String = "", files: String = ""
  ) throws -> (node: TestNode, directory: TemporaryDirectory) {
    let directory = try TemporaryDirectory()
    try directory.write("public/index.html", "<h1>home</h1>")
    try directory.write("public/docs/index.html", "<h1>docs</h1>")
    try directory.write("public/style.css", "body { }")
    try directory.write("public/style.css.gz", "not really gzip")
    try directory.write("public/.secret", "hidden")
    try directory.write("outside.txt", "outside")
    try directory.link("public/link.txt", to: "../outside.txt")
    try directory.write("public/large.bin", content(3_000_000))
    let node = try TestNode.start(
      configuration: """
        workers 2; listen 127.0.0.1:0; access_log ./access.log; store ./store;
        origin pages { files ./public { \(files) } }
        site * { route / { origin pages; \(route) } route /short { files ./public; } }
        """, directory: directory)
    return (node, directory)
  }

  @Test func `a site is served from a directory`() async throws {
    let (node, _) = try node()
    let client = try await node.connect()
    let home = try await client.get("/")
    #expect(home.status == 200 && home.text == "<h1>home</h1>")
    #expect(home.header("content-type") == "text/html; charset=utf-8")
    #expect(home.header("content-length") == "13")
    #expect(home.header("accept-ranges") == "bytes")
    #expect(home.header("date") != nil && home.header("last-modified") != nil)
    let tag = try #require(home.header("etag"))
    #expect(try await client.get("/", ["If-None-Match: \(tag)"]).status == 304)
    let head = try await client.request("HEAD", "/")
    #expect(head.header("content-length") == "13" && head.body.isEmpty)
    let part = try await client.get("/index.html", ["Range: bytes=4-7"])
    #expect(part.status == 206 && part.text == "home")
    #expect(part.header("content-range") == "bytes 4-7/13")
    #expect(try await client.get("/index.html", ["Range: bytes=99-"]).status == 416)
    let moved = try await client.get("/docs?a=b")
    #expect(moved.status == 301 && moved.header("location") == "/docs/?a=b")
    #expect(try await client.get("/docs/").text == "<h1>docs</h1>")
    client.close()
    try await node.expectNothingLeft()
  }

  @Test(
    arguments: [
      "/none", "/.secret", "/link.txt", "/%2e%2e/outside.txt", "/docs%2findex.html",
      "/index.html/", "/..%2foutside.txt",
    ])
  func `what is not below the directory is not there`(path: String) async throws {
    let (node, _) = try node()
    let response = try await node.get(path)
    #expect([400, 403, 404].contains(response.status), "\(response.status)")
    #expect(!response.text.contains("outside") && !response.text.contains("hidden"))
  }

  @Test func `a ready-made coding is sent to who takes it`() async throws {
    let (node, _) = try node()
    let coded = try await node.get("/style.css", "Accept-Encoding: gzip")
    #expect(coded.header("content-encoding") == "gzip" && coded.text == "not really gzip")
    #expect(coded.header("vary") == "accept-encoding")
    #expect(coded.header("content-type")?.hasPrefix("text/css") == true)
    #expect(try await node.get("/style.css").text == "body { }")
  }

  @Test func `a large file comes whole, to many at once`() async throws {
    let (node, _) = try node()
    let expected = content(3_000_000)
    let answers = try await atOnce(8) { _ in try await node.get("/large.bin") }
    for answer in answers { #expect(answer.status == 200 && answer.body == expected) }
    try await node.expectNothingLeft()
  }

  @Test func `another method is refused`() async throws {
    let (node, _) = try node()
    let client = try await node.connect()
    let response = try await client.request("POST", "/", body: "x")
    #expect(response.status == 405 && response.header("allow") == "GET, HEAD")
  }

  @Test func `nothing is stored unless the route says so`() async throws {
    let (node, directory) = try node()
    #expect(try await node.get("/style.css").text == "body { }")
    try directory.write("public/style.css", "p { }")
    #expect(try await node.get("/style.css").text == "p { }")
  }

  @Test func `what the route stores is validated with its file`() async throws {
    let (node, directory) = try node("cache { ttl any 60s; }")
    #expect(try await node.get("/style.css").text == "body { }")
    try await node.settle()
    #expect(try await node.get("/style.css").isHit)
    node.advance(seconds: 61)
    let validated = try await node.get("/style.css")
    #expect(validated.text == "body { }")
    #expect(validated.cacheStatus.contains("fwd-status=304"), "\(validated.cacheStatus)")
    #expect(node.count(.revalidated304) == 1)
    try await node.settle()
    try directory.write("public/style.css", "p { color: red }")
    node.advance(seconds: 61)
    #expect(try await node.get("/style.css").text == "p { color: red }")
    let large = try await node.get("/large.bin")
    try await node.settle()
    let stored = try await node.get("/large.bin", "Range: bytes=2999990-")
    #expect(stored.isHit && stored.status == 206 && stored.body == Array(large.body.suffix(10)))
  }

  @Test func `a route may name the directory itself`() async throws {
    let (node, directory) = try node()
    try directory.write("public/short/a.txt", "short")
    #expect(try await node.get("/short/a.txt").text == "short")
  }
}
