// The suite's conditional-inm and conditional-lm: conditions of clients, answered from the store
// (RFC 9111 §4.3.2, RFC 9110 §13), and conditions of the node's own (RFC 9111 §4.3.1).

import Testing

@Suite(.serialized) struct ConditionConformance {
  private static func tagged(
    _ id: String, _ tag: String, asked: String, gets status: Int = 304
  ) -> ConformanceCase {
    ConformanceCase(
      id, CacheStep(.origin(.uriMiss), reply: .fresh + ["ETag: \(tag)"]),
      CacheStep(
        .store, ["If-None-Match: \(asked)"], after: 3, gets: status, has: ["ETag: \(tag)"]))
  }

  static let tags: [ConformanceCase] = [
    tagged("conditional-etag-strong-respond", "\"abcdef\"", asked: "\"abcdef\""),
    tagged("conditional-304-etag", "\"abcdef\"", asked: "\"abcdef\""),
    // The suite asks the first only; the others could be passed by looking at the date alone.
    ConformanceCase(
      "conditional-etag-precedence",
      CacheStep(
        .origin(.uriMiss),
        reply: [
          "Cache-Control: max-age=100000", .lastModified(-5000), .date(0), "ETag: \"abcdef\"",
        ]),
      CacheStep(
        .store, ["If-None-Match: \"abcdef\"", "If-Modified-Since: \(String.at(-1))"], after: 3,
        gets: 304),
      CacheStep(
        .store, ["If-None-Match: \"abcdef\"", "If-Modified-Since: \(String.at(-6000))"],
        gets: 304),
      CacheStep(
        .store, ["If-None-Match: \"other\"", "If-Modified-Since: \(String.at(-1))"], gets: 200)),
    tagged(
      "conditional-etag-strong-respond-obs-text", "\"abcdefü\"", asked: "\"abcdefü\""),
    // Looks: the quotes are part of the tag (RFC 9110 §8.8.3). What is malformed matches itself.
    tagged(
      "conditional-etag-quoted-respond-unquoted", "\"abcdef\"", asked: "abcdef", gets: 200),
    tagged("conditional-etag-unquoted-respond-unquoted", "abcdef", asked: "abcdef"),
    tagged("conditional-etag-unquoted-respond-quoted", "abcdef", asked: "\"abcdef\"", gets: 200),
    tagged("conditional-etag-weak-respond", "W/\"abcdef\"", asked: "W/\"abcdef\""),
    tagged("conditional-etag-weak-respond-lowercase", "w/\"abcdef\"", asked: "w/\"abcdef\""),
    tagged("conditional-etag-weak-respond-backslash", "W\\\"abcdef\"", asked: "W\\\"abcdef\""),
    tagged("conditional-etag-weak-respond-omit-slash", "W\"abcdef\"", asked: "W\"abcdef\""),
    tagged(
      "conditional-etag-strong-respond-multiple-first", "\"abcdef\"",
      asked: "\"abcdef\", \"1234\", \"5678\""),
    tagged(
      "conditional-etag-strong-respond-multiple-second", "\"abcdef\"",
      asked: "\"1234\", \"abcdef\", \"5678\""),
    tagged(
      "conditional-etag-strong-respond-multiple-last", "\"abcdef\"",
      asked: "\"1234\", \"5678\", \"abcdef\""),
  ]

  private static func generated(_ id: String, _ tag: String) -> ConformanceCase {
    ConformanceCase(
      id, CacheStep(.origin(.uriMiss), reply: .becomesStale + ["ETag: \(tag)"]),
      CacheStep(.validated, after: 3, has: ["ETag: \(tag)"], asks: ["If-None-Match: \(tag)"]))
  }

  static let ownTags: [ConformanceCase] = [
    ConformanceCase(
      "conditional-etag-vary-headers",
      CacheStep(
        .origin(.uriMiss), ["Abc: 123"],
        reply: [.expires(1), "ETag: \"abcdef\"", .date(0), "Vary: Abc"]),
      CacheStep(
        .validated, ["Abc: 123"], after: 3, asks: ["If-None-Match: \"abcdef\"", "Abc: 123"])),
    // A look: other variants' tags may be sent along (RFC 9111 §4.3.1), and are.
    ConformanceCase(
      "conditional-etag-vary-headers-mismatch",
      CacheStep(
        .origin(.uriMiss), ["Abc: 123"],
        reply: [.expires(10_000), "ETag: \"abcdef\"", .date(0), "Vary: Abc"]),
      CacheStep(
        .origin(.varyMiss), ["Abc: 456"], after: 3,
        asks: ["If-None-Match: \"abcdef\"", "Abc: 456"])),
    generated("conditional-etag-strong-generate", "\"abcdef\""),
    generated("conditional-etag-weak-generate-weak", "W/\"abcdef\""),
    // A look: the origin gets its tag as it gave it.
    generated("conditional-etag-strong-generate-unquoted", "abcdef"),
    // Looks: a miss asks for the whole response, to store it.
    ConformanceCase(
      "conditional-etag-forward",
      CacheStep(
        .origin(.uriMiss), ["If-None-Match: \"abcdef\""], asksWithout: ["If-None-Match"])),
    ConformanceCase(
      "conditional-etag-forward-unquoted",
      CacheStep(.origin(.uriMiss), ["If-None-Match: abcdef"], asksWithout: ["If-None-Match"])),
  ]

  private static let modified: [String] = [
    "Cache-Control: max-age=100000", .lastModified(-3000), .date(0),
  ]

  private static func dated(
    _ id: String, _ reply: [String] = modified, since: String, gets status: Int = 304,
    departs: String? = nil
  ) -> ConformanceCase {
    ConformanceCase(
      id, departs: departs, CacheStep(.origin(.uriMiss), reply: reply),
      CacheStep(.store, ["If-Modified-Since: \(since)"], after: 3, gets: status))
  }

  static let dates: [ConformanceCase] = [
    dated("conditional-lm-fresh", since: .at(-3000)),
    dated("conditional-lm-fresh-earlier", since: .at(-2000)),
    ConformanceCase(
      "conditional-lm-stale",
      CacheStep(
        .origin(.uriMiss), reply: ["Cache-Control: max-age=2", .lastModified(-3000), .date(0)]),
      CacheStep(
        .validated, ["If-Modified-Since: \(String.at(-3000))"], after: 3, gets: 304,
        asks: ["If-Modified-Since: \(String.at(-3000))"])),
    dated(
      "conditional-lm-fresh-no-lm", ["Cache-Control: max-age=10000", .date(0)], since: .at(-3000),
      gets: 200,
      departs: "Date stands in for Last-Modified, and is later (RFC 9111 §4.3.2)"),
    // 3000 seconds before 2026 began.
    dated("conditional-lm-fresh-rfc850", since: "Wednesday, 31-Dec-25 23:10:00 GMT"),
  ]

  @Test(arguments: tags + ownTags + dates)
  func `conditions are answered and made`(row: ConformanceCase) async throws {
    try await row.run()
  }
}
