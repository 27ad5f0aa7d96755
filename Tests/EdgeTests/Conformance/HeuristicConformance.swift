// The suite's heuristic: lifetimes that a cache guesses (RFC 9111 §4.2.2). Weir takes a tenth of
// the time since Last-Modified, for the statuses that RFC 9110 §15.1 lists and for what is
// `public`.

import Testing

@Suite(.serialized) struct HeuristicConformance {
  private static let day = 24 * 60 * 60

  private static func status(
    _ status: Int, isReused: Bool, _ more: [String] = []
  ) -> ConformanceCase {
    let reply: [String] = [.lastModified(-day), .date(0)] + more
    return isReused
      ? .reused("heuristic-\(status)-cached", reply, status: status, after: 0)
      : .notReused("heuristic-\(status)-not_cached", .uriMiss, reply, status: status, after: 0)
  }

  static let statuses: [ConformanceCase] =
    [200, 203, 204, 404, 405, 410, 414, 501].map { status($0, isReused: true) }
    + [201, 202, 403, 502, 503, 504, 599].map { status($0, isReused: false) }
    + [status(599, isReused: true, ["Cache-Control: public"])]

  private static func modified(_ seconds: Int, isReused: Bool) -> ConformanceCase {
    let reply: [String] = [.lastModified(-seconds), .date(0)]
    return isReused
      ? .reused("heuristic-delta-\(seconds)", reply)
      : .notReused(
        "heuristic-delta-\(seconds)", .stale, reply,
        asks: ["If-Modified-Since: \(String.at(-seconds))"])
  }

  /// Looks: three seconds later.
  static let deltas: [ConformanceCase] =
    [5, 10, 30].map { modified($0, isReused: false) }
    + [60, 300, 600, 1200, 1800, 3600, 43_200, 86_400].map { modified($0, isReused: true) }

  @Test(arguments: statuses + deltas)
  func `a lifetime is guessed where that is permitted`(row: ConformanceCase) async throws {
    try await row.run()
  }
}
