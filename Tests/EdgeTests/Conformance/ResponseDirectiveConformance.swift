// The suite's cc-response: directives of the origin that are not about lifetimes (RFC 9111 §5.2.2).
//
// Left out, since they are for browsers:
//   cc-resp-private-private   a private cache's freedom
//   cc-resp-immutable-fresh, cc-resp-immutable-stale   what a reload does (RFC 8246)

import Testing

@Suite(.serialized) struct ResponseDirectiveConformance {
  private static let lasting = [.expires(10_000), .date(0)] as [String]

  static let rows: [ConformanceCase] = [
    .notReused(
      "cc-resp-private-shared", .uriMiss, ["Cache-Control: private, max-age=3600"], after: 0),
    .notReused("cc-resp-no-store", .uriMiss, ["Cache-Control: no-store"], after: 0),
    .notReused(
      "cc-resp-no-store-case-insensitive", .uriMiss, ["Cache-Control: No-StOrE"], after: 0),
    .notReused(
      "cc-resp-no-store-fresh", .uriMiss, ["Cache-Control: max-age=10000, no-store"] + lasting,
      after: 0),
    // Looks: while what is stored is fresh, the origin is not asked, and its newer answer not
    // known.
    ConformanceCase(
      "cc-resp-no-store-old-new",
      CacheStep(
        .origin(.uriMiss), reply: ["Cache-Control: max-age=10000", "A: 1"] + lasting),
      CacheStep(.store, after: 3, reply: ["Cache-Control: no-store", "A: 2"], has: ["A: 1"]),
      CacheStep(.store, after: 3, has: ["A: 1"])),
    ConformanceCase(
      "cc-resp-no-store-old-max-age",
      CacheStep(
        .origin(.uriMiss), reply: ["Cache-Control: max-age=10000", "A: 1"] + lasting),
      CacheStep(
        .store, after: 3, reply: ["Cache-Control: no-store, max-age=0", "A: 2"], has: ["A: 1"]),
      CacheStep(.store, after: 3, has: ["A: 1"])),
    .notReused(
      "cc-resp-no-cache", .uriMiss, ["Cache-Control: max-age=10000, no-cache"] + lasting, after: 0),
    .notReused(
      "cc-resp-no-cache-case-insensitive", .uriMiss,
      ["Cache-Control: max-age=10000, No-CaChE"] + lasting, after: 0),
    ConformanceCase(
      "cc-resp-no-cache-revalidate",
      CacheStep(.origin(.uriMiss), reply: ["Cache-Control: no-cache", "ETag: \"abcd\""]),
      CacheStep(.validated, asks: ["If-None-Match: \"abcd\""])),
    ConformanceCase(
      "cc-resp-no-cache-revalidate-fresh",
      CacheStep(
        .origin(.uriMiss),
        reply: ["Cache-Control: max-age=10000, no-cache", "ETag: \"abcd\""] + lasting),
      CacheStep(.validated, asks: ["If-None-Match: \"abcd\""])),
    // Looks: fields that are listed are not stored, which is stricter than §5.2.2.4 asks for.
    .reused(
      "headers-omit-headers-listed-in-Cache-Control-no-cache-single",
      ["Cache-Control: no-cache=\"a\"", "a: 1", "b: 2", "Cache-Control: max-age=3600", .date(0)],
      has: ["b: 2"], lacks: ["a"]),
    .reused(
      "headers-omit-headers-listed-in-Cache-Control-no-cache",
      [
        "Cache-Control: no-cache=\"a, b\"", "a: 1", "b: 2", "c: 3", "Cache-Control: max-age=3600",
        .date(0),
      ], has: ["c: 3"], lacks: ["a", "b"]),
    .reused(
      "cc-resp-must-revalidate-fresh",
      ["Cache-Control: max-age=10000, must-revalidate", "ETag: \"abcd\""], after: 0),
    ConformanceCase(
      "cc-resp-must-revalidate-stale",
      CacheStep(
        .origin(.uriMiss), reply: ["Cache-Control: max-age=2, must-revalidate", "ETag: \"abcd\""]),
      CacheStep(.store),
      CacheStep(.validated, after: 3, asks: ["If-None-Match: \"abcd\""])),
  ]

  @Test(arguments: rows)
  func `directives of the origin are followed`(row: ConformanceCase) async throws {
    try await row.run()
  }
}
