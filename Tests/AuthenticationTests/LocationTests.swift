import Authentication
import Bytes
import HTTP1
import HTTPMessage
import Testing

private func find(_ text: String, _ places: [TokenLocation]) throws -> String {
  let lines = "GET \(text.hasPrefix("/") ? "" : "/ HTTP/1.1\r\nHost: a\r\n")\(text)\r\n\r\n"
  var buffer = ByteBuffer()
  buffer.append(text: lines)
  let head = RequestHead()
  try #require(RequestParser.parse(buffer.view, limits: HeadLimits(), into: head) == .complete)
  switch TokenFinder.find(in: head, places: places) {
  case .none: return "none"
  case .ambiguous: return "ambiguous"
  case .token(let token): return "token " + token.string
  }
}

@Suite struct LocationTests {
  @Test(arguments: [
    ("Authorization: Bearer abc", "token abc"), ("authorization: bEaReR   abc", "token abc"),
    ("Authorization: Basic abc", "none"), ("Authorization: Bearerabc", "none"),
    ("Authorization: Bearer", "none"), ("X: y", "none"),
    ("Authorization: Bearer a\r\nAuthorization: Bearer a", "ambiguous"),
    ("Authorization: Bearer a\r\nAuthorization: Basic b", "ambiguous"),
  ])
  func `a token is taken from Authorization`(fields: String, found: String) throws {
    #expect(try find(fields, [.authorization]) == found)
  }

  @Test(arguments: [
    ("Cookie: t=abc", "token abc"), ("Cookie: a=b; t=abc; c=d", "token abc"),
    ("Cookie: a=b\r\nCookie: t=abc", "token abc"), ("Cookie: tt=abc; xt=1", "none"),
    ("Cookie: t=", "token "), ("Cookie: t", "none"), ("Cookie: a=t=abc", "none"),
    ("Cookie: t=a; t=a", "ambiguous"), ("Cookie: t=a\r\nCookie: t=b", "ambiguous"),
  ])
  func `a token is taken from a cookie`(fields: String, found: String) throws {
    #expect(try find(fields, [.cookie(named: "t")]) == found)
  }

  @Test(arguments: [
    ("/?t=abc HTTP/1.1\r\nHost: a", "token abc"),
    ("/?a&t=abc&b=c HTTP/1.1\r\nHost: a", "token abc"),
    ("/t=abc HTTP/1.1\r\nHost: a", "none"), ("/?tt=abc HTTP/1.1\r\nHost: a", "none"),
    ("/?t=a&t=b HTTP/1.1\r\nHost: a", "ambiguous"), ("/? HTTP/1.1\r\nHost: a", "none"),
  ])
  func `a token is taken from the query`(request: String, found: String) throws {
    #expect(try find(request, [.query(named: "t")]) == found)
  }

  @Test func `the first place that has one counts`() throws {
    let request = "/?t=query HTTP/1.1\r\nHost: a\r\nCookie: t=cookie"
    #expect(
      try find(request, [.authorization, .cookie(named: "t"), .query(named: "t")]) == "token cookie"
    )
    #expect(try find(request, [.query(named: "t"), .cookie(named: "t")]) == "token query")
    #expect(try find(request, []) == "none")
  }
}
