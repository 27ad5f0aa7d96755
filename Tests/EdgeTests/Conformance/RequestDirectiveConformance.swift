// The suite's cc-request and pragma: what a client wishes (RFC 9111 §5.2.1, §5.4). All only look,
// since a cache need not follow them; Weir does, unless a route says otherwise.

import Testing

@Suite(.serialized) struct RequestDirectiveConformance {
  private static func asked(
    _ id: String, _ source: AnswerSource, _ directives: String, of reply: [String],
    after: Double = 0, asks: [String] = [], has: [String] = []
  ) -> ConformanceCase {
    ConformanceCase(
      id, CacheStep(.origin(.uriMiss), reply: reply),
      CacheStep(
        source, ["Cache-Control: \(directives)"], after: after, has: has, asks: asks))
  }

  static let directives: [ConformanceCase] = [
    asked(
      "ccreq-ma0", .origin(.request), "max-age=0", of: .fresh, after: 3,
      asks: ["If-Modified-Since: \(String.at(0))"]),
    asked("ccreq-ma1", .origin(.request), "max-age=1", of: .fresh, after: 3),
    asked(
      "ccreq-magreaterage", .origin(.request), "max-age=600",
      of: ["Cache-Control: max-age=3600", "Age: 1800"]),
    // What is served stale is validated behind it (RFC 5861 §3), also if the client asked for it.
    asked(
      "ccreq-max-stale", .storeAndBehind, "max-stale=1000", of: ["Cache-Control: max-age=1"],
      after: 3, has: ["Age: 3"]),
    // Stale from the beginning and without a validator: not stored, as §3 permits.
    asked(
      "ccreq-max-stale-age", .origin(.uriMiss), "max-stale=1000",
      of: ["Cache-Control: max-age=1500", "Age: 2000"]),
    asked(
      "ccreq-min-fresh", .origin(.request), "min-fresh=2000", of: ["Cache-Control: max-age=1500"]),
    asked(
      "ccreq-min-fresh-age", .origin(.request), "min-fresh=1000",
      of: ["Cache-Control: max-age=1500", "Age: 1000"]),
    asked("ccreq-no-cache", .origin(.request), "no-cache", of: ["Cache-Control: max-age=3600"]),
    asked(
      "ccreq-no-cache-lm", .validated, "no-cache",
      of: ["Cache-Control: max-age=3600", .lastModified(-10_000), .date(0)],
      asks: ["If-Modified-Since: \(String.at(-10_000))"]),
    asked(
      "ccreq-no-cache-etag", .validated, "no-cache",
      of: ["Cache-Control: max-age=3600", "ETag: \"abc\""], asks: ["If-None-Match: \"abc\""]),
    // no-store forbids to store this answer, not to use another (§5.2.1.5).
    asked("ccreq-no-store", .store, "no-store", of: ["Cache-Control: max-age=3600"]),
    ConformanceCase("ccreq-oic", CacheStep(.node(504), ["Cache-Control: only-if-cached"])),
  ]

  private static func pragma(
    _ id: String, _ source: AnswerSource, request: [String] = [], reply: [String]
  ) -> ConformanceCase {
    ConformanceCase(id, CacheStep(.origin(.uriMiss), reply: reply), CacheStep(source, request))
  }

  /// A request's Pragma counts where there is no Cache-Control; a response's never did.
  static let pragmas: [ConformanceCase] = [
    pragma(
      "pragma-request-no-cache", .origin(.request), request: ["Pragma: no-cache"],
      reply: ["Cache-Control: max-age=3600"]),
    pragma(
      "pragma-request-extension", .store, request: ["Pragma: unrecognised-extension"],
      reply: ["Cache-Control: max-age=3600"]),
    pragma(
      "pragma-response-no-cache", .store,
      reply: ["Cache-Control: max-age=3600", "Pragma: no-cache"]),
    pragma(
      "pragma-response-no-cache-heuristic", .store,
      reply: [.date(0), .lastModified(-10_000), "Pragma: no-cache"]),
    pragma(
      "pragma-response-extension", .store,
      reply: ["Cache-Control: max-age=3600", "Pragma: unrecognised-extension"]),
  ]

  @Test(arguments: directives + pragmas)
  func `a client's wishes are followed`(row: ConformanceCase) async throws { try await row.run() }
}
