import Bytes
import HTTPCaching
import HTTPMessage
import Testing

/// What is expected of the directives of the given Cache-Control lines, in short.
private func summary(_ lines: [String]) -> String {
  let it = ResponseDirectives(response(200, lines.map { "Cache-Control: \($0)" }))
  var words: [String] = []
  func add(_ holds: Bool, _ word: String) { if holds { words.append(word) } }
  func add(_ value: Int64?, _ word: String) { if let value { words.append("\(word)=\(value)") } }
  add(it.noStore, "no-store")
  add(it.noCache, "no-cache")
  add(it.noCacheFields, "no-cache-fields")
  add(it.isPrivate, "private")
  add(it.privateFields, "private-fields")
  add(it.isPublic, "public")
  add(it.maxAge, "max-age")
  add(it.sMaxAge, "s-maxage")
  add(it.mustRevalidate, "must-revalidate")
  add(it.proxyRevalidate, "proxy-revalidate")
  add(it.mustUnderstand, "must-understand")
  add(it.noTransform, "no-transform")
  add(it.immutable, "immutable")
  add(it.staleWhileRevalidate, "swr")
  add(it.staleIfError, "sie")
  add(it.hasInvalidLifetime, "invalid")
  add(it.permitsAuthorization, "authorized")
  return words.joined(separator: " ")
}

@Suite struct `RFC 9111 section 5.2.2, response directives` {
  @Test(arguments: [
    ("", ""),
    (",, ,", ""),
    ("no-store", "no-store"),
    ("no-cache", "no-cache"),
    ("private", "private"),
    ("public", "public authorized"),
    ("max-age=60", "max-age=60000"),
    ("s-maxage=60", "s-maxage=60000 authorized"),
    ("must-revalidate", "must-revalidate authorized"),
    ("proxy-revalidate", "proxy-revalidate"),
    ("must-understand", "must-understand"),
    ("no-transform", "no-transform"),
    ("immutable", "immutable"),
    ("stale-while-revalidate=5", "swr=5000"),
    ("stale-if-error=7", "sie=7000"),
    ("max-age=60, s-maxage=30, public", "public max-age=60000 s-maxage=30000 authorized"),
    ("max-age=1,no-store,no-cache", "no-store no-cache max-age=1000"),
    (" \t max-age=60 \t,\t public ", "public max-age=60000 authorized"),
  ]) func `each is read`(line: String, expected: String) {
    #expect(summary([line]) == expected)
  }

  @Test(arguments: [
    ("MAX-AGE=60", "max-age=60000"),
    ("Max-Age=60, Public, No-Store", "no-store public max-age=60000 authorized"),
    ("PRIVATE=\"X\"", "private-fields"),
    ("S-MaxAge=1", "s-maxage=1000 authorized"),
  ]) func `names are read in any case`(line: String, expected: String) {
    #expect(summary([line]) == expected)
  }

  @Test(arguments: [
    ("max-age=\"60\"", "max-age=60000"),
    ("s-maxage=\"60\"", "s-maxage=60000 authorized"),
    ("max-age='60'", "max-age=0 invalid"),
    ("max-age=\"6\\0\"", "max-age=0 invalid"),
    ("max-age=\" 60\"", "max-age=0 invalid"),
    ("max-age=\"\"", "max-age=0 invalid"),
    ("max-age=003600", "max-age=3600000"),
  ]) func `an argument may be quoted`(line: String, expected: String) {
    #expect(summary([line]) == expected)
  }

  @Test(arguments: [
    "max-age", "max-age=", "max-age=,", "max-age=-1", "max-age=+1", "max-age=1.5", "max-age=a1",
    "max-age=1a", "max-age =60", "max-age= 60", "max-age=60 60", "max-age=0x10", "max-age=60;",
    "max-age==60", "max-age=60, max-age=30", "max-age=30, max-age=60", "max-age=60, max-age",
    "max-age, max-age=60", "max-age=60; public", "max-age=0, max-age=x, max-age=60",
  ]) func `an invalid lifetime is none`(line: String) {
    #expect(summary([line]) == "max-age=0 invalid")
  }

  @Test(
    arguments: [
      ("max-age=2147483647", 2_147_483_647_000),
      ("max-age=2147483648", 2_147_483_648_000),
      ("max-age=2147483649", 2_147_483_648_000),
      ("max-age=9223372036854775807", 2_147_483_648_000),
      ("max-age=9223372036854775808", 2_147_483_648_000),
      ("max-age=99999999999999999999999999999999999999999", 2_147_483_648_000),
    ] as [(String, Int64)]) func `section 1.2.2: too great a number is 2 to the 31`(
      line: String, expected: Int64
    )
  {
    #expect(ResponseDirectives(response(200, "Cache-Control: \(line)")).maxAge == expected)
  }

  @Test(arguments: [
    (["max-age=60", "max-age=60"], "max-age=60000"),
    (["max-age=60", "max-age=30"], "max-age=0 invalid"),
    (["max-age=60", "public"], "public max-age=60000 authorized"),
    (["public", "no-store", "private"], "no-store private public authorized"),
    (["", "max-age=5", ""], "max-age=5000"),
    (["s-maxage=5", "s-maxage=6"], "s-maxage=0 invalid authorized"),
    (["s-maxage=x", "max-age=6"], "max-age=6000 s-maxage=0 invalid"),
    (["stale-if-error=5", "stale-if-error=3"], "sie=3000"),
    (["stale-if-error=5", "stale-if-error=x"], "sie=0"),
    (["stale-while-revalidate"], "swr=0"),
  ]) func `several lines are one list`(lines: [String], expected: String) {
    #expect(summary(lines) == expected)
  }

  @Test(arguments: [
    ("no-store=x", "no-store"), ("no-store=\"\"", "no-store"), ("no-store foo", "no-store"),
    ("no-store;", "no-store"), ("no-cache=", "no-cache"), ("no-cache=(", "no-cache"),
    ("private=", "private"), ("private (x", "private"),
    ("must-revalidate=1", "must-revalidate"), ("proxy-revalidate=\"x\"", "proxy-revalidate"),
  ]) func `what restricts is honoured with an argument that it cannot have`(
    line: String, expected: String
  ) {
    #expect(summary([line]) == expected)
  }

  @Test(arguments: ["public=1", "public=\"x\"", "public x", "immutable=1", "must-understand=200"])
  func `what permits is ignored with an argument that it cannot have`(line: String) {
    #expect(summary([line]) == "")
  }

  @Test(arguments: [
    ("no-cache=\"set-cookie\"", "no-cache-fields"),
    ("no-cache=set-cookie", "no-cache-fields"),
    ("no-cache=\"a, b ,c\"", "no-cache-fields"),
    ("private=\"a\"", "private-fields"),
    ("private=\"\"", "private"),
    ("private=\" , \"", "private"),
    ("private=\"a b\"", "private"),
    ("no-cache=\"a\\\"b\"", "no-cache"),
    ("no-cache=\"a\", no-cache", "no-cache no-cache-fields"),
    ("private, private=\"a\"", "private private-fields"),
  ]) func `a list of field names restricts only these`(line: String, expected: String) {
    #expect(summary([line]) == expected)
  }

  @Test(arguments: [
    ("ext=\"max-age=3600\", max-age=1", "max-age=1000"),
    ("max-age=1, ext=\"max-age=3600\"", "max-age=1000"),
    ("ext=\"a\\\", no-store, b\", max-age=1", "max-age=1000"),
    ("ext=\"a\" no-store, max-age=1", "max-age=1000"),
    ("x\"y, no-store, z\"", "no-store"),
    ("=no-store, max-age=1", "max-age=1000"),
    ("\"no-store\", max-age=1", "max-age=1000"),
    ("max-age=1, max-ages=3, xmax-age=4, community=\"UCI\"", "max-age=1000"),
  ]) func `unknown directives and quoted text mean nothing`(line: String, expected: String) {
    #expect(summary([line]) == expected)
  }

  @Test(arguments: [
    "max-age=60, ext=\"no end", "ext=\"", "ext=\"\\", "ext=\"a\\\"", "private=\"a, no-store",
  ]) func `a quote without end may hide anything`(line: String) {
    #expect(ResponseDirectives(response(200, "Cache-Control: \(line)")).noStore)
  }

  @Test func `no field, no directives`() {
    #expect(ResponseDirectives(response(200, "Pragma: no-cache")) == ResponseDirectives())
  }
}
