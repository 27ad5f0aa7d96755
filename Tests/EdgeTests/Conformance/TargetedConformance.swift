// The suite's cdn-cache-control (RFC 9213) and surrogate-control (a W3C note of 2001): directives
// for caches like this one alone. Before what a row is about comes a response that is reused only
// if the field is understood at all: what is not reused then is so for the reason that the row
// names.

import Testing

@Suite(.serialized) struct TargetedConformance {
  private static func targeted(
    _ field: String, _ id: String, _ source: AnswerSource, _ reply: [String],
    has: [String] = [], route: String = ""
  ) -> ConformanceCase {
    let text = source == .store ? CacheStep.body(2) : nil
    return ConformanceCase(
      id, route: route,
      CacheStep(.origin(.uriMiss), request: "GET /control", reply: ["\(field): max-age=3600"]),
      CacheStep(.store, request: "GET /control"),
      CacheStep(.origin(.uriMiss), reply: reply),
      CacheStep(source, after: 3, text: text, has: has))
  }

  // MARK: CDN-Cache-Control

  private static func cdn(
    _ id: String, _ source: AnswerSource, _ value: String, _ more: [String] = [],
    has: [String] = []
  ) -> ConformanceCase {
    targeted(
      "CDN-Cache-Control", "cdn-\(id)", source, more + ["CDN-Cache-Control: \(value)"], has: has)
  }

  private static let unstored = AnswerSource.origin(.uriMiss)
  private static let lasting: [String] = [
    "Cache-Control: max-age=10000", .expires(10_000), .date(0),
  ]

  static let cdn: [ConformanceCase] = [
    cdn("max-age", .store, "max-age=3600"),
    cdn("max-age-max", .store, "max-age=2147483648"),
    cdn("max-age-max-plus", .store, "max-age=99999999999"),
    cdn("max-age-age", unstored, "max-age=3600", [.date(0), "Age: 7200"]),
    // Looks: no structured field, so that it is ignored (RFC 9213 §2.1).
    cdn(
      "max-age-space-before-equals", .origin(.stale), "max-age =100", ["Cache-Control: max-age=1"]),
    cdn(
      "max-age-space-after-equals", .origin(.stale), "max-age= 100", ["Cache-Control: max-age=1"]),
    cdn("max-age-0", unstored, "max-age=0"),
    cdn("max-age-extension", .store, "foobar, max-age=3600"),
    // A look: keys of a structured field are in lower case (RFC 9651 §3.1.2).
    cdn("max-age-case-insensitive", unstored, "MaX-aGe=3600"),
    cdn("max-age-expires", .store, "max-age=3600", [.expires(-10_000), .date(0)]),
    cdn("max-age-cc-max-age-invalid-expires", .store, "max-age=3600", ["Expires: 0", .date(0)]),
    cdn("max-age-0-expires", unstored, "max-age=0", [.expires(10_000), .date(0)]),
    cdn("max-age-short-cc-max-age", .store, "max-age=3600", ["Cache-Control: max-age=1"]),
    cdn(
      "max-age-long-cc-max-age", .origin(.stale), "max-age=1", ["Cache-Control: max-age=3600"]),
    cdn("private", unstored, "private", lasting),
    cdn("no-cache", unstored, "no-cache", lasting),
    cdn("no-store-cc-fresh", unstored, "no-store", lasting),
    cdn("fresh-cc-nostore", .store, "max-age=10000", ["Cache-Control: no-store"]),
    cdn(
      "cc-invalid-sh-type-unknown", unstored, "max-age=10000, &&&&&", ["Cache-Control: no-store"]),
    cdn(
      "cc-invalid-sh-type-wrong", unstored, "max-age=\"10000\"", ["Cache-Control: no-store"]),
    // Looks: the fields of what is reused are those of any other (RFC 9111 §4, §5.1).
    cdn(
      "remove-age-exceed", .store, "max-age=10000", ["Cache-Control: max-age=1", .date(0)],
      has: ["Age: 3"]),
    cdn(
      "date-update-exceed", .store, "max-age=10000", ["Cache-Control: max-age=1", .date(0)],
      has: [.date(0)]),
    cdn(
      "expires-update-exceed", .store, "max-age=10000",
      ["Cache-Control: max-age=1", .expires(1), .date(0)], has: [.expires(1)]),
    // A look: it is for the caches of other networks further down, too (RFC 9213 §3.1).
    ConformanceCase(
      "cdn-remove-header",
      CacheStep(
        .origin(.uriMiss), reply: lasting + ["CDN-Cache-Control: foo"],
        has: ["CDN-Cache-Control: foo"])),
  ]

  // MARK: Surrogate-Control

  private static func surrogate(
    _ id: String, _ source: AnswerSource, _ value: String, _ more: [String] = []
  ) -> ConformanceCase {
    targeted(
      "Surrogate-Control", "surrogate-\(id)", source, more + ["Surrogate-Control: \(value)"],
      route: "cache { targets surrogate-control; }")
  }

  static let surrogate: [ConformanceCase] = [
    surrogate("max-age", .store, "max-age=3600"),
    surrogate("max-age-max", .store, "max-age=2147483648"),
    surrogate("max-age-max-plus", .store, "max-age=99999999999"),
    surrogate("max-age-me-target", .store, "max-age=3600;weir"),
    // The suite's response is older than the lifetime besides, and could not be reused anyway.
    surrogate(
      "max-age-other-target", unstored, "max-age=3600;not-for-you"),
    surrogate("max-age-age", unstored, "max-age=3600", [.date(0), "Age: 7200"]),
    // Looks: the grammar has no space there, and a lifetime that is malformed is none.
    surrogate(
      "max-age-space-before-equals", unstored, "max-age =100", ["Cache-Control: max-age=1"]),
    surrogate(
      "max-age-space-after-equals", unstored, "max-age= 100", ["Cache-Control: max-age=1"]),
    surrogate("max-age-0", unstored, "max-age=0"),
    surrogate("max-age-extension", .store, "foobar, max-age=3600"),
    surrogate("max-age-case-insensitive", .store, "MaX-aGe=3600"),
    surrogate("max-age-expires", .store, "max-age=3600", [.expires(-10_000), .date(0)]),
    surrogate(
      "max-age-cc-max-age-invalid-expires", .store, "max-age=3600", ["Expires: 0", .date(0)]),
    surrogate("max-age-0-expires", unstored, "max-age=0", [.expires(10_000), .date(0)]),
    surrogate("max-age-short-cc-max-age", .store, "max-age=3600", ["Cache-Control: max-age=1"]),
    surrogate(
      "max-age-long-cc-max-age", .origin(.stale), "max-age=1", ["Cache-Control: max-age=3600"]),
    surrogate("no-store", unstored, "no-store"),
    surrogate("no-store-cc-fresh", unstored, "no-store", lasting),
    surrogate(
      "fresh-cc-nostore", .store, "max-age=10000;weir", ["Cache-Control: no-store"]),
    // Looks: no capability is announced, and the field goes no further.
    ConformanceCase(
      "surrogate-append-capabilities",
      CacheStep(.origin(.uriMiss), asksWithout: ["Surrogate-Capability"])),
    ConformanceCase(
      "surrogate-remove-header", route: "cache { targets surrogate-control; }",
      CacheStep(
        .origin(.uriMiss), reply: lasting + ["Surrogate-Control: foo"],
        lacks: ["Surrogate-Control"])),
  ]

  @Test(arguments: cdn)
  func `CDN-Cache-Control goes before Cache-Control`(row: ConformanceCase) async throws {
    try await row.run()
  }

  @Test(arguments: surrogate)
  func `Surrogate-Control goes before Cache-Control`(row: ConformanceCase) async throws {
    try await row.run()
  }
}
