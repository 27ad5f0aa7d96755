// The suite's cc-freshness: lifetimes from Cache-Control (RFC 9111 §4.2.1).
//
// Left out, since Weir is a shared cache and they are for private ones:
//   freshness-max-age-s-maxage-private, freshness-max-age-s-maxage-private-multiple

import Testing

@Suite(.serialized) struct FreshnessConformance {
  static let rows: [ConformanceCase] = [
    // A look. Neither lifetime nor validator: it could never be reused (§3).
    .notReused("freshness-none", .uriMiss, []),
    .reused("freshness-max-age", ["Cache-Control: max-age=3600"], has: ["Age: 3"]),
    .notReused("freshness-max-age-stale", .stale, .becomesStale),
    .notReused("freshness-max-age-0", .uriMiss, ["Cache-Control: max-age=0"]),
    .reused("freshness-max-age-max-minus-1", ["Cache-Control: max-age=2147483647"]),
    .reused("freshness-max-age-max", ["Cache-Control: max-age=2147483648"]),
    .reused("freshness-max-age-max-plus-1", ["Cache-Control: max-age=2147483649"]),
    .reused("freshness-max-age-max-plus", ["Cache-Control: max-age=99999999999"]),
    .notReused(
      "freshness-max-age-age", .uriMiss,
      [.date(0), "Cache-Control: max-age=3600", "Age: 7200"]),
    // A look. The apparent age counts (§4.2.3).
    .notReused(
      "freshness-max-age-date", .stale, [.date(-7200), "Cache-Control: max-age=3600"]),
    .reused(
      "freshness-max-age-expires", ["Cache-Control: max-age=3600", .expires(-7200), .date(0)]),
    .reused(
      "freshness-max-age-expires-invalid", ["Cache-Control: max-age=3600", "Expires: 0", .date(0)]),
    .notReused(
      "freshness-max-age-0-expires", .uriMiss,
      [.expires(3600), "Cache-Control: max-age=0", .date(0)]),
    .reused("freshness-max-age-extension", ["Cache-Control: foobar, max-age=3600"]),
    .reused("freshness-max-age-case-insenstive", ["Cache-Control: MaX-aGe=3600"]),
    .notReused("freshness-max-age-negative", .uriMiss, ["Cache-Control: max-age=-3600"]),
    .reused("freshness-s-maxage-shared", ["Cache-Control: s-maxage=3600"]),
    .notReused(
      "freshness-max-age-s-maxage-shared-longer", .stale,
      ["Cache-Control: max-age=3600, s-maxage=1"]),
    .notReused(
      "freshness-max-age-s-maxage-shared-longer-reversed", .stale,
      ["Cache-Control: s-maxage=1, max-age=3600"]),
    .notReused(
      "freshness-max-age-s-maxage-shared-longer-multiple", .stale,
      ["Cache-Control: max-age=3600", "Cache-Control: s-maxage=1"]),
    .reused(
      "freshness-max-age-s-maxage-shared-shorter", ["Cache-Control: max-age=1, s-maxage=3600"]),
    .reused(
      "freshness-max-age-s-maxage-shared-shorter-expires",
      [.expires(-10), "Cache-Control: max-age=0, s-maxage=3600"]),
  ]

  @Test(arguments: rows)
  func `lifetimes come from Cache-Control`(row: ConformanceCase) async throws {
    try await row.run()
  }
}
