// The suite's method, invalidation and update-head: what methods other than GET do to what is
// stored (RFC 9110 §9.3, RFC 9111 §4.3.5, §4.4).

import Testing

@Suite(.serialized) struct MethodConformance {
  static let methods = ["POST", "PUT", "DELETE", "M-SEARCH"]

  private static let lasting: [String] = [
    "Cache-Control: max-age=100000", .lastModified(0), .date(0),
  ]
  private static let locations = [
    "Location: location_target", "Content-Location: content_location_target",
  ]

  private static func invalidates(_ method: String) -> ConformanceCase {
    ConformanceCase(
      "invalidate-\(method)", CacheStep(.origin(.uriMiss), reply: .fresh),
      CacheStep(.store, after: 3),
      CacheStep(.origin(.method), request: "\(method) /a", content: "abc"),
      CacheStep(.origin(.uriMiss)))
  }

  private static func fails(_ method: String) -> ConformanceCase {
    ConformanceCase(
      "invalidate-\(method)-failed", CacheStep(.origin(.uriMiss), reply: .fresh),
      CacheStep(.origin(.method), request: "\(method) /a", content: "abc", after: 3, status: 500),
      CacheStep(.store))
  }

  /// Looks: §4.4 says MAY.
  private static func invalidates(
    _ method: String, target: String, suffix: String
  ) -> ConformanceCase {
    ConformanceCase(
      "invalidate-\(method)-\(suffix)",
      CacheStep(.origin(.uriMiss), request: "GET /\(target)", reply: lasting),
      CacheStep(.store, request: "GET /\(target)"),
      CacheStep(.origin(.method), request: "\(method) /a", content: "abc", reply: locations),
      CacheStep(.origin(.uriMiss), request: "GET /\(target)"))
  }

  static let invalidation: [ConformanceCase] =
    methods.map(invalidates) + methods.map(fails)
    + methods.map { invalidates($0, target: "location_target", suffix: "location") }
    + methods.map { invalidates($0, target: "content_location_target", suffix: "cl") }

  static let post: [ConformanceCase] = [
    ConformanceCase(
      "method-POST",
      departs: "an answer to POST is not stored; RFC 9110 §9.3.3 permits it, few origins mean it",
      CacheStep(
        .origin(.method), ["Content-Type: text/plain"], request: "POST /a", content: "12345",
        reply: [.expires(30 * 24 * 60 * 60), "Content-Location: /a", .date(0)]),
      CacheStep(.origin(.uriMiss), after: 3))
  ]

  private static func head(
    _ id: String, _ head: CacheStep, then get: CacheStep? = nil
  ) -> ConformanceCase {
    ConformanceCase(
      id,
      steps: [CacheStep(.origin(.uriMiss), reply: .becomesStale), head] + (get.map { [$0] } ?? []))
  }

  private static func asked(
    _ reply: [String] = [], status: Int = 200, lacks: [String] = []
  ) -> CacheStep {
    CacheStep(
      .origin(.stale), request: "HEAD /a", after: 3, reply: reply, status: status, lacks: lacks)
  }

  /// All look.
  static let heads: [ConformanceCase] = [
    head("head-writethrough", asked()),
    // The answer to a HEAD is the origin's, without what else is stored.
    head("head-200-retain", asked(lacks: ["Template-A"])),
    head(
      "head-200-freshness-update", asked(["Cache-Control: max-age=1000"]),
      then: CacheStep(.store)),
    head(
      "head-200-update", asked(["Template-A: 2", "Cache-Control: max-age=1000"]),
      then: CacheStep(.store, has: ["Template-A: 2"])),
    // A 410 says nothing of a stored 200 (§4.3.5: 200 only).
    head(
      "head-410-update", asked(["Template-A: 2", "Cache-Control: max-age=1000"], status: 410),
      then: CacheStep(.origin(.stale))),
  ]

  @Test(arguments: invalidation + post + heads)
  func `other methods change what is stored as they may`(row: ConformanceCase) async throws {
    try await row.run()
  }
}
