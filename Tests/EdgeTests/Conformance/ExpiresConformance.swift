// The suite's expires and expires-parse: lifetimes from Expires (RFC 9111 §4.2.1, §5.3), and how it
// is read. An Expires that is no HTTP-date is in the past; GMT is the only zone (§5.3, §4.2).

import Testing

@Suite(.serialized) struct ExpiresConformance {
  static let month = 30 * 24 * 60 * 60

  static let lifetimes: [ConformanceCase] = [
    .reused("freshness-expires-future", [.expires(month), .date(0)]),
    .notReused("freshness-expires-past", .uriMiss, [.expires(-month), .date(0)]),
    .notReused("freshness-expires-present", .uriMiss, [.expires(0), .date(0)], after: 0),
    .notReused("freshness-expires-old-date", .uriMiss, [.expires(300), .date(400)]),
    .notReused("freshness-expires-invalid", .uriMiss, ["Expires: 0", .date(0)]),
    .reused(
      "freshness-expires-invalid-date", ["Date: foo", .expires(10)], after: 0,
      has: ["Date: \(String.at(0))"]),
    .notReused(
      "freshness-expires-age-slow-date", .uriMiss, [.date(-10), .expires(10), "Age: 25"], after: 0),
    .notReused(
      "freshness-expires-age-fast-date", .uriMiss, [.date(10), .expires(20), "Age: 15"], after: 0),
  ]

  private static func reused(_ id: String, _ expires: String) -> ConformanceCase {
    .reused(id, ["Expires: \(expires)", .date(0)])
  }

  private static func notReused(_ id: String, _ expires: String...) -> ConformanceCase {
    .notReused(id, .uriMiss, expires.map { "Expires: \($0)" } + [.date(0)])
  }

  static let syntax: [ConformanceCase] = [
    reused("freshness-expires-32bit", "Tue, 19 Jan 2038 14:14:08 GMT"),
    reused("freshness-expires-far-future", "Sun, 21 Nov 2286 04:46:39 GMT"),
    reused("freshness-expires-rfc850", "Thursday, 18-Aug-50 02:01:18 GMT"),
    reused("freshness-expires-ansi-c", "Thu Aug  8 02:01:18 2050"),
    reused("freshness-expires-wrong-case-weekday", "THU, 18 Aug 2050 02:01:18 GMT"),
    reused("freshness-expires-wrong-case-month", "Thu, 18 AUG 2050 02:01:18 GMT"),
    reused("freshness-expires-wrong-case-tz", "Thu, 18 Aug 2050 02:01:18 gMT"),
    notReused("freshness-expires-invalid-utc", "Thu, 18 Aug 2050 02:01:18 UTC"),
    notReused("freshness-expires-invalid-aest", "Thu, 18 Aug 2050 02:01:18 AEST"),
    notReused("freshness-expires-invalid-2-digit-year", "Thu, 18 Aug 50 02:01:18 GMT"),
    notReused("freshness-expires-invalid-no-comma", "Thu 18 Aug 2050 02:01:18 GMT"),
    notReused("freshness-expires-invalid-multiple-spaces", "Thu, 18  Aug  2050 02:01:18 GMT"),
    notReused("freshness-expires-invalid-date-dashes", "Thu, 18-Aug-2050 02:01:18 GMT"),
    notReused("freshness-expires-invalid-time-periods", "Thu, 18 Aug 2050 02.01.18 GMT"),
    notReused("freshness-expires-invalid-1-digit-hour", "Thu, 18 Aug 2050 2:01:18 GMT"),
    notReused(
      "freshness-expires-invalid-multiple-lines", "Thu, 18 Aug 2050 2:01:18 GMT",
      "Thu, 18 Aug 2050 2:01:19 GMT"),
  ]

  @Test(arguments: lifetimes + syntax)
  func `lifetimes come from Expires`(row: ConformanceCase) async throws { try await row.run() }
}
