import Bytes
import HTTPCaching
import HTTPMessage
import Testing

private func target(
  _ reference: String, scheme: String = "https", authority: String = "example.com",
  path: String = "/a/b/c"
) -> String? {
  var isSame = false
  let text = written {
    isSame = Invalidation.appendTarget(
      of: view(reference), scheme: view(scheme), authority: view(authority), path: view(path),
      to: &$0)
  }
  return isSame ? text : nil
}

@Suite struct `RFC 9111 section 4.4, invalidation` {
  @Test(arguments: HTTPMessage.Method.allCases) func `by unsafe and unknown methods`(
    method: HTTPMessage.Method
  ) {
    let isSafe = [.get, .head, .options, .trace].contains(method)
    #expect(Invalidation.applies(method: method, status: 200) == !isSafe)
  }

  @Test(
    arguments: [
      (100, false), (199, false), (200, true), (204, true), (303, true), (399, true), (400, false),
      (404, false), (500, false), (599, false),
    ] as [(UInt16, Bool)]) func `that did not fail`(status: UInt16, expected: Bool)
  {
    #expect(Invalidation.applies(method: .post, status: status) == expected)
  }

  @Test(
    arguments: [
      ("/x", "/x"), ("/x?y=z", "/x?y=z"), ("/x#f", "/x"), ("/x?y#f?", "/x?y"),
      ("https://example.com/x", "/x"), ("HTTPS://EXAMPLE.com/x?q", "/x?q"),
      ("https://example.com:443/x", "/x"), ("https://example.com:/x", "/x"),
      ("https://example.com", "/"), ("https://example.com?q", "/?q"), ("//example.com/x", "/x"),
      ("d", "/a/b/d"), ("./d", "/a/b/d"), ("../d", "/a/d"), ("../../d", "/d"), ("../../../d", "/d"),
      ("d/..", "/a/b/"), (".", "/a/b/"), ("..", "/a/"), ("", "/a/b/c"), ("?q", "/a/b/c?q"),
      ("#f", "/a/b/c"), ("/a/./b/../c//d", "/a/c//d"), ("/..", "/"), ("/", "/"), ("d:e/f", nil),
      ("./d:e", "/a/b/d:e"), ("/d:e", "/d:e"), ("?d:e", "/a/b/c?d:e"),
    ] as [(String, String?)]) func `Location is resolved`(reference: String, expected: String?)
  {
    #expect(target(reference) == expected)
  }

  @Test(arguments: [
    "https://example.org/x", "http://example.com/x", "https://example.com:8443/x",
    "//example.org/x", "https://user@example.com/x", "https://example.com.evil/x", "https:/x",
    "https:x", "mailto:a@example.com", "https:///x", "/a b", "/a\u{7f}", "/ü", "///x",
  ]) func `and never of another origin`(reference: String) {
    #expect(target(reference) == nil)
  }

  @Test func `ports are compared with the scheme's own`() {
    #expect(target("http://example.com/x", scheme: "http", authority: "example.com:80") == "/x")
    #expect(
      target("http://example.com:8080/x", scheme: "http", authority: "Example.com:8080") == "/x")
    #expect(target("https://[::1]/x", authority: "[::1]:443") == "/x")
    #expect(target("/x", authority: "") == "/x")
    #expect(target("d", path: "") == "/d")
  }
}
