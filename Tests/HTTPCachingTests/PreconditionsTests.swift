import Bytes
import HTTPCaching
import HTTPMessage
import Testing

private let changed: Int64 = 1_700_000_000  // Tue, 14 Nov 2023 22:13:20 GMT

private func evaluate(
  _ lines: [String], etag: String? = "\"abc\"", lastModified: Int64? = changed,
  date: Int64 = t0 / 1000, status: UInt16 = 200, method: HTTPMessage.Method = .get
) -> Precondition {
  Preconditions.evaluate(
    request: request(method, lines), etag: etag.map { view($0) }, lastModified: lastModified,
    date: date, status: status, now: t0)
}

@Suite struct `RFC 9110 section 13.1.2, If-None-Match` {
  @Test(
    arguments: [
      ("\"abc\"", "\"abc\"", .notModified), ("\"abc\"", "\"abd\"", .proceed),
      ("\"abc\"", "W/\"abc\"", .notModified), ("W/\"abc\"", "\"abc\"", .notModified),
      ("W/\"abc\"", "W/\"abc\"", .notModified), ("\"abc\"", "*", .notModified),
      (nil, "*", .notModified), (nil, "\"abc\"", .proceed), ("\"abc\"", "", .proceed),
      ("\"abc\"", "\"1\", \"abc\", \"2\"", .notModified),
      ("\"abc\"", "\"1\",\"abc\"", .notModified),
      ("\"abc\"", "\"abc\",\"1\"", .notModified), ("\"abc\"", "\"1\" , W/\"abc\"", .notModified),
      ("\"abc\"", "\"ABC\"", .proceed), ("\"abc\"", "abc", .proceed), ("abc", "abc", .notModified),
      ("abc", "\"abc\"", .proceed), ("\"a,b\"", "\"a,b\"", .notModified),
      ("\"b\"", "\"a,\"b\"", .proceed), ("\"a\\\"", "\"a\\\", \"x\"", .notModified),
      ("\"x\"", "\"a\\\", \"x\"", .notModified), ("\"\"", "\"\"", .notModified),
      ("\"ü\"", "\"ü\"", .notModified), ("\"abc\"", "\"abc", .proceed), ("\"abc\"", ",,", .proceed),
      ("w/\"abc\"", "\"abc\"", .proceed),
    ] as [(String?, String, Precondition)]) func `is compared weakly`(
      etag: String?, value: String, expected: Precondition
    )
  {
    #expect(evaluate(["If-None-Match: \(value)"], etag: etag) == expected)
  }

  @Test func `several lines are one list`() {
    #expect(
      evaluate(["If-None-Match: \"1\"", "If-None-Match: \"abc\""]) == .notModified)
  }

  @Test func `takes precedence over If-Modified-Since`() {
    let later = "If-Modified-Since: \(t0Date)"
    let earlier = "If-Modified-Since: Sun, 01 Jan 2023 00:00:00 GMT"
    #expect(evaluate(["If-None-Match: \"x\"", later]) == .proceed)
    #expect(evaluate(["If-None-Match: \"abc\"", earlier]) == .notModified)
    #expect(evaluate(["If-None-Match: \"x\"", later], etag: nil) == .proceed)
  }

  @Test func `fails other methods than GET and HEAD`() {
    #expect(evaluate(["If-None-Match: *"], method: .head) == .notModified)
    #expect(evaluate(["If-None-Match: *"], method: .put) == .failed)
  }
}

@Suite struct `RFC 9110 section 13.1.3, If-Modified-Since` {
  @Test(
    arguments: [
      ("Tue, 14 Nov 2023 22:13:20 GMT", .notModified),
      ("Tue, 14 Nov 2023 22:13:21 GMT", .notModified),
      ("Tue, 14 Nov 2023 22:13:19 GMT", .proceed),
      ("Tuesday, 14-Nov-23 22:13:20 GMT", .notModified),
      ("Tue Nov 14 22:13:20 2023", .notModified),
      ("Fri, 01 Jan 2100 00:00:00 GMT", .notModified),
      ("Tue, 14 Nov 2023 22:13:20 CET", .proceed), ("garbage", .proceed), ("", .proceed),
    ] as [(String, Precondition)]) func `is true if the response changed after it`(
      value: String, expected: Precondition
    )
  {
    #expect(evaluate(["If-Modified-Since: \(value)"]) == expected)
  }

  @Test func `several dates are ignored`() {
    let line = "If-Modified-Since: \(t0Date)"
    #expect(evaluate([line, line]) == .proceed)
    #expect(evaluate(["\(line), \(t0Date)"]) == .proceed)
  }

  @Test func `without Last-Modified, Date stands in`() {
    #expect(evaluate(["If-Modified-Since: \(t0Date)"], lastModified: nil) == .notModified)
    #expect(
      evaluate(["If-Modified-Since: Sun, 31 Dec 2023 23:59:59 GMT"], lastModified: nil) == .proceed)
  }

  @Test func `is for GET and HEAD`() {
    let line = "If-Modified-Since: \(t0Date)"
    #expect(evaluate([line], method: .head) == .notModified)
    #expect(evaluate([line], method: .post) == .proceed)
  }
}

@Suite struct `RFC 9110 section 13.2, when conditions count` {
  @Test(
    arguments: [
      (200, .notModified), (203, .notModified), (301, .proceed), (404, .proceed),
      (500, .proceed),
    ] as [(UInt16, Precondition)]) func `only for success`(
      status: UInt16, expected: Precondition
    )
  {
    #expect(evaluate(["If-None-Match: \"abc\""], status: status) == expected)
  }

  @Test func `no condition, no effect`() {
    #expect(evaluate([]) == .proceed)
    #expect(evaluate(["Range: bytes=0-1", "If-Range: \"abc\""]) == .proceed)
  }

  @Test func `If-Match and If-Unmodified-Since are the origin's`() {
    #expect(Preconditions.requiresForwarding(request(.get, "If-Match: \"abc\"")))
    #expect(Preconditions.requiresForwarding(request(.get, "If-Unmodified-Since: \(t0Date)")))
    #expect(!Preconditions.requiresForwarding(request(.get, "If-None-Match: *")))
  }
}
