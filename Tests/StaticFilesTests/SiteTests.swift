import CLinux
import HTTPMessage
import Testing

@testable import StaticFiles

@Suite struct SiteTests {
  private let directory = Directory()

  @Test func `a file is answered with its type and validators`() throws {
    directory.write("a.css", "body{}")
    let answer = try directory.site().get("/a.css")
    #expect(answer.status == 200 && answer.text == "body{}" && answer.length == 6)
    #expect(answer.field("content-type") == "text/css; charset=utf-8")
    #expect(answer.field("last-modified") == "Sun, 09 Sep 2001 01:46:40 GMT")
    #expect(answer.field("etag")?.hasPrefix("\"") == true)
    #expect(answer.field("vary") == nil && answer.field("content-encoding") == nil)
    #expect(answer.field("accept-ranges") == "bytes")
  }

  @Test func `the tag follows the content`() throws {
    directory.write("a", "one")
    let site = try directory.site()
    let first = site.get("/a").field("etag")
    #expect(site.get("/a").field("etag") == first)
    directory.write("a", "two", age: 1)
    #expect(site.get("/a").field("etag") != first)
    // Changed just now: it may change again within the same tick.
    let fresh = site.answer(FileRequest(path: Array("/a".utf8)), now: 1_000_000_001).field("etag")
    #expect(fresh?.hasPrefix("W/") == true && fresh != site.get("/a").field("etag"))
  }

  @Test func `a directory is its index file, and gets a slash`() throws {
    directory.make("docs")
    directory.write("docs/index.html", "docs")
    directory.make("empty")
    let site = try directory.site()
    #expect(site.get("/docs/").text == "docs")
    #expect(site.get("/docs/").field("content-type") == "text/html; charset=utf-8")
    let redirect = site.get("/docs") { $0.query = Array("a=1".utf8) }
    #expect(redirect.status == 301 && redirect.field("location") == "/docs/?a=1")
    #expect(site.get("/empty/").status == 404)
    #expect(site.get("/docs/index.html/").status == 404)
    #expect(site.get("/").status == 404)
    let other = try directory.site { $0.indexes = ["home.html", "index.html"] }
    #expect(other.get("/docs/").text == "docs")
    directory.write("docs/home.html", "home")
    #expect(other.get("/docs/").text == "home")
  }

  @Test func `a listing is made only where it is asked for, and shows nothing hidden`() throws {
    directory.make("sub")
    directory.write("a <b>&\"c.txt", "")
    directory.write("javascript:x", "")
    directory.write(".secret", "")
    directory.fifo("pipe")
    directory.link("etc", to: "/etc")
    let answer = try directory.site { $0.lists = true }.get("/")
    let page = try #require(answer.text)
    #expect(answer.status == 200)
    #expect(page.contains("<a href=\"./sub/\">sub/</a>"))
    #expect(page.contains("href=\"./a%20%3Cb%3E%26%22c.txt\">a &lt;b&gt;&amp;&quot;c.txt<"))
    #expect(page.contains("href=\"./javascript%3Ax\""))
    for hidden in ["secret", "pipe", "etc", "../"] { #expect(!page.contains(hidden)) }
    #expect(try directory.site { $0.lists = true }.get("/sub/").text?.contains("../") == true)
    #expect(try directory.site().get("/").status == 404)
  }

  @Test func `what lies ready in a coding is sent to who likes it`() throws {
    directory.write("a.js", "plain")
    directory.write("a.js.br", "brotli")
    directory.write("a.js.gz", "gzip")
    let site = try directory.site()
    func get(_ accept: String?) -> FileAnswer {
      site.get("/a.js") { $0.acceptEncoding = accept.map { Array($0.utf8) } }
    }
    #expect(get(nil).text == "plain" && get(nil).field("content-encoding") == nil)
    #expect(get(nil).field("vary") == "accept-encoding")
    #expect(get("gzip, deflate, br, zstd").text == "brotli")
    #expect(get("gzip").text == "gzip" && get("gzip").field("content-encoding") == "gzip")
    #expect(get("gzip").field("content-type") == "text/javascript; charset=utf-8")
    #expect(get("gzip, br;q=0.5").text == "gzip")
    #expect(get("br;q=0, zstd, identity").text == "plain")
    #expect(get("br").field("etag") != get("gzip").field("etag"))
    #expect(get("br").field("etag") != get(nil).field("etag"))
    // Left over from an older version.
    directory.write("a.js.br", "old", age: 1_000_000)
    #expect(get("br").text == "plain")
    #expect(try directory.site { $0.precompressed = false }.get("/a.js").field("vary") == nil)
    #expect(site.get("/a.js.gz").field("content-type") == "application/gzip")
  }

  @Test func `conditions are evaluated in the RFC's order`() throws {
    directory.write("a", "content")
    let site = try directory.site()
    let tag = try #require(site.get("/a").field("etag"))
    let date = "Sun, 09 Sep 2001 01:46:40 GMT"
    let earlier = "Sun, 09 Sep 2001 01:46:39 GMT"
    func get(_ change: (inout FileRequest) -> Void) -> UInt16 { site.get("/a", change).status }
    func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }
    #expect(get { $0.ifNoneMatch = bytes(tag) } == 304)
    #expect(get { $0.ifNoneMatch = bytes("\"x\", W/" + tag) } == 304)
    #expect(get { $0.ifNoneMatch = bytes("*") } == 304)
    #expect(get { $0.ifNoneMatch = bytes("\"x\"") } == 200)
    #expect(get { $0.ifModifiedSince = bytes(date) } == 304)
    #expect(get { $0.ifModifiedSince = bytes(earlier) } == 200)
    #expect(get { $0.ifModifiedSince = bytes("yesterday") } == 200)
    // If-None-Match stands over If-Modified-Since.
    #expect(
      get {
        $0.ifNoneMatch = bytes("\"x\"")
        $0.ifModifiedSince = bytes(date)
      } == 200)
    #expect(get { $0.ifMatch = bytes("\"x\"") } == 412)
    #expect(get { $0.ifMatch = bytes(tag) } == 200)
    #expect(get { $0.ifUnmodifiedSince = bytes(earlier) } == 412)
    #expect(get { $0.ifUnmodifiedSince = bytes(date) } == 200)
    let answer = site.get("/a") { $0.ifNoneMatch = bytes(tag) }
    #expect(answer.text == nil && answer.field("etag") == tag)
    #expect(answer.field("content-type") == nil)
  }

  @Test func `a range is cut, if it is of this content`() throws {
    directory.write("a", "0123456789")
    let site = try directory.site()
    let tag = try #require(site.get("/a").field("etag"))
    let part = site.get("/a") { $0.range = Array("bytes=2-4".utf8) }
    #expect(part.status == 206 && part.text == "234")
    #expect(part.field("content-range") == "bytes 2-4/10")
    let none = site.get("/a") { $0.range = Array("bytes=10-".utf8) }
    #expect(none.status == 416 && none.field("content-range") == "bytes */10" && none.text == nil)
    for (condition, status) in [
      (tag, 206), ("\"x\"", 200), ("W/" + tag, 200), ("Sun, 09 Sep 2001 01:46:40 GMT", 206),
      ("Sun, 09 Sep 2001 01:46:41 GMT", 200),
    ] as [(String, UInt16)] {
      let answer = site.get("/a") {
        $0.range = Array("bytes=0-1".utf8)
        $0.ifRange = Array(condition.utf8)
      }
      #expect(answer.status == status, "\(condition)")
    }
    let head = site.get("/a") {
      $0.method = .head
      $0.range = Array("bytes=0-1".utf8)
    }
    #expect(head.status == 200 && head.length == 10)
  }

  @Test(arguments: [Method.post, .put, .delete, .options, .trace, .patch, .other])
  func `other methods are refused`(method: Method) throws {
    directory.write("a", "")
    let answer = try directory.site().get("/a") { $0.method = method }
    #expect(answer.status == 405 && answer.field("allow") == "GET, HEAD")
  }

  @Test func `a file that has become shorter is noticed`() throws {
    directory.write("a", "0123456789")
    guard case .file(let file, _, _) = try directory.site().get("/a").content else {
      return #expect(Bool(false))
    }
    directory.write("a", "012")
    var bytes = [UInt8](repeating: 0, count: 10)
    unsafe bytes.withUnsafeMutableBytes { buffer in
      #expect(unsafe file.readWaiting(into: buffer, at: 0) == .bytes(3))
      #expect(unsafe file.readWaiting(into: buffer, at: 3) == .failed)
      #expect(unsafe file.read(into: buffer, at: 3) == .failed)
      #expect(unsafe file.readWaiting(into: buffer, at: 10) == .bytes(0))
    }
  }
}

@Suite struct EscapeTests {
  private let outside = Directory()
  private let directory = Directory()

  private func sites(followsLinks: Bool) throws -> [FileSite] {
    // With the kernel's help and without.
    let settings = FileSettings(root: directory.path)
    return try [false, true].map {
      try FileSite(
        settings,
        beneath: Beneath(directory.path, followsLinks: followsLinks, walks: $0))
    }
  }

  @Test func `no link leads out, nor up`() throws {
    outside.write("secret", "secret")
    outside.make("dir")
    outside.write("dir/secret", "secret")
    directory.make("inner")
    directory.write("inner/file", "fine")
    directory.link("absolute", to: outside.path + "/secret")
    directory.link(
      "relative", to: "../" + (outside.path.split(separator: "/").last ?? "") + "/secret")
    directory.link("dir", to: outside.path + "/dir")
    directory.link("self", to: "/proc/self/root/etc/passwd")
    directory.link("inner/up", to: "../inner/file")
    directory.link("loop", to: "loop")
    for followsLinks in [false, true] {
      for site in try sites(followsLinks: followsLinks) {
        for path in ["/absolute", "/relative", "/dir/secret", "/dir/", "/self", "/loop"] {
          #expect(site.get(path).status == 404, "\(path)")
        }
        #expect(site.get("/inner/file").text == "fine")
      }
    }
    #expect(try sites(followsLinks: true)[0].get("/inner/up").text == "fine")
    #expect(try sites(followsLinks: false)[0].get("/inner/up").status == 404)
    #expect(try sites(followsLinks: true)[1].get("/inner/up").status == 404)
  }

  @Test(
    arguments: [
      "/../secret", "/..%2fsecret", "/%2e%2e/secret", "/%2e%2e%2fsecret", "/inner/../../secret",
      "/inner/..%5c..%5csecret", "/./inner/file", "//etc/passwd", "/inner//file", "/.htaccess",
      "/inner/file%00.html", "/inner%2ffile", "/..;/secret", "/%252e%252e/secret",
    ])
  func `no path leads out`(path: String) throws {
    directory.make("inner")
    directory.write("inner/file", "fine")
    directory.write(".htaccess", "hidden")
    for site in try sites(followsLinks: true) { #expect(site.get(path).status == 404) }
  }

  @Test func `nothing is opened that is no file`() throws {
    directory.fifo("pipe")
    directory.fifo("index.html")
    for site in try sites(followsLinks: false) {
      #expect(site.get("/pipe").status == 404)
      #expect(site.get("/").status == 404)
    }
    let devices = try FileSite(FileSettings(root: "/dev"))
    #expect(devices.get("/null").status == 404 && devices.get("/zero").status == 404)
  }

  @Test func `a root that is not there is an error, and one that is renamed stays the root`() throws
  {
    #expect(throws: (any Error).self) {
      _ = try FileSite(FileSettings(root: directory.path + "/missing"))
    }
    directory.make("root")
    directory.write("root/a", "first")
    let site = try FileSite(FileSettings(root: directory.path + "/root"))
    unsafe rename(directory.path + "/root", directory.path + "/moved")
    #expect(site.get("/a").text == "first")
  }

  @Test func `names that are too long are not there`() throws {
    for site in try sites(followsLinks: false) {
      #expect(site.get("/" + String(repeating: "a", count: 300)).status == 404)
      #expect(site.get("/" + String(repeating: "a/", count: 3000) + "b").status == 404)
    }
  }
}
