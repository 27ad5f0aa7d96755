// The suite's partial: ranges (RFC 9110 §14), from whole and from partial responses that are stored
// (RFC 9111 §3.3, §3.4). The suite's Content-Range names six bytes where the content has five;
// these name five, and the row that completes a part has the strong validator without which §3.4
// forbids it.

import Testing

@Suite(.serialized) struct PartialConformance {
  static let parts = "partial responses are not stored"

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
    _ id: String, _ range: String, is text: String, asks: [String] = []
  ) -> ConformanceCase {
    ConformanceCase(
      id, pending: parts,
      CacheStep(
        .origin(.uriMiss), ["Range: bytes=-5"],
        reply: ["Cache-Control: max-age=3600", "Content-Range: bytes 5-9/10"], status: 206,
        body: "01234", asks: asks),
      CacheStep(.store, ["Range: bytes=\(range)"], gets: 206, text: text))
  }

  static let rows: [ConformanceCase] = [
    part(
      "partial-store-partial-reuse-partial", "-5", is: "01234", asks: ["Range: bytes=-5"]),
    whole("partial-store-complete-reuse-partial", "0-1", is: "01", at: "0-1"),
    whole("partial-store-complete-reuse-partial-no-last", "1-", is: "123456789A", at: "1-10"),
    whole("partial-store-complete-reuse-partial-suffix", "-1", is: "A", at: "10-10"),
    part("partial-store-partial-reuse-partial-byterange", "6-8", is: "123"),
    part("partial-store-partial-reuse-partial-absent", "6-", is: "1234"),
    part("partial-store-partial-reuse-partial-suffix", "-1", is: "4"),
    ConformanceCase(
      "partial-store-partial-complete", pending: parts,
      CacheStep(
        .origin(.uriMiss), ["Range: bytes=0-4"],
        reply: ["Cache-Control: max-age=3600", "Content-Range: bytes 0-4/10", "ETag: \"1\""],
        status: 206, body: "01234", asks: ["Range: bytes=0-4"]),
      CacheStep(
        .origin(.partial),
        reply: ["Cache-Control: max-age=3600", "Content-Range: bytes 5-9/10", "ETag: \"1\""],
        status: 206, body: "56789", gets: 200, text: "0123456789", lacks: ["Content-Range"],
        asks: ["Range: bytes=5-"])),
    whole("partial-use-headers", "0-1", is: "01", at: "0-1"),
    whole("partial-use-stored-headers", "0-1", is: "01", at: "0-1", has: ["A: 1"]),
  ]

  @Test(arguments: rows)
  func `ranges come from the store`(row: ConformanceCase) async throws { try await row.run() }
}
