import Bytes
import Testing

@testable import HTTPMessage

@Suite("RFC 9110 5.6.7: HTTP-date") struct HTTPDateTests {
  /// 2026-11-21 12:00:00.
  let now: Int64 = 1_795_262_400

  func parse(_ text: String) -> Int64? { text.withView { HTTPDate.parse($0, now: now) } }

  func format(_ seconds: Int64) -> String {
    var buffer = ByteBuffer()
    HTTPDate.append(seconds, to: &buffer)
    return buffer.view.string
  }

  @Test(arguments: [
    "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
  ])
  func `the three formats of the RFC's example are the same time`(text: String) {
    #expect(parse(text) == 784_111_777)
  }

  @Test(
    arguments: [
      ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
      ("Wed, 31 Dec 1969 23:59:59 GMT", -1),
      ("Tue, 29 Feb 2000 23:59:59 GMT", 951_868_799),
      ("Sat, 01 Jan 0000 00:00:00 GMT", -62_167_219_200),
      ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799),
    ] as [(String, Int64)])
  func `dates are written as they are read`(text: String, seconds: Int64) {
    #expect(parse(text) == seconds)
    #expect(format(seconds) == text)
  }

  @Test func `times beyond four-digit years are written as their first or last second`() {
    #expect(format(.min) == "Sat, 01 Jan 0000 00:00:00 GMT")
    #expect(format(.max) == "Fri, 31 Dec 9999 23:59:59 GMT")
  }

  @Test func `every day of four hundred years and more is read back`() {
    for day in stride(from: Int64(-200_000), to: 200_000, by: 1) {
      #expect(CivilDate(daysSinceEpoch: day).daysSinceEpoch == day)
    }
    for day in stride(from: Int64(-700_000), to: 2_900_000, by: 997) {
      let seconds = day * 86_400 + 43_200
      #expect(parse(format(seconds)) == seconds)
    }
  }

  @Test func `a leap second is the first of the next minute`() {
    #expect(parse("Sat, 31 Dec 2016 23:59:60 GMT") == parse("Sun, 01 Jan 2017 00:00:00 GMT"))
  }

  @Test func `the name of the day need not be that of the date`() {
    #expect(parse("Mon, 26 Jul 1997 05:00:00 GMT") == parse("Sat, 26 Jul 1997 05:00:00 GMT"))
  }

  @Test(arguments: [
    ("Saturday, 21-Nov-76 12:00:00 GMT", "Sat, 21 Nov 2076 12:00:00 GMT"),
    ("Saturday, 21-Nov-76 12:00:01 GMT", "Sat, 21 Nov 1976 12:00:01 GMT"),
    ("Saturday, 01-Jan-77 00:00:00 GMT", "Sat, 01 Jan 1977 00:00:00 GMT"),
    ("Saturday, 01-Jan-00 00:00:00 GMT", "Sat, 01 Jan 2000 00:00:00 GMT"),
  ])
  func `two digits mean the latest year not more than fifty years ahead`(
    short: String, long: String
  ) {
    #expect(parse(short) == parse(long))
  }

  @Test func `a two-digit year is read whatever the clock says`() {
    "Tuesday, 29-Feb-00 00:00:00 GMT".withView {
      #expect(HTTPDate.parse($0, now: 2_871_763_200) == 951_782_400)  // 2061: 2100 has no leap day.
      #expect(HTTPDate.parse($0, now: .max) != 0)
      #expect(HTTPDate.parse($0, now: .min) != 0)
    }
  }

  @Test(arguments: [
    "Sun, 06 Nov 1994 08:49:37 gmt", "sun, 06 Nov 1994 08:49:37 GMT",
    "SUN, 06 NOV 1994 08:49:37 GMT", "sunday, 06-nov-94 08:49:37 Gmt", "sun nov  6 08:49:37 1994",
  ])
  func `RFC 9111 section 4.2: letters may have either case`(text: String) {
    #expect(parse(text) == 784_111_777)
  }

  @Test(arguments: [
    "", "0", "-1", "now", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 UTC",
    "Sun, 6 Nov 1994 08:49:37 GMT",
    "Sun, 31 Apr 1994 08:49:37 GMT",
    "Sun, 29 Feb 1900 08:49:37 GMT", "Sun, 29 Feb 2023 08:49:37 GMT",
    "Sun, 00 Nov 1994 08:49:37 GMT",
    "Sun, 06 Nov 1994 24:00:00 GMT", "Sun, 06 Nov 1994 08:60:37 GMT",
    "Sun, 06 Nov 1994 08:49:61 GMT",
    "Sun, 06 Nov 1994 08:49:37 GMT ", " Sun, 06 Nov 1994 08:49:37 GMT",
    "Sun, 06-Nov-1994 08:49:37 GMT", "Sun, 06-Nov-94 08:49:37 GMT", "Sun, +6 Nov 1994 08:49:37 GMT",
    "Sunday, 31-Feb-94 08:49:37 GMT", "Someday, 06-Nov-94 08:49:37 GMT",
    "Sun Nov 06 08:49:37 199", "Sun Nov   6 08:49:37 1994", "Sun Nov  6 8:49:37 1994 ",
  ])
  func `what is no HTTP-date is refused`(text: String) {
    #expect(parse(text) == nil)
  }
}
