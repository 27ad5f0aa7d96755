import Bytes
import HTTPCaching
import HTTPMessage
import Testing

private let later = "Mon, 01 Jan 2024 00:00:00 GMT"
private let earlier = "Sun, 31 Dec 2023 00:00:00 GMT"
private let earlierSeconds: Int64 = 1_703_980_800

private func partial(_ lines: String..., length: UInt64? = nil) -> ResponseHead {
  let head = response(206, lines)
  if let length { head.framing = .length(length) }
  return head
}

private func range(_ start: UInt64, _ end: UInt64) -> ByteRange {
  guard let range = ByteRange(start: start, end: end) else { preconditionFailure("empty range") }
  return range
}

@Suite struct `RFC 9111 section 3.3, incomplete responses` {
  @Test func `a range with a strong validator may be joined with others`() {
    let content = PartialContent(range: range(0, 5), completeLength: 10)
    let head = partial("Content-Range: bytes 0-4/10", "ETag: \"a\"")
    #expect(PartialResponses.storage(of: head) == .combinable(content))
    #expect(!content.isWhole)
    let dated = partial(
      "Content-Range: bytes 0-4/10", "Last-Modified: \(earlier)", "Date: \(later)")
    #expect(PartialResponses.storage(of: dated) == .combinable(content))
  }

  @Test(arguments: [
    [], ["ETag: W/\"a\""], ["ETag: a"], ["Last-Modified: \(later)", "Date: \(later)"],
    ["Last-Modified: \(earlier)"],
    ["ETag: W/\"a\"", "Last-Modified: \(earlier)", "Date: \(later)"],
  ]) func `a range without one may be kept alone`(validators: [String]) {
    let head = response(206, ["Content-Range: bytes 0-4/10"] + validators)
    #expect(
      PartialResponses.storage(of: head)
        == .alone(PartialContent(range: range(0, 5), completeLength: 10)))
  }

  @Test(
    arguments: [
      ([], .badContentRange), (["Content-Range: bytes */10"], .badContentRange),
      (["Content-Range: bytes 5-4/10"], .badContentRange),
      (["Content-Range: bytes 0-4/10", "Content-Range: bytes 0-4/10"], .badContentRange),
      (["Content-Type: multipart/byteranges; boundary=x"], .badContentRange),
    ] as [([String], PartialRefusal)]) func `others are not kept`(
      lines: [String], refusal: PartialRefusal
    )
  {
    #expect(PartialResponses.storage(of: response(206, lines)) == .refuse(refusal))
    #expect(PartialResponses.storage(of: response(200, lines)) == .refuse(.notPartial))
  }

  @Test func `the lengths must agree`() {
    let good = partial("Content-Range: bytes 0-4/10", "ETag: \"a\"", length: 5)
    let bad = partial("Content-Range: bytes 0-4/10", "ETag: \"a\"", length: 6)
    #expect(PartialResponses.storage(of: bad) == .refuse(.lengthMismatch))
    #expect(PartialResponses.storage(of: good) != .refuse(.lengthMismatch))
  }

  @Test func `they are stored only where the policy says so`() {
    let head = partial("Content-Range: bytes 0-4/10", "Cache-Control: max-age=60")
    let multipart = partial(
      "Content-Type: multipart/byteranges; boundary=x", "Cache-Control: max-age=60")
    var policy = CachePolicy()
    func decide(_ head: ResponseHead) -> StorageDecision {
      StorageRules.decide(
        request: request(.get, "Range: bytes=0-4"), response: head,
        directives: ResponseDirectives(head, policy: policy),
        requestDirectives: RequestDirectives(), policy: policy)
    }
    #expect(decide(head) == .refuse(.partialContent))
    policy.storesPartial = true
    #expect(decide(head) == .store)
    #expect(decide(multipart) == .refuse(.partialContent))
  }
}

@Suite struct `RFC 9111 section 3.4, combining` {
  @Test(
    arguments: [
      (["ETag: \"a\""], "\"a\"", nil, true), (["ETag: \"b\""], "\"a\"", nil, false),
      (["ETag: W/\"a\""], "W/\"a\"", nil, false), (["ETag: \"a\""], "W/\"a\"", nil, false),
      ([], "\"a\"", nil, false), ([], nil, nil, false), (["ETag: \"a\""], nil, nil, false),
      (["Last-Modified: \(earlier)", "Date: \(later)"], nil, earlierSeconds, true),
      (["Last-Modified: \(later)", "Date: \(later)"], nil, earlierSeconds, false),
      (["Last-Modified: \(earlier)", "Date: \(earlier)"], nil, earlierSeconds, false),
      (["Last-Modified: \(earlier)", "Date: \(later)"], "\"a\"", earlierSeconds, false),
      (["ETag: \"a\"", "Last-Modified: \(earlier)", "Date: \(later)"], nil, earlierSeconds, false),
      (["ETag: \"a\"", "Last-Modified: \(later)"], "\"a\"", earlierSeconds, true),
    ] as [([String], String?, Int64?, Bool)]) func `needs the same strong validator`(
      lines: [String], etag: String?, lastModified: Int64?, mayCombine: Bool
    )
  {
    #expect(
      PartialResponses.mayCombine(
        response(206, lines), storedETag: etag.map { view($0) }, storedLastModified: lastModified,
        storedDate: t0 / 1000, now: t0) == mayCombine)
  }

  @Test func `a Last-Modified that was weak when stored does not do`() {
    #expect(
      !PartialResponses.mayCombine(
        response(206, "Last-Modified: \(earlier)", "Date: \(later)"), storedETag: nil,
        storedLastModified: earlierSeconds, storedDate: earlierSeconds, now: t0))
  }

  @Test func `the head is the stored one, updated, and is of the whole`() {
    let stored = view(
      "content-type: text/plain\r\netag: \"a\"\r\nx: 1\r\ncontent-range: bytes 0-4/10\r\n"
        + "date: \(earlier)\r\n")
    let newer = response(
      206, "Content-Range: bytes 5-9/10", "ETag: \"a\"", "X: 2", "Date: \(later)",
      "Content-Encoding: gzip")
    let text = written {
      PartialResponses.appendCombined(stored: stored, with: newer, responseTime: t0, to: &$0)
    }
    #expect(text == "content-type: text/plain\r\netag: \"a\"\r\nx: 2\r\ndate: \(later)\r\n")
  }
}

@Suite struct `Slices` {
  private let plan = SlicePlan(sliceSize: 100, completeLength: 250)

  @Test(
    arguments: [(0, range(0, 100)), (1, range(100, 200)), (2, range(200, 250)), (3, nil)]
      as [(UInt64, ByteRange?)]) func `have their bytes`(index: UInt64, expected: ByteRange?)
  {
    #expect(plan.range(ofSlice: index) == expected)
    #expect(plan.sliceCount == 3)
    #expect(plan.range(ofSlice: .max) == nil)
    #expect(SlicePlan(sliceSize: 100).range(ofSlice: 7) == range(700, 800))
    #expect(SlicePlan(sliceSize: 100, completeLength: 0).sliceCount == 0)
    #expect(SlicePlan(sliceSize: 0).sliceSize == 1)
    #expect(SlicePlan(sliceSize: .max).range(ofSlice: 0) == range(0, .max))
  }

  @Test(
    arguments: [
      (range(0, 250), [], 9, 0..<3), (range(0, 250), [0], 9, 1..<3), (range(0, 250), [1], 9, 0..<1),
      (range(0, 250), [0, 1, 2], 9, nil), (range(99, 101), [], 9, 0..<2),
      (range(100, 200), [], 9, 1..<2), (range(100, 200), [1], 9, nil),
      (range(0, 250), [], 2, 0..<2), (range(0, 250), [], 0, nil), (range(249, 250), [0], 9, 2..<3),
    ] as [(ByteRange, Set<UInt64>, UInt64, Range<UInt64>?)]) func `that are missing are fetched`(
      wanted: ByteRange, stored: Set<UInt64>, limit: UInt64, expected: Range<UInt64>?
    )
  {
    #expect(plan.missing(of: wanted, limit: limit) { stored.contains($0) } == expected)
  }

  @Test(
    arguments: [
      ("bytes=0-5", 0), ("bytes=150-", 1), ("bytes=-5", 0), ("bytes=700-800,0-1", 7),
      ("bytes=99999999999999999999-", 184_467_440_737_095_516), ("bytes=x", nil), ("", nil),
      ("items=5-6", nil),
    ] as [(String, UInt64?)]) func `the first is where the range begins`(
      value: String, expected: UInt64?
    )
  {
    #expect(SlicePlan(sliceSize: 100).firstSlice(for: view(value)) == expected)
  }

  @Test func `are asked for with the validator`() {
    #expect(
      written { SlicePlan.appendFields(range(100, 200), validator: view("\"a\""), to: &$0) }
        == "range: bytes=100-199\r\nif-range: \"a\"\r\n")
    #expect(
      written { SlicePlan.appendFields(range(0, 1), validator: nil, to: &$0) }
        == "range: bytes=0-0\r\n")
    #expect(plan.range(of: 1..<3) == range(100, 250))
    #expect(plan.range(of: 1..<1) == nil)
  }

  @Test(
    arguments: [
      (206, ["Content-Range: bytes 100-199/250", "ETag: \"a\""], "slice"),
      (206, ["Content-Range: bytes 100-199/250", "ETag: \"b\""], "changed"),
      (206, ["Content-Range: bytes 100-199/260", "ETag: \"a\""], "changed"),
      (206, ["Content-Range: bytes 100-199/*", "ETag: \"a\""], "mismatch"),
      (206, ["Content-Range: bytes 100-199/250"], "mismatch"),
      (206, ["Content-Range: bytes 100-199/250", "ETag: W/\"a\""], "mismatch"),
      (206, ["Content-Range: bytes 100-198/250", "ETag: \"a\""], "mismatch"),
      (206, ["Content-Range: bytes 99-199/250", "ETag: \"a\""], "mismatch"),
      (206, ["Content-Range: bytes 100-249/250", "ETag: \"a\""], "mismatch"),
      (206, ["Content-Range: bytes 100-149/150", "ETag: \"a\""], "changed"),
      (206, ["ETag: \"a\""], "mismatch"), (200, ["ETag: \"a\""], "whole"),
      (416, ["Content-Range: bytes */250"], "416 250"), (416, [], "416"), (304, [], "other"),
      (503, [], "other"),
    ] as [(UInt16, [String], String)]) func `are checked when they come`(
      status: UInt16, lines: [String], expected: String
    )
  {
    let answer = plan.check(
      sized(status, lines), asked: range(100, 200), storedETag: view("\"a\""),
      storedLastModified: nil, storedDate: nil, now: t0)
    let text =
      switch answer {
      case .slice: "slice"
      case .whole: "whole"
      case .changed: "changed"
      case .unsatisfiable(let length): "416" + (length.map { " \($0)" } ?? "")
      case .mismatch: "mismatch"
      case .other: "other"
      }
    #expect(text == expected)
  }

  /// A response whose Content-Length says what its Content-Range says.
  private func sized(_ status: UInt16, _ lines: [String]) -> ResponseHead {
    let head = response(status, lines)
    let range = head.value(.contentRange).flatMap { ContentRange.parse($0) }
    if case .range(let range, _) = range { head.framing = .length(range.count) }
    return head
  }

  @Test func `a slice without a length is none: it could break off unseen`() {
    let lines = ["Content-Range: bytes 100-199/250", "ETag: \"a\""]
    for framing in [BodyFraming.chunked, .untilClose] {
      let head = response(206, lines)
      head.framing = framing
      let answer = plan.check(
        head, asked: range(100, 200), storedETag: view("\"a\""), storedLastModified: nil,
        storedDate: nil, now: t0)
      #expect(answer == .mismatch)
    }
  }

  @Test func `the first tells the length, and must have a strong validator`() {
    let first = SlicePlan(sliceSize: 100)
    func check(_ lines: String...) -> SliceAnswer {
      first.check(
        sized(206, lines), asked: range(0, 100), storedETag: nil, storedLastModified: nil,
        storedDate: nil, now: t0)
    }
    #expect(
      check("Content-Range: bytes 0-99/250", "ETag: \"a\"")
        == .slice(PartialContent(range: range(0, 100), completeLength: 250)))
    #expect(
      check("Content-Range: bytes 0-9/10", "ETag: \"a\"")
        == .slice(PartialContent(range: range(0, 10), completeLength: 10)))
    #expect(check("Content-Range: bytes 0-99/250") == .mismatch)
  }
}
