import Bytes
import HTTPCaching
import HTTPMessage
import Testing

private func decide(
  status: UInt16 = 200, _ lines: [String], method: HTTPMessage.Method = .get,
  request requestLines: [String] = []
) -> StorageDecision {
  let response = response(status, lines)
  let request = request(method, requestLines)
  return StorageRules.decide(
    request: request, response: response, directives: ResponseDirectives(response),
    requestDirectives: RequestDirectives(request))
}

private let fresh = "Cache-Control: max-age=60"

@Suite struct `RFC 9111 section 3, storing responses` {
  @Test func `a response with a lifetime is stored`() {
    #expect(decide([fresh]) == .store)
    #expect(decide(["Cache-Control: s-maxage=60"]) == .store)
    #expect(decide(["Date: \(t0Date)", "Expires: Mon, 01 Jan 2024 00:01:00 GMT"]) == .store)
    #expect(decide(["Expires: Mon, 01 Jan 2024 00:01:00 GMT"]) == .store)
  }

  @Test(arguments: HTTPMessage.Method.allCases) func `only responses to GET are stored`(
    method: HTTPMessage.Method
  ) {
    let expected: StorageDecision = method == .get ? .store : .refuse(.methodNotCacheable)
    #expect(decide([fresh], method: method) == expected)
  }

  @Test(
    arguments: [
      (100, .statusNotFinal), (103, .statusNotFinal), (199, .statusNotFinal),
      (304, .notModified), (206, .partialContent), (407, .statusAnswersOneRequest),
      (412, .statusAnswersOneRequest), (416, .statusAnswersOneRequest),
      (417, .statusAnswersOneRequest), (429, .statusAnswersOneRequest),
      (431, .statusAnswersOneRequest), (511, .statusAnswersOneRequest),
    ] as [(UInt16, StorageRefusal)]) func `some statuses are never stored`(
      status: UInt16, refusal: StorageRefusal
    )
  {
    #expect(decide(status: status, [fresh, "ETag: \"a\""]) == .refuse(refusal))
  }

  @Test(
    arguments: [
      200, 201, 203, 204, 299, 301, 302, 307, 308, 400, 403, 404, 410, 451, 500, 503, 599,
    ]
      as [UInt16]) func `others are with explicit freshness, known or not`(status: UInt16)
  {
    #expect(decide(status: status, [fresh]) == .store)
  }

  @Test(
    arguments: [
      (200, true), (203, true), (204, true), (300, true), (301, true), (308, true), (404, true),
      (405, true), (410, true), (414, true), (451, true), (501, true),
      (201, false), (202, false), (302, false), (303, false), (307, false), (400, false),
      (403, false), (500, false), (502, false), (503, false), (599, false),
    ] as [(UInt16, Bool)]) func `without it only the heuristically cacheable are`(
      status: UInt16, isStored: Bool
    )
  {
    let validator = ["Last-Modified: Mon, 01 Jan 2020 00:00:00 GMT"]
    #expect(
      decide(status: status, validator)
        == (isStored ? .store : .refuse(.noExplicitOrHeuristicFreshness)))
    #expect(decide(status: status, validator + ["Cache-Control: public"]) == .store)
  }

  @Test(
    arguments: [
      ("no-store, max-age=60", .refuse(.responseNoStore)),
      ("private, max-age=60", .refuse(.isPrivate)),
      ("private, public, max-age=60", .refuse(.isPrivate)),
      ("private=\"x\", max-age=60", .store),
      ("max-age=60, ext=\"no end", .refuse(.responseNoStore)),
      ("no-store, must-understand, max-age=60", .store),
      ("must-understand, max-age=60", .store),
    ] as [(String, StorageDecision)]) func `directives of the response decide`(
      line: String, expected: StorageDecision
    )
  {
    #expect(decide(["Cache-Control: \(line)"]) == expected)
  }

  @Test func `section 5.2.2.3: an unknown status that must be understood is not stored`() {
    #expect(
      decide(status: 599, ["Cache-Control: must-understand, max-age=60"])
        == .refuse(.statusNotUnderstood))
    #expect(
      decide(status: 599, ["Cache-Control: must-understand, no-store, max-age=60"])
        == .refuse(.statusNotUnderstood))
  }

  @Test func `a request may forbid storing, and asking for validation does not`() {
    #expect(
      decide([fresh], request: ["Cache-Control: no-store"]) == .refuse(.requestNoStore))
    #expect(decide([fresh], request: ["Cache-Control: no-cache"]) == .store)
    #expect(decide([fresh], request: ["Cookie: a=b", "Range: bytes=0-1"]) == .store)
  }

  @Test(
    arguments: [
      ("max-age=60", .refuse(.authorization)),
      ("max-age=60, public", .store), ("s-maxage=60", .store),
      ("max-age=60, must-revalidate", .store),
      ("max-age=60, proxy-revalidate", .refuse(.authorization)),
      ("max-age=60, public=1", .refuse(.authorization)),
      ("max-age=60, must-revalidate=1", .refuse(.authorization)),
      ("s-maxage=x, max-age=60", .refuse(.authorization)),
      ("no-cache", .refuse(.authorization)), ("private, public", .refuse(.isPrivate)),
    ] as [(String, StorageDecision)])
  func `section 3.5: a response to Authorization needs permission`(
    line: String, expected: StorageDecision
  ) {
    let lines = ["Cache-Control: \(line)", "ETag: \"a\""]
    #expect(decide(lines, request: ["Authorization: Basic eA=="]) == expected)
  }

  @Test(arguments: [
    (["Vary: *"], false), (["Vary: a, *"], false), (["Vary: a", "Vary: *"], false),
    (["Vary: a b"], false), (["Vary: Accept-Encoding"], true), (["Vary: "], true),
  ]) func `section 4.1: what always fails to match is not stored`(lines: [String], isStored: Bool) {
    #expect(decide([fresh] + lines) == (isStored ? .store : .refuse(.varyStar)))
  }

  @Test(
    arguments: [
      ("max-age=60", .refuse(.setCookie)), ("max-age=60, public", .store), ("s-maxage=60", .store),
      ("max-age=60, no-cache=\"set-cookie\"", .store),
      ("max-age=60, private=\"X, Set-Cookie\"", .store),
      ("max-age=60, private=\"cookie\"", .refuse(.setCookie)),
    ] as [(String, StorageDecision)]) func `cookies are for one client`(
      line: String, expected: StorageDecision
    )
  {
    #expect(decide(["Cache-Control: \(line)", "Set-Cookie: a=b"]) == expected)
  }

  @Test(arguments: [
    ([], false), (["ETag: \"a\""], true), (["ETag: "], false),
    (["Last-Modified: Mon, 01 Jan 2020 00:00:00 GMT"], true), (["Last-Modified: soon"], false),
    (["Cache-Control: public"], false), (["Cache-Control: no-cache"], false),
    (["Cache-Control: max-age=60, no-cache"], false),
    (["Cache-Control: no-cache", "ETag: W/\"a\""], true),
    (["Cache-Control: max-age=0"], false), (["Cache-Control: max-age=0", "ETag: \"a\""], true),
    (["Cache-Control: max-age=0, stale-while-revalidate=5"], true),
    (["Cache-Control: max-age=0, stale-if-error=5"], true),
    (["Cache-Control: max-age=0, stale-if-error=5, must-revalidate"], false),
    (["Cache-Control: max-age=x"], false), (["Expires: 0"], false), (["Expires: -1"], false),
    (["Date: \(t0Date)", "Expires: \(t0Date)"], false), (["Expires: 0", "ETag: \"a\""], true),
    (["Cache-Control: max-age=60", "Age: 60"], false),
    (["Cache-Control: max-age=60", "Age: 59"], true),
  ]) func `what could never be reused is not stored`(lines: [String], isStored: Bool) {
    #expect(decide(lines) == (isStored ? .store : .refuse(.neverReusable)))
  }

  @Test func `a response that a purge could not reach is not stored`() {
    #expect(decide([fresh, "Surrogate-Key: a b c"]) == .store)
    let long = String(repeating: "x", count: 1025)
    #expect(decide([fresh, "Surrogate-Key: a \(long)"]) == .refuse(.tagLimit))
    let many = (0..<1001).map { "t\($0)" }.joined(separator: " ")
    #expect(decide([fresh, "Surrogate-Key: \(many)"]) == .refuse(.tagLimit))
  }

  @Test func `each refusal has its own name`() {
    let names = Set(StorageRefusal.allCases.map { "\($0.name)" })
    #expect(names.count == StorageRefusal.allCases.count)
  }
}
