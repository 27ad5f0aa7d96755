import Bytes
import HTTPCaching
import HTTPMessage
import Testing

private func groups(_ lines: String...) -> String {
  text(CacheGroups.groups(of: response(200, lines.map { "Cache-Groups: \($0)" })))
}

private func text(_ list: CacheGroupList) -> String {
  switch list {
  case .none: "none"
  case .groups(let groups):
    groups.map { String(decoding: $0, as: UTF8.self) }.joined(separator: "|")
  case .excessive: "excessive"
  }
}

@Suite struct `RFC 9875, cache groups` {
  @Test(arguments: [
    ("\"a\"", "a"), ("\"a\", \"b\"", "a|b"), ("\"a\";x=1, \"b\"", "a|b"), ("\"a\", \"a\"", "a"),
    ("\"A\", \"a\"", "A|a"), ("\"a b, c\"", "a b, c"), ("\"\\\"\"", "\""), ("\"\"", ""),
    ("", "none"), ("a", "none"), ("\"a\", b", "none"), ("\"a\", 1", "none"), ("(\"a\")", "none"),
    ("\"a\",", "none"), ("\"a", "none"), ("\"é\"", "none"),
  ]) func `section 2: are strings`(value: String, expected: String) {
    #expect(groups(value) == expected)
  }

  @Test func `section 2: several lines are one list`() {
    #expect(groups("\"a\"", "\"b\"") == "a|b")
    #expect(groups("\"a\"", "b") == "none")
  }

  @Test func `section 2: at least 32 of 32 characters are kept`() {
    func many(_ count: Int) -> String { (0..<count).map { "\"g\($0)\"" }.joined(separator: ",") }
    let long = "\"" + String(repeating: "x", count: 256) + "\""
    #expect(groups(many(128)) != "excessive")
    #expect(groups(many(129)) == "excessive")
    #expect(groups(many(2000)) == "excessive")
    #expect(groups(long) != "excessive")
    #expect(groups("\"" + String(repeating: "x", count: 257) + "\"") == "excessive")
  }

  @Test(
    arguments: [
      (.post, 200, "a"), (.put, 204, "a"), (.delete, 303, "a"), (.other, 200, "a"),
      (.get, 200, "none"), (.head, 200, "none"), (.options, 200, "none"), (.post, 400, "none"),
      (.post, 500, "none"),
    ] as [(HTTPMessage.Method, UInt16, String)]) func `section 3: only unsafe methods invalidate`(
      method: HTTPMessage.Method, status: UInt16, expected: String
    )
  {
    let head = response(status, "Cache-Group-Invalidation: \"a\"", "Cache-Groups: \"b\"")
    #expect(text(CacheGroups.invalidated(by: head, method: method)) == expected)
  }

  @Test func `a group belongs to its origin`() {
    func tag(_ group: String, _ origin: String) -> String {
      written { CacheGroups.appendTag(view(group), origin: view(origin), to: &$0) }
    }
    #expect(tag("a", "http://x") == "\0g\u{8}\0\0\0http://xa")
    #expect(tag("a", "http://x") != tag("a", "https://x"))
    #expect(tag("ya", "http://x") != tag("a", "http://xy"))
  }
}
