// The suite's cc-parse: how Cache-Control is read (RFC 9111 §5.2, §4.2.1).
//
// Most only look. Where directives contradict each other or are malformed, RFC 9111 §4.2.1 lets a
// cache take the first one or take the response for stale, and encourages the latter: Weir does the
// latter.

import Testing

@Suite(.serialized) struct DirectiveSyntaxConformance {
  static let rows: [ConformanceCase] = [
    // Looks: two lifetimes that differ are no lifetime (§4.2.1).
    .notReused(
      "freshness-max-age-two-fresh-stale-sameline", .uriMiss,
      ["Cache-Control: max-age=1800, max-age=1"]),
    .notReused(
      "freshness-max-age-two-fresh-stale-sepline", .uriMiss,
      ["Cache-Control: max-age=1800", "Cache-Control: max-age=1"]),
    .notReused(
      "freshness-max-age-two-stale-fresh-sameline", .uriMiss,
      ["Cache-Control: max-age=1, max-age=1800"]),
    .notReused(
      "freshness-max-age-two-stale-fresh-sepline", .uriMiss,
      ["Cache-Control: max-age=1", "Cache-Control: max-age=1800"]),
    // A look: both forms of an argument are read (§5.2).
    .reused("freshness-max-age-quoted", ["Cache-Control: max-age=\"3600\""]),
    .notReused(
      "freshness-max-age-ignore-quoted", .stale,
      ["Cache-Control: extension=\"max-age=3600\", max-age=1"]),
    .notReused(
      "freshness-max-age-ignore-quoted-rev", .stale,
      ["Cache-Control: max-age=1, extension=\"max-age=3600\""]),
    // Looks: the grammar has no space there.
    .notReused(
      "freshness-max-age-space-before-equals", .uriMiss, ["Cache-Control: max-age =3600"]),
    .notReused("freshness-max-age-space-after-equals", .uriMiss, ["Cache-Control: max-age= 3600"]),
    .reused("freshness-max-age-leading-zero", ["Cache-Control: max-age=003600"]),
    .notReused("freshness-max-age-single-quoted", .uriMiss, ["Cache-Control: max-age='3600'"]),
    // Looks: no delta-seconds (§1.2.2).
    .notReused("freshness-max-age-decimal-zero", .uriMiss, ["Cache-Control: max-age=3600.0"]),
    .notReused("freshness-max-age-decimal-five", .uriMiss, ["Cache-Control: max-age=3600.5"]),
    .notReused("freshness-max-age-a100", .uriMiss, ["Cache-Control: max-age=a3600"]),
    .notReused("freshness-max-age-100a", .uriMiss, ["Cache-Control: max-age=3600a"]),
  ]

  @Test(arguments: rows)
  func `directives are read by their grammar`(row: ConformanceCase) async throws {
    try await row.run()
  }
}
