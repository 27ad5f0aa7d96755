// The suite's partial: ranges (RFC 9110 §14), from whole and from partial responses that are stored
// (RFC 9111 §3.3, §3.4). The suite's Content-Range names six bytes where the content has five;
// these name five, and the row that completes a part has the strong validator without which §3.4
// forbids it.

import Testing

@Suite(.serialized) struct PartialConformance {
  /// RFC 9111 §3.3 leaves it to the cache: an object is stored whole, or in slices of the node's own
  /// size where a route says so (SliceTests), never as whatever part a client asked for. The origin is
  /// asked for the whole.
  static let parts = "parts are stored in slices only"

  private static func whole(
    _ id: String, _ range: String, is text: String, at place: String, has: [String] = []
  ) -> ConformanceCase {
    ConformanceCase(
      id,
      CacheStep(
        .origin(.uriMiss), reply: ["Cache-Control: max-age=3600", "A: 1"], body: "0123456789A"),
      CacheStep(
        .store, ["Range: bytes=\(range)"], reply: ["A: 2"], gets: 206, text: text,
        has: ["Content-Range: bytes \(place)/11"] + has))
  }

  private static func part(
    _ id: String, _ range: String
  ) -> ConformanceCase {
    ConformanceCase(
      id, departs: parts,
      CacheStep(
        .origin(.uriMiss), ["Range: bytes=-5"],
        reply: ["Cache-Control: max-age=3600", "Content-Range: bytes 5-9/10"], status: 206,
        body: "01234", asksWithout: ["Range"]),
      CacheStep(
        .origin(.uriMiss), ["Range: bytes=\(range)"],
        reply: ["Content-Range: bytes 5-9/10"], status: 206))
  }

  static let rows: [ConformanceCase] = [
    part("partial-store-partial-reuse-partial", "-5"),
    whole("partial-store-complete-reuse-partial", "0-1", is: "01", at: "0-1"),
    whole("partial-store-complete-reuse-partial-no-last", "1-", is: "123456789A", at: "1-10"),
    whole("partial-store-complete-reuse-partial-suffix", "-1", is: "A", at: "10-10"),
    part("partial-store-partial-reuse-partial-byterange", "6-8"),
    part("partial-store-partial-reuse-partial-absent", "6-"),
    part("partial-store-partial-reuse-partial-suffix", "-1"),
    ConformanceCase(
      "partial-store-partial-complete", departs: parts,
      CacheStep(
        .origin(.uriMiss), ["Range: bytes=0-4"],
        reply: ["Cache-Control: max-age=3600", "Content-Range: bytes 0-4/10", "ETag: \"1\""],
        status: 206, body: "01234", asksWithout: ["Range"]),
      CacheStep(.origin(.uriMiss), asksWithout: ["Range"])),
    whole("partial-use-headers", "0-1", is: "01", at: "0-1"),
    whole("partial-use-stored-headers", "0-1", is: "01", at: "0-1", has: ["A: 1"]),
  ]

  @Test(arguments: rows)
  func `ranges come from the store`(row: ConformanceCase) async throws { try await row.run() }
}
