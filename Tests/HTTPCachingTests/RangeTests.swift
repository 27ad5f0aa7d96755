import Bytes
import HTTPCaching
import HTTPMessage
import Testing

private let modified: Int64 = 1_700_000_000  // Tue, 14 Nov 2023 22:13:20 GMT
private let modifiedText = "Tue, 14 Nov 2023 22:13:20 GMT"

/// How a selection reads.
private func text(_ selection: RangeSelection, _ value: String, length: UInt64) -> String {
  switch selection {
  case .whole: "whole"
  case .single(let range): "\(range.start)-\(range.end)"
  case .several:
    RangeRules.ranges(view(value), length: length).map { "\($0.start)-\($0.end)" }
      .joined(separator: " ")
  case .unsatisfiable: "416"
  }
}

private func select(_ value: String, length: UInt64 = 1000) -> String {
  text(RangeRules.select(view(value), length: length), value, length: length)
}

@Suite struct `RFC 9110 section 14.1, ranges` {
  @Test(arguments: [
    ("bytes=0-499", "0-500"), ("bytes=500-999", "500-1000"), ("bytes=500-", "500-1000"),
    ("bytes=-500", "500-1000"), ("bytes=0-0", "0-1"), ("bytes=999-999", "999-1000"),
    ("bytes=-1", "999-1000"), ("bytes=-1000", "0-1000"), ("bytes=-1001", "0-1000"),
    ("bytes=0-", "0-1000"), ("bytes=0-99999", "0-1000"), ("BYTES=1-2", "1-3"),
    ("bytes= 1-2 ", "1-3"), ("bytes=,1-2,,", "1-3"), ("bytes=001-002", "1-3"),
    ("bytes=0-18446744073709551615", "0-1000"), ("bytes=0-99999999999999999999999", "0-1000"),
    ("bytes=-99999999999999999999999", "0-1000"),
  ]) func `one range is resolved against the length`(value: String, expected: String) {
    #expect(select(value) == expected)
  }

  @Test(arguments: [
    "bytes=1000-", "bytes=1000-1001", "bytes=99999999999999999999-", "bytes=-0",
    "bytes=1000-,2000-", "bytes=-0,1000-1001", "bytes=18446744073709551615-18446744073709551615",
  ]) func `section 15.5.17: what lies behind the end cannot be satisfied`(value: String) {
    #expect(select(value) == "416")
  }

  @Test(arguments: [
    "", "bytes", "bytes=", "bytes=,", "bytes 0-1", "bytes=1", "bytes=-", "bytes=2-1", "bytes=a-b",
    "bytes=1-b", "bytes=0-1,x", "bytes=0-1;2-3", "bytes=0 - 1", "bytes=0- 1", "bytes=0--1",
    "bytes=--1", "bytes=+0-1", "bytes=0x0-1", "bytes =0-1", " bytes=0-1", "items=0-1", "none=0-1",
    "bytes=0-1-2", "bytes=5-4,0-1", "bytes=0-1, 2000", "bytes=0.5-1", "=0-1",
  ]) func `section 14.2: what is invalid or of another unit is ignored`(value: String) {
    #expect(select(value) == "whole")
  }

  @Test(arguments: [
    ("bytes=0-0,-1", "0-1 999-1000"), ("bytes=500-600,601-999", "500-601 601-1000"),
    ("bytes=500-700,601-799", "500-701 601-800"), ("bytes=1-2 , 4-5\t,7-8", "1-3 4-6 7-9"),
    ("bytes=5-6,1-2", "5-7 1-3"), ("bytes=0-499,500-999", "0-500 500-1000"),
  ]) func `several are kept in the order of the request`(value: String, expected: String) {
    #expect(select(value) == expected)
  }

  @Test func `of several, one that can be satisfied is answered as one`() {
    #expect(select("bytes=2000-,3-4") == "3-5")
    #expect(select("bytes=2000-,3-4,-0") == "3-5")
  }

  @Test(arguments: [
    "bytes=0-,0-", "bytes=0-999,5-6", "bytes=0-600,200-900", "bytes=0-2,1-3,2-4",
    "bytes=0-9,5-6,7-8",
  ]) func `section 17.15: ranges that overlap or come to more than the whole are ignored`(
    value: String
  ) {
    #expect(select(value) == "whole")
  }

  @Test func `section 17.15: too many ranges are ignored`() {
    let ranges = (0..<32).map { "\($0 * 10)-\($0 * 10)" }
    #expect(
      RangeRules.select(view("bytes=" + ranges.joined(separator: ",")), length: 1000) == .several)
    #expect(select("bytes=" + (ranges + ["900-900"]).joined(separator: ",")) == "whole")
    #expect(select("bytes=" + (ranges + ["5000-"]).joined(separator: ",")) == "whole")
  }

  @Test(arguments: ["bytes=0-", "bytes=0-0", "bytes=-0", "bytes=-1", "bytes=0-0,-1", "bytes=x"])
  func `section 14.2: of nothing there is no range`(value: String) {
    #expect(select(value, length: 0) == "whole")
  }

  @Test func `the greatest lengths do not overflow`() {
    #expect(select("bytes=-1", length: .max) == "\(UInt64.max - 1)-\(UInt64.max)")
    #expect(select("bytes=0-", length: .max) == "0-\(UInt64.max)")
    #expect(select("bytes=0-18446744073709551614", length: .max) == "0-\(UInt64.max)")
  }
}

private func select(
  _ lines: [String], method: HTTPMessage.Method = .get, status: UInt16 = 200,
  length: UInt64? = 1000, etag: String? = "\"abc\"", lastModified: Int64? = modified,
  date: Int64 = modified + 60
) -> Selection {
  RangeRules.select(
    request(method, lines),
    of: SelectedRepresentation(
      status: status, length: length, etag: etag.map { view($0) }, lastModified: lastModified,
      date: date), now: t0)
}

private let part = ByteRange(start: 0, end: 10)
private let range = "Range: bytes=0-9"

@Suite struct `RFC 9110 section 13.2.2, conditions and ranges` {
  @Test(
    arguments: [
      ([range], "206"), ([], "200"), ([range, range], "200"), (["Range: bytes=0-1,5-6"], "several"),
      (["Range: bytes=5000-"], "416"), (["Range: x"], "200"),
      ([range, "If-None-Match: \"abc\""], "304"), ([range, "If-None-Match: \"x\""], "206"),
      ([range, "If-None-Match: W/\"abc\""], "304"), ([range, "If-None-Match: *"], "304"),
      ([range, "If-Modified-Since: \(modifiedText)"], "304"),
      ([range, "If-Modified-Since: Tue, 14 Nov 2023 22:13:19 GMT"], "206"),
      ([range, "If-None-Match: \"x\"", "If-Modified-Since: \(modifiedText)"], "206"),
      (["Range: bytes=5000-", "If-None-Match: \"abc\""], "304"),
      ([range, "If-None-Match: \"x\"", "If-Range: \"abc\""], "206"),
      ([range, "If-None-Match: \"abc\"", "If-Range: \"x\""], "304"),
      (["If-Range: \"x\""], "200"),
    ] as [([String], String)]) func `come in order`(lines: [String], expected: String)
  {
    let found =
      switch select(lines) {
      case .whole: "200"
      case .notModified: "304"
      case .failed: "412"
      case .single(let range): range == part ? "206" : "another range"
      case .several: "several"
      case .unsatisfiable: "416"
      }
    #expect(found == expected)
  }

  @Test(arguments: HTTPMessage.Method.allCases) func `section 14.2: ranges are for GET alone`(
    method: HTTPMessage.Method
  ) {
    #expect((select([range], method: method) == .whole) == (method != .get))
  }

  @Test(arguments: [201, 203, 204, 206, 301, 404, 500] as [UInt16])
  func `section 14.2: ranges are for what would be 200`(status: UInt16) {
    #expect(select([range], status: status) == .whole)
  }

  @Test func `without a known length there are no ranges`() {
    #expect(select([range], length: nil) == .whole)
  }
}

@Suite struct `RFC 9110 section 13.1.5, If-Range` {
  @Test(
    arguments: [
      ("\"abc\"", true), ("W/\"abc\"", false), ("\"abd\"", false), ("abc", false), ("*", false),
      ("\"abc\", \"abd\"", false), ("", false), (modifiedText, true),
      ("Tue, 14 Nov 2023 22:13:21 GMT", false), ("Tue, 14 Nov 2023 22:13:19 GMT", false),
      ("Tuesday, 14-Nov-23 22:13:20 GMT", true), ("Tue Nov 14 22:13:20 2023", true),
      ("soon", false),
    ] as [(String, Bool)]) func `is compared strongly`(value: String, holds: Bool)
  {
    #expect((select([range, "If-Range: \(value)"]) != .whole) == holds)
  }

  @Test func `a weak stored tag never matches`() {
    #expect(select([range, "If-Range: W/\"abc\""], etag: "W/\"abc\"") == .whole)
    #expect(select([range, "If-Range: \"abc\""], etag: "W/\"abc\"") == .whole)
    #expect(select([range, "If-Range: \"abc\""], etag: nil) == .whole)
  }

  @Test(arguments: [(0, false), (1, true), (-1, false), (60, true)])
  func `section 8.8.2.2: a date is strong a second before Date`(ahead: Int64, holds: Bool) {
    let lines = [range, "If-Range: \(modifiedText)"]
    #expect((select(lines, date: modified + ahead) != .whole) == holds)
    #expect(select(lines, lastModified: nil) == .whole)
  }

  @Test func `twice is not at all`() {
    #expect(select([range, "If-Range: \"abc\"", "If-Range: \"abc\""]) == .whole)
  }
}

@Suite struct `RFC 9110 section 14.4, Content-Range` {
  @Test(
    arguments: [
      ("bytes 0-499/1234", "bytes 0-499/1234"), ("bytes 0-0/1", "bytes 0-0/1"),
      ("bytes 42-1233/*", "bytes 42-1233/*"), ("bytes */1234", "bytes */1234"),
      ("Bytes 0-1/2", "bytes 0-1/2"), ("bytes */0", "bytes */0"),
      (
        "bytes 0-18446744073709551613/18446744073709551614",
        "bytes 0-18446744073709551613/18446744073709551614"
      ),
      ("bytes 0-499/499", nil), ("bytes 5-4/10", nil), ("bytes 0-10/10", nil), ("bytes */*", nil),
      ("bytes 0-1", nil), ("bytes=0-1/2", nil), ("items 0-1/2", nil), ("bytes  0-1/2", nil),
      ("bytes 0-1/", nil), ("bytes -1/2", nil), ("bytes 0-/2", nil), ("bytes 0-1/2 ", nil),
      ("bytes 0-1/-2", nil), ("bytes 0-1/99999999999999999999", nil), ("", nil), ("bytes", nil),
      ("bytes 18446744073709551615-18446744073709551615/*", nil), ("bytes 0-1/2/3", nil),
      ("bytes 0-1-1/3", nil),
    ] as [(String, String?)]) func `is read and written`(value: String, expected: String?)
  {
    let parsed = ContentRange.parse(view(value))
    #expect(parsed.map { range in written { range.append(to: &$0) } } == expected)
  }
}

@Suite struct `RFC 9110 section 14.6, multipart` {
  private func body(_ multipart: MultipartRanges, of content: [UInt8]) -> [UInt8] {
    var multipart = multipart
    var body: [UInt8] = []
    while true {
      var buffer = ByteBuffer()
      switch multipart.next(&buffer) {
      case .framing: body += buffer.view.array
      case .content(let range): body += content[Int(range.start)..<Int(range.end)]
      case .end: return body
      }
    }
  }

  private let boundary = Hash128(low: 0xAB, high: 1)

  @Test func `the parts are framed`() throws {
    let ranges = RangeRules.ranges(view("bytes=0-1,-2"), length: 10)
    let multipart = MultipartRanges(
      ranges, completeLength: 10, contentType: view("text/plain"), boundary: boundary)
    let name = "000000000000000100000000000000ab"
    #expect(
      written { multipart.appendContentType(to: &$0) }
        == "multipart/byteranges; boundary=\(name)")
    let expected = """
      --\(name)\r
      content-type: text/plain\r
      content-range: bytes 0-1/10\r
      \r
      01\r
      --\(name)\r
      content-type: text/plain\r
      content-range: bytes 8-9/10\r
      \r
      89\r
      --\(name)--\r

      """
    let bytes = body(multipart, of: Array("0123456789".utf8))
    #expect(String(decoding: bytes, as: UTF8.self) == expected)
    #expect(multipart.contentLength == UInt64(bytes.count))
  }

  @Test(arguments: 0..<20) func `the length is known before`(seed: Int) {
    var random = Seeded(UInt64(seed))
    let length = UInt64.random(in: 1...12_000, using: &random)
    let content = [UInt8](repeating: 0x61, count: Int(length))
    let ranges = (0..<Int.random(in: 1...32, using: &random)).compactMap { _ in
      let start = UInt64.random(in: 0..<length, using: &random)
      return ByteRange(start: start, end: UInt64.random(in: start + 1...length, using: &random))
    }
    let type = [nil, view("image/png"), view("")].randomElement(using: &random) ?? nil
    let multipart = MultipartRanges(
      ranges, completeLength: length, contentType: type,
      boundary: Hash128(low: random.next(), high: random.next()))
    #expect(multipart.contentLength == UInt64(body(multipart, of: content).count))
  }
}

@Suite struct `Ranges of whatever is received` {
  @Test(arguments: 0..<40) func `lie within the length`(seed: Int) {
    var random = Seeded(UInt64(seed))
    let pieces = ["bytes", "=", "-", ",", "0", "9", "1", " ", "18446744073709551615", "\t", "x"]
    for _ in 0..<500 {
      let value =
        (Bool.random(using: &random) ? "bytes=" : "")
        + (0..<Int.random(in: 0...16, using: &random)).map { _ in
          pieces[Int.random(in: 0..<pieces.count, using: &random)]
        }.joined()
      let length = ([0, 1, 2, 100, .max] as [UInt64]).randomElement(using: &random) ?? 0
      _ = ContentRange.parse(view(value))
      switch RangeRules.select(view(value), length: length) {
      case .whole, .unsatisfiable: break
      case .single(let range): #expect(range.start < range.end && range.end <= length)
      case .several:
        let ranges = RangeRules.ranges(view(value), length: length)
        #expect(ranges.count > 1 && ranges.count <= RangeRules.greatestCount)
        #expect(ranges.allSatisfy { $0.start < $0.end && $0.end <= length })
      }
    }
  }
}
