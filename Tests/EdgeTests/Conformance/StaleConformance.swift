// The suite's stale and cc-stale: what is served beyond its lifetime (RFC 9111 §4.2.4, RFC 5861).
// Weir serves stale only what the origin, the operator or the client permits.
//
// Warning is not written: RFC 9111 §5.5 made it obsolete.

import Testing

@Suite(.serialized) struct StaleConformance {
  private static func closing(
    _ id: String, _ why: String, _ source: AnswerSource = .failure(502)
  ) -> ConformanceCase {
    ConformanceCase(
      id, CacheStep(.origin(.uriMiss), reply: ["Cache-Control: max-age=2, \(why)"]),
      CacheStep(source, after: 3, closes: true, lacks: ["Warning"]))
  }

  static let errors: [ConformanceCase] = [
    // Looks: §4.2.4 permits to serve it, and does not ask for it.
    ConformanceCase(
      "stale-close", CacheStep(.origin(.uriMiss), reply: .becomesStale),
      CacheStep(.failure(502), after: 3, closes: true)),
    ConformanceCase(
      "stale-503", CacheStep(.origin(.uriMiss), reply: .becomesStale),
      CacheStep(.origin(.stale), after: 3, status: 503)),
    closing("stale-sie-close", "stale-if-error=60", .storeOnError),
    // The suite closes the connection here too; the name says 503.
    ConformanceCase(
      "stale-sie-503",
      CacheStep(.origin(.uriMiss), reply: ["Cache-Control: max-age=2, stale-if-error=60"]),
      CacheStep(.storeOnError, after: 3, status: 503)),
    closing("stale-close-must-revalidate", "must-revalidate"),
    closing("stale-close-proxy-revalidate", "proxy-revalidate"),
    closing("stale-close-no-cache", "no-cache"),
    closing("stale-close-s-maxage=2", "s-maxage=2"),
    // Looks.
    ConformanceCase(
      "stale-warning-stored", CacheStep(.origin(.uriMiss), reply: .stale),
      CacheStep(.failure(502), after: 3, closes: true, lacks: ["Warning"])),
    ConformanceCase(
      "stale-warning-become", CacheStep(.origin(.uriMiss), reply: .becomesStale),
      CacheStep(.failure(502), after: 3, closes: true, lacks: ["Warning"])),
  ]

  private static let longWindow = ["Cache-Control: max-age=1, stale-while-revalidate=3600"]
  private static let shortWindow = ["Cache-Control: max-age=1, stale-while-revalidate=4"]

  static let whileRevalidating: [ConformanceCase] = [
    ConformanceCase(
      "stale-while-revalidate",
      CacheStep(.origin(.uriMiss), reply: longWindow + ["ETag: \"abc\""]),
      CacheStep(.storeAndBehind, after: 3, has: ["Age: 3"], asks: ["If-None-Match: \"abc\""])),
    ConformanceCase(
      "stale-while-revalidate-window",
      CacheStep(.origin(.uriMiss), reply: shortWindow + ["ETag: \"abc\""]),
      CacheStep(
        .storeAndBehind, after: 3, reply: ["Cache-Control: no-cache", "ETag: \"def\""],
        has: ["ETag: \"abc\""], asks: ["If-None-Match: \"abc\""]),
      CacheStep(.origin(.stale), after: 3, asks: ["If-None-Match: \"def\""])),
    // The same window, without anyone who asks within it.
    ConformanceCase(
      "stale-while-revalidate-window (alone)",
      CacheStep(.origin(.uriMiss), reply: shortWindow + ["ETag: \"abc\""]),
      CacheStep(.origin(.stale), after: 5, asks: ["If-None-Match: \"abc\""])),
  ]

  /// An earlier edition of the suite had these.
  static let ifError: [ConformanceCase] = [
    // A look.
    ConformanceCase(
      "stale-if-error-cc-response",
      CacheStep(.origin(.uriMiss), reply: ["Cache-Control: max-age=0, stale-if-error=3600"]),
      CacheStep(.storeOnError, status: 500)),
    ConformanceCase(
      "stale-if-error-cc-response-expired",
      CacheStep(.origin(.uriMiss), reply: ["Cache-Control: max-age=0, stale-if-error=1"]),
      CacheStep(.origin(.stale), after: 3, status: 500)),
    // A look: RFC 5861 §4 lets a request say it too; nothing without lifetime and validator is
    // stored.
    ConformanceCase(
      "stale-if-error-cc-request",
      CacheStep(.origin(.uriMiss), reply: ["Cache-Control: max-age=0"]),
      CacheStep(.origin(.uriMiss), ["Cache-Control: stale-if-error=3600"], status: 500)),
    ConformanceCase(
      "stale-if-error-cc-request-expired",
      CacheStep(.origin(.uriMiss), reply: ["Cache-Control: max-age=0"]),
      CacheStep(.origin(.uriMiss), ["Cache-Control: stale-if-error=1"], after: 3, status: 500)),
  ]

  @Test(arguments: errors + whileRevalidating + ifError)
  func `stale responses are served where that is permitted`(row: ConformanceCase) async throws {
    try await row.run()
  }
}
