import Bytes
import HTTPCaching
import HTTPMessage
import Testing

private func patterns(_ names: [String]) -> [NamePattern] {
  names.map { NamePattern(Array($0.utf8)) }
}

@Suite struct `Names with wildcards` {
  @Test(arguments: [
    ("a", "a", true), ("a", "b", false), ("a", "A", false), ("utm_*", "utm_source", true),
    ("utm_*", "utm_", true), ("utm_*", "xutm_a", false), ("*", "", true), ("*", "a", true),
    ("", "", true), ("", "a", false), ("*a*b*", "xaybz", true), ("*a*b*", "xbya", false),
    ("a*a", "aa", true), ("a*a", "a", false), ("**", "x", true), ("a?", "ab", false),
    ("utm_id", "utm%5Fid", true), ("utm_id", "utm%5fid", true), ("a b", "a+b", true),
    ("a b", "a%20b", true), ("a%20b", "a%20b", false), ("a%", "a%", true), ("a%4", "a%4", true),
    ("é", "%C3%A9", true), ("*b", "aaaab", true), ("a*b*c", "abbbbc", true),
  ]) func `match the bytes that a name means`(pattern: String, name: String, expected: Bool) {
    #expect(NamePattern(Array(pattern.utf8)).matches(encoded: view(name)) == expected)
  }

  @Test func `are bounded`() {
    let pattern = NamePattern(Array(String(repeating: "*a", count: 200).utf8) + [0x62])
    #expect(!pattern.matches(encoded: view(String(repeating: "a", count: 256))))
    #expect(!NamePattern([0x2A]).matches(encoded: view(String(repeating: "a", count: 257))))
  }
}

@Suite struct `Queries normalised` {
  private func normalised(
    _ query: String, sorts: Bool = false, drop: [String] = [], keep: [String]? = nil
  ) -> String {
    let it = QueryNormalization(sorts: sorts, drop: patterns(drop), keep: keep.map(patterns))
    return written { it.append(view(query), to: &$0) }
  }

  @Test(arguments: [
    ("b=2&a=1", "a=1&b=2"), ("a=2&a=1", "a=2&a=1"), ("b&a&b=0", "a&b&b=0"), ("&&a&&", "a"),
    ("", ""), ("a", "a"), ("=1&a", "=1&a"), ("a=%2f&A=%2F", "A=%2F&a=%2f"),
    ("a=b=c&Z", "Z&a=b=c"), ("ab&a", "a&ab"), ("%62=1&a=2", "a=2&%62=1"), ("b;a=1&a", "a&b;a=1"),
  ]) func `are sorted by name, and otherwise as they were`(query: String, expected: String) {
    #expect(normalised(query, sorts: true) == expected)
  }

  @Test(arguments: [
    ("a=1&utm_source=x&b=2", "a=1&b=2"), ("utm_source=x", ""), ("utm%5Fsource=x&a=%20", "a=%20"),
    ("fbclid=1&a&fbclid=2", "a"), ("xutm_a=1", "xutm_a=1"), ("a=utm_x", "a=utm_x"),
  ]) func `lose what is dropped`(query: String, expected: String) {
    #expect(normalised(query, drop: ["utm_*", "fbclid"]) == expected)
  }

  @Test(arguments: [
    ("a=1&b=2&id=3", "b=2&id=3"), ("x=1", ""), ("%69d=1", "%69d=1"), ("id", "id"), ("ID=1", ""),
  ]) func `keep what is kept`(query: String, expected: String) {
    #expect(normalised(query, keep: ["id", "b"]) == expected)
  }

  @Test func `both, and dropping wins`() {
    #expect(normalised("c&b&a", sorts: true, drop: ["b"], keep: ["a", "b"]) == "a")
    #expect(normalised("b&a") == "b&a")
    #expect(normalised("&&b&&a") == "&&b&&a")
    #expect(normalised("a", keep: []) == "")
  }

  @Test func `with too many parameters are left as they are`() {
    let query = (0..<65).reversed().map { "p\($0 + 10)" }.joined(separator: "&")
    #expect(normalised(query, sorts: true, drop: ["*"]) == query)
    let most = (0..<64).reversed().map { "p\($0 + 10)" }.joined(separator: "&")
    #expect(normalised(most, sorts: true).hasPrefix("p10&p11&"))
  }

  @Test(arguments: 0..<20) func `normalising twice is normalising once`(seed: Int) {
    var random = Seeded(UInt64(seed))
    let pieces = ["a", "b", "=", "&", "%61", "%", "+", "utm_x", "1", ";", "%zz"]
    for _ in 0..<200 {
      let query = (0..<Int.random(in: 0...20, using: &random)).map { _ in
        pieces[Int.random(in: 0..<pieces.count, using: &random)]
      }.joined()
      let once = normalised(query, sorts: true, drop: ["utm_*"])
      #expect(normalised(once, sorts: true, drop: ["utm_*"]) == once)
      #expect(once.utf8.count <= query.utf8.count)
    }
  }
}

private func matches(_ value: String, _ one: String, _ other: String) -> Bool {
  let it = NoVarySearch(view(value))
  let keys = [one, other].map { query in
    var buffer = ByteBuffer()
    return it.appendKey(view(query), to: &buffer) ? buffer.view.array : Array(query.utf8)
  }
  return keys[0] == keys[1]
}

@Suite struct `No-Vary-Search` {
  @Test(arguments: [
    ("params=(\"a\")", "a=1&b=2", "b=2", true), ("params=(\"a\")", "a=1&b=2", "b=3", false),
    ("params=(\"a\" \"b\")", "a=1&b=2", "", true), ("params", "a=1", "b=2&c", true),
    ("params", "a=1", "", true), ("params=?0", "a=1", "a=2", false), ("params=()", "a", "b", false),
    ("params, except=(\"id\")", "id=1&x=2", "id=1", true),
    ("params, except=(\"id\")", "id=1&x=2", "id=2", false),
    ("key-order", "a=1&b=2", "b=2&a=1", true), ("key-order", "a=1&a=2", "a=2&a=1", false),
    ("key-order=?0", "a=1&b=2", "b=2&a=1", false), ("key-order", "a=1&b=2", "b=1&a=2", false),
    ("key-order, params=(\"x\")", "a&x&b", "b&a", true),
    ("params=(\"a b\")", "a+b=1", "a%20b=2", true), ("params=(\"a+b\")", "a%20b=1", "", true),
    ("params=(\"%61\")", "a=1", "", true), ("params=(\"a\");x", "a=1", "", true),
    ("params=(\"a\"), foo=1", "a=1", "", true), ("params=(\"a\")", "b=%41", "b=A", true),
    ("params=(\"a\")", "b=1&c", "b=1&c=", true), ("params=(\"a\")", "b=1c=2", "b=1&c=2", false),
  ]) func `matches queries`(value: String, one: String, other: String, expected: Bool) {
    #expect(matches(value, one, other) == expected)
  }

  @Test(arguments: [
    "", "params=1", "params=\"a\"", "params=a", "params=(a)", "params=(1)", "params=(\"a\" b)",
    "key-order=1", "key-order=(\"a\")", "except=(\"a\")", "params=?0, except=(\"a\")",
    "params=(\"a\"), except=(\"b\")", "params, except", "params, except=\"a\"",
    "params, except=(a)", "params=(\"a\"", "&", "Params", "params,", "key-order=1, params",
  ]) func `says nothing where it is not as it must be`(value: String) {
    #expect(NoVarySearch(view(value)).isDefault)
    #expect(!matches(value, "a=1", "a=2"))
    #expect(!matches(value, "a=%41", "a=A"))
  }

  @Test func `is read from a response`() {
    let head = response(200, "No-Vary-Search: params", "No-Vary-Search: except=(\"a\")")
    #expect(NoVarySearch(head) == NoVarySearch(view("params, except=(\"a\")")))
    #expect(NoVarySearch(response(200)).isDefault)
  }

  @Test func `is bounded`() {
    let names = (0..<65).map { "\"p\($0)\"" }.joined(separator: " ")
    #expect(NoVarySearch(view("params=(\(names))")).isDefault)
    var buffer = ByteBuffer()
    let query = (0..<65).map { "p\($0)" }.joined(separator: "&")
    #expect(!NoVarySearch(view("params")).appendKey(view(query), to: &buffer))
    #expect(buffer.view.isEmpty)
  }
}
