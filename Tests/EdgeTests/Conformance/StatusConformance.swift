// The suite's status: which statuses are stored if they have a lifetime (RFC 9111 §3, §5.2.2.3).

import Testing

@Suite(.serialized) struct StatusConformance {
  static let statuses = [
    200, 203, 204, 299, 301, 302, 303, 307, 308, 400, 404, 410, 499, 500, 502, 503, 504, 599,
  ]

  static let fresh: [ConformanceCase] = statuses.map {
    .reused("status-\($0)-fresh", .fresh, status: $0)
  }

  static let stale: [ConformanceCase] = statuses.map {
    .notReused(
      "status-\($0)-stale", .stale, .stale, status: $0,
      asks: ["If-Modified-Since: \(String.at(-100_000))"])
  }

  private static let understood = ["Cache-Control: max-age=3600, no-store, must-understand"]

  static let mustUnderstand: [ConformanceCase] = [
    .notReused("status-599-must-understand", .uriMiss, understood, status: 599, after: 0),
    .reused("status-200-must-understand", understood, after: 0),
  ]

  @Test(arguments: fresh + stale + mustUnderstand)
  func `every final status is stored if it has a lifetime`(row: ConformanceCase) async throws {
    try await row.run()
  }
}
