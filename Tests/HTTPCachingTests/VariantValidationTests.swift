import Bytes
import HTTPCaching
import HTTPMessage
import Testing

private func tags(_ etags: String...) -> VariantTags {
  var tags = VariantTags()
  for (number, etag) in etags.enumerated() { tags.add(view(etag), number: number) }
  return tags
}

@Suite struct `RFC 9111 section 4.3.1, validating several variants` {
  @Test func `all their tags are offered, each once`() {
    #expect(
      written { tags("\"a\"", "W/\"b\"", "\"a\"", "\"c,d\"").appendCondition(to: &$0) }
        == "if-none-match: \"a\", W/\"b\", \"c,d\"\r\n")
  }

  @Test(arguments: ["", "a", "\"a", "*", "\"a\"b\"", "w/\"a\"", "W/a"])
  func `what is no entity tag is not offered`(etag: String) {
    #expect(tags(etag).isEmpty)
    #expect(written { tags(etag).appendCondition(to: &$0) } == "")
  }

  @Test func `there are limits`() {
    var many = VariantTags()
    for number in 0..<20 { many.add(view("\"\(number)\""), number: number) }
    #expect(many.selected(by: response(304, "ETag: \"7\"")) == 7)
    #expect(many.selected(by: response(304, "ETag: \"8\"")) == nil)
    #expect(tags("\"" + String(repeating: "a", count: 2047) + "\"").isEmpty)
  }
}

@Suite struct `RFC 9111 section 4.3.4, selecting among variants` {
  @Test(
    arguments: [
      (["\"a\"", "\"b\""], ["ETag: \"b\""], 1), (["\"a\"", "\"b\""], ["ETag: \"c\""], nil),
      (["\"a\"", "W/\"b\""], ["ETag: W/\"b\""], 1), (["\"a\"", "W/\"b\""], ["ETag: \"b\""], nil),
      (["\"a\"", "\"b\""], ["ETag: W/\"b\""], 1), (["\"a\"", "\"b\""], [], nil), (["\"a\""], [], 0),
      (["\"a\"", "\"b\""], ["ETag: "], nil), ([], [], nil), ([], ["ETag: \"a\""], nil),
    ] as [([String], [String], Int?)]) func `a 304 names the one it means`(
      etags: [String], lines: [String], expected: Int?
    )
  {
    var tags = VariantTags()
    for (number, etag) in etags.enumerated() { tags.add(view(etag), number: number) }
    #expect(tags.selected(by: response(304, lines)) == expected)
  }
}

@Suite struct `RFC 9111 section 4.3.5, freshening by HEAD` {
  @Test(
    arguments: [
      (200, ["ETag: \"a\""], .update), (200, ["ETag: \"b\""], .invalidate),
      (200, ["ETag: W/\"a\""], .invalidate), (200, [], .update),
      (200, ["Last-Modified: \(t0Date)"], .update),
      (200, ["Last-Modified: Mon, 01 Jan 2024 00:00:01 GMT"], .invalidate),
      (200, ["Content-Length: 10"], .update), (200, ["Content-Length: 11"], .invalidate),
      (200, ["Content-Length: x"], .invalidate),
      (200, ["ETag: \"a\"", "Content-Length: 9"], .invalidate),
      (200, ["ETag: \"a\"", "Last-Modified: \(t0Date)", "Content-Length: 10"], .update),
      (304, ["ETag: \"a\""], .ignore), (404, ["ETag: \"a\""], .ignore), (206, [], .ignore),
    ] as [(UInt16, [String], HeadFreshening)]) func `compares all that it has`(
      status: UInt16, lines: [String], expected: HeadFreshening
    )
  {
    #expect(
      HeadFreshening.decide(
        response(status, lines), storedETag: view("\"a\""), storedLastModified: view(t0Date),
        storedLength: 10) == expected)
  }

  @Test func `a validator that is not stored is another's`() {
    #expect(
      HeadFreshening.decide(
        response(200, "ETag: \"a\""), storedETag: nil, storedLastModified: nil, storedLength: 10)
        == .invalidate)
  }
}
