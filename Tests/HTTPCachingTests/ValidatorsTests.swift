import Bytes
import HTTPCaching
import HTTPMessage
import Testing

@Suite struct `RFC 9110 section 8.8, validators` {
  @Test(arguments: [
    ("\"a\"", true), ("\"\"", true), ("W/\"a\"", false), ("a", false), ("\"", false), ("", false),
    ("\"a", false), ("\"a\"b\"", false), ("w/\"a\"", false), ("\"a\\\"", true),
  ]) func `strong tags are quoted and not marked`(etag: String, isStrong: Bool) {
    #expect(Validators.isStrong(etag: view(etag)) == isStrong)
  }

  @Test(arguments: [
    ("W/\"1\"", "W/\"1\"", false, true), ("W/\"1\"", "W/\"2\"", false, false),
    ("W/\"1\"", "\"1\"", false, true), ("\"1\"", "\"1\"", true, true),
  ]) func `section 8.8.3.2: the example's comparisons`(
    left: String, right: String, strongly: Bool, weakly: Bool
  ) {
    #expect(Validators.matchStrongly(view(left), view(right)) == strongly)
    #expect(Validators.matchWeakly(view(left), view(right)) == weakly)
  }

  @Test func `are found in stored lines`() {
    let lines = view("x: etag: 1\r\netag: \"a\"\r\nlast-modified:  \(t0Date) \r\n")
    #expect(Validators.etag(of: lines).map { lines[$0].string } == "\"a\"")
    let date = Validators.lastModified(of: lines).map { lines[$0] }
    #expect(date?.string == t0Date)
    #expect(date.flatMap { Validators.seconds($0, now: t0) } == t0 / 1000)
    #expect(Validators.etag(of: view("etag:\r\n")) == nil)
    #expect(Validators.etag(of: view("")) == nil)
    #expect(Validators.etag(of: view("no colon\netag: 1")).map { $0.count } == 1)
  }

  @Test func `make conditions`() {
    #expect(
      written {
        Validators.appendConditions(etag: view("W/\"a\""), lastModified: view(t0Date), to: &$0)
      } == "if-none-match: W/\"a\"\r\nif-modified-since: \(t0Date)\r\n")
    #expect(written { Validators.appendConditions(etag: nil, lastModified: nil, to: &$0) } == "")
  }
}

@Suite struct `RFC 9111 section 4.3.4, which stored response a 304 means` {
  @Test(
    arguments: [
      // fields of the 304, the stored ETag and Last-Modified, whether it is that one
      (["ETag: \"a\""], "\"a\"", nil, true),
      (["ETag: \"a\""], "\"b\"", nil, false),
      (["ETag: \"a\""], "W/\"a\"", nil, false),
      (["ETag: \"a\""], nil, t0Date, false),
      (["ETag: \"a\"", "Last-Modified: Sun, 31 Dec 2023 00:00:00 GMT"], "\"a\"", t0Date, true),
      (["ETag: \"a\"", "Last-Modified: \(t0Date)"], "\"b\"", t0Date, false),
      (["ETag: W/\"a\""], "W/\"a\"", nil, true),
      (["ETag: W/\"a\""], "\"a\"", nil, true),
      (["ETag: W/\"a\""], "W/\"b\"", nil, false),
      (["ETag: W/\"a\"", "Last-Modified: \(t0Date)"], nil, t0Date, true),
      (["Last-Modified: \(t0Date)"], nil, t0Date, true),
      (["Last-Modified: \(t0Date)"], "\"a\"", t0Date, true),
      (["Last-Modified: Sun, 31 Dec 2023 00:00:00 GMT"], nil, t0Date, false),
      (["Last-Modified: \(t0Date)"], "\"a\"", nil, true),
      (["Last-Modified: \(t0Date)"], nil, nil, false),
      ([], "\"a\"", t0Date, true), ([], nil, nil, true),
    ] as [([String], String?, String?, Bool)]) func `is decided by validators`(
      lines: [String], etag: String?, lastModified: String?, expected: Bool
    )
  {
    let selects = Validators.selects(
      response(304, lines), storedETag: etag.map { view($0) },
      storedLastModified: lastModified.map { view($0) })
    #expect(selects == expected)
  }
}
