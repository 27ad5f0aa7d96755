import Bytes
import HTTPCaching
import HTTPMessage
import Testing

private func directives(_ lines: String...) -> RequestDirectives {
  RequestDirectives(request(.get, lines))
}

@Suite struct `RFC 9111 section 5.2.1, request directives` {
  @Test func `without Cache-Control and Pragma there are none`() {
    #expect(directives("Host: a", "Accept: */*").isEmpty)
    #expect(directives() == RequestDirectives())
    #expect(!directives("Cache-Control: foo").isEmpty)
    #expect(!directives("Pragma: foo").isEmpty)
  }

  @Test func `each is read, in any case`() {
    let all = directives(
      "Cache-Control: No-Cache, NO-STORE, only-if-cached, max-age=5",
      "Cache-Control: max-stale=6, min-fresh=\"7\", no-transform")
    #expect(all.noCache && all.noStore && all.onlyIfCached && all.noTransform)
    #expect(all.maxAge == 5000 && all.minFresh == 7000 && all.maxStale == .limit(6000))
  }

  @Test(
    arguments: [
      ("max-stale", .any), ("max-stale=10", .limit(10_000)), ("max-stale=\"10\"", .limit(10_000)),
      ("max-stale=x", .none), ("max-stale=", .none), ("max-stale, max-stale=3", .limit(3000)),
      ("max-stale=3, max-stale", .limit(3000)), ("max-stale=3, max-stale=2", .limit(2000)),
      ("max-age=3", .none),
    ] as [(String, RequestDirectives.MaxStale)]) func `max-stale has a value or none`(
      line: String, expected: RequestDirectives.MaxStale
    )
  {
    #expect(directives("Cache-Control: \(line)").maxStale == expected)
  }

  @Test(
    arguments: [
      ("max-age=0", 0), ("max-age=5, max-age=3", 3000), ("max-age=x", 0), ("max-age", 0),
      ("max-age=99999999999999999999", 2_147_483_648_000), ("min-fresh=3", nil),
    ] as [(String, Int64?)]) func `the strictest max-age counts`(line: String, expected: Int64?)
  {
    #expect(directives("Cache-Control: \(line)").maxAge == expected)
  }

  @Test(
    arguments: [
      ("min-fresh=5, min-fresh=9", 9000), ("min-fresh=x", nil), ("min-fresh", nil),
      ("min-fresh=x, min-fresh=1", 1000),
    ] as [(String, Int64?)]) func `the strictest min-fresh counts`(line: String, expected: Int64?)
  {
    #expect(directives("Cache-Control: \(line)").minFresh == expected)
  }

  @Test(arguments: [
    (["Pragma: no-cache"], true), (["Pragma: No-Cache"], true), (["Pragma: a=b, no-cache"], true),
    (["Pragma: foo", "Pragma: no-cache"], true), (["Pragma: no-cachex"], false),
    (["Pragma: x=\"no-cache\""], false),
    (["Pragma: no-cache", "Cache-Control: max-age=5"], false),
    (["Cache-Control: foo", "Pragma: no-cache"], false),
  ]) func `section 5.4: Pragma counts without Cache-Control`(lines: [String], noCache: Bool) {
    #expect(RequestDirectives(request(.get, lines)).noCache == noCache)
  }
}
