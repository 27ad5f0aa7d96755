import Bytes
import Testing

@testable import StaticFiles

private func path(_ text: String) -> FilePath? { text.withView { FilePath($0) } }

@Suite struct PathTests {
  @Test(
    arguments: [
      ("/", "", true), ("/a.html", "a.html", false), ("/a/b/", "a/b", true),
      ("/a%20b", "a b", false), ("/%C3%A9t%c3%a9", "été", false), ("/a..b/c", "a..b/c", false),
      ("/.well-known/security.txt", ".well-known/security.txt", false), ("/a;b", "a;b", false),
      ("/a%3Fb", "a?b", false), ("/a\\b", "a\\b", false),
    ])
  func `a path names a file`(text: String, name: String, isDirectory: Bool) throws {
    let found = try #require(path(text))
    #expect(String(decoding: found.name, as: UTF8.self) == name)
    #expect(found.isDirectory == isDirectory)
  }

  @Test(
    arguments: [
      "", "a", "//", "//a", "/a//b", "/./a", "/../a", "/a/..", "/a/.", "/..", "/%2e%2e/a",
      "/%2E./a", "/.%2e", "/a%2fb", "/a%2Fb", "/..%2f..%2fetc/passwd", "/a%00", "/a%0", "/a%",
      "/a%zz", "/.git/config", "/a/.env", "/%2egit", "/a/.well-known/x", "/.well-known2/x",
      "/a/%2e%2e/%2e%2e/etc/passwd", "*",
    ])
  func `what could mean two things, or is hidden, names nothing`(text: String) {
    #expect(path(text) == nil)
  }

  @Test func `whatever is sent, what it names has no dots and no gaps`() {
    var state: UInt64 = 17
    func next(_ bound: UInt64) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int((state >> 33) % bound)
    }
    let pieces = ["/", "/", ".", "..", "%2e", "%2F", "%", "%00", "a", "%61", "%5c", "\\", ";", "~"]
    var named = 0
    for _ in 0..<50_000 {
      let text = "/" + (0..<next(8)).map { _ in pieces[next(UInt64(pieces.count))] }.joined()
      guard let found = path(text), !found.name.isEmpty else { continue }
      named += 1
      let segments = found.name.split(separator: 0x2F, omittingEmptySubsequences: false)
      #expect(segments.allSatisfy { !$0.isEmpty && $0.first != 0x2E }, "\(text)")
      #expect(!found.name.contains(0))
    }
    #expect(named > 1000)
  }

  @Test func `a path may be long, and no longer`() {
    #expect(path("/" + String(repeating: "a", count: 12_000)) != nil)
    #expect(path("/" + String(repeating: "a", count: 13_000)) == nil)
  }

  @Test(
    arguments: [
      ("/a.html", "text/html; charset=utf-8"), ("/a.HTML", "text/html; charset=utf-8"),
      ("/a.tar.gz", "application/gzip"), ("/a.d/b", "application/octet-stream"),
      ("/a.b/c.js", "text/javascript; charset=utf-8"), ("/a.unheard", "application/octet-stream"),
      ("/a.", "application/octet-stream"), ("/x.wasm", "application/wasm"),
      ("/x.svg", "image/svg+xml"), ("/x.woff2", "font/woff2"), ("/x.avif", "image/avif"),
    ])
  func `an extension says the type`(text: String, type: String) throws {
    #expect(ContentTypes.type(of: try #require(path(text)).fileExtension) == type)
  }

  @Test func `every type is a media type and every extension is in lower case`() {
    for (name, type) in ContentTypes.table {
      #expect(name == name.lowercased() && !name.isEmpty && !name.contains("."))
      let parts = type.split(separator: ";")[0].split(separator: "/")
      #expect(parts.count == 2 && !type.contains("\r"), "\(type)")
    }
    #expect(ContentTypes.table.count > 100)
  }
}

@Suite struct RangeTests {
  @Test(
    arguments: [
      ("bytes=0-0", FileRange.part(offset: 0, length: 1)),
      ("bytes=2-5", .part(offset: 2, length: 4)),
      ("bytes=5-", .part(offset: 5, length: 5)), ("bytes=-3", .part(offset: 7, length: 3)),
      ("bytes=-30", .part(offset: 0, length: 10)), ("bytes=5-99", .part(offset: 5, length: 5)),
      ("Bytes=9-", .part(offset: 9, length: 1)), ("bytes=10-", .unsatisfiable),
      ("bytes=10-20", .unsatisfiable), ("bytes=-0", .unsatisfiable), ("bytes=5-2", .whole),
      ("bytes=0-1,4-5", .whole), ("bytes=", .whole), ("bytes=-", .whole), ("items=0-1", .whole),
      ("bytes=a-b", .whole), ("bytes=1", .whole), ("bytes=--3", .whole), ("", .whole),
      ("bytes=99999999999999999999999-", .unsatisfiable),
      ("bytes=0-99999999999999999999999", .part(offset: 0, length: 10)),
    ])
  func `a range of ten bytes`(text: String, range: FileRange) {
    #expect(FileRange(Array(text.utf8), size: 10) == range)
  }

  @Test func `nothing of an empty file can be asked for`() {
    #expect(FileRange(Array("bytes=0-".utf8), size: 0) == .unsatisfiable)
    #expect(FileRange(Array("bytes=-5".utf8), size: 0) == .unsatisfiable)
    #expect(FileRange(nil, size: 0) == .whole)
  }

  @Test(
    arguments: [
      ("gzip, br", Precompression.brotli, 1000), ("gzip;q=0.5", .gzip, 500),
      ("*", .zstandard, 1000),
      ("*;q=0.1, br;q=0", .brotli, 0), ("identity", .gzip, 0), ("x-gzip", .gzip, 1000),
      ("GZIP;Q=1.0", .gzip, 1000), ("br;q=0.001", .brotli, 1), ("br;q=2", .brotli, 1000),
      ("br;q=x", .brotli, 0), ("br;q=", .brotli, 0), ("zstd ; q=0.9", .zstandard, 900),
    ])
  func `a coding's weight`(value: String, coding: Precompression, weight: Int) {
    #expect(AcceptedCodings(Array(value.utf8)).weight(of: coding) == weight)
  }
}
