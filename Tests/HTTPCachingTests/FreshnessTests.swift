import Bytes
import HTTPCaching
import HTTPMessage
import Testing

private func freshness(
  status: UInt16 = 200, _ lines: [String], requestTime: Int64 = t0, responseTime: Int64 = t0
) -> Freshness {
  let response = response(status, lines)
  return Freshness.of(
    response: response, directives: ResponseDirectives(response), requestTime: requestTime,
    responseTime: responseTime)
}

private let date = "Date: \(t0Date)"

@Suite struct `RFC 9111 section 4.2.1, freshness lifetime` {
  @Test(
    arguments: [
      (["Cache-Control: s-maxage=10, max-age=20", "Expires: Mon, 01 Jan 2024 00:00:30 GMT"], 10),
      (["Cache-Control: max-age=20", "Expires: Mon, 01 Jan 2024 00:00:30 GMT"], 20),
      (["Cache-Control: public", "Expires: Mon, 01 Jan 2024 00:00:30 GMT"], 30),
      (["Expires: Mon, 01 Jan 2024 00:00:30 GMT"], 30),
      (["Expires: Monday, 01-Jan-24 00:00:30 GMT"], 30),
      (["Expires: Mon Jan  1 00:00:30 2024"], 30),
      (["Expires: MON, 01 JAN 2024 00:00:30 gmt"], 30),
      (["Cache-Control: s-maxage=0, max-age=20"], 0),
      (["Cache-Control: max-age=x", "Expires: Mon, 01 Jan 2024 00:00:30 GMT"], 0),
      (["Cache-Control: s-maxage=x, max-age=20"], 0),
      (["Cache-Control: s-maxage=10, max-age=x"], 0),
      ([], 0),
    ] as [([String], Int64)]) func `the first rule that matches counts`(
      lines: [String], seconds: Int64
    )
  {
    #expect(freshness([date] + lines).lifetime == seconds * 1000)
  }

  @Test(arguments: [
    "0", "-1", "", "now", "Mon, 01 Jan 2024 00:01:00 UTC", "Mon, 01 Jan 2024 00:01:00",
    "Mon, 01 Jan 24 00:01:00 GMT", "Mon 01 Jan 2024 00:01:00 GMT",
    "Mon, 1 Jan 2024 00:01:00 GMT", "Mon, 01  Jan  2024 00:01:00 GMT",
    "Mon, 01-Jan-2024 00:01:00 GMT", "Mon, 01 Jan 2024 00.01.00 GMT",
    "Mon, 01 Jan 2024 0:01:00 GMT", "Mon, 01 Jan 2024 00:01:00 +0000",
    "Mon, 32 Jan 2024 00:01:00 GMT", "Mon, 00 Jan 2024 00:01:00 GMT",
    "Mon, 30 Feb 2024 00:01:00 GMT", "Mon, 01 Foo 2024 00:01:00 GMT",
    "Mon, 01 Jan 2024 24:00:00 GMT", "Mon, 01 Jan 2024 00:60:00 GMT",
    "Mon, 01 Jan 2024 00:00:61 GMT", "Xxx, 01 Jan 2024 00:01:00 GMT",
    "Mon, 01 Jan 2024 00:01:00 GMT, Mon, 01 Jan 2024 00:01:00 GMT",
    "Mon, 01 Jan 2024 00:01:00 GMT;", "Sunday, 01-Jan-2024 00:00:30 GMT",
  ]) func `section 5.3: an invalid Expires is in the past`(value: String) {
    let it = freshness([date, "Expires: \(value)", "Last-Modified: Mon, 01 Jan 2020 00:00:00 GMT"])
    #expect(it.lifetime == 0 && it.flags == [])
  }

  @Test func `repeated Expires must be the same`() {
    let soon = "Expires: Mon, 01 Jan 2024 00:01:00 GMT"
    #expect(freshness([date, soon, soon]).lifetime == 60_000)
    #expect(freshness([date, soon, "Expires: Mon, 01 Jan 2024 00:02:00 GMT"]).lifetime == 0)
    #expect(freshness([date, soon, "Expires: 0"]).lifetime == 0)
  }

  @Test func `Expires counts from Date, and from receipt without it`() {
    let expires = "Expires: Mon, 01 Jan 2024 01:00:00 GMT"
    #expect(freshness(["Date: Sun, 31 Dec 2023 23:00:00 GMT", expires]).lifetime == 7_200_000)
    #expect(freshness([expires]).lifetime == 3_600_000)
    #expect(freshness(["Date: today", expires]).lifetime == 3_600_000)
    #expect(freshness(["Date: Mon, 01 Jan 2024 02:00:00 GMT", expires]).lifetime == 0)
  }

  @Test(
    arguments: [
      (200, "", "Sun, 31 Dec 2023 23:50:00 GMT", 60),
      (404, "", "Sun, 31 Dec 2023 23:50:00 GMT", 60),
      (200, "", "Sun, 31 Dec 2023 00:00:00 GMT", 8640),
      (200, "", "Fri, 01 Jan 2010 00:00:00 GMT", 86_400),
      (200, "", "Mon, 01 Jan 2024 00:00:00 GMT", 0),
      (200, "", "Tue, 02 Jan 2024 00:00:00 GMT", 0),
      (200, "", "yesterday", 0),
      (500, "", "Sun, 31 Dec 2023 23:50:00 GMT", 0),
      (302, "", "Sun, 31 Dec 2023 23:50:00 GMT", 0),
      (302, "public", "Sun, 31 Dec 2023 23:50:00 GMT", 60),
      (599, "public", "Sun, 31 Dec 2023 23:50:00 GMT", 60),
    ] as [(UInt16, String, String, Int64)])
  func `section 4.2.2: a tenth of the time since it changed`(
    status: UInt16, directives: String, modified: String, seconds: Int64
  ) {
    let it = freshness(
      status: status, [date, "Cache-Control: \(directives)", "Last-Modified: \(modified)"])
    #expect(it.lifetime == seconds * 1000)
    #expect(it.flags.contains(.heuristic) == (seconds > 0))
  }

  @Test func `no heuristic where there is an explicit lifetime`() {
    let modified = "Last-Modified: Mon, 01 Jan 2020 00:00:00 GMT"
    #expect(freshness([date, modified, "Cache-Control: max-age=0"]).lifetime == 0)
    #expect(freshness([date, modified, "Expires: 0"]).lifetime == 0)
  }
}

@Suite struct `RFC 9111 section 4.2.3, age` {
  @Test(
    arguments: [
      // Date, Age, seconds from request to response, the corrected initial age
      (t0Date, "0", 0, 0),
      (t0Date, "", 3, 3),
      (t0Date, "10", 0, 10),
      (t0Date, "10", 3, 13),
      ("Sun, 31 Dec 2023 23:59:00 GMT", "0", 0, 60),
      ("Sun, 31 Dec 2023 23:59:00 GMT", "50", 5, 60),
      ("Sun, 31 Dec 2023 23:59:00 GMT", "50", 15, 65),
      ("Mon, 01 Jan 2024 00:10:00 GMT", "0", 0, 0),
      ("Mon, 01 Jan 2024 00:10:00 GMT", "7", 0, 7),
      ("garbage", "7", 1, 8),
      ("", "", 0, 0),
    ] as [(String, String, Int64, Int64)])
  func `the corrected initial age is the greater of the two`(
    date: String, age: String, delay: Int64, expected: Int64
  ) {
    var lines: [String] = []
    if !date.isEmpty { lines.append("Date: \(date)") }
    if !age.isEmpty { lines.append("Age: \(age)") }
    let it = freshness(lines, requestTime: t0 - delay * 1000)
    #expect(it.correctedInitialAge == expected * 1000)
  }

  @Test(
    arguments: [
      (["abc"], 0), (["-1"], 0), (["7200.0"], 0), (["7200,0"], 7200), (["0,7200"], 0),
      (["7200", "0"], 7200), (["0", "7200"], 0), (["x, 5"], 0), ([" , 5"], 5),
      (["99999999999999999999999"], 2_147_483_648), (["2147483649"], 2_147_483_648),
    ] as [([String], Int64)]) func `section 5.1: the first Age counts, an invalid one does not`(
      values: [String], expected: Int64
    )
  {
    #expect(
      freshness(values.map { "Age: \($0)" }).correctedInitialAge == expected * 1000)
  }

  @Test func `apparent age is in whole seconds, as Date is`() {
    #expect(
      freshness([date], requestTime: t0 + 999, responseTime: t0 + 999).correctedInitialAge == 0)
    #expect(
      freshness([date], requestTime: t0 + 1000, responseTime: t0 + 1000).correctedInitialAge == 1000
    )
  }

  @Test func `the current age adds the resident time`() {
    let it = freshness([date, "Age: 10", "Cache-Control: max-age=30"])
    #expect(it.currentAge(now: t0) == 10_000)
    #expect(it.currentAge(now: t0 + 5500) == 15_500)
    #expect(it.remainingLifetime(now: t0 + 5500) == 14_500)
    #expect(it.ttlSeconds(now: t0 + 5500) == 14)
    #expect(it.ttlSeconds(now: t0 + 20_001) == -1)
  }

  @Test func `the clock may go back`() {
    let it = freshness([date, "Age: 10"], requestTime: t0 + 9000)
    #expect(it.correctedInitialAge == 10_000)
    #expect(it.currentAge(now: t0 - 3_600_000) == 10_000)
    #expect(it.currentAge(now: .min) == 10_000)
    #expect(it.currentAge(now: .max) > 0)
  }

  @Test func `a 304's own Age counts for what it freshened`() {
    let merged = response(200, date, "Cache-Control: max-age=60")
    let it = Freshness.of(
      response: merged, directives: ResponseDirectives(merged), requestTime: t0, responseTime: t0,
      ageSource: response(304, "Age: 20"))
    #expect(it.correctedInitialAge == 20_000)
  }
}

@Suite struct `What is kept with a stored response` {
  @Test(
    arguments: [
      ("max-age=1", []), ("max-age=1, no-cache", .noCache),
      ("max-age=1, no-cache=\"x\"", []),
      ("max-age=1, must-revalidate", .mustRevalidate),
      ("max-age=1, proxy-revalidate", .mustRevalidate), ("s-maxage=1", .mustRevalidate),
      ("max-age=x", .mustRevalidate), ("max-age=1, immutable", .immutable),
    ] as [(String, Freshness.Flags)]) func `flags`(line: String, expected: Freshness.Flags)
  {
    #expect(freshness(["Cache-Control: \(line)"]).flags == expected)
  }

  @Test(
    arguments: [
      ("max-age=1", 0, -1),
      ("max-age=1, stale-while-revalidate=2, stale-if-error=3", 2000, 3000),
      ("s-maxage=1, stale-while-revalidate=2, stale-if-error=3", 0, -1),
      ("max-age=1, stale-while-revalidate=2, stale-if-error=3, must-revalidate", 0, -1),
      ("max-age=1, stale-while-revalidate=2, stale-if-error=3, proxy-revalidate", 0, -1),
      ("max-age=1, stale-while-revalidate=2, stale-if-error=3, no-cache", 0, -1),
      ("max-age=x, stale-while-revalidate=2, stale-if-error=3", 0, -1),
    ] as [(String, Int64, Int64)]) func `RFC 5861: windows, unless the origin forbids staleness`(
      line: String, revalidate: Int64, error: Int64
    )
  {
    let it = freshness(["Cache-Control: \(line)"])
    #expect(it.staleWhileRevalidate == revalidate && it.staleIfError == error)
  }
}
