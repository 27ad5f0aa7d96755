// The suite's other, auth and interim: Age and Date of what is reused, the key, cookies (RFC 9111
// §4, §7.3), Authorization (§3.5), and 1xx responses (RFC 9110 §15.2).
//
// Left out: collapse-basic, which CollapsingTests play in all their variants.

import Testing

@Suite(.serialized) struct OtherConformance {
  private static let month = 30 * 24 * 60 * 60
  private static let expiring: [String] = [.expires(month), .date(0)]

  static let age: [ConformanceCase] = [
    .reused("other-age-gen", .fresh, has: ["Age: 3"]),
    // A look: the time that the origin takes is part of the age (RFC 9111 §4.2.3).
    ConformanceCase(
      "other-age-delay",
      CacheStep(
        .origin(.uriMiss), reply: ["Cache-Control: max-age=3600", .date(0)], takes: 5,
        has: ["Age: 5"])),
    .reused("other-age-update-expires", expiring + ["Age: 30"], has: ["Age: 33"]),
    .reused("other-age-update-max-age", .fresh + ["Age: 30"], has: ["Age: 33"]),
    .reused("other-date-update", .fresh, has: [.date(0)]),
    .reused("other-date-update-expires", expiring, has: [.date(0)]),
    .reused("other-date-update-expires-update", expiring, has: [.expires(month)]),
  ]

  static let keys: [ConformanceCase] = [
    ConformanceCase(
      "query-args-different",
      CacheStep(.origin(.uriMiss), request: "GET /a?test=1", reply: .fresh),
      CacheStep(.origin(.uriMiss), request: "GET /a?test=2", after: 3),
      CacheStep(.store, request: "GET /a?test=1")),
    ConformanceCase(
      "query-args-same",
      CacheStep(.origin(.uriMiss), request: "GET /a?test=1", reply: .fresh),
      CacheStep(.store, request: "GET /a?test=1", after: 3)),
    .reused(
      "other-heuristic-content-disposition-attachment",
      [.lastModified(-100_000), .date(0), "Content-Disposition: attachment; filename=example.txt"],
      after: 0),
    .reused(
      "other-fresh-content-disposition-attachment",
      .fresh + ["Content-Disposition: attachment; filename=example.txt"]),
    .reused(
      "other-set-cookie", .fresh + ["Set-Cookie: a=b"], route: StoredFieldConformance.cookies),
    .reused("other-cookie", .fresh, second: ["Cookie: a=b"]),
  ]

  private static let credentials = ["Authorization: FOO"]

  private static func authorized(
    _ id: String, _ source: AnswerSource, _ reply: [String]
  ) -> ConformanceCase {
    ConformanceCase(
      id, CacheStep(.origin(.uriMiss), credentials, reply: reply, asks: credentials),
      CacheStep(source, after: 3))
  }

  static let authorization: [ConformanceCase] = [
    authorized("other-authorization", .origin(.uriMiss), .fresh),
    authorized(
      "other-authorization-public", .store, ["Cache-Control: max-age=3600, public", .date(0)]),
    authorized(
      "other-authorization-must-revalidate", .store,
      ["Cache-Control: max-age=3600, must-revalidate", .date(0)]),
    authorized("other-authorization-smaxage", .store, ["Cache-Control: s-maxage=3600", .date(0)]),
  ]

  private static let hints =
    "HTTP/1.1 103 Early Hints\r\nLink: </styles.css>; rel=preload; as=style\r\n"
    + "X-My-Header: test\r\n\r\n"

  private static let hintFields = [
    "Link: </styles.css>; rel=preload; as=style", "X-My-Header: test",
  ]

  private static func interim(
    _ id: String, _ status: Int, _ text: String, has: [String], lacks: [String] = []
  ) -> ConformanceCase {
    ConformanceCase(
      id,
      CacheStep(
        .origin(.uriMiss), reply: ["Cache-Control: max-age=100000", .date(0)], interim: text,
        lacks: lacks, interimGot: [status], interimHas: has),
      CacheStep(.store, after: 3, lacks: lacks))
  }

  static let interims: [ConformanceCase] = [
    interim("interim-102", 102, "HTTP/1.1 102 Processing\r\n\r\n", has: []),
    interim("interim-103", 103, hints, has: hintFields),
    interim("interim-not-cached", 103, hints, has: hintFields),
    interim(
      "interim-no-header-reuse", 103, hints, has: hintFields, lacks: ["X-My-Header", "Link"]),
  ]

  @Test(arguments: age + keys + authorization + interims)
  func `what else a cache must do is done`(row: ConformanceCase) async throws {
    try await row.run()
  }
}
